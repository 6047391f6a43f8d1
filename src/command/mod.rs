//! What a person can ask of a node, whatever they ask it with: pure.
//!
//! A [`Command`] goes in, and what comes of it is an [`Answer`], a [`Query`] or a
//! [`CommandError`]. None of them has a word of a protocol: a surface (MPD's port, the page)
//! parses its lines into commands and prints what it gets back. [`execute`](mod@execute)
//! carries out what works on queue and transport; a [`NodeCommand`] is the node's own to
//! answer, and a [`Query`] is walked by the client's task over a snapshot of the database.

pub mod answer;
pub mod error;
pub mod execute;
pub mod filter;
pub mod parts;
pub mod plan;
pub mod rows;
pub mod song;
pub mod view;

use std::{ops::Range, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    answer::{Answer, Chosen, CommandOutcome, Query, Question, Row},
    error::CommandError,
    filter::Filter,
    parts::{StatePart, StateParts},
};
use crate::{
    catalog::Tag,
    playback::{
        queue::{QueueId, QueueItem, Single},
        transport::SeekTo,
    },
    util::{seconds, span},
};

/// What is asked, by the part of the house that answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    Playback(Playback),
    Queue(QueueCommand),
    Database(DatabaseCommand),
    Node(NodeCommand),
}

/// About what sounds and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Playback {
    /// A position; without one, resume or begin.
    Play(Option<usize>),
    PlayId(Option<QueueId>),
    /// Without a choice, the other of the two.
    Pause(Option<bool>),
    Stop,
    Next,
    Previous,
    Seek(usize, #[serde(with = "seconds")] Duration),
    SeekId(QueueId, #[serde(with = "seconds")] Duration),
    SeekCurrent(SeekTo),
    /// In per cent.
    SetVolume(u8),
    /// By so many per cent.
    ChangeVolume(i8),
    Random(bool),
    Repeat(bool),
    Single(Single),
    Consume(bool),
    ClearError,
}

/// About what will sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum QueueCommand {
    List(#[serde(deserialize_with = "span::some_in_order")] Option<Range<usize>>),
    /// One track; without an id, all.
    ById(Option<QueueId>),
    /// What has changed since the queue had this version.
    Changes {
        since: u32,
        #[serde(deserialize_with = "span::in_order")]
        range: Range<usize>,
    },
    Find(Filter),
    Edit(QueueEdit),
}

/// A change of what will sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueEdit {
    Delete(#[serde(deserialize_with = "span::in_order")] Range<usize>),
    DeleteId(QueueId),
    Move(
        #[serde(deserialize_with = "span::in_order")] Range<usize>,
        QueuePlace,
    ),
    MoveId(QueueId, QueuePlace),
    Swap(usize, usize),
    SwapId(QueueId, QueueId),
    Shuffle(#[serde(deserialize_with = "span::some_in_order")] Option<Range<usize>>),
    Clear,
}

/// About what there is, all of it answered from a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
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

/// About the node itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeCommand {
    State,
    Peers,
    Stats,
    Devices,
    Library,
    /// Look for new and changed files in the own library.
    Update {
        /// As the database shows it; empty for everything.
        uri: String,
        /// Whether what has not changed is read again, too.
        rescan: bool,
    },
    /// Leave the swarm; answered once the tracker has confirmed.
    Leave,
    /// Come back after that.
    Join,
}

/// Where to put something in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueuePlace {
    At(usize),
    /// So many tracks behind the one that follows the current one.
    After(usize),
    /// So many tracks before the current one.
    Before(usize),
}

/// Where what was found to be played goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placing {
    /// Now, instead of all that is in the queue.
    Instead,
    /// Behind the current track; now, when nothing plays.
    Next,
    /// Behind the queue; now, when nothing plays.
    Last,
}

/// Some songs in some order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Selection {
    pub filter: Filter,
    pub sort: Option<Sort>,
    #[serde(default, deserialize_with = "span::some_in_order")]
    pub window: Option<Range<usize>>,
}

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct Sort {
    pub by: SortBy,
    pub descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    Tag(Tag),
    Modified,
}

/// What a client asks of the node.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandRequest {
    Command(Command),
    /// The second half of a command whose query has found its songs.
    Insert(Insertion),
}

/// Songs for the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Insertion {
    pub items: Vec<Arc<QueueItem>>,
    pub at: Option<QueuePlace>,
    pub then: AfterInsert,
}

/// What follows an insertion.
#[derive(Clone, Debug, PartialEq)]
pub enum AfterInsert {
    Nothing,
    /// Play the first one, where they go there, and tell it and what follows. The text says
    /// in words what matched.
    Play(String, Placing),
}

impl CommandRequest {
    /// Whether somebody says by it that something is to sound, or nothing.
    pub fn is_order(&self) -> bool {
        matches!(self, Self::Command(Command::Playback(command)) if command.is_order())
    }
}

impl Playback {
    /// Whether it says that something is to sound, or nothing; not how.
    fn is_order(&self) -> bool {
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
            | Self::Random(_)
            | Self::Repeat(_)
            | Self::Single(_)
            | Self::Consume(_)
            | Self::ClearError => false,
        }
    }
}

impl Command {
    /// Whether a node without a player must refuse it.
    pub fn needs_player(&self) -> bool {
        match self {
            Self::Playback(_) => true,
            Self::Node(_) => false,
            Self::Queue(command) => matches!(command, QueueCommand::Edit(_)),
            Self::Database(command) => matches!(
                command,
                DatabaseCommand::Add { .. }
                    | DatabaseCommand::FindAdd { .. }
                    | DatabaseCommand::PlayBest(..)
            ),
        }
    }
}
