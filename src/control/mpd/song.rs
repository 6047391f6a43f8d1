//! A track as the protocol shows it, be it of the database or of the queue.

use std::{fmt::Write as _, time::Duration};

use super::{reply::Reply, text::format_time};
use crate::{
    catalog::{Database, FoundTrackRef, Tag, TagsRef},
    player::queue::{QueueItem, QueueSlot},
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
        let mut uri = String::new();
        self.uri_into(&mut uri);
        uri
    }

    /// [`Self::uri`], into a buffer that is used again.
    pub fn uri_into(&self, uri: &mut String) {
        uri.clear();
        uri.push_str(self.owner);
        for part in [self.dir, self.name] {
            if !part.is_empty() {
                uri.push('/');
                uri.push_str(part);
            }
        }
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
        let found = match tag {
            Tag::AlbumArtist if self.tag(tag).is_none() => Tag::Artist,
            _ => tag,
        };
        self.tags.values(found)
    }

    /// Whether one of [`Self::values`] passes `test`. A tag that is not there is an empty text.
    pub fn any_value(&self, tag: Tag, mut test: impl FnMut(&str) -> bool) -> bool {
        let mut values = self.values(tag).peekable();
        match values.peek() {
            Some(_) => values.any(test),
            None => test(""),
        }
    }

    /// `rate:bits:channels`, with `f` for bits where there are none: lossy
    /// formats decode to floating point.
    pub fn format(&self) -> String {
        let mut format = format!("{}:", self.rate);
        match self.bits {
            Some(bits) => _ = write!(format, "{bits}"),
            None => format.push('f'),
        }
        _ = write!(format, ":{}", self.channels);
        format
    }

    /// Everything about it, `file:` first, as in every song of a reply.
    pub fn write(&self, reply: &mut Reply) {
        reply.pair("file", self.uri());
        reply.pair("Last-Modified", format_time(self.modified));
        reply.pair("Format", self.format());
        let mask = reply.tags();
        for (tag, value) in self.tags.iter().filter(|(tag, _)| mask.contains(*tag)) {
            reply.pair(tag.name(), value);
        }
        reply.pair("Time", self.duration.as_secs_f64().round());
        reply.seconds("duration", self.duration);
        if self.is_away {
            reply.flag("p2p_away", true);
        }
    }
}

/// A queued song with its place.
pub fn write_queued(reply: &mut Reply, position: usize, slot: &QueueSlot, database: &Database) {
    SongRef::queued(&slot.item, database).write(reply);
    reply.pair("Pos", position).pair("Id", slot.id.0);
}
