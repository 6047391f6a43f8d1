//! What is here of a track that has not all arrived, as bytes of a file beside it.
//!
//! ```text
//! "p2phave1" | size of the track, u64 | count, u32 | (first group, length), u32 each | BLAKE3
//! ```
//!
//! All numbers are little-endian; the last 32 bytes are the hash of those before. What must
//! hold: whatever a power cut or a bad card made of the bytes, [`Bitfield::decode`] gives
//! what was encoded, or nothing. That the groups are what the track's hash says is not
//! said here; the reader of one proves it.

use bao_tree::blake3;

use super::ranges::GroupSet;
use crate::id::group_count;

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitfield {
    /// The whole track's size in bytes, as the catalogue said that it was fetched by.
    pub size: u64,
    /// The groups that are here.
    pub have: GroupSet,
}

impl Bitfield {
    /// The bytes of the file. Of a set more ragged than [`MAX_RANGES`], the first ranges.
    pub fn encode(&self) -> Vec<u8> {
        let ranges = || self.have.iter_ranges().take(MAX_RANGES);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + ranges().count() * RANGE_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.size.to_le_bytes());
        // It is at most MAX_RANGES.
        bytes.extend_from_slice(&(ranges().count() as u32).to_le_bytes());
        for range in ranges() {
            bytes.extend_from_slice(&range.start.to_le_bytes());
            bytes.extend_from_slice(&(range.end - range.start).to_le_bytes());
        }
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    /// What [`Self::encode`] was given, unless anything is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (said, hash) = bytes.split_last_chunk::<32>()?;
        if blake3::hash(said) != *hash {
            return None;
        }
        let rest = said.strip_prefix(MAGIC.as_slice())?;
        let (size, rest) = rest.split_first_chunk()?;
        let (count, ranges) = rest.split_first_chunk()?;
        let size = u64::from_le_bytes(*size);
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        if count > MAX_RANGES || ranges.len() != count * RANGE_BYTES {
            return None;
        }
        let mut have = GroupSet::new();
        for range in ranges.chunks_exact(RANGE_BYTES) {
            let (first, len) = range.split_first_chunk()?;
            let (first, len) = (
                u32::from_le_bytes(*first),
                u32::from_le_bytes(len.try_into().ok()?),
            );
            have.insert_range(first..first.checked_add(len)?);
        }
        let have = have.clip(group_count(size));
        Some(Self { size, have })
    }
}

const MAGIC: &[u8; 8] = b"p2phave1";
const HEADER_BYTES: usize = MAGIC.len() + 8 + 4 + 32;
const RANGE_BYTES: usize = 8;

/// A track falls into a range for each seek and each source that was cut short: some tens.
const MAX_RANGES: usize = 4096;

/// The longest file.
pub const MAX_BITFIELD_BYTES: usize = HEADER_BYTES + MAX_RANGES * RANGE_BYTES;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::GROUP_BYTES;

    fn bitfields() -> impl Strategy<Value = Bitfield> {
        let ranges = proptest::collection::vec((0u32..500, 1u32..20), 0..20);
        (1u64..600 * GROUP_BYTES, ranges).prop_map(|(size, ranges)| {
            let mut have = GroupSet::new();
            for (first, len) in ranges {
                have.insert_range(first..first + len);
            }
            let have = have.clip(group_count(size));
            Bitfield { size, have }
        })
    }

    proptest! {
        #[test]
        fn it_comes_back_as_it_was(bitfield in bitfields()) {
            let bytes = bitfield.encode();
            prop_assert!(bytes.len() <= MAX_BITFIELD_BYTES);
            prop_assert_eq!(Bitfield::decode(&bytes), Some(bitfield));
        }

        /// As a card leaves it: a block of another time, zeros, or an end too early.
        #[test]
        fn what_is_damaged_says_nothing(bitfield in bitfields(), at: usize, byte: u8, cut: bool) {
            let mut bytes = bitfield.encode();
            let at = at % bytes.len();
            match cut {
                true => bytes.truncate(at),
                false if bytes[at] == byte => bytes.push(byte),
                false => bytes[at] = byte,
            }
            prop_assert_eq!(Bitfield::decode(&bytes), None);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut said = [MAGIC.as_slice(), &bytes].concat();
            let hash = blake3::hash(&said);
            said.extend_from_slice(hash.as_bytes());
            if let Some(bitfield) = Bitfield::decode(&said) {
                prop_assert!(bitfield.have.count() <= group_count(bitfield.size));
            }
        }
    }

    #[test]
    fn of_a_set_that_is_too_ragged_the_first_ranges_are_kept() {
        let have: GroupSet = (0..20_000).step_by(2).map(crate::id::Group).collect();
        let size = 20_000 * GROUP_BYTES;
        let bytes = Bitfield {
            size,
            have: have.clone(),
        }
        .encode();
        assert_eq!(bytes.len(), MAX_BITFIELD_BYTES);
        let kept = Bitfield::decode(&bytes).unwrap().have;
        assert_eq!(kept, have.clip(2 * MAX_RANGES as u32));
    }
}
