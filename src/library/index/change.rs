//! Changes of the index that are not written yet: how many they may be, when they are written,
//! and when that is tried again.

use std::time::{Duration, Instant};

use super::record::{encode_slot, Note, NumberedItem, Record};
use crate::{
    id::{EntryNo, TrackId},
    library::stamp::FileStamp,
};

/// A change that is not written yet.
#[derive(Debug)]
pub enum IndexChange {
    Put(EntryNo, NumberedItem),
    Hashed(EntryNo, FileStamp, TrackId),
    Hide(EntryNo),
    Show {
        no: EntryNo,
        dir: String,
        name: String,
    },
    Remove(EntryNo),
    /// The file's time of change is known now.
    Stamped(EntryNo, FileStamp),
    Unplayable(Vec<u8>, Note),
    Forget(Vec<u8>),
}

impl IndexChange {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let texts = match self {
            // Texts are as long in memory as they are on disk.
            Self::Put(_, item) => encode_slot(item).len() + size_of::<Record>(),
            Self::Show { dir, name, .. } => dir.len() + name.len(),
            Self::Unplayable(path, note) => path.len() + note.why.len(),
            Self::Forget(path) => path.len(),
            Self::Hashed(..) | Self::Hide(_) | Self::Remove(_) | Self::Stamped(..) => 0,
        };
        size_of::<Self>() + texts
    }
}

/// Those that wait.
#[derive(Debug, Default)]
pub struct PendingChanges {
    changes: Vec<IndexChange>,
    /// What they take in memory.
    bytes: usize,
    /// When the oldest came.
    since: Option<Instant>,
    /// They could not be written; when to try again.
    retry: Option<Instant>,
    is_mended: bool,
}

/// How they are to be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    AsUsual,
    /// The file is opened anew before: the last time failed.
    Reopened,
    /// It is too soon to try again.
    NotYet,
}

impl PendingChanges {
    pub fn all(&self) -> &[IndexChange] {
        &self.changes
    }

    pub fn push(&mut self, change: IndexChange, now: Instant) {
        self.since.get_or_insert(now);
        self.bytes = self.bytes.saturating_add(change.bytes());
        self.changes.push(change);
    }

    /// Whether they should be written now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.changes.len() >= BATCH_CHANGES
            || self.bytes >= BATCH_BYTES
            || self.since.is_some_and(|since| now >= since + BATCH_TIME)
    }

    /// When to try again, where they could not be written.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry
    }

    /// Whether they could not be written, and were since this was asked last.
    pub fn take_mended(&mut self) -> bool {
        std::mem::take(&mut self.is_mended)
    }

    /// They are to be written; answered by [`Self::handle_written`] or
    /// [`Self::handle_failed`].
    pub fn begin(&mut self, now: Instant) -> Writing {
        self.since = None;
        match self.retry {
            Some(retry) if now < retry => Writing::NotYet,
            Some(_) => Writing::Reopened,
            None => Writing::AsUsual,
        }
    }

    pub fn handle_written(&mut self) {
        self.forget();
        self.is_mended |= self.retry.take().is_some();
    }

    /// They could not be written: whether that is new. They wait; when that is too much they are
    /// dropped, and a scan after [`Self::take_mended`] finds them again.
    pub fn handle_failed(&mut self, now: Instant) -> bool {
        if self.bytes > MAX_PENDING_BYTES {
            self.forget();
        }
        let was = self.retry;
        if was.is_none_or(|retry| now >= retry) {
            self.retry = Some(now + RETRY);
        }
        was.is_none()
    }

    fn forget(&mut self) {
        // What they took is given back, too.
        (self.changes, self.bytes) = (Vec::new(), 0);
    }

    /// As if it were time to try again.
    #[cfg(test)]
    pub fn try_now(&mut self, now: Instant) {
        self.retry = Some(now);
    }
}

/// A transaction costs an SD card some ten pages, whatever is in it.
const BATCH_CHANGES: usize = 512;

/// And as many bytes as 512 files with long tags have.
pub const BATCH_BYTES: usize = 1 << 20;

/// What a power cut may make the next scan read again.
const BATCH_TIME: Duration = Duration::from_secs(2);

/// Changes that wait for a disk that cannot be written: some 8,000 files as they usually are.
/// How long names and tags are, the music says.
pub const MAX_PENDING_BYTES: usize = 4 << 20;

/// Opening reads the whole file.
const RETRY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn forget(bytes: usize) -> IndexChange {
        IndexChange::Forget(vec![0; bytes])
    }

    #[test]
    fn changes_are_written_together_and_neither_late_nor_in_too_many() {
        let begin = Instant::now();
        let mut pending = PendingChanges::default();
        assert!(!pending.is_due(begin + BATCH_TIME));
        pending.push(forget(1), begin);
        pending.push(forget(1), begin + BATCH_TIME / 2);
        assert!(!pending.is_due(begin + BATCH_TIME / 2));
        assert!(pending.is_due(begin + BATCH_TIME));
        assert_eq!(pending.begin(begin + BATCH_TIME), Writing::AsUsual);
        pending.handle_written();
        assert!(pending.all().is_empty() && !pending.take_mended());
        for _ in 0..BATCH_CHANGES {
            assert!(!pending.is_due(begin));
            pending.push(forget(1), begin);
        }
        assert!(pending.is_due(begin));
        pending.handle_written();
        pending.push(forget(BATCH_BYTES), begin);
        assert!(pending.is_due(begin));
    }

    #[test]
    fn what_fails_is_tried_again_in_a_while_and_is_news_once() {
        let begin = Instant::now();
        let mut pending = PendingChanges::default();
        pending.push(forget(1), begin);
        assert_eq!(pending.begin(begin), Writing::AsUsual);
        assert!(pending.handle_failed(begin));
        assert_eq!(pending.begin(begin + RETRY / 2), Writing::NotYet);
        assert!(!pending.handle_failed(begin + RETRY / 2));
        assert_eq!(pending.retry_at(), Some(begin + RETRY));
        assert_eq!(pending.begin(begin + RETRY), Writing::Reopened);
        assert!(!pending.handle_failed(begin + RETRY));
        assert_eq!(pending.retry_at(), Some(begin + 2 * RETRY));
        assert_eq!(pending.begin(begin + 2 * RETRY), Writing::Reopened);
        pending.handle_written();
        assert_eq!(pending.retry_at(), None);
        assert!(pending.take_mended() && !pending.take_mended());
    }

    #[test]
    fn too_much_that_cannot_be_written_is_dropped() {
        let now = Instant::now();
        let mut pending = PendingChanges::default();
        pending.push(forget(MAX_PENDING_BYTES / 2), now);
        pending.handle_failed(now);
        assert_eq!(pending.all().len(), 1);
        pending.push(forget(MAX_PENDING_BYTES / 2), now);
        pending.handle_failed(now);
        assert!(pending.all().is_empty());
    }
}
