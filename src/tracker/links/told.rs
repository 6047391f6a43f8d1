//! What trackers say of others, put together, and which of them is asked.

use std::time::Instant;

use super::{
    roster::{self, HeadNo, TrackerRoster},
    LinkId, LinkUse, Links, LinksAction, SharedMember,
};
use crate::{
    catalog::Want,
    id::PeerId,
    protocol::{FromTracker, PeerRecord, PeerState, ToTracker, MAX_CANDIDATES},
    tracker::{
        link::{LinkCommand, TrackerEvent},
        registry::MAX_PEERS,
    },
};
impl Links {
    /// One of several is lost, which has named all in `roster`.
    pub(super) fn handle_less(&mut self, id: LinkId, roster: &TrackerRoster) {
        let mut unvouched = Vec::new();
        for peer in roster.peers() {
            match self.merged(peer) {
                Some(record) => self.tell_message(FromTracker::Peer(record)),
                None => unvouched.push(peer),
            }
        }
        if !unvouched.is_empty() {
            self.tell(TrackerEvent::Unvouched(unvouched));
        }
        let lost: Vec<(PeerId, Want)> = self
            .wanted
            .iter()
            .filter(|(_, (asked, _))| *asked == id)
            .map(|(owner, (_, what))| (*owner, *what))
            .collect();
        for (owner, what) in lost {
            self.ask_another(owner, what);
        }
    }

    /// What a tracker says, as it is together with what the others do.
    pub(super) fn handle_told(&mut self, id: LinkId, message: FromTracker, now: Instant) {
        match message {
            FromTracker::Peer(record) => {
                let peer = record.peer;
                let before = self.merged(peer);
                if let Some(member) = self.links.get_mut(&id) {
                    member.roster.handle_record(record);
                }
                self.tell_merged(peer, before);
                self.settle_names(Some(peer), now);
            }
            FromTracker::Gone { peer, left } => {
                let before = self.merged(peer);
                if let Some(member) = self.links.get_mut(&id) {
                    member.roster.handle_gone(peer);
                }
                match self.merged(peer) {
                    Some(_) => self.tell_merged(peer, before),
                    None => self.tell_message(FromTracker::Gone { peer, left }),
                }
                self.settle_names(Some(peer), now);
            }
            FromTracker::Head(head) => {
                if let Some(member) = self.links.get_mut(&id) {
                    member.roster.handle_head(&head.head);
                }
                self.tell_message(FromTracker::Head(head));
            }
            FromTracker::NotHere { owner } => {
                if let Some(member) = self.links.get_mut(&id) {
                    member.roster.handle_not_here(owner);
                }
                match self.wanted.get(&owner) {
                    Some((asked, what)) if *asked == id => {
                        let what = *what;
                        self.ask_another(owner, what);
                    }
                    _ => self.tell_message(FromTracker::NotHere { owner }),
                }
            }
            message => self.tell_message(message),
        }
    }

    fn tell_merged(&mut self, peer: PeerId, before: Option<PeerRecord>) {
        if let Some(record) = self.merged(peer).filter(|now| before.as_ref() != Some(now)) {
            self.tell_message(FromTracker::Peer(record));
        }
    }

    /// Its name is another by what trackers say of others.
    pub(super) fn tell_name(&mut self, peer: PeerId) {
        if let Some(record) = self.merged(peer) {
            self.tell_message(FromTracker::Peer(record));
        }
    }

    fn tell_message(&mut self, message: FromTracker) {
        self.tell(TrackerEvent::Message(message));
    }

    /// What all trackers together say of `peer`.
    pub(super) fn merged(&self, peer: PeerId) -> Option<PeerRecord> {
        let mut merged: Option<PeerRecord> = None;
        for member in self.up() {
            let LinkUse::Up { at, .. } = member.standing else {
                continue;
            };
            let Some(record) = member.roster.record(peer) else {
                continue;
            };
            let record = roster::reached_by(record, at);
            let Some(merged) = &mut merged else {
                merged = Some(record);
                continue;
            };
            if record.state == PeerState::Up {
                merged.state = PeerState::Up;
            }
            for candidate in record.candidates {
                if !merged.candidates.contains(&candidate) {
                    merged.candidates.push(candidate);
                }
            }
            merged.candidates.truncate(MAX_CANDIDATES + 1);
        }
        merged.map(|record| self.rename(record))
    }

    /// Asks the tracker that has the newest there is of `owner`.
    pub(super) fn handle_want(&mut self, owner: PeerId, what: Want, now: Instant) {
        if let Some(id) = self.best_for(owner) {
            if self.wanted.len() < MAX_PEERS || self.wanted.contains_key(&owner) {
                self.wanted.insert(owner, (id, what));
            }
            self.command(id, &LinkCommand::Want { owner, what }, now);
        }
    }

    fn best_for(&self, owner: PeerId) -> Option<LinkId> {
        let up = self.links.iter().filter(|(_, member)| member.is_up());
        let newest = |member: &SharedMember| -> Option<HeadNo> { member.roster.head(owner) };
        up.max_by_key(|(id, member)| (newest(member), std::cmp::Reverse(**id)))
            .map(|(id, _)| *id)
    }

    /// One that was asked for something of `owner`'s does not have it, or is lost.
    pub(super) fn ask_another(&mut self, owner: PeerId, what: Want) {
        self.wanted.remove(&owner);
        let has_it = |id: &LinkId| self.links[id].roster.head(owner).is_some();
        match self.best_for(owner).filter(has_it) {
            Some(id) => {
                self.wanted.insert(owner, (id, what));
                let message = match what {
                    Want::List => ToTracker::WantList { owner },
                    Want::Page(index) => ToTracker::WantPage { owner, index },
                };
                self.actions
                    .push_back(LinksAction::Send { link: id, message });
            }
            None => self.tell_message(FromTracker::NotHere { owner }),
        }
    }
}
