//! The ring between decoding and the device, and what the device's callback
//! does with it.
//!
//! [`Renderer::render`] is the only code of this program that runs on the
//! device's thread: it copies, ramps the gain, and never locks, allocates, logs
//! or reads. All it knows of the world are the atomics of [`RingState`]. Frames
//! are counted from the ring's creation; that count is the generation: what
//! lies before `content_start` belongs to something stopped and is dropped.

mod presented;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use super::deck::{RingLook, RingOrder};
use super::pace::{RESUME, RING};
use super::raw_time::RawTime;
use presented::{Presented, PresentedCell};

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
    let renderer = Renderer {
        consumer,
        state,
        channels: usize::from(channels),
        read: 0,
        level: gain,
        step: 1.0 / frames_in(RAMP, rate).max(1) as f32,
        gentle_step: 1.0 / frames_in(GENTLE_RAMP, rate).max(1) as f32,
        resume: frames_in(RESUME, rate),
    };
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
    /// When the first frame since the last release went to the device, as a [`RawTime`]; 0
    /// before.
    first_frame: AtomicU64,
    presented: PresentedCell,
    // Told to it:
    written: AtomicU64,
    content_start: AtomicU64,
    content_end: AtomicU64,
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
            presented: PresentedCell::default(),
            written: AtomicU64::new(0),
            content_start: AtomicU64::new(0),
            content_end: AtomicU64::new(0),
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

    /// When the first frame since [`Self::release`] went to the device.
    pub fn first_frame_at(&self) -> Option<Instant> {
        let at = self.first_frame.load(Ordering::Acquire);
        let passed = RawTime::now().since(RawTime(at));
        Instant::now().checked_sub(passed).filter(|_| at > 0)
    }

    /// The number of the frame that is heard at `now`, ahead of the air by the device's buffer.
    pub fn heard(&self, now: RawTime) -> u64 {
        let presented = self.presented.load();
        presented.map_or(self.read(), |presented| presented.heard(now, self.rate))
    }

    /// Silences and drops all that is in the ring, until [`Self::release`]. What was wanted of
    /// it is so no more.
    pub fn drop_all(&self) {
        self.starved.store(false, Ordering::Release);
        self.held.store(true, Ordering::Release);
        self.content_start.store(self.written(), Ordering::Release);
    }

    /// Silences what is in the ring, until [`Self::release`].
    pub fn hold(&self) {
        self.held.store(true, Ordering::Release);
    }

    /// Lets the content sound that [`Feed::begin`] declared.
    pub fn release(&self) {
        self.first_frame.store(0, Ordering::Release);
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

/// A sample as a device takes it. 16 and 24 bit material passes exactly.
pub trait Pcm: Copy {
    /// No sound.
    const SILENCE: Self;
    /// Converts from full scale ±1.0, saturating.
    fn from_sample(sample: f32) -> Self;
}

impl Pcm for f32 {
    const SILENCE: Self = 0.0;
    fn from_sample(sample: f32) -> Self {
        sample
    }
}

impl Pcm for i32 {
    const SILENCE: Self = 0;
    fn from_sample(sample: f32) -> Self {
        (sample * 2_147_483_648.0) as i32
    }
}

impl Pcm for i16 {
    const SILENCE: Self = 0;
    fn from_sample(sample: f32) -> Self {
        (sample * 32_768.0).round() as i16
    }
}

/// What a call of [`Renderer::render`] put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Frames of sound; the rest of the buffer is silence.
    pub frames: usize,
    /// The silence is an underrun, not a pause or an end.
    pub starved: bool,
}

/// The device's end.
pub struct Renderer {
    consumer: Consumer<f32>,
    state: Arc<RingState>,
    channels: usize,
    read: u64,
    /// The gain of the last frame.
    level: f32,
    /// How much the gain may change from frame to frame.
    step: f32,
    /// The same for a gentle beginning.
    gentle_step: f32,
    /// Frames to wait for after an underrun.
    resume: usize,
}

impl Renderer {
    /// Fills `out`, whole frames, with what is to be heard now.
    pub fn render<T: Pcm>(&mut self, out: &mut [T]) -> Rendered {
        self.state.calls.fetch_add(1, Ordering::Relaxed);
        let frames = out.len() / self.channels;
        let mut done = 0;
        while done < frames {
            let start = self.state.content_start.load(Ordering::Acquire);
            let stale = start.saturating_sub(self.read);
            let quiet = stale > 0
                || self.state.held.load(Ordering::Acquire)
                || self.state.paused.load(Ordering::Acquire);
            if quiet && self.level == 0.0 {
                if self.discard(stale) == 0 {
                    break;
                }
                continue;
            }
            let waiting = self.consumer.slots() / self.channels;
            let mut count = waiting.min(frames - done);
            if stale > 0 {
                count = count.min(usize::try_from(stale).unwrap_or(usize::MAX));
            }
            // The fade-out may only use up what was sounding.
            if quiet && (count == 0 || self.read == start) {
                self.level = 0.0;
                continue;
            }
            if !quiet && !self.is_fed(waiting) {
                break;
            }
            let target = if quiet {
                0.0
            } else {
                f32::from_bits(self.state.gain.load(Ordering::Acquire))
            };
            if !quiet {
                self.first_frame(target, self.read == start);
            }
            let end = (done + count) * self.channels;
            let copied = self.copy(&mut out[done * self.channels..end], target, quiet);
            done += copied;
        }
        out[done * self.channels..].fill(T::SILENCE);
        self.state.presented.store(Presented {
            frame: self.read - done as u64,
            count: done as u64,
            at: RawTime::now(),
        });
        self.state.read.store(self.read, Ordering::Release);
        Rendered {
            frames: done,
            starved: done < frames && self.state.starved.load(Ordering::Relaxed),
        }
    }

    /// Drops up to `stale` frames; returns how many.
    fn discard(&mut self, stale: u64) -> usize {
        let waiting = self.consumer.slots() / self.channels;
        let count = waiting.min(usize::try_from(stale).unwrap_or(usize::MAX));
        if let Ok(chunk) = self.consumer.read_chunk(count * self.channels) {
            chunk.commit_all();
            self.read += count as u64;
        }
        count
    }

    /// Whether there is enough to go on with; tells underrun from end.
    fn is_fed(&mut self, waiting: usize) -> bool {
        let end = self.state.content_end.load(Ordering::Acquire);
        let complete = end <= self.read.saturating_add(waiting as u64);
        let starving = self.state.starved.load(Ordering::Relaxed);
        if starving {
            if waiting < self.resume && !complete {
                return false;
            }
            self.state.starved.store(false, Ordering::Release);
        } else if waiting == 0 && !complete {
            self.state.starved.store(true, Ordering::Release);
            self.state.underruns.fetch_add(1, Ordering::Release);
            self.level = 0.0;
        }
        waiting > 0
    }

    /// Notes when something begins to sound: what is new, or a successor that was late.
    fn first_frame(&mut self, target: f32, is_new: bool) {
        if is_new {
            let fades = self.state.fade_in.load(Ordering::Relaxed);
            self.level = if fades || self.state.gentle.load(Ordering::Acquire) {
                0.0
            } else {
                target
            };
        }
        if self.state.first_frame.load(Ordering::Relaxed) == 0 {
            let now = RawTime::now().0.max(1);
            self.state.first_frame.store(now, Ordering::Release);
        }
    }

    /// Copies frames, moving the gain towards `target`; stops early once
    /// `until_silent` and silent. Returns the frames copied.
    fn copy<T: Pcm>(&mut self, out: &mut [T], target: f32, until_silent: bool) -> usize {
        let Ok(chunk) = self.consumer.read_chunk(out.len()) else {
            return 0;
        };
        let (head, tail) = chunk.as_slices();
        let mut samples = head.iter().chain(tail);
        let mut copied = 0;
        let grows = target > self.level && !until_silent;
        let gentle = grows && self.state.gentle.load(Ordering::Acquire);
        let step = if gentle { self.gentle_step } else { self.step };
        for frame in out.chunks_exact_mut(self.channels) {
            if self.level != target {
                let change = (target - self.level).clamp(-step, step);
                self.level += change;
                if (target - self.level).abs() < f32::EPSILON {
                    self.level = target;
                }
            } else if until_silent {
                break;
            }
            for (out, sample) in frame.iter_mut().zip(&mut samples) {
                *out = T::from_sample(*sample * self.level);
            }
            copied += 1;
        }
        if gentle && self.level == target {
            self.state.gentle.store(false, Ordering::Release);
        }
        chunk.commit(copied * self.channels);
        self.read += copied as u64;
        copied
    }
}

/// Frames in `span` at `rate`.
pub fn frames_in(span: Duration, rate: u32) -> usize {
    let frames = span.as_micros() * u128::from(rate) / 1_000_000;
    usize::try_from(frames).unwrap_or(usize::MAX)
}

/// A change of the gain takes this long: shorter clicks, longer is felt.
const RAMP: Duration = Duration::from_millis(5);

/// What begins by itself after a power cut takes so long to be as loud as before: time to
/// find the knob.
const GENTLE_RAMP: Duration = Duration::from_millis(2500);

#[cfg(test)]
mod tests;
