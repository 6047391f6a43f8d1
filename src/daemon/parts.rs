//! What a running node is made of.

use std::{
    path::Path,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{SystemTime, UNIX_EPOCH},
};

use smol::{future, Task};

use super::{dirs, interfaces, memory::Memory, notify::Notifier, owner, DaemonError, StateDir, Tracker};
use crate::{
    config::{Config, TrackerAt},
    content::{disk::RealDisk, hash, store::Store},
    control::{
        server::{ControlConfig, ControlServer},
        view::Role,
    },
    daemon::notify,
    identity::Identity,
    library::{self, Library},
    media,
    node::Setup,
    peer::{Parts, Peer, Stopper},
    player::{Player, EVENT_BOUND},
    swarm::endpoint::Endpoint,
    tracker::client::TrackerLink,
};

/// A started node.
pub struct Running {
    peer: Task<()>,
    stopper: Stopper,
    library: Arc<Library>,
    /// Dropping them ends what they serve.
    _control: Task<()>,
    _tracker: Option<Task<()>>,
}

impl Running {
    /// Resolves when the node has ended by itself, which it does not.
    pub async fn ended<T>(&self) -> Option<T> {
        future::pending().await
    }

    pub fn rescan(&self) {
        self.library.request_rescan();
    }

    /// Leaves the swarm and ends everything.
    pub async fn stop(self) {
        self.stopper.stop().await;
        self.peer.await;
    }
}

/// The configured name, or the host's.
pub fn name(config: &Config) -> String {
    let host = || nix::unistd::gethostname().ok()?.into_string().ok();
    let configured = config.name.as_ref().map(|name| name.0.clone());
    configured.or_else(host).unwrap_or_else(|| "p2pmusic".into())
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
    let endpoint = bind_endpoint(config, &identity)?;
    let (library, library_events) = open_library(config, state, &identity)?;
    let (player_tells, player_events) = async_channel::bounded(EVENT_BOUND);
    let player = Player::spawn(config.audio.device.clone(), player_tells)
        .map_err(|source| DaemonError::System { what: "start the player", source })?;
    let memory = Memory::load(state.path());
    let port = endpoint.local_addr().map_or(0, |at| at.port());
    let link = link_to_tracker(config, &identity, port, tracker.as_ref());
    let (link, tracker_events) = link;
    let setup = Setup {
        me: identity.peer_id(),
        name: name(config),
        role: match config.role.is_tracker() {
            true => Role::Both,
            false => Role::Peer,
        },
        interfaces: interfaces::read(),
        volume: memory.volume.min(config.audio.max_volume),
        max_volume: config.audio.max_volume,
        seed: seed(&identity),
    };
    let (peer, stopper) = Peer::new(Parts {
        setup,
        endpoint,
        store: Store::open(dirs::cache_dir(config)?, config.cache.max.0, Arc::new(RealDisk))?,
        library: library.clone(),
        library_events,
        player,
        player_events,
        requests,
        control,
        tracker: link,
        tracker_events,
        notifier,
        watchdog: notify::watchdog_interval(),
    });
    let scanning = library.clone();
    std::thread::Builder::new()
        .name("library".into())
        .spawn(move || scanning.run())
        .map_err(|source| DaemonError::System { what: "start the library's thread", source })?;
    Ok(Running {
        peer: smol::spawn(peer.run()),
        stopper,
        library,
        _control: smol::spawn(server.run()),
        _tracker: None,
    })
}

fn bind_endpoint(config: &Config, identity: &Identity) -> Result<Endpoint, DaemonError> {
    let at = config.peer.listen;
    let subnets = interfaces::read().subnets.into();
    let endpoint = Endpoint::bind(at, identity.clone(), subnets).map_err(|e| DaemonError::Listen {
        at,
        key: "peer.listen",
        why: owner::describe(&e, at, owner::Protocol::Udp),
    })?;
    if let Ok(at) = endpoint.local_addr() {
        log::info!("peer listens on {at}");
    }
    Ok(endpoint)
}

fn open_library(
    config: &Config,
    state: &StateDir,
    identity: &Identity,
) -> Result<(Arc<Library>, async_channel::Receiver<library::LibraryEvent>), DaemonError> {
    let signer = identity.clone();
    let (library, events) = Library::open(library::Setup {
        music: config.peer.music.clone(),
        state: state.path().into(),
        me: identity.peer_id(),
        sign: Box::new(move |message| signer.sign(message)),
        known_epoch: 0,
        probe: Arc::new(|path| media::probe::probe(path).map_err(|e| e.to_string())),
        hash: Arc::new(|path, progress| {
            let cancel = AtomicBool::new(false);
            let told = |done| {
                if progress(done).is_break() {
                    cancel.store(true, Ordering::Relaxed);
                }
            };
            let hashed = hash::hash_file(&RealDisk, path, &cancel, told);
            hashed.map(|hashed| hashed.outboard.track).map_err(|e| e.to_string())
        }),
    })?;
    Ok((Arc::new(library), events))
}

fn link_to_tracker(
    _config: &Config,
    _identity: &Identity,
    _port: u16,
    _tracker: Option<&Tracker>,
) -> (Option<TrackerLink>, async_channel::Receiver<crate::node::TrackerEvent>) {
    (None, async_channel::bounded(1).1)
}

/// A seed that differs from node to node and from start to start.
fn seed(identity: &Identity) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = identity.peer_id().0;
    let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ start.as_nanos() as u64
}
