//! One entry of a catalogue.

use std::{ops::Range, sync::Arc, time::Duration};

use super::tags::Tags;
use crate::{id::TrackId, media::Container};

/// One entry of its owner's catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file of the owner's library; these make the browsable database.
    Listed(Box<ListedEntry>),
    /// A complete copy in the owner's cache: a source, but nothing to browse.
    Held(Box<HeldEntry>),
}

/// A complete copy in its owner's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldEntry {
    pub track: TrackId,
    /// Bytes.
    pub size: u64,
}

#[cfg(test)]
impl Entry {
    /// What the entry's bytes hash to, once the owner knows.
    pub fn track(&self) -> Option<TrackId> {
        match self {
            Self::Listed(listed) => listed.track,
            Self::Held(held) => Some(held.track),
        }
    }

    /// The file, if the entry is one of the library.
    pub fn listed(&self) -> Option<&ListedEntry> {
        match self {
            Self::Listed(listed) => Some(listed),
            Self::Held(_) => None,
        }
    }
}

impl HeldEntry {
    /// Whether its size can be computed with.
    pub(super) fn is_sane(&self) -> bool {
        self.size <= MAX_FILE_BYTES
    }
}

/// A file of the owner's library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEntry {
    /// The directory within the owner's library, `/`-separated, without a
    /// slash at either end; empty for the top.
    pub dir: Arc<str>,
    /// The file's name. What was not UTF-8, or a control character, is
    /// escaped.
    pub name: Box<str>,
    /// The size of the file in bytes.
    pub size: u64,
    /// When the file was last modified, in seconds since 1970.
    pub modified: i64,
    /// The content's name, once the owner has hashed the file.
    pub track: Option<TrackId>,
    /// The name of what the sound is packed in, and of how it is coded.
    pub container: Arc<str>,
    pub codec: Arc<str>,
    /// Frames per second.
    pub rate: u32,
    pub channels: u16,
    /// A bit for each loudspeaker, as in the channel mask of WAVEFORMATEXTENSIBLE.
    pub layout: Option<u32>,
    /// Bits per sample, where the codec has such a thing.
    pub bits: Option<u8>,
    pub duration: Duration,
    /// The exact number of frames, where it is known, without `delay` and `padding`.
    pub frames: Option<u64>,
    /// Frames that the encoder has put before the first, and behind the last that is heard.
    pub delay: u32,
    pub padding: u32,
    /// The byte ranges that opening the file touches before the first sample
    /// is out; what a listener asks for first.
    pub opening: Box<[Range<u64>]>,
    /// Where the sound starts, behind tags and pictures.
    pub audio_start: u64,
    pub tags: Tags,
    pub gain: Option<ReplayGain>,
    pub picture: Option<Picture>,
}

/// By how much a track is too loud, and its loudest sample. Gains are in hundredths of a dB,
/// peaks in 32,768ths of full scale.
///
/// Source: ReplayGain 2.0, <https://wiki.hydrogenaud.io/index.php?title=ReplayGain_2.0_specification>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayGain {
    pub track: Option<i16>,
    pub album: Option<i16>,
    pub track_peak: Option<u32>,
    pub album_peak: Option<u32>,
}

/// The picture of a track, which is content like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub content: TrackId,
    /// Its media type, as in `image/jpeg`.
    pub kind: Arc<str>,
    /// Where in the track's file it lies, unless it is a file of its own.
    pub place: Option<Range<u64>>,
}

impl ListedEntry {
    /// One of which no more is known than what its sound is packed in.
    pub fn in_container(container: Container) -> Self {
        Self {
            dir: Arc::default(),
            name: Box::default(),
            size: 0,
            modified: 0,
            track: None,
            container: container.name().into(),
            codec: container.codec().name().into(),
            rate: 0,
            channels: 0,
            layout: None,
            bits: None,
            duration: Duration::ZERO,
            frames: None,
            delay: 0,
            padding: 0,
            opening: Box::default(),
            audio_start: 0,
            tags: Tags::default(),
            gain: None,
            picture: None,
        }
    }

    /// The path within the owner's library: directory and name.
    #[cfg(test)]
    pub fn path(&self) -> String {
        if self.dir.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.dir, self.name)
        }
    }
}

/// A terabyte: more than any recording, and far from where offsets overflow.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 40;
