//! What the reader waits for in vain, and what really arrives.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::source::SourceStatus;
use super::{Scheduler, STALL};
use crate::id::{group_count, PeerId};

/// Nobody brings what the reader stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The source that is missed most: the one that brought something last, if one is known.
    pub of: Option<PeerId>,
    /// It has left the swarm, as far as anybody knows.
    pub is_gone: bool,
    /// Since when the reader stands there, and nothing has come.
    pub since: Instant,
}

impl Scheduler {
    /// Since when the reader stands at something that is not here, and nothing has come;
    /// however short that is.
    pub fn dry_since(&self) -> Option<Instant> {
        let brought = self.sources.brought();
        self.dry_since
            .map(|since| brought.map_or(since, |brought| brought.max(since)))
    }

    /// The source that is waited for, once nothing has come for so long that it is no
    /// hiccup. A source that only has too much to do is not silent.
    pub fn silence(&self, now: Instant) -> Option<Stall> {
        let since = self.dry_since().filter(|since| now >= *since + STALL)?;
        let missing = self.missing();
        let is_busy = self.sources.iter().any(|(peer, source)| {
            let is_outstanding = self.requests.of(peer).next().is_some();
            source.has_any(&missing) && !source.is_failing() && !is_outstanding
        });
        // One that has had too much to do for so long is as good as silent.
        if is_busy && now < since + BUSY {
            return None;
        }
        let missed = self.sources.iter().filter(|(_, source)| {
            source.has_any(&missing)
                || (source.standing() == SourceStatus::Excluded && source.is_gone())
        });
        let missed = missed.max_by_key(|(_, source)| (source.brought(), !source.is_gone()));
        Some(Stall {
            of: missed.map(|(peer, _)| peer),
            is_gone: missed.is_none_or(|(_, source)| source.is_gone()),
            since,
        })
    }

    /// Whether `peer` does not do what it was asked for.
    pub fn is_failing(&self, peer: PeerId) -> bool {
        let source = self.sources.get(peer);
        source.is_some_and(|source| source.is_failing() || source.is_gone())
    }

    /// Somebody has heard of a peer: it is tried at once, if it is a source that failed.
    pub fn handle_seen(&mut self, peer: PeerId) {
        self.sources.handle_seen(peer);
    }

    /// Other keys are believed now: all sources that failed are tried at once.
    pub fn handle_keys(&mut self) {
        self.sources.handle_keys();
    }

    /// Bytes a second that really came during the last seconds.
    pub fn arriving(&self, now: Instant) -> u64 {
        self.arrivals.rate(now)
    }

    /// Notes whether the reader stands at something that is not here, or is held back until
    /// more is.
    pub(super) fn look_whether_dry(&mut self, now: Instant) {
        let at_end = self.play_head.group().0 >= group_count(self.size);
        let stands = !at_end && !self.have.contains(self.play_head.group());
        let is_dry = stands || (self.play_head.is_held() && !self.missing().is_empty());
        self.dry_since = match self.dry_since {
            _ if !is_dry => None,
            since => since.or(Some(now)),
        };
    }
}

/// What came lately, in steps of a part of a second.
#[derive(Debug, Default)]
pub(super) struct Arrivals(VecDeque<(Instant, u64)>);

impl Arrivals {
    pub(super) fn handle_bytes(&mut self, bytes: u64, now: Instant) {
        match self.0.back_mut() {
            Some((begun, sum)) if now < *begun + STEP => *sum += bytes,
            _ => self.0.push_back((now, bytes)),
        }
        while self.0.front().is_some_and(|(begun, _)| now > *begun + AGE) {
            self.0.pop_front();
        }
    }

    /// Over all of [`AGE`], so that it is nothing when that has passed.
    fn rate(&self, now: Instant) -> u64 {
        let fresh = self.0.iter().filter(|(begun, _)| now <= *begun + AGE);
        let bytes: u64 = fresh.map(|(_, bytes)| bytes).sum();
        bytes * 1000 / AGE.as_millis() as u64
    }
}

/// A source that answers but has no time: a holder serves each listener within seconds.
const BUSY: Duration = Duration::from_secs(30);

/// A figure that is older is none: nobody reads "1000 kB/s arrive" of a dead line.
const AGE: Duration = Duration::from_secs(2);
/// Twenty of them at most are kept.
const STEP: Duration = Duration::from_millis(100);
