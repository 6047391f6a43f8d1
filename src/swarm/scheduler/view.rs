//! What is known of a track at a moment, and how long everything takes as far as that tells.
//! The [`super::policy`] decides by it.

use std::time::{Duration, Instant};

use super::{
    play_head::PlayHead, requests::Requests, source::SourceStatus, sources::Sources,
    window::MemoryWindow, Class,
};
use crate::{
    content::ranges::GroupSet,
    id::{group_count, Group, PeerId, GROUP_BYTES},
};

/// The track, its reader, its sources and what they were asked for; nothing is changed by it.
#[derive(Clone, Copy)]
pub(super) struct TrackView<'a> {
    /// In bytes.
    pub size: u64,
    pub have: &'a GroupSet,
    pub window: Option<&'a MemoryWindow>,
    pub play_head: &'a PlayHead,
    pub sources: &'a Sources,
    pub requests: &'a Requests,
    pub now: Instant,
}

impl TrackView<'_> {
    /// What is to be here and is not.
    pub fn missing(&self) -> GroupSet {
        self.wanted().difference(self.have)
    }

    /// What is to be here.
    pub fn wanted(&self) -> GroupSet {
        let all = GroupSet::all(self.size);
        match self.window {
            None => all,
            Some(_) => MemoryWindow::around(self.play_head).intersection(&all),
        }
    }

    /// Whether the reader stands at something that is not here, or is held back until more is.
    pub fn is_dry(&self) -> bool {
        let at_end = self.play_head.group().0 >= group_count(self.size);
        let stands = !at_end && !self.have.contains(self.play_head.group());
        stands || (self.play_head.is_held() && !self.missing().is_empty())
    }

    /// Whether the reader comes to what is not here before long.
    pub fn is_short(&self) -> bool {
        let next = self.missing().at_or_after(self.play_head.group()).first();
        next.is_some_and(|next| self.slack(next) < NEAR)
    }

    /// How long until the reader comes to `group`.
    pub fn slack(&self, group: Group) -> Duration {
        self.play_head.slack(group, self.have, self.now)
    }

    /// What the reader comes to before long, and what a decoder reads first.
    pub fn near(&self) -> GroupSet {
        let head = self.play_head.group();
        let ahead = self.play_head.bytes_in(NEAR);
        let near = Group::of(head.start().saturating_add(ahead));
        GroupSet::from(head.0..near.0.saturating_add(1)).union(self.play_head.opening())
    }

    /// How urgent a request is to its holder: as "now" goes only what is due soon. The rest
    /// of what plays has the time to come from others, and still goes before most of the next
    /// track.
    pub fn class_on_wire(&self, source: PeerId, groups: &GroupSet) -> Class {
        let class = self.play_head.class_of(groups);
        let Some(first) = groups.first() else {
            return class;
        };
        let is_due = self.slack(first) <= DUE_SOON;
        // What comes later in the track must not overtake what was asked for before.
        let mut before = self.requests.of(source).map(|(_, request)| request);
        let overtakes = before.any(|r| r.on_wire > class && r.groups().first() < Some(first));
        match class {
            Class::Now if !is_due || overtakes => Class::Next,
            Class::Next if !is_due => Class::Rest,
            class => class,
        }
    }

    /// When the first group of `piece` could be here from one of `peers`, also from one that
    /// has no room for another request now.
    pub fn soonest(&self, peers: impl Iterator<Item = PeerId>, piece: &GroupSet) -> Duration {
        let first = piece.take(1);
        let etas = peers.filter_map(|peer| {
            let source = self.sources.get(peer)?;
            let able = !source.part_of(&first).is_empty() && self.may_be_asked(peer);
            able.then(|| self.eta_of(peer, &first))
        });
        etas.min().unwrap_or(Duration::MAX)
    }

    /// Whether a source neither rests nor is silent.
    pub fn may_be_asked(&self, peer: PeerId) -> bool {
        let source = self.sources.get(peer);
        let rested = source.is_some_and(|source| source.may_be_asked(self.now));
        let is_silent = self.requests.of(peer).any(|(_, request)| request.late);
        rested && !is_silent && !self.is_dispensable(peer)
    }

    /// Whether a source is away while another, which is not, has what it has. While the
    /// sound is held back the others are too slow: then each is worth another try, and a try
    /// in vain is not heard.
    fn is_dispensable(&self, peer: PeerId) -> bool {
        let source = self.sources.get(peer);
        let Some(source) = source.filter(|source| source.is_away() && !self.play_head.is_held())
        else {
            return false;
        };
        let mut left = source.part_of(&self.missing());
        let others = self.sources.values();
        for other in
            others.filter(|other| other.standing() == SourceStatus::Active && !other.is_away())
        {
            left = left.difference(&other.part_of(&left));
        }
        left.is_empty()
    }

    /// Bytes that a source sends before `groups`, were it asked for those now: at least the
    /// group that is under way.
    pub fn ahead_of(&self, peer: PeerId, groups: &GroupSet) -> u64 {
        let more_urgent = self.owed(peer, self.class_on_wire(peer, groups));
        let under_way = self.outstanding(peer).min(GROUP_BYTES);
        more_urgent.max(under_way)
    }

    /// Bytes that a source was asked for and has not sent.
    pub fn outstanding(&self, peer: PeerId) -> u64 {
        self.owed(peer, Class::Rest)
    }

    /// The same, of what it was told to be as urgent as `class` or more.
    fn owed(&self, peer: PeerId, class: Class) -> u64 {
        let of_peer = self.requests.of(peer).map(|(_, request)| request);
        of_peer
            .filter(|r| r.on_wire <= class)
            .map(|r| r.groups().difference(self.have).bytes(self.size))
            .sum()
    }

    /// How long until a source has sent `bytes` of what it was or will be asked for.
    pub fn eta(&self, peer: PeerId, bytes: u64) -> Duration {
        let source = self.sources.get(peer);
        source.map_or(Duration::MAX, |source| {
            source.eta(bytes, self.outstanding_since(peer), self.now)
        })
    }

    /// How long until a source has sent `groups`, were it asked for those now.
    pub fn eta_of(&self, peer: PeerId, groups: &GroupSet) -> Duration {
        let bytes = self.ahead_of(peer, groups) + groups.bytes(self.size);
        self.eta(peer, bytes)
    }

    /// When the oldest of what is outstanding from a source was asked for.
    pub fn outstanding_since(&self, peer: PeerId) -> Option<Instant> {
        self.requests.of(peer).map(|(_, r)| r.sent).min()
    }
}

/// What the reader comes to within this long is asked for a second time as soon as its
/// source has used up its own patience: time enough for the other to be dialled.
pub const NEAR: Duration = Duration::from_secs(2);

/// What the reader comes to within this long is asked for in order: time enough for a
/// source to stall, and for another to be asked.
pub const DUE_SOON: Duration = Duration::from_secs(3);
