//! Which node has a name.
//!
//! The one rule, at a tracker and at a peer alike: the node that had a name here keeps it
//! until it has not been seen here for [`KEPT`]. Another that wants the name meanwhile is
//! called by a number, or is refused where a person chose its name.
//!
//! What must hold:
//! - A name is kept for one node, and a node keeps one name: taking another frees the first.
//! - The name of a node that is here is never forgotten.
//! - Of those that are away so many are remembered. Where there are more, nodes that had
//!   their name for a moment only make room first, then those of the address that has most,
//!   of these the one that was seen longest ago. So a member that makes itself identities
//!   crowds out its own.
//! - Time is counted while the place runs: a Pi does not know how long it was off, and keeps a
//!   name for too long rather than giving it away.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::id::{check_name, PeerId, MAX_NAME_BYTES};

/// See the module's description.
#[derive(Clone, Debug)]
pub struct Tenures {
    /// How many that are away are remembered.
    room: usize,
    nodes: BTreeMap<PeerId, Tenure>,
    names: BTreeMap<String, PeerId>,
    /// Whether a name is another's than when that was asked last.
    is_changed: bool,
}

#[derive(Clone, Debug)]
struct Tenure {
    name: String,
    address: IpAddr,
    presence: Presence,
    /// Whether it has had the name for longer than a moment.
    is_settled: bool,
}

#[derive(Clone, Copy, Debug)]
enum Presence {
    HereSince(Instant),
    /// It is away, and keeps its name until then.
    AwayUntil(Instant),
}

/// A tenure as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenureRecord {
    pub peer: PeerId,
    pub name: String,
    /// Where it was seen last.
    pub address: IpAddr,
    /// How long it had not been seen then, in seconds.
    pub unseen: u64,
    #[serde(default)]
    pub is_settled: bool,
}

impl Tenures {
    /// Remembers so many that are away.
    pub fn new(room: usize) -> Self {
        Self {
            room,
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            is_changed: false,
        }
    }

    /// Begins with what was written down. What cannot be is left out.
    pub fn recall(&mut self, records: &[TenureRecord], now: Instant) {
        *self = Self::new(self.room);
        for record in records.iter().take(2 * MAX_AWAY) {
            let left = KEPT.saturating_sub(Duration::from_secs(record.unseen));
            let is_taken = self.names.contains_key(&record.name);
            if left.is_zero() || is_taken || check_name(&record.name).is_err() {
                continue;
            }
            let tenure = Tenure {
                name: record.name.clone(),
                address: record.address,
                presence: Presence::AwayUntil(now + left),
                is_settled: record.is_settled,
            };
            if let Some(before) = self.nodes.insert(record.peer, tenure) {
                self.names.remove(&before.name);
            }
            self.names.insert(record.name.clone(), record.peer);
        }
        self.make_room();
    }

    /// What is to be written down.
    pub fn records(&self, now: Instant) -> Vec<TenureRecord> {
        let record = |(peer, tenure): (&PeerId, &Tenure)| TenureRecord {
            peer: *peer,
            name: tenure.name.clone(),
            address: tenure.address,
            unseen: match tenure.presence {
                Presence::HereSince(_) => 0,
                Presence::AwayUntil(until) => {
                    let left = until.saturating_duration_since(now);
                    KEPT.saturating_sub(left).as_secs()
                }
            },
            is_settled: tenure.is_settled_at(now),
        };
        self.nodes.iter().map(record).collect()
    }

    /// Whether a name has come or gone since that was asked last.
    pub fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    /// What `peer`, which wants the name `wanted`, is called.
    ///
    /// # Errors
    /// The address at which the node was seen for which the name is kept, when a person
    /// `chose` it.
    pub fn ask(
        &mut self,
        peer: PeerId,
        wanted: &str,
        chose: bool,
        now: Instant,
    ) -> Result<String, IpAddr> {
        self.forget(now);
        match self.keeper(wanted).filter(|keeper| *keeper != peer) {
            None if chose => return Ok(wanted.to_owned()),
            Some(keeper) if chose => return Err(self.nodes[&keeper].address),
            _ => {}
        }
        // A number stays what it is, or every lost connection would rename a speaker.
        let own = self.nodes.get(&peer).map(|tenure| &tenure.name);
        if let Some(own) = own.filter(|own| is_numbered(own, wanted)) {
            return Ok(own.clone());
        }
        let names = (1..).map(|number| numbered(wanted, number));
        let mut free = names.filter(|name| self.keeper(name).is_none_or(|other| other == peer));
        Ok(free.next().unwrap_or_else(|| wanted.to_owned()))
    }

    /// The node for which `name` is kept.
    pub fn keeper(&self, name: &str) -> Option<PeerId> {
        self.names.get(name).copied()
    }

    /// `peer` is here, at `address`, and has `name`, which is kept for no other.
    pub fn handle_here(&mut self, peer: PeerId, name: &str, address: IpAddr, now: Instant) {
        if self.keeper(name).is_some_and(|keeper| keeper != peer) {
            return;
        }
        let before = self.nodes.get(&peer).filter(|before| before.name == name);
        let (since, is_settled) = match before {
            Some(before) => match before.presence {
                Presence::HereSince(since) => (since, before.is_settled),
                Presence::AwayUntil(_) => (now, before.is_settled),
            },
            None => (now, false),
        };
        self.is_changed |= before.is_none();
        let tenure = Tenure {
            name: name.to_owned(),
            address,
            presence: Presence::HereSince(since),
            is_settled,
        };
        if let Some(before) = self.nodes.insert(peer, tenure) {
            self.names.remove(&before.name);
        }
        self.names.insert(name.to_owned(), peer);
    }

    /// `peer` is here, and has `name` by the word of a tracker, for which that is kept.
    pub fn give(&mut self, peer: PeerId, name: &str, address: IpAddr, now: Instant) {
        if let Some(before) = self.keeper(name).filter(|keeper| *keeper != peer) {
            self.remove(before);
        }
        self.handle_here(peer, name, address, now);
    }

    /// Those that are here.
    pub fn here(&self) -> impl Iterator<Item = PeerId> + '_ {
        let here = self.nodes.iter();
        here.filter(|(_, tenure)| matches!(tenure.presence, Presence::HereSince(_)))
            .map(|(peer, _)| *peer)
    }

    /// `peer` is here no more.
    pub fn handle_gone(&mut self, peer: PeerId, now: Instant) {
        if let Some(tenure) = self.nodes.get_mut(&peer) {
            if let Presence::HereSince(_) = tenure.presence {
                tenure.is_settled = tenure.is_settled_at(now);
                tenure.presence = Presence::AwayUntil(now + KEPT);
            }
        }
        self.make_room();
    }

    /// Forgets those that were not seen for too long.
    pub fn forget(&mut self, now: Instant) {
        let is_over =
            |tenure: &Tenure| matches!(tenure.presence, Presence::AwayUntil(until) if until <= now);
        let over = self.nodes.iter().filter(|(_, tenure)| is_over(tenure));
        for peer in over.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.remove(peer);
        }
    }

    fn remove(&mut self, peer: PeerId) {
        if let Some(tenure) = self.nodes.remove(&peer) {
            self.names.remove(&tenure.name);
            self.is_changed = true;
        }
    }

    /// Forgets some where more are away than are remembered.
    fn make_room(&mut self) {
        loop {
            let away = self.nodes.iter().filter_map(|(peer, tenure)| {
                let Presence::AwayUntil(until) = tenure.presence else {
                    return None;
                };
                Some((*peer, tenure, until))
            });
            let away: Vec<_> = away.collect();
            if away.len() <= self.room {
                return;
            }
            let mut crowds: BTreeMap<IpAddr, usize> = BTreeMap::new();
            for (_, tenure, _) in &away {
                *crowds.entry(tenure.address).or_default() += 1;
            }
            let order = |(peer, tenure, until): &(PeerId, &Tenure, Instant)| {
                let crowd = std::cmp::Reverse(crowds[&tenure.address]);
                (tenure.is_settled, crowd, *until, *peer)
            };
            let first = away.iter().min_by_key(|one| order(one));
            let Some(first) = first.map(|(peer, ..)| *peer) else {
                return;
            };
            self.remove(first);
        }
    }
}

impl Tenure {
    fn is_settled_at(&self, now: Instant) -> bool {
        let has_been_long = match self.presence {
            Presence::HereSince(since) => now.saturating_duration_since(since) >= SETTLED,
            Presence::AwayUntil(_) => false,
        };
        self.is_settled || has_been_long
    }
}

/// The `number`th name that a peer with the default name `base` tries:
/// `base`, `base-2`, `base-3` and so on, shortened where it would be too long.
pub fn numbered(base: &str, number: u32) -> String {
    if number <= 1 {
        return base.to_owned();
    }
    let suffix = format!("-{number}");
    let mut end = base.len().min(MAX_NAME_BYTES - suffix.len());
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &base[..end])
}

/// Whether `name` is `base` or came from it by [`numbered`].
pub fn is_numbered(name: &str, base: &str) -> bool {
    let number = name.rsplit_once('-').and_then(|(_, n)| n.parse().ok());
    name == base || number.is_some_and(|number| name == numbered(base, number))
}

/// A speaker that is lent, or is mended, comes back within a month.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// A node that had a name for longer had not only come to take it.
pub const SETTLED: Duration = Duration::from_secs(600);
/// As many as can be here; some 150 bytes each.
pub const MAX_AWAY: usize = 1024;

#[cfg(test)]
mod tests;
