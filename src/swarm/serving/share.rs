//! Which host, and which peer, was sent how much lately, so that all get the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::PeerId;
use crate::swarm::requester::{HostKey, Requester};

/// Groups that each was sent lately: what lies back counts half as much with every
/// [`HALF_LIFE`].
#[derive(Debug, Default)]
pub(super) struct SentShares {
    sites: BTreeMap<HostKey, HostShare>,
    peers: BTreeMap<PeerId, HostShare>,
}

#[derive(Debug)]
struct HostShare {
    /// In 1024ths, so that what is halved does not vanish at once.
    parts: u64,
    since: Instant,
}

impl HostShare {
    fn at(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.since);
        let halves = age.as_millis() / HALF_LIFE.as_millis();
        let halves = u32::try_from(halves).unwrap_or(u32::MAX);
        self.parts.checked_shr(halves).unwrap_or(0)
    }
}

impl SentShares {
    /// `requester` is going to be sent so many groups.
    pub(super) fn charge(&mut self, requester: Requester, groups: u32, now: Instant) {
        charge(&mut self.sites, requester.site, groups, now);
        charge(&mut self.peers, requester.peer, groups, now);
    }

    /// What its host has got lately, and it itself.
    pub(super) fn of(&self, requester: Requester, now: Instant) -> (u64, u64) {
        let site = self.sites.get(&requester.site);
        let peer = self.peers.get(&requester.peer);
        let share = |share: Option<&HostShare>| share.map_or(0, |share| share.at(now));
        (share(site), share(peer))
    }

    /// The hosts that were sent something lately.
    pub(super) fn hosts(&self, now: Instant) -> impl Iterator<Item = HostKey> + '_ {
        let lately = self
            .sites
            .iter()
            .filter(move |(_, share)| share.at(now) >= PARTS);
        lately.map(|(site, _)| *site)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.len().max(self.sites.len())
    }
}

fn charge<K: Copy + Ord>(shares: &mut BTreeMap<K, HostShare>, to: K, groups: u32, now: Instant) {
    settle(shares, now);
    if !shares.contains_key(&to) && shares.len() >= MAX_PEERS {
        let least = shares.iter().min_by_key(|(_, share)| share.parts);
        if let Some(least) = least.map(|(key, _)| *key) {
            shares.remove(&least);
        }
    }
    let share = shares.entry(to).or_insert(HostShare {
        parts: 0,
        since: now,
    });
    share.parts = share.parts.saturating_add(u64::from(groups) * PARTS);
}

/// Halves what is due to be, and forgets what that leaves nothing of.
fn settle<K: Ord>(shares: &mut BTreeMap<K, HostShare>, now: Instant) {
    for share in shares.values_mut() {
        if now >= share.since + HALF_LIFE {
            (share.parts, share.since) = (share.at(now), now);
        }
    }
    shares.retain(|_, share| share.parts > 0);
}

const PARTS: u64 = 1024;

/// About a round of requests: a host that was greedy a minute ago is as good as any.
const HALF_LIFE: Duration = Duration::from_secs(2);

/// As many as there may be guests.
pub(super) const MAX_PEERS: usize = 128;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn what_lies_back_counts_less_and_is_forgotten() {
        let now = Instant::now();
        let requester = |n| Requester::new(PeerId([n; 32]), IpAddr::from([10, 0, 0, n]), &[]);
        let (a, b) = (requester(1), requester(2));
        let mut shares = SentShares::default();
        shares.charge(a, 64, now);
        shares.charge(b, 16, now);
        assert!(shares.of(a, now) > shares.of(b, now));
        let later = now + 2 * HALF_LIFE;
        assert_eq!(shares.of(a, later), shares.of(b, now));
        shares.charge(b, 1, now + 60 * HALF_LIFE);
        assert_eq!(shares.len(), 1);
        for n in 0..=255 {
            shares.charge(requester(n), 1, now);
        }
        assert!(shares.len() <= MAX_PEERS);
    }
}
