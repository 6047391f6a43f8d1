//! What becomes of sound that waits for somebody: as for a lost sound card it waits on,
//! and goes on where it stopped.
//!
//! What must hold:
//! - It is left only for another that can play, and not before the peers that have it had
//!   time to come back.
//! - The peer that it waits for is named, and since when.
//! - Nobody is woken: what has waited too long pauses, and goes on when somebody says so.

use std::time::{Duration, Instant};

use super::{bookmark::TOO_LONG, plays::Waits, Node};
use crate::{
    player::{
        queue::QueueId,
        transport::{Cause, PlayState},
        PlayId,
    },
    protocol::PeerState,
};

/// The waiting of what plays.
#[derive(Debug)]
pub struct Vigil {
    /// When it began to play, or was told to go on.
    from: Instant,
    /// How long it waits at least, even if another can play.
    grace: Duration,
    /// When it pauses, if that was said before it began.
    limit: Option<Instant>,
    /// What the log knows of.
    said: Option<PlayId>,
    due: Option<Instant>,
}

impl Vigil {
    pub fn new(now: Instant) -> Self {
        Self {
            from: now,
            grace: GRACE,
            limit: None,
            said: None,
            due: None,
        }
    }

    /// Something else plays.
    pub fn handle_start(&mut self, cause: Cause, now: Instant) {
        self.from = now;
        self.grace = GRACE;
        if cause != Cause::Resumed {
            self.limit = None;
        }
    }

    /// Somebody wants it to go on.
    pub fn handle_resume(&mut self, now: Instant) {
        self.from = now;
    }

    /// What is about to begin pauses then, if it has not begun.
    pub fn set_limit(&mut self, at: Instant) {
        self.limit = Some(at);
    }

    /// When [`Node::watch`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }
}

impl Node {
    /// The peer that the current track waits for, if it plays and waits.
    pub(super) fn waits(&self, now: Instant) -> Option<Waits> {
        let play = self.transport.play_id();
        let play = play.filter(|_| self.transport.state() == PlayState::Play)?;
        let waits = self.plays.waits(play, now)?;
        let since = waits.since.max(self.vigil.from);
        Some(Waits { since, ..waits })
    }

    /// Sees to it that what waits does not wait for nothing.
    pub(super) fn watch(&mut self, now: Instant) {
        self.vigil.due = None;
        let play = self.transport.play_id();
        let Some(play) = play.filter(|_| self.transport.state() == PlayState::Play) else {
            return;
        };
        let Some(dry) = self.plays.dry_since(play) else {
            if self.vigil.said.take() == Some(play) {
                log::info!("what plays arrives again");
            }
            return;
        };
        let since = dry.max(self.vigil.from);
        let Some(waits) = self.waits(now) else {
            self.vigil.due = Some(now.max(since + HICCUP) + LOOK_AGAIN);
            return;
        };
        self.say(play, &waits);
        let limit = self.vigil.limit.unwrap_or(since + TOO_LONG);
        if now >= limit {
            let minutes = TOO_LONG.as_secs() / 60;
            let Waits { name, missed, .. } = waits;
            let why = format!("{name} {missed} since {minutes} minutes: paused");
            log::warn!("{why}");
            self.vigil.limit = None;
            return self.transport.tire(why);
        }
        let patient_until = since + self.vigil.grace;
        if now >= patient_until {
            if let Some(next) = self.next_that_plays() {
                let Waits { name, missed, .. } = waits;
                let seconds = now.saturating_duration_since(since).as_secs();
                let why = format!("{name} {missed} since {seconds} s: skipped");
                log::warn!("{why}");
                self.transport.set_detour(next);
                return self.plays.give_up(play, why);
            }
        }
        let again = patient_until.max(now + LOOK_EVERY);
        self.vigil.due = Some(again.min(limit));
    }

    fn say(&mut self, play: PlayId, waits: &Waits) {
        if self.vigil.said.replace(play) != Some(play) {
            let Waits { name, missed, .. } = waits;
            log::warn!("what plays waits for {name}, which {missed}; it goes on where it stopped");
            self.changed = self.changed.or(crate::command::StatePart::Player.into());
        }
    }

    /// The next of the queue whose bytes are here, or a peer that has them.
    fn next_that_plays(&self) -> Option<QueueId> {
        let is_up = |peer| {
            let record = self.others.roster.get(peer);
            record.is_some_and(|record| record.state == PeerState::Up)
        };
        let current = self.queue.cursor();
        let ahead = self.queue.upcoming(LOOK_AHEAD).into_iter();
        let mut others = ahead.filter(|id| Some(*id) != current);
        others.find(|id| {
            let item = self.queue.get(*id);
            item.is_some_and(|item| self.plays.can_play(item, &self.database, is_up))
        })
    }
}

/// A network that was cut, or a speaker that starts again, is back within it mostly.
const GRACE: Duration = Duration::from_secs(30);
/// What the scheduler takes for a hiccup of a source.
const HICCUP: Duration = Duration::from_secs(4);
/// So that a look that comes a little early is not followed by a thousand.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Somebody else may have come meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Of a queue whose owner has gone; as many tracks as may fail in a row.
const LOOK_AHEAD: usize = 20;
