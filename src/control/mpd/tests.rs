use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{
    args::{quote, Ack, AckCode},
    command::{parse, MpdCommand},
    print::{print, RowPrinter},
    reply::Reply,
    tag::TagMask,
};
use crate::{
    audio::PlayerEvent,
    catalog::{Database, KEPT_FOR},
    command::{
        plan::{Plan, PlanStep},
        Command, CommandOutcome, CommandRequest, DatabaseCommand, Placing,
    },
    control::fixture::{self, FixtureNode},
    playback::transport::PlayState,
};

/// A node and a client of it.
struct Harness {
    node: FixtureNode,
    /// Tracks that a plan looks at in a step.
    budget: usize,
}

impl Harness {
    fn new() -> Self {
        Self {
            node: FixtureNode::new(fixture::database()),
            budget: 2,
        }
    }

    /// Carries out a line to its end, as a client's task would.
    fn ask(&mut self, line: &str) -> Result<String, Ack> {
        let MpdCommand::Node(command, form) = parse(line).map_err(|(_, ack)| ack)? else {
            panic!("{line} is the session's");
        };
        let mut request = CommandRequest::Command(command);
        let mut text = String::new();
        'request: loop {
            let mut plan = match self.node.answer(request)? {
                CommandOutcome::Answer(answer) => {
                    let mut reply = Reply::new();
                    print(&answer, form, &mut reply);
                    return Ok(text + reply.as_str());
                }
                CommandOutcome::Query(query) => Plan::new(*query),
            };
            let mut rows = RowPrinter::new(form, TagMask::ALL);
            loop {
                match plan.step(self.budget, &mut rows) {
                    PlanStep::Wrote => text.push_str(rows.take().as_str()),
                    PlanStep::Done => return Ok(text),
                    PlanStep::Failed(error) => return Err(error.into()),
                    PlanStep::Insert(insertion) => {
                        request = CommandRequest::Insert(insertion);
                        continue 'request;
                    }
                }
            }
        }
    }

    fn text(&mut self, line: &str) -> String {
        self.ask(line).unwrap_or_else(|ack| panic!("{line}: {ack}"))
    }

    /// The values of `key` in the answer.
    fn values(&mut self, line: &str, key: &str) -> Vec<String> {
        let text = self.text(line);
        let pairs = text.lines().filter_map(|line| line.split_once(": "));
        let values = pairs.filter(|(name, _)| *name == key);
        values.map(|(_, value)| value.to_owned()).collect()
    }
}

#[test]
fn the_root_has_a_directory_for_each_peer() {
    let mut node = Harness::new();
    assert_eq!(node.values("lsinfo", "directory"), ["kitchen", "studio"]);
    assert_eq!(node.values("lsinfo", "file"), [] as [&str; 0]);
    let here = "lsinfo kitchen/miles";
    assert_eq!(
        node.values(here, "directory"),
        ["kitchen/miles/kind of blue"]
    );
    assert_eq!(
        node.values("lsinfo /kitchen/", "file"),
        ["kitchen/untagged.wav"]
    );
    assert_eq!(
        node.values("listfiles kitchen", "directory"),
        ["miles", "sigur"]
    );
    let ack = node.ask("lsinfo attic").unwrap_err();
    assert_eq!(ack.code, AckCode::NoExist);
    assert_eq!(
        node.text("listall studio"),
        "directory: studio\n\
         directory: studio/blue\nfile: studio/blue/train.flac\n\
         directory: studio/copies\nfile: studio/copies/so what.flac\n\
         file: studio/what.mp3\n"
    );
}

#[test]
fn equal_tracks_are_found_once() {
    let mut node = Harness::new();
    let so_what = ["kitchen/miles/kind of blue/1.flac"];
    assert_eq!(node.values("find title \"So What\"", "file"), so_what);
    assert_eq!(
        node.values("search any \"so what\" window 0:1", "file"),
        so_what
    );
    assert_eq!(node.values("count artist \"Miles Davis\"", "songs"), ["3"]);
    let sorted = node.values("find \"(artist == 'Miles Davis')\" sort -Title", "Title");
    assert_eq!(sorted, ["So What", "Freddie Freeloader", "Blue in Green"]);
}

#[test]
fn values_are_listed_within_their_groups() {
    let mut node = Harness::new();
    assert_eq!(
        node.text("list album \"(artist != '')\" group albumartist"),
        "AlbumArtist: John Coltrane\nAlbum: Blue Train\n\
         AlbumArtist: Miles Davis\nAlbum: Kind of Blue\n\
         AlbumArtist: Sigur Rós\nAlbum: Ágætis byrjun\n\
         AlbumArtist: The Band\nAlbum: So What If\n"
    );
    assert_eq!(
        node.values("list album \"Miles Davis\"", "Album"),
        ["Kind of Blue"]
    );
}

#[test]
fn a_few_words_choose_what_was_meant() {
    let cases: [(&str, &str, &[&str]); 18] = [
        ("so what", "track", &["So What"]),
        ("whatever", "track", &["Whatever"]),
        // The whole of what has a word in its name, from its beginning.
        ("what", "album", &["Whatever"]),
        ("kind", "album", KIND_OF_BLUE),
        ("davis blue", "album", KIND_OF_BLUE),
        ("miles", "artist", KIND_OF_BLUE),
        ("davis", "artist", KIND_OF_BLUE),
        ("copies", "directory", &["So What"]),
        ("freddie", "track", &["Freddie Freeloader"]),
        ("untagged", "track", &[""]),
        ("kind of blue", "album", KIND_OF_BLUE),
        ("miles davis", "artist", KIND_OF_BLUE),
        ("SIGUR svefn", "track", &["Svefn-g-englar"]),
        ("agaetis byrjun", "album", &["Svefn-g-englar"]),
        ("blue train", "album", &["Blue Train"]),
        ("studio/copies", "directory", &["So What"]),
        ("kitchen/sigur/agaetis.mp3", "track", &["Svefn-g-englar"]),
        ("kitchen/miles", "directory", KIND_OF_BLUE),
    ];
    for (words, what, titles) in cases {
        let mut node = Harness::new();
        let reply = node.text(&format!("p2p_play \"{words}\""));
        assert!(
            reply.starts_with(&format!("p2p_match: {what}\n")),
            "{words}: {reply}"
        );
        let queued = match titles {
            [""] => node.values("playlistinfo", "file"),
            _ => node.values("playlistinfo", "Title"),
        };
        match titles {
            [""] => assert_eq!(queued, ["kitchen/untagged.wav"], "{words}"),
            titles => assert_eq!(queued, titles, "{words}"),
        }
        assert_eq!(node.node.transport.state(), PlayState::Play);
    }
    let ack = Harness::new().ask("p2p_play polka").unwrap_err();
    assert_eq!(ack.code, AckCode::NoExist);
    assert!(ack.text.contains("polka"), "{ack}");
    assert!(Harness::new().ask("p2p_play \"\u{301}\"").is_err());
}

/// A person that is told only that nobody has it looks for a mistake in the words.
#[test]
fn what_only_an_owner_has_that_is_away_is_named_with_that_owner() {
    let mut node = Harness::new();
    let mut kitchen = fixture::member("kitchen", 1, fixture::KITCHEN);
    kitchen.kept_until = Some(node.node.now + KEPT_FOR);
    node.node.now += Duration::from_secs(3 * 3600);
    let studio = fixture::member("studio", 2, fixture::STUDIO);
    node.node.database = Database::new(vec![kitchen, studio], 1);
    let svefn = "kitchen/sigur/agaetis.mp3";
    for (line, said) in [
        ("p2p_play svefn", "\"svefn\" is on kitchen"),
        ("p2p_play sigur ros", "\"sigur ros\" is on kitchen"),
        (
            "p2p_play_last \"agaetis byrjun\"",
            "\"agaetis byrjun\" is on kitchen",
        ),
        (
            &format!("p2p_play {svefn}"),
            &format!("{svefn:?} is on kitchen"),
        ),
        (&format!("add {svefn}"), &format!("{svefn:?} is on kitchen")),
        ("add svefn", "\"svefn\" is on kitchen"),
        ("add \"sigur ros\" 0", "\"sigur ros\" is on kitchen"),
        ("addid svefn", "\"svefn\" is on kitchen"),
        ("lsinfo kitchen/sigur", "\"kitchen/sigur\" is on kitchen"),
    ] {
        let ack = node.ask(line).unwrap_err();
        let why = ", which has been away for 3 h; nobody who is here has a copy";
        assert_eq!(
            (ack.code, ack.text),
            (AckCode::NoExist, format!("{said}{why}")),
            "{line}"
        );
    }
    // Of this, the studio has a copy.
    assert_eq!(
        node.values("p2p_play \"kind of blue\"", "Title"),
        ["So What"]
    );
    for line in ["p2p_play polka", "add kitchen/polka", "lsinfo kitchen/sig"] {
        let text = node.ask(line).unwrap_err().text;
        assert!(
            text.starts_with("nobody who is here has "),
            "{line}: {text}"
        );
    }
    let alone = node.node.database.members()[1].clone();
    node.node.database = Database::new(vec![alone], 2);
    let text = node.ask("lsinfo kitchen").unwrap_err().text;
    let all = "kitchen has been away for 3 h, and nobody who is here has copies of its tracks";
    assert_eq!(text, all);
}

const KIND_OF_BLUE: &[&str] = &["So What", "Freddie Freeloader", "Blue in Green"];

/// A peer with these tracks, of the tags that the fixture has.
fn with(lines: &'static [fixture::Line]) -> Harness {
    let mut node = Harness::new();
    node.node.database = Database::new(vec![fixture::member("kitchen", 1, lines)], 1);
    node
}

#[test]
fn an_album_of_many_artists_or_discs_is_played_whole() {
    let mut node = with(&[
        ("hits/2 b.flac", "Queen", "Greatest Hits", 2, "B", 2),
        ("hits/1 a.flac", "Queen", "Greatest Hits", 1, "A", 1),
        ("more/1.flac", "Abba", "Greatest Hits", 1, "Waterloo", 3),
        ("mix/2.flac", "Can", "Sampler", 2, "Vitamin C", 4),
        ("mix/1.flac", "Neu!", "Sampler", 1, "Hallogallo", 5),
        ("wall/cd2/1.flac", "Floyd", "Wall", 1, "Hey You", 7),
        ("wall/cd1/1.flac", "Floyd", "Wall", 1, "Flesh", 6),
        ("bare/Bach/Goldberg/02.wav", "", "", 0, "", 9),
        ("bare/Bach/Goldberg/01.wav", "", "", 0, "", 8),
    ]);
    for (words, what, files) in [
        ("sampler", "album", vec!["mix/1.flac", "mix/2.flac"]),
        (
            "queen greatest hits",
            "album",
            vec!["hits/1 a.flac", "hits/2 b.flac"],
        ),
        ("greatest", "album", vec!["hits/1 a.flac", "hits/2 b.flac"]),
        ("abba hits", "album", vec!["more/1.flac"]),
        ("the wall", "", vec![]),
        ("wall", "album", vec!["wall/cd1/1.flac", "wall/cd2/1.flac"]),
        (
            "goldberg",
            "directory",
            vec!["bare/Bach/Goldberg/01.wav", "bare/Bach/Goldberg/02.wav"],
        ),
        (
            "bach gold",
            "directory",
            vec!["bare/Bach/Goldberg/01.wav", "bare/Bach/Goldberg/02.wav"],
        ),
    ] {
        let reply = node.ask(&format!("p2p_play {words}"));
        if what.is_empty() {
            assert!(reply.is_err(), "{words}: {reply:?}");
            continue;
        }
        let reply = reply.unwrap();
        assert!(
            reply.starts_with(&format!("p2p_match: {what}\n")),
            "{words}: {reply}"
        );
        let queued = node.values("playlistinfo", "file");
        let queued: Vec<_> = queued
            .iter()
            .map(|file| &file["kitchen/".len()..])
            .collect();
        assert_eq!(queued, files, "{words}");
    }
}

/// A week of it does not fill the queue.
#[test]
fn play_replaces_the_queue_and_refuses_nothing_found() {
    let mut node = Harness::new();
    node.text("add kitchen/miles");
    node.text("play 0");
    let told = node.values("p2p_play whatever", "Title");
    assert_eq!(told, ["Whatever"]);
    assert_eq!(node.values("playlistinfo", "Title"), ["Whatever"]);
    for _ in 0..100 {
        node.text("p2p_play \"kind of blue\"");
        assert_eq!(node.values("playlistinfo", "Title"), KIND_OF_BLUE);
        assert_eq!(node.values("status", "song"), ["0"]);
    }
    assert!(node.ask("p2p_play polka").is_err());
    assert_eq!(node.values("playlistinfo", "Title"), KIND_OF_BLUE);
    node.text("stop");
    assert_eq!(node.values("p2p_play", "Title"), KIND_OF_BLUE);
    assert_eq!(node.values("status", "state"), ["play"]);
}

#[test]
fn what_is_to_come_next_or_last_interrupts_nothing() {
    let mut node = Harness::new();
    // Where nothing plays, it is played.
    node.text("p2p_play_last \"kind of blue\"");
    assert_eq!(node.values("status", "state"), ["play"]);
    assert_eq!(node.values("p2p_play_next whatever", "Title"), ["Whatever"]);
    node.text("p2p_play_last svefn");
    assert_eq!(node.values("status", "song"), ["0"]);
    assert_eq!(
        node.values("playlistinfo", "Title"),
        [
            "So What",
            "Whatever",
            "Freddie Freeloader",
            "Blue in Green",
            "Svefn-g-englar"
        ]
    );
    assert!(node.ask("p2p_play_next").is_err());
}

/// What has been played makes room; where nothing has, the refusal says what to do.
#[test]
fn a_full_queue_says_what_to_do() {
    let mut node = Harness::new();
    node.text("add kitchen/untagged.wav");
    let item = node.node.queue.slots()[0].item.clone();
    let many = vec![item; crate::playback::queue::MAX_QUEUE - 1];
    node.node.queue.insert(many, None).unwrap();
    node.text("play 0");
    for line in [
        "p2p_play_last whatever",
        "p2p_play_next whatever",
        "add studio/what.mp3",
    ] {
        let ack = node.ask(line).unwrap_err();
        assert_eq!(ack.code, AckCode::PlaylistMax);
        assert!(ack.text.contains("p2pmusic ctl clear"), "{line}: {ack}");
    }
    node.text("play 5");
    node.text("p2p_play_last \"kind of blue\"");
    let full = crate::playback::queue::MAX_QUEUE.to_string();
    assert_eq!(node.values("status", "playlistlength"), [full]);
    assert_eq!(node.values("status", "song"), ["2"]);
    node.text("p2p_play whatever");
    assert_eq!(node.values("status", "playlistlength"), ["1"]);
}

#[test]
fn the_queue_is_edited_by_position_and_id() {
    let mut node = Harness::new();
    assert_eq!(node.values("addid kitchen/untagged.wav", "Id"), ["1"]);
    assert!(node.ask("add nobody/x").is_err());
    node.text("findadd artist \"Miles Davis\" sort title position 0");
    let titles = |node: &mut Harness| node.values("playlistinfo", "file").len();
    assert_eq!(titles(&mut node), 4);
    let ids = node.values("playlistinfo", "Id");
    assert_eq!(ids, ["2", "3", "4", "1"]);
    node.text("moveid 1 0");
    node.text("swapid 1 2");
    node.text("play 1");
    node.text("move 3 +0");
    assert_eq!(node.values("playlistinfo", "Id"), ["2", "1", "4", "3"]);
    node.text("move 0 +0");
    assert_eq!(node.values("playlistinfo", "Id"), ["1", "2", "4", "3"]);
    node.text("delete 2:");
    assert_eq!(node.values("playlistid", "Id"), ["1", "2"]);
    assert_eq!(node.values("playlistid 2", "Pos"), ["1"]);
    assert_eq!(node.ask("deleteid 9").unwrap_err().code, AckCode::NoExist);
    let version = node.values("status", "playlist").remove(0);
    node.text("swap 0 1");
    assert_eq!(
        node.text(&format!("plchangesposid {version}")),
        "cpos: 0\nId: 2\ncpos: 1\nId: 1\n"
    );
}

#[test]
fn a_tag_groups_once() {
    let mut harness = Harness::new();
    for line in [
        "list title group title",
        "list title group album group album",
    ] {
        assert_eq!(harness.ask(line).unwrap_err().code, AckCode::Arg, "{line}");
    }
    assert!(harness.ask("list title group album group artist").is_ok());
}

#[test]
fn slashes_at_the_ends_of_a_path_do_not_matter() {
    let mut harness = Harness::new();
    let plain = harness.text("lsinfo kitchen/miles");
    assert_eq!(harness.text("lsinfo //kitchen/miles/"), plain);
    harness.text("add /kitchen/miles/");
    assert_eq!(harness.values("playlistinfo", "Title"), KIND_OF_BLUE);
}

#[test]
fn places_beyond_all_numbers_are_refused() {
    let mut harness = Harness::new();
    harness.text("add kitchen/miles");
    let most = usize::MAX;
    for line in [
        format!("move 0 {most}"),
        format!("move 0:2 {most}"),
        format!("move 0: {most}"),
        format!("moveid 1 {most}"),
        format!("move {most} 0"),
        format!("move {}:{most} 0", most - 1),
        format!("swap 0 {most}"),
        format!("delete {most}:"),
        format!("play {most}"),
        format!("seek {most} 1"),
        format!("add kitchen/sigur {most}"),
        format!("addid kitchen/untagged.wav {most}"),
    ] {
        assert!(harness.ask(&line).is_err(), "{line}");
    }
    for line in [
        format!("playlistinfo {most}:"),
        format!("playlistinfo 0:{most}"),
        format!("shuffle {most}:"),
        format!("search any e window {most}:"),
        format!("plchanges 0 {most}:"),
    ] {
        let _ = harness.ask(&line);
    }
    assert_eq!(harness.values("playlistinfo", "Title"), KIND_OF_BLUE);
}

#[test]
fn status_tells_of_the_current_song() {
    let mut node = Harness::new();
    node.text("p2p_play \"kind of blue\"");
    let play = node.node.transport.play_id().expect("it plays");
    node.node.transport.handle_player(
        &mut node.node.queue,
        PlayerEvent::Started {
            play,
            at: Instant::now(),
        },
    );
    node.node.position = Some(Duration::from_millis(12_345));
    let status = node.text("status");
    for line in [
        "state: play",
        "song: 0",
        "nextsong: 1",
        "time: 12:60",
        "elapsed: 12.345",
        "duration: 60.000",
        "audio: 44100:16:2",
        "volume: 30",
    ] {
        assert!(
            status.lines().any(|other| other == line),
            "{line} in {status}"
        );
    }
    node.node.transport.handle_player(
        &mut node.node.queue,
        PlayerEvent::Failed {
            play,
            why: "gone".into(),
        },
    );
    let error = ["kitchen/miles/kind of blue/1.flac: gone"];
    assert_eq!(node.values("status", "error"), error);
    node.text("clearerror");
    assert_eq!(node.values("status", "error"), [] as [&str; 0]);
}

proptest! {
    #[test]
    fn answers_do_not_depend_on_the_size_of_steps(budget in 1..20usize) {
        for line in ["listallinfo", "search any e sort title", "list title group album", "count any a", "lsinfo kitchen"] {
            let mut node = Harness::new();
            let whole = node.text(line);
            node.budget = budget;
            prop_assert_eq!(node.text(line), whole);
        }
    }

    #[test]
    fn any_words_find_something_or_nothing(words in ".{0,20}") {
        let command = DatabaseCommand::PlayBest(words.clone(), Placing::Instead);
        let request = CommandRequest::Command(Command::Database(command));
        let _ = Harness::new().node.answer(request);
        let _ = Harness::new().ask(&format!("p2p_play {}", quote(&words)));
    }
}
