//! A catalogue as it is kept on disk while its owner is away.
//!
//! The owner's signed head, the list of page hashes and the pages are those that came, byte
//! for byte: what is read is checked as what comes from others. Before them stands a label
//! with what only the keeper says, and its hash.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "door")]
use minicbor::Decoder;
use minicbor::{Decode, Encode};

use super::head::{Hash, SignedHead};
use super::{
    pages::Catalogue,
    pull::{Pull, SyncError, Want},
    quota::OwnerSite,
};
use crate::id::{check_name, KeyMark, PeerId, MAX_NAME_BYTES};

/// A catalogue that is kept, and what is known of its owner.
#[derive(Clone, Debug)]
pub struct Deposit {
    /// By which the owner was shown last.
    pub name: Arc<str>,
    /// Where it was then.
    pub site: Option<OwnerSite>,
    pub catalogue: Arc<Catalogue>,
}

/// What a file says before its pages.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Label {
    #[n(0)]
    pub name: String,
    #[n(1)]
    pub site: Option<OwnerSite>,
    /// The swarm's keys that were believed while the owner was met.
    #[n(2)]
    pub keys: Vec<KeyMark>,
    #[n(3)]
    pub head: SignedHead,
}

/// Why a file is no catalogue that could be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DepositError {
    #[error("it is not whole")]
    Cut,
    #[error("it is damaged, or of another version")]
    Damaged,
    #[error("it is {0}'s, whose name it does not have")]
    OtherOwner(PeerId),
    #[error(transparent)]
    Unsound(#[from] SyncError),
}

impl Deposit {
    /// What is to be written, piece by piece, where these keys were believed.
    pub fn pieces(&self, keys: Vec<KeyMark>) -> impl Iterator<Item = Vec<u8>> + '_ {
        let label = Label {
            name: (*self.name).into(),
            site: self.site,
            keys,
            head: *self.catalogue.head(),
        };
        let list = self.catalogue.list().as_flattened().to_vec();
        let pages = self.catalogue.pages().iter();
        let pages = pages.flat_map(|page| {
            let page = page.bytes();
            [length(page).to_vec(), page.to_vec()]
        });
        [label.encode(), list].into_iter().chain(pages)
    }

    /// Reads what [`Self::pieces`] gave for `owner`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(bytes: &[u8], owner: PeerId) -> Result<Self, DepositError> {
        let (label, rest) = Label::read(bytes, owner)?;
        let mut pull: Pull<Arc<Catalogue>> = Pull::new(label.head, None)?;
        let count = label.head.head.page_count();
        let list = rest.get(..count * size_of::<Hash>());
        let list = list.ok_or(DepositError::Cut)?;
        let mut rest = &rest[list.len()..];
        while let [want] = pull.wants(1)[..] {
            match want {
                Want::List => _ = pull.handle_list(list.as_chunks().0.to_vec(), None)?,
                Want::Page(index) => {
                    let (page, after) = split(rest).ok_or(DepositError::Cut)?;
                    pull.handle_page(index, page)?;
                    rest = after;
                }
            }
        }
        let catalogue = pull.finish().filter(|_| rest.is_empty());
        Ok(Self {
            name: label.name.into(),
            site: label.site,
            catalogue: catalogue.ok_or(DepositError::Damaged)?,
        })
    }
}

impl Label {
    fn encode(&self) -> Vec<u8> {
        // A vector takes whatever comes.
        let label = minicbor::to_vec(self).unwrap_or_default();
        let sum = blake3::hash(&label);
        [&MAGIC[..], &length(&label), &label, sum.as_bytes()].concat()
    }

    /// The label of `owner`'s file, and what follows it. The head is not verified by that.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(bytes: &[u8], owner: PeerId) -> Result<(Self, &[u8]), DepositError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(DepositError::Damaged)?;
        let (label, rest) = split(rest).ok_or(DepositError::Cut)?;
        let (sum, rest) = rest
            .split_at_checked(blake3::OUT_LEN)
            .ok_or(DepositError::Cut)?;
        if label.len() > MAX_LABEL || blake3::hash(label).as_bytes() != sum {
            return Err(DepositError::Damaged);
        }
        let label: Self = minicbor::decode(label).map_err(|_| DepositError::Damaged)?;
        check_name(&label.name).map_err(|_| DepositError::Damaged)?;
        match label.head.head.owner {
            found if found == owner => Ok((label, rest)),
            found => Err(DepositError::OtherOwner(found)),
        }
    }
}

/// Reads a file as it is, and one that is made of a label and pages, whose sums and signature
/// hold for once: no fuzzer finds those. Says whether it is a catalogue, and then it is written
/// again as it was.
#[cfg(feature = "door")]
pub fn try_file(bytes: &[u8], owner: PeerId, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> bool {
    let _ = Deposit::read(bytes, owner);
    let mut from = Decoder::new(bytes);
    let Ok(mut label) = from.decode::<Label>() else {
        return false;
    };
    let rest = &bytes[from.position()..];
    let mut pages = rest;
    let hash_next = || {
        let (page, after) = split(pages)?;
        pages = after;
        Some(*blake3::hash(page).as_bytes())
    };
    let list: Vec<Hash> = std::iter::from_fn(hash_next).collect();
    let mut head = label.head.head;
    head.owner = owner;
    head.pages = *blake3::hash(list.as_flattened()).as_bytes();
    label.head = SignedHead::sign(head, sign);
    let file = [&label.encode(), list.as_flattened(), rest].concat();
    let Ok(deposit) = Deposit::read(&file, owner) else {
        return false;
    };
    let again: Vec<u8> = deposit.pieces(label.keys).flatten().collect();
    assert_eq!(again, file, "it would be kept as another");
    true
}

fn length(bytes: &[u8]) -> [u8; 4] {
    // A page has a megabyte at most.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}

/// What its length stands before, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Of which format a file is. The next one ends in 3.
const MAGIC: &[u8; 8] = b"p2pcata2";
/// A name, an address, a head of some 170 bytes, and a hundred keys.
const MAX_LABEL: usize = MAX_NAME_BYTES + 4096;
/// How long a catalogue is kept that nobody brings: a holiday.
pub const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);
/// As much of a file as its label takes at most.
pub const LABEL_BYTES: usize = MAGIC.len() + 4 + MAX_LABEL + blake3::OUT_LEN;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{
        head::CatalogueError,
        samples::{held, song, SampleOwner},
    };

    fn deposit(owner: &SampleOwner, tracks: usize) -> Deposit {
        let song = |n: usize| song("a", &n.to_string(), Some(n as u8));
        let entries = (0..tracks).map(song).chain([held(9)]).collect();
        Deposit {
            name: "kitchen".into(),
            site: Some(std::net::IpAddr::from([10, 0, 0, 7]).into()),
            catalogue: Arc::new(owner.publish(3, entries)),
        }
    }

    fn file(deposit: &Deposit) -> Vec<u8> {
        deposit.pieces(vec![KeyMark([5; 16])]).flatten().collect()
    }

    #[test]
    fn what_is_written_is_read_again_with_its_pages_byte_for_byte() {
        let owner = SampleOwner::new(1);
        for tracks in [0, 1, 700] {
            let written = deposit(&owner, tracks);
            let bytes = file(&written);
            let (label, _) = Label::read(&bytes, owner.id()).unwrap();
            assert_eq!(label.keys, [KeyMark([5; 16])]);
            let read = Deposit::read(&bytes, owner.id()).unwrap();
            assert_eq!((&read.name, read.site), (&written.name, written.site));
            assert_eq!(read.catalogue.head(), written.catalogue.head());
            assert_eq!(read.catalogue.pages(), written.catalogue.pages());
        }
        let empty = Deposit {
            catalogue: Arc::new(owner.publish(1, Vec::new())),
            ..deposit(&owner, 1)
        };
        assert!(Deposit::read(&file(&empty), owner.id()).is_ok());
    }

    #[test]
    fn what_is_not_the_owners_word_is_refused() {
        let (alice, eve) = (SampleOwner::new(1), SampleOwner::new(2));
        let bytes = file(&deposit(&alice, 300));
        let refused =
            |bytes: &[u8], owner: &SampleOwner| Deposit::read(bytes, owner.id()).unwrap_err();
        assert_eq!(refused(&bytes, &eve), DepositError::OtherOwner(alice.id()));
        assert_eq!(refused(&[], &alice), DepositError::Damaged);
        assert_eq!(
            refused(&bytes[..bytes.len() - 1], &alice),
            DepositError::Cut
        );
        let longer = [&*bytes, &[0]].concat();
        assert_eq!(refused(&longer, &alice), DepositError::Damaged);
        // Eve signs for Alice.
        let label = Label {
            name: "kitchen".into(),
            site: None,
            keys: Vec::new(),
            head: SignedHead::sign(deposit(&alice, 1).catalogue.head().head, |b| eve.sign(b)),
        };
        let forged = SyncError::Catalogue(CatalogueError::Forged(alice.id()));
        assert_eq!(
            refused(&label.encode(), &alice),
            DepositError::Unsound(forged)
        );
        // A name that would be a path, or a line.
        for name in ["", "a/b", "a\nOK"] {
            let name = name.to_owned();
            let label = Label {
                name,
                ..label.clone()
            };
            assert_eq!(refused(&label.encode(), &alice), DepositError::Damaged);
        }
    }

    proptest! {
        /// A card went bad, or somebody was at the file.
        #[test]
        fn any_change_to_a_file_is_noticed(
            change in any::<(prop::sample::Index, u8)>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let owner = SampleOwner::new(1);
            let mut bytes = file(&deposit(&owner, 20));
            let at = change.0.index(bytes.len());
            bytes[at] ^= change.1;
            if change.1 == 0 {
                bytes.truncate(cut.index(bytes.len()));
            }
            prop_assert!(Deposit::read(&bytes, owner.id()).is_err());
        }

        #[test]
        fn whatever_lies_there_is_read_or_is_not(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let whole = [MAGIC.as_slice(), &bytes].concat();
            prop_assert!(Deposit::read(&whole, SampleOwner::new(1).id()).is_err());
        }
    }
}
