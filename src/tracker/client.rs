//! A peer's end of the connections to its trackers: carries out what the
//! [`Links`] decide.
//!
//! One task owns the links and at most one connection of each; dropping [`run`]'s
//! future ends all. While the node does not take its events, nothing more is
//! read from the tracker, but the lease is renewed.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use futures_rustls::TlsConnector;
use rustls::{
    pki_types::{CertificateDer, ServerName},
    CertificateError,
};
use smol::{
    future::{self, FutureExt},
    io::AsyncWriteExt,
    Async, Executor, Task, Timer,
};

use super::{
    link::{Introduction, LinkCommand, TrackerEvent},
    links::{LinkId, Links, LinksAction},
};
use crate::{
    identity::{peer_of, Identity, SERVER_NAME},
    interfaces,
    protocol::{
        encode_frame, is_older, read_frame, FrameError, FromTracker, ToTracker, DEFAULT_PORT,
        MAX_TRACKER_FRAME, OLDER,
    },
    util::{few::Few, near::is_near, within::io_within},
};

/// Keeps the node registered until it leaves or `commands` is closed; `seed`
/// spreads the attempts of many peers.
///
/// Both channels should be short: the events of a swarm come in bursts that
/// the node takes as it can.
pub async fn run(
    identity: Identity,
    introduction: Introduction,
    seed: u64,
    commands: Receiver<LinkCommand>,
    events: Sender<TrackerEvent>,
) {
    let executor = Executor::new();
    let (arrived, arrivals) = async_channel::bounded(ARRIVALS);
    let mut driver = ClientDriver {
        links: Links::new(identity.peer_id(), introduction, seed),
        identity,
        connections: Few::default(),
        last: 0,
        arrived,
        arrivals,
        untold: VecDeque::new(),
        commands,
        events,
        executor: &executor,
    };
    executor.run(driver.run()).await;
}

/// What wakes the links.
enum ClientWake {
    Command(LinkCommand),
    /// Of the connection with this number.
    Arrival(u64, TrackerInput),
    Told,
    Timer,
    /// The node has gone.
    End,
}

/// What comes from a connection's task, in this order.
enum TrackerInput {
    /// Where it was reached, and what it has shown.
    Connected(IpAddr, TrackerChain),
    Message(FromTracker),
    /// A message of this kind, which only a later version knows.
    Unknown(i64),
    Closed(String),
}

struct ClientDriver<'a> {
    links: Links,
    identity: Identity,
    connections: Few<LinkId, TrackerConnection>,
    /// The number of the last connection.
    last: u64,
    /// What comes from all connections. What one that has ended left there counts no more.
    arrived: Sender<(u64, TrackerInput)>,
    arrivals: Receiver<(u64, TrackerInput)>,
    /// Events that the node has not taken yet.
    untold: VecDeque<TrackerEvent>,
    commands: Receiver<LinkCommand>,
    events: Sender<TrackerEvent>,
    executor: &'a Executor<'static>,
}

/// What the tracker has shown of itself.
type TrackerChain = Vec<CertificateDer<'static>>;

struct TrackerConnection {
    number: u64,
    /// Empty until hands have been shaken.
    chain: TrackerChain,
    outbox: Sender<Vec<u8>>,
    _task: Task<()>,
}

impl ClientDriver<'_> {
    async fn run(&mut self) {
        loop {
            let wake = self.wait().await;
            let now = Instant::now();
            match wake {
                ClientWake::Command(command) => {
                    self.links.handle_command(command, now);
                    self.end_disbelieved(now);
                }
                ClientWake::Arrival(number, arrival) => self.handle_arrival(number, arrival, now),
                ClientWake::Told => drop(self.untold.pop_front()),
                ClientWake::Timer => {}
                ClientWake::End => return,
            }
            if self.links.poll_timeout().is_some_and(|due| due <= now) {
                self.links.handle_timeout(now);
            }
            self.perform(now);
        }
    }

    fn handle_arrival(&mut self, number: u64, arrival: TrackerInput, now: Instant) {
        let Some(link) = self.link_of(number) else {
            return;
        };
        match arrival {
            TrackerInput::Connected(reached_at, chain) => {
                let tracker = peer_of(&chain);
                if let Some(connection) = self.connections.get_mut(link) {
                    connection.chain = chain;
                }
                let candidates = match self.links.bound() {
                    Some(ip) if ip.is_loopback() => Vec::new(),
                    Some(ip) => vec![ip],
                    None => interfaces::own_candidates(),
                };
                let there = (tracker, reached_at);
                self.links.handle_connected(link, there, candidates, now);
                // Its key may have been taken away since it was shown.
                self.end_disbelieved(now);
            }
            TrackerInput::Message(message) => self.links.handle_message(link, message, now),
            TrackerInput::Unknown(kind) => self.links.handle_unknown(link, kind, now),
            TrackerInput::Closed(why) => {
                self.connections.remove(link);
                self.links.handle_closed(link, why, now);
            }
        }
    }

    /// The link that has this connection.
    fn link_of(&self, number: u64) -> Option<LinkId> {
        let mut connections = self.connections.iter();
        let found = connections.find(|(_, c)| c.number == number);
        found.map(|(link, _)| link)
    }

    /// Ends the connections with trackers whose keys were taken away.
    fn end_disbelieved(&mut self, now: Instant) {
        let identity = &self.identity;
        let is_out = |c: &TrackerConnection| !c.chain.is_empty() && !identity.believes(&c.chain);
        let out = self.connections.iter().filter(|(_, c)| is_out(c));
        for link in out.map(|(link, _)| link).collect::<Vec<_>>() {
            self.connections.remove(link);
            self.links.handle_closed(link, KEY_TAKEN_AWAY.into(), now);
        }
    }

    async fn wait(&self) -> ClientWake {
        let command = async {
            let command = self.commands.recv().await;
            command.map_or(ClientWake::End, ClientWake::Command)
        };
        let told = async {
            match self.untold.front() {
                Some(event) => match self.events.send(event.clone()).await {
                    Ok(()) => ClientWake::Told,
                    Err(_) => ClientWake::End,
                },
                None => future::pending().await,
            }
        };
        let arrival = async {
            if !self.untold.is_empty() {
                return future::pending().await;
            }
            match self.arrivals.recv().await {
                Ok((number, arrival)) => ClientWake::Arrival(number, arrival),
                // It holds a sender of its own.
                Err(_) => ClientWake::End,
            }
        };
        let timer = async {
            match self.links.poll_timeout() {
                Some(due) => Timer::at(due).await,
                None => future::pending().await,
            };
            ClientWake::Timer
        };
        command.race(told).race(arrival).race(timer).await
    }

    fn perform(&mut self, now: Instant) {
        while let Some(action) = self.links.poll() {
            match action {
                LinksAction::Connect { link, to } => self.connect(link, to),
                LinksAction::Send { link, message } => self.send(link, &message, now),
                LinksAction::Disconnect { link } => drop(self.connections.remove(link)),
                LinksAction::Tell(event) => self.untold.push_back(event),
            }
        }
    }

    fn connect(&mut self, link: LinkId, to: String) {
        let (outbox, frames) = async_channel::bounded(OUTBOX_FRAMES);
        let (identity, arrived) = (self.identity.clone(), self.arrived.clone());
        self.last += 1;
        let number = self.last;
        let live = async move {
            let end = converse(&to, &identity, (number, &arrived), frames).await;
            let why = end.map_or_else(|error| in_words(&error), |()| "closed".into());
            // A link that has disconnected does not listen any more.
            let _ = arrived.send((number, TrackerInput::Closed(why))).await;
        };
        let task = self.executor.spawn(live.boxed());
        let connection = TrackerConnection {
            number,
            chain: TrackerChain::new(),
            outbox,
            _task: task,
        };
        self.connections.insert(link, connection);
    }

    fn send(&mut self, link: LinkId, message: &ToTracker, now: Instant) {
        let Some(connection) = self.connections.get(link) else {
            return;
        };
        if connection.outbox.try_send(encode_frame(message)).is_err() {
            self.connections.remove(link);
            self.links
                .handle_closed(link, "it does not read".into(), now);
        }
    }
}

/// One connection's whole life.
async fn converse(
    to: &str,
    identity: &Identity,
    (number, arrived): (u64, &Sender<(u64, TrackerInput)>),
    frames: Receiver<Vec<u8>>,
) -> io::Result<()> {
    let stream = connect(to, identity.is_open()).await?;
    let reached_at = stream.get_ref().peer_addr()?.ip().to_canonical();
    stream.get_ref().set_nodelay(true)?;
    let connector = TlsConnector::from(identity.tls_client_config(None));
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    let stream = io_within(HANDSHAKE_TIMEOUT, connector.connect(name, stream))
        .await
        .map_err(explain_handshake)?;
    if is_older(stream.get_ref().1.alpn_protocol()) {
        return Err(io::Error::other(OLDER));
    }
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain = shown.iter().cloned().map(CertificateDer::into_owned);
    let chain = chain.collect();
    let (mut from, mut into) = smol::io::split(stream);
    let read = async {
        let mut next = TrackerInput::Connected(reached_at, chain);
        while arrived.send((number, next)).await.is_ok() {
            next = match read_frame(&mut from, MAX_TRACKER_FRAME).await {
                Ok(message) => TrackerInput::Message(message),
                Err(FrameError::Unsupported(kind)) => TrackerInput::Unknown(kind),
                Err(error) => return Err(io::Error::other(error)),
            };
        }
        Ok(())
    };
    let write = async {
        while let Ok(frame) = frames.recv().await {
            into.write_all(&frame).await?;
            into.flush().await?;
        }
        into.close().await
    };
    read.or(write).await
}

/// Says in words what a certificate of another key means.
fn explain_handshake(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|e| e.downcast_ref());
    match cause {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            io::Error::other(
                "it belongs to a swarm with another key; `swarm.key_file` must be the same on both",
            )
        }
        _ => error,
    }
}

/// Why a connection ended. Of one that ends in the midst TLS has more to say than a person
/// wants to read.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it has ended the connection".into(),
        _ => error.to_string(),
    }
}

/// Tries each address of the host's name.
async fn connect(to: &str, only_near: bool) -> io::Result<Async<TcpStream>> {
    let resolved = io_within(RESOLVE_TIMEOUT, smol::net::resolve(with_port(to))).await?;
    let subnets = interfaces::subnets();
    let (near, far): (Vec<SocketAddr>, Vec<_>) = resolved
        .into_iter()
        .partition(|address| !only_near || is_near(address.ip(), &subnets));
    let mut last = match far.first() {
        Some(far) => io::Error::other(format!(
            "{far} is not in this network, and a swarm without a key does not leave it"
        )),
        None => io::Error::other("its name has no address"),
    };
    for address in near.into_iter().take(MAX_ADDRESSES) {
        match io_within(CONNECT_TIMEOUT, Async::<TcpStream>::connect(address)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

/// `to` with the default port where it has none. IPv6 addresses with a port
/// are in brackets.
fn with_port(to: &str) -> String {
    let bare = to.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("[{bare}]:{DEFAULT_PORT}");
    }
    match to.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => to.into(),
        _ => format!("{to}:{DEFAULT_PORT}"),
    }
}

/// What becomes of a tracker whose certificate is by a key that is believed no more.
const KEY_TAKEN_AWAY: &str = "it shows a key that was taken away (`swarm.key_file`)";
/// Messages that wait for the node; TCP holds back the rest.
const ARRIVALS: usize = 4;
/// Pages and answers to pings that wait for TCP: the tracker asks for four
/// pages at a time, the node for as many as it likes.
const OUTBOX_FRAMES: usize = 64;
/// Of one host name.
const MAX_ADDRESSES: usize = 8;
/// A home's resolver answers within this or not at all.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// One SYN that is lost is sent again after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// As the server's.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_added_where_there_is_none() {
        for (to, expected) in [
            ("attic", "attic:4670"),
            ("attic:99", "attic:99"),
            ("10.0.0.1", "10.0.0.1:4670"),
            ("10.0.0.1:99", "10.0.0.1:99"),
            ("fd00::1", "[fd00::1]:4670"),
            ("[fd00::1]", "[fd00::1]:4670"),
            ("[fd00::1]:99", "[fd00::1]:99"),
        ] {
            assert_eq!(with_port(to), expected);
        }
    }
}
