//! The tracker, and the TCP connections to it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    host::MEMORY,
    net::{address, HostNo, Life, Place},
    world::{Event, World},
};
use crate::{
    catalog::Quota,
    node,
    protocol::{FromTracker, ToTracker},
    tracker::{
        link,
        registry::{Action, ConnId, Registry},
    },
};

/// The registry and who is connected to it.
pub struct Tracker {
    pub alive: bool,
    pub registry: Registry,
    conns: BTreeMap<ConnId, Conn>,
    last_conn: u64,
}

/// A connection, whose messages arrive in order.
struct Conn {
    host: Life,
    last_up: Instant,
    last_down: Instant,
    /// What TCP will send again once it can.
    held: Vec<Wire>,
}

/// What travels over a connection.
#[derive(Clone, Debug)]
pub enum Wire {
    Up(ToTracker),
    Down(Arc<FromTracker>),
    /// The end as the host, or the tracker, makes it.
    EndUp,
    EndDown,
}

impl Wire {
    fn is_up(&self) -> bool {
        matches!(self, Self::Up(_) | Self::EndUp)
    }
}

impl Tracker {
    pub fn new() -> Self {
        Self {
            alive: true,
            registry: Registry::new(vec![TRACKER_AT], Quota::of(MEMORY)),
            conns: BTreeMap::new(),
            last_conn: 0,
        }
    }

    pub fn restart(&mut self) {
        let last_conn = self.last_conn;
        *self = Self {
            last_conn,
            ..Self::new()
        };
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.registry.poll_timeout().filter(|_| self.alive)
    }
}

impl World {
    /// Does what the link of `host` wants.
    pub fn perform_link(&mut self, host: HostNo, action: link::Action) {
        match action {
            link::Action::Connect { .. } => self.dial_tracker(host),
            link::Action::Send(message) => {
                if let Some(conn) = self.hosts[host.0].conn {
                    self.send_wire(conn, Wire::Up(message));
                }
            }
            link::Action::Disconnect => {
                if let Some(conn) = self.hosts[host.0].conn.take() {
                    self.send_wire(conn, Wire::EndUp);
                }
            }
            link::Action::Tell(event) => {
                self.note(host, format_args!("tracker: {}", describe(&event)));
                let event = node::Event::Tracker(event);
                self.hosts[host.0].node.handle(event, self.now);
            }
        }
    }

    fn dial_tracker(&mut self, host: HostNo) {
        self.tracker.last_conn += 1;
        let conn = ConnId(self.tracker.last_conn);
        self.hosts[host.0].conn = Some(conn);
        let reached = self.is_open(Place::Host(host), Place::Tracker);
        let after = match reached {
            true => self.net.delay() + self.net.delay(),
            false => DIAL_TIMEOUT,
        };
        self.plan(host, after, Event::Dialled { conn, reached });
    }

    pub fn dialled(&mut self, host: HostNo, conn: ConnId, reached: bool) {
        if self.hosts[host.0].conn != Some(conn) {
            return;
        }
        let life = self.hosts[host.0].life;
        if !reached || !self.is_open(Place::Host(host), Place::Tracker) {
            self.hosts[host.0].conn = None;
            let why = "it cannot be reached".to_owned();
            return self.hosts[host.0].link.handle_closed(why, self.now);
        }
        let (now, held) = (self.now, Vec::new());
        let open = Conn {
            host: life,
            last_up: now,
            last_down: now,
            held,
        };
        self.tracker.conns.insert(conn, open);
        let peer = self.hosts[host.0].library.owner();
        self.tracker
            .registry
            .handle_connected(conn, peer, address(host).ip(), now);
        self.settle_tracker();
        self.hosts[host.0]
            .link
            .handle_connected(TRACKER_AT, Vec::new(), now);
    }

    fn send_wire(&mut self, conn: ConnId, wire: Wire) {
        let Some(open) = self.tracker.conns.get(&conn) else {
            return;
        };
        let life = open.host;
        let is_open = self.is_open(Place::Host(life.host), Place::Tracker);
        let delay = self.net.delay();
        let Some(open) = self.tracker.conns.get_mut(&conn) else {
            return;
        };
        if !is_open {
            return open.held.push(wire);
        }
        let last = if wire.is_up() {
            &mut open.last_up
        } else {
            &mut open.last_down
        };
        *last = (*last).max(self.now + delay);
        let (at, to) = (*last, (!wire.is_up()).then_some(life));
        self.plan_at(at, to, Event::Wire { conn, wire });
    }

    /// Does what the registry wants.
    pub fn settle_tracker(&mut self) {
        while let Some(action) = self.tracker.registry.poll() {
            match action {
                Action::Send { conn, message } => {
                    self.send_wire(conn, Wire::Down(Arc::new(message)));
                }
                Action::Tell => self.tell_all(),
                Action::Close { conn, why } => {
                    let at = self.elapsed();
                    self.log
                        .add(at, "tracker", format_args!("drops {}: {why}", conn.0));
                    self.send_wire(conn, Wire::EndDown);
                }
            }
        }
    }

    /// There is always room on a simulated wire.
    fn tell_all(&mut self) {
        let behind: Vec<_> = self.tracker.registry.behind().collect();
        for (conn, peer, place) in behind {
            let bulletin = self.tracker.registry.news_after(place);
            for message in bulletin.for_peer(peer) {
                self.send_wire(conn, Wire::Down(message.clone()));
            }
            self.tracker.registry.handle_told(conn, bulletin.up_to);
        }
    }

    pub fn arrive_at_tracker(&mut self, conn: ConnId, wire: Wire) {
        if !self.tracker.alive || !self.tracker.conns.contains_key(&conn) {
            return;
        }
        match wire {
            Wire::Up(message) => self
                .tracker
                .registry
                .handle_message(conn, message, self.now),
            _ => {
                self.tracker.conns.remove(&conn);
                self.tracker.registry.handle_closed(conn, self.now);
            }
        }
    }

    pub fn arrive_at_host(&mut self, host: HostNo, conn: ConnId, wire: Wire) {
        if self.hosts[host.0].conn != Some(conn) {
            return;
        }
        match wire {
            Wire::Down(message) => {
                let message = Arc::unwrap_or_clone(message);
                self.hosts[host.0].link.handle_message(message, self.now);
            }
            _ => {
                self.hosts[host.0].conn = None;
                self.tracker.conns.remove(&conn);
                self.hosts[host.0]
                    .link
                    .handle_closed("closed".into(), self.now);
            }
        }
    }

    /// The tracker's system closes what its process had open.
    pub fn close_all_wires(&mut self) {
        for (conn, open) in std::mem::take(&mut self.tracker.conns) {
            if !self.net.is_cut(Place::Host(open.host.host), Place::Tracker) {
                let at = self.now + self.net.delay();
                self.plan_at(
                    at,
                    Some(open.host),
                    Event::Wire {
                        conn,
                        wire: Wire::EndDown,
                    },
                );
            }
        }
    }

    /// TCP sends again what did not arrive.
    pub fn resume_wires(&mut self) {
        let conns: Vec<ConnId> = self.tracker.conns.keys().copied().collect();
        for conn in conns {
            let held = self
                .tracker
                .conns
                .get_mut(&conn)
                .map(|open| std::mem::take(&mut open.held));
            for wire in held.unwrap_or_default() {
                self.send_wire(conn, wire);
            }
        }
    }
}

/// An event in few words, without anything that differs between runs.
fn describe(event: &link::TrackerEvent) -> String {
    match event {
        link::TrackerEvent::Message(message) => match message {
            FromTracker::Peer(record) => format!("{} is {:?}", record.name, record.state),
            FromTracker::Gone { peer, left } => format!("{peer} is gone, left: {left}"),
            FromTracker::Head(head) => format!("head {} of {}", head.head.seq, head.head.owner),
            FromTracker::List { owner, list } => format!("list of {owner}, {}", list.len()),
            FromTracker::Page { owner, index, .. } => format!("page {index} of {owner}"),
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    }
}

const TRACKER_AT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// Until a connection is given up.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
