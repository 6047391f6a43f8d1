//! What the present nodes are called, so that no two have one name.
//!
//! A tracker's word counts while there is one. Without it the node that had a name here keeps
//! it ([`crate::tenure`]), and of two that nobody remembers the lower id has it. To have had a
//! name without a tracker means that no other claimed it for [`SETTLED`]: so it makes no
//! difference which of two was met first.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::records::Records;
use crate::{
    id::PeerId,
    tenure::{numbered, TenureRecord, Tenures, SETTLED},
    util::tree,
};

/// The names of this node and of the peers that are here.
#[derive(Debug)]
pub struct Names {
    me: PeerId,
    /// What this node asks to be called.
    own_claim: String,
    own_name: Arc<str>,
    /// Whether a tracker speaks for this node now.
    is_registered: bool,
    tenures: Tenures,
    /// Since when this node has its name, which no other claims, without a tracker.
    own_since: Option<Instant>,
    /// The same, unless somebody has come or gone since.
    settled: Option<Instant>,
    /// When names were settled last.
    looked: Option<Instant>,
}

impl Names {
    pub fn new(me: PeerId, name: &str) -> Self {
        Self {
            me,
            own_claim: name.into(),
            own_name: name.into(),
            is_registered: false,
            tenures: Tenures::new(MAX_NAMES_KEPT),
            own_since: None,
            settled: None,
            looked: None,
        }
    }

    /// The name under which this node is shown.
    pub fn own_name(&self) -> &Arc<str> {
        &self.own_name
    }

    /// The name that this node goes by elsewhere.
    pub fn own_claim(&self) -> &str {
        &self.own_claim
    }

    /// A tracker calls this node by that name.
    pub fn set_own_claim(&mut self, name: &str) {
        self.own_claim = name.into();
    }

    /// Whether a tracker speaks for this node now.
    pub fn set_registered(&mut self, is_registered: bool) {
        self.is_registered = is_registered;
    }

    /// Names are kept as was written down before.
    pub fn recall(&mut self, records: &[TenureRecord], peers: &mut Records, now: Instant) {
        self.tenures.recall(records, now);
        self.name_all(peers);
    }

    /// What is to be written down of names, as it was when they were settled last.
    pub fn tenure_records(&self) -> Vec<TenureRecord> {
        self.looked
            .map_or_else(Vec::new, |now| self.tenures.records(now))
    }

    /// Takes note of which node has which name, as time goes on. Says whether a name has come
    /// or gone.
    pub fn settle(&mut self, peers: &mut Records, tracker: Option<IpAddr>, now: Instant) -> bool {
        if self.settled.is_some_and(|last| now < last + SETTLE_EVERY) {
            return false;
        }
        (self.settled, self.looked) = (Some(now), Some(now));
        self.tenures.forget(now);
        let mut claimed: BTreeMap<&str, u32> = tree::map([(&*self.own_claim, 1)]);
        for (_, known) in peers.here() {
            *claimed.entry(&known.claim).or_default() += 1;
        }
        let is_own = |claim: &str, name: &str| claim == name && claimed[claim] == 1;
        let own = is_own(&self.own_claim, &self.own_name);
        let alone = peers
            .here()
            .filter(|(_, known)| is_own(&known.claim, &known.record.name));
        let alone: BTreeSet<PeerId> = tree::set(alone.map(|(peer, _)| peer));
        for (peer, known) in peers.iter_mut() {
            let is_vouched = known.is_vouched();
            let Some(known) = known.present_mut() else {
                continue;
            };
            let address = known.address(tracker);
            if is_vouched {
                self.tenures.give(peer, &known.record.name, address, now);
            } else if has_settled(&mut known.since, alone.contains(&peer), now) {
                self.tenures.handle_here(peer, &known.claim, address, now);
            }
        }
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        if self.is_registered {
            self.tenures.give(self.me, &self.own_name, here, now);
        } else if has_settled(&mut self.own_since, own, now) {
            self.tenures
                .handle_here(self.me, &self.own_claim, here, now);
        }
        let here = self.tenures.here();
        let gone: Vec<PeerId> = here.filter(|peer| !self.is_here(*peer, peers)).collect();
        for peer in gone {
            self.tenures.handle_gone(peer, now);
        }
        self.tenures.take_change()
    }

    fn is_here(&self, peer: PeerId, peers: &Records) -> bool {
        peer == self.me || peers.present(peer).is_some()
    }

    /// What a person must know of the name that was chosen for this node.
    pub fn clash(&self, peers: &Records, tracker: Option<IpAddr>) -> Option<String> {
        let (chosen, own) = (&self.own_claim, &self.own_name);
        let mut others = peers.here().map(|(_, known)| known);
        let other = others.find(|known| known.claim == *chosen);
        let at = other.map(|known| known.address(tracker));
        let at = at.map_or_else(String::new, |at| format!(" at {at}"));
        if **own == **chosen {
            let other = &other?.record.name;
            return Some(format!(
                "the name {chosen:?} was chosen for the peer{at}, too, which is called {other:?} \
                 here; choose another `name` for one of the two"
            ));
        }
        Some(format!(
            "the name {chosen:?} belongs to the peer{at}, which keeps it for 30 days after it was \
             here last; this node is called {own:?} until you choose another `name`"
        ))
    }

    /// Names everybody, this node too, so that no two have the same name. Says whether
    /// somebody's name is another by that.
    pub fn name_all(&mut self, peers: &mut Records) -> bool {
        // Somebody has come or gone.
        self.settled = None;
        let vouched = |peer| peers.get(peer).is_some_and(|known| known.is_vouched());
        let mut order: Vec<(bool, bool, PeerId, String)> = peers
            .here()
            .map(|(peer, known)| self.claim_of(peer, vouched(peer), &known.claim))
            .collect();
        order.push(self.claim_of(self.me, self.is_registered, &self.own_claim));
        order.sort_unstable();
        // How often each is claimed; the first claim has it.
        let mut claimed: BTreeMap<&str, u32> = BTreeMap::new();
        let mut later = Vec::new();
        for (is_unvouched, _, peer, claim) in &order {
            let count = claimed.entry(claim).or_default();
            *count += 1;
            let keeper = self.tenures.keeper(claim);
            let is_kept = keeper.is_some_and(|keeper| !self.is_here(keeper, peers));
            if *count > 1 || (*is_unvouched && is_kept) {
                later.push((*peer, claim));
            }
        }
        let taken: BTreeSet<&str> = tree::set(claimed.keys().copied());
        let mut names: BTreeMap<PeerId, String> = BTreeMap::new();
        let mut given: BTreeSet<String> = BTreeSet::new();
        let mut next: BTreeMap<&str, u32> = BTreeMap::new();
        for (peer, claim) in later {
            let number = next.entry(claim).or_insert(1);
            let name = loop {
                *number += 1;
                let name = numbered(claim, *number);
                if !taken.contains(&*name) && given.insert(name.clone()) {
                    break name;
                }
            };
            names.insert(peer, name);
        }
        let own = names.remove(&self.me);
        let own = own.as_deref().unwrap_or(&self.own_claim);
        let mut is_news = *self.own_name != *own;
        if is_news {
            self.own_name = own.into();
        }
        for (peer, known) in peers.iter_mut() {
            let Some(known) = known.present_mut() else {
                continue;
            };
            let name = names.remove(&peer).unwrap_or_else(|| known.claim.clone());
            is_news |= known.record.name != name;
            known.record.name = name;
        }
        is_news
    }

    /// A claim, ordered by the right to the name.
    fn claim_of(
        &self,
        peer: PeerId,
        is_vouched: bool,
        claim: &str,
    ) -> (bool, bool, PeerId, String) {
        let had_it = self.tenures.keeper(claim) == Some(peer);
        (!is_vouched, !had_it, peer, claim.to_owned())
    }
}

/// Whether what began at `since`, and still `is` so, has lasted.
fn has_settled(since: &mut Option<Instant>, is: bool, now: Instant) -> bool {
    if !is {
        *since = None;
        return false;
    }
    now >= *since.get_or_insert(now) + SETTLED
}

/// More often than that nothing changes unless a node comes or goes.
const SETTLE_EVERY: Duration = Duration::from_secs(60);
/// Names of nodes that are away: several times a home's. They are written to a card.
const MAX_NAMES_KEPT: usize = 256;
