//! What is in memory of an arriving track: what waits for the disk, and what that cannot take.
//!
//! The decoder reads either as any other. What waits is written in its order, by as many
//! threads as like to, one at a time; where the disk fails or stalls, all the rest goes through
//! memory. Such a track is neither served nor made to last, since
//! nobody can tell what of its outboard came to the disk. What has been heard is let
//! go when the scheduler says so; a bound holds if it does not.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, MutexGuard};
use std::time::SystemTime;

use async_channel::{Receiver, Sender};
use bytes::Bytes;

use super::{Blob, BlobPlace, DiskFile, DiskStamp, GroupArrival};
use crate::content::blob::{Verified, VerifiedItem};
use crate::content::error::StoreError;
use crate::content::ranges::GroupSet;
use crate::id::{Group, TrackId};

/// See the module's description.
#[derive(Default)]
pub(super) struct MemoryTail {
    /// Why the disk takes no more of the track, once it does not.
    why: Option<Arc<str>>,
    /// Somebody knows that.
    is_told: bool,
    groups: BTreeMap<Group, Bytes>,
    bytes: usize,
    waiting: VecDeque<WaitingPiece>,
}

/// Items that a disk is to have.
struct WaitingPiece {
    items: Arc<[Verified]>,
    bytes: u64,
    written: Written,
    /// Says so when it is dropped.
    _ends: Sender<Infallible>,
}

/// Tells when the disk has a piece, or cannot have it.
#[derive(Clone)]
pub struct Written(Receiver<Infallible>);

impl Written {
    pub async fn ended(&self) {
        let _ = self.0.recv().await;
    }

    #[cfg(test)]
    pub fn has_ended(&self) -> bool {
        self.0.is_closed()
    }
}

/// What waits for a disk.
pub struct WaitingPieces {
    /// Of all.
    pub bytes: u64,
    /// Of that which is written now, or next.
    pub first: u64,
    pub written: Written,
}

/// What came of writing what has waited longest for a disk.
pub(in crate::content) enum WriteStep {
    /// Nothing waits, or another thread is at it.
    Idle,
    /// The disk has it, or memory where the disk cannot.
    Taken,
    /// The disk is full. It waits on.
    NoRoom(StoreError),
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
        place: BlobPlace,
    ) -> Self {
        let (nowhere, have) = (Box::new(NullFile), GroupSet::new());
        let blob = Self::cached(track, size, nowhere, Box::new(NullFile), place, have);
        blob.spill_to_memory(why);
        blob
    }

    /// Takes verified items in as [`Self::write`] does. What the disk cannot take is kept in
    /// memory from then on, and the track is [`Self::unkept`].
    ///
    /// # Errors
    /// [`StoreError::Foreign`], [`StoreError::Memory`] when nobody forgets, and
    /// [`StoreError::Write`] for want of room: older tracks may make some, or
    /// [`Self::spill_to_memory`] is what is left.
    pub(in crate::content) fn take_in(&self, items: &[Verified]) -> Result<(), StoreError> {
        loop {
            let error = match self.write(items.iter().cloned()) {
                Err(error) if error.is_for_want_of_room() => return Err(error),
                Err(error @ (StoreError::Write { .. } | StoreError::Slow { .. })) => error,
                written => return written,
            };
            self.spill_to_memory(error.to_string().into());
        }
    }

    /// The disk does not end a write in time: what waits stays in memory, and what comes.
    pub fn give_up_disk(&self) {
        let layout = &self.place.layout;
        layout.handle_stall();
        if let Err(slow) = layout.keeps_up() {
            self.spill_to_memory(slow.to_string().into());
        }
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
        let loose = &mut self.arrival().loose;
        if loose.why.is_some() {
            return;
        }
        loose.why = Some(why);
        loose.waiting.clear();
        let _ = self.shown.0.try_send(());
        // They may be small parts of large buffers.
        for bytes in loose.groups.values_mut() {
            *bytes = Bytes::copy_from_slice(bytes);
        }
    }

    /// Has these be read at once, and written after what was shown before: by
    /// [`Self::write_next`].
    ///
    /// # Errors
    /// [`StoreError::Foreign`], and [`StoreError::Memory`] when nobody forgets.
    pub fn show(&self, items: Vec<Verified>) -> Result<Written, StoreError> {
        items.iter().try_for_each(|item| self.check_track(item))?;
        let (ends, written) = async_channel::bounded(1);
        let written = Written(written);
        let arrival = &mut *self.arrival();
        let shown = items
            .iter()
            .try_for_each(|item| take_loosely(arrival, item));
        self.arrived.notify_all();
        shown?;
        if arrival.loose.why.is_none() {
            arrival.loose.waiting.push_back(WaitingPiece {
                bytes: items.iter().map(Verified::bytes).sum(),
                items: items.into(),
                written: written.clone(),
                _ends: ends,
            });
        }
        Ok(written)
    }

    /// Says that what was shown is not written yet.
    pub fn call_writer(&self) {
        if self.waiting().is_some() {
            // Where it is said already, that is enough.
            let _ = self.shown.0.try_send(());
        }
    }

    /// Tells that something waits for the disk, and has been waiting.
    pub fn shown(&self) -> Receiver<()> {
        self.shown.1.clone()
    }

    /// What was shown and waits for the disk.
    pub fn waiting(&self) -> Option<WaitingPieces> {
        let waiting = &self.arrival().loose.waiting;
        let first = waiting.front()?;
        Some(WaitingPieces {
            bytes: waiting.iter().map(|piece| piece.bytes).sum(),
            first: first.bytes,
            written: first.written.clone(),
        })
    }

    /// Writes what has waited longest.
    pub(in crate::content) fn write_next(&self) -> WriteStep {
        self.write_first(self.writing())
    }

    /// The same, unless another thread does.
    pub(in crate::content) fn try_write_next(&self) -> WriteStep {
        match self.writing.try_lock() {
            Ok(turn) => self.write_first(turn),
            Err(_) => WriteStep::Idle,
        }
    }

    fn write_first(&self, _turn: MutexGuard<'_, ()>) -> WriteStep {
        let first = self.arrival().loose.first_waiting();
        let Some(items) = first else {
            return WriteStep::Idle;
        };
        match self.take_in(&items) {
            Err(error) if error.is_for_want_of_room() => return WriteStep::NoRoom(error),
            Err(error) => self.spill_to_memory(error.to_string().into()),
            Ok(()) => {}
        }
        // Unless all was given up meanwhile.
        self.arrival().loose.waiting.pop_front();
        WriteStep::Taken
    }

    /// Takes one of them.
    pub(super) fn take_loosely(&self, item: &Verified) -> Result<(), StoreError> {
        let taken = take_loosely(&mut self.arrival(), item);
        self.arrived.notify_all();
        taken
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
    Ok(())
}

impl MemoryTail {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn first_waiting(&self) -> Option<Arc<[Verified]>> {
        self.waiting.front().map(|piece| piece.items.clone())
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

    /// Takes the bytes of a group, which are shared with what waits for the disk, and copied
    /// where nothing does.
    fn insert(&mut self, group: Group, bytes: &Bytes) {
        self.bytes += bytes.len();
        let bytes = match self.why {
            None => bytes.clone(),
            Some(_) => Bytes::copy_from_slice(bytes),
        };
        self.groups.insert(group, bytes);
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
