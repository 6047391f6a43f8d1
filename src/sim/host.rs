//! A host: a real node and link, and simulated everything else.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    client::ControlClient,
    clock::MachineClock,
    connections::ConnectionNo,
    disk::Disk,
    music::{Library, Song},
    net::{address, HostNo, Life, TrackerNo},
    player::{entry_of, Player, Told},
    setting::{Manner, Setting},
    store::Store,
    story::Story,
    swarm::{Call, CallId, Served},
    tracker::to_string,
    world::{Event, Overheard, World},
};
use crate::{
    audio::PlayId,
    catalog::Deposit,
    config::{Resume, Role},
    core::PeerCore,
    id::{PeerId, TrackId},
    node::{
        self, Absence, Acquaintance, AskId, Bookmark, Interfaces, Memory, NodeSetup, PlayerTrack,
        RequestContext,
    },
    protocol::Decline,
    swarm::{budget::Budget, guests::GuestId},
    tenure::TenureRecord,
    tracker::{
        link::{Introduction, LinkCommand},
        links::{LinkId, Links},
        registry::ConnId,
    },
    util::random::Random,
};

/// See the module's description.
pub struct Host {
    pub name: &'static str,
    pub alive: bool,
    pub life: Life,
    pub clock: MachineClock,
    /// Where it is reached by the others.
    pub address: SocketAddr,
    pub core: PeerCore,
    pub links: Links,
    /// The trackers that it sees.
    pub finds: Vec<TrackerNo>,
    pub library: Library,
    pub manner: Manner,
    /// What it answers whatever it is asked for, if anything.
    pub refusal: Option<Decline>,
    /// Where a test listens.
    pub overheard: Option<Overheard>,
    pub conns: BTreeMap<LinkId, ConnId>,
    pub player: Player,
    pub store: Store,
    /// Groups that came although they were here.
    pub twice: u64,
    /// What the node wants to stay.
    pub queued: Vec<TrackId>,
    /// Nothing that arrives can be kept.
    pub disk_is_full: bool,
    pub disk: Disk,
    /// Where in its music it was.
    pub bookmark: Option<Bookmark>,
    /// How long ago that was, if it goes on from there when it starts again.
    pub resumes: Option<Absence>,
    /// The peers that it finds in its state directory when it starts again.
    pub remembered: Vec<Acquaintance>,
    /// The catalogues that its disk has.
    pub archive: BTreeMap<PeerId, Deposit>,
    /// Which names it finds there.
    pub remembered_names: Vec<TenureRecord>,
    /// What its links use to reach others, and what others use to reach it.
    pub ways: BTreeMap<HostNo, ConnectionNo>,
    pub visits: BTreeMap<GuestId, ConnectionNo>,
    /// What it asked of others.
    pub calls: BTreeMap<CallId, Call>,
    /// What others asked of it, and as what its core knows that.
    pub served: BTreeMap<CallId, Served>,
    pub asks: BTreeMap<AskId, CallId>,
    /// Whose turn it is to be sent a group.
    pub turns: VecDeque<Life>,
    pub uplink: u64,
    /// What it may send, where it sets itself a cap; otherwise receivers take turns on its line.
    pub cap: Option<Budget>,
    /// When a sender asks again at the latest, in the world's time.
    pub pumps_at: Option<Instant>,
    pub sending: bool,
    /// Bytes of each track that it has put on its line.
    pub sent: BTreeMap<TrackId, u64>,
    pub publishes: bool,
    pub looks_for_peers: bool,
    /// Whether it is to have a tracker at all.
    wants_tracker: bool,
    name_is_chosen: bool,
    pub client: ControlClient,
    pub stories: BTreeMap<PlayId, Story>,
    /// Up to which byte each track that has ended was heard.
    pub heard: BTreeMap<TrackId, u64>,
}

impl Host {
    pub fn new(no: HostNo, setting: Setting, seed: u64, world: Instant) -> Self {
        let library = Library::new(no.0 as u8, setting.songs.clone());
        let life = Life {
            host: no,
            number: 0,
        };
        let memory = Memory::default();
        let setting = Setting {
            songs: Vec::new(),
            ..setting
        };
        let clock = MachineClock::new(&mut Random::new(seed), world);
        Self::begin((life, clock), library, setting, memory, seed, world)
    }

    /// The host again, after its power was cut: of what was arriving the disk may have
    /// lost some, and all that was in memory.
    pub fn reborn(&mut self, seed: u64, world: Instant) {
        let clock = MachineClock::new(&mut Random::new(seed), world);
        let now = clock.at(world);
        let library = std::mem::replace(&mut self.library, Library::new(0, Vec::new()));
        let habits = Setting {
            name: self.name,
            name_is_chosen: self.name_is_chosen,
            wants_tracker: self.wants_tracker,
            songs: Vec::new(),
            uplink: self.uplink,
            manner: self.manner,
        };
        let memory = Memory {
            peers: std::mem::take(&mut self.remembered),
            names: std::mem::take(&mut self.remembered_names),
            ..match self.resumes {
                Some(_) => self.core.node().memory(),
                None => Memory::default(),
            }
        };
        let memory = match (&self.bookmark, self.resumes) {
            (Some(bookmark), Some(absence)) => memory.go_on(bookmark, Resume::Always, absence),
            _ => memory,
        };
        let (remembered, names) = (memory.peers.clone(), memory.names.clone());
        let archive = std::mem::take(&mut self.archive);
        let address = self.address;
        let mut store = std::mem::take(&mut self.store);
        let mut random = Random::new(seed);
        store
            .0
            .retain(|track, _| library.holds(*track) || !self.disk_is_full);
        for (track, blob) in &mut store.0 {
            if !library.holds(*track) {
                blob.tear(&mut random);
            }
        }
        *self = Self::begin((self.life, clock), library, habits, memory, seed, world);
        self.store = store;
        (self.remembered, self.remembered_names) = (remembered, names);
        for deposit in archive.values() {
            let recalled = node::Event::Recalled(Box::new(deposit.clone()), Duration::ZERO);
            self.core.handle(recalled, now);
        }
        self.archive = archive;
        self.address = address;
    }

    fn begin(
        (life, clock): (Life, MachineClock),
        library: Library,
        habits: Setting,
        memory: Memory,
        seed: u64,
        world: Instant,
    ) -> Self {
        let now = clock.at(world);
        let (name, uplink, manner) = (habits.name, habits.uplink, habits.manner);
        let finds = vec![TrackerNo(0)];
        let links = links(&library, &habits, &finds, seed, now);
        let setup = NodeSetup {
            memory,
            seed,
            ..setup(&library, &habits)
        };
        let mut host = Self {
            name,
            alive: true,
            life,
            clock,
            address: address(life.host),
            core: PeerCore::new(setup, now),
            links,
            finds,
            library,
            manner,
            refusal: None,
            overheard: None,
            conns: BTreeMap::new(),
            player: Player::new(now),
            twice: 0,
            store: Store::default(),
            queued: Vec::new(),
            disk_is_full: false,
            disk: Disk::default(),
            bookmark: None,
            resumes: None,
            remembered: Vec::new(),
            archive: BTreeMap::new(),
            remembered_names: Vec::new(),
            ways: BTreeMap::new(),
            visits: BTreeMap::new(),
            calls: BTreeMap::new(),
            served: BTreeMap::new(),
            asks: BTreeMap::new(),
            turns: VecDeque::new(),
            uplink,
            cap: None,
            pumps_at: None,
            sending: false,
            sent: BTreeMap::new(),
            publishes: false,
            looks_for_peers: false,
            name_is_chosen: habits.name_is_chosen,
            wants_tracker: habits.wants_tracker,
            client: ControlClient::default(),
            stories: BTreeMap::new(),
            heard: BTreeMap::new(),
        };
        let catalogue = host.library.publish();
        host.core.handle(node::Event::Library(catalogue), now);
        host
    }

    /// When time comes to it, in the world's time.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = [
            self.core.poll_timeout(),
            self.links.poll_timeout(),
            self.player.poll_timeout(),
        ];
        let due = due.into_iter().flatten().min()?;
        Some(self.clock.world_at(due))
    }

    /// As the drivers do: whatever woke them, what is due is done.
    pub fn handle_timeout(&mut self, world: Instant) {
        let now = self.clock.at(world);
        if self.core.poll_timeout().is_some_and(|due| due <= now) {
            self.core.handle_timeout(now);
        }
        if self.links.poll_timeout().is_some_and(|due| due <= now) {
            self.links.handle_timeout(now);
        }
    }

    /// Whether its disk takes what arrives; why not.
    pub fn check_disk(&mut self, now: Instant) -> Result<(), String> {
        match self.disk_is_full {
            true => Err(FULL.to_owned()),
            false => self.disk.check(now),
        }
    }

    /// The value of `key` in the last status that a watching client has seen.
    pub fn status(&self, key: &str) -> Option<&str> {
        self.client.status(key)
    }

    pub fn sight(&self, world: Instant) -> RequestContext {
        RequestContext {
            position: self.player.position(),
            wall_clock: self.clock.wall_at(world),
        }
    }

    pub fn find_song(&self, load: &PlayerTrack, world: &[Host]) -> Option<Song> {
        match entry_of(&load.source) {
            Ok(entry) => self.library.song(entry).cloned(),
            Err(track) => world
                .iter()
                .find_map(|host| host.library.find(track).cloned()),
        }
    }
}

impl World {
    /// Does all that `host` wants done now.
    pub fn settle(&mut self, host: HostNo) {
        loop {
            if !self.is_awake(host) {
                return;
            }
            let now = self.now_at(host);
            let this = &mut self.hosts[host.0];
            if let Some(action) = this.links.poll() {
                self.perform_link(host, action);
                continue;
            }
            if let Some(effect) = this.core.poll(now) {
                self.perform(host, effect);
                continue;
            }
            if let Some(order) = this.core.first_order().cloned() {
                this.links.handle_command(order, now);
                this.core.handle_order_taken();
                continue;
            }
            this.player.advance(&this.store, now);
            let told = this.player.take_told();
            if !told.is_empty() {
                self.take_told(host, told);
                continue;
            }
            if !std::mem::take(&mut this.client.looks) {
                return self.check(host);
            }
            self.look(host);
        }
    }

    fn take_told(&mut self, host: HostNo, told: Vec<Told>) {
        for told in told {
            let event = match told {
                Told::Event(event) => {
                    self.write_story(host, &event);
                    node::Event::Player(event)
                }
                Told::Heard { track, offset } => {
                    self.hosts[host.0].heard.insert(track, offset);
                    continue;
                }
                Told::Demand { track, offset } => {
                    self.tell_lost(host, track);
                    node::Event::Demand { track, offset }
                }
            };
            // One at a time, as the driver's loop does it.
            let now = self.now_at(host);
            self.hosts[host.0].core.handle(event, now);
            self.perform_all(host);
        }
    }

    /// A reader, or a checkpoint, has come to something that is not here after all.
    pub fn tell_lost(&mut self, host: HostNo, track: TrackId) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        let blob = this.store.0.entry(track).or_default();
        let groups = blob.take_lost();
        if !groups.is_empty() {
            this.core.handle(node::Event::Lost { track, groups }, now);
        }
    }

    /// A catalogue follows soon, with whatever else is new by then.
    pub fn plan_publish(&mut self, host: HostNo) {
        if !std::mem::replace(&mut self.hosts[host.0].publishes, true) {
            self.plan(host, PUBLISH_AFTER, Event::Publish);
        }
    }

    pub fn publish(&mut self, host: HostNo) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        this.publishes = false;
        let catalogue = this.library.publish();
        this.core.handle(node::Event::Library(catalogue), now);
    }
}

/// What the node of a host is told of itself, with nothing that it remembers.
fn setup(library: &Library, habits: &Setting) -> NodeSetup {
    NodeSetup {
        me: library.owner(),
        name: habits.name.into(),
        name_is_chosen: habits.name_is_chosen,
        role: Role::Peer,
        interfaces: Interfaces::default(),
        found: Vec::new(),
        memory: Memory::default(),
        max_volume: 100,
        names_others: habits.manner != Manner::Alone,
        seed: 0,
        memory_bytes: MEMORY,
        known_after: node::KNOWN_AFTER,
    }
}

/// Links to the trackers that it finds, if it is to have one.
fn links(
    library: &Library,
    habits: &Setting,
    finds: &[TrackerNo],
    seed: u64,
    now: Instant,
) -> Links {
    let introduction = Introduction {
        name: habits.name.into(),
        name_chosen: habits.name_is_chosen,
        known_as: None,
        port: crate::protocol::DEFAULT_PORT,
        bound: None,
    };
    let mut links = Links::new(library.owner(), introduction, seed);
    let trackers = match habits.wants_tracker {
        true => LinkCommand::Trackers(finds.iter().map(to_string).collect()),
        false => LinkCommand::Configured(Vec::new()),
    };
    links.handle_command(trackers, now);
    links
}

/// A small machine's: what catalogues may take of it can be reached in a test.
pub const MEMORY: u64 = 64 << 20;
/// New heads come at most once in so long.
const PUBLISH_AFTER: Duration = Duration::from_secs(2);
/// What a disk says that has no room.
pub const FULL: &str = "no space left";
