//! A command, parsed: whatever is wrong with its words is refused here.

mod table;

use std::{ops::Range, time::Duration};

use self::table::{spec, SPECS};
use super::{
    args::{split, Ack, AckCode, Args, QueuePlace},
    filter::Filter,
};
use crate::{
    catalog::Tag,
    control::view::Subsystems,
    player::{
        queue::{QueueId, Single},
        transport::SeekTo,
    },
};

/// What a client wants, by the part of the house that answers.
#[derive(Clone, Debug, PartialEq)]
pub enum MpdCommand {
    Session(SessionCommand),
    Playback(Playback),
    Queue(QueueCommand),
    Database(DatabaseCommand),
    Info(Info),
}

/// About the conversation itself.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionCommand {
    Idle(Subsystems),
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
    /// Understood and kept, though nothing binary is sent.
    BinaryLimit,
    /// What a remote control may not do: `kill`, `config`.
    Forbidden,
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

/// About what sounds and how.
#[derive(Clone, Debug, PartialEq)]
pub enum Playback {
    /// A position; without one, resume or begin.
    Play(Option<usize>),
    PlayId(Option<QueueId>),
    Pause(Option<bool>),
    Stop,
    Next,
    Previous,
    Seek(usize, Duration),
    SeekId(QueueId, Duration),
    SeekCurrent(SeekTo),
    SetVolume(u8),
    ChangeVolume(i8),
    GetVolume,
    Random(bool),
    Repeat(bool),
    Single(Single),
    Consume(bool),
    /// Only what changes nothing: tracks follow each other as they are.
    NoCrossfade,
    NoReplayGain,
    ClearError,
}

/// About what will sound.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueCommand {
    Info(Option<Range<usize>>),
    ById(Option<QueueId>),
    Changes {
        since: u32,
        range: Range<usize>,
        /// Positions and ids only.
        short: bool,
    },
    Find(Filter),
    Delete(Range<usize>),
    DeleteId(QueueId),
    Move(Range<usize>, QueuePlace),
    MoveId(QueueId, QueuePlace),
    Swap(usize, usize),
    SwapId(QueueId, QueueId),
    Shuffle(Option<Range<usize>>),
    Clear,
}

/// About what there is, all of it answered from a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub enum DatabaseCommand {
    /// One directory.
    List {
        uri: String,
        /// Names and sizes only.
        files: bool,
    },
    /// A directory and all that is under it.
    ListAll {
        uri: String,
        /// With everything about the songs.
        info: bool,
    },
    Find(Selection),
    /// The values of a tag, within those of the tags to group by.
    Values {
        tag: Tag,
        filter: Filter,
        group: Vec<Tag>,
    },
    Count {
        filter: Filter,
        group: Option<Tag>,
    },
    /// A track or a directory into the queue.
    Add {
        uri: String,
        at: Option<QueuePlace>,
        /// The reply is the id; directories are refused.
        id: bool,
    },
    FindAdd {
        selection: Selection,
        at: Option<QueuePlace>,
    },
    /// The owner that is away and has what the words mean: for a client that has found nothing.
    Missed(String),
    /// The best match for the words, or that URI; nothing: resume.
    PlayBest(String, Placing),
}

/// Where what was found to be played goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// Now, instead of all that is in the queue.
    Instead,
    /// Behind the current track; now, when nothing plays.
    Next,
    /// Behind the queue; now, when nothing plays.
    Last,
}

/// Some songs in some order.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    pub filter: Filter,
    pub sort: Option<Sort>,
    pub window: Option<Range<usize>>,
}

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub by: SortBy,
    pub descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    Tag(Tag),
    Modified,
}

/// About the node.
#[derive(Clone, Debug, PartialEq)]
pub enum Info {
    Status,
    CurrentSong,
    Stats,
    Commands,
    NotCommands,
    Outputs,
    EnableOutput,
    DisableOutput,
    Decoders,
    /// `urlhandlers` and `listplaylists`: there are none.
    Nothing,
    ReplayGainStatus,
    Update {
        path: String,
        /// Whether what has not changed is read again, too.
        rescan: bool,
    },
    Peers,
    NodeStatus,
    NodeStats,
    Devices,
    Library,
    Leave,
    Join,
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

impl Playback {
    /// Whether it says that something is to sound, or nothing; not how.
    pub fn is_order(&self) -> bool {
        match self {
            Self::Play(_)
            | Self::PlayId(_)
            | Self::Pause(_)
            | Self::Stop
            | Self::Next
            | Self::Previous
            | Self::Seek(..)
            | Self::SeekId(..)
            | Self::SeekCurrent(_) => true,
            Self::SetVolume(_)
            | Self::ChangeVolume(_)
            | Self::GetVolume
            | Self::Random(_)
            | Self::Repeat(_)
            | Self::Single(_)
            | Self::Consume(_)
            | Self::NoCrossfade
            | Self::NoReplayGain
            | Self::ClearError => false,
        }
    }
}

impl MpdCommand {
    /// Whether a node without a player must refuse it.
    pub fn needs_player(&self) -> bool {
        match self {
            Self::Session(_) | Self::Info(_) => false,
            Self::Playback(_) => true,
            Self::Queue(command) => !matches!(
                command,
                QueueCommand::Info(_)
                    | QueueCommand::ById(_)
                    | QueueCommand::Changes { .. }
                    | QueueCommand::Find(_)
            ),
            Self::Database(command) => matches!(
                command,
                DatabaseCommand::Add { .. }
                    | DatabaseCommand::FindAdd { .. }
                    | DatabaseCommand::PlayBest(..)
            ),
        }
    }
}

/// Parses one line.
///
/// # Errors
/// Says what is wrong, with the name of the command where one was recognised.
pub fn parse(line: &str) -> Result<MpdCommand, (&'static str, Ack)> {
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

    use super::*;
    use crate::control::view::Subsystem;

    #[test]
    fn the_table_is_sorted_for_searching() {
        assert!(SPECS.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }

    #[test]
    fn lines_become_commands() {
        let cases = [
            ("play", MpdCommand::Playback(Playback::Play(None))),
            ("play -1", MpdCommand::Playback(Playback::Play(None))),
            ("play \"3\"", MpdCommand::Playback(Playback::Play(Some(3)))),
            (
                "seekcur -2.5",
                MpdCommand::Playback(Playback::SeekCurrent(SeekTo::Back(Duration::from_millis(
                    2500,
                )))),
            ),
            (
                "move 2:4 +1",
                MpdCommand::Queue(QueueCommand::Move(2..4, QueuePlace::After(1))),
            ),
            (
                "p2p_play so what",
                MpdCommand::Database(DatabaseCommand::PlayBest(
                    "so what".into(),
                    Placing::Instead,
                )),
            ),
            (
                "idle player sticker",
                MpdCommand::Session(SessionCommand::Idle(Subsystem::Player.into())),
            ),
        ];
        for (line, command) in cases {
            assert_eq!(parse(line), Ok(command), "{line}");
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
        let Ok(MpdCommand::Database(DatabaseCommand::Find(selection))) = parse(line) else {
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
