//! What comes of a command.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{
    song::SongView,
    view::{DeviceView, LibraryView, PeerView, QueuedView, StateView},
    DatabaseCommand, Filter,
};
use crate::{
    catalog::{Database, Tag},
    playback::queue::{QueueId, QueueSlot},
    util::seconds,
};

/// What comes of a command that is not refused.
#[derive(Debug)]
pub enum CommandOutcome {
    Answer(Answer),
    /// The client's task finds the answer itself.
    Query(Box<Query>),
}

/// An answer that is there at once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    State(Box<StateView>),
    /// The first of the tracks that were put into the queue.
    Added(QueueId),
    Chosen(Chosen),
    Peers(Vec<PeerView>),
    /// Names and values, in groups that begin with the name of what they count.
    Stats(Vec<(String, String)>),
    Devices(Vec<DeviceView>),
    Library(LibraryView),
    /// The number of the scan that is under way, or begins.
    Updating(u32),
}

/// What was found for some words, and what follows it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Chosen {
    /// What matched: `track`, `album`, `artist` or `directory`, and how many tracks that has.
    /// Nothing, where no words were given.
    pub matched: Option<(String, usize)>,
    /// Whether it sounds now, or waits in the queue.
    pub is_now: bool,
    pub songs: Vec<QueuedView>,
}

/// A thing that a query finds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    Directory(DirectoryView),
    File(FileView),
    /// A track by its path only.
    Path(String),
    Song(SongView),
    Queued(QueuedView),
    Group(GroupView),
}

/// A directory.
#[derive(Debug, Serialize, Deserialize)]
pub struct DirectoryView {
    /// `<peer name>/<path>`.
    pub uri: String,
    /// When something under it was last modified, in seconds since 1970, where that is known.
    pub modified: Option<i64>,
    /// Only others have what is in it now.
    pub is_away: bool,
}

/// A file, by its name and size only.
#[derive(Debug, Serialize, Deserialize)]
pub struct FileView {
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: i64,
}

/// Songs that have these values of tags in common.
#[derive(Debug, Serialize, Deserialize)]
pub struct GroupView {
    /// From the outermost inwards.
    pub values: Vec<(Tag, String)>,
    /// Where they were counted.
    pub sum: Option<SongSum>,
}

/// Songs and how long they play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SongSum {
    pub songs: u64,
    #[serde(with = "seconds")]
    pub playtime: Duration,
}

/// A question to a snapshot of the database.
#[derive(Debug)]
pub struct Query {
    pub question: Question,
    pub database: Database,
    /// When it was asked.
    pub asked: Instant,
}

#[derive(Debug)]
pub enum Question {
    Database(DatabaseCommand),
    /// Of these songs of the queue, by position, those that pass the filter.
    Queue(Vec<(usize, QueueSlot)>, Option<Filter>),
}

impl From<Answer> for CommandOutcome {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}
