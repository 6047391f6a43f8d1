//! What changes in the order of requests once other listeners are known.
//!
//! Listeners can only trade what they do not all get at the same time. So as soon as others
//! are known to listen, what is not due soon is asked for from a point on that chance
//! chooses, and first what no listener is known to have.

use std::time::{Duration, Instant};

use super::source::SourceRecord;
use super::{Scheduler, NEAR};
use crate::content::ranges::GroupSet;
use crate::id::{group_count, Group, PeerId};
use crate::protocol::Class;

impl Scheduler {
    /// What is due now and was not brought by the named sources is asked of the source that
    /// named them.
    pub(super) fn hurry(&mut self, now: Instant) {
        if self.sources.spread_from().is_none() {
            return;
        }
        let near = Group::of(
            self.play_head
                .group()
                .start()
                .saturating_add(self.play_head.bytes_in(NEAR)),
        );
        let near = GroupSet::from(self.play_head.group().0..near.0.saturating_add(1))
            .union(self.play_head.opening());
        self.sources.hurry(&near, now);
    }

    /// What is missing and was not asked for, in the order in which it is asked for: what is
    /// due soon, then, when others listen, what is rare among them, then the rest.
    pub(super) fn in_turn(&self, free: &GroupSet) -> Vec<GroupSet> {
        let head = self.play_head.reads_on_from();
        let ahead = free.at_or_after(head);
        let behind = free.difference(&ahead);
        let Some(chance) = self.sources.spread_from() else {
            return vec![ahead, behind];
        };
        let due = Group::of(
            head.start()
                .saturating_add(self.play_head.bytes_in(DUE_SOON)),
        );
        let later = ahead.at_or_after(due);
        let soon = ahead.difference(&later);
        let later = later.union(&behind);
        let from = Group(chance % group_count(self.size).max(1));
        let parts = self.sources.values().filter_map(SourceRecord::part);
        let rare = parts.fold(later.clone(), |rare, part| rare.difference(part));
        let turned = |groups: &GroupSet| [groups.at_or_after(from), groups.clip(from.0)];
        let mut pieces = vec![soon];
        pieces.extend(turned(&rare));
        pieces.extend(turned(&later));
        pieces
    }

    /// How urgent a request is to its holder: as "now" goes only what is due soon. The rest
    /// of what plays has the time to come from others, and still goes before most of the next
    /// track.
    pub(super) fn class_on_wire(&self, source: PeerId, groups: &GroupSet, now: Instant) -> Class {
        let class = self.play_head.class_of(groups);
        let Some(first) = groups.first() else {
            return class;
        };
        let is_due = self.slack(first, now) <= DUE_SOON;
        // What comes later in the track must not overtake what was asked for before.
        let mut before = self.requests.of(source).map(|(_, request)| request);
        let overtakes = before.any(|r| r.on_wire > class && r.groups().first() < Some(first));
        match class {
            Class::Now if !is_due || overtakes => Class::Next,
            Class::Next if !is_due => Class::Rest,
            class => class,
        }
    }
}

/// What the reader comes to within this long is asked for in order: time enough for a
/// source to stall, and for another to be asked.
const DUE_SOON: Duration = Duration::from_secs(3);
