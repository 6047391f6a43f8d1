//! Admission of guests: the connections that others open, from the first packet on.
//!
//! Before its handshake a stranger costs a few kilobytes and a signature, so only
//! so many shake hands at once, few of them from one address; when it becomes
//! crowded, an address has to be proven first, which a forged one cannot. After
//! it, everybody is a member, and a member may be greedy or broken.
//!
//! What must hold:
//! - However many knock, with whatever ids, so many are in at most.
//! - A peer that comes too often takes its own places: its oldest connection goes.
//! - A peer in the tracker's list is not kept out by those that are not.
//!
//! Not here: the requests within a connection; see `provide` and `serving`.

use std::{collections::VecDeque, net::IpAddr};

use crate::id::PeerId;

/// Names a connection of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestId(pub u64);

/// What is done about a first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    /// Have it show that it is at its address.
    Retry,
    /// Not a word: an honest peer knocks again.
    Drop,
}

/// Decides about a connection attempt from `address`, while `others` shake hands.
pub fn admit(address: IpAddr, is_proven: bool, others: impl Iterator<Item = IpAddr>) -> Verdict {
    let (mut all, mut same) = (0, 0);
    for other in others {
        all += 1;
        same += usize::from(other == address);
    }
    match (all, same) {
        (PROVE_FROM.., _) if !is_proven => Verdict::Retry,
        (MAX_HANDSHAKES.., _) | (_, MAX_HANDSHAKES_OF_ONE..) => Verdict::Drop,
        _ => Verdict::Accept,
    }
}

/// The connections that others have opened.
#[derive(Debug, Default)]
pub struct Guests {
    /// The oldest first.
    open: VecDeque<(GuestId, PeerId)>,
}

impl Guests {
    /// Lets `peer` in, and names the one that is closed for it: itself, where no other may be.
    /// `is_listed` tells the peers that the tracker lists.
    pub fn handle_connected(
        &mut self,
        id: GuestId,
        peer: PeerId,
        is_listed: impl Fn(PeerId) -> bool,
    ) -> Option<GuestId> {
        self.open.push_back((id, peer));
        let strangers = || self.open.iter().filter(|(_, p)| !is_listed(*p));
        let own = self.open.iter().filter(|(_, p)| *p == peer);
        let goes = if own.clone().count() > MAX_OF_ONE {
            own.clone().next()
        } else if strangers().count() > MAX_STRANGERS || self.open.len() > MAX_GUESTS {
            strangers().next().or(self.open.back())
        } else {
            None
        };
        let (goes, _) = *goes?;
        self.handle_closed(goes);
        Some(goes)
    }

    /// The latest connection that `peer` has opened.
    pub fn latest_of(&self, peer: PeerId) -> Option<GuestId> {
        let mut latest = self.open.iter().rev();
        latest.find(|(_, p)| *p == peer).map(|(id, _)| *id)
    }

    /// A connection is no more.
    pub fn handle_closed(&mut self, id: GuestId) {
        self.open.retain(|(other, _)| *other != id);
    }
}

/// Handshakes at once. Each takes a Pi some 20 ms and a few kilobytes.
const MAX_HANDSHAKES: usize = 64;
/// Of one address: a host with some nodes on it, as a demonstration has.
const MAX_HANDSHAKES_OF_ONE: usize = 16;
/// So many at once are no household: from here on addresses have to be proven, at
/// the price of a round trip.
const PROVE_FROM: usize = 16;
/// Connections of one peer: one each way, and as many that it has lost and we have
/// not noticed yet.
const MAX_OF_ONE: usize = 4;
/// Connections of peers that the tracker does not list (yet).
const MAX_STRANGERS: usize = 32;
/// Connections in all. Each can make this node keep 64 KiB that nobody reads, and its part
/// of the send windows that nobody takes. Those of a venue's speakers close when they are idle.
pub const MAX_GUESTS: usize = 128;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    #[test]
    fn a_crowd_has_to_prove_its_addresses() {
        let ip = |n: usize| IpAddr::from([10, 0, (n / 256) as u8, n as u8]);
        let crowd = |n: usize| (0..n).map(ip);
        let me = ip(999);
        assert_eq!(admit(me, false, crowd(0)), Verdict::Accept);
        assert_eq!(admit(me, false, crowd(PROVE_FROM)), Verdict::Retry);
        assert_eq!(admit(me, true, crowd(PROVE_FROM)), Verdict::Accept);
        assert_eq!(admit(me, true, crowd(MAX_HANDSHAKES)), Verdict::Drop);
        let same = || std::iter::repeat_n(me, MAX_HANDSHAKES_OF_ONE);
        assert_eq!(admit(me, true, same()), Verdict::Drop);
        assert_eq!(admit(ip(1), true, same()), Verdict::Accept);
    }

    #[test]
    fn who_comes_too_often_takes_its_own_places() {
        let mut guests = Guests::default();
        let mut come = |n, who| guests.handle_connected(GuestId(n), peer(who), |_| true);
        assert_eq!(come(0, 2), None);
        for n in 1..=4 {
            assert_eq!(come(n, 1), None);
        }
        assert_eq!(come(5, 1), Some(GuestId(1)));
        assert_eq!(come(6, 1), Some(GuestId(2)));
        assert_eq!(come(7, 2), None);
    }

    #[test]
    fn strangers_make_room_for_who_is_listed() {
        let mut guests = Guests::default();
        let is_listed = |p: PeerId| p.0[0] >= 200;
        for n in 0..MAX_STRANGERS as u64 {
            assert_eq!(
                guests.handle_connected(GuestId(n), peer(n as u8), is_listed),
                None
            );
        }
        let goes = guests.handle_connected(GuestId(100), peer(100), is_listed);
        assert_eq!(goes, Some(GuestId(0)), "the oldest stranger");
        assert_eq!(
            guests.handle_connected(GuestId(101), peer(200), is_listed),
            None
        );
    }

    proptest! {
        #[test]
        fn nobody_gets_in_over_the_bounds(
            events in prop::collection::vec((any::<u8>(), 0..10u8), 0..600),
        ) {
            let mut guests = Guests::default();
            let mut inside: BTreeMap<GuestId, PeerId> = BTreeMap::new();
            for (n, (who, what)) in (0..).zip(events) {
                let id = GuestId(n);
                if what == 0 {
                    if let Some((&gone, _)) = inside.iter().nth(usize::from(who)) {
                        inside.remove(&gone);
                        guests.handle_closed(gone);
                    }
                    continue;
                }
                inside.insert(id, peer(who));
                if let Some(goes) = guests.handle_connected(id, peer(who), |p| p.0[0] < 80) {
                    prop_assert!(inside.remove(&goes).is_some());
                }
                let counted: BTreeSet<_> = guests.open.iter().map(|(id, _)| *id).collect();
                prop_assert_eq!(counted, inside.keys().copied().collect::<BTreeSet<_>>());
                let of_one = inside.values().filter(|p| **p == peer(who)).count();
                let strangers = inside.values().filter(|p| p.0[0] >= 80).count();
                prop_assert!(of_one <= MAX_OF_ONE && strangers <= MAX_STRANGERS);
                prop_assert!(inside.len() <= MAX_GUESTS);
            }
        }
    }
}
