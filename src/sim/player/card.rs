//! A sound card and the ring before it, which count frames.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::audio::{
    deck::{LineFacts, RingLook, RingOrder},
    pace::{LEAD, REST, RESUME, RING},
    spec::SampleShape,
};

/// See the module's description.
#[derive(Debug)]
pub struct CardModel {
    rate: u64,
    ring: RingLook,
    /// Frames that entered the ring.
    written: u64,
    /// The first that comes no more, if that is known.
    content_end: Option<u64>,
    /// Where in the ring tracks end.
    ends: VecDeque<u64>,
    held: bool,
    paused: bool,
    /// Since when it runs.
    runs: Option<Instant>,
    /// Since when it sounds and from which frame on, so that fractions of frames add up.
    flow: Option<(Instant, u64)>,
}

impl CardModel {
    /// It takes every shape.
    pub fn plan(shape: SampleShape) -> SampleShape {
        SampleShape {
            bits: None,
            ..shape
        }
    }

    pub fn open(shape: SampleShape, paused: bool) -> (Self, LineFacts) {
        let card = Self {
            rate: shape.rate.into(),
            ring: RingLook::default(),
            written: 0,
            content_end: Some(0),
            ends: VecDeque::new(),
            held: true,
            paused,
            runs: None,
            flow: None,
        };
        let facts = LineFacts {
            name: "a model".into(),
            shape,
            format: "none",
            prime: card.frames_in(LEAD) as usize,
        };
        (card, facts)
    }

    pub fn start(&mut self, now: Instant) {
        self.runs.get_or_insert(now);
        self.settle(now);
    }

    pub fn look(&self) -> RingLook {
        self.ring
    }

    pub fn obey(&mut self, order: RingOrder, now: Instant) {
        match order {
            RingOrder::Drop => {
                (self.held, self.ring.is_starved) = (true, false);
                self.ring.read = self.written;
                self.ends.clear();
            }
            RingOrder::Hold => self.held = true,
            RingOrder::Release => (self.held, self.ring.first_frame_at) = (false, None),
            RingOrder::BeginGently => {}
            RingOrder::End => self.content_end = Some(self.written),
            RingOrder::Pause(paused) => self.paused = paused,
        }
        self.settle(now);
    }

    /// The number of the first frame of what is pushed from here on, which takes the place of
    /// all before or follows it.
    pub fn begin(&mut self, replaces: bool) -> u64 {
        let has_ended = self.content_end.is_some_and(|end| end <= self.written);
        if replaces {
            self.ring.read = self.written;
        } else if has_ended && self.ring.read >= self.written {
            self.ring.is_starved = true;
        }
        self.content_end = None;
        self.written
    }

    pub fn push(&mut self, frames: u64) {
        self.written += frames;
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn end_track(&mut self) {
        self.ends.push_back(self.written);
    }

    pub fn is_full(&self) -> bool {
        self.written - self.ring.read >= self.frames_in(RING)
    }

    /// Plays until `now`.
    pub fn pass(&mut self, now: Instant) {
        if let Some(since) = self.runs {
            let periods = now.saturating_duration_since(since).as_millis() / PERIOD.as_millis();
            self.ring.calls = periods as u64;
        }
        if let Some((since, from)) = self.flow {
            let micros = now.saturating_duration_since(since).as_micros() as u64;
            self.ring.read = (from + self.rate * micros / 1_000_000).min(self.written);
            let read = self.ring.read;
            self.ends.retain(|end| *end > read);
        }
        self.settle(now);
    }

    /// Takes note of what has changed at `now`.
    pub fn settle(&mut self, now: Instant) {
        let waiting = self.written - self.ring.read;
        let is_complete = self.content_end.is_some_and(|end| end <= self.written);
        let sounds = self.runs.is_some() && !self.held && !self.paused;
        if sounds && (is_complete || waiting >= self.frames_in(RESUME)) {
            self.ring.is_starved = false;
        }
        if sounds && waiting == 0 && !is_complete && !self.ring.is_starved {
            self.ring.is_starved = true;
            self.ring.underruns += 1;
        }
        if sounds && waiting > 0 && !self.ring.is_starved {
            self.flow.get_or_insert((now, self.ring.read));
            self.ring.first_frame_at.get_or_insert(now);
        } else {
            self.flow = None;
        }
    }

    /// When a track ends or the ring is empty, or else there is room in it; `at` is now.
    pub fn poll_timeout(&self, at: Instant) -> Option<Instant> {
        self.flow?;
        let end = self.ends.front().unwrap_or(&self.written);
        // A microsecond more than the division says.
        let left = (end - self.ring.read) * 1_000_000 / self.rate + 1;
        Some(at + REST.min(Duration::from_micros(left)))
    }

    fn frames_in(&self, time: Duration) -> u64 {
        self.rate * time.as_millis() as u64 / 1000
    }
}

/// How often it asks for sound.
const PERIOD: Duration = Duration::from_millis(10);
