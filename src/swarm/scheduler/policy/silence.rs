//! Which source the reader waits for in vain.

use std::time::{Duration, Instant};

use super::{
    super::{source::SourceStatus, view::TrackView},
    lateness::STALL,
};
use crate::id::PeerId;

/// Nobody brings what the reader stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The source that is missed most: the one that brought something last, if one is known.
    pub of: Option<PeerId>,
    /// It has left the swarm, as far as anybody knows.
    pub is_gone: bool,
    /// Since when the reader stands there, and nothing has come.
    pub since: Instant,
}

/// The source that is waited for, once nothing has come since then for so long that it is no
/// hiccup. A source that only has too much to do is not silent.
pub fn silence(view: &TrackView, since: Instant) -> Option<Stall> {
    if view.now < since + STALL {
        return None;
    }
    let missing = view.missing();
    let is_busy = view.sources.iter().any(|(peer, source)| {
        let is_outstanding = view.requests.of(peer).next().is_some();
        source.has_any(&missing) && !source.is_failing() && !is_outstanding
    });
    // One that has had too much to do for so long is as good as silent.
    if is_busy && view.now < since + BUSY {
        return None;
    }
    let missed = view.sources.iter().filter(|(_, source)| {
        source.has_any(&missing)
            || (source.standing() == SourceStatus::Excluded && source.is_gone())
    });
    let missed = missed.max_by_key(|(_, source)| (source.brought(), !source.is_gone()));
    Some(Stall {
        of: missed.map(|(peer, _)| peer),
        is_gone: missed.is_none_or(|(_, source)| source.is_gone()),
        since,
    })
}

/// A source that answers but has no time: a holder serves each listener within seconds.
const BUSY: Duration = Duration::from_secs(30);
