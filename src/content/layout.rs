//! The files of the cache directory: their names, and what a power cut leaves of them.
//!
//! For each track, named by its id in hex, there is `.data` and `.outboard` when it is
//! whole, `.part` and `.part.outboard` while it arrives, and `.outboard` alone for a
//! library file that others asked for. A name without `.part` is only ever given to
//! synced bytes, so whatever a power cut leaves is whole, or is told from its name or
//! from what is missing beside it. What was arriving is dropped at the next start.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::blob::{outboard_bytes, Outboard};
use super::disk::{Disk, DiskFile};
use super::shelf::Kind;
use super::store::StoreError;
use crate::id::TrackId;

/// The cache directory on its disk.
pub(super) struct Layout {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
}

/// A track's file and its outboard.
type Pair = (Box<dyn DiskFile>, Box<dyn DiskFile>);

/// What a start finds of a track.
pub(super) struct Found {
    pub(super) track: TrackId,
    pub(super) kind: Kind,
    /// The track's size; 0 where only its outboard is here.
    pub(super) size: u64,
    /// Bytes that it takes.
    pub(super) bytes: u64,
}

/// The files of one track while stock is taken.
struct Files {
    data: Option<u64>,
    outboard: Option<u64>,
    modified: SystemTime,
}

impl Layout {
    /// Touches nothing yet.
    pub(super) fn new(dir: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { dir, disk }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// What is whole, least recently written first; the rest is removed. Makes the
    /// directory if need be.
    pub(super) fn take_stock(&self) -> Result<Vec<Found>, StoreError> {
        let made = self.disk.create_dir(&self.dir);
        made.map_err(failed("create", &self.dir))?;
        let names = self.disk.list(&self.dir);
        let mut tracks = BTreeMap::new();
        for path in names.map_err(failed("list", &self.dir))? {
            let name = path.file_name().and_then(|name| name.to_str());
            match name.and_then(split_name) {
                Some((track, suffix @ (DATA | OUTBOARD))) => {
                    self.measure(&path, tracks.entry(track).or_default(), suffix)?;
                }
                Some(_) => self.remove_file(&path)?,
                None => {} // Not ours.
            }
        }
        let mut tracks: Vec<_> = tracks.into_iter().collect();
        tracks.sort_by_key(|(_, files)| files.modified);
        let mut found = Vec::new();
        for (track, files) in tracks {
            let (kind, size, bytes) = match (files.data, files.outboard) {
                (Some(size), Some(hashes)) if hashes == outboard_bytes(size) => {
                    (Kind::Held, size, footprint(size))
                }
                (None, Some(hashes)) => (Kind::Outboard, 0, hashes),
                _ => {
                    self.remove(track, Kind::Held)?;
                    continue;
                }
            };
            found.push(Found {
                track,
                kind,
                size,
                bytes,
            });
        }
        Ok(found)
    }

    fn measure(&self, path: &Path, files: &mut Files, suffix: &str) -> Result<(), StoreError> {
        let stamp = self.disk.open(path).and_then(|file| file.stamp());
        let stamp = stamp.map_err(failed("open", path))?;
        match suffix {
            DATA => files.data = Some(stamp.size),
            _ => files.outboard = Some(stamp.size),
        }
        files.modified = files.modified.max(stamp.modified);
        Ok(())
    }

    /// Makes the empty files of an arriving track.
    pub(super) fn create_partial(&self, track: TrackId) -> Result<Pair, StoreError> {
        let create = |suffix| {
            let path = self.path(track, suffix);
            self.disk.create(&path).map_err(failed("create", &path))
        };
        Ok((create(PART)?, create(PART_OUTBOARD)?))
    }

    /// Writes something, and removes it.
    pub(super) fn try_out(&self) -> Result<(), StoreError> {
        let path = self.dir.join(TRIAL);
        let file = self.disk.create(&path).map_err(failed("create", &path))?;
        let written = file
            .write_at(0, &vec![0; TRIAL_BYTES])
            .and_then(|()| file.sync());
        let removed = self.remove_file(&path);
        written.map_err(failed("write", &path)).and(removed)
    }

    /// Syncs the files of a track that has arrived and gives them their lasting names.
    /// May be called again after an error.
    pub(super) fn make_last(
        &self,
        track: TrackId,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), StoreError> {
        sync().map_err(failed("sync", &self.path(track, PART)))?;
        match self.rename(track, PART_OUTBOARD, OUTBOARD) {
            // An earlier call that failed at the next step has renamed it already.
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.rename(track, PART, DATA)?;
        let synced = self.disk.sync_dir(&self.dir);
        synced.map_err(failed("sync", &self.dir))
    }

    pub(super) fn open_held(&self, track: TrackId) -> Result<Pair, StoreError> {
        let open = |suffix| {
            let path = self.path(track, suffix);
            self.disk.open(&path).map_err(failed("open", &path))
        };
        Ok((open(DATA)?, open(OUTBOARD)?))
    }

    /// The outboard of a track of `size` bytes, if it is there and has the right length.
    pub(super) fn open_outboard(&self, track: TrackId, size: u64) -> Option<Box<dyn DiskFile>> {
        let file = self.disk.open(&self.path(track, OUTBOARD)).ok()?;
        let whole = file.stamp().ok()?.size == outboard_bytes(size);
        whole.then_some(file)
    }

    /// Writes the outboard of a library file.
    pub(super) fn write_outboard(&self, outboard: &Outboard) -> Result<(), StoreError> {
        let part = self.path(outboard.track, OUTBOARD_PART);
        let file = self.disk.create(&part).map_err(failed("create", &part))?;
        file.write_at(0, &outboard.hashes)
            .and_then(|()| file.sync())
            .map_err(failed("write", &part))?;
        self.rename(outboard.track, OUTBOARD_PART, OUTBOARD)
    }

    /// Removes the files that a track has as `kind`, those that are there.
    pub(super) fn remove(&self, track: TrackId, kind: Kind) -> Result<(), StoreError> {
        let suffixes: &[&str] = match kind {
            Kind::Held => &[DATA, OUTBOARD],
            Kind::Partial => &[PART, PART_OUTBOARD],
            Kind::Outboard => &[OUTBOARD],
        };
        suffixes
            .iter()
            .try_for_each(|suffix| self.remove_file(&self.path(track, suffix)))
    }

    fn remove_file(&self, path: &Path) -> Result<(), StoreError> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    fn rename(&self, track: TrackId, from: &str, to: &str) -> Result<(), StoreError> {
        let (from, to) = (self.path(track, from), self.path(track, to));
        let renamed = self.disk.rename(&from, &to);
        renamed.map_err(failed("rename", &from))
    }

    fn path(&self, track: TrackId, suffix: &str) -> PathBuf {
        self.dir.join(format!("{}{suffix}", track.to_hex()))
    }
}

impl Default for Files {
    fn default() -> Self {
        Self {
            data: None,
            outboard: None,
            modified: SystemTime::UNIX_EPOCH,
        }
    }
}

/// What a track of `size` bytes takes of the cap.
pub(super) fn footprint(size: u64) -> u64 {
    size.saturating_add(outboard_bytes(size))
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// A file name of ours as track and suffix.
fn split_name(name: &str) -> Option<(TrackId, &str)> {
    let (hex, suffix) = name.split_at_checked(64)?;
    let known = [DATA, OUTBOARD, PART, PART_OUTBOARD, OUTBOARD_PART].contains(&suffix);
    let track = TrackId::from_hex(hex).ok()?;
    known.then_some((track, suffix))
}

const DATA: &str = ".data";
const OUTBOARD: &str = ".outboard";
const PART: &str = ".part";
const PART_OUTBOARD: &str = ".part.outboard";
/// A library file's outboard while it is written.
const OUTBOARD_PART: &str = ".outboard.part";

/// What is written to see whether that works: more than what a disk that is full
/// takes by chance.
const TRIAL: &str = "trial";
const TRIAL_BYTES: usize = 1 << 20;
