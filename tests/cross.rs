//! What is built for Raspberry Pis, under an emulator of their processors, in
//! one swarm with what is built for this machine.
//!
//! `make cross-test` builds for them and names each in the environment, with
//! the emulator before it. Nothing here is about speed.

mod common;

use std::{env, fs, path::PathBuf, process::Command};

use common::{
    audio::{self, Music},
    card::{Card, DEVICE},
    Node, Setup,
};
use tempfile::TempDir;

/// The words that run p2pmusic as the machine `name` does.
fn machine(name: &str) -> Vec<String> {
    let words = env::var(name).expect("`make cross-test` sets it");
    words.split_whitespace().map(str::to_owned).collect()
}

fn arm64() -> Vec<String> {
    machine("P2PMUSIC_ARM64")
}

fn armhf() -> Vec<String> {
    machine("P2PMUSIC_ARMHF")
}

fn this_machine() -> Vec<String> {
    Vec::new()
}

/// Two peers on machines `one` and `other`, of a tracker on the first of them,
/// register; each plays what the other has, and each gets what was put in.
fn play_each_others(one: &[String], other: &[String]) {
    let machines = [one, other];
    let names = ["kitchen", "attic"];
    let music = [Music::new(), Music::new()];
    let sound = [44_100, 48_000].map(|rate| (rate, audio::frames(rate, 2.0, rate.into())));
    for (music, (rate, frames)) in music.iter().zip(&sound) {
        let plain = music.path().join("plain.wav");
        audio::write_wav(&plain, *rate, frames);
        music.encode("plain.wav", "packed.flac", &[]);
    }
    let tracker = Setup::tracker().on(one).start();
    let mut peers: Vec<Node> = (0..2)
        .map(|n| {
            let peer = Setup::peer(names[n], &tracker).music(music[n].path());
            peer.on(machines[n]).recorded().start()
        })
        .collect();
    for peer in &peers {
        peer.wait_until_registered();
        peer.wait_for_peers(&names);
        peer.ctl_ok(&["volume", "100"]);
    }
    for (n, player) in peers.iter_mut().enumerate() {
        let owner = 1 - n;
        player.wait_for_tracks(names[owner], 2);
        for file in ["plain.wav", "packed.flac"] {
            let track = format!("{}/{file}", names[owner]);
            player.ctl_ok(&["play", &track]);
            player.wait_for_sound();
            player.wait_for_end();
        }
        let status = player.json(&["status"]);
        assert!(status["status"]["error"].is_null(), "{status:#}");
    }
    for (n, player) in peers.iter_mut().enumerate() {
        // Its end completes the recording's header.
        player.signal("TERM");
        player.wait_for_exit();
        let (rate, expected) = &sound[1 - n];
        let (heard_rate, heard) = audio::read_wav(&player.recording());
        assert_eq!(heard_rate, *rate, "at {}", names[n]);
        audio::assert_same(&heard, &expected.repeat(2));
    }
}

#[test]
#[ignore = "needs what `make cross-test` builds"]
fn a_64_bit_pi_and_this_machine_play_each_others_music() {
    play_each_others(&arm64(), &this_machine());
}

#[test]
#[ignore = "needs what `make cross-test` builds"]
fn a_32_bit_pi_and_this_machine_play_each_others_music() {
    play_each_others(&armhf(), &this_machine());
}

#[test]
#[ignore = "needs what `make cross-test` builds"]
fn a_64_bit_pi_and_a_32_bit_pi_play_each_others_music() {
    play_each_others(&arm64(), &armhf());
}

/// A peer on `machine` streams to `card` what another, here, has.
fn play_on(machine: &[String], card: &Card, music: &Music) -> Node {
    let tracker = Setup::tracker().start();
    let _owner = Setup::peer("owner", &tracker).music(music.path()).start();
    let mut setup = Setup::peer("player", &tracker).on(machine).device(DEVICE);
    setup.env = card.env_alone();
    let player = setup.start();
    player.wait_for_tracks("owner", 1);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["play", "song"]);
    player.wait_for_end();
    player
}

/// One second, after the silence that the card's pipe takes at once.
fn song(music: &Music) -> Vec<[i16; 2]> {
    let sound = audio::frames(44_100, 1.0, 6);
    let silence = vec![[0, 0]; 14_700];
    let path = music.path().join("song.wav");
    audio::write_wav(&path, 44_100, &[silence, sound.clone()].concat());
    sound
}

#[test]
#[ignore = "needs what `make cross-test` builds"]
fn a_64_bit_pi_plays_through_alsa_sample_for_sample() {
    let (music, card) = (Music::new(), Card::plugged_in(44_100));
    let sound = song(&music);
    let _player = play_on(&arm64(), &card, &music);
    card.assert_heard(&sound, "a song at a 64-bit Pi");
}

#[test]
#[ignore = "needs what `make cross-test` builds"]
fn a_32_bit_pi_plays_through_alsa_sample_for_sample() {
    let (music, card) = (Music::new(), Card::plugged_in(44_100));
    let sound = song(&music);
    let _player = play_on(&armhf(), &card, &music);
    card.assert_heard(&sound, "a song at a 32-bit Pi");
}

/// Since Debian 13, alsa-lib's time stamps have 16 bytes on 32-bit ARM, where
/// they had 8: a caller of the old size has 8 bytes of its own overwritten.
/// (The library of this test is Debian 12's, with that one function as it is
/// in the newer one.)
#[test]
#[ignore = "needs what `make cross-test` builds"]
fn a_32_bit_pi_plays_with_an_alsa_library_of_64_bit_time() {
    let (music, card) = (Music::new(), Card::plugged_in(44_100));
    let sound = song(&music);
    let newer = NewerAlsa::build();
    let mut machine = armhf();
    let binary = machine.pop().expect("a binary's path");
    machine.extend(["-E".into(), newer.preload(), binary]);
    let player = play_on(&machine, &card, &music);
    assert!(!player.log().contains("panicked"), "{}", player.log());
    card.assert_heard(&sound, "a song with a newer library");
}

/// A library that stands before alsa-lib.
struct NewerAlsa {
    dir: TempDir,
}

impl NewerAlsa {
    fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("newer.c");
        fs::write(&source, NEWER).unwrap();
        let output = Command::new("arm-linux-gnueabihf-gcc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .arg(dir.path().join(LIBRARY))
            .arg(source)
            .output()
            .expect("`make cross-test` installs it");
        assert!(output.status.success(), "{output:?}");
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(LIBRARY)
    }

    fn preload(&self) -> String {
        format!("LD_PRELOAD={}", self.path().display())
    }
}

const LIBRARY: &str = "libnewer.so";

/// The three functions of a time stamp with `struct timespec` as it is with
/// `_TIME_BITS=64`; 1 s and 1 ns, so that no mistake looks like zero.
const NEWER: &str = r"
struct stamp { long long seconds; int nanoseconds; int unused; };
static void stamp(struct stamp *at) {
    *at = (struct stamp) { 1, 1, -1 };
}
void snd_pcm_status_get_htstamp(const void *status, struct stamp *at) { stamp(at); }
void snd_pcm_status_get_trigger_htstamp(const void *status, struct stamp *at) { stamp(at); }
void snd_pcm_status_get_audio_htstamp(const void *status, struct stamp *at) { stamp(at); }
";
