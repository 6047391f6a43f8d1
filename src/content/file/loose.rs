//! An arriving track that the disk cannot take, or no more of: the rest of it goes
//! through memory.
//!
//! Who plays it reads it as any other. It is neither served nor made to last, since
//! nobody can tell what of its outboard came to the disk. What has been heard is let
//! go when the scheduler says so; a bound holds if it does not.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use bytes::Bytes;

use super::{Blob, DiskFile, Stamp};
use crate::content::blob::{Verified, VerifiedItem};
use crate::content::ranges::GroupSet;
use crate::content::store::{Store, StoreError};
use crate::id::{Group, TrackId};

/// What is kept in memory since the disk cannot.
pub(super) struct Loose {
    why: Arc<str>,
    /// What the disk has.
    kept: GroupSet,
    groups: BTreeMap<Group, Bytes>,
    bytes: usize,
}

/// An arriving track that cannot be kept.
#[derive(Clone, Debug)]
pub struct Unkept {
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
        let (nowhere, have) = (Box::new(Nowhere), GroupSet::new());
        let blob = Self::cached(track, size, nowhere, Box::new(Nowhere), store, have);
        blob.come_loose(why);
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
                self.come_loose(error.to_string().into());
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
    pub fn unkept(&self) -> Option<Unkept> {
        let arrival = self.arrival();
        let loose = arrival.loose.as_ref()?;
        let (kept, why) = (loose.kept.clone(), loose.why.clone());
        Some(Unkept { kept, why })
    }

    /// Lets go of what is in memory of these groups.
    pub fn forget(&self, groups: &GroupSet) {
        let arrival = &mut *self.arrival();
        let Some(loose) = &mut arrival.loose else {
            return;
        };
        let here: GroupSet = loose.groups.keys().copied().collect();
        let going = here.intersection(groups);
        for group in going.iter() {
            let bytes = loose.groups.remove(&group);
            loose.bytes -= bytes.map_or(0, |bytes| bytes.len());
        }
        arrival.have = arrival.have.difference(&going);
    }

    /// From now on what arrives stays in memory.
    pub(in crate::content) fn come_loose(&self, why: Arc<str>) {
        let mut arrival = self.arrival();
        let kept = arrival.have.clone();
        arrival.loose.get_or_insert(Loose {
            why,
            kept,
            groups: BTreeMap::new(),
            bytes: 0,
        });
    }
}

impl Loose {
    /// What the disk has.
    pub(super) fn kept(&self) -> &GroupSet {
        &self.kept
    }

    /// The disk does not have these after all.
    pub(super) fn take_back(&mut self, lost: &GroupSet) {
        self.kept = self.kept.difference(lost);
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

    /// Takes an item in; gives the group that it was.
    pub(super) fn take(&mut self, item: &Verified) -> Result<Option<Group>, StoreError> {
        let VerifiedItem::Group { group, bytes } = item.item() else {
            return Ok(None); // Nothing is proven to others from memory.
        };
        if self.kept.contains(*group) {
            return Ok(None);
        }
        if self.bytes + bytes.len() > MAX_LOOSE_BYTES {
            let track = item.track();
            return Err(StoreError::Memory { track });
        }
        if !self.groups.contains_key(group) {
            self.bytes += bytes.len();
            // Its own copy: it may be a small part of a large buffer.
            self.groups.insert(*group, Bytes::copy_from_slice(bytes));
        }
        Ok(Some(*group))
    }
}

/// The files of a track that has none.
struct Nowhere;

impl DiskFile for Nowhere {
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Nobody else can change what is nowhere.
    fn stamp(&self) -> io::Result<Stamp> {
        Ok(Stamp {
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
