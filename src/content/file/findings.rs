//! What is found of tracks as they are read: bytes that are not theirs. A blob tells, and goes
//! on; the store acts on it when it is next asked for something.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_channel::Sender;

use crate::id::TrackId;

/// Told by blobs, and not taken yet.
pub(in crate::content) struct BlobFindings {
    /// A few of each open blob at most: from the first on it is read no more.
    found: Mutex<Vec<BlobFinding>>,
    /// Where the library takes files from that it is to read again.
    doubts: Sender<PathBuf>,
}

/// Something that is not what it was taken for.
pub(in crate::content) enum BlobFinding {
    /// What the cache has of a track.
    WrongCopy(TrackId),
    /// What it has of the outboard of a library file.
    WrongOutboard(TrackId),
    /// A library file, which is not the track any more.
    OtherFile(TrackId, PathBuf),
}

impl BlobFindings {
    pub fn new(doubts: Sender<PathBuf>) -> Self {
        Self {
            found: Mutex::default(),
            doubts,
        }
    }

    /// A slice of what the cache has of `track` was found to be wrong.
    pub fn tell_wrong_copy(&self, track: TrackId) {
        self.tell(BlobFinding::WrongCopy(track));
    }

    /// The same for a library file: its outboard is broken, or the file is not the track any
    /// more. One read of it tells, and no requester comes back before its result is listed.
    pub fn tell_wrong_slice(&self, track: TrackId, path: &Path) {
        self.tell(BlobFinding::WrongOutboard(track));
        self.tell_other_file(track, path);
    }

    /// A library file has other bytes by now, and is to be looked at.
    pub fn tell_other_file(&self, track: TrackId, path: &Path) {
        self.tell(BlobFinding::OtherFile(track, path.to_owned()));
        // One that finds no room is found again when it is next asked for.
        let _ = self.doubts.try_send(path.to_owned());
    }

    /// All that was told since this was asked last, in order.
    pub fn take(&self) -> Vec<BlobFinding> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *found)
    }

    fn tell(&self, finding: BlobFinding) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.push(finding);
    }
}
