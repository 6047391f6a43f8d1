//! The store: every track whose bytes are on this machine, in the library or the cache.
//!
//! All of the cache counts against one cap, an arriving track with its full size, one that
//! rests with what is here of it. What was used longest ago goes first; what is pinned,
//! queued, or open, never.
//!
//! All calls block on the disk, but for [`Store::set_queued`] and dropping a [`Pin`]. The lock
//! inside is never held while a track is read, written, hashed or synced; it is while files are
//! made and removed.

mod partial;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use async_channel::Receiver;

use super::blob::Outboard;
use super::disk::{Disk, DiskFile, DiskStamp};
use super::error::StoreError;
use super::file::{
    Blob, BlobCache, BlobFinding, BlobFindings, BlobPlace, Hashes, Uncached, WriteStep,
};
use super::hash::hash_open;
use super::layout::{footprint, CacheLayout};
use super::lru::{LruIndex, StoredKind};
use super::ranges::GroupSet;
use crate::id::TrackId;

/// The tracks of this machine. Dropping it keeps what is held.
pub struct Store {
    layout: Arc<CacheLayout>,
    inner: Mutex<Inner>,
    /// What the index is to be told when it is next looked at.
    wishes: Mutex<Wishes>,
    /// What its blobs have found of their bytes.
    findings: Arc<BlobFindings>,
    /// Library files that turned out to be other tracks.
    doubts: Receiver<PathBuf>,
}

struct Inner {
    lru: LruIndex,
    /// Whether the index shows what lies in the directory.
    stocked: bool,
    /// Files by content; equal ones lie side by side.
    library: BTreeMap<(TrackId, PathBuf), ListedFile>,
    /// Arriving tracks, and those that nobody plays any more until they rest.
    partial: BTreeMap<TrackId, Arc<Blob>>,
    /// Whole and resting tracks that somebody reads or serves.
    open: BTreeMap<TrackId, Weak<Blob>>,
}

/// What is to stay, or need not any more, said by a caller that must not wait for a disk.
#[derive(Default)]
struct Wishes {
    queued: Option<Vec<TrackId>>,
    unpinned: Vec<TrackId>,
}

#[derive(Clone, Copy)]
struct ListedFile {
    size: u64,
    modified: SystemTime,
}

impl Store {
    /// Opens the cache in `dir` (made if need be) with room for `cap_bytes`.
    ///
    /// Removes what is of no use, and what no longer fits the cap.
    /// A directory that cannot be used now is tried again when something is to be kept;
    /// [`Self::check`] tells why it cannot.
    pub fn open(dir: PathBuf, cap_bytes: u64, disk: Arc<dyn Disk>) -> Arc<Self> {
        let (doubted, doubts) = async_channel::bounded(MAX_DOUBTS);
        let store = Arc::new(Self {
            layout: Arc::new(CacheLayout::new(dir, disk)),
            inner: Mutex::new(Inner {
                lru: LruIndex::new(cap_bytes),
                stocked: false,
                library: BTreeMap::new(),
                partial: BTreeMap::new(),
                open: BTreeMap::new(),
            }),
            wishes: Mutex::default(),
            findings: Arc::new(BlobFindings::new(doubted)),
            doubts,
        });
        if let Err(error) = store.take_stock() {
            log::warn!("{error}; nothing is kept until it can be used");
        }
        store
    }

    /// Finds what is in the directory, unless that has been done.
    fn take_stock(&self) -> Result<(), StoreError> {
        let mut inner = self.inner();
        if inner.stocked {
            return Ok(());
        }
        let found = self.layout.take_stock()?;
        for found in found {
            inner
                .lru
                .put(found.track, found.kind, found.size, found.bytes);
        }
        inner.stocked = true;
        self.fit(&mut inner)
    }

    /// Gives the cache room for `cap_bytes` from now on, and removes what no longer
    /// fits. What is in use stays until room is needed for something else.
    ///
    /// # Errors
    /// [`StoreError::Io`] when something cannot be removed.
    pub fn set_cap(&self, cap_bytes: u64) -> Result<(), StoreError> {
        let mut inner = self.inner();
        inner.lru.set_cap(cap_bytes);
        self.fit(&mut inner)
    }

    /// Removes what is more than the cap and may go.
    fn fit(&self, inner: &mut Inner) -> Result<(), StoreError> {
        while let Some((track, kind)) = inner.lru.excess(|t| inner.in_use(t)) {
            self.remove_item(inner, track, kind)?;
        }
        Ok(())
    }

    /// Keeps the tracks that are queued, and no longer those that were. Waits for no disk.
    pub fn set_queued(&self, tracks: Vec<TrackId>) {
        self.wishes().queued = Some(tracks);
    }

    /// Makes a file of the library a source of `track`.
    ///
    /// It counts as long as its size and time of change are these; its path stays here.
    pub fn add_file(&self, track: TrackId, size: u64, path: PathBuf, modified: SystemTime) {
        let listed = ListedFile { size, modified };
        self.inner().library.insert((track, path), listed);
    }

    /// The files of the library that were found to have other bytes than they had.
    pub fn doubts(&self) -> Receiver<PathBuf> {
        self.doubts.clone()
    }

    /// The bytes of `track`, as far as they are here: from the library, else the cache.
    pub fn blob(self: &Arc<Self>, track: TrackId) -> Option<Arc<Blob>> {
        self.find(track, None)
    }

    /// The same; `claimed` is its size, should the cache not know that.
    fn find(self: &Arc<Self>, track: TrackId, claimed: Option<u64>) -> Option<Arc<Blob>> {
        let mut inner = self.inner();
        inner.lru.touch(track);
        if let Some(blob) = inner.at_hand(track) {
            return Some(blob);
        }
        let files = inner.files_of(track);
        let kind = inner.lru.kind(track);
        drop(inner);

        let library = files.iter().find_map(|file| self.open_listed(track, file));
        let blob = library.or_else(|| match kind? {
            StoredKind::Held => self.open_held(track),
            StoredKind::Partial => self.open_resting(track, claimed),
            StoredKind::Outboard => None,
        })?;
        let blob = Arc::new(blob);
        let mut inner = self.inner();
        if let Some(other) = inner.at_hand(track) {
            return Some(other); // Another thread was faster.
        }
        inner.open.retain(|_, blob| blob.strong_count() > 0);
        inner.open.insert(track, Arc::downgrade(&blob));
        Some(blob)
    }

    /// The bytes of `track` if there are any, else an empty blob for them to arrive in.
    ///
    /// `size` is what a catalogue says. Takes an earlier [`Blob::fail`] back.
    ///
    /// # Errors
    /// [`StoreError`]: `WrongSize`, `TooLarge`, `Full`, or `Io` with the file's name.
    pub fn begin(self: &Arc<Self>, track: TrackId, size: u64) -> Result<Arc<Blob>, StoreError> {
        if let Some(blob) = self.find(track, Some(size)) {
            let found = same_size(blob, size);
            if found.is_ok() || !self.drop_unused_partial(track)? {
                let blob = found?;
                blob.revive();
                return self.take_up(blob);
            }
        }
        if size == 0 && track.0 != *bao_tree::blake3::hash(b"").as_bytes() {
            return Err(StoreError::WrongSize {
                track,
                known: 1, // At least: only the empty track has none.
                claimed: 0,
            });
        }
        self.create_partial(track, size)
    }

    /// The same for a player: where the cache has no place for it, or is slow, it
    /// arrives in memory, and is [`Blob::unkept`].
    ///
    /// # Errors
    /// [`StoreError::WrongSize`].
    pub fn receive(self: &Arc<Self>, track: TrackId, size: u64) -> Result<Arc<Blob>, StoreError> {
        if let Err(slow) = self.layout.keeps_up() {
            return match self.find(track, Some(size)) {
                // Nothing of it needs to be written.
                Some(blob) if !blob.is_arriving() => same_size(blob, size),
                _ => Ok(self.without_place(track, size, slow.to_string().into())),
            };
        }
        let begun = self.begin(track, size);
        // What had to be in memory may find a place on the disk this time.
        let begun = match begun {
            Ok(blob) if blob.unkept().is_some() => {
                drop(blob);
                self.let_go(track);
                self.begin(track, size)
            }
            begun => begun,
        };
        match begun {
            Err(
                error @ (StoreError::Io { .. }
                | StoreError::TooLarge { .. }
                | StoreError::Full { .. }),
            ) => Ok(self.without_place(track, size, error.to_string().into())),
            begun => begun,
        }
    }

    /// Looks whether the cache can be written, how it stands with room, and how fast it is.
    ///
    /// # Errors
    /// `Io`, with the file's name, or `Slow`.
    pub fn check(&self) -> Result<(), StoreError> {
        self.take_stock()?;
        self.layout.try_out()
    }

    /// Makes a complete blob last: synced, named, listed by [`Self::held`].
    ///
    /// Nothing to do for one that is whole already. May be called again after an error.
    ///
    /// # Errors
    /// `Incomplete`, or `Io` with the file's name; the blob stays readable.
    pub fn finish(&self, blob: &Arc<Blob>) -> Result<(), StoreError> {
        let track = blob.track();
        let _once = blob.finishing();
        let arriving = self.inner().partial.get(&track).cloned();
        if !arriving.is_some_and(|partial| Arc::ptr_eq(&partial, blob)) {
            return Ok(());
        }
        while self.write_next(blob) {}
        if let Some(Uncached { why, .. }) = blob.unkept() {
            return Err(StoreError::Unkept { track, why });
        }
        // What an earlier life left is proven before it has the name of what is whole.
        blob.verify_all_stored(&GroupSet::all(blob.size()));
        if !blob.is_complete() {
            return Err(StoreError::Incomplete { track });
        }
        self.layout.make_last(track, || blob.sync())?;
        blob.made_last();
        let mut inner = self.inner();
        inner.partial.remove(&track);
        inner.open.insert(track, Arc::downgrade(blob));
        let bytes = footprint(blob.size());
        inner.lru.put(track, StoredKind::Held, blob.size(), bytes);
        Ok(())
    }

    /// Has `blob` write what has waited longest for the disk; whether there was something.
    pub fn write_next(&self, blob: &Blob) -> bool {
        loop {
            match blob.write_next() {
                WriteStep::NoRoom(error) => self.make_way(blob, &error),
                step => return matches!(step, WriteStep::Taken),
            }
        }
    }

    /// Has `blob` write all that waits for the disk, unless another thread does.
    pub fn write_shown(&self, blob: &Blob) {
        // One that ends just now may have missed the last: so this one looks again, too.
        loop {
            match blob.try_write_next() {
                WriteStep::NoRoom(error) => self.make_way(blob, &error),
                WriteStep::Taken => {}
                WriteStep::Idle => return,
            }
        }
    }

    /// The disk is full: what was used longest ago goes, or else `blob` goes on in memory.
    fn make_way(&self, blob: &Blob, full: &StoreError) {
        let mut inner = self.inner();
        let oldest = inner.lru.oldest(|track| inner.in_use(track));
        let is_made = oldest.is_some_and(|(track, kind)| {
            log::debug!("the disk is full: track {track} makes room");
            self.remove_item(&mut inner, track, kind).is_ok()
        });
        drop(inner);
        if !is_made {
            blob.spill_to_memory(full.to_string().into());
        }
    }

    /// The complete tracks in the cache, with their sizes.
    pub fn held(&self) -> Vec<(TrackId, u64)> {
        self.inner().lru.held().collect()
    }

    /// Bytes that the cache takes, as the cap counts them.
    #[cfg(test)]
    pub fn used(&self) -> u64 {
        self.inner().lru.used()
    }

    /// Keeps `track` in the cache, once it is there, until the pin is dropped.
    pub fn pin(self: &Arc<Self>, track: TrackId) -> Pin {
        self.inner().lru.pin(track);
        Pin {
            store: self.clone(),
            track,
        }
    }

    /// Keeps an outboard that hashing gave, so that the first slice needs no second read.
    ///
    /// # Errors
    /// `Full`, `TooLarge` or `Io`; the outboard can be made again.
    pub fn keep_outboard(&self, outboard: &Outboard) -> Result<(), StoreError> {
        let (track, bytes) = (outboard.track, outboard.hashes.len() as u64);
        self.take_stock()?;
        let mut inner = self.inner();
        if inner.lru.kind(track).is_some() {
            return Ok(()); // It is there, or will be when the track is complete.
        }
        self.make_room(&mut inner, track, bytes)?;
        inner
            .lru
            .put(track, StoredKind::Outboard, outboard.size, bytes);
        drop(inner);
        self.layout.write_outboard(outboard).inspect_err(|_| {
            self.inner().lru.remove(track);
        })
    }

    /// Makes room for `track` to take `bytes`, what it takes already among them.
    fn make_room(&self, inner: &mut Inner, track: TrackId, bytes: u64) -> Result<(), StoreError> {
        let cap = inner.lru.cap();
        if bytes > cap {
            let needs = bytes;
            return Err(StoreError::TooLarge { track, needs, cap });
        }
        let more = bytes.saturating_sub(inner.lru.bytes(track));
        let Inner {
            lru, partial, open, ..
        } = &mut *inner;
        let going = lru
            .make_room(more, |t| t == track || in_use(partial, open, t))
            .map_err(|_| StoreError::Full { track, cap })?;
        for (old, kind) in going {
            self.remove_item(inner, old, kind)?;
        }
        Ok(())
    }

    fn remove_item(
        &self,
        inner: &mut Inner,
        track: TrackId,
        kind: StoredKind,
    ) -> Result<(), StoreError> {
        inner.partial.remove(&track);
        inner.lru.remove(track);
        self.layout.remove(track, kind)
    }

    fn open_listed(self: &Arc<Self>, track: TrackId, file: &(PathBuf, ListedFile)) -> Option<Blob> {
        let (path, listed) = file;
        let data = self.layout.disk().open(path).ok();
        let open = data.and_then(|data| Some((data.stamp().ok()?, data)));
        let is_same =
            |stamp: &DiskStamp| (stamp.size, stamp.modified) == (listed.size, listed.modified);
        let Some((stamp, data)) = open.filter(|(stamp, _)| is_same(stamp)) else {
            self.findings.tell_other_file(track, path);
            return None;
        };
        Some(Blob::library(
            track,
            path.clone(),
            data,
            stamp,
            self.place(),
        ))
    }

    fn open_held(self: &Arc<Self>, track: TrackId) -> Option<Blob> {
        let (data, outboard) = self
            .layout
            .open_held(track)
            .inspect_err(|error| log::warn!("{error}"))
            .ok()?;
        let size = data.stamp().ok()?.size;
        Some(Blob::held(track, size, data, outboard, self.place()))
    }

    /// What is around each of its blobs.
    fn place(self: &Arc<Self>) -> BlobPlace {
        let cache: Weak<Self> = Arc::downgrade(self);
        BlobPlace {
            layout: self.layout.clone(),
            findings: self.findings.clone(),
            cache,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Wishes { queued, unpinned } = std::mem::take(&mut *self.wishes());
        if let Some(tracks) = queued {
            inner.lru.set_queued(tracks);
        }
        for track in unpinned {
            inner.lru.unpin(track);
        }
        for found in self.findings.take() {
            self.act_on(&mut inner, found);
        }
        inner
    }

    /// Gives up what a blob has found not to be its track.
    fn act_on(&self, inner: &mut Inner, found: BlobFinding) {
        let (track, may_go) = match found {
            BlobFinding::OtherFile(track, path) => return inner.forget_file(track, path),
            BlobFinding::WrongCopy(track) => (track, true),
            BlobFinding::WrongOutboard(track) => {
                let kind = inner.lru.kind(track);
                (track, kind == Some(StoredKind::Outboard))
            }
        };
        if !may_go {
            return;
        }
        inner.open.remove(&track);
        if let Some(kind) = inner.lru.kind(track) {
            if let Err(error) = self.remove_item(inner, track, kind) {
                log::warn!("{error}");
            }
        }
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlobCache for Store {
    fn outboard_of(
        &self,
        track: TrackId,
        size: u64,
        data: &dyn DiskFile,
    ) -> io::Result<Option<Hashes>> {
        let kind = self.inner().lru.kind(track);
        if matches!(kind, Some(StoredKind::Held | StoredKind::Outboard)) {
            if let Some(file) = self.layout.open_outboard(track, size) {
                return Ok(Some(Hashes::File(file)));
            }
        }
        let outboard = match hash_open(data, size) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        if outboard.track != track {
            return Ok(None);
        }
        // A full or broken cache must not keep the library from being served.
        if let Err(error) = self.keep_outboard(&outboard) {
            log::warn!("the outboard of track {track} stays in memory: {error}");
            return Ok(Some(Hashes::Memory(outboard.hashes)));
        }
        let file = self.layout.open_outboard(track, size);
        Ok(Some(match file {
            Some(file) => Hashes::File(file),
            None => Hashes::Memory(outboard.hashes),
        }))
    }
}

impl Inner {
    /// Takes back [`Store::add_file`]. A reader that has the blob may go on reading it.
    fn forget_file(&mut self, track: TrackId, path: PathBuf) {
        self.library.remove(&(track, path));
        self.open.remove(&track);
    }

    /// The blob that somebody else uses too, or that is arriving.
    fn at_hand(&self, track: TrackId) -> Option<Arc<Blob>> {
        let open = self.open.get(&track).and_then(Weak::upgrade);
        open.filter(|blob| !blob.is_stale())
            .or_else(|| self.partial.get(&track).cloned())
    }

    fn files_of(&self, track: TrackId) -> Vec<(PathBuf, ListedFile)> {
        let first = (track, PathBuf::new());
        self.library
            .range(first..)
            .take_while(|((t, _), _)| *t == track)
            .map(|((_, path), listed)| (path.clone(), *listed))
            .collect()
    }

    fn in_use(&self, track: TrackId) -> bool {
        in_use(&self.partial, &self.open, track)
    }
}

/// The blob, unless a catalogue says another size.
fn same_size(blob: Arc<Blob>, claimed: u64) -> Result<Arc<Blob>, StoreError> {
    let (track, known) = (blob.track(), blob.size());
    if known == claimed {
        return Ok(blob);
    }
    Err(StoreError::WrongSize {
        track,
        known,
        claimed,
    })
}

/// Whether somebody besides the store has the track's blob. Only true to the word under the lock.
fn in_use(
    partial: &BTreeMap<TrackId, Arc<Blob>>,
    open: &BTreeMap<TrackId, Weak<Blob>>,
    track: TrackId,
) -> bool {
    let arriving = partial.get(&track).map_or(0, Arc::strong_count);
    let whole = open.get(&track).map_or(0, Weak::strong_count);
    arriving > 1 || whole > 0
}

/// Keeps a track in the cache as long as it lives.
pub struct Pin {
    store: Arc<Store>,
    track: TrackId,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.store.wishes().unpinned.push(self.track);
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({})", self.track)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.layout.dir().display())
    }
}

/// Files that wait to be looked at again.
const MAX_DOUBTS: usize = 64;

#[cfg(test)]
mod tests;
