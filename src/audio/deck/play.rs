//! A track that is under way.

use std::time::Duration;

use super::{action::DeckTrack, places::RingMark};
use crate::{
    audio::{report::JobId, spec::SampleShape},
    media::end::DecodeEnd,
};

/// See the module's description.
#[derive(Debug)]
pub struct DeckPlay<T> {
    pub track: DeckTrack<T>,
    pub job: JobId,
    /// Where in the track the job begins.
    origin: Duration,
    /// What the decoder found; `None` while it is being opened.
    pub shape: Option<SampleShape>,
    /// Whether the job fills the ring.
    pub admitted: bool,
    /// The number of its first frame, once enough of it waits.
    pub first: Option<u64>,
    /// How decoding ended, and the number of the frame after its last.
    pub end: Option<(DecodeEnd, u64)>,
    /// Whether its beginning was announced.
    pub announced: bool,
}

/// What a track needs of the device.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub shape: SampleShape,
    /// Or that is only what the catalogue promises.
    pub decoder_stands: bool,
}

impl<T> DeckPlay<T> {
    pub fn new(track: DeckTrack<T>, job: JobId, origin: Duration) -> Self {
        Self {
            track,
            job,
            origin,
            shape: None,
            admitted: false,
            first: None,
            end: None,
            announced: false,
        }
    }

    /// Where it lies in the ring of a device of this rate, if one is open.
    pub fn mark(&self, rate: Option<u32>) -> RingMark {
        RingMark {
            play: self.track.play,
            origin: self.origin,
            placed: self.first.zip(rate),
        }
    }

    /// What it needs before it may fill the ring.
    pub fn wanted(&self) -> Option<Wanted> {
        if self.admitted {
            return None;
        }
        let promised = SampleShape {
            rate: self.track.media.rate,
            channels: self.track.media.channels,
            bits: None,
        };
        Some(Wanted {
            shape: self.shape.unwrap_or(promised),
            decoder_stands: self.shape.is_some(),
        })
    }

    /// Whether it sounds as soon as it may.
    pub fn is_ready(&self) -> bool {
        self.first.is_some() && !self.track.held
    }

    /// Whether nothing of it is still to be heard when so many frames have left the ring of the
    /// open device, if one is.
    pub fn is_heard(&self, read: Option<u64>) -> bool {
        let last = self.end.as_ref().map(|(_, last)| *last);
        let is_read = |last| !self.admitted || read.is_none_or(|read| read >= last);
        last.is_some_and(is_read)
    }
}
