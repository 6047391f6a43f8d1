//! A source that is away for a while, as its listener hears it.

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{
    audio::{self, Music},
    Node, Setup,
};
use netns::Network;

fn elapsed(node: &Node) -> f64 {
    let status = node.json(&["status"]);
    status["status"]["elapsed"].as_f64().unwrap_or_default()
}

/// Waits until `node` says that it waits for `peer`.
fn wait_until_it_waits(node: &Node, peer: &str) {
    let status = node.wait_long_for_status("the wait", |status| {
        status["node"]["waits_peer"] == peer && status["node"]["waits_since_s"].is_u64()
    });
    let words = status["node"]["waits_for"].as_str().unwrap_or_default();
    assert!(words.starts_with(&format!("{peer}, which ")), "{words}");
    assert_eq!(status["status"]["state"], "play");
}

/// Waits until there is sound again; says how long that took.
fn wait_for_sound(node: &Node, since: Instant, what: &str) {
    let from = elapsed(node);
    node.wait_long_for_status("sound", |status| {
        status["status"]["elapsed"].as_f64() > Some(from)
    });
    println!("{what}: sound after {:.1} s", since.elapsed().as_secs_f64());
}

/// All of `sound` was heard, in one piece, but for the silence and the short fades where
/// it waited.
fn assert_all_heard(node: &Node, sound: &[[i16; 2]]) {
    let mut heard = audio::read_wav(&node.recording()).1;
    heard.retain(|frame| *frame != [0, 0]);
    assert_eq!(heard.len(), sound.len());
    let faded = heard.iter().zip(sound).filter(|(a, b)| a != b).count();
    assert!(faded < 44_100 / 5, "{faded} frames differ");
}

fn begin(node: &Node, owner: &str) {
    node.wait_for_tracks(owner, 1);
    node.ctl_ok(&["volume", "100"]);
    node.ctl_ok(&["play", owner]);
    node.wait_for_status("some sound", |status| {
        status["status"]["elapsed"].as_f64() > Some(2.0)
    });
}

/// It hangs for longer than its lease, says nothing, and then goes on; another time it is
/// killed and starts again.
#[test]
fn a_source_that_hangs_or_starts_again_is_waited_for() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 16.0);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("owner", &tracker).music(music.path());
    let mut owner = Setup {
        upload: Some("1600 kbit/s"),
        ..owner
    }
    .start();
    let player = Setup::peer("player", &tracker).recorded().start();
    begin(&player, "owner");
    owner.signal("STOP");
    wait_until_it_waits(&player, "owner");
    thread::sleep(AWAY);
    owner.signal("CONT");
    wait_for_sound(&player, Instant::now(), "after a hang of 35 s");
    owner.kill();
    wait_until_it_waits(&player, "owner");
    let owner = owner.restart();
    wait_for_sound(&player, Instant::now(), "after a restart");
    player.wait_for_end();
    assert_all_heard(&player, &sound);
    drop(owner);
}

/// The cable is pulled and put back.
#[test]
fn after_a_cut_of_the_line_the_music_goes_on() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 16.0);
    let at = |end: usize, setup: Setup| Setup {
        listen: Some("[::]:0".into()),
        prefix: network.prefix(end),
        ..setup
    };
    let north = Setup {
        role: "both",
        name: Some("north"),
        tracker: Some("auto".into()),
        upload: Some("1600 kbit/s"),
        ..Setup::default()
    };
    let north = at(0, north).music(music.path()).start();
    let address = north.tracker_address();
    let port = address.rsplit(':').next().unwrap();
    let south = Setup {
        role: "peer",
        name: Some("south"),
        tracker: Some(format!("{}:{port}", network.address(0))),
        ..Setup::default()
    };
    let south = at(1, south).recorded().start();
    begin(&south, "north");
    network.ip(0, &["link", "set", "cable", "down"]).unwrap();
    wait_until_it_waits(&south, "north");
    thread::sleep(AWAY);
    network.ip(0, &["link", "set", "cable", "up"]).unwrap();
    wait_for_sound(&south, Instant::now(), "after a cut of 35 s");
    south.wait_for_end();
    assert_all_heard(&south, &sound);
}

#[test]
fn what_somebody_says_while_it_waits_counts_at_once() {
    let (music, own) = (Music::new(), Music::new());
    music.wav("far.wav", 44_100, 30.0);
    own.wav("near.wav", 44_100, 30.0);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("owner", &tracker).music(music.path());
    let owner = Setup {
        upload: Some("1600 kbit/s"),
        ..owner
    }
    .start();
    let player = Setup::peer("player", &tracker).music(own.path()).start();
    player.wait_for_tracks("player", 1);
    begin(&player, "owner");
    player.ctl_ok(&["add", "player/near.wav"]);
    owner.signal("STOP");
    wait_until_it_waits(&player, "owner");
    player.ctl_ok(&["next"]);
    player.wait_for_status("the other track", |status| {
        status["song"]["file"] == "player/near.wav"
            && status["status"]["elapsed"].as_f64() > Some(0.5)
    });
    owner.signal("CONT");
}

/// Longer than a tracker's lease, and than what ended the music for good before.
const AWAY: Duration = Duration::from_secs(35);
