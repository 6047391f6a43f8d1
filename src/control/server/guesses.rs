//! How often an origin may guess the password.
//!
//! A guess is compared at once, so that the right one is never kept waiting. The answer to a
//! wrong one is held back, longer with each from the same origin, and [`MAX_OF_ORIGIN`] a
//! minute are looked at: what is beyond that is refused unseen, right or wrong.
//!
//! That refuses the right one, too, where something else at its address keeps guessing, and it
//! cannot be otherwise. A client is told from another by nothing but its address and what it
//! says. If, whatever else was said there, the right password is known to be right within a
//! second, then silence of a second says of any other that it is wrong, and an address may say
//! as many as it has connections and opens anew: the bound is none. Only what a guess cannot
//! find out is free: one that was wrong within the minute is wrong again, and counts once. So a
//! client that has an old password, and says it ever again, keeps nobody out.
//!
//! All origins together have a bound, too, against guesses from many addresses. An origin that
//! has said the password is not subject to it, and one that has not guessed wrong lately has
//! another one than those that have: so nobody else is kept out by a few that guess.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::util::backoff::Backoff;

/// Where a guess comes from: an IPv4 address, or the first half of an IPv6 address, of which a
/// machine has the other half to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix(IpAddr);

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
            v4 => v4,
        })
    }
}

/// What is said to a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuessVerdict {
    Right,
    /// To be told then, not before.
    Wrong {
        told: Instant,
    },
    /// It is not looked at; the next one is from then on.
    Unheard {
        until: Instant,
    },
}

/// The password and the guesses at it. See the module's description.
#[derive(Debug)]
pub(super) struct Guesses {
    /// Its hash; hashes are compared in constant time (so blake3 promises).
    password: Option<blake3::Hash>,
    /// Those that have guessed wrong within [`FORGET`].
    guessers: BTreeMap<Prefix, Guesser>,
    /// Those that have said the password, and when last.
    known: BTreeMap<Prefix, Instant>,
    /// Wrong guesses of the last minute, of origins that had not guessed wrong before, and of
    /// those that had.
    first: LastMinute,
    further: LastMinute,
}

#[derive(Debug)]
struct Guesser {
    /// Wrong guesses since it has been known.
    wrong: u32,
    last: Instant,
    /// Each that differs from the others, once.
    recent: LastMinute<blake3::Hash>,
}

/// What happened within the last minute, and when.
#[derive(Debug)]
struct LastMinute<T = ()>(VecDeque<(Instant, T)>);

impl<T> Default for LastMinute<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: PartialEq> LastMinute<T> {
    /// Whether there is room for one more among `most`; if not, when there is.
    fn check(&mut self, most: usize, now: Instant) -> Result<(), Instant> {
        self.forget(now);
        match self.0.front() {
            Some((first, _)) if self.0.len() >= most => Err(*first + MINUTE),
            _ => Ok(()),
        }
    }

    fn has(&mut self, what: &T, now: Instant) -> bool {
        self.forget(now);
        self.0.iter().any(|(_, other)| other == what)
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(at, _)| *at + MINUTE <= now) {
            self.0.pop_front();
        }
    }

    fn note(&mut self, what: T, now: Instant) {
        self.0.push_back((now, what));
    }
}

impl Guesses {
    pub fn new(password: Option<&Arc<str>>) -> Self {
        Self {
            password: password.map(|password| blake3::hash(password.as_bytes())),
            guessers: BTreeMap::new(),
            known: BTreeMap::new(),
            first: LastMinute::default(),
            further: LastMinute::default(),
        }
    }

    /// Whether a password is wanted at all.
    pub fn are_wanted(&self) -> bool {
        self.password.is_some()
    }

    /// A guess from a TCP address, or from this machine, which needs none.
    pub fn handle_guess(
        &mut self,
        from: Option<IpAddr>,
        given: &str,
        now: Instant,
    ) -> GuessVerdict {
        let given = blake3::hash(given.as_bytes());
        let is_right = self.password == Some(given);
        let (Some(from), true) = (from.map(Prefix::from), self.are_wanted()) else {
            return match is_right {
                true => GuessVerdict::Right,
                false => GuessVerdict::Wrong { told: now },
            };
        };
        self.guessers
            .retain(|_, guesser| guesser.last + FORGET > now);
        let guesser = self.guessers.get_mut(&from);
        if let Some(guesser) = guesser.filter(|_| !is_right) {
            if guesser.recent.has(&given, now) {
                let told = now + guesser.handle_wrong(now);
                return GuessVerdict::Wrong { told };
            }
        }
        if let Err(until) = self.check(from, now) {
            return GuessVerdict::Unheard { until };
        }
        if is_right {
            self.know(from, now);
            return GuessVerdict::Right;
        }
        let told = now + self.note_wrong(from, given, now);
        GuessVerdict::Wrong { told }
    }

    fn check(&mut self, from: Prefix, now: Instant) -> Result<(), Instant> {
        let guesser = self.guessers.get_mut(&from);
        let is_first = guesser.is_none();
        if let Some(guesser) = guesser {
            guesser.recent.check(MAX_OF_ORIGIN, now)?;
        }
        match (self.known.contains_key(&from), is_first) {
            (true, _) => Ok(()),
            (false, true) => self.first.check(MAX_FIRST, now),
            (false, false) => self.further.check(MAX_FURTHER, now),
        }
    }

    /// How long to keep the answer back.
    fn note_wrong(&mut self, from: Prefix, given: blake3::Hash, now: Instant) -> Duration {
        if !self.known.contains_key(&from) {
            match self.guessers.contains_key(&from) {
                true => self.further.note((), now),
                false => self.first.note((), now),
            }
        }
        make_room(&mut self.guessers, MAX_GUESSERS, &from, |g| g.last);
        let guesser = self.guessers.entry(from).or_insert_with(|| Guesser {
            wrong: 0,
            last: now,
            recent: LastMinute::default(),
        });
        guesser.recent.note(given, now);
        guesser.handle_wrong(now)
    }

    fn know(&mut self, from: Prefix, now: Instant) {
        make_room(&mut self.known, MAX_KNOWN, &from, |&last| last);
        self.known.insert(from, now);
    }
}

impl Guesser {
    /// How long to keep the answer back.
    fn handle_wrong(&mut self, now: Instant) -> Duration {
        let before = self.wrong;
        self.wrong = self.wrong.saturating_add(1);
        self.last = now;
        Backoff::new(FIRST_DELAY, LONGEST_DELAY).rest(before)
    }
}

/// Forgets the one that was seen least lately, where `map` is full and does not have `from`.
fn make_room<T>(
    map: &mut BTreeMap<Prefix, T>,
    most: usize,
    from: &Prefix,
    last: impl Fn(&T) -> Instant,
) {
    if map.len() < most || map.contains_key(from) {
        return;
    }
    let oldest = map.iter().min_by_key(|(_, value)| last(value));
    if let Some(oldest) = oldest.map(|(&prefix, _)| prefix) {
        map.remove(&oldest);
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Different wrong guesses of one origin in a minute, over all its connections: more than a person makes
/// with several clients, and a dictionary of ten thousand words takes seven hours.
const MAX_OF_ORIGIN: usize = 24;

/// The same of all origins that have guessed wrong lately and never right: four at full speed.
const MAX_FURTHER: usize = 96;

/// The same of those that have not guessed wrong lately: as many new addresses in a minute are
/// no household.
const MAX_FIRST: usize = 60;

/// A typing error costs this.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// Clients give up after about as long.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Without a wrong guess for as long, an origin is as any other.
const FORGET: Duration = Duration::from_secs(600);

/// Origins with wrong guesses that are remembered: more than may begin in a minute, so that
/// none is forgotten while its guesses count.
const MAX_GUESSERS: usize = 256;

/// Origins that have said the password: a household's devices. They cannot be pushed out by
/// what does not know it.
const MAX_KNOWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "sesame";

    fn guesses() -> Guesses {
        Guesses::new(Some(&RIGHT.into()))
    }

    fn v4(n: u32) -> Option<IpAddr> {
        Some(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into())
    }

    /// How many wrong guesses of `from` are looked at within `minutes`, one each 10 ms.
    fn storm(guesses: &mut Guesses, from: impl Fn(u32) -> Option<IpAddr>, begin: Instant) -> usize {
        let steps = (0..6000).map(|n| (n, begin + Duration::from_millis(10) * n));
        let wrong = |(n, now)| {
            let verdict = guesses.handle_guess(from(n), &format!("open {n}"), now);
            matches!(verdict, GuessVerdict::Wrong { .. })
        };
        steps.map(wrong).filter(|&wrong| wrong).count()
    }

    #[test]
    fn the_right_one_is_right_at_once_and_a_wrong_one_waits_ever_longer() {
        let (mut guesses, mut now) = (guesses(), Instant::now());
        let mut last = Duration::ZERO;
        for _ in 0..10 {
            let GuessVerdict::Wrong { told } = guesses.handle_guess(v4(1), "open", now) else {
                panic!("it is wrong");
            };
            assert!(told - now > last || told - now == LONGEST_DELAY);
            last = told - now;
            // The right one does not wait for what has been guessed before.
            assert_eq!(guesses.handle_guess(v4(1), RIGHT, now), GuessVerdict::Right);
            assert_eq!(guesses.handle_guess(v4(2), RIGHT, now), GuessVerdict::Right);
            now = told;
        }
        assert_eq!(last, LONGEST_DELAY);
        let GuessVerdict::Wrong { told } = guesses.handle_guess(v4(1), "x", now + FORGET) else {
            panic!("it is wrong");
        };
        assert_eq!(told - (now + FORGET), FIRST_DELAY);
    }

    #[test]
    fn some_dozen_guesses_a_minute_are_looked_at() {
        let now = Instant::now();
        let mut guesses = guesses();
        assert_eq!(storm(&mut guesses, |_| v4(1), now), MAX_OF_ORIGIN);
        assert_eq!(storm(&mut guesses, |_| v4(1), now + MINUTE), MAX_OF_ORIGIN);
        // An IPv6 machine has a network of addresses.
        let mut guesses = self::guesses();
        let v6 = |n: u32| Some(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, n as u16).into());
        assert_eq!(storm(&mut guesses, v6, now), MAX_OF_ORIGIN);
        let mapped = |n: u32| match v4(1) {
            Some(IpAddr::V4(v4)) if n.is_multiple_of(2) => Some(v4.to_ipv6_mapped().into()),
            v4 => v4,
        };
        assert_eq!(storm(&mut self::guesses(), mapped, now), MAX_OF_ORIGIN);
    }

    /// A client that was not told of the new password, on the machine of one that was.
    #[test]
    fn what_says_the_same_wrong_one_ever_again_keeps_nobody_out() {
        let (mut guesses, begin) = (guesses(), Instant::now());
        let mut last = Duration::ZERO;
        for n in 0..6000 {
            let now = begin + Duration::from_millis(10) * n;
            let GuessVerdict::Wrong { told } = guesses.handle_guess(v4(1), "old", now) else {
                panic!("it is wrong, and known to be");
            };
            assert!(told - now >= last, "{n}");
            last = told - now;
            assert_eq!(guesses.handle_guess(v4(1), RIGHT, now), GuessVerdict::Right);
        }
        assert_eq!(last, LONGEST_DELAY);
        // Nor does it make room for others.
        let now = begin + MINUTE;
        let seen = storm(&mut guesses, |_| v4(1), now);
        assert!(
            (MAX_OF_ORIGIN - 1..=MAX_OF_ORIGIN).contains(&seen),
            "{seen}"
        );
        // What is known to be wrong is wrong, whatever else is not looked at.
        let late = now + MINUTE - Duration::from_millis(1);
        let [known, new] = ["open 5", "open 5999"].map(|g| guesses.handle_guess(v4(1), g, late));
        assert!(matches!(known, GuessVerdict::Wrong { .. }), "{known:?}");
        assert!(matches!(new, GuessVerdict::Unheard { .. }), "{new:?}");
        assert_eq!(guesses.further.0.len(), 0, "it has said the right one");
    }

    #[test]
    fn many_addresses_have_a_bound_and_keep_out_none_that_said_the_password() {
        let now = Instant::now();
        let mut guesses = guesses();
        assert_eq!(
            guesses.handle_guess(v4(9999), RIGHT, now),
            GuessVerdict::Right
        );
        let seen = storm(&mut guesses, |n| v4(n % 20), now);
        assert!(seen <= 20 + MAX_FURTHER, "{seen}");
        // One that is new is not kept out by twenty that guess.
        let late = now + MINUTE - Duration::from_millis(1);
        assert_eq!(
            guesses.handle_guess(v4(500), RIGHT, late),
            GuessVerdict::Right
        );
        let seen = storm(&mut guesses, |n| v4(10_000 + n), now + MINUTE);
        assert!(seen <= MAX_FIRST, "{seen}");
        let late = late + MINUTE;
        assert_eq!(
            guesses.handle_guess(v4(9999), RIGHT, late),
            GuessVerdict::Right
        );
        assert!(guesses.guessers.len() <= MAX_GUESSERS && guesses.known.len() <= MAX_KNOWN);
    }

    #[test]
    fn nothing_is_kept_beyond_its_bound() {
        let (mut guesses, begin) = (guesses(), Instant::now());
        for n in 0..20_000 {
            let now = begin + Duration::from_millis(700) * n;
            guesses.handle_guess(v4(n), ["x", RIGHT][n as usize % 2], now);
            assert!(guesses.guessers.len() <= MAX_GUESSERS);
            assert!(guesses.known.len() <= MAX_KNOWN);
            assert!(guesses.first.0.len() <= MAX_FIRST);
        }
    }
}
