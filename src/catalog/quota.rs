//! How much of this machine's memory the catalogues of others may take, and whose
//! gives way.
//!
//! A catalogue is as large as its owner makes it, and identities cost nothing. So what
//! is shared out is bytes, and it is shared between [`OwnerSite`]s first: the largest owner
//! of the site that has most gives way, until the rest fits. A site that has no more
//! than its fair part, all divided by the number of sites, never does. That is decided by
//! what has come; what is likely to come only says which is first of those that have more.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use minicbor::{Decode, Encode};

use crate::id::PeerId;

/// A share of memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryQuota {
    /// Of all owners together.
    pub all: usize,
    /// Of one.
    pub one: usize,
}

/// Where an owner is. A member can make itself any number of identities, but has to
/// receive at an address what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum OwnerSite {
    #[n(0)]
    V4(#[n(0)] Ipv4Addr),
    /// A network of IPv6, since a machine may take any address of it.
    #[n(1)]
    V6(#[n(0)] [u16; 4]),
}

impl From<IpAddr> for OwnerSite {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// What one owner takes.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    pub owner: PeerId,
    /// Where it is, as far as that is known.
    pub site: Option<OwnerSite>,
    pub is_here: bool,
    pub takes: Weight,
    /// Without the version that is being replaced, if one is.
    pub without_older: Option<Weight>,
}

/// What something takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// As much of it as has come.
    pub counted: usize,
    /// Once it is whole, if the rest is like that. No less than what has come.
    pub likely: usize,
}

impl Weight {
    /// Of what is whole.
    pub fn of(bytes: usize) -> Self {
        Self {
            counted: bytes,
            likely: bytes,
        }
    }
}

/// What gives way for all to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivesWay {
    /// The version that is being replaced, in favour of the one that comes.
    Older(PeerId),
    /// What comes of the owner's, or else what is here.
    Newest(PeerId),
}

impl MemoryQuota {
    /// The share of a machine with so many bytes of memory.
    pub fn of(memory: u64) -> Self {
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let all = (memory / PART_OF_ALL).clamp(LEAST, MOST);
        let one = (memory / PART_OF_ONE).clamp(LIBRARY, MOST_OF_ONE);
        Self {
            all,
            one: one.min(all / 2),
        }
    }

    /// What gives way for all to fit since `newcomer` has grown; nothing where they do.
    ///
    /// While a catalogue is replaced, both versions are here. The older one is let go
    /// where that is enough, or its owner's turn to give way has come and the new one
    /// could stay: or an owner near its part could never change its catalogue.
    pub fn what_gives_way(&self, holdings: &[Holding], newcomer: PeerId) -> Option<GivesWay> {
        let owner = self.who_yields(holdings, newcomer)?;
        let next_without_older = |of: PeerId, takes: fn(Weight) -> Weight| {
            let mut after = holdings.to_vec();
            let holding = after.iter_mut().find(|holding| holding.owner == of)?;
            holding.takes = takes(holding.without_older?);
            Some(self.who_yields(&after, newcomer))
        };
        let is_absent = holdings.iter().any(|h| h.owner == owner && !h.is_here);
        let whole = |weight: Weight| Weight::of(weight.likely);
        if !is_absent && next_without_older(newcomer, whole) == Some(None) {
            return Some(GivesWay::Older(newcomer));
        }
        match next_without_older(owner, |weight| weight) {
            Some(next) if next != Some(owner) => Some(GivesWay::Older(owner)),
            _ => Some(GivesWay::Newest(owner)),
        }
    }

    /// What owners that are away may take of all.
    pub fn away(self) -> usize {
        self.all / PART_OF_AWAY
    }

    /// The share of the disk for catalogues whose owners are away, or may go: no more than
    /// memory has for them. Where everybody near is a member, and as many members as it
    /// likes, a quarter of that.
    pub fn on_disk(self, is_open: bool) -> Self {
        let all = self.away().min(MOST_ON_DISK);
        let all = if is_open { all / 4 } else { all };
        Self { all, one: all / 2 }
    }

    /// The owner that gives way for all to fit; none where they do. Owners that are not
    /// here go first, and between equals `newcomer`. An owner is spared where its site has
    /// no more than its part, or itself no more than its equal part of that.
    pub fn who_yields(&self, holdings: &[Holding], newcomer: PeerId) -> Option<PeerId> {
        let holdings = holdings.iter().filter(|holding| holding.takes.counted > 0);
        let total: usize = holdings.clone().map(|h| h.takes.counted).sum();
        if total <= self.all {
            return None;
        }
        let order = |holding: &&Holding| (holding.takes.likely, holding.owner == newcomer);
        let absent = holdings.clone().filter(|holding| !holding.is_here);
        if let Some(absent) = absent.max_by_key(order) {
            return Some(absent.owner);
        }
        let mut sites: BTreeMap<Option<OwnerSite>, At> = BTreeMap::new();
        for holding in holdings.clone() {
            let site = sites.entry(holding.site).or_default();
            site.owners += 1;
            site.counted += holding.takes.counted;
            site.likely += holding.takes.likely;
            site.is_newcomers |= holding.owner == newcomer;
        }
        let part = self.all / sites.len().max(1);
        let over = sites.iter().filter(|(_, at)| at.counted > part);
        let (site, at) = over.max_by_key(|(_, at)| (at.likely, at.is_newcomers))?;
        let part = part / at.owners.max(1);
        let there = holdings.filter(|h| h.site == *site && h.takes.counted > part);
        Some(there.max_by_key(order)?.owner)
    }
}

/// What the owners at one site take.
#[derive(Default)]
struct At {
    owners: usize,
    counted: usize,
    likely: usize,
    is_newcomers: bool,
}

/// An eighth: the rest is the player's, the cache's in the kernel, and the system's.
const PART_OF_ALL: usize = 8;
/// A quarter of that.
const PART_OF_ONE: usize = 4 * PART_OF_ALL;
/// A library of 80,000 tracks, on the wire or in memory: what one may have on the
/// smallest Pi, too, as long as that is no more than half of all.
const LIBRARY: usize = 24 << 20;
/// Some 30,000 tracks, on whatever machine.
const LEAST: usize = 8 << 20;
/// Three million tracks; an owner that lists more means ill.
const MOST: usize = 1 << 30;
/// A quarter: most of what is listed is to be of owners that are here.
const PART_OF_AWAY: usize = 4;
/// Half a million tracks.
const MOST_ON_DISK: usize = 64 << 20;
/// The most entries that a catalogue may have, as they usually are.
const MOST_OF_ONE: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_share_grows_with_the_machine_and_one_library_fits_the_smallest() {
        for (memory, all, one) in [
            (0, 8, 4),
            (64, 8, 4),
            (384, 48, 24),
            (512, 64, 24),
            (1024, 128, 32),
            (8192, 1024, 256),
            (1 << 20, 1024, 256),
        ] {
            let quota = MemoryQuota::of(memory * MIB);
            let expected = MemoryQuota {
                all: all << 20,
                one: one << 20,
            };
            assert_eq!(quota, expected, "{memory} MiB");
        }
    }

    #[test]
    fn on_disk_is_what_memory_has_for_owners_that_are_away() {
        for (memory, is_open, kib) in [
            (64, false, 2048),
            (512, false, 16 << 10),
            (8192, false, 64 << 10),
            (512, true, 4 << 10),
            (8192, true, 16 << 10),
        ] {
            let quota = MemoryQuota::of(memory * MIB).on_disk(is_open);
            assert_eq!(quota.all, kib << 10, "{memory} MiB");
            assert!(quota.one <= quota.all / 2);
        }
    }

    fn holding(n: u8, site: u8, bytes: usize) -> Holding {
        Holding {
            owner: PeerId([n; 32]),
            site: Some(IpAddr::from([10, 0, 0, site]).into()),
            is_here: true,
            takes: Weight::of(bytes),
            without_older: None,
        }
    }

    #[test]
    fn the_absent_go_first_then_the_largest_of_the_fullest_site_and_of_equals_the_newcomer() {
        let quota = MemoryQuota { all: 100, one: 50 };
        let yields = |holdings: &[Holding], newcomer| {
            quota
                .who_yields(holdings, PeerId([newcomer; 32]))
                .map(|owner| owner.0[0])
        };
        let mut all = vec![holding(1, 1, 50), holding(2, 2, 50)];
        assert_eq!(yields(&all, 2), None);
        all.push(holding(3, 3, 1));
        assert_eq!(yields(&all, 2), Some(2));
        assert_eq!(yields(&all, 1), Some(1));
        // Ten identities at one address are one.
        all.extend((10..20).map(|n| holding(n, 9, 6)));
        assert_eq!(yields(&all, 15), Some(15));
        all.push(Holding {
            is_here: false,
            ..holding(4, 4, 1)
        });
        assert_eq!(yields(&all, 15), Some(4));
    }

    #[test]
    fn the_older_version_gives_way_where_the_new_one_can_stay() {
        let quota = MemoryQuota { all: 100, one: 50 };
        let gives_way =
            |holdings: &[Holding], newcomer| quota.what_gives_way(holdings, PeerId([newcomer; 32]));
        let replacing = |n, older: usize, newer: usize| Holding {
            without_older: Some(Weight::of(newer)),
            ..holding(n, n, older + newer)
        };
        let older = |n| Some(GivesWay::Older(PeerId([n; 32])));
        let newest = |n| Some(GivesWay::Newest(PeerId([n; 32])));
        assert_eq!(
            gives_way(&[replacing(1, 40, 9), holding(2, 2, 50)], 1),
            None
        );
        assert_eq!(
            gives_way(&[replacing(1, 40, 40), holding(2, 2, 50)], 1),
            older(1)
        );
        // Its own goes before a larger one of another's.
        assert_eq!(
            gives_way(&[replacing(1, 30, 30), holding(2, 2, 65)], 1),
            older(1)
        );
        // What would be too large itself is not taken for what is here.
        assert_eq!(
            gives_way(&[replacing(1, 40, 60), holding(2, 2, 50)], 1),
            newest(1)
        );
        // Others' growth costs the largest its older version first, too.
        let three = [replacing(1, 40, 30), holding(2, 2, 20), holding(3, 3, 20)];
        assert_eq!(gives_way(&three, 3), older(1));
    }

    #[test]
    fn a_machine_is_one_site_whatever_it_calls_itself() {
        let site = |text: &str| OwnerSite::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(site("10.0.0.1"), site("::ffff:10.0.0.1"));
        assert_ne!(site("10.0.0.1"), site("10.0.0.2"));
        assert_eq!(site("fd00::1"), site("fd00::2:3:4:5"));
        assert_ne!(site("fd00::1"), site("fd00:0:0:1::1"));
    }

    proptest! {
        /// However many identities others have, and however large: they fit in the end,
        /// and an owner at a site with a fair part stays.
        #[test]
        fn a_fair_part_is_nobodys_to_take(
            sizes in prop::collection::vec((0..6u8, 0..60usize, 0..99usize, any::<bool>()), 1..40),
            newcomer in 0..40u8,
        ) {
            let quota = MemoryQuota { all: 100, one: 50 };
            let mut holdings: Vec<Holding> = (0..)
                .zip(&sizes)
                .map(|(n, (site, bytes, more, is_here))| Holding {
                    is_here: *is_here,
                    takes: Weight {
                        counted: *bytes,
                        likely: bytes + more,
                    },
                    ..holding(n, *site, *bytes)
                })
                .collect();
            let here = |holdings: &[Holding], site: Option<OwnerSite>| -> usize {
                let there = holdings.iter().filter(|h| h.is_here && h.site == site);
                there.map(|h| h.takes.counted).sum()
            };
            let sites = 6;
            while let Some(yields) = quota.who_yields(&holdings, PeerId([newcomer; 32])) {
                let gone = *holdings.iter().find(|h| h.owner == yields).unwrap();
                prop_assert!(!gone.is_here || here(&holdings, gone.site) > quota.all / sites);
                prop_assert!(!gone.is_here || holdings.iter().all(|h| h.is_here || h.takes.counted == 0));
                holdings.retain(|h| h.owner != yields);
            }
            prop_assert!(holdings.iter().map(|h| h.takes.counted).sum::<usize>() <= quota.all);
        }
    }
}
