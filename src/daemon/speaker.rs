//! A node that plays: its parts, and what goes on beside them.

use std::sync::Arc;

use async_channel::{Receiver, Sender};
use smol::{future, Task};

use super::{
    archive::{self, Cabinet},
    dirs, exposition,
    introduce::{introduction, name, setup},
    live::{LiveParts, LiveValues},
    machine,
    memory::{self, Loaded},
    music,
    network::{self, NetworkView},
    place::Place,
    tracker_control,
    tracker_link::{link_to_tracker, TrackerTarget},
    BoundTracker, DaemonError, StateDir,
};
use crate::{
    config::Config,
    content::{disk::FencedDisk, store::Store},
    control::server::{self, ControlEvent},
    discovery::{self, Announcement, Mdns},
    fence::Fence,
    identity::Identity,
    library::LibraryEvent,
    node::{Event, NodeSetup, ResumeAs},
    peer::{Handle, Parts, Peer},
    player::{Player, PlayerEvent, EVENT_BOUND},
    service::{StatusLine, Watchdog},
    swarm::endpoint::Endpoint,
    tracker::link::LinkCommand,
    util::work,
};

/// What a node has that plays.
pub struct Speaker {
    pub(super) peer: Task<()>,
    pub(super) handle: Handle,
    pub(super) endpoint: Endpoint,
    /// The way to the link to the trackers.
    pub(super) commands: Sender<LinkCommand>,
    pub(super) live: LiveParts,
    /// Closed when the library's index is written and its thread has ended.
    pub(super) indexed: Receiver<()>,
    /// Saves what is to be remembered; ends with the peer.
    pub(super) memory: Task<()>,
}

/// Starts what plays, and the own tracker beside it.
pub fn start(
    config: &Config,
    state: &StateDir,
    identity: &Identity,
    (tracker, mdns): (Option<BoundTracker>, Mdns),
    (line, watchdog): (StatusLine, &Watchdog),
    (requests, control): (Receiver<ControlEvent>, server::ClientNotifier),
    tasks: &mut Vec<Task<()>>,
) -> Result<Speaker, DaemonError> {
    let opened = SpeakerParts::open(config, state, identity)?;
    let found = opened.found(state, identity, tracker.as_ref());
    let Loaded { memory, stamp, .. } = opened.loaded;
    let stamp = stamp.filter(|_| memory.left.is_some_and(|left| left.then == ResumeAs::Ask));
    let (endpoint, port) = (opened.endpoint, opened.port);
    let (live, values) = (opened.live, opened.values);
    let introduction = introduction(config, port, &memory);
    let wanted = TrackerTarget::new(values.tracker_at, tracker.as_ref(), mdns.clone());
    let (commands, tracker_events, link) = link_to_tracker(identity, introduction, wanted);
    tasks.extend(run_tracker(tracker, watchdog));
    let (look_for_peers, looks) = async_channel::bounded(1);
    let (memories, remembered) = async_channel::bounded(1);
    let (bookmarks, places) = async_channel::bounded(1);
    let (kept, memory_kept) = async_channel::bounded(1);
    let (archive, deposits) = async_channel::bounded(1);
    let setup = setup(config, identity, memory, &opened.network);
    let (peer, handle) = Peer::new(Parts {
        setup: NodeSetup { found, ..setup },
        memory_kept,
        endpoint: endpoint.clone(),
        budget: live.budget.clone(),
        store: live.store.clone(),
        library: live.library.clone(),
        library_events: opened.library_events,
        player: opened.player,
        player_events: opened.player_events,
        device: config.audio.device.clone(),
        requests,
        control,
        tracker: commands.clone(),
        tracker_events,
        look_for_peers,
        memories,
        bookmarks,
        archive,
        status: line,
        pulse: watchdog.pulse(),
    });
    let cabinet = Cabinet::of(state.path(), identity, &endpoint);
    let archiving = archive::keep(cabinet, deposits, handle.clone());
    let telling = stamp.map(|stamp| memory::tell_absence(stamp, handle.clone()));
    tasks.extend(telling.map(smol::spawn));
    let exposing = work::spawn(exposition::keep(values.prometheus, handle.clone()));
    let following = follow_network(config, opened.network, (&endpoint, &handle, &commands));
    tasks.extend([link, work::spawn(archiving), exposing, following]);
    tasks.extend(meet_peers(config, identity, port, mdns, looks, &handle));
    live.begin(config);
    let (watching, indexed) = music::run(&live.library, live.store.doubts())?;
    tasks.push(watching);
    Ok(Speaker {
        peer: work::spawn(peer.run()),
        handle,
        endpoint,
        commands,
        live,
        indexed,
        memory: work::spawn(memory::keep(remembered, places, opened.place, kept)),
    })
}

/// What is bound and opened before anything runs.
struct SpeakerParts {
    network: NetworkView,
    endpoint: Endpoint,
    /// Where it listens.
    port: u16,
    live: LiveParts,
    values: LiveValues,
    library_events: Receiver<LibraryEvent>,
    player: Player,
    player_events: Receiver<PlayerEvent>,
    place: Place,
    loaded: Loaded,
}

impl SpeakerParts {
    fn open(config: &Config, state: &StateDir, identity: &Identity) -> Result<Self, DaemonError> {
        let network = NetworkView::look(config.peer.listen.ip());
        let endpoint = bind_endpoint(config, identity, &network)?;
        let fence = Fence::default();
        let store = Store::open(
            dirs::cache_dir(config),
            u64::MAX, // Until it is configured, with the others.
            Arc::new(FencedDisk(fence.clone())),
        );
        let (library, library_events) = music::open(state, identity, (store.clone(), fence))?;
        let (live, values) = LiveParts::new(Arc::new(library), store);
        let (player, player_events) = spawn_player(config)?;
        let place = Place::new(state.path(), &config.control.socket);
        let mut loaded = memory::load(&place, config.audio.resume);
        // A chosen name is what it is.
        loaded.memory.known_as.take_if(|_| config.name.is_some());
        Ok(Self {
            network,
            port: endpoint.local_addr().map_or(0, |at| at.port()),
            endpoint,
            live,
            values,
            library_events,
            player,
            player_events,
            place,
            loaded,
        })
    }

    /// What a person must know of what the start found.
    fn found(
        &self,
        state: &StateDir,
        identity: &Identity,
        tracker: Option<&BoundTracker>,
    ) -> Vec<String> {
        let found = self.loaded.notices.iter().cloned();
        let found = found.chain(self.live.library.notice());
        let found = found.chain(state.notice()).chain(identity.notice());
        let names = tracker.map(|own| own.server.notices());
        found.chain(names.into_iter().flatten()).collect()
    }
}

/// Tells those that must know of this machine's network, as often as that changes.
fn follow_network(
    config: &Config,
    known: NetworkView,
    (endpoint, peer, tracker): (&Endpoint, &Handle, &Sender<LinkCommand>),
) -> Task<()> {
    let bound = config.peer.listen.ip();
    let (endpoint, peer, tracker) = (endpoint.clone(), peer.clone(), tracker.clone());
    work::spawn(network::follow(bound, known, endpoint, peer, tracker))
}

fn bind_endpoint(
    config: &Config,
    identity: &Identity,
    network: &NetworkView,
) -> Result<Endpoint, DaemonError> {
    let at = config.peer.listen;
    let subnets = network.interfaces.subnets.clone();
    let endpoint = Endpoint::bind(at, identity.clone(), subnets)
        .map_err(|source| DaemonError::Listen { at, source })?;
    endpoint.set_memory(machine::memory());
    if let Ok(at) = endpoint.local_addr() {
        log::info!("peer listens on {at}");
    }
    Ok(endpoint)
}

fn spawn_player(config: &Config) -> Result<(Player, Receiver<PlayerEvent>), DaemonError> {
    let (tells, events) = async_channel::bounded(EVENT_BOUND);
    let player = Player::spawn(config.audio.device.clone(), tells);
    let player = player.map_err(|source| DaemonError::System {
        what: "start the player",
        source,
    })?;
    Ok((player, events))
}

/// The own tracker, beside a peer, and what tells the watchdog of it.
fn run_tracker(tracker: Option<BoundTracker>, watchdog: &Watchdog) -> Vec<Task<()>> {
    let Some(tracker) = tracker else {
        return Vec::new();
    };
    let watching = tracker_control::watch(tracker.server.status(), watchdog.pulse());
    vec![work::spawn(watching), work::spawn(tracker.run())]
}

/// Announces this peer, and tells it of the others that announce themselves, as long as
/// it looks for them. A peer that listens on loopback has none to find.
fn meet_peers(
    config: &Config,
    identity: &Identity,
    port: u16,
    mdns: Mdns,
    looks: Receiver<bool>,
    peer: &Handle,
) -> Option<Task<()>> {
    if config.peer.listen.ip().is_loopback() {
        return None;
    }
    let own = Announcement {
        kind: discovery::ServiceKind::Peer,
        name: name(config),
        peer: identity.peer_id(),
        port,
    };
    let announced = config.peer.advertise;
    let announcing = mdns.clone();
    let announcing = async move {
        match announced {
            true => discovery::announce(announcing, own).await,
            false => future::pending().await,
        }
    };
    let (found, sightings) = async_channel::bounded(MAX_SIGHTINGS);
    let peer = peer.clone();
    let telling = async move {
        while let Ok((found, at)) = sightings.recv().await {
            peer.tell(Event::Sighted(found, at)).await;
        }
    };
    let looking = future::zip(discovery::look_for_peers(mdns, looks, found), telling);
    Some(work::spawn(async {
        future::zip(announcing, looking).await;
    }))
}

/// Peers that are found ahead of the node.
const MAX_SIGHTINGS: usize = 16;
