//! Commands, carried out on queue and transport.
//!
//! What is quickly done is answered at once; what walks the database, or lists much of the
//! queue, becomes a [`Query`]. If that ends with songs for the queue, they come back as
//! [`CommandRequest::Insert`].

mod playback;
mod queue;

use std::time::{Duration, Instant};

use super::{
    plan, AfterInsert, Command, CommandError, CommandOutcome, CommandRequest, DatabaseCommand,
    Insertion, NodeCommand, Query, Question, QueuePlace,
};
use crate::{
    catalog::Database,
    playback::{
        queue::{Queue, QueueError},
        transport::Transport,
    },
};

/// What commands work on.
pub struct Controls<'a> {
    pub queue: &'a mut Queue,
    pub transport: &'a mut Transport,
    /// A snapshot.
    pub database: &'a Database,
    /// Where the current track is; `None` while a start or seek is under way.
    pub position: Option<Duration>,
    pub now: Instant,
}

/// What was done with a request.
#[derive(Debug)]
pub enum Executed {
    Outcome(CommandOutcome),
    /// Only the node itself can do that.
    Node(NodeCommand),
}

/// Carries out `request`. The transport has the actions that follow.
///
/// # Errors
/// What the client is told instead of an answer.
pub fn execute(
    request: CommandRequest,
    controls: &mut Controls<'_>,
) -> Result<Executed, CommandError> {
    let command = match request {
        CommandRequest::Insert(insertion) => {
            return queue::insert(controls, insertion).map(Executed::Outcome);
        }
        CommandRequest::Command(command) => command,
    };
    let outcome = match command {
        Command::Node(command) => return Ok(Executed::Node(command)),
        Command::Playback(command) => playback::playback(controls, command)?,
        Command::Queue(command) => queue::queue(controls, command)?,
        Command::Database(DatabaseCommand::PlayBest(words, _)) if words.is_empty() => {
            controls.transport.play(controls.queue, None)?;
            queue::now_playing(controls)
        }
        Command::Database(DatabaseCommand::Add { uri, at }) => controls.add(uri, at)?,
        Command::Database(command) => controls.query(Question::Database(command)),
    };
    Ok(Executed::Outcome(outcome))
}

impl Controls<'_> {
    /// What is one track needs no plan: it is looked up faster than a question goes to the
    /// client's task and back.
    fn add(&mut self, uri: String, at: Option<QueuePlace>) -> Result<CommandOutcome, CommandError> {
        let Some(item) = plan::track_at(self.database, &uri) else {
            return Ok(self.query(Question::Database(DatabaseCommand::Add { uri, at })));
        };
        let insertion = Insertion {
            items: vec![item],
            at,
            then: AfterInsert::Nothing,
        };
        queue::insert(self, insertion)
    }

    fn query(&self, question: Question) -> CommandOutcome {
        CommandOutcome::Query(Box::new(Query {
            question,
            database: self.database.clone(),
            asked: self.now,
        }))
    }

    /// The position that `place` means.
    fn position(&self, place: QueuePlace) -> Result<usize, CommandError> {
        let cursor = || {
            let cursor = self.queue.cursor().and_then(|id| self.queue.position(id));
            cursor.ok_or(CommandError::NoCurrent)
        };
        let bad = || CommandError::from(QueueError::NoSuchPosition);
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
