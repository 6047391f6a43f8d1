//! The member's side: a listener that lives as long as its code.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Instant,
};

use async_channel::Sender;
use ring::rand::{SecureRandom as _, SystemRandom};
use smol::{future, lock::Mutex, Async, Task, Timer};
use zeroize::Zeroizing;

use super::{
    attempts::Attempts,
    code::PairingCode,
    exchange::{MemberSide, MemberStep, PairingMessage},
    stream::{PairingStream, MESSAGE_TIMEOUT},
};
use crate::{
    identity::{Identity, SwarmKey},
    interfaces,
    util::near::is_near,
    util::work,
};

/// What a member offers.
pub struct PairingSetup {
    pub code: PairingCode,
    pub keys: Vec<SwarmKey>,
    /// What the member is called.
    pub name: String,
    /// Of the open swarm, made for this one time.
    pub identity: Identity,
    pub until: Instant,
}

/// What a person at the member is told meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub enum PairingEvent {
    /// Somebody at this address has tried and failed; so many tries are left.
    Failed { from: IpAddr, left: u8 },
}

/// How a code has ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Closing {
    Joined(String),
    /// The newcomer of this name has been sent the keys, and did not say that it has them.
    Unconfirmed(String),
    Expired,
    Exhausted,
}

/// What the connections share. It is locked for a whole exchange: one runs at a time.
struct PairingDesk {
    setup: PairingSetup,
    attempts: Attempts,
}

/// What a connection's task tells.
enum ConnectionOutcome {
    Failed { from: IpAddr, left: u8 },
    Closed(Closing),
}

/// Lets newcomers in until the code ends. `tell` is told of what happens before.
pub async fn serve(
    listener: &Async<TcpListener>,
    setup: PairingSetup,
    tell: impl Fn(PairingEvent),
) -> Closing {
    let until = setup.until;
    let identity = setup.identity.clone();
    let desk = Arc::new(Mutex::new(PairingDesk {
        attempts: Attempts::new(until),
        setup,
    }));
    let (to, told) = async_channel::bounded(MAX_VISITORS);
    let mut visitors: Vec<(IpAddr, Task<()>)> = Vec::new();
    loop {
        let accepted = async { Some(Err(listener.accept().await)) };
        let said = async {
            match told.recv().await {
                Ok(told) => Some(Ok(told)),
                // This function has a sender itself.
                Err(_) => future::pending().await,
            }
        };
        let over = async {
            Timer::at(until).await;
            None
        };
        match future::or(said, future::or(over, accepted)).await {
            None => return expire(&desk, &told).await,
            Some(Ok(ConnectionOutcome::Closed(closing))) => return closing,
            Some(Ok(ConnectionOutcome::Failed { from, left })) => {
                tell(PairingEvent::Failed { from, left });
                if left == 0 {
                    // Its visitor is still to hear why.
                    Timer::after(LAST_WORDS).await;
                    return Closing::Exhausted;
                }
            }
            Some(Err(Ok((stream, from)))) => {
                visitors.retain(|(_, task)| !task.is_finished());
                if let Some(ip) = admit(&visitors, from) {
                    let visitor = (stream, ip, identity.clone());
                    let task = work::spawn(visit(visitor, desk.clone(), to.clone()));
                    visitors.push((ip, task));
                }
            }
            Some(Err(Err(error))) => {
                log::debug!("pairing: a connection could not be taken: {error}");
                Timer::after(ACCEPT_REST).await;
            }
        }
    }
}

/// The code's time is over; an exchange that has begun before ends first.
async fn expire(
    desk: &Mutex<PairingDesk>,
    told: &async_channel::Receiver<ConnectionOutcome>,
) -> Closing {
    desk.lock().await.attempts.end();
    while let Ok(told) = told.try_recv() {
        if let ConnectionOutcome::Closed(closing) = told {
            return closing;
        }
    }
    Closing::Expired
}

/// The address of a visitor that may come in.
fn admit(visitors: &[(IpAddr, Task<()>)], from: SocketAddr) -> Option<IpAddr> {
    let ip = from.ip().to_canonical();
    let of_address = visitors.iter().filter(|(other, _)| *other == ip).count();
    let has_room = visitors.len() < MAX_VISITORS && of_address < MAX_OF_ADDRESS;
    (has_room && is_near(ip, &interfaces::subnets())).then_some(ip)
}

/// One connection's whole life. Strangers shake hands side by side, and wait for their turn
/// to try the code.
async fn visit(
    (stream, from, identity): (Async<TcpStream>, IpAddr, Identity),
    desk: Arc<Mutex<PairingDesk>>,
    to: Sender<ConnectionOutcome>,
) {
    let begun = async {
        let mut stream = PairingStream::accept(stream, &identity).await?;
        let offer = stream.read(MESSAGE_TIMEOUT).await?;
        io::Result::Ok((stream, offer))
    };
    let (mut stream, offer) = match begun.await {
        Ok(begun) => begun,
        Err(error) => return log::debug!("pairing: {from}: {error}"),
    };
    let mut desk = desk.lock().await;
    let left = desk.attempts.left(Instant::now());
    if left == 0 {
        _ = stream.write(&PairingMessage::Refused { left }).await;
        return;
    }
    let closing = match exchange(&mut stream, offer, &desk.setup).await {
        Ended::Joined(name) => Closing::Joined(name),
        Ended::Sent(name) => Closing::Unconfirmed(name),
        Ended::Counts => {
            let left = desk.attempts.handle_failure(Instant::now());
            _ = to.send(ConnectionOutcome::Failed { from, left }).await;
            _ = stream.write(&PairingMessage::Refused { left }).await;
            return;
        }
        Ended::Early => return,
    };
    desk.attempts.end();
    _ = to.send(ConnectionOutcome::Closed(closing)).await;
}

/// How an exchange has ended.
enum Ended {
    Joined(String),
    Sent(String),
    /// The code was tried.
    Counts,
    /// Before it could be, or after it was known.
    Early,
}

async fn exchange(
    stream: &mut PairingStream,
    offer: PairingMessage,
    setup: &PairingSetup,
) -> Ended {
    let mut random = Zeroizing::new([0; 32]);
    if SystemRandom::new().fill(&mut *random).is_err() {
        return Ended::Early;
    }
    let PairingSetup {
        code, keys, name, ..
    } = setup;
    let channel = stream.channel.clone();
    let mut member = MemberSide::begin(code, keys, channel, name, random);
    let mut said = Ok(offer);
    while let Ok(message) = said {
        let step = member.handle_message(message);
        let reply = match step {
            Ok(MemberStep::Send(reply)) => reply,
            Ok(MemberStep::Joined(name)) => return Ended::Joined(name),
            Err(_) => break,
        };
        if stream.write(&reply).await.is_err() {
            break;
        }
        said = stream.read(MESSAGE_TIMEOUT).await;
    }
    match member.sent_to() {
        Some(name) => Ended::Sent(name.to_owned()),
        None if member.is_at_risk() => Ended::Counts,
        None => Ended::Early,
    }
}

/// Handshakes and those that wait for their turn: one or two are honest.
const MAX_VISITORS: usize = 8;
/// So that one that floods leaves places to others.
const MAX_OF_ADDRESS: usize = 4;
/// When the process has no file descriptors left, some come back.
const ACCEPT_REST: std::time::Duration = std::time::Duration::from_millis(500);
/// A refusal is one packet in the house.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(300);
