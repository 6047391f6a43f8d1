//! The players that the table runs against.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{
    Heard::{self, Crossed, Ended, Failed, Resumed, Started, Underrun},
    Piece, PlayerBench, STEP,
};
use crate::{
    audio::{self, output::wav::WavFile, Load, OutputSpec, PlayId, PlayerEvent},
    id::TrackId,
    media::{
        decode::{Cancel, ReadStop, TrackBytes},
        Container, MediaInfo,
    },
    node::{PlaySource, PlayerTrack},
    sim::{
        music::Song,
        player::{Byte, Bytes, Player, Told},
    },
};

/// The real player, in real time.
pub struct RealBench {
    player: audio::Player,
    events: async_channel::Receiver<PlayerEvent>,
    bytes: BTreeMap<u64, Arc<LateBytes>>,
    heard: Vec<Heard>,
    dir: tempfile::TempDir,
}

impl RealBench {
    pub fn new(output: impl Fn(&Path) -> OutputSpec) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (sender, events) = async_channel::bounded(audio::EVENT_BOUND);
        Self {
            player: audio::Player::spawn(output(dir.path()), sender).unwrap(),
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
            media: MediaInfo::cd(Container::Wav),
            from: piece.from,
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
        // Where the test lets none run dry it is the machine that had no time.
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
pub struct ModelBench {
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
    pub fn new() -> Self {
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
            media: MediaInfo {
                audio_start: Some(song.audio_start),
                ..MediaInfo::cd(Container::Wav)
            },
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

const RATE: u32 = 44_100;
/// Bytes before the sound.
const HEADER: u64 = 44;
