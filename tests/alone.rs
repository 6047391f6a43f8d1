//! No machine that everything needs: the tracker is dead, or there never was one, and
//! music, catalogue and new plays go on.

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::{fs, thread, time::Instant};

use common::{
    audio::{self, Music},
    Node, Setup, PATIENCE,
};
use netns::Network;

/// While the tracker is dead everything goes on that has an owner: what was there, what
/// is new, and the peers that were away. When it is back, all are with it.
#[test]
fn a_tracker_is_killed_and_brought_back() {
    let [north, south] = [Music::new(), Music::new()];
    let frames = north.wav("north.wav", 44_100, 1.5);
    south.wav("south.wav", 44_100, 0.5);
    let mut tracker = Setup::tracker().start();
    let kitchen = Setup::peer("kitchen", &tracker).music(north.path()).start();
    let attic = Setup::peer("attic", &tracker).music(south.path()).start();
    let garden = Setup::peer("garden", &tracker).recorded().start();
    let all = ["attic", "garden", "kitchen"];
    for node in [&kitchen, &attic, &garden] {
        node.wait_for_peers(&all);
        node.wait_for_tracks("kitchen", 1);
        node.wait_for_tracks("attic", 1);
    }
    tracker.kill();
    wait_until_found(&garden, 2);

    // Browse, search, queue, play.
    assert!(garden.ctl_ok(&["ls", "kitchen"]).contains("north.wav"));
    assert!(garden.ctl_ok(&["search", "south"]).contains("south.wav"));
    garden.ctl_ok(&["add", "attic/south.wav"]);
    garden.ctl_ok(&["clear"]);
    audio::assert_plays(&garden, "kitchen/north.wav", &garden.recording(), &frames);

    // Something new.
    let new = south.wav("new.wav", 44_100, 0.5);
    garden.wait_for_tracks("attic", 2);
    audio::assert_plays(&garden, "attic/new.wav", &garden.recording(), &new);

    // One that was away, and is where nobody knows: it remembers the others.
    let mut attic = attic;
    attic.signal("TERM");
    assert!(attic.wait_for_exit().success());
    let attic = attic.restart();
    attic.wait_for_tracks("kitchen", 1);
    for node in [&attic, &kitchen, &garden] {
        wait_until_found(node, 2);
        node.wait_for_peers(&all);
        node.wait_for_tracks("attic", 2);
    }

    // One that is gone without a word.
    wait_until_written_down(&kitchen, "garden");
    let mut kitchen = kitchen;
    kitchen.kill();
    wait_until_gone(&garden, "kitchen");
    let kitchen = kitchen.restart();
    wait_until_found(&garden, 2);

    let tracker = tracker.restart();
    tracker.wait_for_peers(&all);
    for node in [&kitchen, &attic, &garden] {
        node.wait_until_registered();
        node.wait_for_peers(&all);
        node.wait_for_tracks("attic", 2);
        node.wait_for_no_problem();
    }
}

/// Three speakers on two machines that are told nothing find each other by mDNS. Then
/// the cable does not carry it any more, and one that is restarted remembers.
#[test]
fn a_swarm_without_a_tracker_finds_itself() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let music = Music::new();
    let frames = music.wav("north.wav", 44_100, 1.5);
    let node = |end: usize, name, tracker: Option<&str>| Setup {
        role: "peer",
        name: Some(name),
        listen: Some("[::]:0".into()),
        advertised: true,
        tracker: tracker.map(str::to_owned),
        prefix: network.prefix(end),
        ..Setup::default()
    };
    let north = node(0, "north", None).music(music.path()).start();
    // A peer that looks for a tracker does not wait for ever.
    let south = node(1, "south", Some("auto")).recorded().start();
    let west = node(1, "west", None).start();
    let all = ["north", "south", "west"];
    for node in [&north, &south, &west] {
        wait_until_found(node, 2);
        node.wait_for_peers(&all);
        node.wait_for_tracks("north", 1);
        node.wait_for_no_problem();
    }
    audio::assert_plays(&south, "north/north.wav", &south.recording(), &frames);

    for end in 0..2 {
        let multicast = ["route", "replace", "blackhole", "224.0.0.0/4"];
        network.ip(end, &multicast).unwrap();
    }
    wait_until_written_down(&south, "north");
    let mut south = south;
    south.kill();
    let south = south.restart();
    wait_until_found(&south, 2);
    south.wait_for_peers(&all);
    audio::assert_plays(&south, "north/north.wav", &south.recording(), &frames);
}

/// Waits until `node` says that so many peers are here without a tracker.
fn wait_until_found(node: &Node, count: usize) {
    let plural = if count == 1 { "" } else { "s" };
    let words = format!("{count} peer{plural} found without it");
    node.wait_long_for_status(&words, |status| {
        let tracker = status["node"]["tracker"].as_str();
        tracker.is_some_and(|text| text.contains(&words))
    });
}

/// Waits until `node` would know `peer` again after a power cut.
fn wait_until_written_down(node: &Node, peer: &str) {
    let file = node.dir.path().join("state/memory.json");
    let deadline = Instant::now() + PATIENCE;
    let is_there = || fs::read_to_string(&file).is_ok_and(|text| text.contains(peer));
    while !is_there() {
        assert!(Instant::now() < deadline, "{peer} is not written down");
        thread::sleep(PATIENCE / 300);
    }
}

/// Waits until `node` does not show `peer` any more: three greetings without an answer
/// may take most of a minute.
fn wait_until_gone(node: &Node, peer: &str) {
    let deadline = Instant::now() + 3 * PATIENCE;
    while node.peer(peer).is_some() {
        assert!(Instant::now() < deadline, "{peer} stays:\n{}", node.log());
        thread::sleep(PATIENCE / 300);
    }
}
