//! One entry of a catalogue.

use std::{
    ops::{Deref, Range},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{id::TrackId, media::Format};

/// One entry of its owner's catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A file of the owner's library; these make the browsable database.
    Listed(Box<ListedEntry>),
    /// A complete copy in the owner's cache: a source, but nothing to browse.
    Held(Box<HeldEntry>),
}

/// A complete copy in its owner's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldEntry {
    pub track: TrackId,
    /// Bytes.
    pub size: u64,
}

impl Entry {
    /// What the entry's bytes hash to, once the owner knows.
    pub fn track(&self) -> Option<TrackId> {
        match self {
            Self::Listed(listed) => listed.track,
            Self::Held(held) => Some(held.track),
        }
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Listed(listed) => listed.size,
            Self::Held(held) => held.size,
        }
    }

    /// The file, if the entry is one of the library.
    pub fn listed(&self) -> Option<&ListedEntry> {
        match self {
            Self::Listed(listed) => Some(listed),
            Self::Held(_) => None,
        }
    }

    /// Whether a foreign entry keeps to the rules that others rely on:
    /// relative path without empty, `.` or `..` parts, no control characters
    /// anywhere, and numbers that can be computed with.
    pub fn is_sane(&self) -> bool {
        self.size() <= MAX_FILE_BYTES && self.listed().is_none_or(ListedEntry::is_sane)
    }
}

/// A file of the owner's library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    pub format: Format,
    /// Frames per second.
    pub rate: u32,
    pub channels: u16,
    /// Bits per sample, where the format has such a thing.
    pub bits: Option<u8>,
    pub duration: Duration,
    /// The byte ranges that opening the file touches before the first sample
    /// is out; what a listener asks for first.
    pub opening: Box<[Range<u64>]>,
    /// Where the sound starts, behind tags and pictures.
    pub audio_start: u64,
    pub tags: Tags,
}

impl ListedEntry {
    /// The path within the owner's library: directory and name.
    #[cfg(test)]
    pub fn path(&self) -> String {
        if self.dir.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.dir, self.name)
        }
    }

    fn is_sane(&self) -> bool {
        (self.dir.is_empty() || self.dir.split('/').all(is_name))
            && is_name(&self.name)
            && !self.name.contains('/')
            && MODIFIED.contains(&self.modified)
            && (1..=MAX_RATE).contains(&self.rate)
            && (1..=MAX_CHANNELS).contains(&self.channels)
            && self.duration <= MAX_DURATION
            && self.audio_start <= self.size
            && self.opening.len() <= MAX_OPENING_RANGES
            && self
                .opening
                .iter()
                .all(|r| r.start <= r.end && r.end <= self.size)
            && !self
                .tags
                .texts()
                .any(|text| text.contains(char::is_control))
    }
}

/// A track's tags, as MPD knows them: its own, and through `Deref` those that
/// it has in common with others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    pub title: Option<Box<str>>,
    pub track: Option<u32>,
    pub disc: Option<u32>,
    /// One copy in memory for all tracks of an album that are queued.
    pub shared: Arc<SharedTags>,
}

/// The tags that the tracks of an album usually have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SharedTags {
    pub artist: Option<Arc<str>>,
    pub album: Option<Arc<str>>,
    pub album_artist: Option<Arc<str>>,
    pub genre: Option<Arc<str>>,
    pub date: Option<Arc<str>>,
    pub composer: Option<Arc<str>>,
}

impl Deref for Tags {
    type Target = SharedTags;

    fn deref(&self) -> &SharedTags {
        &self.shared
    }
}

impl Tags {
    /// The tags that are present, each with MPD's name for it.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let text = |name, value: &Option<Arc<str>>| value.as_ref().map(|v| (name, v.to_string()));
        let number = |name, value: Option<u32>| value.map(|v| (name, v.to_string()));
        [
            text("Artist", &self.artist),
            text("AlbumArtist", &self.album_artist),
            self.title.as_ref().map(|v| ("Title", v.to_string())),
            text("Album", &self.album),
            number("Track", self.track),
            text("Date", &self.date),
            text("Genre", &self.genre),
            text("Composer", &self.composer),
            number("Disc", self.disc),
        ]
        .into_iter()
        .flatten()
    }

    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let shared = self
            .shared
            .texts()
            .into_iter()
            .flatten()
            .map(|text| &**text);
        self.title.as_deref().into_iter().chain(shared)
    }
}

impl SharedTags {
    fn texts(&self) -> [&Option<Arc<str>>; 6] {
        [
            &self.artist,
            &self.album,
            &self.album_artist,
            &self.genre,
            &self.date,
            &self.composer,
        ]
    }
}

/// Whether `part` can be one part of a path.
fn is_name(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && !part.contains(char::is_control)
}

/// Head, audio start and tail, with room to spare: a demuxer that wanders
/// about more than this is served by ordinary demand.
const MAX_OPENING_RANGES: usize = 8;

/// A terabyte: more than any recording, and far from where offsets overflow.
const MAX_FILE_BYTES: u64 = 1 << 40;

/// From 1970 to the end of 9999, which every calendar can print.
pub const MODIFIED: std::ops::RangeInclusive<i64> = 0..=253_402_300_799;

/// Twice what the fastest converters do.
const MAX_RATE: u32 = 1_536_000;

/// More than any room has speakers.
const MAX_CHANNELS: u16 = 64;

/// A month: the longest pieces there are last a day or two.
const MAX_DURATION: Duration = Duration::from_secs(31 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    fn changed(change: impl FnOnce(&mut ListedEntry)) -> bool {
        let mut listed = samples::listed("a/b", "c.flac", None);
        change(&mut listed);
        Entry::Listed(Box::new(listed)).is_sane()
    }

    #[test]
    fn an_entry_cannot_lead_out_of_its_library() {
        for dir in [
            "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\nb", "a\u{85}",
        ] {
            assert!(!changed(|it| it.dir = dir.into()), "{dir:?}");
        }
        for name in ["", ".", "..", "a/b", "/", "a\0"] {
            assert!(!changed(|it| it.name = name.into()), "{name:?}");
        }
        assert!(changed(|it| it.dir = "".into()));
        assert!(changed(|it| it.dir = "...".into()));
    }

    #[test]
    fn an_entry_can_be_computed_with() {
        assert!(changed(|_| ()));
        assert!(!changed(|it| it.rate = 0));
        assert!(!changed(|it| it.rate = u32::MAX));
        assert!(!changed(|it| it.channels = 0));
        assert!(!changed(|it| it.size = u64::MAX));
        assert!(!changed(|it| it.duration = Duration::MAX));
        assert!(!changed(|it| it.modified = i64::MIN));
        assert!(!changed(|it| it.audio_start = it.size + 1));
        assert!(!changed(|it| it.opening = vec![0..1, 0..it.size + 1].into()));
        let backwards = Range { start: 9, end: 3 };
        assert!(!changed(|it| it.opening = vec![0..1, backwards].into()));
        assert!(!changed(|it| it.opening = vec![0..1; 9].into()));
        assert!(!changed(|it| it.tags.title = Some("a\nOK".into())));
        assert!(!changed(
            |it| Arc::make_mut(&mut it.tags.shared).genre = Some("\r".into())
        ));
        let held = HeldEntry {
            track: TrackId([0; 32]),
            size: u64::MAX,
        };
        assert!(!Entry::Held(Box::new(held)).is_sane());
    }
}
