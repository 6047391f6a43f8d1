//! What is late, what stands still, and what is taken back for something more urgent.

use std::time::{Duration, Instant};

use super::super::{
    requests::OpenRequest,
    view::{TrackView, NEAR},
    Class, RequestId,
};
use crate::{content::ranges::GroupSet, id::PeerId};

/// Requests whose time is over.
#[derive(Debug, Default)]
pub struct Overdue {
    /// Nothing has come for so long that the source is taken as failed.
    pub stalled: Vec<RequestId>,
    /// They may be asked for a second time.
    pub late: Vec<RequestId>,
}

/// What has become late, or stands still.
pub fn overdue(view: &TrackView) -> Overdue {
    let due = |at: Instant| view.now >= at;
    let mut overdue = Overdue::default();
    for (req, request) in view.requests.iter() {
        if due(request.progress + STALL) {
            overdue.stalled.push(req);
        } else if late_at(view, request).is_some_and(due) {
            overdue.late.push(req);
        }
    }
    overdue
}

/// When the next request becomes late, or stands still.
pub fn next_overdue(view: &TrackView) -> Option<Instant> {
    let requests = view.requests.values().map(|request| {
        let stalls = request.progress + STALL;
        late_at(view, request).map_or(stalls, |late| stalls.min(late))
    });
    requests.min()
}

/// When a request that somebody is about to listen to becomes late: when its source
/// has fallen silent. One that only stands behind others of a slow source is not late.
fn late_at(view: &TrackView, request: &OpenRequest) -> Option<Instant> {
    if request.late || request.class != Class::Now {
        return None;
    }
    let source = view.sources.get(request.source)?;
    let since = source
        .heard()
        .map_or(request.sent, |heard| heard.max(request.sent));
    let first = request.groups().difference(view.have).first()?;
    let patience = match view.slack(first) < NEAR {
        true => source.patience(),
        false => SILENT.max(source.patience()),
    };
    Some(since + patience)
}

/// What was asked of one silent source alone.
pub struct LatePiece {
    pub slack: Duration,
    pub source: PeerId,
    pub groups: GroupSet,
}

/// What was asked of one silent source alone; what the reader comes to first goes first.
pub fn late(view: &TrackView) -> Vec<LatePiece> {
    let mut silent = view.requests.values().filter(|r| r.late).peekable();
    if silent.peek().is_none() {
        return Vec::new();
    }
    let done = view.requests.twice().union(view.have);
    let alone = silent.filter_map(|request| {
        let groups = request.groups().difference(&done);
        Some(LatePiece {
            slack: view.slack(groups.first()?),
            source: request.source,
            groups,
        })
    });
    let mut alone: Vec<_> = alone.collect();
    alone.sort_by_key(|piece| piece.slack);
    alone
}

/// A request that its source would fulfil too late while another could much sooner. It
/// is taken back, so that its groups are free, and its source for what has time.
pub fn too_slow(view: &TrackView) -> Option<RequestId> {
    if !view.sources.are_several() {
        return None;
    }
    view.sources.iter().find_map(|(peer, source)| {
        source.rate()?;
        let mut before = 0;
        let queue = view.requests.queue(peer).into_iter();
        queue.filter(|(_, r)| !r.late).find_map(|(req, request)| {
            let missing = request.groups().difference(view.have);
            let first = missing.first()?;
            let first_bytes = missing.take(1).bytes(view.size);
            let eta = view.eta(peer, before + first_bytes);
            let under_way = source.under_way(view.outstanding_since(peer), view.now);
            let eta = eta.saturating_sub(under_way);
            before += missing.bytes(view.size);
            let slack = view.slack(first);
            // What was asked for this very moment is not taken back in it: so nothing goes
            // to and fro without end.
            if !is_late(eta, slack) || request.sent == view.now {
                return None;
            }
            let others = view.sources.peers().filter(|other| *other != peer);
            let soonest = view.soonest(others, &missing);
            is_too_late(eta, slack, soonest).then_some(req)
        })
    })
}

/// What stands in the way of a group that is late at a silent source and due soon:
/// the requests at the quickest of the others that are not due as soon and have not
/// begun to come. They are taken back; the late group goes first then.
pub fn preemptable(view: &TrackView) -> Vec<RequestId> {
    let late = late(view).into_iter().next();
    // Nobody hears it while the sound is held back.
    let Some(late) = late.filter(|_| !view.play_head.is_held()) else {
        return Vec::new();
    };
    let LatePiece { slack, source, .. } = late;
    let first = late.groups.take(1);
    let others = view.sources.peers().filter(|peer| *peer != source);
    if slack >= NEAR || view.soonest(others, &late.groups) <= slack {
        return Vec::new();
    }
    let able = view.sources.iter().filter(|(peer, other)| {
        let able = *peer != source && view.may_be_asked(*peer);
        able && !other.part_of(&first).is_empty()
    });
    let bytes = first.bytes(view.size);
    let quickest = able.min_by_key(|(peer, _)| view.eta(*peer, bytes));
    let gives_way = |request: &OpenRequest| {
        let due = request.groups().first().map(|group| view.slack(group));
        quickest.is_some_and(|(quickest, _)| request.source == quickest)
            && !request.groups().intersects(view.have)
            && request.sent != view.now
            && due.is_some_and(|due| due > slack + YIELD)
    };
    let preemptable = view.requests.iter().filter(|(_, r)| gives_way(r));
    preemptable.map(|(req, _)| req).collect()
}

/// Whether what is due after `slack` should not be left to a source that brings it after `eta`,
/// when another could after `soonest`: in time, or in less than half of the time, which is
/// worth what is lost.
pub fn is_too_late(eta: Duration, slack: Duration, soonest: Duration) -> bool {
    is_late(eta, slack) && (soonest <= slack || soonest.saturating_mul(2) < eta)
}

fn is_late(eta: Duration, slack: Duration) -> bool {
    eta > slack.saturating_add(GRACE)
}

/// What comes later than the reader by less than this is not worth asking for twice: the
/// sound still has what lies between reader and device.
const GRACE: Duration = Duration::from_millis(100);

/// A request that is due so much later gives way; less is not worth asking for again.
const YIELD: Duration = Duration::from_millis(500);

/// Nothing from a source for so long: somebody else is asked as well. A lost packet is
/// sent again well before.
const SILENT: Duration = Duration::from_millis(800);

/// Nothing for so long: the source is taken as failed. Longer than a lost QUIC packet
/// and its retries take, shorter than what a listener takes for broken.
pub const STALL: Duration = Duration::from_secs(4);
