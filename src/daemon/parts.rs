//! What a running node is made of.

use std::time::Duration;

use smol::{future, Task};

use super::{
    context::{ControlClients, StartContext},
    introduce,
    network::NetworkView,
    speaker::{Speaker, SpeakerParts},
    tracker_control::{self, Lookout, TrackerSight},
    BoundTracker, DaemonError,
};
use crate::{
    config::{Config, ConfigChanges, LivePart, Role},
    interfaces,
    library::Care,
    node::{Event, MachineReport, Memory},
    sockets::reachable,
    tracker::{link::LinkCommand, server::TrackerStatus},
    util::within::within,
    util::work,
};

/// Starts what the configured role needs. Everything is bound when it returns.
///
/// # Errors
/// Names what cannot be had.
pub fn start(with: &StartContext<'_>) -> Result<Running, DaemonError> {
    match with.config.role {
        Role::Tracker => start_tracker(with),
        Role::Peer => start_peer(with),
        Role::Both => start_both(with),
    }
}

/// A tracker that does not play.
fn start_tracker(with: &StartContext<'_>) -> Result<Running, DaemonError> {
    let tracker = BoundTracker::bind(with)?;
    let (clients, serving) = ControlClients::bind(with)?;
    let status = tracker.server.status();
    let bound = with.config.tracker.listen.ip();
    let network = NetworkView::look(bound);
    let setup = introduce::setup(with.config, with.identity, Memory::default(), &network);
    let sight = move || TrackerSight {
        here: reachable(bound, &interfaces::own_addresses()),
        interfaces: NetworkView::look(bound).interfaces,
    };
    let (lookout, told) = Lookout::new(clients.requests);
    let answering = tracker_control::run(setup, sight, told, status.clone());
    let (line, pulse) = (with.status_line(), with.watchdog.pulse());
    let telling = tracker_control::tell_manager(status.clone(), line, pulse);
    Ok(Running {
        front: Front::Lookout(lookout),
        tracker: Some(status),
        tasks: vec![
            serving,
            work::spawn(telling),
            work::spawn(answering),
            work::spawn(tracker.run()),
        ],
    })
}

/// A peer that registers with trackers elsewhere.
fn start_peer(with: &StartContext<'_>) -> Result<Running, DaemonError> {
    let (clients, serving) = ControlClients::bind(with)?;
    let parts = SpeakerParts::open(with)?;
    let mut tasks = vec![serving];
    let speaker = parts.start(with, clients, &mut tasks)?;
    Ok(Running {
        front: Front::Speaker(Box::new(speaker)),
        tracker: None,
        tasks,
    })
}

/// A tracker, and a peer that registers with it first.
fn start_both(with: &StartContext<'_>) -> Result<Running, DaemonError> {
    let tracker = BoundTracker::bind(with)?;
    let (clients, serving) = ControlClients::bind(with)?;
    let parts = SpeakerParts::open(with)?.beside(&tracker);
    let status = tracker.server.status();
    let watching = tracker_control::watch(status.clone(), with.watchdog.pulse());
    let mut tasks = vec![serving, work::spawn(watching), work::spawn(tracker.run())];
    let speaker = parts.start(with, clients, &mut tasks)?;
    Ok(Running {
        front: Front::Speaker(Box::new(speaker)),
        tracker: Some(status),
        tasks,
    })
}

/// A started node.
pub struct Running {
    front: Front,
    /// The own tracker, where there is one.
    tracker: Option<TrackerStatus>,
    /// The control socket, the tracker, and what works beside a speaker; ends in reverse.
    tasks: Vec<Task<()>>,
}

/// What answers a person.
enum Front {
    Speaker(Box<Speaker>),
    /// Of a tracker that does not play.
    Lookout(Lookout),
}

impl Running {
    /// Makes `changes` take effect, shows `notices`, and reads the library
    /// again. `config` is what the node runs with from now on.
    pub async fn configure(&self, changes: &ConfigChanges, config: &Config, notices: Vec<String>) {
        let speaker = match &self.front {
            Front::Speaker(speaker) => speaker,
            Front::Lookout(lookout) => return lookout.show(notices),
        };
        let parts = changes.parts();
        if !parts.contains(&LivePart::Library) {
            speaker.live.library.request_look(None, Care::Changes);
        }
        speaker.live.change(parts, config).await;
        let configured = introduce::configured(config, notices);
        speaker.handle.tell(configured).await;
    }

    /// Other keys are shown and believed now: a node that is connected by a key that was
    /// taken away is so no more, and may come back with another at once.
    pub async fn handle_keys(&self) {
        if let Some(tracker) = &self.tracker {
            tracker.end_disbelieved().await;
        }
        if let Front::Speaker(speaker) = &self.front {
            speaker.endpoint.handle_keys();
            // The link lives as long as the peer.
            let _ = speaker.commands.send(LinkCommand::Keys).await;
            speaker.handle.tell(Event::Keys).await;
        }
    }

    /// Shows what became of the identity, or nothing any more.
    pub async fn tell_of_identity(&self, notice: Option<String>) {
        match &self.front {
            Front::Speaker(speaker) => {
                let lost = MachineReport::IdentityLost(notice);
                speaker.handle.tell(Event::Machine(lost)).await;
            }
            Front::Lookout(lookout) => lookout.tell_of_identity(notice),
        }
    }

    /// Leaves the swarm and ends everything: the peer first, so that its
    /// tracker still hears of it.
    pub async fn stop(self) {
        if let Front::Speaker(speaker) = self.front {
            let Speaker {
                peer,
                handle,
                indexed,
                memory,
                ..
            } = *speaker;
            handle.stop().await;
            // The peer ends its library before it says goodbye.
            let indexed = within(INDEX_TIMEOUT, indexed.recv());
            let ((), indexed) = future::zip(peer, indexed).await;
            if indexed.is_none() {
                log::warn!("the library's index is not written; what is not in it is hashed again");
            }
            memory.await;
        }
        // The control socket was first, and goes last.
        for task in self.tasks.into_iter().rev() {
            task.cancel().await;
        }
    }
}

/// A node ends within 2 s, whatever its disk does.
const INDEX_TIMEOUT: Duration = Duration::from_millis(1500);
