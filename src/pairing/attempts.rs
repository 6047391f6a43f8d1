//! How often a code may be tried.

use std::time::Instant;

/// What is left of a code's life.
#[derive(Clone, Copy, Debug)]
pub struct Attempts {
    left: u8,
    until: Instant,
}

impl Attempts {
    pub fn new(until: Instant) -> Self {
        Self {
            left: MAX_FAILURES,
            until,
        }
    }

    /// How many more may fail: none once the code has ended.
    pub fn left(&self, now: Instant) -> u8 {
        match now < self.until {
            true => self.left,
            false => 0,
        }
    }

    /// One has failed; says how many more may.
    pub fn handle_failure(&mut self, now: Instant) -> u8 {
        self.left = self.left.saturating_sub(1);
        self.left(now)
    }

    /// The code has done what it was for.
    pub fn end(&mut self) {
        self.left = 0;
    }
}

/// Two mistypings, and a third that may have been somebody else's guess.
const MAX_FAILURES: u8 = 3;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_code_ends_with_its_time_its_third_failure_or_its_success() {
        let now = Instant::now();
        let until = now + Duration::from_secs(300);
        let mut attempts = Attempts::new(until);
        assert_eq!(attempts.left(now), 3);
        assert_eq!(attempts.left(until), 0);
        assert_eq!([(); 4].map(|()| attempts.handle_failure(now)), [2, 1, 0, 0]);
        let mut attempts = Attempts::new(until);
        attempts.end();
        assert_eq!(attempts.left(now), 0);
    }
}
