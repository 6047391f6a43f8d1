//! Sound through the real ALSA library, without a sound card.
//!
//! The device is ALSA's own `file` plugin, whose file is a named pipe that the
//! test reads at a card's pace: what a DAC would get is what the test has, and
//! a full pipe holds the player back as a full hardware buffer does.

mod common;

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::Command,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use common::{
    audio::{self, Music},
    Node, Setup,
};
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use tempfile::TempDir;

/// A directory with an ALSA configuration, and the far end of its device.
struct Card {
    dir: TempDir,
    end: Arc<AtomicBool>,
    sound: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

/// What the player finds by its name.
const DEVICE: &str = "testcard";
/// 32-bit stereo.
const FRAME_BYTES: u32 = 8;
/// How often the card takes sound.
const PERIOD: Duration = Duration::from_millis(10);

impl Card {
    fn plugged_in(rate: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("dac");
        assert!(Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success());
        let text = format!(
            "pcm.{DEVICE} {{ type file file \"{}\" format raw slave.pcm null \
             hint {{ show on description \"a test's card\" }} }}\n",
            pipe.display()
        );
        fs::write(dir.path().join("asoundrc"), text).unwrap();
        let (end, sound) = (
            Arc::<AtomicBool>::default(),
            Arc::<Mutex<Vec<u8>>>::default(),
        );
        let reader = Some(thread::spawn({
            let (end, sound) = (end.clone(), sound.clone());
            move || read_at_pace(&pipe, rate, &end, &sound)
        }));
        Self {
            dir,
            end,
            sound,
            reader,
        }
    }

    fn env(&self) -> Vec<(String, String)> {
        let own = self.dir.path().join("asoundrc");
        let path = format!("/usr/share/alsa/alsa.conf:{}", own.display());
        vec![("ALSA_CONFIG_PATH".into(), path)]
    }

    /// The first `count` frames that the card gets, from the first that is not
    /// silent on, as samples of 32 bits.
    fn heard(&self, count: usize) -> Vec<[i32; 2]> {
        let deadline = Instant::now() + common::PATIENCE;
        loop {
            let bytes = self.sound.lock().unwrap().clone();
            let sample = |b: &[u8]| i32::from_le_bytes(b.try_into().unwrap());
            let frames: Vec<[i32; 2]> = bytes
                .chunks_exact(8)
                .map(|frame| [sample(&frame[..4]), sample(&frame[4..])])
                .skip_while(|frame| *frame == [0, 0])
                .take(count)
                .collect();
            if frames.len() == count {
                return frames;
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count} frames",
                frames.len()
            );
            thread::sleep(PERIOD);
        }
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

/// Opened for writing, too, so that the pipe outlives a closed device and
/// opening it waits for nobody.
fn read_at_pace(pipe: &Path, rate: u32, end: &AtomicBool, sound: &Mutex<Vec<u8>>) {
    let mut pipe = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(pipe)
        .unwrap();
    fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)).unwrap();
    let mut period = vec![0; (rate * FRAME_BYTES) as usize / 100];
    let mut due = Instant::now();
    while !end.load(Ordering::Acquire) {
        let mut filled = 0;
        while filled < period.len() {
            match pipe.read(&mut period[filled..]) {
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        sound.lock().unwrap().extend_from_slice(&period[..filled]);
        due = (due + PERIOD).max(Instant::now() - PERIOD);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

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

fn assert_heard(card: &Card, sound: &[[i16; 2]], what: &str) {
    let heard = card.heard(sound.len());
    let exact = |frame: &[i16; 2]| frame.map(|sample| i32::from(sample) << 16);
    let differs = heard.iter().zip(sound).position(|(a, b)| *a != exact(b));
    assert_eq!(differs, None, "the first wrong frame of {what}");
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
            assert_heard(&card, &sound, &format!("{file} at {rate} Hz"));
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
    assert_heard(&card, &sound, "three tracks");
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

/// As little as a pipe can hold, 10 ms, since it is the card's buffer.
const PIPE_BYTES: i32 = 4096;
