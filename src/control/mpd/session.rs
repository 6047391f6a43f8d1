//! One client's side of the conversation: bytes in, commands and bytes out.
//!
//! A client sends lines; each is answered before the next is looked at. Lines
//! between `command_list_begin` and `command_list_end` are kept and then run
//! together; the first that fails ends the list, and the answer names its
//! index. `idle` waits until something changed that the client asked about;
//! what changed while it did not wait is kept for the next `idle`.
//!
//! The session does not touch a socket and does not run commands: it is fed by
//! `handle_*` and asked by [`Session::poll`] what to do next.

use std::{collections::VecDeque, fmt::Write as _};

use super::{
    args::{Ack, AckCode, MAX_JSON, MAX_LINE},
    command::{
        self, is_json, name_and_use, parse, use_of, word_of, Access, MpdCommand, ReplyForm,
        SessionCommand, TagTypes, Use,
    },
    idle,
    print::print_decoders,
    reply::Reply,
    tag::TagMask,
};
use crate::{
    catalog::Tag,
    command::{Command, CommandError, StateParts},
    unseen::one_line,
};

/// What the server says first; the version is that of the protocol.
pub const GREETING: &str = "OK MPD 0.23.5\n";

/// Bytes in a command list, the ends of its lines included: MPD's default for
/// `max_command_list_size`. The list takes no more memory than that.
pub const MAX_LIST_BYTES: usize = 2 * 1024 * 1024;

/// Lines in a command list. Those that are about the conversation only are run in one
/// go, which must not keep the other tasks waiting for longer than a moment.
pub const MAX_LIST_LINES: usize = 64 * 1024;

/// Wrong passwords before the connection is closed: guessing costs a
/// connection for every few guesses.
pub const MAX_PASSWORD_TRIES: u32 = 3;

/// One client. See the module's description.
#[derive(Debug)]
pub struct Session {
    access: Access,
    /// Whether the node has a player.
    has_player: bool,
    tries: u32,
    input: Vec<u8>,
    /// Bytes of it in which no line ends.
    searched: usize,
    mode: Mode,
    /// Changed since the last `idle` told of it.
    changed: StateParts,
    tags: TagMask,
    actions: VecDeque<SessionAction>,
}

/// What the server is to do for the session, in this order.
#[derive(Debug, PartialEq)]
pub enum SessionAction {
    Write(String),
    /// To be answered by [`Session::handle_done`], its body written before.
    Run(Command, ReplyForm),
    /// Compare the password, and answer by [`Session::handle_guess`].
    Compare(String),
    /// The last one.
    Close(SessionEnd),
}

/// What came of a guess at the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    Right,
    Wrong,
    /// It was not looked at: there have been too many wrong ones. The next one is after so
    /// many seconds.
    Unheard(u64),
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnd {
    #[error("it said goodbye")]
    Closed,
    #[error("it sent a line of more than {MAX_LINE} bytes, or {MAX_JSON} of JSON")]
    LongLine,
    #[error(
        "it sent a command list of more than {MAX_LIST_BYTES} bytes or {MAX_LIST_LINES} lines"
    )]
    LongList,
    #[error("it sent something else than noidle while idle")]
    NotIdle,
    #[error("it tried {MAX_PASSWORD_TRIES} wrong passwords")]
    Password,
    #[error("it speaks another protocol")]
    Foreign,
}

#[derive(Debug)]
enum Mode {
    Ready,
    Idle(StateParts),
    /// A list is being received.
    Collecting(List),
    /// A list is being run, and its next line can be.
    Batch(List),
    /// A command has been handed out and is not done.
    Waiting {
        name: &'static str,
        list: Option<List>,
    },
    Ended,
}

#[derive(Debug, Default)]
struct List {
    /// The lines, each with its end: a string for each would cost several times what
    /// a short line has.
    text: String,
    lines: usize,
    /// Where in it the line begins that is run next.
    next: usize,
    confirm: bool,
    /// The index of the line that is run.
    index: usize,
}

impl List {
    /// Whether there was room for `line`.
    fn push(&mut self, line: &str) -> bool {
        let needed = self.text.len() + line.len() + 1;
        if needed > MAX_LIST_BYTES || self.lines == MAX_LIST_LINES {
            return false;
        }
        if needed > self.text.capacity() {
            let room = (2 * self.text.capacity()).clamp(needed, MAX_LIST_BYTES);
            self.text.reserve_exact(room - self.text.len());
        }
        self.text.push_str(line);
        self.text.push('\n');
        self.lines += 1;
        true
    }

    fn pop(&mut self) -> Option<String> {
        let (line, _) = self.text[self.next..].split_once('\n')?;
        self.next += line.len() + 1;
        Some(line.to_owned())
    }
}

impl Session {
    /// A client that is trusted so far, of a node that has a player or none.
    pub fn new(access: Access, has_player: bool) -> Self {
        let greeting = SessionAction::Write(GREETING.to_owned());
        Self {
            access,
            has_player,
            tries: 0,
            input: Vec::new(),
            searched: 0,
            mode: Mode::Ready,
            changed: StateParts::NONE,
            tags: TagMask::ALL,
            actions: VecDeque::from([greeting]),
        }
    }

    /// Whether the client waits for something to happen: then its silence has
    /// no limit.
    pub fn is_idle(&self) -> bool {
        matches!(self.mode, Mode::Idle(_))
    }

    /// Whether the client has said the password, where there is one.
    pub fn is_admitted(&self) -> bool {
        self.access != Access::Closed
    }

    /// The bytes of what it has been sent and has not carried out.
    pub fn held(&self) -> usize {
        let list = match &self.mode {
            Mode::Collecting(list) | Mode::Batch(list) => Some(list),
            Mode::Waiting { list, .. } => list.as_ref(),
            Mode::Ready | Mode::Idle(_) | Mode::Ended => None,
        };
        self.input.capacity() + list.map_or(0, |list| list.text.capacity())
    }

    /// The tags that the client wants to see.
    pub fn tags(&self) -> TagMask {
        self.tags
    }

    /// Takes what the client sent.
    pub fn handle_bytes(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Takes note of what changed.
    pub fn handle_changed(&mut self, changed: StateParts) {
        self.changed = self.changed.or(changed);
    }

    /// The command of the last [`SessionAction::Run`] is done; if well, its
    /// body has been written.
    pub fn handle_done(&mut self, result: Result<(), Ack>) {
        match std::mem::replace(&mut self.mode, Mode::Ready) {
            Mode::Waiting { name, list } => self.finish(name, list, result),
            other => self.mode = other,
        }
    }

    /// What came of the guess of the last [`SessionAction::Compare`].
    pub fn handle_guess(&mut self, guess: Guess) {
        let refused = |text: String| Err(Ack::new(AckCode::Password, text));
        let result = match guess {
            Guess::Right => {
                self.access = Access::Remote;
                Ok(())
            }
            Guess::Wrong => refused("incorrect password".into()),
            Guess::Unheard(seconds) => refused(format!(
                "too many wrong passwords, this one was not looked at; try again in {seconds} s"
            )),
        };
        let is_last = result.is_err() && {
            self.tries += 1;
            self.tries >= MAX_PASSWORD_TRIES || guess != Guess::Wrong
        };
        self.handle_done(result);
        if is_last {
            self.end(SessionEnd::Password);
        }
    }

    /// What to do next; `None` when the client must send more, or something
    /// must change, first.
    pub fn poll(&mut self) -> Option<SessionAction> {
        while self.actions.is_empty() && self.step() {}
        self.actions.pop_front()
    }

    /// One line or change further; false when there is nothing to be done.
    fn step(&mut self) -> bool {
        match std::mem::replace(&mut self.mode, Mode::Ready) {
            Mode::Idle(wanted) => self.step_idle(wanted),
            Mode::Batch(mut list) => {
                match list.pop() {
                    Some(line) => self.run(&line, Some(list)),
                    None => self.write("OK\n"),
                }
                true
            }
            Mode::Collecting(list) => match self.next_line() {
                Some(line) => {
                    self.collect(line, list);
                    true
                }
                None => self.back_to(Mode::Collecting(list)),
            },
            Mode::Ready => match self.next_line() {
                Some(line) => {
                    self.run(&line, None);
                    true
                }
                None => false,
            },
            mode @ (Mode::Waiting { .. } | Mode::Ended) => self.back_to(mode),
        }
    }

    fn step_idle(&mut self, wanted: StateParts) -> bool {
        let news = self.changed.and(wanted);
        if !news.is_empty() {
            self.changed = self.changed.without(wanted);
            let mut reply = String::new();
            for part in news.iter() {
                _ = writeln!(reply, "changed: {}", idle::name(part));
            }
            self.write(&reply);
            self.write("OK\n");
            return true;
        }
        match self.next_line().as_deref() {
            Some("noidle") => self.write("OK\n"),
            Some(_) => self.end(SessionEnd::NotIdle),
            None => return self.back_to(Mode::Idle(wanted)),
        }
        true
    }

    /// Returns to `mode`, unless the input has just ended the session.
    fn back_to(&mut self, mode: Mode) -> bool {
        if !matches!(self.mode, Mode::Ended) {
            self.mode = mode;
        }
        false
    }

    /// Takes a line out of the input.
    fn next_line(&mut self) -> Option<String> {
        let mut new = self.input.iter().skip(self.searched);
        let end = new.position(|&byte| byte == b'\n');
        let end = end.map(|at| self.searched + at);
        self.searched = if end.is_some() { 0 } else { self.input.len() };
        if self.input.is_empty() {
            // A client that is idle, maybe for weeks, holds nothing.
            self.input = Vec::new();
        }
        let longest = match self.is_admitted() && is_json(&self.input) {
            true => MAX_JSON,
            false => MAX_LINE,
        };
        if end.unwrap_or(self.input.len()) > longest {
            self.end(SessionEnd::LongLine);
            return None;
        }
        let mut line: Vec<_> = self.input.drain(..=end?).collect();
        line.pop();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn collect(&mut self, line: String, mut list: List) {
        match name_and_use(&line) {
            Some(("command_list_end", _)) => self.mode = Mode::Batch(list),
            _ if list.push(&line) => self.mode = Mode::Collecting(list),
            _ => self.end(SessionEnd::LongList),
        }
    }

    fn run(&mut self, line: &str, list: Option<List>) {
        // All commands are lower case; a browser that was lured here is not.
        if line.starts_with(|c: char| !c.is_ascii_lowercase()) {
            return self.end(SessionEnd::Foreign);
        }
        let (name, usage) = name_and_use(line).unwrap_or(("", Use::Open));
        if let Err(ack) = self.check(name, usage) {
            return self.finish(name, list, Err(ack));
        }
        match parse(line) {
            Err((name, ack)) => self.finish(name, list, Err(ack)),
            Ok(MpdCommand::Session(command)) => self.converse(name, command, list),
            Ok(MpdCommand::Node(command, form)) => {
                match self.check(word_of(&command, name), use_of(&command)) {
                    Err(ack) => self.finish(name, list, Err(ack)),
                    Ok(()) => {
                        self.mode = Mode::Waiting { name, list };
                        self.actions.push_back(SessionAction::Run(command, form));
                    }
                }
            }
        }
    }

    /// Whether the client may give a command of that name and use.
    fn check(&self, name: &str, usage: Use) -> Result<(), Ack> {
        let text = match usage {
            _ if self.access.allows(usage) => return Ok(()),
            Use::Local if self.is_admitted() => {
                format!("\"{name}\" is for this node's own machine: run `p2pmusic ctl` there")
            }
            _ => format!("you don't have permission for \"{name}\""),
        };
        Err(Ack::new(AckCode::Permission, text))
    }

    /// Carries out a command that is about the conversation.
    fn converse(&mut self, name: &'static str, command: SessionCommand, list: Option<List>) {
        let refused = |code, text: &str| Err(Ack::new(code, text));
        let result = match command {
            SessionCommand::Ping | SessionCommand::Nothing => Ok(()),
            SessionCommand::Close => return self.end(SessionEnd::Closed),
            SessionCommand::TagTypes(change) => {
                self.choose_tags(change);
                Ok(())
            }
            SessionCommand::Password(password) => {
                self.mode = Mode::Waiting { name, list };
                self.actions.push_back(SessionAction::Compare(password));
                return;
            }
            SessionCommand::Commands { usable } => {
                self.tell(|this, reply| this.commands(usable, reply));
                Ok(())
            }
            SessionCommand::Decoders => {
                self.tell(|_, reply| print_decoders(reply));
                Ok(())
            }
            SessionCommand::ReplayGainStatus => {
                self.tell(|_, reply| _ = reply.pair("replay_gain_mode", "off"));
                Ok(())
            }
            SessionCommand::AsItIs if self.has_player => Ok(()),
            SessionCommand::AsItIs => Err(CommandError::NoPlayer.into()),
            SessionCommand::DisableOutput => refused(
                AckCode::Permission,
                "the one output stays on; use stop, or a volume of 0",
            ),
            SessionCommand::Forbidden => {
                refused(AckCode::Permission, "this is not for a remote control")
            }
            // Not waiting (any more) is no error: a change may have come first.
            SessionCommand::NoIdle if list.is_none() => return,
            SessionCommand::ListEnd | SessionCommand::NoIdle => {
                refused(AckCode::NotList, "not in command list mode")
            }
            _ if list.is_some() => refused(AckCode::NotList, "not possible in a command list"),
            SessionCommand::Idle(wanted) => {
                self.mode = Mode::Idle(wanted);
                return;
            }
            SessionCommand::ListBegin { confirm } => {
                self.mode = Mode::Collecting(List {
                    confirm,
                    ..List::default()
                });
                return;
            }
        };
        if !matches!(self.mode, Mode::Ended) {
            self.finish(name, list, result);
        }
    }

    /// Writes what `print` adds to a reply.
    fn tell(&mut self, print: impl FnOnce(&Self, &mut Reply)) {
        let mut reply = Reply::new();
        print(self, &mut reply);
        self.write(reply.as_str());
    }

    fn commands(&self, usable: bool, reply: &mut Reply) {
        for (name, usage) in command::all() {
            let is_known = match usage {
                Use::Open | Use::Any => true,
                Use::Player | Use::Local => self.has_player,
                Use::Refused => continue,
            };
            let is_usable = is_known && self.access.allows(usage);
            if is_usable == usable {
                reply.pair("command", name);
            }
        }
    }

    fn choose_tags(&mut self, change: TagTypes) {
        self.tags = match change {
            TagTypes::All => TagMask::ALL,
            TagTypes::None => TagMask::NONE,
            TagTypes::Enable(tags) => tags.into_iter().fold(self.tags, TagMask::with),
            TagTypes::Disable(tags) => tags.into_iter().fold(self.tags, TagMask::without),
            TagTypes::Show => {
                for tag in Tag::all() {
                    if self.tags.contains(tag) {
                        self.write(&format!("tagtype: {}\n", tag.name()));
                    }
                }
                return;
            }
        };
    }

    fn finish(&mut self, name: &str, list: Option<List>, result: Result<(), Ack>) {
        self.mode = Mode::Ready;
        match (result, list) {
            (Ok(()), None) => self.write("OK\n"),
            (Ok(()), Some(mut list)) => {
                if list.confirm {
                    self.write("list_OK\n");
                }
                list.index += 1;
                self.mode = Mode::Batch(list);
            }
            (Err(Ack { code, text }), list) => {
                let index = list.map_or(0, |list| list.index);
                let text = one_line(&text);
                self.write(&format!("ACK [{}@{index}] {{{name}}} {text}\n", code as u8));
            }
        }
    }

    fn end(&mut self, end: SessionEnd) {
        self.mode = Mode::Ended;
        self.input = Vec::new();
        self.actions.push_back(SessionAction::Close(end));
    }

    fn write(&mut self, text: &str) {
        match self.actions.back_mut() {
            Some(SessionAction::Write(before)) => before.push_str(text),
            _ => self
                .actions
                .push_back(SessionAction::Write(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests;
