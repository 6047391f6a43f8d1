//! How long things took: a histogram of fixed size.
//!
//! Its buckets grow with what they hold, eight to each doubling, so that a percentile
//! is at most an eighth too high, be it of milliseconds or of minutes, and never too
//! low. What it takes is bounded for ever, and histograms can be added up.

use std::{iter, time::Duration};

/// See the module's description.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// The last one is for what is longer than every bound.
    counts: [u64; BUCKETS + 1],
    sum: Duration,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS + 1],
            sum: Duration::ZERO,
            max: Duration::ZERO,
        }
    }
}

impl Histogram {
    pub fn record(&mut self, value: Duration) {
        let bucket = (0..BUCKETS).find(|&n| value <= bound(n));
        self.counts[bucket.unwrap_or(BUCKETS)] += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    /// Adds what `other` has.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The longest; zero when there is none.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// What so many per cent did not exceed, by nearest rank; `None` when there is
    /// nothing.
    pub fn percentile(&self, percent: u8) -> Option<Duration> {
        let count = self.count();
        let rank = (u128::from(count) * u128::from(percent))
            .div_ceil(100)
            .max(1);
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += u128::from(*count);
            below >= rank
        });
        bucket
            .filter(|_| count > 0)
            .map(|n| if n < BUCKETS { bound(n) } else { self.max }.min(self.max))
    }

    /// Bounds a doubling apart, and how many were no longer than each.
    pub fn doublings(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let mut below = 0;
        let cumulative = self.counts.iter().map(move |count| {
            below += count;
            below
        });
        let bounds = (0..BUCKETS).map(bound);
        iter::zip(bounds, cumulative).step_by(PER_DOUBLING)
    }
}

/// The longest that goes into a bucket: 1 ms for the first, then eighths of the way to
/// the next doubling.
fn bound(bucket: usize) -> Duration {
    let (doublings, eighths) = (bucket / PER_DOUBLING, bucket % PER_DOUBLING);
    let micros = (FIRST_MICROS * (PER_DOUBLING + eighths) / PER_DOUBLING) << doublings;
    Duration::from_micros(micros as u64)
}

/// A percentile is at most this part too high: less than two runs differ by.
const PER_DOUBLING: usize = 8;
/// A sound card's period is longer.
const FIRST_MICROS: usize = 1000;
/// From 1 ms to 65.5 s; a listener has long gone after that.
const BUCKETS: usize = 16 * PER_DOUBLING + 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_has_no_percentile() {
        assert_eq!(Histogram::default().percentile(50), None);
    }

    #[test]
    fn bounds_are_doublings_in_eighths() {
        let bounds: Vec<u128> = (0..=PER_DOUBLING).map(|n| bound(n).as_micros()).collect();
        assert_eq!(
            bounds,
            [1000, 1125, 1250, 1375, 1500, 1625, 1750, 1875, 2000]
        );
        assert_eq!(bound(BUCKETS - 1), Duration::from_micros(65_536_000));
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let ms = Duration::from_millis;
        for (values, percent, expected) in [
            (&[7][..], 50, 7),
            (&[1, 2, 4, 8], 50, 2),
            (&[1, 2, 4, 8], 51, 4),
            (&[1, 2, 4, 8], 100, 8),
            // No more than the longest that was.
            (&[17], 99, 17),
            (&[100_000], 50, 100_000),
        ] {
            let mut histogram = Histogram::default();
            values.iter().for_each(|v| histogram.record(ms(*v)));
            assert_eq!(
                histogram.percentile(percent),
                Some(ms(expected)),
                "{percent} % of {values:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_percentile_is_never_too_low_and_hardly_too_high(
            mut micros in proptest::collection::vec(0u64..200_000_000, 1..200),
            percent in 1u8..=100,
        ) {
            let (mut one, mut other) = (Histogram::default(), Histogram::default());
            for (n, value) in micros.iter().enumerate() {
                let into = if n % 2 == 0 { &mut one } else { &mut other };
                into.record(Duration::from_micros(*value));
            }
            one.add(&other);
            micros.sort_unstable();
            let rank = (micros.len() * usize::from(percent)).div_ceil(100);
            let truth = Duration::from_micros(micros[rank - 1]);
            let told = one.percentile(percent).unwrap();
            prop_assert!(told >= truth);
            let longest = Duration::from_micros(*micros.last().unwrap());
            let is_beyond = truth > bound(BUCKETS - 1);
            let allowed = if is_beyond { longest } else { truth * 9 / 8 };
            prop_assert!(told <= allowed.max(bound(0)));
            prop_assert_eq!(one.count(), micros.len() as u64);
            for (bound, count) in one.doublings() {
                let below = micros.iter().filter(|v| Duration::from_micros(**v) <= bound);
                prop_assert_eq!(count, below.count() as u64);
            }
        }
    }
}
