//! Sound through the real ALSA library, without a sound card.

mod common;

use std::fs;

use common::{
    audio::{self, Music},
    card::{Card, DEVICE},
    Node, Setup,
};

/// A peer that plays to `card` what another has.
fn play(card: &Card, music: &Music, what: &str, tracks: u64) -> Node {
    let tracker = Setup::tracker().start();
    let _owner = Setup::peer("owner", &tracker).music(music.path()).start();
    let mut setup = Setup::peer("player", &tracker).device(DEVICE);
    setup.env = card.env();
    let player = setup.start();
    player.wait_for_tracks("owner", tracks);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["play", what]);
    player.wait_for_sound();
    let status = player.json(&["status"]);
    let output = status["node"]["output"].as_str().unwrap();
    assert!(
        output.starts_with("testcard, ") && output.contains("2 channels, s32"),
        "{output}"
    );
    assert!(!output.contains("resampled"), "{output}");
    player.wait_for_end();
    player
}

#[test]
fn what_is_streamed_reaches_the_card_sample_for_sample() {
    for rate in [44_100, 48_000] {
        for file in ["song.wav", "song.flac"] {
            let music = Music::new();
            // The pipe takes more at once than a card's buffer would; that is
            // silence here.
            let sound = audio::frames(rate, 1.0, 6);
            let silence = vec![[0, 0]; rate as usize / 3];
            let path = music.path().join("song.wav");
            audio::write_wav(&path, rate, &[silence, sound.clone()].concat());
            if file == "song.flac" {
                music.encode("song.wav", file, &[]);
                fs::remove_file(path).unwrap();
            }
            let card = Card::plugged_in(rate);
            let _player = play(&card, &music, file, 1);
            card.assert_heard(&sound, &format!("{file} at {rate} Hz"));
        }
    }
}

/// A recording leaves out what is not played, a card does not: here a gap
/// would be heard.
#[test]
fn tracks_follow_each_other_without_a_gap() {
    let music = Music::new();
    let mut sound = Vec::new();
    for (n, seconds) in [(1, 1.0), (2, 0.7), (3, 0.5)] {
        let silence = if n == 1 {
            vec![[0, 0]; 14_700]
        } else {
            Vec::new()
        };
        let track = audio::frames(44_100, seconds, n);
        let path = music.path().join(format!("{n}.wav"));
        audio::write_wav(&path, 44_100, &[silence, track.clone()].concat());
        sound.extend(track);
    }
    let card = Card::plugged_in(44_100);
    let _player = play(&card, &music, "owner", 3);
    card.assert_heard(&sound, "three tracks");
}

#[test]
fn devices_are_listed_and_an_unknown_one_is_refused() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 1.0);
    let card = Card::plugged_in(44_100);
    let env = card.env();
    let setup = Setup {
        role: "peer",
        env,
        ..Setup::default()
    };
    let node = setup.device("gramophone").music(music.path()).start();
    let devices = node.wait_for(&["devices"], "a list of devices", |devices| {
        devices
            .as_array()
            .is_some_and(|devices| !devices.is_empty())
    });
    let mut rows = devices.as_array().unwrap().iter();
    let row = rows
        .find(|row| row["device"] == DEVICE)
        .expect("the card is listed");
    assert_eq!(row["description"], "a test's card");
    node.wait_for(&["ls"], "the track", |list| {
        list.as_array().is_some_and(|l| !l.is_empty())
    });
    node.ctl_ok(&["play", "song"]);
    let problem = node.wait_for_problem("no sound");
    assert!(
        problem.contains("gramophone") && problem.contains(DEVICE),
        "{problem}"
    );
    assert!(problem.contains("audio.device"), "{problem}");
    assert!(node.ctl_ok(&["status"]).contains(&problem));
}
