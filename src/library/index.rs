//! What is known of every file, on disk: one redb file in the state directory.
//!
//! # What must hold
//! - A file keeps its number as long as something lies at its path, whatever
//!   that contains. A number whose file is gone is never given out again
//!   within an epoch: somebody may still have it in a queue, and must get
//!   "gone" and not other music.
//! - What a head was signed over is on disk before the head leaves. A power
//!   cut never leads to two heads with equal epoch and seq.
//! - When mostly holes are left, opening numbers everything anew, in a new
//!   epoch. When the index is damaged it is put aside, and its successor
//!   starts in an epoch above all that are known.
//!
//! Writing is batched, because the disk is an SD card. What was not written
//! before a power cut is found again by the next scan.

mod change;
mod error;
mod reader;
pub mod record;
mod tables;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Instant,
};

use redb::{
    backends::InMemoryBackend, Database, ReadableTable, ReadableTableMetadata, StorageBackend,
    WriteTransaction,
};

use self::{
    change::{IndexChange, PendingChanges, Writing},
    error::{failed, is_in_use, is_unwritable},
    reader::builder,
    record::{decode_slot, Note, NumberedItem},
    tables::{Tables, ENTRIES, FILES, HELD, META, OLD_ENTRIES, UNPLAYABLE},
};
pub use self::{error::IndexError, reader::IndexReader};
use super::stamp::FileStamp;
use crate::{
    aside::{put_aside, read_whole, replace},
    catalog::{MAX_PAGES, PAGE_ENTRIES},
    fence::open_regular,
    id::{EntryNo, TrackId},
};

/// Reads a value of each table.
#[cfg(feature = "door")]
pub fn read_values(bytes: &[u8]) {
    let _ = (decode_slot(bytes), record::decode_note(bytes));
}

/// The index, and the right to write to it.
#[derive(Debug)]
pub struct Index {
    reader: IndexReader,
    dir: PathBuf,
    epoch: u64,
    seq: u64,
    /// The first number that was never given out.
    next: u32,
    pending: PendingChanges,
    notice: Option<String>,
}

impl Index {
    /// Opens the index in the directory `dir`, or makes one.
    ///
    /// # Errors
    /// When the disk fails or another process has it open; not when it is
    /// damaged.
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        let path = dir.join(FILE_NAME);
        match Self::open_file(&path, dir) {
            Err(error) if is_in_use(&error.source) => Err(error),
            Err(error) if is_unwritable(&error.source) && open_regular(&path).is_ok() => {
                Self::open_copy(&path, dir, &error)
            }
            Err(error) => Self::open_anew(&path, dir, &error),
            result => result,
        }
    }

    /// Puts aside what cannot be used, for the reason `why`, and begins anew.
    fn open_anew(path: &Path, dir: &Path, why: &IndexError) -> Result<Self, IndexError> {
        let source = &why.source;
        let Ok(aside) = put_aside(path) else {
            return Self::open_copy(path, dir, why);
        };
        let notice = format!(
            "{} was damaged ({source}) and is put aside as {}; all music is read again",
            path.display(),
            aside.display()
        );
        log::warn!("{notice}");
        let mut index = Self::open_file(path, dir)?;
        index.notice = Some(notice);
        Ok(index)
    }

    /// Works on a copy in memory, in an epoch of its own: nothing of it will be
    /// known at the next start.
    fn open_copy(path: &Path, dir: &Path, why: &IndexError) -> Result<Self, IndexError> {
        let notice = format!("{why}; what is learnt of the music is forgotten at the next start");
        log::warn!("{notice}");
        let backend = InMemoryBackend::new();
        // What is damaged, and can neither be written nor put aside, is not looked at.
        let bytes = fs::read(path).ok().filter(|_| is_unwritable(&why.source));
        if let Some(bytes) = bytes {
            let copied = backend.set_len(bytes.len() as u64);
            let copied = copied.and_then(|()| backend.write(0, &bytes));
            copied.map_err(|error| failed(path, error))?;
        }
        let db = builder().create_with_backend(backend);
        let db = db.map_err(|error| failed(path, error))?;
        let last_epoch = read_epoch(dir);
        let mut this = Self::of(db, path, dir, last_epoch);
        this.notice = Some(notice);
        if let Some(meta) = this.prepare().map_err(|error| failed(path, error))? {
            this.epoch = last_epoch.max(meta.epoch) + 1;
            this.next = meta.next;
        }
        this.flush()?;
        Ok(this)
    }

    fn open_file(path: &Path, dir: &Path) -> Result<Self, IndexError> {
        let fail = |error| failed(path, error);
        let last_epoch = read_epoch(dir);
        let db = builder().create(path).map_err(|e| fail(e.into()))?;
        let mut this = Self::of(db, path, dir, last_epoch);
        if let Some(meta) = this.prepare().map_err(fail)? {
            (this.epoch, this.seq, this.next) = (meta.epoch, meta.seq, meta.next);
            if this.epoch < last_epoch {
                (this.epoch, this.seq) = (last_epoch + 1, 0);
            }
            this.close_holes().map_err(fail)?;
        }
        write_epoch(dir, this.epoch).map_err(|e| fail(e.into()))?;
        this.flush()?;
        Ok(this)
    }

    fn of(db: Database, path: &Path, dir: &Path, last_epoch: u64) -> Self {
        Self {
            reader: IndexReader::new(db, path.to_owned()),
            dir: dir.to_owned(),
            epoch: last_epoch + 1,
            seq: 0,
            next: 0,
            pending: PendingChanges::default(),
            notice: None,
        }
    }

    /// What a person should know of how it was opened.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// It cannot be written now: when to try again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.pending.retry_at()
    }

    /// Whether it could not be written, and can be since this was asked last.
    pub fn take_mended(&mut self) -> bool {
        self.pending.take_mended()
    }

    /// Makes the tables where there are none; otherwise gives what they say.
    fn prepare(&self) -> Result<Option<Meta>, redb::Error> {
        let txn = self.reader.begin_write()?;
        let meta = {
            let mut meta = txn.open_table(META)?;
            txn.open_table(ENTRIES)?;
            txn.open_table(FILES)?;
            txn.open_table(HELD)?;
            txn.open_table(UNPLAYABLE)?;
            let get = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|v| v.value()));
            let found = get("format")?;
            if found.is_some_and(|format| format != FORMAT) {
                let text = "it was written by another version".to_owned();
                return Err(redb::Error::Corrupted(text));
            }
            let stored = match (get("epoch")?, get("seq")?, get("next")?) {
                (Some(epoch), Some(seq), Some(next)) => Some(Meta {
                    epoch,
                    seq,
                    next: u32::try_from(next).unwrap_or(u32::MAX),
                }),
                _ => None,
            };
            meta.insert("format", FORMAT)?;
            stored
        };
        txn.commit()?;
        Ok(meta)
    }

    /// Numbers everything anew if more than half of the numbers are holes.
    fn close_holes(&mut self) -> Result<(), redb::Error> {
        let txn = self.reader.begin_write()?;
        {
            let entries = txn.open_table(ENTRIES)?;
            if u64::from(self.next) < MIN_NUMBERS.max(entries.len()? * 2) {
                return Ok(());
            }
        }
        txn.rename_table(ENTRIES, OLD_ENTRIES)?;
        {
            let old = txn.open_table(OLD_ENTRIES)?;
            let mut tables = Tables::open(&txn)?;
            self.next = 0;
            for item in old.iter()? {
                if let Some(slot) = decode_slot(item?.1.value()) {
                    tables.put(self.next, &slot)?;
                    self.next += 1;
                }
            }
        }
        txn.delete_table(OLD_ENTRIES)?;
        (self.epoch, self.seq) = (self.epoch + 1, 0);
        self.write_meta(&txn)?;
        Ok(txn.commit()?)
    }

    pub fn reader(&self) -> &IndexReader {
        &self.reader
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Numbers given out so far.
    pub fn numbers(&self) -> u32 {
        self.next
    }

    /// Puts a file in: at `no`, or at a new number.
    ///
    /// Returns its number, or `None` when all are given out; starting anew
    /// closes the holes.
    pub fn put(&mut self, no: Option<EntryNo>, slot: NumberedItem) -> Option<EntryNo> {
        let no = match no {
            Some(no) => no,
            None if self.next as usize == MAX_PAGES * PAGE_ENTRIES => return None,
            None => {
                self.next += 1;
                EntryNo(self.next - 1)
            }
        };
        self.push(IndexChange::Put(no, slot));
        Some(no)
    }

    /// Notes a file's hash, unless it is another file by now.
    pub fn set_track(&mut self, no: EntryNo, stamp: FileStamp, track: TrackId) {
        self.push(IndexChange::Hashed(no, stamp, track));
    }

    /// Takes a file for absent.
    pub fn hide(&mut self, no: EntryNo) {
        self.push(IndexChange::Hide(no));
    }

    /// Lists a file, that did not change, as `name` in `dir`.
    pub fn show(&mut self, no: EntryNo, dir: String, name: String) {
        self.push(IndexChange::Show { no, dir, name });
    }

    /// Leaves a hole at `no`.
    pub fn remove(&mut self, no: EntryNo) {
        self.push(IndexChange::Remove(no));
    }

    /// Notes when a file that did not change was last touched.
    pub fn set_stamp(&mut self, no: EntryNo, stamp: FileStamp) {
        self.push(IndexChange::Stamped(no, stamp));
    }

    /// Notes why a file is not listed as it could be, so that it is not tried again.
    pub fn set_note(&mut self, path: &Path, note: Note) {
        self.push(IndexChange::Unplayable(
            path.as_os_str().as_bytes().to_vec(),
            note,
        ));
    }

    /// Forgets what was noted of a file.
    pub fn forget_note(&mut self, path: Vec<u8>) {
        self.push(IndexChange::Forget(path));
    }

    /// Steps to the next seq; the next [`Self::flush`] writes it.
    pub fn advance(&mut self) {
        self.seq += 1;
    }

    /// Moves into the epoch after `epoch`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn start_epoch_after(&mut self, epoch: u64) -> Result<(), IndexError> {
        (self.epoch, self.seq) = (epoch.saturating_add(1), 0);
        write_epoch(&self.dir, self.epoch).map_err(|e| failed(&self.dir, e))?;
        self.flush()
    }

    /// Whether the pending changes should be written now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.pending.is_due(now)
    }

    /// Writes all that is pending, in one transaction. What cannot be written
    /// now waits; when that is too much it is dropped, and the scan after
    /// [`Self::take_mended`] finds it again.
    ///
    /// # Errors
    /// When the disk fails or is full; [`IndexError::is_old`] unless that is new.
    pub fn flush(&mut self) -> Result<(), IndexError> {
        let now = Instant::now();
        let written = match self.pending.begin(now) {
            Writing::NotYet => Err(redb::Error::PreviousIo),
            Writing::Reopened => self
                .reader
                .reopen()
                .and_then(|()| self.write(self.pending.all())),
            Writing::AsUsual => self.write(self.pending.all()),
        };
        match written {
            Ok(()) => {
                self.pending.handle_written();
                Ok(())
            }
            Err(error) => {
                let news = match self.pending.handle_failed(now) {
                    true => error,
                    false => redb::Error::PreviousIo,
                };
                Err(failed(self.reader.path(), news))
            }
        }
    }

    fn write(&self, changes: &[IndexChange]) -> Result<(), redb::Error> {
        let txn = self.reader.begin_write()?;
        {
            let mut tables = Tables::open(&txn)?;
            for change in changes {
                tables.apply(change)?;
            }
        }
        self.write_meta(&txn)?;
        Ok(txn.commit()?)
    }

    fn write_meta(&self, txn: &WriteTransaction) -> Result<(), redb::Error> {
        let mut meta = txn.open_table(META)?;
        meta.insert("epoch", self.epoch)?;
        meta.insert("seq", self.seq)?;
        meta.insert("next", u64::from(self.next))?;
        Ok(())
    }

    fn push(&mut self, change: IndexChange) {
        self.pending.push(change, Instant::now());
    }
}

struct Meta {
    epoch: u64,
    seq: u64,
    next: u32,
}

/// The epoch is noted beside the index as well, for when that is damaged.
fn read_epoch(dir: &Path) -> u64 {
    let bytes = read_whole(&dir.join(EPOCH_NAME), MAX_EPOCH_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.trim().parse().unwrap_or(0)
}

fn write_epoch(dir: &Path, epoch: u64) -> io::Result<()> {
    if read_epoch(dir) == epoch {
        return Ok(());
    }
    replace(&dir.join(EPOCH_NAME), format!("{epoch}\n").as_bytes())
}

/// Of the records; another one is not read.
const FORMAT: u64 = 2;

const FILE_NAME: &str = "library.redb";
#[cfg(test)]
const ASIDE_NAME: &str = "library.redb.damaged";
const EPOCH_NAME: &str = "library.epoch";
/// A number and the end of its line.
const MAX_EPOCH_BYTES: u64 = 64;

/// Below this many numbers holes are not worth a new epoch.
const MIN_NUMBERS: u64 = 4096;
