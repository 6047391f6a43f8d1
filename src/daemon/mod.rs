//! The process: puts the roles together, owns every task, and ends them in
//! order.
//!
//! Everything is bound before READY is said; what cannot be bound ends the
//! start with a message that names it. At the end the peer leaves first, while
//! the tracker of the same process still listens, and the control socket goes
//! last.

pub mod dirs;
mod interfaces;
mod logging;
mod memory;
pub mod notify;
mod owner;
mod parts;
mod signals;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use self::{
    dirs::{DirError, StateDir},
    notify::Notifier,
    signals::{Signal, Signals},
};
use crate::{
    config::Config,
    content::store::StoreError,
    control::server::BindError,
    discovery::Announcer,
    identity::{self, Identity, IdentityError, KeyFileError, SwarmKey},
    library::IndexError,
    tracker::server::TrackerServer,
};

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Dir(#[from] DirError),
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot listen on {at} ({key}): {why}")]
    Listen { at: SocketAddr, key: &'static str, why: String },
    #[error(transparent)]
    Control(#[from] BindError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("cannot {what}: {source}")]
    System { what: &'static str, source: io::Error },
}

/// Runs the node until a signal ends it.
///
/// # Errors
/// When something that it needs cannot be had; the text names it.
pub fn run(config: &Config, path: &Path) -> Result<(), DaemonError> {
    // A second logger cannot be: this is the first thing that main does.
    let _ = logging::init(config.log.level);
    // The pool's own bound is 500 threads. Safe: there are no threads yet.
    std::env::set_var("BLOCKING_MAX_THREADS", MAX_BLOCKING_THREADS);
    let state = StateDir::open(config)?;
    let identity = load_identity(config, state.path())?;
    log::info!("this is {} ({}), a node of role {}", parts::name(config), identity.peer_id(), config.role);
    smol::block_on(serve(config, path, &state, identity))
}

async fn serve(
    config: &Config,
    path: &Path,
    state: &StateDir,
    identity: Identity,
) -> Result<(), DaemonError> {
    let mut signals =
        Signals::new().map_err(|source| DaemonError::System { what: "catch signals", source })?;
    let notifier = Arc::new(Notifier::from_env());
    let tracker = match config.role.is_tracker() {
        true => Some(start_tracker(config, &identity)?),
        false => None,
    };
    let running = parts::start(config, state, identity, tracker, notifier.clone())?;
    notifier.ready();
    log::info!("ready");
    loop {
        match smol::future::or(async { Some(signals.next().await) }, running.ended()).await {
            Some(Signal::Reload) => {
                log::info!("reading the library again; {} is read at the next start", path.display());
                running.rescan();
            }
            Some(Signal::Stop) => break,
            None => break,
        }
    }
    log::info!("leaving");
    notifier.stopping();
    running.stop().await;
    Ok(())
}

/// The swarm's keys, or the open one, and this node's identity.
fn load_identity(config: &Config, state: &Path) -> Result<Identity, DaemonError> {
    let keys = match &config.swarm.key_file {
        Some(path) => identity::read_keys(path)?,
        None => {
            log::info!(
                "no `swarm.key_file`: this swarm is open to everybody near; `p2pmusic keygen` makes a key"
            );
            vec![SwarmKey::OPEN]
        }
    };
    Ok(Identity::load(state, &keys)?)
}

/// A bound tracker and what announces it.
pub struct Tracker {
    pub server: TrackerServer,
    _announcer: Option<Announcer>,
}

fn start_tracker(config: &Config, identity: &Identity) -> Result<Tracker, DaemonError> {
    let at = config.tracker.listen;
    let server = TrackerServer::bind(at, identity).map_err(|e| DaemonError::Listen {
        at,
        key: "tracker.listen",
        why: owner::describe(&e, at, owner::Protocol::Tcp),
    })?;
    log::info!("tracker listens on {}", server.local_addr());
    let announcer = config.tracker.advertise.then(|| Announcer::new(server.local_addr(), identity.peer_id()));
    Ok(Tracker { server, _announcer: announcer })
}

/// Hashing, encoding slices, writing what arrives, opening devices: each waits
/// for a disk, and a Pi has one of those.
const MAX_BLOCKING_THREADS: &str = "8";
