//! What is wrong with the index, and whose fault that is.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the library's index {path}: {source}", path = path.display())]
pub struct IndexError {
    path: PathBuf,
    pub(super) source: redb::Error,
}

impl IndexError {
    /// Whether it has been told before, and nothing has changed since.
    pub fn is_old(&self) -> bool {
        matches!(self.source, redb::Error::PreviousIo)
    }

    /// The index file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

pub(super) fn failed(path: &Path, error: impl Into<redb::Error>) -> IndexError {
    IndexError {
        path: path.to_owned(),
        source: error.into(),
    }
}

/// Whether the file is at fault, rather than the disk or another process.
pub(super) fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::IsADirectory
        ),
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockPoisoned(_) => false,
        _ => true,
    }
}

/// Whether the file may be well, but nothing can be written where it lies.
pub(super) fn is_unwritable(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if matches!(
        error.kind(),
        io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
    ))
}
