//! What nodes say of themselves: that it adds up, and that it can be read.

mod common;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use common::{audio::Music, Node, Setup, PATIENCE};
use serde_json::Value;

fn number(value: &Value, name: &str) -> u64 {
    let number = value[name].as_u64();
    number.unwrap_or_else(|| panic!("no {name} in {value:#}"))
}

/// What `node` says of the peer `name`.
fn of_peer(node: &Node, name: &str) -> Value {
    let stats = node.json(&["stats"]);
    let mut peers = stats["peers"].as_array().unwrap().iter();
    let found = peers.find(|peer| peer["peer"] == name);
    found.cloned().unwrap_or(Value::Null)
}

/// How many plays were measured, of all and by where their bytes were.
fn first_sounds(stats: &Value) -> [u64; 4] {
    let count = |from: &str| number(&stats["first_sound"][from], "count");
    ["all", "swarm", "cache", "own_disk"].map(count)
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Plays `what` to its end, and gives the numbers after that.
fn hear(node: &Node, what: &str) -> Value {
    node.ctl_ok(&["clear"]);
    node.ctl_ok(&["play", what]);
    node.wait_for_end();
    node.json(&["stats"])
}

#[test]
fn bytes_are_counted_where_they_came_from_and_where_they_went() {
    let (theirs, same, own) = (Music::new(), Music::new(), Music::new());
    theirs.wav("song.wav", 44_100, 3.0);
    fs::copy(theirs.path().join("song.wav"), same.path().join("song.wav")).unwrap();
    own.wav("own.wav", 44_100, 1.0);
    let song = size(&theirs.path().join("song.wav"));
    let tracker = Setup::tracker().start();
    let attic = Setup::peer("attic", &tracker).music(theirs.path()).start();
    let cellar = Setup::peer("cellar", &tracker).music(same.path()).start();
    let player = Setup::peer("player", &tracker).music(own.path()).start();
    for (peer, tracks) in [("attic", 1), ("cellar", 1), ("player", 1)] {
        player.wait_for_tracks(peer, tracks);
    }
    assert_eq!(first_sounds(&player.json(&["stats"])), [0; 4]);

    let stats = hear(&player, "attic/song.wav");
    let received = number(&stats, "received_bytes");
    let fresh = received - number(&stats, "duplicate_bytes");
    assert_eq!(fresh, song, "verified bytes, each once: {stats:#}");
    let peers = stats["peers"].as_array().unwrap();
    let by_peer = peers.iter().map(|peer| number(peer, "received_bytes"));
    assert_eq!(by_peer.sum::<u64>(), received);
    assert_eq!(number(&stats, "cache_bytes"), 0);
    assert_eq!(number(&stats, "plays"), 1);
    assert_eq!(first_sounds(&stats), [1, 1, 0, 0]);
    let times = &stats["first_sound"]["all"];
    let [half, most] = ["p50_seconds", "max_seconds"].map(|name| times[name].as_f64().unwrap());
    assert!(0.0 < half && half <= most, "{times}");

    // The end of a slice is told a little after its last byte has come.
    for (name, node) in [("attic", &attic), ("cellar", &cellar)] {
        let from_it = of_peer(&player, name)["received_bytes"].as_u64();
        let from_it = from_it.unwrap_or(0);
        node.wait_for(&["stats"], "what was sent", |stats| {
            number(stats, "sent_bytes") >= from_it
        });
        let to_player = of_peer(node, "player")["sent_bytes"].as_u64();
        assert!(to_player.unwrap_or(0) >= from_it, "of {from_it} bytes");
    }
    let asked = [&attic, &cellar].map(|node| number(&node.json(&["stats"]), "requests"));
    assert!(asked.iter().sum::<u64>() > 0);

    let again = hear(&player, "attic/song.wav");
    assert_eq!(
        number(&again, "received_bytes"),
        received,
        "not a byte more"
    );
    assert_eq!(number(&again, "cache_bytes"), song);
    assert_eq!(first_sounds(&again), [2, 1, 1, 0]);

    let last = hear(&player, "player/own.wav");
    let own = size(&own.path().join("own.wav"));
    assert_eq!(number(&last, "own_disk_bytes"), own);
    assert_eq!(number(&last, "cache_bytes"), song);
    assert_eq!(first_sounds(&last), [3, 1, 1, 1]);
    assert_eq!(number(&last, "plays"), 3);
    assert_eq!(number(&last, "plays_failed"), 0);

    let people = player.ctl_ok(&["stats"]);
    for words in ["first sound", "underruns", "rebuffers", "own disk"] {
        assert!(people.contains(words), "no {words} in\n{people}");
    }
}

#[test]
fn a_tracker_has_numbers_too() {
    let tracker = Setup::tracker().start();
    tracker.wait_for(&["stats"], "that time passes", |stats| {
        stats["uptime_seconds"].as_f64() > Some(0.0)
    });
    assert!(tracker.ctl_ok(&["stats"]).contains("up for"));
}

/// Waits until `path` is there and `done` is content with it.
fn wait_for_file(node: &Node, path: &Path, done: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if done(&text) {
            return text;
        }
        let at = path.display();
        assert!(Instant::now() < deadline, "{at}:\n{text}\n{}", node.log());
        thread::sleep(Duration::from_millis(20));
    }
}

/// The file is written at once wherever it is told to be, so nobody waits here for the
/// next time that it is due.
#[test]
fn prometheus_finds_the_numbers_where_it_is_told_to_look() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.5);
    let song = size(&music.path().join("song.wav"));
    let dir = tempfile::tempdir().unwrap();
    let [first, second, nowhere] =
        ["first.prom", "second.prom", "no/such.prom"].map(|name| dir.path().join(name));
    let tracker = Setup::tracker().start();
    let _attic = Setup::peer("attic", &tracker).music(music.path()).start();
    let player = Setup {
        more: format!("[stats]\nprometheus = {first:?}\n"),
        ..Setup::peer("player", &tracker)
    };
    let player = player.start();
    player.wait_for_tracks("attic", 1);
    let begun = wait_for_file(&player, &first, |text| !text.is_empty());
    assert!(begun.contains("\np2pmusic_plays_total 0\n"), "{begun}");

    hear(&player, "attic/song.wav");
    let go_to = |from: &Path, to: &Path| {
        let key = |path: &Path| format!("prometheus = {path:?}");
        player.reconfigure(&key(from), &key(to));
        player.signal("HUP");
    };
    go_to(&first, &second);
    let heard = wait_for_file(&player, &second, |text| !text.is_empty());
    assert!(!first.exists(), "old numbers are not left behind");
    for line in [
        "# TYPE p2pmusic_received_bytes_total counter",
        "# TYPE p2pmusic_first_sound_seconds histogram",
        "p2pmusic_plays_total 1",
        "p2pmusic_first_sound_seconds_count{from=\"swarm\"} 1",
    ] {
        assert!(heard.lines().any(|l| l == line), "no {line} in\n{heard}");
    }
    let from_attic = heard
        .lines()
        .find(|line| line.starts_with("p2pmusic_received_bytes_total{peer=\"attic\","))
        .unwrap();
    assert!(
        from_attic.ends_with(&format!("\"}} {song}")),
        "{from_attic}"
    );

    go_to(&second, &nowhere);
    let problem = player.wait_for_problem("stats.prometheus");
    assert!(problem.contains("no/such.prom"), "{problem}");
    let warned = |log: &str| log.matches("cannot be written").count();
    assert_eq!(warned(&player.log()), 1);
    let stats = hear(&player, "attic/song.wav");
    assert_eq!(number(&stats, "plays"), 2, "it plays all the same");
    go_to(&nowhere, &first);
    wait_for_file(&player, &first, |text| {
        text.contains("\np2pmusic_plays_total 2\n")
    });
    player.wait_for_no_problem();
}
