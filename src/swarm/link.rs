//! The way to one peer: finds the address that works and keeps the connection.
//!
//! What must hold:
//! - A peer that connects by itself is used at once, also while it is being
//!   dialled: of two that look for each other, one may be reachable from one
//!   side only.
//! - A peer that has moved is dialled where it is now. A connection to where
//!   it is no longer said to be is doubted: it is used only if nothing else
//!   leads to the peer.
//! - Addresses and connections are states, of which the latest counts; none is
//!   lost because requests have piled up.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use async_channel::{Receiver, Sender};
use smol::{future, stream::StreamExt, Task, Timer};

use super::{
    endpoint::{canonical, Connection, Endpoint},
    provide::{serve, Ask},
};
use crate::id::PeerId;

/// A handle to the task that owns the connection to one peer. Dropping it ends
/// the task; connections that requests still hold live on until those end.
pub struct Link {
    wants: Sender<Want>,
    incoming: Sender<Connection>,
    candidates: Sender<Vec<SocketAddr>>,
    _task: Task<()>,
}

/// A way to ask a [`Link`] for its connection from another task.
#[derive(Clone)]
pub struct LinkHandle(Sender<Want>);

/// Why there is no connection to a peer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoConnection {
    #[error("no address of it is known")]
    NoAddress,
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
}

/// Where the answer goes.
type Want = Sender<Result<Connection, NoConnection>>;

impl Link {
    /// A link to `peer`, which may answer at `candidates`, the likeliest
    /// first.
    ///
    /// What the peer asks over a connection that was dialled goes to `asks`.
    pub fn new(
        peer: PeerId,
        candidates: Vec<SocketAddr>,
        endpoint: Endpoint,
        asks: Sender<Ask>,
    ) -> Self {
        let (wants, wanted) = async_channel::bounded(MAX_WAITING);
        let (incoming, arrived) = async_channel::bounded(1);
        let (latest, moved) = async_channel::bounded(1);
        let keeper = Keeper {
            peer,
            candidates,
            endpoint,
            asks,
            connection: None,
            is_doubtful: false,
            serving: VecDeque::new(),
            waiting: Vec::new(),
            dialling: None,
        };
        let news = News {
            wanted,
            arrived,
            moved,
        };
        Self {
            wants,
            incoming,
            candidates: latest,
            _task: smol::spawn(keeper.run(news)),
        }
    }

    pub fn handle(&self) -> LinkHandle {
        LinkHandle(self.wants.clone())
    }

    /// Tells the link that the peer has connected by itself.
    pub fn offer(&self, connection: Connection) {
        // An older one that the link has not seen yet is not worth seeing.
        let _ = self.incoming.force_send(connection);
    }

    /// Replaces the addresses to dial.
    pub fn set_candidates(&self, candidates: Vec<SocketAddr>) {
        let _ = self.candidates.force_send(candidates);
    }
}

impl LinkHandle {
    /// A connection to the peer, dialled if need be.
    ///
    /// # Errors
    /// When none of the peer's addresses leads to it.
    pub async fn connection(&self) -> Result<Connection, NoConnection> {
        let gone = || NoConnection::Unreachable("it is gone".into());
        let (reply, answer) = async_channel::bounded(1);
        self.0.send(reply).await.map_err(|_| gone())?;
        answer.recv().await.map_err(|_| gone())?
    }
}

/// What the link's task is told.
struct News {
    wanted: Receiver<Want>,
    arrived: Receiver<Connection>,
    moved: Receiver<Vec<SocketAddr>>,
}

enum Event {
    Wanted(Want),
    Arrived(Connection),
    Moved(Vec<SocketAddr>),
    Dialled(Result<Connection, NoConnection>),
    /// The link is gone.
    End,
}

/// The state of a link's task.
struct Keeper {
    peer: PeerId,
    candidates: Vec<SocketAddr>,
    endpoint: Endpoint,
    asks: Sender<Ask>,
    connection: Option<Connection>,
    /// The peer is no longer said to be where the connection leads.
    is_doubtful: bool,
    /// Answer what the peer asks over the connections that were dialled: over
    /// one that is doubted as well, the peer may know of no other.
    serving: VecDeque<Task<()>>,
    /// Those who wait for a connection, at most [`MAX_WAITING`].
    waiting: Vec<Want>,
    dialling: Option<Task<Result<Connection, NoConnection>>>,
}

impl Keeper {
    async fn run(mut self, news: News) {
        loop {
            match self.next(&news).await {
                Event::Wanted(reply) => self.handle_wanted(reply),
                Event::Arrived(connection) => self.handle_connection(connection),
                Event::Moved(candidates) => self.handle_moved(candidates),
                Event::Dialled(outcome) => self.handle_dialled(outcome),
                Event::End => return,
            }
        }
    }

    async fn next(&mut self, news: &News) -> Event {
        let has_room = self.waiting.len() < MAX_WAITING;
        let wanted = async {
            match has_room {
                true => news.wanted.recv().await.map_or(Event::End, Event::Wanted),
                false => future::pending().await,
            }
        };
        let arrived = async { news.arrived.recv().await.map_or(Event::End, Event::Arrived) };
        let moved = async { news.moved.recv().await.map_or(Event::End, Event::Moved) };
        let dialled = async {
            match &mut self.dialling {
                Some(dialling) => Event::Dialled(dialling.await),
                None => future::pending().await,
            }
        };
        future::or(future::or(arrived, moved), future::or(dialled, wanted)).await
    }

    fn handle_wanted(&mut self, reply: Want) {
        match self.live().filter(|_| !self.is_doubtful) {
            Some(connection) => answer(reply, Ok(connection)),
            None => {
                self.waiting.push(reply);
                if self.dialling.is_none() {
                    self.dial();
                }
            }
        }
    }

    /// A connection to the peer is there, from whichever side.
    fn handle_connection(&mut self, connection: Connection) {
        self.dialling = None;
        self.is_doubtful = false;
        self.connection = Some(connection.clone());
        for reply in std::mem::take(&mut self.waiting) {
            answer(reply, Ok(connection.clone()));
        }
    }

    fn handle_moved(&mut self, candidates: Vec<SocketAddr>) {
        if self.candidates == candidates {
            return;
        }
        self.candidates = candidates;
        if let Some(live) = self.live() {
            let at = canonical(live.quic.remote_address());
            let is_there = self.candidates.iter().any(|c| canonical(*c) == at);
            self.is_doubtful = !is_there;
        }
        if self.dialling.is_some() {
            self.dial();
        }
    }

    fn handle_dialled(&mut self, outcome: Result<Connection, NoConnection>) {
        self.dialling = None;
        match (outcome, self.live()) {
            (Ok(dialled), _) => {
                let at = dialled.quic.remote_address();
                log::debug!("connected to {} at {at}", self.peer);
                self.serve(&dialled);
                self.handle_connection(dialled);
            }
            (Err(_), Some(doubtful)) => self.handle_connection(doubtful),
            (Err(why), None) => {
                for reply in std::mem::take(&mut self.waiting) {
                    answer(reply, Err(why.clone()));
                }
            }
        }
    }

    fn serve(&mut self, dialled: &Connection) {
        self.serving.retain(|serving| !serving.is_finished());
        if self.serving.len() >= MAX_SERVED {
            self.serving.pop_front();
        }
        let serving = smol::spawn(serve(dialled.clone(), self.asks.clone()));
        self.serving.push_back(serving);
    }

    fn live(&mut self) -> Option<Connection> {
        self.connection.take_if(|c| c.quic.close_reason().is_some());
        self.connection.clone()
    }

    /// Dials where the peer is now; an attempt at where it was is given up.
    fn dial(&mut self) {
        log::trace!("dialling {}", self.peer);
        let (endpoint, peer) = (self.endpoint.clone(), self.peer);
        let candidates = self.candidates.clone();
        self.dialling = Some(smol::spawn(async move {
            dial_any(&endpoint, peer, &candidates).await
        }));
    }
}

fn answer(reply: Want, connection: Result<Connection, NoConnection>) {
    if let Ok(connection) = &connection {
        connection.expect_answers();
    }
    // There is room for the one answer; who asked may be gone.
    let _ = reply.try_send(connection);
}

/// Dials all candidates side by side, each [`STAGGER`] after the one before;
/// the first that leads to the peer wins and the others are dropped.
async fn dial_any(
    endpoint: &Endpoint,
    peer: PeerId,
    candidates: &[SocketAddr],
) -> Result<Connection, NoConnection> {
    if candidates.is_empty() {
        return Err(NoConnection::NoAddress);
    }
    let (results, arrivals) = async_channel::bounded(candidates.len());
    let attempts: Vec<Task<()>> = (0u32..)
        .zip(candidates)
        .map(|(n, &address)| {
            let (endpoint, results) = (endpoint.clone(), results.clone());
            smol::spawn(async move {
                Timer::after(STAGGER * n).await;
                let result = endpoint.dial(peer, address).await;
                let _ = results.send((address, result)).await;
            })
        })
        .collect();
    drop(results);
    let mut why = Vec::new();
    let mut arrivals = std::pin::pin!(arrivals);
    while let Some((address, result)) = arrivals.next().await {
        match result {
            Ok(connection) => return Ok(connection),
            Err(e) => why.push(format!("{address}: {e}")),
        }
    }
    drop(attempts);
    Err(NoConnection::Unreachable(why.join("; ")))
}

/// How long a candidate has before the next one is tried beside it: a LAN
/// answers within it, so that the best candidate usually stays alone.
const STAGGER: Duration = Duration::from_millis(50);
/// Requests that wait for one connection, and as many before it takes them.
const MAX_WAITING: usize = 64;
/// Connections to one peer that are served; those that are dead end by
/// themselves within 30 s.
const MAX_SERVED: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Identity, SwarmKey};

    fn endpoint(n: u8) -> (Endpoint, PeerId) {
        let identity = Identity::from_secret(&[n; 32], &[SwarmKey::OPEN]).unwrap();
        let peer = identity.peer_id();
        let here = "127.0.0.1:0".parse().unwrap();
        let endpoint = Endpoint::bind(here, identity, Vec::new()).unwrap();
        (endpoint, peer)
    }

    /// Takes connections, and gives them.
    fn listen(endpoint: &Endpoint) -> (Receiver<Connection>, Task<()>) {
        let (to, taken) = async_channel::bounded(8);
        let endpoint = endpoint.clone();
        let task = smol::spawn(async move {
            while let Some(accepting) = endpoint.accept().await {
                let accepting = accepting.accept().expect("it is one of ours");
                if let Some(connection) = accepting.finish().await {
                    let _ = to.send(connection).await;
                }
            }
        });
        (taken, task)
    }

    /// Somewhere on this machine where nobody answers, and nobody says so.
    fn silence() -> (std::net::UdpSocket, SocketAddr) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        (socket, at)
    }

    fn link(to: PeerId, from: &Endpoint, at: SocketAddr) -> Link {
        let (asks, _) = async_channel::bounded(1);
        Link::new(to, vec![at], from.clone(), asks)
    }

    #[test]
    fn a_peer_that_connects_by_itself_ends_the_dialling() {
        smol::block_on(async {
            let ((a, a_id), (b, b_id)) = (endpoint(1), endpoint(2));
            let (at_a, _listening) = listen(&a);
            let (_nobody, dead) = silence();
            let link = link(b_id, &a, dead);
            let handle = link.handle();
            let wanted = handle.connection();
            let comes = async {
                let _kept = b.dial(a_id, a.local_addr().unwrap()).await.unwrap();
                link.offer(at_a.recv().await.unwrap());
                future::pending::<()>().await;
                unreachable!()
            };
            let connection = future::or(wanted, comes).await.unwrap();
            assert_eq!(connection.peer, b_id);
        });
    }

    #[test]
    fn a_peer_that_moves_is_dialled_where_it_is_now() {
        smol::block_on(async {
            let ((a, _), (b, b_id)) = (endpoint(1), endpoint(2));
            let (_at_b, _listening) = listen(&b);
            let (_nobody, dead) = silence();
            let link = link(b_id, &a, dead);
            let handle = link.handle();
            let moves = async {
                smol::future::yield_now().await;
                link.set_candidates(vec![b.local_addr().unwrap()]);
                future::pending::<()>().await;
                unreachable!()
            };
            let connection = future::or(handle.connection(), moves).await.unwrap();
            assert_eq!(connection.peer, b_id);
        });
    }

    #[test]
    fn a_connection_to_where_it_was_is_used_only_if_nothing_else_leads_there() {
        smol::block_on(async {
            let ((a, _), (b, b_id)) = (endpoint(1), endpoint(2));
            let (_at_b, _listening) = listen(&b);
            let link = link(b_id, &a, b.local_addr().unwrap());
            let handle = link.handle();
            let first = handle.connection().await.unwrap();
            let again = handle.connection().await.unwrap();
            assert_eq!(first.quic.stable_id(), again.quic.stable_id());
            // Nobody is there at all: the connection is what is left.
            link.set_candidates(Vec::new());
            let kept = handle.connection().await.unwrap();
            assert_eq!(first.quic.stable_id(), kept.quic.stable_id());
        });
    }
}
