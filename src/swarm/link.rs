//! The way to one peer: finds the address that works and keeps the connection.
//!
//! What must hold:
//! - A peer that connects by itself is used at once, also while it is being
//!   dialled: of two that look for each other, one may be reachable from one
//!   side only.
//! - A peer that has moved is dialled where it is now. A connection to where
//!   it is no longer said to be is doubted: it is used only if nothing else
//!   leads to the peer.
//! - A connection that has fallen silent is not waited for: a request for a new one gets
//!   it, dialled beside the old one, whose requests go on. The one that is heard of first
//!   is the link's from then on.
//! - Addresses and connections are states, of which the latest counts; none is
//!   lost because requests have piled up.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use smol::{future, stream::StreamExt, Task, Timer};

use super::{
    endpoint::{Endpoint, PeerConnection},
    provide::{serve, Ask},
};
use crate::id::PeerId;
use crate::util::near::canonical;
use crate::util::work;

/// A handle to the task that owns the connection to one peer. Dropping it ends
/// the task; connections that requests still hold live on until those end.
pub struct PeerLink {
    wants: Sender<WantedConnection>,
    incoming: Sender<PeerConnection>,
    candidates: Sender<Vec<SocketAddr>>,
    _task: Task<()>,
}

/// A way to ask a [`PeerLink`] for its connection from another task.
#[derive(Clone)]
pub struct LinkHandle(Sender<WantedConnection>);

/// Why there is no connection to a peer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoConnection {
    #[error("no address of it is known")]
    NoAddress,
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
}

/// A wish for a connection.
struct WantedConnection {
    /// Not the one that there is.
    renew: bool,
    /// Where the answer goes.
    reply: Sender<Result<PeerConnection, NoConnection>>,
}

impl PeerLink {
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
        let keeper = LinkTask {
            peer,
            candidates,
            endpoint,
            asks,
            connection: None,
            since: Instant::now(),
            is_doubtful: false,
            serving: VecDeque::new(),
            waiting: Vec::new(),
            dialling: None,
            heard_before: None,
        };
        let news = LinkNews {
            wanted,
            arrived,
            moved,
        };
        Self {
            wants,
            incoming,
            candidates: latest,
            _task: work::spawn(keeper.run(news)),
        }
    }

    pub fn handle(&self) -> LinkHandle {
        LinkHandle(self.wants.clone())
    }

    /// Tells the link that the peer has connected by itself.
    pub fn offer(&self, connection: PeerConnection) {
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
    pub async fn connection(&self) -> Result<PeerConnection, NoConnection> {
        self.want(false).await
    }

    /// A connection to the peer that was dialled because the one that there is has fallen
    /// silent; that one all the same if it is younger than [`MIN_AGE`], or if nothing else
    /// leads to the peer.
    ///
    /// # Errors
    /// When none of the peer's addresses leads to it.
    pub async fn renewed(&self) -> Result<PeerConnection, NoConnection> {
        self.want(true).await
    }

    async fn want(&self, renew: bool) -> Result<PeerConnection, NoConnection> {
        let gone = || NoConnection::Unreachable("it is gone".into());
        let (reply, answer) = async_channel::bounded(1);
        let want = WantedConnection { renew, reply };
        self.0.send(want).await.map_err(|_| gone())?;
        answer.recv().await.map_err(|_| gone())?
    }
}

/// What the link's task is told.
struct LinkNews {
    wanted: Receiver<WantedConnection>,
    arrived: Receiver<PeerConnection>,
    moved: Receiver<Vec<SocketAddr>>,
}

enum LinkEvent {
    Wanted(WantedConnection),
    Arrived(PeerConnection),
    Moved(Vec<SocketAddr>),
    Dialled(Result<PeerConnection, NoConnection>),
    /// The link is gone.
    End,
}

/// The state of a link's task.
struct LinkTask {
    peer: PeerId,
    candidates: Vec<SocketAddr>,
    endpoint: Endpoint,
    asks: Sender<Ask>,
    connection: Option<PeerConnection>,
    /// Since when there is this connection.
    since: Instant,
    /// The peer is no longer said to be where the connection leads.
    is_doubtful: bool,
    /// Answer what the peer asks over the connections that were dialled: over
    /// one that is doubted as well, the peer may know of no other.
    serving: VecDeque<Task<()>>,
    /// The requests that wait for a connection, at most [`MAX_WAITING`].
    waiting: Vec<WantedConnection>,
    dialling: Option<Task<Result<PeerConnection, NoConnection>>>,
    /// Datagrams that the connection had brought when its successor was first wanted.
    heard_before: Option<u64>,
}

impl LinkTask {
    async fn run(mut self, news: LinkNews) {
        loop {
            match self.next(&news).await {
                LinkEvent::Wanted(reply) => self.handle_wanted(reply),
                LinkEvent::Arrived(connection) => self.handle_connection(connection),
                LinkEvent::Moved(candidates) => self.handle_moved(candidates),
                LinkEvent::Dialled(outcome) => self.handle_dialled(outcome),
                LinkEvent::End => return,
            }
        }
    }

    async fn next(&mut self, news: &LinkNews) -> LinkEvent {
        let has_room = self.waiting.len() < MAX_WAITING;
        let wanted = async {
            match has_room {
                true => news
                    .wanted
                    .recv()
                    .await
                    .map_or(LinkEvent::End, LinkEvent::Wanted),
                false => future::pending().await,
            }
        };
        let arrived = async {
            news.arrived
                .recv()
                .await
                .map_or(LinkEvent::End, LinkEvent::Arrived)
        };
        let moved = async {
            news.moved
                .recv()
                .await
                .map_or(LinkEvent::End, LinkEvent::Moved)
        };
        let dialled = async {
            match &mut self.dialling {
                Some(dialling) => LinkEvent::Dialled(dialling.await),
                None => future::pending().await,
            }
        };
        future::or(future::or(arrived, moved), future::or(dialled, wanted)).await
    }

    fn handle_wanted(&mut self, want: WantedConnection) {
        let is_old = self.since.elapsed() >= MIN_AGE;
        let is_silent = want.renew && is_old;
        match self.live() {
            Some(connection) if !self.is_doubtful && !is_silent => {
                self.answer(want, Ok(connection))
            }
            live => {
                let heard = live.map(|connection| heard(&connection));
                self.waiting.push(want);
                if self.dialling.is_none() {
                    self.heard_before = heard.filter(|_| is_silent && !self.is_doubtful);
                    self.dial();
                }
            }
        }
    }

    /// A connection to the peer is there, from whichever side.
    fn handle_connection(&mut self, connection: PeerConnection) {
        self.dialling = None;
        self.is_doubtful = false;
        self.since = Instant::now();
        self.connection = Some(connection.clone());
        self.answer_all(&Ok(connection));
    }

    fn answer_all(&mut self, outcome: &Result<PeerConnection, NoConnection>) {
        for want in std::mem::take(&mut self.waiting) {
            self.answer(want, outcome.clone());
        }
    }

    fn answer(&self, want: WantedConnection, connection: Result<PeerConnection, NoConnection>) {
        if let Ok(connection) = &connection {
            self.endpoint.expect_answers(connection);
        }
        // There is room for the one answer; the requester may be gone.
        let _ = want.reply.try_send(connection);
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

    fn handle_dialled(&mut self, outcome: Result<PeerConnection, NoConnection>) {
        self.dialling = None;
        let before = self.heard_before.take();
        match (outcome, self.live()) {
            (Ok(dialled), old) => {
                let at = dialled.quic.remote_address();
                log::debug!("connected to {} at {at}", self.peer);
                self.serve(&dialled);
                let speaks_again = old.zip(before).is_some_and(|(old, n)| heard(&old) > n);
                match speaks_again && !self.is_doubtful {
                    true => self.answer_all(&Ok(dialled)),
                    false => self.handle_connection(dialled),
                }
            }
            (Err(_), Some(doubtful)) => self.handle_connection(doubtful),
            (Err(why), None) => {
                log::debug!("{}: {why}", self.peer);
                self.answer_all(&Err(why));
            }
        }
    }

    fn serve(&mut self, dialled: &PeerConnection) {
        self.serving.retain(|serving| !serving.is_finished());
        if self.serving.len() >= MAX_SERVED {
            self.serving.pop_front();
        }
        let serving = work::spawn(serve(dialled.clone(), self.asks.clone()));
        self.serving.push_back(serving);
    }

    fn live(&mut self) -> Option<PeerConnection> {
        self.connection.take_if(|c| c.quic.close_reason().is_some());
        self.connection.clone()
    }

    /// Dials where the peer is now; an attempt at where it was is given up.
    fn dial(&mut self) {
        log::trace!("dialling {}", self.peer);
        let (endpoint, peer) = (self.endpoint.clone(), self.peer);
        let candidates = self.candidates.clone();
        self.dialling = Some(work::spawn(async move {
            dial_any(&endpoint, peer, &candidates).await
        }));
    }
}

/// Datagrams that came over a connection so far.
fn heard(connection: &PeerConnection) -> u64 {
    connection.quic.stats().udp_rx.datagrams
}

/// Dials all candidates side by side, each [`STAGGER`] after the one before;
/// the first that leads to the peer wins and the others are dropped.
async fn dial_any(
    endpoint: &Endpoint,
    peer: PeerId,
    candidates: &[SocketAddr],
) -> Result<PeerConnection, NoConnection> {
    if candidates.is_empty() {
        return Err(NoConnection::NoAddress);
    }
    let (results, arrivals) = async_channel::bounded(candidates.len());
    let attempts: Vec<Task<()>> = (0u32..)
        .zip(candidates)
        .map(|(n, &address)| {
            let (endpoint, results) = (endpoint.clone(), results.clone());
            work::spawn(async move {
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
/// A connection is not renewed before: each costs the peer a handshake and one of the few
/// places that it has for connections of one peer, and the scheduler may ask for a new one
/// with every request that is late.
const MIN_AGE: Duration = Duration::from_secs(1);
/// Requests that wait for one connection, and as many before it takes them.
const MAX_WAITING: usize = 64;
/// Connections to one peer that are served; those that are dead end by
/// themselves within 30 s.
const MAX_SERVED: usize = 4;

#[cfg(test)]
mod tests;
