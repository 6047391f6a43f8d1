//! What a running node is made of.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{SystemTime, UNIX_EPOCH},
};

use async_channel::{Receiver, Sender};
use smol::{future, Task};

use super::{dirs, lookout, memory, DaemonError, StateDir, Tracker};
use crate::{
    config::{Config, TrackerAt},
    content::{
        disk::RealDisk,
        hash::{self, Hashed},
        store::Store,
    },
    control::server::{ControlConfig, ControlServer},
    discovery,
    identity::Identity,
    interfaces,
    library::{self, Library},
    media,
    node::{Interfaces, Memory, Setup},
    peer::{Parts, Peer, Stopper},
    player::{Player, EVENT_BOUND},
    service::{self, Notifier},
    swarm::endpoint::Endpoint,
    tracker::{
        client,
        link::{Command, Introduction, TrackerEvent},
    },
};

/// A started node.
pub struct Running {
    peer: Option<Speaker>,
    /// The tracker, the link to one, and the control socket.
    tasks: Vec<Task<()>>,
}

/// What a node has that plays.
struct Speaker {
    peer: Task<()>,
    stopper: Stopper,
    library: Arc<Library>,
    /// Saves what is to be remembered; ends with the peer.
    memory: Task<()>,
}

impl Running {
    /// Reads the library again.
    pub fn rescan(&self) {
        if let Some(speaker) = &self.peer {
            speaker.library.request_rescan();
        }
    }

    /// Leaves the swarm and ends everything: the peer first, so that its
    /// tracker still hears of it.
    pub async fn stop(self) {
        if let Some(Speaker {
            peer,
            stopper,
            memory,
            ..
        }) = self.peer
        {
            stopper.stop().await;
            peer.await;
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
    tracker: Option<Tracker>,
    notifier: Arc<Notifier>,
) -> Result<Running, DaemonError> {
    let (server, requests, control) = ControlServer::bind(&ControlConfig {
        socket: config.control.socket.clone(),
        group: Some(config.control.group.clone()),
        mpd: config.control.mpd,
        password: config.control.password.as_deref().map(Into::into),
    })?;
    let mut tasks = vec![smol::spawn(server.run())];
    if !config.role.is_peer() {
        let setup = setup(config, &identity, Memory::default());
        let status = tracker.as_ref().map(|tracker| tracker.server.status());
        if let Some((status, interval)) = status.clone().zip(service::watchdog_interval()) {
            let petting = lookout::pet_watchdog(status, notifier, interval);
            tasks.push(smol::spawn(petting));
        }
        let here = reachable(config.tracker.listen.ip());
        tasks.push(smol::spawn(lookout::run(setup, here, requests, status)));
        tasks.extend(tracker.map(|tracker| smol::spawn(tracker.run())));
        return Ok(Running { peer: None, tasks });
    }
    let endpoint = bind_endpoint(config, &identity)?;
    let store = Store::open(
        dirs::cache_dir(config),
        config.cache.max.0,
        Arc::new(RealDisk),
    );
    let (library, library_events) = open_library(config, state, &identity, store.clone())?;
    let (player_tells, player_events) = async_channel::bounded(EVENT_BOUND);
    let player = Player::spawn(config.audio.device.clone(), player_tells).map_err(|source| {
        DaemonError::System {
            what: "start the player",
            source,
        }
    })?;
    let port = endpoint.local_addr().map_or(0, |at| at.port());
    let (commands, tracker_events, link) =
        link_to_tracker(config, &identity, port, tracker.as_ref());
    tasks.push(link);
    tasks.extend(tracker.map(|tracker| smol::spawn(tracker.run())));
    let (memories, remembered) = async_channel::bounded(1);
    let (kept, memory_kept) = async_channel::bounded(1);
    let (memory, damage) = memory::load(state.path());
    let notices = damage.into_iter().chain(library.notice());
    let notices = notices.chain(state.notice()).collect();
    let (peer, stopper) = Peer::new(Parts {
        setup: Setup {
            notices,
            ..setup(config, &identity, memory)
        },
        memory_kept,
        endpoint,
        store,
        library: library.clone(),
        library_events,
        player,
        player_events,
        device: config.audio.device.clone(),
        requests,
        control,
        tracker: commands,
        tracker_events,
        memories,
        notifier,
        watchdog: service::watchdog_interval(),
    });
    let watching = library.clone();
    tasks.push(smol::spawn(async move { watching.watch().await }));
    let scanning = library.clone();
    std::thread::Builder::new()
        .name("library".into())
        .spawn(move || scanning.run())
        .map_err(|source| DaemonError::System {
            what: "start the library's thread",
            source,
        })?;
    let peer = Speaker {
        peer: smol::spawn(peer.run()),
        stopper,
        library,
        memory: smol::spawn(memory::keep(remembered, state.path().to_owned(), kept)),
    };
    Ok(Running {
        peer: Some(peer),
        tasks,
    })
}

/// What the node is told of itself.
fn setup(config: &Config, identity: &Identity, memory: Memory) -> Setup {
    Setup {
        me: identity.peer_id(),
        name: name(config),
        role: config.role,
        interfaces: Interfaces {
            subnets: interfaces::subnets(),
            scopes: interfaces::scopes(),
        },
        memory,
        notices: Vec::new(),
        max_volume: config.audio.max_volume,
        seed: seed(identity),
    }
}

fn bind_endpoint(config: &Config, identity: &Identity) -> Result<Endpoint, DaemonError> {
    let at = config.peer.listen;
    let endpoint = Endpoint::bind(at, identity.clone(), interfaces::subnets().into())
        .map_err(|source| DaemonError::Listen { at, source })?;
    if let Ok(at) = endpoint.local_addr() {
        log::info!("peer listens on {at}");
    }
    Ok(endpoint)
}

fn open_library(
    config: &Config,
    state: &StateDir,
    identity: &Identity,
    store: Arc<Store>,
) -> Result<(Arc<Library>, Receiver<library::LibraryEvent>), DaemonError> {
    let signer = identity.clone();
    let (library, events) = Library::open(library::Setup {
        music: config.peer.music.clone(),
        state: state.path().into(),
        me: identity.peer_id(),
        sign: Box::new(move |message| signer.sign(message)),
        known_epoch: 0,
        probe: Arc::new(|path| media::probe::probe(path).map_err(|e| e.to_string())),
        hash: Arc::new(move |path, progress| {
            let cancel = AtomicBool::new(false);
            let told = |done| {
                if progress(done).is_break() {
                    cancel.store(true, Ordering::Relaxed);
                }
            };
            let hashed = hash::hash_file(&RealDisk, path, &cancel, told);
            let Hashed { outboard, stamp } = hashed.map_err(|e| e.to_string())?;
            // Whoever asked for the hash asks for the track next, long before
            // the catalogue tells of it, and need not wait for a second read.
            store.add_file(outboard.track, outboard.size, path.into(), stamp.modified);
            if let Err(e) = store.keep_outboard(&outboard) {
                log::debug!("a hash tree is not kept: {e}");
            }
            Ok(outboard.track)
        }),
    })?;
    Ok((Arc::new(library), events))
}

/// Starts the link to the tracker. The task does not end before the node
/// does.
fn link_to_tracker(
    config: &Config,
    identity: &Identity,
    port: u16,
    own: Option<&Tracker>,
) -> (Sender<Command>, Receiver<TrackerEvent>, Task<()>) {
    let (commands, orders) = async_channel::bounded(MAX_TRACKER_COMMANDS);
    let (events, told) = async_channel::bounded(MAX_TRACKER_EVENTS);
    let introduction = Introduction {
        name: name(config),
        name_chosen: config.name.is_some(),
        port,
        bound: Some(config.peer.listen.ip()).filter(|ip| !ip.is_unspecified()),
    };
    let run = client::run(
        identity.clone(),
        introduction,
        seed(identity),
        orders,
        events,
    );
    let trackers: Vec<String> = match (&config.peer.tracker, own) {
        (TrackerAt::These(hosts), _) => hosts.iter().map(ToString::to_string).collect(),
        (TrackerAt::Auto, Some(own)) => {
            vec![SocketAddr::new(reachable(own.at.ip()), own.at.port()).to_string()]
        }
        _ => Vec::new(),
    };
    let seek = config.peer.tracker == TrackerAt::Auto && own.is_none();
    let to = commands.clone();
    let run = async move {
        let _ = to.send(Command::Trackers(trackers)).await;
        match seek {
            true => future::or(run, look_for_trackers(to)).await,
            false => run.await,
        }
    };
    (commands, told, smol::spawn(run))
}

/// Tells the link of the trackers that announce themselves.
async fn look_for_trackers(to: Sender<Command>) {
    let (found, lists) = async_channel::bounded(1);
    let pass_on = async {
        while let Ok(trackers) = lists.recv().await {
            let _ = to.send(Command::Trackers(trackers)).await;
        }
    };
    future::or(discovery::browse(found), pass_on).await;
    // Without mDNS the link goes on with what it knows.
    future::pending().await
}

/// How to reach what listens on `ip` from this machine.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        _ if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
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
/// What the tracker may say ahead of the node.
const MAX_TRACKER_EVENTS: usize = 64;
