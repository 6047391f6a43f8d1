//! What a query finds, one thing after the other.

use super::{answer::SongSum, song::SongRef};
use crate::{catalog::Tag, playback::queue::QueueId};

/// Takes what a query finds, in its order.
pub trait RowWriter {
    /// A directory, by its path or, where that is known, by its name; `modified` is the latest
    /// of what is under it, in seconds since 1970.
    fn directory(&mut self, uri: &str, modified: Option<i64>, is_away: bool);

    /// A track by its path only.
    fn path(&mut self, song: &SongRef<'_>);

    /// A file by its name and its size in bytes.
    fn file(&mut self, name: &str, size: u64, modified: i64);

    fn song(&mut self, song: &SongRef<'_>);

    /// A song of the queue.
    fn queued(&mut self, position: usize, id: QueueId, song: &SongRef<'_>);

    /// Songs with these values of `tags`, of which the first `known` are those of the group
    /// before; `sum` where they were counted.
    fn group(&mut self, tags: &[Tag], values: &[String], known: usize, sum: Option<SongSum>);
}
