//! The newcomer's side: dials, and carries out what the exchange decides.

use std::{io, net::SocketAddr, time::Duration};

use ring::rand::{SecureRandom as _, SystemRandom};
use smol::Async;
use zeroize::Zeroizing;

use super::{
    code::PairingCode,
    exchange::{NewcomerSide, NewcomerStep, PairingError, PairingMessage},
    stream::{PairingStream, MESSAGE_TIMEOUT},
};
use crate::{
    identity::{Identity, SwarmKey},
    interfaces,
    util::{near::is_near, within::io_within},
};

/// The swarm's keys, and the member that waits to hear that they are written.
pub struct Granted {
    pub keys: Vec<SwarmKey>,
    /// The member's name.
    pub from: String,
    stream: PairingStream,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum DialFailure {
    #[error("nobody shows a code there: {0}")]
    Unreachable(String),
    #[error("{0} is not in this network, and keys do not leave it")]
    Far(SocketAddr),
    #[error(transparent)]
    Exchange(#[from] PairingError),
    #[error("the connection was lost: {0}")]
    Lost(io::Error),
    #[error("the operating system gives no randomness")]
    NoRandomness,
}

impl Granted {
    /// Says that the keys are written. The member may be gone; then it says so itself.
    pub async fn confirm(mut self) {
        let _ = self.stream.write(&PairingMessage::Done).await;
    }
}

/// Fetches the swarm's keys from the member that shows `code` at one of `addresses`. The
/// newcomer is called `name`.
///
/// # Errors
/// When nobody is there, the code is another, or something is between the two.
pub async fn dial(
    addresses: &[SocketAddr],
    code: &PairingCode,
    name: &str,
) -> Result<Granted, DialFailure> {
    let random = || {
        let mut bytes = Zeroizing::new([0; 32]);
        let filled = SystemRandom::new().fill(&mut *bytes);
        filled
            .map(|()| bytes)
            .map_err(|_| DialFailure::NoRandomness)
    };
    let identity = Identity::from_secret(&*random()?, &[SwarmKey::OPEN]);
    let identity = identity.map_err(|_| DialFailure::NoRandomness)?;
    let mut stream = connect(addresses, &identity).await?;
    let channel = stream.channel.clone();
    let (mut newcomer, offer) = NewcomerSide::begin(code, channel, name, &*random()?);
    let mut next = offer;
    loop {
        stream.write(&next).await.map_err(DialFailure::Lost)?;
        let said = stream.read(PATIENCE).await.map_err(DialFailure::Lost)?;
        match newcomer.handle_message(said)? {
            NewcomerStep::Send(message) => next = message,
            NewcomerStep::Take { keys, from } => {
                return Ok(Granted { keys, from, stream });
            }
        }
    }
}

/// The first of `addresses` where a pairing is answered.
async fn connect(
    addresses: &[SocketAddr],
    identity: &Identity,
) -> Result<PairingStream, DialFailure> {
    let subnets = interfaces::subnets();
    let mut last = DialFailure::Unreachable("its name has no address".into());
    for &address in addresses.iter().take(MAX_ADDRESSES) {
        if !is_near(address.ip(), &subnets) {
            last = DialFailure::Far(address);
            continue;
        }
        let dialled = async {
            let dialling = Async::<std::net::TcpStream>::connect(address);
            PairingStream::connect(io_within(CONNECT_TIMEOUT, dialling).await?, identity).await
        };
        match dialled.await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = DialFailure::Unreachable(format!("{address}: {error}")),
        }
    }
    Err(last)
}

/// Of one member.
const MAX_ADDRESSES: usize = 8;
/// A speaker in the house answers in milliseconds; one SYN that is lost is sent again
/// after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For an answer: another exchange may have its turn before.
const PATIENCE: Duration = MESSAGE_TIMEOUT.saturating_mul(4);
