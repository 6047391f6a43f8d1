//! The other peers: which are here, by the tracker, greetings and mDNS, and what they have.
//!
//! A tracker's word counts as long as there is one. Without it each peer speaks for
//! itself, and its catalogue comes from where it lies.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    catalogues::{Catalogues, Via},
    members,
    memory::Reminder,
    roster::{Reception, Roster, RosterChange},
    Action, AskId, CataloguePiece, Greeted, UploadAnswer,
};
use crate::{
    catalog::{Catalogue, Database, DatabaseMember, SignedHead, SyncError},
    id::{PeerId, TrackId},
    protocol::{Decline, FromTracker, Greeting, Refusal},
    tracker::link::TrackerEvent,
};

/// What follows for the node.
#[derive(Debug)]
pub enum OthersStep {
    Action(Box<Action>),
    /// The database is to be made anew, of [`Others::members`].
    Members,
    /// What is shown of the peers has changed.
    Shown,
    /// There is a sign of life of a peer.
    Seen(PeerId),
    /// A peer is gone.
    Gone(PeerId),
}

impl From<Action> for OthersStep {
    fn from(action: Action) -> Self {
        Self::Action(Box::new(action))
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Others {
    me: PeerId,
    pub roster: Roster,
    pub catalogues: Catalogues,
    reminder: Reminder,
    steps: VecDeque<OthersStep>,
}

impl Others {
    pub fn new(me: PeerId, roster: Roster, catalogues: Catalogues, reminder: Reminder) -> Self {
        Self {
            me,
            roster,
            catalogues,
            reminder,
            steps: VecDeque::new(),
        }
    }

    pub fn handle_tracker(&mut self, event: TrackerEvent, now: Instant) {
        match event {
            TrackerEvent::Lost { .. } | TrackerEvent::Unwanted => self.handle_no_tracker(now),
            TrackerEvent::Registered {
                registered,
                reached_at,
            } => {
                self.roster
                    .handle_registered(reached_at, &registered.name, now);
            }
            TrackerEvent::Refused(refusal) => {
                self.handle_no_tracker(now);
                if let Refusal::Copy { .. } | Refusal::AlreadyRunning { .. } = refusal {
                    // A peer that it greets takes it for the other one.
                    self.roster.handle_silent();
                }
            }
            TrackerEvent::Message(message) => self.handle_message(message, now),
            // A tracker is lost, and no other speaks for these: they do for themselves.
            TrackerEvent::Unvouched(peers) => self.roster.handle_unvouched(&peers, now),
            TrackerEvent::Several { name, .. } => self.roster.handle_own_name(&name),
            TrackerEvent::Left { .. } => self.roster.handle_silent(),
            TrackerEvent::Connecting { .. } | TrackerEvent::AlreadyRegistered(_) => {}
        }
    }

    /// From here on the peers speak for themselves.
    pub fn handle_no_tracker(&mut self, now: Instant) {
        self.catalogues.handle_lost(now);
        self.roster.handle_no_tracker(now);
    }

    fn handle_message(&mut self, message: FromTracker, now: Instant) {
        let result = match message {
            FromTracker::Peer(record) => {
                self.roster.handle_record(record, now);
                Ok(())
            }
            FromTracker::Gone { peer, left } => {
                self.roster.handle_gone(peer, left, now);
                Ok(())
            }
            FromTracker::Head(head) if head.head.owner == self.me => {
                self.act(Action::Outdo(head));
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

    /// Another peer introduces itself.
    pub fn handle_hello(
        &mut self,
        ask: AskId,
        peer: PeerId,
        from: SocketAddr,
        greeting: &Greeting,
        now: Instant,
    ) {
        let reception = self.roster.handle_hello(peer, &greeting.name, from, now);
        let answer = match reception {
            Reception::Denied => UploadAnswer::No(Decline::Denied),
            Reception::Busy => UploadAnswer::No(Decline::Busy { retry: GREET_AGAIN }),
            Reception::Welcome => {
                self.take_heads(peer, greeting, now);
                UploadAnswer::Hello(self.greeting(peer))
            }
        };
        self.act(Action::Answer(ask, answer));
    }

    /// What became of a greeting of this node's.
    pub fn handle_greeted(&mut self, peer: PeerId, answer: Greeted, now: Instant) {
        match answer {
            Greeted::Hello { greeting, at } => {
                if self.roster.handle_answered(peer, &greeting.name, at, now) {
                    self.take_heads(peer, &greeting, now);
                }
            }
            Greeted::Busy => self.roster.handle_busy(peer, now),
            Greeted::Declined => self.roster.handle_unanswered(peer, true, now),
            Greeted::Silent(why) => {
                log::debug!("{peer} does not answer a greeting: {why}");
                self.roster.handle_unanswered(peer, false, now);
            }
        }
    }

    /// Takes what a peer that is here says of catalogues.
    fn take_heads(&mut self, peer: PeerId, greeting: &Greeting, now: Instant) {
        self.follow(now);
        // It speaks for itself only.
        if let Some(head) = greeting.head.filter(|head| head.head.owner == peer) {
            log_unusable(self.catalogues.handle_head(head, Via::Owner, now));
        }
        if let Some(seen) = greeting.yours.filter(|seen| self.is_outdone_by(seen)) {
            self.act(Action::Outdo(seen));
        }
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
            name: self.roster.own_claim().to_owned(),
            head: self.catalogues.own().map(|own| *own.head()),
            yours: self.catalogues.get(peer).map(|known| *known.head()),
        })
    }

    /// The own library has a new catalogue.
    pub fn handle_library(&mut self, own: Arc<Catalogue>, now: Instant) {
        self.catalogues.set_own(own.clone());
        self.act(Action::Publish(own));
        self.roster.handle_news(now);
        self.steps.push_back(OthersStep::Members);
    }

    /// A piece of a catalogue comes from its owner, or does not.
    pub fn handle_piece(
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
                self.roster.handle_unfinished(owner, now);
                Ok(())
            }
        };
        log_unusable(result);
    }

    /// Other keys are believed now.
    pub fn handle_keys(&mut self, now: Instant) {
        self.roster.handle_keys(now);
        self.catalogues.handle_keys(now);
    }

    /// How many bytes a second of a track takes, if that is known.
    pub fn bytes_a_second(&self, track: TrackId, database: &Database) -> Option<u64> {
        let own = self.catalogues.own();
        let own = own.and_then(|own| own.copies(track).find_map(|(_, entry)| entry.listed()));
        let listed = own.or_else(|| database.described(track))?;
        let millis = listed.duration.as_millis().max(1);
        u64::try_from(u128::from(listed.size) * 1000 / millis).ok()
    }

    /// The owners whose catalogues make the database.
    pub fn members(&mut self) -> Vec<DatabaseMember> {
        members::all(self.me, &self.roster, &mut self.catalogues)
    }

    /// The next thing that follows.
    pub fn poll(&mut self, now: Instant) -> Option<OthersStep> {
        self.follow(now);
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        if self.catalogues.take_change() {
            return Some(OthersStep::Members);
        }
        if let Some(want) = self.catalogues.poll() {
            return Some(Action::Want(want).into());
        }
        let order = self.catalogues.poll_archive(now)?;
        Some(Action::Archive(order).into())
    }

    /// Does what follows from changes of the roster.
    fn follow(&mut self, now: Instant) {
        while let Some(change) = self.roster.poll(now) {
            let step = match change {
                RosterChange::Here(peer, site) => {
                    self.catalogues.handle_here(peer, site, now);
                    continue;
                }
                RosterChange::Gone(peer) => {
                    self.catalogues.handle_gone(peer, now);
                    OthersStep::Gone(peer)
                }
                RosterChange::Dial {
                    peer,
                    addresses,
                    is_new,
                } => Action::Link {
                    peer,
                    addresses,
                    is_new,
                }
                .into(),
                RosterChange::HangUp(peer) => Action::Unlink(peer).into(),
                RosterChange::Moved => {
                    self.reminder.handle_news(now);
                    OthersStep::Shown
                }
                RosterChange::Members => OthersStep::Members,
                RosterChange::Doubted => OthersStep::Shown,
                RosterChange::Seen(peer) => OthersStep::Seen(peer),
                RosterChange::Greet(peer) => Action::Greet(peer, self.greeting(peer)).into(),
                RosterChange::LookForPeers(look) => Action::LookForPeers(look).into(),
            };
            self.steps.push_back(step);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = [
            self.catalogues.poll_timeout(),
            self.catalogues.archive_timeout(),
            self.roster.poll_timeout(),
            self.reminder.poll_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.catalogues.handle_timeout(now);
        self.settle_names(now);
        if self.reminder.is_due(now) {
            let here = self.roster.acquaintances_here();
            if self.reminder.is_worth_it(&here, now) {
                self.act(Action::Remember);
            }
        }
    }

    /// Takes note of which node has which name.
    pub fn settle_names(&mut self, now: Instant) {
        if self.roster.settle_names(now) {
            self.reminder.handle_names(now);
        }
    }

    fn act(&mut self, action: Action) {
        self.steps.push_back(action.into());
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
