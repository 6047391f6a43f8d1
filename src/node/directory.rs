//! The peers of the swarm, and where each may answer.

mod naming;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::Instant,
};

use crate::{
    catalog::OwnerSite,
    id::{check_name, PeerId},
    protocol::{Candidate, PeerRecord, PeerState, MAX_CANDIDATES},
    tenure::Tenures,
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

/// The peers that are here, by what a tracker says or by what they say themselves,
/// without this one.
#[derive(Debug)]
pub struct Directory {
    me: PeerId,
    /// What this node asks to be called.
    own_claim: String,
    own_name: Arc<str>,
    interfaces: Interfaces,
    /// Where the tracker answered, which is where peers of its host are.
    tracker_at: Option<IpAddr>,
    /// Whether it speaks for this node now.
    is_registered: bool,
    peers: BTreeMap<PeerId, MemberRecord>,
    tenures: Tenures,
    /// Since when this node has its name, which no other claims, without a tracker.
    own_since: Option<Instant>,
    /// The same, unless somebody has come or gone since.
    settled: Option<Instant>,
    /// When names were settled last.
    looked: Option<Instant>,
}

#[derive(Debug)]
struct MemberRecord {
    /// With the name that is shown.
    record: PeerRecord,
    /// The name that it goes by elsewhere.
    claim: String,
    /// Whether the tracker speaks for it now.
    vouched: bool,
    /// Whether a tracker ever did.
    listed: bool,
    /// Where it was seen, whatever else it claims.
    site: Option<OwnerSite>,
    /// Since when it has its name, which no other claims, by its own word.
    since: Option<Instant>,
}

impl MemberRecord {
    /// Where it is, as far as that is told.
    pub fn address(&self, tracker: Option<IpAddr>) -> IpAddr {
        let at = match self.record.candidates.first() {
            Some(Candidate::At(at)) => Some(at.ip()),
            Some(Candidate::WithTracker { .. }) => tracker,
            None => None,
        };
        at.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// What a peer's own word has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    Nothing,
    /// Where it may be dialled, or whether it is doubted.
    Whereabouts,
    /// It is new, or has another name.
    News,
}

impl Directory {
    pub fn new(me: PeerId, name: &str, interfaces: Interfaces) -> Self {
        Self {
            me,
            own_claim: name.into(),
            own_name: name.into(),
            interfaces,
            tracker_at: None,
            is_registered: false,
            peers: BTreeMap::new(),
            tenures: Tenures::new(MAX_NAMES_KEPT),
            own_since: None,
            settled: None,
            looked: None,
        }
    }

    /// A tracker that answered at `at` calls this node `name`, and begins to name
    /// all peers that are here.
    pub fn handle_registered(&mut self, at: IpAddr, name: &str) {
        self.tracker_at = Some(at);
        self.own_claim = name.into();
        self.handle_tracker_lost();
        self.is_registered = true;
        self.name_all();
    }

    /// No tracker speaks for anybody now. Says whether somebody has another name by that.
    pub fn handle_tracker_lost(&mut self) -> bool {
        self.is_registered = false;
        for known in self.peers.values_mut() {
            known.vouched = false;
        }
        self.name_all()
    }

    /// No tracker speaks for these any more, while one does for others. Says whether
    /// somebody has another name by that.
    pub fn handle_unvouched(&mut self, peers: &[PeerId]) -> bool {
        for peer in peers {
            if let Some(known) = self.peers.get_mut(peer) {
                known.vouched = false;
            }
        }
        self.name_all()
    }

    /// Trackers call this node `name` now. Says whether somebody has another name by that.
    pub fn handle_own_name(&mut self, name: &str) -> bool {
        self.own_claim = name.into();
        self.name_all()
    }

    /// This machine's interfaces are others now.
    pub fn handle_interfaces(&mut self, interfaces: Interfaces) {
        self.interfaces = interfaces;
    }

    /// Takes what the tracker says of a peer. Says whether it is here by that, and
    /// whether that is news.
    pub fn handle_record(&mut self, mut record: PeerRecord) -> (bool, bool) {
        let known = self.peers.get(&record.peer);
        if record.peer == self.me || (known.is_none() && self.peers.len() >= MAX_PEERS) {
            return (false, false);
        }
        // It becomes a directory of the database: a tracker may be anybody's.
        if check_name(&record.name).is_err() {
            return (false, false);
        }
        // The first is where the tracker saw it.
        let mut count = 0;
        record.candidates.retain(|candidate| {
            count += 1;
            count == 1 || self.is_believed(candidate)
        });
        record.candidates.truncate(MAX_CANDIDATES + 1);
        let peer = record.peer;
        // The first is what the tracker has seen.
        let site = match record.candidates.first() {
            Some(Candidate::At(at)) => Some(at.ip()),
            Some(Candidate::WithTracker { .. }) => self.tracker_at,
            None => None,
        };
        let known = MemberRecord {
            claim: record.name.clone(),
            record,
            vouched: true,
            listed: true,
            site: site.map(OwnerSite::from),
            since: None,
        };
        let told = known.record.clone();
        let before = self.peers.insert(peer, known);
        let is_same = before.is_some_and(|before| {
            let before = PeerRecord {
                name: before.claim,
                ..before.record
            };
            before == told
        });
        let is_renamed = self.name_all();
        (true, is_renamed || !is_same)
    }

    /// Whether a peer may be there by its own word, which may name anybody: if that is near.
    fn is_believed(&self, candidate: &Candidate) -> bool {
        match candidate {
            Candidate::At(at) => self.is_near(at),
            Candidate::WithTracker { .. } => true,
        }
    }

    /// Whether `at` is in this home's networks.
    pub fn is_near(&self, at: &SocketAddr) -> bool {
        is_near(at.ip(), &self.interfaces.subnets)
    }

    /// A peer that no tracker vouches for has answered, or spoken, from `at`.
    pub fn handle_met(&mut self, peer: PeerId, name: String, at: SocketAddr) -> MemberChange {
        let met = self.peers.values().filter(|known| !known.listed).count();
        let candidate = Candidate::At(at);
        let Some(known) = self.peers.get_mut(&peer) else {
            if peer == self.me || met >= MAX_MET || self.peers.len() >= MAX_PEERS {
                return MemberChange::Nothing;
            }
            let record = PeerRecord {
                peer,
                name: name.clone(),
                state: PeerState::Up,
                candidates: vec![candidate],
            };
            let known = MemberRecord {
                record,
                claim: name,
                vouched: false,
                listed: false,
                site: Some(at.ip().into()),
                since: None,
            };
            self.peers.insert(peer, known);
            self.name_all();
            return MemberChange::News;
        };
        if known.vouched {
            return MemberChange::Nothing;
        }
        known.site = Some(at.ip().into());
        let mut change = MemberChange::Nothing;
        if std::mem::replace(&mut known.record.state, PeerState::Up) != PeerState::Up {
            change = MemberChange::Whereabouts;
        }
        let candidates = &mut known.record.candidates;
        if !candidates.contains(&candidate) {
            candidates.insert(0, candidate);
            candidates.truncate(MAX_CANDIDATES + 1);
            change = MemberChange::Whereabouts;
        }
        if known.claim != name {
            known.claim = name;
            self.name_all();
            change = MemberChange::News;
        }
        change
    }

    /// A peer that no tracker vouches for announces itself at `addresses`. Says whether
    /// that is news.
    pub fn handle_sighting(&mut self, peer: PeerId, addresses: &[SocketAddr]) -> bool {
        let Some(known) = self.peers.get_mut(&peer).filter(|known| !known.vouched) else {
            return false;
        };
        let candidates = &mut known.record.candidates;
        let count = candidates.len();
        for address in addresses {
            let candidate = Candidate::At(*address);
            if !candidates.contains(&candidate) {
                candidates.insert(0, candidate);
            }
        }
        let is_news = candidates.len() > count;
        candidates.truncate(MAX_CANDIDATES + 1);
        is_news
    }

    /// A peer that no tracker vouches for does not answer. Says whether that is news.
    pub fn handle_doubt(&mut self, peer: PeerId) -> bool {
        let known = self.peers.get_mut(&peer).filter(|known| !known.vouched);
        known.is_some_and(|known| {
            std::mem::replace(&mut known.record.state, PeerState::Suspect) != PeerState::Suspect
        })
    }

    /// Forgets a peer that is gone. Says whether it was known.
    pub fn handle_gone(&mut self, peer: PeerId) -> bool {
        let was_known = self.peers.remove(&peer).is_some();
        if was_known {
            self.name_all();
        }
        was_known
    }

    /// The networks that this machine is on.
    pub fn subnets(&self) -> &[Subnet] {
        &self.interfaces.subnets
    }

    /// The name under which this node is shown.
    pub fn own_name(&self) -> &Arc<str> {
        &self.own_name
    }

    /// Whether the tracker speaks for `peer` now.
    pub fn is_vouched(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|known| known.vouched)
    }

    /// Where `peer` was seen.
    pub fn site(&self, peer: PeerId) -> Option<OwnerSite> {
        self.peers.get(&peer)?.site
    }

    pub fn get(&self, peer: PeerId) -> Option<&PeerRecord> {
        self.peers.get(&peer).map(|known| &known.record)
    }

    /// The name by which `peer` calls itself.
    pub fn claim(&self, peer: PeerId) -> Option<&str> {
        self.peers.get(&peer).map(|known| &*known.claim)
    }

    /// The peers by id.
    pub fn iter(&self) -> impl Iterator<Item = &PeerRecord> {
        self.peers.values().map(|known| &known.record)
    }

    /// Of how many it is not doubted that they are here.
    pub fn count_here(&self) -> usize {
        let is_up = |record: &&PeerRecord| record.state == PeerState::Up;
        self.iter().filter(is_up).count()
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

/// Names of nodes that are away: several times a home's. They are written to a card.
const MAX_NAMES_KEPT: usize = 256;
/// Four times what a tracker takes.
const MAX_PEERS: usize = 1024;
/// Of them, those that no tracker has ever named: a home's, or a small venue's. A member
/// can make itself any number of identities.
const MAX_MET: usize = 128;
/// Addresses dialled side by side for one peer.
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

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
            ..Interfaces::default()
        };
        let mut directory = Directory::new(PeerId([0; 32]), "me", interfaces);
        directory.handle_registered("192.168.1.1".parse().unwrap(), "me");
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
        let mut directory = Directory::new(PeerId([1; 32]), "me", Interfaces::default());
        let (news, known, refused) = ((true, true), (true, false), (false, false));
        assert_eq!(directory.handle_record(record(1, vec![])), refused);
        assert_eq!(directory.handle_record(record(2, vec![])), news);
        assert_eq!(directory.handle_record(record(2, vec![])), known);
        for name in ["", "a/b", "a\nOK", ".."] {
            let name = name.to_owned();
            let odd = PeerRecord {
                name,
                ..record(3, vec![])
            };
            assert_eq!(directory.handle_record(odd), refused);
        }
        assert_eq!(directory.iter().count(), 1);
    }

    #[test]
    fn one_that_is_far_is_dialled_where_the_tracker_saw_it_only() {
        let mut directory = Directory::new(PeerId([0; 32]), "me", Interfaces::default());
        let far = ["198.51.100.1:1", "203.0.113.9:1", "192.168.1.9:1"];
        directory.handle_record(record(1, far.map(at).to_vec()));
        let mut addresses = directory.addresses(PeerId([1; 32]));
        addresses.sort_unstable();
        let expected = ["192.168.1.9:1", "198.51.100.1:1"].map(|at| at.parse().unwrap());
        assert_eq!(addresses, expected);
    }

    fn address(n: u8) -> SocketAddr {
        ([10, 0, 0, n], 4670).into()
    }

    #[test]
    fn no_two_are_shown_by_one_name_and_a_tracker_has_the_last_word() {
        let mut directory = Directory::new(PeerId([5; 32]), "kitchen", Interfaces::default());
        let names = |directory: &Directory| -> Vec<String> {
            let others = directory.iter().map(|record| record.name.clone());
            others.chain([directory.own_name().to_string()]).collect()
        };
        let mut met = |peer: u8, name: &str| {
            directory.handle_met(PeerId([peer; 32]), name.into(), address(peer))
        };
        assert_eq!(met(7, "kitchen"), MemberChange::News);
        assert_eq!(met(7, "kitchen"), MemberChange::Nothing);
        assert_eq!(met(9, "kitchen-2"), MemberChange::News);
        assert_eq!(met(3, "kitchen"), MemberChange::News);
        let by_id = ["kitchen", "kitchen-4", "kitchen-2", "kitchen-3"];
        assert_eq!(names(&directory), by_id);
        directory.handle_registered(address(1).ip(), "kitchen");
        assert_eq!(directory.own_name().as_ref(), "kitchen");
        let named = PeerRecord {
            name: "kitchen-7".into(),
            ..record(7, vec![at("10.0.0.7:4670")])
        };
        assert_eq!(directory.handle_record(named), (true, true));
        let with_tracker = ["kitchen-3", "kitchen-7", "kitchen-2", "kitchen"];
        assert_eq!(names(&directory), with_tracker);
        assert!(directory.handle_tracker_lost());
        let after = ["kitchen", "kitchen-7", "kitchen-2", "kitchen-3"];
        assert_eq!(names(&directory), after);
    }

    #[test]
    fn so_many_are_believed_without_a_tracker() {
        let mut directory = Directory::new(PeerId([0; 32]), "me", Interfaces::default());
        for n in 1..=200 {
            directory.handle_met(PeerId([n; 32]), "x".into(), address(n));
        }
        assert_eq!(directory.iter().count(), MAX_MET);
        assert_eq!(directory.handle_record(record(250, vec![])), (true, true));
    }

    #[test]
    fn where_a_peer_speaks_from_is_dialled_first() {
        let mut directory = Directory::new(PeerId([0; 32]), "me", Interfaces::default());
        let peer = PeerId([1; 32]);
        directory.handle_record(record(1, vec![at("10.0.0.1:4670")]));
        let moved = directory.handle_met(peer, "peer-1".into(), address(9));
        assert_eq!(moved, MemberChange::Nothing, "the tracker knows");
        directory.handle_tracker_lost();
        let moved = directory.handle_met(peer, "peer-1".into(), address(9));
        assert_eq!(moved, MemberChange::Whereabouts);
        assert_eq!(directory.addresses(peer), [address(9), address(1)]);
    }
}
