//! The control socket of a node that is only a tracker: it shows who is here,
//! and says that it cannot play.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use async_channel::Receiver;
use smol::Timer;

use crate::{
    control::server::ControlEvent,
    node::{self, in_few_words, Action, ControlId, Event, Interfaces, Node, Setup},
    protocol::{Candidate, FromTracker},
    service::Notifier,
    tracker::{link::TrackerEvent, server::TrackerStatus},
};

/// The network around this machine.
pub struct Sight {
    /// How it reaches itself: the address of peers on it.
    pub here: IpAddr,
    pub interfaces: Interfaces,
}

/// Answers requests until the control server is gone, by what `look` sees. What
/// a person must know of the configuration comes with them.
pub async fn run(
    mut setup: Setup,
    look: impl Fn() -> Sight,
    (requests, notices): (Receiver<ControlEvent>, Receiver<Vec<String>>),
    status: Option<TrackerStatus>,
) {
    let begun = Instant::now();
    let mut noticed = Vec::new();
    while let Ok(ControlEvent { request, responder }) = requests.recv().await {
        // A node of its own for each request: it knows what the tracker knows
        // now, and nothing is to be kept between two.
        let now = Instant::now();
        let Sight { here, interfaces } = look();
        setup.interfaces = interfaces;
        let mut node = Node::new(setup.clone(), begun);
        let snapshot = match &status {
            Some(status) => status.snapshot().await,
            None => None,
        };
        for mut record in snapshot.into_iter().flat_map(|snapshot| snapshot.peers) {
            for candidate in &mut record.candidates {
                if let Candidate::WithTracker { port } = *candidate {
                    *candidate = Candidate::At(SocketAddr::new(here, port));
                }
            }
            let message = TrackerEvent::Message(FromTracker::Peer(record));
            node.handle(Event::Tracker(message), now);
        }
        noticed = notices.try_recv().unwrap_or(noticed);
        let configured = Event::Configured {
            max_volume: setup.max_volume,
            notices: noticed.clone(),
        };
        node.handle(configured, now);
        let ask = ControlId(0);
        node.handle(
            Event::Control {
                ask,
                request,
                sight: node::Sight::default(),
            },
            now,
        );
        let reply = std::iter::from_fn(|| node.poll(now)).find_map(|action| match action {
            Action::Reply(_, outcome) => Some(outcome),
            _ => None,
        });
        if let Some(outcome) = reply {
            responder.answer(outcome);
        }
    }
}

/// Tells the service manager who is there, and that the tracker's loop turns,
/// as often as it wants to hear that, until the loop does not turn any more.
pub async fn tell_manager(
    status: TrackerStatus,
    notifier: Arc<Notifier>,
    watchdog: Option<Duration>,
) {
    let mut said = String::new();
    while let Some(snapshot) = status.snapshot().await {
        if watchdog.is_some() {
            notifier.watchdog();
        }
        let names = snapshot.peers.iter().map(|record| &*record.name);
        let text = format!("tracker of {}", in_few_words(names, snapshot.peers.len()));
        if text != said {
            notifier.status(&text);
            said = text;
        }
        Timer::after(watchdog.unwrap_or(STATUS_INTERVAL)).await;
    }
}

/// How old what `systemctl status` says may be.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::{
        identity::{Identity, SwarmKey},
        tracker::server::TrackerServer,
    };

    /// Until the tracker's own loop turns, and as long as it does.
    #[test]
    fn the_watchdog_is_petted_by_the_trackers_loop() {
        let identity = Identity::from_secret(&[1; 32], &[SwarmKey::OPEN]).unwrap();
        let here = "127.0.0.1:0".parse().unwrap();
        let server = TrackerServer::bind(here, &identity).unwrap();
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let notifier = Arc::new(Notifier::to(ours));
        let often = Duration::from_millis(10);
        let telling = tell_manager(server.status(), notifier, Some(often));
        let _telling = smol::spawn(telling);
        let mut heard = [0; 64];
        smol::block_on(async {
            Timer::after(10 * often).await;
            assert!(theirs.recv(&mut heard).is_err(), "nobody serves yet");
            let _serving = smol::spawn(server.run());
            for expected in [
                &b"WATCHDOG=1"[..],
                b"STATUS=tracker of nobody",
                b"WATCHDOG=1",
            ] {
                let length = loop {
                    match theirs.recv(&mut heard) {
                        Ok(length) => break length,
                        Err(_) => _ = Timer::after(often).await,
                    }
                };
                assert_eq!(&heard[..length], expected);
            }
        });
    }
}
