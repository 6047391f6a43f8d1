//! A node that plays: its parts, and what goes on beside them.

use std::{path::PathBuf, sync::Arc};

use async_channel::{Receiver, Sender};
use smol::{future, Task};

use super::{
    archive::{self, Cabinet},
    context::{ControlClients, StartContext},
    dirs, exposition,
    introduce::{introduction, name, setup},
    live::LiveParts,
    machine,
    memory::{self, Loaded},
    music,
    network::{self, NetworkView},
    place::Place,
    tracker_link::{link_to_tracker, TrackerTarget},
    BoundTracker, DaemonError,
};
use crate::{
    audio::{Player, PlayerEvent, EVENT_BOUND},
    config::Config,
    content::{disk::FencedDisk, store::Store},
    discovery::{self, Announcement},
    fence::Fence,
    identity::Identity,
    library::LibraryEvent,
    node::{Event, NodeSetup, ResumeAs},
    peer::{Handle, Parts, Peer},
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

/// What is bound and opened before anything runs.
pub struct SpeakerParts {
    network: NetworkView,
    endpoint: Endpoint,
    /// Where it listens.
    port: u16,
    live: LiveParts,
    library_events: Receiver<LibraryEvent>,
    player: Player,
    player_events: Receiver<PlayerEvent>,
    place: Place,
    loaded: Loaded,
    target: TrackerTarget,
    /// Where the numbers for Prometheus are wanted.
    prometheus: Receiver<Option<PathBuf>>,
    /// What a person must know of what the start found.
    notices: Vec<String>,
}

impl SpeakerParts {
    /// # Errors
    /// Names what cannot be had.
    pub fn open(with: &StartContext<'_>) -> Result<Self, DaemonError> {
        let config = with.config;
        let network = NetworkView::look(config.peer.listen.ip());
        let endpoint = bind_endpoint(config, with.identity, &network)?;
        let fence = Fence::default();
        let store = Store::open(
            dirs::cache_dir(config),
            u64::MAX, // Until it is configured, with the others.
            Arc::new(FencedDisk(fence.clone())),
        );
        let (library, library_events) =
            music::open(with.state, with.identity, (store.clone(), fence))?;
        let (player, player_events) = spawn_player(config)?;
        let place = Place::new(with.state.path(), &config.control.socket);
        let mut loaded = memory::load(&place, config.audio.resume);
        // A chosen name is what it is.
        loaded.memory.known_as.take_if(|_| config.name.is_some());
        let found = loaded.notices.iter().cloned().chain(library.notice());
        let found = found.chain(with.state.notice());
        let notices = found.chain(with.identity.notice()).collect();
        let (live, values) = LiveParts::new(Arc::new(library), store);
        Ok(Self {
            network,
            port: endpoint.local_addr().map_or(0, |at| at.port()),
            endpoint,
            live,
            library_events,
            player,
            player_events,
            place,
            loaded,
            target: TrackerTarget::new(values.tracker_at, with.mdns.clone()),
            prometheus: values.prometheus,
            notices,
        })
    }

    /// Has the peer register with this node's own tracker first.
    pub fn beside(mut self, tracker: &BoundTracker) -> Self {
        self.target = self.target.beside(tracker);
        self.notices.extend(tracker.server.notices());
        self
    }

    /// Starts what plays, and adds what works beside it to `tasks`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        self,
        with: &StartContext<'_>,
        clients: ControlClients,
        tasks: &mut Vec<Task<()>>,
    ) -> Result<Speaker, DaemonError> {
        let StartContext {
            config, identity, ..
        } = *with;
        let Loaded { memory, stamp, .. } = self.loaded;
        let away_since =
            stamp.filter(|_| memory.left.is_some_and(|left| left.then == ResumeAs::Ask));
        let introduction = introduction(config, self.port, &memory);
        let (commands, tracker_events, link) = link_to_tracker(identity, introduction, self.target);
        let (look_for_peers, looks) = async_channel::bounded(1);
        let (memories, remembered) = async_channel::bounded(1);
        let (bookmarks, places) = async_channel::bounded(1);
        let (kept, memory_kept) = async_channel::bounded(1);
        let (archive, deposits) = async_channel::bounded(1);
        let setup = setup(config, identity, memory, &self.network);
        let (peer, handle) = Peer::new(Parts {
            setup: NodeSetup {
                found: self.notices,
                ..setup
            },
            endpoint: self.endpoint.clone(),
            budget: self.live.budget.clone(),
            store: self.live.store.clone(),
            library: self.live.library.clone(),
            library_events: self.library_events,
            player: self.player,
            player_events: self.player_events,
            device: config.audio.device.clone(),
            requests: clients.requests,
            control: clients.notifier,
            tracker: commands.clone(),
            tracker_events,
            look_for_peers,
            memories,
            bookmarks,
            archive,
            memory_kept,
            status: with.status_line(),
            pulse: with.watchdog.pulse(),
        });
        let cabinet = Cabinet::of(with.state.path(), identity, &self.endpoint);
        tasks.extend([
            link,
            work::spawn(archive::keep(cabinet, deposits, handle.clone())),
            work::spawn(exposition::keep(self.prometheus, handle.clone())),
            follow_network(config, self.network, (&self.endpoint, &handle, &commands)),
        ]);
        tasks.extend(
            away_since.map(|since| smol::spawn(memory::tell_absence(since, handle.clone()))),
        );
        tasks.extend(meet_peers(with, self.port, looks, &handle));
        self.live.begin(config);
        let (watching, indexed) = music::run(&self.live.library, self.live.store.doubts())?;
        tasks.push(watching);
        Ok(Speaker {
            peer: work::spawn(peer.run()),
            handle,
            endpoint: self.endpoint,
            commands,
            live: self.live,
            indexed,
            memory: work::spawn(memory::keep(remembered, places, self.place, kept)),
        })
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

/// Announces this peer, and tells it of the others that announce themselves, as long as
/// it looks for them. A peer that listens on loopback has none to find.
fn meet_peers(
    with: &StartContext<'_>,
    port: u16,
    looks: Receiver<bool>,
    peer: &Handle,
) -> Option<Task<()>> {
    let (config, mdns) = (with.config, with.mdns.clone());
    if config.peer.listen.ip().is_loopback() {
        return None;
    }
    let own = Announcement {
        kind: discovery::ServiceKind::Peer,
        name: name(config),
        peer: with.identity.peer_id(),
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
