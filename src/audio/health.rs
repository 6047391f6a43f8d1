//! Whether the device is well, and when to try again if it is not.
//!
//! A device that fails says so; one whose server hangs says nothing and never
//! asks for sound again. [`DevicePulse`] tells such a one from a machine that was
//! stopped itself (a suspended Pi, a debugger): it counts only time in which
//! somebody looked.

use std::time::{Duration, Instant};

use crate::util::backoff::Backoff;

/// Watches that a running device goes on asking for sound.
#[derive(Debug)]
pub struct DevicePulse {
    beats: u64,
    looked: Instant,
    /// For how long it has been seen to stand still.
    still: Duration,
}

impl DevicePulse {
    /// Of a device that begins to run now, and has asked `beats` times.
    pub fn new(beats: u64, now: Instant) -> Self {
        Self {
            beats,
            looked: now,
            still: Duration::ZERO,
        }
    }

    /// Looks at how often the device has asked for sound since it was opened;
    /// whether it has stopped doing so.
    pub fn is_gone(&mut self, beats: u64, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.looked);
        self.looked = now;
        if beats == self.beats {
            self.still += since.min(GLANCE);
        } else {
            (self.beats, self.still) = (beats, Duration::ZERO);
        }
        self.still >= STALLED
    }
}

/// There is no sound, for a reason that may pass.
#[derive(Debug)]
pub struct Outage {
    /// When to try again.
    at: Instant,
    /// Tries that have failed.
    failures: u32,
    /// What was told of it last.
    why: String,
    /// Whether the device has come back meanwhile, and failed before it had proven itself.
    is_fickle: bool,
}

impl Outage {
    /// Begins with a first try soon.
    pub fn new(why: String, now: Instant) -> Self {
        Self {
            at: now + FIRST_RETRY,
            failures: 0,
            why,
            is_fickle: false,
        }
    }

    /// When to try again.
    pub fn retry_at(&self) -> Instant {
        self.at
    }

    /// Somebody wants sound now: the pauses begin anew.
    pub fn hurry(&mut self, now: Instant) {
        (self.at, self.failures) = (now, 0);
    }

    /// Whether a device that opens is not believed before it has run for [`PROVEN`].
    pub fn is_fickle(&self) -> bool {
        self.is_fickle
    }

    /// Another try failed, or, where the device was `reopened`, it opened and failed at once.
    /// Whether that is to be told: the reason is a new one, or all were told that it is back.
    pub fn handle_failure(&mut self, why: &str, reopened: bool, now: Instant) -> bool {
        let was_believed = reopened && !self.is_fickle;
        self.is_fickle |= reopened;
        self.failures = self.failures.saturating_add(1);
        self.at = now + Backoff::new(FIRST_RETRY, LAST_RETRY).rest(self.failures);
        let is_new = self.why != why;
        why.clone_into(&mut self.why);
        is_new || was_believed
    }
}

/// The most that one look counts for: twice the time between two looks, so
/// that a process which was stopped for an hour does not blame the device.
const GLANCE: Duration = Duration::from_millis(100);

/// A device that has not asked for sound for so long never will: a hundred
/// times its period, and longer than a server takes to change its sink.
const STALLED: Duration = Duration::from_secs(2);

/// A device that was lost and has run for so long since is well: longer than it takes to
/// see that one has stalled.
pub const PROVEN: Duration = Duration::from_secs(3);

/// The first pause before a lost device is tried again: a re-plugged DAC takes
/// about this long to appear.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// The longest, so that a DAC plugged in next week sounds at once, nearly.
const LAST_RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks every 50 ms, `count` times; says at which look it was gone.
    fn look(pulse: &mut DevicePulse, from: Instant, beats: impl Fn(u32) -> u64) -> Option<u32> {
        (1..=200).find(|n| pulse.is_gone(beats(*n), from + Duration::from_millis(50) * *n))
    }

    #[test]
    fn silence_is_noticed_and_slowness_is_not() {
        let start = Instant::now();
        let slow = |n: u32| u64::from(n / 30);
        assert_eq!(look(&mut DevicePulse::new(0, start), start, slow), None);
        let dies = |n: u32| u64::from(n.min(50));
        assert_eq!(look(&mut DevicePulse::new(0, start), start, dies), Some(90));
        let never = |_| 0;
        assert_eq!(
            look(&mut DevicePulse::new(0, start), start, never),
            Some(40)
        );
    }

    #[test]
    fn a_stopped_process_does_not_blame_the_device() {
        let start = Instant::now();
        let mut pulse = DevicePulse::new(7, start);
        let later = start + Duration::from_secs(3600);
        assert!(!pulse.is_gone(7, later));
        assert!(!pulse.is_gone(8, later + GLANCE));
        // One that looks more often than it must does not count faster.
        let hasty = (1..2000).all(|n| !pulse.is_gone(8, later + GLANCE + n * STALLED / 2000));
        assert!(hasty);
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_a_reason_is_told_once() {
        let mut now = Instant::now();
        let mut outage = Outage::new("gone".into(), now);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            pauses.push((outage.retry_at() - now).as_millis());
            now = outage.retry_at();
            assert!(!outage.handle_failure("gone", false, now));
        }
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert!(outage.handle_failure("busy", false, now));
        outage.hurry(now);
        assert_eq!(outage.retry_at(), now);
    }
}
