//! A small file that is written every few seconds for years: two slots, written in turn,
//! each with a number and a checksum.
//!
//! The file has its whole length from the beginning and is written in place, past the page
//! cache where that can be: so a write is one sector, not a page, and changes nothing of
//! the file system but the file's time. What a power cut tears is the slot that was being
//! written; the other one counts then.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use minicbor::{encode::write::Cursor, Decode, Decoder, Encode, Encoder};
use nix::fcntl::OFlag;

use super::clock::ClockStamp;
use crate::{
    aside::{read_whole, replace},
    node::Bookmark,
};

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SlotContent {
    #[n(0)]
    pub bookmark: Bookmark,
    /// When it was true.
    #[n(1)]
    pub stamp: ClockStamp,
}

/// See the module's description.
#[derive(Debug)]
pub struct Slots {
    file: File,
    /// The number of the newest slot.
    number: u64,
    /// Which one is written next: not the one that counts.
    next: usize,
}

/// A slot as it is handed to the disk, which wants it where its own blocks could be.
#[repr(align(4096))]
struct Sector([u8; SLOT]);

impl Slots {
    /// Opens the file at `path`, and makes it where it is not, or is not whole.
    ///
    /// # Errors
    /// When it can neither be opened nor made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let bytes = read_whole(path, FILE as u64).unwrap_or_default();
        if bytes.len() != FILE {
            make(path)?;
        }
        let (number, next) = match newest(&bytes) {
            Some((number, slot, _)) => (number, 1 - slot),
            None => (0, 0),
        };
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(OFlag::O_DIRECT.bits())
            .open(path);
        // Not every file system can do without its cache.
        let file = direct.or_else(|_| OpenOptions::new().write(true).open(path))?;
        Ok(Self { file, number, next })
    }

    /// What the file at `path` says, if it says anything yet.
    ///
    /// # Errors
    /// When there is something that cannot be read.
    pub fn read(path: &Path) -> io::Result<Option<SlotContent>> {
        let bytes = match read_whole(path, FILE as u64) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        match newest(&bytes) {
            Some((_, _, entry)) => Ok(Some(entry)),
            // The power went between its making and the first write.
            None if bytes.len() == FILE && bytes.iter().all(|byte| *byte == 0) => Ok(None),
            None => {
                let text = "it is damaged";
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
        }
    }

    /// Writes `entry`, so that it outlives a power cut. One that fails leaves what was
    /// written before.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&mut self, entry: &SlotContent) -> io::Result<()> {
        let number = self.number + 1;
        let sector = Sector(encode(number, entry)?);
        let at = (self.next * STRIDE) as u64;
        self.file.write_all_at(&sector.0, at)?;
        self.file.sync_data()?;
        (self.number, self.next) = (number, 1 - self.next);
        Ok(())
    }
}

/// Makes the file, with every block of it written: a block that is only reserved costs the
/// file system's journal when it is written first.
fn make(path: &Path) -> io::Result<()> {
    replace(path, &[0; FILE])
}

fn encode(number: u64, entry: &SlotContent) -> io::Result<[u8; SLOT]> {
    let mut slot = [0; SLOT];
    let (body, sum) = slot.split_at_mut(SLOT - SUM);
    body[..MAGIC.len()].copy_from_slice(MAGIC);
    let mut content = Encoder::new(Cursor::new(&mut body[MAGIC.len()..]));
    let written = content.u64(number).and_then(|to| to.encode(entry));
    written.map_err(|error| io::Error::other(error.to_string()))?;
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
fn newest(file: &[u8]) -> Option<(u64, usize, SlotContent)> {
    let slots = (0..2).filter_map(|slot| {
        let at = slot * STRIDE;
        let (number, entry) = decode(file.get(at..at + SLOT)?)?;
        Some((number, slot, entry))
    });
    slots.max_by_key(|(number, ..)| *number)
}

/// Of which format a slot is. The next one ends in 3.
const MAGIC: &[u8; 8] = b"p2pmark2";
/// The sector of nearly every disk and card: what is written in one piece, or not at all.
const SLOT: usize = 512;
const SUM: usize = blake3::OUT_LEN;
/// From slot to slot: a flash page that is torn takes one of them only.
const STRIDE: usize = 16 * 1024;
/// Whole blocks of 4 KiB, as much as there are to the end of the second slot.
const FILE: usize = STRIDE + 4096;

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::player::{queue::Options, transport::PlayState};

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

    #[test]
    fn what_is_written_is_read_in_this_life_and_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("place");
        assert_eq!(Slots::read(&path).unwrap(), None);
        for life in 0..3 {
            let mut slots = Slots::open(&path).unwrap();
            for n in 0..5 {
                let entry = entry(10 * life + n);
                slots.write(&entry).unwrap();
                assert_eq!(Slots::read(&path).unwrap(), Some(entry));
            }
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), FILE as u64);
        // A card was copied badly.
        fs::write(&path, [7; 100]).unwrap();
        assert!(Slots::read(&path).is_err());
        let mut slots = Slots::open(&path).unwrap();
        slots.write(&entry(1)).unwrap();
        assert_eq!(Slots::read(&path).unwrap(), Some(entry(1)));
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
}
