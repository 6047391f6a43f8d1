//! The index and the catalogue that is made of it, in step with each other.

mod unpublished;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use self::unpublished::Unpublished;
use super::{
    index::{
        record::{NumberedItem, Record},
        Index, IndexError, IndexReader,
    },
    stamp::FileStamp,
};
use crate::{
    catalog::{encode_listed, Catalogue, Head, Page, PAGE_ENTRIES},
    id::{EntryNo, PeerId, TrackId},
    util::tree,
};

/// Signs a head with the owner's key.
pub type Sign = Box<dyn Fn(&[u8]) -> [u8; 64] + Send + Sync>;

/// One owner's book of all that it has.
pub(super) struct CatalogueWriter {
    index: Index,
    sign: Sign,
    pages: Vec<Arc<Page>>,
    catalogue: Arc<Catalogue>,
    unpublished: Unpublished,
}

impl CatalogueWriter {
    /// Opens the book at what the index last knew. It grows to so many bytes.
    pub fn open(
        index: Index,
        me: PeerId,
        sign: Sign,
        room: usize,
        now: Instant,
    ) -> Result<Self, IndexError> {
        let (epoch, seq) = (index.epoch(), index.seq());
        let mut this = Self {
            catalogue: Arc::new(Catalogue::publish(me, epoch, seq, Vec::new(), &sign)),
            unpublished: Unpublished::new(index.numbers(), room, now),
            pages: Vec::new(),
            index,
            sign,
        };
        this.publish(now)?;
        Ok(this)
    }

    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    pub fn reader(&self) -> &IndexReader {
        self.index.reader()
    }

    pub fn index(&mut self) -> &mut Index {
        &mut self.index
    }

    /// Puts a file in: at `no`, or at a new number.
    ///
    /// # Errors
    /// Says why there is no place for it.
    pub fn put(&mut self, no: Option<EntryNo>, record: Record) -> Result<EntryNo, String> {
        self.unpublished
            .take_room(encode_listed(&record.listed).len())?;
        let no = self.index.put(no, NumberedItem::File(Box::new(record)));
        let no = no.ok_or("there are no entry numbers left; a restart makes new ones")?;
        self.unpublished.touch(no, true);
        Ok(no)
    }

    /// Holds these tracks, of these sizes in bytes, and no others. Each keeps
    /// its number as long as it is held.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn set_held(&mut self, held: &[(TrackId, u64)]) -> Result<(), IndexError> {
        // What was put a moment ago must be seen.
        self.index.flush()?;
        let wanted = tree::map(held.iter().copied());
        let before: BTreeMap<TrackId, EntryNo> = tree::map(self.reader().held()?);
        for (_, no) in before
            .iter()
            .filter(|(track, _)| !wanted.contains_key(track))
        {
            self.remove(*no);
        }
        for (&track, &size) in wanted
            .iter()
            .filter(|(track, _)| !before.contains_key(track))
        {
            if let Err(why) = self.unpublished.take_room(size_of::<NumberedItem>()) {
                log::warn!("not all of the cache is listed: {why}");
                break;
            }
            let Some(no) = self.index.put(None, NumberedItem::Held { track, size }) else {
                log::warn!("there are no entry numbers left; a restart makes new ones");
                break;
            };
            self.unpublished.touch(no, true);
        }
        Ok(())
    }

    /// Takes a file for absent: it keeps its number and is not listed.
    pub fn hide(&mut self, no: EntryNo) {
        self.index.hide(no);
        self.unpublished.touch(no, true);
    }

    /// Lists a file that did not change, as `name` in `dir`.
    pub fn show(&mut self, no: EntryNo, dir: String, name: String) {
        self.index.show(no, dir, name);
        self.unpublished.touch(no, true);
    }

    pub fn remove(&mut self, no: EntryNo) {
        self.index.remove(no);
        self.unpublished.touch(no, true);
    }

    pub fn set_track(&mut self, no: EntryNo, stamp: FileStamp, track: TrackId) {
        self.index.set_track(no, stamp, track);
        self.unpublished.touch(no, false);
    }

    /// When the next catalogue should be made, if anything changed.
    pub fn publish_at(&self, idle: bool) -> Option<Instant> {
        self.unpublished.due(idle)
    }

    /// Writes the changes, or makes a new catalogue of them, if it is time; an
    /// `idle` library has no further changes to wait for.
    ///
    /// # Errors
    /// When the disk fails; the old catalogue stays.
    pub fn write_if_due(
        &mut self,
        idle: bool,
        now: Instant,
    ) -> Result<Option<Arc<Catalogue>>, IndexError> {
        match self.publish_at(idle) {
            Some(due) if now >= due => self.publish(now).map(Some),
            _ if self.index.is_due(now) => self.index.flush().map(|()| None),
            _ => Ok(None),
        }
    }

    /// Makes a new catalogue of the changes, if there are any: a scan is over.
    ///
    /// # Errors
    /// When the disk fails; the old catalogue stays.
    pub fn write_now(&mut self, now: Instant) -> Result<Option<Arc<Catalogue>>, IndexError> {
        match self.unpublished.is_empty() {
            true => Ok(None),
            false => self.publish(now).map(Some),
        }
    }

    /// Makes a catalogue that is newer than `seen`, a head of this owner that
    /// others have although this book does not know it: the index was lost,
    /// or put back from a backup.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn outdo(
        &mut self,
        seen: &Head,
        now: Instant,
    ) -> Result<Option<Arc<Catalogue>>, IndexError> {
        let mine = &self.catalogue.head().head;
        if *seen == *mine || mine.is_newer_than(seen) {
            return Ok(None);
        }
        self.index.start_epoch_after(seen.epoch)?;
        self.publish(now).map(Some)
    }

    fn publish(&mut self, now: Instant) -> Result<Arc<Catalogue>, IndexError> {
        self.unpublished.begin(now);
        self.index.advance();
        self.index.flush()?;
        let count = (self.index.numbers() as usize).div_ceil(PAGE_ENTRIES);
        self.pages.resize_with(count, || Arc::new(Page::new(&[])));
        while let Some(n) = self.unpublished.take_page() {
            let mut entries = match self.reader().page(n) {
                Ok(entries) => entries,
                Err(error) => {
                    self.unpublished.put_back(n);
                    return Err(error);
                }
            };
            // The page is as long as numbers were given out, hole or not.
            let given_out = (self.index.numbers() as usize - n * PAGE_ENTRIES).min(PAGE_ENTRIES);
            entries.resize(given_out, None);
            self.pages[n] = Arc::new(Page::new(&entries));
        }
        let bytes = self.pages.iter().map(|page| page.footprint()).sum();
        self.unpublished.handle_published(bytes);
        let (epoch, seq) = (self.index.epoch(), self.index.seq());
        let catalogue = self
            .catalogue
            .succeed(epoch, seq, self.pages.clone(), &self.sign);
        self.catalogue = Arc::new(catalogue);
        Ok(self.catalogue.clone())
    }
}
