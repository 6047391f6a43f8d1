//! A track that nothing can keep: the disk is full, or may not be written. Only
//! a stretch around the listener, and what the decoder opens with, is here at a
//! time, in memory; what has been heard is let go.

use super::Scheduler;
use crate::content::ranges::GroupSet;
use crate::id::Group;

/// What is special about such a track.
#[derive(Debug)]
pub(super) struct MemoryWindow {
    /// What a disk has of it all the same.
    kept: GroupSet,
}

impl MemoryWindow {
    /// The disk does not have these after all.
    pub(super) fn handle_lost(&mut self, lost: &GroupSet) {
        self.kept = self.kept.difference(lost);
    }
}

impl Scheduler {
    /// From now on the track is not kept, but for these groups.
    pub fn handle_unkept(&mut self, kept: GroupSet) {
        self.window.get_or_insert(MemoryWindow { kept });
        let wanted = self.wanted();
        self.requests
            .cancel_where(|request| !request.groups().intersects(&wanted));
    }

    /// What is to be here.
    pub(super) fn wanted(&self) -> GroupSet {
        let all = GroupSet::all(self.size);
        match &self.window {
            None => all,
            Some(_) => self.around(BEHIND, AHEAD).intersection(&all),
        }
    }

    /// What is here and need not be, once it is enough to be worth the while.
    pub(super) fn excess(&self) -> Option<GroupSet> {
        let window = self.window.as_ref()?;
        let near = self.around(BEHIND + SLACK, AHEAD + SLACK);
        let excess = self.have.difference(&window.kept).difference(&near);
        (excess.count() >= SLACK).then_some(excess)
    }

    fn around(&self, behind: u32, ahead: u32) -> GroupSet {
        let Group(head) = self.play_head.group();
        let stretch = GroupSet::from(head.saturating_sub(behind)..head.saturating_add(ahead));
        stretch.union(&self.play_head.opening().take(MAX_OPENING))
    }
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
