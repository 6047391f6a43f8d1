//! The waiting part: sockets, clients and their deadlines.
//!
//! [`ControlServer::bind`] opens the Unix socket and, if so configured, a TCP
//! port; [`ControlServer::run`] accepts clients, one task each, which it owns:
//! dropping it ends them all. A client's commands go to the node as
//! [`ControlEvent`]s through a bounded channel, one at a time for each client,
//! each with a [`Responder`]. Plans are walked here, in the client's task.
//!
//! The node tells of changes through a [`Notifier`], which never waits. It
//! counts the changes of each subsystem and rings; whoever was busy then reads
//! the counts later. So nothing is lost and nothing piles up.
//!
//! A client that sends nothing for [`SILENCE`] without being idle, or that
//! does not read its answers for [`STALL`], is dropped.

mod client;
mod socket;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
    time::Duration,
};

use async_channel::{Receiver, Sender};
use async_io::{Async, Timer};
use smol::{future, Task};

use self::{client::Client, socket::ControlSocket};
use super::{
    mpd::{
        apply::{Errand, Outcome, Request},
        args::Ack,
        plan::Plan,
        reply::Reply,
    },
    view::{Subsystem, Subsystems},
};
use crate::{
    port_owner::{port_owner, Transport},
    sockets::listen_tcp,
};

/// Clients at a time: a household's phones and some scripts. With a command
/// list each, whose memory [`MAX_LIST_BYTES`](super::mpd::session::MAX_LIST_BYTES)
/// bounds, they hold at most 64 MiB.
pub const MAX_CLIENTS: usize = 32;

/// Of these on TCP, so that a network never keeps out who is on the machine.
pub const MAX_TCP_CLIENTS: usize = 24;

/// Of these from one address: a client may have some connections.
pub const MAX_CLIENTS_OF_ADDRESS: usize = 8;

/// A client that has not said the password, where there is one, is dropped after
/// this long: it is a program that knows it, or none.
pub const PASSWORD_TIME: Duration = Duration::from_secs(10);

/// A client that is not idle and says nothing is dropped after this long, as
/// MPD's default `connection_timeout`.
pub const SILENCE: Duration = Duration::from_secs(60);

/// A client that takes nothing of its answer for this long is dropped.
pub const STALL: Duration = Duration::from_secs(10);

/// Where to listen.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    pub socket: PathBuf,
    /// The group that may use the socket, besides the owner.
    pub group: Option<String>,
    /// Where to listen with TCP.
    pub mpd: Option<SocketAddr>,
    /// What clients on TCP must know.
    pub password: Option<Arc<str>>,
}

/// Why the remote control cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{0}: another p2pmusic answers there; stop it, or set another `control.socket`")]
    InUse(PathBuf),
    #[error("{0} is in the way and no socket; remove it, or set another `control.socket`")]
    NotASocket(PathBuf),
    #[error("cannot listen at {path}: {error}")]
    Socket { path: PathBuf, error: io::Error },
    #[error(
        "cannot listen on {address} (`control.mpd`): {error}{}",
        owner.as_ref().map(|owner| format!("; {owner} has it")).unwrap_or_default()
    )]
    Tcp {
        address: SocketAddr,
        error: io::Error,
        owner: Option<String>,
    },
}

/// Something a client wants of the node.
#[derive(Debug)]
pub struct ControlEvent {
    pub request: Request,
    pub responder: Responder,
}

/// Answers one request; dropping it tells the client that the node is going.
#[derive(Debug)]
pub struct Responder(Sender<Result<Answer, Ack>>);

#[derive(Debug)]
enum Answer {
    Reply(Reply),
    Plan(Box<Plan>),
}

impl Responder {
    /// Answers with `result`, or keeps itself for later if that is an errand,
    /// which it gives back with it.
    pub fn answer(self, result: Result<Outcome, Ack>) -> Option<(Errand, Self)> {
        match result {
            Ok(Outcome::Later(errand)) => return Some((errand, self)),
            Ok(Outcome::Now(reply)) => self.send(Ok(Answer::Reply(reply))),
            Ok(Outcome::Query(plan)) => self.send(Ok(Answer::Plan(plan))),
            Err(ack) => self.send(Err(ack)),
        }
        None
    }

    /// Answers an errand.
    #[cfg(test)]
    pub fn finish(self, result: Result<Reply, Ack>) {
        self.send(result.map(Answer::Reply));
    }

    fn send(&self, answer: Result<Answer, Ack>) {
        // The channel has room for the one answer; without a receiver the
        // client is gone, and nobody wants to know.
        let _ = self.0.try_send(answer);
    }
}

/// How often each subsystem has changed.
#[derive(Debug, Default)]
struct Changes([AtomicU32; Subsystem::ALL.len()]);

impl Changes {
    fn counts(&self) -> [u32; Subsystem::ALL.len()] {
        std::array::from_fn(|n| self.0[n].load(Ordering::Acquire))
    }
}

/// Tells the clients that something has changed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Notifier {
    changes: Arc<Changes>,
    bell: Sender<()>,
}

impl Notifier {
    /// Never waits.
    pub fn notify(&self, changed: Subsystems) {
        for subsystem in changed.iter() {
            self.changes.0[subsystem as usize].fetch_add(1, Ordering::Release);
        }
        // A full channel means that it rings already.
        let _ = self.bell.try_send(());
    }
}

/// The bound listeners. See the module's description.
#[derive(Debug)]
pub struct ControlServer {
    socket: ControlSocket,
    tcp: Option<Async<TcpListener>>,
    password: Option<Arc<str>>,
    events: Sender<ControlEvent>,
    changes: Arc<Changes>,
    bell: Receiver<()>,
}

impl ControlServer {
    /// Opens the listeners. Also gives what the node needs: the clients'
    /// requests and the means to tell them of changes.
    ///
    /// # Errors
    /// Names the socket or port, and what to do.
    pub fn bind(
        config: &ControlConfig,
    ) -> Result<(Self, Receiver<ControlEvent>, Notifier), BindError> {
        let socket = ControlSocket::bind(&config.socket, config.group.as_deref())?;
        let tcp = config
            .mpd
            .map(|address| {
                let bound = listen_tcp(address).and_then(Async::new);
                bound.map_err(|error| BindError::Tcp {
                    address,
                    owner: (error.kind() == io::ErrorKind::AddrInUse)
                        .then(|| port_owner(Transport::Tcp, address.port()))
                        .flatten(),
                    error,
                })
            })
            .transpose()?;
        if let Some(at) = tcp.as_ref().and_then(|tcp| tcp.get_ref().local_addr().ok()) {
            log::info!("MPD clients can connect to {at}");
        }
        let (events, requests) = async_channel::bounded(MAX_CLIENTS);
        let (ring, bell) = async_channel::bounded(1);
        let changes = Arc::new(Changes::default());
        let notifier = Notifier {
            changes: changes.clone(),
            bell: ring,
        };
        let server = Self {
            socket,
            tcp,
            password: config.password.clone(),
            events,
            changes,
            bell,
        };
        Ok((server, requests, notifier))
    }

    /// The TCP port's address, if there is one.
    #[cfg(test)]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref()?.get_ref().local_addr().ok()
    }

    /// Serves clients until it is dropped.
    pub async fn run(self) {
        // Room for every client, so that none waits to be reaped.
        let (done, ended) = async_channel::bounded(MAX_CLIENTS);
        let mut clients = BTreeMap::new();
        let mut next_id = 0;
        loop {
            match self.next_event(&ended).await {
                Event::Ended(id) => _ = clients.remove(&id),
                Event::Changed => clients.values().for_each(Seat::ring),
                Event::Arrived(client) if has_room(&clients, client.address()) => {
                    clients.insert(next_id, self.seat(client, next_id, done.clone()));
                    next_id += 1;
                }
                Event::Arrived(_) => log::debug!("there are control clients enough"),
                Event::Failed(error) => {
                    log::debug!("cannot accept a control client: {error}");
                    Timer::after(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn next_event(&self, ended: &Receiver<u64>) -> Event {
        let ended = async {
            match ended.recv().await {
                Ok(id) => Event::Ended(id),
                Err(_) => future::pending().await,
            }
        };
        let changed = async {
            match self.bell.recv().await {
                Ok(()) => Event::Changed,
                // The node is gone, and soon so is this.
                Err(_) => future::pending().await,
            }
        };
        let unix = async {
            match self.socket.accept().await {
                Ok(stream) => Event::Arrived(Client::unix(stream).into()),
                Err(error) => Event::Failed(error),
            }
        };
        let tcp = async {
            let Some(listener) = &self.tcp else {
                return future::pending().await;
            };
            match listener.accept().await {
                Ok((stream, from)) => {
                    Event::Arrived(Client::tcp(stream, from, self.password.clone()).into())
                }
                Err(error) => Event::Failed(error),
            }
        };
        future::or(future::or(ended, changed), future::or(unix, tcp)).await
    }

    fn seat(&self, client: Box<Client>, id: u64, done: Sender<u64>) -> Seat {
        let (bell, rung) = async_channel::bounded(1);
        let address = client.address();
        let events = self.events.clone();
        let changes = self.changes.clone();
        let task = smol::spawn(async move {
            client.serve(events, changes, rung).await;
            let _ = done.send(id).await;
        });
        Seat {
            address,
            bell,
            _task: task,
        }
    }
}

/// Whether one more may come, from the TCP address `from` or else locally.
fn has_room(clients: &BTreeMap<u64, Seat>, from: Option<IpAddr>) -> bool {
    let on_tcp = clients.values().filter(|seat| seat.address.is_some());
    let of_address = clients.values().filter(|seat| seat.address == from);
    clients.len() < MAX_CLIENTS
        && (from.is_none()
            || on_tcp.count() < MAX_TCP_CLIENTS && of_address.count() < MAX_CLIENTS_OF_ADDRESS)
}

enum Event {
    Arrived(Box<Client>),
    Ended(u64),
    Changed,
    Failed(io::Error),
}

/// A client's task and the bell that wakes it.
struct Seat {
    /// Where it comes from, if by TCP.
    address: Option<IpAddr>,
    bell: Sender<()>,
    /// Dropping it ends the client.
    _task: Task<()>,
}

impl Seat {
    fn ring(&self) {
        let _ = self.bell.try_send(());
    }
}

/// After a failed accept (out of descriptors, say): long enough not to spin,
/// short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
