//! A page of a catalogue: as it travels, and as it is kept.
//!
//! A peer keeps the catalogue of everybody, so an entry must be small in
//! memory: a swarm of 100,000 tracks is to fit on the smallest board. A page
//! is therefore not a tree of objects but the very bytes that its owner has
//! hashed, and where in them each text and each record begins. A reader of an
//! entry gets an [`EntryRef`], whose texts lie in the page. Nothing is ever
//! changed in place, and what a reader does not understand stays where it is:
//! so it can be passed on.
//!
//! # Format
//! CBOR (RFC 8949). A map with, in this order, 0: an array of the texts that entries have in
//! common, and 1: an array of entries, each a byte string with a
//! [record](super::fields), or null where an entry is gone. What follows in the map is of a
//! later version.

use std::sync::Arc;

use minicbor::{data::Type, decode, Decoder};

use super::{
    fields::{pass, FieldSet, Fields, MODIFIED},
    head::{CatalogueError, MAX_PAGE_BYTES, PAGE_ENTRIES},
    page_writer::PageWriter,
    record,
    refs::EntryRef,
    texts::SharedTexts,
    Entry,
};
use crate::id::TrackId;

/// Up to [`PAGE_ENTRIES`] consecutive entry numbers; `None` where an entry is
/// gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// As it travels.
    bytes: Arc<[u8]>,
    /// Where each text that entries have in common begins: directories, artists, albums, ….
    texts: Box<[u32]>,
    /// Where each entry begins.
    entries: Box<[u32]>,
}

impl Page {
    /// Packs at most [`PAGE_ENTRIES`] entries, each of which has been read by
    /// [`decode_listed`](super::decode_listed), or could be.
    pub fn new(entries: &[Option<Entry>]) -> Self {
        let mut writer = PageWriter::default();
        entries.iter().for_each(|entry| writer.add(entry.as_ref()));
        let bytes = writer.finish();
        Self::index(&bytes).expect("a page that was written here can be read")
    }

    /// Reads a foreign page.
    ///
    /// # Errors
    /// Refuses what is too long or malformed, and an entry that breaks the rules.
    pub fn decode(bytes: &[u8]) -> Result<Self, CatalogueError> {
        if bytes.len() > MAX_PAGE_BYTES {
            return Err(CatalogueError::BadPage("too long"));
        }
        let page = Self::index(bytes).map_err(CatalogueError::BadPage)?;
        for n in 0..page.len() {
            let checked = page
                .record(n)
                .map(|record| record::check(page.texts(), record));
            if let Some(Err(error)) = checked {
                return Err(CatalogueError::BadPage(error.text()));
            }
        }
        Ok(page)
    }

    /// Finds where everything begins, or says what is wrong.
    fn index(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut from = Decoder::new(bytes);
        let fields = from.map().map_err(malformed)?.ok_or(MALFORMED)?;
        let texts = starts(&mut from, 0, MAX_TEXTS, |from| from.str().map(drop))?;
        let entries = starts(&mut from, 1, PAGE_ENTRIES, |from| {
            match from.datatype()? {
                Type::Null => from.null(),
                _ => from.bytes().map(drop),
            }
        })?;
        let mut before = 1;
        for _ in 2..fields {
            let number = from.u64().map_err(malformed)?;
            if number <= before {
                return Err(MALFORMED);
            }
            before = number;
            from.skip().map_err(malformed)?;
        }
        match from.position() == bytes.len() {
            true => Ok(Self {
                bytes: bytes.into(),
                texts,
                entries,
            }),
            false => Err(MALFORMED),
        }
    }

    /// Whether a page that has one entry only has no more texts than that entry's share of a
    /// full page.
    pub(super) fn is_of_fair_entry(&self) -> bool {
        self.texts.len() <= MAX_ENTRY_TEXTS
    }

    /// How many numbers it has, those of holes included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The `n`th entry, if it is there and of a kind that is known.
    pub fn get(&self, n: usize) -> Option<EntryRef<'_>> {
        self.get_some(n, FieldSet::ALL)
    }

    /// [`Self::get`], with the `wanted` fields only.
    pub(super) fn get_some(&self, n: usize, wanted: FieldSet) -> Option<EntryRef<'_>> {
        let record = self.record(n)?;
        record::read(self.texts(), record, wanted).ok().flatten()
    }

    /// The content of the `n`th entry, as far as it is known.
    pub(super) fn track(&self, n: usize) -> Option<TrackId> {
        let fields = Fields::of(self.record(n)?).ok()?;
        fields.finders(self.texts())?.0
    }

    /// Directory and name of the `n`th entry, if that is a listed one.
    pub(super) fn path(&self, n: usize) -> Option<(&str, &str)> {
        let fields = Fields::of(self.record(n)?).ok()?;
        fields.finders(self.texts())?.1
    }

    /// The directories of the listed entries.
    pub(super) fn dirs(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|n| Some(self.path(n)?.0))
    }

    /// When the `n`th entry was last modified, if that is a listed one.
    pub(super) fn modified(&self, n: usize) -> Option<i64> {
        self.path(n)?;
        let mut fields = Fields::of(self.record(n)?).ok()?;
        while let Some(key) = fields.next_key().ok()? {
            match key.number {
                MODIFIED => return fields.value().i64().ok(),
                _ => pass(fields.value()).ok()?,
            }
        }
        Some(0)
    }

    /// Whether an entry may have this directory, or this text for a tag that tracks have in
    /// common.
    pub fn may_have(&self, text: &str) -> bool {
        let texts = self.texts();
        (0..texts.len()).any(|number| texts.get(number) == Some(text))
    }

    /// All numbers of the page, with what is there.
    #[cfg(any(test, feature = "door"))]
    pub fn entries(&self) -> impl Iterator<Item = Option<EntryRef<'_>>> {
        (0..self.len()).map(|n| self.get(n))
    }

    /// The page on the wire.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// What it takes in memory, in bytes, without what the allocator adds.
    pub fn footprint(&self) -> usize {
        size_of_val(self)
            + size_of_val(&*self.bytes)
            + size_of_val(&*self.texts)
            + size_of_val(&*self.entries)
    }

    fn record(&self, n: usize) -> Option<&[u8]> {
        let mut from = Decoder::new(&self.bytes);
        from.set_position(*self.entries.get(n)? as usize);
        from.bytes().ok()
    }

    fn texts(&self) -> SharedTexts<'_> {
        SharedTexts::new(&self.bytes, &self.texts)
    }
}

/// Where each of the values in the array begins that is field `number` of a page.
fn starts(
    from: &mut Decoder<'_>,
    number: u64,
    most: usize,
    skip: fn(&mut Decoder<'_>) -> Result<(), decode::Error>,
) -> Result<Box<[u32]>, &'static str> {
    if from.u64().map_err(malformed)? != number {
        return Err(MALFORMED);
    }
    let count = from.array().map_err(malformed)?.ok_or(MALFORMED)?;
    // Looked at first: an empty text is one byte there and four here.
    if count > most as u64 {
        return Err("too many entries, or texts of them");
    }
    let mut starts = Vec::new();
    for _ in 0..count {
        // A page has a megabyte at most.
        starts.push(from.position() as u32);
        skip(from).map_err(malformed)?;
    }
    Ok(starts.into())
}

fn malformed(_: decode::Error) -> &'static str {
    MALFORMED
}

const MALFORMED: &str = "malformed";

/// Texts of an entry that others may have, too: its directory, container, codec, most tags. Two
/// dozen are as many as anybody has.
const MAX_ENTRY_TEXTS: usize = 24;

/// Texts of a page.
const MAX_TEXTS: usize = PAGE_ENTRIES * MAX_ENTRY_TEXTS;

#[cfg(test)]
mod tests;
