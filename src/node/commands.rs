//! What people ask of the node.

use std::{sync::Arc, time::Instant};

use super::{Action, ControlId, Node, RequestContext};
use crate::command::{
    execute::{execute, Controls, Executed},
    view::{PlayerView, StateView},
    Answer, CommandError, CommandRequest, NodeCommand,
};

impl Node {
    pub(super) fn handle_control(
        &mut self,
        ask: ControlId,
        request: CommandRequest,
        sight: RequestContext,
        now: Instant,
    ) {
        let is_order = request.is_order();
        let before = self.transport.play_id();
        let mut controls = Controls {
            queue: &mut self.queue,
            transport: &mut self.transport,
            database: &self.database,
            position: sight.position_of(before),
            now,
        };
        let executed = execute(request, &mut controls);
        if is_order || self.transport.play_id() != before {
            self.scribe.stop_wondering(&self.transport, now);
        }
        let outcome = match executed {
            Ok(Executed::Node(command)) => match self.answer(ask, command, sight, now) {
                Ok(Some(answer)) => Ok(answer.into()),
                Ok(None) => return,
                Err(error) => Err(error),
            },
            Ok(Executed::Outcome(outcome)) => Ok(outcome),
            Err(error) => Err(error),
        };
        self.actions.push_back(Action::Reply(ask, outcome));
    }

    /// The answer to `command`; nothing, if that comes later.
    fn answer(
        &mut self,
        ask: ControlId,
        command: NodeCommand,
        sight: RequestContext,
        now: Instant,
    ) -> Result<Option<Answer>, CommandError> {
        Ok(Some(match command {
            NodeCommand::State => Answer::State(Box::new(self.state(sight, now))),
            NodeCommand::Peers => Answer::Peers(self.peer_views()),
            NodeCommand::Stats => Answer::Stats(self.stats.pairs(now)),
            NodeCommand::Devices => Answer::Devices(self.facts.device_views()),
            NodeCommand::Library => Answer::Library(self.facts.library.clone()),
            NodeCommand::Update { uri, rescan: anew } => {
                let path = own_path(&uri, self.others.roster.own_name())?;
                self.actions.push_back(Action::Rescan { path, anew });
                Answer::Updating(self.facts.scan_number + 1)
            }
            NodeCommand::Join => {
                self.join(now)?;
                Answer::Done
            }
            NodeCommand::Leave => {
                self.leaving.push(ask);
                self.actions.push_back(Action::Leave);
                return Ok(None);
            }
        }))
    }

    fn state(&mut self, sight: RequestContext, now: Instant) -> StateView {
        let position = sight.position_of(self.transport.play_id());
        StateView {
            player: PlayerView::new(&self.queue, &self.transport, position, &self.database),
            node: self.view(sight.wall_clock, now),
        }
    }
}

/// The path within this node's library of a URI, which must be its own.
fn own_path(uri: &str, own: &Arc<str>) -> Result<String, CommandError> {
    let uri = uri.trim_matches('/');
    let (name, path) = uri.split_once('/').unwrap_or((uri, ""));
    match uri.is_empty() || *name == **own {
        true => Ok(path.to_owned()),
        false => Err(CommandError::NotOwn {
            name: name.to_owned(),
            own: own.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_updates_its_own_library_only() {
        let own: Arc<str> = "kitchen".into();
        for (uri, path) in [
            ("", ""),
            ("/kitchen/miles/", "miles"),
            ("kitchen", ""),
            ("kitchen/miles/1.flac", "miles/1.flac"),
        ] {
            assert_eq!(own_path(uri, &own).as_deref(), Ok(path), "{uri}");
        }
        let name = "studio".to_owned();
        assert_eq!(
            own_path("studio/x", &own),
            Err(CommandError::NotOwn { name, own })
        );
    }
}
