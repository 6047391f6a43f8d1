//! The files of the cache directory: their names, and what a power cut leaves of them.
//!
//! For each track, named by its id in hex, there is `.data` and `.outboard` when it is
//! whole, and `.outboard` alone for a library file that others asked for. A name without
//! `.part` is only ever given to synced bytes.
//!
//! Of what is still arriving there is `.part`, `.part.outboard`, and a [`Bitfield`]. That
//! is called `.part.have` while the two files are synced and nothing is written to them:
//! the *clean* mark, given like a lasting name. It is called `.part.had` as soon as more
//! arrives; what it says is old then, and only the hashes tell what is here.
//!
//! So whatever a power cut leaves is whole, or is told from its name or from what is
//! missing beside it. Nothing here is believed for its name alone: what an earlier
//! life wrote is proven before it is read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::bitfield::{Bitfield, MAX_BITFIELD_BYTES};
use super::blob::{outboard_bytes, Outboard};
use super::disk::{Disk, DiskFile, Timing};
use super::error::StoreError;
use super::lru::StoredKind;
use super::ranges::GroupSet;
use super::slow::Slowness;
use crate::id::{TrackId, GROUP_BYTES};

/// The cache directory on its disk.
pub(super) struct CacheLayout {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// How fast it takes what arrives.
    timing: Timing,
}

/// A track's file and its outboard.
type Pair = (Box<dyn DiskFile>, Box<dyn DiskFile>);

/// What a start finds of a track.
pub(super) struct FoundTrack {
    pub(super) track: TrackId,
    pub(super) kind: StoredKind,
    /// The track's size; 0 where only its outboard is here, or nobody knows.
    pub(super) size: u64,
    /// Bytes that it takes.
    pub(super) bytes: u64,
}

/// A track that has not all arrived, as an earlier life left it.
pub(super) struct Resting {
    pub(super) data: Box<dyn DiskFile>,
    pub(super) outboard: Box<dyn DiskFile>,
    /// What is said to be here, unless that is damaged.
    pub(super) bitfield: Option<Bitfield>,
    /// Whether that is all that was written, and was synced.
    pub(super) clean: bool,
}

/// The files of one track while stock is taken: their lengths.
struct Files {
    data: Option<u64>,
    outboard: Option<u64>,
    part: Option<u64>,
    part_outboard: Option<u64>,
    have: bool,
    had: bool,
    modified: SystemTime,
}

impl CacheLayout {
    /// Touches nothing yet.
    pub(super) fn new(dir: PathBuf, disk: Arc<dyn Disk>) -> Self {
        let timing = Timing::of(disk.clone());
        Self { dir, disk, timing }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// What is here, least recently written first; what is of no use is removed. Makes
    /// the directory if need be.
    pub(super) fn take_stock(&self) -> Result<Vec<FoundTrack>, StoreError> {
        let made = self.disk.create_dir(&self.dir);
        made.map_err(failed("create", &self.dir))?;
        let names = self.disk.list(&self.dir);
        let mut tracks = BTreeMap::new();
        for path in names.map_err(failed("list", &self.dir))? {
            let name = path.file_name().and_then(|name| name.to_str());
            match name.and_then(split_name) {
                Some((_, OUTBOARD_PART)) => self.remove_file(&path)?,
                Some((track, suffix)) => {
                    self.measure(&path, tracks.entry(track).or_default(), suffix)?;
                }
                None => {} // Not ours.
            }
        }
        let mut tracks: Vec<_> = tracks.into_iter().collect();
        tracks.sort_by_key(|(_, files)| files.modified);
        let mut found = Vec::new();
        for (track, files) in tracks {
            found.extend(self.look_at(track, files)?);
        }
        Ok(found)
    }

    /// What `files` are of `track`, once those of no use are gone.
    fn look_at(&self, track: TrackId, mut files: Files) -> Result<Option<FoundTrack>, StoreError> {
        let whole = files.data.zip(files.outboard);
        if let Some((size, _)) = whole.filter(|(size, hashes)| *hashes == outboard_bytes(*size)) {
            if files.is_partial() {
                self.remove(track, StoredKind::Partial)?;
            }
            let (kind, bytes) = (StoredKind::Held, footprint(size));
            return Ok(Some(FoundTrack {
                track,
                kind,
                size,
                bytes,
            }));
        }
        self.take_back_names(track, &mut files)?;
        if let Some((part, hashes)) = files.part.zip(files.part_outboard) {
            if files.data.or(files.outboard).is_some() {
                self.remove(track, StoredKind::Held)?;
            }
            if files.have && files.had {
                self.remove_file(&self.path(track, HAVE))?; // It may be the older one.
            }
            let (kind, bitfield) = (StoredKind::Partial, self.read_bitfield(track));
            let size = bitfield.as_ref().map_or(0, |(bitfield, _)| bitfield.size);
            let bytes = match bitfield {
                Some((Bitfield { size, have }, true)) => partial_footprint(size, &have),
                _ => part.saturating_add(hashes), // With its holes: not less than it takes.
            };
            return Ok(Some(FoundTrack {
                track,
                kind,
                size,
                bytes,
            }));
        }
        if files.is_partial() {
            self.remove(track, StoredKind::Partial)?;
        }
        if let (None, Some(bytes)) = (files.data, files.outboard) {
            let (kind, size) = (StoredKind::Outboard, 0);
            return Ok(Some(FoundTrack {
                track,
                kind,
                size,
                bytes,
            }));
        }
        self.remove(track, StoredKind::Held)?;
        Ok(None)
    }

    /// The power went while a track was given its lasting names, of which one is there:
    /// all of it is here, and it is a partial one again.
    fn take_back_names(&self, track: TrackId, files: &mut Files) -> Result<(), StoreError> {
        if files.data.is_some() && files.part_outboard.is_some() {
            self.rename(track, DATA, PART)?;
            files.part = files.data.take();
        }
        if files.part.is_some() && files.part_outboard.is_none() && files.outboard.is_some() {
            self.rename(track, OUTBOARD, PART_OUTBOARD)?;
            files.part_outboard = files.outboard.take();
        }
        Ok(())
    }

    fn measure(&self, path: &Path, files: &mut Files, suffix: &str) -> Result<(), StoreError> {
        let stamp = self.disk.open(path).and_then(|file| file.stamp());
        let stamp = stamp.map_err(failed("open", path))?;
        match suffix {
            DATA => files.data = Some(stamp.size),
            OUTBOARD => files.outboard = Some(stamp.size),
            PART => files.part = Some(stamp.size),
            PART_OUTBOARD => files.part_outboard = Some(stamp.size),
            HAVE => files.have = true,
            _ => files.had = true,
        }
        files.modified = files.modified.max(stamp.modified);
        Ok(())
    }

    /// Makes the empty files of an arriving track.
    pub(super) fn create_partial(&self, track: TrackId) -> Result<Pair, StoreError> {
        let create = |suffix| {
            let path = self.path(track, suffix);
            let file = self.disk.create(&path).map_err(failed("create", &path))?;
            Ok(self.timing.timed(file))
        };
        let created = create(PART).and_then(|data| Ok((data, create(PART_OUTBOARD)?)));
        if created.is_err() {
            let _ = self.remove(track, StoredKind::Partial);
        }
        created
    }

    /// Says how long a track is of which the first arrives.
    pub(super) fn mark_new(&self, track: TrackId, size: u64) {
        let have = GroupSet::new();
        // Without it the track is still found where its size is known.
        let _ = self.write_had(track, &Bitfield { size, have });
    }

    /// The files of a track that an earlier life left, to go on with.
    pub(super) fn open_partial(&self, track: TrackId) -> Result<Resting, StoreError> {
        let edit = |suffix| {
            let path = self.path(track, suffix);
            let file = self.disk.edit(&path).map_err(failed("open", &path))?;
            Ok(self.timing.timed(file))
        };
        let (data, outboard) = (edit(PART)?, edit(PART_OUTBOARD)?);
        let (bitfield, clean) = self.read_bitfield(track).unzip();
        Ok(Resting {
            data,
            outboard,
            bitfield,
            clean: clean.unwrap_or(false),
        })
    }

    /// Sets the clean mark of an arriving track whose files are synced.
    pub(super) fn mark_clean(&self, track: TrackId, here: &Bitfield) -> Result<(), StoreError> {
        let path = self.path(track, HAD);
        let file = self.write_had(track, here)?;
        file.sync().map_err(failed("sync", &path))?;
        self.rename(track, HAD, HAVE)?;
        self.sync_dir()
    }

    /// Takes the clean mark away, where there is one.
    pub(super) fn mark_dirty(&self, track: TrackId) -> Result<(), StoreError> {
        match self.rename(track, HAVE, HAD) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(())
            }
            other => other,
        }
    }

    fn write_had(&self, track: TrackId, here: &Bitfield) -> Result<Box<dyn DiskFile>, StoreError> {
        let path = self.path(track, HAD);
        let file = self.disk.create(&path).map_err(failed("create", &path))?;
        let written = file.write_at(0, &here.encode());
        written.map_err(failed("write", &path))?;
        Ok(file)
    }

    /// What is said to be here of an arriving track, and whether it has the clean mark.
    fn read_bitfield(&self, track: TrackId) -> Option<(Bitfield, bool)> {
        let read = |suffix| {
            let file = self.disk.open(&self.path(track, suffix)).ok()?;
            let mut bytes = vec![0; MAX_BITFIELD_BYTES];
            let n = file.read_at(0, &mut bytes).ok()?;
            Bitfield::decode(&bytes[..n])
        };
        let clean = read(HAVE).map(|bitfield| (bitfield, true));
        clean.or_else(|| Some((read(HAD)?, false)))
    }

    /// Writes something as music arrives, and removes it. What is found counts from then
    /// on, but a disk that was slow a moment ago is not tried.
    pub(super) fn try_out(&self) -> Result<(), StoreError> {
        let rests = self.timing.pace().rests(self.disk.now());
        rests.map_or(Ok(()), |slowness| Err(self.slow(slowness)))?;
        let path = self.dir.join(TRIAL);
        let file = self.disk.create(&path).map_err(failed("create", &path))?;
        let trial = Timing::of(self.disk.clone());
        let file = trial.timed(file);
        let written = fill(&*file, &trial).and_then(|()| file.sync());
        let removed = self.remove_file(&path);
        written.map_err(failed("write", &path)).and(removed)?;
        let pace = std::mem::take(&mut *trial.pace());
        *self.timing.pace() = pace;
        self.keeps_up()
    }

    /// Says so if the disk was too slow when it was last written.
    pub(super) fn keeps_up(&self) -> Result<(), StoreError> {
        let slowness = self.timing.pace().slowness();
        slowness.map_or(Ok(()), |slowness| Err(self.slow(slowness)))
    }

    /// Somebody has waited for a write for as long as music can.
    pub(super) fn handle_stall(&self) {
        self.timing.pace().handle_stall(self.disk.now());
    }

    fn slow(&self, slowness: Slowness) -> StoreError {
        let dir = self.dir.clone();
        StoreError::Slow { dir, slowness }
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
        for suffix in [HAVE, HAD] {
            self.remove_file(&self.path(track, suffix))?;
        }
        self.sync_dir()
    }

    fn sync_dir(&self) -> Result<(), StoreError> {
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
    pub(super) fn remove(&self, track: TrackId, kind: StoredKind) -> Result<(), StoreError> {
        let suffixes: &[&str] = match kind {
            StoredKind::Held => &[DATA, OUTBOARD],
            StoredKind::Partial => &[PART, PART_OUTBOARD, HAVE, HAD],
            StoredKind::Outboard => &[OUTBOARD],
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
            part: None,
            part_outboard: None,
            have: false,
            had: false,
            modified: SystemTime::UNIX_EPOCH,
        }
    }
}

impl Files {
    /// Whether one of them is of an arriving track.
    fn is_partial(&self) -> bool {
        self.part.or(self.part_outboard).is_some() || self.have || self.had
    }
}

/// What a track of `size` bytes takes of the cap.
pub(super) fn footprint(size: u64) -> u64 {
    size.saturating_add(outboard_bytes(size))
}

/// The same when only these groups are here. Hashes are counted in full: they are 0.4 %.
pub(super) fn partial_footprint(size: u64, have: &GroupSet) -> u64 {
    have.bytes(size).saturating_add(outboard_bytes(size))
}

/// Writes as music arrives, as long as that is not slow.
fn fill(file: &dyn DiskFile, timing: &Timing) -> io::Result<()> {
    let piece = vec![0; GROUP_BYTES as usize];
    let mut starts = (0..TRIAL_GROUPS).map(|group| group * GROUP_BYTES);
    starts.try_for_each(|start| {
        let is_slow = timing.pace().slowness().is_some();
        match is_slow {
            true => Ok(()),
            false => file.write_at(start, &piece),
        }
    })
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
    let known = [
        DATA,
        OUTBOARD,
        PART,
        PART_OUTBOARD,
        HAVE,
        HAD,
        OUTBOARD_PART,
    ]
    .contains(&suffix);
    let track = TrackId::from_hex(hex).ok()?;
    known.then_some((track, suffix))
}

const DATA: &str = ".data";
const OUTBOARD: &str = ".outboard";
const PART: &str = ".part";
const PART_OUTBOARD: &str = ".part.outboard";
/// What is here of an arriving track: all that was written, or what was written before.
const HAVE: &str = ".part.have";
const HAD: &str = ".part.had";
/// A library file's outboard while it is written.
const OUTBOARD_PART: &str = ".outboard.part";

/// What is written to see whether that works: more than what a disk that is full
/// takes by chance.
const TRIAL: &str = "trial";
const TRIAL_GROUPS: u64 = 64;
