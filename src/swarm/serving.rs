//! Upload slots: which of the requests that others make is served now, which waits.
//!
//! What must hold:
//! - What somebody listens to goes before what is played next, and that before the rest;
//!   slots are kept free so that a listener never waits for others' fetching ahead.
//! - Among peers of one class, who was sent the least lately goes first, by bytes and not
//!   by requests. No peer can fill the slots or the queue by asking more.
//! - Who is short of music itself serves less: nothing that is only fetched, and of the
//!   rest little at a time.
//! - Who takes its answer too slowly gives its slot up while others wait for one.
//! - Every request is started, or told to come again before its asker gives up on us.
//! - Slots and queue are bounded, whatever is asked.
//!
//! Not here: the sending, and how fast it goes; congestion control shares the line.

mod pace;
mod share;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use self::{pace::Pace, share::Shares};
use crate::content::ranges::GroupSet;
use crate::id::{PeerId, GROUP_BYTES};
use crate::protocol::Class;

/// A request that was let in, waiting or started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What becomes of a new request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Serve it now.
    Start(Ticket),
    /// Keep it; [`Serving::poll`] names it later.
    Wait(Ticket),
    /// Answer "busy"; it may be asked again after this long.
    Busy { retry: Duration },
}

/// What is to be done about a waiting request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Serve it now.
    Start(Ticket),
    /// It waited long enough: answer "busy". The ticket is void.
    Busy { ticket: Ticket, retry: Duration },
    /// Stop sending: its asker is slow, and others wait. [`Serving::handle_done`]
    /// follows.
    GiveUp(Ticket),
}

/// The upload slots of this peer.
#[derive(Debug, Default)]
pub struct Serving {
    running: BTreeMap<Ticket, Request>,
    /// In order of arrival.
    waiting: VecDeque<(Ticket, Request)>,
    shares: Shares,
    pace: Pace,
    /// What plays here is short of bytes itself.
    is_short: bool,
    next_ticket: u64,
}

#[derive(Debug)]
struct Request {
    peer: PeerId,
    class: Class,
    /// Chunk groups that it is for.
    groups: u32,
    /// When it came, or was started.
    since: Instant,
    is_given_up: bool,
}

impl Request {
    /// Until when it keeps its slot although others wait.
    fn has_until(&self) -> Instant {
        self.since + SLOW_START + GROUP_TIME * self.groups
    }
}

impl Serving {
    pub fn new() -> Self {
        Self::default()
    }

    /// A peer asks for `groups` of some track.
    pub fn handle_request(
        &mut self,
        peer: PeerId,
        class: Class,
        groups: &GroupSet,
        now: Instant,
    ) -> Admission {
        let request = Request {
            peer,
            class,
            groups: groups.count(),
            since: now,
            is_given_up: false,
        };
        if self.is_short && class == Class::Rest {
            let retry = RETRY_WHEN_SHORT;
            return Admission::Busy { retry };
        }
        let ticket = Ticket(self.next_ticket);
        let overtakes = |(_, other): &(Ticket, Request)| {
            other.class <= class && self.has_slot(other.peer, other.class)
        };
        if self.has_slot(peer, class) && !self.waiting.iter().any(overtakes) {
            self.next_ticket += 1;
            self.start(ticket, request, now);
            return Admission::Start(ticket);
        }
        let of_peer = self.waiting.iter().filter(|(_, r)| r.peer == peer).count();
        if of_peer >= MAX_WAITING_PER_PEER || self.waiting.len() >= MAX_WAITING {
            let retry = self.retry();
            return Admission::Busy { retry };
        }
        self.next_ticket += 1;
        self.waiting.push_back((ticket, request));
        Admission::Wait(ticket)
    }

    /// A request was served, failed, or was given up by its asker; so many groups of it
    /// have reached that.
    pub fn handle_done(&mut self, ticket: Ticket, groups: u32, now: Instant) {
        if self.running.remove(&ticket).is_some() {
            let idle = self.running.is_empty();
            let bytes = u64::from(groups) * GROUP_BYTES;
            self.pace.handle_sent(bytes, idle, now);
        }
        self.waiting.retain(|(t, _)| *t != ticket);
    }

    /// Whether what plays here is short of bytes itself.
    pub fn handle_short(&mut self, is_short: bool) {
        self.is_short = is_short;
    }

    /// How long what others than `peer` are being sent will take yet, at the pace at which
    /// they take it; `None` when that is nothing.
    pub fn backlog(&self, peer: PeerId) -> Option<Duration> {
        let others = self.running.values().filter(|r| r.peer != peer);
        let groups: u64 = others.map(|r| u64::from(r.groups)).sum();
        (groups > 0).then(|| self.pace.time_for(groups * GROUP_BYTES))
    }

    /// A peer's connection is gone, and its requests with it.
    pub fn handle_gone(&mut self, peer: PeerId) {
        self.running.retain(|_, request| request.peer != peer);
        self.waiting.retain(|(_, request)| request.peer != peer);
    }

    /// The next thing to do about a waiting request.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        if let Some(at) = self.best_waiting(now) {
            let (ticket, request) = self.waiting.remove(at)?;
            self.start(ticket, request, now);
            return Some(Action::Start(ticket));
        }
        if let Some((ticket, _)) = self.slowest().filter(|(_, until)| *until <= now) {
            self.running.get_mut(&ticket)?.is_given_up = true;
            return Some(Action::GiveUp(ticket));
        }
        let (_, oldest) = self.waiting.front()?;
        if now < oldest.since + MAX_WAIT {
            return None;
        }
        let (ticket, _) = self.waiting.pop_front()?;
        let retry = self.retry();
        Some(Action::Busy { ticket, retry })
    }

    /// When a waiting request has waited long enough, or a slow one has had its time.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (_, oldest) = self.waiting.front()?;
        let slowest = self.slowest().map(|(_, until)| until);
        slowest.into_iter().chain([oldest.since + MAX_WAIT]).min()
    }

    /// How many requests are being served.
    #[cfg(test)]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// How many requests wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn best_waiting(&self, now: Instant) -> Option<usize> {
        let startable = self.waiting.iter().enumerate();
        startable
            .filter(|(_, (_, r))| self.has_slot(r.peer, r.class))
            .min_by_key(|(_, (ticket, r))| (r.class, self.shares.of(r.peer, now), *ticket))
            .map(|(at, _)| at)
    }

    /// The request that first has to give its slot to one that waits, and when.
    fn slowest(&self) -> Option<(Ticket, Instant)> {
        let given_up = self.running.values().filter(|r| r.is_given_up).count();
        if given_up >= self.waiting.len() {
            return None;
        }
        let may_take = |slow: &Request| {
            let mut waiting = self.waiting.iter().map(|(_, r)| r);
            waiting.any(|r| {
                r.peer != slow.peer
                    && r.class <= slow.class
                    && self.of_peer(r.peer) < SLOTS_PER_PEER
            })
        };
        let slow = self
            .running
            .iter()
            .filter(|(_, r)| !r.is_given_up && may_take(r));
        slow.map(|(ticket, r)| (*ticket, r.has_until()))
            .min_by_key(|(ticket, until)| (*until, *ticket))
    }

    fn of_peer(&self, peer: PeerId) -> usize {
        self.running.values().filter(|r| r.peer == peer).count()
    }

    fn has_slot(&self, peer: PeerId, class: Class) -> bool {
        let of_peer = self.of_peer(peer);
        let slots = match class {
            Class::Now => SLOTS,
            Class::Next => SLOTS_NEXT,
            Class::Rest => SLOTS_REST,
        };
        let slots = match self.is_short {
            true => slots.min(SLOTS_WHEN_SHORT),
            false => slots,
        };
        of_peer < SLOTS_PER_PEER && self.running.len() < slots
    }

    fn start(&mut self, ticket: Ticket, mut request: Request, now: Instant) {
        self.shares.charge(request.peer, request.groups, now);
        self.pace.handle_start(now);
        request.since = now;
        self.running.insert(ticket, request);
    }

    /// The fuller it is, the later one may come again.
    fn retry(&self) -> Duration {
        let rounds = self.waiting.len() / SLOTS + 1;
        RETRY * u32::try_from(rounds).unwrap_or(u32::MAX)
    }
}

/// Requests served at once. Each has a thread for its disk reads while it is encoded and
/// up to 1 MiB under way: 16 MiB, what a Pi with 512 MiB can spare.
pub const SLOTS: usize = 16;

/// Of these, as many may be taken by what is not listened to (yet), so that a new listener
/// finds one free.
const SLOTS_NEXT: usize = 12;
const SLOTS_REST: usize = 8;

/// And of all, while what plays here is short of bytes itself: the line is shared, and one
/// listener elsewhere is as much worth as the one here.
const SLOTS_WHEN_SHORT: usize = 2;

/// What one receiver's scheduler has at one source: four, and one for a seek.
const SLOTS_PER_PEER: usize = 5;

/// Waiting requests of one peer: one round of its scheduler.
const MAX_WAITING_PER_PEER: usize = 4;

/// Waiting requests of all: 16 peers with a full round each.
const MAX_WAITING: usize = 64;

/// A receiver gives a silent source up after 4 s; before that it is told to come again.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// What a started request has in any case, while others wait: a lost packet or two.
const SLOW_START: Duration = Duration::from_secs(2);

/// And for each group: 256 KiB/s, more than the music that is being listened to.
const GROUP_TIME: Duration = Duration::from_micros(62_500);

/// About what a slot takes to come free: 1 MiB at 2 MB/s.
const RETRY: Duration = Duration::from_millis(500);

/// Who is short of music has some again, or has run out of sources, after this long.
const RETRY_WHEN_SHORT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
