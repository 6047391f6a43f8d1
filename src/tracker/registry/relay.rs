//! The catalogues that the tracker passes on.
//!
//! Each is pulled from its owner page by page ([`Pulls`]) and shown to others only once
//! it is whole. The tracker keeps the pages as the bytes they came in: it
//! checks them once, as every peer will again, and has no other use for them.
//!
//! An owner sends its head before anything that belongs to it, so a list or a
//! page that does not fit the newest head is the owner's fault.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Breach;
use crate::{
    catalog::{
        CatalogueError, Hash, HeadStep, KeptCatalogue, MemoryQuota, OwnerSite, Page, Pulls,
        SignedHead, SyncError, Want,
    },
    id::PeerId,
};

/// All owners' catalogues, as far as they are here.
#[derive(Debug)]
pub struct Relay {
    pulls: Pulls<RelayedCatalogue, ()>,
    /// The newest that each owner has shown, whose pages may not be here.
    seen: BTreeMap<PeerId, SignedHead>,
}

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
            pulls: Pulls::new(quota),
            seen: BTreeMap::new(),
        }
    }

    /// So many fetch from here what is new.
    pub fn set_receivers(&mut self, count: usize) {
        self.pulls.set_receivers(count);
    }

    /// `owner` is a member, at `site`.
    pub fn handle_here(&mut self, owner: PeerId, site: OwnerSite) {
        self.pulls.handle_here(owner, Some(site));
    }

    /// Takes an owner's head. The same again, after a reconnection, resumes
    /// the pull; an older one is ignored.
    pub fn handle_head(&mut self, head: SignedHead, now: Instant) -> Result<RelayProgress, Breach> {
        let owner = head.head.owner;
        let seen = self.seen.get(&owner);
        if seen.is_some_and(|seen| seen.head.is_newer_than(&head.head)) {
            return Ok(RelayProgress::Ask(Vec::new()));
        }
        match self.pulls.handle_head(head, ())? {
            HeadStep::News => self.note_seen(head),
            HeadStep::UnderWay => {
                if let Some(under_way) = self.pulls.under_way(owner) {
                    under_way.ask_again();
                }
            }
            HeadStep::Nothing => {}
        }
        Ok(self.advance(owner, now))
    }

    /// Takes the list of hashes behind the owner's newest head.
    pub fn handle_list(
        &mut self,
        owner: PeerId,
        list: Vec<Hash>,
        now: Instant,
    ) -> Result<RelayProgress, Breach> {
        self.pulls.handle_list(owner, list, now)?;
        Ok(self.advance(owner, now))
    }

    /// Takes one page of the owner's newest catalogue.
    pub fn handle_page(
        &mut self,
        owner: PeerId,
        index: u32,
        bytes: &[u8],
        now: Instant,
    ) -> Result<RelayProgress, Breach> {
        self.pulls.handle_page(owner, index, bytes, now)?;
        Ok(self.advance(owner, now))
    }

    /// The owner is gone. What is whole is kept as long as there is room, if it was here
    /// for long, since most of these come back unchanged.
    pub fn handle_gone(&mut self, owner: PeerId, was_here: Duration, now: Instant) {
        self.pulls.handle_gone(owner, was_here >= KNOWN_AFTER, now);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pulls.poll_timeout(PULL_TIMEOUT)
    }

    /// Gives up the pulls that came to nothing, goes on with those that had to wait, and
    /// tries those that were left out.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<(PeerId, RelayProgress)> {
        let due = self.pulls.handle_timeout(PULL_TIMEOUT, now);
        for owner in due.unanswered {
            self.pulls.give_up(owner);
        }
        let step = |owner| (owner, self.advance(owner, now));
        due.ready.into_iter().map(step).collect()
    }

    /// The head of what is here whole.
    pub fn head(&self, owner: PeerId) -> Option<SignedHead> {
        Some(self.whole(owner)?.head)
    }

    /// The newest head of `owner` that it has ever shown.
    pub fn seen(&self, owner: PeerId) -> Option<SignedHead> {
        self.seen.get(&owner).copied()
    }

    pub fn list(&self, owner: PeerId) -> Option<Vec<Hash>> {
        Some(self.whole(owner)?.list.to_vec())
    }

    pub fn page(&self, owner: PeerId, index: u32) -> Option<Arc<[u8]>> {
        self.whole(owner)?.pages.get(index as usize).cloned()
    }

    /// How many bytes of pages are here.
    pub fn bytes(&self) -> usize {
        self.pulls.bytes()
    }

    /// The owners whose catalogues had to go since this was last asked.
    pub fn take_dropped(&mut self) -> Vec<PeerId> {
        self.pulls.take_dropped()
    }

    /// The owners whose newest catalogue is not taken, and why in words, given what they
    /// are called.
    pub fn left_out_in_words<'a>(
        &'a self,
        name: impl Fn(PeerId) -> Option<String> + 'a,
    ) -> impl Iterator<Item = String> + 'a {
        self.pulls.left_out().filter_map(move |(owner, left_out)| {
            let name = name(owner)?;
            let why = left_out.in_words(&name, self.pulls.quota());
            Some(format!("the tracks of {name} are not passed on: {why}"))
        })
    }

    fn whole(&self, owner: PeerId) -> Option<&RelayedCatalogue> {
        Some(&self.pulls.whole(owner)?.catalogue)
    }

    fn note_seen(&mut self, head: SignedHead) {
        self.seen.insert(head.head.owner, head);
        if self.seen.len() > MAX_SEEN {
            let pulls = &self.pulls;
            self.seen.retain(|owner, _| pulls.is_here(*owner));
        }
    }

    fn advance(&mut self, owner: PeerId, now: Instant) -> RelayProgress {
        match self.pulls.finish(owner) {
            Some(whole) => RelayProgress::Whole(whole.catalogue.head),
            None => RelayProgress::Ask(self.pulls.ask(owner, PULL_WINDOW, now)),
        }
    }
}

/// A catalogue as the bytes that came.
#[derive(Debug)]
struct RelayedCatalogue {
    head: SignedHead,
    list: Arc<[Hash]>,
    pages: Vec<Arc<[u8]>>,
}

impl KeptCatalogue for RelayedCatalogue {
    type Page = Arc<[u8]>;

    fn page(page: Page) -> Arc<[u8]> {
        page.bytes().clone()
    }

    fn page_bytes(page: &Arc<[u8]>) -> usize {
        page.len()
    }

    fn assemble(head: SignedHead, list: Arc<[Hash]>, pages: Vec<Arc<[u8]>>) -> Self {
        Self { head, list, pages }
    }

    fn head(&self) -> &SignedHead {
        &self.head
    }

    fn list(&self) -> &[Hash] {
        &self.list
    }

    fn pages(&self) -> &[Arc<[u8]>] {
        &self.pages
    }

    fn footprint(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| page.len()).sum();
        pages + size_of_val(&*self.pages) + size_of_val(&*self.list)
    }
}

impl From<SyncError> for Breach {
    fn from(error: SyncError) -> Self {
        Self(match error {
            SyncError::WrongList => "a list of pages that does not fit its head",
            SyncError::WrongPage(_) => "a page that does not fit its list",
            SyncError::WrongLength(_) => "a page with too many or too few entries",
            SyncError::Catalogue(CatalogueError::BadPage(_)) => "a page that breaks the rules",
            SyncError::Stale | SyncError::Catalogue(_) => "a head that it did not sign",
        })
    }
}

/// Owners whose newest head is remembered, present or not.
const MAX_SEEN: usize = 4 * super::MAX_PEERS;
/// Pages asked for at a time: enough to fill a home's network, few enough
/// that pages do not crowd out a speaker's own traffic.
const PULL_WINDOW: usize = 4;
/// An owner that was here for as long has a good chance to be one of the house.
const KNOWN_AFTER: Duration = Duration::from_secs(600);
/// A page of 1 MiB over bad Wi-Fi takes a while; an owner that has sent
/// nothing for this long will not.
pub const PULL_TIMEOUT: Duration = Duration::from_secs(30);
