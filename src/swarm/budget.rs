//! A cap on what this peer sends, and who goes first under it.
//!
//! A piece that is due now books its time and is sent then. Everything else is sent only
//! when nothing is booked, and asks again otherwise. So under a cap a listener elsewhere
//! stands behind one piece at most of what somebody only fetches.
//!
//! What must hold: over any time, no more is sent than the cap allows, but for [`BURST`]
//! and one piece.

use std::time::{Duration, Instant};

use crate::protocol::Class;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Budget {
    /// Bytes a second; `None` is as fast as the line.
    rate: Option<u64>,
    /// When all that was booked will have been sent.
    until: Option<Instant>,
}

/// When a piece may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booking {
    /// Then, which is `now` at the earliest. It counts as sent.
    At(Instant),
    /// Others go first; it may be asked again then.
    AskAgain(Instant),
}

impl Budget {
    pub fn new(rate: Option<u64>) -> Self {
        let until = None;
        Self { rate, until }
    }

    /// The cap is another from now on, or none.
    pub fn set_rate(&mut self, rate: Option<u64>) {
        *self = Self::new(rate);
    }

    /// Books the sending of `bytes`.
    pub fn book(&mut self, bytes: u64, class: Class, now: Instant) -> Booking {
        let Some(rate) = self.rate else {
            return Booking::At(now);
        };
        let until = self.until.map_or(now, |until| until.max(now));
        let ahead = match class {
            Class::Now | Class::Next => BURST,
            Class::Rest => Duration::ZERO,
        };
        let due = (until.max(now + ahead) - ahead).max(now);
        if class != Class::Now && due > now {
            return Booking::AskAgain(due);
        }
        let cost = bytes.saturating_mul(1_000_000).div_ceil(rate.max(1));
        self.until = Some(until + Duration::from_micros(cost));
        Booking::At(due)
    }
}

/// So much may be sent ahead: a cap is about seconds, and timers are not exact.
const BURST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIECE: u64 = 33 * 1024;

    /// Senders that send piece after piece for a minute, as soon as each may: what was sent
    /// when, and by whom.
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
            match budget.book(PIECE, *class, *at) {
                Booking::At(then) => {
                    sent.push((then, PIECE, n));
                    *at = then + Duration::from_micros(100);
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
            assert_eq!(budget.book(PIECE, Class::Rest, now), Booking::At(now));
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
