//! A command line and its words.
//!
//! Words are separated by blanks. One in double quotes may contain blanks, and
//! a backslash within them takes the next character as it is. These are MPD's
//! rules (`util/Tokenizer.cxx` there); its older clients depend on them.

use std::{iter::Peekable, ops::Range, str::FromStr, time::Duration, vec};

use crate::{
    command::{CommandError, QueuePlace},
    playback::queue::{QueueError, QueueId},
};

/// Bytes in a line, MPD's limit for what a client may send without a newline.
pub const MAX_LINE: usize = 16 * 1024;

/// The same where the line is a command in JSON, from a client that may give commands.
pub const MAX_JSON: usize = 1024 * 1024;

/// Words in a line: `list` with a filter in old style and some `group`s needs
/// two dozen.
pub const MAX_ARGS: usize = 64;

/// Why a command was refused, as the protocol numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckCode {
    NotList = 1,
    Arg = 2,
    Password = 3,
    Permission = 4,
    Unknown = 5,
    NoExist = 50,
    PlaylistMax = 51,
    System = 52,
    PlayerSync = 55,
}

/// A refusal, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Ack {
    pub code: AckCode,
    pub text: String,
}

impl Ack {
    pub fn new(code: AckCode, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }

    pub fn arg(text: impl Into<String>) -> Self {
        Self::new(AckCode::Arg, text)
    }
}

impl From<CommandError> for Ack {
    fn from(error: CommandError) -> Self {
        let code = match &error {
            CommandError::Queue(QueueError::Full | QueueError::TooMuchText)
            | CommandError::TooManyFound
            | CommandError::TooMuchFound => AckCode::PlaylistMax,
            CommandError::Queue(QueueError::NoSuchPosition) | CommandError::RepeatedTag => {
                AckCode::Arg
            }
            CommandError::Queue(QueueError::NoSuchId)
            | CommandError::NobodyHas(_)
            | CommandError::NothingLike(_)
            | CommandError::OwnerAway { .. }
            | CommandError::NotOwn { .. } => AckCode::NoExist,
            CommandError::NoCurrent | CommandError::NotPlaying => AckCode::PlayerSync,
            CommandError::NotLeft
            | CommandError::NoPlayer
            | CommandError::NoLibrary
            | CommandError::NoMember
            | CommandError::Stopping => AckCode::System,
        };
        Self::new(code, error.to_string())
    }
}

/// Splits a line into its words.
///
/// # Errors
/// An unclosed quote, or too many words.
pub fn split(line: &str) -> Result<Vec<String>, Ack> {
    let mut words = Vec::new();
    let mut chars = line.trim_start_matches(is_blank).chars().peekable();
    while chars.peek().is_some() {
        if words.len() == MAX_ARGS {
            return Err(Ack::arg("Too many arguments"));
        }
        words.push(match chars.next_if_eq(&'"') {
            Some(_) => quoted(&mut chars)?,
            None => bare(&mut chars)?,
        });
        while chars.next_if(|&c| is_blank(c)).is_some() {}
    }
    Ok(words)
}

/// `word` such that [`split`] gives it back.
#[cfg(test)]
pub fn quote(word: &str) -> String {
    let mut quoted = String::with_capacity(word.len() + 2);
    quoted.push('"');
    for c in word.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn quoted(chars: &mut Peekable<std::str::Chars<'_>>) -> Result<String, Ack> {
    let mut word = String::new();
    loop {
        match chars.next() {
            Some('"') => break,
            Some('\\') => word.extend(chars.next()),
            Some(c) => word.push(c),
            None => return Err(Ack::new(AckCode::Unknown, "Missing closing '\"'")),
        }
    }
    match chars.peek() {
        Some(&c) if !is_blank(c) => Err(Ack::new(AckCode::Unknown, "Space expected after '\"'")),
        _ => Ok(word),
    }
}

fn bare(chars: &mut Peekable<std::str::Chars<'_>>) -> Result<String, Ack> {
    let mut word = String::new();
    while let Some(c) = chars.next_if(|&c| !is_blank(c)) {
        if c == '"' || c == '\'' {
            return Err(Ack::new(AckCode::Unknown, "Invalid unquoted character"));
        }
        word.push(c);
    }
    Ok(word)
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// The words of a command behind its name, taken one by one as what they must
/// be.
#[derive(Debug)]
pub struct Args {
    command: String,
    words: Peekable<vec::IntoIter<String>>,
}

impl Args {
    pub fn new(command: &str, words: Vec<String>) -> Self {
        Self {
            command: command.to_owned(),
            words: words.into_iter().peekable(),
        }
    }

    pub fn peek(&mut self) -> Option<&str> {
        self.words.peek().map(String::as_str)
    }

    /// The next word, if there is one.
    pub fn next(&mut self) -> Option<String> {
        self.words.next()
    }

    /// The next word.
    pub fn text(&mut self) -> Result<String, Ack> {
        self.next().ok_or_else(|| self.wrong_number())
    }

    /// What is left.
    pub fn rest(&mut self) -> Vec<String> {
        self.words.by_ref().collect()
    }

    /// Whether the next word is `keyword`, which is then taken.
    pub fn take(&mut self, keyword: &str) -> bool {
        self.words
            .next_if(|word| word.eq_ignore_ascii_case(keyword))
            .is_some()
    }

    /// Refuses what is left over.
    pub fn end(&mut self) -> Result<(), Ack> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.wrong_number()),
        }
    }

    pub fn number<N: FromStr>(&mut self) -> Result<N, Ack> {
        let word = self.text()?;
        parse_number(&word)
    }

    /// `0` or `1`.
    pub fn flag(&mut self) -> Result<bool, Ack> {
        match self.text()?.as_str() {
            "0" => Ok(false),
            "1" => Ok(true),
            other => Err(Ack::arg(format!("Boolean (0/1) expected: {other}"))),
        }
    }

    pub fn id(&mut self) -> Result<QueueId, Ack> {
        self.number().map(QueueId)
    }

    /// `START:END`, `START:` or one position.
    pub fn range(&mut self) -> Result<Range<usize>, Ack> {
        let word = self.text()?;
        parse_range(&word)
    }

    pub fn optional_range(&mut self) -> Result<Option<Range<usize>>, Ack> {
        self.peek().is_some().then(|| self.range()).transpose()
    }

    /// Seconds, with a fraction if so wished.
    pub fn seconds(&mut self) -> Result<Duration, Ack> {
        let word = self.text()?;
        parse_seconds(&word)
    }

    /// A place in the queue.
    pub fn place(&mut self) -> Result<QueuePlace, Ack> {
        let word = self.text()?;
        match word.as_bytes().first() {
            Some(b'+') => parse_number(&word[1..]).map(QueuePlace::After),
            Some(b'-') => parse_number(&word[1..]).map(QueuePlace::Before),
            _ => parse_number(&word).map(QueuePlace::At),
        }
    }

    fn wrong_number(&self) -> Ack {
        let command = &self.command;
        Ack::arg(format!("wrong number of arguments for \"{command}\""))
    }
}

/// Parses seconds as the protocol writes them.
///
/// # Errors
/// When it is no number, negative, or beyond [`MAX_SECONDS`].
pub fn parse_seconds(word: &str) -> Result<Duration, Ack> {
    let seconds = word.parse::<f64>().ok();
    seconds
        .filter(|seconds| (0.0..MAX_SECONDS).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| Ack::arg(format!("Bad time: {word}")))
}

fn parse_number<N: FromStr>(word: &str) -> Result<N, Ack> {
    word.parse()
        .map_err(|_| Ack::arg(format!("Integer expected: {word}")))
}

fn parse_range(word: &str) -> Result<Range<usize>, Ack> {
    let (start, end) = match word.split_once(':') {
        Some((start, "")) => (parse_number(start)?, usize::MAX),
        Some((start, end)) => (parse_number(start)?, parse_number(end)?),
        // In some commands -1 means everything.
        None if word == "-1" => (0, usize::MAX),
        None => {
            let at = parse_number::<u32>(word)? as usize;
            (at, at + 1)
        }
    };
    match start <= end {
        true => Ok(start..end),
        false => Err(Ack::arg(format!("Bad range: {word}"))),
    }
}

/// A year: longer than any track, far from overflowing a [`Duration`].
const MAX_SECONDS: f64 = 365.0 * 86400.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_mpd_splits_them() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("  play \t 1 ", &["play", "1"]),
            (r#"add "a b/c""#, &["add", "a b/c"]),
            (r#"find "(x == \"a\\\\b\")""#, &["find", r#"(x == "a\\b")"#]),
            (r#"add """#, &["add", ""]),
            (r"add a\b", &["add", r"a\b"]),
        ];
        for (line, words) in cases {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        for bad in [r#"add "a"#, r#"add "a"b"#, r#"add a"b"#, r#"add "a\""#] {
            assert!(split(bad).is_err(), "{bad}");
        }
        assert!(split(&"x ".repeat(MAX_ARGS)).is_ok());
        assert!(split(&"x ".repeat(MAX_ARGS + 1)).is_err());
    }

    #[test]
    fn ranges_and_times_are_bounded() {
        assert_eq!(parse_range("2:5"), Ok(2..5));
        assert_eq!(parse_range("2:"), Ok(2..usize::MAX));
        assert_eq!(parse_range("2"), Ok(2..3));
        for bad in ["5:2", "", ":", "-2", "99999999999999999999"] {
            assert!(parse_range(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["-1", "nan", "inf", "1e300", "x"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in prop::collection::vec("[^\n\0]*", 0..9)) {
            let line = words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split(&line).unwrap(), words);
        }

        #[test]
        fn any_line_is_split_or_refused(line in ".*") {
            let _ = split(&line);
        }
    }
}
