//! A node that has nothing to do costs next to nothing.

mod common;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use common::{Node, Setup};

#[test]
fn threads_that_helped_for_a_moment_end() {
    let tracker = Setup::tracker().start();
    let peer = Setup::peer("idle", &tracker).start();
    peer.wait_until_registered();
    // Each that stays wakes up twice a second for as long as the node lives.
    let deadline = Instant::now() + PATIENCE;
    while helpers(&peer) > 0 {
        assert!(Instant::now() < deadline, "{} stay", helpers(&peer));
        thread::sleep(Duration::from_millis(50));
    }
}

/// How many threads it has for what would block the others.
fn helpers(node: &Node) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", node.pid())).unwrap();
    let names = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("blocking-")).count()
}

const PATIENCE: Duration = Duration::from_secs(60);
