//! A track that nothing can keep: the disk is full, or may not be written. Only
//! a stretch around the listener, and what the decoder opens with, is here at a
//! time, in memory; what has been heard is let go.

use super::play_head::PlayHead;
use crate::content::ranges::GroupSet;
use crate::id::Group;

/// What is special about such a track.
#[derive(Debug)]
pub(super) struct MemoryWindow {
    /// What a disk has of it all the same.
    kept: GroupSet,
}

impl MemoryWindow {
    pub fn new(kept: GroupSet) -> Self {
        Self { kept }
    }

    /// The disk does not have these after all.
    pub fn handle_lost(&mut self, lost: &GroupSet) {
        self.kept = self.kept.difference(lost);
    }

    /// What is to be here while the reader is there.
    pub fn around(play_head: &PlayHead) -> GroupSet {
        around(play_head, BEHIND, AHEAD)
    }

    /// What is here and need not be, once it is enough to be worth the while.
    pub fn excess(&self, have: &GroupSet, play_head: &PlayHead) -> Option<GroupSet> {
        let near = around(play_head, BEHIND + SLACK, AHEAD + SLACK);
        let excess = have.difference(&self.kept).difference(&near);
        (excess.count() >= SLACK).then_some(excess)
    }
}

fn around(play_head: &PlayHead, behind: u32, ahead: u32) -> GroupSet {
    let Group(head) = play_head.group();
    let stretch = GroupSet::from(head.saturating_sub(behind)..head.saturating_add(ahead));
    stretch.union(&play_head.opening().take(MAX_OPENING))
}

/// 1 MiB: going back ten seconds costs nothing.
const BEHIND: u32 = 64;

/// 8 MiB: 45 s of CD quality, so that a lost source is bridged as long as somebody
/// looks for another.
const AHEAD: u32 = 512;

/// 256 KiB: how far the head goes from one look to the next.
const SLACK: u32 = 16;

/// 4 MiB: a large cover and all tables. An owner may say that a file opens with
/// the whole of itself.
const MAX_OPENING: u32 = 256;

/// More groups than are ever here at once, less what was asked for before.
#[cfg(test)]
pub const WINDOW_GROUPS: u32 = BEHIND + AHEAD + 3 * SLACK + MAX_OPENING;
