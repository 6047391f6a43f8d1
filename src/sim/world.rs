//! The queue of all that happens, and time.

use std::{
    collections::BTreeMap,
    fmt::Display,
    time::{Duration, Instant},
};

use super::{
    clock::MachineClock,
    connections::{Connection, ConnectionNo},
    greed::Greed,
    host::Host,
    log::Log,
    net::{HostNo, Life, Net, Place, TrackerNo, Weather},
    setting::Setting,
    swarm::{CallId, Packet},
    tracker::{to_string, Tracker, Wire},
};
use crate::{
    content::ranges::GroupSet,
    id::{EntryNo, Group},
    node::{self, AskId, FetchEvent},
    tracker::{link::LinkCommand, links::LinkId, registry::ConnId},
    util::random::Random,
};

/// A swarm and all there is around it.
pub struct World {
    pub seed: u64,
    start: Instant,
    pub now: Instant,
    planned: u64,
    queue: BTreeMap<(Instant, u64), (Option<Life>, Event)>,
    pub hosts: Vec<Host>,
    pub trackers: Vec<Tracker>,
    pub last_conn: u64,
    pub net: Net,
    pub random: Random,
    pub log: Log,
    pub last_call: u64,
    pub last_connection: u64,
    pub connections: BTreeMap<ConnectionNo, Connection>,
    /// Which connection each call takes.
    pub routes: BTreeMap<CallId, ConnectionNo>,
    /// What is asked for by members that want everything.
    pub greed: BTreeMap<CallId, Greed>,
    /// Whether mDNS works.
    pub has_mdns: bool,
    /// Timers that were due one after the other without time going on.
    spins: u32,
}

/// Something that will happen.
#[derive(Debug)]
pub enum Event {
    /// A connection to the tracker is there, or cannot be made.
    Dialled {
        link: LinkId,
        tracker: TrackerNo,
        conn: ConnId,
        reached: bool,
    },
    /// Something arrives over a connection to the tracker.
    Wire {
        conn: ConnId,
        wire: Wire,
    },
    /// Something arrives from another host.
    Packet {
        from: Life,
        call: CallId,
        packet: Packet,
    },
    /// A connection arrives.
    Connected {
        connection: ConnectionNo,
    },
    /// A connection is no more.
    Parted {
        connection: ConnectionNo,
    },
    /// A call has had no answer for long.
    Overdue {
        call: CallId,
    },
    /// A group is on its way out.
    Sent {
        call: CallId,
        group: Group,
    },
    /// A sender asks again for its next piece.
    Pump,
    /// Some of a part of the catalogue is on its way out.
    SentPart {
        call: CallId,
    },
    /// A receiver may have been out of reach for long.
    Idle {
        call: CallId,
    },
    /// The disk has taken a group.
    Written,
    /// A file is hashed.
    Hashed {
        ask: AskId,
        entry: EntryNo,
    },
    /// A greedy member asks for more.
    Greed(Greed),
    /// The library has news to publish.
    Publish,
    Node(Box<node::Event>),
}

/// What the core of a host is told of fetches.
#[derive(Debug, Default)]
pub struct Overheard {
    pub fetches: Vec<FetchEvent>,
    /// What the others that it sends to have confirmed.
    pub arrived: GroupSet,
}

impl Overheard {
    fn add(&mut self, event: &node::Event) {
        match event {
            node::Event::Fetch(_, event) => self.fetches.push(event.clone()),
            node::Event::Answered { arrived, .. } => self.arrived = self.arrived.union(arrived),
            _ => {}
        }
    }
}

impl World {
    pub fn new(seed: u64, weather: Weather) -> Self {
        // The only look at a clock; nothing depends on what it shows.
        let start = Instant::now();
        let mut random = Random::new(seed);
        let net = Net::new(weather, Random::new(random.draw()));
        let clock = MachineClock::new(&mut random, start);
        Self {
            seed,
            start,
            now: start,
            planned: 0,
            queue: BTreeMap::new(),
            hosts: Vec::new(),
            trackers: vec![Tracker::new(TrackerNo(0), clock)],
            last_conn: 0,
            net,
            random,
            log: Log::default(),
            last_call: 0,
            last_connection: 0,
            connections: BTreeMap::new(),
            routes: BTreeMap::new(),
            greed: BTreeMap::new(),
            has_mdns: true,
            spins: 0,
        }
    }

    /// Switches another host on.
    pub fn add(&mut self, setting: Setting) -> HostNo {
        let host = HostNo(self.hosts.len());
        let seed = self.random.draw();
        self.hosts.push(Host::new(host, setting, seed, self.now));
        self.announce(host);
        self.settle(host);
        host
    }

    /// What the monotonic clock of `host` says.
    pub fn now_at(&self, host: HostNo) -> Instant {
        self.hosts[host.0].clock.at(self.now)
    }

    /// Whether `host` runs: it has power, and does not sleep.
    pub fn is_awake(&self, host: HostNo) -> bool {
        let host = &self.hosts[host.0];
        host.alive && host.clock.sleeps_until(self.now).is_none()
    }

    /// `host` sleeps for so long: its clock stands, and what is sent to it waits.
    pub fn put_to_sleep(&mut self, host: HostNo, time: Duration) {
        self.note(host, format_args!("sleeps for {time:?}"));
        let until = self.now + time;
        self.hosts[host.0].clock.sleep(self.now, until);
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets `time` pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.now = until;
    }

    /// Plans `event` for the life that `host` lives now.
    pub fn plan(&mut self, host: HostNo, after: Duration, event: Event) {
        let life = self.hosts[host.0].life;
        self.plan_at(self.now + after, Some(life), event);
    }

    /// Plans `event`, for a life or for the tracker.
    pub fn plan_at(&mut self, at: Instant, life: Option<Life>, event: Event) {
        self.planned += 1;
        self.queue.insert((at, self.planned), (life, event));
    }

    pub fn note(&mut self, who: HostNo, what: impl Display) {
        let at = self.elapsed();
        self.log.add(at, self.hosts[who.0].name, what);
    }

    pub fn is_alive(&self, life: Life) -> bool {
        let host = &self.hosts[life.host.0];
        host.alive && host.life == life
    }

    /// Whether something sent now from `a` would reach `b`.
    pub fn is_open(&self, a: Place, b: Place) -> bool {
        let works = |place| match place {
            Place::Tracker(tracker) => self.trackers[tracker.0].alive,
            Place::Host(host) => self.hosts[host.0].alive,
        };
        works(a) && works(b) && !self.net.is_cut(a, b)
    }

    /// The next thing that happens, if it happens before `until`.
    fn step(&mut self, until: Instant) -> bool {
        let event = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timer = self.next_timer();
        match (event, timer) {
            (Some(at), timer) if at <= until && timer.is_none_or(|(t, _)| at <= t) => {
                self.pass_to(at);
                let first = self.queue.pop_first();
                if let Some((_, (life, event))) = first {
                    self.happen(life, event);
                }
            }
            (_, Some((at, place))) if at <= until => {
                self.pass_to(at);
                self.spins += 1;
                assert!(
                    self.spins < MAX_SPINS,
                    "{place:?} wants to be woken again and again"
                );
                match place {
                    Place::Tracker(tracker) => {
                        let tracker = &mut self.trackers[tracker.0];
                        let now = tracker.clock.at(self.now);
                        tracker.registry.handle_timeout(now);
                    }
                    Place::Host(host) => self.hosts[host.0].handle_timeout(self.now),
                }
                self.settle_place(place);
            }
            _ => return false,
        }
        true
    }

    fn pass_to(&mut self, at: Instant) {
        if at > self.now {
            self.now = at;
            self.spins = 0;
        }
    }

    fn next_timer(&self) -> Option<(Instant, Place)> {
        let hosts = self.hosts.iter().enumerate().filter(|(_, host)| host.alive);
        let hosts =
            hosts.filter_map(|(n, host)| Some((host.poll_timeout()?, Place::Host(HostNo(n)))));
        let trackers = self.trackers.iter().enumerate();
        let trackers = trackers.filter_map(|(n, tracker)| {
            Some((tracker.poll_timeout()?, Place::Tracker(TrackerNo(n))))
        });
        trackers.chain(hosts).min()
    }

    fn happen(&mut self, life: Option<Life>, event: Event) {
        let Some(life) = life else {
            if let Event::Wire { conn, wire } = event {
                self.arrive_at_tracker(conn, wire);
            }
            return;
        };
        if !self.is_alive(life) {
            return;
        }
        let host = life.host;
        if let Some(awake) = self.hosts[host.0].clock.sleeps_until(self.now) {
            return self.plan_at(awake, Some(life), event);
        }
        match event {
            Event::Dialled {
                link,
                tracker,
                conn,
                reached,
            } => self.dialled(host, (link, tracker), conn, reached),
            Event::Wire { conn, wire } => self.arrive_at_host(host, conn, wire),
            Event::Packet { from, call, packet } => self.arrive(host, from, call, packet),
            Event::Connected { connection } => self.connected(host, connection),
            Event::Parted { connection } => self.parted(host, connection),
            Event::Overdue { call } => self.overdue(host, call),
            Event::Sent { call, group } => self.sent(host, call, group),
            Event::Pump => self.pump_again(host),
            Event::SentPart { call } => self.sent_part(host, call),
            Event::Idle { call } => self.idle(host, call),
            Event::Written => self.written(host),
            Event::Hashed { ask, entry } => self.hashed(host, ask, entry),
            Event::Greed(greed) => self.ask_greedily(host, greed),
            Event::Publish => self.publish(host),
            Event::Node(event) => self.tell(host, *event),
        }
        self.settle(host);
    }

    /// Tells the core of `host` what has happened.
    pub fn tell(&mut self, host: HostNo, event: node::Event) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        if let Some(overheard) = &mut this.overheard {
            overheard.add(&event);
        }
        this.core.handle(event, now);
    }

    fn settle_place(&mut self, place: Place) {
        match place {
            Place::Tracker(tracker) => self.settle_tracker(tracker),
            Place::Host(host) => self.settle(host),
        }
    }

    /// Cuts the power of `host`: it says goodbye to nobody.
    pub fn kill(&mut self, host: HostNo) {
        self.note(host, "loses its power");
        self.leave_connections(host);
        let host = &mut self.hosts[host.0];
        host.alive = false;
        host.life.number += 1;
    }

    /// Has `host` leave the swarm and end, as its service manager does.
    pub fn stop(&mut self, host: HostNo) {
        self.note(host, "is to stop");
        let now = self.now_at(host);
        self.hosts[host.0].core.handle_stop(now);
        self.settle(host);
    }

    /// `host` has ended: its system closes its connections.
    pub fn switch_off(&mut self, host: HostNo) {
        self.note(host, "ends");
        self.close_connections(host);
        let host = &mut self.hosts[host.0];
        host.alive = false;
        host.life.number += 1;
    }

    /// Switches `host` on again.
    pub fn revive(&mut self, host: HostNo) {
        self.note(host, "has power again");
        let seed = self.random.draw();
        self.hosts[host.0].reborn(seed, self.now);
        self.announce(host);
        self.settle(host);
    }

    /// The hosts that look for peers find `host`.
    fn announce(&mut self, host: HostNo) {
        for looker in (0..self.hosts.len()).map(HostNo) {
            if self.hosts[looker.0].looks_for_peers {
                self.show(host, looker);
            }
        }
    }

    /// `looker` finds all hosts that announce themselves.
    pub fn look_for_peers(&mut self, looker: HostNo) {
        for host in (0..self.hosts.len()).map(HostNo) {
            self.show(host, looker);
        }
    }

    fn show(&mut self, host: HostNo, to: HostNo) {
        let is_open = self.is_open(Place::Host(host), Place::Host(to));
        if host != to && is_open && self.has_mdns {
            let peer = self.hosts[host.0].library.owner();
            let sighted = node::Event::Sighted(peer, vec![self.hosts[host.0].address]);
            let after = self.net.delay();
            self.plan(to, after, Event::Node(sighted.into()));
        }
    }

    /// Another tracker, which hosts know once they are told of it.
    pub fn add_tracker(&mut self) -> TrackerNo {
        let tracker = TrackerNo(self.trackers.len());
        let clock = MachineClock::new(&mut self.random, self.now);
        self.trackers.push(Tracker::new(tracker, clock));
        tracker
    }

    /// `host` sees these trackers from now on.
    pub fn find_trackers(&mut self, host: HostNo, trackers: &[TrackerNo]) {
        self.hosts[host.0].finds = trackers.to_vec();
        let found = LinkCommand::Trackers(trackers.iter().map(to_string).collect());
        let now = self.now_at(host);
        self.hosts[host.0].links.handle_command(found, now);
        self.settle(host);
    }

    /// Cuts the tracker's process off; its system tells all that are connected.
    pub fn kill_tracker(&mut self, tracker: TrackerNo) {
        self.log.add(
            self.now - self.start,
            "tracker",
            format_args!("{tracker:?} dies"),
        );
        self.trackers[tracker.0].alive = false;
        self.close_all_wires(tracker);
    }

    /// A tracker that remembers names, and nothing else.
    pub fn restart_tracker(&mut self, tracker: TrackerNo) {
        self.log.add(
            self.now - self.start,
            "tracker",
            format_args!("{tracker:?} is back"),
        );
        let before = &mut self.trackers[tracker.0];
        let names = before.registry.names(before.clock.at(self.now));
        let clock = MachineClock::new(&mut self.random, self.now);
        let now = clock.at(self.now);
        let mut again = Tracker::new(tracker, clock);
        again.registry.recall_names(&names, now);
        self.trackers[tracker.0] = again;
    }

    /// Separates two groups of places until [`Self::heal`].
    pub fn cut(&mut self, some: &[Place], others: &[Place]) {
        self.log.add(
            self.now - self.start,
            "net",
            format_args!("{some:?} | {others:?}"),
        );
        for a in some {
            for b in others {
                self.net.cut(*a, *b);
            }
        }
    }

    /// Everybody reaches everybody again.
    pub fn heal(&mut self) {
        self.log.add(self.now - self.start, "net", "heals");
        self.net.heal();
        self.resume_wires();
        for host in 0..self.hosts.len() {
            self.resume_slices(HostNo(host));
            // mDNS asks again and again.
            if self.hosts[host].alive && self.hosts[host].looks_for_peers {
                self.look_for_peers(HostNo(host));
            }
        }
    }
}

impl Drop for World {
    /// A failed test says how to see it fail again.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let seed = self.seed;
            // A person who asked for this very seed wants to see all of it.
            let asked = std::env::var_os("P2PMUSIC_SEED").is_some();
            let lines = if asked { usize::MAX } else { SHOWN_LINES };
            eprintln!("{}", self.log.tail(lines));
            eprintln!("again: P2PMUSIC_SEED={seed} cargo test {test}");
        }
    }
}

/// No honest state machine needs so many timeouts at one moment.
const MAX_SPINS: u32 = 2_000;
/// Enough to see how a failure came about.
const SHOWN_LINES: usize = 60;
