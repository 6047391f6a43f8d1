//! Sources that other sources name: listeners like this one, which have a part of the track.
//!
//! The source that names them is not asked for the same again until they were tried: for
//! [`super::referral::TRY_THEM`], shorter for what is due soon, or until one of them fails. So a name that leads
//! nowhere costs a request, and a source that has given [`MAX_MISLED`] such names is taken as
//! busy when it gives another.
//!
//! Listeners can only trade what they do not all get at the same time. So as soon as others
//! are known to listen, what is not due soon is asked for from a point on that chance
//! chooses, and first what no listener is known to have.

use std::time::{Duration, Instant};

use super::source::{SourceInfo, SourceRecord};
use super::{Scheduler, NEAR};
use crate::content::ranges::GroupSet;
use crate::id::{group_count, Group, PeerId};
use crate::protocol::Class;

impl Scheduler {
    /// A source does not send what it was `asked` for, but names peers that have some of it, or
    /// says what it has itself.
    pub(super) fn handle_referral(
        &mut self,
        by: PeerId,
        asked: &GroupSet,
        named: Vec<(PeerId, GroupSet)>,
        now: Instant,
    ) {
        self.spread_from
            .get_or_insert(u32::try_from(self.random.draw() >> 32).unwrap_or(0));
        let all = GroupSet::all(self.size);
        let mut theirs = GroupSet::new();
        for (peer, groups) in named {
            let groups = groups.intersection(&all);
            if peer == by {
                return self.handle_only_this(by, asked, groups);
            } else if self.add_named(peer, by, &groups, now) {
                theirs = theirs.union(&groups.intersection(asked));
            }
        }
        let Some(source) = self.sources.get_mut(&by) else {
            return;
        };
        // With nobody to try, it would be asked again at once, and again.
        if source.referral.misleading >= MAX_MISLED || theirs.is_empty() {
            source.handle_busy(None, self.random.draw(), now);
        } else {
            source.referral.add(&theirs, now);
        }
    }

    /// What is due now and was not brought by the named sources is asked of the source that
    /// named them.
    pub(super) fn hurry(&mut self, now: Instant) {
        if self.spread_from.is_none() {
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
        let named = self.sources.values_mut().map(|source| &mut source.referral);
        for naming in named {
            if naming
                .since
                .is_some_and(|since| now >= since + TRY_THEM_NEAR)
            {
                naming.take_back(&near);
            }
        }
    }

    /// A request to `peer` left `missing` out: if it was named for that, the source that named
    /// it may be asked again.
    pub(super) fn handle_not_brought(&mut self, peer: PeerId, missing: &GroupSet) {
        let by = self
            .sources
            .get(&peer)
            .and_then(|source| source.referral.by);
        for source in self.sources.values_mut() {
            source.referral.take_back(missing);
        }
        if let Some(namer) = by.and_then(|by| self.sources.get_mut(&by)) {
            namer.referral.misleading = match missing.is_empty() {
                true => 0,
                false => namer.referral.misleading.saturating_add(1),
            };
        }
    }

    /// What is missing and was not asked for, in the order in which it is asked for: what is
    /// due soon, then, when others listen, what is rare among them, then the rest.
    pub(super) fn in_turn(&self, free: &GroupSet) -> Vec<GroupSet> {
        let head = self.play_head.reads_on_from();
        let ahead = free.at_or_after(head);
        let behind = free.difference(&ahead);
        let Some(chance) = self.spread_from else {
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

    /// What a source that has only a part says of itself.
    fn handle_only_this(&mut self, peer: PeerId, asked: &GroupSet, groups: GroupSet) {
        let lacks = asked.difference(&groups);
        if let Some(source) = self.sources.get_mut(&peer) {
            source.handle_only_this(groups, &lacks);
        }
        self.handle_not_brought(peer, &lacks);
    }

    /// Takes a named source in; whether it can be asked.
    fn add_named(&mut self, peer: PeerId, by: PeerId, groups: &GroupSet, now: Instant) -> bool {
        if let Some(source) = self.sources.get_mut(&peer) {
            return source.handle_named(by, groups, now);
        }
        let parts = self.sources.values().filter(|s| s.part().is_some());
        if parts.count() >= MAX_PARTS {
            return false;
        }
        let have = Some(groups.clone());
        let info = SourceInfo {
            have,
            ..SourceInfo::default()
        };
        self.add_source(peer, info, now);
        let source = self.sources.get_mut(&peer);
        source.is_some_and(|source| source.handle_named(by, groups, now))
    }
}

/// Or has at least begun with what is due: a handshake, and what a small request takes.
const TRY_THEM_NEAR: Duration = Duration::from_millis(300);

/// Names in a row that lead nowhere: two answers full of them.
const MAX_MISLED: u32 = 8;

/// Sources of a part at a time: a house has fewer speakers, and each is a connection.
const MAX_PARTS: usize = 16;

/// What the reader comes to within this long is asked for in order: time enough for a
/// source to stall, and for another to be asked.
const DUE_SOON: Duration = Duration::from_secs(3);
