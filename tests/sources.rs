//! One track from several boxes, of which any may be slow or die, as the listener hears it.

mod common;

use common::{
    audio::{self, Music},
    Node, Setup,
};

/// A peer that shares `music` over a line of so much.
fn holder(name: &'static str, tracker: &Node, music: &Music, upload: &'static str) -> Node {
    let setup = Setup::peer(name, tracker).music(music.path());
    let upload = Some(upload);
    Setup { upload, ..setup }.start()
}

/// A peer that records what is heard, once it knows the music of all `owners`, and of what
/// they have in common that it is the same.
fn listener(tracker: &Node, owners: &[&str], tracks: usize) -> Node {
    let player = Setup::peer("player", tracker).recorded().start();
    for owner in owners {
        player.wait_for_tracks(owner, 1);
    }
    player.wait_for(&["search", "wav"], "each track once", |found| {
        found.as_array().map(Vec::len) == Some(tracks)
    });
    player.ctl_ok(&["volume", "100"]);
    player
}

fn wait_until_past(node: &Node, second: f64) {
    node.wait_for_status("some sound", |status| {
        status["status"]["elapsed"].as_f64() > Some(second)
    });
}

fn arrived(node: &Node) -> f64 {
    let status = node.json(&["status"]);
    status["node"]["arrived"].as_f64().expect("it plays")
}

/// At 176,400 bytes a second each of the two could bring it alone.
#[test]
fn nobody_hears_that_one_of_two_sources_is_killed() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 9.0);
    let tracker = Setup::tracker().start();
    let mut owner = holder("owner", &tracker, &music, "2 Mbit/s");
    let _other = holder("other", &tracker, &music, "2 Mbit/s");
    let player = listener(&tracker, &["owner", "other"], 1);
    player.ctl_ok(&["play", "owner/song.wav"]);
    wait_until_past(&player, 1.5);
    let here = arrived(&player);
    owner.kill();
    assert!(here < 1.0, "something is still to come");
    player.wait_for_end();
    assert_eq!(player.json(&["stats"])["underruns"], 0);
    audio::assert_same(&audio::read_wav(&player.recording()).1, &sound);
}

#[test]
fn what_had_arrived_from_a_dead_source_is_played_and_the_queue_goes_on() {
    let (theirs, others) = (Music::new(), Music::new());
    let lost = theirs.wav("lost.wav", 44_100, 20.0);
    let kept = others.wav("kept.wav", 44_100, 1.0);
    let tracker = Setup::tracker().start();
    let mut cellar = holder("cellar", &tracker, &theirs, "2 Mbit/s");
    let _attic = holder("attic", &tracker, &others, "100 Mbit/s");
    let player = listener(&tracker, &["cellar", "attic"], 2);
    player.ctl_ok(&["add", "cellar/lost.wav"]);
    player.ctl_ok(&["add", "attic/kept.wav"]);
    player.ctl_ok(&["play"]);
    wait_until_past(&player, 1.0);
    cellar.kill();
    let status = player.wait_long_for_status("the next track", |status| {
        status["song"]["file"] == "attic/kept.wav" || status["status"]["state"] == "stop"
    });
    let error = status["status"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("cellar"), "{status:#}");
    assert!(player.ctl_ok(&["status"]).contains(error));
    player.wait_for_end();

    let mut heard = audio::read_wav(&player.recording()).1;
    // Where it waited for bytes.
    heard.retain(|frame| *frame != [0, 0]);
    let next = audio::find(&heard, &kept).expect("the next track, whole");
    let first = &heard[..next];
    assert!(first.len() > 44_100, "{} frames", first.len());
    // What comes after a wait is faded in.
    let first = &first[..first.len() - 4410];
    audio::assert_same(first, &lost[..first.len()]);
}

/// None of the three is fast enough; together they are.
#[test]
fn three_sources_of_half_the_rate_are_enough() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 15.0);
    let tracker = Setup::tracker().start();
    let names = ["attic", "cellar", "garden"];
    let _holders = names.map(|name| holder(name, &tracker, &music, "706 kbit/s"));
    let player = listener(&tracker, &names, 1);
    player.ctl_ok(&["play", "attic/song.wav"]);
    player.wait_for_sound();
    player.wait_for_end();
    let stats = player.json(&["stats"]);
    assert_eq!(stats["underruns"], 0, "{stats:#}");
    audio::assert_same(&audio::read_wav(&player.recording()).1, &sound);
}
