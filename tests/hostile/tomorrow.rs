//! A node of a later version, which means well: what it says that today's nodes do not know is
//! skipped, answered and listed, and they go on. And one of an earlier version.

use minicbor::Encoder;

use crate::{
    common::{audio::Music, Setup},
    liar::{Answers, Liar},
    peer::{ask, dial, endpoint, quic, udp_of, within},
    watch::{serves, Watch},
    wire::{
        connect, frame, hash, kind_of, page_of_texts, receive, receive_kind, register, send, tls,
        wav, Member, PeerRequest, ToTracker, NO_RANGES, OPEN, REGISTERED, UNSUPPORTED, WANT_LIST,
    },
};

/// The texts of its page: a codec that today's nodes do not play stands beside one that they do.
const TEXTS: [&str; 5] = ["", "wav", "pcm", "matroska", "ac5"];

/// A file that cannot be played, with tags of which one is unknown, and with a field that is
/// unknown; of the fields there, one must be understood to play it if `is_needed`.
fn record(name: &str, kind: (u64, u64), is_needed: bool) -> Vec<u8> {
    let mut record = Encoder::new(Vec::new());
    record.map(14).unwrap();
    record.u8(0).unwrap().bytes(&hash(name.as_bytes())).unwrap();
    record.u8(1).unwrap().u8(0).unwrap();
    record.u8(2).unwrap().str(name).unwrap();
    let numbers = [3, 4, 5, 6, 7, 8, 11, 15];
    let values = [
        1000,
        1_000_000_000,
        kind.0,
        kind.1,
        48_000,
        6,
        60_000_000,
        0,
    ];
    for (number, value) in numbers.into_iter().zip(values) {
        record.u8(number).unwrap().u64(value).unwrap();
    }
    record.u8(16).unwrap().bytes(NO_RANGES).unwrap();
    let mut tags = Encoder::new(Vec::new());
    tags.map(2).unwrap().u8(2).unwrap();
    tags.str("Tomorrow's Song").unwrap();
    tags.u16(999).unwrap().array(2).unwrap();
    tags.str("in C").unwrap().f32(440.5).unwrap();
    record.u8(17).unwrap().bytes(&tags.into_writer()).unwrap();
    let number = 60;
    record
        .i32(if is_needed { -1 - number } else { number })
        .unwrap();
    record.map(1).unwrap().str("turns").unwrap().u8(3).unwrap();
    record.into_writer()
}

/// An entry of a kind that today's nodes do not know.
fn playlist() -> Vec<u8> {
    let mut record = Encoder::new(Vec::new());
    record.map(1).unwrap().u8(61).unwrap();
    record.array(1).unwrap().str("a playlist").unwrap();
    record.into_writer()
}

fn page() -> Vec<u8> {
    let records = [
        record("new.mka", (3, 4), false),
        playlist(),
        record("turned.wav", (1, 2), true),
        wav("old.wav", 1_000_000, None, Some("Today's Song")),
    ];
    page_of_texts(&TEXTS, &records)
}

/// Through a tracker of today, to a listener of today.
#[test]
fn its_music_is_listed_and_what_cannot_be_played_says_why() {
    let music = Music::new();
    let frames = music.wav("song.wav", 44_100, 0.5);
    let tracker = Setup::tracker().start();
    let attic = Setup::peer("attic", &tracker).music(music.path()).start();
    attic.wait_until_registered();
    let answers = Answers::Fixed {
        to_resolve: Vec::new(),
        to_get: Vec::new(),
    };
    let tomorrow = Liar::with_entries(4, &tracker, 1, page(), answers);
    attic.wait_for_tracks(&tomorrow.name, 3);

    let found = attic.json(&["search", "tomorrow's"]);
    let files: Vec<_> = found.as_array().unwrap().iter().collect();
    assert_eq!(files.len(), 2, "{found}");
    for (name, why) in [
        ("new.mka", "does not play ac5 in matroska"),
        ("turned.wav", "(field 60)"),
    ] {
        attic.ctl(&["play", &format!("{}/{name}", tomorrow.name)]);
        attic.wait_for_status(why, |status| status.to_string().contains(why));
    }
    serves(&tracker, "attic", "song.wav", &frames);
}

/// It is answered, and what it asks next over the same connection is answered too.
#[test]
fn its_questions_are_answered_with_unsupported_and_its_connections_live() {
    let music = Music::new();
    let frames = music.wav("song.wav", 44_100, 0.5);
    let tracker = Setup::tracker().start();
    let attic = Setup::peer("attic", &tracker).music(music.path()).start();
    attic.wait_until_registered();
    let (watched, watching) = (Watch::begin(&tracker), Watch::begin(&attic));

    let member = Member::new(&OPEN, 1);
    let mut tls = member.tracker(&tracker.tracker_address()).unwrap();
    send(&mut tls, &register("tomorrow", 9)).unwrap();
    receive_kind(&mut tls, REGISTERED).unwrap();
    send(&mut tls, &ToTracker::OfTomorrow).unwrap();
    receive_kind(&mut tls, UNSUPPORTED).unwrap();
    let list = vec![hash(&page())];
    send(&mut tls, &ToTracker::Head(member.head(1, 4, &list))).unwrap();
    receive_kind(&mut tls, WANT_LIST).unwrap();

    let at = udp_of(&attic);
    smol::block_on(async {
        let endpoint = endpoint([127, 0, 0, 1].into());
        let connection = dial(&endpoint, &member, at).await.expect("it is a member");
        for (request, kind) in [
            (PeerRequest::OfTomorrow, DECLINED),
            (PeerRequest::Head, HEAD),
        ] {
            let (_, mut recv) = ask(&connection, &frame(&request)).await.unwrap();
            let answer = within(5, recv.read_to_end(4096)).await.unwrap().unwrap();
            assert_eq!(kind_of(&answer[4..]), Some(kind), "{answer:?}");
        }
    });
    serves(&tracker, "attic", "song.wav", &frames);
    watched.end(&tracker, 8 << 20);
    watching.end(&attic, 8 << 20);
}

/// The kinds of answers of a peer.
const HEAD: u8 = 3;
const DECLINED: u8 = 6;

/// One of the version before, which can be told why nobody talks to it.
#[test]
fn an_older_node_is_told_what_to_do() {
    let tracker = Setup::tracker().start();
    let attic = Setup::peer("attic", &tracker).start();
    attic.wait_until_registered();
    let member = Member::new(&OPEN, 1);
    let older = || {
        let mut config = member.client_config();
        config.alpn_protocols = vec![b"p2pmusic/1".to_vec()];
        config
    };
    let mut tls = tls(older(), connect(&tracker.tracker_address()).unwrap());
    let told = receive(&mut tls).unwrap();
    assert_eq!(told[..2], [2, 3], "no refusal of a name");
    let told = String::from_utf8_lossy(&told[2..]).into_owned();
    assert!(told.contains("install the newer"), "{told}");
    tracker.wait_for_line("an older p2pmusic runs there");

    let closed = smol::block_on(async {
        let endpoint = endpoint([127, 0, 0, 1].into());
        let connecting = endpoint.connect_with(quic(older()), udp_of(&attic), "p2pmusic");
        let connection = within(5, connecting.unwrap()).await.unwrap().unwrap();
        within(5, connection.closed()).await.unwrap()
    });
    assert!(closed.to_string().contains("install the newer"), "{closed}");
    attic.wait_for_line("127.0.0.1: an older p2pmusic runs there");
    let problems = attic.json(&["status"])["node"]["problem"].to_string();
    assert!(
        problems.contains("install this version there"),
        "{problems}"
    );
}
