//! Catching up with a newer head.

use std::sync::Arc;

use super::{
    interner::Interner,
    pages::{
        hash_list, hash_page, Catalogue, CatalogueError, Hash, Page, SignedHead, PAGE_ENTRIES,
    },
};

/// One owner's catalogue on its way here: says what it needs, takes answers
/// from wherever they come, and gives the whole or nothing.
#[derive(Debug)]
pub struct CatchUp {
    head: SignedHead,
    /// What this peer had before; pages whose hash has not changed are kept.
    base: Option<Arc<Catalogue>>,
    list: Option<Arc<[Hash]>>,
    /// As many as the list is long once that is here.
    pages: Vec<Option<Arc<Page>>>,
    /// For what the pages that come have in common. Those of `base` are not
    /// gone through for it: they share among themselves.
    shared: Interner,
}

/// What a [`CatchUp`] needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    List,
    Page(u32),
    Nothing,
}

impl CatchUp {
    /// Starts towards `head`, from what is already here.
    ///
    /// # Errors
    /// When the head is forged, or not newer than `base`.
    pub fn new(head: SignedHead, base: Option<Arc<Catalogue>>) -> Result<Self, SyncError> {
        head.verify()?;
        let base = base.filter(|base| base.owner() == head.head.owner);
        if base
            .as_ref()
            .is_some_and(|base| !head.head.is_newer_than(&base.head().head))
        {
            return Err(SyncError::Stale);
        }
        let mut this = Self {
            head,
            base,
            list: None,
            pages: Vec::new(),
            shared: Interner::default(),
        };
        if head.head.entries == 0 {
            this.handle_list(Vec::new())?;
        }
        Ok(this)
    }

    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// What to ask for next; the same again until it is answered.
    pub fn need(&self) -> Need {
        if self.list.is_none() {
            return Need::List;
        }
        match self.pages.iter().position(Option::is_none) {
            Some(index) => Need::Page(index as u32),
            None => Need::Nothing,
        }
    }

    /// Takes the list of page hashes.
    ///
    /// # Errors
    /// When it is not the list of this head.
    pub fn handle_list(&mut self, list: Vec<Hash>) -> Result<(), SyncError> {
        if list.len() != self.head.head.page_count() || hash_list(&list) != self.head.head.pages {
            return Err(SyncError::WrongList);
        }
        let known = |index: usize, hash: &Hash| {
            let base = self.base.as_ref()?;
            let page = base.pages().get(index)?;
            let same = base.list().get(index)? == hash;
            (same && page.entries.len() == self.page_len(index)).then(|| page.clone())
        };
        self.pages = list
            .iter()
            .enumerate()
            .map(|(i, hash)| known(i, hash))
            .collect();
        self.list = Some(list.into());
        Ok(())
    }

    /// Takes one page. One that was not asked for is ignored.
    ///
    /// # Errors
    /// When it is not the page of this list, or breaks the rules.
    pub fn handle_page(&mut self, index: u32, bytes: &[u8]) -> Result<(), SyncError> {
        let index = index as usize;
        let Some(expected) = self.list.as_ref().and_then(|list| list.get(index)) else {
            return Ok(());
        };
        if hash_page(bytes) != *expected {
            return Err(SyncError::WrongPage(index as u32));
        }
        let mut page = Page::decode(bytes)?;
        if page.entries.len() != self.page_len(index) {
            return Err(SyncError::WrongPage(index as u32));
        }
        for entry in page.entries.iter_mut().flatten() {
            self.shared.intern(entry);
        }
        self.pages[index] = Some(Arc::new(page));
        Ok(())
    }

    /// The catalogue, once nothing is needed any more.
    pub fn finish(self) -> Option<Catalogue> {
        let pages = self.pages.into_iter().collect::<Option<Vec<_>>>()?;
        Some(Catalogue::assemble(self.head, self.list?, pages))
    }

    /// How many entries page `index` must have: all are full but the last.
    fn page_len(&self, index: usize) -> usize {
        (self.head.head.entries as usize - index * PAGE_ENTRIES).min(PAGE_ENTRIES)
    }
}

/// Why catching up with a head failed. Whoever sent the piece is at fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SyncError {
    #[error("the head is not newer than what is here")]
    Stale,
    #[error("the list of pages does not fit its head")]
    WrongList,
    #[error("page {0} does not fit its list")]
    WrongPage(u32),
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}
