//! The QUIC endpoint: one UDP socket for both directions.
//!
//! Dials leave from the port that listens, so that whatever a firewall or a
//! neighbour learns about one direction holds for the other.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use nix::sys::socket::{setsockopt, sockopt};
use quinn::{
    crypto::rustls::HandshakeData, ConnectionError, IdleTimeout, Runtime as _, TransportConfig,
    VarInt,
};
use rustls::pki_types::CertificateDer;
use smol::{future, Timer};

use super::{
    connection_ids::endpoint_config,
    hosts::{Hosts, LEAST_SEND_WINDOW},
    requester::{HostKey, Requester},
    socket::{Addresses, CountedSocket},
    unproven::{Attempt, DialPermit},
};
use crate::{
    id::{KeyMark, PeerId},
    identity::{self, Identity, SERVER_NAME},
    interfaces::{self, LEAST_MTU},
    protocol::{is_older, OLDER},
    sockets::bind_udp,
    util::{
        near::{canonical, is_near, Subnet},
        within::within,
    },
};

/// The node's QUIC endpoint. Cheap to clone; the socket closes with the last
/// clone.
#[derive(Clone)]
pub struct Endpoint {
    quic: quinn::Endpoint,
    identity: Identity,
    server: quinn::ServerConfig,
    /// The networks that this machine is on, by which an open swarm tells what
    /// is near.
    subnets: Arc<RwLock<Vec<Subnet>>>,
    /// Where somebody has answered, and where nobody did.
    addresses: Addresses,
    /// Where its connections lead.
    hosts: Arc<Mutex<Hosts>>,
    /// By which key each peer has connected last.
    keys: Arc<Mutex<BTreeMap<PeerId, KeyMark>>>,
    /// Where nodes of an older version have been met.
    older: (Sender<IpAddr>, Receiver<IpAddr>),
}

/// A connection whose other end has shown its id.
#[derive(Clone, Debug)]
pub struct PeerConnection {
    pub quic: Arc<quinn::Connection>,
    pub peer: PeerId,
}

/// Why a candidate address did not lead to the peer.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("it is not near, and an open swarm talks to near addresses only")]
    Far,
    #[error("{0}")]
    Refused(#[from] quinn::ConnectError),
    #[error("{0}")]
    Failed(#[from] quinn::ConnectionError),
    #[error("no answer within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Silent,
    #[error("packets of at most {0} bytes get there (MTU), and music needs {LEAST_MTU} or more")]
    Narrow(NonZeroU32),
    #[error("no member has answered there; it is tried again in {} s", .0.as_secs() + 1)]
    Rests(Duration),
    #[error("{OLDER}")]
    Older,
    #[error("somebody else answers there")]
    SomebodyElse,
    #[error("the key that it has shown was taken away meanwhile")]
    Disbelieved,
}

impl DialError {
    /// Whether a handshake was begun by somebody at the address, which nobody elsewhere can
    /// feign: its keys are made from what was sent there.
    fn is_answer(&self) -> bool {
        match self {
            Self::SomebodyElse | Self::Disbelieved => true,
            Self::Failed(why) => matches!(
                why,
                ConnectionError::TransportError(_)
                    | ConnectionError::ConnectionClosed(_)
                    | ConnectionError::ApplicationClosed(_)
            ),
            _ => false,
        }
    }
}

impl Endpoint {
    /// Binds the UDP socket. On a machine without IPv6, `[::]` means
    /// `0.0.0.0`.
    ///
    /// # Errors
    /// Those of binding the socket.
    pub fn bind(at: SocketAddr, identity: Identity, subnets: Vec<Subnet>) -> io::Result<Self> {
        let socket = bind_udp(at)?;
        // What the kernel does not allow is not needed to go on.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER);
        let mut server = identity.quic_server_config();
        server
            .max_incoming(MAX_INCOMING)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);
        let addresses = Addresses::default();
        let socket = CountedSocket {
            socket: quinn::SmolRuntime.wrap_udp_socket(socket)?,
            addresses: addresses.clone(),
        };
        let quic = quinn::Endpoint::new_with_abstract_socket(
            endpoint_config(&identity),
            Some(server.clone()),
            Arc::new(socket),
            Arc::new(quinn::SmolRuntime),
        )?;
        Ok(Self {
            quic,
            identity,
            server,
            subnets: Arc::new(RwLock::new(subnets)),
            addresses,
            hosts: Arc::default(),
            keys: Arc::default(),
            older: async_channel::bounded(MAX_OLDER),
        })
    }

    /// This machine is on these networks now. Holds for all clones.
    pub fn set_subnets(&self, subnets: Vec<Subnet>) {
        *self.subnets.write().unwrap_or_else(PoisonError::into_inner) = subnets;
        self.addresses.lock().handle_change();
    }

    /// This machine has so many bytes of memory, by which what may come is bounded.
    pub fn set_memory(&self, memory: u64) {
        self.hosts().set_memory(memory);
    }

    /// Where nodes of an older version are met from now on; some of many.
    pub fn older(&self) -> Receiver<IpAddr> {
        self.older.1.clone()
    }

    /// This node's id.
    pub fn peer_id(&self) -> PeerId {
        self.identity.peer_id()
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quic.local_addr()
    }

    /// The next that wants to connect; `None` when the endpoint is closed.
    pub async fn accept(&self) -> Option<Knocking> {
        loop {
            let incoming = self.quic.accept().await?;
            let address = incoming.remote_address().ip().to_canonical();
            if self.may_talk_to(address) {
                let endpoint = self.clone();
                return Some(Knocking {
                    incoming,
                    address,
                    endpoint,
                });
            }
            incoming.ignore();
        }
    }

    /// Connects to `peer` at `address`. What fails while the keys, or the network, become
    /// others is tried once again: others wait for it, and it may have failed for those.
    ///
    /// # Errors
    /// When nobody, or somebody else, answers there.
    pub async fn dial(
        &self,
        peer: PeerId,
        address: SocketAddr,
    ) -> Result<PeerConnection, DialError> {
        let changes = || self.addresses.lock().changes();
        let before = changes();
        match self.dial_once(peer, address).await {
            Err(_) if changes() != before => self.dial_once(peer, address).await,
            dialled => dialled,
        }
    }

    async fn dial_once(
        &self,
        peer: PeerId,
        address: SocketAddr,
    ) -> Result<PeerConnection, DialError> {
        if !self.may_talk_to(address.ip()) {
            return Err(DialError::Far);
        }
        let mut trial = self
            .turn(canonical(address))
            .await
            .map_err(|why| silent(address, why))?;
        let dialled = self.shake_hands(peer, address, trial.is_some()).await;
        if let (Some(trial), Err(why)) = (&mut trial, &dialled) {
            trial.is_answered = why.is_answer();
        }
        dialled
    }

    /// Whether the other end speaks only the older protocol. Then it is told so, and the
    /// connection is over.
    fn is_of_older(&self, connection: &quinn::Connection) -> bool {
        let data = connection.handshake_data();
        let data = data.and_then(|data| data.downcast::<HandshakeData>().ok());
        let is_older = is_older(data.and_then(|data| data.protocol).as_deref());
        if is_older {
            connection.close(VarInt::from_u32(CLOSED_OLDER), CLOSED_OLDER_TEXT);
            let at = connection.remote_address().ip().to_canonical();
            // Where many are, not each is told of at once.
            let _ = self.older.0.try_send(at);
        }
        is_older
    }

    async fn shake_hands(
        &self,
        peer: PeerId,
        address: SocketAddr,
        is_trial: bool,
    ) -> Result<PeerConnection, DialError> {
        let mut config = self.identity.quic_client_config(Some(peer));
        config.transport_config(Arc::new(self.transport(address.ip())));
        let connecting = self.quic.connect_with(config, address, SERVER_NAME)?;
        let answered = async {
            if is_trial {
                Timer::after(UNHEARD_TIMEOUT).await;
                if !self.addresses.lock().is_heard(canonical(address)) {
                    return None;
                }
            }
            future::pending().await
        };
        let shaken = async { Some(connecting.await) };
        let quic = within(HANDSHAKE_TIMEOUT, future::or(shaken, answered))
            .await
            .flatten()
            .ok_or_else(|| silent(address, DialError::Silent))??;
        if self.is_of_older(&quic) {
            return Err(DialError::Older);
        }
        match peer_of(&quic) {
            Some(found) if found == peer => self.watch(quic, peer).ok_or(DialError::Disbelieved),
            _ => Err(DialError::SomebodyElse),
        }
    }

    /// Waits until `address` may be dialled. `None` where somebody has answered before.
    async fn turn(&self, address: SocketAddr) -> Result<Option<Trial>, DialError> {
        let is_near = self.is_near(address.ip());
        let turn = async {
            loop {
                let turn = self.addresses.lock().ask(address, Instant::now());
                match turn {
                    DialPermit::Free => return Ok(None),
                    DialPermit::Rests(rest) => return Err(DialError::Rests(rest)),
                    DialPermit::Wait => _ = Timer::after(TURN).await,
                    DialPermit::Limited(attempt) => {
                        let addresses = self.addresses.clone();
                        return Ok(Some(Trial {
                            addresses,
                            attempt,
                            is_near,
                            is_answered: false,
                        }));
                    }
                }
            }
        };
        within(HANDSHAKE_TIMEOUT, turn)
            .await
            .unwrap_or(Err(DialError::Silent))
    }

    /// Keeps an eye on a connection that has shaken hands. `None` when the key by which it
    /// did was taken away meanwhile.
    fn watch(&self, quic: quinn::Connection, peer: PeerId) -> Option<PeerConnection> {
        let quic = Arc::new(quic);
        let at = canonical(quic.remote_address());
        self.addresses.lock().handle_proven(at);
        let site = {
            let subnets = self.subnets.read().unwrap_or_else(PoisonError::into_inner);
            Requester::new(peer, at.ip(), &subnets).site
        };
        self.hosts().handle_open(site, &quic);
        self.note_key(&quic, peer);
        // Only now: a key that goes later finds it among the others.
        self.keep_if_believed(&quic)
            .then_some(PeerConnection { quic, peer })
    }

    fn note_key(&self, quic: &quinn::Connection, peer: PeerId) {
        let key = certificates(quic).and_then(|chain| self.identity.key_of(&chain));
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < MAX_KEYS || keys.contains_key(&peer) {
            keys.extend(key.map(|key| (peer, key)));
        }
    }

    /// By which of the keys that are believed now `peer` has connected last, if it has.
    pub fn key_of(&self, peer: PeerId) -> Option<KeyMark> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(&peer).copied();
        key.filter(|key| self.identity.key_marks().contains(key))
    }

    /// Other keys are believed now: ends all connections, of either direction, with peers
    /// whose certificates none of them has signed.
    pub fn handle_keys(&self) {
        self.addresses.lock().handle_change();
        for quic in self.hosts().connections() {
            self.keep_if_believed(&quic);
        }
    }

    /// Makes room for what this node will ask for over a connection; before that there is
    /// room for requests only.
    pub fn expect_answers(&self, connection: &PeerConnection) {
        let window = self.hosts().receive_window(&connection.quic);
        connection.quic.set_receive_window(window);
    }

    fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a connection with the host at `ip` sends.
    fn transport(&self, ip: IpAddr) -> TransportConfig {
        let site = {
            let subnets = self.subnets.read().unwrap_or_else(PoisonError::into_inner);
            HostKey::at(ip, &subnets)
        };
        let mut config = transport();
        let mut hosts = self.hosts();
        config
            .receive_window(VarInt::from_u32(hosts.first_window()))
            .congestion_controller_factory(hosts.controller(site));
        config
    }

    fn keep_if_believed(&self, quic: &quinn::Connection) -> bool {
        let is_believed = certificates(quic).is_some_and(|chain| self.identity.believes(&chain));
        if !is_believed {
            let at = canonical(quic.remote_address());
            log::debug!("the key of the connection with {at} was taken away: it ends");
            quic.close(VarInt::from_u32(CLOSED_KEY), b"your key was taken away");
        }
        is_believed
    }

    /// In a swarm with a key, all addresses; in an open one, near ones.
    fn may_talk_to(&self, ip: IpAddr) -> bool {
        !self.identity.is_open() || self.is_near(ip)
    }

    fn is_near(&self, ip: IpAddr) -> bool {
        let subnets = self.subnets.read().unwrap_or_else(PoisonError::into_inner);
        is_near(ip, &subnets)
    }

    /// Says goodbye to everybody at once and waits until that is sent.
    pub async fn close(&self) {
        self.quic.close(VarInt::from_u32(0), b"leaving");
        within(CLOSE_TIMEOUT, self.quic.wait_idle()).await;
    }
}

/// Why nothing came from `address`: `why`, unless the way there explains it.
fn silent(address: SocketAddr, why: DialError) -> DialError {
    interfaces::narrow_route(address).map_or(why, DialError::Narrow)
}

/// An attempt at an address where nobody has answered yet, which has failed when it is
/// dropped, unless somebody has by then.
struct Trial {
    addresses: Addresses,
    attempt: Attempt,
    is_near: bool,
    /// A node has answered that is no member, or not the one that was looked for.
    is_answered: bool,
}

impl Drop for Trial {
    fn drop(&mut self) {
        let mut addresses = self.addresses.lock();
        let now = Instant::now();
        match self.is_answered {
            true => addresses.handle_refused(self.attempt, self.is_near, now),
            false => addresses.handle_failed(self.attempt, self.is_near, now),
        }
    }
}

/// A peer that wants to connect. Nothing has been kept or computed for it so far.
pub struct Knocking {
    incoming: quinn::Incoming,
    pub address: IpAddr,
    endpoint: Endpoint,
}

impl Knocking {
    /// Whether it has shown that it is at its address, or cannot any more.
    pub fn is_proven(&self) -> bool {
        self.incoming.remote_address_validated() || !self.incoming.may_retry()
    }

    /// Has it knock again with a token that only goes to its address.
    pub fn prove(self) {
        // That it may has been asked.
        let _ = self.incoming.retry();
    }

    pub fn ignore(self) {
        self.incoming.ignore();
    }

    /// Begins the handshake.
    pub fn accept(self) -> Option<Accepting> {
        let endpoint = self.endpoint;
        let transport = endpoint.transport(self.address);
        let mut server = endpoint.server.clone();
        server.transport_config(Arc::new(transport));
        let connecting = self.incoming.accept_with(Arc::new(server)).ok()?;
        Some(Accepting {
            connecting,
            endpoint,
        })
    }
}

/// A connection from outside in its handshake.
pub struct Accepting {
    connecting: quinn::Connecting,
    endpoint: Endpoint,
}

impl Accepting {
    /// Finishes the handshake. `None` when it fails or takes too long.
    pub async fn finish(self) -> Option<PeerConnection> {
        let quic = within(HANDSHAKE_TIMEOUT, self.connecting).await?.ok()?;
        if self.endpoint.is_of_older(&quic) {
            return None;
        }
        let peer = peer_of(&quic)?;
        self.endpoint.watch(quic, peer)
    }
}

impl PeerConnection {
    /// Whether it has ended because a key was taken away, by this side or the other: a
    /// peer that has another one too is as good as before over the next connection.
    pub fn has_lost_its_key(&self) -> bool {
        match self.quic.close_reason() {
            Some(ConnectionError::ApplicationClosed(close)) => {
                close.error_code == VarInt::from_u32(CLOSED_KEY)
            }
            // There are two reasons for which this side does: that, and to make room.
            Some(ConnectionError::LocallyClosed) => true,
            _ => false,
        }
    }

    /// Ends it for want of room.
    pub fn evict(&self) {
        self.quic.close(VarInt::from_u32(CLOSED_FULL), b"full");
    }
}

fn peer_of(connection: &quinn::Connection) -> Option<PeerId> {
    identity::peer_of(&certificates(connection)?)
}

fn certificates(connection: &quinn::Connection) -> Option<Vec<CertificateDer<'static>>> {
    let certificates = connection.peer_identity()?.downcast().ok()?;
    Some(*certificates)
}

fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(LEAST_SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        // Each answer has a priority of its own (see `provide`), so that first asked is
        // first sent. Without "fairness" quinn does not interrupt an answer that it has
        // begun, not even to send again what was lost of one that is before it: on a Wi-Fi
        // with 5 % loss the first group then came last, and sound 0.5 s later (p90).
        .send_fairness(true)
        .initial_rtt(INITIAL_RTT)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_MILLIS))));
    config
}
/// What the kernel keeps until it is read: as much as a peer may have under way. Its own
/// 208 KiB are full after 2 ms of a gigabit, which is less than a busy CPU is away for.
pub const SOCKET_BUFFER: usize = 1 << 20;
/// A LAN answers in milliseconds; a lost first packet costs three initial
/// round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// After its datagrams, an address where nobody has answered yet has as long again.
const UNHEARD_TIMEOUT: Duration = Duration::from_millis(1500);
/// How often is asked whose turn it is: a LAN shakes hands within it.
const TURN: Duration = Duration::from_millis(20);
/// Law of the house: a stop takes at most 2 s in all.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// An idle connection costs nothing without keep-alives, and finding it dead
/// costs a handshake of a few milliseconds.
const IDLE_MILLIS: u32 = 30_000;
/// What a lost first packet is waited for, three times over: 90 ms, which is longer than
/// a LAN takes for an answer, and on one that takes longer costs a datagram in vain.
/// quinn's 333 ms mean a whole second of silence.
const INITIAL_RTT: Duration = Duration::from_millis(30);
/// Connections in their handshake: each costs some kilobytes.
const MAX_INCOMING: usize = 64;
/// What may arrive for a handshake that nobody has looked at yet.
const INCOMING_BUFFER: u64 = 16 * 1024;
const INCOMING_BUFFER_TOTAL: u64 = 512 * 1024;
/// As many peers as a directory has.
const MAX_KEYS: usize = 1024;
/// Why a connection is closed: others need its place.
const CLOSED_FULL: u32 = 1;
/// The same: no key that is believed has signed the other's certificate.
const CLOSED_KEY: u32 = 2;
/// The other end speaks only `p2pmusic/1`, and shows the text that comes with it.
const CLOSED_OLDER: u32 = 3;
/// Older nodes that wait to be told of.
const MAX_OLDER: usize = 16;
const CLOSED_OLDER_TEXT: &[u8] =
    b"a newer p2pmusic runs here, which does not talk to yours; install the newer there";
/// Requests that a peer may have open at once.
const MAX_STREAMS: u32 = 32;
/// What one slice may have under way: a MiB fills 50 Mbit/s at 160 ms.
const STREAM_WINDOW: u32 = 1 << 20;
