//! The way to one peer: finds the address that works and keeps the connection.

use std::{net::SocketAddr, time::Duration};

use async_channel::{Receiver, Sender};
use smol::{stream::StreamExt, Task, Timer};

use super::{
    endpoint::{Connection, Endpoint},
    provide::{serve, Ask},
};
use crate::id::PeerId;

/// A handle to the task that owns the connection to one peer. Dropping it ends
/// the task; connections that requests still hold live on until those end.
pub struct Link {
    to: Sender<Message>,
    _task: Task<()>,
}

/// A way to ask a [`Link`] for its connection from another task.
#[derive(Clone)]
pub struct LinkHandle(Sender<Message>);

/// Why there is no connection to a peer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoConnection {
    #[error("no address of it is known")]
    NoAddress,
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
}

enum Message {
    Want(Sender<Result<Connection, NoConnection>>),
    Incoming(Connection),
    Candidates(Vec<SocketAddr>),
}

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
        let (to, from) = async_channel::bounded(MAX_WAITING);
        let keeper = Keeper {
            peer,
            candidates,
            endpoint,
            asks,
            connection: None,
            serving: None,
        };
        Self {
            to,
            _task: smol::spawn(keeper.run(from)),
        }
    }

    pub fn handle(&self) -> LinkHandle {
        LinkHandle(self.to.clone())
    }

    /// Tells the link that the peer has connected by itself.
    pub fn offer(&self, connection: Connection) {
        // A link that is so busy that this is lost has a connection anyway.
        let _ = self.to.try_send(Message::Incoming(connection));
    }

    /// Replaces the addresses to dial.
    pub fn set_candidates(&self, candidates: Vec<SocketAddr>) {
        let _ = self.to.try_send(Message::Candidates(candidates));
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
        self.0
            .send(Message::Want(reply))
            .await
            .map_err(|_| gone())?;
        answer.recv().await.map_err(|_| gone())?
    }
}

/// The state of a link's task.
struct Keeper {
    peer: PeerId,
    candidates: Vec<SocketAddr>,
    endpoint: Endpoint,
    asks: Sender<Ask>,
    connection: Option<Connection>,
    /// Answers what the peer asks over the connection that was dialled.
    serving: Option<Task<()>>,
}

impl Keeper {
    async fn run(mut self, from: Receiver<Message>) {
        while let Ok(message) = from.recv().await {
            match message {
                Message::Incoming(connection) => self.connection = Some(connection),
                Message::Candidates(candidates) => self.candidates = candidates,
                Message::Want(reply) => {
                    let connection = self.connection().await;
                    let _ = reply.try_send(connection);
                }
            }
        }
    }

    async fn connection(&mut self) -> Result<Connection, NoConnection> {
        if let Some(live) = self.connection.take_if(|c| c.quic.close_reason().is_none()) {
            live.expect_answers();
            self.connection = Some(live.clone());
            return Ok(live);
        }
        log::trace!("dialling {}", self.peer);
        let dialled = dial_any(&self.endpoint, self.peer, &self.candidates).await?;
        let at = dialled.quic.remote_address();
        log::debug!("connected to {} at {at}", self.peer);
        self.connection = Some(dialled.clone());
        self.serving = Some(smol::spawn(serve(dialled.clone(), self.asks.clone())));
        Ok(dialled)
    }
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
/// Requests that wait for one connection.
const MAX_WAITING: usize = 64;
