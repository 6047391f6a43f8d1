//! How a catalogue comes here, to a peer or a tracker: a newer head, the list of page hashes,
//! the pages that differ from what was here before, all swapped in together.
//!
//! [`Pull`] is one catalogue on its way; [`Pulls`] has those of all owners, and shares out
//! the room and the turns. Where a catalogue is asked for, and what its pages are kept as, is
//! the user's.

mod all;
mod decoded;
mod owner;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

pub use self::all::{HeadStep, Pulls};
use super::{
    head::{hash_list, hash_page, CatalogueError, Hash, SignedHead, PAGE_ENTRIES},
    page::Page,
    quota::Weight,
};

/// A whole catalogue, as its user keeps it.
pub trait KeptCatalogue: Debug {
    type Page: Clone + Debug;

    /// What is kept of a page that has been checked.
    fn page(page: Page) -> Self::Page;

    /// What a page takes in memory, in bytes.
    fn page_bytes(page: &Self::Page) -> usize;

    /// Puts together what has been checked piece by piece.
    fn assemble(head: SignedHead, list: Arc<[Hash]>, pages: Vec<Self::Page>) -> Self;

    fn head(&self) -> &SignedHead;

    /// The hashes of the pages, in order.
    fn list(&self) -> &[Hash];

    fn pages(&self) -> &[Self::Page];

    /// What all of it takes in memory, in bytes.
    fn footprint(&self) -> usize;
}

/// A piece of an owner's catalogue that somebody is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// The hashes of its pages.
    List,
    Page(u32),
}

/// One owner's catalogue on its way here: says what it needs, takes answers
/// from wherever they come, and gives the whole or nothing.
#[derive(Debug)]
pub struct Pull<C: KeptCatalogue> {
    head: SignedHead,
    list: Option<Arc<[Hash]>>,
    /// As many as the list is long once that is here.
    pages: Vec<Option<C::Page>>,
    asked: BTreeSet<Want>,
    /// What the pages take that are here.
    bytes: usize,
    /// The same without those that are the older catalogue's, and with the list.
    fresh_bytes: usize,
}

impl<C: KeptCatalogue> Pull<C> {
    /// Starts towards `head`, where `older` is here already.
    ///
    /// # Errors
    /// When the head is forged, or not newer than `older`.
    pub fn new(head: SignedHead, older: Option<&C>) -> Result<Self, SyncError> {
        head.verify()?;
        if let Some(older) = older.filter(|older| is_same_owner(*older, &head)) {
            if !head.head.is_newer_than(&older.head().head) {
                return Err(SyncError::Stale);
            }
        }
        let mut this = Self {
            head,
            list: None,
            pages: Vec::new(),
            asked: BTreeSet::new(),
            bytes: 0,
            fresh_bytes: 0,
        };
        if head.head.entries == 0 {
            this.asked.insert(Want::List);
            this.handle_list(Vec::new(), None)?;
        }
        Ok(this)
    }

    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// What to ask for now, so that no more than so many pieces are asked for; nothing is
    /// asked for twice.
    pub fn wants(&mut self, window: usize) -> Vec<Want> {
        if self.list.is_none() {
            let is_first = self.asked.insert(Want::List);
            return is_first.then_some(Want::List).into_iter().collect();
        }
        let room = window.saturating_sub(self.asked.len());
        let missing = (0..).zip(&self.pages).filter(|(_, page)| page.is_none());
        let missing = missing.map(|(index, _)| Want::Page(index));
        let unasked = missing.filter(|want| !self.asked.contains(want));
        let next: Vec<Want> = unasked.take(room).collect();
        self.asked.extend(&next);
        next
    }

    /// Whether an answer is to come.
    pub fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// What was asked for does not come; it is asked for again.
    pub fn ask_again(&mut self) {
        self.asked.clear();
    }

    /// Takes the list of page hashes, and from `older` the pages that have not changed. One
    /// that was not asked for, or has come before, is checked and not kept. Says whether it is.
    ///
    /// # Errors
    /// When it is not the list of this head.
    pub fn handle_list(&mut self, list: Vec<Hash>, older: Option<&C>) -> Result<bool, SyncError> {
        if list.len() != self.head.head.page_count() || hash_list(&list) != self.head.head.pages {
            return Err(SyncError::WrongList);
        }
        if !self.asked.remove(&Want::List) {
            return Ok(false);
        }
        let older = older.filter(|older| is_same_owner(*older, &self.head));
        let known = |(index, hash): (usize, &Hash)| {
            let older = older?;
            let is_same = older.list().get(index)? == hash
                && page_len(older.head(), index) == page_len(&self.head, index);
            older.pages().get(index).filter(|_| is_same).cloned()
        };
        self.pages = list.iter().enumerate().map(known).collect();
        self.bytes = self.pages.iter().flatten().map(C::page_bytes).sum();
        self.fresh_bytes = self.list_bytes();
        self.list = Some(list.into());
        Ok(true)
    }

    /// Takes one page. One that was not asked for, or has come before, is checked and not
    /// kept. Says whether it is.
    ///
    /// # Errors
    /// When it is not the page of this list, or breaks the rules.
    pub fn handle_page(&mut self, index: u32, bytes: &[u8]) -> Result<bool, SyncError> {
        let at = index as usize;
        let Some(expected) = self.list.as_ref().and_then(|list| list.get(at)) else {
            return Ok(false);
        };
        if hash_page(bytes) != *expected {
            return Err(SyncError::WrongPage(index));
        }
        if !self.asked.remove(&Want::Page(index)) {
            return Ok(false);
        }
        let page = Page::decode(bytes)?;
        if page.len() != page_len(&self.head, at) {
            return Err(SyncError::WrongLength(index));
        }
        let page = C::page(page);
        self.bytes += C::page_bytes(&page);
        self.fresh_bytes += C::page_bytes(&page);
        self.pages[at] = Some(page);
        Ok(true)
    }

    /// What the pages take that are here.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What has come, without what the older catalogue has, too.
    pub fn fresh_bytes(&self) -> usize {
        self.fresh_bytes
    }

    /// What the catalogue takes without an older one, and what it is likely to take once it
    /// is whole, by the pages that are here.
    pub fn weight(&self) -> Weight {
        let here = self.pages.iter().flatten().count().max(1);
        let likely = self.bytes / here * self.pages.len();
        Weight {
            counted: self.bytes + self.list_bytes(),
            likely: self.bytes.max(likely) + self.list_bytes(),
        }
    }

    /// The older catalogue is let go: what of it is in the new one stays.
    pub fn let_go(&mut self) {
        self.fresh_bytes = self.bytes + self.list_bytes();
    }

    /// Whether nothing is missing.
    pub fn is_whole(&self) -> bool {
        self.list.is_some() && self.pages.iter().all(Option::is_some)
    }

    /// The catalogue, once nothing of it is missing.
    pub fn finish(self) -> Option<C> {
        let pages = self.pages.into_iter().collect::<Option<Vec<_>>>()?;
        Some(C::assemble(self.head, self.list?, pages))
    }

    /// What the list takes, whatever is in its pages.
    fn list_bytes(&self) -> usize {
        self.pages.len() * (size_of::<Hash>() + size_of::<C::Page>())
    }
}

fn is_same_owner<C: KeptCatalogue>(older: &C, head: &SignedHead) -> bool {
    older.head().head.owner == head.head.owner
}

/// How many entries page `index` must have: all are full but the last.
fn page_len(head: &SignedHead, index: usize) -> usize {
    let before = index * PAGE_ENTRIES;
    let after = (head.head.entries as usize).saturating_sub(before);
    after.min(PAGE_ENTRIES)
}

/// Why catching up with a head failed. The sender of the piece is at fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SyncError {
    #[error("the head is not newer than what is here")]
    Stale,
    #[error("the list of pages does not fit its head")]
    WrongList,
    #[error("page {0} does not fit its list")]
    WrongPage(u32),
    #[error("page {0} has too many or too few entries")]
    WrongLength(u32),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}
