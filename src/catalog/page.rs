//! A page of a catalogue: as it travels, and as it is kept.
//!
//! A peer keeps the catalogue of everybody, so an entry must be small in
//! memory: a swarm of 100,000 tracks is to fit on the smallest board. A page
//! is therefore four blocks and not a tree of objects: the texts that entries
//! have in common once, the entries as records one behind the other, and
//! where each begins. A reader of an entry gets an [`EntryRef`], whose
//! texts lie in the page. Nothing is ever changed in place.
//!
//! A record is in postcard: its content and its path first, since entries are
//! found by these, and the rest behind them. It never leaves the process; on
//! the wire a page is a list of [`Entry`]s.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    entry::{Entry, HeldEntry, ListedEntry},
    head::{CatalogueError, MAX_PAGE_BYTES, PAGE_ENTRIES},
    refs::{EntryRef, ListedRef, Opening, TagsRef},
};
use crate::{id::TrackId, media::Format};

/// Up to [`PAGE_ENTRIES`] consecutive entry numbers; `None` where an entry is
/// gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What entries have in common: directories, artists, albums, ….
    texts: Box<str>,
    /// Where each text ends.
    text_ends: Box<[u32]>,
    /// The entries, packed.
    records: Box<[u8]>,
    /// Where each record ends. That of an entry that is gone is empty.
    record_ends: Box<[u32]>,
}

impl Page {
    /// Packs at most [`PAGE_ENTRIES`] entries.
    pub fn new(entries: &[Option<Entry>]) -> Self {
        let mut texts = Texts::default();
        let mut records = Vec::new();
        let mut record_ends = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(entry) = entry {
                records = write_record(entry, &mut texts, records);
            }
            record_ends.push(records.len() as u32);
        }
        Self {
            texts: texts.all.into(),
            text_ends: texts.ends.into(),
            records: records.into(),
            record_ends: record_ends.into(),
        }
    }

    /// How many numbers it has, those of holes included.
    pub fn len(&self) -> usize {
        self.record_ends.len()
    }

    /// The `n`th entry, if it is there.
    pub fn get(&self, n: usize) -> Option<EntryRef<'_>> {
        let (track, rest) = split_track(self.record(n)?);
        let (path, rest) = read::<Option<PathKey<'_>>>(rest);
        let Some(path) = path else {
            let track = track.expect("only what is hashed is held");
            let (size, _) = read(rest);
            return Some(EntryRef::Held(HeldEntry { track, size }));
        };
        let (details, _) = read::<Details<'_>>(rest);
        let text = |at: Option<u16>| at.map(|at| self.text(at));
        Some(EntryRef::Listed(ListedRef {
            dir: self.text(path.dir),
            name: path.name,
            size: details.size,
            modified: details.modified,
            track,
            format: details.format,
            rate: details.rate,
            channels: details.channels,
            bits: details.bits,
            duration: details.duration,
            opening: Opening(details.opening),
            audio_start: details.audio_start,
            tags: TagsRef {
                title: details.title,
                track: details.track_no,
                disc: details.disc,
                artist: text(details.artist),
                album: text(details.album),
                album_artist: text(details.album_artist),
                genre: text(details.genre),
                date: text(details.date),
                composer: text(details.composer),
            },
        }))
    }

    /// The content of the `n`th entry, as far as it is known.
    pub(super) fn track(&self, n: usize) -> Option<TrackId> {
        split_track(self.record(n)?).0
    }

    /// Directory and name of the `n`th entry, if that is a listed one.
    pub(super) fn path(&self, n: usize) -> Option<(&str, &str)> {
        let (_, rest) = split_track(self.record(n)?);
        let (path, _) = read::<Option<PathKey<'_>>>(rest);
        path.map(|path| (self.text(path.dir), path.name))
    }

    /// The directories of the listed entries.
    pub(super) fn dirs(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|n| Some(self.path(n)?.0))
    }

    /// When the `n`th entry was last modified, if that is a listed one.
    pub(super) fn modified(&self, n: usize) -> Option<i64> {
        let (_, rest) = split_track(self.record(n)?);
        let (path, rest) = read::<Option<PathKey<'_>>>(rest);
        let is_listed = path.is_some();
        // As the details of a listed entry begin.
        is_listed.then(|| read::<(u64, i64)>(rest).0 .1)
    }

    /// Whether an entry may have this directory, or this text for a tag that tracks have in
    /// common.
    pub fn may_have(&self, text: &str) -> bool {
        let mut texts = (0..self.text_ends.len()).filter_map(|n| range(&self.text_ends, n));
        texts.any(|at| self.texts[at] == *text)
    }

    /// All numbers of the page, with what is there.
    pub fn entries(&self) -> impl Iterator<Item = Option<EntryRef<'_>>> {
        (0..self.len()).map(|n| self.get(n))
    }

    /// The page on the wire (postcard).
    pub fn encode(&self) -> Vec<u8> {
        let owned = |entry: Option<EntryRef<'_>>| entry.map(EntryRef::to_owned);
        encode(&self.entries().map(owned).collect::<Vec<_>>())
    }

    /// Reads a foreign page.
    ///
    /// # Errors
    /// Refuses what is too long, malformed, encoded in another way than
    /// [`Self::encode`] would (its hash would change when relayed), or breaks
    /// the rules of [`Entry::is_sane`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CatalogueError> {
        if bytes.len() > MAX_PAGE_BYTES {
            return Err(CatalogueError::BadPage("too long"));
        }
        // Looked at first: a hole is one byte here and many in memory.
        let (len, _) = postcard::take_from_bytes::<usize>(bytes)
            .map_err(|_| CatalogueError::BadPage("malformed"))?;
        if len > PAGE_ENTRIES {
            return Err(CatalogueError::BadPage("too many entries"));
        }
        let entries: Vec<Option<Entry>> =
            postcard::from_bytes(bytes).map_err(|_| CatalogueError::BadPage("malformed"))?;
        if !entries.iter().flatten().all(Entry::is_sane) {
            return Err(CatalogueError::BadPage("an entry breaks the rules"));
        }
        if encode(&entries) != bytes {
            return Err(CatalogueError::BadPage("not in its canonical encoding"));
        }
        Ok(Self::new(&entries))
    }

    /// What it takes in memory, in bytes, without what the allocator adds.
    pub fn footprint(&self) -> usize {
        size_of_val(self)
            + size_of_val(&*self.texts)
            + size_of_val(&*self.text_ends)
            + size_of_val(&*self.records)
            + size_of_val(&*self.record_ends)
    }

    fn record(&self, n: usize) -> Option<&[u8]> {
        let record = &self.records[range(&self.record_ends, n)?];
        (!record.is_empty()).then_some(record)
    }

    fn text(&self, at: u16) -> &str {
        let range = range(&self.text_ends, at.into());
        &self.texts[range.expect("a record names texts of its own page")]
    }
}

/// The entries as they travel.
fn encode(entries: &[Option<Entry>]) -> Vec<u8> {
    postcard::to_allocvec(entries).expect("plain data always has an encoding")
}

/// What a listed entry is found by, first in its record behind the content.
#[derive(Serialize, Deserialize)]
struct PathKey<'a> {
    /// One of the page's texts, as below.
    dir: u16,
    name: &'a str,
}

/// What else a record of a listed entry has.
#[derive(Serialize, Deserialize)]
struct Details<'a> {
    size: u64,
    modified: i64,
    format: Format,
    rate: u32,
    channels: u16,
    bits: Option<u8>,
    duration: Duration,
    /// The ranges, encoded by themselves: few readers of an entry need them.
    opening: &'a [u8],
    audio_start: u64,
    title: Option<&'a str>,
    track_no: Option<u32>,
    disc: Option<u32>,
    artist: Option<u16>,
    album: Option<u16>,
    album_artist: Option<u16>,
    genre: Option<u16>,
    date: Option<u16>,
    composer: Option<u16>,
}

/// Texts that are kept once.
#[derive(Default)]
struct Texts<'a> {
    all: String,
    ends: Vec<u32>,
    known: BTreeMap<&'a str, u16>,
}

impl<'a> Texts<'a> {
    /// The number of `text`.
    fn add(&mut self, text: &'a str) -> u16 {
        *self.known.entry(text).or_insert_with(|| {
            self.all.push_str(text);
            self.ends.push(self.all.len() as u32);
            let at = self.ends.len() - 1;
            u16::try_from(at).expect("256 entries have at most seven texts each to share")
        })
    }
}

/// Appends the record of `entry` to `records`.
fn write_record<'a>(entry: &'a Entry, texts: &mut Texts<'a>, mut records: Vec<u8>) -> Vec<u8> {
    match entry.track() {
        Some(track) => {
            records.push(HASHED);
            records.extend(track.0);
        }
        None => records.push(UNHASHED),
    }
    match entry {
        Entry::Listed(listed) => {
            let dir = texts.add(&listed.dir);
            let name = &*listed.name;
            let records = write(&Some(PathKey { dir, name }), records);
            let opening = write(&listed.opening, Vec::new());
            write(&details(listed, &opening, texts), records)
        }
        Entry::Held(held) => write(&(None::<PathKey<'_>>, held.size), records),
    }
}

/// The details of `listed`, of which `opening` is the opening.
fn details<'a, 'b>(listed: &'a ListedEntry, opening: &'b [u8], texts: &mut Texts<'a>) -> Details<'b>
where
    'a: 'b,
{
    let mut text = |text: &'a Option<Arc<str>>| text.as_deref().map(|text| texts.add(text));
    let tags = &listed.tags;
    Details {
        size: listed.size,
        modified: listed.modified,
        format: listed.format,
        rate: listed.rate,
        channels: listed.channels,
        bits: listed.bits,
        duration: listed.duration,
        opening,
        audio_start: listed.audio_start,
        title: tags.title.as_deref(),
        track_no: tags.track,
        disc: tags.disc,
        artist: text(&tags.artist),
        album: text(&tags.album),
        album_artist: text(&tags.album_artist),
        genre: text(&tags.genre),
        date: text(&tags.date),
        composer: text(&tags.composer),
    }
}

/// A record's content and what is behind it. By hand, since a catalogue is
/// ordered by it: 32 single bytes take postcard ten times as long.
fn split_track(record: &[u8]) -> (Option<TrackId>, &[u8]) {
    match record.split_first() {
        Some((&HASHED, rest)) => {
            let (track, rest) = rest.split_first_chunk().expect("a hash has 32 bytes");
            (Some(TrackId(*track)), rest)
        }
        Some((_, rest)) => (None, rest),
        None => (None, record),
    }
}

fn write<T: Serialize>(value: &T, to: Vec<u8>) -> Vec<u8> {
    postcard::to_extend(value, to).expect("plain data always has an encoding")
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> (T, &'a [u8]) {
    postcard::take_from_bytes(bytes).expect("only what this file wrote is read")
}

/// The `n`th of the ranges that end at `ends`.
fn range(ends: &[u32], n: usize) -> Option<Range<usize>> {
    let end = *ends.get(n)? as usize;
    let begin = n.checked_sub(1).map_or(0, |before| ends[before] as usize);
    Some(begin..end)
}

/// The first byte of a record whose entry has been hashed.
const HASHED: u8 = 1;
const UNHASHED: u8 = 0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{samples, SharedTags};

    /// Texts of which some are equal, and empty ones.
    fn text() -> impl Strategy<Value = Option<String>> {
        prop::option::of("[ab\u{e4}\u{1d11e}]{0,2}")
    }

    fn entry() -> impl Strategy<Value = Option<Entry>> {
        let numbers = any::<(u64, i64, Option<u8>, Option<u32>, Option<u8>)>();
        let opening = prop::collection::vec(any::<(u64, u64)>(), 0..4);
        let texts = prop::collection::vec(text(), 9);
        let listed = (numbers, opening, texts).prop_map(|(numbers, opening, texts)| {
            let (size, modified, bits, number, track) = numbers;
            let mut texts = texts.into_iter();
            let mut text = || texts.next().flatten();
            let mut listed = samples::listed("", "", track);
            listed.dir = text().unwrap_or_default().into();
            listed.name = text().unwrap_or_default().into();
            (listed.size, listed.modified, listed.bits) = (size, modified, bits);
            listed.opening = opening.into_iter().map(|(a, b)| a..b).collect();
            listed.tags.title = text().map(Into::into);
            listed.tags.disc = number;
            let mut text = || text().map(Into::into);
            listed.tags.shared = Arc::new(SharedTags {
                artist: text(),
                album: text(),
                album_artist: text(),
                genre: text(),
                date: text(),
                composer: text(),
            });
            Some(Entry::Listed(Box::new(listed)))
        });
        prop_oneof![6 => listed, 1 => any::<u8>().prop_map(samples::held), 1 => Just(None)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_packed_is_found_again(entries in prop::collection::vec(entry(), 0..40)) {
            let page = Page::new(&entries);
            prop_assert_eq!(page.len(), entries.len());
            for (n, entry) in entries.iter().enumerate() {
                let found = page.get(n).map(EntryRef::to_owned);
                prop_assert_eq!(&found, entry);
                prop_assert_eq!(page.track(n), entry.as_ref().and_then(Entry::track));
                let listed = entry.as_ref().and_then(Entry::listed);
                prop_assert_eq!(page.path(n), listed.map(|it| (&*it.dir, &*it.name)));
            }
            for beyond in [0, 1, PAGE_ENTRIES] {
                prop_assert_eq!(page.get(entries.len() + beyond), None);
            }
            prop_assert_eq!(page.encode(), encode(&entries));
        }
    }

    #[test]
    fn a_text_is_kept_once() {
        let album = |count: usize| {
            let song = |n| samples::song("A directory with a long name", &format!("{n}"), None);
            Page::new(&(10..10 + count).map(song).collect::<Vec<_>>())
        };
        assert_eq!(album(2).texts, album(50).texts);
    }
}
