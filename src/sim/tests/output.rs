//! What a node may expect of a player: one table, run against the real one on both outputs that
//! need no card, and against the simulation's.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    panic::{catch_unwind, AssertUnwindSafe},
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use crate::{
    id::TrackId,
    media::{
        decode::{Cancel, ReadStop, TrackBytes},
        Format,
    },
    node::{PlaySource, PlayerTrack},
    player::{self, wav::WavFile, Load, OutputSpec, PlayId, PlayerEvent},
    sim::{
        music::Song,
        player::{Byte, Bytes, Player, Told},
    },
};

/// What is told of plays. That a device was opened is the device's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Started(u64),
    Underrun(u64),
    Resumed(u64),
    Crossed(u64, u64),
    Ended(u64),
    Failed(u64),
}

use Heard::{Crossed, Ended, Failed, Resumed, Started, Underrun};

/// A track as it is loaded: noise of a length, of which a part in the midst may be late.
#[derive(Clone)]
struct Piece {
    length: Duration,
    from: Duration,
    held: bool,
    next: bool,
    /// As parts of 100 of its bytes.
    late: Range<u64>,
}

/// A player, and what it has told.
trait PlayerBench {
    fn load(&mut self, play: u64, piece: Piece);
    /// What is late of `play` is here, or never comes.
    fn arrive(&mut self, play: u64, comes: bool);
    fn pause(&mut self, paused: bool);
    fn hold(&mut self, play: u64, held: bool);
    fn seek(&mut self, play: u64, to: Duration);
    fn clear_next(&mut self);
    fn stop(&mut self);
    fn position(&mut self) -> Option<(u64, Duration)>;
    fn has_read(&mut self, play: u64) -> bool;
    fn heard(&self) -> &[Heard];
    /// Waits a little for something new.
    fn wait(&mut self);
}

impl dyn PlayerBench + '_ {
    fn until(&mut self, last: Heard) {
        self.until_so(|bench| bench.heard().last() == Some(&last), last);
    }

    /// Until `play` is what plays, with or without sound.
    fn until_at(&mut self, play: u64, at: Duration) {
        let is_there = |bench: &mut Self| bench.position() == Some((play, at));
        self.until_so(is_there, (play, at));
    }

    fn until_read(&mut self, play: u64) {
        self.until_so(|bench| bench.has_read(play), ("read", play));
    }

    fn until_so(&mut self, is_so: impl Fn(&mut Self) -> bool, what: impl std::fmt::Debug) {
        for _ in 0..PATIENCE {
            if is_so(self) {
                return;
            }
            self.wait();
        }
        panic!("{what:?} never came; heard: {:?}", self.heard());
    }
}

const fn piece(millis: u64) -> Piece {
    Piece {
        length: Duration::from_millis(millis),
        from: Duration::ZERO,
        held: false,
        next: false,
        late: 0..0,
    }
}

/// Short enough that the ring holds it, and the successor is decoded behind it.
const SHORT: Piece = piece(300);
/// Long enough to do something while it sounds.
const LONG: Piece = piece(1500);
const MOMENT: Duration = Duration::from_millis(100);

const fn next(piece: Piece) -> Piece {
    Piece {
        next: true,
        ..piece
    }
}

const fn held(piece: Piece) -> Piece {
    Piece {
        held: true,
        ..piece
    }
}

/// Enough of it is here for sound to begin.
const fn late(piece: Piece) -> Piece {
    Piece {
        late: 50..80,
        ..piece
    }
}

/// All of it is late.
const fn awaited(piece: Piece) -> Piece {
    Piece {
        late: 0..101,
        ..piece
    }
}

type Contract = (&'static str, fn(&mut dyn PlayerBench), &'static [Heard]);

const CONTRACTS: &[Contract] = &[
    (
        "a track is heard to its end",
        |player| {
            player.load(1, SHORT);
            player.until(Ended(1));
            assert_eq!(player.position(), None);
        },
        &[Started(1), Ended(1)],
    ),
    (
        "a successor follows without a gap, and another one it",
        |player| {
            player.load(1, SHORT);
            player.load(2, next(SHORT));
            player.until(Crossed(1, 2));
            player.load(3, next(SHORT));
            player.until(Ended(3));
        },
        &[Started(1), Crossed(1, 2), Crossed(2, 3), Ended(3)],
    ),
    (
        "what is loaded takes the place of what plays, and of its successor",
        |player| {
            player.load(1, LONG);
            player.load(2, next(SHORT));
            player.until(Started(1));
            player.load(3, SHORT);
            player.until(Ended(3));
        },
        &[Started(1), Started(3), Ended(3)],
    ),
    (
        "what is stopped has no end",
        |player| {
            player.load(1, LONG);
            player.load(2, next(SHORT));
            player.until(Started(1));
            player.stop();
            player.until_so(|player| player.position().is_none(), "silence");
            player.load(3, SHORT);
            player.until(Ended(3));
        },
        &[Started(1), Started(3), Ended(3)],
    ),
    (
        "bytes that are late are an underrun, and never the end",
        |player| {
            player.load(1, late(LONG));
            player.until(Underrun(1));
            player.arrive(1, true);
            player.until(Ended(1));
        },
        &[Started(1), Underrun(1), Resumed(1), Ended(1)],
    ),
    (
        "before the first sound nothing is an underrun",
        |player| {
            player.load(1, awaited(SHORT));
            player.until_read(1);
            player.until_at(1, Duration::ZERO);
            player.arrive(1, true);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "bytes that never come are a failure once the rest is heard",
        |player| {
            player.load(1, held(late(LONG)));
            player.arrive(1, false);
            player.hold(1, false);
            player.until(Failed(1));
        },
        &[Started(1), Failed(1)],
    ),
    (
        "and so they are where they were awaited",
        |player| {
            player.load(1, late(LONG));
            player.until(Underrun(1));
            player.arrive(1, false);
            player.until(Failed(1));
        },
        &[Started(1), Underrun(1), Resumed(1), Failed(1)],
    ),
    (
        "what has no sound at all fails, and its successor begins",
        |player| {
            player.load(1, awaited(SHORT));
            player.load(2, next(SHORT));
            player.arrive(1, false);
            player.until(Ended(2));
        },
        &[Failed(1), Crossed(1, 2), Started(2), Ended(2)],
    ),
    (
        "the successor of what fails follows what was heard of it",
        |player| {
            player.load(1, held(late(SHORT)));
            player.load(2, next(SHORT));
            player.arrive(1, false);
            player.until_read(2);
            player.hold(1, false);
            player.until(Ended(2));
        },
        &[Started(1), Failed(1), Crossed(1, 2), Ended(2)],
    ),
    (
        "nothing sounds during a pause, and what is loaded then begins after it",
        |player| {
            player.pause(true);
            player.load(1, SHORT);
            player.until_at(1, Duration::ZERO);
            assert_eq!(player.heard(), []);
            player.pause(false);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "a pause keeps the place",
        |player| {
            player.load(1, LONG);
            player.until(Started(1));
            player.pause(true);
            player.pause(false);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "what is held makes no sound before it may",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(held(SHORT)));
            player.until_read(2);
            assert_eq!(player.heard(), []);
            player.hold(1, false);
            player.until(Ended(2));
        },
        &[Started(1), Crossed(1, 2), Ended(2)],
    ),
    (
        "only what has run dry can be held back",
        |player| {
            player.load(1, SHORT);
            player.until(Started(1));
            player.hold(1, true);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "what has run dry can be, and goes on when it may",
        |player| {
            player.load(1, late(LONG));
            player.until(Underrun(1));
            player.hold(1, true);
            player.arrive(1, true);
            player.hold(2, false);
            player.hold(1, false);
            player.until(Ended(1));
        },
        &[Started(1), Underrun(1), Resumed(1), Ended(1)],
    ),
    (
        "after a seek sound begins anew",
        |player| {
            player.load(1, LONG);
            player.until(Started(1));
            player.seek(1, LONG.length - MOMENT);
            player.until(Ended(1));
        },
        &[Started(1), Started(1), Ended(1)],
    ),
    (
        "a seek out of an underrun ends it",
        |player| {
            player.load(1, late(LONG));
            player.until(Underrun(1));
            player.seek(1, LONG.length - MOMENT);
            player.until(Ended(1));
        },
        &[Started(1), Underrun(1), Started(1), Ended(1)],
    ),
    (
        "a seek holds for what is loaded later, and for nothing else",
        |player| {
            player.pause(true);
            player.seek(2, MOMENT);
            player.load(1, SHORT);
            player.until_at(1, Duration::ZERO);
            player.load(2, SHORT);
            player.until_at(2, MOMENT);
            player.pause(false);
            player.until(Ended(2));
        },
        &[Started(2), Ended(2)],
    ),
    (
        "the successor outlives a seek, decoded or not",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(SHORT));
            player.until_read(2);
            player.seek(1, MOMENT);
            player.hold(1, false);
            player.until(Ended(2));
        },
        &[Started(1), Crossed(1, 2), Ended(2)],
    ),
    (
        "a track begins where it is to",
        |player| {
            player.pause(true);
            let from = Duration::from_millis(200);
            player.load(1, Piece { from, ..SHORT });
            player.until_at(1, from);
            player.pause(false);
            player.until(Ended(1));
        },
        &[Started(1), Ended(1)],
    ),
    (
        "behind the end there is no sound",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(SHORT));
            player.seek(1, SHORT.length * 2);
            player.hold(1, false);
            player.until(Ended(2));
        },
        &[Crossed(1, 2), Started(2), Ended(2)],
    ),
    (
        "a successor that is forgotten does not follow, decoded or not",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(SHORT));
            player.until_read(2);
            player.clear_next();
            player.hold(1, false);
            player.until(Ended(1));
            player.load(3, LONG);
            player.load(4, next(SHORT));
            player.clear_next();
            player.until(Ended(3));
        },
        &[Started(1), Ended(1), Started(3), Ended(3)],
    ),
    (
        "of two successors the later one follows, decoded or not",
        |player| {
            player.load(1, held(SHORT));
            player.load(2, next(SHORT));
            player.until_read(2);
            player.load(3, next(SHORT));
            player.hold(1, false);
            player.until(Ended(3));
        },
        &[Started(1), Crossed(1, 3), Ended(3)],
    ),
    (
        "a successor that is late is waited for",
        |player| {
            player.load(1, SHORT);
            player.load(2, next(awaited(SHORT)));
            player.until(Crossed(1, 2));
            player.arrive(2, true);
            player.until(Ended(2));
        },
        &[Started(1), Crossed(1, 2), Started(2), Ended(2)],
    ),
];

/// The real player, in real time.
struct RealBench {
    player: player::Player,
    events: async_channel::Receiver<PlayerEvent>,
    bytes: BTreeMap<u64, Arc<LateBytes>>,
    heard: Vec<Heard>,
    dir: tempfile::TempDir,
}

impl RealBench {
    fn new(output: impl Fn(&Path) -> OutputSpec) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (sender, events) = async_channel::bounded(player::EVENT_BOUND);
        Self {
            player: player::Player::spawn(output(dir.path()), sender).unwrap(),
            events,
            bytes: BTreeMap::new(),
            heard: Vec::new(),
            dir,
        }
    }

    /// A file of noise.
    fn file(&self, length: Duration) -> Vec<u8> {
        let path = self.dir.path().join("track.wav");
        let mut file = WavFile::create_16_bit(&path, RATE, 2).unwrap();
        let samples = (0..song(length).size / 2).map(|n| (n * n % 997) as f32 / 2000.0);
        file.append(&samples.skip(HEADER as usize / 2).collect::<Vec<_>>())
            .unwrap();
        drop(file);
        std::fs::read(path).unwrap()
    }
}

impl PlayerBench for RealBench {
    fn load(&mut self, play: u64, piece: Piece) {
        let file = self.file(piece.length);
        let bytes = Arc::new(LateBytes {
            state: Mutex::new(LateState::new(&piece, file.len() as u64)),
            file,
            bell: Condvar::new(),
        });
        self.bytes.insert(play, bytes.clone());
        let load = Load {
            play: PlayId(play),
            bytes,
            format: Format::Wav,
            audio_start: None,
            from: piece.from,
            expect: Some((RATE, 2)),
            held: piece.held,
            gentle: false,
        };
        match piece.next {
            true => self.player.next(load),
            false => self.player.load(load),
        }
    }

    fn arrive(&mut self, play: u64, comes: bool) {
        let bytes = &self.bytes[&play];
        bytes.state.lock().unwrap().arrive(comes);
        bytes.bell.notify_all();
    }

    fn pause(&mut self, paused: bool) {
        match paused {
            true => self.player.pause(),
            false => self.player.resume(),
        }
    }

    fn hold(&mut self, play: u64, held: bool) {
        match held {
            true => self.player.hold(PlayId(play)),
            false => self.player.sound(PlayId(play)),
        }
    }

    fn seek(&mut self, play: u64, to: Duration) {
        self.player.seek(PlayId(play), to);
    }

    fn clear_next(&mut self) {
        self.player.clear_next();
    }

    fn stop(&mut self) {
        self.player.stop();
    }

    fn position(&mut self) -> Option<(u64, Duration)> {
        let (play, at) = self.player.position()?;
        Some((play.0, at))
    }

    fn has_read(&mut self, play: u64) -> bool {
        self.bytes[&play].state.lock().unwrap().is_read
    }

    fn heard(&self) -> &[Heard] {
        &self.heard
    }

    fn wait(&mut self) {
        // Where the test lets none run dry it is the machine that had no time; and a successor
        // that is late is one until it starts.
        let bytes = &self.bytes;
        let runs_dry = |play: u64| bytes[&play].state.lock().unwrap().runs_dry;
        while let Ok(event) = self.events.try_recv() {
            let heard = heard(&event);
            self.heard.extend(heard.filter(|heard| match heard {
                Underrun(play) | Resumed(play) => runs_dry(*play),
                _ => true,
            }));
        }
        thread::sleep(STEP);
    }
}

fn heard(event: &PlayerEvent) -> Option<Heard> {
    Some(match event {
        PlayerEvent::Started { play, .. } => Started(play.0),
        PlayerEvent::Underrun { play } => Underrun(play.0),
        PlayerEvent::Resumed { play } => Resumed(play.0),
        PlayerEvent::Crossed { from, to } => Crossed(from.0, to.0),
        PlayerEvent::Ended { play } => Ended(play.0),
        PlayerEvent::Failed { play, .. } => Failed(play.0),
        PlayerEvent::DeviceOpen { .. }
        | PlayerEvent::DeviceLost { .. }
        | PlayerEvent::DeviceBack
        | PlayerEvent::Gap { .. } => return None,
    })
}

/// A file of which some comes when the test says so.
struct LateBytes {
    file: Vec<u8>,
    state: Mutex<LateState>,
    bell: Condvar,
}

/// What of a track is late.
struct LateState {
    late: Range<u64>,
    comes: Option<bool>,
    /// It begins to sound before that.
    runs_dry: bool,
    is_read: bool,
}

impl LateState {
    fn new(piece: &Piece, size: u64) -> Self {
        let at = |percent: u64| size * percent / 100;
        Self {
            late: at(piece.late.start)..at(piece.late.end),
            comes: None,
            runs_dry: piece.late.start > 0,
            is_read: false,
        }
    }

    fn arrive(&mut self, comes: bool) {
        self.comes = Some(comes);
    }

    fn look(&self, offset: u64) -> Byte {
        match self.comes {
            None if self.late.contains(&offset) => Byte::Late,
            Some(false) if self.late.contains(&offset) => Byte::Never("it is lost".into()),
            _ => Byte::Here,
        }
    }
}

impl TrackBytes for LateBytes {
    fn size(&self) -> u64 {
        self.file.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8], cancel: &Cancel) -> Result<usize, ReadStop> {
        let mut state = self.state.lock().unwrap();
        state.is_read = true;
        loop {
            match state.look(offset) {
                _ if cancel.is_set() => return Err(ReadStop::Cancelled),
                Byte::Never(why) => return Err(ReadStop::Failed(why)),
                Byte::Here => break,
                Byte::Late => state = self.bell.wait(state).unwrap(),
            }
        }
        let rest = self.file.get(offset as usize..).unwrap_or_default();
        let is_before = state.comes != Some(true) && offset < state.late.start;
        let readable = match is_before {
            true => state.late.start - offset,
            false => rest.len() as u64,
        };
        let count = rest.len().min(buf.len()).min(readable as usize);
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn wake(&self) {
        drop(self.state.lock().unwrap());
        self.bell.notify_all();
    }
}

/// The simulation's player, in its time.
struct ModelBench {
    player: Player,
    now: Instant,
    bytes: ModelBytes,
    read: BTreeSet<TrackId>,
    heard: Vec<Heard>,
}

struct ModelBytes(BTreeMap<TrackId, LateState>);

impl Bytes for ModelBytes {
    fn look(&self, track: TrackId, offset: u64) -> Byte {
        self.0[&track].look(offset)
    }
}

impl ModelBench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            player: Player::new(now),
            now,
            bytes: ModelBytes(BTreeMap::new()),
            read: BTreeSet::new(),
            heard: Vec::new(),
        }
    }

    fn advance(&mut self) {
        self.player.advance(&self.bytes, self.now);
        for told in self.player.take_told() {
            match told {
                Told::Event(event) => self.heard.extend(heard(&event)),
                Told::Demand { track, .. } => drop(self.read.insert(track)),
                Told::Heard { .. } => {}
            }
        }
    }
}

impl PlayerBench for ModelBench {
    fn load(&mut self, play: u64, piece: Piece) {
        let song = Song {
            track: track(play),
            ..song(piece.length)
        };
        let late = LateState::new(&piece, song.size);
        self.bytes.0.insert(song.track, late);
        let load = PlayerTrack {
            play: PlayId(play),
            from: piece.from,
            held: piece.held,
            gentle: false,
            next: piece.next,
            source: PlaySource::Store(song.track),
            format: Format::Wav,
            rate: RATE,
            channels: 2,
            audio_start: song.audio_start,
        };
        self.player.load(load, song, self.now);
        self.advance();
    }

    fn arrive(&mut self, play: u64, comes: bool) {
        let late = self.bytes.0.get_mut(&track(play)).unwrap();
        late.arrive(comes);
        self.advance();
    }

    fn pause(&mut self, paused: bool) {
        self.player.pause(paused, self.now);
        self.advance();
    }

    fn hold(&mut self, play: u64, held: bool) {
        self.player.hold(PlayId(play), held);
        self.advance();
    }

    fn seek(&mut self, play: u64, to: Duration) {
        self.player.seek(PlayId(play), to, self.now);
        self.advance();
    }

    fn clear_next(&mut self) {
        self.player.clear_next();
        self.advance();
    }

    fn stop(&mut self) {
        self.player.stop();
        self.advance();
    }

    fn position(&mut self) -> Option<(u64, Duration)> {
        let (play, at) = self.player.position()?;
        Some((play.0, at))
    }

    fn has_read(&mut self, play: u64) -> bool {
        self.read.contains(&track(play))
    }

    fn heard(&self) -> &[Heard] {
        &self.heard
    }

    fn wait(&mut self) {
        let step = self.now + STEP;
        let due = self.player.poll_timeout().map_or(step, |due| due.min(step));
        self.now = due.max(self.now + Duration::from_micros(1));
        self.advance();
    }
}

fn track(play: u64) -> TrackId {
    TrackId([play as u8; 32])
}

/// A WAV file as the simulation has it.
fn song(length: Duration) -> Song {
    let frames = length.as_millis() as u64 * u64::from(RATE) / 1000;
    Song {
        track: track(0),
        name: "noise.wav".into(),
        size: HEADER + frames * 4,
        duration: length,
        audio_start: HEADER,
    }
}

#[test]
fn every_player_keeps_the_contract() {
    type Make = fn() -> Box<dyn PlayerBench>;
    let players: [(&str, Make); 3] = [
        ("the simulation's", || Box::new(ModelBench::new())),
        ("the real one, nowhere", || {
            Box::new(RealBench::new(|_| OutputSpec::Null))
        }),
        ("the real one, a file", || {
            Box::new(RealBench::new(|dir| OutputSpec::Wav(dir.join("out.wav"))))
        }),
    ];
    let broken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (name, contract, expected) in CONTRACTS {
            let broken = &broken;
            scope.spawn(move || {
                for (which, make) in players {
                    let mut player = make();
                    let held = catch_unwind(AssertUnwindSafe(|| contract(&mut *player)));
                    let heard = player.heard();
                    if held.is_err() || heard != *expected {
                        let what = format!("{which}: {name}: {heard:?}");
                        broken.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    assert_eq!(broken.into_inner().unwrap(), [] as [String; 0]);
}

const RATE: u32 = 44_100;
/// Bytes before the sound.
const HEADER: u64 = 44;
/// How often is looked, and how many times: many times as long as the longest piece.
const STEP: Duration = Duration::from_millis(5);
const PATIENCE: usize = 4000;
