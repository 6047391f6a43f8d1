//! The process: puts the roles together, owns every task, and ends them in
//! order.
//!
//! Everything is bound before READY is said; what cannot be bound ends the
//! start with a message that names it. At the end the peer leaves first, while
//! the tracker of the same process still listens, and the control socket goes
//! last.

pub mod dirs;
mod logging;
mod lookout;
mod memory;
mod parts;
mod signals;

use std::{io, net::SocketAddr, panic, path::Path, process, sync::Arc, time::Duration};

use self::{
    dirs::{DirError, StateDir},
    signals::{Signal, Signals},
};
use crate::{
    config::Config,
    control::server::BindError,
    discovery,
    id::PeerId,
    identity::{self, Identity, IdentityError, KeyFileError, SwarmKey},
    library::IndexError,
    media::decode,
    port_owner::{port_owner, Transport},
    service::Notifier,
    swarm::{endpoint::within, serving},
    tracker::{self, server::TrackerServer},
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
    #[error("cannot serve other peers on {at} (`peer.listen`): {source}{}", owner_of(.source, .at))]
    Listen { at: SocketAddr, source: io::Error },
    #[error("{0} (`tracker.listen`)")]
    Tracker(#[from] tracker::server::BindError),
    #[error(transparent)]
    Control(#[from] BindError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("cannot {what}: {source}")]
    System {
        what: &'static str,
        source: io::Error,
    },
}

/// Runs the node until a signal ends it.
///
/// # Errors
/// When something that it needs cannot be had; the text names it.
pub fn run(config: &Config, path: &Path) -> Result<(), DaemonError> {
    // A second logger cannot be: this is the first thing that main does.
    let _ = logging::init(config.log.level);
    abort_on_panic();
    // The pool's own bound is 500 threads. Safe: there are no threads yet.
    std::env::set_var("BLOCKING_MAX_THREADS", MAX_BLOCKING_THREADS.to_string());
    let state = StateDir::open(config)?;
    let identity = load_identity(config, state.path())?;
    log::info!(
        "this is {} ({}), a node of role {}",
        parts::name(config),
        identity.peer_id(),
        config.role
    );
    smol::block_on(serve(config, path, &state, identity))
}

async fn serve(
    config: &Config,
    path: &Path,
    state: &StateDir,
    identity: Identity,
) -> Result<(), DaemonError> {
    let mut signals = Signals::new().map_err(|source| DaemonError::System {
        what: "catch signals",
        source,
    })?;
    let notifier = Arc::new(Notifier::from_env());
    let tracker = match config.role.is_tracker() {
        true => Some(bind_tracker(config, &identity)?),
        false => None,
    };
    let running = parts::start(config, state, identity, tracker, notifier.clone())?;
    notifier.ready();
    log::info!("ready");
    while let Signal::Reload = signals.next().await {
        log::info!(
            "reading the library again; {} is read at the next start",
            path.display()
        );
        running.rescan();
    }
    log::info!("leaving");
    notifier.stopping();
    if within(STOP_TIMEOUT, running.stop()).await.is_none() {
        log::warn!("something does not end, a disk perhaps; ending without it");
    }
    Ok(())
}

/// Makes a panic end the process, so that no half-dead daemon remains. The
/// decoders are not ours and eat what strangers made: theirs is an error of the
/// file, and caught.
fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if decode::is_guarded() {
            return log::debug!("a decoder has panicked: {info}");
        }
        report(info);
        process::abort();
    }));
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

/// Who has the UDP port that cannot be had, as far as that can be seen.
fn owner_of(error: &io::Error, at: &SocketAddr) -> String {
    match port_owner(Transport::Udp, at.port()) {
        Some(owner) if error.kind() == io::ErrorKind::AddrInUse => {
            format!("; {owner} has it: stop that, or choose another port")
        }
        _ => String::new(),
    }
}

/// A bound tracker.
pub struct Tracker {
    server: TrackerServer,
    /// Where it listens.
    at: SocketAddr,
    /// How it is announced, if it is.
    advertised: Option<(String, PeerId)>,
}

fn bind_tracker(config: &Config, identity: &Identity) -> Result<Tracker, DaemonError> {
    let at = config.tracker.listen;
    let server = TrackerServer::bind(at, identity)?;
    let at = server.local_addr().unwrap_or(at);
    log::info!("tracker listens on {at}");
    let advertised = (parts::name(config), identity.peer_id());
    Ok(Tracker {
        server,
        at,
        advertised: config.tracker.advertise.then_some(advertised),
    })
}

impl Tracker {
    /// Serves, and announces itself, until it is dropped.
    async fn run(self) {
        let port = self.at.port();
        let announcing = async {
            match self.advertised {
                Some((name, peer)) => discovery::announce(name, peer, port).await,
                None => std::future::pending().await,
            }
        };
        smol::future::or(self.server.run(), announcing).await;
    }
}

/// A little less than the 2 s that a stop may take.
const STOP_TIMEOUT: Duration = Duration::from_millis(1900);
/// One for each slice that is sent, which it has for as long as its asker
/// takes; and for what must not wait behind those (writing what arrives,
/// opening tracks, finding devices) as many as a disk does well with.
const MAX_BLOCKING_THREADS: usize = serving::SLOTS + 8;
