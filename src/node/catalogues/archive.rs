//! Owners that are known here: their catalogues outlive their absence.
//!
//! An owner is known once it was here for ten minutes: then it is likely to be one of the
//! house, and to come back. A member that makes itself a new identity again and again leaves
//! nothing behind.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::id::PeerId;

/// See the module's description.
#[derive(Debug)]
pub struct Archive {
    known_after: Duration,
    owners: BTreeMap<PeerId, Owner>,
}

#[derive(Debug)]
struct Owner {
    /// Under which it is shown, or was last.
    name: Arc<str>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is here, and not known yet.
    Met {
        since: Instant,
    },
    /// It is here.
    Known,
    Away,
}

impl Archive {
    /// For owners that are known after so long.
    pub fn new(known_after: Duration) -> Self {
        Self {
            known_after,
            owners: BTreeMap::new(),
        }
    }

    pub fn handle_here(&mut self, owner: PeerId, now: Instant) {
        let met = || Owner {
            name: owner.to_string().into(),
            standing: Standing::Met { since: now },
        };
        let owner = self.owners.entry(owner).or_insert_with(met);
        if owner.standing == Standing::Away {
            owner.standing = Standing::Known;
        }
    }

    /// Says whether it is known.
    pub fn handle_gone(&mut self, owner: PeerId, now: Instant) -> bool {
        let Some(gone) = self.owners.get_mut(&owner) else {
            return false;
        };
        let is_known = match gone.standing {
            Standing::Met { since } => now >= since + self.known_after,
            Standing::Known | Standing::Away => true,
        };
        match is_known {
            true => gone.standing = Standing::Away,
            false => _ = self.owners.remove(&owner),
        }
        is_known
    }

    /// `owner` is shown as `name` now.
    pub fn handle_name(&mut self, owner: PeerId, name: &Arc<str>) {
        if let Some(owner) = self.owners.get_mut(&owner) {
            owner.name = name.clone();
        }
    }

    /// Forgets owners that are away unless this says that their catalogues are here.
    pub fn retain_away(&mut self, has_catalogue: impl Fn(PeerId) -> bool) {
        self.owners
            .retain(|peer, owner| owner.standing != Standing::Away || has_catalogue(*peer));
    }

    /// The owners that are away, and what they were called.
    pub fn away(&self) -> impl Iterator<Item = (PeerId, &Arc<str>)> {
        let away = self.owners.iter();
        let away = away.filter(|(_, owner)| owner.standing == Standing::Away);
        away.map(|(peer, owner)| (*peer, &owner.name))
    }
}
