//! What others get of a track: slices that prove themselves.

use std::io::{self, Write};
use std::sync::Arc;

use bao_tree::io::sync::ReadAt;

use super::{hashes::Hashes, pairs::Ahead, DiskFile};
use crate::content::blob::{encode, EncodeError};
use crate::content::ranges::GroupSet;
use crate::id::TrackId;

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

/// Writes the slice that proves `groups` of a track to `out`.
///
/// # Errors
/// [`SliceError::Changed`] when the bytes are not those of the hashes. What was written is true.
pub(super) fn write_slice(
    (track, size): (TrackId, u64),
    data: &dyn DiskFile,
    hashes: &Arc<Hashes>,
    groups: &GroupSet,
    out: &mut dyn Write,
) -> Result<(), SliceError> {
    let mut out = Out { out, failed: None };
    let (data, hashes) = (Positioned(data), Ahead::of(hashes));
    match encode(track, size, data, hashes, groups, &mut out) {
        Ok(()) => Ok(()),
        Err(EncodeError::Mismatch) => Err(SliceError::Changed),
        Err(EncodeError::Io(error)) => Err(match out.failed {
            Some(error) => SliceError::Write(error),
            None => SliceError::Read(error),
        }),
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
