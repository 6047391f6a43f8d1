//! An arriving track that the disk cannot take, or no more of: the rest of it goes
//! through memory.
//!
//! The decoder reads it as any other. It is neither served nor made to last, since
//! nobody can tell what of its outboard came to the disk. What has been heard is let
//! go when the scheduler says so; a bound holds if it does not.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, Weak};
use std::time::SystemTime;

use bytes::Bytes;

use super::{Blob, DiskFile, DiskStamp, GroupArrival};
use crate::content::blob::{Verified, VerifiedItem};
use crate::content::ranges::GroupSet;
use crate::content::store::{Store, StoreError};
use crate::id::{Group, TrackId};

/// What is in memory of a track: what is on its way to the disk, and what the disk cannot take.
#[derive(Default)]
pub(super) struct MemoryTail {
    /// Why the disk takes no more of the track, once it does not.
    why: Option<Arc<str>>,
    /// Somebody knows that.
    is_told: bool,
    groups: BTreeMap<Group, Bytes>,
    bytes: usize,
}

/// An arriving track that cannot be kept.
#[derive(Clone, Debug)]
pub struct Uncached {
    /// What the disk has of it all the same.
    pub kept: GroupSet,
    /// Why not more.
    pub why: Arc<str>,
}

impl Blob {
    /// An arriving track for which there is no place on a disk.
    pub(in crate::content) fn placeless(
        track: TrackId,
        size: u64,
        why: Arc<str>,
        store: Weak<Store>,
    ) -> Self {
        let (nowhere, have) = (Box::new(NullFile), GroupSet::new());
        let blob = Self::cached(track, size, nowhere, Box::new(NullFile), store, have);
        blob.spill_to_memory(why);
        blob
    }

    /// Takes verified items in as [`Self::write`] does. What the disk cannot take, even
    /// after older tracks have made room, is kept in memory from then on, and the track
    /// is [`Self::unkept`].
    ///
    /// # Errors
    /// [`StoreError::Foreign`], and [`StoreError::Memory`] when nobody forgets.
    pub fn take_in(&self, items: &[Verified]) -> Result<(), StoreError> {
        loop {
            let error = match self.write(items.iter().cloned()) {
                Err(error @ (StoreError::Write { .. } | StoreError::Slow { .. })) => error,
                written => return written,
            };
            let store = self.store.upgrade();
            if !(error.is_for_want_of_room() && store.is_some_and(|store| store.give_way())) {
                self.spill_to_memory(error.to_string().into());
            }
        }
    }

    /// The same, when the disk does not end a write of these in time: it has them, or not.
    ///
    /// # Errors
    /// The same.
    pub fn take_in_without_disk(&self, items: &[Verified]) -> Result<(), StoreError> {
        if let Some(store) = self.store.upgrade() {
            store.handle_stall();
        }
        self.take_in(items)
    }

    /// Whether the track cannot be kept.
    pub fn unkept(&self) -> Option<Uncached> {
        let arrival = self.arrival();
        let why = arrival.loose.why.clone()?;
        let kept = arrival.loose.kept(&arrival.have);
        Some(Uncached { kept, why })
    }

    /// The same, if nobody has asked so since then.
    pub fn take_unkept(&self) -> Option<Uncached> {
        let unkept = self.unkept()?;
        let was_told = std::mem::replace(&mut self.arrival().loose.is_told, true);
        (!was_told).then_some(unkept)
    }

    /// The same, without saying why not.
    pub(super) fn is_loose(&self) -> bool {
        self.arrival().loose.why.is_some()
    }

    /// Lets go of what is in memory of these groups.
    pub fn forget(&self, groups: &GroupSet) {
        let arrival = &mut *self.arrival();
        if arrival.loose.why.is_some() {
            let going = arrival.loose.let_go(groups);
            arrival.have = arrival.have.difference(&going);
        }
    }

    /// From now on what arrives stays in memory.
    pub(in crate::content) fn spill_to_memory(&self, why: Arc<str>) {
        self.arrival().loose.why.get_or_insert(why);
        self.arrived.notify_all();
    }

    /// Has these be read before the disk has them, which [`Self::take_in`] is to see to.
    ///
    /// # Errors
    /// [`StoreError::Foreign`], and [`StoreError::Memory`] when nobody forgets.
    pub fn show(&self, items: &[Verified]) -> Result<(), StoreError> {
        items.iter().try_for_each(|item| self.check_track(item))?;
        let arrival = &mut *self.arrival();
        let shown = items
            .iter()
            .try_for_each(|item| take_loosely(arrival, item));
        self.arrived.notify_all();
        shown
    }

    /// Takes one of them.
    pub(super) fn take_loosely(&self, item: &Verified) -> Result<(), StoreError> {
        let taken = take_loosely(&mut self.arrival(), item);
        self.arrived.notify_all();
        taken
    }

    /// Waits until the disk has all that is here, or cannot have it.
    pub(in crate::content) fn wait_for_disk(&self) {
        let mut arrival = self.arrival();
        while arrival.loose.why.is_none() && !arrival.loose.is_empty() {
            let woken = self.arrived.wait(arrival);
            arrival = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Takes an item into memory, unless it is here.
fn take_loosely(arrival: &mut GroupArrival, item: &Verified) -> Result<(), StoreError> {
    let VerifiedItem::Group { group, bytes } = item.item() else {
        return Ok(()); // Nothing is proven to others from memory.
    };
    if arrival.have.contains(*group) {
        return Ok(());
    }
    if arrival.loose.bytes + bytes.len() > MAX_LOOSE_BYTES {
        let track = item.track();
        return Err(StoreError::Memory { track });
    }
    arrival.loose.insert(*group, bytes);
    arrival.have.insert(*group);
    arrival.failed = None;
    Ok(())
}

impl MemoryTail {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// What the disk has of what is here.
    pub(super) fn kept(&self, have: &GroupSet) -> GroupSet {
        have.difference(&self.groups.keys().copied().collect())
    }

    /// Reads up to the end of the group, if that is in memory.
    pub(super) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Option<usize> {
        let group = Group::of(offset);
        let bytes = self.groups.get(&group)?;
        let from = usize::try_from(offset - group.start()).ok()?;
        let rest = bytes.get(from..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Some(n)
    }

    /// Takes what is in memory of `groups` out of it, and says what that was.
    pub(super) fn let_go(&mut self, groups: &GroupSet) -> GroupSet {
        let here: GroupSet = self.groups.keys().copied().collect();
        let going = here.intersection(groups);
        for group in going.iter() {
            let bytes = self.groups.remove(&group);
            self.bytes -= bytes.map_or(0, |bytes| bytes.len());
        }
        going
    }

    fn insert(&mut self, group: Group, bytes: &[u8]) {
        self.bytes += bytes.len();
        // Its own copy: it may be a small part of a large buffer.
        self.groups.insert(group, Bytes::copy_from_slice(bytes));
    }
}

/// The files of a track that has none.
struct NullFile;

impl DiskFile for NullFile {
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nobody else can change what is nowhere.
    fn stamp(&self) -> io::Result<DiskStamp> {
        Ok(DiskStamp {
            size: 0,
            modified: SystemTime::UNIX_EPOCH,
            inode: (0, 0),
            changed: SystemTime::UNIX_EPOCH,
        })
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Twice what the scheduler has in memory of a track that cannot be kept, for what
/// was under way when that began.
const MAX_LOOSE_BYTES: usize = 32 << 20;
