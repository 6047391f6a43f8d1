//! Two machines on one cable: they find each other by what the tracker says,
//! and play each other's music.

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::{fs, path::Path};

use common::{
    audio::{self, Music},
    Node, Setup,
};
use netns::Network;

/// Of the two, the first is tracker and peer in one. Its own peer registers
/// over loopback, where nobody else can reach it, and both have more addresses
/// that lead nowhere than they may announce.
#[test]
fn two_machines_play_each_others_tracks_to_the_bit() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let music = [Music::new(), Music::new()];
    let frames = [
        music[0].wav("north.wav", 44_100, 1.5),
        music[1].wav("south.wav", 48_000, 1.5),
    ];
    let outputs = tempfile::tempdir().unwrap();
    let output = |end: usize| outputs.path().join(format!("{end}.wav"));
    let node = |end: usize, setup: Setup| {
        let device = format!("wav:{}", output(end).display());
        let setup = Setup {
            listen: Some("[::]:0".into()),
            prefix: network.prefix(end),
            ..setup
        };
        setup.music(music[end].path()).device(device).start()
    };
    let both = node(
        0,
        Setup {
            role: "both",
            name: Some("north"),
            tracker: Some("auto".into()),
            ..Setup::default()
        },
    );
    let tracker = format!("{}:{}", network.address(0), port_of(&both));
    let peer = node(
        1,
        Setup {
            role: "peer",
            name: Some("south"),
            tracker: Some(tracker),
            ..Setup::default()
        },
    );

    wait_for_track(&both, "south");
    wait_for_track(&peer, "north");
    assert_plays(&peer, "north/north.wav", &output(1), 44_100, &frames[0]);
    assert_plays(&both, "south/south.wav", &output(0), 48_000, &frames[1]);
}

/// The same two, but the peer is told nothing: it finds the tracker by mDNS.
#[test]
fn a_peer_finds_a_tracker_that_announces_itself() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let music = Music::new();
    music.wav("north.wav", 44_100, 0.5);
    let setup = |end: usize, role, name| Setup {
        role,
        name: Some(name),
        listen: Some("[::]:0".into()),
        tracker: Some("auto".into()),
        prefix: network.prefix(end),
        ..Setup::default()
    };
    let mut both = setup(0, "both", "north").music(music.path()).start();
    both.kill();
    let file = both.dir.path().join("p2pmusic.toml");
    let silent = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        silent.replace("advertise = false", "advertise = true"),
    )
    .unwrap();
    let both = both.restart();
    let peer = setup(1, "peer", "south").start();

    wait_for_track(&peer, "north");
    both.wait_for(&["peers"], "both peers", |peers| {
        peers.as_array().is_some_and(|p| p.len() == 2)
    });
}

/// Waits until `node` knows the one track of the peer called `owner`.
fn wait_for_track(node: &Node, owner: &str) {
    node.wait_for(&["peers"], &format!("the track of {owner}"), |peers| {
        let rows = peers.as_array().into_iter().flatten();
        rows.into_iter()
            .any(|row| row["peer"] == owner && row["tracks"] == 1)
    });
}

/// Plays `file` at full volume, and compares what came out with `frames`.
fn assert_plays(node: &Node, file: &str, output: &Path, rate: u32, frames: &[[i16; 2]]) {
    node.ctl_ok(&["volume", "100"]);
    node.ctl_ok(&["play", file]);
    node.wait_for(&["status"], "the end", |status| {
        status["status"]["state"] == "stop" && status["node"]["first_sound"].is_number()
    });
    let (found_rate, found) = audio::read_wav(output);
    assert_eq!(found_rate, rate);
    let start = found.windows(2).position(|pair| pair == &frames[..2]);
    let start = start.unwrap_or_else(|| panic!("no sound of {file} in {} frames", found.len()));
    assert!(
        found[..start].iter().all(|frame| *frame == [0, 0]),
        "silence before it"
    );
    assert!(
        found[start..].starts_with(frames),
        "{file} is not the same to the bit"
    );
}

fn port_of(node: &Node) -> String {
    let address = node.tracker_address();
    address
        .rsplit(':')
        .next()
        .expect("an address and a port")
        .to_owned()
}
