//! Addresses at which nobody has answered yet: how much is sent there, and when.
//!
//! Others say where a peer is: its own registration, a tracker, an announcement. Each of
//! them may name any address, and do so for a hundred identities, so that a whole swarm
//! would knock at an address that has nothing to do with it.
//!
//! What must hold:
//! - Where hands were shaken, by a certificate of the swarm, is dialled freely.
//! - Anywhere else an attempt has a handful of datagrams, until something comes back.
//! - At one host few such attempts are under way, and after one that failed it rests,
//!   whichever peer and whichever port is looked for there, longer each time.
//! - A host where some port is proven is a member's. There each port rests by itself, and so
//!   does one anywhere where a handshake was answered, but not by a member: two nodes of one
//!   machine may have different keys.
//! - What failed on another network, or with other keys, is tried at once.
//!
//! Not here: which addresses are believed at all; see `near`, and the places that list them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::util::backoff::Backoff;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Unproven {
    /// Where hands were shaken, and when in the order of all.
    proven: BTreeMap<DialTarget, u64>,
    resting: BTreeMap<DialTarget, DialPause>,
    /// What may still be sent.
    quotas: BTreeMap<DialTarget, DatagramQuota>,
    count: u64,
    /// How often the network, or the keys, have become others.
    changes: u64,
}

/// An address; without a port (0) it is the whole host.
type DialTarget = (IpAddr, u16);

#[derive(Debug, Default)]
struct DialPause {
    under_way: usize,
    failures: u32,
    until: Option<Instant>,
}

impl DialPause {
    fn handle_failure(&mut self, is_near: bool, now: Instant) {
        // What fails while it rests was begun before, and is the same failure.
        if self.until.is_none_or(|until| until <= now) {
            let longest = if is_near { LONGEST_NEAR } else { LONGEST_FAR };
            let rests = Backoff::new(FIRST_REST, longest);
            self.until = Some(now + rests.rest(self.failures));
            self.failures += 1;
        }
    }
}

#[derive(Debug)]
struct DatagramQuota {
    left: usize,
    begun: u64,
    last: Option<Instant>,
}

/// Whether an address may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialPermit {
    /// It is proven.
    Free,
    /// With a handful of datagrams. How it went is told by [`Unproven::handle_failed`] or
    /// [`Unproven::handle_refused`] with this, or [`Unproven::handle_proven`].
    Limited(Attempt),
    /// Others are at it: ask again soon.
    Wait,
    /// Not before this has passed.
    Rests(Duration),
}

/// An attempt at an address that is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    place: DialTarget,
    /// What rests if nobody answers: the place, or its whole host.
    counted: DialTarget,
    /// How many changes there were before it.
    changes: u64,
}

impl Unproven {
    /// Somebody is to be dialled at `at`.
    pub fn ask(&mut self, at: SocketAddr, now: Instant) -> DialPermit {
        let place = (at.ip(), at.port());
        if self.proven.contains_key(&place) {
            return DialPermit::Free;
        }
        let host = (at.ip(), 0)..=(at.ip(), u16::MAX);
        let is_members = self.proven.range(host).next().is_some();
        let counted = if is_members { place } else { (at.ip(), 0) };
        self.make_room();
        let own = self.resting.get(&place).and_then(|pause| pause.until);
        let pause = self.resting.entry(counted).or_default();
        if pause.under_way >= MAX_AT_ONCE {
            return DialPermit::Wait;
        }
        if let Some(until) = pause.until.max(own).filter(|until| *until > now) {
            return DialPermit::Rests(until - now);
        }
        pause.under_way += 1;
        self.count += 1;
        let quota = DatagramQuota {
            left: MAX_DATAGRAMS,
            begun: self.count,
            last: None,
        };
        self.quotas.insert(place, quota);
        DialPermit::Limited(Attempt {
            place,
            counted,
            changes: self.changes,
        })
    }

    /// An attempt is over, and nobody has answered.
    pub fn handle_failed(&mut self, attempt: Attempt, is_near: bool, now: Instant) {
        self.handle_over(attempt, attempt.counted, is_near, now);
    }

    /// An attempt is over: a handshake was begun there, by no member. Nothing is known of the
    /// host's other ports.
    pub fn handle_refused(&mut self, attempt: Attempt, is_near: bool, now: Instant) {
        self.handle_over(attempt, attempt.place, is_near, now);
    }

    fn handle_over(&mut self, attempt: Attempt, rests: DialTarget, is_near: bool, now: Instant) {
        // Forgotten where a peer has shaken hands meanwhile.
        let Some(pause) = self.resting.get_mut(&attempt.counted) else {
            return;
        };
        pause.under_way = pause.under_way.saturating_sub(1);
        // What was begun before a change says nothing of now.
        if attempt.changes == self.changes {
            self.make_room();
            let pause = self.resting.entry(rests).or_default();
            pause.handle_failure(is_near, now);
        }
    }

    /// A peer has shaken hands at `at`, whichever side has dialled.
    pub fn handle_proven(&mut self, at: SocketAddr) {
        let place = (at.ip(), at.port());
        self.count += 1;
        self.proven.insert(place, self.count);
        if self.proven.len() > MAX_PROVEN {
            let oldest = self.proven.iter().min_by_key(|(_, count)| **count);
            let oldest = oldest.map(|(place, _)| *place);
            oldest.map(|place| self.proven.remove(&place));
        }
        self.quotas.remove(&place);
        self.resting.remove(&place);
        self.resting.remove(&(at.ip(), 0));
    }

    /// What has failed may go well now: the network is another, or the keys are.
    pub fn handle_change(&mut self) {
        self.changes += 1;
        for rest in self.resting.values_mut() {
            (rest.failures, rest.until) = (0, None);
        }
        self.resting.retain(|_, rest| rest.under_way > 0);
    }

    /// How many of these there were: an attempt that has failed is made again where there are
    /// more by then.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether something has come from `at`, or may be sent without limit in any case.
    pub fn is_heard(&self, at: SocketAddr) -> bool {
        !self.quotas.contains_key(&(at.ip(), at.port()))
    }

    /// Something has come from `at`.
    pub fn handle_heard(&mut self, at: SocketAddr) {
        self.quotas.remove(&(at.ip(), at.port()));
    }

    /// How many of so many datagrams to `at` may go; the others are as good as lost.
    pub fn may_send(&mut self, at: SocketAddr, datagrams: usize, now: Instant) -> usize {
        let Some(quota) = self.quotas.get_mut(&(at.ip(), at.port())) else {
            return datagrams;
        };
        // A tail is probed by two at once, which would be lost together.
        let is_early = quota.last.is_some_and(|last| now < last + APART);
        if quota.left == 0 || is_early {
            return 0;
        }
        quota.left -= 1;
        quota.last = Some(now);
        1
    }

    /// Forgets what is over for longest, or was begun first.
    fn make_room(&mut self) {
        if self.resting.len() >= MAX_RESTING {
            let idle = self.resting.iter().filter(|(_, rest)| rest.under_way == 0);
            let first = idle.min_by_key(|(_, rest)| rest.until);
            let first = first.map(|(place, _)| *place);
            first.map(|place| self.resting.remove(&place));
        }
        if self.quotas.len() >= MAX_RESTING {
            let first = self.quotas.iter().min_by_key(|(_, quota)| quota.begun);
            let first = first.map(|(place, _)| *place);
            first.map(|place| self.quotas.remove(&place));
        }
    }
}

/// In an attempt, until something comes back: quinn sends them after 0, 90, 270 and 630 ms,
/// so that a burst of losses does not end it.
const MAX_DATAGRAMS: usize = 4;
/// From one to the next; less than what quinn waits for the first.
const APART: Duration = Duration::from_millis(50);
/// At one host: two nodes that are new there do not wait for each other.
const MAX_AT_ONCE: usize = 2;
/// After the first failure.
const FIRST_REST: Duration = Duration::from_secs(1);
/// In the home: no longer than a person waits for a speaker that is back, and a datagram in
/// two seconds bothers nobody.
const LONGEST_NEAR: Duration = Duration::from_secs(8);
/// On the Internet, where the whole swarm may be aimed at one.
const LONGEST_FAR: Duration = Duration::from_secs(300);
/// As many as there can be peers.
const MAX_PROVEN: usize = 1024;
/// Four addresses of each peer that there can be; some 400 KB when a member has named them
/// all.
const MAX_RESTING: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: u8, port: u16) -> SocketAddr {
        ([192, 168, 1, host], port).into()
    }

    fn limited(turn: DialPermit) -> Attempt {
        match turn {
            DialPermit::Limited(attempt) => attempt,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_host_that_never_answers_rests_whatever_port_is_named() {
        let mut unproven = Unproven::default();
        let mut now = Instant::now();
        let begin = now;
        let (mut attempts, mut port) = (0, 1);
        while now < begin + Duration::from_secs(3600) {
            port += 1;
            match unproven.ask(at(1, port), now) {
                DialPermit::Limited(attempt) => {
                    attempts += 1;
                    let sent: usize = (0..20)
                        .map(|n| now + APART * n)
                        .map(|now| unproven.may_send(at(1, port), 2, now))
                        .sum();
                    assert_eq!(sent, MAX_DATAGRAMS);
                    unproven.handle_failed(attempt, false, now);
                }
                DialPermit::Rests(rest) => now += rest,
                other => panic!("{other:?}"),
            }
        }
        assert!((12..22).contains(&attempts), "{attempts} in an hour");
    }

    #[test]
    fn a_speaker_that_is_back_does_not_wait_for_long() {
        let mut unproven = Unproven::default();
        let mut now = Instant::now();
        for _ in 0..100 {
            let attempt = limited(unproven.ask(at(1, 1), now));
            unproven.handle_failed(attempt, true, now);
            let DialPermit::Rests(rest) = unproven.ask(at(1, 1), now) else {
                panic!("it does not rest");
            };
            assert!(rest <= LONGEST_NEAR);
            now += rest;
        }
        unproven.ask(at(1, 1), now);
        // It has dialled meanwhile.
        unproven.handle_proven(at(1, 1));
        assert_eq!(unproven.ask(at(1, 1), now), DialPermit::Free);
        assert_eq!(unproven.may_send(at(1, 1), 7, now), 7);
    }

    #[test]
    fn others_of_a_members_host_are_not_held_up_by_one_that_is_dead() {
        let mut unproven = Unproven::default();
        let now = Instant::now();
        let first = limited(unproven.ask(at(1, 1), now));
        limited(unproven.ask(at(1, 2), now));
        assert_eq!(unproven.ask(at(1, 3), now), DialPermit::Wait);
        unproven.handle_failed(first, true, now);
        unproven.handle_proven(at(1, 2));
        let dead = limited(unproven.ask(at(1, 1), now));
        unproven.handle_failed(dead, true, now);
        assert!(matches!(unproven.ask(at(1, 1), now), DialPermit::Rests(_)));
        limited(unproven.ask(at(1, 3), now));
        unproven.handle_change();
        limited(unproven.ask(at(1, 1), now));
    }

    #[test]
    fn a_stranger_that_answers_rests_alone_and_longer_each_time() {
        let mut unproven = Unproven::default();
        let mut now = Instant::now();
        let begin = now;
        let mut attempts = 0;
        while now < begin + Duration::from_secs(3600) {
            match unproven.ask(at(1, 1), now) {
                DialPermit::Limited(attempt) => {
                    attempts += 1;
                    unproven.handle_refused(attempt, false, now);
                    let other = limited(unproven.ask(at(1, 2), now));
                    unproven.handle_refused(other, false, now);
                    assert!(matches!(unproven.ask(at(1, 2), now), DialPermit::Rests(_)));
                }
                DialPermit::Rests(rest) => now += rest,
                other => panic!("{other:?}"),
            }
        }
        assert!((12..22).contains(&attempts), "{attempts} in an hour");
        // The host's other ports are not spared for that one.
        let silent = limited(unproven.ask(at(1, 3), now));
        unproven.handle_failed(silent, false, now);
        let rest = DialPermit::Rests(FIRST_REST);
        assert_eq!(unproven.ask(at(1, 4), now), rest);
    }

    #[test]
    fn what_was_begun_before_a_change_says_nothing_after_it() {
        let mut unproven = Unproven::default();
        let now = Instant::now();
        let [first, second] = [1, 2].map(|port| limited(unproven.ask(at(1, port), now)));
        unproven.handle_failed(first, true, now);
        assert!(matches!(unproven.ask(at(1, 1), now), DialPermit::Rests(_)));
        unproven.handle_change();
        let third = limited(unproven.ask(at(1, 1), now));
        unproven.handle_failed(second, true, now);
        let fourth = limited(unproven.ask(at(1, 2), now));
        unproven.handle_failed(third, true, now);
        assert_eq!(unproven.ask(at(1, 1), now), DialPermit::Rests(FIRST_REST));
        unproven.handle_failed(fourth, true, now);
        let rest = DialPermit::Rests(FIRST_REST);
        assert_eq!(unproven.ask(at(1, 1), now), rest, "the same failure");
    }

    #[test]
    fn what_has_answered_once_is_sent_what_there_is() {
        let mut unproven = Unproven::default();
        let now = Instant::now();
        limited(unproven.ask(at(1, 1), now));
        assert_eq!(unproven.may_send(at(1, 1), 2, now), 1);
        assert_eq!(unproven.may_send(at(1, 1), 1, now), 0);
        assert!(!unproven.is_heard(at(1, 1)));
        unproven.handle_heard(at(1, 1));
        assert_eq!(unproven.may_send(at(1, 1), 40, now), 40);
        assert_eq!(unproven.may_send(at(2, 1), 40, now), 40, "nobody dials it");
    }

    #[test]
    fn however_many_are_named_so_many_are_kept() {
        let mut unproven = Unproven::default();
        let now = Instant::now();
        for n in 0..3 * MAX_RESTING as u32 {
            let at = SocketAddr::from((std::net::Ipv4Addr::from_bits(n), 1));
            let attempt = limited(unproven.ask(at, now));
            unproven.handle_failed(attempt, false, now);
            unproven.handle_proven((std::net::Ipv4Addr::from_bits(!n), 1).into());
        }
        assert!(unproven.resting.len() <= MAX_RESTING && unproven.quotas.len() <= MAX_RESTING);
        assert!(unproven.proven.len() <= MAX_PROVEN);
    }
}
