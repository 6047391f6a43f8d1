//! Which peers are here, where each may answer, what each is called, and when those are greeted
//! that no tracker speaks for.
//!
//! One record a peer ([`RosterPeer`]), which changes here only, on what trackers, greetings and
//! mDNS say. All others ask, or are told by [`Roster::poll`], and keep nothing in step.
//!
//! A tracker is a convenience: it says which peers are here, so that none has to ask. Each
//! peer that no tracker vouches for is greeted now and then, and says in its answer that it is
//! here, its name, and the head of its catalogue.
//!
//! What must hold:
//! - A peer that a tracker vouches for is not greeted: with a healthy tracker nothing happens.
//! - A peer that answers is here, whatever became of the tracker; one that does not is gone
//!   within a minute, and greeted again ever more seldom, for it may be back.
//! - A greeting does for both: a peer that has been greeted need not greet.
//! - A peer that announces itself, or is remembered, is a hint: it costs an attempt now and then.
//! - A peer that floods is heard once a second. Greetings under way, and records, are bounded.
//! - A peer is dialled where it is by the newest word, and not at all once it is neither here
//!   nor greeted.
//!
//! Not here: what the peers have (`catalogues`).

mod contact;
mod dialling;
mod greetings;
mod names;
mod records;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};

pub use self::dialling::Interfaces;
use self::{
    contact::{MetChange, PresentPeer, RosterPeer},
    dialling::Dialling,
    greetings::{GreetingSilence, Greetings},
    names::Names,
    records::{Records, MAX_REMEMBERED},
};
use crate::{
    catalog::OwnerSite,
    id::{check_name, PeerId},
    protocol::{Candidate, PeerRecord, PeerState, MAX_CANDIDATES},
    tenure::TenureRecord,
    util::near::Subnet,
};

/// A peer that was here lately, as it is remembered over a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acquaintance {
    pub peer: PeerId,
    pub name: String,
    /// Where it answered, the likeliest first.
    pub addresses: Vec<SocketAddr>,
}

/// What has changed, or is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterChange {
    /// It is said again that a peer is here, at that site.
    Here(PeerId, Option<OwnerSite>),
    /// A peer is gone.
    Gone(PeerId),
    /// A peer may be dialled at these addresses from now on; nobody has dialled it before, if
    /// it `is_new`.
    Dial {
        peer: PeerId,
        addresses: Vec<SocketAddr>,
        is_new: bool,
    },
    /// It is not to be dialled any more.
    HangUp(PeerId),
    /// Somebody has come or moved, which is worth remembering.
    Moved,
    /// Somebody has come or gone, or has another name.
    Members,
    /// It is in doubt whether a peer is here.
    Doubted,
    /// There is a sign of life of a peer.
    Seen(PeerId),
    Greet(PeerId),
    /// Whether to look for peers by mDNS, which is of no use where a tracker is.
    LookForPeers(bool),
}

/// How a peer's greeting is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    Welcome,
    /// It greets too often.
    Busy,
    Denied,
}

/// See the module's description. This node itself is not among its peers.
#[derive(Debug)]
pub struct Roster {
    me: PeerId,
    peers: Records,
    dialling: Dialling,
    names: Names,
    greetings: Greetings,
    /// Whether mDNS looks for peers.
    looks_for_peers: bool,
    changes: VecDeque<RosterChange>,
}

impl Roster {
    /// `seed` spreads the greetings of many.
    pub fn new(me: PeerId, name: &str, interfaces: Interfaces, seed: u64, now: Instant) -> Self {
        let mut this = Self {
            me,
            peers: Records::new(me),
            dialling: Dialling {
                interfaces,
                tracker_at: None,
            },
            names: Names::new(me, name),
            greetings: Greetings::new(seed, now),
            looks_for_peers: false,
            changes: VecDeque::new(),
        };
        this.greetings.plan(&this.peers);
        this
    }

    /// Begins with the peers that are remembered, and the names that were written down.
    pub fn recall(&mut self, known: &[Acquaintance], names: &[TenureRecord], now: Instant) {
        let known = known.iter().filter(|known| check_name(&known.name).is_ok());
        for known in known.take(MAX_REMEMBERED) {
            let due = self.greetings.soon(now);
            self.peers.recall(known, due);
        }
        self.names.recall(names, &mut self.peers, now);
        self.settle();
    }

    /// A tracker that answered at `at` calls this node `name`, and begins to name
    /// all peers that are here.
    pub fn handle_registered(&mut self, at: IpAddr, name: &str, now: Instant) {
        self.names.set_own_claim(name);
        self.names.set_registered(true);
        for known in self.peers.values_mut() {
            // Nobody looks for them any more, nor hears when they go.
            known.is_announced = false;
        }
        self.greetings.handle_registered(&mut self.peers, now);
        self.names.name_all(&mut self.peers);
        if self.dialling.tracker_at.replace(at) != Some(at) {
            self.dial_all(false);
        }
        self.changes.push_back(RosterChange::Members);
        self.settle();
    }

    /// Trackers call this node `name` now.
    pub fn handle_own_name(&mut self, name: &str) {
        if self.names.own_claim() != name {
            self.names.set_own_claim(name);
            self.name_all();
        }
    }

    /// No tracker speaks for these any more, while one does for others.
    pub fn handle_unvouched(&mut self, peers: &[PeerId], now: Instant) {
        self.greetings.handle_unvouched(&mut self.peers, peers, now);
        self.name_all();
        self.settle();
    }

    /// No tracker is there (any more), or a person wants none: the peers speak for themselves.
    pub fn handle_no_tracker(&mut self, now: Instant) {
        self.greetings.handle_alone(&mut self.peers, now);
        self.names.set_registered(false);
        self.name_all();
        self.settle();
    }

    /// This node has left, or must not show itself.
    pub fn handle_silent(&mut self) {
        self.greetings.handle_silent();
        self.settle();
    }

    /// Takes what a tracker says of a peer.
    pub fn handle_record(&mut self, mut record: PeerRecord, now: Instant) {
        let peer = record.peer;
        // It becomes a directory of the database: a tracker may be anybody's.
        if check_name(&record.name).is_err() || !self.peers.has_place(peer) {
            return;
        }
        // The first is where the tracker saw it.
        let mut count = 0;
        record.candidates.retain(|candidate| {
            count += 1;
            count == 1 || self.dialling.is_believed(candidate)
        });
        record.candidates.truncate(MAX_CANDIDATES + 1);
        let first = record.candidates.first();
        let present = PresentPeer {
            claim: record.name.clone(),
            listed: true,
            site: first.and_then(|first| self.dialling.site(first)),
            since: None,
            record: record.clone(),
        };
        let site = present.site;
        self.make_room(peer);
        let before = self.peers.record_of(peer, now).vouch(present);
        let is_same = before.is_some_and(|before| {
            let name = before.claim;
            PeerRecord {
                name,
                ..before.record
            } == record
        });
        let is_renamed = self.names.name_all(&mut self.peers);
        self.changes.push_back(RosterChange::Here(peer, site));
        if is_renamed || !is_same {
            self.dial(peer, true);
            self.changes.push_back(RosterChange::Moved);
            self.changes.push_back(RosterChange::Members);
        }
        self.changes.push_back(RosterChange::Seen(peer));
        self.greetings.plan(&self.peers);
    }

    /// A tracker says that `peer` is gone.
    pub fn handle_gone(&mut self, peer: PeerId, has_left: bool, now: Instant) {
        if !self.part(peer, !has_left) {
            return;
        }
        if let Some(known) = self.peers.get_mut(peer) {
            self.greetings.handle_gone(known, has_left, now);
        }
        self.settle();
    }

    /// `peer` announces itself at `addresses`; at none when it does so no more.
    pub fn handle_sighting(&mut self, peer: PeerId, mut addresses: Vec<SocketAddr>, now: Instant) {
        // Multicast comes from the home's networks, and tells of those.
        let count = addresses.len();
        addresses.retain(|at| self.dialling.is_near(at));
        if addresses.is_empty() && count > 0 {
            return;
        }
        self.add_candidates(peer, &addresses);
        if !addresses.is_empty() {
            self.changes.push_back(RosterChange::Seen(peer));
        }
        let soon = self.greetings.soon(now);
        let known = match addresses.is_empty() {
            true => self.peers.get_mut(peer),
            false => self.peers.hinted(peer, soon),
        };
        if let Some(known) = known {
            Greetings::handle_sighting(known, addresses, soon);
        }
        self.settle();
    }

    /// A peer, for which no tracker vouches, is at `addresses`, too.
    fn add_candidates(&mut self, peer: PeerId, addresses: &[SocketAddr]) {
        let candidates = addresses.iter().map(|address| Candidate::At(*address));
        let known = self.peers.get_mut(peer).and_then(RosterPeer::met_mut);
        if known.is_some_and(|known| known.add_candidates(candidates)) {
            self.dial(peer, true);
        }
    }

    /// A peer of that name has greeted, from `at`.
    pub fn handle_hello(
        &mut self,
        peer: PeerId,
        name: &str,
        at: SocketAddr,
        now: Instant,
    ) -> Reception {
        if peer == self.me || self.greetings.is_silent() {
            return Reception::Denied;
        }
        if !Greetings::may_greet(self.peers.get(peer), now) {
            return Reception::Busy;
        }
        if !self.meet(peer, name, at, now) {
            return Reception::Denied;
        }
        if let Some(known) = self.peers.get_mut(peer) {
            known.heard = Some(now);
        }
        Reception::Welcome
    }

    /// A peer has answered a greeting from `at`. Says whether it is here by that; or else it
    /// counts as one that has declined.
    pub fn handle_answered(
        &mut self,
        peer: PeerId,
        name: &str,
        at: SocketAddr,
        now: Instant,
    ) -> bool {
        self.handle_done(peer);
        let is_here = self.meet(peer, name, at, now);
        if !is_here {
            self.handle_silence(peer, true, now);
        }
        is_here
    }

    /// A greeting has not been answered; or not as a peer that is here does, when it `declines`.
    pub fn handle_unanswered(&mut self, peer: PeerId, declines: bool, now: Instant) {
        self.handle_done(peer);
        self.handle_silence(peer, declines, now);
    }

    /// A peer had no time for a greeting.
    pub fn handle_busy(&mut self, peer: PeerId, now: Instant) {
        self.handle_done(peer);
        self.handle_unfinished(peer, now);
    }

    /// A peer did not give what it told of in a greeting.
    pub fn handle_unfinished(&mut self, peer: PeerId, now: Instant) {
        if let Some(known) = self.peers.get_mut(peer) {
            Greetings::handle_unfinished(known, now);
        }
        self.settle();
    }

    fn handle_done(&mut self, peer: PeerId) {
        if let Some(known) = self.peers.get_mut(peer) {
            self.greetings.handle_done(known);
        }
        self.greetings.plan(&self.peers);
    }

    fn handle_silence(&mut self, peer: PeerId, declines: bool, now: Instant) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        if known.is_vouched() {
            return;
        }
        match self.greetings.handle_silence(known, declines, now) {
            GreetingSilence::Doubtful => {
                let is_news = known.doubt().then_some(RosterChange::Doubted);
                self.changes.extend(is_news);
            }
            GreetingSilence::Gone => {
                if !self.part(peer, false) {
                    // It was a hint only.
                    self.hang_up(peer);
                }
                if let Some(known) = self.peers.get_mut(peer) {
                    known.is_not_missed();
                }
            }
        }
        self.settle();
    }

    /// Takes what a peer says of itself, from `at`. Says whether it is here by that.
    fn meet(&mut self, peer: PeerId, name: &str, at: SocketAddr, now: Instant) -> bool {
        if check_name(name).is_err() || !self.peers.has_place_by_its_own_word(peer) {
            return false;
        }
        self.make_room(peer);
        let change = self.peers.record_of(peer, now).meet(peer, name, at);
        if change == MetChange::Member {
            self.names.name_all(&mut self.peers);
        }
        let site = self.peers.present(peer).and_then(|present| present.site);
        self.changes.push_back(RosterChange::Here(peer, site));
        if change != MetChange::Nothing {
            self.dial(peer, true);
            self.changes.push_back(RosterChange::Moved);
        }
        if change == MetChange::Member {
            self.changes.push_back(RosterChange::Members);
        }
        self.changes.push_back(RosterChange::Seen(peer));
        self.greetings.handle_met(&mut self.peers, peer, at, now);
        self.greetings.plan(&self.peers);
        true
    }

    /// There is something to tell: the peers that are here are greeted soon.
    pub fn handle_news(&mut self, now: Instant) {
        self.greetings.handle_news(&mut self.peers, now);
        self.greetings.plan(&self.peers);
    }

    /// Where others are is seen from this machine's own networks, and they are to hear
    /// where it is now.
    pub fn handle_interfaces(&mut self, interfaces: Interfaces, now: Instant) {
        let are_down = interfaces.are_down;
        self.dialling.interfaces = interfaces;
        self.dial_all(true);
        if !are_down {
            self.greetings.handle_moved(&mut self.peers, now);
        }
        self.greetings.plan(&self.peers);
    }

    /// Other keys are believed now.
    pub fn handle_keys(&mut self, now: Instant) {
        self.greetings.handle_keys(&mut self.peers, now);
        self.greetings.plan(&self.peers);
    }

    /// Takes note of which node has which name, as time goes on. Says whether a name has come
    /// or gone.
    pub fn settle_names(&mut self, now: Instant) -> bool {
        let tracker = self.dialling.tracker_at;
        self.names.settle(&mut self.peers, tracker, now)
    }

    /// The next change, or what is to be done.
    pub fn poll(&mut self, now: Instant) -> Option<RosterChange> {
        if let Some(change) = self.changes.pop_front() {
            return Some(change);
        }
        if let Some(peer) = self.greetings.poll(&mut self.peers, now) {
            // One that is not here is dialled where it may be.
            let known = self.peers.get_mut(peer).filter(|known| !known.is_here());
            let dial = known.and_then(|known| known.dial(peer, known.hints.clone(), true));
            self.changes.extend(dial);
            self.changes.push_back(RosterChange::Greet(peer));
            return self.changes.pop_front();
        }
        let looks = self.greetings.is_alone();
        let is_news = std::mem::replace(&mut self.looks_for_peers, looks) != looks;
        is_news.then_some(RosterChange::LookForPeers(looks))
    }

    /// When [`Self::poll`] has somebody to greet.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.greetings.poll_timeout()
    }

    /// The networks that this machine is on.
    pub fn subnets(&self) -> &[Subnet] {
        &self.dialling.interfaces.subnets
    }

    /// The name under which this node is shown.
    pub fn own_name(&self) -> &Arc<str> {
        self.names.own_name()
    }

    /// The name that this node goes by elsewhere.
    pub fn own_claim(&self) -> &str {
        self.names.own_claim()
    }

    /// What is to be written down of names, as it was when they were settled last.
    pub fn tenure_records(&self) -> Vec<TenureRecord> {
        self.names.tenure_records()
    }

    /// What a person must know of the name that was chosen for this node.
    pub fn clash(&self) -> Option<String> {
        self.names.clash(&self.peers, self.dialling.tracker_at)
    }

    /// Whether this node has to find the others by itself.
    pub fn is_alone(&self) -> bool {
        self.greetings.is_alone()
    }

    /// `peer`, if it is here.
    pub fn get(&self, peer: PeerId) -> Option<&PeerRecord> {
        self.peers.present(peer).map(|present| &present.record)
    }

    /// The peers that are here, by id.
    pub fn iter(&self) -> impl Iterator<Item = &PeerRecord> {
        self.peers.here().map(|(_, present)| &present.record)
    }

    /// Of how many it is not doubted that they are here.
    pub fn count_here(&self) -> usize {
        let is_up = |record: &&PeerRecord| record.state == PeerState::Up;
        self.iter().filter(is_up).count()
    }

    /// Where to dial `peer`, if it is here, the likeliest first.
    pub fn addresses(&self, peer: PeerId) -> Vec<SocketAddr> {
        self.get(peer).map_or_else(Vec::new, |record| {
            self.dialling.addresses(&record.candidates)
        })
    }

    /// Whether `peer` is dialled, and can be asked.
    pub fn reaches(&self, peer: PeerId) -> bool {
        let known = self.peers.get(peer);
        known.is_some_and(|known| !known.dialled.is_empty())
    }

    /// The peers that are here, and were lately, as far as they are remembered.
    pub fn acquaintances(&self) -> Vec<Acquaintance> {
        let mut known = self.acquaintances_here();
        known.extend(self.peers.absent());
        known.truncate(MAX_REMEMBERED);
        known
    }

    /// The peers that are here, as they are remembered.
    pub fn acquaintances_here(&self) -> Vec<Acquaintance> {
        self.peers.acquaintances_here(&self.dialling)
    }

    /// Lets a hint go where there is no room for one more record.
    fn make_room(&mut self, peer: PeerId) {
        if let Some(other) = self.peers.gives_way_to(peer) {
            self.hang_up(other);
            self.peers.remove(other);
        }
    }

    /// `peer` is not here any more. Says whether it was.
    fn part(&mut self, peer: PeerId, is_missed: bool) -> bool {
        let addresses = self.addresses(peer);
        if !self.peers.part(peer, addresses, is_missed) {
            return false;
        }
        self.changes.push_back(RosterChange::Gone(peer));
        self.hang_up(peer);
        self.names.name_all(&mut self.peers);
        self.changes.push_back(RosterChange::Members);
        true
    }

    /// Names everybody anew.
    fn name_all(&mut self) {
        if self.names.name_all(&mut self.peers) {
            self.changes.push_back(RosterChange::Members);
        }
    }

    /// Has `peer` dialled where it is, if it is here: where that is another place, or `anew`.
    fn dial(&mut self, peer: PeerId, anew: bool) {
        let addresses = self.addresses(peer);
        if let Some(known) = self.peers.get_mut(peer) {
            self.changes.extend(known.dial(peer, addresses, anew));
        }
    }

    /// The same for all that are here.
    fn dial_all(&mut self, anew: bool) {
        let here: Vec<PeerId> = self.iter().map(|record| record.peer).collect();
        here.into_iter().for_each(|peer| self.dial(peer, anew));
    }

    fn hang_up(&mut self, peer: PeerId) {
        let known = self.peers.get_mut(peer);
        self.changes
            .extend(known.and_then(|known| known.hang_up(peer)));
    }

    /// Forgets the oldest of the peers that are away, and those that never were here; dials
    /// nobody in vain, and says anew when the next is greeted.
    fn settle(&mut self) {
        let (greetings, changes) = (&self.greetings, &mut self.changes);
        self.peers.forget(|peer, known, stays| {
            let is_used = known.is_here() || known.is_asked || greetings.wants(known);
            if !(stays && is_used) {
                changes.extend(known.hang_up(peer));
            }
        });
        self.greetings.plan(&self.peers);
    }
}

#[cfg(test)]
impl Roster {
    /// Whether `peer` is greeted now, or is to be.
    pub fn is_greeted(&self, peer: PeerId) -> bool {
        let known = self.peers.get(peer);
        known.is_some_and(|known| known.is_asked || self.greetings.wants(known))
    }
}
