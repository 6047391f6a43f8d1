//! Which frames of the ring the device presents, and when, as far as its stamps tell.

use std::collections::VecDeque;

use crate::audio::raw_time::RawTime;

/// Frames of the ring that are presented one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The number of the first one.
    pub frame: u64,
    pub count: u64,
    /// When the first one is presented, which may be yet to come.
    pub at: RawTime,
}

impl Presented {
    /// The number of the frame that is presented at `now`.
    pub fn heard(self, now: RawTime, rate: u32) -> u64 {
        self.frame + self.count.min(now.frames_since(self.at, rate))
    }

    /// When the frame of this number is presented, or was; none if that is not known yet.
    pub fn time_of(self, frame: u64, rate: u32) -> Option<RawTime> {
        if frame >= self.frame + self.count {
            return None;
        }
        Some(match frame.checked_sub(self.frame) {
            Some(after) => self.at.later(after, rate),
            None => self.at.earlier(self.frame - frame, rate),
        })
    }
}

/// The latest stretches of sound among the frames that went to the device; what is between them
/// was silence.
#[derive(Debug)]
pub struct Stretches(VecDeque<Stretch>);

#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// The number of its first frame among all that went to the device.
    device: u64,
    /// The same among those of the ring.
    frame: u64,
    count: u64,
}

impl Stretches {
    pub fn new() -> Self {
        Self(VecDeque::with_capacity(KEPT))
    }

    /// Frames of the ring from `frame` on went to the device as its frames from `device` on.
    pub fn push(&mut self, device: u64, frame: u64, count: u64) {
        if let Some(last) = self.0.back_mut() {
            if (last.device + last.count, last.frame + last.count) == (device, frame) {
                last.count += count;
                return;
            }
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Stretch {
            device,
            frame,
            count,
        });
    }

    /// What is presented from the device's frame `device` on, which is presented at `at`;
    /// `next` is the ring's next frame if that is silence, and nothing else is known to come.
    pub fn presented(&self, device: u64, at: RawTime, rate: u32, next: u64) -> Presented {
        let is_to_come = |it: &&Stretch| it.device + it.count > device;
        let Some(it) = self.0.iter().find(is_to_come) else {
            let (frame, count) = (next, 0);
            return Presented { frame, count, at };
        };
        let passed = device.saturating_sub(it.device);
        Presented {
            frame: it.frame + passed,
            count: it.count - passed,
            at: at.later(it.device.saturating_sub(device), rate),
        }
    }
}

/// A fade-out and what follows it, more than once within a device's buffer.
const KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const AT: RawTime = RawTime(5_000_000_000);

    #[test]
    fn frames_are_heard_one_by_one_and_none_before_it_was_presented() {
        let (frame, count, at) = (1000, 480, AT);
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
        for (frame, at) in [
            (952, Some(4_999_000_000)),
            (1000, Some(5_000_000_000)),
            (1048, Some(5_001_000_000)),
            (1480, None),
        ] {
            assert_eq!(presented.time_of(frame, 48_000), at.map(RawTime), "{frame}");
        }
        assert_eq!(nothing.time_of(1000, 48_000), None);
    }

    /// Device frames 100 to 119 were silence, and 150 to 169; 40 frames of the ring were dropped
    /// in the first.
    #[test]
    fn silence_is_no_frame_of_the_ring() {
        let mut stretches = Stretches::new();
        stretches.push(0, 0, 60);
        stretches.push(60, 60, 40);
        stretches.push(120, 140, 30);
        stretches.push(170, 170, 1);
        for (device, frame, count, later) in [
            (0, 0, 100, 0),
            (70, 70, 30, 0),
            (100, 140, 30, 20),
            (119, 140, 30, 1),
            (149, 169, 1, 0),
            (150, 170, 1, 20),
            (171, 999, 0, 0),
        ] {
            let presented = stretches.presented(device, AT, 1000, 999);
            let at = RawTime(AT.0 + later * 1_000_000);
            assert_eq!(presented, Presented { frame, count, at }, "{device}");
        }
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut stretches = Stretches::new();
        for n in 0..1000 {
            stretches.push(n * 10, n * 5, 5);
        }
        assert_eq!(stretches.0.len(), KEPT);
        let frame = |device| stretches.presented(device, AT, 1000, 0).frame;
        assert_eq!(
            (frame(9_990), frame(9_985), frame(0)),
            (4_995, 4_995, 4_960)
        );
    }
}
