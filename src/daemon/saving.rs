//! When the latest of something is saved, and saved again where that fails.

use std::time::{Duration, Instant};

/// What is to be saved, and when.
#[derive(Debug)]
pub(super) struct Saving<T> {
    latest: Option<T>,
    due: Option<Instant>,
    /// Failures in a row.
    failures: u32,
}

impl<T> Default for Saving<T> {
    fn default() -> Self {
        Self {
            latest: None,
            due: None,
            failures: 0,
        }
    }
}

impl<T> Saving<T> {
    /// The latest is to be saved by `due`; while a disk fails, not sooner for that.
    pub fn take(&mut self, latest: T, due: Instant) {
        self.latest = Some(latest);
        self.due.get_or_insert(due);
    }

    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What there is is due now, whatever has failed.
    pub fn make_due(&mut self, now: Instant) {
        self.due = self.latest.as_ref().map(|_| now);
    }

    /// What is to be saved now; answered by [`Self::handle_done`].
    pub fn take_due(&mut self, now: Instant) -> Option<T> {
        self.due.take_if(|due| *due <= now)?;
        self.latest.take()
    }

    /// What came of saving `what`.
    pub fn handle_done(&mut self, what: T, is_saved: bool, now: Instant) {
        if is_saved {
            self.failures = 0;
            return;
        }
        let wait = TRY_AGAIN.saturating_mul(2u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.latest.get_or_insert(what);
        self.due = Some(now + wait.min(TRY_AGAIN_AT_MOST));
    }

    /// Whether the last was not saved.
    pub fn fails(&self) -> bool {
        self.failures > 0
    }
}

/// A disk that is full or gone is tried again, ever more seldom.
const TRY_AGAIN: Duration = Duration::from_secs(5);
const TRY_AGAIN_AT_MOST: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_saved_when_the_first_was_due() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let mut saving = Saving::default();
        assert_eq!(saving.take_due(begin), None);
        saving.take(1, begin + second);
        saving.take(2, begin + 2 * second);
        assert_eq!(
            (saving.due(), saving.take_due(begin)),
            (Some(begin + second), None)
        );
        assert_eq!(saving.take_due(begin + second), Some(2));
        saving.handle_done(2, true, begin + second);
        assert_eq!(saving.due(), None);
        saving.make_due(begin);
        assert_eq!(saving.due(), None, "there is nothing");
    }

    #[test]
    fn what_fails_is_tried_ever_more_seldom_and_the_end_does_not_wait() {
        let mut now = Instant::now();
        let mut saving = Saving::default();
        let mut waits = Vec::new();
        saving.take(1, now);
        for _ in 0..9 {
            let what = saving.take_due(now).unwrap();
            saving.handle_done(what, false, now);
            let due = saving.due().unwrap();
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert!(saving.fails());
        let what = saving.take_due(now).unwrap();
        // Another has come while that was being saved.
        saving.take(2, now + TRY_AGAIN);
        saving.handle_done(what, false, now);
        saving.make_due(now);
        assert_eq!(saving.take_due(now), Some(2));
        saving.handle_done(2, true, now);
        assert!(!saving.fails());
    }
}
