//! In which order groups are asked for that nobody waits for yet.
//!
//! Listeners can only trade what they do not all get at the same time. So as soon as others
//! are known to listen, what is not due soon is asked for from a point on that chance
//! chooses, and first what no listener is known to have.

use super::super::{
    source::SourceRecord,
    view::{TrackView, DUE_SOON},
};
use crate::{
    content::ranges::GroupSet,
    id::{group_count, Group},
};

/// What is missing and was not asked for, in the order in which it is asked for: what is
/// due soon, then, when others listen, what is rare among them, then the rest.
pub fn in_turn(view: &TrackView, free: &GroupSet) -> Vec<GroupSet> {
    let head = view.play_head.reads_on_from();
    let ahead = free.at_or_after(head);
    let behind = free.difference(&ahead);
    let Some(chance) = view.sources.spread_from() else {
        return vec![ahead, behind];
    };
    let due = Group::of(
        head.start()
            .saturating_add(view.play_head.bytes_in(DUE_SOON)),
    );
    let later = ahead.at_or_after(due);
    let soon = ahead.difference(&later);
    let later = later.union(&behind);
    let from = Group(chance % group_count(view.size).max(1));
    let parts = view.sources.values().filter_map(SourceRecord::part);
    let rare = parts.fold(later.clone(), |rare, part| rare.difference(part));
    let turned = |groups: &GroupSet| [groups.at_or_after(from), groups.clip(from.0)];
    let mut pieces = vec![soon];
    pieces.extend(turned(&rare));
    pieces.extend(turned(&later));
    pieces
}
