//! Who was sent how much lately, so that all get the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::PeerId;

/// Groups that each peer was sent lately: what lies back counts half as much with every
/// [`HALF_LIFE`].
#[derive(Debug, Default)]
pub(super) struct Shares {
    peers: BTreeMap<PeerId, Share>,
}

#[derive(Debug)]
struct Share {
    /// In 1024ths, so that what is halved does not vanish at once.
    parts: u64,
    since: Instant,
}

impl Share {
    fn at(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.since);
        let halves = age.as_millis() / HALF_LIFE.as_millis();
        let halves = u32::try_from(halves).unwrap_or(u32::MAX);
        self.parts.checked_shr(halves).unwrap_or(0)
    }
}

impl Shares {
    /// `peer` is going to be sent so many groups.
    pub(super) fn charge(&mut self, peer: PeerId, groups: u32, now: Instant) {
        self.settle(now);
        if !self.peers.contains_key(&peer) && self.peers.len() >= MAX_PEERS {
            let least = self.peers.iter().min_by_key(|(_, share)| share.parts);
            if let Some(least) = least.map(|(peer, _)| *peer) {
                self.peers.remove(&least);
            }
        }
        let share = self.peers.entry(peer).or_insert(Share {
            parts: 0,
            since: now,
        });
        share.parts = share.parts.saturating_add(u64::from(groups) * PARTS);
    }

    /// What it has got lately.
    pub(super) fn of(&self, peer: PeerId, now: Instant) -> u64 {
        self.peers.get(&peer).map_or(0, |share| share.at(now))
    }

    /// Halves what is due to be, and forgets whom that leaves nothing.
    fn settle(&mut self, now: Instant) {
        for share in self.peers.values_mut() {
            if now >= share.since + HALF_LIFE {
                (share.parts, share.since) = (share.at(now), now);
            }
        }
        self.peers.retain(|_, share| share.parts > 0);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }
}

const PARTS: u64 = 1024;

/// About a round of requests: who was greedy a minute ago is as good as anybody.
const HALF_LIFE: Duration = Duration::from_secs(2);

/// As many as there may be guests.
pub(super) const MAX_PEERS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_back_counts_less_and_is_forgotten() {
        let now = Instant::now();
        let (a, b) = (PeerId([1; 32]), PeerId([2; 32]));
        let mut shares = Shares::default();
        shares.charge(a, 64, now);
        shares.charge(b, 16, now);
        assert!(shares.of(a, now) > shares.of(b, now));
        let later = now + 2 * HALF_LIFE;
        assert_eq!(shares.of(a, later), shares.of(b, now));
        shares.charge(b, 1, now + 60 * HALF_LIFE);
        assert_eq!(shares.len(), 1);
        for n in 0..=255 {
            shares.charge(PeerId([n; 32]), 1, now);
        }
        assert!(shares.len() <= MAX_PEERS);
    }
}
