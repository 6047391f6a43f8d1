//! BLAKE3 verified streaming over buffers, in chunk groups of 16 KiB.
//!
//! Participants: a *holder* has a track's bytes and its outboard (the hash
//! tree above the groups) and encodes a slice of them; a *receiver* knows only
//! the [`TrackId`], which is the tree's root, and checks every item of the
//! slice as it comes.
//!
//! What must hold: nothing leaves [`Verifier::push`] that is not the true bytes
//! of the track at that place, whatever came in; and [`Verified`] can be made
//! there alone, so that what asks for one cannot be fed anything else. The holder
//! checks too while it encodes, so that a file that changed on its disk is found
//! here and not by the receiver, which would have to call it a liar.
//!
//! A slice is a sequence of items in pre-order: 64 bytes for a parent (the
//! hashes of its two children), the bytes of a group for a leaf. Nothing frames
//! them: size and wanted groups tell the receiver what comes next.
//!
//! Not here: files, the network, and what is done about a liar.

use std::io::{self, Read, Write};

use bao_tree::blake3::hazmat::{merge_subtrees_non_root, merge_subtrees_root, HasherExt, Mode};
use bao_tree::blake3::{self, Hash};
use bao_tree::io::outboard::PreOrderOutboard;
use bao_tree::io::sync::{encode_ranges_validated, outboard, valid_ranges, ReadAt};
use bao_tree::io::EncodeError as BaoError;
use bao_tree::iter::{BaoChunk, ResponseIter};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};
use bytes::Bytes;

use super::ranges::GroupSet;
use crate::id::{group_count, Group, TrackId, GROUP_BYTES};

/// A whole file's root and hash tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outboard {
    /// The root: the BLAKE3 hash of the bytes.
    pub track: TrackId,
    /// How many bytes were hashed.
    pub size: u64,
    /// The pairs of child hashes in pre-order, [`outboard_bytes`] of them.
    pub hashes: Vec<u8>,
}

impl Outboard {
    /// Hashes the first `size` bytes of `data`, reading them once and in order.
    ///
    /// # Errors
    /// Those of `data`; `UnexpectedEof` when it has less than `size` bytes.
    pub fn of(data: impl Read, size: u64) -> io::Result<Self> {
        let tree = tree(size);
        let mut pairs = PreOrderOutboard {
            root: Hash::from([0; 32]), // Not read: the root is what comes out.
            tree,
            data: Vec::new(),
        };
        let root = outboard(data, tree, &mut pairs)?;
        Ok(Self {
            track: TrackId(root.into()),
            size,
            hashes: pairs.data,
        })
    }
}

/// The bytes that the outboard of a track of `size` bytes has.
pub fn outboard_bytes(size: u64) -> u64 {
    tree(size).outboard_size()
}

/// Why a slice was not encoded to its end.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The bytes (or the outboard) are not those of the track.
    #[error("the bytes do not have the track's hash")]
    Mismatch,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes the slice that proves `groups` to `out`, checking everything before it is written.
///
/// `data` and `hashes` may have holes, as long as `groups` and the parents above are there.
///
/// # Errors
/// [`EncodeError`]; what was written until then is true.
pub fn encode(
    track: TrackId,
    size: u64,
    data: impl ReadAt,
    hashes: impl ReadAt,
    groups: &GroupSet,
    out: impl Write,
) -> Result<(), EncodeError> {
    let pairs = PreOrderOutboard {
        root: Hash::from(track.0),
        tree: tree(size),
        data: hashes,
    };
    let ranges = chunks(groups, size);
    if ranges.is_empty() {
        return Ok(());
    }
    encode_ranges_validated(data, pairs, &ranges, out).map_err(|error| match error {
        BaoError::ParentHashMismatch(_)
        | BaoError::LeafHashMismatch(_)
        | BaoError::SizeMismatch => EncodeError::Mismatch,
        BaoError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            EncodeError::Mismatch // The file is shorter than it was.
        }
        other => EncodeError::Io(other.into()),
    })
}

/// Which of `groups` are true, which is seen by hashing each of them and the parents above.
///
/// Whatever is wrong with `data` or `hashes` (a hole, a torn block, an end too early, an
/// error of the disk) costs the groups that it concerns and no others.
pub fn true_groups(
    track: TrackId,
    size: u64,
    data: impl ReadAt,
    hashes: impl ReadAt,
    groups: &GroupSet,
) -> GroupSet {
    let pairs = PreOrderOutboard {
        root: Hash::from(track.0),
        tree: tree(size),
        data: ZeroPadded(hashes),
    };
    let mut found = GroupSet::new();
    let ranges = chunks(groups, size);
    let valid = valid_ranges(pairs, ErrorsEnd(data), &ranges).into_iter();
    for range in valid.filter_map(Result::ok) {
        let first = Group::of(range.start.to_bytes());
        found.insert_range(first.0..group_count(range.end.to_bytes().min(size)));
    }
    found.intersection(groups)
}

/// Hashes that may be torn: what cannot be read is zeros, which are no hash of anything.
struct ZeroPadded<R>(R);

impl<R: ReadAt> ReadAt for ZeroPadded<R> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read_at(offset, buf).unwrap_or(0);
        buf[n..].fill(0);
        Ok(buf.len())
    }
}

/// Data that may be torn: what cannot be read is as if the file ended there.
struct ErrorsEnd<R>(R);

impl<R: ReadAt> ReadAt for ErrorsEnd<R> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read_at(offset, buf).unwrap_or(0))
    }
}

/// Checks a slice, item by item.
#[derive(Debug)]
pub struct Verifier {
    track: TrackId,
    size: u64,
    tree: BaoTree,
    items: ResponseIter,
    next: Option<SliceItem>,
    /// The hashes of the items to come, the nearest on top.
    expected: Vec<Hash>,
    wrong: bool,
}

/// An item of a slice that is known to be true. Only a [`Verifier`] makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    track: TrackId,
    size: u64,
    item: VerifiedItem,
}

/// What a [`Verified`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifiedItem {
    /// A pair of child hashes, for the outboard.
    Parent {
        /// Where the pair lies in the outboard, in bytes.
        offset: u64,
        /// The pair, 64 bytes.
        pair: Bytes,
    },
    /// The whole bytes of a group.
    Group {
        /// Which group.
        group: Group,
        /// Its bytes, [`GROUP_BYTES`] but for a track's last group.
        bytes: Bytes,
    },
}

impl Verified {
    /// The track that the item belongs to.
    pub fn track(&self) -> TrackId {
        self.track
    }

    /// The size of that track in bytes, as the verifier was told.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The item itself.
    pub fn item(&self) -> &VerifiedItem {
        &self.item
    }

    /// How long the item is.
    pub fn bytes(&self) -> u64 {
        match &self.item {
            VerifiedItem::Group { bytes, .. } => bytes.len() as u64,
            VerifiedItem::Parent { pair, .. } => pair.len() as u64,
        }
    }

    /// The group, if the item is one.
    pub fn group(&self) -> Option<Group> {
        match self.item {
            VerifiedItem::Group { group, .. } => Some(group),
            VerifiedItem::Parent { .. } => None,
        }
    }
}

/// An item that is not what the track's hash says: its sender lied.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("wrong bytes at group {} of {track}", group.0)]
pub struct WrongBytes {
    /// The track that was asked for.
    pub track: TrackId,
    /// The group, or the first one below the parent, that was wrong.
    pub group: Group,
}

impl Verifier {
    /// Checks the slice of `wanted` of a track of `size` bytes.
    ///
    /// `size` is part of the tree's shape: with a wrong one no wrong byte passes, but
    /// the groups where the shapes differ are refused.
    pub fn new(track: TrackId, size: u64, wanted: &GroupSet) -> Self {
        let tree = tree(size);
        let mut verifier = Self {
            track,
            size,
            tree,
            items: ResponseIter::new(tree, chunks(wanted, size)),
            next: None,
            expected: vec![Hash::from(track.0)],
            wrong: false,
        };
        verifier.step();
        verifier
    }

    /// How many bytes the next item has: 64 for a parent, up to [`GROUP_BYTES`] for
    /// a group. `None` when nothing more is to come, also after [`WrongBytes`].
    pub fn needs(&self) -> Option<usize> {
        self.next.as_ref().map(SliceItem::bytes)
    }

    /// Whether the whole slice came and was true.
    #[cfg(test)]
    pub fn is_complete(&self) -> bool {
        self.next.is_none() && !self.wrong
    }

    /// Checks the next item, which must have the length that [`Self::needs`] says.
    ///
    /// # Errors
    /// [`WrongBytes`] when it is not the track's; nothing is taken after that.
    pub fn push(&mut self, bytes: Bytes) -> Result<Verified, WrongBytes> {
        let end = Group::of(self.size);
        let item = self.next.take().ok_or(WrongBytes {
            track: self.track,
            group: end,
        })?;
        match self.check(&item, bytes) {
            Some(item) => {
                self.step();
                Ok(Verified {
                    track: self.track,
                    size: self.size,
                    item,
                })
            }
            None => {
                self.wrong = true;
                Err(WrongBytes {
                    track: self.track,
                    group: item.group(),
                })
            }
        }
    }

    fn check(&mut self, item: &SliceItem, bytes: Bytes) -> Option<VerifiedItem> {
        let expected = self.expected.pop()?;
        if bytes.len() != item.bytes() {
            return None;
        }
        match *item {
            SliceItem::Parent {
                offset,
                is_root,
                left,
                right,
                ..
            } => {
                let (l, r) = bytes.split_at(32);
                let l = Hash::from_slice(l).ok()?;
                let r = Hash::from_slice(r).ok()?;
                if parent_hash(&l, &r, is_root) != expected {
                    return None;
                }
                if right {
                    self.expected.push(r);
                }
                if left {
                    self.expected.push(l);
                }
                Some(VerifiedItem::Parent {
                    offset,
                    pair: bytes,
                })
            }
            SliceItem::Leaf { group, is_root, .. } => (leaf_hash(group, &bytes, is_root)
                == expected)
                .then_some(VerifiedItem::Group { group, bytes }),
        }
    }

    fn step(&mut self) {
        self.next = self.items.next().map(|chunk| match chunk {
            BaoChunk::Parent {
                node,
                is_root,
                left,
                right,
                ..
            } => SliceItem::Parent {
                offset: self.tree.pre_order_offset(node).unwrap_or_default() * PAIR_BYTES,
                group: Group::of(node.chunk_range().start.to_bytes()),
                is_root,
                left,
                right,
            },
            BaoChunk::Leaf {
                start_chunk,
                size,
                is_root,
                ..
            } => SliceItem::Leaf {
                group: Group::of(start_chunk.to_bytes()),
                bytes: size,
                is_root,
            },
        });
    }
}

/// What comes next in a slice.
#[derive(Debug)]
enum SliceItem {
    Parent {
        offset: u64,
        group: Group,
        is_root: bool,
        left: bool,
        right: bool,
    },
    Leaf {
        group: Group,
        bytes: usize,
        is_root: bool,
    },
}

impl SliceItem {
    fn bytes(&self) -> usize {
        match self {
            Self::Parent { .. } => PAIR_BYTES as usize,
            Self::Leaf { bytes, .. } => *bytes,
        }
    }

    fn group(&self) -> Group {
        match self {
            Self::Parent { group, .. } | Self::Leaf { group, .. } => *group,
        }
    }
}

fn tree(size: u64) -> BaoTree {
    BaoTree::new(size, GROUP)
}

/// Groups as BLAKE3 chunks. What lies past the end is cut, because bao would take it as a
/// question for the last chunk; a range that reaches the end is open in bao's words, so
/// that a short last group is asked for whole.
///
/// Nothing where the tree's bytes do not fit `usize`, in which bao counts them: on a machine
/// of 32 bits no slice of 4 GiB and more is given or taken.
fn chunks(groups: &GroupSet, size: u64) -> ChunkRanges {
    if usize::try_from(size).is_err() {
        return ChunkRanges::empty();
    }
    let count = group_count(size);
    let mut chunks = ChunkRanges::empty();
    for range in groups.clip(count).iter_ranges() {
        let start = ChunkNum(u64::from(range.start) * CHUNKS_PER_GROUP);
        let end = ChunkNum(u64::from(range.end) * CHUNKS_PER_GROUP);
        chunks |= if range.end == count {
            ChunkRanges::from(start..)
        } else {
            ChunkRanges::from(start..end)
        };
    }
    chunks
}

fn parent_hash(left: &Hash, right: &Hash, is_root: bool) -> Hash {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if is_root {
        merge_subtrees_root(left, right, Mode::Hash)
    } else {
        Hash::from(merge_subtrees_non_root(left, right, Mode::Hash))
    }
}

fn leaf_hash(group: Group, bytes: &[u8], is_root: bool) -> Hash {
    if is_root {
        return blake3::hash(bytes);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(group.start());
    hasher.update(bytes);
    Hash::from(hasher.finalize_non_root())
}

/// 2^4 BLAKE3 chunks of 1 KiB make a group.
const GROUP: BlockSize = BlockSize::from_chunk_log(4);
const CHUNKS_PER_GROUP: u64 = GROUP_BYTES / 1024;
const _: () = assert!(GROUP.bytes() as u64 == GROUP_BYTES);

/// Bytes of a parent: the hashes of its two children.
const PAIR_BYTES: u64 = 64;

#[cfg(test)]
mod tests;
