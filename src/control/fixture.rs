//! A small swarm for tests.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::server::{ControlConfig, ControlServer};
use crate::{
    audio::PlayerEvent,
    catalog::{Catalogue, Database, DatabaseMember, Entry, ListedEntry, Page, Tag},
    command::{
        execute::{execute, Controls, Executed},
        view::{
            DeviceView, LeftOutView, LibraryView, NodeView, PeerView, PlayerView, StateView,
            TrackerStanding,
        },
        Answer, CommandError, CommandOutcome, CommandRequest, NodeCommand, StateParts,
    },
    config::Role,
    id::{PeerId, TrackId},
    media::Container,
    playback::{
        queue::Queue,
        transport::{Transport, TransportAction},
    },
    protocol::PeerState,
};

/// A track: path, artist, album, number, title, content.
pub type Line = (
    &'static str,
    &'static str,
    &'static str,
    u32,
    &'static str,
    u8,
);

pub const KITCHEN: &[Line] = &[
    (
        "miles/kind of blue/1.flac",
        "Miles Davis",
        "Kind of Blue",
        1,
        "So What",
        1,
    ),
    (
        "miles/kind of blue/2.flac",
        "Miles Davis",
        "Kind of Blue",
        2,
        "Freddie Freeloader",
        2,
    ),
    (
        "miles/kind of blue/3.flac",
        "Miles Davis",
        "Kind of Blue",
        3,
        "Blue in Green",
        3,
    ),
    (
        "sigur/agaetis.mp3",
        "Sigur Rós",
        "Ágætis byrjun",
        1,
        "Svefn-g-englar",
        4,
    ),
    ("untagged.wav", "", "", 0, "", 5),
];

pub const STUDIO: &[Line] = &[
    (
        "copies/so what.flac",
        "Miles Davis",
        "Kind of Blue",
        1,
        "So What",
        1,
    ),
    ("what.mp3", "The Band", "So What If", 7, "Whatever", 6),
    (
        "blue/train.flac",
        "John Coltrane",
        "Blue Train",
        1,
        "Blue Train",
        7,
    ),
];

/// kitchen and studio.
pub fn database() -> Database {
    let members = vec![member("kitchen", 1, KITCHEN), member("studio", 2, STUDIO)];
    Database::new(members, 1)
}

pub fn member(name: &str, id: u8, lines: &[Line]) -> DatabaseMember {
    let peer = PeerId([id; 32]);
    let entry = |line| Some(Entry::Listed(Box::new(listed(line))));
    let entries: Vec<_> = lines.iter().map(entry).collect();
    let page = Page::new(&entries);
    let catalogue = Catalogue::publish(peer, 1, 1, vec![Arc::new(page)], |_| [0; 64]);
    DatabaseMember {
        peer,
        name: name.into(),
        catalogue: Arc::new(catalogue),
        kept_until: None,
    }
}

fn listed(&(path, artist, album, number, title, content): &Line) -> ListedEntry {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let number = number.to_string();
    let tags = [
        (Tag::Artist, artist),
        (Tag::Album, album),
        (Tag::Title, title),
        (Tag::Track, if number == "0" { "" } else { &*number }),
    ];
    ListedEntry {
        dir: dir.into(),
        name: name.into(),
        size: 1000,
        modified: 1_700_000_000,
        track: Some(TrackId([content; 32])),
        rate: 44_100,
        channels: 2,
        bits: Some(16),
        duration: Duration::from_secs(60 * u64::from(content)),
        opening: Box::default(),
        audio_start: 0,
        tags: tags
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .collect(),
        ..ListedEntry::in_container(Container::Flac)
    }
}

fn peers() -> Vec<PeerView> {
    let peer = |name: &str, id, own: bool| PeerView {
        peer: PeerId([id; 32]),
        name: name.into(),
        address: (!own).then(|| "192.168.1.7:4670".parse().expect("an address")),
        state: PeerState::Up,
        tracks: 4,
        own,
    };
    vec![peer("kitchen", 1, true), peer("studio", 2, false)]
}

fn stats() -> Vec<(String, String)> {
    vec![("underruns".to_owned(), "0".to_owned())]
}

fn left_out(path: &str, why: &str, is_listed: bool) -> LeftOutView {
    LeftOutView {
        path: path.into(),
        why: why.into(),
        is_listed,
    }
}

fn library() -> LibraryView {
    LibraryView {
        left_out: 1,
        files: Arc::new([
            left_out("/music/a.mp3", "its tags are damaged", true),
            left_out("/music/b.wav", "it ends too early", false),
        ]),
    }
}

fn devices() -> Vec<DeviceView> {
    vec![DeviceView {
        name: "hw:CARD=DAC".into(),
        description: "A DAC".into(),
        in_use: true,
    }]
}

pub fn view() -> NodeView {
    NodeView {
        peer: PeerId([1; 32]),
        name: "kitchen".into(),
        role: Role::Both,
        standing: TrackerStanding::Registered,
        tracker: "registered with 192.168.1.2:4670".into(),
        output: "hw:CARD=DAC, bit-exact".into(),
        left_out: 1,
        peers: 2,
        tracks: 8,
        arrived: Some(0.5),
        waits_for: None,
        missed: None,
        sources: Vec::new(),
        first_sound: Some(Duration::from_millis(240)),
        no_sound: None,
        problems: vec!["the clock is not set".into()],
        uptime: Duration::from_secs(3600),
        playtime: Duration::from_secs(60),
        db_update: 1_700_000_000,
        updating: None,
    }
}

/// A node without a network.
pub struct FixtureNode {
    pub queue: Queue,
    pub transport: Transport,
    pub database: Database,
    /// Where the current track is.
    pub position: Option<Duration>,
    pub now: Instant,
}

impl FixtureNode {
    pub fn new(database: Database) -> Self {
        Self {
            queue: Queue::new(1),
            transport: Transport::new(30, 100),
            database,
            position: None,
            now: Instant::now(),
        }
    }

    /// # Errors
    /// As of any node.
    pub fn answer(&mut self, request: CommandRequest) -> Result<CommandOutcome, CommandError> {
        let mut controls = Controls {
            queue: &mut self.queue,
            transport: &mut self.transport,
            database: &self.database,
            position: self.position,
            now: self.now,
        };
        let command = match execute(request, &mut controls)? {
            Executed::Outcome(outcome) => return Ok(outcome),
            Executed::Node(command) => command,
        };
        let (queue, transport) = (&self.queue, &self.transport);
        let answer = match command {
            NodeCommand::State => Answer::State(Box::new(StateView {
                node: view(),
                player: PlayerView::new(queue, transport, self.position, &self.database),
            })),
            NodeCommand::Peers => Answer::Peers(peers()),
            NodeCommand::Stats => Answer::Stats(stats()),
            NodeCommand::Devices => Answer::Devices(devices()),
            NodeCommand::Library => Answer::Library(library()),
            NodeCommand::Update { .. } => Answer::Updating(1),
            NodeCommand::Leave | NodeCommand::Join => Answer::Done,
        };
        Ok(answer.into())
    }
}

/// A server at `socket` with a node behind it whose tracks sound at once and
/// never end. Both live as long as the process.
pub fn serve(socket: &Path) {
    let config = ControlConfig {
        socket: socket.to_owned(),
        group: None,
        mpd: None,
        password: None,
        has_player: true,
    };
    let (server, requests, notifier) = ControlServer::bind(&config).expect("a fresh socket");
    thread::spawn(move || smol::block_on(server.run()));
    thread::spawn(move || {
        let mut node = FixtureNode::new(database());
        node.transport = Transport::new(30, 80);
        while let Ok(event) = requests.recv_blocking() {
            event.responder.answer(node.answer(event.request));
            while let Some(action) = node.transport.poll() {
                match action {
                    TransportAction::Start { play, .. } => {
                        let at = Instant::now();
                        let started = PlayerEvent::Started { play, at };
                        node.transport.handle_player(&mut node.queue, started);
                    }
                    TransportAction::Changed(change) => {
                        notifier.notify(StateParts::from(change));
                    }
                    _ => {}
                }
            }
        }
    });
}
