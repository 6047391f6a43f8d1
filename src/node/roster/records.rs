//! All records, and how many there may be.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use super::{
    contact::{PartedPeer, PresentPeer, RosterPeer},
    dialling::Dialling,
    Acquaintance,
};
use crate::id::PeerId;

/// A record a peer, without this node itself.
#[derive(Debug)]
pub struct Records {
    me: PeerId,
    peers: BTreeMap<PeerId, RosterPeer>,
    /// Grows with each peer that goes: the lowest is forgotten first.
    parted: u64,
}

impl Records {
    pub fn new(me: PeerId) -> Self {
        Self {
            me,
            peers: BTreeMap::new(),
            parted: 0,
        }
    }

    pub fn get(&self, peer: PeerId) -> Option<&RosterPeer> {
        self.peers.get(&peer)
    }

    pub fn get_mut(&mut self, peer: PeerId) -> Option<&mut RosterPeer> {
        self.peers.get_mut(&peer)
    }

    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &RosterPeer)> {
        self.peers.iter().map(|(peer, known)| (*peer, known))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (PeerId, &mut RosterPeer)> {
        self.peers.iter_mut().map(|(peer, known)| (*peer, known))
    }

    pub fn values(&self) -> impl Iterator<Item = &RosterPeer> {
        self.peers.values()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut RosterPeer> {
        self.peers.values_mut()
    }

    /// `peer`, if it is here.
    pub fn present(&self, peer: PeerId) -> Option<&PresentPeer> {
        self.get(peer)?.present()
    }

    /// The peers that are here, by id.
    pub fn here(&self) -> impl Iterator<Item = (PeerId, &PresentPeer)> {
        self.iter()
            .filter_map(|(peer, known)| Some((peer, known.present()?)))
    }

    /// Whether `peer` may be here, as far as there is room.
    pub fn has_place(&self, peer: PeerId) -> bool {
        let has_room = || self.here().count() < MAX_PRESENT;
        peer != self.me && (self.present(peer).is_some() || has_room())
    }

    /// The same, without a tracker.
    pub fn has_place_by_its_own_word(&self, peer: PeerId) -> bool {
        let met = self.here().filter(|(_, known)| !known.listed);
        let has_room = || met.count() < MAX_MET;
        self.has_place(peer) && (self.present(peer).is_some() || has_room())
    }

    /// What is known of `peer`, which has a place; it is due then if it is new.
    pub fn record_of(&mut self, peer: PeerId, due: Instant) -> &mut RosterPeer {
        let known = self.peers.entry(peer);
        known.or_insert_with(|| RosterPeer::new(due))
    }

    /// The hint that has to go before there is room for a record of `peer`.
    pub fn gives_way_to(&self, peer: PeerId) -> Option<PeerId> {
        if self.get(peer).is_some() || self.peers.len() < MAX_RECORDS {
            return None;
        }
        let hints = self.iter();
        let hints = hints.filter(|(_, known)| !known.is_here() && !known.is_asked);
        let last = hints.max_by_key(|(_, known)| known.due)?;
        Some(last.0)
    }

    /// What is known of `peer`, of which there is a hint; it is new if there is room.
    pub fn hinted(&mut self, peer: PeerId, due: Instant) -> Option<&mut RosterPeer> {
        let has_room = || self.get(peer).is_some() || self.peers.len() < MAX_RECORDS;
        if peer == self.me || !has_room() {
            return None;
        }
        Some(self.record_of(peer, due))
    }

    pub fn remove(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
    }

    /// `known` was here in an earlier life.
    pub fn recall(&mut self, known: &Acquaintance, due: Instant) {
        let no = self.next_parted();
        if let Some(peer) = self.hinted(known.peer, due) {
            peer.recall(known, no);
        }
    }

    /// `peer`, which was at `addresses`, is gone. Says whether it was here.
    pub fn part(&mut self, peer: PeerId, addresses: Vec<SocketAddr>, is_missed: bool) -> bool {
        let no = self.next_parted();
        let known = self.get_mut(peer);
        known.is_some_and(|known| known.part(addresses, no, is_missed))
    }

    fn next_parted(&mut self) -> u64 {
        self.parted += 1;
        self.parted
    }

    /// Forgets the oldest of the peers that are away, and those that never were here, after
    /// `see` has seen each, and whether it stays.
    pub fn forget(&mut self, mut see: impl FnMut(PeerId, &mut RosterPeer, bool)) {
        let parted = self.values().filter_map(RosterPeer::parted);
        let mut away: Vec<u64> = parted.map(|parted| parted.no).collect();
        away.sort_unstable();
        let extra = away.len().checked_sub(MAX_REMEMBERED);
        let oldest = extra.and_then(|n| away.get(n)).copied();
        let oldest = oldest.unwrap_or_default();
        self.peers.retain(|peer, known| {
            let is_remembered = known.parted().is_some_and(|parted| parted.no >= oldest);
            let stays = known.is_kept() || is_remembered;
            see(*peer, known, stays);
            stays
        });
    }

    /// The peers that are here, as they are remembered.
    pub fn acquaintances_here(&self, dialling: &Dialling) -> Vec<Acquaintance> {
        let acquaintance = |(peer, present): (PeerId, &PresentPeer)| {
            let mut addresses = dialling.addresses(&present.record.candidates);
            addresses.truncate(MAX_ADDRESSES);
            Acquaintance {
                peer,
                name: present.claim.clone(),
                addresses,
            }
        };
        self.here().take(MAX_REMEMBERED).map(acquaintance).collect()
    }

    /// The peers that were here lately and are not now, the latest first.
    pub fn absent(&self) -> Vec<Acquaintance> {
        let absent = self.iter();
        let absent = absent.filter_map(|(peer, known)| Some((peer, known, known.parted()?)));
        let mut absent: Vec<_> = absent.collect();
        absent.sort_unstable_by_key(|(_, _, parted)| std::cmp::Reverse(parted.no));
        let acquaintance = |(peer, known, parted): (PeerId, &RosterPeer, &PartedPeer)| {
            let (name, addresses) = (parted.name.clone(), known.hints.clone());
            Acquaintance {
                peer,
                name,
                addresses,
            }
        };
        absent.into_iter().map(acquaintance).collect()
    }
}

/// Four times what a tracker takes.
const MAX_PRESENT: usize = 1024;
/// Of them, those that no tracker has ever named: a home's, or a small venue's. A member
/// can make itself any number of identities.
pub const MAX_MET: usize = 128;
/// All that may be here, and as many hints as a neighbourhood gives.
pub const MAX_RECORDS: usize = MAX_PRESENT + 256;
/// A home's speakers, or a small venue's; some 20 KB on disk.
pub const MAX_REMEMBERED: usize = 64;
/// Of one that is remembered.
const MAX_ADDRESSES: usize = 4;
