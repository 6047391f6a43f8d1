//! Hashing a file: one read that gives its [`TrackId`](crate::id::TrackId) and its outboard.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::blob::Outboard;
use super::disk::{Disk, DiskFile, DiskStamp};

/// What one read of a file tells.
#[derive(Debug)]
pub struct Hashed {
    /// The track, its size and its hash tree.
    pub outboard: Outboard,
    /// The file as it was before and after the read.
    pub stamp: DiskStamp,
}

/// Why a file has no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// It cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It was written to while it was read; try again when it rests.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Nobody waits for it any more.
    #[error("hashing was cancelled")]
    Cancelled,
}

/// Reads `path` once and hashes it. Blocks for as long as the disk takes.
///
/// `progress` is told how many bytes are done, after each chunk group.
///
/// # Errors
/// [`HashError`]; `Cancelled` soon after `cancel` is set.
pub fn hash_file(
    disk: &dyn Disk,
    path: &Path,
    cancel: &AtomicBool,
    progress: impl FnMut(u64),
) -> Result<Hashed, HashError> {
    let failed = |source| HashError::Io {
        path: path.to_owned(),
        source,
    };
    let changed = || HashError::Changed {
        path: path.to_owned(),
    };
    let file = disk.open(path).map_err(failed)?;
    let before = file.stamp().map_err(failed)?;
    let reader = FileReader {
        file: &*file,
        at: 0,
        cancel,
        progress,
    };
    let outboard = Outboard::of(reader, before.size).map_err(|error| match error.kind() {
        _ if cancel.load(Ordering::Relaxed) => HashError::Cancelled,
        io::ErrorKind::UnexpectedEof => changed(),
        _ => failed(error),
    })?;
    // The name too: a tagger writes a new file and moves it here.
    let named = disk.open(path).and_then(|file| file.stamp());
    if file.stamp().map_err(failed)? != before || named.map_err(failed)? != before {
        return Err(changed());
    }
    Ok(Hashed {
        outboard,
        stamp: before,
    })
}

/// Hashes the first `size` bytes of an open file.
pub(super) fn hash_open(file: &dyn DiskFile, size: u64) -> io::Result<Outboard> {
    let reader = FileReader {
        file,
        at: 0,
        cancel: &AtomicBool::new(false),
        progress: |_| {},
    };
    Outboard::of(reader, size)
}

struct FileReader<'a, P> {
    file: &'a dyn DiskFile,
    at: u64,
    cancel: &'a AtomicBool,
    progress: P,
}

impl<P: FnMut(u64)> Read for FileReader<'_, P> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        let n = self.file.read_at(self.at, buf)?;
        self.at += n as u64;
        (self.progress)(self.at);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::MemDisk;
    use super::*;
    use crate::id::GROUP_BYTES;

    fn disk_with(bytes: &[u8]) -> (MemDisk, Box<dyn DiskFile>) {
        let disk = MemDisk::default();
        let file = disk.create(Path::new("/a.flac")).unwrap();
        file.write_at(0, bytes).unwrap();
        (disk, file)
    }

    #[test]
    fn gives_the_hash_and_tells_the_progress() {
        let bytes = vec![5; 3 * GROUP_BYTES as usize + 1];
        let (disk, _) = disk_with(&bytes);
        let mut seen = Vec::new();
        let never = AtomicBool::new(false);
        let hashed = hash_file(&disk, Path::new("/a.flac"), &never, |n| seen.push(n)).unwrap();
        let expected = Outboard::of(&bytes[..], bytes.len() as u64).unwrap();
        assert_eq!(hashed.outboard, expected);
        assert_eq!(seen.len(), 4);
        assert_eq!(seen.last(), Some(&(bytes.len() as u64)));
    }

    #[test]
    fn notices_a_write_a_replacement_and_a_cancel() {
        type During = fn(&MemDisk, &dyn DiskFile, &AtomicBool);
        let cases: [(During, &str); 3] = [
            (
                |_, file, _| file.write_at(0, b"x").unwrap(),
                "changed while",
            ),
            (
                |disk, _, _| {
                    disk.create(Path::new("/new")).unwrap();
                    disk.rename(Path::new("/new"), Path::new("/a.flac"))
                        .unwrap();
                },
                "changed while",
            ),
            (
                |_, _, cancel| cancel.store(true, Ordering::Relaxed),
                "cancelled",
            ),
        ];
        for (during, expected) in cases {
            let (disk, file) = disk_with(&vec![5; 3 * GROUP_BYTES as usize]);
            let cancel = AtomicBool::new(false);
            let error = hash_file(&disk, Path::new("/a.flac"), &cancel, |_| {
                during(&disk, &*file, &cancel);
            });
            assert!(error.unwrap_err().to_string().contains(expected));
        }
    }
}
