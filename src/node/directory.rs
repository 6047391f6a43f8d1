//! Who is in the swarm, and where each may answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, SocketAddrV6},
    time::{Duration, Instant},
};

use crate::{
    id::PeerId,
    near::Subnet,
    protocol::{check_name, Candidate, PeerRecord, MAX_CANDIDATES},
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
}

/// The peers that the tracker says are here, without this one.
#[derive(Debug)]
pub struct Directory {
    me: PeerId,
    interfaces: Interfaces,
    /// Where the tracker answered, which is where peers of its host are.
    tracker_at: Option<IpAddr>,
    peers: BTreeMap<PeerId, PeerRecord>,
    /// After a registration: those whom the tracker has not named yet, and
    /// until when it may.
    unconfirmed: Option<(BTreeSet<PeerId>, Instant)>,
}

impl Directory {
    pub fn new(me: PeerId, interfaces: Interfaces) -> Self {
        Self {
            me,
            interfaces,
            tracker_at: None,
            peers: BTreeMap::new(),
            unconfirmed: None,
        }
    }

    /// A tracker that answered at `at` begins to name everybody who is here.
    /// Who is known and not named by it before long is gone.
    pub fn handle_registered(&mut self, at: IpAddr, now: Instant) {
        self.tracker_at = Some(at);
        self.unconfirmed = Some((self.peers.keys().copied().collect(), now + CONFIRM_WITHIN));
    }

    /// This machine's interfaces are others now.
    pub fn handle_interfaces(&mut self, interfaces: Interfaces) {
        self.interfaces = interfaces;
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.unconfirmed.as_ref().map(|(_, until)| *until)
    }

    /// Forgets those whom the tracker did not name in time, and says who.
    pub fn handle_timeout(&mut self, now: Instant) -> BTreeSet<PeerId> {
        let over = self.unconfirmed.take_if(|(_, until)| now >= *until);
        let gone = over.map(|(peers, _)| peers).unwrap_or_default();
        self.peers.retain(|peer, _| !gone.contains(peer));
        gone
    }

    /// Takes what the tracker says of a peer. Says whether that is news.
    pub fn handle_record(&mut self, mut record: PeerRecord) -> bool {
        let known = self.peers.contains_key(&record.peer);
        if record.peer == self.me || (!known && self.peers.len() >= MAX_PEERS) {
            return false;
        }
        // It becomes a directory of the database: a tracker may be anybody's.
        if check_name(&record.name).is_err() {
            return false;
        }
        if let Some((unconfirmed, _)) = &mut self.unconfirmed {
            unconfirmed.remove(&record.peer);
        }
        record.candidates.truncate(MAX_CANDIDATES + 1);
        let news = self.peers.get(&record.peer) != Some(&record);
        self.peers.insert(record.peer, record);
        news
    }

    /// Forgets a peer that is gone. Says whether it was known.
    pub fn handle_gone(&mut self, peer: PeerId) -> bool {
        self.peers.remove(&peer).is_some()
    }

    pub fn get(&self, peer: PeerId) -> Option<&PeerRecord> {
        self.peers.get(&peer)
    }

    /// The peers by id.
    pub fn iter(&self) -> impl Iterator<Item = &PeerRecord> {
        self.peers.values()
    }

    /// Where to dial `peer`, the likeliest first: its own network, then the
    /// others, and a link-local address on each interface.
    pub fn addresses(&self, peer: PeerId) -> Vec<SocketAddr> {
        let Some(record) = self.get(peer) else {
            return Vec::new();
        };
        let mut addresses: Vec<SocketAddr> = record
            .candidates
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
        match ip {
            _ if ip.is_loopback() => 0,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => 2,
            _ if self
                .interfaces
                .subnets
                .iter()
                .any(|subnet| subnet.contains(ip)) =>
            {
                1
            }
            _ => 3,
        }
    }
}

/// A tracker names all at once, but one that was away knows nobody: a peer
/// rests up to 30 s before it tries again, and dialling takes up to 5 s.
const CONFIRM_WITHIN: Duration = Duration::from_secs(45);
/// Four times what a tracker takes.
const MAX_PEERS: usize = 1024;
/// Addresses dialled side by side for one peer.
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::PeerState;

    fn record(peer: u8, candidates: Vec<Candidate>) -> PeerRecord {
        let name = format!("peer-{peer}");
        PeerRecord {
            peer: PeerId([peer; 32]),
            name,
            state: PeerState::Up,
            candidates,
        }
    }

    fn at(text: &str) -> Candidate {
        Candidate::At(text.parse().unwrap())
    }

    #[test]
    fn the_own_network_is_dialled_first_and_link_local_on_each_interface() {
        let interfaces = Interfaces {
            subnets: vec![Subnet::new("192.168.1.5".parse().unwrap(), 24)],
            scopes: vec![2, 3],
            are_down: false,
        };
        let mut directory = Directory::new(PeerId([0; 32]), interfaces);
        directory.handle_registered("192.168.1.1".parse().unwrap(), Instant::now());
        directory.handle_record(record(
            1,
            vec![
                at("10.9.9.9:1"),
                at("[fe80::7]:1"),
                at("192.168.1.9:1"),
                Candidate::WithTracker { port: 2 },
            ],
        ));
        let addresses: Vec<String> = directory
            .addresses(PeerId([1; 32]))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            addresses,
            [
                "192.168.1.9:1",
                "192.168.1.1:2",
                "[fe80::7%2]:1",
                "[fe80::7%3]:1",
                "10.9.9.9:1"
            ]
        );
    }

    #[test]
    fn a_node_is_not_in_its_own_directory() {
        let mut directory = Directory::new(PeerId([1; 32]), Interfaces::default());
        assert!(!directory.handle_record(record(1, vec![])));
        assert!(directory.handle_record(record(2, vec![])));
        assert!(!directory.handle_record(record(2, vec![])), "nothing new");
        for name in ["", "a/b", "a\nOK", ".."] {
            let name = name.to_owned();
            let odd = PeerRecord {
                name,
                ..record(3, vec![])
            };
            assert!(!directory.handle_record(odd));
        }
        assert_eq!(directory.iter().count(), 1);
    }
}
