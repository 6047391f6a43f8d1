//! A small file that is written every few seconds for years: two slots, written in turn,
//! each with a number and a checksum.
//!
//! The file has its whole length from the beginning and is written in place, past the page
//! cache where that can be: so a write is one sector, not a page, and changes nothing of
//! the file system but the file's time. What a power cut tears is the slot that was being
//! written; the other one counts then.

pub mod content;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use nix::fcntl::OFlag;

use self::content::{content, encode, newest, SlotContent, FILE, SLOT, STRIDE};
use crate::aside::{read_whole, replace};

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
        content(&bytes).map_err(|text| io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// Writes `entry`, so that it outlives a power cut. One that fails leaves what was
    /// written before.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&mut self, entry: &SlotContent) -> io::Result<()> {
        let number = self.number + 1;
        let sector = Sector(encode(number, entry).map_err(io::Error::other)?);
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

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;
    use crate::{
        daemon::stamp::ClockStamp,
        node::Bookmark,
        playback::{queue::Options, transport::PlayState},
    };

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
}
