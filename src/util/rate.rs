//! Bytes a second.

use std::time::Duration;

/// How long `bytes` take at `rate` bytes a second, which counts as 1 at least.
pub fn time_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1))
}
