//! From a track's samples to those of the device: its loudspeakers, its rate.
//!
//! Where both are the track's, no sample is touched.

use super::remix::Remix;
use super::resample::Resampler;
use crate::media::decode::Opened;
use crate::media::end::DecodeEnd;

/// A track at the rate and with the channels of a device.
pub struct TrackPipeline {
    opened: Opened,
    remix: Remix,
    resampler: Option<Resampler>,
    /// Samples a frame, of the device.
    channels: usize,
    /// Of the track.
    decoded: Vec<f32>,
    /// With the device's channels.
    remixed: Vec<f32>,
    /// With its rate, too; what lies before `at` has been taken.
    ready: Vec<f32>,
    at: usize,
    end: Option<DecodeEnd>,
}

impl TrackPipeline {
    /// For a device of `rate` frames a second and so many `channels`.
    ///
    /// # Errors
    /// The [`DecodeEnd`] of a track whose rate cannot be brought to the device's.
    pub fn new(opened: Opened, rate: u32, channels: u16) -> Result<Self, DecodeEnd> {
        let from = opened.media.rate;
        let resampler = (from != rate).then(|| {
            let why = || DecodeEnd::Failed(format!("{from} Hz cannot be played at {rate} Hz"));
            Resampler::new(from, rate, channels).ok_or_else(why)
        });
        Ok(Self {
            remix: Remix::new(opened.media.channels, None, channels),
            resampler: resampler.transpose()?,
            channels: channels.into(),
            decoded: Vec::new(),
            remixed: Vec::new(),
            ready: Vec::new(),
            at: 0,
            end: None,
            opened,
        })
    }

    /// Appends `frames` frames to `out`, fewer with the end.
    pub fn fill(&mut self, frames: usize, out: &mut Vec<f32>) -> Option<DecodeEnd> {
        let mut wanted = frames * self.channels;
        while wanted > 0 {
            if self.at == self.ready.len() {
                if self.end.is_some() {
                    return self.end.clone();
                }
                self.make_ready();
                continue;
            }
            let taken = wanted.min(self.ready.len() - self.at);
            out.extend_from_slice(&self.ready[self.at..self.at + taken]);
            self.at += taken;
            wanted -= taken;
        }
        None
    }

    /// Decodes the next frames.
    fn make_ready(&mut self) {
        self.decoded.clear();
        self.end = match self.opened.decode(DECODE_FRAMES, &mut self.decoded) {
            Ok(DECODE_FRAMES) => None,
            Ok(_) => Some(self.opened.end()),
            Err(end) => Some(end),
        };
        self.ready.clear();
        self.at = 0;
        let Some(resampler) = &mut self.resampler else {
            return self.remix.push(&self.decoded, &mut self.ready);
        };
        self.remixed.clear();
        self.remix.push(&self.decoded, &mut self.remixed);
        resampler.push(&self.remixed, &mut self.ready);
        if self.end.is_some() {
            resampler.finish(&mut self.ready);
        }
    }
}

/// Frames decoded under one guard: fewer cost time, more delay the first sound.
const DECODE_FRAMES: usize = 256;
