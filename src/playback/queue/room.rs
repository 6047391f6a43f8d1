//! How much a queue takes: tracks, and bytes of what is known of them, since how long
//! a name or a tag is was its owner's choice.

use std::sync::Arc;

use super::{QueueError, QueueItem};

/// Items in a queue, MPD's default for `max_playlist_length`.
pub const MAX_QUEUE: usize = 16 * 1024;

/// Bytes of their texts: half a kilobyte for each of as many as there may be, which is
/// several times what a path and tags take; and what the file takes where they are
/// remembered.
pub const MAX_QUEUE_BYTES: usize = MAX_QUEUE * 512;

/// What items take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    items: usize,
    bytes: usize,
}

impl Size {
    pub fn of<'a>(items: impl IntoIterator<Item = &'a Arc<QueueItem>>) -> Self {
        let mut this = Self::default();
        items.into_iter().for_each(|item| this.add(item));
        this
    }

    pub fn add(&mut self, item: &QueueItem) {
        self.items += 1;
        self.bytes += item.bytes();
    }

    pub fn subtract(&mut self, item: &QueueItem) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(item.bytes());
    }

    pub fn and(self, other: Self) -> Self {
        Self {
            items: self.items + other.items,
            bytes: self.bytes + other.bytes,
        }
    }

    /// # Errors
    /// When a queue does not take as much.
    pub fn check(self) -> Result<(), QueueError> {
        match self {
            Self { items, .. } if items > MAX_QUEUE => Err(QueueError::Full),
            Self { bytes, .. } if bytes > MAX_QUEUE_BYTES => Err(QueueError::TooMuchText),
            _ => Ok(()),
        }
    }
}

/// As many of `items` as an empty queue takes, and one more if there are more, so that
/// it can say so.
pub fn enough(items: impl Iterator<Item = Arc<QueueItem>>) -> Vec<Arc<QueueItem>> {
    let (mut taken, mut size) = (Vec::new(), Size::default());
    for item in items {
        size.add(&item);
        taken.push(item);
        if size.check().is_err() {
            break;
        }
    }
    taken
}

/// # Errors
/// When an empty queue does not take them.
pub fn check(items: &[Arc<QueueItem>]) -> Result<(), QueueError> {
    Size::of(items).check()
}
