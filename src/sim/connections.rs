//! Connections between hosts, as the links and guests of the product have them.

use std::time::{Duration, Instant};

use super::{
    net::{HostNo, Life, Place},
    swarm::{fail, CallId},
    world::{Event, World},
};
use crate::{id::PeerId, swarm::guests::GuestId};

/// A connection; no two in the world have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionNo(pub u64);

/// See the module's description.
#[derive(Debug)]
pub struct Connection {
    dialler: Life,
    holder: Life,
    /// The member that the dialler is.
    peer: PeerId,
    /// As what the holder knows it.
    guest: Option<GuestId>,
    /// When the dialler may use it, and when the holder knows of it.
    ready: Instant,
    arrives: Instant,
    is_open: bool,
    /// Nothing that is sent over it arrives, although its hosts can reach each other.
    is_silent: bool,
    /// Another is used for what is asked next.
    is_retired: bool,
}

impl World {
    /// The connection that a request takes, and the earliest moment at which that arrives.
    pub fn way(&mut self, from: HostNo, to: HostNo, renew: bool) -> (ConnectionNo, Instant) {
        let there = self.hosts[from.0].ways.get(&to).copied();
        if let Some((no, way)) = there.and_then(|no| Some((no, self.connections.get(&no)?))) {
            let is_current = [way.dialler, way.holder]
                .iter()
                .all(|life| self.hosts[life.host.0].life == *life);
            let is_old = self.now >= way.ready + MIN_AGE;
            if way.is_open && is_current && !(renew && is_old) {
                return (no, way.arrives.max(self.now));
            }
            self.retire(no);
        }
        let peer = self.hosts[from.0].library.owner();
        let no = self.connect(from, to, peer);
        self.hosts[from.0].ways.insert(to, no);
        (no, self.connections[&no].arrives)
    }

    /// Has `from` connect to `to` as the member `peer`.
    pub fn connect(&mut self, from: HostNo, to: HostNo, peer: PeerId) -> ConnectionNo {
        self.last_connection += 1;
        let no = ConnectionNo(self.last_connection);
        let ready = self.now + self.net.delay() + self.net.delay();
        let arrives = ready + self.net.delay();
        let (dialler, holder) = (self.hosts[from.0].life, self.hosts[to.0].life);
        let connection = Connection {
            dialler,
            holder,
            peer,
            guest: None,
            ready,
            arrives,
            is_open: true,
            is_silent: false,
            is_retired: false,
        };
        self.connections.insert(no, connection);
        if self.is_open(Place::Host(from), Place::Host(to)) {
            let connected = Event::Connected { connection: no };
            self.plan_at(arrives, Some(holder), connected);
        }
        no
    }

    /// A connection arrives at the host that it leads to.
    pub fn connected(&mut self, host: HostNo, no: ConnectionNo) {
        let Some(connection) = self.connections.get_mut(&no) else {
            return;
        };
        if connection.is_open {
            let this = &mut self.hosts[host.0];
            let guest = this.core.handle_connected(connection.peer);
            connection.guest = Some(guest);
            this.visits.insert(guest, no);
        }
    }

    /// The link of `host` uses the connection that its guest has opened.
    pub fn offer(&mut self, host: HostNo, guest: GuestId) {
        let no = self.hosts[host.0].visits.get(&guest).copied();
        let Some((no, connection)) = no.and_then(|no| Some((no, self.connections.get(&no)?)))
        else {
            return;
        };
        let to = connection.dialler.host;
        let before = self.hosts[host.0].ways.insert(to, no);
        if let Some(before) = before.filter(|before| *before != no) {
            self.retire(before);
        }
    }

    /// `host` closes the connection that its guest has opened.
    pub fn evict(&mut self, host: HostNo, guest: GuestId) {
        if let Some(no) = self.hosts[host.0].visits.remove(&guest) {
            let peer = self.connections[&no].peer;
            self.note(host, format_args!("evicts {peer}"));
            self.close(no);
        }
    }

    /// The link of `host` to `to` is dropped.
    pub fn unlink(&mut self, host: HostNo, to: HostNo) {
        if let Some(no) = self.hosts[host.0].ways.remove(&to) {
            self.retire(no);
        }
    }

    /// The connection is closed at once: what is asked over it fails at both ends.
    fn close(&mut self, no: ConnectionNo) {
        let Some(connection) = self.connections.get_mut(&no) else {
            return;
        };
        connection.is_open = false;
        for life in [connection.dialler, connection.holder] {
            let at = self.now + self.net.delay();
            let parted = Event::Parted { connection: no };
            self.plan_at(at, Some(life), parted);
        }
    }

    /// Nothing more is asked over the connection, which is closed when all is answered.
    fn retire(&mut self, no: ConnectionNo) {
        if let Some(connection) = self.connections.get_mut(&no) {
            connection.is_retired = true;
            self.close_if_idle(no);
        }
    }

    /// A call is over, and with the last of a retired connection that.
    pub fn end_route(&mut self, call: CallId) {
        if let Some(no) = self.routes.get(&call).copied() {
            self.close_if_idle(no);
        }
    }

    fn close_if_idle(&mut self, no: ConnectionNo) {
        let Some(connection) = self.connections.get(&no) else {
            return;
        };
        let ends = [connection.dialler.host, connection.holder.host];
        let mut calls = ends.iter().flat_map(|host| self.hosts[host.0].calls.keys());
        let is_busy = calls.any(|call| self.routes.get(call) == Some(&no));
        if connection.is_open && connection.is_retired && !is_busy {
            self.close(no);
        }
    }

    /// `host` notices that a connection is no more.
    pub fn parted(&mut self, host: HostNo, no: ConnectionNo) {
        let this = &mut self.hosts[host.0];
        this.ways.retain(|_, way| *way != no);
        let mut guests = this.visits.iter();
        let guest = guests.find(|(_, visit)| **visit == no).map(|(g, _)| *g);
        if let Some(guest) = guest {
            this.visits.remove(&guest);
            this.core.handle_parted(guest);
        }
        let is_routed = |call: &CallId| self.routes.get(call) == Some(&no);
        let this = &self.hosts[host.0];
        let asked: Vec<_> = this.calls.keys().copied().filter(is_routed).collect();
        let served: Vec<_> = this.served.keys().copied().filter(is_routed).collect();
        for call in asked {
            if let Some(call) = self.hosts[host.0].calls.remove(&call) {
                let lost = fail(call.purpose, "the connection to it is lost (closed)");
                self.plan(host, Duration::ZERO, lost);
            }
        }
        for call in served {
            self.forget_served(host, call);
        }
    }

    /// `host` has lost its power: what it was connected to notices that after a while.
    pub fn leave_connections(&mut self, host: HostNo) {
        let connections = self.connections.iter_mut();
        let lost = connections.filter(|(_, c)| c.is_open && c.dialler.host == host);
        let lost: Vec<_> = lost.map(|(no, c)| (*no, c.holder)).collect();
        for (no, holder) in lost {
            let parted = Event::Parted { connection: no };
            self.plan_at(self.now + IDLE, Some(holder), parted);
        }
    }

    /// `host` ends, and closes what it is connected with.
    pub fn close_connections(&mut self, host: HostNo) {
        let life = self.hosts[host.0].life;
        let connections = self.connections.iter();
        let open = connections.filter(|(_, c)| c.is_open && [c.dialler, c.holder].contains(&life));
        let open: Vec<_> = open.map(|(no, _)| *no).collect();
        open.into_iter().for_each(|no| self.close(no));
    }

    /// What is sent over the connection that `host` uses to `to` does not arrive any more.
    pub fn fall_silent(&mut self, host: HostNo, to: HostNo) {
        self.note(host, "hears nothing over its connection any more");
        let no = self.hosts[host.0].ways.get(&to);
        if let Some(connection) = no.and_then(|no| self.connections.get_mut(no)) {
            connection.is_silent = true;
        }
    }

    /// Whether what is sent for `call` arrives, as far as its connection is concerned.
    pub fn is_heard(&self, call: CallId) -> bool {
        let connection = self
            .routes
            .get(&call)
            .and_then(|no| self.connections.get(no));
        connection.is_none_or(|connection| connection.is_open && !connection.is_silent)
    }
}

/// As the product's links: a connection is not renewed before.
const MIN_AGE: Duration = Duration::from_secs(1);
/// A connection whose other end is silent is given up.
const IDLE: Duration = Duration::from_secs(30);
