//! A speaker that ends, is killed or loses its power goes on where it was.

mod common;

use std::{
    env, fs,
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use common::{
    audio::{self, Music},
    left_out::left_out,
    Node, Setup,
};
use nix::sys::statfs::{statfs, Statfs, TMPFS_MAGIC};
use serde_json::Value;

/// Two long tracks without an end that a test would wait for.
fn music() -> Music {
    let music = Music::new();
    for (name, seed) in [("one.wav", 1), ("two.wav", 2)] {
        let sound = audio::frames(RATE, 1.0, seed);
        audio::write_sparse_wav(&music.path().join(name), RATE, 1200, &[(0, &sound)]);
    }
    music
}

/// A speaker on its own with music of its own.
fn alone(music: &Music) -> Setup {
    Setup {
        role: "peer",
        name: Some("kitchen"),
        ..Setup::default()
    }
    .music(music.path())
}

fn number(status: &Value, key: &str) -> f64 {
    status["status"][key].as_f64().unwrap_or(-1.0)
}

/// What is to be the same after a restart, but for where in its track it is.
fn habits(node: &Node) -> Vec<Value> {
    let status = node.json(&["status"]);
    let keys = [
        "state",
        "volume",
        "random",
        "repeat",
        "single",
        "consume",
        "song",
        "playlistlength",
    ];
    let queue = node.json(&["queue"]);
    let mut habits: Vec<Value> = keys
        .iter()
        .map(|key| status["status"][key].clone())
        .collect();
    let files = queue
        .as_array()
        .unwrap()
        .iter()
        .map(|song| song["file"].clone());
    habits.extend(files);
    habits
}

fn elapsed(node: &Node) -> f64 {
    number(&node.json(&["status"]), "elapsed")
}

/// Where the node says that it goes on, in seconds.
fn goes_on_at(node: &Node) -> f64 {
    let line = node.wait_for_line("goes on with ");
    let at = line.rsplit(" at ").next().unwrap();
    at.trim_end_matches(" s").parse().unwrap()
}

fn wait_until_it_plays(node: &Node) {
    let from = elapsed(node);
    node.wait_for_status("sound", |status| {
        status["status"]["state"] == "play" && number(status, "elapsed") > from.max(0.0)
    });
}

/// Plays the second of two tracks in modes and at a volume that are not the usual ones.
fn begin(node: &Node) {
    node.wait_for_tracks("kitchen", 2);
    let mut mpd = common::mpd::Mpd::connect(&node.socket());
    for command in [
        "add kitchen",
        "repeat 1",
        "consume 0",
        "single 1",
        "setvol 41",
        "play 1",
    ] {
        assert_eq!(mpd.ask(command), ["OK"], "{command}");
    }
    wait_until_it_plays(node);
    node.ctl_ok(&["seek", "100"]);
}

#[test]
fn a_speaker_that_is_killed_at_any_moment_plays_on_where_it_was() {
    let lives = env::var("P2PMUSIC_KILLS").ok().and_then(|n| n.parse().ok());
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let mut dice = now.as_micros() as u64 | 1;
    let music = music();
    let mut node = alone(&music).start();
    begin(&node);
    // The queue is written.
    node.wait_for_status("a minute", |status| number(status, "elapsed") >= 104.0);
    let before = habits(&node);
    let mut errors = Vec::new();
    for _ in 0..lives.unwrap_or(12) {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        thread::sleep(Duration::from_millis(dice % 6000));
        let at = elapsed(&node);
        node.kill();
        node = node.restart();
        errors.push((at - goes_on_at(&node)).abs());
        wait_until_it_plays(&node);
        assert_eq!(habits(&node), before);
    }
    errors.sort_by(f64::total_cmp);
    let (p50, max) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    println!(
        "position error over {} kills: p50 {p50:.2} s, max {max:.2} s",
        errors.len()
    );
    // A busy disk of a test machine may take its time; the promise is 5 s.
    assert!(max < 15.0, "{errors:?}");
}

/// A write that a file system with a journal turns into a dozen KB is made once a minute, and
/// what is written in between lies where no disk is.
#[test]
fn where_the_control_socket_is_in_memory_the_disk_is_written_seldom_and_nothing_is_lost() {
    let memory = Path::new("/dev/shm");
    let is_in_memory = |fs: Statfs| fs.filesystem_type() == TMPFS_MAGIC;
    if !statfs(memory).is_ok_and(is_in_memory) {
        return left_out("there is no /dev/shm in memory");
    }
    let (music, disk) = (music(), tempfile::tempdir().unwrap());
    let state = disk.path().join("state");
    fs::create_dir(&state).unwrap();
    let setup = Setup {
        place: Some(memory.into()),
        state: Some(state.clone()),
        ..alone(&music)
    };
    let node = setup.start();
    begin(&node);
    node.wait_for_status("a minute", |status| number(status, "elapsed") >= 104.0);
    let before = habits(&node);
    let written = |file: &Path| fs::metadata(file).unwrap().modified().unwrap();
    let (on_disk, in_memory) = (state.join("place"), node.dir.path().join("ctl.sock.place"));
    let (disk_was, memory_was) = (written(&on_disk), written(&in_memory));
    node.wait_for_status("12 s more", |status| number(status, "elapsed") >= 116.0);
    assert_ne!(written(&in_memory), memory_was);
    assert_eq!(
        written(&on_disk),
        disk_was,
        "the disk is written to meanwhile"
    );
    let mut node = node;
    let at = elapsed(&node);
    node.kill();
    let node = node.restart();
    let error = at - goes_on_at(&node);
    assert!((-1.0..15.0).contains(&error), "it goes on {error} s before");
    wait_until_it_plays(&node);
    assert_eq!(habits(&node), before);
    // One that ends in order leaves all of it on the disk, also where /run goes with it.
    node.wait_for_status("12 s more", |status| number(status, "elapsed") >= 124.0);
    let at = elapsed(&node);
    let mut node = node;
    node.signal("TERM");
    node.wait_for_exit();
    fs::remove_file(&in_memory).unwrap();
    let node = node.restart();
    let error = at - goes_on_at(&node);
    assert!((-1.0..5.0).contains(&error), "it goes on {error} s before");
}

#[test]
fn what_is_paused_stays_paused_and_what_is_stopped_stopped() {
    let music = music();
    let mut node = alone(&music).start();
    begin(&node);
    node.ctl_ok(&["pause"]);
    let (before, at) = (habits(&node), elapsed(&node));
    node.signal("TERM");
    assert!(node.wait_for_exit().success());
    node = node.restart();
    node.wait_for_tracks("kitchen", 2);
    assert_eq!(habits(&node), before);
    assert!((goes_on_at(&node) - at).abs() < 0.5);
    assert!((elapsed(&node) - at).abs() < 0.5, "it has not moved");
    node.ctl_ok(&["stop"]);
    let before = habits(&node);
    node.signal("TERM");
    assert!(node.wait_for_exit().success());
    node = node.restart();
    node.wait_for_tracks("kitchen", 2);
    assert_eq!(habits(&node), before);
}

#[test]
fn a_person_that_does_not_want_it_gets_it_paused_or_not_at_all() {
    let music = music();
    let mut node = alone(&music).start();
    begin(&node);
    node.reconfigure("[audio]\n", "[audio]\nresume = \"paused\"\n");
    node.signal("TERM");
    assert!(node.wait_for_exit().success());
    node = node.restart();
    assert!(goes_on_at(&node) >= 100.0);
    assert_eq!(node.json(&["status"])["status"]["state"], "pause");
    node.ctl_ok(&["resume"]);
    wait_until_it_plays(&node);
    assert!(elapsed(&node) >= 100.0);

    node.reconfigure("\"paused\"", "\"never\"");
    node.signal("TERM");
    assert!(node.wait_for_exit().success());
    node = node.restart();
    node.wait_for_tracks("kitchen", 2);
    let status = node.json(&["status"]);
    assert_eq!(status["status"]["state"], "stop");
    assert_eq!(number(&status, "playlistlength"), 2.0);
    assert_eq!(number(&status, "volume"), 41.0);
    assert_eq!(number(&status, "song"), 1.0);
}

/// The whole house was without power, and the box with the music is slower to start. What
/// somebody says in between counts.
#[test]
fn it_waits_for_the_owner_of_what_played_unless_somebody_says_otherwise() {
    let music = Music::new();
    let sound = audio::frames(RATE, 1.0, 3);
    audio::write_sparse_wav(&music.path().join("far.wav"), RATE, 1200, &[(0, &sound)]);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("attic", &tracker).music(music.path());
    let mut owner = Setup {
        upload: Some("4 Mbit/s"),
        ..owner
    }
    .start();
    let mut node = Setup::peer("kitchen", &tracker).start();
    node.wait_for_tracks("attic", 1);
    node.ctl_ok(&["play", "far.wav"]);
    for says_stop in [false, true] {
        wait_until_it_plays(&node);
        let at = elapsed(&node);
        owner.signal("TERM");
        assert!(owner.wait_for_exit().success());
        node.signal("TERM");
        assert!(node.wait_for_exit().success());
        node = node.restart();
        assert!((goes_on_at(&node) - at).abs() < 5.0);
        let status =
            node.wait_for_status("the wait", |status| status["node"]["waits_peer"] == "attic");
        assert_eq!(status["node"]["waits_reason"], "absent", "{status:#}");
        assert!(status["node"]["waits_since_s"].is_u64(), "{status:#}");
        let words = status["node"]["waits_for"].as_str().unwrap();
        assert!(
            words.starts_with("attic, which is not here, since "),
            "{words}"
        );
        if says_stop {
            node.ctl_ok(&["stop"]);
        }
        owner = owner.restart();
        node.wait_for_tracks("attic", 1);
        if !says_stop {
            wait_until_it_plays(&node);
            assert!(elapsed(&node) >= at);
        }
    }
    assert_eq!(node.json(&["status"])["status"]["state"], "stop");
}

#[test]
fn what_could_not_be_saved_is_saved_when_it_can_be() {
    let music = music();
    let mut node = alone(&music).start();
    // Where its directory was there is something else.
    let (state, away) = (node.dir.path().join("state"), node.dir.path().join("away"));
    fs::rename(&state, &away).unwrap();
    fs::write(&state, "").unwrap();
    begin(&node);
    node.wait_for_problem("queue and volume are not remembered");
    fs::remove_file(&state).unwrap();
    fs::rename(&away, &state).unwrap();
    node.wait_for_line("queue and volume are remembered again");
    node.wait_for_no_problem();
    node.kill();
    let node = node.restart();
    node.wait_for_tracks("kitchen", 2);
    wait_until_it_plays(&node);
}

const RATE: u32 = 44_100;
