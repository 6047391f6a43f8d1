//! The catalogues that the tracker passes on.
//!
//! Each is pulled from its owner page by page and shown to others only once
//! it is whole. The tracker keeps the pages as the bytes they came in: it
//! checks them once, as every peer will again, and has no other use for them.
//!
//! An owner sends its head before anything that belongs to it, so a list or a
//! page that does not fit the newest head is the owner's fault.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::Breach;
use crate::{
    catalog::{
        Allowances, Excess, GivesWay, Hash, Holding, MemoryQuota, OwnerSite, Page, SignedHead,
        TooMuch, Want, Weight, PAGE_ENTRIES,
    },
    id::PeerId,
};

/// All owners' catalogues, as far as they are here.
#[derive(Debug)]
pub struct Relay {
    quota: MemoryQuota,
    allowances: Allowances,
    owners: BTreeMap<PeerId, RelayedOwner>,
    /// Owners whose catalogues had to go.
    dropped: Vec<PeerId>,
}

/// Where an owner is, while it is a member.
pub type SiteOf<'a> = &'a dyn Fn(PeerId) -> Option<OwnerSite>;

/// What a message of an owner's led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayProgress {
    /// Ask the owner for these; there may be none.
    Ask(Vec<Want>),
    /// The catalogue is whole: tell the others.
    Whole(SignedHead),
}

impl Relay {
    /// On a machine that has so many bytes for it.
    pub fn new(quota: MemoryQuota) -> Self {
        Self {
            quota,
            allowances: Allowances::new(quota),
            owners: BTreeMap::new(),
            dropped: Vec::new(),
        }
    }

    /// So many fetch from here what is new.
    pub fn set_receivers(&mut self, count: usize) {
        self.allowances.set_receivers(count);
    }

    /// Takes an owner's head. The same again, after a reconnection, resumes
    /// the pull; an older one is ignored.
    pub fn handle_head(
        &mut self,
        head: SignedHead,
        site_of: SiteOf<'_>,
        now: Instant,
    ) -> Result<RelayProgress, Breach> {
        let owner = self.owners.entry(head.head.owner).or_default();
        let newest = [
            owner.whole.as_ref().map(|whole| whole.head),
            owner.pull.as_ref().map(|pull| pull.head),
        ];
        let is_news = |known: &SignedHead| head.head.is_newer_than(&known.head);
        if owner
            .seen
            .is_some_and(|seen| seen.head.is_newer_than(&head.head))
        {
            return Ok(RelayProgress::Ask(Vec::new()));
        }
        if newest.iter().flatten().all(is_news) {
            head.verify()
                .map_err(|_| Breach("a head that it did not sign"))?;
            owner.seen = Some(head);
            if let Some(left_out) = &mut owner.left_out {
                left_out.handle_head(head, ());
            }
            // One that is being tried again goes on with the newest: its owner has no other.
            if owner.left_out.is_none() || owner.pull.is_some() {
                owner.pull = Some(Pull::new(head, now)?);
            }
        } else if let Some(pull) = owner.pull.as_mut().filter(|pull| pull.head == head) {
            pull.asked.clear();
            pull.list_asked = false;
            pull.until = now + PULL_TIMEOUT;
        }
        Ok(self.advance(head.head.owner, site_of, now))
    }

    /// Takes the list of hashes behind the owner's newest head.
    pub fn handle_list(
        &mut self,
        owner: PeerId,
        list: Vec<Hash>,
        site_of: SiteOf<'_>,
        now: Instant,
    ) -> Result<RelayProgress, Breach> {
        let bytes = size_of_val(&*list);
        self.allowances.spend(owner, site_of(owner), bytes, now);
        if let Some(entry) = self.owners.get_mut(&owner) {
            if let Some(pull) = &mut entry.pull {
                pull.take_list(list, entry.whole.as_ref(), now)?;
            }
        }
        Ok(self.advance(owner, site_of, now))
    }

    /// Takes one page of the owner's newest catalogue.
    pub fn handle_page(
        &mut self,
        owner: PeerId,
        index: u32,
        bytes: Arc<[u8]>,
        site_of: SiteOf<'_>,
        now: Instant,
    ) -> Result<RelayProgress, Breach> {
        let site = site_of(owner);
        self.allowances.spend(owner, site, bytes.len(), now);
        let pull = self.owners.get_mut(&owner).and_then(|o| o.pull.as_mut());
        if let Some(pull) = pull {
            pull.take_page(index, bytes, now)?;
        }
        Ok(self.advance(owner, site_of, now))
    }

    /// The owner is gone. What is whole is kept as long as there is room, if it was here
    /// for long, since most of these come back unchanged.
    pub fn handle_gone(&mut self, owner: PeerId, was_here: Duration, now: Instant) {
        if let Some(entry) = self.owners.get_mut(&owner) {
            (entry.pull, entry.left_out) = (None, None);
            if was_here < KNOWN_AFTER {
                entry.whole = None;
            }
        }
        let others = self.owners.values_mut();
        for left_out in others.filter_map(|entry| entry.left_out.as_mut()) {
            left_out.handle_room(now);
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let pulls = self.owners.values().filter_map(|owner| owner.pull.as_ref());
        let pulls = pulls.map(|pull| pull.paced.unwrap_or(pull.until));
        let left_out = self.owners.values().filter_map(|o| o.left_out.as_ref());
        pulls.chain(left_out.map(Excess::until)).min()
    }

    /// Gives up the pulls that came to nothing, goes on with those that had to wait, and
    /// tries those that were left out.
    pub fn handle_timeout(
        &mut self,
        site_of: SiteOf<'_>,
        now: Instant,
    ) -> Vec<(PeerId, RelayProgress)> {
        let mut due = Vec::new();
        for (id, owner) in &mut self.owners {
            owner.pull.take_if(|pull| pull.until <= now);
            let pull = owner.pull.as_ref();
            let is_due = pull.is_some_and(|pull| pull.paced.is_some_and(|then| then <= now));
            let left_out = owner.left_out.as_ref();
            if is_due || left_out.is_some_and(|left_out| left_out.until() <= now) {
                due.push(*id);
            }
        }
        let step = |id: PeerId| {
            self.try_left_out(id, site_of, now);
            (id, self.advance(id, site_of, now))
        };
        due.into_iter().map(step).collect()
    }

    /// The head of what is here whole.
    pub fn head(&self, owner: PeerId) -> Option<SignedHead> {
        Some(self.owners.get(&owner)?.whole.as_ref()?.head)
    }

    /// The newest head of `owner` that it has ever shown.
    pub fn seen(&self, owner: PeerId) -> Option<SignedHead> {
        self.owners.get(&owner)?.seen
    }

    pub fn list(&self, owner: PeerId) -> Option<Vec<Hash>> {
        Some(self.owners.get(&owner)?.whole.as_ref()?.list.to_vec())
    }

    pub fn page(&self, owner: PeerId, index: u32) -> Option<Arc<[u8]>> {
        let whole = self.owners.get(&owner)?.whole.as_ref()?;
        whole.pages.get(index as usize).cloned()
    }

    /// How many bytes of pages are here.
    pub fn bytes(&self) -> usize {
        self.owners.values().map(RelayedOwner::bytes).sum()
    }

    /// The owners whose catalogues had to go since this was last asked.
    pub fn take_dropped(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.dropped)
    }

    /// The owners whose newest catalogue is not taken, and why in words, given what they
    /// are called.
    pub fn left_out_in_words<'a>(
        &'a self,
        name: impl Fn(PeerId) -> Option<String> + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        self.owners.iter().filter_map(move |(owner, entry)| {
            let (left_out, name) = (entry.left_out.as_ref()?, name(*owner)?);
            let why = left_out.in_words(&name, self.quota);
            Some(format!("the tracks of {name} are not passed on: {why}"))
        })
    }

    fn advance(&mut self, id: PeerId, site_of: SiteOf<'_>, now: Instant) -> RelayProgress {
        self.make_room(id, site_of, now);
        let nothing = RelayProgress::Ask(Vec::new());
        let Some(owner) = self.owners.get_mut(&id) else {
            return nothing;
        };
        let Some(mut pull) = owner.pull.take() else {
            return nothing;
        };
        if let Some(whole) = pull.whole() {
            let head = whole.head;
            (owner.whole, owner.left_out) = (Some(whole), None);
            return RelayProgress::Whole(head);
        }
        let ready = self.allowances.ready(id, site_of(id), now);
        pull.paced = (ready > now).then_some(ready);
        let wants = match pull.paced {
            Some(then) => {
                pull.until = then + PULL_TIMEOUT;
                Vec::new()
            }
            None => pull.wants(),
        };
        owner.pull = Some(pull);
        RelayProgress::Ask(wants)
    }

    /// Drops what has no room since `newcomer` has grown.
    fn make_room(&mut self, newcomer: PeerId, site_of: SiteOf<'_>, now: Instant) {
        let pull = self.owners.get(&newcomer).and_then(|o| o.pull.as_ref());
        if pull.is_some_and(|pull| pull.bytes > self.quota.one) {
            self.leave_out(newcomer, TooMuch::ForOne, site_of, now);
        }
        while self.bytes() > self.quota.all {
            match self.quota.what_gives_way(&self.holdings(site_of), newcomer) {
                Some(GivesWay::Older(owner)) => self.let_go_older(owner),
                Some(GivesWay::Newest(owner)) => {
                    self.leave_out(owner, TooMuch::ForAll, site_of, now);
                }
                None => break,
            }
        }
        if self.owners.len() > MAX_OWNERS {
            self.owners
                .retain(|id, owner| owner.pull.is_some() || site_of(*id).is_some());
        }
    }

    /// Drops what is here of `id`'s, while its newest comes.
    fn let_go_older(&mut self, id: PeerId) {
        if let Some(owner) = self.owners.get_mut(&id) {
            if owner.whole.take().is_some() {
                self.dropped.push(id);
            }
            if let Some(pull) = &mut owner.pull {
                pull.fresh_bytes = pull.bytes + pull.list_bytes();
            }
        }
    }

    /// Drops what is on its way of `id`'s, or else what is here.
    fn leave_out(&mut self, id: PeerId, why: TooMuch, site_of: SiteOf<'_>, now: Instant) {
        let Some(owner) = self.owners.get_mut(&id) else {
            return;
        };
        let pull = owner.pull.take();
        let is_partial = pull.as_ref().is_some_and(|pull| pull.fresh_bytes > 0);
        let mut known = pull.map(|pull| (pull.head, pull.weight()));
        if !is_partial {
            if let Some(whole) = owner.whole.take() {
                self.dropped.push(id);
                known = known.or(Some((whole.head, Weight::of(whole.bytes))));
            }
        }
        let Some((head, takes)) = known.filter(|_| site_of(id).is_some()) else {
            return;
        };
        match &mut owner.left_out {
            Some(before) => before.handle_again(&head, why, takes),
            None => owner.left_out = Some(Excess::new(head, (), why, takes, now)),
        }
    }

    /// Begins anew with what was left out of `id`'s, if its time has come and it fits.
    fn try_left_out(&mut self, id: PeerId, site_of: SiteOf<'_>, now: Instant) {
        let mut holdings = self.holdings(site_of);
        let Some(owner) = self.owners.get_mut(&id) else {
            return;
        };
        let Some(left_out) = owner.left_out.as_mut().filter(|l| l.until() <= now) else {
            return;
        };
        left_out.rest(now);
        holdings.retain(|holding| holding.owner != id);
        holdings.push(Holding {
            owner: id,
            site: site_of(id),
            is_here: true,
            takes: left_out.takes(),
            without_older: None,
        });
        if self.quota.who_yields(&holdings, id) != Some(id) && owner.pull.is_none() {
            // A head of no entries was not left out.
            owner.pull = Pull::new(left_out.head(), now).ok();
        }
    }

    /// What each owner takes.
    fn holdings(&self, site_of: SiteOf<'_>) -> Vec<Holding> {
        let holding = |(owner, entry): (&PeerId, &RelayedOwner)| {
            let (site, bytes) = (site_of(*owner), entry.bytes());
            let newest = entry.pull.as_ref().map(Pull::weight);
            Holding {
                owner: *owner,
                site,
                is_here: site.is_some(),
                takes: Weight {
                    counted: bytes,
                    likely: newest.map_or(bytes, |newest| newest.likely.max(bytes)),
                },
                without_older: newest.filter(|_| entry.whole.is_some()),
            }
        };
        self.owners.iter().map(holding).collect()
    }
}

#[derive(Debug, Default)]
struct RelayedOwner {
    whole: Option<Whole>,
    pull: Option<Pull>,
    left_out: Option<Excess>,
    /// The newest that it has shown, whose pages may not be here.
    seen: Option<SignedHead>,
}

impl RelayedOwner {
    fn bytes(&self) -> usize {
        self.whole.as_ref().map_or(0, |whole| whole.bytes)
            + self.pull.as_ref().map_or(0, |pull| pull.fresh_bytes)
    }
}

#[derive(Debug)]
struct Whole {
    head: SignedHead,
    list: Vec<Hash>,
    pages: Vec<Arc<[u8]>>,
    bytes: usize,
}

/// A catalogue on its way here.
#[derive(Debug)]
struct Pull {
    head: SignedHead,
    list: Option<Vec<Hash>>,
    list_asked: bool,
    /// As many as the list is long once that is here.
    pages: Vec<Option<Arc<[u8]>>>,
    asked: BTreeSet<u32>,
    /// Of all pages so far, and of those that the older catalogue has not.
    bytes: usize,
    fresh_bytes: usize,
    until: Instant,
    /// Until when nothing more is asked for.
    paced: Option<Instant>,
}

impl Pull {
    fn new(head: SignedHead, now: Instant) -> Result<Self, Breach> {
        let mut this = Self {
            head,
            list: None,
            list_asked: false,
            pages: Vec::new(),
            asked: BTreeSet::new(),
            bytes: 0,
            fresh_bytes: 0,
            until: now + PULL_TIMEOUT,
            paced: None,
        };
        if head.head.entries == 0 {
            this.list_asked = true;
            this.take_list(Vec::new(), None, now)?;
        }
        Ok(this)
    }

    fn take_list(
        &mut self,
        list: Vec<Hash>,
        older: Option<&Whole>,
        now: Instant,
    ) -> Result<(), Breach> {
        let hash = blake3::hash(list.as_flattened());
        let head = &self.head.head;
        if list.len() != head.page_count() || *hash.as_bytes() != head.pages {
            return Err(Breach("a list of pages that does not fit its head"));
        }
        if self.list.is_some() || !self.list_asked {
            return Ok(());
        }
        let known: BTreeMap<&Hash, &Arc<[u8]>> = older
            .map(|older| older.list.iter().zip(&older.pages).collect())
            .unwrap_or_default();
        self.pages = list
            .iter()
            .map(|hash| known.get(hash).copied().cloned())
            .collect();
        self.bytes = self.pages.iter().flatten().map(|page| page.len()).sum();
        self.fresh_bytes = self.list_bytes();
        self.list = Some(list);
        self.until = now + PULL_TIMEOUT;
        Ok(())
    }

    /// One that came unasked, or twice, is checked and not kept.
    fn take_page(&mut self, index: u32, bytes: Arc<[u8]>, now: Instant) -> Result<(), Breach> {
        let Some(expected) = self.list.as_ref().and_then(|list| list.get(index as usize)) else {
            return Ok(());
        };
        if blake3::hash(&bytes) != *expected {
            return Err(Breach("a page that does not fit its list"));
        }
        let slot = &mut self.pages[index as usize];
        if slot.is_some() || !self.asked.remove(&index) {
            return Ok(());
        }
        let page = Page::decode(&bytes).map_err(|_| Breach("a page that breaks the rules"))?;
        let before = index as usize * PAGE_ENTRIES;
        let after = (self.head.head.entries as usize).saturating_sub(before);
        if page.len() != after.min(PAGE_ENTRIES) {
            return Err(Breach("a page with too many or too few entries"));
        }
        self.bytes += bytes.len();
        self.fresh_bytes += bytes.len();
        *slot = Some(bytes);
        self.until = now + PULL_TIMEOUT;
        Ok(())
    }

    /// What the catalogue takes without an older one.
    fn weight(&self) -> Weight {
        let here = self.pages.iter().flatten().count().max(1);
        let likely = self.bytes / here * self.pages.len();
        Weight {
            counted: self.bytes + self.list_bytes(),
            likely: self.bytes.max(likely) + self.list_bytes(),
        }
    }

    /// What the list takes, whatever is in its pages.
    fn list_bytes(&self) -> usize {
        self.pages.len() * (size_of::<Hash>() + size_of::<Arc<[u8]>>())
    }

    /// What to ask for now; asks for nothing twice.
    fn wants(&mut self) -> Vec<Want> {
        if self.list.is_none() {
            let first = !std::mem::replace(&mut self.list_asked, true);
            return first.then_some(Want::List).into_iter().collect();
        }
        let missing = (0..).zip(&self.pages).filter(|(_, page)| page.is_none());
        let unasked = missing
            .map(|(index, _)| index)
            .filter(|i| !self.asked.contains(i));
        let room = PULL_WINDOW.saturating_sub(self.asked.len());
        let next: Vec<u32> = unasked.take(room).collect();
        self.asked.extend(&next);
        next.into_iter().map(Want::Page).collect()
    }

    /// The catalogue, once nothing of it is missing.
    fn whole(&mut self) -> Option<Whole> {
        let list = self.list.as_ref()?;
        let pages: Option<Vec<_>> = self.pages.iter().cloned().collect();
        Some(Whole {
            head: self.head,
            pages: pages?,
            list: list.clone(),
            bytes: self.bytes + self.list_bytes(),
        })
    }
}

/// Owners whose catalogues are kept, present or not: even an empty catalogue
/// takes some room.
const MAX_OWNERS: usize = 4 * super::MAX_PEERS;
/// Pages asked for at a time: enough to fill a home's network, few enough
/// that pages do not crowd out a speaker's own traffic.
const PULL_WINDOW: usize = 4;
/// An owner that was here for as long has a good chance to be one of the house.
const KNOWN_AFTER: Duration = Duration::from_secs(600);
/// A page of 1 MiB over bad Wi-Fi takes a while; an owner that has sent
/// nothing for this long will not.
pub const PULL_TIMEOUT: Duration = Duration::from_secs(30);
