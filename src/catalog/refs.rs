//! Entries as they are looked at: their texts lie in a page.

use std::time::Duration;

#[cfg(any(test, feature = "door"))]
use super::Entry;
use super::{
    entry::{HeldEntry, ListedEntry, Picture, ReplayGain, MAX_FILE_BYTES},
    opening::Opening,
    packed_tags::PackedTags,
    tags::TagsRef,
    texts::SharedTexts,
};
use crate::{
    id::TrackId,
    media::{Codec, Container},
};

/// An [`Entry`] of a page.
#[expect(
    clippy::large_enum_variant,
    reason = "views live on the stack, and nearly all are of listed entries"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryRef<'a> {
    Listed(ListedRef<'a>),
    Held(HeldEntry),
}

impl<'a> EntryRef<'a> {
    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Listed(listed) => listed.size,
            Self::Held(held) => held.size,
        }
    }

    /// The file, if the entry is one of the library.
    pub fn listed(self) -> Option<ListedRef<'a>> {
        match self {
            Self::Listed(listed) => Some(listed),
            Self::Held(_) => None,
        }
    }

    #[cfg(any(test, feature = "door"))]
    pub fn to_owned(self) -> Entry {
        match self {
            Self::Listed(listed) => Entry::Listed(Box::new(listed.to_owned())),
            Self::Held(held) => Entry::Held(Box::new(held)),
        }
    }
}

/// A [`ListedEntry`] of a page; its fields are explained there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedRef<'a> {
    pub dir: &'a str,
    pub name: &'a str,
    pub size: u64,
    pub modified: i64,
    pub track: Option<TrackId>,
    pub container: &'a str,
    pub codec: &'a str,
    pub rate: u32,
    pub channels: u16,
    pub layout: Option<u32>,
    pub bits: Option<u8>,
    pub duration: Duration,
    pub frames: Option<u64>,
    pub delay: u32,
    pub padding: u32,
    pub opening: Opening<'a>,
    pub audio_start: u64,
    pub tags: TagsRef<'a>,
    pub gain: Option<ReplayGain>,
    pub picture: Option<PictureRef<'a>>,
    /// The number of a field that has to be understood to play the entry, and is not.
    pub(super) needs: Option<u64>,
}

/// Why an entry cannot be played although it is listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPlayable {
    #[error("this version of p2pmusic does not play {codec} in {container}; update this speaker")]
    Unknown { container: String, codec: String },
    #[error(
        "its owner runs a later version of p2pmusic, and says something of it (field {0}) that \
         this version does not understand; update this speaker"
    )]
    Needs(u64),
}

impl<'a> ListedRef<'a> {
    /// One of which nothing is known yet.
    pub(super) fn empty(texts: SharedTexts<'a>) -> Self {
        Self {
            dir: "",
            name: "",
            size: 0,
            modified: 0,
            track: None,
            container: "",
            codec: "",
            rate: 0,
            channels: 0,
            layout: None,
            bits: None,
            duration: Duration::ZERO,
            frames: None,
            delay: 0,
            padding: 0,
            opening: Opening::default(),
            audio_start: 0,
            tags: TagsRef::Packed(PackedTags::new(texts, NO_TAGS)),
            gain: None,
            picture: None,
            needs: None,
        }
    }

    /// The path within the owner's library: directory and name.
    pub fn path(&self) -> String {
        if self.dir.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.dir, self.name)
        }
    }

    /// What the sound is packed in.
    ///
    /// # Errors
    /// [`NotPlayable`] when this version cannot play the entry.
    pub fn playable(&self) -> Result<Container, NotPlayable> {
        if let Some(field) = self.needs {
            return Err(NotPlayable::Needs(field));
        }
        match (
            Container::from_name(self.container),
            Codec::from_name(self.codec),
        ) {
            (Some(container), Some(_)) => Ok(container),
            _ => Err(NotPlayable::Unknown {
                container: self.container.to_owned(),
                codec: self.codec.to_owned(),
            }),
        }
    }

    pub fn to_owned(self) -> ListedEntry {
        ListedEntry {
            dir: self.dir.into(),
            name: self.name.into(),
            size: self.size,
            modified: self.modified,
            track: self.track,
            container: self.container.into(),
            codec: self.codec.into(),
            rate: self.rate,
            channels: self.channels,
            layout: self.layout,
            bits: self.bits,
            duration: self.duration,
            frames: self.frames,
            delay: self.delay,
            padding: self.padding,
            opening: self.opening.ranges().collect(),
            audio_start: self.audio_start,
            tags: self.tags.to_owned(),
            gain: self.gain,
            picture: self.picture.map(PictureRef::to_owned),
        }
    }

    /// Whether a foreign entry keeps to the rules that others rely on:
    /// relative path without empty, `.` or `..` parts, no control characters
    /// anywhere, and numbers that can be computed with. Those of tags are checked where they
    /// are read.
    pub(super) fn is_sane(&self) -> bool {
        let is_in_file = |start, end| start <= end && end <= self.size;
        (self.dir.is_empty() || self.dir.split('/').all(is_name))
            && is_name(self.name)
            && !self.name.contains('/')
            && self.size <= MAX_FILE_BYTES
            && MODIFIED.contains(&self.modified)
            && [self.container, self.codec].into_iter().all(is_kind)
            && (1..=MAX_RATE).contains(&self.rate)
            && (1..=MAX_CHANNELS).contains(&self.channels)
            && self.duration <= MAX_DURATION
            && self.frames.is_none_or(|frames| frames <= MAX_FRAMES)
            && self.audio_start <= self.size
            && self.opening.ranges().count() <= MAX_OPENING_RANGES
            && self.opening.ranges().all(|it| is_in_file(it.start, it.end))
            && self.picture.is_none_or(|picture| {
                let place = picture.place;
                is_kind(picture.kind) && place.is_none_or(|(start, end)| is_in_file(start, end))
            })
    }
}

/// A borrowed [`Picture`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureRef<'a> {
    pub content: TrackId,
    pub kind: &'a str,
    pub place: Option<(u64, u64)>,
}

impl PictureRef<'_> {
    fn to_owned(self) -> Picture {
        Picture {
            content: self.content,
            kind: self.kind.into(),
            place: self.place.map(|(start, end)| start..end),
        }
    }
}

/// Whether `part` can be one part of a path.
fn is_name(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && !part.contains(char::is_control)
}

/// Whether `name` can be that of a container, of a codec or of a type of pictures.
fn is_kind(name: &str) -> bool {
    (1..=MAX_KIND_BYTES).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Head, audio start and tail, with room to spare: a demuxer that wanders
/// about more than this is served by ordinary demand.
const MAX_OPENING_RANGES: usize = 8;

/// From 1970 to the end of 9999, which every calendar can print.
pub const MODIFIED: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;

/// Twice what the fastest converters do.
const MAX_RATE: u32 = 1_536_000;

/// More than any room has speakers.
const MAX_CHANNELS: u16 = 64;

/// A month: the longest pieces there are last a day or two.
const MAX_DURATION: Duration = Duration::from_secs(31 * 24 * 3600);

/// An empty map.
const NO_TAGS: &[u8] = &[0xa0];

/// A month at the highest rate.
const MAX_FRAMES: u64 = MAX_DURATION.as_secs() * MAX_RATE as u64;

/// Names of containers and codecs, and media types, are shorter.
const MAX_KIND_BYTES: usize = 64;
