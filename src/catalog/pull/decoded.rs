//! A catalogue that is taken apart as it comes, as peers keep it.

use std::sync::Arc;

use super::KeptCatalogue;
use crate::catalog::{directories::Directories, Catalogue, Hash, Page, SignedHead};

impl KeptCatalogue for Arc<Catalogue> {
    type Page = Arc<Page>;

    fn page(page: Page) -> Arc<Page> {
        Arc::new(page)
    }

    /// With its part of the catalogue's indexes.
    fn page_bytes(page: &Arc<Page>) -> usize {
        page.footprint() + page.len() * INDEX_BYTES + Directories::most_bytes(page.dirs())
    }

    fn assemble(head: SignedHead, list: Arc<[Hash]>, pages: Vec<Arc<Page>>) -> Self {
        Arc::new(Catalogue::assemble(head, list, pages))
    }

    fn head(&self) -> &SignedHead {
        Catalogue::head(self)
    }

    fn list(&self) -> &[Hash] {
        Catalogue::list(self)
    }

    fn pages(&self) -> &[Arc<Page>] {
        Catalogue::pages(self)
    }

    fn footprint(&self) -> usize {
        Catalogue::footprint(self)
    }
}

/// A number in each of two indexes; what the third one takes depends on the entries.
const INDEX_BYTES: usize = 2 * size_of::<u32>();
