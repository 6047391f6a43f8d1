//! A cap on what this peer sends, and who goes first under it.
//!
//! Each piece that is to be sent books its time. What is due now only waits for other such
//! pieces, everything else waits for all. So under a cap a listener elsewhere never stands
//! behind what somebody only fetches, and what was booked in its turn is sent in its turn.
//!
//! What must hold, whatever is booked:
//! - Over any time, no more is sent than the cap allows, but for [`BURST`] and for one
//!   piece of each of those who had their time when something urgent came.
//! - While only what is due now is sent, it has the whole of the cap.

use std::time::{Duration, Instant};

use crate::protocol::Class;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Budget {
    /// Bytes a second; `None` is as fast as the line.
    rate: Option<u64>,
    /// When what was booked as due now will have been sent, and when all will.
    now_until: Option<Instant>,
    all_until: Option<Instant>,
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

    /// Books the sending of `bytes`, and says when that may be; at `now` if at once.
    pub fn book(&mut self, bytes: u64, class: Class, now: Instant) -> Instant {
        let Some(rate) = self.rate else {
            return now;
        };
        let cost = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1));
        let due = match class {
            Class::Now => self.now_until,
            Class::Next | Class::Rest => self.all_until,
        };
        let due = due.map_or(now, |due| (due.max(now + BURST) - BURST).max(now));
        if class == Class::Now {
            self.now_until = Some(after(self.now_until, cost, now));
        }
        self.all_until = Some(after(self.all_until, cost, now));
        due
    }
}

fn after(until: Option<Instant>, cost: Duration, now: Instant) -> Instant {
    until.map_or(now, |until| until.max(now)) + cost
}

/// So much may be sent ahead: a cap is about seconds, and timers are not exact.
const BURST: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIECE: u64 = 33 * 1024;

    fn class() -> impl Strategy<Value = Class> {
        prop_oneof![Just(Class::Now), Just(Class::Next), Just(Class::Rest)]
    }

    #[test]
    fn without_a_cap_nothing_waits() {
        let now = Instant::now();
        let mut budget = Budget::new(None);
        for _ in 0..100 {
            assert_eq!(budget.book(PIECE, Class::Rest, now), now);
        }
    }

    /// Many senders, each of which books its next piece when the last has gone.
    #[test]
    fn who_listens_has_the_whole_cap_however_much_is_fetched() {
        let start = Instant::now();
        let rate = 100_000;
        let mut budget = Budget::new(Some(rate));
        let mut senders = vec![(start, Class::Rest); 8];
        senders.push((start, Class::Now));
        let mut sent = [0u64; 2];
        let end = start + Duration::from_secs(60);
        loop {
            let next = senders.iter_mut().min_by_key(|(at, _)| *at).expect("nine");
            if next.0 >= end {
                break;
            }
            sent[usize::from(next.1 == Class::Rest)] += PIECE;
            next.0 = budget.book(PIECE, next.1, next.0).max(next.0 + Duration::from_millis(1));
        }
        let [listened, fetched] = sent;
        assert!(listened >= 59 * rate, "{listened}");
        assert!(fetched <= 16 * PIECE, "{fetched}");
    }

    proptest! {
        #[test]
        fn the_cap_holds(
            rate in 10_000u64..10_000_000,
            steps in proptest::collection::vec((class(), 1u64..PIECE, 0u64..20), 1..300)
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut budget = Budget::new(Some(rate));
            let mut times = Vec::new();
            for (class, bytes, ms) in steps {
                now += Duration::from_millis(ms);
                let at = budget.book(bytes, class, now);
                prop_assert!(at >= now);
                times.push((at, bytes, class));
            }
            // What is booked for one class alone is never sent faster than the cap.
            for urgent in [true, false] {
                let mut own: Vec<_> = times
                    .iter()
                    .filter(|(.., class)| (*class == Class::Now) == urgent)
                    .collect();
                own.sort_by_key(|(at, ..)| *at);
                let mut sum = 0;
                for (at, bytes, _) in &own {
                    let elapsed = *at - own[0].0 + BURST + Duration::from_millis(1);
                    prop_assert!(sum <= rate * elapsed.as_micros() as u64 / 1_000_000 + PIECE);
                    sum += bytes;
                }
            }
            // And what is not urgent waits for all that was booked before it.
            let total: u64 = times.iter().map(|(_, bytes, _)| bytes).sum();
            let last = budget.book(1, Class::Rest, now);
            let least = Duration::from_micros(total * 1_000_000 / rate);
            prop_assert!(last + BURST + Duration::from_millis(1) * times.len() as u32 >= start + least);
        }
    }
}
