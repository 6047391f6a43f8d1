//! Whether sound that begins now would go on to the end.
//!
//! Two things must hold. What is under way comes before the listener does: the way of each
//! group and what stands before it, at the pace of its source. And all that is missing
//! comes before the end does, at the rate of all sources together. On a good network both
//! hold as soon as the first group is here; where they do not, the sound waits for as much
//! as is needed and no more. (After G. Kreitz and F. Niemelä, "Spotify – Large Scale, Low
//! Latency, P2P Music-on-Demand Streaming", 2010, section III-D, where the rate of the
//! recent past is simulated forward; a track of constant rate needs a division only.)

use std::time::Duration;

use super::super::{
    source::{SourceRecord, SourceStatus},
    view::TrackView,
};
use crate::content::ranges::GroupSet;
use crate::id::{Group, PeerId};

/// What sound waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartBuffer {
    /// So much is here, from where the listener is on.
    pub here: Duration,
    /// So much is needed, as it looks now.
    pub needed: Duration,
    /// Bytes a second that came lately.
    pub arriving: u64,
    /// Bytes a second that the track takes.
    pub bitrate: u64,
}

/// What the sound has to wait for; `None` when it may begin.
pub fn start_buffer(view: &TrackView, arriving: u64) -> Option<StartBuffer> {
    let play_head = view.play_head.listener();
    let ahead = view.missing().at_or_after(Group::of(play_head));
    let first = ahead.first()?;
    let wait = longest_wait(view, play_head).max(wait_for_next(view, &ahead, play_head));
    let short = shortfall(view, &ahead, play_head);
    if wait.is_zero() && short == 0 {
        return None;
    }
    let here = view
        .play_head
        .time_of(first.start().saturating_sub(play_head));
    Some(StartBuffer {
        here,
        needed: here + wait.max(view.play_head.time_of(short)),
        arriving,
        bitrate: view.play_head.bitrate(),
    })
}

/// By how much the latest of what is under way would be too late.
fn longest_wait(view: &TrackView, play_head: u64) -> Duration {
    let waits = view.sources.iter().map(|(peer, source)| {
        let mut before = 0;
        let waits = view
            .requests
            .queue(peer)
            .into_iter()
            .flat_map(|(_, request)| {
                let missing = request.groups().difference(view.have);
                let wait = wait_for(view, &missing, peer, source, before, play_head);
                before += missing.bytes(view.size);
                wait
            });
        waits.max().unwrap_or_default()
    });
    waits.max().unwrap_or_default()
}

/// By how much the first and the last of `missing` would be too late: one of them is the
/// latest, whichever of source and track is the faster.
fn wait_for(
    view: &TrackView,
    missing: &GroupSet,
    peer: PeerId,
    source: &SourceRecord,
    before: u64,
    play_head: u64,
) -> Option<Duration> {
    let first = missing.first()?;
    let last = missing.last()?;
    let ends = [
        (first, missing.take(1).bytes(view.size)),
        (last, missing.bytes(view.size)),
    ];
    let waits = ends.map(|(group, bytes)| {
        let eta = view.eta(peer, before + bytes);
        let safe = eta + eta / 3 + jitter(source);
        safe.saturating_sub(
            view.play_head
                .time_of(group.start().saturating_sub(play_head)),
        )
    });
    waits.into_iter().max()
}

/// The same for the next group of `ahead` that nobody was asked for.
fn wait_for_next(view: &TrackView, ahead: &GroupSet, play_head: u64) -> Duration {
    let Some(next) = ahead.difference(view.requests.once()).first() else {
        return Duration::ZERO;
    };
    let piece = GroupSet::from_iter([next]);
    let able = view
        .sources
        .iter()
        .filter(|(_, source)| source.has_any(&piece));
    let etas = able.map(|(peer, source)| source.rests(view.now) + view.eta_of(peer, &piece));
    let eta = etas.min().unwrap_or(LONGEST).min(LONGEST);
    let safe = eta + eta / 3;
    safe.saturating_sub(
        view.play_head
            .time_of(next.start().saturating_sub(play_head)),
    )
}

/// Bytes of `missing` that would not be here by the end of the track.
fn shortfall(view: &TrackView, missing: &GroupSet, play_head: u64) -> u64 {
    let Some(rate) = rate_of_all(view) else {
        return 0;
    };
    let left = view.play_head.time_of(view.size.saturating_sub(play_head));
    let safe = u128::from(rate) * RELIED_ON_PER_CENT / 100;
    let by_then = safe * left.as_micros() / 1_000_000;
    let by_then = u64::try_from(by_then).unwrap_or(u64::MAX);
    missing.bytes(view.size).saturating_sub(by_then)
}

/// The rates of the sources that can bring something; `None` while one is not known, which is
/// so until it has sent for longer than a good network takes for all that is asked for.
fn rate_of_all(view: &TrackView) -> Option<u64> {
    let missing = view.missing();
    let able = |source: &&SourceRecord| {
        let able = source.standing() == SourceStatus::Active && !source.is_failing();
        able && source.has_any(&missing)
    };
    let rates = view.sources.values().filter(able).map(SourceRecord::rate);
    rates.sum()
}

/// How much later than expected something may come: a lost packet and its repetition.
fn jitter(source: &SourceRecord) -> Duration {
    source
        .rtt()
        .map_or(Duration::ZERO, |rtt| (rtt * 3 / 2).min(LONGEST_JITTER))
}

/// What was measured is not what will be: so much of it is counted on. With sources that
/// are together a fifth faster than the music nothing is waited for.
const RELIED_ON_PER_CENT: u128 = 90;

/// More is not lost packets but a source that stands still.
const LONGEST_JITTER: Duration = Duration::from_secs(1);

/// For one that nobody can bring now.
const LONGEST: Duration = Duration::from_secs(60);
