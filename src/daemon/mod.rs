//! The process: puts the roles together, owns every task, and ends them in
//! order.
//!
//! Everything is bound before READY is said; what cannot be bound ends the
//! start with a message that names it. At the end the peer leaves first, while
//! the tracker of the same process still listens, and the control socket goes
//! last.

mod archive;
mod clock;
mod context;
pub mod dirs;
mod exposition;
mod introduce;
mod keepsake;
mod live;
mod logging;
mod machine;
pub mod memory;
mod music;
mod network;
mod parts;
mod place;
mod reload;
mod saving;
pub mod signals;
mod slots;
mod speaker;
mod stamp;
mod tracker_control;
mod tracker_link;
mod trial;

use std::{io, net::SocketAddr, panic, path::Path, process, sync::Arc, time::Duration};

use nix::sys::resource::{getrlimit, rlim_t, setrlimit, Resource};

pub use self::introduce::name as node_name;
use self::{
    context::StartContext,
    dirs::{DirError, StateDir},
    reload::Reloader,
    signals::{Signal, Signals},
};
use crate::{
    config::Config,
    control::server::ControlBindError,
    discovery::{self, Announcement, Mdns},
    identity::{Identity, IdentityError, KeyFileError},
    interfaces,
    library::IndexError,
    media::guard,
    port_owner::{port_owner, PortProtocol},
    service::{ServiceNotifier, Watchdog},
    sockets::reachable,
    swarm::serving,
    tracker::{self, server::TrackerServer},
    util::within::within,
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
    Tracker(#[from] tracker::server::TrackerBindError),
    #[error(transparent)]
    Control(#[from] ControlBindError),
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
    let log = logging::init(config.log.level).ok();
    abort_on_panic();
    // The pool's own bound is 500 threads. Safe: there are no threads yet.
    std::env::set_var("BLOCKING_MAX_THREADS", MAX_BLOCKING_THREADS.to_string());
    raise_descriptor_limit();
    let state = StateDir::open(config)?;
    let keys = reload::read_keys(config)?;
    if config.swarm.key_file.is_none() {
        log::info!(
            "no `swarm.key_file`: this swarm is open to everybody near; `p2pmusic keygen` makes a key"
        );
    }
    let identity = Identity::load(state.path(), &keys)?;
    log::info!(
        "this is {} ({}), a node of role {}",
        introduce::name(config),
        identity.peer_id(),
        config.role
    );
    let reloader = Reloader {
        path: path.into(),
        running: config.clone(),
        keys,
        identity,
        log,
    };
    smol::block_on(serve(reloader, &state))
}

async fn serve(mut reloader: Reloader, state: &StateDir) -> Result<(), DaemonError> {
    let (config, identity) = (&reloader.running, &reloader.identity);
    let mut signals = Signals::new().map_err(|source| DaemonError::System {
        what: "catch signals",
        source,
    })?;
    let notifier = Arc::new(ServiceNotifier::from_env());
    let running = parts::start(&StartContext {
        config,
        state,
        identity,
        mdns: Mdns::default(),
        notifier: notifier.clone(),
        watchdog: Watchdog::new(notifier.clone(), Watchdog::interval_from_env()),
    })?;
    notifier.ready();
    log::info!("ready");
    let keeping = keepsake::keep(identity.clone(), state, &running);
    let ending = async {
        while let Signal::Reload = signals.next().await {
            notifier.reloading();
            let reload = async {
                reloader.reload(&running).await;
                Signal::Reload
            };
            // A disk that hangs does not hold up the end.
            let stop = async {
                signals.stop().await;
                Signal::Stop
            };
            if smol::future::or(stop, reload).await == Signal::Stop {
                break;
            }
            notifier.ready();
        }
    };
    smol::future::or(ending, keeping).await;
    log::info!("leaving");
    notifier.stopping();
    if within(STOP_TIMEOUT, running.stop()).await.is_none() {
        log::warn!("something does not end, a disk perhaps; ending without it");
    }
    Ok(())
}

/// A thousand peers of a tracker are a thousand descriptors, and the usual soft
/// limit is there for programs that know no more than 1024.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(MAX_DESCRIPTORS).max(soft);
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    });
    if let Err(e) = raised {
        log::debug!("the limit of open files stays: {e}");
    }
}

/// Makes a panic end the process, so that no half-dead daemon remains. The
/// parsers of music files are not ours and eat what strangers made: theirs is an
/// error of the file, and caught (see [`guard`]).
pub fn abort_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if guard::is_guarded() {
            return log::debug!("a parser of files has panicked: {info}");
        }
        report(info);
        process::abort();
    }));
}

/// The process that has the UDP port, as far as that can be seen.
fn owner_of(error: &io::Error, at: &SocketAddr) -> String {
    match port_owner(PortProtocol::Udp, at.port()) {
        Some(owner) if error.kind() == io::ErrorKind::AddrInUse => {
            format!("; {owner} has it: stop that, or choose another port")
        }
        _ => String::new(),
    }
}

/// A bound tracker.
pub struct BoundTracker {
    server: TrackerServer,
    /// Where it listens.
    at: SocketAddr,
    /// How it is announced, if it is.
    advertised: Option<Announcement>,
    mdns: Mdns,
}

impl BoundTracker {
    fn bind(with: &StartContext<'_>) -> Result<Self, DaemonError> {
        let at = with.config.tracker.listen;
        let mut server = TrackerServer::bind(at, with.identity, machine::memory())?;
        server.remember_names(with.state.path());
        let at = server.local_addr().unwrap_or(at);
        log::info!("tracker listens on {at}");
        let advertised = Announcement {
            kind: discovery::ServiceKind::Tracker,
            name: introduce::name(with.config),
            peer: with.identity.peer_id(),
            port: at.port(),
        };
        Ok(Self {
            server,
            at,
            advertised: with.config.tracker.advertise.then_some(advertised),
            mdns: with.mdns.clone(),
        })
    }

    /// Where this machine reaches it.
    fn here(&self) -> SocketAddr {
        let here = reachable(self.at.ip(), &interfaces::own_addresses());
        SocketAddr::new(here, self.at.port())
    }

    /// Whether others can reach it.
    fn is_seen(&self) -> bool {
        !self.at.ip().is_loopback()
    }

    /// Serves, and announces itself, until it is dropped.
    async fn run(self) {
        let announcing = async {
            match self.advertised {
                Some(tracker) => discovery::announce(self.mdns, tracker).await,
                None => std::future::pending().await,
            }
        };
        smol::future::or(self.server.run(), announcing).await;
    }
}

/// A little less than the 2 s that a stop may take.
const STOP_TIMEOUT: Duration = Duration::from_millis(1900);
/// A connection to each peer that a tracker takes, and ample room for a node's
/// own files and sockets.
const MAX_DESCRIPTORS: rlim_t = 4096;
/// One for each slice that is sent, which it has for as long as its requester
/// takes; and for what must not wait behind those (writing what arrives,
/// opening tracks, finding devices) as many as a disk does well with.
const MAX_BLOCKING_THREADS: usize = serving::SLOTS + 8;
