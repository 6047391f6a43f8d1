//! The waiting part: sockets, clients and their deadlines.
//!
//! [`ControlServer::bind`] opens the Unix socket and, if so configured, a TCP
//! port; [`ControlServer::run`] accepts clients, one task each, which it owns:
//! dropping it ends them all. A client's commands go to the node as
//! [`ControlEvent`]s through a bounded channel, one at a time for each client,
//! each with a [`Responder`]. Plans are walked here, in the client's task.
//!
//! The node tells of changes through a [`ClientNotifier`], which never waits. It
//! counts the changes of each subsystem and rings; a client's task that was busy then reads
//! the counts later. So nothing is lost and nothing piles up.
//!
//! A client that sends nothing for [`SILENCE`] without being idle, or that
//! does not read its answers for [`STALL`], is dropped.

mod client;
mod guesses;
mod held;
mod places;
mod socket;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{
        atomic::{AtomicU32, AtomicUsize, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use async_io::{Async, Timer};
use smol::{future, lock::Semaphore, Task};

use self::{
    client::ClientTask,
    guesses::Guesses,
    places::{Complaints, Full, MAX_CLIENTS},
    socket::ControlSocket,
};
use crate::{
    command::{CommandError, CommandOutcome, CommandRequest, StatePart, StateParts},
    port_owner::{port_owner, PortProtocol},
    sockets::listen_tcp,
    util::work,
};

/// A client that has not said the password, where there is one, is dropped after
/// this long: it is a program that knows it, or none.
pub const PASSWORD_TIME: Duration = Duration::from_secs(10);

/// A client that is not idle and says nothing is dropped after this long, as
/// MPD's default `connection_timeout`.
pub const SILENCE: Duration = Duration::from_secs(60);

/// A client that takes nothing of its answer for this long is dropped.
pub const STALL: Duration = Duration::from_secs(10);

/// All of an answer has to be taken within this, whatever is taken at a time: what it is made
/// of is kept until then. Everything about 100,000 tracks is some 40 MB.
pub const ANSWER_TIME: Duration = Duration::from_secs(120);

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
    /// Whether the node has a player.
    pub has_player: bool,
}

/// Why the remote control cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum ControlBindError {
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
    pub request: CommandRequest,
    pub responder: Responder,
}

/// Answers one request; dropping it tells the client that the node is going.
#[derive(Debug)]
pub struct Responder(Sender<Result<CommandOutcome, CommandError>>);

impl Responder {
    pub fn answer(self, answer: Result<CommandOutcome, CommandError>) {
        // The channel has room for the one answer; without a receiver the
        // client is gone, and nobody wants to know.
        let _ = self.0.try_send(answer);
    }
}

/// How often each part of the state has changed, and what wakes the clients that wait for that.
#[derive(Debug, Default)]
struct StatePartCounters {
    counts: [AtomicU32; StatePart::ALL.len()],
    /// Those of clients that are gone stay until the next one comes.
    bells: Mutex<Vec<Sender<()>>>,
}

impl StatePartCounters {
    fn counts(&self) -> [u32; StatePart::ALL.len()] {
        std::array::from_fn(|n| self.counts[n].load(Ordering::Acquire))
    }

    fn bells(&self) -> MutexGuard<'_, Vec<Sender<()>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A bell for one more client. It rings from now on.
    fn new_bell(&self) -> Receiver<()> {
        let (bell, rung) = async_channel::bounded(1);
        let mut bells = self.bells();
        bells.retain(|bell| !bell.is_closed());
        bells.push(bell);
        rung
    }
}

/// What clients have in common.
#[derive(Debug)]
struct Commons {
    has_player: bool,
    changes: Arc<StatePartCounters>,
    guesses: Mutex<Guesses>,
    complaints: Mutex<Complaints>,
    local: ClientShares,
    remote: ClientShares,
}

/// What the clients of one kind share; those on the machine have their own, which the network
/// cannot use up.
#[derive(Debug)]
struct ClientShares {
    /// Bytes that are kept for them.
    held: Arc<AtomicUsize>,
    /// Turns at walking a plan.
    plans: Arc<Semaphore>,
}

impl Default for ClientShares {
    fn default() -> Self {
        Self {
            held: Arc::default(),
            plans: Arc::new(Semaphore::new(MAX_PLANS)),
        }
    }
}

impl Commons {
    fn of(&self, is_remote: bool) -> &ClientShares {
        match is_remote {
            true => &self.remote,
            false => &self.local,
        }
    }

    fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is worth a line of the log that `from` is complained about.
    fn is_news(&self, from: IpAddr) -> bool {
        let complaints = self.complaints.lock();
        let mut complaints = complaints.unwrap_or_else(PoisonError::into_inner);
        complaints.is_news(from, Instant::now())
    }
}

/// Tells the clients that something has changed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientNotifier {
    changes: Arc<StatePartCounters>,
}

impl ClientNotifier {
    /// Never waits for a client.
    pub fn notify(&self, changed: StateParts) {
        for part in changed.iter() {
            self.changes.counts[part as usize].fetch_add(1, Ordering::Release);
        }
        for bell in self.changes.bells().iter() {
            // A full channel means that it rings already.
            let _ = bell.try_send(());
        }
    }
}

/// The bound listeners. See the module's description.
#[derive(Debug)]
pub struct ControlServer {
    socket: ControlSocket,
    tcp: Option<Async<TcpListener>>,
    commons: Arc<Commons>,
    events: Sender<ControlEvent>,
}

impl ControlServer {
    /// Opens the listeners. Also gives what the node needs: the clients'
    /// requests and the means to tell them of changes.
    ///
    /// # Errors
    /// Names the socket or port, and what to do.
    pub fn bind(
        config: &ControlConfig,
    ) -> Result<(Self, Receiver<ControlEvent>, ClientNotifier), ControlBindError> {
        let socket = ControlSocket::bind(&config.socket, config.group.as_deref())?;
        let tcp = config
            .mpd
            .map(|address| {
                let bound = listen_tcp(address).and_then(Async::new);
                bound.map_err(|error| ControlBindError::Tcp {
                    address,
                    owner: (error.kind() == io::ErrorKind::AddrInUse)
                        .then(|| port_owner(PortProtocol::Tcp, address.port()))
                        .flatten(),
                    error,
                })
            })
            .transpose()?;
        if let Some(at) = tcp.as_ref().and_then(|tcp| tcp.get_ref().local_addr().ok()) {
            log::info!("MPD clients can connect to {at}");
        }
        let (events, requests) = async_channel::bounded(MAX_CLIENTS);
        let changes = Arc::new(StatePartCounters::default());
        let notifier = ClientNotifier {
            changes: changes.clone(),
        };
        let server = Self {
            socket,
            tcp,
            commons: Arc::new(Commons {
                has_player: config.has_player,
                changes,
                guesses: Mutex::new(Guesses::new(config.password.as_ref())),
                complaints: Mutex::default(),
                local: ClientShares::default(),
                remote: ClientShares::default(),
            }),
            events,
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
        let mut clients = BTreeMap::<u64, ClientPlace>::new();
        let mut farewells = Vec::<Task<()>>::new();
        let mut next_id = 0;
        loop {
            match self.next_event(&ended).await {
                ClientEvent::Ended(id) => _ = clients.remove(&id),
                ClientEvent::Arrived(client) => {
                    let taken = clients.values().map(|seat| seat.address);
                    match places::check(taken, client.address()) {
                        Ok(()) => {
                            clients.insert(next_id, self.seat(client, next_id, done.clone()));
                            next_id += 1;
                        }
                        Err(full) => self.turn_away(client, full, &mut farewells),
                    }
                }
                ClientEvent::Failed(error) => {
                    log::debug!("cannot accept a control client: {error}");
                    Timer::after(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn next_event(&self, ended: &Receiver<u64>) -> ClientEvent {
        let ended = async {
            match ended.recv().await {
                Ok(id) => ClientEvent::Ended(id),
                Err(_) => future::pending().await,
            }
        };
        let unix = async {
            match self.socket.accept().await {
                Ok(stream) => {
                    ClientEvent::Arrived(ClientTask::unix(stream, self.commons.clone()).into())
                }
                Err(error) => ClientEvent::Failed(error),
            }
        };
        let tcp = async {
            let Some(listener) = &self.tcp else {
                return future::pending().await;
            };
            match listener.accept().await {
                Ok((stream, from)) => {
                    ClientEvent::Arrived(ClientTask::tcp(stream, from, self.commons.clone()).into())
                }
                Err(error) => ClientEvent::Failed(error),
            }
        };
        future::or(ended, future::or(unix, tcp)).await
    }

    fn seat(&self, client: Box<ClientTask>, id: u64, done: Sender<u64>) -> ClientPlace {
        let rung = self.commons.changes.new_bell();
        let address = client.address();
        let events = self.events.clone();
        let task = work::spawn(async move {
            client.serve(events, rung).await;
            let _ = done.send(id).await;
        });
        ClientPlace {
            address,
            _task: task,
        }
    }

    /// Says to one too many that there is no place; to those of a storm nothing.
    fn turn_away(&self, client: Box<ClientTask>, full: Full, farewells: &mut Vec<Task<()>>) {
        let from = client.address();
        match from {
            Some(from) if self.commons.is_news(from) => {
                log::warn!("control: {from} is turned away: {full}");
            }
            _ => log::debug!("control: a client is turned away: {full}"),
        }
        farewells.retain(|farewell| !farewell.is_finished());
        if farewells.len() < MAX_FAREWELLS {
            farewells.push(work::spawn(async move {
                client.turn_away(&full.to_string()).await;
            }));
        }
    }
}

enum ClientEvent {
    Arrived(Box<ClientTask>),
    Ended(u64),
    Failed(io::Error),
}

/// A client's task.
struct ClientPlace {
    /// Where it comes from, if by TCP.
    address: Option<IpAddr>,
    /// Dropping it ends the client.
    _task: Task<()>,
}

/// Those that are turned away and told so, at a time: they cost a descriptor each for a while.
const MAX_FAREWELLS: usize = 16;

/// Plans of clients of one kind that are walked at a time: each may keep some tens of megabytes
/// where there are 100,000 tracks, and takes the processor while it looks for something.
const MAX_PLANS: usize = 8;

/// After a failed accept (out of descriptors, say): long enough not to spin,
/// short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
