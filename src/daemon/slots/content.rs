//! The slots as bytes: which of them counts, and what it says.

use minicbor::{encode::write::Cursor, Decode, Decoder, Encode, Encoder};

use crate::{daemon::stamp::ClockStamp, node::Bookmark};

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SlotContent {
    #[n(0)]
    pub bookmark: Bookmark,
    /// When it was true.
    #[n(1)]
    pub stamp: ClockStamp,
}

/// A slot with this content.
///
/// # Errors
/// When it is too large.
pub(super) fn encode(number: u64, entry: &SlotContent) -> Result<[u8; SLOT], String> {
    let mut slot = [0; SLOT];
    let (body, sum) = slot.split_at_mut(SLOT - SUM);
    body[..MAGIC.len()].copy_from_slice(MAGIC);
    let mut content = Encoder::new(Cursor::new(&mut body[MAGIC.len()..]));
    let written = content.u64(number).and_then(|to| to.encode(entry));
    written.map_err(|error| error.to_string())?;
    sum.copy_from_slice(blake3::hash(body).as_bytes());
    Ok(slot)
}

fn decode(slot: &[u8]) -> Option<(u64, SlotContent)> {
    let (body, sum) = slot.split_at_checked(SLOT - SUM)?;
    if blake3::hash(body).as_bytes() != sum {
        return None;
    }
    let mut content = Decoder::new(body.strip_prefix(MAGIC)?);
    Some((content.u64().ok()?, content.decode().ok()?))
}

/// The number, place and content of the slot that counts, in the bytes of a file.
pub(super) fn newest(file: &[u8]) -> Option<(u64, usize, SlotContent)> {
    let slots = (0..2).filter_map(|slot| {
        let at = slot * STRIDE;
        let (number, entry) = decode(file.get(at..at + SLOT)?)?;
        Some((number, slot, entry))
    });
    slots.max_by_key(|(number, ..)| *number)
}

/// What the bytes of a file say, if they say anything yet.
///
/// # Errors
/// When there is something that cannot be read.
pub(super) fn content(file: &[u8]) -> Result<Option<SlotContent>, &'static str> {
    match newest(file) {
        Some((_, _, entry)) => Ok(Some(entry)),
        // The power went between its making and the first write.
        None if file.len() == FILE && file.iter().all(|byte| *byte == 0) => Ok(None),
        None => Err("it is damaged"),
    }
}

/// Of which format a slot is. The next one ends in 3.
const MAGIC: &[u8; 8] = b"p2pmark2";
/// The sector of nearly every disk and card: what is written in one piece, or not at all.
pub(super) const SLOT: usize = 512;
const SUM: usize = blake3::OUT_LEN;
/// From slot to slot: a flash page that is torn takes one of them only.
pub(super) const STRIDE: usize = 16 * 1024;
/// Whole blocks of 4 KiB, as much as there are to the end of the second slot.
pub(super) const FILE: usize = STRIDE + 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::playback::{queue::Options, transport::PlayState};

    fn entry(seconds: u64) -> SlotContent {
        SlotContent {
            bookmark: Bookmark {
                song: None,
                state: PlayState::Play,
                at: Duration::from_secs(seconds),
                volume: 30,
                options: Options::default(),
            },
            stamp: ClockStamp::default(),
        }
    }

    /// A file in which so many entries were written one after the other.
    fn file(entries: u64) -> Vec<u8> {
        let mut file = vec![0; FILE];
        for number in 1..=entries {
            let at = (number as usize - 1) % 2 * STRIDE;
            let slot = encode(number, &entry(number)).unwrap();
            file[at..at + SLOT].copy_from_slice(&slot);
        }
        file
    }

    fn seconds(file: &[u8]) -> Option<u64> {
        newest(file).map(|(.., entry)| entry.bookmark.at.as_secs())
    }

    proptest! {
        /// The power goes while the newest is written: of its slot a part is new, the rest
        /// is what was there, or nothing that anybody wrote.
        #[test]
        fn of_a_torn_write_the_slot_before_is_left(
            entries in 2u64..9,
            at in 0..SLOT,
            bit in 0u8..8,
            how in 0..4,
            noise: u8,
        ) {
            let whole = file(entries);
            prop_assert_eq!(seconds(&whole), Some(entries));
            let mut torn = whole.clone();
            let begin = (entries as usize - 1) % 2 * STRIDE;
            let slot = begin..begin + SLOT;
            let before = file(entries - 1);
            match how {
                0 => torn[begin + at..slot.end].copy_from_slice(&before[begin + at..slot.end]),
                1 => torn[slot.start..begin + at].copy_from_slice(&before[slot.start..begin + at]),
                2 => torn[begin + at..slot.end].fill(noise),
                _ => torn[begin + at] ^= 1 << bit,
            }
            let expected = if torn == whole { entries } else { entries - 1 };
            prop_assert_eq!(seconds(&torn), Some(expected));
        }

        #[test]
        fn any_file_is_read_or_is_not(bytes in proptest::collection::vec(any::<u8>(), 0..FILE + 9)) {
            prop_assert_eq!(newest(&bytes), None);
        }
    }

    /// The largest that there can be.
    #[test]
    fn every_bookmark_fits() {
        let stamp = ClockStamp {
            boot: Some([255; 16]),
            since_boot: Duration::MAX,
            wall: Duration::MAX,
        };
        let mut largest = entry(u64::MAX);
        largest.stamp = stamp;
        largest.bookmark.at = Duration::MAX;
        assert!(encode(u64::MAX, &largest).is_ok());
    }

    #[test]
    fn a_file_that_was_made_says_nothing_yet_and_a_damaged_one_is_told_from_it() {
        assert_eq!(content(&[0; FILE]), Ok(None));
        assert_eq!(content(&file(3)), Ok(Some(entry(3))));
        for damaged in [vec![], vec![0; FILE - 1], vec![7; 100], vec![1; FILE]] {
            assert!(content(&damaged).is_err(), "{} bytes", damaged.len());
        }
    }
}
