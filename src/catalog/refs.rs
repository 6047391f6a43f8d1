//! Entries as they are looked at: their texts lie in a page, or in a queue.

use std::{ops::Range, sync::Arc, time::Duration};

use super::entry::{Entry, HeldEntry, ListedEntry, SharedTags, Tags};
use crate::{id::TrackId, media::Format};

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
    pub format: Format,
    pub rate: u32,
    pub channels: u16,
    pub bits: Option<u8>,
    pub duration: Duration,
    pub opening: Opening<'a>,
    pub audio_start: u64,
    pub tags: TagsRef<'a>,
}

impl ListedRef<'_> {
    /// The path within the owner's library: directory and name.
    pub fn path(&self) -> String {
        if self.dir.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.dir, self.name)
        }
    }

    pub fn to_owned(self) -> ListedEntry {
        ListedEntry {
            dir: self.dir.into(),
            name: self.name.into(),
            size: self.size,
            modified: self.modified,
            track: self.track,
            format: self.format,
            rate: self.rate,
            channels: self.channels,
            bits: self.bits,
            duration: self.duration,
            opening: self.opening.to_ranges(),
            audio_start: self.audio_start,
            tags: self.tags.to_owned(),
        }
    }
}

/// Borrowed [`Tags`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TagsRef<'a> {
    pub title: Option<&'a str>,
    pub track: Option<u32>,
    pub disc: Option<u32>,
    pub artist: Option<&'a str>,
    pub album: Option<&'a str>,
    pub album_artist: Option<&'a str>,
    pub genre: Option<&'a str>,
    pub date: Option<&'a str>,
    pub composer: Option<&'a str>,
}

impl TagsRef<'_> {
    pub fn to_owned(self) -> Tags {
        Tags {
            title: self.title.map(Into::into),
            track: self.track,
            disc: self.disc,
            shared: Arc::new(SharedTags {
                artist: self.artist.map(Into::into),
                album: self.album.map(Into::into),
                album_artist: self.album_artist.map(Into::into),
                genre: self.genre.map(Into::into),
                date: self.date.map(Into::into),
                composer: self.composer.map(Into::into),
            }),
        }
    }
}

impl<'a> From<&'a Tags> for TagsRef<'a> {
    fn from(tags: &'a Tags) -> Self {
        Self {
            title: tags.title.as_deref(),
            track: tags.track,
            disc: tags.disc,
            artist: tags.artist.as_deref(),
            album: tags.album.as_deref(),
            album_artist: tags.album_artist.as_deref(),
            genre: tags.genre.as_deref(),
            date: tags.date.as_deref(),
            composer: tags.composer.as_deref(),
        }
    }
}

/// The byte ranges of an entry's opening, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening<'a>(pub(super) &'a [u8]);

impl Opening<'_> {
    pub fn to_ranges(self) -> Box<[Range<u64>]> {
        postcard::from_bytes(self.0).expect("a page has packed them")
    }
}
