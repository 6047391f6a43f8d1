//! When what is held in the ring is to sound.

use std::cmp::Ordering;

use crate::audio::raw_time::RawTime;

/// That a frame of the ring is to be presented at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// At once where it is 0.
    pub at: RawTime,
    pub frame: u64,
}

/// What to do for it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseStep {
    /// Put out so many frames of silence first.
    Wait(u64),
    /// Drop so many of the ring's frames first: they lie before it, or are late.
    Skip(u64),
    Begin,
}

impl Release {
    /// The ring's next frame is `read`, and the next frame that goes to the device is presented
    /// at `due`.
    pub fn step(self, read: u64, due: RawTime, rate: u32) -> ReleaseStep {
        let wait = self.at.nearest_frame(due, rate);
        match wait.cmp(&0) {
            Ordering::Greater => ReleaseStep::Wait(wait.unsigned_abs()),
            _ => match self
                .frame
                .saturating_add(wait.unsigned_abs())
                .checked_sub(read)
            {
                Some(0) | None => ReleaseStep::Begin,
                Some(early) => ReleaseStep::Skip(early),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_waits_skips_or_begins() {
        const MS: u64 = 1_000_000;
        let release = Release {
            at: RawTime(50 * MS),
            frame: 100,
        };
        for (read, due, step) in [
            (100, 20 * MS, ReleaseStep::Wait(30)),
            (0, 20 * MS, ReleaseStep::Wait(30)),
            (100, 49 * MS + MS / 3, ReleaseStep::Wait(1)),
            (100, 49 * MS + MS / 2 + 1, ReleaseStep::Begin),
            (100, 50 * MS + MS / 3, ReleaseStep::Begin),
            (40, 50 * MS, ReleaseStep::Skip(60)),
            (100, 53 * MS, ReleaseStep::Skip(3)),
            (102, 53 * MS, ReleaseStep::Skip(1)),
            (103, 53 * MS, ReleaseStep::Begin),
            // What has sounded does not come back.
            (200, 53 * MS, ReleaseStep::Begin),
            (200, 20 * MS, ReleaseStep::Wait(30)),
        ] {
            assert_eq!(release.step(read, RawTime(due), 1000), step, "{read} {due}");
        }
    }
}
