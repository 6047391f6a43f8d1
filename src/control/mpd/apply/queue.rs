//! What will sound.

use std::{ops::Range, sync::Arc};

use super::{ClientContext, CommandOutcome};
use crate::{
    control::mpd::{
        args::{Ack, AckCode, QueuePlace},
        command::{Placing, QueueCommand},
        filter::Filter,
        plan::{AfterInsert, Insertion, Plan},
        reply::Reply,
        song::write_queued,
    },
    player::{
        queue::{self, QueueError, QueueId, QueueItem, QueueSlot, MAX_QUEUE},
        transport::PlayState,
    },
};

impl ClientContext<'_> {
    pub(super) fn queue(&mut self, command: QueueCommand) -> Result<CommandOutcome, Ack> {
        match command {
            QueueCommand::Info(range) => return self.list(range),
            QueueCommand::ById(None) => return self.list(None),
            QueueCommand::ById(Some(id)) => {
                let position = self.position_of(id)?;
                return self.list(Some(position..position + 1));
            }
            QueueCommand::Changes {
                since,
                range,
                short,
            } => return Ok(self.changes(since, &range, short)),
            QueueCommand::Find(filter) => return Ok(self.show(&(0..usize::MAX), Some(filter))),
            QueueCommand::Delete(range) => self.queue.remove(range)?,
            QueueCommand::DeleteId(id) => {
                let position = self.position_of(id)?;
                self.queue.remove(position..position + 1)?;
            }
            QueueCommand::Move(range, to) => self.move_range(range, to)?,
            QueueCommand::MoveId(id, to) => {
                let position = self.position_of(id)?;
                self.move_range(position..position + 1, to)?;
            }
            QueueCommand::Swap(a, b) => self.queue.swap(a, b)?,
            QueueCommand::SwapId(a, b) => {
                let (a, b) = (self.position_of(a)?, self.position_of(b)?);
                self.queue.swap(a, b)?;
            }
            QueueCommand::Shuffle(range) => self.queue.shuffle(range.unwrap_or(0..usize::MAX)),
            QueueCommand::Clear => self.queue.clear(),
        }
        self.transport.handle_queue_changed(self.queue);
        Ok(CommandOutcome::Now(Reply::new()))
    }

    /// Songs that a plan has found.
    pub(super) fn insert(&mut self, insertion: Insertion) -> Result<Reply, Ack> {
        let Insertion { items, at, then } = insertion;
        if let AfterInsert::Play(what, placing) = then {
            return self.insert_best(items, &what, placing);
        }
        let at = at.map(|place| self.position(place)).transpose()?;
        let first = self.queue.insert(items, at)?;
        let mut reply = Reply::with_tags(self.tags);
        let Some(first) = first else { return Ok(reply) };
        self.transport.handle_queue_changed(self.queue);
        if then == AfterInsert::TellId {
            reply.pair("Id", first.0);
        }
        Ok(reply)
    }

    /// Songs that are what somebody meant.
    fn insert_best(
        &mut self,
        items: Vec<Arc<QueueItem>>,
        what: &str,
        placing: Placing,
    ) -> Result<Reply, Ack> {
        let count = items.len();
        if let Err(full) = queue::check(&items) {
            let text = match full {
                QueueError::Full => format!(
                    "these are more tracks than the queue takes ({MAX_QUEUE}): say which of them"
                ),
                _ => "the names and tags of these tracks are uncommonly long, and the queue does \
                      not take so many of them: say which of them"
                    .to_owned(),
            };
            return Err(Ack::new(AckCode::PlaylistMax, text));
        }
        let at = match placing {
            Placing::Instead => {
                self.queue.clear();
                None
            }
            Placing::Next | Placing::Last => {
                self.drop_played(&items)?;
                let next = self.position(QueuePlace::After(0)).ok();
                next.filter(|_| placing == Placing::Next)
            }
        };
        let mut reply = Reply::with_tags(self.tags);
        let Some(first) = self.queue.insert(items, at)? else {
            return Ok(reply);
        };
        reply.pair("p2p_match", what).pair("p2p_tracks", count);
        let is_now = placing == Placing::Instead || self.transport.state() == PlayState::Stop;
        if is_now {
            self.transport.play(self.queue, Some(first))?;
        }
        self.transport.handle_queue_changed(self.queue);
        reply.flag("p2p_now", is_now);
        match (is_now, self.queue.position(first)) {
            (false, Some(at)) => {
                write_queued(&mut reply, at, &self.queue.slots()[at], self.database);
            }
            _ => self.tell_current(&mut reply),
        }
        Ok(reply)
    }

    /// Where `items` do not fit, those that have been played make room for them.
    fn drop_played(&mut self, items: &[Arc<QueueItem>]) -> Result<(), QueueError> {
        let options = self.queue.options();
        let in_order = !options.random && !options.repeat;
        let cursor = self.queue.cursor().and_then(|id| self.queue.position(id));
        let played = cursor.filter(|_| in_order).unwrap_or(0);
        self.queue.make_room(items, played)
    }

    /// The current song and what follows it.
    pub(super) fn tell_current(&self, reply: &mut Reply) {
        let following = self.queue.upcoming(FOLLOWING);
        for id in self.queue.cursor().into_iter().chain(following) {
            if let Some(position) = self.queue.position(id) {
                let slot = &self.queue.slots()[position];
                write_queued(reply, position, slot, self.database);
            }
        }
    }

    fn list(&self, range: Option<Range<usize>>) -> Result<CommandOutcome, Ack> {
        let range = range.unwrap_or(0..usize::MAX);
        if range.len() == 1 && range.start >= self.queue.len() {
            return Err(QueueError::NoSuchPosition.into());
        }
        Ok(self.show(&range, None))
    }

    fn show(&self, range: &Range<usize>, filter: Option<Filter>) -> CommandOutcome {
        let slots = self.queue.slots().iter().enumerate();
        self.write_out(
            slots.filter(|(position, _)| range.contains(position)),
            filter,
        )
    }

    /// Has the songs written, and filtered, by the session that walks the plan.
    fn write_out<'a>(
        &self,
        slots: impl Iterator<Item = (usize, &'a QueueSlot)>,
        filter: Option<Filter>,
    ) -> CommandOutcome {
        let slots = slots.map(|(position, slot)| (position, slot.clone()));
        let plan = Plan::queue(
            slots.collect(),
            filter,
            self.database.clone(),
            self.tags,
            self.now,
        );
        CommandOutcome::Query(Box::new(plan))
    }

    fn changes(&self, since: u32, range: &Range<usize>, short: bool) -> CommandOutcome {
        let slots = self.queue.changes_since(since);
        let slots = slots.filter(|(position, _)| range.contains(position));
        if short {
            let mut reply = Reply::with_tags(self.tags);
            for (position, slot) in slots {
                reply.pair("cpos", position).pair("Id", slot.id.0);
            }
            return CommandOutcome::Now(reply);
        }
        self.write_out(slots, None)
    }

    fn position_of(&self, id: QueueId) -> Result<usize, QueueError> {
        self.queue.position(id).ok_or(QueueError::NoSuchId)
    }

    /// Moves a range; relative places count without it.
    fn move_range(&mut self, range: Range<usize>, to: QueuePlace) -> Result<(), Ack> {
        let range = range.start..range.end.min(self.queue.len());
        let to_position = self.position(to)?;
        let is_before = !matches!(to, QueuePlace::At(_)) && range.start < to_position;
        let to_position = match is_before {
            true => to_position.saturating_sub(range.len()),
            false => to_position,
        };
        Ok(self.queue.move_range(range, to_position)?)
    }
}

/// Songs shown behind the current one: what fits a glance.
const FOLLOWING: usize = 4;
