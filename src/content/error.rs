//! What keeps the store from what it is asked for.

use std::{io, path::PathBuf, sync::Arc};

use crate::{content::slow::Slowness, id::TrackId};

/// Why the store cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The cache directory, or a file in it, cannot be used.
    #[error("cache: cannot {doing} {}: {source}", path.display())]
    Io {
        /// A verb: "create", "rename".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Arriving bytes cannot be written, mostly because the disk is full.
    #[error("cache: cannot write track {track}: {source}")]
    Write {
        /// The arriving track.
        track: TrackId,
        /// What the system said.
        source: io::Error,
    },
    /// Music would have to wait for the disk.
    #[error(
        "the cache in {} is slow: {slowness}; use a faster card, or set `cache.dir` to another place",
        dir.display()
    )]
    Slow {
        /// The cache directory.
        dir: PathBuf,
        /// How slow.
        slowness: Slowness,
    },
    /// The track alone is larger than the cache may be.
    #[error("track {track} needs {needs} bytes and cache.max is {cap}: raise cache.max")]
    TooLarge {
        /// The track.
        track: TrackId,
        /// Its size and its outboard's.
        needs: u64,
        /// The cap in bytes.
        cap: u64,
    },
    /// Everything in the cache is being played, fetched, pinned or queued.
    #[error(
        "no room for track {track}: all of the cache ({cap} bytes) is queued or in use; \
         raise cache.max, or shorten the queue"
    )]
    Full {
        /// The track that found no room.
        track: TrackId,
        /// The cap in bytes.
        cap: u64,
    },
    /// The track is known with another size; sizes come from catalogues, which may lie.
    #[error("track {track} has {known} bytes here, not {claimed}")]
    WrongSize {
        /// The track.
        track: TrackId,
        /// Its size here.
        known: u64,
        /// The size that was asked for.
        claimed: u64,
    },
    /// What arrives of a track that cannot be kept is more than memory may hold.
    #[error("track {track} cannot be kept, and nobody lets go of what has been heard")]
    Memory {
        /// The track.
        track: TrackId,
    },
    /// A track that is only in memory cannot be made to last.
    #[error("track {track} is not kept: {why}")]
    Unkept {
        /// The track.
        track: TrackId,
        /// Why.
        why: Arc<str>,
    },
    /// Items of one track were given to another.
    #[error("bytes of track {track} given to track {blob}")]
    Foreign {
        /// The items' track.
        track: TrackId,
        /// The track that they were given to.
        blob: TrackId,
    },
    /// The track has not all arrived.
    #[error("track {track} is not complete")]
    Incomplete {
        /// The track.
        track: TrackId,
    },
}

impl StoreError {
    /// Whether the disk is full.
    pub(in crate::content) fn is_for_want_of_room(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}
