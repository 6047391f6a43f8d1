//! The player as its owner sees it, on outputs that need no sound card.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

use super::output::wav::WavFile;
use super::*;
use crate::media::decode::{Cancel, FileBytes, ReadStop};
use crate::media::Container;

const RATE: u32 = 44_100;

/// Stereo noise in which no two frames are alike, as 16-bit values.
fn noise(seed: u32, frames: usize) -> Vec<i16> {
    let mut state = seed | 1;
    (0..frames * 2)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16
        })
        .collect()
}

fn write_wav(path: &Path, rate: u32, samples: &[i16]) {
    let mut file = WavFile::create_16_bit(path, rate, 2).unwrap();
    let samples: Vec<f32> = samples.iter().map(|&s| f32::from(s) / 32_768.0).collect();
    file.append(&samples).unwrap();
}

fn read_wav(path: &Path) -> Vec<i16> {
    let bytes = std::fs::read(path).unwrap();
    let says = u32::from_le_bytes(bytes[40..44].try_into().unwrap()) as usize;
    assert_eq!(says, bytes.len() - 44, "the header is final");
    bytes[44..]
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect()
}

fn load(play: u64, path: &Path) -> Load {
    Load {
        play: PlayId(play),
        bytes: Arc::new(FileBytes::open(path).unwrap()),
        media: MediaInfo::cd(Container::Wav),
        from: Duration::ZERO,
        held: false,
        gentle: false,
    }
}

struct Bench {
    player: Player,
    events: async_channel::Receiver<PlayerEvent>,
}

impl Bench {
    fn new(spec: OutputSpec) -> Self {
        let (sender, events) = async_channel::bounded(EVENT_BOUND);
        let player = Player::spawn(spec, sender).unwrap();
        Self { player, events }
    }

    /// Waits for an event, and returns those up to it.
    fn until(&self, wanted: impl Fn(&PlayerEvent) -> bool) -> Vec<PlayerEvent> {
        let mut seen = Vec::new();
        loop {
            let event = smol::block_on(smol::future::or(
                async { self.events.recv().await.ok() },
                async {
                    smol::Timer::after(Duration::from_secs(10)).await;
                    None
                },
            ));
            match event {
                Some(event) => seen.push(event),
                None => panic!("it never came; seen: {seen:?}"),
            }
            if seen.last().is_some_and(&wanted) {
                return seen;
            }
        }
    }
}

#[test]
fn a_track_arrives_to_the_bit_and_its_successor_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (noise(1, 9_001), noise(2, 12_345));
    let (a, b) = (dir.path().join("a.wav"), dir.path().join("b.wav"));
    write_wav(&a, RATE, &first);
    write_wav(&b, RATE, &second);
    let out = dir.path().join("out.wav");
    let bench = Bench::new(OutputSpec::Wav(out.clone()));
    bench.player.load(load(1, &a));
    bench.player.next(load(2, &b));
    let seen = bench.until(|e| *e == PlayerEvent::Ended { play: PlayId(2) });
    drop(bench);
    let crossed = PlayerEvent::Crossed {
        from: PlayId(1),
        to: PlayId(2),
    };
    assert!(seen.contains(&crossed), "{seen:?}");
    let underrun = |e: &PlayerEvent| matches!(e, PlayerEvent::Underrun { .. });
    assert!(!seen.iter().any(underrun), "{seen:?}");
    assert_eq!(read_wav(&out), [first, second].concat());
}

/// Bytes that arrive when the test says so.
struct Trickle {
    bytes: Vec<u8>,
    arrived: Mutex<usize>,
    bell: Condvar,
    reads: AtomicU64,
}

impl Trickle {
    fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            arrived: Mutex::new(0),
            bell: Condvar::new(),
            reads: AtomicU64::new(0),
        })
    }

    fn arrive(&self, upto: usize) {
        *self.arrived.lock().unwrap() = upto;
        self.bell.notify_all();
    }
}

impl TrackBytes for Trickle {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8], cancel: &Cancel) -> Result<usize, ReadStop> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let offset = offset as usize;
        let mut arrived = self.arrived.lock().unwrap();
        loop {
            if cancel.is_set() {
                return Err(ReadStop::Cancelled);
            }
            if offset >= self.bytes.len() {
                return Ok(0);
            }
            if offset < *arrived {
                let count = buf.len().min(*arrived - offset);
                buf[..count].copy_from_slice(&self.bytes[offset..offset + count]);
                return Ok(count);
            }
            arrived = self.bell.wait(arrived).unwrap();
        }
    }

    fn wake(&self) {
        drop(self.arrived.lock().unwrap());
        self.bell.notify_all();
    }
}

#[test]
fn late_bytes_are_an_underrun_and_never_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let samples = noise(3, 30_000);
    write_wav(&path, RATE, &samples);
    let bytes = Trickle::new(std::fs::read(&path).unwrap());
    let out = dir.path().join("out.wav");
    let bench = Bench::new(OutputSpec::Wav(out.clone()));
    let play = PlayId(7);
    bench.player.load(Load {
        play,
        bytes: bytes.clone(),
        ..load(0, &path)
    });
    bytes.arrive(50_000);
    bench.until(|e| *e == PlayerEvent::Underrun { play });
    bytes.arrive(usize::MAX);
    bench.until(|e| *e == PlayerEvent::Ended { play });
    drop(bench);
    let heard = read_wav(&out);
    let gap = heard.iter().filter(|&&s| s == 0).count();
    assert!(gap > 0, "the gap was heard");
    // After the gap the sound is ramped up, so only the rest is exact.
    let tail = samples.len() / 4;
    assert_eq!(heard[heard.len() - tail..], samples[samples.len() - tail..]);
}

#[test]
fn a_blocked_read_gives_way_to_the_next_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    write_wav(&path, RATE, &noise(4, 3_000));
    let stuck = Trickle::new(std::fs::read(&path).unwrap());
    let bench = Bench::new(OutputSpec::Null);
    bench.player.load(Load {
        bytes: stuck.clone(),
        ..load(1, &path)
    });
    while stuck.reads.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    bench.player.load(load(2, &path));
    let seen = bench.until(|e| *e == PlayerEvent::Ended { play: PlayId(2) });
    let of_first = |e: &PlayerEvent| {
        matches!(
            e,
            PlayerEvent::Failed {
                play: PlayId(1),
                ..
            }
        ) || matches!(e, PlayerEvent::Ended { play: PlayId(1) })
    };
    assert!(!seen.iter().any(of_first), "{seen:?}");
    bench.player.load(Load {
        bytes: Trickle::new(std::fs::read(&path).unwrap()),
        ..load(3, &path)
    });
    // Dropping the player while a read is blocked must not hang.
}

#[test]
fn a_seek_is_exact_and_the_position_follows() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let samples = noise(5, 40_000);
    write_wav(&path, RATE, &samples);
    let out = dir.path().join("out.wav");
    let bench = Bench::new(OutputSpec::Wav(out.clone()));
    let play = PlayId(1);
    let from = Duration::from_millis(700);
    bench.player.load(Load {
        from,
        ..load(1, &path)
    });
    bench.until(|e| matches!(e, PlayerEvent::Started { .. }));
    let (playing, position) = bench.player.position().unwrap();
    assert_eq!(playing, play);
    assert!(position >= from, "{position:?}");
    bench.until(|e| *e == PlayerEvent::Ended { play });
    drop(bench);
    let heard = read_wav(&out);
    assert_eq!(heard.len(), samples.len() - 30_870 * 2);
    let tail = heard.len() / 2;
    assert_eq!(heard[tail..], samples[samples.len() - tail..]);
}

#[test]
fn what_cannot_be_played_fails_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    std::fs::write(&path, b"this is no music").unwrap();
    let bench = Bench::new(OutputSpec::Null);
    bench.player.load(load(1, &path));
    let failed = |e: &PlayerEvent| {
        matches!(
            e,
            PlayerEvent::Failed {
                play: PlayId(1),
                ..
            }
        )
    };
    bench.until(failed);
}

#[test]
fn what_is_ordered_before_a_load_holds_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    let samples = noise(6, 5_000);
    write_wav(&path, RATE, &samples);
    let out = dir.path().join("out.wav");
    let bench = Bench::new(OutputSpec::Wav(out.clone()));
    let play = PlayId(1);
    bench.player.pause();
    bench.player.load(load(1, &path));
    while bench.player.position().is_none() {
        std::thread::yield_now();
    }
    assert!(bench.events.is_empty());
    bench.player.resume();
    bench.until(|e| *e == PlayerEvent::Ended { play });
    let (play, at) = (PlayId(2), Duration::from_millis(50));
    bench.player.seek(play, at);
    while bench.player.position() != Some((play, at)) {
        std::thread::yield_now();
    }
    bench.player.load(load(2, &path));
    bench.until(|e| *e == PlayerEvent::Ended { play });
    drop(bench);
    let (read, rest) = (read_wav(&out), &samples[2 * 2_205..]);
    assert_eq!(read[..samples.len()], samples);
    assert_eq!(read.len(), samples.len() + rest.len());
    // It begins softly behind a seek.
    assert_eq!(read[samples.len() + 2_000..], rest[2_000..]);
}
