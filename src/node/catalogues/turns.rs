//! Whose catalogue is fetched next.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use crate::{
    catalog::{Catalogue, OwnerSite, Pulls},
    id::PeerId,
};

/// The owner whose turn it is, if any: of the site that is asked for least, the one that
/// has waited for longest.
pub fn next<V: Copy>(pulls: &Pulls<Arc<Catalogue>, V>, now: Instant) -> Option<PeerId> {
    let mut under_way: BTreeMap<Option<OwnerSite>, usize> = BTreeMap::new();
    let asked = pulls.all_under_way().filter(|(_, it)| it.asked.is_some());
    for (owner, _) in asked {
        *under_way.entry(pulls.site(owner)).or_default() += 1;
    }
    let quota = pulls.quota();
    let at_once = (quota.all / IN_FLIGHT_PART).clamp(2, MAX_CATCHING_UP);
    if under_way.values().sum::<usize>() >= at_once {
        return None;
    }
    let of_site = (at_once * 3 / 4).max(1);
    let waiting = pulls.all_under_way().filter_map(|(owner, it)| {
        let may = it.asked.is_none() && it.not_before.is_none_or(|then| then <= now);
        let site = pulls.site(owner);
        let busy = under_way.get(&site).copied().unwrap_or(0);
        let is_next = may && pulls.is_here(owner) && busy < of_site;
        is_next.then_some((busy, it.turn, owner))
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
