//! The catalogues of all owners, as far as they are here.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    owner::{PulledOwner, UnderWay, WholeCatalogue},
    KeptCatalogue, Pull, SyncError, Want,
};
use crate::{
    catalog::{
        Allowances, Excess, GivesWay, Hash, Holding, MemoryQuota, OwnerSite, SignedHead, TooMuch,
    },
    id::PeerId,
};

/// What is here of others' catalogues, and on its way, in the room that this machine has for
/// it. `V` is the way that one is had by.
///
/// How large a catalogue is, and how often it changes, is its owner's choice. So what
/// comes is counted in bytes as it comes ([`MemoryQuota`], [`Allowances`]): an owner that takes
/// more than its part is left out and named ([`Excess`]), and one that changes more than a
/// library does waits.
#[derive(Debug)]
pub struct Pulls<C: KeptCatalogue, V> {
    quota: MemoryQuota,
    allowances: Allowances,
    /// The owners that are here, and where each is, as far as that is known.
    here: BTreeMap<PeerId, Option<OwnerSite>>,
    /// Of each at least one thing.
    owners: BTreeMap<PeerId, PulledOwner<C, V>>,
    /// Owners whose whole catalogues had to go.
    dropped: Vec<PeerId>,
    /// Counts the turns at being asked for.
    last_turn: u64,
}

/// What a head was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadStep {
    /// Newer than what was known.
    News,
    /// That of what is on its way.
    UnderWay,
    /// Older, or what is here, or one too many.
    Nothing,
}

/// The owners whose time has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PullsDue {
    /// Those with an answer that has not come: it is asked for again, after the others, or
    /// given up.
    pub unanswered: Vec<PeerId>,
    /// Those that have waited for long enough to be asked for.
    pub ready: Vec<PeerId>,
}

impl<C: KeptCatalogue, V: Copy> Pulls<C, V> {
    /// On a machine that has so many bytes for it.
    pub fn new(quota: MemoryQuota) -> Self {
        Self {
            quota,
            allowances: Allowances::new(quota),
            here: BTreeMap::new(),
            owners: BTreeMap::new(),
            dropped: Vec::new(),
            last_turn: 0,
        }
    }

    pub fn quota(&self) -> MemoryQuota {
        self.quota
    }

    /// So many fetch from here what is new.
    pub fn set_receivers(&mut self, count: usize) {
        self.allowances.set_receivers(count);
    }

    /// `owner` is here, at `site` as far as that is known. Says whether that is news.
    pub fn handle_here(&mut self, owner: PeerId, site: Option<OwnerSite>) -> bool {
        self.here.insert(owner, site) != Some(site)
    }

    /// `owner` is gone, and its whole catalogue with it unless that `is_kept`.
    pub fn handle_gone(&mut self, owner: PeerId, is_kept: bool, now: Instant) {
        self.here.remove(&owner);
        self.update(owner, |entry| {
            (entry.under_way, entry.left_out) = (None, None);
            entry.whole.take_if(|_| !is_kept);
        });
        for entry in self.owners.values_mut() {
            if let Some(left_out) = &mut entry.left_out {
                left_out.handle_room(now);
            }
        }
    }

    pub fn is_here(&self, owner: PeerId) -> bool {
        self.here.contains_key(&owner)
    }

    /// Where `owner` is, if it is here and that is known.
    pub fn site(&self, owner: PeerId) -> Option<OwnerSite> {
        *self.here.get(&owner)?
    }

    /// The newest of `owner`'s that is whole.
    pub fn whole(&self, owner: PeerId) -> Option<&WholeCatalogue<C, V>> {
        self.owners.get(&owner)?.whole.as_ref()
    }

    /// All that are whole.
    pub fn wholes(&self) -> impl Iterator<Item = (PeerId, &WholeCatalogue<C, V>)> {
        let owners = self.owners.iter();
        owners.filter_map(|(owner, entry)| Some((*owner, entry.whole.as_ref()?)))
    }

    /// What is on its way of `owner`'s.
    pub fn under_way(&mut self, owner: PeerId) -> Option<&mut UnderWay<C, V>> {
        self.owners.get_mut(&owner)?.under_way.as_mut()
    }

    /// All that are on their way.
    pub fn all_under_way(&self) -> impl Iterator<Item = (PeerId, &UnderWay<C, V>)> {
        let owners = self.owners.iter();
        owners.filter_map(|(owner, entry)| Some((*owner, entry.under_way.as_ref()?)))
    }

    /// The owners whose newest catalogues are not taken, and why.
    pub fn left_out(&self) -> impl Iterator<Item = (PeerId, &Excess<V>)> {
        let owners = self.owners.iter();
        owners.filter_map(|(owner, entry)| Some((*owner, entry.left_out.as_ref()?)))
    }

    /// The owners whose whole catalogues had to go since this was last asked.
    pub fn take_dropped(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.dropped)
    }

    /// Takes a whole catalogue that was kept elsewhere, if it is news and there is a place
    /// for it. Says whether it is taken.
    pub fn insert(&mut self, catalogue: C, via: V, now: Instant) -> bool {
        let head = *catalogue.head();
        let owner = head.head.owner;
        let known = self.whole(owner);
        let is_news =
            known.is_none_or(|known| head.head.is_newer_than(&known.catalogue.head().head));
        if !is_news || (known.is_none() && self.owners.len() >= MAX_OWNERS) {
            return false;
        }
        let whole = WholeCatalogue::new(catalogue, via);
        self.update(owner, |entry| {
            entry.whole = Some(whole);
            entry
                .under_way
                .take_if(|it| !it.pull.head().head.is_newer_than(&head.head));
        });
        self.make_room(owner, now);
        true
    }

    /// Forgets the whole catalogue of `owner`. Says whether there was one.
    pub fn forget(&mut self, owner: PeerId) -> bool {
        let had = self.whole(owner).is_some();
        self.update(owner, |entry| entry.whole = None);
        had
    }

    /// Starts to catch up with `head`, if that is news and its owner is not left out.
    ///
    /// # Errors
    /// When the head is forged.
    pub fn handle_head(&mut self, head: SignedHead, via: V) -> Result<HeadStep, SyncError> {
        let owner = head.head.owner;
        let under_way = self.under_way(owner).map(|it| *it.pull.head());
        if under_way == Some(head) {
            return Ok(HeadStep::UnderWay);
        }
        let whole = self.whole(owner).map(|whole| *whole.catalogue.head());
        let mut known = under_way.iter().chain(&whole);
        if known.any(|known| !head.head.is_newer_than(&known.head)) {
            return Ok(HeadStep::Nothing);
        }
        let entry = self.owners.get_mut(&owner);
        if let Some(left_out) = entry.and_then(|entry| entry.left_out.as_mut()) {
            head.verify()?;
            left_out.handle_head(head, via);
            // One that is being tried again goes on with the newest: its owner has no other.
            if under_way.is_none() {
                return Ok(HeadStep::News);
            }
        }
        self.start(head, via)
    }

    /// Takes the list of an owner's page hashes. Says whether it was needed.
    ///
    /// # Errors
    /// When it does not fit; the pull starts anew with the next head.
    pub fn handle_list(
        &mut self,
        owner: PeerId,
        list: Vec<Hash>,
        now: Instant,
    ) -> Result<bool, SyncError> {
        let bytes = size_of_val(&*list);
        self.feed(owner, bytes, now, |pull, older| {
            pull.handle_list(list, older)
        })
    }

    /// Takes a page. Says whether it was needed.
    ///
    /// # Errors
    /// When it does not fit; the pull starts anew with the next head.
    pub fn handle_page(
        &mut self,
        owner: PeerId,
        index: u32,
        bytes: &[u8],
        now: Instant,
    ) -> Result<bool, SyncError> {
        self.feed(owner, bytes.len(), now, |pull, _| {
            pull.handle_page(index, bytes)
        })
    }

    /// Swaps in what is on its way of `owner`'s, if nothing of it is missing.
    pub fn finish(&mut self, owner: PeerId) -> Option<&WholeCatalogue<C, V>> {
        let entry = self.owners.get_mut(&owner)?;
        let UnderWay { pull, via, .. } = entry.under_way.take_if(|it| it.pull.is_whole())?;
        entry.whole = Some(WholeCatalogue::new(pull.finish()?, via));
        entry.left_out = None;
        entry.whole.as_ref()
    }

    /// What is on its way of `owner`'s is not waited for any more.
    pub fn give_up(&mut self, owner: PeerId) {
        self.update(owner, |entry| entry.under_way = None);
    }

    /// What of `owner`'s to ask for now, so that no more than so many pieces are asked for:
    /// nothing while it has to wait.
    pub fn ask(&mut self, owner: PeerId, window: usize, now: Instant) -> Vec<Want> {
        let ready = self.allowances.ready(owner, self.site(owner), now);
        let Some(under_way) = self.under_way(owner) else {
            return Vec::new();
        };
        under_way.not_before = (ready > now).then_some(ready);
        if under_way.not_before.is_some() {
            return Vec::new();
        }
        let wants = under_way.pull.wants(window);
        if !wants.is_empty() {
            under_way.asked = Some(now);
        }
        wants
    }

    /// When [`Self::handle_timeout`] is due, where answers come within that time.
    pub fn poll_timeout(&self, within: Duration) -> Option<Instant> {
        let due = self.owners.values().filter_map(|it| it.due(within));
        due.min()
    }

    /// Notes which answers have not come, and tries again what was left out.
    pub fn handle_timeout(&mut self, within: Duration, now: Instant) -> PullsDue {
        let mut due = PullsDue::default();
        let mut again = Vec::new();
        for (owner, entry) in &mut self.owners {
            if entry.left_out.as_ref().is_some_and(|it| it.until() <= now) {
                again.push(*owner);
            }
            let Some(under_way) = &mut entry.under_way else {
                continue;
            };
            if under_way.not_before.take_if(|then| *then <= now).is_some() {
                due.ready.push(*owner);
            } else if under_way.not_before.is_none()
                && under_way.asked.take_if(|at| now >= *at + within).is_some()
            {
                self.last_turn += 1;
                under_way.turn = self.last_turn;
                due.unanswered.push(*owner);
            }
        }
        again.retain(|owner| self.try_left_out(*owner, now));
        due.ready.extend(again);
        due
    }

    /// How many bytes all take together.
    pub fn bytes(&self) -> usize {
        self.owners.values().map(PulledOwner::bytes).sum()
    }

    /// Starts to catch up with `head`, if there is a place for it.
    fn start(&mut self, head: SignedHead, via: V) -> Result<HeadStep, SyncError> {
        let owner = head.head.owner;
        let pull = Pull::new(head, self.whole(owner).map(|whole| &whole.catalogue))?;
        if !self.has_place(owner) {
            return Ok(HeadStep::Nothing);
        }
        self.last_turn += 1;
        let under_way = UnderWay {
            pull,
            via,
            asked: None,
            turn: self.last_turn,
            not_before: None,
        };
        self.update(owner, |entry| entry.under_way = Some(under_way));
        Ok(HeadStep::News)
    }

    /// Takes a piece of `owner`'s that came in so many bytes.
    fn feed(
        &mut self,
        owner: PeerId,
        bytes: usize,
        now: Instant,
        step: impl FnOnce(&mut Pull<C>, Option<&C>) -> Result<bool, SyncError>,
    ) -> Result<bool, SyncError> {
        // What came unasked is paid for, too, so that nothing is gained by sending it.
        self.allowances.spend(owner, self.site(owner), bytes, now);
        let Some(PulledOwner {
            whole,
            under_way: Some(under_way),
            ..
        }) = self.owners.get_mut(&owner)
        else {
            return Ok(false);
        };
        let older = whole.as_ref().map(|whole| &whole.catalogue);
        let outcome = step(&mut under_way.pull, older);
        match outcome {
            Ok(true) => {
                self.last_turn += 1;
                under_way.turn = self.last_turn;
                under_way.asked = under_way.pull.is_asked().then_some(now);
                self.make_room(owner, now);
            }
            Ok(false) => {}
            Err(_) => self.give_up(owner),
        }
        outcome
    }

    /// Leaves out what has no room since `newcomer` has grown.
    fn make_room(&mut self, newcomer: PeerId, now: Instant) {
        let under_way = self.under_way(newcomer);
        let bytes = under_way.map_or(0, |it| it.pull.bytes());
        if bytes > self.quota.one {
            self.leave_out(newcomer, TooMuch::ForOne, now);
        }
        while self.bytes() > self.quota.all {
            match self.quota.what_gives_way(&self.holdings(), newcomer) {
                Some(GivesWay::Older(owner)) => self.let_go_older(owner),
                Some(GivesWay::Newest(owner)) => self.leave_out(owner, TooMuch::ForAll, now),
                None => break,
            }
        }
    }

    /// Drops what is here of `owner`'s, while its newest comes.
    fn let_go_older(&mut self, owner: PeerId) {
        if self.forget(owner) {
            self.dropped.push(owner);
        }
        if let Some(under_way) = self.under_way(owner) {
            under_way.pull.let_go();
        }
    }

    /// Drops what is on its way of `owner`'s, or else what is here.
    fn leave_out(&mut self, owner: PeerId, why: TooMuch, now: Instant) {
        let is_here = self.is_here(owner);
        let mut is_dropped = false;
        self.update(owner, |entry| {
            is_dropped = entry.leave_out(why, is_here, now);
        });
        if is_dropped {
            self.dropped.push(owner);
        }
    }

    /// Begins anew with what was left out of `owner`'s, if what is known of it fits beside the
    /// others, or instead of larger ones. Says whether it does.
    fn try_left_out(&mut self, owner: PeerId, now: Instant) -> bool {
        let mut holdings = self.holdings();
        let site = self.site(owner);
        let Some(PulledOwner {
            left_out: Some(left_out),
            under_way,
            ..
        }) = self.owners.get_mut(&owner)
        else {
            return false;
        };
        left_out.rest(now);
        holdings.retain(|holding| holding.owner != owner);
        holdings.push(Holding {
            owner,
            site,
            is_here: true,
            takes: left_out.takes(),
            without_older: None,
        });
        let (head, via) = (left_out.head(), left_out.via());
        let fits = self.quota.who_yields(&holdings, owner) != Some(owner);
        // The head was verified when it came.
        fits && under_way.is_none() && self.start(head, via) == Ok(HeadStep::News)
    }

    /// What each owner takes.
    fn holdings(&self) -> Vec<Holding> {
        let holding = |(owner, entry): (&PeerId, &PulledOwner<C, V>)| {
            entry.holding(*owner, self.here.get(owner).copied())
        };
        self.owners.iter().map(holding).collect()
    }

    /// Whether `owner` is one of those that are known, or may be one more. Owners that are
    /// gone make place.
    fn has_place(&mut self, owner: PeerId) -> bool {
        if self.owners.len() >= MAX_OWNERS && !self.owners.contains_key(&owner) {
            let (here, dropped) = (&self.here, &mut self.dropped);
            self.owners.retain(|owner, entry| {
                let stays = here.contains_key(owner) || entry.under_way.is_some();
                if !stays {
                    dropped.push(*owner);
                }
                stays
            });
        }
        self.owners.len() < MAX_OWNERS || self.owners.contains_key(&owner)
    }

    /// Changes what is known of `owner`, and forgets it if that is nothing.
    fn update(&mut self, owner: PeerId, change: impl FnOnce(&mut PulledOwner<C, V>)) {
        let entry = self.owners.entry(owner).or_insert(PulledOwner::NOTHING);
        change(entry);
        if entry.is_nothing() {
            self.owners.remove(&owner);
        }
    }
}

/// Four times what a tracker takes: of owners that are gone some are kept, and even an empty
/// catalogue takes some room.
const MAX_OWNERS: usize = 4096;
