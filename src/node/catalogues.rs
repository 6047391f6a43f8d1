//! Everybody's catalogues, and catching up with those that are newer.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    catalog::{Catalogue, CatchUp, Hash, Head, Need, SignedHead, SyncError},
    id::PeerId,
};

/// The own catalogue and all others that are known, whole ones only.
#[derive(Debug, Default)]
pub struct Catalogues {
    own: Option<Arc<Catalogue>>,
    theirs: BTreeMap<PeerId, Arc<Catalogue>>,
    pending: BTreeMap<PeerId, Pending>,
    /// What to ask for, in the order it came up.
    wants: Vec<Want>,
}

/// A piece of a catalogue that somebody should be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub owner: PeerId,
    pub need: Need,
}

#[derive(Debug)]
struct Pending {
    catch_up: CatchUp,
    /// When the last piece was asked for.
    asked: Instant,
}

impl Catalogues {
    pub fn set_own(&mut self, own: Arc<Catalogue>) {
        self.own = Some(own);
    }

    pub fn own(&self) -> Option<&Arc<Catalogue>> {
        self.own.as_ref()
    }

    pub fn get(&self, owner: PeerId) -> Option<&Arc<Catalogue>> {
        self.theirs.get(&owner)
    }

    /// Starts to catch up with `head`, if that is news.
    ///
    /// # Errors
    /// When the head is forged.
    pub fn handle_head(&mut self, head: SignedHead, now: Instant) -> Result<(), SyncError> {
        let owner = head.head.owner;
        let known = self.pending.contains_key(&owner) || self.theirs.contains_key(&owner);
        let mine = self.own.as_ref().is_some_and(|own| own.owner() == owner);
        let towards = self.pending.get(&owner).map(|p| p.catch_up.head().head);
        let stale = towards.is_some_and(|towards| !head.head.is_newer_than(&towards));
        if mine || stale || !self.has_room(&head.head, known) {
            return Ok(());
        }
        let catch_up = match CatchUp::new(head, self.theirs.get(&owner).cloned()) {
            Err(SyncError::Stale) => return Ok(()),
            other => other?,
        };
        self.pending.insert(
            owner,
            Pending {
                catch_up,
                asked: now,
            },
        );
        self.proceed(owner, now);
        Ok(())
    }

    /// Takes the list of an owner's page hashes. Says whether a catalogue is
    /// complete by that.
    ///
    /// # Errors
    /// When it does not fit; the catching up starts anew with the next head.
    pub fn handle_list(
        &mut self,
        owner: PeerId,
        list: Vec<Hash>,
        now: Instant,
    ) -> Result<bool, SyncError> {
        self.feed(owner, now, |catch_up| catch_up.handle_list(list))
    }

    /// Takes a page. Says whether a catalogue is complete by that.
    ///
    /// # Errors
    /// When it does not fit; the catching up starts anew with the next head.
    pub fn handle_page(
        &mut self,
        owner: PeerId,
        index: u32,
        bytes: &[u8],
        now: Instant,
    ) -> Result<bool, SyncError> {
        self.feed(owner, now, |catch_up| catch_up.handle_page(index, bytes))
    }

    /// Gives up catching up with `owner` until its next head.
    pub fn handle_not_here(&mut self, owner: PeerId) {
        self.pending.remove(&owner);
    }

    /// Gives up all catching up: whoever was asked is gone.
    pub fn handle_lost(&mut self) {
        self.pending.clear();
        self.wants.clear();
    }

    /// The next piece to ask for.
    pub fn poll(&mut self) -> Option<Want> {
        (!self.wants.is_empty()).then(|| self.wants.remove(0))
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pending.values().map(|p| p.asked + ASK_AGAIN).min()
    }

    /// Asks again for what has not come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let late = |p: &Pending| now >= p.asked + ASK_AGAIN;
        let owners: Vec<PeerId> = self
            .pending
            .iter()
            .filter(|(_, p)| late(p))
            .map(|(owner, _)| *owner)
            .collect();
        for owner in owners {
            self.proceed(owner, now);
        }
    }

    /// Whether `head`'s catalogue may be kept beside those of the others.
    fn has_room(&self, head: &Head, known: bool) -> bool {
        let pending = self.pending.values().map(|p| p.catch_up.head().head);
        let theirs = self.theirs.values().map(|theirs| theirs.head().head);
        let others = pending
            .chain(theirs)
            .filter(|other| other.owner != head.owner);
        let entries: u64 = others.map(|other| u64::from(other.entries)).sum();
        (known || self.theirs.len() + self.pending.len() < MAX_CATALOGUES)
            && entries + u64::from(head.entries) <= MAX_ENTRIES
    }

    fn feed(
        &mut self,
        owner: PeerId,
        now: Instant,
        step: impl FnOnce(&mut CatchUp) -> Result<(), SyncError>,
    ) -> Result<bool, SyncError> {
        let Some(pending) = self.pending.get_mut(&owner) else {
            return Ok(false);
        };
        if let Err(e) = step(&mut pending.catch_up) {
            self.pending.remove(&owner);
            return Err(e);
        }
        Ok(self.proceed(owner, now))
    }

    /// Asks for the next piece, or swaps the finished catalogue in and says so.
    fn proceed(&mut self, owner: PeerId, now: Instant) -> bool {
        let Some(pending) = self.pending.get_mut(&owner) else {
            return false;
        };
        let need = pending.catch_up.need();
        if need != Need::Nothing {
            pending.asked = now;
            self.wants.push(Want { owner, need });
            return false;
        }
        let finished = self
            .pending
            .remove(&owner)
            .and_then(|p| p.catch_up.finish());
        if let Some(catalogue) = finished {
            self.theirs.insert(owner, Arc::new(catalogue));
        }
        true
    }
}

/// A tracker answers in milliseconds; one that is swamped is not helped by
/// asking more often.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Four times what a tracker takes: of those who are gone some are kept.
const MAX_CATALOGUES: usize = 1024;
/// Of all catalogues together. A tracker that is honest passes on 64 MiB, a third of
/// this at 200 bytes an entry; this is against one that is not.
const MAX_ENTRIES: u64 = 1 << 20;
