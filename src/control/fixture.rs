//! A small swarm for tests.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    mpd::apply::{apply, updating, Context, Errand},
    server::{ControlConfig, ControlServer},
    view::{DeviceView, LeftOutView, LibraryView, NodeView, PeerView, Subsystems},
};
use crate::{
    catalog::{Catalogue, Database, DatabaseMember, Entry, ListedEntry, Page, Tag},
    config::Role,
    id::{PeerId, TrackId},
    media::Container,
    player::{
        queue::Queue,
        transport::{Transport, TransportAction},
        PlayerEvent,
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

pub fn peers() -> Vec<PeerView> {
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

pub fn stats() -> Vec<(&'static str, String)> {
    vec![("underruns", "0".to_owned())]
}

fn left_out(path: &str, why: &str, is_listed: bool) -> LeftOutView {
    LeftOutView {
        path: path.into(),
        why: why.into(),
        is_listed,
    }
}

pub fn view(role: Role) -> NodeView {
    NodeView {
        peer: PeerId([1; 32]),
        name: "kitchen".into(),
        role,
        tracker: "registered with 192.168.1.2:4670".into(),
        output: "hw:CARD=DAC, bit-exact".into(),
        devices: vec![DeviceView {
            name: "hw:CARD=DAC".into(),
            description: "A DAC".into(),
            in_use: true,
        }],
        position: None,
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
        library: LibraryView {
            left_out: 1,
            files: Arc::new([
                left_out("/music/a.mp3", "its tags are damaged", true),
                left_out("/music/b.wav", "it ends too early", false),
            ]),
        },
        updating: None,
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
    };
    let (server, requests, notifier) = ControlServer::bind(&config).expect("a fresh socket");
    thread::spawn(move || smol::block_on(server.run()));
    thread::spawn(move || {
        let (mut queue, mut transport) = (Queue::new(1), Transport::new(30, 80));
        let (database, view) = (database(), view(Role::Both));
        while let Ok(event) = requests.recv_blocking() {
            let mut context = Context {
                queue: &mut queue,
                transport: &mut transport,
                database: &database,
                view: &view,
                peers: &peers,
                stats: &stats,
                now: Instant::now(),
            };
            let result = apply(event.request, &mut context);
            match event.responder.answer(result) {
                Some((Errand::Update { .. }, responder)) => responder.finish(Ok(updating(1))),
                Some((Errand::Leave | Errand::Join, responder)) => {
                    responder.finish(Ok(Default::default()))
                }
                None => {}
            }
            while let Some(action) = transport.poll() {
                match action {
                    TransportAction::Start { play, .. } => {
                        transport.handle_player(
                            &mut queue,
                            PlayerEvent::Started {
                                play,
                                at: Instant::now(),
                            },
                        );
                    }
                    TransportAction::Changed(change) => {
                        notifier.notify(Subsystems::from(change));
                    }
                    _ => {}
                }
            }
        }
    });
}
