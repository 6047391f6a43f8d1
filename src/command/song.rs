//! A track as it is shown, be it of the database or of the queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    catalog::{Database, FoundTrackRef, Tag, Tags, TagsRef},
    playback::queue::QueueItem,
    util::seconds,
};

/// A borrowed track.
#[derive(Clone, Copy, Debug)]
pub struct SongRef<'a> {
    /// The name of the peer that has it: the top directory.
    pub owner: &'a str,
    pub dir: &'a str,
    pub name: &'a str,
    pub tags: TagsRef<'a>,
    pub duration: Duration,
    pub rate: u32,
    pub bits: Option<u8>,
    pub channels: u16,
    pub modified: i64,
    /// Only others have it now.
    pub is_away: bool,
}

/// A track.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SongView {
    /// `<peer name>/<path>`.
    pub uri: String,
    pub tags: Tags,
    #[serde(with = "seconds")]
    pub duration: Duration,
    /// Frames per second.
    pub rate: u32,
    /// Of a sample; nothing where it decodes to floating point.
    pub bits: Option<u8>,
    pub channels: u16,
    /// Seconds since 1970.
    pub modified: i64,
    /// Only others have it now.
    pub is_away: bool,
}

impl From<SongRef<'_>> for SongView {
    fn from(song: SongRef<'_>) -> Self {
        Self {
            uri: song.uri(),
            tags: song.tags.to_owned(),
            duration: song.duration,
            rate: song.rate,
            bits: song.bits,
            channels: song.channels,
            modified: song.modified,
            is_away: song.is_away,
        }
    }
}

impl<'a> From<FoundTrackRef<'a>> for SongRef<'a> {
    fn from(found: FoundTrackRef<'a>) -> Self {
        let listed = found.listed;
        Self {
            owner: &found.member.name,
            dir: listed.dir,
            name: listed.name,
            tags: listed.tags,
            duration: listed.duration,
            rate: listed.rate,
            bits: listed.bits,
            channels: listed.channels,
            modified: listed.modified,
            is_away: !found.member.is_here(),
        }
    }
}

impl<'a> From<&'a SongView> for SongRef<'a> {
    fn from(song: &'a SongView) -> Self {
        let (owner, path) = song.uri.split_once('/').unwrap_or((&song.uri, ""));
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        Self {
            owner,
            dir,
            name,
            tags: (&song.tags).into(),
            duration: song.duration,
            rate: song.rate,
            bits: song.bits,
            channels: song.channels,
            modified: song.modified,
            is_away: song.is_away,
        }
    }
}

impl<'a> SongRef<'a> {
    /// A queued track, under the name that its owner has now or had last.
    pub fn queued(item: &'a QueueItem, database: &'a Database) -> Self {
        let member = database.known(item.peer);
        let (dir, name) = item.path.rsplit_once('/').unwrap_or(("", &item.path));
        let info = &item.info;
        Self {
            owner: member.map_or(&*info.owner, |member| &*member.name),
            dir,
            name,
            tags: (&info.tags).into(),
            duration: info.duration,
            rate: info.rate,
            bits: info.bits,
            channels: info.channels,
            modified: info.modified,
            is_away: database.member(item.peer).is_none(),
        }
    }

    /// `<peer name>/<path>`.
    pub fn uri(&self) -> String {
        let mut uri = String::with_capacity(self.uri_room());
        self.push_uri(&mut uri);
        uri
    }

    /// [`Self::uri`], into a buffer that is used again.
    pub fn uri_into(&self, uri: &mut String) {
        uri.clear();
        self.push_uri(uri);
    }

    /// [`Self::uri`], behind what `text` has.
    pub fn push_uri(&self, text: &mut String) {
        text.push_str(self.owner);
        for part in [self.dir, self.name] {
            if !part.is_empty() {
                text.push('/');
                text.push_str(part);
            }
        }
    }

    /// Bytes for [`Self::uri`].
    pub fn uri_room(&self) -> usize {
        self.owner.len() + self.dir.len() + self.name.len() + 2
    }

    /// Whether [`Self::uri`] is `uri`.
    pub fn is_at(&self, uri: &str) -> bool {
        let parts = [self.owner, self.dir, self.name].into_iter();
        let lengths = parts
            .filter(|part| !part.is_empty())
            .map(|part| part.len() + 1);
        // Most are seen to be others at this.
        if lengths.sum::<usize>() != uri.len() + 1 {
            return false;
        }
        let mut rest = uri.strip_prefix(self.owner);
        for part in [self.dir, self.name] {
            if !part.is_empty() {
                rest = rest.and_then(|rest| rest.strip_prefix('/')?.strip_prefix(part));
            }
        }
        rest == Some("")
    }

    /// The title, or the file's name where there is none.
    pub fn title(&self) -> &'a str {
        self.tag(Tag::Title).unwrap_or(self.name)
    }

    /// The first value of a tag.
    pub fn tag(&self, tag: Tag) -> Option<&'a str> {
        self.tags.first(tag)
    }

    /// [`Self::tag`], where an album without an artist of its own is its
    /// track's artist's.
    pub fn tag_or_fallback(&self, tag: Tag) -> Option<&'a str> {
        match tag {
            Tag::AlbumArtist => self.tag(tag).or_else(|| self.tag(Tag::Artist)),
            _ => self.tag(tag),
        }
    }

    /// The values of `tag`, as [`Self::tag_or_fallback`] finds them.
    pub fn values(&self, tag: Tag) -> impl Iterator<Item = &'a str> {
        let mut values = self.tags.values(tag).peekable();
        if tag == Tag::AlbumArtist && values.peek().is_none() {
            values = self.tags.values(Tag::Artist).peekable();
        }
        values
    }

    /// Whether one of [`Self::values`] passes `test`. A tag that is not there is an empty text.
    pub fn any_value(&self, tag: Tag, mut test: impl FnMut(&str) -> bool) -> bool {
        let mut values = self.values(tag);
        test(values.next().unwrap_or_default()) || values.any(test)
    }
}
