//! What the device's thread does with the ring.
//!
//! [`Renderer::render`] copies, ramps the gain, and never locks, allocates, logs or reads.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use rtrb::Consumer;

use super::presented::Stretches;
use super::release::{Release, ReleaseStep};
use super::{frames_in, Dither, Pcm, RingState, AT_ONCE};
use crate::audio::pace::RESUME;
use crate::audio::raw_time::RawTime;

/// What a call of [`Renderer::render`] put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Frames up to the end of the sound; the rest of the buffer is silence.
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
    /// Frames that went to the device, silence too.
    sent: u64,
    /// Which of them were which of the ring.
    stretches: Stretches,
    /// When one of them was presented, or is going to be.
    stamp: Option<(u64, RawTime)>,
    /// Tells releases apart.
    release: u64,
    /// One that has not begun.
    due: Option<Release>,
    dither: Dither,
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
    /// Of what `consumer` brings.
    pub fn new(consumer: Consumer<f32>, state: Arc<RingState>, channels: u16) -> Self {
        let (rate, gain) = (
            state.rate,
            f32::from_bits(state.gain.load(Ordering::Relaxed)),
        );
        Self {
            consumer,
            state,
            channels: usize::from(channels),
            read: 0,
            sent: 0,
            stretches: Stretches::new(),
            stamp: None,
            release: 0,
            due: None,
            dither: Dither::new(),
            level: gain,
            step: 1.0 / frames_in(RAMP, rate).max(1) as f32,
            gentle_step: 1.0 / frames_in(GENTLE_RAMP, rate).max(1) as f32,
            resume: frames_in(RESUME, rate),
        }
    }

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
            let rest = &mut out[done * self.channels..];
            if !quiet {
                let step = self.await_release(done as u64);
                match step {
                    Some(ReleaseStep::Wait(wait)) => {
                        done += self.silence(rest, wait);
                        continue;
                    }
                    Some(ReleaseStep::Skip(early)) if self.discard(early) > 0 => continue,
                    Some(ReleaseStep::Skip(_)) => break,
                    Some(ReleaseStep::Begin) | None => {}
                }
                if !self.is_fed(waiting) {
                    break;
                }
                self.due = None;
                self.first_frame(step.is_some() || self.read == start);
            }
            let first = self.read;
            let copied = self.copy(&mut rest[..count * self.channels], quiet);
            let device = self.sent + done as u64;
            self.stretches.push(device, first, copied as u64);
            done += copied;
        }
        out[done * self.channels..].fill(T::SILENCE);
        self.sent += frames as u64;
        self.state.read.store(self.read, Ordering::Release);
        Rendered {
            frames: done,
            starved: done < frames && self.state.starved.load(Ordering::Relaxed),
        }
    }

    /// Frames that were rendered, silence too.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The device presents the frame `device` of those that were rendered at `at`.
    pub fn stamp(&mut self, device: u64, at: RawTime) {
        self.stamp = Some((device, at));
        let rate = self.state.rate;
        let presented = self.stretches.presented(device, at, rate, self.read);
        self.state
            .presented
            .store([presented.frame, presented.count, presented.at.0]);
    }

    /// What a release that has not begun wants before the frame that is `ahead` of those that
    /// were rendered.
    fn await_release(&mut self, ahead: u64) -> Option<ReleaseStep> {
        if let Some((number, [at, frame])) = self.state.release.load() {
            if number != self.release {
                self.release = number;
                let at = RawTime(at);
                self.due = (at > AT_ONCE).then_some(Release { at, frame });
            }
        }
        let release = self.due?;
        let Some((device, at)) = self.stamp else {
            // The device does not run yet.
            return Some(ReleaseStep::Wait(u64::MAX));
        };
        let rate = self.state.rate;
        let due = at.later((self.sent + ahead).saturating_sub(device), rate);
        Some(release.step(self.read, due, rate))
    }

    /// Puts out up to `wait` frames of silence; returns how many.
    fn silence<T: Pcm>(&self, out: &mut [T], wait: u64) -> usize {
        let frames = out.len() / self.channels;
        let count = usize::try_from(wait).map_or(frames, |wait| wait.min(frames));
        out[..count * self.channels].fill(T::SILENCE);
        count
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
    fn first_frame(&mut self, is_new: bool) {
        if is_new {
            let target = self.target();
            let fades = self.state.fade_in.load(Ordering::Relaxed);
            self.level = if fades || self.state.gentle.load(Ordering::Acquire) {
                0.0
            } else {
                target
            };
        }
        if self.state.first_frame.load(Ordering::Relaxed) == 0 {
            self.state
                .first_frame
                .store(self.read + 1, Ordering::Release);
        }
    }

    /// The gain that is wanted.
    fn target(&self) -> f32 {
        f32::from_bits(self.state.gain.load(Ordering::Acquire))
    }

    /// Copies frames, moving the gain to the one that is wanted, or to none where it is to
    /// become silent, and then stops there. Returns the frames copied.
    fn copy<T: Pcm>(&mut self, out: &mut [T], until_silent: bool) -> usize {
        let target = if until_silent { 0.0 } else { self.target() };
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
                *out = T::from_sample(*sample * self.level, &mut self.dither);
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

/// A change of the gain takes this long: shorter clicks, longer is felt.
const RAMP: Duration = Duration::from_millis(5);

/// What begins by itself after a power cut takes so long to be as loud as before: time to
/// find the knob.
const GENTLE_RAMP: Duration = Duration::from_millis(2500);
