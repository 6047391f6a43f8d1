//! What there is: all of it is walked by somebody else.

use super::{Context, Outcome};
use crate::control::mpd::{args::Ack, command::DatabaseCommand, plan::Plan, reply::Reply};

impl Context<'_> {
    pub(super) fn database(&mut self, command: DatabaseCommand) -> Result<Outcome, Ack> {
        match command {
            DatabaseCommand::PlayBest(words) if words.is_empty() => {
                self.transport.play(self.queue, None)?;
                let mut reply = Reply::new();
                self.tell_current(&mut reply);
                Ok(Outcome::Now(reply))
            }
            command => Ok(Outcome::Query(Plan::new(command, self.database.clone()))),
        }
    }
}
