//! The catalogues that the tracker passes on.
//!
//! Each is pulled from its owner page by page and shown to others only once
//! it is whole. The tracker keeps the pages as the bytes they came in: it
//! checks them once, as every peer will again, and has no other use for them.
//!
//! An owner sends its head before anything that belongs to it, so a list or a
//! page that does not fit the newest head is the owner's fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::Breach;
use crate::{
    catalog::{Hash, Page, SignedHead, PAGE_ENTRIES},
    id::PeerId,
};

/// All owners' catalogues, as far as they are here.
#[derive(Debug, Default)]
pub struct Relay {
    owners: BTreeMap<PeerId, Owner>,
}

/// What to ask an owner for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    List,
    Page(u32),
}

/// What a message of an owner's led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Ask the owner for these; there may be none.
    Ask(Vec<Want>),
    /// The catalogue is whole: tell the others.
    Whole(SignedHead),
    /// There is no room for it.
    TooLarge,
}

impl Relay {
    /// Takes an owner's head. The same again, after a reconnection, resumes
    /// the pull; an older one is ignored.
    pub fn handle_head(
        &mut self,
        head: SignedHead,
        limits: Limits,
        now: Instant,
    ) -> Result<Progress, Breach> {
        let owner = self.owners.entry(head.head.owner).or_default();
        let newest = [
            owner.whole.as_ref().map(|whole| whole.head),
            owner.pull.as_ref().map(|pull| pull.head),
        ];
        let is_news = |known: &SignedHead| head.head.is_newer_than(&known.head);
        if newest.iter().flatten().all(is_news) {
            head.verify()
                .map_err(|_| Breach("a head that it did not sign"))?;
            let mut pull = Pull::new(head, now);
            if head.head.entries == 0 {
                pull.take_list(Vec::new(), None, now)?;
            }
            owner.pull = Some(pull);
        } else if let Some(pull) = owner.pull.as_mut().filter(|pull| pull.head == head) {
            pull.asked.clear();
            pull.list_asked = false;
            pull.until = now + PULL_TIMEOUT;
        }
        Ok(self.advance(head.head.owner, limits))
    }

    /// Takes the list of hashes behind the owner's newest head.
    pub fn handle_list(
        &mut self,
        owner: PeerId,
        list: Vec<Hash>,
        limits: Limits,
        now: Instant,
    ) -> Result<Progress, Breach> {
        if let Some(entry) = self.owners.get_mut(&owner) {
            if let Some(pull) = &mut entry.pull {
                pull.take_list(list, entry.whole.as_ref(), now)?;
            }
        }
        Ok(self.advance(owner, limits))
    }

    /// Takes one page of the owner's newest catalogue.
    pub fn handle_page(
        &mut self,
        owner: PeerId,
        index: u32,
        bytes: Arc<[u8]>,
        limits: Limits,
        now: Instant,
    ) -> Result<Progress, Breach> {
        let pull = self.owners.get_mut(&owner).and_then(|o| o.pull.as_mut());
        if let Some(pull) = pull {
            pull.take_page(index, bytes, now)?;
        }
        Ok(self.advance(owner, limits))
    }

    /// The owner is gone: what is whole is kept as long as there is room,
    /// since most come back unchanged.
    pub fn handle_gone(&mut self, owner: PeerId) {
        if let Some(entry) = self.owners.get_mut(&owner) {
            entry.pull = None;
            if entry.whole.is_none() {
                self.owners.remove(&owner);
            }
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let pulls = self.owners.values().filter_map(|owner| owner.pull.as_ref());
        pulls.map(|pull| pull.until).min()
    }

    /// Gives up the pulls that came to nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        for owner in self.owners.values_mut() {
            owner.pull.take_if(|pull| pull.until <= now);
        }
        self.owners
            .retain(|_, owner| owner.pull.is_some() || owner.whole.is_some());
    }

    /// The head of what is here whole.
    pub fn head(&self, owner: PeerId) -> Option<SignedHead> {
        Some(self.owners.get(&owner)?.whole.as_ref()?.head)
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
        self.owners.values().map(Owner::bytes).sum()
    }

    fn advance(&mut self, id: PeerId, limits: Limits) -> Progress {
        if self.bytes() > limits.total || self.owners.len() > MAX_OWNERS {
            self.make_room(limits);
        }
        let too_large = self.bytes() > limits.total;
        let Some(owner) = self.owners.get_mut(&id) else {
            return Progress::Ask(Vec::new());
        };
        let Some(mut pull) = owner.pull.take() else {
            return Progress::Ask(Vec::new());
        };
        if too_large || pull.bytes > limits.each {
            self.handle_gone(id);
            return Progress::TooLarge;
        }
        if let Some(whole) = pull.whole() {
            let head = whole.head;
            owner.whole = Some(whole);
            return Progress::Whole(head);
        }
        let wants = pull.wants();
        owner.pull = Some(pull);
        Progress::Ask(wants)
    }

    /// Drops what belongs to nobody who is here.
    fn make_room(&mut self, limits: Limits) {
        self.owners
            .retain(|id, owner| owner.pull.is_some() || (limits.is_present)(*id));
    }
}

/// How much may be kept, and for whom first.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    pub total: usize,
    pub each: usize,
    pub is_present: &'a dyn Fn(PeerId) -> bool,
}

#[derive(Debug, Default)]
struct Owner {
    whole: Option<Whole>,
    pull: Option<Pull>,
}

impl Owner {
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
}

impl Pull {
    fn new(head: SignedHead, now: Instant) -> Self {
        Self {
            head,
            list: None,
            list_asked: false,
            pages: Vec::new(),
            asked: BTreeSet::new(),
            bytes: 0,
            fresh_bytes: 0,
            until: now + PULL_TIMEOUT,
        }
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
        if self.list.is_some() {
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
        self.list = Some(list);
        self.until = now + PULL_TIMEOUT;
        Ok(())
    }

    /// One that came unasked, or twice, is checked all the same.
    fn take_page(&mut self, index: u32, bytes: Arc<[u8]>, now: Instant) -> Result<(), Breach> {
        let Some(expected) = self.list.as_ref().and_then(|list| list.get(index as usize)) else {
            return Ok(());
        };
        if blake3::hash(&bytes) != *expected {
            return Err(Breach("a page that does not fit its list"));
        }
        let slot = &mut self.pages[index as usize];
        if slot.is_some() {
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
        self.asked.remove(&index);
        self.until = now + PULL_TIMEOUT;
        Ok(())
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
            bytes: self.bytes,
        })
    }
}

/// Owners whose catalogues are kept, present or not: even an empty catalogue
/// takes some room.
const MAX_OWNERS: usize = 4 * super::MAX_PEERS;
/// Pages asked for at a time: enough to fill a home's network, few enough
/// that pages do not crowd out a speaker's own traffic.
const PULL_WINDOW: usize = 4;
/// A page of 1 MiB over bad Wi-Fi takes a while; an owner that has sent
/// nothing for this long will not.
pub const PULL_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;
    use crate::{
        catalog::{Catalogue, Entry, Held},
        id::TrackId,
    };

    /// A catalogue of one page of some 40 bytes.
    fn catalogue(peer: u8, seq: u64) -> Catalogue {
        let key = Ed25519KeyPair::from_seed_unchecked(&[peer; 32]).unwrap();
        let track = TrackId([seq as u8; 32]);
        let entries = vec![Some(Entry::Held(Box::new(Held { track, size: 1 })))];
        let owner = PeerId(key.public_key().as_ref().try_into().unwrap());
        let sign = |bytes: &[u8]| key.sign(bytes).as_ref().try_into().unwrap();
        Catalogue::publish(owner, 1, seq, vec![Arc::new(Page::new(&entries))], sign)
    }

    fn pull(relay: &mut Relay, own: &Catalogue, limits: Limits) -> Progress {
        let (now, owner) = (Instant::now(), own.owner());
        let list = own.list().to_vec();
        let page = own.pages()[0].encode().into();
        relay.handle_head(*own.head(), limits, now).unwrap();
        relay.handle_list(owner, list, limits, now).unwrap();
        relay.handle_page(owner, 0, page, limits, now).unwrap()
    }

    #[test]
    fn room_is_made_of_what_belongs_to_the_absent() {
        let own = [1, 2, 3].map(|peer| catalogue(peer, 1));
        let size = own[0].pages()[0].encode().len();
        let absent = own[0].owner();
        let limits = Limits {
            total: 2 * size,
            each: size,
            is_present: &|id| id != absent,
        };
        let mut relay = Relay::default();
        for own in &own {
            assert_eq!(pull(&mut relay, own, limits), Progress::Whole(*own.head()));
        }
        assert_eq!(relay.head(absent), None);
        assert_eq!(relay.bytes(), 2 * size);
        // Nobody is absent any more; who has a place keeps it.
        let late = catalogue(4, 1);
        assert_eq!(pull(&mut relay, &late, limits), Progress::TooLarge);
        assert_eq!(relay.head(own[1].owner()), Some(*own[1].head()));
        assert_eq!(relay.bytes(), 2 * size);
    }

    #[test]
    fn one_owner_does_not_get_all_the_room() {
        let own = catalogue(1, 1);
        let limits = Limits {
            total: usize::MAX,
            each: own.pages()[0].encode().len() - 1,
            is_present: &|_| true,
        };
        let mut relay = Relay::default();
        assert_eq!(pull(&mut relay, &own, limits), Progress::TooLarge);
        assert_eq!(relay.bytes(), 0);
    }

    #[test]
    fn a_pull_without_progress_is_given_up() {
        let own = catalogue(1, 1);
        let limits = Limits {
            total: usize::MAX,
            each: usize::MAX,
            is_present: &|_| true,
        };
        let mut relay = Relay::default();
        let now = Instant::now();
        relay.handle_head(*own.head(), limits, now).unwrap();
        assert_eq!(relay.poll_timeout(), Some(now + PULL_TIMEOUT));
        relay.handle_timeout(now + PULL_TIMEOUT);
        assert_eq!(relay.poll_timeout(), None);
        assert_eq!(pull(&mut relay, &own, limits), Progress::Whole(*own.head()));
    }
}
