//! Whose catalogue is fetched next.

use std::{collections::BTreeMap, time::Instant};

use super::Via;
use crate::{
    catalog::{CatchUp, MemoryQuota, OwnerSite},
    id::PeerId,
};

/// A catalogue on its way here.
#[derive(Debug)]
pub struct PendingCatalogue {
    pub catch_up: CatchUp,
    /// The ways by which this head was shown: the one that is asked first, and the one after that.
    pub via: Via,
    pub then: Option<Via>,
    /// When the last piece was asked for; until then it waits for its turn.
    pub asked: Option<Instant>,
    pub turn: u64,
    /// Until when it may not be asked for.
    pub not_before: Option<Instant>,
}

/// The owner whose turn it is, if any: of the site that is asked for least, the one that
/// has waited for longest.
pub fn next(
    pending: &BTreeMap<PeerId, PendingCatalogue>,
    here: &BTreeMap<PeerId, Option<OwnerSite>>,
    quota: MemoryQuota,
    now: Instant,
) -> Option<PeerId> {
    let mut under_way: BTreeMap<Option<OwnerSite>, usize> = BTreeMap::new();
    let asked = pending.iter().filter(|(_, p)| p.asked.is_some());
    for (owner, _) in asked {
        let site = here.get(owner).copied().flatten();
        *under_way.entry(site).or_default() += 1;
    }
    let at_once = (quota.all / IN_FLIGHT_PART).clamp(2, MAX_CATCHING_UP);
    if under_way.values().sum::<usize>() >= at_once {
        return None;
    }
    let of_site = (at_once * 3 / 4).max(1);
    let waiting = pending.iter().filter_map(|(owner, pending)| {
        let may = pending.asked.is_none() && pending.not_before.is_none_or(|then| then <= now);
        let site = here.get(owner).filter(|_| may)?;
        let busy = under_way.get(site).copied().unwrap_or(0);
        (busy < of_site).then_some((busy, pending.turn, *owner))
    });
    waiting.min().map(|(_, _, owner)| owner)
}

/// Catalogues that are fetched at a time: enough to keep the line busy while
/// the tracker answers, and pages that find room in its outbox. Each may be a page of the
/// largest size on its way, three quarters of them for owners at one site.
pub const MAX_CATCHING_UP: usize = 8;
/// One at a time for each so many bytes that all may take, since a page that is taken
/// apart takes its size several times.
const IN_FLIGHT_PART: usize = 4 << 20;
