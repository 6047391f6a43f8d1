//! Bad days heal by themselves: the machine under a node fails it, the node
//! says so and goes on, and all is well again when the cause is gone.
//!
//! A theme to a file. All use the real binary and real causes: a sound server
//! of the test's own that is stopped and killed, small file systems in mount
//! namespaces, garbage in files. Where a cause cannot be made (a package is missing),
//! a test is left out.

#[path = "../common/mod.rs"]
mod common;

mod brake;
mod clock;
mod disk;
mod mounts;
mod music;
mod pulse;
mod sound;
mod state;

use common::Node;
use serde_json::Value;

/// The problems that `status` shows, the most urgent first.
fn problems(status: &Value) -> Vec<&str> {
    let list = status["node"]["problem"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Waits until `status` shows no problem of these words.
fn wait_until_well(node: &Node, words: &str) {
    node.wait_for_status(&format!("no more {words:?}"), |status| {
        problems(status)
            .iter()
            .all(|problem| !problem.contains(words))
    });
}

/// Where the current track is, in seconds.
fn elapsed(node: &Node) -> f64 {
    node.json(&["status"])["status"]["elapsed"]
        .as_f64()
        .unwrap_or(0.0)
}

/// Waits until the current track is past `second`.
fn wait_until_past(node: &Node, second: f64) {
    node.wait_for_status(&format!("second {second}"), |status| {
        status["status"]["elapsed"].as_f64() > Some(second)
    });
}

/// How often `words` are in the log.
fn times_said(node: &Node, words: &str) -> usize {
    node.log().matches(words).count()
}

/// Checks that `sound` was heard, in order. A machine that is busy with other tests
/// may make gaps, of which other tests take care; the rest is exact.
fn assert_heard(heard: &[[i16; 2]], sound: &[[i16; 2]]) {
    let pieces: Vec<_> = sound.chunks_exact(sound.len() / 20).collect();
    let places = pieces.iter().map(|piece| common::audio::find(heard, piece));
    let places: Vec<usize> = places.flatten().collect();
    assert!(
        places.len() > 15,
        "{} of 20 pieces, at {places:?}",
        places.len()
    );
    assert!(places.is_sorted(), "{places:?}");
}
