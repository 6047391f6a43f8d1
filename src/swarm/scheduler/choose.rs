//! Which groups to ask for next, in what portions, and of which source.
//!
//! Every group has a *slack*: how long until the reader comes to it. Every source has an
//! *ETA* for it: its round trip and what it was asked for before, by its measured rate.
//! Groups are asked for in the order of their slack, each of the source that will bring
//! it first. A source that would bring a group too late is given a later one, unless it
//! is the fastest that there is.

use std::time::{Duration, Instant};

use super::source::{SourceRecord, SourceStatus};
use super::{requests::OpenRequest, Class, FetchAction, RequestId, Scheduler, NEAR};
use crate::content::ranges::GroupSet;
use crate::id::{PeerId, GROUP_BYTES};

/// How a piece came to be asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// The reader stands right at it: it may have one request more than others.
    WaitedFor,
    InOrder,
    /// It is late at this source.
    CopyOf(PeerId),
}

/// A source that may be asked, what of, and how well it suits: one that can bring the
/// piece in time goes first, then the soonest, then the one that chance says.
struct Offer {
    groups: GroupSet,
    skips: bool,
    eta: Duration,
    tie_break: u64,
}

impl Scheduler {
    pub(super) fn next_fetch(&mut self, missing: &GroupSet, now: Instant) -> Option<FetchAction> {
        let free = missing.difference(self.requests.once());
        let next = free.at_or_after(self.play_head.group()).first();
        let due = next.map_or(Duration::MAX, |next| self.slack(next, now));
        self.ask_at_head(&free, now)
            .or_else(|| self.ask_again(due, now))
            .or_else(|| self.renew(now))
            .or_else(|| self.ask_in_order(&free, now))
            .or_else(|| self.ask_again(Duration::MAX, now))
    }

    fn ask_at_head(&mut self, free: &GroupSet, now: Instant) -> Option<FetchAction> {
        if !free.contains(self.play_head.group()) {
            return None;
        }
        // The rest of the opening is waited for as much as what follows here, and a tail
        // of one group must not stand behind three that nobody reads yet.
        let waited_for = match self.play_head.opening().contains(self.play_head.group()) {
            true => free.intersection(self.play_head.opening()),
            false => free.clone(),
        };
        let waited_for = waited_for
            .at_or_after(self.play_head.group())
            .take(SMALL_GROUPS);
        self.ask(&waited_for, Urgency::WaitedFor, now)
    }

    /// Asks a second source for what is late at the first, if it is due by `due`.
    fn ask_again(&mut self, due: Duration, now: Instant) -> Option<FetchAction> {
        let late = self.late(now).into_iter();
        late.take_while(|(slack, ..)| *slack <= due)
            .find_map(|(_, peer, groups)| self.ask(&groups, Urgency::CopyOf(peer), now))
    }

    /// Asks the only source that there is for what it is late with, over a new connection:
    /// the old one may wait for the repetition of a repetition.
    fn renew(&mut self, now: Instant) -> Option<FetchAction> {
        let late = self.late(now);
        let (_, source, groups) = late.into_iter().find(|(slack, peer, _)| {
            let source = self.sources.get(*peer);
            let requests = self.requests.of(*peer);
            *slack < NEAR
                && source.is_some_and(|source| source.may_be_asked(now) && !source.is_lost())
                && requests.count() <= MAX_REQUESTS_PER_SOURCE
        })?;
        let groups = stretch(&groups)?.take(SMALL_GROUPS);
        Some(self.fetch(source, groups, true, now))
    }

    fn ask_in_order(&mut self, free: &GroupSet, now: Instant) -> Option<FetchAction> {
        let pieces = self.by_urgency(free);
        pieces
            .into_iter()
            .find_map(|piece| self.ask(&piece, Urgency::InOrder, now))
    }

    /// What is free to be asked for, most urgent first.
    fn by_urgency(&self, free: &GroupSet) -> Vec<GroupSet> {
        let mut opening: Vec<GroupSet> = self
            .play_head
            .opening()
            .iter_ranges()
            .map(Into::into)
            .collect();
        // Head, audio start and tail side by side, before the second part of a long head.
        opening.sort_by_key(|range| range.intersects(self.requests.once()));
        opening
            .iter()
            .map(|range| range.intersection(free).take(SMALL_GROUPS))
            .chain(self.in_turn(free))
            .filter(|piece| !piece.is_empty())
            .collect()
    }

    /// What was asked of one silent source alone, that source, and its slack; what the reader
    /// comes to first goes first.
    fn late(&self, now: Instant) -> Vec<(Duration, PeerId, GroupSet)> {
        let mut silent = self.requests.values().filter(|r| r.late).peekable();
        if silent.peek().is_none() {
            return Vec::new();
        }
        let done = self.requests.twice().union(&self.have);
        let alone = silent.filter_map(|request| {
            let groups = request.groups().difference(&done);
            Some((self.slack(groups.first()?, now), request.source, groups))
        });
        let mut alone: Vec<_> = alone.collect();
        alone.sort_by_key(|(slack, ..)| *slack);
        alone
    }

    /// A request that its source would fulfil too late while another could much sooner. It
    /// is taken back, so that its groups are free, and its source for what has time.
    pub(super) fn too_slow(&self, now: Instant) -> Option<RequestId> {
        if !self.sources.are_several() {
            return None;
        }
        self.sources.iter().find_map(|(peer, source)| {
            source.rate()?;
            let mut before = 0;
            let queue = self.requests.queue(peer).into_iter();
            queue.filter(|(_, r)| !r.late).find_map(|(req, request)| {
                let missing = request.groups().difference(&self.have);
                let first = missing.first()?;
                let first_bytes = missing.take(1).bytes(self.size);
                let eta = self.eta(peer, before + first_bytes, now);
                let eta = eta.saturating_sub(source.under_way(self.owes_since(peer), now));
                before += missing.bytes(self.size);
                let slack = self.slack(first, now);
                // What was asked for this very moment is not taken back in it: so nothing goes
                // to and fro without end.
                if !is_late(eta, slack) || request.sent == now {
                    return None;
                }
                let others = self.sources.peers().filter(|other| *other != peer);
                let soonest = self.soonest(others, &missing, now);
                is_too_late(eta, slack, soonest).then_some(req)
            })
        })
    }

    /// Asks the source that suits best, if any may be asked, for the start of `piece`.
    fn ask(&mut self, piece: &GroupSet, urgency: Urgency, now: Instant) -> Option<FetchAction> {
        let able = |(peer, source): &(PeerId, &SourceRecord)| {
            self.has_place(*peer, urgency) && self.may_be_asked(*peer, now) && source.has_any(piece)
        };
        let mut able = self.sources.iter().filter(able).peekable();
        // When all are busy, nothing has to be compared.
        able.peek()?;
        let soonest = self.soonest(self.sources.peers(), piece, now);
        let offers = able.filter_map(|(peer, source)| {
            let offer = self.offer(peer, source, piece, urgency, soonest, now)?;
            Some((peer, offer))
        });
        let (source, offer) = offers.min_by_key(|(_, o)| (o.skips, o.eta, o.tie_break))?;
        let renew = self.sources.get(source)?.is_lost();
        Some(self.fetch(source, offer.groups, renew, now))
    }

    fn fetch(
        &mut self,
        source: PeerId,
        groups: GroupSet,
        renew: bool,
        now: Instant,
    ) -> FetchAction {
        let on_wire = self.class_on_wire(source, &groups, now);
        self.sources.handle_asked(source, now);
        let classes = (self.play_head.class_of(&groups), on_wire);
        let request = OpenRequest::new(source, groups.clone(), classes, now);
        let req = self.requests.add(request);
        FetchAction::Fetch {
            req,
            source,
            groups,
            class: on_wire,
            renew,
        }
    }

    /// What stands in the way of a group that is late at a silent source and due soon:
    /// the requests at the quickest of the others that are not due as soon and have not
    /// begun to come. They are taken back; the late group goes first then.
    pub(super) fn preemptable(&self, now: Instant) -> Vec<RequestId> {
        let late = self.late(now).into_iter().next();
        // Nobody hears it while the sound is held back.
        let Some((slack, silent, piece)) = late.filter(|_| !self.play_head.is_held()) else {
            return Vec::new();
        };
        let first = piece.take(1);
        let others = self.sources.peers().filter(|peer| *peer != silent);
        if slack >= NEAR || self.soonest(others, &piece, now) <= slack {
            return Vec::new();
        }
        let able = self.sources.iter().filter(|(peer, source)| {
            let able = *peer != silent && self.may_be_asked(*peer, now);
            able && !source.part_of(&first).is_empty()
        });
        let bytes = first.bytes(self.size);
        let quickest = able.min_by_key(|(peer, _)| self.eta(*peer, bytes, now));
        let gives_way = |request: &OpenRequest| {
            let due = request.groups().first().map(|group| self.slack(group, now));
            quickest.is_some_and(|(quickest, _)| request.source == quickest)
                && !request.groups().intersects(&self.have)
                && request.sent != now
                && due.is_some_and(|due| due > slack + YIELD)
        };
        let preemptable = self.requests.iter().filter(|(_, r)| gives_way(r));
        preemptable.map(|(req, _)| req).collect()
    }

    /// When the first group of `piece` could be here from one of `peers`, also from one that
    /// has no room for another request now.
    fn soonest(
        &self,
        peers: impl Iterator<Item = PeerId>,
        piece: &GroupSet,
        now: Instant,
    ) -> Duration {
        let first = piece.take(1);
        let etas = peers.filter_map(|peer| {
            let source = &self.sources.get(peer)?;
            let able = !source.part_of(&first).is_empty() && self.may_be_asked(peer, now);
            able.then(|| self.eta_of(peer, &first, now))
        });
        etas.min().unwrap_or(Duration::MAX)
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

    /// Whether a source neither rests nor is silent.
    fn may_be_asked(&self, peer: PeerId, now: Instant) -> bool {
        let rested = self.sources.get(peer).is_some_and(|s| s.may_be_asked(now));
        let is_silent = self.requests.of(peer).any(|(_, request)| request.late);
        rested && !is_silent && !self.is_dispensable(peer)
    }

    /// Whether a source may have another request.
    fn has_place(&self, peer: PeerId, urgency: Urgency) -> bool {
        let requests = self.requests.of(peer).count();
        let source = self.sources.get(peer);
        if requests > 0 && source.is_some_and(SourceRecord::is_hearsay) {
            return false;
        }
        match urgency {
            Urgency::WaitedFor => requests <= MAX_REQUESTS_PER_SOURCE,
            Urgency::CopyOf(late_at) => peer != late_at && requests <= MAX_REQUESTS_PER_SOURCE,
            Urgency::InOrder => requests < MAX_REQUESTS_PER_SOURCE,
        }
    }

    /// What of `piece` a source that may have another request is asked for now.
    fn offer(
        &self,
        peer: PeerId,
        source: &SourceRecord,
        piece: &GroupSet,
        urgency: Urgency,
        soonest: Duration,
        now: Instant,
    ) -> Option<Offer> {
        let has = source.part_of(piece);
        let first = has.take(1);
        let ahead = self.ahead_of(peer, &first, now);
        let eta = self.eta(peer, ahead + first.bytes(self.size), now);
        let slack = self.slack(first.first()?, now);
        let too_late = is_too_late(eta, slack, soonest);
        let (groups, skips) = match urgency {
            Urgency::WaitedFor if !too_late => (stretch(&has)?, false),
            Urgency::CopyOf(_) if !too_late => {
                let stretch = stretch(&has)?;
                (stretch.take(self.portion(source, &stretch)), false)
            }
            Urgency::WaitedFor | Urgency::CopyOf(_) => return None,
            Urgency::InOrder => {
                // One stretch: what lies far behind it has its own time.
                let late = eta > soonest && slack < eta;
                // What has time comes after all that the source was asked for.
                let outstanding = self.outstanding(peer);
                let (has, ahead) = if late {
                    let eta = self.eta(peer, outstanding + first.bytes(self.size), now);
                    (
                        self.play_head.in_time(&has, eta, &self.have, now),
                        outstanding,
                    )
                } else {
                    (has, ahead)
                };
                let stretch = stretch(&has)?;
                let groups = stretch.take(self.portion(source, piece));
                let bytes = groups.bytes(self.size);
                let room = source.rate().map_or(FIRST_ROOM, |rate| rate.max(MIN_ROOM));
                let fits = ahead == 0 || ahead + bytes <= room;
                (fits.then_some(groups)?, late)
            }
        };
        Some(Offer {
            groups,
            skips,
            eta,
            tie_break: source.tie_break(),
        })
    }

    /// Groups of one request to `source`: half a second of its rate.
    fn portion(&self, source: &SourceRecord, piece: &GroupSet) -> u32 {
        match source.rate() {
            Some(rate) if piece.count() > SMALL_GROUPS => {
                let half_second = u32::try_from(rate / 2 / GROUP_BYTES).unwrap_or(u32::MAX);
                half_second.clamp(1, MAX_BULK_GROUPS)
            }
            _ => SMALL_GROUPS,
        }
    }

    /// Bytes that a source sends before `groups`, were it asked for those now: at least the
    /// group that is under way.
    fn ahead_of(&self, peer: PeerId, groups: &GroupSet, now: Instant) -> u64 {
        let more_urgent = self.owed(peer, self.class_on_wire(peer, groups, now));
        let under_way = self.outstanding(peer).min(GROUP_BYTES);
        more_urgent.max(under_way)
    }

    /// Bytes that a source was asked for and has not sent.
    fn outstanding(&self, peer: PeerId) -> u64 {
        self.owed(peer, Class::Rest)
    }

    /// The same, of what it was told to be as urgent as `class` or more.
    fn owed(&self, peer: PeerId, class: Class) -> u64 {
        let of_peer = self.requests.of(peer).map(|(_, request)| request);
        of_peer
            .filter(|r| r.on_wire <= class)
            .map(|r| r.groups().difference(&self.have).bytes(self.size))
            .sum()
    }

    /// How long until a source has sent `bytes` of what it was or will be asked for.
    pub(super) fn eta(&self, peer: PeerId, bytes: u64, now: Instant) -> Duration {
        let source = self.sources.get(peer);
        source.map_or(Duration::MAX, |source| {
            source.eta(bytes, self.owes_since(peer), now)
        })
    }

    /// How long until a source has sent `groups`, were it asked for those now.
    pub(super) fn eta_of(&self, peer: PeerId, groups: &GroupSet, now: Instant) -> Duration {
        let bytes = self.ahead_of(peer, groups, now) + groups.bytes(self.size);
        self.eta(peer, bytes, now)
    }

    /// When the oldest of what is outstanding from a source was asked for.
    fn owes_since(&self, peer: PeerId) -> Option<Instant> {
        self.requests.of(peer).map(|(_, r)| r.sent).min()
    }
}

/// Whether what is due after `slack` should not be left to a source that brings it after `eta`,
/// when another could after `soonest`: in time, or in less than half of the time, which is
/// worth what is lost.
fn is_too_late(eta: Duration, slack: Duration, soonest: Duration) -> bool {
    is_late(eta, slack) && (soonest <= slack || soonest.saturating_mul(2) < eta)
}

fn is_late(eta: Duration, slack: Duration) -> bool {
    eta > slack.saturating_add(GRACE)
}

/// The first stretch without a gap.
fn stretch(groups: &GroupSet) -> Option<GroupSet> {
    groups.iter_ranges().next().map(GroupSet::from)
}

/// Groups of a request that somebody waits for: 64 KiB, 50 ms at 10 Mbit/s.
pub const SMALL_GROUPS: u32 = 4;

/// Groups of a later request at most: 1 MiB is lost on a seek.
pub const MAX_BULK_GROUPS: u32 = 64;

/// Side by side at one source: head, audio start, tail, and what follows. One more when
/// the reader waits for something else.
pub const MAX_REQUESTS_PER_SOURCE: usize = 4;

/// Bytes asked for at one source: a second of its rate; a small request for each of head,
/// audio start, tail and what follows while that is unknown; and two groups of the slowest,
/// so that one is always under way while the next is sent.
const FIRST_ROOM: u64 = MAX_REQUESTS_PER_SOURCE as u64 * SMALL_GROUPS as u64 * GROUP_BYTES;
const MIN_ROOM: u64 = 2 * GROUP_BYTES;

/// What comes later than the reader by less than this is not worth asking for twice: the
/// sound still has what lies between reader and device.
const GRACE: Duration = Duration::from_millis(100);

/// A request that is due so much later gives way; less is not worth asking for again.
const YIELD: Duration = Duration::from_millis(500);
