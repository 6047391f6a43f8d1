//! Which groups to ask for next, in what portions, and of which source.
//!
//! Every group has a *slack*: how long until the reader comes to it. Every source has an
//! *ETA* for it: its round trip and what it was asked for before, by its measured rate.
//! Groups are asked for in the order of their slack, each of the source that will bring
//! it first. A source that would bring a group too late is given a later one, unless it
//! is the fastest that there is.

use std::time::Duration;

use super::super::{
    source::SourceRecord,
    view::{TrackView, NEAR},
};
use super::{
    lateness::{is_too_late, late},
    turns::in_turn,
};
use crate::{
    content::ranges::GroupSet,
    id::{PeerId, GROUP_BYTES},
};

/// What is to be asked for next.
#[derive(Debug)]
pub struct Choice {
    pub source: PeerId,
    pub groups: GroupSet,
    /// Over another connection.
    pub renew: bool,
}

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

/// What of `missing` is to be asked for now.
pub fn next_request(view: &TrackView, missing: &GroupSet) -> Option<Choice> {
    let free = missing.difference(view.requests.once());
    let next = free.at_or_after(view.play_head.group()).first();
    let due = next.map_or(Duration::MAX, |next| view.slack(next));
    ask_at_head(view, &free)
        .or_else(|| ask_again(view, due))
        .or_else(|| renew(view))
        .or_else(|| ask_in_order(view, &free))
        .or_else(|| ask_again(view, Duration::MAX))
}

fn ask_at_head(view: &TrackView, free: &GroupSet) -> Option<Choice> {
    let head = view.play_head.group();
    if !free.contains(head) {
        return None;
    }
    // The rest of the opening is waited for as much as what follows here, and a tail
    // of one group must not stand behind three that nobody reads yet.
    let waited_for = match view.play_head.opening().contains(head) {
        true => free.intersection(view.play_head.opening()),
        false => free.clone(),
    };
    let waited_for = waited_for.at_or_after(head).take(SMALL_GROUPS);
    ask(view, &waited_for, Urgency::WaitedFor)
}

/// Asks a second source for what is late at the first, if it is due by `due`.
fn ask_again(view: &TrackView, due: Duration) -> Option<Choice> {
    let late = late(view).into_iter();
    late.take_while(|piece| piece.slack <= due)
        .find_map(|piece| ask(view, &piece.groups, Urgency::CopyOf(piece.source)))
}

/// Asks the only source that there is for what it is late with, over a new connection:
/// the old one may wait for the repetition of a repetition.
fn renew(view: &TrackView) -> Option<Choice> {
    let late = late(view).into_iter().find(|piece| {
        let source = view.sources.get(piece.source);
        let requests = view.requests.of(piece.source);
        piece.slack < NEAR
            && source.is_some_and(|source| source.may_be_asked(view.now) && !source.is_lost())
            && requests.count() <= MAX_REQUESTS_PER_SOURCE
    })?;
    Some(Choice {
        source: late.source,
        groups: stretch(&late.groups)?.take(SMALL_GROUPS),
        renew: true,
    })
}

fn ask_in_order(view: &TrackView, free: &GroupSet) -> Option<Choice> {
    let pieces = by_urgency(view, free);
    pieces
        .into_iter()
        .find_map(|piece| ask(view, &piece, Urgency::InOrder))
}

/// What is free to be asked for, most urgent first.
fn by_urgency(view: &TrackView, free: &GroupSet) -> Vec<GroupSet> {
    let opening = view.play_head.opening().iter_ranges();
    let mut opening: Vec<GroupSet> = opening.map(Into::into).collect();
    // Head, audio start and tail side by side, before the second part of a long head.
    opening.sort_by_key(|range| range.intersects(view.requests.once()));
    opening
        .iter()
        .map(|range| range.intersection(free).take(SMALL_GROUPS))
        .chain(in_turn(view, free))
        .filter(|piece| !piece.is_empty())
        .collect()
}

/// Asks the source that suits best, if any may be asked, for the start of `piece`.
fn ask(view: &TrackView, piece: &GroupSet, urgency: Urgency) -> Option<Choice> {
    let able = |(peer, source): &(PeerId, &SourceRecord)| {
        has_place(view, *peer, urgency) && view.may_be_asked(*peer) && source.has_any(piece)
    };
    let mut able = view.sources.iter().filter(able).peekable();
    // When all are busy, nothing has to be compared.
    able.peek()?;
    let soonest = view.soonest(view.sources.peers(), piece);
    let offers = able.filter_map(|(peer, source)| {
        let offer = offer(view, (peer, source), piece, urgency, soonest)?;
        Some((peer, offer))
    });
    let (source, offer) = offers.min_by_key(|(_, o)| (o.skips, o.eta, o.tie_break))?;
    Some(Choice {
        source,
        groups: offer.groups,
        renew: view.sources.get(source)?.is_lost(),
    })
}

/// Whether a source may have another request.
fn has_place(view: &TrackView, peer: PeerId, urgency: Urgency) -> bool {
    let requests = view.requests.of(peer).count();
    let source = view.sources.get(peer);
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
    view: &TrackView,
    (peer, source): (PeerId, &SourceRecord),
    piece: &GroupSet,
    urgency: Urgency,
    soonest: Duration,
) -> Option<Offer> {
    let has = source.part_of(piece);
    let first = has.take(1);
    let ahead = view.ahead_of(peer, &first);
    let eta = view.eta(peer, ahead + first.bytes(view.size));
    let slack = view.slack(first.first()?);
    let too_late = is_too_late(eta, slack, soonest);
    let (groups, skips) = match urgency {
        Urgency::WaitedFor if !too_late => (stretch(&has)?, false),
        Urgency::CopyOf(_) if !too_late => {
            let stretch = stretch(&has)?;
            (stretch.take(portion(source, &stretch)), false)
        }
        Urgency::WaitedFor | Urgency::CopyOf(_) => return None,
        Urgency::InOrder => {
            // One stretch: what lies far behind it has its own time.
            let late = eta > soonest && slack < eta;
            // What has time comes after all that the source was asked for.
            let outstanding = view.outstanding(peer);
            let (has, ahead) = if late {
                let eta = view.eta(peer, outstanding + first.bytes(view.size));
                let in_time = view.play_head.in_time(&has, eta, view.have, view.now);
                (in_time, outstanding)
            } else {
                (has, ahead)
            };
            let stretch = stretch(&has)?;
            let groups = stretch.take(portion(source, piece));
            let bytes = groups.bytes(view.size);
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
fn portion(source: &SourceRecord, piece: &GroupSet) -> u32 {
    match source.rate() {
        Some(rate) if piece.count() > SMALL_GROUPS => {
            let half_second = u32::try_from(rate / 2 / GROUP_BYTES).unwrap_or(u32::MAX);
            half_second.clamp(1, MAX_BULK_GROUPS)
        }
        _ => SMALL_GROUPS,
    }
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
