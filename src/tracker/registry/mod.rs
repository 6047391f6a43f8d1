//! What a tracker decides.
//!
//! # What must hold
//! - Nobody is listed twice, and no name either.
//! - A peer that is silent for longer than its lease is in nobody's view any more. A
//!   lost connection makes a peer suspect at once and gone when its lease
//!   ends, unless it comes back before; one that leaves is gone at once.
//! - A name is kept for the node that had it, here or away, as [`crate::tenure`] says.
//! - A peer is here already only if its connection answers a probe. One that does not
//!   is thrown out, so a speaker that lost its power never stands in the way of its own
//!   return.
//! - A head is announced once all its pages are here.
//! - What many must hear costs nothing for those that do not listen: changes are
//!   told in bulletins, [`TELL_INTERVAL`] apart, to each that has room for one.
//! - A peer that breaks the protocol loses its connection, and no other
//!   notices.
//!
//! # What it does not do
//! It opens no connection and trusts no peer about another: every peer
//! speaks for itself, and the certificate says which it is.

mod addresses;
mod claims;
mod news;
mod relay;
mod state;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::IpAddr,
    time::{Duration, Instant},
};

pub use self::news::{Bulletin, NewsPosition};
use self::{
    news::MemberNews,
    relay::{Relay, RelayProgress},
    state::{keys_where, ConnectionStage, Heads, RegisteredConnection, RegisteredMember},
};
use crate::{
    catalog::{MemoryQuota, Want},
    id::PeerId,
    protocol::{FromTracker, PeerRecord, Refusal, Registered, Registration, ToTracker},
    tenure::{TenureRecord, Tenures, MAX_AWAY},
    util::near::Subnet,
};

/// A connection, as the server counts them; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What the registry wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryAction {
    Send {
        conn: ConnId,
        message: FromTracker,
    },
    /// There is news: tell each of [`Registry::behind`] that has room for it its
    /// bulletin, and say so by [`Registry::handle_told`]. One that has no room
    /// is told after the next one.
    Tell,
    /// Close it once what was sent before is out. The registry has forgotten
    /// it already.
    Close {
        conn: ConnId,
        why: Dropped,
    },
}

/// Why the registry gives up a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    #[error("it broke the protocol: {0}")]
    Broke(#[from] Breach),
    #[error("it never registered")]
    NeverRegistered,
    #[error("it was refused")]
    Refused,
    #[error("it left")]
    Left,
    #[error("its lease ended")]
    Expired,
    #[error("another wanted its place, and it did not answer")]
    Unresponsive,
    #[error("it is too far behind")]
    Behind,
    #[error("no key that is believed has signed its certificate")]
    Disbelieved,
}

/// What a peer did that the protocol forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Breach(pub &'static str);

/// The tracker's state, for a person who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub peers: Vec<PeerRecord>,
    /// Bytes of catalogue pages that are kept.
    pub catalogue_bytes: usize,
    /// What a person must know of it.
    pub problems: Vec<String>,
}

/// The peers that are here, and what they have.
pub struct Registry {
    /// Those of the tracker's own host.
    own_addresses: Vec<IpAddr>,
    /// The networks that it is on.
    subnets: Vec<Subnet>,
    connections: BTreeMap<ConnId, RegisteredConnection>,
    members: BTreeMap<PeerId, RegisteredMember>,
    tenures: Tenures,
    relay: Relay,
    news: MemberNews,
    /// When the next bulletin is due, if anybody has not heard all.
    tell: Option<Instant>,
    /// No deadline is before this; found anew when it has come.
    due: Option<Instant>,
    last_nonce: u64,
    actions: VecDeque<RegistryAction>,
}

impl Registry {
    /// An empty registry on a host with these addresses, which has so much room for
    /// catalogues.
    pub fn new(own_addresses: Vec<IpAddr>, quota: MemoryQuota) -> Self {
        Self {
            own_addresses,
            subnets: Vec::new(),
            connections: BTreeMap::new(),
            members: BTreeMap::new(),
            tenures: Tenures::new(MAX_AWAY),
            relay: Relay::new(quota),
            news: MemberNews::default(),
            tell: None,
            due: None,
            last_nonce: 0,
            actions: VecDeque::new(),
        }
    }

    /// Names are kept as was written down before.
    pub fn recall_names(&mut self, records: &[TenureRecord], now: Instant) {
        self.tenures.recall(records, now);
    }

    /// What is to be written down of names.
    pub fn names(&mut self, now: Instant) -> Vec<TenureRecord> {
        self.tenures.forget(now);
        self.tenures.records(now)
    }

    /// Whether a name is another's than when that was asked last.
    pub fn take_new_names(&mut self) -> bool {
        self.tenures.take_change()
    }

    /// The host has these addresses, and is on these networks, now.
    pub fn set_network(&mut self, addresses: Vec<IpAddr>, subnets: Vec<Subnet>) {
        (self.own_addresses, self.subnets) = (addresses, subnets);
    }

    /// `peer` has shown its certificate on a new connection.
    pub fn handle_connected(&mut self, conn: ConnId, peer: PeerId, from: IpAddr, now: Instant) {
        let connection = RegisteredConnection {
            peer,
            address: from.to_canonical(),
            stage: ConnectionStage::Silent {
                until: now + REGISTER_TIMEOUT,
            },
            told: NewsPosition::default(),
        };
        self.connections.insert(conn, connection);
        self.wake_by(now + REGISTER_TIMEOUT);
    }

    /// The connection is lost, or the other side closed it.
    pub fn handle_closed(&mut self, conn: ConnId, now: Instant) {
        if let Some(RegisteredConnection { peer, .. }) = self.connections.remove(&conn) {
            self.handle_lost_member(peer, conn, now);
        }
    }

    /// The key by which the other side of `conn` is a member was taken away. One that has
    /// another is back within [`RETURN_TIME`], and nobody need miss it until then.
    pub fn handle_disbelieved(&mut self, conn: ConnId, now: Instant) {
        let Some(peer) = self.connections.get(&conn).map(|c| c.peer) else {
            return;
        };
        self.close(conn, Dropped::Disbelieved);
        let member = self.members.get_mut(&peer);
        if let Some(member) = member.filter(|member| member.conn == Some(conn)) {
            member.lease_end = member.lease_end.min(now + RETURN_TIME);
            self.wake_by(now + RETURN_TIME);
        }
        self.handle_lost_member(peer, conn, now);
    }

    /// A message arrived. One on a connection that is closed already is
    /// ignored.
    pub fn handle_message(&mut self, conn: ConnId, message: ToTracker, now: Instant) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        let peer = connection.peer;
        let outcome = match (&connection.stage, message) {
            (ConnectionStage::Silent { .. }, ToTracker::Register(registration)) => {
                self.handle_register(conn, registration, now)
            }
            // It is being considered already.
            (ConnectionStage::Waiting(_), ToTracker::Register(_)) => Ok(()),
            (ConnectionStage::Registered, ToTracker::Register(_)) => {
                let registered = self.registered(peer);
                self.send(conn, FromTracker::AlreadyRegistered(registered));
                Ok(())
            }
            (_, ToTracker::Leave) => {
                self.handle_leave(conn, peer, now);
                Ok(())
            }
            (ConnectionStage::Registered, message) => self.handle_members(conn, peer, message, now),
            _ => Err(Breach("it spoke before it was registered")),
        };
        if let Err(breach) = outcome {
            self.close(conn, breach.into());
            self.handle_lost_member(peer, conn, now);
        }
    }

    /// A message arrived of a kind that only a later version knows.
    pub fn handle_unknown(&mut self, conn: ConnId, message: i64) {
        let stage = self.connections.get(&conn).map(|it| &it.stage);
        if matches!(stage, Some(ConnectionStage::Registered)) {
            self.send(conn, FromTracker::Unsupported { message });
        }
    }

    /// When [`Self::handle_timeout`] is due, or earlier.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Ends what has lasted too long, and lets the news out.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (peer, progress) in self.relay.handle_timeout(now) {
            self.follow(peer, progress, now);
        }
        let ended = |member: &RegisteredMember| member.lease_end <= now;
        for peer in keys_where(&self.members, ended) {
            self.remove(peer, Dropped::Expired, now);
        }
        let silent = |c: &RegisteredConnection| matches!(c.stage, ConnectionStage::Silent { until } if until <= now);
        for conn in keys_where(&self.connections, silent) {
            self.close(conn, Dropped::NeverRegistered);
        }
        let unanswered =
            |c: &RegisteredConnection| c.probe().is_some_and(|probe| probe.until <= now);
        for conn in keys_where(&self.connections, unanswered) {
            self.throw_out_holder(conn, now);
        }
        if self.tell.is_some_and(|tell| tell <= now) {
            self.prune_news(now);
            let is_behind = self.behind().next().is_some();
            self.tell = is_behind.then_some(now + TELL_INTERVAL);
            if is_behind {
                self.actions.push_back(RegistryAction::Tell);
            }
        }
        self.due = self.next_deadline();
    }

    /// Everything looked at, which takes a while: not for each message.
    fn next_deadline(&self) -> Option<Instant> {
        let stages = self
            .connections
            .values()
            .filter_map(RegisteredConnection::until);
        let leases = self.members.values().map(|member| member.lease_end);
        let others = self.relay.poll_timeout().into_iter().chain(self.tell);
        stages.chain(leases).chain(others).min()
    }

    fn wake_by(&mut self, deadline: Instant) {
        self.due = Some(self.due.map_or(deadline, |due| due.min(deadline)));
    }

    /// The connections that have not heard all news, and where each is.
    pub fn behind(&self) -> impl Iterator<Item = (ConnId, PeerId, NewsPosition)> + '_ {
        let last = self.news.last();
        let members = self.connections.iter();
        members
            .filter(move |(_, c)| matches!(c.stage, ConnectionStage::Registered) && c.told < last)
            .map(|(&conn, c)| (conn, c.peer, c.told))
    }

    /// The news for a connection that is at `place`.
    pub fn news_after(&self, place: NewsPosition) -> Bulletin {
        self.news.after(place)
    }

    /// The bulletin that leads to `place` is on its way to `conn`.
    pub fn handle_told(&mut self, conn: ConnId, place: NewsPosition) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.told = place;
        }
    }

    fn prune_news(&mut self, now: Instant) {
        let places = self.behind().map(|(_, _, told)| told);
        let slowest = places.min().unwrap_or(self.news.last());
        let needed = self.news.prune(slowest);
        let too_late: Vec<_> = self
            .behind()
            // A connection at the beginning has missed nothing that it ever knew.
            .filter(|(_, _, told)| *told < needed && *told != NewsPosition::default())
            .collect();
        for (conn, peer, _) in too_late {
            self.close(conn, Dropped::Behind);
            self.handle_lost_member(peer, conn, now);
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<RegistryAction> {
        self.actions.pop_front()
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            peers: self
                .members
                .iter()
                .map(|(&peer, m)| m.record(peer))
                .collect(),
            catalogue_bytes: self.relay.bytes(),
            problems: self
                .relay
                .left_out_in_words(|peer| Some(self.members.get(&peer)?.name.clone()))
                .take(MAX_PROBLEMS)
                .collect(),
        }
    }

    fn admit(&mut self, conn: ConnId, registration: Registration, name: String, now: Instant) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let (peer, address) = (connection.peer, connection.address);
        if self.members.len() >= MAX_PEERS && !self.members.contains_key(&peer) {
            let max = MAX_PEERS as u32;
            return self.refuse(conn, Refusal::Full { max });
        }
        connection.stage = ConnectionStage::Registered;
        let member = RegisteredMember {
            name,
            address,
            candidates: addresses::candidates(
                &registration,
                address,
                (&self.own_addresses, &self.subnets),
            ),
            conn: Some(conn),
            lease_end: now + LEASE,
            heads: match self.members.get(&peer) {
                Some(before) => before.heads,
                None => Heads::new(now),
            },
            since: self.members.get(&peer).map_or(now, |before| before.since),
        };
        self.tenures.handle_here(peer, &member.name, address, now);
        self.members.insert(peer, member);
        self.relay.handle_here(peer, address.into());
        self.relay.set_receivers(self.members.len());
        self.wake_by(now + LEASE);
        let registered = self.registered(peer);
        self.send(conn, FromTracker::Registered(registered));
        self.announce(peer, now);
        if let Some(head) = self.relay.seen(peer) {
            // Its own from before, which it may have lost.
            self.send(conn, FromTracker::Head(head));
        }
        if let Some(head) = self.relay.head(peer) {
            self.publish(peer, FromTracker::Head(head), now);
        }
    }

    fn handle_members(
        &mut self,
        conn: ConnId,
        peer: PeerId,
        message: ToTracker,
        now: Instant,
    ) -> Result<(), Breach> {
        let member = self.members.get_mut(&peer);
        if matches!(message, ToTracker::Head(_)) && !member.is_some_and(|m| m.heads.take(now)) {
            return Err(Breach("heads faster than a scan makes them"));
        }
        let relay = &mut self.relay;
        let progress = match message {
            ToTracker::Renew => {
                if let Some(member) = self.members.get_mut(&peer) {
                    member.lease_end = now + LEASE;
                }
                self.send(conn, FromTracker::Renewed);
                return Ok(());
            }
            ToTracker::Pong { nonce } => {
                self.handle_pong(conn, nonce, now);
                return Ok(());
            }
            ToTracker::WantList { owner } => {
                let list = self.relay.list(owner);
                let answer = list.map(|list| FromTracker::List { owner, list });
                self.send(conn, answer.unwrap_or(FromTracker::NotHere { owner }));
                return Ok(());
            }
            ToTracker::WantPage { owner, index } => {
                let page = self.relay.page(owner, index);
                let answer = page.map(|bytes| FromTracker::Page {
                    owner,
                    index,
                    bytes,
                });
                self.send(conn, answer.unwrap_or(FromTracker::NotHere { owner }));
                return Ok(());
            }
            ToTracker::Head(head) if head.head.owner != peer => {
                return Err(Breach("a head of somebody else's"));
            }
            ToTracker::Head(head) => relay.handle_head(head, now)?,
            ToTracker::List(list) => relay.handle_list(peer, list, now)?,
            ToTracker::Page { index, bytes } => relay.handle_page(peer, index, &bytes, now)?,
            ToTracker::Register(_) | ToTracker::Leave | ToTracker::Unsupported { .. } => {
                return Ok(());
            }
        };
        // A pull may have begun.
        self.wake_by(now + relay::PULL_TIMEOUT);
        self.follow(peer, progress, now);
        Ok(())
    }

    fn follow(&mut self, peer: PeerId, progress: RelayProgress, now: Instant) {
        for dropped in self.relay.take_dropped() {
            self.news.handle_dropped(dropped);
        }
        match progress {
            RelayProgress::Ask(wants) => {
                let conn = self.members.get(&peer).and_then(|member| member.conn);
                for (want, conn) in wants.into_iter().zip(conn.into_iter().cycle()) {
                    let message = match want {
                        Want::List => FromTracker::WantList,
                        Want::Page(index) => FromTracker::WantPage { index },
                    };
                    self.send(conn, message);
                }
            }
            RelayProgress::Whole(head) => self.publish(peer, FromTracker::Head(head), now),
        }
    }

    fn handle_leave(&mut self, conn: ConnId, peer: PeerId, now: Instant) {
        self.send(conn, FromTracker::Left);
        let held = self.members.get(&peer).and_then(|member| member.conn);
        if held == Some(conn) {
            self.remove(peer, Dropped::Left, now);
        } else {
            self.close(conn, Dropped::Left);
        }
    }

    /// `conn` has been closed; if it held `peer`'s place, that is suspect.
    fn handle_lost_member(&mut self, peer: PeerId, conn: ConnId, now: Instant) {
        if let Some(member) = self.members.get_mut(&peer) {
            if member.conn == Some(conn) {
                member.conn = None;
                self.announce(peer, now);
            }
        }
        self.reconsider_claims_against(conn, now);
    }

    /// Ends a membership and with it the connection that held it.
    fn remove(&mut self, peer: PeerId, why: Dropped, now: Instant) {
        let Some(member) = self.members.remove(&peer) else {
            return;
        };
        let was_here = now.saturating_duration_since(member.since);
        self.tenures.handle_gone(peer, now);
        self.relay.handle_gone(peer, was_here, now);
        self.relay.set_receivers(self.members.len());
        let left = why == Dropped::Left;
        self.publish(peer, FromTracker::Gone { peer, left }, now);
        if let Some(conn) = member.conn {
            self.close(conn, why);
            self.reconsider_claims_against(conn, now);
        }
    }

    fn refuse(&mut self, conn: ConnId, refusal: Refusal) {
        self.send(conn, FromTracker::Refused(refusal));
        self.close(conn, Dropped::Refused);
    }

    fn close(&mut self, conn: ConnId, why: Dropped) {
        if self.connections.remove(&conn).is_some() {
            self.actions.push_back(RegistryAction::Close { conn, why });
        }
    }

    fn registered(&self, peer: PeerId) -> Registered {
        let member = self.members.get(&peer);
        let member = member.expect("a connection is registered only while its member is here");
        Registered {
            name: member.name.clone(),
            lease: LEASE,
            seen_as: member.address,
        }
    }

    fn announce(&mut self, peer: PeerId, now: Instant) {
        if let Some(member) = self.members.get(&peer) {
            let record = member.record(peer);
            self.publish(peer, FromTracker::Peer(record), now);
        }
    }

    /// Tells everybody else before long.
    fn publish(&mut self, about: PeerId, message: FromTracker, now: Instant) {
        self.news.publish(about, message);
        if self.tell.is_none() {
            self.tell = Some(now + TELL_INTERVAL);
            self.wake_by(now + TELL_INTERVAL);
        }
    }

    fn send(&mut self, conn: ConnId, message: FromTracker) {
        self.actions
            .push_back(RegistryAction::Send { conn, message });
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// Without a renewal for this long a peer is gone: three renewals lost.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often a peer renews its lease.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(5);
/// For a peer whose key was taken away to come back with another: it does so at once, and a
/// handshake takes a second where a packet is lost.
pub const RETURN_TIME: Duration = Duration::from_secs(3);
/// A live peer of a home's network answers in a few milliseconds; one that
/// Wi-Fi delays for longer than this may lose its place to itself.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer registers with its first message.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// A thousand speakers, which `make bench` shows to be served, and some more.
pub const MAX_PEERS: usize = 1024;
/// Long enough that what happens to many at once, as after a restart, is told
/// in few messages, and far less than a person notices.
pub const TELL_INTERVAL: Duration = Duration::from_millis(50);
/// More sentences than anyone reads.
const MAX_PROBLEMS: usize = 16;
/// Of a name that is refused, this much is quoted in the refusal.
const MAX_QUOTED_CHARS: usize = 80;
