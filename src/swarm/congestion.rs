//! How much may be under way to a peer: Cubic, which is not told of losses that are none of
//! its business.
//!
//! Wi-Fi loses packets though nobody waits, and Cubic halves its pace for each: 30 MB over
//! 50 Mbit/s take 16 s where one packet in a hundred is lost. BBR, as quinn has it, takes 5.4,
//! but keeps several times of what a line holds under way: beside it a neighbour's TCP had
//! 4 of those 50 Mbit/s, and much of what it sent itself was lost.
//!
//! What must hold: a loss counts as it does for everybody else while packets wait somewhere,
//! which the round trips tell, or when too much is lost for Wi-Fi; then this is a TCP of the
//! usual kind beside others. Other losses are only repaired.
//!
//! And one host is one such TCP, however many connections it has: all of them share one
//! window. On a line that is full each window gets about the same, so a host with 32
//! identities would have 32 times of what a listener beside it has.

mod way;

use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn_proto::RttEstimator;

use self::way::Path;

/// Makes the controllers of all connections with one host.
#[derive(Default)]
pub struct DeafCubic(Arc<Mutex<OneHost>>);

/// What all connections with one host have in common.
#[derive(Default)]
struct OneHost {
    cubic: Option<Box<dyn Controller>>,
    /// When each connection has sent something last.
    sent: BTreeMap<u64, Instant>,
    /// Those that have lately.
    busy: u64,
    next: u64,
}

impl ControllerFactory for DeafCubic {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let mut host = lock(&self.0);
        host.cubic.get_or_insert_with(|| {
            let mut cubic = CubicConfig::default();
            cubic.initial_window(INITIAL_WINDOW);
            Arc::new(cubic).build(now, mtu)
        });
        Box::new(Congestion {
            host: self.0.clone(),
            number: host.number(),
            mtu: mtu.into(),
            path: Path::default(),
        })
    }
}

fn lock(host: &Mutex<OneHost>) -> MutexGuard<'_, OneHost> {
    host.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OneHost {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn handle_sent(&mut self, number: u64, now: Instant) {
        self.sent.insert(number, now);
        let is_busy = |at: &&Instant| now.saturating_duration_since(**at) < BUSY;
        self.busy = self.sent.values().filter(is_busy).count() as u64;
    }

    /// The part of each connection that sends something.
    fn part(&self) -> u64 {
        let window = self.cubic.as_ref().map_or(INITIAL_WINDOW, |c| c.window());
        window / self.busy.max(1)
    }
}

/// The controller of one connection.
struct Congestion {
    host: Arc<Mutex<OneHost>>,
    /// Names the connection among those with its host.
    number: u64,
    mtu: u64,
    path: Path,
}

impl Drop for Congestion {
    fn drop(&mut self) {
        lock(&self.host).sent.remove(&self.number);
    }
}

impl Controller for Congestion {
    fn on_sent(&mut self, now: Instant, _bytes: u64, _last_packet_number: u64) {
        lock(&self.host).handle_sent(self.number, now);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        let latest = rtt.conservative();
        self.path.handle_ack(bytes, latest, rtt.get(), rtt.min());
        if let Some(cubic) = &mut lock(&self.host).cubic {
            cubic.on_ack(now, sent, bytes, app_limited, rtt);
        }
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        // Nor is a silence of some round trips a sign of a queue by itself.
        if !self.path.handle_loss(lost_bytes) {
            return;
        }
        if let Some(cubic) = &mut lock(&self.host).cubic {
            cubic.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu.into();
        if let Some(cubic) = &mut lock(&self.host).cubic {
            cubic.on_mtu_update(new_mtu);
        }
    }

    /// With less than two packets nothing would be sent, and nothing confirmed.
    fn window(&self) -> u64 {
        lock(&self.host).part().max(2 * self.mtu)
    }

    fn metrics(&self) -> ControllerMetrics {
        let host = lock(&self.host);
        host.cubic
            .as_ref()
            .map_or_else(ControllerMetrics::default, |cubic| cubic.metrics())
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            host: self.host.clone(),
            number: lock(&self.host).number(),
            mtu: self.mtu,
            path: self.path,
        })
    }

    fn initial_window(&self) -> u64 {
        INITIAL_WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// What a quick line takes in one round trip, and a slow one without a queue before what is
/// sent again: at 10 Mbit/s four times as much made half of all plays begin 80 ms later.
const INITIAL_WINDOW: u64 = 64 * 1024;
/// A connection that has sent nothing for so long has nothing to send: some round trips, and
/// the pause between two requests of a listener.
const BUSY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: u64 = 1200;

    #[test]
    fn only_what_counts_makes_it_slower() {
        let now = Instant::now();
        let mut controller = Arc::new(DeafCubic::default()).build(now, 1200);
        controller.on_congestion_event(now, now, false, PACKET);
        assert_eq!(controller.window(), INITIAL_WINDOW);
        controller.on_congestion_event(now, now, false, 200 * PACKET);
        assert!(controller.window() < INITIAL_WINDOW);
    }

    #[test]
    fn all_connections_with_one_host_share_one_window() {
        let now = Instant::now();
        let host = Arc::new(DeafCubic::default());
        let mut all: Vec<_> = (0..32).map(|_| host.clone().build(now, 1200)).collect();
        let mut send = |some: std::ops::Range<usize>, now| {
            let some = &mut all[some];
            some.iter_mut().for_each(|c| c.on_sent(now, PACKET, 1));
            some.iter().map(|c| c.window()).sum::<u64>()
        };
        assert_eq!(send(0..1, now), INITIAL_WINDOW, "the others are idle");
        assert_eq!(send(0..16, now), INITIAL_WINDOW);
        // Each may send a packet at a time in any case.
        assert_eq!(send(0..32, now), 32 * 2 * PACKET);
        assert_eq!(send(0..2, now + BUSY), INITIAL_WINDOW);
        all.truncate(1);
        all[0].on_sent(now + BUSY, PACKET, 2);
        assert_eq!(all[0].window(), INITIAL_WINDOW, "the others are gone");
        // A loss of one is a loss of its host.
        let mut other = host.build(now, 1200);
        all[0].on_congestion_event(now + BUSY, now, false, 200 * PACKET);
        other.on_sent(now + 3 * BUSY, PACKET, 1);
        assert!(other.window() < INITIAL_WINDOW);
    }
}
