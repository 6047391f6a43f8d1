//! Whether a disk takes what plays as fast as it comes.
//!
//! A card that wears out, or a disk across a network, may take a second for what is heard in a
//! third of one. Music must not wait for it: a disk that is slow counts as one that is full,
//! until it has been tried again.

use std::time::{Duration, Instant};

/// How the latest writes to a disk went.
#[derive(Debug, Default)]
pub struct WritePace {
    writes: u32,
    bytes: u64,
    took: Duration,
    /// What was found, and when.
    slow: Option<(Slowness, Instant)>,
}

/// A disk that is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Slowness {
    #[error("a write takes {} ms", .0.as_millis())]
    Writes(Duration),
    #[error("a write takes more than {} ms", .0.as_millis())]
    Stalls(Duration),
}

impl WritePace {
    /// So many bytes were written.
    pub fn handle_write(&mut self, bytes: usize, took: Duration, now: Instant) {
        self.writes += 1;
        self.bytes += bytes as u64;
        self.took += took;
        let is_slow = self.took >= DISK_PATIENCE && self.took > allowed(self.bytes);
        if is_slow && self.writes >= MIN_WRITES {
            let slowness = Slowness::Writes(self.took / self.writes);
            *self = Self::default();
            self.slow = Some((slowness, now));
        } else if self.bytes >= WINDOW {
            (self.writes, self.bytes, self.took) = (0, 0, Duration::ZERO);
        }
    }

    /// What was to be written within [`patience`] has not been.
    pub fn handle_stall(&mut self, now: Instant) {
        let stalls = Slowness::Stalls(DISK_PATIENCE);
        self.slow.get_or_insert((stalls, now)).1 = now;
    }

    /// Whether it was slow when it was last written.
    pub fn slowness(&self) -> Option<Slowness> {
        self.slow.map(|(slowness, _)| slowness)
    }

    /// The same, while it is too early to try it again.
    pub fn rests(&self, now: Instant) -> Option<Slowness> {
        let (slowness, found) = self.slow?;
        (now.saturating_duration_since(found) < TRY_AGAIN).then_some(slowness)
    }
}

/// How long music waits for a disk to take so many bytes.
pub fn patience(bytes: u64) -> Duration {
    DISK_PATIENCE + allowed(bytes)
}

/// What a disk that is just fast enough takes for so many bytes.
fn allowed(bytes: u64) -> Duration {
    Duration::from_secs(bytes) / SLOWEST
}

/// Bytes a second: 1.4 times what CD quality takes as WAV. Less is not worth waiting for.
const SLOWEST: u32 = 256 << 10;
/// One write that is slow may be the card tidying up.
const MIN_WRITES: u32 = 3;
/// What music can wait: less than is ever in hand once it sounds.
const DISK_PATIENCE: Duration = Duration::from_millis(400);
/// Bytes after which writes are counted anew, so that a disk that was fast for long and
/// becomes slow is found after as few writes as any.
const WINDOW: u64 = 128 << 10;
/// Trying costs a slow card three writes, and nobody changes a card within seconds.
const TRY_AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: usize = 16 << 10;

    /// After which of these writes, in bytes and milliseconds, it counts as slow.
    fn slow_after(writes: impl IntoIterator<Item = (usize, u64)>) -> Option<usize> {
        let (mut pace, mut now) = (WritePace::default(), Instant::now());
        let mut writes = writes.into_iter().enumerate();
        let found = writes.find(|(_, (bytes, ms))| {
            let took = Duration::from_millis(*ms);
            now += took;
            pace.handle_write(*bytes, took, now);
            pace.slowness().is_some()
        });
        found.map(|(n, _)| n + 1)
    }

    #[test]
    fn a_disk_is_slow_when_writes_take_longer_than_what_they_bring_sounds() {
        let fast_then = |fast: usize, bytes, ms| {
            let fast = std::iter::repeat_n((GROUP, 1), fast);
            fast.chain(std::iter::repeat_n((bytes, ms), 20))
        };
        assert_eq!(slow_after(fast_then(0, GROUP, 150)), Some(3));
        assert_eq!(slow_after(fast_then(0, GROUP, 2000)), Some(3));
        assert_eq!(slow_after(fast_then(0, GROUP, 70)), Some(6));
        // Hashes are small and cost a write all the same.
        assert_eq!(slow_after(fast_then(0, 64, 150)), Some(3));
        assert_eq!(slow_after(fast_then(0, GROUP, 60)), None);
        assert_eq!(slow_after(fast_then(0, 4 * GROUP, 150)), None);
        assert_eq!(slow_after(fast_then(5000, GROUP, 1)), None);
        // However long it was fast.
        for fast in 5000..5008 {
            let after = slow_after(fast_then(fast, GROUP, 150)).expect("it is slow") - fast;
            assert!((3..=6).contains(&after), "{after} writes after {fast}");
        }
        // One of them was slow.
        let tidies = [(GROUP, 1), (GROUP, 1), (4 * GROUP, 390), (GROUP, 1)];
        assert_eq!(slow_after(tidies), None);
    }

    #[test]
    fn a_slow_disk_rests_for_a_minute_and_is_named_with_a_figure() {
        let (mut pace, now) = (WritePace::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(pace.rests(now), None);
        for _ in 0..3 {
            pace.handle_write(GROUP, Duration::from_millis(150), now);
        }
        let said = pace.rests(at(59)).expect("it was slow").to_string();
        assert_eq!(said, "a write takes 150 ms");
        assert_eq!(pace.rests(at(60)), None);
        assert!(pace.slowness().is_some(), "until it was tried");
        pace.handle_stall(at(60));
        assert!(pace.rests(at(119)).is_some());
        let mut pace = WritePace::default();
        pace.handle_stall(now);
        let said = pace.rests(now).expect("it stalls").to_string();
        assert_eq!(said, "a write takes more than 400 ms");
    }
}
