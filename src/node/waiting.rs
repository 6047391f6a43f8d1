//! What becomes of sound that waits for somebody: as for a lost sound card it waits on,
//! and goes on where it stopped.
//!
//! What must hold:
//! - It is left only for another that can play, and not before the peers that have it had
//!   time to come back.
//! - The peer that it waits for is named, and since when.
//! - Nobody is woken: what has waited too long pauses, and goes on when somebody says so.

use std::time::{Duration, Instant};

use super::{
    bookmark::TOO_LONG,
    plays::{Plays, Waits},
    roster::Roster,
};
use crate::{
    audio::PlayId,
    catalog::Database,
    playback::{
        queue::{Queue, QueueId},
        transport::{Cause, PlayState, Transport},
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

/// What plays, what could play instead, and which peers are here.
pub struct WatchedPlay<'a> {
    pub transport: &'a mut Transport,
    pub plays: &'a mut Plays,
    pub queue: &'a Queue,
    pub database: &'a Database,
    pub roster: &'a Roster,
}

impl WatchedPlay<'_> {
    /// The next of the queue whose bytes are here, or a peer that has them.
    fn next_that_plays(&self) -> Option<QueueId> {
        let is_up = |peer| {
            let record = self.roster.get(peer);
            record.is_some_and(|record| record.state == PeerState::Up)
        };
        let current = self.queue.cursor();
        let ahead = self.queue.upcoming(LOOK_AHEAD).into_iter();
        let mut others = ahead.filter(|id| Some(*id) != current);
        others.find(|id| {
            let item = self.queue.get(*id);
            item.is_some_and(|item| self.plays.can_play(item, self.database, is_up))
        })
    }
}

/// What plays, if it does.
fn playing(transport: &Transport) -> Option<PlayId> {
    let play = transport.play_id();
    play.filter(|_| transport.state() == PlayState::Play)
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

    /// When [`Self::watch`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The peer that the current track waits for, if it plays and waits.
    pub fn waits(&self, transport: &Transport, plays: &Plays, now: Instant) -> Option<Waits> {
        let waits = plays.waits(playing(transport)?, now)?;
        let since = waits.since.max(self.from);
        Some(Waits { since, ..waits })
    }

    /// Sees to it that what waits does not wait for nothing. Says whether it is news that it
    /// waits.
    pub fn watch(&mut self, play: WatchedPlay<'_>, now: Instant) -> bool {
        self.due = None;
        let Some(current) = playing(play.transport) else {
            return false;
        };
        let Some(dry) = play.plays.dry_since(current) else {
            if self.said.take() == Some(current) {
                log::info!("what plays arrives again");
            }
            return false;
        };
        let since = dry.max(self.from);
        let Some(waits) = self.waits(play.transport, play.plays, now) else {
            self.due = Some(now.max(since + HICCUP) + LOOK_AGAIN);
            return false;
        };
        let is_news = self.say(current, &waits);
        let limit = self.limit.unwrap_or(since + TOO_LONG);
        if now >= limit {
            let minutes = TOO_LONG.as_secs() / 60;
            let Waits { name, missed, .. } = waits;
            let why = format!("{name} {missed} since {minutes} minutes: paused");
            log::warn!("{why}");
            self.limit = None;
            play.transport.tire(why);
            return is_news;
        }
        let patient_until = since + self.grace;
        if now >= patient_until {
            if let Some(next) = play.next_that_plays() {
                let Waits { name, missed, .. } = waits;
                let seconds = now.saturating_duration_since(since).as_secs();
                let why = format!("{name} {missed} since {seconds} s: skipped");
                log::warn!("{why}");
                play.transport.set_detour(next);
                play.plays.give_up(current, why);
                return is_news;
            }
        }
        let again = patient_until.max(now + LOOK_EVERY);
        self.due = Some(again.min(limit));
        is_news
    }

    /// Says once what `play` waits for. Says whether that is news.
    fn say(&mut self, play: PlayId, waits: &Waits) -> bool {
        let is_news = self.said.replace(play) != Some(play);
        if is_news {
            let Waits { name, missed, .. } = waits;
            log::warn!("what plays waits for {name}, which {missed}; it goes on where it stopped");
        }
        is_news
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
