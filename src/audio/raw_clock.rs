//! The clock that sound goes by.

use std::time::Duration;

use nix::time::{clock_gettime, ClockId};

use super::raw_time::RawTime;

/// What CLOCK_MONOTONIC_RAW says.
pub fn raw_now() -> RawTime {
    // Linux has this clock since 2.6.28.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW);
    RawTime(0).after(now.map_or(Duration::ZERO, Duration::from))
}
