//! A player that counts bytes instead of playing them.
//!
//! It behaves as the real one towards its node: reads what a decoder reads
//! before the first sound, keeps a short ring ahead of what is heard, tells
//! where it reads and what became of each play. Lateness starves it; only
//! being told so makes it fail, after what has arrived was heard.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::music::Song;
use crate::{
    id::{EntryNo, TrackId, GROUP_BYTES},
    node::{PlaySource, PlayerTrack},
    player::{PlayId, PlayerEvent},
};

/// Whether the byte at an offset can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Byte {
    Here,
    Late,
    Never(String),
}

/// What a player reads from.
pub trait Bytes {
    fn look(&self, track: TrackId, offset: u64) -> Byte;
}

/// What the player tells.
#[derive(Debug)]
pub enum Told {
    Event(PlayerEvent),
    Demand {
        track: TrackId,
        offset: u64,
    },
    /// A track is over, heard up to this byte.
    Heard {
        track: TrackId,
        offset: u64,
    },
}

/// See the module's description.
#[derive(Debug)]
pub struct Player {
    /// What is heard, and behind it the successor once it is decoded.
    voices: VecDeque<Voice>,
    next: Option<(PlayerTrack, Song)>,
    paused: bool,
    /// Where a play begins that is not loaded yet.
    sought: Option<(PlayId, Duration)>,
    at: Instant,
    told: Vec<Told>,
}

#[derive(Debug)]
struct Voice {
    load: PlayerTrack,
    play: PlayId,
    source: PlaySource,
    song: Song,
    /// How many of the opening's ranges have been read.
    opened: usize,
    /// Where the decoder reads, and what has been heard, as file offsets.
    read: u64,
    heard: u64,
    /// Since when it was heard so far, so that fractions of bytes add up.
    base: (Instant, u64),
    started: bool,
    starving: bool,
    /// It makes no sound before it is told to.
    held: bool,
    end: Option<Result<(), String>>,
    /// The last stretch that was told of.
    stretch: Option<u64>,
    waits: bool,
}

impl Player {
    pub fn new(now: Instant) -> Self {
        Self {
            voices: VecDeque::new(),
            next: None,
            paused: false,
            sought: None,
            at: now,
            told: Vec::new(),
        }
    }

    pub fn load(&mut self, mut load: PlayerTrack, song: Song, now: Instant) {
        if load.next {
            if self.voices.len() > 1 {
                self.voices.truncate(1);
            }
            self.next = Some((load, song));
            return;
        }
        self.stop();
        if let Some((_, to)) = self.sought.take_if(|(play, _)| *play == load.play) {
            load.from = to;
        }
        self.voices.push_back(Voice::new(load, song, now));
    }

    pub fn clear_next(&mut self) {
        self.next = None;
        self.voices.truncate(1);
    }

    pub fn stop(&mut self) {
        self.voices.clear();
        self.next = None;
    }

    pub fn pause(&mut self, paused: bool, now: Instant) {
        self.paused = paused;
        if let Some(voice) = self.voices.front_mut() {
            voice.base = (now, voice.heard);
        }
    }

    /// Holds the sound of `play` back, if it has run dry, or lets it go on.
    pub fn hold(&mut self, play: PlayId, held: bool) {
        let front = self.voices.front_mut().filter(|voice| voice.play == play);
        if let Some(voice) = front.filter(|voice| !held || voice.starving) {
            voice.held = held;
        }
    }

    pub fn seek(&mut self, play: PlayId, to: Duration, now: Instant) {
        let Some(voice) = self.voices.front_mut().filter(|voice| voice.play == play) else {
            self.sought = Some((play, to));
            return;
        };
        voice.go_to(to, now);
        // A successor that was decoded is so again.
        if let Some(successor) = self.voices.split_off(1).pop_front() {
            self.next = Some((successor.load, successor.song));
        }
    }

    /// What is heard, where it is.
    pub fn position(&self) -> Option<(PlayId, Duration)> {
        let voice = self.voices.front()?;
        let bytes = voice.heard - voice.song.audio_start;
        Some((
            voice.play,
            Duration::from_millis(bytes * 1000 / voice.song.rate()),
        ))
    }

    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// Lets time pass up to `now`.
    pub fn advance(&mut self, bytes: &impl Bytes, now: Instant) {
        self.at = now;
        self.hear(now);
        self.read(bytes);
        self.announce(now);
        self.cross(now);
    }

    /// When to look again without anything else happening.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let front = self.voices.front()?;
        let runs = front.started && !self.paused && !front.starving;
        // A microsecond more than the division says.
        let left = (front.read - front.heard) * 1_000_000 / front.song.rate() + 1;
        runs.then_some(self.at + TICK.min(Duration::from_micros(left)))
    }

    fn hear(&mut self, now: Instant) {
        let Some(voice) = self.voices.front_mut() else {
            return;
        };
        if !voice.started || voice.starving || self.paused {
            return;
        }
        let (since, from) = voice.base;
        let micros = now.saturating_duration_since(since).as_micros() as u64;
        voice.heard = (from + voice.song.rate() * micros / 1_000_000).min(voice.read);
        if voice.heard == voice.read && voice.end.is_none() {
            voice.starving = true;
            let play = voice.play;
            self.told.push(Told::Event(PlayerEvent::Underrun { play }));
        }
    }

    fn read(&mut self, bytes: &impl Bytes) {
        loop {
            let ahead = self.ahead();
            let Some(voice) = self.voices.back_mut() else {
                return;
            };
            if voice.end.is_some() {
                // A third track waits until the first has been heard.
                let next = self.next.take_if(|_| self.voices.len() == 1);
                let Some((load, song)) = next else { return };
                self.voices.push_back(Voice::new(load, song, self.at));
                continue;
            }
            if ahead >= voice.bytes_in(RING) || !voice.step(bytes, &mut self.told) {
                return;
            }
        }
    }

    /// Bytes between what is heard and what is decoded.
    fn ahead(&self) -> u64 {
        self.voices
            .iter()
            .map(|voice| voice.read - voice.heard)
            .sum()
    }

    fn announce(&mut self, now: Instant) {
        let Some(voice) = self.voices.front_mut() else {
            return;
        };
        let is_primed = voice.is_open()
            && (voice.read - voice.heard >= voice.bytes_in(PRIME) || voice.end.is_some());
        if is_primed && !voice.held && (!voice.started || voice.starving) && !self.paused {
            let play = voice.play;
            let event = match voice.started {
                true => PlayerEvent::Resumed { play },
                false => PlayerEvent::Started { play, at: now },
            };
            voice.started = true;
            voice.starving = false;
            voice.base = (now, voice.heard);
            self.told.push(Told::Event(event));
        }
    }

    fn cross(&mut self, now: Instant) {
        let over = |voice: &Voice| voice.end.is_some() && voice.heard == voice.read;
        while self.voices.front().is_some_and(over) {
            let Some(voice) = self.voices.pop_front() else {
                return;
            };
            let (from, end, has_sounded) = (voice.play, voice.end, voice.started);
            let (track, offset) = (voice.song.track, voice.heard);
            self.told.push(Told::Heard { track, offset });
            let failed = matches!(end, Some(Err(_)));
            if let Some(Err(why)) = end {
                self.told
                    .push(Told::Event(PlayerEvent::Failed { play: from, why }));
            }
            match self.voices.front_mut() {
                Some(next) => {
                    let to = next.play;
                    next.base = (now, next.heard);
                    // Where there is a gap, `Started` follows.
                    next.started = has_sounded && next.is_open() && next.read > next.heard;
                    self.told
                        .push(Told::Event(PlayerEvent::Crossed { from, to }));
                }
                None if failed => {}
                None => self
                    .told
                    .push(Told::Event(PlayerEvent::Ended { play: from })),
            }
        }
    }
}

impl Voice {
    fn new(load: PlayerTrack, song: Song, now: Instant) -> Self {
        let from = load.from;
        let mut voice = Self {
            play: load.play,
            source: load.source.clone(),
            read: song.audio_start,
            heard: song.audio_start,
            base: (now, song.audio_start),
            song,
            opened: 0,
            started: false,
            starving: false,
            held: load.held,
            end: None,
            stretch: None,
            waits: false,
            load,
        };
        voice.go_to(from, now);
        voice
    }

    fn go_to(&mut self, to: Duration, now: Instant) {
        let offset = self.song.audio_start + self.song.rate() * to.as_millis() as u64 / 1000;
        let offset = offset.min(self.song.size);
        (self.read, self.heard, self.base) = (offset, offset, (now, offset));
        (self.started, self.starving, self.end, self.waits) = (false, false, None, false);
    }

    fn is_open(&self) -> bool {
        self.opened == self.song.opening().len()
    }

    fn bytes_in(&self, time: Duration) -> u64 {
        self.song.rate() * time.as_millis() as u64 / 1000
    }

    /// Reads the next few bytes, if they are here.
    fn step(&mut self, bytes: &impl Bytes, told: &mut Vec<Told>) -> bool {
        let opening = self.song.opening();
        let offset = opening
            .get(self.opened)
            .map_or(self.read, |range| range.start);
        if self.is_open() && offset >= self.song.size {
            self.end = Some(Ok(()));
            return true;
        }
        if let PlaySource::Store(track) = self.source {
            match bytes.look(track, offset) {
                Byte::Here => self.tell(track, offset, false, told),
                Byte::Late => {
                    self.tell(track, offset, true, told);
                    return false;
                }
                Byte::Never(why) => {
                    self.end = Some(Err(why));
                    return true;
                }
            }
        }
        self.waits = false;
        if self.is_open() {
            self.read = (offset / READ + 1) * READ;
            self.read = self.read.min(self.song.size);
        } else {
            self.opened += 1;
        }
        true
    }

    /// Tells where the reader stands: in each new stretch, and when it waits.
    fn tell(&mut self, track: TrackId, offset: u64, waits: bool, told: &mut Vec<Told>) {
        let stretch = Some(offset / STRETCH);
        if self.stretch != stretch || (waits && !self.waits) {
            (self.stretch, self.waits) = (stretch, waits);
            told.push(Told::Demand { track, offset });
        }
    }
}

/// The source of a load, by which its song is found.
pub fn entry_of(source: &PlaySource) -> Result<EntryNo, TrackId> {
    match source {
        PlaySource::File(entry) => Ok(*entry),
        PlaySource::Store(track) => Err(*track),
    }
}

/// What the ring before the device holds.
const RING: Duration = Duration::from_millis(400);
/// What must be in it before there is sound.
const PRIME: Duration = Duration::from_millis(100);
/// A quarter of the ring, as the real one rests when that is full.
const TICK: Duration = Duration::from_millis(100);
/// Read at once; divides a chunk group.
const READ: u64 = GROUP_BYTES / 4;
/// As the real reader.
const STRETCH: u64 = 256 * 1024;
