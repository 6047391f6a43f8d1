//! What an earlier life left of a track is a claim, until its hashes say that it is true.
//!
//! Each group is proven when it is first read or served, so that a long track sounds at
//! once; only what the clean mark does not vouch for is proven before anything of it is
//! claimed. A claim that turns out to be false (the power went before the disk had it,
//! the card rots) is taken back, and the group is fetched again as any that is missing.

use std::io;
use std::sync::{MutexGuard, PoisonError};

use super::hashes::Hashes;
use super::slice::Positioned;
use super::{Blob, BlobOrigin, BlobPlace, SliceError};
use crate::content::bitfield::Bitfield;
use crate::content::blob::true_groups;
use crate::content::error::StoreError;
use crate::content::layout::Resting;
use crate::content::ranges::GroupSet;
use crate::id::{Group, TrackId};

/// What the disk says of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClaimMark {
    /// Nothing: it has empty files.
    Fresh,
    /// That it is not all here, and what is; that is synced.
    Clean,
    /// That it is not all here.
    Dirty,
    /// Nothing: it is all here, under its lasting name.
    Lasting,
}

impl Blob {
    /// A track of `size` bytes that has not all arrived, as an earlier life left it.
    ///
    /// Without the clean mark this reads all that is here.
    pub(in crate::content) fn resting(
        track: TrackId,
        size: u64,
        left: Resting,
        place: BlobPlace,
    ) -> Self {
        let all = GroupSet::all(size);
        let claimed = left.bitfield.filter(|_| left.clean).map(|here| here.have);
        let is_claimed = claimed.is_some();
        let have = claimed.map_or_else(GroupSet::new, |have| have.intersection(&all));
        let blob = Self::cached(track, size, left.data, left.outboard, place, have);
        if is_claimed {
            blob.arrival().proven = Some(GroupSet::new());
            blob.set_mark(ClaimMark::Clean);
        } else {
            blob.arrival().have = blob.true_of(&all);
        }
        blob
    }

    /// Whether the track has no lasting name yet.
    pub(in crate::content) fn is_arriving(&self) -> bool {
        *self.mark() != ClaimMark::Lasting
    }

    /// What of [`Self::have`] the disk has.
    pub(in crate::content) fn kept(&self) -> GroupSet {
        let arrival = self.arrival();
        arrival.loose.kept(&arrival.have)
    }

    /// What was said to be here and is not, since this was asked last.
    pub fn take_lost(&self) -> GroupSet {
        std::mem::take(&mut self.arrival().lost)
    }

    /// Makes last what has arrived so far, and says so on the disk. May be called again
    /// after an error; until then each opening proves it anew.
    pub(in crate::content) fn checkpoint(&self) -> Result<(), StoreError> {
        // Whatever is written from here on takes the mark away again. Should it come
        // before the mark is there, the mark vouches for what it names all the same.
        {
            let mut mark = self.mark();
            if *mark != ClaimMark::Dirty {
                return Ok(());
            }
            *mark = ClaimMark::Clean;
        }
        let here = Bitfield {
            size: self.size,
            have: self.kept(),
        };
        let failed = |source| StoreError::Write {
            track: self.track,
            source,
        };
        let synced = self.sync().map_err(failed);
        let settled = synced.and_then(|()| self.place.layout.mark_clean(self.track, &here));
        settled.inspect_err(|_| self.set_mark(ClaimMark::Dirty))
    }

    /// It has got its files.
    pub(in crate::content) fn made_new(&self) {
        self.set_mark(ClaimMark::Fresh);
    }

    /// It has its lasting name.
    pub(in crate::content) fn made_last(&self) {
        self.set_mark(ClaimMark::Lasting);
    }

    /// Has the disk say, before anything is written, that not all of it is here.
    pub(super) fn mark_dirty(&self) -> Result<(), StoreError> {
        let (mut mark, track) = (self.mark(), self.track);
        let layout = &self.place.layout;
        match *mark {
            ClaimMark::Fresh => layout.mark_new(track, self.size),
            ClaimMark::Clean => layout.mark_dirty(track).map_err(|error| match error {
                StoreError::Io { source, .. } => StoreError::Write { track, source },
                other => other,
            })?,
            ClaimMark::Dirty | ClaimMark::Lasting => return Ok(()),
        }
        *mark = ClaimMark::Dirty;
        Ok(())
    }

    /// Reads a group against the hash that it must have; whether it is here after all.
    ///
    /// # Errors
    /// For a track that was whole: it is dropped.
    pub(super) fn verify_stored(&self, group: Group) -> io::Result<bool> {
        let group = [group].into_iter().collect();
        if self.is_arriving() {
            self.verify_all_stored(&group);
            return Ok(self.arrival().have.contains_all(&group));
        }
        let proven = self.slice(&group, &mut io::sink());
        proven.map_err(|error| match error {
            SliceError::Read(error) => error,
            _ => io::Error::new(
                io::ErrorKind::InvalidData,
                match self.origin {
                    BlobOrigin::Library { .. } => "the file changed on its disk",
                    BlobOrigin::Cache { .. } => {
                        "its copy in the cache is damaged, and is fetched anew next time"
                    }
                },
            ),
        })?;
        self.note_verified(&group);
        Ok(true)
    }

    /// Proves what of `groups` is only claimed, and takes back what is not true.
    pub(in crate::content) fn verify_all_stored(&self, groups: &GroupSet) {
        if !self.is_arriving() {
            return;
        }
        let arrival = self.arrival();
        let Some(proven) = &arrival.proven else {
            return;
        };
        let kept = arrival.loose.kept(&arrival.have);
        let claimed = groups.intersection(&kept).difference(proven);
        drop(arrival);
        if claimed.is_empty() {
            return;
        }
        let found = self.true_of(&claimed);
        self.note_verified(&found);
        self.invalidate(&claimed.difference(&found));
    }

    /// Looks again at groups that were true.
    pub(super) fn recheck(&self, groups: &GroupSet) {
        let doubtful = groups.intersection(&self.kept());
        let found = self.true_of(&doubtful);
        self.invalidate(&doubtful.difference(&found));
    }

    fn invalidate(&self, lost: &GroupSet) {
        if lost.is_empty() {
            return;
        }
        log::debug!("groups {lost} of track {} were lost", self.track);
        let mut arrival = self.arrival();
        arrival.have = arrival.have.difference(lost);
        arrival.lost = arrival.lost.union(lost);
        let arrival = &mut *arrival;
        if let Some(proven) = &mut arrival.proven {
            *proven = proven.difference(lost);
        }
    }

    fn note_verified(&self, groups: &GroupSet) {
        if let Some(proven) = &mut self.arrival().proven {
            *proven = proven.union(groups);
        }
    }

    fn true_of(&self, groups: &GroupSet) -> GroupSet {
        let Ok(hashes) = self.hashes() else {
            return GroupSet::new();
        };
        let hashes: &Hashes = &hashes;
        true_groups(
            self.track,
            self.size,
            Positioned(&*self.data),
            hashes,
            groups,
        )
    }

    pub(super) fn set_mark(&self, mark: ClaimMark) {
        *self.mark() = mark;
    }

    fn mark(&self) -> MutexGuard<'_, ClaimMark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
