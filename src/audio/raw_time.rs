//! The time that sound goes by.

use std::time::Duration;

/// A moment of CLOCK_MONOTONIC_RAW, in nanoseconds: unlike [`std::time::Instant`] it is never
/// made faster or slower by NTP, as no card is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawTime(pub u64);

impl RawTime {
    /// The time from `earlier` to this one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `span` later.
    pub fn after(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// The moment `span` before.
    pub fn before(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }

    /// The moment that is so many frames later.
    pub fn later(self, frames: u64, rate: u32) -> Self {
        Self(self.0.saturating_add(nanos(frames, rate)))
    }

    /// The moment that was so many frames before.
    pub fn earlier(self, frames: u64, rate: u32) -> Self {
        Self(self.0.saturating_sub(nanos(frames, rate)))
    }

    /// Whole frames that fit between `earlier` and this one.
    pub fn frames_since(self, earlier: Self, rate: u32) -> u64 {
        let nanos = u128::from(self.0.saturating_sub(earlier.0));
        let frames = nanos * u128::from(rate) / NANOS;
        u64::try_from(frames).unwrap_or(u64::MAX)
    }

    /// Which frame is the nearest to this moment, counted from the one of `origin`: negative
    /// before it.
    pub fn nearest_frame(self, origin: Self, rate: u32) -> i64 {
        let nanos = i128::from(self.0) - i128::from(origin.0);
        let halves = 2 * nanos * i128::from(rate) + NANOS as i128;
        let frames = halves.div_euclid(2 * NANOS as i128);
        i64::try_from(frames).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }
}

fn nanos(frames: u64, rate: u32) -> u64 {
    let nanos = u128::from(frames) * NANOS / u128::from(rate.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_moments_fit_each_other() {
        let at = RawTime(7_000_000_000);
        for rate in [8_000, 44_100, 48_000, 192_000] {
            for frames in [0, 1, 661, 44_100, 10_000_000] {
                let (later, earlier) = (at.later(frames, rate), at.earlier(frames, rate));
                assert_eq!(later.nearest_frame(at, rate), frames as i64);
                if earlier.0 > 0 {
                    assert_eq!(earlier.nearest_frame(at, rate), -(frames as i64));
                }
            }
        }
        assert_eq!(RawTime(u64::MAX).later(1, 1), RawTime(u64::MAX));
        assert_eq!(at.after(Duration::MAX), RawTime(u64::MAX));
        assert_eq!(at.frames_since(RawTime(u64::MAX), 1), 0);
        assert_eq!(
            RawTime(u64::MAX).nearest_frame(RawTime(0), u32::MAX),
            i64::MAX
        );
        assert_eq!(
            RawTime(0).nearest_frame(RawTime(u64::MAX), u32::MAX),
            i64::MIN
        );
    }
}
