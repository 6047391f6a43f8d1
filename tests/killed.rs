//! A listener that is killed, or ends, while a track is on its way: what has arrived is
//! used again, and nothing of it is wrong.

mod common;

use std::{
    env, fs,
    path::PathBuf,
    thread,
    time::{Duration, SystemTime},
};

use common::{
    audio::{self, Music},
    Node, Setup,
};

/// A tracker, an owner of one track that everybody knows the hash of, and a listener.
struct Swarm {
    listener: Node,
    owner: Node,
    tracker: Node,
    bytes: Vec<u8>,
    _music: Music,
}

impl Swarm {
    fn new(seconds: f64) -> Self {
        let music = Music::new();
        let path = music.path().join("song.wav");
        audio::write_wav(&path, 44_100, &audio::frames(44_100, seconds, 1));
        let tracker = Setup::tracker().start();
        let mut owner = Setup::peer("owner", &tracker).music(music.path()).start();
        // From its next start on it tells the hash of the file with its name.
        owner.wait_for_line("song.wav is ");
        owner.signal("TERM");
        assert!(owner.wait_for_exit().success());
        let owner = owner.restart();
        let listener = Setup::peer("listener", &tracker).start();
        Self {
            listener,
            owner,
            tracker,
            bytes: fs::read(&path).unwrap(),
            _music: music,
        }
    }

    fn play(&self) {
        self.listener.wait_for_tracks("owner", 1);
        self.listener.ctl_ok(&["play", "owner/song.wav"]);
    }

    /// Plays while the owner stands still; gives how much of the track is here, from 0
    /// to 1, which is at least `least`.
    fn reused(&self, least: f64) -> f64 {
        self.owner.signal("STOP");
        self.play();
        self.listener.wait_for_arrival(least);
        let status = self.listener.json(&["status"]);
        status["node"]["arrived"].as_f64().unwrap()
    }

    /// Bytes that the owner has read from its disk so far, and that is: sent.
    fn sent(&self) -> u64 {
        let io = fs::read_to_string(format!("/proc/{}/io", self.owner.pid())).unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.unwrap().parse().unwrap()
    }

    /// What is kept in the end is the track, and a peer that has it from here has it right.
    fn assert_whole(self) {
        self.owner.signal("CONT");
        self.listener.wait_for_arrival(1.0);
        assert_eq!(wait_for_copy(&self.listener), self.bytes);
        // From now on nobody else gives it.
        self.owner.signal("STOP");
        let third = Setup::peer("third", &self.tracker).start();
        third.wait_for_tracks("owner", 1);
        third.ctl_ok(&["play", "owner/song.wav"]);
        third.wait_for_arrival(1.0);
        assert_eq!(wait_for_copy(&third), self.bytes);
    }
}

/// The bytes of the copy that a node keeps, once it does.
fn wait_for_copy(node: &Node) -> Vec<u8> {
    node.wait_for_status("a held copy", |_| !cached(node, ".data").is_empty());
    fs::read(&cached(node, ".data")[0]).unwrap()
}

/// The files of a node's cache whose names end so.
fn cached(node: &Node, suffix: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(node.dir.path().join("cache")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect()
}

/// SplitMix64.
fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |n| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % n
    }
}

#[test]
fn a_listener_that_is_killed_fifty_times_fetches_the_track_once() {
    let seed = env::var("P2PMUSIC_SEED").ok().and_then(|s| s.parse().ok());
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let seed: u64 = seed.unwrap_or(now.as_micros() as u64);
    println!("P2PMUSIC_SEED={seed}");
    let mut draw = dice(seed);
    let mut swarm = Swarm::new(180.0);
    let size = swarm.bytes.len() as f64;
    let (mut here, mut looks, begun) = (0.0, Vec::new(), swarm.sent());
    for life in 0..LIVES {
        // A third of them end while they begin, or without a look at what is here.
        match draw(6) {
            0 => {}
            1 => {
                swarm.listener.wait_for_line("INFO  ready");
                swarm.play();
            }
            _ => {
                swarm.listener.wait_for_line("INFO  ready");
                here = swarm.reused(here);
                looks.push((life, here));
                swarm.owner.signal("CONT");
            }
        }
        thread::sleep(Duration::from_micros(draw(LONGEST_US)));
        swarm.listener.kill();
        swarm.owner.signal("CONT");
        swarm.listener = swarm.listener.relaunch();
    }
    let sent = (swarm.sent() - begun) as f64;
    println!("sent {sent} bytes of {size}; here was {looks:?}");
    let lost = f64::from(LIVES) * UNDER_WAY as f64;
    assert!(sent < size + lost, "{sent} bytes were sent");
    assert!(looks.last() > looks.first(), "no life has got on");
    swarm.listener.wait_for_line("INFO  ready");
    swarm.reused(here);
    swarm.assert_whole();
}

#[test]
fn a_listener_that_ends_goes_on_where_it_was() {
    let mut swarm = Swarm::new(180.0);
    let begun = swarm.sent();
    swarm.play();
    swarm.listener.wait_for_arrival(0.01);
    swarm.owner.signal("STOP");
    let here = swarm.listener.json(&["status"])["node"]["arrived"].as_f64();
    swarm.listener.signal("TERM");
    assert!(swarm.listener.wait_for_exit().success());
    assert_eq!(
        cached(&swarm.listener, ".part.have").len(),
        1,
        "it is clean"
    );
    swarm.owner.signal("CONT");

    swarm.listener = swarm.listener.restart();
    let reused = swarm.reused(here.unwrap());
    let before = swarm.sent();
    swarm.owner.signal("CONT");
    swarm.listener.wait_for_arrival(1.0);
    let (size, sent) = (swarm.bytes.len() as f64, (swarm.sent() - before) as f64);
    println!(
        "{reused} of {size} bytes were here; {} and {sent} were sent",
        before - begun
    );
    assert!(sent < size * (1.0 - reused) + 4.0 * UNDER_WAY as f64);
    swarm.assert_whole();
}

const LIVES: u32 = 50;
/// In this time a listener gets some of the track, and not all of it.
const LONGEST_US: u64 = 100_000;
/// What an owner may have sent that did not come to the listener's disk: the windows of
/// a connection, and as many hashes.
const UNDER_WAY: u64 = 1 << 20;
