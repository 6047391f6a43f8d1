//! What there is: all of it is walked by somebody else.

use super::{Desk, Outcome};
use crate::control::mpd::{args::Ack, command::DatabaseCommand, plan::Plan, reply::Reply};

impl Desk<'_> {
    pub(super) fn database(&mut self, command: DatabaseCommand) -> Result<Outcome, Ack> {
        match command {
            DatabaseCommand::PlayBest(words, _) if words.is_empty() => {
                self.transport.play(self.queue, None)?;
                let mut reply = Reply::with_tags(self.tags);
                self.tell_current(&mut reply);
                Ok(Outcome::Now(reply))
            }
            command => {
                let plan = Plan::new(command, self.database.clone(), self.tags, self.now);
                Ok(Outcome::Query(Box::new(plan)))
            }
        }
    }
}
