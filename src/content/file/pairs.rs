//! The pairs of an outboard, which are small and lie side by side: a slice has one for
//! every group, so that each in a call of its own costs as much as the groups do.

use std::cell::RefCell;
use std::io;

use bao_tree::io::sync::ReadAt;

use super::hashes::Hashes;

/// Pairs on their way to a disk, as far as each lies behind the one before it.
#[derive(Default)]
pub(super) struct PairRun {
    at: u64,
    bytes: Vec<u8>,
}

impl PairRun {
    /// Adds a pair that belongs at `offset`, and writes those before it where it is not
    /// their neighbour.
    pub(super) fn add(&mut self, offset: u64, pair: &[u8], to: &Hashes) -> io::Result<()> {
        if offset != self.at + self.bytes.len() as u64 {
            self.write(to)?;
            self.at = offset;
        }
        self.bytes.extend_from_slice(pair);
        Ok(())
    }

    /// Writes what has not been written.
    pub(super) fn write(&mut self, to: &Hashes) -> io::Result<()> {
        if let (Hashes::File(file), false) = (to, self.bytes.is_empty()) {
            file.write_at(self.at, &self.bytes)?;
        }
        self.at += self.bytes.len() as u64;
        self.bytes.clear();
        Ok(())
    }
}

/// Pairs on their way from a disk, read some at a time.
pub(super) struct Ahead<'a> {
    from: &'a Hashes,
    read: RefCell<(u64, Vec<u8>)>,
}

impl<'a> Ahead<'a> {
    pub(super) fn of(from: &'a Hashes) -> Self {
        let read = RefCell::new((0, Vec::new()));
        Self { from, read }
    }
}

impl ReadAt for Ahead<'_> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let (at, bytes) = &mut *self.read.borrow_mut();
        let skip = offset
            .checked_sub(*at)
            .and_then(|n| usize::try_from(n).ok());
        let here = skip.and_then(|n| bytes.get(n..)).unwrap_or_default();
        if let Some(here) = here.get(..buf.len()) {
            buf.copy_from_slice(here);
            return Ok(buf.len());
        }
        bytes.resize(AHEAD.max(buf.len()), 0);
        *at = offset;
        let n = self.from.read_at(offset, bytes)?;
        bytes.truncate(n);
        let n = n.min(buf.len());
        buf[..n].copy_from_slice(&bytes[..n]);
        Ok(n)
    }
}

/// 64 pairs: as many as the longest slice that is asked for has groups.
const AHEAD: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::content::disk::{Disk, MemDisk};

    proptest! {
        #[test]
        fn pairs_are_where_they_belong(places in prop::collection::vec(0u64..200, 0..100)) {
            let file = MemDisk::default().create("outboard".as_ref()).unwrap();
            let hashes = Hashes::File(file);
            let mut row = PairRun::default();
            let mut expected = vec![0; 200 * 64];
            for (n, place) in places.iter().enumerate() {
                let (from, pair) = (*place as usize * 64, [n as u8 + 1; 64]);
                expected[from..from + 64].copy_from_slice(&pair);
                row.add(place * 64, &pair, &hashes).unwrap();
            }
            row.write(&hashes).unwrap();
            let ahead = Ahead::of(&hashes);
            let end = places.iter().max().map_or(0, |last| last + 1);
            for place in places.iter().copied().chain(0..end) {
                let mut pair = [0; 64];
                let from = place as usize * 64;
                prop_assert_eq!(ahead.read_at(from as u64, &mut pair).unwrap(), 64);
                prop_assert_eq!(&pair[..], &expected[from..from + 64]);
            }
        }
    }
}
