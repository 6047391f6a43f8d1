//! Upload slots: which of the requests that others make is served now, which waits.
//!
//! What must hold:
//! - What somebody listens to goes before what is played next, and that before the rest;
//!   slots are kept free so that a listener never waits for others' fetching ahead.
//! - Among peers of one class, who is being sent the least goes first; then, who was
//!   started the longest ago. No peer can fill the slots or the queue by asking more.
//! - Who takes its answer too slowly gives its slot up while others wait for one.
//! - Every request is started, or told to come again before its asker gives up on us.
//! - Slots and queue are bounded, whatever is asked.
//!
//! Not here: the sending, and how fast it goes; congestion control shares the line.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::content::ranges::GroupSet;
use crate::id::PeerId;
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
    /// The last start of each peer that has requests here, as a count of all starts.
    last_start: BTreeMap<PeerId, u64>,
    starts: u64,
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

    /// A request was served, failed, or was given up by its asker.
    pub fn handle_done(&mut self, ticket: Ticket, _now: Instant) {
        self.running.remove(&ticket);
        self.waiting.retain(|(t, _)| *t != ticket);
        self.forget_idle();
    }

    /// A peer's connection is gone, and its requests with it.
    pub fn handle_gone(&mut self, peer: PeerId) {
        self.running.retain(|_, request| request.peer != peer);
        self.waiting.retain(|(_, request)| request.peer != peer);
        self.forget_idle();
    }

    /// The next thing to do about a waiting request.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        if let Some(at) = self.best_waiting() {
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
        self.forget_idle();
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

    fn best_waiting(&self) -> Option<usize> {
        let startable = self.waiting.iter().enumerate();
        startable
            .filter(|(_, (_, r))| self.has_slot(r.peer, r.class))
            .min_by_key(|(_, (ticket, r))| {
                let last = self.last_start.get(&r.peer).copied();
                (r.class, self.sending(r.peer), last, *ticket)
            })
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
        of_peer < SLOTS_PER_PEER && self.running.len() < slots
    }

    /// Groups that a peer is being sent.
    fn sending(&self, peer: PeerId) -> u64 {
        let of_peer = self.running.values().filter(|r| r.peer == peer);
        of_peer.map(|r| u64::from(r.groups)).sum()
    }

    fn start(&mut self, ticket: Ticket, mut request: Request, now: Instant) {
        self.starts += 1;
        self.last_start.insert(request.peer, self.starts);
        request.since = now;
        self.running.insert(ticket, request);
    }

    /// Starts are remembered only of peers that are here, so that nothing grows.
    fn forget_idle(&mut self) {
        let Self {
            running, waiting, ..
        } = self;
        self.last_start.retain(|peer, _| {
            running.values().any(|r| r.peer == *peer)
                || waiting.iter().any(|(_, r)| r.peer == *peer)
        });
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn ask(serving: &mut Serving, n: u8, class: Class, now: Instant) -> Admission {
        serving.handle_request(peer(n), class, &(0..16).into(), now)
    }

    fn class() -> impl Strategy<Value = Class> {
        prop_oneof![Just(Class::Now), Just(Class::Next), Just(Class::Rest)]
    }

    #[derive(Clone, Debug)]
    enum Event {
        Ask(u8, Class),
        Done(proptest::sample::Index),
        Gone(u8),
        Pass(u64),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            6 => (0u8..30, class()).prop_map(|(n, class)| Event::Ask(n, class)),
            3 => any::<proptest::sample::Index>().prop_map(Event::Done),
            1 => (0u8..30).prop_map(Event::Gone),
            1 => (0u64..2000).prop_map(Event::Pass),
        ];
        proptest::collection::vec(event, 0..400)
    }

    proptest! {
        #[test]
        fn every_bound_holds_and_every_request_is_answered(events in events()) {
            let mut serving = Serving::new();
            let mut now = Instant::now();
            let mut open: BTreeMap<Ticket, u8> = BTreeMap::new();
            for event in events {
                match event {
                    Event::Ask(n, class) => match ask(&mut serving, n, class, now) {
                        Admission::Start(ticket) | Admission::Wait(ticket) => {
                            prop_assert!(open.insert(ticket, n).is_none());
                        }
                        Admission::Busy { retry } => prop_assert!(retry >= RETRY),
                    },
                    Event::Done(index) if !open.is_empty() => {
                        let ticket = *open.keys().nth(index.index(open.len())).unwrap();
                        open.remove(&ticket);
                        serving.handle_done(ticket, now);
                    }
                    Event::Done(_) => {}
                    Event::Gone(n) => {
                        open.retain(|_, peer| *peer != n);
                        serving.handle_gone(peer(n));
                    }
                    Event::Pass(ms) => now += Duration::from_millis(ms),
                }
                while let Some(action) = serving.poll(now) {
                    match action {
                        Action::Start(ticket) => prop_assert!(open.contains_key(&ticket)),
                        Action::Busy { ticket, .. } => prop_assert!(open.remove(&ticket).is_some()),
                        Action::GiveUp(ticket) => {
                            prop_assert!(serving.waiting() > 0 && open.contains_key(&ticket));
                        }
                    }
                }
                prop_assert!(serving.poll_timeout().is_none_or(|at| at > now));
                prop_assert_eq!(serving.running() + serving.waiting(), open.len());
                prop_assert!(serving.running() <= SLOTS && serving.waiting() <= MAX_WAITING);
                for n in 0..30 {
                    let of_peer = |r: &Request| r.peer == peer(n);
                    prop_assert!(serving.running.values().filter(|r| of_peer(r)).count() <= SLOTS_PER_PEER);
                    prop_assert!(serving.waiting.iter().filter(|(_, r)| of_peer(r)).count() <= MAX_WAITING_PER_PEER);
                }
                prop_assert!(serving.last_start.len() <= open.len());
            }
        }
    }

    #[test]
    fn a_listener_finds_a_slot_however_much_is_fetched_ahead() {
        let now = Instant::now();
        let mut serving = Serving::new();
        for n in 0..40 {
            ask(&mut serving, n, Class::Rest, now);
        }
        for n in 40..80 {
            ask(&mut serving, n, Class::Next, now);
        }
        assert_eq!(serving.running(), SLOTS_NEXT);
        let listener = ask(&mut serving, 99, Class::Now, now);
        assert!(matches!(listener, Admission::Start(_)));
    }

    #[test]
    fn a_greedy_peer_does_not_hold_the_others_up() {
        let now = Instant::now();
        let mut serving = Serving::new();
        let greedy: Vec<_> = (0..20)
            .map(|_| ask(&mut serving, 1, Class::Now, now))
            .collect();
        let count = |wanted: fn(&Admission) -> bool| greedy.iter().filter(|a| wanted(a)).count();
        assert_eq!(count(|a| matches!(a, Admission::Start(_))), SLOTS_PER_PEER);
        assert_eq!(
            count(|a| matches!(a, Admission::Wait(_))),
            MAX_WAITING_PER_PEER
        );
        let modest = ask(&mut serving, 2, Class::Now, now);
        assert!(matches!(modest, Admission::Start(_)));
    }

    #[test]
    fn a_free_slot_goes_to_the_urgent_then_to_who_is_sent_the_least() {
        let now = Instant::now();
        let mut serving = Serving::new();
        let mut started = Vec::new();
        for n in [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5] {
            if let Admission::Start(ticket) = ask(&mut serving, n, Class::Now, now) {
                started.push(ticket);
            }
        }
        assert_eq!(serving.running(), SLOTS);
        let mut wait = |n, class| match ask(&mut serving, n, class, now) {
            Admission::Wait(ticket) => ticket,
            other => panic!("{other:?}"),
        };
        let rest = wait(6, Class::Rest);
        let (much, little) = (wait(1, Class::Now), wait(4, Class::Now));
        let mut order = Vec::new();
        for ticket in started.iter().skip(4) {
            serving.handle_done(*ticket, now);
            while let Some(Action::Start(ticket)) = serving.poll(now) {
                order.push(ticket);
            }
        }
        assert_eq!(order, [little, much, rest]);
    }

    #[test]
    fn who_waited_long_enough_is_told_to_come_again() {
        let now = Instant::now();
        let mut serving = Serving::new();
        let mut last = None;
        for n in 0..=SLOTS as u8 {
            last = Some(ask(&mut serving, n, Class::Now, now));
        }
        let Some(Admission::Wait(ticket)) = last else {
            panic!("{last:?}");
        };
        assert_eq!(serving.poll(now), None);
        let at = serving.poll_timeout().unwrap();
        let retry = RETRY;
        // By then the others have had their time, too.
        assert_eq!(serving.poll(at), Some(Action::GiveUp(Ticket(0))));
        assert_eq!(serving.poll(at), Some(Action::Busy { ticket, retry }));
        assert_eq!(serving.poll_timeout(), None);
    }

    /// However slowly some read, who comes then gets a slot within what it waits for
    /// one and a second try.
    #[test]
    fn slow_readers_give_their_slots_to_who_waits() {
        let now = Instant::now();
        let mut serving = Serving::new();
        for n in 0..SLOTS as u8 {
            ask(&mut serving, n / 4, Class::Now, now);
        }
        let slow = now + SLOW_START + GROUP_TIME * 16;
        let Admission::Wait(waits) = ask(&mut serving, 99, Class::Now, slow - RETRY) else {
            panic!("there is a slot left");
        };
        assert_eq!(serving.poll(slow - RETRY), None, "they still have time");
        assert_eq!(serving.poll_timeout(), Some(slow));
        assert_eq!(serving.poll(slow), Some(Action::GiveUp(Ticket(0))));
        assert_eq!(serving.poll(slow), None, "one for one");
        serving.handle_done(Ticket(0), slow);
        assert_eq!(serving.poll(slow), Some(Action::Start(waits)));
    }

    #[test]
    fn nobody_gives_up_a_slot_for_who_is_less_urgent() {
        let now = Instant::now();
        let mut serving = Serving::new();
        for n in 0..SLOTS as u8 {
            ask(&mut serving, n, Class::Now, now);
        }
        let late = now + Duration::from_secs(60);
        let rest = ask(&mut serving, 99, Class::Rest, late);
        assert!(matches!(rest, Admission::Wait(_)));
        assert_eq!(serving.poll(late), None);
    }

    #[test]
    fn a_newcomer_does_not_overtake_who_waits() {
        let now = Instant::now();
        let mut serving = Serving::new();
        for n in 0..=SLOTS as u8 {
            ask(&mut serving, n, Class::Now, now);
        }
        serving.handle_done(Ticket(0), now);
        let newcomer = ask(&mut serving, 99, Class::Now, now);
        assert!(matches!(newcomer, Admission::Wait(_)));
        let waited = Ticket(SLOTS as u64);
        assert_eq!(serving.poll(now), Some(Action::Start(waited)));
        assert_eq!(serving.poll(now), None);
    }
}
