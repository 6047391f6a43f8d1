//! What others get of a track: slices that prove themselves.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use bao_tree::io::sync::ReadAt;

use super::{hashes::Hashes, pairs::Ahead, Blob, BlobOrigin, DiskFile};
use crate::content::blob::{encode, EncodeError};
use crate::content::ranges::GroupSet;

/// Why there is no (whole) slice.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    /// These groups are not here (any more, or yet).
    #[error("groups {0} are not here")]
    NotHere(GroupSet),
    /// The bytes on the disk are not the track's any more.
    #[error("the file changed on its disk")]
    Changed,
    /// Reading failed.
    #[error("cannot read the track: {0}")]
    Read(#[source] io::Error),
    /// The receiving end failed or hung up.
    #[error("cannot write the slice: {0}")]
    Write(#[source] io::Error),
}

impl Blob {
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
        let hashes = self.hashes()?;
        let mut out = Out { out, failed: None };
        let data = Positioned(&*self.data);
        let hashes = Ahead::of(&hashes);
        match encode(self.track, self.size, data, hashes, groups, &mut out) {
            Ok(()) => Ok(()),
            Err(EncodeError::Mismatch) if self.is_arriving() => {
                // It was true when it was written, or proven: the disk breaks.
                self.recheck(groups);
                Err(SliceError::Changed)
            }
            Err(EncodeError::Mismatch) => {
                self.distrust();
                Err(SliceError::Changed)
            }
            Err(EncodeError::Io(error)) => Err(match out.failed {
                Some(error) => SliceError::Write(error),
                None => SliceError::Read(error),
            }),
        }
    }

    pub(super) fn hashes(&self) -> Result<Arc<Hashes>, SliceError> {
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
}

/// A [`DiskFile`] in bao's terms.
pub(super) struct Positioned<'a>(pub(super) &'a dyn DiskFile);

impl ReadAt for Positioned<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buf)
    }
}

/// Remembers that it was the writing end that failed.
struct Out<'a> {
    out: &'a mut dyn Write,
    failed: Option<io::Error>,
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.failed = Some(error);
            }
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
