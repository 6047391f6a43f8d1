//! The clock that sound goes by.

use std::time::Duration;

use nix::time::{clock_gettime, ClockId};

/// A moment of CLOCK_MONOTONIC_RAW, in nanoseconds: unlike [`std::time::Instant`] it is never
/// made faster or slower by NTP, as no card is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawTime(pub u64);

impl RawTime {
    pub fn now() -> Self {
        // Linux has this clock since 2.6.28.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW);
        let nanos = now.map_or(0, |now| Duration::from(now).as_nanos());
        Self(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The time from `earlier` to this one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
