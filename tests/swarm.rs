//! A swarm as its people see it: which speakers are here, what they have, and music that
//! comes from another box.

mod common;

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use common::{
    audio::{self, Music},
    Node, Setup, BINARY, PATIENCE,
};

/// Each swarm's tracker has an address of its own, so that it can be had again
/// after a restart.
fn tracker_and_peers_at(ip: &str) -> (Setup, impl Fn(&'static str, &Node) -> Setup) {
    let listen = Some(format!("{ip}:0"));
    let tracker = Setup {
        listen: listen.clone(),
        ..Setup::tracker()
    };
    (tracker, move |name, tracker| Setup {
        listen: listen.clone(),
        ..Setup::peer(name, tracker)
    })
}

fn keygen() -> String {
    let output = Command::new(BINARY).arg("keygen").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_peer_registers_and_everybody_sees_it() {
    let tracker = Setup::tracker().start();
    let kitchen = Setup::peer("kitchen", &tracker).start();
    let status = kitchen.wait_until_registered();
    assert_eq!(status["node"]["name"], "kitchen");
    assert_eq!(status["node"]["tracker"], "registered with 127.0.0.1");
    kitchen.wait_for_line("registered with 127.0.0.1 as \"kitchen\"");

    let attic = Setup::peer("attic", &tracker).start();
    for node in [&kitchen, &attic] {
        node.wait_for_peers(&["kitchen", "attic"]);
    }
    for name in ["kitchen", "attic"] {
        let seen = tracker.peer(name).expect("the tracker sees it");
        assert_eq!(seen["state"], "up");
        assert!(seen["address"].is_string(), "{seen}");
    }
    let own = kitchen.peer("kitchen").unwrap();
    let other = attic.peer("kitchen").unwrap();
    assert_eq!(own["id"], other["id"]);
    assert_eq!((&own["own"], &other["own"]), (&true.into(), &false.into()));
    assert!(kitchen.ctl_ok(&["peers"]).contains("this node"));
}

#[test]
fn a_default_name_that_is_taken_is_numbered() {
    let tracker = Setup::tracker().start();
    let nameless = || Setup {
        name: None,
        ..Setup::peer("", &tracker)
    };
    let name = |node: &Node| node.wait_until_registered()["node"]["name"].clone();
    let first = nameless().start();
    let host = name(&first);
    let second = nameless().start();
    assert_eq!(name(&second), format!("{}-2", host.as_str().unwrap()));
    let third = nameless().start();
    assert_eq!(name(&third), format!("{}-3", host.as_str().unwrap()));
    assert_eq!(name(&first), host, "the first keeps its name");
}

#[test]
fn a_chosen_name_that_is_taken_has_a_number_and_is_complained_of() {
    let tracker = Setup::tracker().start();
    let first = Setup::peer("kitchen", &tracker).start();
    first.wait_until_registered();
    let second = Setup::peer("kitchen", &tracker).start();
    let words = "the name \"kitchen\" belongs to the peer at 127.0.0.1, which keeps it for 30 days \
                 after it was here last; this node is called \"kitchen-2\" until you choose another \
                 `name`";
    assert_eq!(second.wait_for_problem("kitchen"), words);
    assert!(
        second.ctl_ok(&["status"]).contains(words),
        "people see it, too"
    );
    second.wait_for_line(words);
    for node in [&first, &second] {
        node.wait_for_peers(&["kitchen", "kitchen-2"]);
    }
    assert_eq!(first.peer("kitchen").unwrap()["own"], true);
}

/// The owner is off, the tracker loses its power, and another wants the name meanwhile.
#[test]
fn a_name_is_kept_for_a_node_that_is_off_over_a_restart_of_the_tracker() {
    let (tracker, peer) = tracker_and_peers_at("127.0.14.1");
    let mut tracker = tracker.start();
    let mut first = peer("kitchen", &tracker).start();
    first.wait_until_registered();
    let names = tracker.dir.path().join("state/names.json");
    let begin = Instant::now();
    while !fs::read_to_string(&names).is_ok_and(|text| text.contains("kitchen")) {
        assert!(
            begin.elapsed() < PATIENCE,
            "no names in {}",
            names.display()
        );
        thread::sleep(Duration::from_millis(50));
    }
    first.signal("TERM");
    assert!(first.wait_for_exit().success());
    tracker.kill();
    let tracker = tracker.restart();

    let second = peer("kitchen", &tracker).start();
    let problem = second.wait_for_problem("the name \"kitchen\" belongs to the peer at 127.0");
    assert!(problem.contains("choose another `name`"), "{problem}");
    assert_eq!(second.wait_until_registered()["node"]["name"], "kitchen-2");
    let first = first.restart();
    let status = first.wait_until_registered();
    assert_eq!(status["node"]["name"], "kitchen");
    first.wait_for_no_problem();
    tracker.wait_for_peers(&["kitchen", "kitchen-2"]);
}

/// Two trackers have given one name to two nodes before they are one swarm: all settle on the
/// same, both owners are told, and it stays so when a tracker dies.
#[test]
fn of_two_that_were_called_the_same_by_two_trackers_one_has_the_name() {
    let mut trackers = [Setup::tracker().start(), Setup::tracker().start()];
    let at = [0, 1].map(|n: usize| format!("tracker = \"{}\"", trackers[n].tracker_address()));
    let nodes = [0, 1].map(|n: usize| Setup::peer("kitchen", &trackers[n]).start());
    for node in &nodes {
        assert_eq!(node.wait_until_registered()["node"]["name"], "kitchen");
    }
    let both = format!(
        "tracker = [\"{}\", \"{}\"]",
        trackers[0].tracker_address(),
        trackers[1].tracker_address()
    );
    for (node, at) in nodes.iter().zip(&at) {
        node.reconfigure(at, &both);
        node.signal("HUP");
    }
    for node in &nodes {
        node.wait_for_problem("the name \"kitchen\" ");
    }
    let named = |by: &Node| {
        let peers = by.json(&["peers"]);
        let peers = peers.as_array().cloned().unwrap_or_default().into_iter();
        let mut named: Vec<_> = peers
            .map(|row| (row["peer"].to_string(), row["id"].to_string()))
            .collect();
        named.sort();
        named
    };
    let begin = Instant::now();
    let all = loop {
        let [one, other] = [0, 1].map(|n: usize| named(&trackers[n]));
        if one == other && one.len() == 2 {
            break one;
        }
        assert!(begin.elapsed() < PATIENCE, "{one:?}, {other:?}");
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(all[0].0, "\"kitchen\"", "one has it: {all:?}");
    let all: Vec<String> = all
        .into_iter()
        .map(|(name, _)| name.replace('"', ""))
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for node in &nodes {
        node.wait_for_peers(&all);
    }
    let names = || [0, 1].map(|n: usize| nodes[n].json(&["status"])["node"]["name"].clone());
    let settled = names();
    trackers[0].kill();
    for node in &nodes {
        node.wait_for_problem("no tracker at ");
        node.wait_for_peers(&all);
    }
    assert_eq!(names(), settled);
}

#[test]
fn a_node_that_is_already_registered_is_told_so() {
    let tracker = Setup::tracker().start();
    let card = Setup::peer("kitchen", &tracker).start();
    card.wait_until_registered();
    let identity_of = Some(card.dir.path().join("state"));
    let copy = Setup {
        identity_of,
        ..Setup::peer("attic", &tracker)
    }
    .start();
    let words = "already registered from 127.0.0.1";
    let problem = copy.wait_for_problem(words);
    assert!(problem.contains("stop one of the two"), "{problem}");
    assert!(copy.ctl_ok(&["status"]).contains(&problem));
    copy.wait_for_line(&problem);
    card.wait_until_registered();
    let seen = tracker.peer_names();
    assert!(
        seen.contains(&"kitchen".into()) && !seen.contains(&"attic".into()),
        "{seen:?}"
    );
}

#[test]
fn the_list_of_nodes_and_of_their_files_can_be_queried() {
    let (ours, theirs) = (Music::new(), Music::new());
    ours.wav("one.wav", 44_100, 0.2);
    theirs.wav("Miles Davis/So What.wav", 44_100, 0.2);
    theirs.wav("Miles Davis/Blue in Green.wav", 48_000, 1.5);
    let tracker = Setup::tracker().start();
    let kitchen = Setup::peer("kitchen", &tracker).music(ours.path()).start();
    let _attic = Setup::peer("attic", &tracker).music(theirs.path()).start();
    kitchen.wait_for_tracks("attic", 2);
    kitchen.wait_for_tracks("kitchen", 1);

    let people = kitchen.ctl_ok(&["peers"]);
    let rows: Vec<Vec<&str>> = people
        .lines()
        .map(|row| row.split_whitespace().take(3).collect())
        .collect();
    assert!(rows.contains(&vec!["kitchen", "up", "1"]), "{people}");
    assert!(rows.contains(&vec!["attic", "up", "2"]), "{people}");
    assert_eq!(kitchen.ctl_ok(&["ls"]), "attic/\nkitchen/\n");
    assert_eq!(kitchen.ctl_ok(&["ls", "attic"]), "attic/Miles Davis/\n");
    let files = |args: &[&str]| -> BTreeSet<String> {
        let rows = kitchen.json(args);
        let file = |row: &serde_json::Value| row["file"].as_str().unwrap().to_owned();
        rows.as_array().unwrap().iter().map(file).collect()
    };
    let of = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        files(&["ls", "attic/Miles Davis"]),
        of(&[
            "attic/Miles Davis/So What.wav",
            "attic/Miles Davis/Blue in Green.wav"
        ])
    );
    assert_eq!(
        files(&["search", "so", "what"]),
        of(&["attic/Miles Davis/So What.wav"])
    );
    assert_eq!(files(&["search", "one"]), of(&["kitchen/one.wav"]));
    assert_eq!(files(&["search", "polka"]), of(&[]));
    let found = &kitchen.json(&["search", "green"])[0];
    assert_eq!(found["duration"], 1.5);
    assert!(kitchen
        .ctl_ok(&["search", "green"])
        .contains("attic/Miles Davis/Blue in Green.wav"));
    assert!(kitchen.ctl_fails(&["ls", "cellar"]).contains("cellar"));
}

/// The file is so large that it cannot have arrived when it begins to sound;
/// then its owner is stopped, and what has arrived goes on sounding.
#[test]
fn a_track_plays_before_it_has_arrived() {
    let music = Music::new();
    let sound = audio::frames(44_100, 30.0, 1);
    audio::write_sparse_wav(&music.path().join("long.wav"), 44_100, 1500, &[(0, &sound)]);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("owner", &tracker).music(music.path()).start();
    let player = Setup::peer("player", &tracker).recorded().start();
    player.wait_for_tracks("owner", 1);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["play", "long"]);
    assert!(
        player.wait_for_sound() < 1.0,
        "it sounds and is not here yet"
    );
    player.wait_for_arrival(0.02); // half a minute
    owner.signal("STOP");
    let arrived = || {
        player.json(&["status"])["node"]["arrived"]
            .as_f64()
            .unwrap()
    };

    // What is under way still comes.
    let mut last = arrived();
    while std::mem::replace(&mut last, arrived()) != last {}
    player.wait_for_status("two seconds of sound", |s| {
        s["status"]["elapsed"].as_f64() > Some(2.0)
    });
    assert!(arrived() < 1.0, "not a byte more is here, but it plays");
    let (rate, heard) = audio::read_wav(&player.recording());
    assert_eq!(rate, 44_100);
    assert!(heard.len() > 44_100);
    audio::assert_same(&heard, &sound[..heard.len()]);

    owner.signal("CONT");
    player.wait_for_status("the rest", |status| status["node"]["arrived"] == 1.0);
    assert_eq!(player.json(&["stats"])["underruns"], 0);
}

#[test]
fn a_track_arrives_as_it_was_sent() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 3.0);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("owner", &tracker).music(music.path()).start();
    let player = Setup::peer("player", &tracker).recorded().start();
    player.wait_for_tracks("owner", 1);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["play", "song"]);
    // Its owner goes as soon as the track is here: it is not needed any more.
    player.wait_for_status("the whole track", |status| status["node"]["arrived"] == 1.0);
    drop(owner);
    player.wait_for_end();
    let (rate, heard) = audio::read_wav(&player.recording());
    assert_eq!(rate, 44_100);
    audio::assert_same(&heard, &sound);
}

/// The other source is another owner of the same file, or a peer that has played it
/// before.
#[test]
fn a_track_goes_on_from_another_when_its_owner_dies() {
    for is_owner in [true, false] {
        let (music, same) = (Music::new(), Music::new());
        let beginning = audio::frames(44_100, 30.0, 2);
        let end = audio::frames(44_100, 5.0, 3);
        for (is_there, dir) in [(true, &music), (is_owner, &same)] {
            let path = dir.path().join("long.wav");
            let loud = [(0, &beginning[..]), (1490, &end[..])];
            is_there.then(|| audio::write_sparse_wav(&path, 44_100, 1500, &loud));
        }
        let tracker = Setup::tracker().start();
        let mut owner = Setup::peer("owner", &tracker).music(music.path()).start();
        let other = Setup::peer("other", &tracker).music(same.path()).start();
        let player = Setup::peer("player", &tracker).recorded().start();
        for node in [&other, &player] {
            node.wait_for_tracks("owner", 1);
        }
        other.ctl_ok(&["play", "owner/long.wav"]);
        other.wait_for_arrival(1.0);
        player.ctl_ok(&["volume", "100"]);
        player.ctl_ok(&["play", "owner/long.wav"]);
        player.wait_for_arrival(0.02);
        owner.kill();
        assert!(player.json(&["status"])["node"]["arrived"].as_f64() < Some(1.0));
        player.wait_for_arrival(1.0);
        assert_eq!(player.json(&["stats"])["underruns"], 0, "nobody heard it");
        player.ctl_ok(&["seek", "1490"]);
        player.wait_for_status("the end", |s| {
            s["status"]["elapsed"].as_f64() > Some(1492.0)
        });
        let (_, heard) = audio::read_wav(&player.recording());
        assert!(
            audio::find(&heard, &end[44_100..66_150]).is_some(),
            "the sound at the place that was sought"
        );
    }
}

#[test]
fn a_track_that_nobody_has_is_named() {
    let tracker = Setup::tracker().start();
    let peer = Setup::peer("kitchen", &tracker).start();
    peer.wait_until_registered();
    assert_eq!(
        peer.ctl_fails(&["play", "purple", "polka"]),
        "p2pmusic: nobody who is here has anything like \"purple polka\"; \
         no other speaker is here\n"
    );
    assert!(peer
        .ctl_fails(&["play", "attic/song.wav"])
        .contains("attic/song.wav"));
    assert!(peer.ctl_fails(&["add", "polka"]).contains("polka"));
    assert_eq!(peer.json(&["status"])["status"]["state"], "stop");
    assert!(tracker
        .ctl_fails(&["play", "polka"])
        .contains("tracker only"));
}

#[test]
fn the_queue_goes_on_behind_a_track_whose_owner_has_left() {
    let (theirs, others) = (Music::new(), Music::new());
    theirs.wav("lost.wav", 44_100, 1.0);
    let kept = others.wav("kept.wav", 44_100, 1.0);
    let tracker = Setup::tracker().start();
    let cellar = Setup::peer("cellar", &tracker).music(theirs.path()).start();
    let _attic = Setup::peer("attic", &tracker).music(others.path()).start();
    let player = Setup::peer("player", &tracker).recorded().start();
    player.wait_for_tracks("cellar", 1);
    player.wait_for_tracks("attic", 1);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["add", "cellar/lost.wav"]);
    player.ctl_ok(&["add", "attic/kept.wav"]);
    cellar.ctl_ok(&["leave"]);
    player.wait_for_peers(&["attic", "player"]);
    player.ctl_ok(&["play"]);
    let status = player.wait_for_status("an error", |s| s["status"]["error"].is_string());
    let error = status["status"]["error"].as_str().unwrap();
    assert!(error.contains("cellar is not in the swarm"), "{error}");
    assert!(error.contains("lost.wav"), "{error}");
    assert!(player.ctl_ok(&["status"]).contains(error));
    player.wait_for_end();
    audio::assert_same(&audio::read_wav(&player.recording()).1, &kept);
}

#[test]
fn who_leaves_is_gone_at_once() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.2);
    let tracker = Setup::tracker().start();
    let by_word = Setup::peer("word", &tracker).music(music.path()).start();
    let mut by_signal = Setup::peer("signal", &tracker).start();
    let stays = Setup::peer("stays", &tracker).start();
    stays.wait_for_peers(&["word", "signal", "stays"]);
    stays.wait_for_tracks("word", 1);

    let begun = Instant::now();
    let said = by_word.ctl_ok(&["leave"]);
    assert!(said.starts_with("left the swarm"), "{said}");
    assert!(said.contains("p2pmusic ctl join"), "the way back: {said}");
    let tracker_is = by_word.json(&["status"])["node"]["tracker"].clone();
    let tracker_is = tracker_is.as_str().unwrap();
    assert!(tracker_is.starts_with("left, and the tracker knows"));
    assert!(tracker_is.contains("p2pmusic ctl join"), "{tracker_is}");
    stays.wait_for_peers(&["signal", "stays"]);
    assert!(stays.ctl_fails(&["ls", "word"]).contains("word"));

    by_signal.signal("TERM");
    assert!(by_signal.wait_for_exit().success());
    stays.wait_for_peers(&["stays"]);
    assert!(begun.elapsed() < LEASE / 2, "no lease was waited for");
    let seen = tracker.peer_names();
    assert!(
        !seen.contains(&"word".into()) && !seen.contains(&"signal".into()),
        "{seen:?}"
    );
}

#[test]
fn a_peer_that_left_joins_again_without_a_restart() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.2);
    let tracker = Setup::tracker().start();
    let comes = Setup::peer("comes", &tracker).music(music.path()).start();
    let stays = Setup::peer("stays", &tracker).start();
    stays.wait_for_tracks("comes", 1);
    let said = comes.ctl_fails(&["join"]);
    assert!(said.contains("has not left"), "{said}");
    comes.ctl_ok(&["leave"]);
    stays.wait_for_peers(&["stays"]);
    let said = comes.ctl_ok(&["join"]);
    assert!(said.contains("joined"), "{said}");
    stays.wait_for_peers(&["comes", "stays"]);
    stays.wait_for_tracks("comes", 1);
    comes.wait_for_peers(&["comes", "stays"]);
    // As often as one likes.
    comes.ctl_ok(&["leave"]);
    stays.wait_for_peers(&["stays"]);
    comes.ctl_ok(&["join"]);
    stays.wait_for_peers(&["comes", "stays"]);
}

/// Cut off in two ways: one dies, which its tracker sees; the other falls
/// silent, which only its lease shows.
#[test]
fn who_is_silent_is_gone_when_its_lease_ends() {
    let tracker = Setup::tracker().start();
    let mut dies = Setup::peer("dies", &tracker).start();
    let silent = Setup::peer("silent", &tracker).start();
    let stays = Setup::peer("stays", &tracker).start();
    stays.wait_for_peers(&["dies", "silent", "stays"]);
    let begun = Instant::now();
    silent.signal("STOP");
    dies.kill();
    stays.wait_for(&["peers"], "a suspect", |peers| {
        let mut rows = peers.as_array().into_iter().flatten();
        rows.any(|row| row["peer"] == "dies" && row["state"] == "suspect")
    });
    assert!(begun.elapsed() < LEASE / 3, "a death is seen at once");
    assert_eq!(stays.peer("silent").unwrap()["state"], "up");
    stays.wait_for_peers(&["stays"]);
    assert!(
        begun.elapsed() > LEASE - RENEWAL - Duration::from_secs(1),
        "it has its lease"
    );
    silent.signal("CONT");
    stays.wait_for_peers(&["silent", "stays"]);
}

#[test]
fn music_goes_on_without_the_tracker_and_all_are_back_when_it_is() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 1.0);
    let (tracker, peer) = tracker_and_peers_at("127.0.77.1");
    let mut tracker = tracker.start();
    let owner = peer("owner", &tracker).music(music.path()).start();
    let player = peer("player", &tracker).recorded().start();
    player.wait_for_tracks("owner", 1);
    player.ctl_ok(&["volume", "100"]);
    tracker.kill();
    let problem = player.wait_for_problem("no tracker");
    assert!(problem.contains("127.0.77.1"), "{problem}");
    player.ctl_ok(&["play", "song"]);
    player.wait_for_sound();
    player.wait_for_end();
    audio::assert_same(&audio::read_wav(&player.recording()).1, &sound);

    let tracker = tracker.restart();
    for node in [&owner, &player] {
        node.wait_until_registered();
    }
    let newcomer = peer("newcomer", &tracker).start();
    for node in [&owner, &player, &newcomer] {
        node.wait_for_peers(&["owner", "player", "newcomer"]);
    }
    newcomer.wait_for_tracks("owner", 1);
}

#[test]
fn a_swarm_with_a_key_takes_only_those_who_have_it() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 1.0);
    let (key, other) = (keygen(), keygen());
    let tracker = Setup::tracker().key(&key).start();
    let owner = Setup::peer("owner", &tracker)
        .key(&key)
        .music(music.path())
        .start();
    let player = Setup::peer("player", &tracker).key(&key).recorded().start();
    let wrong = Setup::peer("wrong", &tracker).key(&other).start();
    let none = Setup::peer("none", &tracker).start();
    player.wait_for_tracks("owner", 1);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["play", "song"]);
    player.wait_for_sound();
    for refused in [&wrong, &none] {
        let problem = refused.wait_for_problem("no tracker");
        assert!(problem.contains("key"), "{problem}");
        refused.wait_for_line("key");
        assert_eq!(refused.peer_names().len(), 1, "it sees nobody");
    }
    player.wait_for_end();
    audio::assert_same(&audio::read_wav(&player.recording()).1, &sound);
    owner.wait_for_peers(&["owner", "player"]);
}

#[test]
fn one_node_can_be_tracker_and_peer() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 1.0);
    let both = Setup {
        role: "both",
        tracker: Some("auto".into()),
        name: Some("both"),
        ..Setup::default()
    };
    let both = both.music(music.path()).start();
    both.wait_until_registered();
    let player = Setup::peer("player", &both).recorded().start();
    both.wait_for_peers(&["both", "player"]);
    player.wait_for_tracks("both", 1);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["play", "both/song.wav"]);
    player.wait_for_sound();
    player.wait_for_end();
    audio::assert_same(&audio::read_wav(&player.recording()).1, &sound);
    let mut both = both;
    both.signal("TERM");
    assert!(both.wait_for_exit().success());
}

/// As the tracker grants it.
const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
