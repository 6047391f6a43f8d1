//! Another rate, for a device that lacks the track's.
//!
//! A windowed sinc (Blackman-Harris, squared) cuts off below half of the lower rate: the band up to
//! 20 kHz of 44.1 kHz material stays within 0.1 dB, and images and aliases stay below -100 dB.
//! Between most rates all positions that occur are multiples of a small part of a frame, so that
//! the filter is computed for exactly these.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    calculate_cutoff, Async, FixedAsync, Indexing, Resampler as _, SincInterpolationParameters,
    SincInterpolationType, WindowFunction,
};

/// A track on its way from one rate to another. Frames in and out are aligned: out of `n` frames
/// come `n * to / from`, rounded, without a delay.
///
/// Before its first frame and behind its last a track is taken to go on as it came, turned about
/// that frame, so that tracks of one recording, each resampled for itself, meet without a click.
pub struct Resampler {
    inner: Async<f32>,
    /// Frames a second.
    from: u64,
    to: u64,
    /// Samples a frame.
    channels: usize,
    /// Interleaved, as all of these. The first frames, until there are enough to begin with.
    head: Option<Vec<f32>>,
    /// The last frames, at least [`Self::margin`] and one of them.
    recent: Vec<f32>,
    /// Less than a chunk.
    waiting: Vec<f32>,
    made: Vec<f32>,
    /// Frames that are made up before the first and behind the last.
    margin: usize,
    /// Frames that come of what lies before the track, and are still to come.
    skip: usize,
    taken: u64,
    given: u64,
}

impl Resampler {
    /// From and to these rates, in frames a second; `None` where they are too far apart to be those
    /// of music.
    pub fn new(from: u32, to: u32, channels: u16) -> Option<Self> {
        let (from, to) = (u64::from(from), u64::from(to));
        if from == 0 || to == 0 || channels == 0 || from.max(to) / from.min(to) > MOST_APART {
            return None;
        }
        // Where the band becomes narrower, so does the filter's, and its length grows.
        let length = (SINC_FRAMES as u64 * from.max(to)).div_ceil(to) as usize;
        let window = WindowFunction::BlackmanHarris2;
        let parameters = SincInterpolationParameters::new(length, window)
            .f_cutoff(calculate_cutoff(SINC_FRAMES, window));
        let common = gcd(from, to);
        let parts = (to / common) as usize;
        let parameters = match parts <= MOST_PARTS {
            true => parameters
                .oversampling_factor(parts)
                .interpolation(SincInterpolationType::Nearest),
            false => parameters.oversampling_factor(CUBIC_PARTS),
        };
        let (ratio, channels) = (to as f64 / from as f64, usize::from(channels));
        let fixed = FixedAsync::Input;
        let inner = Async::new_sinc(ratio, 1.0, &parameters, CHUNK, channels, fixed).ok()?;
        // Of a whole number of periods of both rates comes a whole number of frames.
        let period = match (from / common) as usize {
            period if period <= LONGEST_PERIOD => period,
            _ => 1,
        };
        let margin = length.div_ceil(2).next_multiple_of(period);
        let before = (margin as f64 * ratio).round() as usize;
        Some(Self {
            made: vec![0.0; inner.output_frames_max() * channels],
            skip: inner.output_delay() + before,
            inner,
            from,
            to,
            channels,
            head: Some(Vec::new()),
            recent: Vec::new(),
            waiting: Vec::with_capacity(CHUNK * channels),
            margin,
            taken: 0,
            given: 0,
        })
    }

    /// Takes whole frames, interleaved, and appends what comes of them to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.taken += (samples.len() / self.channels) as u64;
        let Some(head) = &mut self.head else {
            return self.take(samples, u64::MAX, out);
        };
        head.extend_from_slice(samples);
        if head.len() > self.margin * self.channels {
            self.begin(u64::MAX, out);
        }
    }

    /// The track is over: appends the rest to `out`.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let all = (self.taken * self.to + self.from / 2) / self.from;
        self.begin(all, out);
        let behind = self.turned(self.recent.chunks_exact(self.channels).rev());
        self.take(&behind, all, out);
        while self.given < all {
            let before = self.skip;
            let came = self.given;
            self.waiting.resize(CHUNK * self.channels, 0.0);
            self.step(all, out);
            if (self.skip, self.given) == (before, came) {
                return; // Nothing comes of it any more.
            }
        }
    }

    /// Resamples the first frames, unless that is done.
    fn begin(&mut self, last: u64, out: &mut Vec<f32>) {
        let Some(head) = self.head.take() else {
            return;
        };
        let mut before = self.turned(head.chunks_exact(self.channels));
        before.reverse();
        for frame in before.chunks_exact_mut(self.channels) {
            frame.reverse();
        }
        self.take(&before, last, out);
        self.take(&head, last, out);
    }

    /// As many frames as the margin has that go on from the first of `frames` as those behind it
    /// do, turned about it.
    fn turned<'a>(&self, mut frames: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
        let mut turned = Vec::with_capacity(self.margin * self.channels);
        if let Some(edge) = frames.next() {
            for frame in frames.take(self.margin) {
                let pairs = edge.iter().zip(frame);
                turned.extend(pairs.map(|(edge, sample)| 2.0 * edge - sample));
            }
        }
        turned.resize(self.margin * self.channels, 0.0);
        turned
    }

    /// Resamples whole frames, and gives what comes of them, at most up to frame number `last`.
    fn take(&mut self, mut samples: &[f32], last: u64, out: &mut Vec<f32>) {
        self.remember(samples);
        let chunk = CHUNK * self.channels;
        while !samples.is_empty() {
            let room = chunk - self.waiting.len();
            let (some, rest) = samples.split_at(room.min(samples.len()));
            self.waiting.extend_from_slice(some);
            samples = rest;
            if self.waiting.len() == chunk {
                self.step(last, out);
            }
        }
    }

    /// Keeps the last frames.
    fn remember(&mut self, samples: &[f32]) {
        let kept = (self.margin + 1) * self.channels;
        let new = &samples[samples.len().saturating_sub(kept)..];
        let old = self.recent.len().min(kept.saturating_sub(new.len()));
        self.recent.drain(..self.recent.len() - old);
        self.recent.extend_from_slice(new);
    }

    /// Resamples a chunk, and gives what comes of it, at most up to frame number `last`.
    fn step(&mut self, last: u64, out: &mut Vec<f32>) {
        let made = self.process().unwrap_or(0);
        self.waiting.clear();
        let skipped = self.skip.min(made);
        self.skip -= skipped;
        let wanted = usize::try_from(last.saturating_sub(self.given)).unwrap_or(usize::MAX);
        let given = (made - skipped).min(wanted);
        let first = skipped * self.channels;
        out.extend_from_slice(&self.made[first..first + given * self.channels]);
        self.given += given as u64;
    }

    /// The frames that come of the chunk that waits.
    fn process(&mut self) -> Option<usize> {
        let frames = self.made.len() / self.channels;
        let from = InterleavedSlice::new(&self.waiting, self.channels, CHUNK).ok()?;
        let mut to = InterleavedSlice::new_mut(&mut self.made, self.channels, frames).ok()?;
        let none: Option<&Indexing> = None;
        let (_, made) = self.inner.process_into_buffer(&from, &mut to, none).ok()?;
        Some(made.min(frames))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    match b {
        0 => a,
        _ => gcd(b, a % b),
    }
}

/// Frames of the lower rate that each frame is made of.
const SINC_FRAMES: usize = 320;

/// Frames that are resampled at once: few, so that the first come early.
const CHUNK: usize = 128;

/// Parts of a frame for which the filter is computed: 640 from 44.1 to 192 kHz, 1 MB at most.
const MOST_PARTS: usize = 640;

/// Where there would be more, what lies between these is interpolated.
const CUBIC_PARTS: usize = 256;

/// Frames that a period of two rates may have: 147 from 44.1 to 48 kHz. Where it is longer, the
/// alignment is good to a frame.
const LONGEST_PERIOD: usize = 8_192;

/// 768 kHz to 8 kHz.
const MOST_APART: u64 = 96;

#[cfg(test)]
mod tests;
