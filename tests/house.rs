//! Some speakers start the same track at once, and one box has it.

mod common;

use std::time::Instant;

use common::{audio::Music, Node, Setup, PATIENCE};

/// The holder's line carries less than what the three listen to, by a cap that is set
/// while it runs.
#[test]
fn listeners_bring_each_other_what_their_only_holder_cannot() {
    let music = Music::new();
    music.wav("long.wav", 44_100, 20.0);
    let tracker = Setup::tracker().start();
    let holder = Setup::peer("holder", &tracker).music(music.path()).start();
    holder.reconfigure("music = ", "upload = \"4 Mbit/s\"\nmusic = ");
    holder.signal("HUP");
    holder.wait_for_line("in effect now: peer.upload");

    let names = ["attic", "bath", "cellar"];
    let listeners = names.map(|name| Setup::peer(name, &tracker).start());
    for listener in &listeners {
        listener.wait_for_peers(&["holder", "attic", "bath", "cellar"]);
        listener.wait_for(&["peers"], "the track", |peers| {
            let mut rows = peers.as_array().into_iter().flatten();
            rows.any(|row| row["peer"] == "holder" && row["tracks"] == 1)
        });
    }
    for listener in &listeners {
        listener.ctl_ok(&["play", "holder/long.wav"]);
    }
    let deadline = Instant::now() + PATIENCE;
    while !listeners
        .iter()
        .any(|node| asks_one_who_has_a_part(node, &listeners, &names))
    {
        assert!(Instant::now() < deadline, "nobody asks another listener");
    }
    for listener in &listeners {
        listener.wait_for(&["status"], "all of it", |status| {
            arrived(status) == Some(1.0)
        });
    }
}

/// Whether `node` fetches from a listener that does not have the whole track yet.
fn asks_one_who_has_a_part(node: &Node, listeners: &[Node], names: &[&str]) -> bool {
    let status = node.json(&["status"]);
    let sources = status["node"]["source"].to_string();
    let asked = names
        .iter()
        .zip(listeners)
        .filter(|(name, _)| sources.contains(*name));
    let mut parts = asked.map(|(_, other)| arrived(&other.json(&["status"])));
    parts.any(|arrived| arrived.is_some_and(|arrived| arrived < 1.0))
}

fn arrived(status: &serde_json::Value) -> Option<f64> {
    let arrived = &status["node"]["arrived"];
    arrived.as_f64().or_else(|| arrived.as_str()?.parse().ok())
}
