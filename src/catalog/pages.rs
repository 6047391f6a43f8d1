//! Heads, pages and the catalogue that they make.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Listed};
use crate::id::{EntryNo, PeerId, TrackId};

/// Entries in a page: one changed file costs its neighbours' 256 lines, and
/// 100,000 tracks are 391 hashes.
pub const PAGE_ENTRIES: usize = 256;

/// Pages in a catalogue: a million entries, and a list of hashes of 128 KiB.
pub const MAX_PAGES: usize = 4096;

/// Bytes in an encoded page: 4 KiB an entry, the longest path that Linux has.
pub const MAX_PAGE_BYTES: usize = PAGE_ENTRIES * 4096;

/// A BLAKE3 hash of a page, or of the list of page hashes.
pub type Hash = [u8; 32];

/// An Ed25519 signature in two halves, each of which serde knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature(pub [u8; 32], pub [u8; 32]);

impl From<[u8; 64]> for Signature {
    fn from(bytes: [u8; 64]) -> Self {
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&bytes[..32]);
        s.copy_from_slice(&bytes[32..]);
        Self(r, s)
    }
}

/// The state of one owner's catalogue in a hundred bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub owner: PeerId,
    /// Starts anew when the owner lost its index; higher is newer.
    pub epoch: u64,
    /// Counts the owner's changes within an epoch.
    pub seq: u64,
    /// Numbers given out, including those of entries that are gone.
    pub entries: u32,
    /// The hash over the page hashes, in order.
    pub pages: Hash,
}

impl Head {
    /// Whether this head replaces `other` of the same owner.
    pub fn is_newer_than(&self, other: &Head) -> bool {
        (self.epoch, self.seq) > (other.epoch, other.seq)
    }

    /// How many pages the entries fill.
    pub fn page_count(&self) -> usize {
        (self.entries as usize).div_ceil(PAGE_ENTRIES)
    }

    /// What is signed: a fixed context, so that the signature can be taken
    /// for nothing else, and the fields in order, integers big-endian.
    fn signed_bytes(&self) -> Vec<u8> {
        [
            SIGNING_CONTEXT,
            &self.owner.0,
            &self.epoch.to_be_bytes(),
            &self.seq.to_be_bytes(),
            &self.entries.to_be_bytes(),
            &self.pages,
        ]
        .concat()
    }
}

/// A head as its owner signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    pub head: Head,
    pub signature: Signature,
}

impl SignedHead {
    /// Signs `head` with the owner's Ed25519 key.
    pub fn sign(head: Head, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Self {
        let signature = sign(&head.signed_bytes()).into();
        Self { head, signature }
    }

    /// Checks the owner's signature and the bounds.
    ///
    /// # Errors
    /// Says which of the two is wrong.
    pub fn verify(&self) -> Result<(), CatalogueError> {
        if self.head.page_count() > MAX_PAGES {
            return Err(CatalogueError::TooLarge(self.head.entries));
        }
        let signature = [self.signature.0, self.signature.1].concat();
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, self.head.owner.0)
            .verify(&self.head.signed_bytes(), &signature)
            .map_err(|_| CatalogueError::Forged(self.head.owner))
    }
}

/// Up to [`PAGE_ENTRIES`] consecutive entry numbers; `None` where an entry is
/// gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub entries: Vec<Option<Entry>>,
}

impl Page {
    /// The page on the wire (postcard).
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("plain data always has an encoding")
    }

    /// Reads a foreign page.
    ///
    /// # Errors
    /// Refuses what is too long, malformed, encoded in another way than
    /// [`Self::encode`] would (its hash would change when relayed), or breaks
    /// the rules of [`Entry::is_sane`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CatalogueError> {
        if bytes.len() > MAX_PAGE_BYTES {
            return Err(CatalogueError::BadPage("too long"));
        }
        // Looked at first: a hole is one byte here and many in memory.
        let (len, _) = postcard::take_from_bytes::<usize>(bytes)
            .map_err(|_| CatalogueError::BadPage("malformed"))?;
        if len > PAGE_ENTRIES {
            return Err(CatalogueError::BadPage("too many entries"));
        }
        let page: Self =
            postcard::from_bytes(bytes).map_err(|_| CatalogueError::BadPage("malformed"))?;
        if !page.entries.iter().flatten().all(Entry::is_sane) {
            return Err(CatalogueError::BadPage("an entry breaks the rules"));
        }
        if page.encode() != bytes {
            return Err(CatalogueError::BadPage("not in its canonical encoding"));
        }
        Ok(page)
    }
}

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
        let list = pages.iter().map(|page| hash_page(&page.encode())).collect();
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
            _ => hash_page(&page.encode()),
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
        let entries = full + pages.last().map_or(0, |page| page.entries.len());
        let head = Head {
            owner,
            epoch,
            seq,
            entries: u32::try_from(entries).unwrap_or(u32::MAX),
            pages: hash_list(&list),
        };
        Self::assemble(SignedHead::sign(head, sign), list, pages)
    }

    /// Puts together what [`super::CatchUp`] has checked piece by piece.
    pub(super) fn assemble(head: SignedHead, list: Arc<[Hash]>, pages: Vec<Arc<Page>>) -> Self {
        let mut this = Self {
            head,
            list,
            pages,
            by_path: Arc::default(),
            by_track: Arc::default(),
        };
        let listed = this.entries().filter(|(_, entry)| entry.listed().is_some());
        let mut by_path: Vec<u32> = listed.map(|(no, _)| no.0).collect();
        // Both sorts are stable, and a library is numbered in order of its
        // paths for the most part, which makes the first one cheap.
        by_path.sort_by_key(|no| this.path(*no));
        let hashed = this.entries().filter(|(_, entry)| entry.track().is_some());
        let mut by_track: Vec<u32> = hashed.map(|(no, _)| no.0).collect();
        by_track.sort_by_key(|no| this.track(*no));
        (this.by_path, this.by_track) = (by_path.into(), by_track.into());
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

    pub fn get(&self, no: EntryNo) -> Option<&Entry> {
        let no = no.0 as usize;
        self.pages
            .get(no / PAGE_ENTRIES)?
            .entries
            .get(no % PAGE_ENTRIES)?
            .as_ref()
    }

    /// The listed entry in the directory `dir` with the name `name`.
    pub fn find(&self, dir: &str, name: &str) -> Option<(EntryNo, &Listed)> {
        let wanted = Some((dir, name));
        let at = self.by_path.partition_point(|no| self.path(*no) < wanted);
        let no = EntryNo(*self.by_path.get(at)?);
        (self.path(no.0) == wanted).then_some((no, self.get(no)?.listed()?))
    }

    /// The entries with this content, by number.
    pub fn copies(&self, track: TrackId) -> impl Iterator<Item = (EntryNo, &Entry)> {
        let first = self
            .by_track
            .partition_point(|no| self.track(*no) < Some(track));
        self.by_track[first..]
            .iter()
            .map(|no| EntryNo(*no))
            .filter_map(|no| Some((no, self.get(no)?)))
            .take_while(move |(_, entry)| entry.track() == Some(track))
    }

    fn path(&self, no: u32) -> Option<(&str, &str)> {
        let listed = self.get(EntryNo(no))?.listed()?;
        Some((&listed.dir, &listed.name))
    }

    fn track(&self, no: u32) -> Option<TrackId> {
        self.get(EntryNo(no))?.track()
    }

    /// How many files of the library are in it.
    pub fn listed_count(&self) -> usize {
        self.by_path.len()
    }

    /// The entries that are there, by number.
    pub fn entries(&self) -> impl Iterator<Item = (EntryNo, &Entry)> {
        self.pages.iter().enumerate().flat_map(|(n, page)| {
            let first = (n * PAGE_ENTRIES) as u32;
            (first..)
                .zip(&page.entries)
                .filter_map(|(no, entry)| Some((EntryNo(no), entry.as_ref()?)))
        })
    }
}

/// Why a head or a page is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CatalogueError {
    #[error("the head is not signed by {0}, whose catalogue it claims to be")]
    Forged(PeerId),
    #[error("{0} entries are more than a catalogue may have")]
    TooLarge(u32),
    #[error("a page is refused: {0}")]
    BadPage(&'static str),
}

pub(super) fn hash_page(bytes: &[u8]) -> Hash {
    *blake3::hash(bytes).as_bytes()
}

pub(super) fn hash_list(list: &[Hash]) -> Hash {
    *blake3::hash(list.as_flattened()).as_bytes()
}

const SIGNING_CONTEXT: &[u8] = b"p2pmusic catalogue head 1";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::samples::{held, song, Owner};

    #[test]
    fn only_the_owner_can_make_a_head() {
        let (alice, eve) = (Owner::new(1), Owner::new(2));
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
        let alice = Owner::new(1);
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
        refused(&[], "malformed");
        refused(&[1, 1, 7], "malformed");
        // A length of 2^32 - 1, and one more hole than fits.
        refused(&[0xff, 0xff, 0xff, 0xff, 0x0f], "too many entries");
        let holes = |n| {
            Page {
                entries: vec![None; n],
            }
            .encode()
        };
        refused(&holes(PAGE_ENTRIES + 1), "too many entries");
        assert!(Page::decode(&holes(PAGE_ENTRIES)).is_ok());
        // One hole, its number written in two bytes; and a byte too many.
        refused(&[0x81, 0x00, 0], "not in its canonical encoding");
        refused(&[1, 0, 0], "not in its canonical encoding");
        let escaping = Page {
            entries: vec![song("..", "a", None)],
        };
        refused(&escaping.encode(), "an entry breaks the rules");
    }

    proptest! {
        /// What is believed is relayed with the bytes, and so the hash, that
        /// it came with.
        #[test]
        fn bytes_that_are_believed_are_written_again(
            change in any::<(prop::sample::Index, u8)>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let entries = vec![song("a", "b.flac", Some(3)), None, held(4)];
            let mut bytes = Page { entries }.encode();
            let at = change.0.index(bytes.len());
            bytes[at] ^= change.1;
            if change.1 == 0 {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(page) = Page::decode(&bytes) {
                prop_assert_eq!(page.encode(), bytes);
            }
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
        let catalogue = Owner::new(1).publish(1, entries);
        for (no, entry) in catalogue.entries() {
            if let Some(listed) = entry.listed() {
                let found = catalogue.find(&listed.dir, &listed.name);
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

    #[test]
    fn a_successor_is_what_publishing_anew_gives() {
        let owner = Owner::new(1);
        let mut entries: Vec<_> = (0..300).map(|n| song("a", &n.to_string(), None)).collect();
        let first = owner.publish(1, entries.clone());
        entries[280] = None;
        let anew = owner.publish(2, entries);
        let pages = vec![first.pages()[0].clone(), anew.pages()[1].clone()];
        let next = first.succeed(1, 2, pages, |bytes| owner.sign(bytes));
        assert_eq!(next.head(), anew.head());
    }
}
