//! A host: a real node and link, and simulated everything else.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    client::ControlClient,
    disk::Disk,
    music::{Library, Song},
    net::{address, HostNo, Life, TrackerNo},
    player::{entry_of, Player, Told},
    setting::{Manner, Setting},
    store::Store,
    story::Story,
    swarm::{Call, CallId, Served},
    tracker::to_string,
    world::{Event, World},
};
use crate::{
    catalog::Deposit,
    command::StatePart,
    config::{Resume, Role},
    id::{PeerId, TrackId},
    node::{
        self, Absence, Acquaintance, Action, Archival, Archived, Bookmark, Interfaces, Memory,
        Node, NodeSetup, PlayAction, PlayerAction, PlayerTrack, RequestContext, Via,
    },
    player::PlayId,
    swarm::budget::RecentSends,
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
    /// Where it is reached by the others.
    pub address: SocketAddr,
    pub node: Node,
    pub links: Links,
    /// The trackers that it sees.
    pub finds: Vec<TrackerNo>,
    pub library: Library,
    pub manner: Manner,
    pub conns: BTreeMap<LinkId, ConnId>,
    player: Player,
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
    /// The peers that the node has given addresses for.
    pub reach: BTreeSet<PeerId>,
    /// What it asked of others.
    pub calls: BTreeMap<CallId, Call>,
    /// What others asked of it.
    pub served: BTreeMap<CallId, Served>,
    /// Whose turn it is to be sent a group.
    pub turns: VecDeque<Life>,
    pub uplink: u64,
    /// Whose turn it is where the line is a cap of the host's own; otherwise receivers take
    /// turns on it.
    pub cap: Option<RecentSends>,
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
    pub fn new(no: HostNo, setting: Setting, seed: u64, now: Instant) -> Self {
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
        Self::begin(life, library, setting, memory, seed, now)
    }

    /// The host again, after its power was cut: of what was arriving the disk may have
    /// lost some, and all that was in memory.
    pub fn reborn(&mut self, seed: u64, now: Instant) {
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
                Some(_) => self.node.memory(),
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
        *self = Self::begin(self.life, library, habits, memory, seed, now);
        self.store = store;
        (self.remembered, self.remembered_names) = (remembered, names);
        for deposit in archive.values() {
            let recalled = node::Event::Recalled(Box::new(deposit.clone()), Duration::ZERO);
            self.node.handle(recalled, now);
        }
        self.archive = archive;
        self.address = address;
    }

    fn begin(
        life: Life,
        library: Library,
        habits: Setting,
        memory: Memory,
        seed: u64,
        now: Instant,
    ) -> Self {
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
            address: address(life.host),
            node: Node::new(setup, now),
            links,
            finds,
            library,
            manner,
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
            reach: BTreeSet::new(),
            calls: BTreeMap::new(),
            served: BTreeMap::new(),
            turns: VecDeque::new(),
            uplink,
            cap: None,
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
        host.node.handle(node::Event::Library(catalogue), now);
        host
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = [
            self.node.poll_timeout(),
            self.links.poll_timeout(),
            self.player.poll_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    /// As the drivers do: whatever woke them, what is due is done.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.node.poll_timeout().is_some_and(|due| due <= now) {
            self.node.handle_timeout(now);
        }
        if self.links.poll_timeout().is_some_and(|due| due <= now) {
            self.links.handle_timeout(now);
        }
    }

    /// The value of `key` in the last status that a watching client has seen.
    pub fn status(&self, key: &str) -> Option<&str> {
        self.client.status(key)
    }

    pub fn sight(&self) -> RequestContext {
        RequestContext {
            position: self.player.position(),
            wall_clock: 0,
        }
    }

    fn find_song(&self, load: &PlayerTrack, world: &[Host]) -> Option<Song> {
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
            let now = self.now;
            let this = &mut self.hosts[host.0];
            if !this.alive {
                return;
            }
            if let Some(action) = this.links.poll() {
                self.perform_link(host, action);
                continue;
            }
            if let Some(action) = this.node.poll(now) {
                self.perform(host, action);
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
            self.hosts[host.0].node.handle(event, self.now);
            while let Some(action) = self.hosts[host.0].node.poll(self.now) {
                self.perform(host, action);
            }
        }
    }

    /// A reader, or a checkpoint, has come to something that is not here after all.
    fn tell_lost(&mut self, host: HostNo, track: TrackId) {
        let this = &mut self.hosts[host.0];
        let blob = this.store.0.entry(track).or_default();
        let groups = blob.take_lost();
        if !groups.is_empty() {
            this.node
                .handle(node::Event::Lost { track, groups }, self.now);
        }
    }

    pub fn perform(&mut self, host: HostNo, action: Action) {
        let now = self.now;
        let this = &mut self.hosts[host.0];
        match action {
            Action::Play(action) => self.perform_play(host, action),
            Action::Transport(order) => self.perform_order(host, order),
            Action::Want(want) if want.via == Via::Owner => {
                self.call_owner(host, want.owner, want.what);
            }
            Action::Greet(peer, greeting) => self.call_greet(host, peer, greeting),
            Action::LookForPeers(look) => {
                this.looks_for_peers = look;
                if look {
                    self.look_for_peers(host);
                }
            }
            Action::Bookmark => {
                let bookmark = this.node.bookmark(this.player.position());
                this.bookmark = bookmark.or(this.bookmark.take());
            }
            Action::Remember => {
                let memory = this.node.memory();
                (this.remembered, this.remembered_names) = (memory.peers, memory.names);
            }
            Action::Want(want) => {
                let (owner, what) = (want.owner, want.what);
                this.links
                    .handle_command(LinkCommand::Want { owner, what }, now);
            }
            Action::Archive(order) => self.archive(host, order),
            Action::Publish(own) => this.links.handle_command(LinkCommand::Publish(own), now),
            Action::Addresses(peer, addresses) => {
                match addresses.is_empty() {
                    true => this.reach.remove(&peer),
                    false => this.reach.insert(peer),
                };
            }
            Action::Answer(ask, answer) => self.answer(host, ask, answer),
            Action::Reply(ask, outcome) => _ = this.client.replies.insert(ask, outcome),
            Action::Changed(what) => this.client.looks |= what.contains(StatePart::Player),
            Action::Queued(tracks) => this.queued = tracks,
            Action::Rescan { .. } => {}
            Action::Outdo(head) => {
                if this.library.outdo(&head.head) {
                    self.publish(host);
                }
            }
            Action::Leave => this.links.handle_command(LinkCommand::Leave, now),
            Action::Join => this.links.handle_command(LinkCommand::Join, now),
        }
    }

    /// The disk takes its time.
    fn archive(&mut self, host: HostNo, order: Archival) {
        let archive = &mut self.hosts[host.0].archive;
        let evicted = Vec::new();
        let done = match order {
            Archival::Write(deposit) => {
                archive.insert(deposit.catalogue.owner(), *deposit);
                Archived::Done { evicted }
            }
            Archival::Remove(owner) => {
                archive.remove(&owner);
                Archived::Done { evicted }
            }
            Archival::Seen(_) => Archived::Done { evicted },
            Archival::Judge => Archived::Judged { disowned: evicted },
        };
        let event = node::Event::Archived(done);
        self.plan(host, WRITING, Event::Node(event.into()));
    }

    fn perform_order(&mut self, host: HostNo, order: PlayerAction) {
        let now = self.now;
        self.note(host, format_args!("{order:?}"));
        let this = &mut self.hosts[host.0];
        // What was heard until now counts.
        this.player.advance(&this.store, now);
        match order {
            PlayerAction::Pause => this.player.pause(true, now),
            PlayerAction::Resume => this.player.pause(false, now),
            PlayerAction::Stop => {
                this.player.stop();
                this.drop_stories(|_| true);
            }
            PlayerAction::ClearNext => this.player.clear_next(),
            PlayerAction::Seek { play, to } => this.player.seek(play, to, now),
            PlayerAction::Volume(_) => {}
        }
    }

    fn perform_play(&mut self, host: HostNo, action: PlayAction) {
        let this = &mut self.hosts[host.0];
        match action {
            PlayAction::Resolve { play, peer, entry } => self.call_resolve(host, play, peer, entry),
            PlayAction::Fetch {
                fetch,
                source,
                size,
                groups,
                class,
                renew: _,
            } => {
                self.call_get(host, fetch, source, size, groups, class);
            }
            PlayAction::Cancel(fetch) => self.cancel(host, fetch),
            PlayAction::Open { track, size } => {
                let blob = this.store.0.entry(track).or_default();
                (blob.size, blob.failed) = (size, None);
                let kept = blob.have.clone();
                let answer = Ok(kept.clone());
                this.node
                    .handle(node::Event::Opened { track, answer }, self.now);
                if this.disk_is_full {
                    let why = "no space left".to_owned();
                    this.node
                        .handle(node::Event::Unkept { track, kept, why }, self.now);
                }
                self.open_on_disk(host, track);
            }
            PlayAction::Load(load) => self.load(host, load),
            PlayAction::Hold(play) => this.player.hold(play, true),
            PlayAction::Sound(play) => this.player.hold(play, false),
            PlayAction::Keep(track) if !this.store.0[&track].torn.is_empty() => {
                self.tell_lost(host, track);
            }
            PlayAction::Keep(track) => {
                let size = this.store.0.get(&track).map_or(0, |blob| blob.size);
                this.library.hold(track, size);
                self.note(host, format_args!("keeps {track}"));
                self.plan_publish(host);
            }
            PlayAction::GiveUp { track, why } => {
                self.note(host, format_args!("gives {track} up: {why}"));
                let blob = self.hosts[host.0].store.0.entry(track).or_default();
                blob.failed = Some(why);
            }
            PlayAction::Forget { track, groups } => {
                let blob = this.store.0.entry(track).or_default();
                blob.have = blob.have.difference(&groups);
            }
            PlayAction::Close(track) => {
                self.close_on_disk(host, track);
                self.note(host, format_args!("closes {track}"));
            } // The node keeps this one to itself.
        }
    }

    fn load(&mut self, host: HostNo, load: PlayerTrack) {
        let song = self.hosts[host.0].find_song(&load, &self.hosts);
        let song = song.expect("what a catalogue lists is somewhere");
        let next = load.next;
        self.note(
            host,
            format_args!("loads {} as {}, next: {next}", song.name, load.play.0),
        );
        let this = &mut self.hosts[host.0];
        if !next {
            this.drop_stories(|_| true);
        }
        let story = Story {
            song: song.name.clone(),
            ..Story::default()
        };
        this.stories.insert(load.play, story);
        this.player.load(load, song, self.now);
    }

    /// A catalogue follows soon, with whatever else is new by then.
    pub fn plan_publish(&mut self, host: HostNo) {
        if !std::mem::replace(&mut self.hosts[host.0].publishes, true) {
            self.plan(host, PUBLISH_AFTER, Event::Publish);
        }
    }

    pub fn publish(&mut self, host: HostNo) {
        let this = &mut self.hosts[host.0];
        this.publishes = false;
        let catalogue = this.library.publish();
        this.node.handle(node::Event::Library(catalogue), self.now);
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
/// A card's.
const WRITING: Duration = Duration::from_millis(150);
/// New heads come at most once in so long.
const PUBLISH_AFTER: Duration = Duration::from_secs(2);
