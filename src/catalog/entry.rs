//! One entry of a catalogue.

use std::{ops::Range, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{id::TrackId, media::Format};

/// One entry of its owner's catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A file of the owner's library; these make the browsable database.
    Listed(Box<Listed>),
    /// A complete copy in the owner's cache: a source, but nothing to browse.
    Held { track: TrackId, size: u64 },
}

impl Entry {
    /// What the entry's bytes hash to, once the owner knows.
    pub fn track(&self) -> Option<TrackId> {
        match self {
            Self::Listed(listed) => listed.track,
            Self::Held { track, .. } => Some(*track),
        }
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Listed(listed) => listed.size,
            Self::Held { size, .. } => *size,
        }
    }

    /// The file, if the entry is one of the library.
    pub fn listed(&self) -> Option<&Listed> {
        match self {
            Self::Listed(listed) => Some(listed),
            Self::Held { .. } => None,
        }
    }

    /// Whether a foreign entry keeps to the rules that the database relies
    /// on: relative path without empty, `.` or `..` parts, no control
    /// characters anywhere, and bounded counts.
    pub fn is_sane(&self) -> bool {
        let Self::Listed(listed) = self else {
            return true;
        };
        let path_ok = (listed.dir.is_empty() || listed.dir.split('/').all(is_name))
            && is_name(&listed.name)
            && !listed.name.contains('/');
        path_ok
            && listed.opening.len() <= MAX_OPENING_RANGES
            && listed
                .opening
                .iter()
                .all(|r| r.start <= r.end && r.end <= listed.size)
            && listed.rate > 0
            && listed.channels > 0
            && listed
                .tags
                .iter()
                .all(|(_, value)| !value.contains(char::is_control))
    }
}

/// A file of the owner's library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
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
    pub opening: Vec<Range<u64>>,
    /// Where the sound starts, behind tags and pictures.
    pub audio_start: u64,
    pub tags: Tags,
}

impl Listed {
    /// The path within the owner's library: directory and name.
    pub fn path(&self) -> String {
        if self.dir.is_empty() {
            self.name.to_string()
        } else {
            format!("{}/{}", self.dir, self.name)
        }
    }
}

/// A track's tags, as MPD knows them.
///
/// Those that many tracks share are shared in memory, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    pub title: Option<Box<str>>,
    pub artist: Option<Arc<str>>,
    pub album: Option<Arc<str>>,
    pub album_artist: Option<Arc<str>>,
    pub genre: Option<Arc<str>>,
    pub date: Option<Arc<str>>,
    pub composer: Option<Arc<str>>,
    pub track: Option<u32>,
    pub disc: Option<u32>,
}

impl Tags {
    /// The tags that are present, each with MPD's name for it.
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
}

/// Whether `part` can be one part of a path.
fn is_name(part: &str) -> bool {
    !part.is_empty() && part != "." && part != ".." && !part.contains(char::is_control)
}

/// Head, audio start and tail, with room to spare: a demuxer that wanders
/// about more than this is served by ordinary demand.
const MAX_OPENING_RANGES: usize = 8;
