//! Tracks that have not all arrived: while somebody has them fetched, and while they rest
//! on the disk until somebody wants them again.
//!
//! One that arrives has room for all of it, so that the cap holds; one that rests takes
//! what is here of it. Opening a resting one to serve from it leaves it at rest.

use std::sync::Arc;

use super::{same_size, Blob, Inner, Store, StoredKind};
use crate::content::error::StoreError;
use crate::content::layout::{footprint, partial_footprint};
use crate::content::ranges::GroupSet;
use crate::id::TrackId;

impl Store {
    /// Lets those arriving tracks rest that nobody uses: makes last what has arrived of
    /// them, closes their files and frees the room that was meant for more.
    pub fn rest_idle(&self) {
        let inner = self.inner();
        let partial = inner.partial.iter();
        let idle = partial.filter(|(_, blob)| Arc::strong_count(blob) == 1);
        let idle: Vec<_> = idle.map(|(_, blob)| blob.clone()).collect();
        drop(inner);
        idle.into_iter().for_each(|blob| self.rest(blob));
    }

    /// The same for all, even if somebody still reads them: the node ends.
    pub fn rest_all(&self) {
        let all: Vec<_> = self.inner().partial.values().cloned().collect();
        all.into_iter().for_each(|blob| self.rest(blob));
    }

    fn rest(&self, blob: Arc<Blob>) {
        let track = blob.track();
        if let Err(error) = self.checkpoint(&blob) {
            log::debug!("what is here of track {track} is looked at again later: {error}");
        }
        drop(blob);
        self.let_go(track);
    }

    fn checkpoint(&self, blob: &Arc<Blob>) -> Result<(), StoreError> {
        let _once = blob.finishing();
        while self.write_next(blob) {}
        if blob.kept().is_empty() {
            return Ok(());
        }
        blob.checkpoint()
    }

    /// Closes an arriving track, unless somebody uses it. What the disk has of it stays.
    pub(super) fn let_go(&self, track: TrackId) {
        let mut inner = self.inner();
        if inner.in_use(track) {
            return;
        }
        if let Err(error) = self.close(&mut inner, track) {
            log::warn!("{error}");
        }
    }

    /// Closes it in any case; of what is empty nothing stays.
    fn close(&self, inner: &mut Inner, track: TrackId) -> Result<(), StoreError> {
        let Some(blob) = inner.partial.remove(&track) else {
            return Ok(());
        };
        let kept = blob.kept();
        if kept.is_empty() {
            return self.remove_item(inner, track, StoredKind::Partial);
        }
        let bytes = partial_footprint(blob.size(), &kept);
        inner.lru.resize(track, bytes);
        Ok(())
    }

    /// What an earlier life left of a track, or this one before it let go of it.
    pub(super) fn open_resting(
        self: &Arc<Self>,
        track: TrackId,
        claimed: Option<u64>,
    ) -> Option<Blob> {
        let left = self.layout.open_partial(track);
        let left = left.inspect_err(|error| log::warn!("{error}")).ok()?;
        let (known, clean) = (left.bitfield.as_ref(), left.clean);
        let size = known.map(|here| here.size).or(claimed)?;
        let blob = Blob::resting(track, size, left, self.place());
        if !clean {
            log::debug!("{} groups of track {track} are true", blob.have().count());
            // The next opening need not wait for that again.
            if claimed.is_none() && blob.checkpoint().is_err() {
                return None;
            }
        }
        Some(blob)
    }

    /// Has a track that rests go on arriving.
    pub(super) fn take_up(self: &Arc<Self>, blob: Arc<Blob>) -> Result<Arc<Blob>, StoreError> {
        let (track, size) = (blob.track(), blob.size());
        if !blob.is_arriving() || blob.unkept().is_some() {
            return Ok(blob);
        }
        let mut inner = self.inner();
        if inner.partial.contains_key(&track) || inner.lru.kind(track) != Some(StoredKind::Partial)
        {
            return Ok(blob);
        }
        self.make_place(&mut inner, track)?;
        let bytes = footprint(size);
        self.make_room(&mut inner, track, bytes)?;
        inner.lru.resize(track, bytes);
        inner.open.remove(&track);
        inner.partial.insert(track, blob.clone());
        Ok(blob)
    }

    pub(super) fn create_partial(
        self: &Arc<Self>,
        track: TrackId,
        size: u64,
    ) -> Result<Arc<Blob>, StoreError> {
        self.take_stock()?;
        let mut inner = self.inner();
        if let Some(blob) = inner.at_hand(track) {
            return same_size(blob, size); // Another thread was faster.
        }
        self.make_place(&mut inner, track)?;
        if inner.lru.partials() >= MAX_RESTING {
            let oldest = inner.lru.oldest_partial(|t| inner.in_use(t));
            let cap = inner.lru.cap();
            let oldest = oldest.ok_or(StoreError::Full { track, cap })?;
            self.remove_item(&mut inner, oldest, StoredKind::Partial)?;
        }
        if let Some(kind) = inner.lru.kind(track) {
            // A track that cannot be opened, or the outboard of a file that has left.
            self.remove_item(&mut inner, track, kind)?;
        }
        let bytes = footprint(size);
        self.make_room(&mut inner, track, bytes)?;
        let (data, outboard) = self.layout.create_partial(track)?;
        let nothing = GroupSet::new();
        let blob = Blob::cached(track, size, data, outboard, self.place(), nothing);
        blob.made_new();
        let blob = Arc::new(blob);
        inner.lru.put(track, StoredKind::Partial, size, bytes);
        inner.partial.insert(track, blob.clone());
        Ok(blob)
    }

    /// Makes place for `track` to arrive: nobody waits for a disk here, so what goes is
    /// looked at again when it is opened.
    fn make_place(&self, inner: &mut Inner, track: TrackId) -> Result<(), StoreError> {
        if inner.partial.len() < MAX_ARRIVING {
            return Ok(());
        }
        let mut arriving = inner.partial.iter();
        let idle = arriving.find(|(_, blob)| Arc::strong_count(blob) == 1);
        let cap = inner.lru.cap();
        let idle = *idle.ok_or(StoreError::Full { track, cap })?.0;
        self.close(inner, idle)
    }

    /// A track for which there is no room: what rests of it is read, and the other
    /// groups arrive in memory.
    pub(super) fn without_place(
        self: &Arc<Self>,
        track: TrackId,
        size: u64,
        why: Arc<str>,
    ) -> Arc<Blob> {
        let resting = self.find(track, Some(size)).filter(|b| b.size() == size);
        match resting {
            Some(blob) => {
                blob.revive();
                blob.spill_to_memory(why);
                blob
            }
            None => Arc::new(Blob::placeless(track, size, why, self.place())),
        }
    }

    /// Drops what has arrived of a track that nobody uses; whether there was something.
    pub(super) fn drop_unused_partial(&self, track: TrackId) -> Result<bool, StoreError> {
        let mut inner = self.inner();
        let idle = inner.lru.kind(track) == Some(StoredKind::Partial) && !inner.in_use(track);
        if idle {
            self.remove_item(&mut inner, track, StoredKind::Partial)?;
        }
        Ok(idle)
    }
}

/// Arriving tracks at once: each has two files open. One plays, one is fetched ahead;
/// the others were skipped a moment ago.
const MAX_ARRIVING: usize = 16;

/// Tracks on the disk that have not all arrived: a start reads a small file for each, and
/// nobody comes back to more than he skipped in an evening.
const MAX_RESTING: usize = 256;
