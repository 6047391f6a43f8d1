//! Catching up with a newer head.

use std::sync::Arc;

use super::{
    directories::Directories,
    head::{hash_list, hash_page, CatalogueError, Hash, SignedHead, PAGE_ENTRIES},
    page::Page,
    pages::Catalogue,
    quota::Weight,
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
    /// What the pages take that are here, and those of them that the base has not.
    bytes: usize,
    fresh_bytes: usize,
}

/// A piece of an owner's catalogue that somebody is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The hashes of its pages.
    List,
    Page(u32),
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
            bytes: 0,
            fresh_bytes: 0,
        };
        if head.head.entries == 0 {
            this.handle_list(Vec::new())?;
        }
        Ok(this)
    }

    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// What to ask for next, the same again until it is answered; `None` when all is here.
    pub fn want(&self) -> Option<Want> {
        if self.list.is_none() {
            return Some(Want::List);
        }
        let missing = self.pages.iter().position(Option::is_none)?;
        Some(Want::Page(missing as u32))
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
            (same && page.len() == self.page_len(index)).then(|| page.clone())
        };
        self.pages = list
            .iter()
            .enumerate()
            .map(|(i, hash)| known(i, hash))
            .collect();
        self.bytes = self.pages.iter().flatten().map(|page| taken(page)).sum();
        self.fresh_bytes = size_of_val(&*list);
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
        let page = Page::decode(bytes)?;
        if page.len() != self.page_len(index) {
            return Err(SyncError::WrongPage(index as u32));
        }
        if self.pages[index].is_none() {
            self.bytes += taken(&page);
            self.fresh_bytes += taken(&page);
            self.pages[index] = Some(Arc::new(page));
        }
        Ok(())
    }

    /// What the catalogue takes in memory as far as it is here.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same, and what it is likely to take once it is whole, by the pages that are here.
    pub fn weight(&self) -> Weight {
        let here = self.pages.iter().flatten().count().max(1);
        Weight {
            counted: self.bytes,
            likely: self.bytes.max(self.bytes / here * self.pages.len()),
        }
    }

    /// The same as [`Self::bytes`] without what is here already.
    pub fn fresh_bytes(&self) -> usize {
        self.fresh_bytes
    }

    /// Does without what was here before: what of it is in the new one stays.
    pub fn let_go(&mut self) {
        if self.base.take().is_some() {
            let list = self.list.as_ref().map_or(0, |list| size_of_val(&**list));
            self.fresh_bytes = self.bytes + list;
        }
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

/// What a page takes in memory, with its part of the catalogue's indexes.
fn taken(page: &Page) -> usize {
    page.footprint() + page.len() * INDEX_BYTES + Directories::most_bytes(page.dirs())
}

/// A number in each of two indexes; what the third one takes depends on the entries.
const INDEX_BYTES: usize = 2 * size_of::<u32>();

/// Why catching up with a head failed. The sender of the piece is at fault.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{
        samples::{held, song, SampleOwner},
        Entry, Head,
    };

    /// Some entries: where the seed says so, a hole or something else.
    fn entries(count: usize, odd: &[usize]) -> Vec<Option<Entry>> {
        let entry = |n: usize| match odd.iter().filter(|odd| **odd % count == n).count() {
            0 => song(&format!("album {}", n / 12), &n.to_string(), Some(n as u8)),
            1 => None,
            _ => held(n as u8),
        };
        (0..count).map(entry).collect()
    }

    fn catch_up(owner: &Catalogue, base: Option<Arc<Catalogue>>) -> (Catalogue, Vec<u32>) {
        let mut this = CatchUp::new(*owner.head(), base).unwrap();
        let mut asked = Vec::new();
        loop {
            match this.want() {
                Some(Want::List) => this.handle_list(owner.list().to_vec()).unwrap(),
                Some(Want::Page(n)) => {
                    asked.push(n);
                    this.handle_page(n, owner.pages()[n as usize].bytes())
                        .unwrap();
                }
                None => return (this.finish().unwrap(), asked),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_ends_with_the_owners_catalogue_whatever_came_when(
            before in 1..900_usize,
            after in 1..900_usize,
            odd in prop::collection::vec(0..900_usize, 0..6),
            mut order in Just((0..4).collect::<Vec<u32>>()).prop_shuffle(),
        ) {
            let owner = SampleOwner::new(1);
            let base = owner.publish(1, entries(before, &[]));
            let new = owner.publish(2, entries(after, &odd));
            let mut this = CatchUp::new(*new.head(), Some(Arc::new(base))).unwrap();
            // A page before its list is nobody's page.
            this.handle_page(0, &[1, 2, 3]).unwrap();
            this.handle_list(new.list().to_vec()).unwrap();
            order.extend(order.clone());
            for n in order {
                let page = new.pages().get(n as usize).map_or(vec![9], |page| page.bytes().to_vec());
                this.handle_page(n, &page).unwrap();
            }
            prop_assert_eq!(this.want(), None);
            let reached = this.finish().unwrap();
            prop_assert_eq!(reached.head(), new.head());
            prop_assert_eq!(reached.pages(), new.pages());
        }
    }

    #[test]
    fn a_page_that_did_not_change_is_not_asked_for_again() {
        let owner = SampleOwner::new(1);
        let base = Arc::new(owner.publish(1, entries(700, &[])));
        let new = owner.publish(2, entries(700, &[300]));
        let (reached, asked) = catch_up(&new, Some(base.clone()));
        assert_eq!(asked, [1]);
        assert_eq!(reached.head(), new.head());
        assert!(Arc::ptr_eq(&reached.pages()[2], &base.pages()[2]));

        let (_, asked) = catch_up(&new, None);
        assert_eq!(asked, [0, 1, 2]);
    }

    #[test]
    fn an_empty_catalogue_needs_nothing() {
        let owner = SampleOwner::new(1);
        let (reached, asked) = catch_up(&owner.publish(1, Vec::new()), None);
        assert!(asked.is_empty());
        assert_eq!(reached.entries().count(), 0);
    }

    #[test]
    fn forged_and_stale_heads_are_refused() {
        let owner = SampleOwner::new(1);
        let base = Arc::new(owner.publish(5, entries(3, &[])));
        for seq in [4, 5] {
            let head = *owner.publish(seq, entries(9, &[])).head();
            let refused = CatchUp::new(head, Some(base.clone())).map(|_| ());
            assert_eq!(refused, Err(SyncError::Stale));
        }
        let mut head = *base.head();
        head.head.seq += 1;
        let refused = CatchUp::new(head, Some(base)).map(|_| ());
        assert_eq!(
            refused,
            Err(SyncError::Catalogue(CatalogueError::Forged(owner.id())))
        );
    }

    #[test]
    fn what_it_takes_is_known_while_it_comes() {
        let owner = SampleOwner::new(1);
        let base = Arc::new(owner.publish(1, entries(700, &[])));
        let new = owner.publish(2, entries(700, &[300]));
        let mut this = CatchUp::new(*new.head(), Some(base)).unwrap();
        this.handle_list(new.list().to_vec()).unwrap();
        let (shared, list) = (this.bytes(), this.fresh_bytes());
        let page = new.pages()[1].bytes().to_vec();
        for _ in 0..2 {
            this.handle_page(1, &page).unwrap();
        }
        let (whole, fresh) = (this.bytes(), this.fresh_bytes());
        assert_eq!(fresh - list, whole - shared);
        assert!(fresh - list >= page.len() / 2, "{fresh} bytes");
        this.let_go();
        assert_eq!((this.bytes(), this.fresh_bytes()), (whole, whole + list));
        let counted = this.finish().unwrap().footprint();
        let missed = counted.abs_diff(whole);
        assert!(missed < 1024, "{whole} bytes were counted of {counted}");
    }

    #[test]
    fn another_owners_catalogue_is_no_base() {
        let (alice, bob) = (SampleOwner::new(1), SampleOwner::new(2));
        let base = Arc::new(alice.publish(9, entries(300, &[])));
        let (_, asked) = catch_up(&bob.publish(1, entries(300, &[])), Some(base));
        assert_eq!(asked, [0, 1]);
    }

    #[test]
    fn wrong_lists_and_pages_are_refused_and_asked_for_again() {
        let owner = SampleOwner::new(1);
        let new = owner.publish(1, entries(300, &[]));
        let mut this = CatchUp::new(*new.head(), None).unwrap();
        for list in [vec![], vec![[0; 32]; 2], vec![[0; 32]; 3]] {
            assert_eq!(this.handle_list(list), Err(SyncError::WrongList));
        }
        assert_eq!(this.want(), Some(Want::List));
        this.handle_list(new.list().to_vec()).unwrap();
        let other = new.pages()[1].bytes().to_vec();
        assert_eq!(this.handle_page(0, &other), Err(SyncError::WrongPage(0)));
        assert_eq!(this.want(), Some(Want::Page(0)));
        assert!(this.finish().is_none());
    }

    /// The owner signs nonsense: its list fits its head, its pages do not.
    #[test]
    fn a_page_of_the_wrong_length_is_refused_even_from_its_owner() {
        let owner = SampleOwner::new(1);
        let short = owner.publish(1, entries(10, &[]));
        let full = owner.publish(2, entries(300, &[]));
        let list = vec![short.list()[0], full.list()[1]];
        let head = Head {
            pages: hash_list(&list),
            ..full.head().head
        };
        let head = SignedHead::sign(head, |bytes| owner.sign(bytes));
        for base in [None, Some(Arc::new(short.clone()))] {
            let mut this = CatchUp::new(head, base).unwrap();
            this.handle_list(list.clone()).unwrap();
            assert_eq!(this.want(), Some(Want::Page(0)));
            let refused = this.handle_page(0, short.pages()[0].bytes());
            assert_eq!(refused, Err(SyncError::WrongPage(0)));
        }
    }
}
