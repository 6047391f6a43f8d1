//! A listed entry alone, as it is kept beside what is known of its file: a page of its own.

use super::{
    entry::ListedEntry, head::CatalogueError, page::Page, page_writer::PageWriter, refs::EntryRef,
};

pub fn encode_listed(listed: &ListedEntry) -> Vec<u8> {
    PageWriter::of_one(listed)
}

/// Reads what [`encode_listed`] gave.
///
/// # Errors
/// Those of [`Page::decode`].
pub fn decode_listed(bytes: &[u8]) -> Result<ListedEntry, CatalogueError> {
    let page = Page::decode(bytes)?;
    let listed = page.get(0).and_then(EntryRef::listed);
    let listed = listed.ok_or(CatalogueError::BadPage("no file's entry"))?;
    Ok(listed.to_owned())
}
