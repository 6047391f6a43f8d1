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
/// Those of [`Page::decode`], and when it has more texts than its share of a page.
pub fn decode_listed(bytes: &[u8]) -> Result<ListedEntry, CatalogueError> {
    let page = Page::decode(bytes)?;
    if !page.is_of_fair_entry() {
        return Err(CatalogueError::BadPage("too many texts"));
    }
    let listed = page.get(0).and_then(EntryRef::listed);
    let listed = listed.ok_or(CatalogueError::BadPage("no file's entry"))?;
    Ok(listed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{samples, Entry, Page, Tag, PAGE_ENTRIES};

    /// A file with so many genres, none of which another has.
    fn with_genres(n: usize, count: usize) -> ListedEntry {
        let dir = n.to_string();
        ListedEntry {
            tags: (0..count)
                .map(|m| (Tag::Genre, format!("{n} {m}")))
                .collect(),
            ..samples::listed(&dir, "a.flac", None)
        }
    }

    #[test]
    fn a_page_takes_as_many_entries_as_are_admitted() {
        let is_admitted = |count| decode_listed(&encode_listed(&with_genres(0, count))).is_ok();
        assert_eq!(
            [9, 22, 23, 100].map(is_admitted),
            [true, true, false, false]
        );
        for count in (0..100).filter(|count| is_admitted(*count)) {
            let entries = (0..PAGE_ENTRIES).map(|n| with_genres(n, count));
            let entries: Vec<_> = entries
                .map(|it| Some(Entry::Listed(Box::new(it))))
                .collect();
            assert_eq!(Page::new(&entries).len(), PAGE_ENTRIES);
        }
    }
}
