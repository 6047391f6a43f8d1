//! A house full of speakers starts the same track at once, and one box has it.

mod common;

use common::{audio::Music, Node, Setup};
use serde_json::Value;

/// The holder's line carries less than what the eight listen to, by a cap that is set
/// while it runs.
#[test]
fn listeners_bring_each_other_what_their_only_holder_cannot() {
    let music = Music::new();
    music.wav("long.wav", 44_100, SECONDS);
    let size = music.path().join("long.wav").metadata().unwrap().len() as f64;
    let tracker = Setup::tracker().start();
    let holder = Setup::peer("holder", &tracker).music(music.path()).start();
    holder.reconfigure("music = ", "upload = \"8 Mbit/s\"\nmusic = ");
    holder.signal("HUP");
    holder.wait_for_line("in effect now: peer.upload");

    let listeners = ROOMS.map(|room| Setup::peer(room, &tracker).start());
    let everybody: Vec<_> = ROOMS.into_iter().chain(["holder"]).collect();
    for listener in &listeners {
        listener.wait_for_peers(&everybody);
        listener.wait_for_tracks("holder", 1);
    }
    for listener in &listeners {
        listener.ctl_ok(&["play", "holder/long.wav"]);
    }
    for listener in &listeners {
        listener.wait_for_arrival(1.0);
    }
    let sent = number(&holder, "/sent_bytes") / size;
    let starts = listeners
        .each_ref()
        .map(|listener| number(listener, "/first_sound/all/max_seconds"));
    println!("sent {sent:.2} times; first sounds after {starts:?} s");
    assert!(sent < 4.0, "the holder sent it {sent:.2} times");
    let between = listeners.iter().map(|node| number(node, "/sent_bytes"));
    let between = between.sum::<f64>() / size;
    assert!(between > 4.0, "the listeners sent it {between:.2} times");
}

/// A number of a node about itself.
fn number(node: &Node, at: &str) -> f64 {
    let stats: Value = node.json(&["stats"]);
    let number = stats.pointer(at).and_then(Value::as_f64);
    number.unwrap_or_else(|| panic!("no {at} in {stats:#}"))
}

const ROOMS: [&str; 8] = [
    "attic", "bath", "cellar", "den", "entry", "foyer", "garage", "hall",
];
const SECONDS: f64 = 20.0;
