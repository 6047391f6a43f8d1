//! What there is: all of it is walked by somebody else.

use super::{ClientContext, CommandOutcome};
use crate::control::mpd::{args::Ack, command::DatabaseCommand, plan::Plan, reply::Reply};

impl ClientContext<'_> {
    pub(super) fn database(&mut self, command: DatabaseCommand) -> Result<CommandOutcome, Ack> {
        match command {
            DatabaseCommand::PlayBest(words, _) if words.is_empty() => {
                self.transport.play(self.queue, None)?;
                let mut reply = Reply::with_tags(self.tags);
                self.tell_current(&mut reply);
                Ok(CommandOutcome::Now(reply))
            }
            command => {
                let plan = Plan::new(command, self.database.clone(), self.tags, self.now);
                Ok(CommandOutcome::Query(Box::new(plan)))
            }
        }
    }
}
