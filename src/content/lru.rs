//! What lies in the cache directory, and what goes first when room is needed.
//!
//! The order is least recently used first. What is pinned, queued, or in use as the
//! caller says, is never named for removal; when nothing else is left there is no room, and
//! the cap holds all the same.

use std::collections::BTreeMap;

use crate::id::TrackId;

/// The cache's table of contents. Removing the files is the caller's.
#[derive(Debug)]
pub struct LruIndex {
    cap: u64,
    used: u64,
    clock: u64,
    items: BTreeMap<TrackId, ShelfItem>,
    /// The same by when they were used last: an index has 100,000 outboards, and sorting
    /// them for each that is put there took a CPU for minutes.
    by_age: BTreeMap<u64, TrackId>,
    partials: usize,
    pins: BTreeMap<TrackId, u32>,
    /// What somebody has queued, sorted.
    queued: Vec<TrackId>,
}

/// What of a track lies in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredKind {
    /// The whole track, and its outboard.
    Held,
    /// A track that has not all arrived, and as much of its outboard.
    Partial,
    /// The outboard of a library file.
    Outboard,
}

/// Everything that could go is in use, pinned or queued.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRoom;

#[derive(Debug)]
struct ShelfItem {
    kind: StoredKind,
    /// The track's size, whatever of it is here.
    size: u64,
    /// What it takes of the cap; for one that is arriving: will take.
    bytes: u64,
    last_used: u64,
}

impl LruIndex {
    /// An empty index with room for `cap` bytes.
    pub fn new(cap: u64) -> Self {
        Self {
            cap,
            used: 0,
            clock: 0,
            items: BTreeMap::new(),
            by_age: BTreeMap::new(),
            partials: 0,
            pins: BTreeMap::new(),
            queued: Vec::new(),
        }
    }

    pub fn cap(&self) -> u64 {
        self.cap
    }

    /// Makes it an index with room for `cap` bytes; what is too much stays until
    /// [`Self::make_room`].
    pub fn set_cap(&mut self, cap: u64) {
        self.cap = cap;
    }

    /// Bytes in the index; above the cap only while [`Self::make_room`] was not asked.
    #[cfg(test)]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// What of `track` is here.
    pub fn kind(&self, track: TrackId) -> Option<StoredKind> {
        self.items.get(&track).map(|item| item.kind)
    }

    /// The whole tracks, with their sizes.
    pub fn held(&self) -> impl Iterator<Item = (TrackId, u64)> + '_ {
        let held = |(_, item): &(&TrackId, &ShelfItem)| item.kind == StoredKind::Held;
        self.items
            .iter()
            .filter(held)
            .map(|(track, item)| (*track, item.size))
    }

    /// Puts `track` into the index as just used, instead of what was there of it.
    pub fn put(&mut self, track: TrackId, kind: StoredKind, size: u64, bytes: u64) {
        self.remove(track);
        self.used += bytes;
        self.clock += 1;
        let item = ShelfItem {
            kind,
            size,
            bytes,
            last_used: self.clock,
        };
        self.items.insert(track, item);
        self.by_age.insert(self.clock, track);
        self.partials += usize::from(kind == StoredKind::Partial);
    }

    /// Notes that what is here of `track` takes `bytes` from now on.
    pub fn resize(&mut self, track: TrackId, bytes: u64) {
        if let Some(item) = self.items.get_mut(&track) {
            self.used = self.used - item.bytes + bytes;
            item.bytes = bytes;
        }
    }

    /// Bytes that `track` takes.
    pub fn bytes(&self, track: TrackId) -> u64 {
        self.items.get(&track).map_or(0, |item| item.bytes)
    }

    /// How many tracks have not all arrived.
    pub fn partials(&self) -> usize {
        self.partials
    }

    pub fn remove(&mut self, track: TrackId) {
        if let Some(item) = self.items.remove(&track) {
            self.partials -= usize::from(item.kind == StoredKind::Partial);
            self.used -= item.bytes;
            self.by_age.remove(&item.last_used);
        }
    }

    /// Notes that `track` is wanted now.
    pub fn touch(&mut self, track: TrackId) {
        if let Some(item) = self.items.get_mut(&track) {
            self.clock += 1;
            self.by_age.remove(&item.last_used);
            item.last_used = self.clock;
            self.by_age.insert(self.clock, track);
        }
    }

    /// Keeps `track` until as many [`Self::unpin`], whether it is here yet or not.
    pub fn pin(&mut self, track: TrackId) {
        *self.pins.entry(track).or_default() += 1;
    }

    pub fn unpin(&mut self, track: TrackId) {
        if let Some(pins) = self.pins.get_mut(&track) {
            *pins -= 1;
            if *pins == 0 {
                self.pins.remove(&track);
            }
        }
    }

    /// Keeps `tracks`, wherever they are or will be, instead of those named before.
    pub fn set_queued(&mut self, mut tracks: Vec<TrackId>) {
        tracks.sort_unstable();
        tracks.dedup();
        self.queued = tracks;
    }

    /// Whether somebody has said that `track` is to stay.
    fn keeps(&self, track: TrackId) -> bool {
        self.pins.contains_key(&track) || self.queued.binary_search(&track).is_ok()
    }

    /// Takes items off until `bytes` more fit, and names them so that their files are removed.
    ///
    /// # Errors
    /// [`NoRoom`], and then nothing was taken off.
    pub fn make_room(
        &mut self,
        bytes: u64,
        in_use: impl Fn(TrackId) -> bool,
    ) -> Result<Vec<(TrackId, StoredKind)>, NoRoom> {
        let mut excess = self.used.saturating_add(bytes).saturating_sub(self.cap);
        let mut going = Vec::new();
        for (track, item) in self.oldest_first() {
            if excess == 0 {
                break;
            }
            if !self.keeps(track) && !in_use(track) {
                excess = excess.saturating_sub(item.bytes);
                going.push((track, item.kind));
            }
        }
        if excess > 0 {
            return Err(NoRoom);
        }
        for (track, _) in &going {
            self.remove(*track);
        }
        Ok(going)
    }

    /// While there is more than the cap, the next that may go.
    pub fn excess(&self, in_use: impl Fn(TrackId) -> bool) -> Option<(TrackId, StoredKind)> {
        (self.used > self.cap).then(|| self.oldest(in_use))?
    }

    /// The least recently used item that may go.
    pub fn oldest(&self, in_use: impl Fn(TrackId) -> bool) -> Option<(TrackId, StoredKind)> {
        self.oldest_where(|_| true, in_use)
    }

    /// The least recently used partial track that may go.
    pub fn oldest_partial(&self, in_use: impl Fn(TrackId) -> bool) -> Option<TrackId> {
        let partial = self.oldest_where(|kind| kind == StoredKind::Partial, in_use)?;
        Some(partial.0)
    }

    fn oldest_where(
        &self,
        which: impl Fn(StoredKind) -> bool,
        in_use: impl Fn(TrackId) -> bool,
    ) -> Option<(TrackId, StoredKind)> {
        self.oldest_first()
            .map(|(track, item)| (track, item.kind))
            .filter(|(_, kind)| which(*kind))
            .find(|(track, _)| !self.keeps(*track) && !in_use(*track))
    }

    fn oldest_first(&self) -> impl Iterator<Item = (TrackId, &ShelfItem)> {
        let known = |track: &TrackId| Some((*track, self.items.get(track)?));
        self.by_age.values().filter_map(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(n: u8) -> TrackId {
        TrackId([n; 32])
    }

    fn full_index() -> LruIndex {
        let mut index = LruIndex::new(30);
        for n in 1..=3 {
            index.put(track(n), StoredKind::Held, 9, 10);
        }
        index
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut index = full_index();
        index.touch(track(1));
        let gone = index.make_room(15, |_| false);
        assert_eq!(
            gone,
            Ok(vec![
                (track(2), StoredKind::Held),
                (track(3), StoredKind::Held)
            ])
        );
        assert_eq!(index.used(), 10);
    }

    #[test]
    fn a_smaller_cap_takes_as_many_as_it_must_and_may() {
        let mut index = full_index();
        assert_eq!(index.excess(|_| false), None);
        index.set_cap(15);
        let in_use = |t| t == track(1);
        assert_eq!(index.excess(in_use), Some((track(2), StoredKind::Held)));
        index.remove(track(2));
        assert_eq!(index.excess(in_use), Some((track(3), StoredKind::Held)));
        index.remove(track(3));
        assert_eq!(index.excess(in_use), None);
        index.set_cap(5);
        assert_eq!(index.excess(in_use), None, "it is too much, but in use");
    }

    #[test]
    fn what_is_queued_stays_until_it_is_not() {
        let mut index = full_index();
        index.set_queued(vec![track(3), track(9), track(1), track(3)]);
        assert_eq!(index.make_room(11, |_| false), Err(NoRoom));
        assert_eq!(index.oldest(|_| false), Some((track(2), StoredKind::Held)));
        index.set_queued(vec![track(3)]);
        assert_eq!(index.oldest(|_| false), Some((track(1), StoredKind::Held)));
    }

    #[test]
    fn a_partial_track_takes_what_it_has() {
        let mut index = full_index();
        index.put(track(4), StoredKind::Partial, 9, 10);
        index.resize(track(4), 3);
        assert_eq!(
            (index.used(), index.bytes(track(4)), index.partials()),
            (33, 3, 1)
        );
        index.put(track(4), StoredKind::Held, 9, 10);
        assert_eq!((index.used(), index.partials()), (40, 0));
    }

    #[test]
    fn what_is_pinned_or_in_use_stays() {
        let mut index = full_index();
        index.pin(track(1));
        index.pin(track(1));
        index.unpin(track(1));
        let in_use = |t| t == track(2);
        assert_eq!(index.make_room(11, in_use), Err(NoRoom));
        assert_eq!(index.used(), 30);
        assert_eq!(
            index.make_room(10, in_use),
            Ok(vec![(track(3), StoredKind::Held)])
        );
        index.unpin(track(1));
        assert_eq!(
            index.make_room(20, in_use),
            Ok(vec![(track(1), StoredKind::Held)])
        );
    }
}
