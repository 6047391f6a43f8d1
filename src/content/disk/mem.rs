//! The disk of tests and of the simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use super::{Disk, DiskFile, DiskStamp};
use crate::util::random::Random;

/// A disk in memory that forgets what was not synced when [`MemDisk::cut_power`] says so.
#[derive(Clone, Default)]
pub struct MemDisk {
    state: Arc<Mutex<MemState>>,
    /// Whether no write ends.
    held: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Default)]
struct MemState {
    files: BTreeMap<u64, MemContent>,
    /// The directories that were made. Those right below the root are there from the start.
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    /// The names as the last sync of their directory left them.
    lasting: BTreeMap<PathBuf, u64>,
    next: u64,
    /// Counts changes: the times of files.
    clock: u64,
    reads: u64,
    /// Bytes that still fit; `None` is no limit.
    space: Option<u64>,
    /// Changes that still work; `None` is no limit.
    changes: Option<u64>,
    /// It is not mounted.
    unplugged: bool,
    /// How long each write takes.
    delay: Duration,
    /// When it was made, and how long it has taken for writes since.
    since: Option<Instant>,
    spent: Duration,
}

#[derive(Clone, Default)]
struct MemContent {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    modified: u64,
    /// As `modified`, and with its names.
    changed: u64,
}

struct MemFile {
    disk: MemDisk,
    id: u64,
    takes_writes: bool,
}

impl MemDisk {
    /// The power goes and comes back: each unsynced name is lost or kept, what was
    /// written and not synced is there, old, or torn into blocks, as `seed` has it.
    pub fn cut_power(&self, seed: u64) {
        let mut random = Random::new(seed);
        let mut draw = move |n: u64| random.below(n);
        let mut state = self.state();
        let MemState { names, lasting, .. } = &*state;
        let mut after = BTreeMap::new();
        for path in names.keys().chain(lasting.keys()).collect::<BTreeSet<_>>() {
            let either = if draw(2) == 0 { names } else { lasting };
            if let Some(id) = either.get(path) {
                after.insert(path.clone(), *id);
            }
        }
        state.names = after.clone();
        state.lasting = after;
        for content in state.files.values_mut() {
            content.tear(&mut draw);
        }
    }

    /// From now on only so many more bytes fit.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.state().space = bytes;
    }

    /// From now on only so many more changes (creating, writing, renaming, removing,
    /// syncing) work: with [`Self::cut_power`], a cut in the middle of anything.
    pub fn limit_changes(&self, changes: Option<u64>) {
        self.state().changes = changes;
    }

    /// What is left of that.
    pub fn changes_left(&self) -> Option<u64> {
        self.state().changes
    }

    /// How many reads there were.
    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    /// From now on, directories are neither found nor made.
    pub fn unplug(&self, unplugged: bool) {
        self.state().unplugged = unplugged;
    }

    /// From now on each write takes so long, of which only [`Disk::now`] tells.
    pub fn slow_down(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// From now on no write ends, or all do that were held.
    pub fn hold_writes(&self, held: bool) {
        *self.held.0.lock().expect(NO_PANIC) = held;
        self.held.1.notify_all();
    }

    fn wait_for_leave(&self) {
        let held = self.held.0.lock().expect(NO_PANIC);
        let wait = self.held.1.wait_while(held, |held| *held);
        drop(wait.expect(NO_PANIC));
    }

    /// Lets time pass.
    pub fn rest(&self, time: Duration) {
        self.state().spent += time;
    }

    fn mounted(&self) -> io::Result<MutexGuard<'_, MemState>> {
        let state = self.state();
        match state.unplugged {
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            false => Ok(state),
        }
    }

    fn changing(&self) -> io::Result<MutexGuard<'_, MemState>> {
        let mut state = self.mounted()?;
        if state.changes == Some(0) {
            return Err(io::Error::other("the power is gone"));
        }
        state.changes = state.changes.map(|left| left - 1);
        Ok(state)
    }

    fn state(&self) -> MutexGuard<'_, MemState> {
        self.state.lock().expect(NO_PANIC)
    }

    fn file(&self, id: u64, takes_writes: bool) -> Box<dyn DiskFile> {
        let disk = self.clone();
        Box::new(MemFile {
            disk,
            id,
            takes_writes,
        })
    }
}

impl MemState {
    /// Whether files can have names in `dir`.
    fn has_dir(&self, dir: &Path) -> bool {
        let is_made = self.dirs.contains(dir) || dir.components().count() <= 2;
        is_made && !self.names.contains_key(dir)
    }

    fn expect_dir(&self, dir: Option<&Path>) -> io::Result<()> {
        match dir {
            Some(dir) if !self.has_dir(dir) => Err(missing()),
            _ => Ok(()),
        }
    }

    fn expect_no_dir(&self, path: &Path) -> io::Result<()> {
        match self.dirs.contains(path) {
            true => Err(io::ErrorKind::IsADirectory.into()),
            false => Ok(()),
        }
    }

    /// The file of that name, and none that is a directory.
    fn find(&self, path: &Path) -> io::Result<u64> {
        self.expect_no_dir(path)?;
        self.names.get(path).copied().ok_or_else(missing)
    }

    /// The names of a file are others, or its content is.
    fn touch(&mut self, id: u64, is_new_content: bool) {
        self.clock += 1;
        if let Some(content) = self.files.get_mut(&id) {
            content.changed = self.clock;
            if is_new_content {
                content.modified = self.clock;
            }
        }
    }
}

impl MemContent {
    fn tear(&mut self, draw: &mut impl FnMut(u64) -> u64) {
        if self.bytes == self.synced {
            return;
        }
        let longest = self.bytes.len().max(self.synced.len());
        let shortest = self.bytes.len().min(self.synced.len());
        let len = match draw(3) {
            0 => return self.synced = self.bytes.clone(),
            1 => return self.bytes = self.synced.clone(),
            // What has grown, and what was emptied, is of some length between.
            _ => shortest + draw((longest - shortest) as u64 + 1) as usize,
        };
        let mut torn = vec![0; len];
        for (i, block) in torn.chunks_mut(BLOCK).enumerate() {
            let (old, new) = (block_of(&self.synced, i), block_of(&self.bytes, i));
            let kept = match draw(3) {
                _ if old == new => new,
                0 => new,
                1 => old,
                _ => &[],
            };
            let n = kept.len().min(block.len());
            block[..n].copy_from_slice(&kept[..n]);
        }
        self.bytes = torn.clone();
        self.synced = torn;
    }
}

fn block_of(bytes: &[u8], i: usize) -> &[u8] {
    bytes.chunks(BLOCK).nth(i).unwrap_or_default()
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.changing()?;
        state.expect_no_dir(path)?;
        let known = state.names.get(path).copied();
        let id = match known {
            Some(id) => id,
            None => {
                if let Some(dir) = path.parent().filter(|dir| !state.has_dir(dir)) {
                    state.expect_dir(dir.parent())?;
                    if state.names.contains_key(dir) {
                        return Err(io::ErrorKind::NotADirectory.into());
                    }
                    state.dirs.insert(dir.to_owned());
                }
                state.next += 1;
                state.next
            }
        };
        state.names.insert(path.to_owned(), id);
        state.files.entry(id).or_default().bytes.clear();
        state.touch(id, true);
        drop(state);
        Ok(self.file(id, true))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let id = self.state().find(path)?;
        Ok(self.file(id, false))
    }

    fn edit(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let id = self.mounted()?.find(path)?;
        Ok(self.file(id, true))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        let id = state.find(from)?;
        state.expect_dir(to.parent())?;
        state.expect_no_dir(to)?;
        state.names.remove(from);
        let replaced = state.names.insert(to.to_owned(), id);
        for file in replaced.into_iter().chain([id]) {
            state.touch(file, false);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        let id = state.find(path)?;
        state.names.remove(path);
        state.touch(id, false);
        let freed = state
            .files
            .get(&id)
            .map_or(0, |file| file.bytes.len() as u64);
        state.space = state.space.map(|space| space + freed);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        state.expect_dir(Some(dir))?;
        let here = |path: &PathBuf| path.parent() == Some(dir);
        let MemState { names, lasting, .. } = &mut *state;
        lasting.retain(|path, _| !here(path));
        let now = names.iter().filter(|(path, _)| here(path));
        lasting.extend(now.map(|(path, id)| (path.clone(), *id)));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.mounted()?;
        state.expect_dir(Some(dir))?;
        let here = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.cloned().collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.mounted()?;
        if dir.ancestors().any(|part| state.names.contains_key(part)) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn now(&self) -> Instant {
        let mut state = self.state();
        let since = *state.since.get_or_insert_with(Instant::now);
        since + state.spent
    }
}

impl MemFile {
    fn with<T>(&self, f: impl FnOnce(&mut MemState, u64) -> io::Result<T>) -> io::Result<T> {
        f(&mut self.disk.state(), self.id)
    }

    fn change(&self, f: impl FnOnce(&mut MemState, u64) -> io::Result<()>) -> io::Result<()> {
        f(&mut *self.disk.changing()?, self.id)
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.with(|state, id| {
            state.reads += 1;
            let content = state.files.get(&id).ok_or_else(missing)?;
            let rest = content.bytes.get(offset as usize..).unwrap_or_default();
            let n = rest.len().min(buf.len());
            buf[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if !self.takes_writes {
            return Err(io::Error::other("it was opened to read"));
        }
        self.disk.wait_for_leave();
        self.change(|state, id| {
            let n = bytes.len() as u64;
            if state.space.is_some_and(|space| space < n) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.space = state.space.map(|space| space - n);
            state.spent += state.delay;
            state.touch(id, true);
            let content = state.files.get_mut(&id).ok_or_else(missing)?;
            let (start, end) = (offset as usize, offset as usize + bytes.len());
            if content.bytes.len() < end {
                content.bytes.resize(end, 0);
            }
            content.bytes[start..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn stamp(&self) -> io::Result<DiskStamp> {
        self.with(|state, id| {
            let content = state.files.get(&id).ok_or_else(missing)?;
            Ok(DiskStamp {
                size: content.bytes.len() as u64,
                modified: SystemTime::UNIX_EPOCH + Duration::from_secs(content.modified),
                inode: (0, id),
                changed: SystemTime::UNIX_EPOCH + Duration::from_secs(content.changed),
            })
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.change(|state, id| {
            let content = state.files.get_mut(&id).ok_or_else(missing)?;
            content.synced = content.bytes.clone();
            Ok(())
        })
    }
}

const NO_PANIC: &str = "no test panics while it holds this";
/// What a disk writes at once.
const BLOCK: usize = 512;
