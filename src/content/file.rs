//! The bytes of one track as they lie on a disk: a [`Blob`].
//!
//! A blob is a library file (whole, its owner's), a held track (whole, in the cache) or
//! a partial one, which goes on in memory when the disk can take no more of it. The
//! decoder reads it blocking, asleep in [`Blob::wait`] until the bytes are there; a holder that
//! serves it takes a proven slice.
//!
//! What must hold: only bytes that a [`Verified`] brought are ever given out of the
//! cache; those that it brought in an earlier life are proven again first, and so is all
//! once somebody else has touched the file. A library file is given to its own player as
//! long as size, time and inode are those of when it was hashed; a slice for others is
//! checked against the hash.

mod claims;
mod findings;
mod hashes;
mod memory_tail;
mod pairs;
mod slice;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use async_channel::{Receiver, Sender};

use self::claims::ClaimMark;
pub(super) use self::findings::{BlobFinding, BlobFindings};
pub(super) use self::hashes::Hashes;
use self::memory_tail::MemoryTail;
pub(super) use self::memory_tail::WriteStep;
pub use self::memory_tail::{Uncached, Written};
use self::pairs::PairRun;
use self::slice::write_slice;
pub use self::slice::SliceError;
use super::blob::{Verified, VerifiedItem};
use super::disk::{DiskFile, DiskStamp};
use super::error::StoreError;
use super::layout::CacheLayout;
use super::ranges::GroupSet;
use crate::id::{Group, TrackId};

/// A track's bytes, as far as they are here. All calls but the plain getters block on the disk.
pub struct Blob {
    track: TrackId,
    size: u64,
    data: Box<dyn DiskFile>,
    origin: BlobOrigin,
    place: BlobPlace,
    arrival: Mutex<GroupArrival>,
    arrived: Condvar,
    seen: Mutex<LastSeen>,
    /// The bytes on the disk are no longer this track's.
    stale: AtomicBool,
    /// What the disk says of an arriving track.
    mark: Mutex<ClaimMark>,
    /// Held while the files are synced and renamed, so that it happens once.
    finishing: Mutex<()>,
    /// Held while something that waited for the disk is written, so that parents go first.
    writing: Mutex<()>,
    /// Something waits for the disk, or will not be kept.
    shown: (Sender<()>, Receiver<()>),
}

/// What a blob has around it.
#[derive(Clone)]
pub(super) struct BlobPlace {
    /// Where its files lie, which says what is in them and how fast they are written.
    pub layout: Arc<CacheLayout>,
    /// Where it tells of bytes that are not the track's.
    pub findings: Arc<BlobFindings>,
    /// Weak: the cache owns partial blobs.
    pub cache: Weak<dyn BlobCache>,
}

/// What a blob asks of the cache for itself.
pub(super) trait BlobCache: Send + Sync {
    /// The outboard of an open library file, made by one read if need be; `None` when the
    /// file is not the track any more.
    ///
    /// # Errors
    /// Those of reading the file.
    fn outboard_of(
        &self,
        track: TrackId,
        size: u64,
        data: &dyn DiskFile,
    ) -> io::Result<Option<Hashes>>;
}

enum BlobOrigin {
    /// A listed file. Its outboard is opened, or made by one read, for the first slice.
    Library {
        path: PathBuf,
        outboard: Mutex<Option<Arc<Hashes>>>,
    },
    /// Files in the cache directory.
    Cache { outboard: Arc<Hashes> },
}

/// The file as it was when its bytes were last known to be what they should be.
struct LastSeen {
    stamp: Option<DiskStamp>,
    /// Writes of the blob's own that are under way, which change the stamp.
    writes: usize,
}

struct GroupArrival {
    have: GroupSet,
    failed: Option<Arc<str>>,
    /// Of a track that lay on the disk before: the groups that were seen to be true.
    proven: Option<GroupSet>,
    /// What was said to be here and is not, until somebody is told.
    lost: GroupSet,
    /// What is in memory of it.
    loose: MemoryTail,
}

/// What ended a [`Blob::wait`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The byte is there, or lies at the end of the track or behind it.
    Here,
    /// The waiter's own flag was set.
    Cancelled,
    /// The byte will not come, for this reason.
    Failed(Arc<str>),
}

impl Blob {
    pub(super) fn library(
        track: TrackId,
        path: PathBuf,
        data: Box<dyn DiskFile>,
        stamp: DiskStamp,
        place: BlobPlace,
    ) -> Self {
        let outboard = Mutex::new(None);
        let origin = BlobOrigin::Library { path, outboard };
        let have = GroupSet::all(stamp.size);
        let blob = Self::new(track, stamp.size, data, origin, place, have);
        blob.set_mark(ClaimMark::Lasting);
        blob
    }

    pub(super) fn cached(
        track: TrackId,
        size: u64,
        data: Box<dyn DiskFile>,
        outboard: Box<dyn DiskFile>,
        place: BlobPlace,
        have: GroupSet,
    ) -> Self {
        let outboard = Arc::new(Hashes::File(outboard));
        let origin = BlobOrigin::Cache { outboard };
        Self::new(track, size, data, origin, place, have)
    }

    /// A whole track in the cache, since when nobody knows: disks rot, so each group is
    /// proven again before it is read.
    pub(super) fn held(
        track: TrackId,
        size: u64,
        data: Box<dyn DiskFile>,
        outboard: Box<dyn DiskFile>,
        place: BlobPlace,
    ) -> Self {
        let blob = Self::cached(track, size, data, outboard, place, GroupSet::all(size));
        blob.arrival().proven = Some(GroupSet::new());
        blob.set_mark(ClaimMark::Lasting);
        blob
    }

    fn new(
        track: TrackId,
        size: u64,
        data: Box<dyn DiskFile>,
        origin: BlobOrigin,
        place: BlobPlace,
        have: GroupSet,
    ) -> Self {
        let failed = None;
        Self {
            track,
            size,
            origin,
            place,
            arrival: Mutex::new(GroupArrival {
                have,
                failed,
                proven: None,
                lost: GroupSet::new(),
                loose: MemoryTail::default(),
            }),
            arrived: Condvar::new(),
            seen: Mutex::new(LastSeen {
                stamp: data.stamp().ok(),
                writes: 0,
            }),
            stale: AtomicBool::new(false),
            data,
            mark: Mutex::new(ClaimMark::Dirty),
            finishing: Mutex::new(()),
            writing: Mutex::new(()),
            shown: async_channel::bounded(1),
        }
    }

    pub fn track(&self) -> TrackId {
        self.track
    }

    /// The whole track's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The groups that are here.
    pub fn have(&self) -> GroupSet {
        self.arrival().have.clone()
    }

    /// The groups that others can be served; none of a track that goes on in memory, since
    /// nobody can tell what of its outboard came to the disk.
    pub fn servable(&self) -> GroupSet {
        match self.is_loose() {
            true => GroupSet::new(),
            false => self.kept(),
        }
    }

    /// Whether the disk has all of it.
    pub fn is_complete(&self) -> bool {
        self.is_whole(&self.kept())
    }

    fn is_whole(&self, have: &GroupSet) -> bool {
        have.contains_all(&GroupSet::all(self.size))
    }

    /// Takes verified items in and wakes the readers that wait for them.
    ///
    /// Parents must come before the groups below them, as a slice has them.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] for an item of another track, [`StoreError::Write`] when the
    /// disk is full or broken, [`StoreError::Slow`]: then nothing is lost that was here before.
    pub fn write(&self, items: impl IntoIterator<Item = Verified>) -> Result<(), StoreError> {
        self.begin_write();
        let before = self.kept();
        let (mut fresh, mut pairs) = (GroupSet::new(), PairRun::default());
        let written = items.into_iter().try_for_each(|item| {
            let group = self.write_item(&item, &before, &mut pairs)?;
            fresh.extend(group);
            Ok(())
        });
        // No group is here whose proof is not.
        let proven = self.write_pairs(&mut pairs);
        self.end_write();
        if !fresh.is_empty() && proven.is_ok() {
            let mut arrival = self.arrival();
            arrival.have = arrival.have.union(&fresh);
            arrival.loose.let_go(&fresh);
            if let Some(proven) = &mut arrival.proven {
                *proven = proven.union(&fresh);
            }
            self.arrived.notify_all();
        }
        written.and(proven)
    }

    /// What others did to the file must not be taken for this write, nor the other way round.
    fn begin_write(&self) {
        let _ = self.check_unchanged();
        self.seen().writes += 1;
    }

    fn end_write(&self) {
        let mut seen = self.seen();
        seen.writes -= 1;
        if seen.writes == 0 {
            seen.stamp = self.data.stamp().ok();
        }
    }

    fn write_pairs(&self, pairs: &mut PairRun) -> Result<(), StoreError> {
        let BlobOrigin::Cache { outboard } = &self.origin else {
            return Ok(());
        };
        let track = self.track;
        let failed = |source| StoreError::Write { track, source };
        pairs.write(outboard).map_err(failed)
    }

    fn write_item(
        &self,
        item: &Verified,
        have: &GroupSet,
        pairs: &mut PairRun,
    ) -> Result<Option<Group>, StoreError> {
        self.check_track(item)?;
        let track = self.track;
        let (BlobOrigin::Cache { outboard }, false) = (&self.origin, self.is_whole(have)) else {
            return Ok(None); // What is whole, and may be synced and named so, stays as it is.
        };
        if self.is_loose() {
            return self.take_loosely(item).map(|()| None);
        }
        self.place.layout.keeps_up()?;
        let failed = |source| StoreError::Write { track, source };
        self.mark_dirty()?;
        match item.item() {
            VerifiedItem::Parent { offset, pair } => {
                pairs.add(*offset, pair, outboard).map_err(failed)?;
                Ok(None)
            }
            // What is here stays: if it is only claimed, it is not proven by this.
            VerifiedItem::Group { group, .. } if have.contains(*group) => Ok(None),
            VerifiedItem::Group { group, bytes } => {
                self.data.write_at(group.start(), bytes).map_err(failed)?;
                Ok(Some(*group))
            }
        }
    }

    fn check_track(&self, item: &Verified) -> Result<(), StoreError> {
        let (track, blob) = (item.track(), self.track);
        match (track, item.size()) == (blob, self.size) {
            true => Ok(()),
            false => Err(StoreError::Foreign { track, blob }),
        }
    }

    /// Reads verified bytes from `offset` into `buf`, up to the next missing group.
    ///
    /// `None`: the byte at `offset` is not here yet. `Some(0)`: the end of the track.
    ///
    /// # Errors
    /// Those of the disk, and `InvalidData` when a library file changed.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<Option<usize>> {
        if offset >= self.size || buf.is_empty() {
            return Ok(Some(0));
        }
        self.check_unchanged()?;
        let group = Group::of(offset);
        let arrival = self.arrival();
        let mut end = arrival.have.first_missing(group).start().min(self.size);
        if end <= offset {
            return Ok(None);
        }
        if !arrival.loose.is_empty() {
            if let Some(n) = arrival.loose.read_at(offset, buf) {
                return Ok(Some(n));
            }
            end = end.min(Group(group.0 + 1).start());
        }
        let is_proven = arrival.proven.as_ref().map(|proven| proven.contains(group));
        drop(arrival);
        if let Some(is_proven) = is_proven {
            end = end.min(Group(group.0 + 1).start());
            if !is_proven && !self.verify_stored(group)? {
                return Ok(None);
            }
        }
        let n = usize::try_from(end - offset).map_or(buf.len(), |n| n.min(buf.len()));
        match self.data.read_at(offset, &mut buf[..n])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => Ok(Some(n)),
        }
    }

    /// Writes the slice that proves `groups` to `out`.
    ///
    /// The first slice of a library file may read the whole file, to make its outboard.
    ///
    /// # Errors
    /// [`SliceError`]. Only for `NotHere` nothing was written; in all other cases what was
    /// written is true and may be cut short.
    pub fn slice(&self, groups: &GroupSet, out: &mut dyn Write) -> Result<(), SliceError> {
        self.verify_all_stored(groups);
        let missing = groups.difference(&self.servable());
        if !missing.is_empty() {
            return Err(SliceError::NotHere(missing));
        }
        self.check_unchanged().map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => SliceError::Changed,
            _ => SliceError::Read(error),
        })?;
        let (hashes, of) = (self.hashes()?, (self.track, self.size));
        let written = write_slice(of, &*self.data, &hashes, groups, out);
        if let Err(SliceError::Changed) = written {
            match self.is_arriving() {
                // It was true when it was written, or proven: the disk breaks.
                true => self.recheck(groups),
                false => self.distrust(),
            }
        }
        written
    }

    fn hashes(&self) -> Result<Arc<Hashes>, SliceError> {
        let (outboard, path) = match &self.origin {
            BlobOrigin::Cache { outboard } => return Ok(outboard.clone()),
            BlobOrigin::Library { outboard, path, .. } => (outboard, path),
        };
        let mut slot = outboard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hashes) = &*slot {
            return Ok(hashes.clone());
        }
        let cache = self.place.cache.upgrade().ok_or(SliceError::Changed)?;
        let hashes = cache.outboard_of(self.track, self.size, &*self.data);
        let hashes = Arc::new(hashes.map_err(SliceError::Read)?.ok_or_else(|| {
            self.stale.store(true, Ordering::Relaxed);
            self.place.findings.tell_other_file(self.track, path);
            SliceError::Changed
        })?);
        *slot = Some(hashes.clone());
        Ok(hashes)
    }

    /// Sleeps until the byte at `offset` can be read, `cancel` is set, or it failed.
    ///
    /// The caller that sets `cancel` calls [`Self::wake_all`] after it.
    pub fn wait(&self, offset: u64, cancel: &AtomicBool) -> Wait {
        let mut arrival = self.arrival();
        loop {
            if cancel.load(Ordering::Acquire) {
                return Wait::Cancelled;
            }
            if offset >= self.size || arrival.have.contains(Group::of(offset)) {
                return Wait::Here;
            }
            if let Some(why) = &arrival.failed {
                return Wait::Failed(why.clone());
            }
            arrival = self
                .arrived
                .wait(arrival)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Makes every waiter look at its flag.
    pub fn wake_all(&self) {
        // The lock, so that nobody is between looking and falling asleep.
        let _arrival = self.arrival();
        self.arrived.notify_all();
    }

    /// Tells the waiters that nothing more will come, and why: also those that wait later, though
    /// the end of an answer may still arrive, until the track is opened again.
    pub fn fail(&self, why: impl Into<Arc<str>>) {
        self.arrival().failed = Some(why.into());
        self.arrived.notify_all();
    }

    /// Takes a [`Self::fail`] back: somebody tries again.
    pub(super) fn revive(&self) {
        self.arrival().failed = None;
    }

    /// Whether the bytes on the disk were found not to be the track's.
    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Ordering::Relaxed)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.data.sync()?;
        match &self.origin {
            BlobOrigin::Cache { outboard } => match &**outboard {
                Hashes::File(file) => file.sync(),
                Hashes::Memory(_) => Ok(()),
            },
            BlobOrigin::Library { .. } => Ok(()),
        }
    }

    /// Looks whether somebody else has touched the file: then nothing of it counts as
    /// proven any more, and a library file of another time or size is another track.
    fn check_unchanged(&self) -> io::Result<()> {
        let mut seen = self.seen();
        let now = self.data.stamp()?;
        if seen.writes == 0 && seen.stamp != Some(now) {
            let before = seen.stamp.replace(now);
            drop(seen);
            if let BlobOrigin::Library { path, .. } = &self.origin {
                let may_be_same = before.is_some_and(|before| before.is_only_touched(&now));
                if !may_be_same && !self.stale.swap(true, Ordering::Relaxed) {
                    self.place.findings.tell_other_file(self.track, path);
                }
            }
            self.arrival().proven = Some(GroupSet::new());
        }
        if self.is_stale() {
            let why = "the file changed on its disk";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, LastSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn distrust(&self) {
        self.stale.store(true, Ordering::Relaxed);
        let (findings, track) = (&self.place.findings, self.track);
        match &self.origin {
            BlobOrigin::Library { path, .. } => findings.tell_wrong_slice(track, path),
            BlobOrigin::Cache { .. } => findings.tell_wrong_copy(track),
        }
    }

    /// Lets one at a time make it last.
    pub(super) fn finishing(&self) -> MutexGuard<'_, ()> {
        self.finishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets one at a time write what was shown.
    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrival(&self) -> MutexGuard<'_, GroupArrival> {
        self.arrival.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("track", &self.track)
            .field("size", &self.size)
            .field("have", &self.arrival().have)
            .finish_non_exhaustive()
    }
}
