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

/// Whether another process has it, or this one does.
pub(super) fn is_in_use(error: &redb::Error) -> bool {
    matches!(
        error,
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockPoisoned(_)
    )
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
