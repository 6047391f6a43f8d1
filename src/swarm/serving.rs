//! Upload slots: which of the requests that others make is served now, which waits.
//!
//! What must hold:
//! - What somebody listens to goes before what is played next, and that before the rest;
//!   slots are kept free so that a listener never waits for others' fetching ahead. Of what
//!   a peer says that it listens to, so much is believed as one can ([`listening`]).
//! - Within a class, the host that was sent the least lately goes first, and of its peers
//!   the one that was, by bytes and not by requests. No peer can fill the slots or the queue
//!   by asking more, and no host by being many peers: of the last slots, the host that was
//!   sent the least may take one, as long as it leaves more to others than it has.
//! - A peer that is short of music itself serves less: nothing that is only fetched, and of the
//!   rest little at a time.
//! - A requester that takes its answer too slowly gives its slot up while others wait for one.
//! - Every request is started, or told to come again before its requester gives up on us.
//! - Slots and queue are bounded, whatever is asked.
//!
//! What is asked of the own catalogue takes no slot, but has its turn on the line: [`own`].
//!
//! Not here: the sending, and how fast it goes; congestion control shares the line.

mod listening;
pub mod own;
mod pace;
mod share;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use self::{listening::Listening, pace::RateMeter, share::SentShares};
use crate::id::{PeerId, GROUP_BYTES};
use crate::protocol::Class;
use crate::swarm::budget::Precedence;
use crate::swarm::requester::{HostKey, Requester};
use crate::{content::ranges::GroupSet, util::tree};

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
pub enum ServeAction {
    /// Serve it now.
    Start(Ticket),
    /// It waited long enough: answer "busy". The ticket is void.
    Busy { ticket: Ticket, retry: Duration },
    /// Stop sending: its requester is slow, and others wait. [`Serving::handle_done`]
    /// follows.
    GiveUp(Ticket),
}

/// The upload slots of this peer.
#[derive(Debug, Default)]
pub struct Serving {
    running: BTreeMap<Ticket, WaitingRequest>,
    /// In order of arrival.
    waiting: VecDeque<(Ticket, WaitingRequest)>,
    shares: SentShares,
    listening: Listening,
    pace: RateMeter,
    /// What plays here is short of bytes itself.
    is_short: bool,
    next_ticket: u64,
}

#[derive(Debug)]
struct WaitingRequest {
    requester: Requester,
    class: Class,
    /// Chunk groups that it is for.
    groups: u32,
    /// When it came, or was started.
    since: Instant,
    is_given_up: bool,
}

impl WaitingRequest {
    /// Until when it keeps its slot although others wait.
    fn has_until(&self) -> Instant {
        self.since + SLOW_START + GROUP_TIME * self.groups.min(LARGEST)
    }
}

impl Serving {
    pub fn new() -> Self {
        Self::default()
    }

    /// As what a request is served whose requester says that it is `class`: of a track of which
    /// a second takes `rate` bytes, if that is known.
    pub fn precedence(
        &mut self,
        requester: Requester,
        class: Class,
        groups: &GroupSet,
        rate: Option<u64>,
        now: Instant,
    ) -> Precedence {
        let groups = groups.count();
        let believed = self.listening.believe(requester, class, groups, rate, now);
        let own = match class {
            Class::Now if !believed => Class::Next,
            class => class,
        };
        let class = if believed { Class::Now } else { own };
        Precedence {
            requester,
            class,
            own,
        }
    }

    /// What was to be sent by this is not sent.
    pub fn handle_unsent(&mut self, precedence: Precedence, groups: &GroupSet, rate: Option<u64>) {
        if precedence.class == Class::Now {
            self.listening
                .take_back(precedence.requester, groups.count(), rate);
        }
    }

    /// A peer asks for `groups` of some track.
    pub fn handle_request(
        &mut self,
        requester: Requester,
        class: Class,
        groups: &GroupSet,
        now: Instant,
    ) -> Admission {
        let request = WaitingRequest {
            requester,
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
        let overtakes = |(_, other): &(Ticket, WaitingRequest)| {
            other.class <= class && self.has_slot(other.requester, other.class, now)
        };
        if self.has_slot(requester, class, now) && !self.waiting.iter().any(overtakes) {
            self.next_ticket += 1;
            self.start(ticket, request, now);
            return Admission::Start(ticket);
        }
        let waiting = || self.waiting.iter().map(|(_, r)| r.requester);
        let of_peer = waiting().filter(|a| a.peer == requester.peer).count();
        let of_site = waiting().filter(|a| a.site == requester.site).count();
        let left = MAX_WAITING.saturating_sub(self.waiting.len());
        if of_peer >= MAX_WAITING_PER_PEER || of_site >= left {
            let retry = self.retry();
            return Admission::Busy { retry };
        }
        self.next_ticket += 1;
        self.waiting.push_back((ticket, request));
        Admission::Wait(ticket)
    }

    /// A request was served, failed, or was given up by its requester or for its slowness; so
    /// many bytes of it were sent.
    pub fn handle_done(&mut self, ticket: Ticket, bytes: u64, now: Instant) {
        if self.running.remove(&ticket).is_some() {
            let idle = self.running.is_empty();
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
        let others = self.running.values().filter(|r| r.requester.peer != peer);
        let groups: u64 = others.map(|r| u64::from(r.groups)).sum();
        (groups > 0).then(|| self.pace.time_for(groups * GROUP_BYTES))
    }

    /// Whether the line, shared by all hosts that ask or were sent something lately, brings
    /// `requester` less than `rate`, as far as its pace is known.
    pub fn is_too_thin(&self, requester: Requester, rate: u64, now: Instant) -> bool {
        let waiting = self.waiting.iter().map(|(_, r)| r);
        let requests = self.running.values().chain(waiting);
        let asking = requests.map(|r| r.requester.site).chain([requester.site]);
        let sites = asking.chain(self.shares.hosts(now));
        let sites = tree::set(sites).len() as u64;
        self.pace
            .rate()
            .is_some_and(|pace| pace / sites < rate + rate / 8)
    }

    /// A peer's connection is gone, and its requests with it.
    pub fn handle_gone(&mut self, peer: PeerId) {
        self.running
            .retain(|_, request| request.requester.peer != peer);
        self.waiting
            .retain(|(_, request)| request.requester.peer != peer);
    }

    /// The next thing to do about a waiting request.
    pub fn poll(&mut self, now: Instant) -> Option<ServeAction> {
        if let Some(at) = self.best_waiting(now) {
            let (ticket, request) = self.waiting.remove(at)?;
            self.start(ticket, request, now);
            return Some(ServeAction::Start(ticket));
        }
        if let Some((ticket, _)) = self.slowest().filter(|(_, until)| *until <= now) {
            self.running.get_mut(&ticket)?.is_given_up = true;
            return Some(ServeAction::GiveUp(ticket));
        }
        let (_, oldest) = self.waiting.front()?;
        if now < oldest.since + MAX_WAIT {
            return None;
        }
        let (ticket, _) = self.waiting.pop_front()?;
        let retry = self.retry();
        Some(ServeAction::Busy { ticket, retry })
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
            .filter(|(_, (_, r))| self.has_slot(r.requester, r.class, now))
            .min_by_key(|(_, (ticket, r))| (r.class, self.shares.of(r.requester, now), *ticket))
            .map(|(at, _)| at)
    }

    /// The request that first has to give its slot to one that waits, and when.
    fn slowest(&self) -> Option<(Ticket, Instant)> {
        let given_up = self.running.values().filter(|r| r.is_given_up).count();
        if given_up >= self.waiting.len() {
            return None;
        }
        let may_take = |slow: &WaitingRequest| {
            let mut waiting = self.waiting.iter().map(|(_, r)| r);
            waiting.any(|r| {
                r.requester.peer != slow.requester.peer
                    && r.class <= slow.class
                    && self.of_peer(r.requester.peer) < SLOTS_PER_PEER
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
        let of_peer = |r: &&WaitingRequest| r.requester.peer == peer;
        self.running.values().filter(of_peer).count()
    }

    fn of_site(&self, site: HostKey) -> usize {
        let of_site = |r: &&WaitingRequest| r.requester.site == site;
        self.running.values().filter(of_site).count()
    }

    /// Slots for `class` in all.
    fn slots_for(&self, class: Class) -> usize {
        let slots = match class {
            Class::Now => SLOTS,
            Class::Next => SLOTS_NEXT,
            Class::Rest => SLOTS_REST,
        };
        match self.is_short {
            true => slots.min(SLOTS_WHEN_SHORT),
            false => slots,
        }
    }

    /// Whether a slot is free for `requester`.
    fn has_slot(&self, requester: Requester, class: Class, now: Instant) -> bool {
        let slots = self.slots_for(class);
        let free = slots.saturating_sub(self.running.len());
        let is_last = free <= slots / LAST_SLOTS;
        free > 0
            && self.of_peer(requester.peer) < SLOTS_PER_PEER
            && (!is_last
                || (self.of_site(requester.site) < free && self.is_sent_the_least(requester, now)))
    }

    /// Whether no other host that asks was sent less than that of `requester` lately.
    fn is_sent_the_least(&self, requester: Requester, now: Instant) -> bool {
        let (of_site, _) = self.shares.of(requester, now);
        let waiting = self.waiting.iter().map(|(_, r)| r);
        let requests = self.running.values().chain(waiting);
        let mut others = requests
            .map(|r| r.requester)
            .filter(|a| a.site != requester.site);
        others.all(|other| self.shares.of(other, now).0 >= of_site)
    }

    fn start(&mut self, ticket: Ticket, mut request: WaitingRequest, now: Instant) {
        self.shares.charge(request.requester, request.groups, now);
        self.pace.handle_start(now);
        request.since = now;
        self.running.insert(ticket, request);
    }

    /// The more hosts wait, the later one may come again.
    fn retry(&self) -> Duration {
        let sites = self.waiting.iter().map(|(_, r)| r.requester.site);
        let rounds = tree::set(sites).len() / SLOTS + 1;
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

/// And of each number, the last of so many are for the host that was sent the least: a
/// listener finds one however many others ask.
const LAST_SLOTS: usize = 4;

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

/// As many as are counted for that: our schedulers ask for no more at a time.
const LARGEST: u32 = 64;

/// About what a slot takes to come free: 1 MiB at 2 MB/s.
const RETRY: Duration = Duration::from_millis(500);

/// A peer that is short of music has some again, or has run out of sources, after this long.
const RETRY_WHEN_SHORT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
