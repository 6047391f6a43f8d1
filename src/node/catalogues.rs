//! Everybody's catalogues, and catching up with those that are newer.
//!
//! How large a catalogue is, and how often it changes, is its owner's choice. So what
//! comes is counted in bytes as it comes ([`MemoryQuota`], [`Allowances`]): an owner that takes
//! more than its part of this machine's memory is left out and named ([`Excess`]), and one
//! that changes more than a library does waits. Turns at being fetched go round between the
//! sites that owners are at, a piece a turn, so that nobody's slow answers keep others
//! waiting.

mod archive;
#[cfg(test)]
mod tests;
mod turns;
mod whole;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::archive::{Archival, Archived};
use self::{archive::Archive, turns::PendingCatalogue, whole::WholeCatalogue};
use crate::{
    catalog::{
        Allowances, Catalogue, CatchUp, Deposit, Excess, GivesWay, Hash, Holding, MemoryQuota,
        OwnerSite, SignedHead, SyncError, TooMuch, Want, Weight,
    },
    id::PeerId,
};

/// The own catalogue and all others that are known, whole ones only.
#[derive(Debug)]
pub struct Catalogues {
    own: Option<Arc<Catalogue>>,
    quota: MemoryQuota,
    allowances: Allowances,
    archive: Archive,
    /// The owners that are here, and where each is, as far as that is known.
    here: BTreeMap<PeerId, Option<OwnerSite>>,
    theirs: BTreeMap<PeerId, WholeCatalogue>,
    pending: BTreeMap<PeerId, PendingCatalogue>,
    left_out: BTreeMap<PeerId, Excess<Via>>,
    /// Counts the turns at being fetched.
    last_turn: u64,
    /// What to ask for, in the order it came up.
    wants: VecDeque<CatalogueWant>,
    /// Whether what is here has changed since that was last asked for.
    has_changed: bool,
}

/// A piece of a catalogue that somebody should be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueWant {
    pub owner: PeerId,
    pub what: Want,
    pub via: Via,
}

/// The peer or tracker that is asked for a catalogue. Neither can forge one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Tracker,
    Owner,
}

impl Catalogues {
    /// On a machine that has so many bytes for the catalogues of others; an owner is known
    /// when it was here for so long.
    pub fn new(quota: MemoryQuota, known_after: Duration, now: Instant) -> Self {
        Self {
            own: None,
            quota,
            allowances: Allowances::new(quota),
            archive: Archive::new(known_after, now),
            here: BTreeMap::new(),
            theirs: BTreeMap::new(),
            pending: BTreeMap::new(),
            left_out: BTreeMap::new(),
            last_turn: 0,
            wants: VecDeque::new(),
            has_changed: false,
        }
    }

    pub fn set_own(&mut self, own: Arc<Catalogue>) {
        self.own = Some(own);
    }

    pub fn own(&self) -> Option<&Arc<Catalogue>> {
        self.own.as_ref()
    }

    pub fn get(&self, owner: PeerId) -> Option<&Arc<Catalogue>> {
        self.theirs.get(&owner).map(|kept| &kept.catalogue)
    }

    /// `owner` is shown as `name` now.
    pub fn handle_name(&mut self, owner: PeerId, name: &Arc<str>) {
        self.archive.handle_name(owner, name);
    }

    /// The catalogues of owners that are away, what these were called, and until when they are kept.
    pub fn away(&self) -> impl Iterator<Item = (&Arc<str>, Instant, &Arc<Catalogue>)> {
        let away = self.archive.away();
        away.filter_map(|(owner, name, until)| Some((name, until, self.get(owner)?)))
    }

    /// The disk has a catalogue of before, whose owner was away for so long when that was read.
    pub fn handle_recalled(&mut self, deposit: Deposit, away: Duration, now: Instant) {
        let head = deposit.catalogue.head().head;
        let owner = head.owner;
        let mine = self.own.as_ref().is_some_and(|own| own.owner() == owner);
        if mine || self.theirs.len() + self.pending.len() >= MAX_CATALOGUES {
            return;
        }
        self.archive.handle_recalled(&deposit, away, now);
        let is_news = |kept: &WholeCatalogue| head.is_newer_than(&kept.catalogue.head().head);
        if self.theirs.get(&owner).is_none_or(is_news) {
            let kept = WholeCatalogue::new(deposit.catalogue, Via::Tracker);
            self.theirs.insert(owner, kept);
            self.archive.handle_catalogue(owner, head);
            self.has_changed = true;
        }
        self.make_room(owner, now);
        self.forget_absent();
    }

    /// Other keys are believed now.
    pub fn handle_keys(&mut self, now: Instant) {
        self.archive.handle_keys(now);
        self.forget_unknown();
    }

    /// What became of the last order of [`Self::poll_archive`].
    pub fn handle_archived(&mut self, done: &Archived, now: Instant) {
        self.archive.handle_archived(done, now);
        self.forget_unknown();
    }

    /// When [`Self::poll_archive`] has something.
    pub fn archive_timeout(&self) -> Option<Instant> {
        self.archive.poll_timeout()
    }

    /// What is to be written down, or removed from the disk; one after the other.
    pub fn poll_archive(&mut self, now: Instant) -> Option<Archival> {
        let theirs = &self.theirs;
        let newest = |owner| {
            let kept: &WholeCatalogue = theirs.get(&owner)?;
            Some((kept.catalogue.clone(), kept.bytes))
        };
        let order = self.archive.poll(newest, now)?;
        if let Archival::Remove(_) = order {
            self.forget_unknown();
        }
        Some(order)
    }

    /// Forgets catalogues of owners that are away and not known any more.
    fn forget_unknown(&mut self) {
        let (archive, here, count) = (&self.archive, &self.here, self.theirs.len());
        let theirs = &mut self.theirs;
        theirs.retain(|owner, _| here.contains_key(owner) || archive.is_away(*owner));
        self.has_changed |= self.theirs.len() < count;
    }

    /// Whether catalogues have come or gone since this was last asked.
    pub fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// The owners whose newest catalogue is not taken, and why in words, given what they
    /// are called.
    pub fn left_out_in_words<'a>(
        &'a self,
        name: impl Fn(PeerId) -> Arc<str> + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        self.left_out.iter().map(move |(owner, left_out)| {
            let name = name(*owner);
            let what = match self.theirs.contains_key(owner) {
                true => "the newest tracks",
                false => "the tracks",
            };
            let why = left_out.in_words(&name, self.quota);
            format!("{what} of {name} are not shown: {why}")
        })
    }

    /// `owner` is here, at `site` as far as that is known. Only then is it asked for.
    pub fn handle_here(&mut self, owner: PeerId, site: Option<OwnerSite>, now: Instant) {
        let was_here = self.here.insert(owner, site);
        if was_here != Some(site) {
            self.archive.handle_here(owner, site, now);
            let newest = self.get(owner).map(|newest| newest.head().head);
            newest
                .into_iter()
                .for_each(|head| self.archive.handle_catalogue(owner, head));
        }
        self.begin(now);
    }

    /// `owner` is gone. Its catalogue is kept, as long as there is room, if it was here
    /// for long: then it is likely to come back, and unchanged.
    pub fn handle_gone(&mut self, owner: PeerId, now: Instant) {
        self.here.remove(&owner);
        self.pending.remove(&owner);
        self.left_out.remove(&owner);
        if !self.archive.handle_gone(owner, now) {
            self.theirs.remove(&owner);
        }
        self.forget_absent();
        for left_out in self.left_out.values_mut() {
            left_out.handle_room(now);
        }
        self.begin(now);
    }

    /// Starts to catch up with `head`, if that is news.
    ///
    /// # Errors
    /// When the head is forged.
    pub fn handle_head(
        &mut self,
        head: SignedHead,
        via: Via,
        now: Instant,
    ) -> Result<(), SyncError> {
        let owner = head.head.owner;
        let known = self.pending.contains_key(&owner) || self.theirs.contains_key(&owner);
        let mine = self.own.as_ref().is_some_and(|own| own.owner() == owner);
        let pending = self.pending.get_mut(&owner);
        let stale = pending.is_some_and(|pending| {
            let towards = pending.catch_up.head();
            if *towards == head && pending.via != via {
                pending.then = Some(via);
            }
            !head.head.is_newer_than(&towards.head)
        });
        let is_full = !known && self.theirs.len() + self.pending.len() >= MAX_CATALOGUES;
        if mine || stale || is_full {
            return Ok(());
        }
        if let Some(left_out) = self.left_out.get_mut(&owner) {
            head.verify()?;
            left_out.handle_head(head, via);
            // One that is being tried again goes on with the newest: its owner has no other.
            if !self.pending.contains_key(&owner) {
                return Ok(());
            }
        }
        self.start(head, via, now)
    }

    /// Takes the list of an owner's page hashes.
    ///
    /// # Errors
    /// When it does not fit; the catching up starts anew with the next head.
    pub fn handle_list(
        &mut self,
        owner: PeerId,
        list: Vec<Hash>,
        now: Instant,
    ) -> Result<(), SyncError> {
        let bytes = size_of_val(&*list);
        self.feed(owner, bytes, now, |catch_up| catch_up.handle_list(list))
    }

    /// Takes a page.
    ///
    /// # Errors
    /// When it does not fit; the catching up starts anew with the next head.
    pub fn handle_page(
        &mut self,
        owner: PeerId,
        index: u32,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), SyncError> {
        self.feed(owner, bytes.len(), now, |catch_up| {
            catch_up.handle_page(index, bytes)
        })
    }

    /// `owner`'s catalogue cannot be had this way: by the other, or not before its next
    /// head.
    pub fn handle_not_here(&mut self, owner: PeerId, via: Via, now: Instant) {
        let Some(pending) = self.pending.get_mut(&owner) else {
            return;
        };
        match pending.then.take() {
            Some(then) if pending.via == via => {
                pending.via = then;
                pending.asked = None;
            }
            None if pending.via == via => _ = self.pending.remove(&owner),
            // The other way is no way any more.
            _ => {}
        }
        self.begin(now);
    }

    /// The tracker is gone: what it was asked for does not come.
    pub fn handle_lost(&mut self, now: Instant) {
        self.wants.retain(|want| want.via != Via::Tracker);
        let owners: Vec<PeerId> = self.pending.keys().copied().collect();
        for owner in owners {
            self.handle_not_here(owner, Via::Tracker, now);
        }
    }

    /// The next piece to ask for.
    pub fn poll(&mut self) -> Option<CatalogueWant> {
        self.wants.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.pending.values().filter_map(|p| p.asked);
        let paced = self.pending.values().filter_map(|p| p.not_before);
        let left_out = self.left_out.values().map(Excess::until);
        let again = asked.map(|asked| asked + ASK_AGAIN);
        again.chain(paced).chain(left_out).min()
    }

    /// Asks again for what has not come, after the others, and tries those that were left
    /// out.
    pub fn handle_timeout(&mut self, now: Instant) {
        for pending in self.pending.values_mut() {
            pending.not_before.take_if(|then| *then <= now);
            if pending.asked.take_if(|at| now >= *at + ASK_AGAIN).is_some() {
                self.last_turn += 1;
                pending.turn = self.last_turn;
            }
        }
        self.try_left_out(now);
        self.begin(now);
    }

    fn start(&mut self, head: SignedHead, via: Via, now: Instant) -> Result<(), SyncError> {
        let owner = head.head.owner;
        let base = self.get(owner).cloned();
        let catch_up = match CatchUp::new(head, base) {
            Err(SyncError::Stale) => return Ok(()),
            other => other?,
        };
        self.last_turn += 1;
        let pending = PendingCatalogue {
            catch_up,
            via,
            then: None,
            asked: None,
            turn: self.last_turn,
            not_before: None,
        };
        self.pending.insert(owner, pending);
        self.begin(now);
        Ok(())
    }

    /// Takes a piece of `owner`'s that came in so many bytes.
    fn feed(
        &mut self,
        owner: PeerId,
        bytes: usize,
        now: Instant,
        step: impl FnOnce(&mut CatchUp) -> Result<(), SyncError>,
    ) -> Result<(), SyncError> {
        let site = self.site(owner);
        let Some(pending) = self.pending.get_mut(&owner) else {
            return Ok(());
        };
        self.allowances.spend(owner, site, bytes, now);
        let needed = pending.catch_up.want();
        if let Err(e) = step(&mut pending.catch_up) {
            self.pending.remove(&owner);
            self.begin(now);
            return Err(e);
        }
        if pending.catch_up.want() == needed {
            // It came twice, or unasked.
            return Ok(());
        }
        self.last_turn += 1;
        (pending.asked, pending.turn) = (None, self.last_turn);
        self.make_room(owner, now);
        self.finish(owner, now);
        self.begin(now);
        Ok(())
    }

    /// Leaves out what has no room since `newcomer` has grown.
    fn make_room(&mut self, newcomer: PeerId, now: Instant) {
        let pending = self.pending.get(&newcomer);
        if pending.is_some_and(|p| p.catch_up.bytes() > self.quota.one) {
            self.leave_out(newcomer, TooMuch::ForOne, now);
        }
        while let Some(what) = self.quota.what_gives_way(&self.holdings(), newcomer) {
            match what {
                GivesWay::Older(owner) => self.let_go_older(owner),
                GivesWay::Newest(owner) => self.leave_out(owner, TooMuch::ForAll, now),
            }
        }
    }

    /// Drops what is here of `owner`'s, while its newest comes.
    fn let_go_older(&mut self, owner: PeerId) {
        self.has_changed |= self.theirs.remove(&owner).is_some();
        if let Some(pending) = self.pending.get_mut(&owner) {
            pending.catch_up.let_go();
        }
    }

    /// Drops what is on its way of `owner`'s, or else what is here.
    fn leave_out(&mut self, owner: PeerId, why: TooMuch, now: Instant) {
        let pending = self.pending.remove(&owner);
        let is_partial = pending
            .as_ref()
            .is_some_and(|p| p.catch_up.fresh_bytes() > 0);
        let whole = match is_partial {
            true => None,
            false => self.theirs.remove(&owner),
        };
        self.has_changed |= whole.is_some();
        let known = pending.map(|p| (*p.catch_up.head(), p.via, p.catch_up.weight()));
        let known = known.or(whole
            .as_ref()
            .map(|whole| (*whole.catalogue.head(), whole.via, Weight::of(whole.bytes))));
        let here = self.here.contains_key(&owner);
        if let Some((head, via, takes)) = known.filter(|_| here) {
            match self.left_out.get_mut(&owner) {
                Some(before) => before.handle_again(&head, why, takes),
                None => {
                    let left_out = Excess::new(head, via, why, takes, now);
                    self.left_out.insert(owner, left_out);
                }
            }
        }
    }

    /// Tries again those whose time has come, if there is room for them.
    fn try_left_out(&mut self, now: Instant) {
        let due = self.left_out.iter().filter(|(_, l)| l.until() <= now);
        let due: Vec<PeerId> = due.map(|(owner, _)| *owner).collect();
        for owner in due {
            let fits = self.would_fit(owner);
            let Some(left_out) = self.left_out.get_mut(&owner) else {
                continue;
            };
            left_out.rest(now);
            let (head, via) = (left_out.head(), left_out.via());
            if fits && !self.pending.contains_key(&owner) {
                // It was verified when it came.
                let _ = self.start(head, via, now);
            }
        }
    }

    /// Whether what is known of `owner`'s catalogue fits beside the others, or instead of
    /// larger ones.
    fn would_fit(&self, owner: PeerId) -> bool {
        let Some(left_out) = self.left_out.get(&owner) else {
            return true;
        };
        let mut holdings = self.holdings();
        holdings.retain(|holding| holding.owner != owner);
        holdings.push(Holding {
            owner,
            site: self.site(owner),
            is_here: true,
            takes: left_out.takes(),
            without_older: None,
        });
        self.quota.who_yields(&holdings, owner) != Some(owner)
    }

    /// What all take together.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.holdings().iter().map(|h| h.takes.counted).sum()
    }

    /// What each owner takes.
    fn holdings(&self) -> Vec<Holding> {
        let nothing = |owner: PeerId| Holding {
            owner,
            site: self.site(owner),
            is_here: self.here.contains_key(&owner),
            takes: Weight::default(),
            without_older: None,
        };
        let mut all: BTreeMap<PeerId, Holding> = BTreeMap::new();
        for (owner, kept) in &self.theirs {
            let holding = all.entry(*owner).or_insert_with(|| nothing(*owner));
            holding.takes = Weight::of(kept.bytes);
        }
        for (owner, pending) in &self.pending {
            let newest = pending.catch_up.weight();
            let is_replaced = self.theirs.contains_key(owner);
            let holding = all.entry(*owner).or_insert_with(|| nothing(*owner));
            let counted = holding.takes.counted + pending.catch_up.fresh_bytes();
            holding.takes = Weight {
                counted,
                likely: newest.likely.max(counted),
            };
            holding.without_older = is_replaced.then_some(newest);
        }
        all.into_values().collect()
    }

    fn site(&self, owner: PeerId) -> Option<OwnerSite> {
        *self.here.get(&owner)?
    }

    /// Keeps of owners that are gone no more than a part.
    fn forget_absent(&mut self) {
        loop {
            let absent = self.theirs.iter();
            let absent = absent.filter(|(owner, _)| !self.here.contains_key(owner));
            let absent: Vec<(usize, PeerId)> =
                absent.map(|(owner, kept)| (kept.bytes, *owner)).collect();
            let total: usize = absent.iter().map(|(bytes, _)| bytes).sum();
            match absent.iter().max() {
                Some((_, largest)) if total > self.quota.away() => {
                    self.theirs.remove(largest);
                }
                _ => break,
            }
        }
        let theirs = &self.theirs;
        self.archive
            .retain_away(|owner| theirs.contains_key(&owner));
    }

    /// Swaps the catalogue in, if it is whole.
    fn finish(&mut self, owner: PeerId, now: Instant) {
        let whole = |p: &PendingCatalogue| p.catch_up.want().is_none();
        if !self.pending.get(&owner).is_some_and(whole) {
            return;
        }
        let Some(PendingCatalogue { catch_up, via, .. }) = self.pending.remove(&owner) else {
            return;
        };
        let Some(catalogue) = catch_up.finish() else {
            return;
        };
        self.has_changed = true;
        self.archive.handle_catalogue(owner, catalogue.head().head);
        let kept = WholeCatalogue::new(Arc::new(catalogue), via);
        self.theirs.insert(owner, kept);
        if let Some(left_out) = self.left_out.remove(&owner) {
            // What came meanwhile was verified then.
            let _ = self.start(left_out.head(), left_out.via(), now);
        }
    }

    /// Goes on to those whose turn has come: a peer that joins a large swarm would
    /// otherwise ask for a thousand catalogues in one breath.
    fn begin(&mut self, now: Instant) {
        while let Some(owner) = turns::next(&self.pending, &self.here, self.quota, now) {
            let site = self.site(owner);
            let Some(pending) = self.pending.get_mut(&owner) else {
                return;
            };
            let ready = self.allowances.ready(owner, site, now);
            if ready > now {
                pending.not_before = Some(ready);
                continue;
            }
            let Some(what) = pending.catch_up.want() else {
                self.finish(owner, now);
                continue;
            };
            pending.asked = Some(now);
            self.wants.push_back(CatalogueWant {
                owner,
                what,
                via: pending.via,
            });
        }
    }
}

/// A tracker, or an owner, answers in milliseconds; one that is swamped is not helped
/// by asking more often.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// Four times what a tracker takes: of owners that are gone some are kept.
const MAX_CATALOGUES: usize = 4096;
/// An owner that was here for as long is known.
pub const KNOWN_AFTER: Duration = Duration::from_secs(600);
