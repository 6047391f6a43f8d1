//! The control socket of a node that is only a tracker: it shows which peers are here,
//! and says that it cannot play.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use smol::Timer;

use crate::{
    control::server::ControlEvent,
    node::{in_few_words, Interfaces, NodeSetup, TrackerOnly},
    service::{LoopPulse, StatusLine},
    tracker::server::TrackerStatus,
};

/// The network around this machine.
pub struct TrackerSight {
    /// How it reaches itself: the address of peers on it.
    pub here: IpAddr,
    pub interfaces: Interfaces,
}

/// The way to the control socket of a node that is only a tracker.
pub struct Lookout {
    /// What its configuration lacks; the latest counts.
    notices: Sender<Vec<String>>,
    /// What became of its identity, if that is to be known.
    identity: Sender<Option<String>>,
}

/// What comes to it.
pub struct TrackerReports {
    requests: Receiver<ControlEvent>,
    notices: Receiver<Vec<String>>,
    identity: Receiver<Option<String>>,
}

impl Lookout {
    /// One that answers `requests`, once [`run`] is given its reports.
    pub fn new(requests: Receiver<ControlEvent>) -> (Self, TrackerReports) {
        let (notices, noticed) = async_channel::bounded(1);
        let (identity, looked_after) = async_channel::bounded(1);
        let reports = TrackerReports {
            requests,
            notices: noticed,
            identity: looked_after,
        };
        (Self { notices, identity }, reports)
    }

    /// Shows what a person must know of the configuration.
    pub fn show(&self, notices: Vec<String>) {
        // Where nothing shows them they are in the log.
        let _ = self.notices.force_send(notices);
    }

    /// Shows what became of the identity, or nothing any more.
    pub fn tell_of_identity(&self, notice: Option<String>) {
        let _ = self.identity.force_send(notice);
    }
}

/// Answers requests until the control server is gone, by what `look` sees. What
/// a person must know of the configuration comes with them.
pub async fn run(
    setup: NodeSetup,
    look: impl Fn() -> TrackerSight,
    told: TrackerReports,
    status: TrackerStatus,
) {
    let begun = Instant::now();
    let (mut noticed, mut identity) = (Vec::new(), None);
    while let Ok(ControlEvent { request, responder }) = told.requests.recv().await {
        let TrackerSight { here, interfaces } = look();
        let (peers, problems) = status
            .snapshot()
            .await
            .map_or_else(Default::default, |snapshot| {
                (snapshot.peers, snapshot.problems)
            });
        noticed = told.notices.try_recv().unwrap_or(noticed);
        identity = told.identity.try_recv().unwrap_or(identity);
        let notices = identity.iter().chain(&noticed).cloned();
        let node = TrackerOnly {
            setup: &setup,
            begun,
            interfaces,
            here,
            peers,
            notices: notices.chain(problems).collect(),
        };
        responder.answer(node.answer(request, Instant::now()));
    }
}

/// Tells the service manager which peers are there, and that the tracker's loop turns, as often as
/// it wants to hear that, until the loop does not turn any more.
pub async fn tell_manager(status: TrackerStatus, mut line: StatusLine, pulse: LoopPulse) {
    while let Some(snapshot) = status.snapshot().await {
        pulse.beat();
        let names = snapshot.peers.iter().map(|record| &*record.name);
        let text = format!("tracker of {}", in_few_words(names, snapshot.peers.len()));
        line.say(text, Instant::now());
        Timer::after(pulse.interval().unwrap_or(STATUS_INTERVAL)).await;
    }
}

/// Has the service manager hear nothing of a peer whose tracker's loop does not turn.
pub async fn watch(status: TrackerStatus, pulse: LoopPulse) {
    let Some(interval) = pulse.interval() else {
        return;
    };
    while status.snapshot().await.is_some() {
        pulse.beat();
        Timer::after(interval).await;
    }
}

/// How old what `systemctl status` says may be.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixDatagram, sync::Arc};

    use super::*;
    use crate::{
        identity::{Identity, SwarmKey},
        service::{ServiceNotifier, Watchdog},
        tracker::server::TrackerServer,
    };

    fn server() -> TrackerServer {
        let identity = Identity::from_secret(&[1; 32], &[SwarmKey::OPEN]).unwrap();
        TrackerServer::bind("127.0.0.1:0".parse().unwrap(), &identity, 0).unwrap()
    }

    /// The next thing that is said.
    async fn next(by: &UnixDatagram) -> String {
        let mut heard = [0; 64];
        loop {
            match by.recv(&mut heard) {
                Ok(length) => return String::from_utf8_lossy(&heard[..length]).into(),
                Err(_) => _ = Timer::after(OFTEN).await,
            }
        }
    }

    const OFTEN: Duration = Duration::from_millis(10);

    /// Until the tracker's own loop turns, and as long as it does.
    #[test]
    fn the_watchdog_is_petted_by_the_trackers_loop() {
        let server = server();
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let notifier = Arc::new(ServiceNotifier::to(ours));
        let pulse = Watchdog::new(notifier.clone(), Some(OFTEN)).pulse();
        let line = StatusLine::new(notifier, Instant::now());
        let _telling = smol::spawn(tell_manager(server.status(), line, pulse));
        smol::block_on(async {
            Timer::after(10 * OFTEN).await;
            assert!(theirs.recv(&mut [0; 64]).is_err(), "nobody serves yet");
            let _serving = smol::spawn(server.run());
            for expected in ["WATCHDOG=1", "STATUS=tracker of nobody", "WATCHDOG=1"] {
                assert_eq!(next(&theirs).await, expected);
            }
        });
    }

    /// Where a peer plays beside a tracker that hangs, nobody is told that all is well.
    #[test]
    fn in_both_roles_the_trackers_loop_has_to_turn_too() {
        let server = server();
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let watchdog = Watchdog::new(Arc::new(ServiceNotifier::to(ours)), Some(OFTEN));
        let peer = watchdog.pulse();
        let _watching = smol::spawn(watch(server.status(), watchdog.pulse()));
        let _peer = smol::spawn(async move {
            loop {
                peer.beat();
                Timer::after(OFTEN).await;
            }
        });
        smol::block_on(async {
            Timer::after(10 * OFTEN).await;
            assert!(theirs.recv(&mut [0; 64]).is_err(), "the tracker hangs");
            let _serving = smol::spawn(server.run());
            for _ in 0..3 {
                assert_eq!(next(&theirs).await, "WATCHDOG=1");
            }
        });
    }
}
