//! The control client of a host: it gives commands, and watches the player.

use std::collections::BTreeMap;

use super::{net::HostNo, world::World};
use crate::{
    command::{
        plan::{Plan, PlanStep},
        Command, CommandError, CommandOutcome, CommandRequest, NodeCommand,
    },
    control::mpd::{
        args::Ack,
        command::{parse, MpdCommand, ReplyForm},
        print::{print, RowPrinter},
        reply::Reply,
        tag::TagMask,
    },
    node::ControlId,
};

/// What the client of a host has asked and seen.
#[derive(Default)]
pub struct ControlClient {
    pub replies: BTreeMap<ControlId, Result<CommandOutcome, CommandError>>,
    /// Whether it has to look.
    pub looks: bool,
    status: String,
    /// All errors that it has seen.
    pub errors: Vec<String>,
}

impl ControlClient {
    /// The value of `key` in the last status that it has seen.
    pub fn status(&self, key: &str) -> Option<&str> {
        self.status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    }
}

impl World {
    /// Runs a command of the remote control. An empty answer may mean that it
    /// comes later.
    ///
    /// # Errors
    /// What MPD would answer.
    pub fn command(&mut self, host: HostNo, line: &str) -> Result<String, Ack> {
        self.note(host, format_args!("> {line}"));
        let MpdCommand::Node(command, form) = parse(line).map_err(|(_, ack)| ack)? else {
            return Ok(String::new());
        };
        let mut request = CommandRequest::Command(command);
        let mut answer = String::new();
        loop {
            let now = self.now_at(host);
            let this = &mut self.hosts[host.0];
            let ask = this.core.handle_control(request, this.sight(self.now), now);
            self.settle(host);
            let mut plan = match self.hosts[host.0].client.replies.remove(&ask) {
                Some(Ok(CommandOutcome::Query(query))) => Plan::new(*query),
                Some(Ok(CommandOutcome::Answer(found))) => {
                    let mut reply = Reply::new();
                    print(&found, form, &mut reply);
                    return Ok(answer + reply.as_str());
                }
                Some(Err(error)) => return Err(error.into()),
                _ => return Ok(answer),
            };
            let mut rows = RowPrinter::new(form, TagMask::default());
            request = loop {
                match plan.step(100, &mut rows) {
                    PlanStep::Wrote => answer.push_str(rows.take().as_str()),
                    PlanStep::Insert(insertion) => break CommandRequest::Insert(insertion),
                    PlanStep::Done => return Ok(answer),
                    PlanStep::Failed(error) => return Err(error.into()),
                }
            };
        }
    }

    /// What a client that watches the player sees.
    pub fn look(&mut self, host: HostNo) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        let request = CommandRequest::Command(Command::Node(NodeCommand::State));
        let ask = this.core.handle_control(request, this.sight(self.now), now);
        self.perform_all(host);
        let this = &mut self.hosts[host.0];
        if let Some(Ok(CommandOutcome::Answer(state))) = this.client.replies.remove(&ask) {
            let mut reply = Reply::new();
            print(&state, ReplyForm::Status, &mut reply);
            this.client.status = reply.into_string();
        }
        let shown = |key| this.status(key).unwrap_or("-").to_owned();
        let (state, song, error) = (shown("state"), shown("song"), shown("error"));
        if error != "-" && this.client.errors.last() != Some(&error) {
            this.client.errors.push(error.clone());
        }
        self.note(host, format_args!("{state} {song} {error}"));
    }
}
