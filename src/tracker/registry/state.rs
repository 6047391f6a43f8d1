//! What the registry remembers about connections and members.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{ConnId, NewsPosition};
use crate::{
    id::PeerId,
    protocol::{Candidate, PeerRecord, PeerState, Registration},
};

#[derive(Debug)]
pub struct RegisteredConnection {
    pub peer: PeerId,
    /// Where it comes from.
    pub address: IpAddr,
    pub stage: ConnectionStage,
    /// How far it has been told of what changed.
    pub told: NewsPosition,
}

#[derive(Debug)]
pub enum ConnectionStage {
    /// It has not registered yet and must until then.
    Silent { until: Instant },
    /// Somebody else may have what it wants.
    Waiting(Box<Claim>),
    /// It holds its peer's membership.
    Registered,
}

/// A registration that waits for its turn.
#[derive(Debug)]
pub struct Claim {
    pub registration: Registration,
    pub probe: LivenessProbe,
}

/// A question to a connection whether it is still there.
#[derive(Clone, Copy, Debug)]
pub struct LivenessProbe {
    pub holder: ConnId,
    pub nonce: u64,
    pub until: Instant,
}

impl RegisteredConnection {
    /// The probe that it waits for.
    pub fn probe(&self) -> Option<&LivenessProbe> {
        match &self.stage {
            ConnectionStage::Waiting(claim) => Some(&claim.probe),
            ConnectionStage::Silent { .. } | ConnectionStage::Registered => None,
        }
    }

    /// When its stage ends by itself.
    pub fn until(&self) -> Option<Instant> {
        match &self.stage {
            ConnectionStage::Silent { until } => Some(*until),
            ConnectionStage::Waiting(claim) => Some(claim.probe.until),
            ConnectionStage::Registered => None,
        }
    }
}

/// A peer that the others are told about.
#[derive(Debug)]
pub struct RegisteredMember {
    /// Nobody else's.
    pub name: String,
    pub address: IpAddr,
    pub candidates: Vec<Candidate>,
    /// A registered connection; `None` while the peer is suspect.
    pub conn: Option<ConnId>,
    pub lease_end: Instant,
    pub heads: Heads,
    /// When it became one.
    pub since: Instant,
}

/// How often a member announces a head, of which everybody hears.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// When the last one was due, one after the other.
    due: Instant,
}

impl Heads {
    pub fn new(now: Instant) -> Self {
        Self { due: now }
    }

    /// Whether this one is not too many.
    pub fn take(&mut self, now: Instant) -> bool {
        let may = self.due <= now + HEAD_INTERVAL * HEADS_AT_ONCE;
        if may {
            self.due = self.due.max(now) + HEAD_INTERVAL;
        }
        may
    }
}

/// A peer that scans announces every two seconds.
const HEAD_INTERVAL: Duration = Duration::from_secs(1);
/// Some more when it comes, is restarted, and outdoes an older self.
const HEADS_AT_ONCE: u32 = 16;

impl RegisteredMember {
    pub fn record(&self, peer: PeerId) -> PeerRecord {
        PeerRecord {
            peer,
            name: self.name.clone(),
            state: match self.conn {
                Some(_) => PeerState::Up,
                None => PeerState::Suspect,
            },
            candidates: self.candidates.clone(),
        }
    }
}

/// The keys of the entries for which `is` holds: a list, since what is done about
/// them changes the map.
pub fn keys_where<K: Copy + Ord, V>(map: &BTreeMap<K, V>, is: impl Fn(&V) -> bool) -> Vec<K> {
    let found = map.iter().filter(|(_, value)| is(value));
    found.map(|(&key, _)| key).collect()
}
