//! Changes that come close to each other are one.

use std::time::{Duration, Instant};

/// Puts changes together: due after [`QUIET`] without another, and no later
/// than [`LATEST`] after the first.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    first_and_last: Option<(Instant, Instant)>,
}

impl Debounce {
    pub fn handle_change(&mut self, now: Instant) {
        let first = self.first_and_last.map_or(now, |(first, _)| first);
        self.first_and_last = Some((first, now));
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let (first, last) = self.first_and_last?;
        Some((last + QUIET).min(first + LATEST))
    }

    /// Whether the changes are due; then they are done with.
    pub fn poll(&mut self, now: Instant) -> bool {
        let is_due = self.poll_timeout().is_some_and(|at| now >= at);
        if is_due {
            self.first_and_last = None;
        }
        is_due
    }
}

/// A copied album is one change.
const QUIET: Duration = Duration::from_secs(2);

/// A person who copies for an hour sees music after half a minute.
const LATEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_wait_for_quiet_but_not_for_ever() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut changes = Debounce::default();
        assert!(!changes.poll(at(0)));

        changes.handle_change(at(0));
        assert!(!changes.poll(at(1)));
        changes.handle_change(at(1));
        assert!(!changes.poll(at(2)));
        assert!(changes.poll(at(3)));
        assert_eq!(changes.poll_timeout(), None);

        for second in 10..40 {
            assert!(!changes.poll(at(second)));
            changes.handle_change(at(second));
        }
        assert!(changes.poll(at(40)));
    }
}
