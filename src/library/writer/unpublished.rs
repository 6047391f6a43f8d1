//! What of the own catalogue is to be made anew, when, and what it may take.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{catalog::PAGE_ENTRIES, id::EntryNo};

/// Changes that are not in the catalogue yet.
#[derive(Debug)]
pub(super) struct Unpublished {
    /// Pages whose entries changed since they were made.
    dirty: BTreeSet<usize>,
    /// What the pages may take in memory, what they do, and what is not in them yet.
    room: usize,
    bytes: usize,
    fresh_bytes: usize,
    published: Instant,
    /// Whether more than hashes changed.
    urgent: bool,
}

impl Unpublished {
    /// Of a catalogue of so many numbers, of which no page is made yet, and which grows to `room`
    /// bytes.
    pub fn new(numbers: u32, room: usize, now: Instant) -> Self {
        Self {
            dirty: (0..(numbers as usize).div_ceil(PAGE_ENTRIES)).collect(),
            room,
            bytes: 0,
            fresh_bytes: 0,
            published: now,
            urgent: false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Counts what is to come into the pages, if it fits.
    ///
    /// # Errors
    /// Says why it does not.
    pub fn take_room(&mut self, bytes: usize) -> Result<(), String> {
        let fresh = self.fresh_bytes.saturating_add(bytes);
        if self.bytes.saturating_add(fresh) > self.room {
            return Err(format!(
                "the list of the own tracks has the {} MB that this machine can spare for it; \
                 share fewer (`peer.music`)",
                self.room.div_ceil(1 << 20)
            ));
        }
        self.fresh_bytes = fresh;
        Ok(())
    }

    /// An entry has changed, in more than its hash if that is `urgent`.
    pub fn touch(&mut self, no: EntryNo, urgent: bool) {
        self.urgent |= urgent;
        self.dirty.insert(no.0 as usize / PAGE_ENTRIES);
    }

    /// When the next catalogue should be made, if anything changed; an `idle` library has no
    /// further changes to wait for.
    pub fn due(&self, idle: bool) -> Option<Instant> {
        let interval = match idle || self.urgent {
            true => HEAD_INTERVAL,
            false => HASHES_INTERVAL,
        };
        (!self.dirty.is_empty()).then(|| self.published + interval)
    }

    /// A catalogue is made now: of each page that [`Self::take_page`] gives.
    pub fn begin(&mut self, now: Instant) {
        self.published = now;
        self.urgent = false;
    }

    pub fn take_page(&mut self) -> Option<usize> {
        self.dirty.pop_first()
    }

    /// A page could not be made.
    pub fn put_back(&mut self, page: usize) {
        self.dirty.insert(page);
    }

    /// All pages are made, and take so many bytes together.
    pub fn handle_published(&mut self, bytes: usize) {
        (self.bytes, self.fresh_bytes) = (bytes, 0);
    }
}

/// A head makes every peer ask for pages; while scanning there is one at most
/// this often.
const HEAD_INTERVAL: Duration = Duration::from_secs(2);

/// Hashes alone are worth a head this often: a peer that needs one sooner asks.
const HASHES_INTERVAL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_wait_longer_than_files_and_nothing_is_made_of_nothing() {
        let begin = Instant::now();
        let mut unpublished = Unpublished::new(0, usize::MAX, begin);
        assert_eq!(unpublished.due(true), None);
        unpublished.touch(EntryNo(3), false);
        assert_eq!(unpublished.due(false), Some(begin + HASHES_INTERVAL));
        assert_eq!(unpublished.due(true), Some(begin + HEAD_INTERVAL));
        unpublished.touch(EntryNo(4), true);
        assert_eq!(unpublished.due(false), Some(begin + HEAD_INTERVAL));
        let later = begin + HASHES_INTERVAL;
        unpublished.begin(later);
        assert_eq!(unpublished.take_page(), Some(0));
        assert_eq!(
            (unpublished.take_page(), unpublished.due(true)),
            (None, None)
        );
        unpublished.put_back(0);
        assert_eq!(unpublished.due(false), Some(later + HASHES_INTERVAL));
    }

    #[test]
    fn what_is_to_come_counts_until_it_is_in_the_pages() {
        let mut unpublished = Unpublished::new(2 * PAGE_ENTRIES as u32 + 1, 100, Instant::now());
        assert_eq!(std::iter::from_fn(|| unpublished.take_page()).count(), 3);
        assert!(unpublished.take_room(60).is_ok());
        assert!(unpublished.take_room(41).is_err());
        assert!(unpublished.take_room(40).is_ok());
        // Packed into pages they take less.
        unpublished.handle_published(70);
        assert!(unpublished.take_room(31).is_err());
        assert!(unpublished.take_room(30).is_ok());
        assert!(unpublished.take_room(usize::MAX).is_err());
    }
}
