//! Reading the index, and opening its file anew.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};

use super::{
    error::{failed, IndexError},
    record::{decode_note, decode_slot, KnownPath, Note, NumberedItem, Record},
    tables::{ENTRIES, FILES, HELD, UNPLAYABLE},
};
use crate::{
    catalog::{Entry, PAGE_ENTRIES},
    id::{EntryNo, TrackId},
};

/// Looks things up, at any time and from any thread; sees what was written.
#[derive(Clone, Debug)]
pub struct IndexReader(Arc<ReaderShared>);

#[derive(Debug)]
struct ReaderShared {
    /// `None` between closing it after an error and being able to open it.
    db: Mutex<Option<Database>>,
    path: PathBuf,
}

impl IndexReader {
    /// Of a database whose file is at `path`.
    pub(super) fn new(db: Database, path: PathBuf) -> Self {
        let db = Mutex::new(Some(db));
        Self(Arc::new(ReaderShared { db, path }))
    }

    /// The index file.
    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    /// What is known about the file at `path`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn lookup(&self, path: &Path) -> Result<Option<KnownPath>, IndexError> {
        self.read(|txn| {
            let path = path.as_os_str().as_bytes();
            if let Some(no) = txn.open_table(FILES)?.get(path)? {
                let no = no.value();
                let slot = txn.open_table(ENTRIES)?.get(no)?;
                if let Some(NumberedItem::File(record)) = slot.and_then(|v| decode_slot(v.value()))
                {
                    return Ok(Some(KnownPath::Listed(EntryNo(no), record)));
                }
            }
            let stamp = txn.open_table(UNPLAYABLE)?.get(path)?;
            let note = stamp.and_then(|v| decode_note(v.value()));
            Ok(note.map(KnownPath::Unplayable))
        })
    }

    /// The file with number `no`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn file(&self, no: EntryNo) -> Result<Option<Box<Record>>, IndexError> {
        self.read(|txn| {
            let slot = txn.open_table(ENTRIES)?.get(no.0)?;
            Ok(slot.and_then(|v| match decode_slot(v.value())? {
                NumberedItem::File(record) => Some(record),
                NumberedItem::Held { .. } => None,
            }))
        })
    }

    /// The entries of page `page` as far as there are any, holes as `None`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn page(&self, page: usize) -> Result<Vec<Option<Entry>>, IndexError> {
        let first = (page * PAGE_ENTRIES) as u32;
        let mut entries = Vec::new();
        self.each(first..first + PAGE_ENTRIES as u32, |no, slot| {
            entries.resize((no.0 - first) as usize, None);
            entries.push(slot.entry());
            true
        })?;
        Ok(entries)
    }

    /// Calls `f` with what has a number in `range`, in order, until it
    /// returns false.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn each(
        &self,
        range: std::ops::Range<u32>,
        mut f: impl FnMut(EntryNo, NumberedItem) -> bool,
    ) -> Result<(), IndexError> {
        self.read(|txn| {
            for item in txn.open_table(ENTRIES)?.range(range)? {
                let (no, slot) = item?;
                if let Some(slot) = decode_slot(slot.value()) {
                    if !f(EntryNo(no.value()), slot) {
                        break;
                    }
                }
            }
            Ok(())
        })
    }

    /// What is noted of files that are not listed as they could be, by path.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn notes(&self) -> Result<BTreeMap<Vec<u8>, Note>, IndexError> {
        self.read(|txn| {
            let mut notes = BTreeMap::new();
            for item in txn.open_table(UNPLAYABLE)?.iter()? {
                let (path, note) = item?;
                // One that makes no sense is forgotten by the next scan.
                let note = decode_note(note.value()).unwrap_or_default();
                notes.insert(path.value().to_vec(), note);
            }
            Ok(notes)
        })
    }

    /// The numbers of all held tracks.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn held(&self) -> Result<Vec<(TrackId, EntryNo)>, IndexError> {
        self.read(|txn| {
            let table = txn.open_table(HELD)?;
            let held = table.iter()?.map(|item| {
                let (track, no) = item?;
                Ok((TrackId(track.value()), EntryNo(no.value())))
            });
            held.collect()
        })
    }

    fn read<T>(
        &self,
        f: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, IndexError> {
        let result = match &*self.db() {
            Some(db) => db.begin_read().map_err(redb::Error::from),
            None => Err(redb::Error::PreviousIo),
        };
        result
            .and_then(|txn| f(&txn))
            .map_err(|error| failed(&self.0.path, error))
    }

    pub(super) fn begin_write(&self) -> Result<WriteTransaction, redb::Error> {
        match &*self.db() {
            Some(db) => Ok(db.begin_write()?),
            None => Err(redb::Error::PreviousIo),
        }
    }

    /// After an error redb does nothing more with a file that is open.
    pub(super) fn reopen(&self) -> Result<(), redb::Error> {
        let mut db = self.db();
        // Its lock on the file goes first.
        drop(db.take());
        *db = Some(builder().open(&self.0.path)?);
        Ok(())
    }

    pub(super) fn db(&self) -> MutexGuard<'_, Option<Database>> {
        self.0.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true);
    builder
}

/// redb's own default is 1 GiB; the upper levels of the trees of 100,000
/// files fit into this.
const CACHE_BYTES: usize = 4 * 1024 * 1024;
