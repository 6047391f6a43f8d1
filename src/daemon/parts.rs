//! What a running node is made of.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_channel::{Receiver, Sender};
use smol::{future, Task};

use super::{
    archive::{self, Cabinet},
    dirs, exposition, machine,
    memory::{self, Loaded},
    music,
    network::{self, NetworkView},
    place::Place,
    tracker_control::{self, TrackerSight},
    trial, BoundTracker, DaemonError, StateDir,
};
use crate::{
    config::{Config, ConfigChanges, TrackerAt},
    content::{disk::FencedDisk, store::Store},
    control::server::{self, ControlConfig, ControlEvent, ControlServer},
    discovery::{self, Announcement, Mdns},
    fence::Fence,
    identity::Identity,
    interfaces,
    library::{Care, Library},
    node::{Event, Memory, NodeSetup, ResumeAs},
    peer::{Handle, Parts, Peer},
    player::{Player, PlayerEvent, EVENT_BOUND},
    service::{ServiceNotifier, StatusLine, Watchdog},
    sockets::reachable,
    swarm::{budget::Budget, endpoint::Endpoint, provide::SharedBudget},
    tracker::{
        client,
        link::{Introduction, LinkCommand, TrackerEvent},
        server::TrackerStatus,
    },
    util::{near::is_near, within::within},
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

/// What a node has that plays.
pub(super) struct Speaker {
    peer: Task<()>,
    pub(super) handle: Handle,
    endpoint: Endpoint,
    /// The way to the link to the trackers.
    commands: Sender<LinkCommand>,
    library: Arc<Library>,
    /// Closed when the library's index is written and its thread has ended.
    indexed: Receiver<()>,
    store: Arc<Store>,
    budget: SharedBudget,
    /// Where the tracker is wanted to be; the latest counts.
    tracker_at: Sender<TrackerAt>,
    /// Where the numbers for Prometheus are wanted; the latest counts.
    prometheus: Sender<Option<PathBuf>>,
    /// Saves what is to be remembered; ends with the peer.
    memory: Task<()>,
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
        match changes.music.is_some() || changes.follow_links.is_some() {
            true => {
                let peer = &config.peer;
                speaker.library.set_music(&peer.music, peer.follow_links);
            }
            false => speaker.library.request_look(None, Care::Changes),
        }
        if let Some(max) = changes.cache_max {
            let (store, library) = (speaker.store.clone(), speaker.library.clone());
            smol::unblock(move || {
                if let Err(e) = store.set_cap(max.0) {
                    log::warn!("the cache cannot be made smaller: {e}");
                }
                library.set_held(&store.held());
            })
            .await;
        }
        if let Some(upload) = changes.upload {
            let mut budget = speaker
                .budget
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            budget.set_rate(upload.map(|rate| rate.0));
        }
        if let Some(at) = &changes.tracker {
            // The link lives as long as the peer.
            let _ = speaker.tracker_at.force_send(at.clone());
        }
        if let Some(path) = &changes.prometheus {
            // It is kept as long as the peer lives.
            let _ = speaker.prometheus.force_send(path.clone());
        }
        let configured = Event::Configured {
            max_volume: config.audio.max_volume,
            notices,
        };
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

/// The configured name, or the host's.
pub fn name(config: &Config) -> String {
    let host = || nix::unistd::gethostname().ok()?.into_string().ok();
    let configured = config.name.as_ref().map(|name| name.0.clone());
    configured
        .or_else(host)
        .unwrap_or_else(|| "p2pmusic".into())
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
    })?;
    let mut tasks = vec![smol::spawn(server.run())];
    let watchdog = Watchdog::new(notifier.clone(), Watchdog::interval_from_env());
    let line = StatusLine::new(notifier, Instant::now());
    let (notices, noticed) = async_channel::bounded(1);
    let (lost, found_lost) = async_channel::bounded(1);
    let own_tracker = tracker.as_ref().map(|tracker| tracker.server.status());
    if !config.role.is_peer() {
        let network = NetworkView::look(config.tracker.listen.ip());
        let setup = setup(config, &identity, Memory::default(), &network);
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
    let speaker = start_speaker(
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

/// Starts what plays, and the own tracker beside it.
fn start_speaker(
    config: &Config,
    state: &StateDir,
    identity: &Identity,
    (tracker, mdns): (Option<BoundTracker>, Mdns),
    (line, watchdog): (StatusLine, &Watchdog),
    (requests, control): (Receiver<ControlEvent>, server::ClientNotifier),
    tasks: &mut Vec<Task<()>>,
) -> Result<Speaker, DaemonError> {
    let network = NetworkView::look(config.peer.listen.ip());
    let endpoint = bind_endpoint(config, identity, &network)?;
    let fence = Fence::default();
    let store = Store::open(
        dirs::cache_dir(config),
        config.cache.max.0,
        Arc::new(FencedDisk(fence.clone())),
    );
    let (library, library_events) = music::open(config, state, identity, (store.clone(), fence))?;
    let (player, player_events) = spawn_player(config)?;
    let upload = config.peer.upload.map(|rate| rate.0);
    let budget: SharedBudget = Arc::new(Mutex::new(Budget::new(upload)));
    let place = Place::new(state.path(), &config.control.socket);
    let port = endpoint.local_addr().map_or(0, |at| at.port());
    let Loaded {
        mut memory,
        notices: damage,
        stamp,
    } = memory::load(&place, config.audio.resume);
    // A chosen name is what it is.
    memory.known_as.take_if(|_| config.name.is_some());
    let wonders = memory.left.is_some_and(|left| left.then == ResumeAs::Ask);
    let names = tracker.as_ref().map(|own| own.server.notices());
    let introduction = introduction(config, port, &memory);
    let (tracker_at, wanted) = async_channel::bounded(1);
    let wanted = TrackerTarget {
        now: config.peer.tracker.clone(),
        next: wanted,
        own: tracker.as_ref().map(BoundTracker::here),
        may_seek: tracker
            .as_ref()
            .is_none_or(|own| !own.at.ip().is_loopback()),
        mdns: mdns.clone(),
    };
    let (commands, tracker_events, link) = link_to_tracker(identity, introduction, wanted);
    tasks.push(link);
    let pulse = watchdog.pulse();
    tasks.extend(
        tracker
            .into_iter()
            .flat_map(|own| run_tracker(own, watchdog)),
    );
    let (look_for_peers, looks) = async_channel::bounded(1);
    let (memories, remembered) = async_channel::bounded(1);
    let (bookmarks, places) = async_channel::bounded(1);
    let (kept, memory_kept) = async_channel::bounded(1);
    let (archive, deposits) = async_channel::bounded(1);
    let found = damage.into_iter().chain(library.notice());
    let found = found.chain(state.notice()).chain(identity.notice());
    let found = found.chain(names.into_iter().flatten());
    let (peer, handle) = Peer::new(Parts {
        setup: NodeSetup {
            found: found.collect(),
            ..setup(config, identity, memory, &network)
        },
        memory_kept,
        endpoint: endpoint.clone(),
        budget: budget.clone(),
        store: store.clone(),
        library: library.clone(),
        library_events,
        player,
        player_events,
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
        pulse,
    });
    let cabinet = Cabinet::of(state.path(), identity, &endpoint);
    tasks.push(smol::spawn(archive::keep(
        cabinet,
        deposits,
        handle.clone(),
    )));
    if let Some(stamp) = stamp.filter(|_| wonders) {
        tasks.push(smol::spawn(memory::tell_absence(stamp, handle.clone())));
    }
    let (prometheus, moved) = async_channel::bounded(1);
    let exposing = exposition::keep(config.stats.prometheus.clone(), moved, handle.clone());
    tasks.push(smol::spawn(exposing));
    tasks.extend(meet_peers(config, identity, port, mdns, looks, &handle));
    let bound = config.peer.listen.ip();
    let following = network::follow(
        bound,
        network,
        endpoint.clone(),
        handle.clone(),
        commands.clone(),
    );
    tasks.push(smol::spawn(following));
    let (watching, indexed) = music::run(&library, store.doubts())?;
    tasks.push(watching);
    Ok(Speaker {
        peer: smol::spawn(peer.run()),
        handle,
        endpoint,
        commands,
        library,
        indexed,
        store,
        budget,
        tracker_at,
        prometheus,
        memory: smol::spawn(memory::keep(remembered, places, place, kept)),
    })
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
fn run_tracker(tracker: BoundTracker, watchdog: &Watchdog) -> [Task<()>; 2] {
    let watching = tracker_control::watch(tracker.server.status(), watchdog.pulse());
    [smol::spawn(watching), smol::spawn(tracker.run())]
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
        tasks.push(smol::spawn(telling));
    }
    let bound = config.tracker.listen.ip();
    let sight = move || TrackerSight {
        here: reachable(bound, &interfaces::own_addresses()),
        interfaces: NetworkView::look(bound).interfaces,
    };
    tasks.push(smol::spawn(tracker_control::run(
        setup, sight, told, status,
    )));
    tasks.extend(tracker.map(|tracker| smol::spawn(tracker.run())));
    tasks
}

/// What the node is told of itself.
fn setup(config: &Config, identity: &Identity, memory: Memory, network: &NetworkView) -> NodeSetup {
    NodeSetup {
        me: identity.peer_id(),
        name: name(config),
        name_is_chosen: config.name.is_some(),
        role: config.role,
        interfaces: network.interfaces.clone(),
        memory,
        found: identity.notice().into_iter().collect(),
        max_volume: config.audio.max_volume,
        names_others: trial::names_others(),
        seed: seed(identity),
        memory_bytes: machine::memory(),
        known_after: trial::known_after(),
    }
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
    if let Ok(at) = endpoint.local_addr() {
        log::info!("peer listens on {at}");
    }
    Ok(endpoint)
}

/// How this node introduces itself to a tracker.
fn introduction(config: &Config, port: u16, memory: &Memory) -> Introduction {
    let name = name(config);
    let known_as = memory.known_as.clone();
    let known_as = known_as.filter(|(of, _)| *of == name);
    Introduction {
        known_as: known_as.map(|(_, known_as)| known_as),
        name,
        name_chosen: config.name.is_some(),
        port,
        bound: Some(config.peer.listen.ip()).filter(|ip| !ip.is_unspecified()),
    }
}

/// Where the tracker is wanted to be.
struct TrackerTarget {
    now: TrackerAt,
    /// What is wanted instead, when that changes.
    next: Receiver<TrackerAt>,
    /// Where the one of this node is.
    own: Option<SocketAddr>,
    /// Whether there is a network on which others can be.
    may_seek: bool,
    mdns: Mdns,
}

/// Starts the link to the tracker. The task does not end before the node
/// does.
fn link_to_tracker(
    identity: &Identity,
    introduction: Introduction,
    wanted: TrackerTarget,
) -> (Sender<LinkCommand>, Receiver<TrackerEvent>, Task<()>) {
    let (commands, orders) = async_channel::bounded(MAX_TRACKER_COMMANDS);
    let (events, told) = async_channel::bounded(MAX_TRACKER_EVENTS);
    let run = client::run(
        identity.clone(),
        introduction,
        seed(identity),
        orders,
        events,
    );
    let run = future::or(run, find_trackers(wanted, commands.clone()));
    (commands, told, smol::spawn(run))
}

/// Tells the link where the tracker is, as often as that changes.
async fn find_trackers(mut wanted: TrackerTarget, to: Sender<LinkCommand>) {
    loop {
        let known = match (&wanted.now, wanted.own) {
            (TrackerAt::Auto, None) => LinkCommand::Seek,
            (TrackerAt::Auto, Some(own)) => LinkCommand::Configured(vec![own.to_string()]),
            (TrackerAt::None, _) => LinkCommand::Configured(Vec::new()),
            (TrackerAt::These(hosts), _) => {
                LinkCommand::Configured(hosts.iter().map(ToString::to_string).collect())
            }
        };
        // Beside its own it registers with the others that there are.
        let seek = wanted.now == TrackerAt::Auto && wanted.may_seek;
        let _ = to.send(known).await;
        let next = async {
            match wanted.next.recv().await {
                Ok(next) => next,
                // Nobody is there to want anything else.
                Err(_) => future::pending().await,
            }
        };
        let looking = async {
            match seek {
                true => look_for_trackers(wanted.mdns.clone(), to.clone()).await,
                false => future::pending().await,
            }
        };
        wanted.now = future::or(next, looking).await;
    }
}

/// Tells the link of the trackers that announce themselves.
async fn look_for_trackers<T>(mdns: Mdns, to: Sender<LinkCommand>) -> T {
    let (found, lists) = async_channel::bounded(1);
    let pass_on = async {
        while let Ok(trackers) = lists.recv().await {
            let mut trackers: Vec<String> = trackers;
            // Multicast comes from the home's networks, and tells of those.
            let subnets = interfaces::subnets();
            trackers.retain(|at| {
                let at = at.parse::<SocketAddr>();
                at.is_ok_and(|at| is_near(at.ip(), &subnets))
            });
            let _ = to.send(LinkCommand::Trackers(trackers)).await;
        }
    };
    future::or(discovery::look_for_trackers(mdns, found), pass_on).await;
    // Without mDNS the link goes on with what it knows.
    future::pending().await
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
    Some(smol::spawn(async {
        future::zip(announcing, looking).await;
    }))
}

impl BoundTracker {
    /// Where this machine reaches it.
    fn here(&self) -> SocketAddr {
        let here = reachable(self.at.ip(), &interfaces::own_addresses());
        SocketAddr::new(here, self.at.port())
    }
}

/// A seed that differs from node to node and from start to start.
fn seed(identity: &Identity) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = identity.peer_id().0;
    let start = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ start.as_nanos() as u64
}

/// What the node may tell the link ahead of it.
const MAX_TRACKER_COMMANDS: usize = 64;
/// Peers that are found ahead of the node.
const MAX_SIGHTINGS: usize = 16;
/// What the tracker may say ahead of the node.
const MAX_TRACKER_EVENTS: usize = 64;
/// A node ends within 2 s, whatever its disk does.
const INDEX_TIMEOUT: Duration = Duration::from_millis(1500);
