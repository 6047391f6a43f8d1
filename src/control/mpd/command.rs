//! A command, parsed: whatever is wrong with its words is refused here.

mod table;

use self::table::{spec, SPECS};
use super::args::{split, Ack, AckCode, Args};
use crate::{
    catalog::Tag,
    command::{Command, NodeCommand, StateParts},
};

/// What a line asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum MpdCommand {
    Session(SessionCommand),
    /// To be answered by the node, and printed in that form.
    Node(Command, ReplyForm),
}

/// How the answer is printed, where several commands ask for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyForm {
    /// All of it.
    Whole,
    /// Of a state: `status`, `currentsong`, `getvol`, `stats`, `outputs`, `p2p_status`.
    Status,
    CurrentSong,
    Volume,
    Totals,
    Outputs,
    NodeStatus,
    /// Of songs: only their positions and ids.
    Positions,
    /// Only that it is done.
    Nothing,
    /// As JSON, a line for each thing.
    Json,
}

/// About the conversation itself.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionCommand {
    Idle(StateParts),
    NoIdle,
    /// Whether each command in the list is to be confirmed.
    ListBegin {
        confirm: bool,
    },
    ListEnd,
    Ping,
    Close,
    Password(String),
    TagTypes(TagTypes),
    /// Understood, and nothing follows: there are no stored playlists, URL handlers or other
    /// outputs, and nothing binary is sent.
    Nothing,
    /// What a remote control may not do: `kill`, `config`.
    Forbidden,
    /// The names of all commands that the client may use, or may not.
    Commands {
        usable: bool,
    },
    Decoders,
    ReplayGainStatus,
    /// What changes nothing, and must be asked of a node that has a player: tracks follow each
    /// other as they are.
    AsItIs,
    DisableOutput,
}

/// Which tags a client sees.
#[derive(Clone, Debug, PartialEq)]
pub enum TagTypes {
    Show,
    All,
    None,
    Enable(Vec<Tag>),
    Disable(Vec<Tag>),
}

/// The clients that may give a command, by where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Anybody, before the password.
    Open,
    /// Any node.
    Any,
    /// Any node, from its own machine: what takes the node away from the others is not for
    /// the network.
    Local,
    /// A node that has a player.
    Player,
    /// Answered, but only to say no; `commands` does not list it.
    Refused,
}

/// How far a client is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It has not said the password.
    Closed,
    /// It came over the network.
    Remote,
    /// It is on the node's own machine.
    Local,
}

impl Access {
    /// Whether it may give commands of that use, where the node takes them.
    pub fn allows(self, usage: Use) -> bool {
        match usage {
            Use::Open => true,
            Use::Any | Use::Player | Use::Refused => self != Self::Closed,
            Use::Local => self == Self::Local,
        }
    }
}

/// Parses one line.
///
/// # Errors
/// Says what is wrong, with the name of the command where one was recognised.
pub fn parse(line: &str) -> Result<MpdCommand, (&'static str, Ack)> {
    if let Some(json) = line.strip_prefix(JSON) {
        return match serde_json::from_slice(json.as_bytes()) {
            Ok(command) => Ok(MpdCommand::Node(command, ReplyForm::Json)),
            Err(error) => Err((JSON.trim_end(), Ack::arg(format!("no command: {error}")))),
        };
    }
    let mut words = split(line).map_err(|ack| ("", ack))?;
    if words.is_empty() {
        return Err(("", Ack::new(AckCode::Unknown, "No command given")));
    }
    let name = words.remove(0);
    let Some((name, _, parse)) = spec(&name) else {
        let text = format!("unknown command \"{name}\"");
        return Err(("", Ack::new(AckCode::Unknown, text)));
    };
    let mut args = Args::new(name, words);
    parse(&mut args)
        .and_then(|command| args.end().map(|()| command))
        .map_err(|ack| (*name, ack))
}

/// Whether a line that begins with `bytes` is a [`Command`] in JSON.
pub fn is_json(bytes: &[u8]) -> bool {
    bytes.starts_with(JSON.as_bytes())
}

/// Begins a line whose rest is a [`Command`] in JSON.
const JSON: &str = "p2p ";

/// The clients that may give `command`, whatever line asks for it.
pub fn use_of(command: &Command) -> Use {
    match command {
        Command::Node(NodeCommand::Leave | NodeCommand::Join) => Use::Local,
        command if command.needs_player() => Use::Player,
        _ => Use::Any,
    }
}

/// What `command`, which the line calls `name`, is called where it is refused: in JSON all lines
/// have one name.
pub fn word_of(command: &Command, name: &'static str) -> &'static str {
    match command {
        Command::Node(NodeCommand::Leave) => "leave",
        Command::Node(NodeCommand::Join) => "join",
        _ => name,
    }
}

/// The name and use of the command that `line` begins with.
pub fn name_and_use(line: &str) -> Option<(&'static str, Use)> {
    let line = line.trim_start();
    let end = line.find([' ', '\t']).unwrap_or(line.len());
    spec(&line[..end]).map(|(name, usage, _)| (*name, *usage))
}

/// All commands by name.
pub fn all() -> impl Iterator<Item = (&'static str, Use)> {
    SPECS.iter().map(|(name, usage, _)| (*name, *usage))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::time::Duration;

    use super::*;
    use crate::{
        command::{
            DatabaseCommand, Filter, Placing, Playback, QueueCommand, QueueEdit, QueuePlace,
            Selection, Sort, SortBy, StatePart,
        },
        playback::{
            queue::{QueueId, Single},
            transport::SeekTo,
        },
    };

    #[test]
    fn the_table_is_sorted_for_searching() {
        assert!(SPECS.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }

    #[test]
    fn lines_become_commands() {
        let play = |command| MpdCommand::Node(Command::Playback(command), ReplyForm::Whole);
        let back = Duration::from_millis(2500);
        let moved = QueueCommand::Edit(QueueEdit::Move(2..4, QueuePlace::After(1)));
        let best = DatabaseCommand::PlayBest("so what".into(), Placing::Instead);
        let update = NodeCommand::Update {
            uri: "kitchen/miles".into(),
            rescan: false,
        };
        let cases = [
            ("play", play(Playback::Play(None))),
            ("play -1", play(Playback::Play(None))),
            ("play \"3\"", play(Playback::Play(Some(3)))),
            (
                "seekcur -2.5",
                play(Playback::SeekCurrent(SeekTo::Back(back))),
            ),
            (
                "move 2:4 +1",
                MpdCommand::Node(Command::Queue(moved), ReplyForm::Whole),
            ),
            (
                "p2p_play so what",
                MpdCommand::Node(Command::Database(best), ReplyForm::Whole),
            ),
            (
                "p2p_leave",
                MpdCommand::Node(Command::Node(NodeCommand::Leave), ReplyForm::Whole),
            ),
            (
                "update kitchen/miles",
                MpdCommand::Node(Command::Node(update), ReplyForm::Whole),
            ),
            (
                "idle player sticker",
                MpdCommand::Session(SessionCommand::Idle(StatePart::Player.into())),
            ),
        ];
        for (line, command) in cases {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn a_command_comes_back_from_its_json() {
        let wait = Duration::from_millis(2500);
        let filter = Filter::base("kitchen/a \"b\"");
        let sort = Some(Sort {
            by: SortBy::Tag(Tag::Date),
            descending: true,
        });
        let selection = Selection {
            filter: filter.clone(),
            sort,
            window: Some(2..5),
        };
        for command in [
            Command::Playback(Playback::SeekCurrent(SeekTo::Forward(wait))),
            Command::Playback(Playback::SeekId(QueueId(7), wait)),
            Command::Playback(Playback::Single(Single::OneShot)),
            Command::Queue(QueueCommand::List(Some(1..4))),
            Command::Queue(QueueCommand::Find(filter)),
            Command::Queue(QueueCommand::Edit(QueueEdit::Move(
                2..4,
                QueuePlace::After(1),
            ))),
            Command::Database(DatabaseCommand::Find(selection)),
            Command::Database(DatabaseCommand::PlayBest("a\nb".into(), Placing::Next)),
            Command::Node(NodeCommand::State),
        ] {
            let line = format!("p2p {}", serde_json::to_string(&command).unwrap());
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(parse(&line), Ok(MpdCommand::Node(command, ReplyForm::Json)));
        }
    }

    #[test]
    fn hostile_json_is_refused() {
        let nested = |depth: usize| {
            let open = r#"{"not":"#.repeat(depth);
            let filter = format!("{open}{{\"and\":[]}}{}", "}".repeat(depth));
            format!(r#"p2p {{"queue":{{"find":{{"root":{filter},"folded":false}}}}}}"#)
        };
        assert!(parse(&nested(100)).is_ok());
        for bad in [
            "p2p",
            "p2p ",
            "p2p  {}",
            "p2p null",
            r#"p2p {"node":"quit"}"#,
            r#"p2p {"queue":{"list":{"start":5,"end":2}}}"#,
            r#"p2p {"queue":{"edit":{"delete":{"start":5,"end":2}}}}"#,
            r#"p2p {"queue":{"edit":{"move":[{"start":5,"end":2},{"at":0}]}}}"#,
            r#"p2p {"playback":{"seek":[0,-1.0]}}"#,
            r#"p2p {"playback":{"seek":[0,1e300]}}"#,
            r#"p2p {"playback":{"set_volume":256}}"#,
            r#"p2p {"database":{"values":{"tag":"Nonsense","filter":null,"group":[]}}}"#,
            r#"p2p {"database":{"list":{"uri":"","files":false,"depth":1}}}"#,
            r#"p2p {"database":{"find":{"filter":{"root":{"and":[]},"folded":false},"sort":null,"widow":[0,1]}}}"#,
            &format!(
                r#"p2p {{"queue":{{"find":{{"root":{{"and":[{}]}},"folded":false}}}}}}"#,
                vec![r#"{"and":[]}"#; 1024].join(",")
            ),
            &nested(5000),
        ] {
            let (_, ack) = parse(bad).expect_err(bad);
            assert_eq!(ack.code, AckCode::Arg, "{bad}");
        }
    }

    #[test]
    fn wrong_lines_are_refused_with_mpds_codes() {
        let cases = [
            ("", "", AckCode::Unknown),
            ("playy", "", AckCode::Unknown),
            ("play x", "play", AckCode::Arg),
            ("play 1 2", "play", AckCode::Arg),
            ("setvol 101", "setvol", AckCode::Arg),
            ("find", "find", AckCode::Arg),
            ("find foo bar", "find", AckCode::Arg),
            ("find title", "find", AckCode::Arg),
            ("find title x sort y", "find", AckCode::Arg),
            ("add", "add", AckCode::Arg),
        ];
        for (line, command, code) in cases {
            let (name, ack) = parse(line).unwrap_err();
            assert_eq!((name, ack.code), (command, code), "{line}");
        }
    }

    #[test]
    fn a_search_takes_its_order_and_window() {
        let line = r#"search "(title contains 'x')" artist y sort -date window 5:10"#;
        let Ok(MpdCommand::Node(Command::Database(DatabaseCommand::Find(selection)), _)) =
            parse(line)
        else {
            panic!("not a search");
        };
        assert_eq!(selection.window, Some(5..10));
        assert!(selection.sort.is_some_and(|sort| sort.descending));
    }

    proptest! {
        #[test]
        fn any_words_are_a_command_or_refused(
            at in 0..SPECS.len(),
            words in prop::collection::vec("[-+(a-z0-9:. )'=\"]{0,9}", 0..5),
        ) {
            let (name, ..) = SPECS[at];
            let words: Vec<_> = words.iter().map(|w| super::super::args::quote(w)).collect();
            let _ = parse(&format!("{name} {}", words.join(" ")));
        }
    }
}
