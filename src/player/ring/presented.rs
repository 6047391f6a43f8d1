//! What the device has got last, and when, as its callback tells everybody else.

use std::sync::atomic::{fence, AtomicU64, Ordering};

use super::{frames_in, RawTime};

/// Frames that went to the device at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The number of the first one.
    pub frame: u64,
    pub count: u64,
    pub at: RawTime,
}

impl Presented {
    /// The number of the frame that is heard at `now`, but for the device's own buffer.
    pub fn heard(self, now: RawTime, rate: u32) -> u64 {
        let passed = frames_in(now.since(self.at), rate);
        self.frame + self.count.min(passed as u64)
    }
}

/// A [`Presented`] that one thread writes without ever waiting (a sequence lock).
#[derive(Debug, Default)]
pub struct PresentedCell {
    /// Odd while it is written, 0 before it ever was.
    turn: AtomicU64,
    frame: AtomicU64,
    count: AtomicU64,
    at: AtomicU64,
}

impl PresentedCell {
    /// Of the callback alone.
    pub fn store(&self, presented: Presented) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.frame.store(presented.frame, Ordering::Relaxed);
        self.count.store(presented.count, Ordering::Relaxed);
        self.at.store(presented.at.0, Ordering::Relaxed);
        self.turn.store(turn + 2, Ordering::Release);
    }

    /// What was stored last; nothing before, or where it is written again and again meanwhile.
    pub fn load(&self) -> Option<Presented> {
        (0..TRIES).find_map(|_| {
            let turn = self.turn.load(Ordering::Acquire);
            let presented = Presented {
                frame: self.frame.load(Ordering::Relaxed),
                count: self.count.load(Ordering::Relaxed),
                at: RawTime(self.at.load(Ordering::Relaxed)),
            };
            fence(Ordering::Acquire);
            let is_whole = turn.is_multiple_of(2) && turn == self.turn.load(Ordering::Relaxed);
            (is_whole && turn > 0).then_some(presented)
        })
    }
}

/// Writing takes nanoseconds, once in 10 ms; a writer that was interrupted in it is not waited
/// for.
const TRIES: u32 = 100;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn frames_are_heard_one_by_one_and_none_before_it_was_presented() {
        let at = RawTime(5_000_000_000);
        let (frame, count) = (1000, 480);
        let presented = Presented { frame, count, at };
        let rows = [
            (0, 1000),
            (5_000_000_000, 1000),
            (5_001_000_000, 1048),
            (5_009_000_000, 1432),
            (5_010_000_000, 1480),
            (9_000_000_000, 1480), // the device asks for no more: it is paused, or lost
        ];
        for (now, heard) in rows {
            assert_eq!(presented.heard(RawTime(now), 48_000), heard, "at {now}");
        }
        let nothing = Presented {
            count: 0,
            ..presented
        };
        assert_eq!(nothing.heard(RawTime(u64::MAX), 48_000), 1000);
    }

    #[test]
    fn a_reader_never_sees_a_half() {
        let cell = Arc::<PresentedCell>::default();
        assert_eq!(cell.load(), None);
        let writer = cell.clone();
        let writes = thread::spawn(move || {
            for n in 1..200_000 {
                let at = RawTime(n * 3);
                let (frame, count) = (n, n * 2);
                writer.store(Presented { frame, count, at });
            }
        });
        let mut last = 0;
        while last < 199_999 {
            let Some(seen) = cell.load() else { continue };
            let n = seen.frame;
            assert_eq!((seen.count, seen.at), (n * 2, RawTime(n * 3)));
            assert!(n >= last, "time goes on");
            last = n;
        }
        writes.join().unwrap();
    }
}
