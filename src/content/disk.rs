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
use std::time::{Duration, Instant, SystemTime};

/// A disk. All calls block.
pub trait Disk: Send + Sync {
    /// Makes a file to read and write, emptying one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to read and write, as it is.
    fn edit(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
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
    /// What its writes are timed by.
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// An open file, read and written at positions, by several threads at once.
pub trait DiskFile: Send + Sync {
    /// Reads into `buf`; fewer bytes than it holds only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes`. A gap before them reads as zeros.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// What tells this file's content from another's without reading it.
    fn stamp(&self) -> io::Result<DiskStamp>;
    /// Makes the bytes last, not the name.
    fn sync(&self) -> io::Result<()>;
}

/// A file's identity and age: as long as it is the same, so (we take it) are the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskStamp {
    /// Length in bytes.
    pub size: u64,
    /// When the content last changed, as the file system says.
    pub modified: SystemTime,
    /// Device and inode, which a replaced file does not share.
    pub inode: (u64, u64),
    /// When anything about it last changed, which no program can set.
    pub changed: SystemTime,
}

impl DiskStamp {
    /// Whether it may be the same content under another owner, mode or name.
    pub fn is_only_touched(&self, now: &Self) -> bool {
        (self.size, self.modified, self.inode) == (now.size, now.modified, now.inode)
    }
}

/// The operating system's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = match options.open(path) {
            // The directory was removed. The one that it lies in is not made: a disk that is not
            // mounted looks the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir(path.parent().unwrap_or(path))?;
                options.open(path)?
            }
            opened => opened?,
        };
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(crate::fence::open_regular(path)?))
    }

    fn edit(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options().read(true).write(true).open(path)?;
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

    fn stamp(&self) -> io::Result<DiskStamp> {
        let meta = self.metadata()?;
        Ok(DiskStamp {
            size: meta.len(),
            // Not `Metadata::modified`: what a file system without times says is a value too.
            modified: time(meta.mtime(), meta.mtime_nsec()),
            inode: (meta.dev(), meta.ino()),
            changed: time(meta.ctime(), meta.ctime_nsec()),
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
mod contract;
mod fenced;
#[cfg(test)]
mod mem;
mod timed;

pub use fenced::FencedDisk;
#[cfg(test)]
pub use mem::MemDisk;
pub use timed::Timing;

#[cfg(test)]
mod tests {
    use super::*;

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
