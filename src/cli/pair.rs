//! `p2pmusic pair`: shows a code by which a new speaker gets the swarm's key.
//!
//! It reads the key file itself and listens on a port of its own while the code lives, so
//! it works beside the node, and without one.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use ring::rand::{SecureRandom as _, SystemRandom};
use smol::{future, Async};

use super::args::PairArgs;
use crate::{
    config::{self, ConfigError},
    daemon::{node_name, signals::Signals},
    discovery::{self, Announcement, Mdns, ServiceKind},
    identity::{self, Identity, KeyFileError, SwarmKey},
    pairing::{self, Closing, PairingCode, PairingEvent, PairingSetup},
    port_owner::{port_owner, PortProtocol},
    sockets::listen_tcp,
};

/// Why there is no code, or why it has ended without a speaker.
#[derive(Debug, thiserror::Error)]
enum PairFailure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "this swarm has no key, so there is nothing to hand over: a speaker in the same network \
         is in it by itself. To close it, make a key first: `p2pmusic keygen`, and \
         swarm.key_file in {0:?}"
    )]
    Open(PathBuf),
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error("cannot listen on {at}: {source}{}", in_words(.source, .at))]
    Listen { at: SocketAddr, source: io::Error },
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
    #[error("the code has run out, and nobody has joined; `p2pmusic pair` shows a new one")]
    Expired,
    #[error(
        "three tries have failed, so the code has ended; `p2pmusic pair` shows a new one. If \
         they were not yours, somebody else in this network tries to get in"
    )]
    Exhausted,
    #[error("ended; the code does not hold any more")]
    Stopped,
    #[error(
        "the key was sent to {0}, which has not said that it has it: see there, and join again \
         if need be"
    )]
    Unconfirmed(String),
}

/// Shows a code and waits for a speaker. Exit code 1 when none has joined.
pub fn run(args: &PairArgs) -> ExitCode {
    match pair(args) {
        Ok(name) => {
            say!("{name} has joined.");
            ExitCode::SUCCESS
        }
        Err(PairFailure::Config(e)) => super::bad_config(&e),
        Err(e) => {
            complain!("p2pmusic: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The name of the speaker that has joined.
fn pair(args: &PairArgs) -> Result<String, PairFailure> {
    let config = config::load(&args.config)?;
    let Some(key_file) = &config.swarm.key_file else {
        return Err(PairFailure::Open(args.config.clone()));
    };
    let keys = identity::read_keys(key_file)?;
    let at = args.listen;
    let listener = listen_tcp(at).and_then(Async::new);
    let listener = listener.map_err(|source| PairFailure::Listen { at, source })?;
    let at = listener.get_ref().local_addr().unwrap_or(at);
    let life = Duration::from_secs(args.seconds);
    let (code, identity) = secrets().map_err(|e| PairFailure::System("make a code", e))?;
    say!("On the new speaker:  sudo p2pmusic join");
    say!("The code:            {code}");
    say!();
    say!(
        "It holds for {} and for one speaker, at {at}.",
        InMinutes(life)
    );
    let own = Announcement {
        kind: ServiceKind::Pairing,
        name: node_name(&config),
        peer: identity.peer_id(),
        port: at.port(),
    };
    let setup = PairingSetup {
        code,
        keys,
        name: own.name.clone(),
        identity,
        until: Instant::now() + life,
    };
    smol::block_on(wait(&listener, setup, own))
}

async fn wait(
    listener: &Async<TcpListener>,
    setup: PairingSetup,
    own: Announcement,
) -> Result<String, PairFailure> {
    let mut signals = Signals::new().map_err(|e| PairFailure::System("catch signals", e))?;
    let is_outside = listener
        .get_ref()
        .local_addr()
        .is_ok_and(|at| !at.ip().is_loopback());
    let announcing = async {
        if is_outside {
            discovery::announce(Mdns::default(), own).await;
        }
        future::pending().await
    };
    let stopped = async {
        signals.stop().await;
        None
    };
    let serving = async { Some(pairing::serve(listener, setup, say).await) };
    match future::or(future::or(stopped, serving), announcing).await {
        Some(Closing::Joined(name)) => Ok(name),
        Some(Closing::Unconfirmed(name)) => Err(PairFailure::Unconfirmed(name)),
        Some(Closing::Expired) => Err(PairFailure::Expired),
        Some(Closing::Exhausted) => Err(PairFailure::Exhausted),
        None => Err(PairFailure::Stopped),
    }
}

fn say(event: PairingEvent) {
    let PairingEvent::Failed { from, left } = event;
    let tries = match left {
        0 => return,
        1 => "1 more try".to_owned(),
        left => format!("{left} more tries"),
    };
    say!("A try from {from} has failed: the code was wrong, or was not said. {tries}.");
}

/// A code, and the member's identity for this one time.
fn secrets() -> io::Result<(PairingCode, Identity)> {
    let random = SystemRandom::new();
    let code = PairingCode::pick(|| {
        let mut bytes = [0; 4];
        random.fill(&mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes))
    });
    let mut secret = [0; 32];
    let filled = random.fill(&mut secret);
    let nothing = || io::Error::other("the operating system gives no randomness");
    let code = code.filter(|_| filled.is_ok()).ok_or_else(nothing)?;
    let identity = Identity::from_secret(&secret, &[SwarmKey::OPEN]);
    Ok((code, identity.map_err(io::Error::other)?))
}

struct InMinutes(Duration);

impl fmt::Display for InMinutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds if seconds >= 60 => write!(f, "{} minutes", seconds / 60),
            seconds => write!(f, "{seconds} seconds"),
        }
    }
}

fn in_words(error: &io::Error, at: &SocketAddr) -> String {
    match port_owner(PortProtocol::Tcp, at.port()) {
        Some(owner) if error.kind() == io::ErrorKind::AddrInUse => {
            format!("; {owner} has it: end that, or choose another port with --listen")
        }
        _ => String::new(),
    }
}
