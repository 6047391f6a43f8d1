//! What one tracker says.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    catalog::Head,
    id::PeerId,
    protocol::{Candidate, PeerRecord, MAX_CANDIDATES},
    tracker::registry::MAX_PEERS,
};

/// The peers that are here by a tracker's word, and the owners whose catalogues it has.
#[derive(Debug, Default)]
pub struct TrackerRoster {
    records: BTreeMap<PeerId, PeerRecord>,
    heads: BTreeMap<PeerId, HeadNo>,
}

/// Epoch and number of a head: the higher is the newer.
pub type HeadNo = (u64, u64);

impl TrackerRoster {
    pub fn handle_record(&mut self, mut record: PeerRecord) {
        record.candidates.truncate(MAX_CANDIDATES + 1);
        // A tracker takes no more, and one that says otherwise is not worth the memory.
        if self.records.len() < MAX_PEERS || self.records.contains_key(&record.peer) {
            self.records.insert(record.peer, record);
        }
    }

    pub fn handle_gone(&mut self, peer: PeerId) {
        self.records.remove(&peer);
        self.heads.remove(&peer);
    }

    pub fn handle_head(&mut self, head: &Head) {
        let no = (head.epoch, head.seq);
        if self.heads.len() < MAX_PEERS || self.heads.contains_key(&head.owner) {
            self.heads.insert(head.owner, no);
        }
    }

    /// It does not have the catalogue any more.
    pub fn handle_not_here(&mut self, owner: PeerId) {
        self.heads.remove(&owner);
    }

    pub fn record(&self, peer: PeerId) -> Option<&PeerRecord> {
        self.records.get(&peer)
    }

    /// The peers of this name: by an honest tracker at most one.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = PeerId> + 'a {
        let named = self
            .records
            .values()
            .filter(move |record| record.name == name);
        named.map(|record| record.peer)
    }

    pub fn head(&self, owner: PeerId) -> Option<HeadNo> {
        self.heads.get(&owner).copied()
    }

    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.records.keys().copied()
    }
}

/// `record` of a tracker that is reached at `at`, in words that do not need it.
pub fn reached_by(record: &PeerRecord, at: IpAddr) -> PeerRecord {
    let candidate = |candidate: &Candidate| match *candidate {
        Candidate::WithTracker { port } => Candidate::At(SocketAddr::new(at, port)),
        candidate @ Candidate::At(_) => candidate,
    };
    PeerRecord {
        candidates: record.candidates.iter().map(candidate).collect(),
        ..record.clone()
    }
}
