//! The ring between decoding and the device, and what the device's callback
//! does with it.
//!
//! The decoder's thread pushes into [`Feed`], the device's renders from [`Renderer`]. All that
//! either knows of the other are the atomics of [`RingState`]. Frames
//! are counted from the ring's creation; that count is the generation: what
//! lies before `content_start` belongs to something stopped and is dropped.

mod cell;
mod dither;
mod presented;
mod release;
mod renderer;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtrb::{Producer, RingBuffer};

use super::deck::{RingLook, RingOrder};
use super::pace::RING;
use super::raw_clock::raw_now;
use super::raw_time::RawTime;
use cell::SeqCell;
use presented::Presented;

pub use dither::Dither;
pub use renderer::Renderer;

/// Makes the two ends of a ring for a device of `rate` and `channels`.
pub fn ring(rate: u32, channels: u16, gain: f32) -> (Feed, Renderer) {
    let frames = frames_in(RING, rate);
    let (producer, consumer) = RingBuffer::new(frames * usize::from(channels));
    let state = Arc::new(RingState::new(rate, gain));
    let feed = Feed {
        producer,
        state: state.clone(),
        rate,
        channels,
    };
    let renderer = Renderer::new(consumer, state, channels);
    (feed, renderer)
}

/// The decoding end.
pub struct Feed {
    producer: Producer<f32>,
    /// What both ends see.
    pub state: Arc<RingState>,
    /// Frames a second.
    pub rate: u32,
    /// Samples a frame.
    pub channels: u16,
}

impl Feed {
    /// Frames for which there is room.
    pub fn room(&self) -> usize {
        self.producer.slots() / usize::from(self.channels)
    }

    /// Adds whole frames, at most [`Self::room`] of them; the rest is lost.
    pub fn push(&mut self, samples: &[f32]) {
        let (pushed, _) = self.producer.push_partial_slice(samples);
        let frames = pushed.len() / usize::from(self.channels);
        self.state
            .written
            .fetch_add(frames as u64, Ordering::Release);
    }

    /// Declares that what is pushed from here on is something new: all before
    /// is dropped. `fade_in` where it does not begin at a track's beginning.
    /// Returns the number of its first frame.
    pub fn begin(&self, fade_in: bool) -> u64 {
        let first = self.state.written.load(Ordering::Relaxed);
        self.state.fade_in.store(fade_in, Ordering::Relaxed);
        self.state.content_start.store(first, Ordering::Release);
        first
    }

    /// Declares that what is pushed from here on follows what is in the ring. Where that has come
    /// to its end and is heard, it waits as after an underrun: its first piece would sound by
    /// itself, with a hole behind it. Returns the number of its first frame.
    pub fn follow(&self) -> u64 {
        let first = self.state.written.load(Ordering::Relaxed);
        let has_ended = self.state.content_end.load(Ordering::Acquire) <= first;
        if has_ended && self.state.read() >= first {
            self.state.starved.store(true, Ordering::Release);
        }
        first
    }
}

/// What the callback is told, and what it tells.
#[derive(Debug)]
pub struct RingState {
    // Told by the callback:
    calls: AtomicU64,
    read: AtomicU64,
    starved: AtomicBool,
    underruns: AtomicU32,
    /// The number of the first frame since the last release, and 1; 0 before.
    first_frame: AtomicU64,
    /// A [`Presented`].
    presented: SeqCell<3>,
    /// The last frame that is known to have been presented.
    heard: AtomicU64,
    // Told to it:
    written: AtomicU64,
    content_start: AtomicU64,
    content_end: AtomicU64,
    /// When a frame is to be presented, and its number.
    release: SeqCell<2>,
    held: AtomicBool,
    paused: AtomicBool,
    fade_in: AtomicBool,
    gentle: AtomicBool,
    gain: AtomicU32,
    /// Frames a second.
    rate: u32,
}

impl RingState {
    fn new(rate: u32, gain: f32) -> Self {
        Self {
            calls: AtomicU64::new(0),
            read: AtomicU64::new(0),
            starved: AtomicBool::new(false),
            underruns: AtomicU32::new(0),
            first_frame: AtomicU64::new(0),
            presented: SeqCell::default(),
            heard: AtomicU64::new(0),
            written: AtomicU64::new(0),
            content_start: AtomicU64::new(0),
            content_end: AtomicU64::new(0),
            release: SeqCell::default(),
            held: AtomicBool::new(true),
            paused: AtomicBool::new(false),
            fade_in: AtomicBool::new(false),
            gentle: AtomicBool::new(false),
            gain: AtomicU32::new(gain.to_bits()),
            rate,
        }
    }

    /// What the callback tells. In this order: what sounds is not starved any more, and what
    /// begins to starve meanwhile is not counted twice.
    pub fn look(&self) -> RingLook {
        RingLook {
            calls: self.calls.load(Ordering::Relaxed),
            read: self.read(),
            first_frame_at: self.first_frame_at(),
            underruns: self.underruns.load(Ordering::Acquire),
            is_starved: self.starved.load(Ordering::Acquire),
        }
    }

    /// Does what the deck says.
    pub fn obey(&self, order: RingOrder) {
        match order {
            RingOrder::Drop => self.drop_all(),
            RingOrder::Hold => self.hold(),
            RingOrder::Release => self.release(),
            RingOrder::BeginGently => self.begin_gently(),
            RingOrder::End => self.end_here(),
            RingOrder::Pause(paused) => self.set_paused(paused),
        }
    }

    /// Frames that left the ring, played or dropped.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Acquire)
    }

    /// Frames that entered the ring.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// When the first frame since [`Self::release`] was presented, or is going to be, once
    /// that is known.
    pub fn first_frame_at(&self) -> Option<Instant> {
        let first = self.first_frame.load(Ordering::Acquire).checked_sub(1)?;
        let at = self.presented()?.time_of(first, self.rate)?;
        let (raw, now) = (raw_now(), Instant::now());
        match at > raw {
            true => now.checked_add(at.since(raw)),
            false => now.checked_sub(raw.since(at)),
        }
    }

    /// The number of the frame that is presented at `now`. It never goes back, although stamps
    /// may, and stands while a stamp is being told.
    pub fn heard(&self, now: RawTime) -> u64 {
        let presented = self.presented();
        let heard = presented.map_or(0, |presented| presented.heard(now, self.rate));
        self.heard.fetch_max(heard, Ordering::Relaxed).max(heard)
    }

    /// What the device has stamped last.
    fn presented(&self) -> Option<Presented> {
        let (_, [frame, count, at]) = self.presented.load()?;
        let at = RawTime(at);
        Some(Presented { frame, count, at })
    }

    /// Silences and drops all that is in the ring, until [`Self::release`]. What was wanted of
    /// it is so no more.
    pub fn drop_all(&self) {
        self.starved.store(false, Ordering::Release);
        self.gentle.store(false, Ordering::Release);
        self.held.store(true, Ordering::Release);
        self.content_start.store(self.written(), Ordering::Release);
    }

    /// Silences what is in the ring, until [`Self::release`].
    pub fn hold(&self) {
        self.held.store(true, Ordering::Release);
    }

    /// Lets the content sound that [`Feed::begin`] declared.
    pub fn release(&self) {
        self.release_at(AT_ONCE, 0);
    }

    /// Lets the content sound that [`Feed::begin`] declared, so that the frame of this number
    /// is presented at `at`, as well as the device's stamps tell: silence until then, and
    /// nothing of what lies before it. Frames that are late are left out.
    pub fn release_at(&self, at: RawTime, frame: u64) {
        self.first_frame.store(0, Ordering::Release);
        self.release.store([at.0, frame]);
        self.held.store(false, Ordering::Release);
    }

    /// Lets what sounds next grow loud over some seconds, once.
    pub fn begin_gently(&self) {
        self.gentle.store(true, Ordering::Release);
    }

    /// More frames will come: an empty ring is an underrun.
    pub fn expect_more(&self) {
        self.content_end.store(u64::MAX, Ordering::Release);
    }

    /// No more frames will come: an empty ring is the end.
    pub fn end_here(&self) {
        self.content_end.store(self.written(), Ordering::Release);
    }

    /// Pauses or goes on, with a short ramp.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// The linear gain to ramp to.
    pub fn set_gain(&self, gain: f32) {
        self.gain.store(gain.to_bits(), Ordering::Release);
    }
}

/// A sample as a device takes it. 16 and 24 bit material passes exactly; what does not fit into 16
/// bits is dithered, and what lies below 24 is far below what any device can tell.
pub trait Pcm: Copy {
    /// No sound.
    const SILENCE: Self;
    /// Converts from full scale ±1.0, saturating.
    fn from_sample(sample: f32, dither: &mut Dither) -> Self;
}

impl Pcm for f32 {
    const SILENCE: Self = 0.0;
    fn from_sample(sample: f32, _: &mut Dither) -> Self {
        sample
    }
}

impl Pcm for i32 {
    const SILENCE: Self = 0;
    fn from_sample(sample: f32, _: &mut Dither) -> Self {
        (sample * 2_147_483_648.0) as i32
    }
}

impl Pcm for i16 {
    const SILENCE: Self = 0;
    fn from_sample(sample: f32, dither: &mut Dither) -> Self {
        dither.round(sample * 32_768.0) as i16
    }
}

/// 24 bits, the lowest ones first.
impl Pcm for [u8; 3] {
    const SILENCE: Self = [0; 3];
    fn from_sample(sample: f32, dither: &mut Dither) -> Self {
        let [_, low, middle, high] = i32::from_sample(sample, dither).to_le_bytes();
        [low, middle, high]
    }
}

/// Of a release that waits for nothing.
const AT_ONCE: RawTime = RawTime(0);

/// Frames in `span` at `rate`.
pub fn frames_in(span: Duration, rate: u32) -> usize {
    let frames = span.as_micros() * u128::from(rate) / 1_000_000;
    usize::try_from(frames).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
