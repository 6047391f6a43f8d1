//! How long to rest after one failure, and the next.

use std::time::Duration;

use super::random::part_of;

/// Rests that double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The rest that comes after so many others.
    pub fn rest(self, others: u32) -> Duration {
        let factor = 1u32.checked_shl(others).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// The same, less up to a half as a number by chance says: many that fail at once do
    /// not all come back at once.
    pub fn spread_rest(self, others: u32, random: u64) -> Duration {
        let half = self.rest(others) / 2;
        half + part_of(half, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_the_longest_however_many_there_were() {
        let rests = Backoff::new(Duration::from_secs(3), Duration::from_secs(20));
        let seconds = [0, 1, 2, 3, 31, 32, u32::MAX].map(|n| rests.rest(n).as_secs());
        assert_eq!(seconds, [3, 6, 12, 20, 20, 20, 20]);
        let whole = Duration::from_secs(12);
        assert_eq!(rests.spread_rest(2, 0), whole / 2);
        let most = rests.spread_rest(2, u64::MAX);
        assert!(most > whole * 9 / 10 && most < whole, "{most:?}");
    }
}
