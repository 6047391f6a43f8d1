//! What a storm must not change.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::common::{audio, Node, Setup, PATIENCE};

/// A process before a storm.
pub struct Watch {
    pid: u32,
    rss: u64,
    descriptors: usize,
    loud: usize,
}

impl Watch {
    pub fn begin(node: &Node) -> Self {
        Self {
            pid: node.pid(),
            rss: rss(node.pid()),
            descriptors: descriptors(node.pid()),
            loud: loud(node).len(),
        }
    }

    /// Checks that nothing is left of the storm but `grown` bytes at most.
    pub fn end(&self, node: &Node, grown: u64) {
        assert!(
            Path::new(&format!("/proc/{}/exe", self.pid)).exists(),
            "it died:\n{}",
            node.log()
        );
        let deadline = Instant::now() + PATIENCE;
        while descriptors(self.pid) > self.descriptors + SPARE_DESCRIPTORS {
            assert!(
                Instant::now() < deadline,
                "{} descriptors, {} before",
                descriptors(self.pid),
                self.descriptors
            );
            thread::sleep(Duration::from_millis(50));
        }
        let now = rss(self.pid);
        println!(
            "{} MiB before the storm, {} MiB after",
            self.rss >> 20,
            now >> 20
        );
        assert!(
            now <= self.rss + grown,
            "{} MiB more",
            (now - self.rss) >> 20
        );
        let loud = loud(node);
        assert!(
            loud.len() <= self.loud + A_HANDFUL,
            "the log is not quiet:\n{}",
            loud.join("\n")
        );
    }
}

/// Bytes of memory that a process has.
fn rss(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<u64>().unwrap() << 10
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Lines above debug.
fn loud(node: &Node) -> Vec<String> {
    let log = node.log();
    let is_loud = |line: &&str| ["INFO", "WARN", "ERROR"].iter().any(|l| line.contains(l));
    log.lines().filter(is_loud).map(str::to_owned).collect()
}

/// Plays `song` of `owner` on a new node of the swarm, and compares what is heard.
pub fn serves(tracker: &Node, owner: &str, song: &str, frames: &[[i16; 2]]) {
    let player = Setup::peer("honest", tracker).recorded().start();
    player.wait_for_tracks(owner, 1);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["add", &format!("{owner}/{song}")]);
    player.ctl_ok(&["play"]);
    player.wait_for_end();
    assert_heard(&player, frames);
}

/// Checks that `player` has heard `frames` and nothing else. The sound may wait for a
/// machine that the storms keep busy; the frames have no silence of their own.
pub fn assert_heard(player: &Node, frames: &[[i16; 2]]) {
    let (_, mut heard) = audio::read_wav(&player.recording());
    heard.retain(|frame| *frame != [0, 0]);
    audio::assert_same(&heard, frames);
}

/// Kept for reuse by pools of threads and buffers.
const SPARE_DESCRIPTORS: usize = 4;
/// Lines above debug that any one storm may lead to.
const A_HANDFUL: usize = 5;
