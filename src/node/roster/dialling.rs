//! Where a peer is dialled, seen from this machine's own networks.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use crate::{
    catalog::OwnerSite,
    protocol::Candidate,
    util::near::{is_near, Subnet},
};

/// This machine's own interfaces, as far as finding others needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// The networks that they are on.
    pub subnets: Vec<Subnet>,
    /// The scopes (interface indices) on which a link-local address may lie.
    pub scopes: Vec<u32>,
    /// Whether none of them has an address by which others can be reached.
    pub are_down: bool,
    /// Those whose packets are too small for QUIC, and how large they are at most.
    pub narrow: Vec<(String, u32)>,
}

/// What it takes to know where to dial.
#[derive(Debug)]
pub struct Dialling {
    pub interfaces: Interfaces,
    /// Where the tracker answered, which is where peers of its host are.
    pub tracker_at: Option<IpAddr>,
}

impl Dialling {
    /// Whether `at` is in this home's networks.
    pub fn is_near(&self, at: &SocketAddr) -> bool {
        is_near(at.ip(), &self.interfaces.subnets)
    }

    /// Whether a peer may be there by its own word, which may name anybody: if that is near.
    pub fn is_believed(&self, candidate: &Candidate) -> bool {
        match candidate {
            Candidate::At(at) => self.is_near(at),
            Candidate::WithTracker { .. } => true,
        }
    }

    /// Where that is.
    pub fn site(&self, candidate: &Candidate) -> Option<OwnerSite> {
        let at = match candidate {
            Candidate::At(at) => Some(at.ip()),
            Candidate::WithTracker { .. } => self.tracker_at,
        };
        at.map(OwnerSite::from)
    }

    /// Where to dial, the likeliest first: the own network, then the others, and a link-local
    /// address on each interface.
    pub fn addresses(&self, candidates: &[Candidate]) -> Vec<SocketAddr> {
        let mut addresses: Vec<SocketAddr> = candidates
            .iter()
            .flat_map(|candidate| self.expand(*candidate))
            .collect();
        addresses.sort_by_key(|address| self.distance(address.ip()));
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        addresses
    }

    fn expand(&self, candidate: Candidate) -> Vec<SocketAddr> {
        let at = match candidate {
            Candidate::At(at) => at,
            Candidate::WithTracker { port } => match self.tracker_at {
                Some(tracker) => SocketAddr::new(tracker, port),
                None => return Vec::new(),
            },
        };
        match at.ip() {
            IpAddr::V6(ip) if ip.is_unicast_link_local() => {
                let on = |&scope| SocketAddrV6::new(ip, at.port(), 0, scope).into();
                self.interfaces.scopes.iter().map(on).collect()
            }
            _ => vec![at],
        }
    }

    /// How far away an address is likely to be.
    fn distance(&self, ip: IpAddr) -> u8 {
        let mut subnets = self.interfaces.subnets.iter();
        match ip {
            _ if ip.is_loopback() => 0,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => 2,
            _ if subnets.any(|subnet| subnet.contains(ip)) => 1,
            _ => 3,
        }
    }
}

/// Addresses dialled side by side for one peer.
const MAX_ADDRESSES: usize = 16;
