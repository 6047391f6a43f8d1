//! The tracker, and the TCP connections to it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    clock::MachineClock,
    host::MEMORY,
    net::{HostNo, Life, Place, TrackerNo},
    setting::Manner,
    world::{Event, World},
};
use crate::{
    catalog::MemoryQuota,
    id::PeerId,
    node,
    protocol::{FromTracker, ToTracker},
    tracker::{
        link,
        links::{self, LinkId},
        registry::{ConnId, Registry, RegistryAction},
    },
};

/// The registry and the hosts that are connected to it.
pub struct Tracker {
    pub alive: bool,
    pub clock: MachineClock,
    pub registry: Registry,
    conns: BTreeMap<ConnId, Conn>,
}

/// As mDNS names it.
pub fn to_string(tracker: &TrackerNo) -> String {
    tracker.0.to_string()
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
    /// One that remembers nothing.
    pub fn new(tracker: TrackerNo, clock: MachineClock) -> Self {
        Self {
            alive: true,
            clock,
            registry: Registry::new(vec![reached_at(tracker)], MemoryQuota::of(MEMORY)),
            conns: BTreeMap::new(),
        }
    }

    /// When time comes to it, in the world's time.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.registry.poll_timeout().filter(|_| self.alive)?;
        Some(self.clock.world_at(due))
    }
}

impl World {
    /// Does what the links of `host` want.
    pub fn perform_link(&mut self, host: HostNo, action: links::LinksAction) {
        match action {
            links::LinksAction::Connect { link, to } => {
                let tracker = TrackerNo(to.parse().expect("trackers are named by number"));
                self.dial_tracker(host, link, tracker);
            }
            links::LinksAction::Send { link, message } => {
                if let Some(conn) = self.hosts[host.0].conns.get(&link) {
                    self.send_wire(*conn, Wire::Up(message));
                }
            }
            links::LinksAction::Disconnect { link } => {
                if let Some(conn) = self.hosts[host.0].conns.remove(&link) {
                    self.send_wire(conn, Wire::EndUp);
                }
            }
            links::LinksAction::Tell(event) => {
                self.note(host, format_args!("tracker: {}", describe(&event)));
                let is_head = |message: &FromTracker| matches!(message, FromTracker::Head(_));
                let is_unwanted = self.hosts[host.0].manner == Manner::Hoarder
                    && matches!(&event, link::TrackerEvent::Message(m) if is_head(m));
                if is_unwanted {
                    return;
                }
                let event = node::Event::Tracker(event);
                let now = self.now_at(host);
                self.hosts[host.0].core.handle(event, now);
            }
        }
    }

    fn dial_tracker(&mut self, host: HostNo, link: LinkId, tracker: TrackerNo) {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        self.hosts[host.0].conns.insert(link, conn);
        let reached = self.is_open(Place::Host(host), Place::Tracker(tracker));
        let after = match reached {
            true => self.net.delay() + self.net.delay(),
            false => DIAL_TIMEOUT,
        };
        let dialled = Event::Dialled {
            link,
            tracker,
            conn,
            reached,
        };
        self.plan(host, after, dialled);
    }

    pub fn dialled(
        &mut self,
        host: HostNo,
        (link, tracker): (LinkId, TrackerNo),
        conn: ConnId,
        reached: bool,
    ) {
        if self.hosts[host.0].conns.get(&link) != Some(&conn) {
            return;
        }
        let life = self.hosts[host.0].life;
        let now = self.now;
        if !reached || !self.is_open(Place::Host(host), Place::Tracker(tracker)) {
            self.hosts[host.0].conns.remove(&link);
            let why = "it cannot be reached".to_owned();
            let now = self.now_at(host);
            return self.hosts[host.0].links.handle_closed(link, why, now);
        }
        let open = Conn {
            host: life,
            last_up: now,
            last_down: now,
            held: Vec::new(),
        };
        let peer = self.hosts[host.0].library.owner();
        let from = self.hosts[host.0].address.ip();
        let there = &mut self.trackers[tracker.0];
        there.conns.insert(conn, open);
        let at = there.clock.at(now);
        there.registry.handle_connected(conn, peer, from, at);
        self.settle_tracker(tracker);
        let id = Some(PeerId([200 + tracker.0 as u8; 32]));
        let there = (id, reached_at(tracker));
        let now = self.now_at(host);
        self.hosts[host.0]
            .links
            .handle_connected(link, there, Vec::new(), now);
    }

    /// The tracker that has the connection.
    fn tracker_of(&self, conn: ConnId) -> Option<TrackerNo> {
        let mut trackers = self.trackers.iter();
        trackers
            .position(|tracker| tracker.conns.contains_key(&conn))
            .map(TrackerNo)
    }

    fn send_wire(&mut self, conn: ConnId, wire: Wire) {
        let Some(tracker) = self.tracker_of(conn) else {
            return;
        };
        let life = self.trackers[tracker.0].conns[&conn].host;
        let is_open = self.is_open(Place::Host(life.host), Place::Tracker(tracker));
        let delay = self.net.delay();
        let Some(open) = self.trackers[tracker.0].conns.get_mut(&conn) else {
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
    pub fn settle_tracker(&mut self, tracker: TrackerNo) {
        while let Some(action) = self.trackers[tracker.0].registry.poll() {
            match action {
                RegistryAction::Send { conn, message } => {
                    self.send_wire(conn, Wire::Down(Arc::new(message)));
                }
                RegistryAction::Tell => self.tell_all(tracker),
                RegistryAction::Close { conn, why } => {
                    let at = self.elapsed();
                    self.log
                        .add(at, "tracker", format_args!("drops {}: {why}", conn.0));
                    self.send_wire(conn, Wire::EndDown);
                }
            }
        }
    }

    /// There is always room on a simulated wire.
    fn tell_all(&mut self, tracker: TrackerNo) {
        let behind: Vec<_> = self.trackers[tracker.0].registry.behind().collect();
        for (conn, peer, place) in behind {
            let bulletin = self.trackers[tracker.0].registry.news_after(place);
            for message in bulletin.for_peer(peer) {
                self.send_wire(conn, Wire::Down(message.clone()));
            }
            let registry = &mut self.trackers[tracker.0].registry;
            registry.handle_told(conn, bulletin.up_to);
        }
    }

    pub fn arrive_at_tracker(&mut self, conn: ConnId, wire: Wire) {
        let Some(tracker) = self.tracker_of(conn) else {
            return;
        };
        let there = &mut self.trackers[tracker.0];
        if !there.alive {
            return;
        }
        let now = there.clock.at(self.now);
        match wire {
            Wire::Up(message) => there.registry.handle_message(conn, message, now),
            _ => {
                there.conns.remove(&conn);
                there.registry.handle_closed(conn, now);
            }
        }
        self.settle_tracker(tracker);
    }

    pub fn arrive_at_host(&mut self, host: HostNo, conn: ConnId, wire: Wire) {
        let mut conns = self.hosts[host.0].conns.iter();
        let Some(link) = conns.find(|(_, c)| **c == conn).map(|(link, _)| *link) else {
            return;
        };
        let now = self.now_at(host);
        match wire {
            Wire::Down(message) => {
                let message = Arc::unwrap_or_clone(message);
                let links = &mut self.hosts[host.0].links;
                links.handle_message(link, message, now);
            }
            _ => {
                self.hosts[host.0].conns.remove(&link);
                if let Some(tracker) = self.tracker_of(conn) {
                    self.trackers[tracker.0].conns.remove(&conn);
                }
                let links = &mut self.hosts[host.0].links;
                links.handle_closed(link, "closed".into(), now);
            }
        }
    }

    /// The tracker's system closes what its process had open.
    pub fn close_all_wires(&mut self, tracker: TrackerNo) {
        for (conn, open) in std::mem::take(&mut self.trackers[tracker.0].conns) {
            if !self
                .net
                .is_cut(Place::Host(open.host.host), Place::Tracker(tracker))
            {
                let at = self.now + self.net.delay();
                let wire = Wire::EndDown;
                self.plan_at(at, Some(open.host), Event::Wire { conn, wire });
            }
        }
    }

    /// TCP sends again what did not arrive.
    pub fn resume_wires(&mut self) {
        let trackers = self.trackers.iter_mut();
        let held: Vec<(ConnId, Vec<Wire>)> = trackers
            .flat_map(|tracker| &mut tracker.conns)
            .map(|(conn, open)| (*conn, std::mem::take(&mut open.held)))
            .collect();
        for (conn, wires) in held {
            for wire in wires {
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

fn reached_at(tracker: TrackerNo) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, 1 + tracker.0 as u8).into()
}

/// Until a connection is given up.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
