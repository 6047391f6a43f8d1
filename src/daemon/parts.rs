//! What a running node is made of.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_channel::Sender;
use smol::{future, Task};

use super::{
    introduce,
    network::NetworkView,
    speaker::{self, Speaker},
    tracker_control::{self, TrackerSight},
    BoundTracker, DaemonError, StateDir,
};
use crate::{
    config::{Config, ConfigChanges, LivePart},
    control::server::{ControlConfig, ControlServer},
    discovery::Mdns,
    identity::Identity,
    interfaces,
    library::Care,
    node::{Event, Memory, NodeSetup},
    service::{ServiceNotifier, StatusLine, Watchdog},
    sockets::reachable,
    tracker::{link::LinkCommand, server::TrackerStatus},
    util::within::within,
    util::work,
};

/// A started node.
pub struct Running {
    pub(super) peer: Option<Speaker>,
    /// Where a node that does not play shows what its configuration lacks; the
    /// latest counts.
    notices: Sender<Vec<String>>,
    /// Where it shows what became of its identity.
    pub(super) lost: Sender<String>,
    /// The own tracker, where there is one.
    tracker: Option<TrackerStatus>,
    /// The tracker, the link to one, and the control socket.
    tasks: Vec<Task<()>>,
}

impl Running {
    /// Makes `changes` take effect, shows `notices`, and reads the library
    /// again. `config` is what the node runs with from now on.
    pub async fn configure(&self, changes: &ConfigChanges, config: &Config, notices: Vec<String>) {
        let Some(speaker) = &self.peer else {
            // Where nothing shows them they are in the log.
            let _ = self.notices.force_send(notices);
            return;
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
        if let Some(speaker) = &self.peer {
            speaker.endpoint.handle_keys();
            // The link lives as long as the peer.
            let _ = speaker.commands.send(LinkCommand::Keys).await;
            speaker.handle.tell(Event::Keys).await;
        }
    }

    /// Leaves the swarm and ends everything: the peer first, so that its
    /// tracker still hears of it.
    pub async fn stop(self) {
        if let Some(Speaker {
            peer,
            handle,
            indexed,
            memory,
            ..
        }) = self.peer
        {
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

/// Starts what the configured role needs. Everything is bound when it returns.
pub fn start(
    config: &Config,
    state: &StateDir,
    identity: Identity,
    (tracker, mdns): (Option<BoundTracker>, Mdns),
    notifier: Arc<ServiceNotifier>,
) -> Result<Running, DaemonError> {
    let (server, requests, control) = ControlServer::bind(&ControlConfig {
        socket: config.control.socket.clone(),
        group: Some(config.control.group.clone()),
        mpd: config.control.mpd,
        password: config.control.password.as_deref().map(Into::into),
        has_player: config.role.is_peer(),
    })?;
    let mut tasks = vec![work::spawn(server.run())];
    let watchdog = Watchdog::new(notifier.clone(), Watchdog::interval_from_env());
    let line = StatusLine::new(notifier, Instant::now());
    let (notices, noticed) = async_channel::bounded(1);
    let (lost, found_lost) = async_channel::bounded(1);
    let own_tracker = tracker.as_ref().map(|tracker| tracker.server.status());
    if !config.role.is_peer() {
        let network = NetworkView::look(config.tracker.listen.ip());
        let setup = introduce::setup(config, &identity, Memory::default(), &network);
        tasks.extend(start_lookout(
            setup,
            config,
            tracker,
            (line, &watchdog),
            (requests, noticed, found_lost),
        ));
        return Ok(Running {
            peer: None,
            notices,
            lost,
            tracker: own_tracker,
            tasks,
        });
    }
    let speaker = speaker::start(
        config,
        state,
        &identity,
        (tracker, mdns),
        (line, &watchdog),
        (requests, control),
        &mut tasks,
    )?;
    Ok(Running {
        peer: Some(speaker),
        notices,
        lost,
        tracker: own_tracker,
        tasks,
    })
}

/// Starts what a node has that is only a tracker. Commands, and what a person
/// must know of the configuration, come by `told`.
fn start_lookout(
    setup: NodeSetup,
    config: &Config,
    tracker: Option<BoundTracker>,
    (line, watchdog): (StatusLine, &Watchdog),
    told: tracker_control::TrackerReport,
) -> Vec<Task<()>> {
    let mut tasks = Vec::new();
    let status = tracker.as_ref().map(|tracker| tracker.server.status());
    if let Some(status) = status.clone() {
        let telling = tracker_control::tell_manager(status, line, watchdog.pulse());
        tasks.push(work::spawn(telling));
    }
    let bound = config.tracker.listen.ip();
    let sight = move || TrackerSight {
        here: reachable(bound, &interfaces::own_addresses()),
        interfaces: NetworkView::look(bound).interfaces,
    };
    tasks.push(work::spawn(tracker_control::run(
        setup, sight, told, status,
    )));
    tasks.extend(tracker.map(|tracker| work::spawn(tracker.run())));
    tasks
}

/// A node ends within 2 s, whatever its disk does.
const INDEX_TIMEOUT: Duration = Duration::from_millis(1500);
