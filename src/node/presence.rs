//! Which peers are here, by the tracker, a greeting, or mDNS.
//!
//! A tracker's word counts as long as there is one. Without it each peer speaks for
//! itself, and its catalogue comes from where it lies.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    catalogues::Via,
    directory::MemberChange,
    neighbours::{Acquaintance, GreetingSilence},
    view::TrackerState,
    Action, AskId, CataloguePiece, Greeted, Interfaces, Node, UploadAnswer,
};
use crate::{
    catalog::{SignedHead, SyncError},
    command::{Answer, CommandError, StatePart},
    id::{check_name, PeerId},
    protocol::{Decline, FromTracker, Greeting, PeerRecord, Refusal},
    tracker::link::TrackerEvent,
};

impl Node {
    pub(super) fn handle_tracker(&mut self, event: TrackerEvent, now: Instant) {
        match event {
            TrackerEvent::Connecting { to } => self.facts.handle_connecting(to),
            TrackerEvent::Lost { to, why } => {
                if let TrackerState::Registered { .. } = self.facts.tracker {
                    self.stats.handle_tracker_lost();
                }
                self.facts.tracker = TrackerState::Lost { to, why };
                self.handle_no_tracker(now);
            }
            TrackerEvent::Unwanted => {
                self.facts.tracker = TrackerState::Unwanted;
                self.handle_no_tracker(now);
            }
            TrackerEvent::Registered {
                registered,
                reached_at,
            } => {
                self.name = registered.name.into();
                self.directory.handle_registered(reached_at, &self.name);
                self.neighbours.handle_registered(now);
                self.facts.handle_registered(vec![reached_at], Vec::new());
                self.rebuild(now);
            }
            TrackerEvent::AlreadyRegistered(_) => {}
            TrackerEvent::Refused(refusal) => {
                self.handle_refused(&refusal, now);
                self.facts.tracker = TrackerState::Refused(refusal);
            }
            TrackerEvent::Message(message) => self.handle_message(message, now),
            TrackerEvent::Unvouched(peers) => self.handle_unvouched(&peers, now),
            TrackerEvent::Several { name, at, troubles } => {
                self.handle_several(name, at, troubles, now);
            }
            TrackerEvent::Left { confirmed } => self.handle_left(confirmed),
        }
        self.changed = self.changed.or(StatePart::Peers.into());
    }

    /// A tracker is lost, and no other speaks for these: they do for themselves.
    fn handle_unvouched(&mut self, peers: &[PeerId], now: Instant) {
        self.neighbours.handle_unvouched(peers, now);
        if self.directory.handle_unvouched(peers) {
            self.rebuild(now);
        }
    }

    fn handle_several(
        &mut self,
        name: String,
        at: Vec<IpAddr>,
        troubles: Vec<String>,
        now: Instant,
    ) {
        self.facts.handle_registered(at, troubles);
        if *self.name != *name {
            self.name = name.into();
            if self.directory.handle_own_name(&self.name) {
                self.rebuild(now);
            }
        }
    }

    /// From here on the peers speak for themselves.
    fn handle_no_tracker(&mut self, now: Instant) {
        self.catalogues.handle_lost(now);
        self.neighbours.handle_alone(now);
        if self.directory.handle_tracker_lost() {
            self.rebuild(now);
        }
    }

    fn handle_refused(&mut self, refusal: &Refusal, now: Instant) {
        self.handle_no_tracker(now);
        if let Refusal::Copy { .. } | Refusal::AlreadyRunning { .. } = refusal {
            // A peer that it greets takes it for the other one.
            self.neighbours.handle_silent();
        }
    }

    fn handle_message(&mut self, message: FromTracker, now: Instant) {
        let result = match message {
            FromTracker::Peer(record) => {
                self.handle_record(record, now);
                Ok(())
            }
            FromTracker::Gone { peer, left } => {
                let addresses = self.directory.addresses(peer);
                if self.directory.handle_gone(peer) {
                    self.neighbours.handle_gone(peer, left, addresses, now);
                    self.forget_peer(peer, now);
                }
                Ok(())
            }
            FromTracker::Head(head) if head.head.owner == self.me => {
                self.actions.push_back(Action::Outdo(head));
                Ok(())
            }
            FromTracker::Head(head) => self.catalogues.handle_head(head, Via::Tracker, now),
            FromTracker::List { owner, list } => self.catalogues.handle_list(owner, list, now),
            FromTracker::Page {
                owner,
                index,
                bytes,
            } => self.catalogues.handle_page(owner, index, &bytes, now),
            FromTracker::NotHere { owner } => {
                self.catalogues.handle_not_here(owner, Via::Tracker, now);
                Ok(())
            }
            // The link deals with the others by itself.
            _ => Ok(()),
        };
        log_unusable(result);
    }

    fn handle_record(&mut self, record: PeerRecord, now: Instant) {
        let (peer, name) = (record.peer, record.name.clone());
        let (is_here, is_news) = self.directory.handle_record(record);
        if is_here {
            self.neighbours.handle_vouched(peer, &name, now);
            let site = self.directory.site(peer);
            self.catalogues.handle_here(peer, site, now);
            self.plays.handle_seen(peer, &self.database, now);
        }
        if is_news {
            self.tell_addresses(peer);
            self.reminder.handle_news(now);
            self.rebuild(now);
        }
    }

    /// A peer announces itself, or does so no more.
    pub(super) fn handle_sighting(
        &mut self,
        peer: PeerId,
        mut addresses: Vec<SocketAddr>,
        now: Instant,
    ) {
        // Multicast comes from the home's networks, and tells of those.
        let count = addresses.len();
        addresses.retain(|at| self.directory.is_near(at));
        if addresses.is_empty() && count > 0 {
            return;
        }
        if self.directory.handle_sighting(peer, &addresses) {
            self.tell_addresses(peer);
        }
        if !addresses.is_empty() {
            self.plays.handle_seen(peer, &self.database, now);
        }
        self.neighbours.handle_sighting(peer, addresses, now);
    }

    /// Another peer introduces itself.
    pub(super) fn handle_hello(
        &mut self,
        ask: AskId,
        peer: PeerId,
        from: SocketAddr,
        greeting: Box<Greeting>,
        now: Instant,
    ) {
        let answer = if peer == self.me || self.neighbours.is_silent() {
            UploadAnswer::No(Decline::Denied)
        } else if !self.neighbours.may_greet(peer, now) {
            UploadAnswer::No(Decline::Busy { retry: GREET_AGAIN })
        } else if !self.take_greeting(peer, from, &greeting, now) {
            UploadAnswer::No(Decline::Denied)
        } else {
            self.neighbours
                .handle_greeted(peer, &greeting.name, from, now);
            UploadAnswer::Hello(self.greeting(peer))
        };
        self.actions.push_back(Action::Answer(ask, answer));
    }

    /// What became of a greeting of this node's.
    pub(super) fn handle_greeted(&mut self, peer: PeerId, answer: Greeted, now: Instant) {
        self.neighbours.handle_done(peer);
        let declines = match answer {
            Greeted::Hello { greeting, at } => {
                if self.take_greeting(peer, at, &greeting, now) {
                    return self.neighbours.handle_met(peer, &greeting.name, at, now);
                }
                true
            }
            Greeted::Busy => return self.neighbours.handle_unfinished(peer, now),
            Greeted::Declined => true,
            Greeted::Silent(why) => {
                log::debug!("{peer} does not answer a greeting: {why}");
                false
            }
        };
        if self.directory.is_vouched(peer) {
            return;
        }
        let addresses = self.directory.addresses(peer);
        match self
            .neighbours
            .handle_silence(peer, declines, addresses, now)
        {
            GreetingSilence::Doubtful => {
                if self.directory.handle_doubt(peer) {
                    self.changed = self.changed.or(StatePart::Peers.into());
                }
            }
            GreetingSilence::Gone if self.directory.handle_gone(peer) => {
                self.forget_peer(peer, now)
            }
            // It was a hint only.
            GreetingSilence::Gone => self.tell_addresses(peer),
        }
    }

    /// Takes what a peer says of itself. Says whether it is in the directory by that.
    fn take_greeting(
        &mut self,
        peer: PeerId,
        at: SocketAddr,
        greeting: &Greeting,
        now: Instant,
    ) -> bool {
        if check_name(&greeting.name).is_err() {
            return false;
        }
        let change = self.directory.handle_met(peer, greeting.name.clone(), at);
        if self.directory.get(peer).is_none() {
            return false;
        }
        let site = self.directory.site(peer);
        self.catalogues.handle_here(peer, site, now);
        if change != MemberChange::Nothing {
            self.tell_addresses(peer);
            self.reminder.handle_news(now);
            self.changed = self.changed.or(StatePart::Peers.into());
        }
        if change == MemberChange::News {
            self.rebuild(now);
        }
        self.plays.handle_seen(peer, &self.database, now);
        // It speaks for itself only.
        if let Some(head) = greeting.head.filter(|head| head.head.owner == peer) {
            log_unusable(self.catalogues.handle_head(head, Via::Owner, now));
        }
        if let Some(seen) = greeting.yours.filter(|seen| self.is_outdone_by(seen)) {
            self.actions.push_back(Action::Outdo(seen));
        }
        true
    }

    /// Whether `seen` is a head of this node's own, from before its index was lost.
    fn is_outdone_by(&self, seen: &SignedHead) -> bool {
        let own = self.catalogues.own();
        own.is_some_and(|own| seen.head.is_newer_than(&own.head().head))
            && seen.head.owner == self.me
            && seen.verify().is_ok()
    }

    /// What this node says of itself to `peer`.
    fn greeting(&self, peer: PeerId) -> Box<Greeting> {
        Box::new(Greeting {
            name: self.name.to_string(),
            head: self.catalogues.own().map(|own| *own.head()),
            yours: self.catalogues.get(peer).map(|known| *known.head()),
        })
    }

    /// Has `peer` greeted, wherever it may be.
    pub(super) fn greet(&mut self, peer: PeerId) {
        if self.directory.get(peer).is_none() {
            let hints = self.neighbours.hints(peer).to_vec();
            self.actions.push_back(Action::Addresses(peer, hints));
        }
        let greeting = self.greeting(peer);
        self.actions.push_back(Action::Greet(peer, greeting));
    }

    /// A piece of a catalogue comes from its owner, or does not.
    pub(super) fn handle_piece(
        &mut self,
        owner: PeerId,
        piece: Result<CataloguePiece, String>,
        now: Instant,
    ) {
        let result = match piece {
            Ok(CataloguePiece::List(list)) => self.catalogues.handle_list(owner, list, now),
            Ok(CataloguePiece::Page { index, bytes }) => {
                self.catalogues.handle_page(owner, index, &bytes, now)
            }
            Err(why) => {
                log::debug!("the catalogue of {owner} does not come: {why}");
                self.catalogues.handle_not_here(owner, Via::Owner, now);
                // Its head comes with the next greeting.
                self.neighbours.handle_unfinished(owner, now);
                Ok(())
            }
        };
        log_unusable(result);
    }

    /// Where others are is seen from this machine's own networks, and they are to hear
    /// where it is now.
    pub(super) fn handle_interfaces(&mut self, interfaces: Interfaces, now: Instant) {
        self.facts.handle_interfaces(&interfaces);
        self.directory.handle_interfaces(interfaces);
        for record in self.directory.iter() {
            let addresses = self.directory.addresses(record.peer);
            let action = Action::Addresses(record.peer, addresses);
            self.actions.push_back(action);
        }
        if !self.facts.is_offline {
            self.neighbours.handle_moved(now);
        }
        self.changed = self.changed.or(StatePart::Peers.into());
    }

    /// Has `peer` dialled where the directory says, or nowhere.
    fn tell_addresses(&mut self, peer: PeerId) {
        let addresses = self.directory.addresses(peer);
        self.actions.push_back(Action::Addresses(peer, addresses));
    }

    fn forget_peer(&mut self, peer: PeerId, now: Instant) {
        self.answers.handle_gone(peer);
        self.catalogues.handle_gone(peer, now);
        self.actions.push_back(Action::Addresses(peer, Vec::new()));
        self.rebuild(now);
    }

    fn handle_left(&mut self, confirmed: bool) {
        let is_unwanted = match self.facts.tracker {
            TrackerState::Unwanted => true,
            TrackerState::Left { is_unwanted, .. } => is_unwanted,
            _ => false,
        };
        self.facts.tracker = TrackerState::Left {
            confirmed,
            is_unwanted,
        };
        self.neighbours.handle_silent();
        for ask in std::mem::take(&mut self.leaving) {
            self.actions
                .push_back(Action::Reply(ask, Ok(Answer::Done.into())));
        }
    }

    /// Comes back after it has left: it greets the others again, and its link registers.
    pub(super) fn join(&mut self, now: Instant) -> Result<(), CommandError> {
        let TrackerState::Left { is_unwanted, .. } = self.facts.tracker else {
            return Err(CommandError::NotLeft);
        };
        self.facts.tracker = match is_unwanted {
            true => TrackerState::Unwanted,
            false => TrackerState::Looking,
        };
        self.handle_no_tracker(now);
        self.actions.push_back(Action::Join);
        self.changed = self.changed.or(StatePart::Peers.into());
        Ok(())
    }

    /// The peers that are here, and were lately, as far as they are remembered.
    pub(super) fn acquaintances(&self) -> Vec<Acquaintance> {
        let mut known = self.present();
        known.extend(self.neighbours.absent());
        known.truncate(MAX_REMEMBERED);
        known
    }

    fn present(&self) -> Vec<Acquaintance> {
        let here = self.directory.iter().take(MAX_REMEMBERED);
        let acquaintance = |record: &PeerRecord| {
            let mut addresses = self.directory.addresses(record.peer);
            addresses.truncate(MAX_ADDRESSES);
            let claim = self.directory.claim(record.peer);
            Acquaintance {
                peer: record.peer,
                name: claim.unwrap_or(&record.name).to_owned(),
                addresses,
            }
        };
        here.map(acquaintance).collect()
    }

    /// Takes note of which node has which name.
    pub(super) fn settle_names(&mut self, now: Instant) {
        if self.directory.settle_names(now) {
            self.reminder.handle_names(now);
        }
    }

    /// Has the peers that are here written down, if that is not known yet.
    pub(super) fn remember_peers(&mut self, now: Instant) {
        let here = self.present();
        if self.reminder.is_worth_it(&here, now) {
            self.actions.push_back(Action::Remember);
        }
    }
}

/// A piece of a catalogue is not what its head promises.
fn log_unusable(result: Result<(), SyncError>) {
    if let Err(e) = result {
        log::debug!("a catalogue cannot be used: {e}");
    }
}

/// A peer that greets faster is broken, or means ill.
const GREET_AGAIN: Duration = Duration::from_secs(1);
/// A home's speakers, or a small venue's; some 20 KB on disk.
const MAX_REMEMBERED: usize = 64;
/// Of one that is remembered.
const MAX_ADDRESSES: usize = 4;
