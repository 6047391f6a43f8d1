//! How much may be under way to a peer: BBR, with room where that costs nobody anything.
//!
//! BBR takes a lost packet for what it is on Wi-Fi, no sign of a full line, and keeps to
//! the rate that it has measured. Where a round trip takes less than a millisecond that is
//! a handful of packets, each handful with its timer, its system calls and its receipt; on
//! a wire they were a third of all the CPU that a transfer took on either side.
//!
//! What must hold: more than BBR's is under way only as long as a round trip takes less
//! than [`NEAR`], which it does not behind a queue that is longer, and nothing has been
//! lost for [`QUIET`]. So others on the line wait for [`NEAR`] at most, and who shares a
//! full one has BBR beside it.

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::congestion::{BbrConfig, Controller, ControllerFactory, ControllerMetrics};
use quinn_proto::RttEstimator;

/// Makes the controller of each connection.
#[derive(Debug, Default)]
pub struct RoomyBbr(Arc<BbrConfig>);

impl ControllerFactory for RoomyBbr {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Congestion {
            bbr: self.0.clone().build(now, mtu),
            path: Path::default(),
        })
    }
}

struct Congestion {
    bbr: Box<dyn Controller>,
    path: Path,
}

impl Controller for Congestion {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.bbr.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.path.handle_ack(rtt.get(), now);
        self.bbr.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.bbr
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.path.handle_loss(now);
        self.bbr
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.bbr.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        match self.path.has_room {
            true => self.bbr.window().max(ROOM),
            false => self.bbr.window(),
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.bbr.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            bbr: self.bbr.clone_box(),
            path: self.path,
        })
    }

    fn initial_window(&self) -> u64 {
        self.bbr.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// What is known of the way to a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    lost: Option<Instant>,
    has_room: bool,
}

impl Path {
    fn handle_ack(&mut self, rtt: Duration, now: Instant) {
        let is_quiet = self.lost.is_none_or(|lost| now >= lost + QUIET);
        self.has_room = is_quiet && rtt < NEAR;
    }

    fn handle_loss(&mut self, now: Instant) {
        self.lost = Some(now);
        self.has_room = false;
    }
}

/// What may be under way where there is room: 4 ms of a gigabit, and half of what a
/// connection keeps for resending.
const ROOM: u64 = 512 * 1024;
/// A wire or a quick Wi-Fi, without a queue to speak of.
const NEAR: Duration = Duration::from_millis(5);
/// So long after a loss there may be others on the line, or it has a short queue that
/// [`ROOM`] would fill again and again.
const QUIET: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_while_the_peer_is_near_and_nothing_is_lost() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let mut path = Path::default();
        assert!(!path.has_room, "nothing is known yet");
        path.handle_ack(Duration::from_millis(1), at(0));
        assert!(path.has_room);
        path.handle_ack(NEAR, at(10));
        assert!(!path.has_room, "a queue has grown");
        path.handle_ack(Duration::from_millis(1), at(20));
        assert!(path.has_room);
        path.handle_loss(at(30));
        assert!(!path.has_room);
        path.handle_ack(Duration::from_millis(1), at(10_029));
        assert!(!path.has_room);
        path.handle_ack(Duration::from_millis(1), at(10_030));
        assert!(path.has_room);
    }

    #[test]
    fn beyond_room_it_is_bbr() {
        let now = Instant::now();
        let bbr = Arc::new(BbrConfig::default()).build(now, 1200);
        let mut controller = Arc::new(RoomyBbr::default()).build(now, 1200);
        assert_eq!(controller.window(), bbr.window());
        controller.on_congestion_event(now, now, false, 1200);
        assert_eq!(controller.window(), bbr.window());
    }
}
