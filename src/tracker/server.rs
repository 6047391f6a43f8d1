//! The tracker's listening end: connections in, the registry's actions out.
//!
//! One task owns the registry and every connection's task; dropping
//! [`TrackerServer::run`]'s future ends them all. A connection's task shakes
//! hands, reads frames into the one bounded inbox, and writes what is in its
//! own bounded outbox. A peer that does not read what it is sent is not listened
//! to any more, told no news, and dropped before long: the registry waits for
//! nobody.
//!
//! Strangers cost a handshake, and so do members that come again and again:
//! connections are bounded in all, for each address and for each peer, and of
//! those that shake hands the oldest makes room for the newest. A frame that has
//! begun has to end soon, and only some that are no small ones are read at once.

mod connection;
mod name_file;
mod names;
mod outbox;
mod turns;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use futures_rustls::TlsAcceptor;
use nix::sys::socket::{listen, Backlog};
use rustls::pki_types::CertificateDer;
use smol::{
    future::{Future, FutureExt},
    Async, Executor, Task, Timer,
};

use self::{
    connection::serve,
    names::NameFile,
    outbox::{FrameOutbox, Outboxes, SharedFrame},
    turns::Reading,
};
use super::registry::{
    Bulletin, ConnId, Dropped, NewsPosition, Registry, RegistryAction, Snapshot, MAX_PEERS,
};
use crate::{
    catalog::MemoryQuota,
    id::PeerId,
    identity::{peer_of, Identity},
    interfaces,
    port_owner::{port_owner, PortProtocol},
    protocol::{OlderNodes, ToTracker, OLDER},
    sockets::listen_tcp,
    tenure::TenureRecord,
    util::near::{is_near, Subnet},
    util::within::Alarm,
    util::work,
};

/// A tracker that listens, and serves while [`Self::run`] is polled.
pub struct TrackerServer {
    listener: Async<TcpListener>,
    acceptor: TlsAcceptor,
    identity: Identity,
    /// What this machine has for it, in bytes.
    memory: u64,
    /// Where names are remembered over a restart, and what they were before.
    names: (NameFile, Vec<TenureRecord>),
    inbox: (Sender<RegistryEvent>, Receiver<RegistryEvent>),
}

/// The way to a running tracker. Cheap to clone.
#[derive(Clone)]
pub struct TrackerStatus(Sender<RegistryEvent>);

impl TrackerServer {
    /// Listens on `address`; `[::]` takes IPv4, too, and stands for
    /// `0.0.0.0` on a host without IPv6. `memory`, in bytes, is this machine's.
    ///
    /// # Errors
    /// Names the address and, where it is in use, the process that has it.
    pub fn bind(
        address: SocketAddr,
        identity: &Identity,
        memory: u64,
    ) -> Result<Self, TrackerBindError> {
        let listener = listen_tcp(address)
            .and_then(Async::new)
            .map_err(|source| TrackerBindError::new(address, source))?;
        // Where the system refuses, its own bound stays.
        if let Err(error) = listen(&listener, Backlog::MAXALLOWABLE) {
            log::debug!("tracker: few can wait at {address}: {error}");
        }
        Ok(Self {
            listener,
            acceptor: identity.tls_server_config().into(),
            identity: identity.clone(),
            memory,
            names: Default::default(),
            inbox: async_channel::bounded(INBOX),
        })
    }

    /// Remembers in `state_dir` which node has which name.
    pub fn remember_names(&mut self, state_dir: &Path) {
        self.names = name_file::open(state_dir);
    }

    /// What a person should know of what is remembered.
    pub fn notices(&self) -> Vec<String> {
        self.names.0.problems().collect()
    }

    /// Where it listens: tells the port that port 0 became.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.get_ref().local_addr()
    }

    pub fn status(&self) -> TrackerStatus {
        TrackerStatus(self.inbox.0.clone())
    }

    /// Serves until dropped.
    pub async fn run(mut self) {
        let executor = Arc::new(Executor::new());
        let now = Instant::now();
        let subnets = interfaces::subnets();
        let mut registry = Registry::new(Vec::new(), MemoryQuota::of(self.memory));
        registry.set_network(interfaces::own_addresses(), subnets.clone());
        let (names, before) = std::mem::take(&mut self.names);
        registry.recall_names(&before, now);
        let mut driver = RegistryDriver {
            registry,
            names,
            links: BTreeMap::new(),
            outboxes: Outboxes::default(),
            reading: Reading::default(),
            last_conn: 0,
            accept_after: now,
            older: OlderNodes::default(),
            subnets,
            looked: now,
            executor: executor.clone(),
            server: self,
        };
        executor.run(driver.run()).await;
    }
}

impl TrackerStatus {
    /// The tracker's state; `None` when it does not run.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let (answer, answered) = async_channel::bounded(1);
        self.0.send(RegistryEvent::Status(answer)).await.ok()?;
        answered.recv().await.ok()
    }

    /// Has the tracker end all connections with those whose key was taken away.
    pub async fn end_disbelieved(&self) {
        // One that does not run has none.
        let _ = self.0.send(RegistryEvent::Keys).await;
    }
}

/// The tracker cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("the tracker cannot listen on TCP {address}: {source}{owner}")]
pub struct TrackerBindError {
    address: SocketAddr,
    source: io::Error,
    /// Of the port, in words, where one is known.
    owner: String,
}

impl TrackerBindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        let owner = (source.kind() == io::ErrorKind::AddrInUse)
            .then(|| port_owner(PortProtocol::Tcp, address.port()))
            .flatten();
        Self {
            address,
            source,
            owner: owner.map_or(String::new(), |owner| format!("; {owner} has it")),
        }
    }
}

/// What reaches the registry's task.
enum RegistryEvent {
    Connected {
        conn: ConnId,
        chain: MemberChain,
    },
    Message {
        conn: ConnId,
        message: ToTracker,
    },
    /// A message of this kind, which only a later version knows.
    Unknown {
        conn: ConnId,
        kind: i64,
    },
    Closed {
        conn: ConnId,
        why: String,
    },
    Status(Sender<Snapshot>),
    /// The names are written down, or not.
    NamesSaved(Result<(), String>),
    /// Other keys are believed now.
    Keys,
}

/// What the other side of a connection has shown.
type MemberChain = Vec<CertificateDer<'static>>;

/// What the registry's task waits for.
enum RegistryWake {
    Accepted(io::Result<(Async<TcpStream>, SocketAddr)>),
    Event(RegistryEvent),
    Timer,
}

struct RegistryDriver {
    server: TrackerServer,
    registry: Registry,
    names: NameFile,
    /// The oldest first.
    links: BTreeMap<ConnId, MemberLink>,
    outboxes: Outboxes,
    reading: Reading,
    last_conn: u64,
    /// After an error, accepting rests until then.
    accept_after: Instant,
    older: OlderNodes,
    /// The networks that this machine is on, and when it was asked.
    subnets: Vec<Subnet>,
    looked: Instant,
    executor: Arc<Executor<'static>>,
}

/// A connection as the registry's task holds it.
struct MemberLink {
    address: SocketAddr,
    since: Instant,
    /// Its id, once hands have been shaken.
    peer: Option<PeerId>,
    /// How it has shown that.
    chain: MemberChain,
    outbox: FrameOutbox,
    task: Task<()>,
}

impl RegistryDriver {
    async fn run(&mut self) {
        let mut alarm = Alarm::new();
        loop {
            let due = self.registry.poll_timeout().into_iter();
            let due = due.chain(self.names.poll_timeout()).min();
            match self.wait(alarm.wait(due)).await {
                RegistryWake::Accepted(Ok((stream, address))) => self.accept(stream, address),
                RegistryWake::Accepted(Err(error)) => {
                    log::debug!("tracker: a connection could not be taken: {error}");
                    self.accept_after = Instant::now() + ACCEPT_REST;
                }
                RegistryWake::Event(event) => self.handle(event),
                RegistryWake::Timer => {}
            }
            let now = Instant::now();
            if self.registry.poll_timeout().is_some_and(|due| due <= now) {
                self.registry.handle_timeout(now);
            }
            self.perform();
            self.save_names(now);
        }
    }

    /// Has the names written down, if it is time; the loop does not wait for a disk.
    fn save_names(&mut self, now: Instant) {
        if self.registry.take_new_names() {
            self.names.handle_news(now);
        }
        if let Some(path) = self.names.begin(now) {
            let records = self.registry.names(now);
            let inbox = self.server.inbox.0.clone();
            let saving = async move {
                let saved = work::unblock(move || name_file::save(&path, &records)).await;
                let saved = saved.map_err(|error| error.to_string());
                // Nobody is left to tell when the server is gone.
                let _ = inbox.send(RegistryEvent::NamesSaved(saved)).await;
            };
            self.executor.spawn(saving.boxed()).detach();
        }
    }

    async fn wait(&self, alarm: impl Future<Output = ()>) -> RegistryWake {
        let accept_after = self.accept_after.max(self.next_turn());
        let accepted = async {
            if Instant::now() < accept_after {
                Timer::at(accept_after).await;
            }
            RegistryWake::Accepted(self.server.listener.accept().await)
        };
        let event = async {
            let event = self.server.inbox.1.recv().await;
            RegistryWake::Event(event.expect("the server holds a sender of its own inbox"))
        };
        let timer = async {
            alarm.await;
            RegistryWake::Timer
        };
        event.race(accepted).race(timer).await
    }

    fn accept(&mut self, stream: Async<TcpStream>, address: SocketAddr) {
        self.look_around();
        if self.server.identity.is_open() && !is_near(address.ip(), &self.subnets) {
            return log::debug!("tracker: {address} is not near, and the swarm is open");
        }
        if !self.make_room(address.ip()) {
            return log::debug!("tracker: no room for {address}");
        }
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        let (outbox, frames) = self.outboxes.open();
        let inbox = self.server.inbox.0.clone();
        let acceptor = self.server.acceptor.clone();
        let (reading, from) = (self.reading.clone(), address.ip().to_canonical());
        let live = async move {
            let end = serve(conn, stream, acceptor, &inbox, frames, (&reading, from)).await;
            let why = end.map_or_else(|error| error.to_string(), |()| "closed".into());
            // Nobody is left to tell when the server is gone.
            let _ = inbox.send(RegistryEvent::Closed { conn, why }).await;
        };
        let task = self.executor.spawn(live.boxed());
        let link = MemberLink {
            address,
            since: Instant::now(),
            peer: None,
            chain: Vec::new(),
            outbox,
            task,
        };
        self.links.insert(conn, link);
    }

    fn half_open(&self) -> impl Iterator<Item = (&ConnId, &MemberLink)> {
        self.links.iter().filter(|(_, link)| link.peer.is_none())
    }

    /// When the next connection may be taken from the listener's backlog: at once, or
    /// when the oldest of too many that shake hands has had its time.
    fn next_turn(&self) -> Instant {
        match self.half_open().next() {
            Some((_, oldest)) if self.half_open().count() >= MAX_HALF_OPEN => oldest.since + TURN,
            _ => self.looked,
        }
    }

    /// Whether another connection from `ip` may come in. A host that is slow, or
    /// hostile, fills its own places; many together lose their oldest.
    fn make_room(&mut self, ip: IpAddr) -> bool {
        let of_address = self.links.values().filter(|l| l.address.ip() == ip).count();
        let half_of_address = self
            .half_open()
            .filter(|(_, l)| l.address.ip() == ip)
            .count();
        if of_address >= MAX_OF_ADDRESS || half_of_address >= MAX_HALF_OPEN_OF_ADDRESS {
            return false;
        }
        if self.half_open().count() >= MAX_HALF_OPEN {
            let oldest = self.half_open().next().map(|(conn, _)| *conn);
            self.links.retain(|conn, _| Some(*conn) != oldest);
        }
        self.links.len() < MAX_CONNECTIONS
    }

    /// Asks for this machine's addresses anew where that was a while ago.
    fn look_around(&mut self) {
        if self.looked.elapsed() >= LOOK_INTERVAL {
            self.looked = Instant::now();
            self.subnets = interfaces::subnets();
            let addresses = interfaces::own_addresses();
            let subnets = self.subnets.clone();
            self.registry.set_network(addresses, subnets);
        }
    }

    fn handle(&mut self, event: RegistryEvent) {
        let now = Instant::now();
        match event {
            RegistryEvent::Connected { conn, chain } => self.handle_connected(conn, chain, now),
            RegistryEvent::Unknown { conn, kind } => self.registry.handle_unknown(conn, kind),
            RegistryEvent::Message { conn, message } => {
                self.registry.handle_message(conn, message, now)
            }
            RegistryEvent::Closed { conn, why } => {
                if let Some(link) = self.links.remove(&conn) {
                    let ip = link.address.ip().to_canonical();
                    match why == OLDER && self.older.handle_call(ip, now) {
                        true => log::info!("{ip}: {why}"),
                        false => log::debug!("tracker: {} is lost: {why}", link.address),
                    }
                }
                self.registry.handle_closed(conn, now);
            }
            // The requester may have gone meanwhile.
            RegistryEvent::Status(answer) => {
                let mut snapshot = self.registry.snapshot();
                snapshot.problems.extend(self.names.problems());
                snapshot.problems.extend(self.older.problems(now));
                drop(answer.try_send(snapshot));
            }
            RegistryEvent::NamesSaved(saved) => self.names.handle_saved(saved, now),
            RegistryEvent::Keys => self.end_disbelieved(now),
        }
    }

    fn handle_connected(&mut self, conn: ConnId, chain: MemberChain, now: Instant) {
        // The key may have been taken away since it was shown.
        let known = peer_of(&chain).filter(|_| self.server.identity.believes(&chain));
        let Some(peer) = known else {
            return self.close(conn, Dropped::Disbelieved.to_string());
        };
        let of_peer = self.links.values().filter(|l| l.peer == Some(peer)).count();
        if of_peer >= MAX_OF_PEER {
            return self.close(conn, "that peer has enough connections".into());
        }
        if let Some(link) = self.links.get_mut(&conn) {
            (link.peer, link.chain) = (Some(peer), chain);
            let from = link.address.ip();
            self.registry.handle_connected(conn, peer, from, now);
        }
    }

    /// Ends at once, with all that waits to be sent, what was let in by a key that is
    /// believed no more.
    fn end_disbelieved(&mut self, now: Instant) {
        let identity = &self.server.identity;
        let (out, stay): (BTreeMap<_, _>, _) = std::mem::take(&mut self.links)
            .into_iter()
            .partition(|(_, link)| link.peer.is_some() && !identity.believes(&link.chain));
        self.links = stay;
        for (conn, link) in out {
            log::debug!("tracker: the key of {} was taken away", link.address);
            self.registry.handle_disbelieved(conn, now);
        }
    }

    fn perform(&mut self) {
        while let Some(action) = self.registry.poll() {
            match action {
                RegistryAction::Send { conn, message } => {
                    self.send(conn, SharedFrame::new(&message))
                }
                RegistryAction::Tell => self.tell(),
                RegistryAction::Close { conn, why } => self.close(conn, why.to_string()),
            }
        }
    }

    /// Sends the news to the connections that have read what they were sent before: what
    /// waits is always the same few bytes, shared by all that are equally far.
    fn tell(&mut self) {
        let mut bulletins: BTreeMap<NewsPosition, (Bulletin, SharedFrame)> = BTreeMap::new();
        let behind: Vec<_> = self.registry.behind().collect();
        for (conn, peer, place) in behind {
            let has_room = |link: &MemberLink| link.outbox.has_room();
            if !self.links.get(&conn).is_some_and(has_room) {
                continue;
            }
            let (bulletin, frame) = bulletins.entry(place).or_insert_with(|| {
                let bulletin = self.registry.news_after(place);
                let frame = SharedFrame::join(bulletin.facts.iter().map(|(_, message)| &**message));
                (bulletin, frame)
            });
            let frame = match bulletin.is_about(peer) {
                true => SharedFrame::join(bulletin.for_peer(peer).map(|message| &**message)),
                false => frame.clone(),
            };
            self.registry.handle_told(conn, bulletin.up_to);
            if frame.len() > 0 {
                self.send(conn, frame);
            }
        }
    }

    fn send(&mut self, conn: ConnId, frame: SharedFrame) {
        let Some(link) = self.links.get(&conn) else {
            return;
        };
        if !link.outbox.push(frame) {
            log::debug!("tracker: {} does not read; dropped", link.address);
            self.links.remove(&conn);
            self.registry.handle_closed(conn, Instant::now());
        }
    }

    /// Lets the writer finish what is in the outbox, but not for long.
    fn close(&mut self, conn: ConnId, why: String) {
        if let Some(link) = self.links.remove(&conn) {
            log::debug!("tracker: {} is dropped: {why}", link.address);
            link.outbox.close();
            let late = async {
                Timer::after(CLOSE_TIMEOUT).await;
            };
            self.executor.spawn(link.task.or(late).boxed()).detach();
        }
    }
}

/// Every peer, some of them twice because they are coming back.
const MAX_CONNECTIONS: usize = MAX_PEERS + 64;
/// Strangers cost a handshake each. Any more wait in the listener's
/// backlog: turned away, a thousand peers that return to a restarted tracker
/// would come again and again, ever later.
pub(super) const MAX_HALF_OPEN: usize = 32;
/// For a handshake while others wait: a slower one makes room.
const TURN: Duration = Duration::from_secs(1);
/// Handshakes with one address: a host with some nodes on it.
pub(super) const MAX_HALF_OPEN_OF_ADDRESS: usize = 8;
/// Connections from one address: a demonstration with dozens of nodes on one
/// host, and still a fraction of all.
const MAX_OF_ADDRESS: usize = 64;
/// Connections of one peer: the one that it lost, the one that it has, a copy of
/// its card, and one to spare.
const MAX_OF_PEER: usize = 4;
/// For a last word, such as a refusal.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Messages that wait for the registry: each is at most one frame, and they
/// wait for microseconds.
const INBOX: usize = 16;
/// A machine's networks change seldom, and asking takes as long as a handshake
/// should.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// When the process has no file descriptors left, some come back.
const ACCEPT_REST: Duration = Duration::from_millis(500);
