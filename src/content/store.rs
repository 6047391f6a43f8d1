//! The store: every track whose bytes are on this machine, in the library or the cache.
//!
//! The cache directory has, for each track (named by its id in hex), `.data` and
//! `.outboard` when it is whole, `.part` and `.part.outboard` while it arrives, and
//! `.outboard` alone for a library file that others asked for. A name without `.part` is
//! only ever given to synced bytes, `.data` last, so whatever a power cut leaves is whole
//! or is told from its name. What was arriving is dropped when the store is opened.
//!
//! All of it counts against one cap, an arriving track with its full size. What was used
//! longest ago goes first; what is pinned, or open, never.
//!
//! All calls block on the disk. The lock inside is never held while a track is read,
//! written, hashed or synced.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use super::blob::{outboard_bytes, Outboard};
use super::disk::{Disk, DiskFile};
use super::file::{Blob, Hashes};
use super::hash::hash_open;
use super::ranges::GroupSet;
use super::shelf::{Kind, Shelf};
use crate::id::TrackId;

/// The tracks of this machine. Dropping it keeps what is held.
pub struct Store {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    inner: Mutex<Inner>,
}

struct Inner {
    shelf: Shelf,
    /// Files by content; equal ones lie side by side.
    library: BTreeMap<(TrackId, PathBuf), Listed>,
    /// Arriving tracks, kept while nobody plays them too.
    partial: BTreeMap<TrackId, Arc<Blob>>,
    /// Whole tracks that somebody reads or serves.
    open: BTreeMap<TrackId, Weak<Blob>>,
}

#[derive(Clone, Copy)]
struct Listed {
    size: u64,
    modified: SystemTime,
}

/// Why the store cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The cache directory, or a file in it, cannot be used.
    #[error("cache: cannot {doing} {}: {source}", path.display())]
    Io {
        /// A verb: "create", "rename".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Arriving bytes cannot be written, mostly because the disk is full.
    #[error("cache: cannot write track {track}: {source}")]
    Write {
        /// The arriving track.
        track: TrackId,
        /// What the system said.
        source: io::Error,
    },
    /// The track alone is larger than the cache may be.
    #[error("track {track} needs {needs} bytes and cache.max is {cap}: raise cache.max")]
    TooLarge {
        /// The track.
        track: TrackId,
        /// Its size and its outboard's.
        needs: u64,
        /// The cap in bytes.
        cap: u64,
    },
    /// Everything in the cache is being played, fetched or pinned.
    #[error(
        "no room for track {track}: all of the cache ({cap} bytes) is in use; raise cache.max"
    )]
    Full {
        /// The track that found no room.
        track: TrackId,
        /// The cap in bytes.
        cap: u64,
    },
    /// The track is known with another size; sizes come from catalogues, which may lie.
    #[error("track {track} has {known} bytes here, not {claimed}")]
    WrongSize {
        /// The track.
        track: TrackId,
        /// Its size here.
        known: u64,
        /// The size that was asked for.
        claimed: u64,
    },
    /// Items of one track were given to another.
    #[error("bytes of track {track} given to track {blob}")]
    Foreign {
        /// The items' track.
        track: TrackId,
        /// The track that they were given to.
        blob: TrackId,
    },
    /// The track has not all arrived.
    #[error("track {track} is not complete")]
    Incomplete {
        /// The track.
        track: TrackId,
    },
}

impl Store {
    /// Opens the cache in `dir` (made if need be) with room for `cap_bytes`.
    ///
    /// Removes what was left arriving or half-renamed, and what no longer fits the cap.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the directory cannot be made, listed or cleaned.
    pub fn open(
        dir: PathBuf,
        cap_bytes: u64,
        disk: Arc<dyn Disk>,
    ) -> Result<Arc<Self>, StoreError> {
        let at = |doing| failed(doing, &dir);
        disk.create_dir(&dir).map_err(at("create"))?;
        let files = disk.list(&dir).map_err(at("list"))?;
        let store = Self {
            disk,
            inner: Mutex::new(Inner {
                shelf: Shelf::new(cap_bytes),
                library: BTreeMap::new(),
                partial: BTreeMap::new(),
                open: BTreeMap::new(),
            }),
            dir,
        };
        store.take_stock(files)?;
        Ok(Arc::new(store))
    }

    /// Makes a file of the library a source of `track`.
    ///
    /// It counts as long as its size and time of change are these; its path stays here.
    pub fn add_file(&self, track: TrackId, size: u64, path: PathBuf, modified: SystemTime) {
        let listed = Listed { size, modified };
        self.inner().library.insert((track, path), listed);
    }

    /// Takes back [`Self::add_file`]. Who has the blob may go on reading it.
    pub fn forget_file(&self, track: TrackId, path: &Path) {
        let mut inner = self.inner();
        inner.library.remove(&(track, path.to_owned()));
        inner.open.remove(&track);
    }

    /// The bytes of `track`, as far as they are here: from the library, else the cache.
    pub fn blob(self: &Arc<Self>, track: TrackId) -> Option<Arc<Blob>> {
        let mut inner = self.inner();
        inner.shelf.touch(track);
        if let Some(blob) = inner.open.get(&track).and_then(Weak::upgrade) {
            if !blob.is_stale() {
                return Some(blob);
            }
        }
        if let Some(blob) = inner.partial.get(&track) {
            return Some(blob.clone());
        }
        let files = inner.files_of(track);
        let held = inner.shelf.kind(track) == Some(Kind::Held);
        drop(inner);

        let library = files.iter().find_map(|file| self.open_listed(track, file));
        let blob = library.or_else(|| held.then(|| self.open_held(track)).flatten())?;
        let blob = Arc::new(blob);
        let mut inner = self.inner();
        if let Some(other) = inner.open.get(&track).and_then(Weak::upgrade) {
            if !other.is_stale() {
                return Some(other); // Another thread was faster.
            }
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
        if let Some(blob) = self.blob(track) {
            if blob.size() == size {
                blob.revive();
                return Ok(blob);
            }
            let known = blob.size();
            drop(blob);
            if !self.drop_unused_partial(track)? {
                return Err(StoreError::WrongSize {
                    track,
                    known,
                    claimed: size,
                });
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

    /// Makes a complete blob last: synced, named, listed by [`Self::held`].
    ///
    /// Nothing to do for one that is whole already. May be called again after an error.
    ///
    /// # Errors
    /// `Incomplete`, or `Io` with the file's name; the blob stays readable.
    pub fn finish(&self, blob: &Arc<Blob>) -> Result<(), StoreError> {
        let track = blob.track();
        let _once = blob
            .finishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let arriving = self.inner().partial.get(&track).cloned();
        if !arriving.is_some_and(|partial| Arc::ptr_eq(&partial, blob)) {
            return Ok(());
        }
        if !blob.is_complete() {
            return Err(StoreError::Incomplete { track });
        }
        let part = self.path(track, PART);
        blob.sync().map_err(failed("sync", &part))?;
        let part_outboard = self.path(track, PART_OUTBOARD);
        match self.rename(&part_outboard, &self.path(track, OUTBOARD)) {
            // A finish that failed at the next step has renamed it already.
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.rename(&part, &self.path(track, DATA))?;
        self.sync_dir()?;

        let mut inner = self.inner();
        inner.partial.remove(&track);
        inner.open.insert(track, Arc::downgrade(blob));
        let bytes = footprint(blob.size());
        inner.shelf.put(track, Kind::Held, blob.size(), bytes);
        Ok(())
    }

    /// The complete tracks in the cache, with their sizes.
    pub fn held(&self) -> Vec<(TrackId, u64)> {
        self.inner().shelf.held().collect()
    }

    /// Bytes that the cache takes, arriving tracks with their full size.
    pub fn used(&self) -> u64 {
        self.inner().shelf.used()
    }

    /// Keeps `track` in the cache, once it is there, until the pin is dropped.
    pub fn pin(self: &Arc<Self>, track: TrackId) -> Pin {
        self.inner().shelf.pin(track);
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
        let mut inner = self.inner();
        if inner.shelf.kind(track).is_some() {
            return Ok(()); // It is there, or will be when the track is complete.
        }
        self.make_room(&mut inner, track, bytes)?;
        inner.shelf.put(track, Kind::Outboard, outboard.size, bytes);
        drop(inner);
        self.write_outboard(outboard).inspect_err(|_| {
            self.inner().shelf.remove(track);
        })
    }

    /// The outboard of an open library file, made by one read if need be; `None` when the
    /// file is not the track any more.
    pub(super) fn outboard_of(
        &self,
        track: TrackId,
        size: u64,
        data: &dyn DiskFile,
    ) -> io::Result<Option<Hashes>> {
        let path = self.path(track, OUTBOARD);
        let kind = self.inner().shelf.kind(track);
        if matches!(kind, Some(Kind::Held | Kind::Outboard)) {
            if let Ok(file) = self.disk.open(&path) {
                if file.stamp()?.size == outboard_bytes(size) {
                    return Ok(Some(Hashes::File(file)));
                }
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
        Ok(Some(match self.disk.open(&path) {
            Ok(file) if file.stamp()?.size == outboard_bytes(size) => Hashes::File(file),
            _ => Hashes::Memory(outboard.hashes),
        }))
    }

    /// Drops what the cache has of `track`, because it was found to be broken.
    pub(super) fn discard(&self, track: TrackId) {
        let mut inner = self.inner();
        inner.open.remove(&track);
        inner.partial.remove(&track);
        if let Some(kind) = inner.shelf.kind(track) {
            inner.shelf.remove(track);
            if let Err(error) = self.remove_files(track, kind) {
                log::warn!("{error}");
            }
        }
    }

    fn create_partial(
        self: &Arc<Self>,
        track: TrackId,
        size: u64,
    ) -> Result<Arc<Blob>, StoreError> {
        let mut inner = self.inner();
        if let Some(blob) = inner.partial.get(&track).filter(|b| b.size() == size) {
            return Ok(blob.clone()); // Another thread was faster.
        }
        if inner.partial.len() >= MAX_PARTIAL {
            let oldest = inner.shelf.oldest_partial(|t| inner.in_use(t));
            let cap = inner.shelf.cap();
            let oldest = oldest.ok_or(StoreError::Full { track, cap })?;
            self.remove_item(&mut inner, oldest, Kind::Partial)?;
        }
        if inner.shelf.kind(track) == Some(Kind::Outboard) {
            // Of a file that left the library; the new one comes with the bytes.
            self.remove_item(&mut inner, track, Kind::Outboard)?;
        }
        let bytes = footprint(size);
        self.make_room(&mut inner, track, bytes)?;
        let create = |name| {
            let path = self.path(track, name);
            self.disk.create(&path).map_err(failed("create", &path))
        };
        let (data, outboard) = (create(PART)?, create(PART_OUTBOARD)?);
        let weak = Arc::downgrade(self);
        let blob = Blob::cached(track, size, data, outboard, weak, GroupSet::new());
        let blob = Arc::new(blob);
        inner.shelf.put(track, Kind::Partial, size, bytes);
        inner.partial.insert(track, blob.clone());
        Ok(blob)
    }

    /// Drops an arriving track that nobody uses; whether there was one.
    fn drop_unused_partial(&self, track: TrackId) -> Result<bool, StoreError> {
        let mut inner = self.inner();
        let idle = inner.partial.contains_key(&track) && !inner.in_use(track);
        if idle {
            self.remove_item(&mut inner, track, Kind::Partial)?;
        }
        Ok(idle)
    }

    fn make_room(&self, inner: &mut Inner, track: TrackId, bytes: u64) -> Result<(), StoreError> {
        let cap = inner.shelf.cap();
        if bytes > cap {
            let needs = bytes;
            return Err(StoreError::TooLarge { track, needs, cap });
        }
        let Inner {
            shelf,
            partial,
            open,
            ..
        } = &mut *inner;
        let going = shelf
            .make_room(bytes, |t| in_use(partial, open, t))
            .map_err(|_| StoreError::Full { track, cap })?;
        for (old, kind) in going {
            self.remove_item(inner, old, kind)?;
        }
        Ok(())
    }

    fn remove_item(&self, inner: &mut Inner, track: TrackId, kind: Kind) -> Result<(), StoreError> {
        inner.partial.remove(&track);
        inner.shelf.remove(track);
        self.remove_files(track, kind)
    }

    fn remove_files(&self, track: TrackId, kind: Kind) -> Result<(), StoreError> {
        let names: &[&str] = match kind {
            Kind::Held => &[DATA, OUTBOARD],
            Kind::Partial => &[PART, PART_OUTBOARD],
            Kind::Outboard => &[OUTBOARD],
        };
        for name in names {
            self.remove(&self.path(track, name))?;
        }
        Ok(())
    }

    fn write_outboard(&self, outboard: &Outboard) -> Result<(), StoreError> {
        let part = self.path(outboard.track, OUTBOARD_PART);
        let file = self.disk.create(&part).map_err(failed("create", &part))?;
        file.write_at(0, &outboard.hashes)
            .and_then(|()| file.sync())
            .map_err(failed("write", &part))?;
        self.rename(&part, &self.path(outboard.track, OUTBOARD))
    }

    fn open_listed(self: &Arc<Self>, track: TrackId, file: &(PathBuf, Listed)) -> Option<Blob> {
        let (path, listed) = file;
        let data = self.disk.open(path).ok()?;
        let stamp = data.stamp().ok()?;
        let same = (stamp.size, stamp.modified) == (listed.size, listed.modified);
        same.then(|| Blob::library(track, data, stamp, Arc::downgrade(self)))
    }

    fn open_held(self: &Arc<Self>, track: TrackId) -> Option<Blob> {
        let open = |name| {
            let path = self.path(track, name);
            let file = self.disk.open(&path);
            file.map_err(|error| log::warn!("cache: cannot open {}: {error}", path.display()))
                .ok()
        };
        let (data, outboard) = (open(DATA)?, open(OUTBOARD)?);
        let size = data.stamp().ok()?.size;
        let weak = Arc::downgrade(self);
        let all = GroupSet::all(size);
        Some(Blob::cached(track, size, data, outboard, weak, all))
    }

    /// Fills the shelf from the directory, in the order in which the files were last written.
    fn take_stock(&self, files: Vec<PathBuf>) -> Result<(), StoreError> {
        let mut found: BTreeMap<TrackId, (Option<u64>, Option<u64>)> = BTreeMap::new();
        let mut ages = BTreeMap::new();
        for path in files {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some((track, suffix)) = name.and_then(split_name) else {
                continue; // Not ours.
            };
            if !matches!(suffix, DATA | OUTBOARD) {
                self.remove(&path)?;
                continue;
            }
            let file = self.disk.open(&path).map_err(failed("open", &path))?;
            let stamp = file.stamp().map_err(failed("open", &path))?;
            let sizes = found.entry(track).or_default();
            if suffix == DATA {
                sizes.0 = Some(stamp.size);
            } else {
                sizes.1 = Some(stamp.size);
            }
            let age = ages.entry(track).or_insert(stamp.modified);
            *age = stamp.modified.max(*age);
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|(track, _)| ages.get(track).copied());
        let mut inner = self.inner();
        for (track, sizes) in found {
            match sizes {
                (Some(size), Some(hashes)) if hashes == outboard_bytes(size) => {
                    inner.shelf.put(track, Kind::Held, size, footprint(size));
                }
                (None, Some(hashes)) => inner.shelf.put(track, Kind::Outboard, 0, hashes),
                _ => self.remove_files(track, Kind::Held)?,
            }
        }
        let fits = inner.shelf.make_room(0, |_| false);
        for (track, kind) in fits.unwrap_or_default() {
            self.remove_files(track, kind)?;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let renamed = self.disk.rename(from, to);
        renamed.map_err(failed("rename", from))
    }

    /// Removes a file, if it is there.
    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    fn sync_dir(&self) -> Result<(), StoreError> {
        let synced = self.disk.sync_dir(&self.dir);
        synced.map_err(failed("sync", &self.dir))
    }

    fn path(&self, track: TrackId, suffix: &str) -> PathBuf {
        self.dir.join(format!("{}{suffix}", track.to_hex()))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn files_of(&self, track: TrackId) -> Vec<(PathBuf, Listed)> {
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
        self.store.inner().shelf.unpin(self.track);
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({})", self.track)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.dir.display())
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// What a track of `size` bytes takes of the cap.
fn footprint(size: u64) -> u64 {
    size.saturating_add(outboard_bytes(size))
}

/// A file name of ours as track and suffix.
fn split_name(name: &str) -> Option<(TrackId, &str)> {
    let (hex, suffix) = name.split_at_checked(64)?;
    let known = [DATA, OUTBOARD, PART, PART_OUTBOARD, OUTBOARD_PART].contains(&suffix);
    known.then(|| TrackId::from_hex(hex).ok().map(|track| (track, suffix)))?
}

const DATA: &str = ".data";
const OUTBOARD: &str = ".outboard";
const PART: &str = ".part";
const PART_OUTBOARD: &str = ".part.outboard";
/// A library file's outboard while it is written.
const OUTBOARD_PART: &str = ".outboard.part";

/// Arriving tracks at once: each has two files open. One plays, one is fetched ahead;
/// the others are what somebody skipped and may come back to.
const MAX_PARTIAL: usize = 16;

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
