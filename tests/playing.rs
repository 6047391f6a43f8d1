//! Playing, as a person at `p2pmusic ctl` does it.
//!
//! The tracks lie on another peer, and what is heard is recorded.

mod common;

use common::{
    audio::{self, Music},
    Node, Setup,
};

/// A tracker, an owner of `music`, and a peer that records what it plays.
struct Swarm {
    player: Node,
    owner: Node,
    _tracker: Node,
}

impl Swarm {
    fn with(music: &Music, tracks: u64) -> Self {
        let tracker = Setup::tracker().start();
        let owner = Setup::peer("owner", &tracker).music(music.path()).start();
        let player = Setup::peer("player", &tracker).recorded().start();
        player.wait_for_tracks("owner", tracks);
        player.ctl_ok(&["volume", "100"]);
        Self {
            player,
            owner,
            _tracker: tracker,
        }
    }

    /// What has been heard so far.
    fn heard(&self) -> Vec<[i16; 2]> {
        audio::read_wav(&self.player.recording()).1
    }

    fn wait_until_elapsed(&self, seconds: f64) {
        self.player
            .wait_for_status(&format!("second {seconds}"), |status| {
                status["status"]["elapsed"].as_f64() >= Some(seconds)
            });
    }

    fn wait_for_state(&self, state: &str) {
        self.player
            .wait_for_status(state, |status| status["status"]["state"] == state);
    }

    fn wait_for_file(&self, file: &str) {
        self.player.wait_for_status(file, |status| {
            status["song"]["file"] == file && status["status"]["elapsed"].as_f64() > Some(0.0)
        });
    }
}

#[test]
fn a_pause_keeps_the_place_and_a_stop_does_not() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 5.0);
    let swarm = Swarm::with(&music, 1);
    swarm.player.ctl_ok(&["play", "song"]);
    swarm.wait_until_elapsed(0.5);
    swarm.player.ctl_ok(&["pause"]);
    swarm.wait_for_state("pause");
    let place = || {
        swarm.player.json(&["status"])["status"]["elapsed"]
            .as_f64()
            .unwrap()
    };
    let (one, other) = (place(), place());
    assert!(
        (other - one).abs() < 0.05,
        "{one} and {other}: the ramp is over soon"
    );
    let paused_at = swarm.heard().len();
    assert!(swarm.player.ctl_ok(&["status"]).starts_with("paused"));

    swarm.player.ctl_ok(&["resume"]);
    swarm.wait_until_elapsed(place() + 0.5);
    swarm.player.ctl_ok(&["stop"]);
    swarm.wait_for_state("stop");
    let heard = swarm.heard();
    assert!(heard.len() > paused_at);
    let before = &heard[..paused_at - RAMP];
    audio::assert_same(before, &sound[..before.len()]);
    let after = &heard[paused_at + RAMP..heard.len() - RAMP];
    let goes_on = audio::find(&sound, &after[..4096]).expect("the sound behind the pause");
    let skipped = goes_on.abs_diff(paused_at + RAMP);
    assert!(
        skipped <= RAMP,
        "{skipped} frames are lost or doubled by the pause"
    );
    audio::assert_same(after, &sound[goes_on..goes_on + after.len()]);

    swarm.player.ctl_ok(&["play"]);
    swarm.wait_until_elapsed(0.1);
    assert!(place() < 2.0, "it began anew");
}

#[test]
fn tracks_follow_each_other_without_a_gap() {
    let music = Music::new();
    let mut expected = music.wav("a/1.wav", 44_100, 1.3);
    expected.extend(music.wav("a/2.wav", 44_100, 1.1));
    expected.extend(music.wav("a/3.wav", 44_100, 0.9));
    let swarm = Swarm::with(&music, 3);
    assert_eq!(swarm.player.ctl_ok(&["add", "owner/a"]), "added 3 tracks\n");
    swarm.player.ctl_ok(&["play"]);
    swarm.wait_for_file("owner/a/1.wav");
    swarm.wait_for_file("owner/a/3.wav");
    swarm.player.wait_for_end();
    audio::assert_same(&swarm.heard(), &expected);
}

#[test]
fn play_says_what_it_chose_and_what_follows() {
    let music = Music::new();
    for n in 1..=7 {
        music.wav(&format!("album/{n}.wav"), 44_100, 30.0);
    }
    music.wav("single.wav", 44_100, 30.0);
    let swarm = Swarm::with(&music, 8);
    let player = &swarm.player;
    let said = player.ctl_ok(&["play", "owner/album"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 5, "{said}");
    assert!(
        lines[0].starts_with("playing  1.wav  0:30  owner/album/1.wav"),
        "{said}"
    );
    assert!(lines[0].contains("7 tracks"), "{said}");
    assert!(lines[1].starts_with("then     2.wav"), "{said}");
    assert!(lines[4].ends_with("owner/album/5.wav"), "{said}");

    // What is to come next interrupts nothing.
    let said = player.ctl_ok(&["play", "--next", "single"]);
    assert!(
        said.contains("single.wav  0:30  owner/single.wav"),
        "{said}"
    );
    assert!(!said.contains("playing"), "{said}");
    let queue = player.json(&["queue"]);
    let files: Vec<&str> = queue
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["file"].as_str().unwrap())
        .collect();
    assert_eq!(
        &files[..3],
        ["owner/album/1.wav", "owner/single.wav", "owner/album/2.wav"]
    );
    assert_eq!(files.len(), 8);
    let at = player.json(&["status"])["status"]["song"].as_u64();
    assert!(at < Some(7), "it is not one of the others: {at:?}");

    // And what is to be played replaces all that.
    let said = player.ctl_ok(&["play", "single"]);
    assert_eq!(said, "playing  single.wav  0:30  owner/single.wav\n");
    assert_eq!(player.json(&["queue"]).as_array().unwrap().len(), 1);
}

#[test]
fn next_and_prev_walk_through_the_queue() {
    let music = Music::new();
    for name in ["a/1.wav", "a/2.wav", "a/3.wav"] {
        music.wav(name, 44_100, 20.0);
    }
    let swarm = Swarm::with(&music, 3);
    let player = &swarm.player;
    player.ctl_ok(&["play", "owner/a"]);
    swarm.wait_for_file("owner/a/1.wav");
    assert!(player.ctl_ok(&["next"]).contains("2.wav"));
    swarm.wait_for_file("owner/a/2.wav");
    player.ctl_ok(&["next"]);
    swarm.wait_for_file("owner/a/3.wav");
    assert!(player.ctl_ok(&["prev"]).contains("2.wav"));
    swarm.wait_for_file("owner/a/2.wav");
    player.ctl_ok(&["next"]);
    player.ctl_ok(&["next"]);
    swarm.wait_for_state("stop");
    assert_eq!(player.json(&["queue"]).as_array().unwrap().len(), 3);
    player.ctl_ok(&["clear"]);
    assert_eq!(player.json(&["queue"]).as_array().unwrap().len(), 0);
    assert!(player.ctl_ok(&["play"]).contains("the queue is empty"));
}

#[test]
fn a_seek_lands_on_the_frame() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 60.0);
    let swarm = Swarm::with(&music, 1);
    let player = &swarm.player;
    player.ctl_ok(&["play", "song"]);
    player.wait_for_sound();
    let mut from = 0;
    for (to, second) in [("0:40", 40), ("50%", 30), ("0:10", 10)] {
        assert!(player.ctl_ok(&["seek", to]).contains(" / 1:00"), "{to}");
        let end = second as f64 + 1.0;
        player.wait_for_status(to, |status| {
            let at = status["status"]["elapsed"].as_f64().unwrap();
            (end - 0.8..end + 1.0).contains(&at)
        });
        // The first frames behind the ramp show where it went on.
        let first = second * 44_100 + RAMP;
        let deadline = std::time::Instant::now() + common::PATIENCE;
        let at = loop {
            let heard = swarm.heard();
            if let Some(at) = audio::find(&heard[from..], &sound[first..first + 1000]) {
                break from + at;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{to}: what is there was not heard"
            );
        };
        // And it begins there, not before: the ramp is short.
        let ramped = swarm.heard()[at - RAMP + 1];
        assert!(
            ramped[0].abs() <= sound[first - RAMP + 1][0].abs(),
            "faded in"
        );
        from = at;
    }
    let place = || {
        player.json(&["status"])["status"]["elapsed"]
            .as_f64()
            .unwrap()
    };
    let before = place();
    player.ctl_ok(&["seek", "+20"]);
    swarm.wait_until_elapsed(before + 19.9);
    let before = place();
    player.ctl_ok(&["seek", "-20"]);
    player.wait_for_status("back", |s| {
        s["status"]["elapsed"].as_f64() < Some(before - 15.0)
    });
    assert!(player
        .ctl_fails_with(2, &["seek", "somewhere"])
        .contains("1:23"));
}

/// The owner is stopped, so that what is sought cannot have arrived.
#[test]
fn a_seek_into_what_has_not_arrived_waits_for_it() {
    let music = Music::new();
    let (begin, end) = (
        audio::frames(44_100, 60.0, 4),
        audio::frames(44_100, 10.0, 5),
    );
    let loud = [(0, &begin[..]), (1400, &end[..])];
    audio::write_sparse_wav(&music.path().join("long.wav"), 44_100, 1500, &loud);
    let swarm = Swarm::with(&music, 1);
    let player = &swarm.player;
    player.ctl_ok(&["play", "long"]);
    player.wait_for_arrival(0.01);
    swarm.owner.signal("STOP");
    player.ctl_ok(&["seek", "1400"]);
    player.wait_for_status("a wait", |status| status["node"]["waiting"] == true);
    assert!(player.ctl_ok(&["status"]).starts_with("waiting"));
    let place = player.json(&["status"])["status"]["elapsed"]
        .as_f64()
        .unwrap();
    assert_eq!(place, 1400.0, "it stands there");
    swarm.owner.signal("CONT");
    swarm.wait_until_elapsed(1401.0);
    let heard = swarm.heard();
    assert!(audio::find(&heard, &end[RAMP..RAMP + 20_000]).is_some());
}

#[test]
fn the_volume_is_heard_kept_and_limited() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 1.0);
    let swarm = Swarm::with(&music, 1);
    let player = &swarm.player;
    assert_eq!(player.ctl_ok(&["volume"]), "volume 100 %\n");
    assert_eq!(player.ctl_ok(&["volume", "-60"]), "volume 40 %\n");
    assert_eq!(player.ctl_ok(&["volume", "+5"]), "volume 45 %\n");
    assert!(player
        .ctl_fails_with(2, &["volume", "101"])
        .contains("0 to 100"));
    player.ctl_ok(&["play", "song"]);
    player.wait_for_sound();
    player.wait_for_end();
    let heard = swarm.heard();
    assert_eq!(heard.len(), sound.len());
    let energy = |frames: &[[i16; 2]]| -> f64 {
        frames
            .iter()
            .flatten()
            .map(|&s| f64::from(s) * f64::from(s))
            .sum()
    };
    let ratio = (energy(&heard) / energy(&sound)).sqrt();
    assert!(
        (0.01..0.6).contains(&ratio),
        "45 % are {ratio} of the amplitude"
    );
    player.ctl_ok(&["volume", "0"]);
    player.ctl_ok(&["play", "song"]);
    player.wait_for_sound();
    player.wait_for_end();
    assert!(
        swarm.heard()[sound.len()..]
            .iter()
            .all(|frame| *frame == [0, 0]),
        "0 % is silence"
    );
}

/// What a fade takes, and a device buffer on either side of it.
const RAMP: usize = 44_100 / 20;
