//! Commands, carried out on queue, transport and database.
//!
//! What is quickly said is answered at once. What walks the database becomes a
//! [`Plan`], which somebody else walks; if it ends with songs for the queue,
//! they come back as [`SlowTask::Insert`]. What takes the rest of the node is
//! an [`Errand`]: the node runs it and answers by itself.

mod database;
mod info;
mod playback;
mod queue;

use std::time::Instant;

use super::{
    args::{Ack, AckCode, QueuePlace},
    command::{Access, MpdCommand},
    plan::{Insertion, Plan},
    reply::Reply,
    tag::TagMask,
};
use crate::{
    catalog::Database,
    control::view::{NodeView, PeerView},
    player::{
        queue::{Queue, QueueError},
        transport::Transport,
    },
};

/// What a session asks of the node.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRequest {
    pub task: SlowTask,
    /// The tags that the client wants to see.
    pub tags: TagMask,
    pub access: Access,
}

impl SessionRequest {
    /// Whether somebody says by it that something is to sound, or nothing.
    pub fn is_order(&self) -> bool {
        matches!(&self.task, SlowTask::Command(MpdCommand::Playback(command)) if command.is_order())
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum SlowTask {
    Command(MpdCommand),
    /// The second half of a command whose plan has found its songs.
    Insert(Insertion),
}

/// What a command works on.
pub struct Context<'a> {
    pub queue: &'a mut Queue,
    pub transport: &'a mut Transport,
    /// A snapshot.
    pub database: &'a Database,
    pub view: &'a NodeView,
    /// All known peers, this node included: looked up by those commands only
    /// that show them.
    pub peers: &'a dyn Fn() -> Vec<PeerView>,
    /// The lines of `p2p_stats`.
    pub stats: &'a dyn Fn() -> Vec<(&'static str, String)>,
    pub now: Instant,
}

/// A [`Context`] for one client's request.
struct ClientContext<'a> {
    queue: &'a mut Queue,
    transport: &'a mut Transport,
    database: &'a Database,
    view: &'a NodeView,
    peers: &'a dyn Fn() -> Vec<PeerView>,
    stats: &'a dyn Fn() -> Vec<(&'static str, String)>,
    tags: TagMask,
    access: Access,
    now: Instant,
}

/// What came of a command.
#[derive(Debug)]
pub enum CommandOutcome {
    Now(Reply),
    Query(Box<Plan>),
    Later(Errand),
}

/// What the node does and then answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Scan the library, or what is at or under `path` of it; the answer is
    /// [`updating`], once the scan is under way.
    Update { path: String, rescan: bool },
    /// Leave the swarm; the answer is empty, once the tracker has confirmed.
    Leave,
    /// Come back after that; the answer is empty, at once, or that it has not left.
    Join,
}

/// The answer to [`Errand::Update`].
pub fn updating(scan: u32) -> Reply {
    let mut reply = Reply::new();
    reply.pair("updating_db", scan);
    reply
}

/// Carries out `request`. The transport has the actions that follow from it.
///
/// # Errors
/// What the client is told instead of an answer.
pub fn apply(request: SessionRequest, context: &mut Context<'_>) -> Result<CommandOutcome, Ack> {
    let mut desk = ClientContext {
        queue: context.queue,
        transport: context.transport,
        database: context.database,
        view: context.view,
        peers: context.peers,
        stats: context.stats,
        tags: request.tags,
        access: request.access,
        now: context.now,
    };
    let command = match request.task {
        SlowTask::Insert(insertion) => return desk.insert(insertion).map(CommandOutcome::Now),
        SlowTask::Command(command) => command,
    };
    if command.needs_player() && !desk.view.role.is_peer() {
        return Err(Ack::new(
            AckCode::System,
            "this node is a tracker only: it has no player; run `p2pmusic ctl play` on a peer",
        ));
    }
    match command {
        MpdCommand::Playback(command) => desk.playback(command).map(CommandOutcome::Now),
        MpdCommand::Queue(command) => desk.queue(command),
        MpdCommand::Database(command) => desk.database(command),
        MpdCommand::Info(command) => desk.info(command),
        // Sessions keep those to themselves.
        MpdCommand::Session(_) => Ok(CommandOutcome::Now(Reply::new())),
    }
}

impl ClientContext<'_> {
    /// The position that `place` means.
    fn position(&self, place: QueuePlace) -> Result<usize, Ack> {
        let cursor = || {
            let cursor = self.queue.cursor().and_then(|id| self.queue.position(id));
            cursor.ok_or_else(|| Ack::new(AckCode::PlayerSync, "No current song"))
        };
        let bad = || Ack::from(QueueError::NoSuchPosition);
        match place {
            QueuePlace::At(position) => Ok(position),
            QueuePlace::After(n) => cursor()?
                .checked_add(n)
                .and_then(|p| p.checked_add(1))
                .ok_or_else(bad),
            QueuePlace::Before(n) => cursor()?.checked_sub(n).ok_or_else(bad),
        }
    }
}

#[cfg(test)]
mod tests;
