//! The catalogue that a head and its pages make.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use super::{
    directories::Directories,
    fields::FieldSet,
    head::{hash_list, hash_page, Hash, Head, SignedHead, PAGE_ENTRIES},
    page::Page,
    refs::{EntryRef, ListedRef},
};
use crate::id::{EntryNo, PeerId, TrackId};

/// One owner's catalogue, whole and checked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalogue {
    head: SignedHead,
    list: Arc<[Hash]>,
    pages: Vec<Arc<Page>>,
    /// The numbers of all listed entries, ordered by directory, name, number.
    by_path: Arc<[u32]>,
    /// The numbers of all entries with a known content, ordered by that and
    /// by number.
    by_track: Arc<[u32]>,
    directories: Arc<Directories>,
}

impl Catalogue {
    /// Makes the owner's own catalogue out of its pages, signing a head.
    pub fn publish(
        owner: PeerId,
        epoch: u64,
        seq: u64,
        pages: Vec<Arc<Page>>,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Self {
        let list = pages.iter().map(|page| hash_page(page.bytes())).collect();
        Self::publish_hashed(owner, epoch, seq, pages, list, sign)
    }

    /// Like [`Self::publish`], for the same owner; pages that this catalogue
    /// has in common with the new one are not hashed again.
    pub fn succeed(
        &self,
        epoch: u64,
        seq: u64,
        pages: Vec<Arc<Page>>,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Self {
        let hash = |(n, page): (usize, &Arc<Page>)| match self.pages.get(n) {
            Some(old) if Arc::ptr_eq(old, page) => self.list[n],
            _ => hash_page(page.bytes()),
        };
        let list = pages.iter().enumerate().map(hash).collect();
        Self::publish_hashed(self.owner(), epoch, seq, pages, list, sign)
    }

    fn publish_hashed(
        owner: PeerId,
        epoch: u64,
        seq: u64,
        pages: Vec<Arc<Page>>,
        list: Arc<[Hash]>,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
    ) -> Self {
        let full = pages.len().saturating_sub(1) * PAGE_ENTRIES;
        let entries = full + pages.last().map_or(0, |page| page.len());
        let head = Head {
            owner,
            epoch,
            seq,
            entries: u32::try_from(entries).unwrap_or(u32::MAX),
            pages: hash_list(&list),
        };
        Self::assemble(SignedHead::sign(head, sign), list, pages)
    }

    /// Puts together what [`super::Pull`] has checked piece by piece.
    pub(super) fn assemble(head: SignedHead, list: Arc<[Hash]>, pages: Vec<Arc<Page>>) -> Self {
        let mut this = Self {
            head,
            list,
            pages,
            by_path: Arc::default(),
            by_track: Arc::default(),
            directories: Arc::default(),
        };
        let listed = |no: &u32| this.path(*no).is_some();
        let mut by_path: Vec<u32> = this.numbers().filter(listed).collect();
        // Both sorts are stable, and a library is numbered in order of its
        // paths for the most part, which makes the first one cheap.
        by_path.sort_by_key(|no| this.path(*no));
        let files = by_path.iter().filter_map(|no| {
            let (page, n) = this.place(*no)?;
            Some((*no, page.path(n)?.0, page.modified(n)?))
        });
        let directories = Arc::new(Directories::new(files));
        let hashed = |no: &u32| this.track(*no).is_some();
        let mut by_track: Vec<u32> = this.numbers().filter(hashed).collect();
        by_track.sort_by_key(|no| this.track(*no));
        (this.by_path, this.by_track) = (by_path.into(), by_track.into());
        this.directories = directories;
        this
    }

    pub fn owner(&self) -> PeerId {
        self.head.head.owner
    }

    pub fn head(&self) -> &SignedHead {
        &self.head
    }

    /// The hashes of the pages, in order.
    pub fn list(&self) -> &Arc<[Hash]> {
        &self.list
    }

    pub fn pages(&self) -> &[Arc<Page>] {
        &self.pages
    }

    pub fn get(&self, no: EntryNo) -> Option<EntryRef<'_>> {
        self.get_some(no, FieldSet::ALL)
    }

    /// [`Self::get`], with the `wanted` fields only.
    pub fn get_some(&self, no: EntryNo, wanted: FieldSet) -> Option<EntryRef<'_>> {
        let (page, n) = self.place(no.0)?;
        page.get_some(n, wanted)
    }

    /// The listed entry in the directory `dir` with the name `name`.
    pub fn find(&self, dir: &str, name: &str) -> Option<(EntryNo, ListedRef<'_>)> {
        let wanted = Some((dir, name));
        let at = self.by_path.partition_point(|no| self.path(*no) < wanted);
        let no = EntryNo(*self.by_path.get(at)?);
        (self.path(no.0) == wanted).then_some((no, self.get(no)?.listed()?))
    }

    /// The places, in the order of their paths, of the listed entries that are in the
    /// directory `path`.
    pub fn in_directory(&self, path: &str) -> Range<usize> {
        let before = |order: fn(Ordering) -> bool| {
            let dir = |no: &u32| self.path(*no).map(|(dir, _)| dir.cmp(path));
            self.by_path
                .partition_point(|no| dir(no).is_some_and(order))
        };
        before(Ordering::is_lt)..before(Ordering::is_le)
    }

    /// The same of those that are in directories below it.
    pub fn below_directory(&self, path: &str) -> Range<usize> {
        let before = |end: &str| {
            let is_before = |no: &u32| self.path(*no).is_some_and(|(dir, _)| dir < end);
            self.by_path.partition_point(is_before)
        };
        match path {
            "" => self.in_directory("").end..self.by_path.len(),
            // The character behind the slash.
            path => before(&format!("{path}/"))..before(&format!("{path}0")),
        }
    }

    /// The same of the file `path`.
    pub fn at_path(&self, path: &str) -> Range<usize> {
        let wanted = Some(path.rsplit_once('/').unwrap_or(("", path)));
        let first = self.by_path.partition_point(|no| self.path(*no) < wanted);
        let rest = self.by_path[first..].iter();
        first..first + rest.take_while(|no| self.path(**no) == wanted).count()
    }

    /// The number of the listed entry at `place` in the order of their paths.
    pub fn by_path(&self, place: usize) -> Option<EntryNo> {
        self.by_path.get(place).copied().map(EntryNo)
    }

    /// When something in or below the directory `path` was last modified, and the same of each
    /// directory in it, by name. In seconds since 1970.
    pub fn directory(&self, path: &str) -> Option<(i64, impl Iterator<Item = (&str, i64)>)> {
        let dir_of = |no| self.path(no).map(|(dir, _)| dir);
        let at = self.directories.find(path, dir_of)?;
        let deep = if path.is_empty() { 0 } else { path.len() + 1 };
        let children = self.directories.children(at, dir_of);
        let named = children.filter_map(move |(path, newest)| Some((path.get(deep..)?, newest)));
        Some((self.directories.newest(at)?, named))
    }

    /// The entries with this content, by number.
    pub fn copies(&self, track: TrackId) -> impl Iterator<Item = (EntryNo, EntryRef<'_>)> {
        let first = self
            .by_track
            .partition_point(|no| self.track(*no) < Some(track));
        self.by_track[first..]
            .iter()
            .take_while(move |no| self.track(**no) == Some(track))
            .filter_map(|no| Some((EntryNo(*no), self.get(EntryNo(*no))?)))
    }

    fn path(&self, no: u32) -> Option<(&str, &str)> {
        let (page, n) = self.place(no)?;
        page.path(n)
    }

    fn track(&self, no: u32) -> Option<TrackId> {
        let (page, n) = self.place(no)?;
        page.track(n)
    }

    /// The page of number `no`, and the place there.
    fn place(&self, no: u32) -> Option<(&Page, usize)> {
        let no = no as usize;
        let page = self.pages.get(no / PAGE_ENTRIES)?;
        Some((page, no % PAGE_ENTRIES))
    }

    fn numbers(&self) -> Range<u32> {
        0..self.head.head.entries
    }

    /// How many files of the library are in it.
    pub fn listed_count(&self) -> usize {
        self.by_path.len()
    }

    /// What it takes in memory, in bytes, without what the allocator adds.
    pub fn footprint(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| page.footprint()).sum();
        let indexes = size_of_val(&*self.by_path) + size_of_val(&*self.by_track);
        let lists = size_of_val(&*self.pages) + size_of_val(&*self.list);
        size_of_val(self) + pages + indexes + lists + self.directories.footprint()
    }

    /// The entries that are there, by number.
    #[cfg(test)]
    pub fn entries(&self) -> impl Iterator<Item = (EntryNo, EntryRef<'_>)> {
        let numbers = self.numbers().map(EntryNo);
        numbers.filter_map(|no| Some((no, self.get(no)?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{
        head::{CatalogueError, MAX_PAGES, MAX_PAGE_BYTES},
        samples::{held, listed, song, SampleOwner},
        Entry, Tag,
    };

    #[test]
    fn only_the_owner_can_make_a_head() {
        let (alice, eve) = (SampleOwner::new(1), SampleOwner::new(2));
        let head = *alice.publish(1, vec![held(1)]).head();
        assert_eq!(head.verify(), Ok(()));
        let forged = [
            SignedHead::sign(head.head, |bytes| eve.sign(bytes)),
            SignedHead {
                head: Head {
                    seq: 2,
                    ..head.head
                },
                ..head
            },
            SignedHead {
                head: Head {
                    epoch: 2,
                    ..head.head
                },
                ..head
            },
            SignedHead {
                head: Head {
                    entries: 2,
                    ..head.head
                },
                ..head
            },
            SignedHead {
                head: Head {
                    pages: [0; 32],
                    ..head.head
                },
                ..head
            },
            SignedHead {
                head: Head {
                    owner: eve.id(),
                    ..head.head
                },
                ..head
            },
        ];
        for head in forged {
            assert_eq!(head.verify(), Err(CatalogueError::Forged(head.head.owner)));
        }
    }

    #[test]
    fn a_head_over_too_many_entries_is_refused() {
        let alice = SampleOwner::new(1);
        let mut head = alice.publish(1, Vec::new()).head().head;
        head.entries = (MAX_PAGES * PAGE_ENTRIES) as u32;
        let sign = |bytes: &[u8]| alice.sign(bytes);
        assert_eq!(SignedHead::sign(head, sign).verify(), Ok(()));
        head.entries += 1;
        let refused = SignedHead::sign(head, sign).verify();
        assert_eq!(refused, Err(CatalogueError::TooLarge(head.entries)));
    }

    #[test]
    fn hostile_pages_are_refused() {
        let refused = |bytes: &[u8], why| {
            assert_eq!(Page::decode(bytes), Err(CatalogueError::BadPage(why)));
        };
        refused(&vec![0; MAX_PAGE_BYTES + 1], "too long");
        for malformed in [&[][..], &[1, 1, 7], &[0xa2, 0, 0x80, 1, 0x81]] {
            refused(malformed, "malformed");
        }
        let holes = |n: u16| {
            let [high, low] = n.to_be_bytes();
            let holes = vec![0xf6; n.into()];
            [&[0xa2, 0, 0x80, 1, 0x99, high, low], &*holes].concat()
        };
        assert!(Page::decode(&holes(PAGE_ENTRIES as u16)).is_ok());
        refused(
            &holes(PAGE_ENTRIES as u16 + 1),
            "too many entries, or texts of them",
        );
        // A list of 2^32 - 1 texts; a byte too many; fields in another order, and twice.
        let endless = [0xa2, 0, 0x9a, 0xff, 0xff, 0xff, 0xff];
        refused(&endless, "too many entries, or texts of them");
        refused(&[0xa2, 0, 0x80, 1, 0x80, 0], "malformed");
        refused(&[0xa2, 1, 0x80, 0, 0x80], "malformed");
        refused(&[0xa3, 0, 0x80, 1, 0x80, 1, 0x80], "malformed");
        let escaping = Page::new(&[song("..", "a", None)]);
        refused(escaping.bytes(), "an entry breaks the rules");
    }

    proptest! {
        /// What is believed is relayed with the bytes, and so the hash, that
        /// it came with.
        #[test]
        fn bytes_that_are_believed_are_written_again(
            change in any::<(prop::sample::Index, u8)>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let entries = [song("a", "b.flac", Some(3)), None, held(4)];
            let mut bytes = Page::new(&entries).bytes().to_vec();
            let at = change.0.index(bytes.len());
            bytes[at] ^= change.1;
            if change.1 == 0 {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(page) = Page::decode(&bytes) {
                prop_assert_eq!(&**page.bytes(), bytes);
            }
        }
    }

    proptest! {
        #[test]
        fn a_path_and_what_is_below_it_are_found_as_a_walk_over_all_would(
            files in prop::collection::vec(("([ab!]{1,2}(/[ab!]{1,2}){0,2})?", "[ab]"), 0..30),
            asked in "([ab!]{1,2}(/[ab!]{1,2}){0,2})?",
        ) {
            let entries = files.iter().map(|(dir, name)| song(dir, name, None)).collect();
            let catalogue = SampleOwner::new(1).publish(1, entries);
            let walked = |is_sought: fn(&str, &str, &str) -> bool| {
                let is_there = |n: &usize| is_sought(&files[*n].0, &files[*n].1, &asked);
                (0..files.len()).filter(is_there).collect::<Vec<_>>()
            };
            let found = |places: Range<usize>| {
                let mut found: Vec<_> = places
                    .filter_map(|place| Some(catalogue.by_path(place)?.0 as usize))
                    .collect();
                found.sort_unstable();
                found
            };
            let at = walked(|dir, name, asked| match dir {
                "" => name == asked,
                dir => format!("{dir}/{name}") == asked,
            });
            prop_assert_eq!(found(catalogue.at_path(&asked)), at);
            prop_assert_eq!(
                found(catalogue.in_directory(&asked)),
                walked(|dir, _, asked| dir == asked)
            );
            let below = walked(|dir, _, asked| match asked {
                "" => !dir.is_empty(),
                asked => dir.strip_prefix(asked).is_some_and(|rest| rest.starts_with('/')),
            });
            prop_assert_eq!(found(catalogue.below_directory(&asked)), below);
        }
    }

    #[test]
    fn paths_and_contents_are_found() {
        let mut entries = vec![
            song("b", "2", Some(7)),
            song("b", "1", None),
            None,
            held(7),
            song("", "b", Some(9)),
            song("a/b", "1", Some(7)),
        ];
        entries.extend((0..600).map(|n| song("c", &n.to_string(), None)));
        let catalogue = SampleOwner::new(1).publish(1, entries);
        for (no, entry) in catalogue.entries() {
            if let Some(listed) = entry.listed() {
                let found = catalogue.find(listed.dir, listed.name);
                assert_eq!(found.map(|(found, _)| found), Some(no));
            }
        }
        assert!(catalogue.find("b", "3").is_none());
        assert!(catalogue.find("zzz", "").is_none());
        let copies = |n| {
            catalogue
                .copies(TrackId([n; 32]))
                .map(|(no, _)| no.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(copies(7), [0, 3, 5]);
        assert_eq!(copies(9), [4]);
        assert!(copies(8).is_empty());
    }

    /// Of the 250 bytes that a track may cost an idle peer, forty are for
    /// the allocator and for longer names than these.
    #[test]
    fn an_entry_takes_at_most_210_bytes() {
        let entry = |n: usize| {
            let (album, number) = (n / 12, n % 12 + 1);
            let dir = format!("Some Artist {}/2004 - The Album No. {album}", album / 8);
            let name = format!("{number:02} - A Song of Some Length {n}.flac");
            let mut listed = listed(&dir, &name, Some(n as u8));
            let size = 25_000_000 + n as u64 * 1_234;
            listed.size = size;
            listed.audio_start = 2_000_000;
            listed.opening = [0..16_384, 1_998_848..2_031_616, size - 16_384..size].into();
            listed.duration = std::time::Duration::new(241, 373_333_333);
            let artist = format!("Some Artist {}", album / 8);
            let tags = [
                (Tag::Title, format!("A Song of Some Length {n}")),
                (Tag::Track, number.to_string()),
                (Tag::Artist, artist.clone()),
                (Tag::Album, format!("The Album No. {album}")),
                (Tag::AlbumArtist, artist),
                (Tag::Genre, "Alternative Rock".to_owned()),
                (Tag::Date, "2004-10-11".to_owned()),
            ];
            listed.tags = tags.into_iter().collect();
            Some(Entry::Listed(Box::new(listed)))
        };
        let count = 10_000;
        let catalogue = SampleOwner::new(1).publish(1, (0..count).map(entry).collect());
        let each = catalogue.footprint() / count;
        assert!(each <= 210, "{each} bytes an entry");
    }

    #[test]
    fn a_successor_is_what_publishing_anew_gives() {
        let owner = SampleOwner::new(1);
        let mut entries: Vec<_> = (0..300).map(|n| song("a", &n.to_string(), None)).collect();
        let first = owner.publish(1, entries.clone());
        entries[280] = None;
        let anew = owner.publish(2, entries);
        let pages = vec![first.pages()[0].clone(), anew.pages()[1].clone()];
        let next = first.succeed(1, 2, pages, |bytes| owner.sign(bytes));
        assert_eq!(next.head(), anew.head());
    }
}
