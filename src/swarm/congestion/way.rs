//! Whether packets wait on the way to a peer, or are lost in masses: a loss counts then.

use std::time::Duration;

/// What is known of the way to a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path {
    /// By how much round trips are longer than usual, on average over those lately; half
    /// of what they vary by.
    excess: Option<Duration>,
    /// How long packets wait on the way, unless that is how round trips vary anyway.
    wait: Duration,
    /// The longest that they have waited.
    longest: Duration,
    /// Bytes that came and that did not, of a sample.
    acked: u64,
    lost: u64,
}

impl Path {
    /// `bytes` came. The round trip took `latest`, or less if that is `usual`, which is the
    /// average of those lately; the shortest ever took `shortest`.
    pub fn handle_ack(
        &mut self,
        bytes: u64,
        latest: Duration,
        usual: Duration,
        shortest: Duration,
    ) {
        self.acked += bytes;
        // The first of them say nothing of that yet.
        let excess = self.excess.unwrap_or(usual / 2);
        let excess = (excess * 31 + latest.saturating_sub(usual)) / 32;
        self.excess = Some(excess);
        let wait = usual.saturating_sub(shortest);
        let is_queue = wait > MIN_WAIT.max(excess * SPREAD);
        self.wait = if is_queue { wait } else { Duration::ZERO };
        self.longest = self.longest.max(self.wait);
    }

    /// `bytes` were lost: whether that is because there are too many.
    pub fn handle_loss(&mut self, bytes: u64) -> bool {
        self.lost += bytes;
        let is_heavy = self.acked + self.lost >= SAMPLE && self.lost >= self.acked / HEAVY;
        if self.acked + self.lost >= SAMPLE {
            (self.acked, self.lost) = (0, 0);
        }
        if is_heavy {
            self.longest = self.wait;
        }
        let is_full = !self.wait.is_zero() && self.wait >= self.longest * 3 / 4;
        is_full || is_heavy
    }
}

/// What Wi-Fi and schedulers hold back at times, without a queue to speak of.
const MIN_WAIT: Duration = Duration::from_millis(5);
/// The usual round trip is longer than the shortest by up to three times of what they
/// vary by where they only vary, as evenly as can be; four times is more.
const SPREAD: u32 = 8;
/// Some bursts in a row are no measure yet.
const SAMPLE: u64 = 150_000;
/// One in so many is lost by a queue that is full, and too short to be noticed.
const HEAVY: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 1200;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A path whose round trips took so many milliseconds each.
    fn path(trips: impl Iterator<Item = u64>) -> Path {
        let mut path = Path::default();
        let (mut usual, mut shortest) = (None, Duration::MAX);
        for trip in trips.map(ms) {
            let average = (usual.unwrap_or(trip) * 7 + trip) / 8;
            usual = Some(average);
            shortest = shortest.min(trip);
            path.handle_ack(PACKET, trip.max(average), average, shortest);
        }
        path
    }

    #[test]
    fn what_a_queue_loses_counts_and_what_wifi_loses_does_not() {
        let wifi = (0..400).map(|n| 2 + n * 7 % 12);
        assert!(!path(wifi.clone()).handle_loss(PACKET));
        let far = (0..400).map(|n| 20 + n * 37 % 60);
        assert!(!path(far).handle_loss(PACKET));
        let fills_a_queue = wifi.chain((0..400).map(|n| 8 + n / 10));
        assert!(path(fills_a_queue).handle_loss(PACKET));
    }

    #[test]
    fn what_is_lost_in_masses_counts() {
        let mut path = path((0..125).map(|_| 1));
        assert!(!path.handle_loss(PACKET), "one in a hundred");
        path.handle_ack(100 * PACKET, ms(1), ms(1), ms(1));
        assert!(path.handle_loss(30 * PACKET));
        assert!(!path.handle_loss(PACKET), "it is a new sample");
    }
}
