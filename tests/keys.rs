//! A swarm's key is changed: nodes with the new one go on, and nodes without it are out.

mod common;

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use common::{
    audio::{self, Music},
    Node, Setup, BINARY,
};

fn keygen() -> String {
    let output = Command::new(BINARY).arg("keygen").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Writes `keys` and has them read.
fn use_keys(node: &Node, keys: &str) {
    let count = |node: &Node| node.log().matches("in effect now: swarm.key_file").count();
    let before = count(node);
    fs::write(node.dir.path().join("key"), keys).unwrap();
    node.signal("HUP");
    node.wait_for_status("the new keys", |_| count(node) > before);
}

/// A swarm with one key: a tracker, the owner of a track, which sends it hardly faster than
/// it is played, a listener, and a node that is to be put out.
struct Swarm {
    old: String,
    new: String,
    music: Music,
    sound: Vec<[i16; 2]>,
    tracker: Node,
    owner: Node,
    listener: Node,
    thief: Node,
}

impl Swarm {
    fn start() -> Self {
        let (old, new) = (keygen(), keygen());
        let music = Music::new();
        let sound = music.wav("song.wav", 44_100, LENGTH.as_secs_f64());
        let tracker = Setup::tracker().key(&old).start();
        let owner = Setup {
            upload: Some("2 Mbit/s"),
            ..Setup::peer("owner", &tracker)
        };
        let owner = owner.key(&old).music(music.path()).start();
        let listener = Setup::peer("listener", &tracker)
            .key(&old)
            .recorded()
            .start();
        let thief = Setup::peer("thief", &tracker).key(&old).start();
        for node in [&owner, &listener, &thief] {
            node.wait_for_peers(&["owner", "listener", "thief"]);
        }
        for node in [&listener, &thief] {
            node.wait_for_tracks("owner", 1);
        }
        listener.ctl_ok(&["volume", "100"]);
        Self {
            old,
            new,
            music,
            sound,
            tracker,
            owner,
            listener,
            thief,
        }
    }

    /// Takes the old key away from `order` while the listener listens, over a connection
    /// that was made with it.
    fn change(&self, order: [&Node; 3]) {
        self.listener.ctl_ok(&["play", "song"]);
        // So much that it lasts until the rest is under way again.
        self.listener.wait_for_arrival(0.4);
        for node in order {
            use_keys(node, &format!("{}{}", self.new, self.old));
        }
        for node in order {
            use_keys(node, &self.new);
        }
    }

    /// The thief is out, everybody else is here, and sound has never stopped.
    fn assert_all_is_well(&self) {
        let begun = Instant::now();
        for node in [&self.owner, &self.listener] {
            node.wait_until_registered();
        }
        println!("who has the new key is back after {:?}", begun.elapsed());
        self.tracker.wait_for_peers(&["listener", "owner"]);
        println!("the thief is gone after {:?}", begun.elapsed());
        for node in [&self.owner, &self.listener] {
            node.wait_for_peers(&["listener", "owner"]);
            node.wait_for_no_problem();
        }
        self.thief.wait_for_problem("no tracker");
        self.music.wav("new.wav", 44_100, 0.5);
        self.listener.wait_for_tracks("owner", 2);
        let seen = self.thief.peer("owner");
        let sees_less = seen.as_ref().is_none_or(|owner| owner["tracks"] == 1);
        assert!(sees_less, "{seen:?}");
        // It may try, but nobody gives it anything.
        let _ = self.thief.ctl(&["play", "song"]);
        self.listener.wait_for_end();
        let count = |node: &Node, what: &str| node.json(&["stats"])[what].clone();
        assert_eq!(count(&self.thief, "received_bytes"), 0);
        assert_eq!(count(&self.listener, "underruns"), 0);
        audio::assert_same(&audio::read_wav(&self.listener.recording()).1, &self.sound);
    }
}

#[test]
fn a_node_without_the_new_key_is_put_out_and_music_goes_on_tracker_first() {
    let swarm = Swarm::start();
    swarm.change([&swarm.tracker, &swarm.owner, &swarm.listener]);
    swarm.assert_all_is_well();
}

#[test]
fn a_node_without_the_new_key_is_put_out_and_music_goes_on_peers_first() {
    let swarm = Swarm::start();
    swarm.change([&swarm.listener, &swarm.owner, &swarm.tracker]);
    swarm.assert_all_is_well();
}

/// One key for another, in one step: the first to change wait for the last, and are back
/// when it has changed.
#[test]
fn the_node_that_changes_first_waits_for_the_last() {
    let swarm = Swarm::start();
    for node in [&swarm.owner, &swarm.listener] {
        use_keys(node, &swarm.new);
        node.wait_for_problem("no tracker");
    }
    swarm.listener.ctl_ok(&["play", "song"]);
    use_keys(&swarm.tracker, &swarm.new);
    swarm.assert_all_is_well();
}

/// No tracker speaks for anybody: a peer that was known by its own word only has to show
/// again that it is a member.
#[test]
fn without_a_tracker_too() {
    let mut swarm = Swarm::start();
    swarm.tracker.kill();
    let (nodes, thief) = ([&swarm.owner, &swarm.listener], &swarm.thief);
    for node in nodes.into_iter().chain([thief]) {
        node.wait_for_problem("no tracker");
    }
    for keys in [format!("{}{}", swarm.new, swarm.old), swarm.new.clone()] {
        nodes.into_iter().for_each(|node| use_keys(node, &keys));
    }
    let begun = Instant::now();
    // Those that it does not know any more hinder none that it does, nor does what was tried
    // with the keys of before.
    swarm.listener.wait_for_peers(&["listener", "owner"]);
    swarm.listener.ctl_ok(&["play", "song"]);
    swarm.listener.wait_for_sound();
    let log = swarm.listener.log();
    assert!(!log.contains("what plays waits for"), "{log}");
    println!("the listener plays after {:?}", begun.elapsed());
    swarm.owner.wait_for_peers(&["listener", "owner"]);
    println!("the thief is gone after {:?}", begun.elapsed());
    let _ = thief.ctl(&["play", "song"]);
    swarm.listener.wait_for_end();
    let received = thief.json(&["stats"])["received_bytes"].clone();
    assert_eq!(received, 0);
}

/// Long enough that it still plays when the keys have been read twice by all.
const LENGTH: Duration = Duration::from_secs(15);
