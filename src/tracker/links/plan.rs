//! Which trackers are tried, and in which order.

use std::time::{Duration, Instant};

use super::{LinkId, LinkUse, Links, LinksAction, SharedMember, TrackerLink, TrackerRoster};
use crate::{id::PeerId, tracker::link::LinkCommand, util::backoff::Backoff};

impl Links {
    /// A person wants these, and no others but what is found.
    pub(super) fn configure(&mut self, configured: Vec<String>, now: Instant) {
        self.configured = configured;
        self.found.clear();
        self.turns = 0;
        for (id, to) in self.addresses() {
            if self.configured.contains(&to) {
                self.command(id, &LinkCommand::Configured(vec![to]), now);
            } else if self.has_left || !self.is(id, TrackerLink::is_connected) {
                self.remove(id);
            } else if let Some(member) = self.links.get_mut(&id) {
                let was_up = member.is_up();
                member.standing = LinkUse::Going;
                if was_up {
                    self.handle_lost(id, String::new(), String::new(), now);
                }
                self.command(id, &LinkCommand::Leave, now);
            }
        }
        self.plan(now);
        self.tell_unwanted();
    }

    pub(super) fn addresses(&self) -> Vec<(LinkId, String)> {
        let links = self.links.iter();
        links.map(|(id, member)| (*id, member.to.clone())).collect()
    }

    fn is(&self, id: LinkId, so: impl Fn(&TrackerLink) -> bool) -> bool {
        self.links.get(&id).is_some_and(|member| so(&member.link))
    }

    /// Ends links of which nothing is seen any more, and begins those for which there is
    /// room.
    pub(super) fn plan(&mut self, now: Instant) {
        if self.has_left {
            return;
        }
        for (id, to) in self.addresses() {
            let is_wanted = self.configured.contains(&to) || self.found.contains(&to);
            // What mDNS does not see any more may well be there.
            if !is_wanted && self.is(id, TrackerLink::is_idle) {
                self.remove(id);
            }
        }
        let wanted: Vec<String> = self.configured.iter().chain(&self.found).cloned().collect();
        for (n, to) in (0..).zip(wanted) {
            let is_named = self.configured.contains(&to);
            let after = if is_named { Duration::ZERO } else { APART * n };
            self.begin(to, now + after);
        }
    }

    fn begin(&mut self, to: String, at: Instant) {
        let is_there = self.links.values().any(|member| member.to == to);
        let places = self.links.values().filter(|member| member.has_place());
        if is_there || places.count() >= MAX_LINKS || self.links.len() >= MAX_SITES {
            return;
        }
        self.last += 1;
        let seed = self.random.draw();
        let mut link = TrackerLink::new(self.introduction.clone(), seed, at);
        link.handle_command(LinkCommand::Trackers(vec![to.clone()]), at);
        if let Some(catalogue) = &self.catalogue {
            link.handle_command(LinkCommand::Publish(catalogue.clone()), at);
        }
        let member = SharedMember {
            to,
            link,
            tracker: None,
            standing: LinkUse::Trying,
            trouble: None,
            is_refused: false,
            takes_number: false,
            kept_at: None,
            claimed: false,
            roster: TrackerRoster::default(),
        };
        self.links.insert(LinkId(self.last), member);
    }

    pub(super) fn remove(&mut self, id: LinkId) {
        if self.links.remove(&id).is_some() {
            self.actions.push_back(LinksAction::Disconnect { link: id });
        }
    }

    /// The other addresses of a tracker that is lost are tried again.
    pub(super) fn revive(&mut self, id: LinkId, tracker: Option<PeerId>, now: Instant) {
        let Some(tracker) = tracker else {
            return;
        };
        let aside = self.links.iter().filter(|(other, member)| {
            **other != id && member.standing == LinkUse::Aside && member.tracker == Some(tracker)
        });
        for (id, to) in aside
            .map(|(id, member)| (*id, member.to.clone()))
            .collect::<Vec<_>>()
        {
            self.links.remove(&id);
            self.begin(to, now);
        }
    }

    /// One that was found and does not answer gives its place to the next that was.
    pub(super) fn give_turn(&mut self, id: LinkId, now: Instant) {
        let Some(member) = self.links.get(&id) else {
            return;
        };
        let is_there = |to: &String| self.links.values().any(|member| member.to == *to);
        let place = self.found.iter().position(|to| *to == member.to);
        let Some(place) = place.filter(|_| !self.configured.contains(&member.to)) else {
            return;
        };
        let (before, after) = self.found.split_at(place);
        let next = after.iter().chain(before).find(|to| !is_there(to)).cloned();
        let Some(next) = next else {
            return;
        };
        self.turns += 1;
        let round = self.turns / self.found.len().max(1) as u32;
        let rest = match round {
            0 => Duration::ZERO,
            _ => Backoff::new(FIRST_REST, LONGEST_REST).rest(round),
        };
        self.remove(id);
        self.begin(next, now + rest);
    }
}

/// Trackers that a peer is registered with: more than a home has, and three may die.
pub(super) const MAX_LINKS: usize = 4;
/// Addresses that are known of; a tracker has some.
pub(super) const MAX_SITES: usize = 32;
/// Between those that are found, which may be addresses of one: the likeliest are first.
const APART: Duration = Duration::from_millis(100);
/// When all that were found have been tried once without an answer.
const FIRST_REST: Duration = Duration::from_millis(250);
/// As a link's own.
const LONGEST_REST: Duration = Duration::from_secs(8);
