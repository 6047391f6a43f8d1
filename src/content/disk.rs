//! The disk as the store sees it: a seam, so that tests can cut the power.
//!
//! [`RealDisk`] is the operating system's. `MemDisk` (tests only) promises no more
//! than a disk does: what was not synced may be lost or torn when the power goes, and
//! a name that was made, moved or removed may be back as it was until its directory
//! is synced. One table of contract tests runs against both.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A disk. All calls block.
pub trait Disk: Send + Sync {
    /// Makes a file to read and write, emptying one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives a file another name in its directory, replacing what had that name. Open
    /// files stay open. Lasting only after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name. Open files stay readable.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names of a directory last.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The regular files of a directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes a directory and its parents, if need be.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file, read and written at positions, by several threads at once.
pub trait DiskFile: Send + Sync {
    /// Reads into `buf`; fewer bytes than it holds only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes`. A gap before them reads as zeros.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// What tells this file's content from another's without reading it.
    fn stamp(&self) -> io::Result<Stamp>;
    /// Makes the bytes last, not the name.
    fn sync(&self) -> io::Result<()>;
}

/// A file's identity and age: as long as it is the same, so (we take it) are the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Length in bytes.
    pub size: u64,
    /// When the content last changed, as the file system says.
    pub modified: SystemTime,
    /// Device and inode, which a replaced file does not share.
    pub inode: (u64, u64),
}

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(entry.path());
            }
        }
        Ok(files)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }
}

impl DiskFile for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match FileExt::read_at(self, &mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn stamp(&self) -> io::Result<Stamp> {
        let meta = self.metadata()?;
        Ok(Stamp {
            size: meta.len(),
            // Not `Metadata::modified`: what a file system without times says is a value too.
            modified: time(meta.mtime(), meta.mtime_nsec()),
            inode: (meta.dev(), meta.ino()),
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A time from seconds (negative before 1970) and nanoseconds of the epoch.
fn time(seconds: i64, nanos: i64) -> SystemTime {
    let nanos = Duration::from_nanos(nanos.unsigned_abs());
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    start
        .and_then(|t| t.checked_add(nanos))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
pub use mem::MemDisk;

#[cfg(test)]
mod mem {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, MutexGuard};
    use std::time::{Duration, SystemTime};

    use super::{Disk, DiskFile, Stamp};

    /// A disk in memory that forgets what was not synced when [`MemDisk::cut_power`] says so.
    #[derive(Clone, Default)]
    pub struct MemDisk(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        files: BTreeMap<u64, Content>,
        names: BTreeMap<PathBuf, u64>,
        /// The names as the last sync of their directory left them.
        lasting: BTreeMap<PathBuf, u64>,
        next: u64,
        /// Counts writes: the time of a file's last change.
        clock: u64,
        /// Bytes that still fit; `None` is no limit.
        space: Option<u64>,
        /// Changes that still work; `None` is no limit.
        changes: Option<u64>,
    }

    #[derive(Clone, Default)]
    struct Content {
        bytes: Vec<u8>,
        synced: Vec<u8>,
        modified: u64,
    }

    struct MemFile {
        disk: MemDisk,
        id: u64,
    }

    impl MemDisk {
        /// The power goes and comes back: each unsynced name is lost or kept, what was
        /// written and not synced is there, old, or torn into blocks, as `seed` has it.
        pub fn cut_power(&self, seed: u64) {
            let mut random = seed;
            let mut draw = move |n: u64| {
                random = random.wrapping_add(0x9e37_79b9_7f4a_7c15); // SplitMix64
                let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (mixed ^ (mixed >> 27)) % n
            };
            let mut state = self.state();
            let State { names, lasting, .. } = &*state;
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

        fn changing(&self) -> io::Result<MutexGuard<'_, State>> {
            let mut state = self.state();
            if state.changes == Some(0) {
                return Err(io::Error::other("the power is gone"));
            }
            state.changes = state.changes.map(|left| left - 1);
            Ok(state)
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.0.lock().expect("no test panics while it holds this")
        }

        fn file(&self, id: u64) -> Box<dyn DiskFile> {
            let disk = self.clone();
            Box::new(MemFile { disk, id })
        }
    }

    impl Content {
        fn tear(&mut self, draw: &mut impl FnMut(u64) -> u64) {
            if self.bytes == self.synced {
                return;
            }
            let longest = self.bytes.len().max(self.synced.len());
            let len = match draw(3) {
                0 => return self.synced = self.bytes.clone(),
                1 => return self.bytes = self.synced.clone(),
                _ => draw(longest as u64 + 1) as usize,
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
            if let Some(&id) = state.names.get(path) {
                let content = state.files.entry(id).or_default();
                content.bytes.clear();
                drop(state);
                return Ok(self.file(id));
            }
            state.next += 1;
            let id = state.next;
            state.files.insert(id, Content::default());
            state.names.insert(path.to_owned(), id);
            drop(state);
            Ok(self.file(id))
        }

        fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            let id = *self.state().names.get(path).ok_or_else(missing)?;
            Ok(self.file(id))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            let mut state = self.changing()?;
            let id = state.names.remove(from).ok_or_else(missing)?;
            state.names.insert(to.to_owned(), id);
            Ok(())
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.changing()?
                .names
                .remove(path)
                .map(|_| ())
                .ok_or_else(missing)
        }

        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            let mut state = self.changing()?;
            let here = |path: &PathBuf| path.parent() == Some(dir);
            let State { names, lasting, .. } = &mut *state;
            lasting.retain(|path, _| !here(path));
            let now = names.iter().filter(|(path, _)| here(path));
            lasting.extend(now.map(|(path, id)| (path.clone(), *id)));
            Ok(())
        }

        fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
            let state = self.state();
            let here = state.names.keys().filter(|path| path.parent() == Some(dir));
            Ok(here.cloned().collect())
        }

        fn create_dir(&self, _dir: &Path) -> io::Result<()> {
            Ok(())
        }
    }

    impl MemFile {
        fn with<T>(&self, f: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
            f(&mut self.disk.state(), self.id)
        }

        fn change(&self, f: impl FnOnce(&mut State, u64) -> io::Result<()>) -> io::Result<()> {
            f(&mut *self.disk.changing()?, self.id)
        }
    }

    impl DiskFile for MemFile {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            self.with(|state, id| {
                let content = state.files.get(&id).ok_or_else(missing)?;
                let rest = content.bytes.get(offset as usize..).unwrap_or_default();
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                Ok(n)
            })
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.change(|state, id| {
                let n = bytes.len() as u64;
                if state.space.is_some_and(|space| space < n) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                state.space = state.space.map(|space| space - n);
                state.clock += 1;
                let clock = state.clock;
                let content = state.files.get_mut(&id).ok_or_else(missing)?;
                let (start, end) = (offset as usize, offset as usize + bytes.len());
                if content.bytes.len() < end {
                    content.bytes.resize(end, 0);
                }
                content.bytes[start..end].copy_from_slice(bytes);
                content.modified = clock;
                Ok(())
            })
        }

        fn stamp(&self) -> io::Result<Stamp> {
            self.with(|state, id| {
                let content = state.files.get(&id).ok_or_else(missing)?;
                Ok(Stamp {
                    size: content.bytes.len() as u64,
                    modified: SystemTime::UNIX_EPOCH + Duration::from_secs(content.modified),
                    inode: (0, id),
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

    /// What a disk writes at once.
    const BLOCK: usize = 512;
}

#[cfg(test)]
mod tests {
    use super::*;

    type Contract = fn(&dyn Disk, &Path);

    const CONTRACTS: &[(&str, Contract)] = &[
        ("what was written is read, gaps are zero", |disk, dir| {
            let file = disk.create(&dir.join("a")).unwrap();
            file.write_at(4, b"tail").unwrap();
            file.write_at(0, b"h").unwrap();
            let mut buf = [9; 10];
            assert_eq!(file.read_at(0, &mut buf).unwrap(), 8);
            assert_eq!(&buf[..8], b"h\0\0\0tail");
            assert_eq!(file.read_at(100, &mut buf).unwrap(), 0);
            assert_eq!(file.stamp().unwrap().size, 8);
        }),
        ("an open file outlives its name", |disk, dir| {
            let file = disk.create(&dir.join("a")).unwrap();
            disk.rename(&dir.join("a"), &dir.join("b")).unwrap();
            file.write_at(0, b"x").unwrap();
            let moved = disk.open(&dir.join("b")).unwrap();
            assert_eq!(moved.stamp().unwrap(), file.stamp().unwrap());
            disk.remove(&dir.join("b")).unwrap();
            assert_eq!(moved.read_at(0, &mut [0]).unwrap(), 1);
        }),
        ("what is not there is not found", |disk, dir| {
            let nowhere = dir.join("nowhere");
            let kinds = [
                disk.open(&nowhere).err().unwrap().kind(),
                disk.remove(&nowhere).unwrap_err().kind(),
                disk.rename(&nowhere, &dir.join("x")).unwrap_err().kind(),
            ];
            assert_eq!(kinds, [io::ErrorKind::NotFound; 3]);
        }),
        (
            "create empties, rename replaces, list shows",
            |disk, dir| {
                let (a, b) = (dir.join("a"), dir.join("b"));
                disk.create(&a).unwrap().write_at(0, b"old").unwrap();
                assert_eq!(disk.create(&a).unwrap().stamp().unwrap().size, 0);
                disk.create(&b).unwrap().write_at(0, b"new").unwrap();
                disk.rename(&b, &a).unwrap();
                disk.sync_dir(dir).unwrap();
                assert_eq!(disk.list(dir).unwrap(), std::slice::from_ref(&a));
                assert_eq!(disk.open(&a).unwrap().stamp().unwrap().size, 3);
            },
        ),
    ];

    #[test]
    fn both_disks_keep_the_contract() {
        for (name, contract) in CONTRACTS {
            let dir = tempfile::tempdir().unwrap();
            contract(&RealDisk, dir.path());
            println!("real disk: {name}");
            contract(&MemDisk::default(), Path::new("/mem"));
            println!("disk in memory: {name}");
        }
    }

    #[test]
    fn a_power_cut_takes_only_what_was_not_synced() {
        let dir = Path::new("/mem");
        let (kept, loose) = (dir.join("kept"), dir.join("loose"));
        let mut lost = 0;
        for seed in 0..50 {
            let disk = MemDisk::default();
            let file = disk.create(&kept).unwrap();
            file.write_at(0, &[7; 2000]).unwrap();
            file.sync().unwrap();
            disk.sync_dir(dir).unwrap();
            disk.create(&loose)
                .unwrap()
                .write_at(0, &[8; 2000])
                .unwrap();
            disk.cut_power(seed);
            let mut buf = [0; 2000];
            assert_eq!(
                disk.open(&kept).unwrap().read_at(0, &mut buf).unwrap(),
                2000
            );
            assert_eq!(buf, [7; 2000]);
            let whole = disk
                .open(&loose)
                .is_ok_and(|file| file.read_at(0, &mut buf).unwrap() == 2000 && buf == [8; 2000]);
            lost += usize::from(!whole);
        }
        assert!(
            (1..50).contains(&lost),
            "{lost} of 50 cuts lost the loose file"
        );
    }
}
