//! What really arrives.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What came lately, in steps of a part of a second.
#[derive(Debug, Default)]
pub(super) struct Arrivals(VecDeque<(Instant, u64)>);

impl Arrivals {
    pub fn handle_bytes(&mut self, bytes: u64, now: Instant) {
        match self.0.back_mut() {
            Some((begun, sum)) if now < *begun + STEP => *sum += bytes,
            _ => self.0.push_back((now, bytes)),
        }
        while self.0.front().is_some_and(|(begun, _)| now > *begun + AGE) {
            self.0.pop_front();
        }
    }

    /// Bytes a second over all of [`AGE`], so that it is nothing when that has passed.
    pub fn rate(&self, now: Instant) -> u64 {
        let fresh = self.0.iter().filter(|(begun, _)| now <= *begun + AGE);
        let bytes: u64 = fresh.map(|(_, bytes)| bytes).sum();
        bytes * 1000 / AGE.as_millis() as u64
    }
}

/// A figure that is older is none: nobody reads "1000 kB/s arrive" of a dead line.
const AGE: Duration = Duration::from_secs(2);
/// Twenty of them at most are kept.
const STEP: Duration = Duration::from_millis(100);
