//! Which groups to ask for next, in what portions, and whom.

use std::time::{Duration, Instant};

use super::source::Source;
use super::{union, Action, Class, Request, RequestId, Scheduler};
use crate::content::ranges::GroupSet;
use crate::id::{Group, PeerId, GROUP_BYTES};

/// How a piece came to be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// The reader stands right at it: it may have one request more than others.
    WaitedFor,
    InOrder,
    /// It is late at this source.
    CopyOf(PeerId),
}

impl Scheduler {
    pub(super) fn next_fetch(&mut self, missing: &GroupSet, now: Instant) -> Option<Action> {
        let asked = self.asked();
        let free = missing.difference(&asked);
        if free.contains(self.head) {
            // The rest of the opening is waited for as much as what follows here, and
            // a tail of one group must not stand behind three that nobody reads yet.
            let waited_for = match self.opening.contains(self.head) {
                true => free.intersection(&self.opening),
                false => free.clone(),
            };
            let waited_for = waited_for.at_or_after(self.head).take(SMALL_GROUPS);
            let action = self.ask(&waited_for, Urgency::WaitedFor, now);
            if action.is_some() {
                return action;
            }
        }
        for piece in self.by_urgency(&free, &asked) {
            let action = self.ask(&piece, Urgency::InOrder, now);
            if action.is_some() {
                return action;
            }
        }
        for (peer, groups) in self.late() {
            let action = self.ask(&groups, Urgency::CopyOf(peer), now);
            if action.is_some() {
                return action;
            }
        }
        None
    }

    /// What is free to be asked for, most urgent first.
    fn by_urgency(&self, free: &GroupSet, asked: &GroupSet) -> Vec<GroupSet> {
        let mut opening: Vec<GroupSet> = self.opening.iter_ranges().map(Into::into).collect();
        // Head, audio start and tail side by side, before the second part of a long head.
        opening.sort_by_key(|range| range.intersects(asked));
        let ahead = free.at_or_after(self.head);
        let behind = free.difference(&ahead);
        opening
            .iter()
            .map(|range| range.intersection(free).take(SMALL_GROUPS))
            .chain([ahead, behind])
            .filter(|piece| !piece.is_empty())
            .collect()
    }

    /// What is late and was asked of one source alone, with that source.
    fn late(&self) -> Vec<(PeerId, GroupSet)> {
        let alone = |request: &Request| {
            let others = self
                .requests
                .values()
                .filter(|other| other.source != request.source);
            request
                .groups
                .difference(&self.have)
                .difference(&union(others))
        };
        self.requests
            .values()
            .filter(|request| request.late)
            .map(|request| (request.source, alone(request)))
            .filter(|(_, groups)| !groups.is_empty())
            .collect()
    }

    /// Asks the source that will be done first, if any may be asked, for the start of `piece`.
    fn ask(&mut self, piece: &GroupSet, urgency: Urgency, now: Instant) -> Option<Action> {
        let mut best: Option<((Duration, u64), PeerId, GroupSet)> = None;
        for (peer, source) in &self.sources {
            if urgency == Urgency::CopyOf(*peer) || !source.may_be_asked(now) {
                continue;
            }
            let Some(groups) = self.share(*peer, source, piece, urgency) else {
                continue;
            };
            let first = groups.take(1).bytes(self.size);
            let key = (source.eta(self.outstanding(*peer) + first), source.tie());
            if best.as_ref().is_none_or(|(best, ..)| key < *best) {
                best = Some((key, *peer, groups));
            }
        }
        let (_, source, groups) = best?;
        let class = self.class(groups.first()?);
        let req = RequestId(self.next_req);
        self.next_req += 1;
        let request = Request {
            source,
            groups: groups.clone(),
            class,
            sent: now,
            progress: now,
            answered: false,
            late: false,
        };
        self.requests.insert(req, request);
        Some(Action::Fetch {
            req,
            source,
            groups,
            class,
        })
    }

    /// What of `piece` a source may be asked for in one request now.
    fn share(
        &self,
        peer: PeerId,
        source: &Source,
        piece: &GroupSet,
        urgency: Urgency,
    ) -> Option<GroupSet> {
        // One stretch: what lies far behind it has its own time.
        let stretch = GroupSet::from(source.part_of(piece).iter_ranges().next()?);
        let requests = self.requests.values().filter(|r| r.source == peer).count();
        if urgency == Urgency::WaitedFor {
            return (requests <= MAX_REQUESTS_PER_SOURCE).then_some(stretch);
        }
        let groups = match source.rate() {
            Some(rate) if piece.count() > SMALL_GROUPS => {
                let half_second = u32::try_from(rate / 2 / GROUP_BYTES).unwrap_or(u32::MAX);
                stretch.take(half_second.clamp(MIN_BULK_GROUPS, MAX_BULK_GROUPS))
            }
            _ => stretch.take(SMALL_GROUPS),
        };
        let room = source.rate().unwrap_or(0).max(MIN_OUTSTANDING);
        let fits = self.outstanding(peer) + groups.bytes(self.size) <= room;
        (requests < MAX_REQUESTS_PER_SOURCE && fits).then_some(groups)
    }

    /// Bytes that a source was asked for and has not sent.
    fn outstanding(&self, peer: PeerId) -> u64 {
        let of_peer = self.requests.values().filter(|r| r.source == peer);
        union(of_peer).difference(&self.have).bytes(self.size)
    }

    /// How urgent a group is.
    pub(super) fn class(&self, group: Group) -> Class {
        let soon = match self.bitrate {
            Some(bitrate) => bitrate.saturating_mul(SOON.as_secs()),
            None => SOON_BYTES,
        };
        let soon = Group::of(self.head.start().saturating_add(soon));
        if self.opening.contains(group) || (self.head <= group && group <= soon) {
            self.role
        } else {
            Class::Rest
        }
    }
}

/// Groups of a request that somebody waits for: 64 KiB, 50 ms at 10 Mbit/s.
pub const SMALL_GROUPS: u32 = 4;

/// Groups of a later request: 256 KiB amortise its round trip, 1 MiB is lost on a seek.
pub(super) const MIN_BULK_GROUPS: u32 = 16;
pub const MAX_BULK_GROUPS: u32 = 64;

/// Side by side at one source: head, audio start, tail, and what follows. One more when
/// the reader waits for something else.
pub const MAX_REQUESTS_PER_SOURCE: usize = 4;

/// Bytes asked for at one source, however slow: two bulk requests, so that one is always
/// under way while the next is sent. A faster one is asked for a second of its rate.
const MIN_OUTSTANDING: u64 = 2 * MIN_BULK_GROUPS as u64 * GROUP_BYTES;

/// What lies so far ahead of the play head is played soon.
const SOON: Duration = Duration::from_secs(30);

/// The same while the bit rate is unknown: 30 s of CD quality FLAC.
const SOON_BYTES: u64 = 4 << 20;
