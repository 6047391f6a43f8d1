//! Everybody's catalogues, and catching up with those that are newer.
//!
//! How they come, and which have room, is common to peers and trackers ([`Pulls`]). Here is
//! where each is asked for: its owner, or the tracker. Turns at being fetched go round between
//! the sites that owners are at, a piece a turn, so that nobody's slow answers keep others
//! waiting.

mod archive;
#[cfg(test)]
mod tests;
mod turns;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use self::archive::Archive;
pub use self::archive::{Archival, Archived};
use crate::{
    catalog::{
        Catalogue, Deposit, Hash, HeadStep, MemoryQuota, OwnerSite, Pulls, SignedHead, SyncError,
        Want,
    },
    id::PeerId,
};

/// The own catalogue and all others that are known, whole ones only.
#[derive(Debug)]
pub struct Catalogues {
    own: Option<Arc<Catalogue>>,
    archive: Archive,
    pulls: Pulls<Arc<Catalogue>, Ways>,
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

/// The ways by which a head was shown: the one that is asked first, and the one after that.
#[derive(Clone, Copy, Debug)]
struct Ways {
    first: Via,
    then: Option<Via>,
}

impl Ways {
    fn only(via: Via) -> Self {
        Self {
            first: via,
            then: None,
        }
    }
}

impl Catalogues {
    /// On a machine that has so many bytes for the catalogues of others; an owner is known
    /// when it was here for so long.
    pub fn new(quota: MemoryQuota, known_after: Duration, now: Instant) -> Self {
        Self {
            own: None,
            archive: Archive::new(known_after, now),
            pulls: Pulls::new(quota),
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
        self.pulls.whole(owner).map(|whole| &whole.catalogue)
    }

    #[cfg(test)]
    pub fn is_here(&self, owner: PeerId) -> bool {
        self.pulls.is_here(owner)
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
        if self.is_own(owner) {
            return;
        }
        self.archive.handle_recalled(&deposit, away, now);
        let way = Ways::only(Via::Tracker);
        if self.pulls.insert(deposit.catalogue, way, now) {
            self.archive.handle_catalogue(owner, head);
            self.has_changed = true;
        }
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
        let pulls = &self.pulls;
        let newest = |owner| {
            let whole = pulls.whole(owner)?;
            Some((whole.catalogue.clone(), whole.bytes))
        };
        let order = self.archive.poll(newest, now)?;
        if let Archival::Remove(_) = order {
            self.forget_unknown();
        }
        Some(order)
    }

    /// Forgets catalogues of owners that are away and not known any more.
    fn forget_unknown(&mut self) {
        let wholes = self.pulls.wholes().map(|(owner, _)| owner);
        let unknown = |owner: &PeerId| !self.pulls.is_here(*owner) && !self.archive.is_away(*owner);
        for owner in wholes.filter(unknown).collect::<Vec<PeerId>>() {
            self.has_changed |= self.pulls.forget(owner);
        }
    }

    /// Whether catalogues have come or gone since this was last asked.
    pub fn take_change(&mut self) -> bool {
        let is_less = !self.pulls.take_dropped().is_empty();
        std::mem::take(&mut self.has_changed) || is_less
    }

    /// The owners whose newest catalogue is not taken, and why in words, given what they
    /// are called.
    pub fn left_out_in_words<'a>(
        &'a self,
        name: impl Fn(PeerId) -> Arc<str> + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        self.pulls.left_out().map(move |(owner, left_out)| {
            let name = name(owner);
            let what = match self.get(owner) {
                Some(_) => "the newest tracks",
                None => "the tracks",
            };
            let why = left_out.in_words(&name, self.pulls.quota());
            format!("{what} of {name} are not shown: {why}")
        })
    }

    /// `owner` is here, at `site` as far as that is known. Only then is it asked for.
    pub fn handle_here(&mut self, owner: PeerId, site: Option<OwnerSite>, now: Instant) {
        if self.pulls.handle_here(owner, site) {
            self.archive.handle_here(owner, site, now);
            if let Some(newest) = self.get(owner).map(|newest| newest.head().head) {
                self.archive.handle_catalogue(owner, newest);
            }
        }
        self.begin(now);
    }

    /// `owner` is gone. Its catalogue is kept, as long as there is room, if it was here
    /// for long: then it is likely to come back, and unchanged.
    pub fn handle_gone(&mut self, owner: PeerId, now: Instant) {
        let is_kept = self.archive.handle_gone(owner, now);
        self.pulls.handle_gone(owner, is_kept, now);
        self.forget_absent();
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
        if self.is_own(owner) {
            return Ok(());
        }
        match self.pulls.handle_head(head, Ways::only(via))? {
            HeadStep::News => self.begin(now),
            HeadStep::UnderWay => {
                if let Some(under_way) = self.pulls.under_way(owner) {
                    let ways = &mut under_way.via;
                    ways.then = (ways.first != via).then_some(via).or(ways.then);
                }
            }
            HeadStep::Nothing => {}
        }
        Ok(())
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
        let taken = self.pulls.handle_list(owner, list, now);
        self.follow(owner, taken, now)
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
        let taken = self.pulls.handle_page(owner, index, bytes, now);
        self.follow(owner, taken, now)
    }

    /// `owner`'s catalogue cannot be had this way: by the other, or not before its next
    /// head.
    pub fn handle_not_here(&mut self, owner: PeerId, via: Via, now: Instant) {
        let Some(under_way) = self.pulls.under_way(owner) else {
            return;
        };
        let ways = &mut under_way.via;
        match ways.then.take() {
            Some(then) if ways.first == via => {
                ways.first = then;
                under_way.asked = None;
            }
            None if ways.first == via => self.pulls.give_up(owner),
            // The other way is no way any more.
            _ => {}
        }
        self.begin(now);
    }

    /// The tracker is gone: what it was asked for does not come.
    pub fn handle_lost(&mut self, now: Instant) {
        self.wants.retain(|want| want.via != Via::Tracker);
        let owners = self.pulls.all_under_way().map(|(owner, _)| owner);
        for owner in owners.collect::<Vec<PeerId>>() {
            self.handle_not_here(owner, Via::Tracker, now);
        }
    }

    /// The next piece to ask for.
    pub fn poll(&mut self) -> Option<CatalogueWant> {
        self.wants.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pulls.poll_timeout(ASK_AGAIN)
    }

    /// Asks again for what has not come, after the others, and tries those that were left
    /// out.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.pulls.handle_timeout(ASK_AGAIN, now);
        self.begin(now);
    }

    /// Goes on after a piece of `owner`'s that was taken, not needed, or unfit.
    fn follow(
        &mut self,
        owner: PeerId,
        taken: Result<bool, SyncError>,
        now: Instant,
    ) -> Result<(), SyncError> {
        if taken != Ok(false) {
            self.finish(owner);
            self.begin(now);
        }
        taken.map(|_| ())
    }

    fn is_own(&self, owner: PeerId) -> bool {
        self.own.as_ref().is_some_and(|own| own.owner() == owner)
    }

    /// What all take together.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.pulls.bytes()
    }

    /// Keeps of owners that are gone no more than a part.
    fn forget_absent(&mut self) {
        loop {
            let absent = self.pulls.wholes();
            let absent = absent.filter(|(owner, _)| !self.pulls.is_here(*owner));
            let absent: Vec<(usize, PeerId)> =
                absent.map(|(owner, whole)| (whole.bytes, owner)).collect();
            let total: usize = absent.iter().map(|(bytes, _)| bytes).sum();
            match absent.iter().max() {
                Some((_, largest)) if total > self.pulls.quota().away() => {
                    self.pulls.forget(*largest);
                }
                _ => break,
            }
        }
        let pulls = &self.pulls;
        self.archive
            .retain_away(|owner| pulls.whole(owner).is_some());
    }

    /// Swaps the catalogue in, if it is whole.
    fn finish(&mut self, owner: PeerId) {
        if let Some(whole) = self.pulls.finish(owner) {
            self.has_changed = true;
            let head = whole.catalogue.head().head;
            self.archive.handle_catalogue(owner, head);
        }
    }

    /// Goes on to those whose turn has come: a peer that joins a large swarm would
    /// otherwise ask for a thousand catalogues in one breath.
    fn begin(&mut self, now: Instant) {
        while let Some(owner) = turns::next(&self.pulls, now) {
            let Some(under_way) = self.pulls.under_way(owner) else {
                return;
            };
            if under_way.pull.is_whole() {
                self.finish(owner);
                continue;
            }
            // One piece at a time: what was asked for before did not come.
            under_way.ask_again();
            let via = under_way.via.first;
            let next = self.pulls.ask(owner, 1, now).into_iter();
            self.wants
                .extend(next.map(|what| CatalogueWant { owner, what, via }));
        }
    }
}

/// A tracker, or an owner, answers in milliseconds; one that is swamped is not helped
/// by asking more often.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// An owner that was here for as long is known.
pub const KNOWN_AFTER: Duration = Duration::from_secs(600);
