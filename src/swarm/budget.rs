//! A cap on what this peer sends, and which sender goes first under it.
//!
//! A sender that has a piece asks, and is either let through or told when to ask again.
//! Of those waiting the most urgent goes first, of these the host that was served longest
//! ago, of its peers the one that was, and of its requests the oldest.
//!
//! What must hold: over any time, no more is sent than the cap allows, but for [`BURST`]
//! and one piece; and a sender that does not ask again delays no other for longer than
//! [`PATIENCE`].

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::requester::{HostKey, Requester};
use crate::{id::PeerId, protocol::Class};

/// See the module's description.
#[derive(Debug, Default)]
pub struct Budget {
    /// Bytes a second; `None` is as fast as the line.
    rate: Option<u64>,
    /// When all that was let through will have been sent.
    until: Option<Instant>,
    /// The pieces that were told to ask again, and when.
    waiting: Vec<(QueuedPiece, Instant)>,
    turns: RecentSends,
}

/// A piece that a sender has ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedPiece {
    pub precedence: Precedence,
    /// Among the requests of the peer: the smallest goes first.
    pub age: u64,
}

/// The requester that something is sent to, and how urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precedence {
    pub requester: Requester,
    /// Among what all wait for.
    pub class: Class,
    /// Among what its requester waits for.
    pub own: Class,
}

/// When each host, and each peer, was let through last.
#[derive(Debug, Default)]
struct RecentSends {
    sites: BTreeMap<HostKey, Instant>,
    peers: BTreeMap<PeerId, Instant>,
}

/// What orders pieces: the least goes first.
type SendRank = (Class, Option<Instant>, Option<Instant>, (Class, u64));

impl RecentSends {
    /// When it is the turn of `piece`, among others.
    fn rank(&self, piece: &QueuedPiece) -> SendRank {
        let Precedence {
            requester,
            class,
            own,
        } = piece.precedence;
        let site = self.sites.get(&requester.site).copied();
        let peer = self.peers.get(&requester.peer).copied();
        (class, site, peer, (own, piece.age))
    }

    /// Some of what `requester` waits for is being sent.
    fn handle_sent(&mut self, requester: Requester, now: Instant) {
        self.sites.retain(|_, at| now < *at + REMEMBERED);
        self.peers.retain(|_, at| now < *at + REMEMBERED);
        self.sites.insert(requester.site, now);
        self.peers.insert(requester.peer, now);
    }
}

/// Whether a piece may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booking {
    /// Now. It counts as sent.
    Go,
    /// It may ask again then.
    AskAgain(Instant),
}

impl Budget {
    pub fn new(rate: Option<u64>) -> Self {
        Self {
            rate,
            ..Self::default()
        }
    }

    /// The cap is another from now on, or none.
    pub fn set_rate(&mut self, rate: Option<u64>) {
        *self = Self::new(rate);
    }

    /// Asks for the sending of `bytes`.
    pub fn book(&mut self, piece: QueuedPiece, bytes: u64, now: Instant) -> Booking {
        let Some(rate) = self.rate else {
            return Booking::Go;
        };
        let until = self.until.map_or(now, |until| until.max(now));
        let due = match piece.precedence.class {
            Class::Now | Class::Next => until - BURST.min(until - now),
            Class::Rest => until,
        };
        self.waiting
            .retain(|(other, again)| *other != piece && now < *again + PATIENCE);
        let rank = self.turns.rank(&piece);
        let mut others = self.waiting.iter().map(|(other, _)| other);
        if due > now || others.any(|other| self.turns.rank(other) < rank) {
            let again = due.max(now + STEP);
            self.waiting.push((piece, again));
            return Booking::AskAgain(again);
        }
        let cost = bytes.saturating_mul(1_000_000).div_ceil(rate.max(1));
        self.until = Some(until + Duration::from_micros(cost));
        self.turns.handle_sent(piece.precedence.requester, now);
        Booking::Go
    }

    /// Bytes to ask for at once, so that under a low cap, too, they come evenly, as over a
    /// slow line.
    pub fn portion(&self) -> usize {
        let Some(rate) = self.rate else {
            return usize::MAX;
        };
        let bytes = rate * PORTION.as_millis() as u64 / 1000;
        usize::try_from(bytes).map_or(usize::MAX, |bytes| bytes.max(PACKET))
    }
}

/// So much may be sent ahead: a cap is about seconds, and timers are not exact.
const BURST: Duration = Duration::from_millis(50);

/// Asked for at once. Shorter costs more wake-ups.
const PORTION: Duration = Duration::from_millis(25);

/// What a packet carries: less at once saves nothing.
const PACKET: usize = 1200;

/// A sender that has to let another go first asks again after this long: a piece at 100 Mbit/s.
const STEP: Duration = Duration::from_millis(2);

/// Timers of a busy machine are this late at times; a sender that is later has gone.
const PATIENCE: Duration = Duration::from_millis(100);

/// All that were not served for so long are alike.
const REMEMBERED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    const PIECE: u64 = 33 * 1024;

    fn piece_of(requester: Requester, class: Class, age: u64) -> QueuedPiece {
        let precedence = Precedence {
            requester,
            class,
            own: class,
        };
        QueuedPiece { precedence, age }
    }

    fn requester(peer: u8, host: u8) -> Requester {
        Requester::new(PeerId([peer; 32]), IpAddr::from([10, 0, 0, host]), &[])
    }

    fn piece(peer: usize, class: Class, age: usize) -> QueuedPiece {
        piece_of(requester(peer as u8, peer as u8), class, age as u64)
    }

    /// Senders that send piece after piece for a minute, as soon as each may: what was sent
    /// when, and by which.
    fn send(rate: u64, senders: &[Class]) -> Vec<(Instant, u64, usize)> {
        let start = Instant::now();
        let mut budget = Budget::new(Some(rate));
        let mut turns: Vec<_> = senders.iter().map(|class| (start, *class)).collect();
        let mut sent = Vec::new();
        loop {
            let turn = turns.iter_mut().enumerate().min_by_key(|(_, (at, _))| *at);
            let (n, (at, class)) = turn.expect("there are some");
            if *at >= start + Duration::from_secs(60) {
                return sent;
            }
            match budget.book(piece(n % 3, *class, n), PIECE, *at) {
                Booking::Go => {
                    sent.push((*at, PIECE, n));
                    *at += Duration::from_micros(100);
                }
                Booking::AskAgain(then) => {
                    assert!(then > *at);
                    *at = then;
                }
            }
        }
    }

    #[test]
    fn without_a_cap_nothing_waits() {
        let now = Instant::now();
        let mut budget = Budget::new(None);
        for _ in 0..100 {
            let piece = piece(1, Class::Rest, 1);
            assert_eq!(budget.book(piece, PIECE, now), Booking::Go);
        }
    }

    #[test]
    fn who_listens_has_the_whole_cap_however_much_is_fetched() {
        let rate = 1_000_000;
        let classes = [[Class::Rest; 8], [Class::Next; 8]].concat();
        let sent = send(rate, &[classes, vec![Class::Now; 2]].concat());
        let listened = sent
            .iter()
            .filter(|(.., n)| *n >= 16)
            .map(|(_, bytes, _)| bytes);
        let listened: u64 = listened.sum();
        assert!(listened >= 55 * rate, "{listened}");
    }

    /// As on an open line: a listener's second request does not delay its first.
    #[test]
    fn requests_of_a_peer_are_sent_one_after_the_other_and_peers_take_turns() {
        let rate = 1_000_000;
        let sent = send(rate, &[Class::Now; 6]);
        let of = |n: usize| sent.iter().filter(|(.., sender)| *sender == n).count();
        // Peers 0, 1 and 2 have two requests each; the older of each is sent.
        assert!(
            (3..6).all(|n| of(n) <= 1),
            "{:?}",
            (0..6).map(of).collect::<Vec<_>>()
        );
        let shares = [of(0), of(1), of(2)];
        assert!(
            shares.iter().max() <= shares.iter().min().map(|n| n + 1).as_ref(),
            "{shares:?}"
        );
    }

    #[test]
    fn a_host_of_many_peers_gets_what_a_host_of_one_gets() {
        let start = Instant::now();
        let mut budget = Budget::new(Some(1_000_000));
        let mut turns: Vec<_> = (0..33).map(|n| (start, n)).collect();
        let mut sent = [0; 2];
        while let Some((at, n)) = turns.iter_mut().min_by_key(|(at, _)| *at) {
            if *at >= start + Duration::from_secs(60) {
                break;
            }
            let requester = requester(*n, u8::from(*n > 0));
            match budget.book(piece_of(requester, Class::Now, 0), PIECE, *at) {
                Booking::Go => {
                    sent[usize::from(*n > 0)] += 1;
                    *at += Duration::from_micros(100);
                }
                Booking::AskAgain(then) => *at = then,
            }
        }
        assert!(sent[0] * 10 >= sent[1] * 9, "{sent:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_cap_holds_and_is_used(
            rate in 100_000u64..10_000_000,
            senders in proptest::collection::vec(
                prop_oneof![Just(Class::Now), Just(Class::Next), Just(Class::Rest)], 1..12
            ),
        ) {
            let mut sent = send(rate, &senders);
            sent.sort();
            let mut sum = 0;
            for (at, bytes, _) in &sent {
                let elapsed = (*at - sent[0].0 + BURST).as_micros() as u64 + 1_000;
                prop_assert!(sum <= rate * elapsed / 1_000_000 + PIECE);
                sum += bytes;
            }
            prop_assert!(sum >= 50 * rate, "{sum} of {}", 60 * rate);
        }
    }
}
