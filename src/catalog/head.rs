//! What an owner signs of its catalogue, and how large that may be.

use minicbor::{Decode, Encode};

use crate::id::PeerId;

/// Entries in a page: one changed file costs its neighbours' 256 lines, and
/// 100,000 tracks are 391 hashes.
pub const PAGE_ENTRIES: usize = 256;

/// Pages in a catalogue: a million entries, and a list of hashes of 128 KiB.
pub const MAX_PAGES: usize = 4096;

/// Bytes in an encoded page: 4 KiB an entry, the longest path that Linux has.
pub const MAX_PAGE_BYTES: usize = PAGE_ENTRIES * 4096;

/// A BLAKE3 hash of a page, or of the list of page hashes.
pub type Hash = [u8; 32];

/// An Ed25519 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Signature(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub [u8; 64],
);

/// The state of one owner's catalogue in a hundred bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    #[n(0)]
    pub owner: PeerId,
    /// Starts anew when the owner lost its index; higher is newer.
    #[n(1)]
    pub epoch: u64,
    /// Counts the owner's changes within an epoch.
    #[n(2)]
    pub seq: u64,
    /// Numbers given out, including those of entries that are gone.
    #[n(3)]
    pub entries: u32,
    /// The hash over the page hashes, in order.
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedHead {
    #[n(0)]
    pub head: Head,
    #[n(1)]
    pub signature: Signature,
}

impl SignedHead {
    /// Signs `head` with the owner's Ed25519 key.
    pub fn sign(head: Head, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Self {
        let signature = Signature(sign(&head.signed_bytes()));
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
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, self.head.owner.0)
            .verify(&self.head.signed_bytes(), &self.signature.0)
            .map_err(|_| CatalogueError::Forged(self.head.owner))
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

const SIGNING_CONTEXT: &[u8] = b"p2pmusic catalogue head 2";
