//! What comes of a command.

use std::time::Instant;

use super::{
    view::{DeviceView, LibraryView, PeerView, QueuedView, StateView},
    DatabaseCommand, Filter,
};
use crate::{
    catalog::Database,
    player::queue::{QueueId, QueueSlot},
};

/// What comes of a command that is not refused.
#[derive(Debug)]
pub enum CommandOutcome {
    Answer(Answer),
    /// The client's task finds the answer itself.
    Query(Box<Query>),
}

/// An answer that is there at once.
#[derive(Debug)]
pub enum Answer {
    Done,
    State(Box<StateView>),
    /// The first of the tracks that were put into the queue.
    Added(QueueId),
    Chosen(Chosen),
    Peers(Vec<PeerView>),
    /// Names and values, in groups that begin with the name of what they count.
    Stats(Vec<(&'static str, String)>),
    Devices(Vec<DeviceView>),
    Library(LibraryView),
    /// The number of the scan that is under way, or begins.
    Updating(u32),
}

/// What was found for some words, and what follows it.
#[derive(Debug)]
pub struct Chosen {
    /// What matched: `track`, `album`, `artist` or `directory`, and how many tracks that has.
    /// Nothing, where no words were given.
    pub matched: Option<(String, usize)>,
    /// Whether it sounds now, or waits in the queue.
    pub is_now: bool,
    pub songs: Vec<QueuedView>,
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
