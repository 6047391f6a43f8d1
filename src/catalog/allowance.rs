//! How many bytes of catalogues an owner may have fetched: a store that fills itself.
//!
//! Catching up is by state, so a peer that waits misses only what was outdated meanwhile.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::quota::{MemoryQuota, OwnerSite};
use crate::id::PeerId;

/// How a store fills itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filling {
    /// What it holds.
    pub most: u64,
    pub a_second: u64,
}

/// Bytes that are left; fewer than none where a page was larger than that.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    left: i64,
    at: Instant,
}

impl Allowance {
    pub fn full(rate: Filling, now: Instant) -> Self {
        let left = i64::try_from(rate.most).unwrap_or(i64::MAX);
        Self { left, at: now }
    }

    fn refill(&mut self, rate: Filling, now: Instant) {
        let micros = now.saturating_duration_since(self.at).as_micros();
        let gained = micros.saturating_mul(u128::from(rate.a_second)) / 1_000_000;
        // What is not a byte yet goes on being counted.
        if let Some(gained) = i64::try_from(gained).ok().filter(|gained| *gained > 0) {
            self.left = self.left.saturating_add(gained);
            self.at = now;
        }
        self.left = self.left.min(Self::full(rate, now).left);
    }

    /// When something may be asked for again: at once, or then.
    pub fn ready(&self, rate: Filling, now: Instant) -> Instant {
        match u64::try_from(1 - self.left) {
            Ok(missing @ 1..) => {
                let micros = missing.saturating_mul(1_000_000) / rate.a_second.max(1);
                now + Duration::from_micros(micros + 1)
            }
            _ => now,
        }
    }

    /// So many bytes are spent.
    pub fn spend(&mut self, rate: Filling, bytes: usize, now: Instant) {
        self.refill(rate, now);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.left = self.left.saturating_sub(bytes);
    }
}

/// The allowances of all owners, and of the sites that they are at.
#[derive(Debug)]
pub struct Allowances {
    owner: Filling,
    site: Filling,
    owners: BTreeMap<PeerId, Allowance>,
    sites: BTreeMap<Option<OwnerSite>, Allowance>,
}

impl Allowances {
    /// What a machine with this quota can have fetched. An owner's whole catalogue comes
    /// at once.
    pub fn new(quota: MemoryQuota) -> Self {
        let most = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        Self {
            owner: Filling {
                most: most(quota.one),
                a_second: OF_OWNER,
            },
            site: Filling {
                // So that owners without room are known soon.
                most: 2 * most(quota.all),
                a_second: OF_SITE,
            },
            owners: BTreeMap::new(),
            sites: BTreeMap::new(),
        }
    }

    /// What is fetched of an owner goes out to so many.
    pub fn set_receivers(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        self.owner.a_second = (OF_RECEIVERS / count).clamp(LEAST, OF_OWNER);
        self.site.a_second = 4 * self.owner.a_second;
    }

    /// When something of `owner`'s may be asked for: not before `now`.
    pub fn ready(&self, owner: PeerId, site: Option<OwnerSite>, now: Instant) -> Instant {
        let of = |allowance: Option<&Allowance>, rate| {
            allowance.map_or(now, |allowance| {
                let mut allowance = *allowance;
                allowance.refill(rate, now);
                allowance.ready(rate, now)
            })
        };
        let of_owner = of(self.owners.get(&owner), self.owner);
        of_owner.max(of(self.sites.get(&site), self.site))
    }

    /// So many bytes of `owner`'s have come.
    pub fn spend(&mut self, owner: PeerId, site: Option<OwnerSite>, bytes: usize, now: Instant) {
        spend(&mut self.owners, owner, self.owner, bytes, now);
        spend(&mut self.sites, site, self.site, bytes, now);
    }
}

fn spend<K: Ord>(
    of: &mut BTreeMap<K, Allowance>,
    key: K,
    rate: Filling,
    bytes: usize,
    now: Instant,
) {
    if of.len() >= MAX_SPENDERS && !of.contains_key(&key) {
        // An owner that has spent nothing for long begins anew.
        of.retain(|_, allowance| {
            allowance.refill(rate, now);
            allowance.left < Allowance::full(rate, now).left
        });
    }
    let allowance = of.entry(key).or_insert_with(|| Allowance::full(rate, now));
    allowance.spend(rate, bytes, now);
}

/// An owner that hashes its library changes a page every two seconds.
const OF_OWNER: u64 = 64 * 1024;
/// Of all owners at one address: new identities at the same address gain nothing.
const OF_SITE: u64 = 4 * OF_OWNER;
/// For what a tracker is given and everybody then fetches from it: a quarter of 100
/// Mbit/s.
const OF_RECEIVERS: u64 = 3 << 20;
/// A page of the usual size in 16 s.
const LEAST: u64 = 4 * 1024;
/// Owners that have spent something lately; more are kept only while they have.
const MAX_SPENDERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u16) -> PeerId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        PeerId(id)
    }

    fn site(n: u8) -> Option<OwnerSite> {
        Some(std::net::IpAddr::from([10, 0, 0, n]).into())
    }

    const QUOTA: MemoryQuota = MemoryQuota {
        all: 32 << 20,
        one: 8 << 20,
    };

    /// Bytes that come of `owner` when it has pages of 1 MiB at all times.
    fn greedy(owners: impl Fn(usize) -> (PeerId, Option<OwnerSite>), seconds: u64) -> u64 {
        let begin = Instant::now();
        let mut all = Allowances::new(QUOTA);
        let mut came = 0;
        for n in 0..seconds as usize * 100 {
            let now = begin + Duration::from_millis(n as u64 * 10);
            let (owner, site) = owners(n);
            if all.ready(owner, site, now) <= now {
                all.spend(owner, site, 1 << 20, now);
                came += 1 << 20;
            }
        }
        came
    }

    #[test]
    fn a_catalogue_comes_at_once_and_what_follows_slowly() {
        let came = greedy(|_| (id(1), site(1)), 64);
        assert_eq!(
            came,
            (8 << 20) + (4 << 20),
            "what it had and what it gained"
        );
    }

    #[test]
    fn new_identities_at_one_address_gain_nothing() {
        let came = greedy(|n| (id(n as u16), site(1)), 64);
        assert_eq!(came, (64 << 20) + (16 << 20));
    }

    #[test]
    fn an_owner_that_waits_is_told_until_when_and_others_do_not() {
        let now = Instant::now();
        let mut all = Allowances::new(QUOTA);
        all.spend(id(1), site(1), (8 << 20) + 65_536, now);
        let then = all.ready(id(1), site(1), now);
        assert!(then > now + Duration::from_secs(1) && then < now + Duration::from_secs(2));
        assert_eq!(all.ready(id(1), site(1), then), then);
        assert_eq!(all.ready(id(2), site(2), now), now);
        // With a thousand peers that fetch what it has, it may give less.
        all.set_receivers(1000);
        assert!(all.ready(id(1), site(1), now) > now + Duration::from_secs(15));
    }

    #[test]
    fn owners_that_have_spent_nothing_lately_take_no_memory() {
        let begin = Instant::now();
        let mut all = Allowances::new(QUOTA);
        for n in 0..4 * MAX_SPENDERS {
            let now = begin + Duration::from_secs(n as u64);
            all.spend(id(n as u16), site(1), 65_536, now);
        }
        assert!(all.owners.len() <= MAX_SPENDERS);
    }
}
