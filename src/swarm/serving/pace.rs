//! How fast what is served reaches its requesters.

use std::time::{Duration, Instant};

use crate::util::rate::time_of;

/// Measures bytes a second while something is being sent.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    rate: Option<u64>,
    /// Since when something is being sent without a break, or the last measure ended, and
    /// what was confirmed since.
    window: Option<(Instant, u64)>,
}

impl RateMeter {
    /// Something is being sent from now on, if it was not before.
    pub(super) fn handle_start(&mut self, now: Instant) {
        self.window.get_or_insert((now, 0));
    }

    /// So much has reached its requester; `idle` when nothing is being sent any more.
    pub(super) fn handle_sent(&mut self, bytes: u64, idle: bool, now: Instant) {
        if let Some((since, sum)) = &mut self.window {
            *sum += bytes;
            let elapsed = now.saturating_duration_since(*since);
            if elapsed >= WINDOW && *sum > 0 {
                let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
                let sample = sum.saturating_mul(1_000_000) / micros.max(1);
                self.rate = Some(self.rate.map_or(sample, |rate| rate / 2 + sample / 2));
                self.window = Some((now, 0));
            }
        }
        if idle {
            self.window = None;
        }
    }

    /// Bytes a second, once measured.
    pub(super) fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// How long `bytes` take at that pace; no time while it is unknown.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        time_of(bytes, self.rate.unwrap_or(u64::MAX))
    }
}

/// A measure takes this long at least: some confirmations, and more than one burst.
const WINDOW: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_no_slowness_and_bursts_no_speed() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut pace = RateMeter::default();
        assert_eq!(pace.time_for(1 << 30), Duration::ZERO);
        pace.handle_start(ms(0));
        pace.handle_sent(1_000_000, false, ms(1));
        assert_eq!(pace.time_for(1 << 30), Duration::ZERO, "a burst");
        pace.handle_sent(1_000_000, true, ms(200));
        assert_eq!(pace.time_for(1_000_000), Duration::from_millis(100));
        pace.handle_start(ms(60_000));
        pace.handle_sent(1_000_000, true, ms(60_100));
        assert_eq!(pace.time_for(1_000_000), Duration::from_millis(100));
    }
}
