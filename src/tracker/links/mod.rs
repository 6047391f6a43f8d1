//! With which trackers a peer is registered, and what they say together.
//!
//! A tracker is a cache of what peers have signed, so several need not agree: a peer
//! registers with all that it is told of or finds, and of what they say the newest counts.
//! Each has a [`TrackerLink`] of its own; here they are chosen and put together, so that the node
//! hears as if there were one.
//!
//! What must hold:
//! - Those that a person has named come first, then those in use, then what is found, in the
//!   order in which it is found, which is the same for all: so all use the same.
//! - One tracker is registered with once, however many addresses it has. The others are
//!   there for when that one is lost.
//! - A peer is gone when no tracker speaks for it. While one does, the word of others, and
//!   their end, is not heard of.
//! - A peer has one name, whatever they call it (`naming`). Where it answers, and whether it
//!   is up, is what any of them says.
//! - That none is there is told; that one of several is not, only where a person has named it.

mod naming;
mod plan;
mod roster;
#[cfg(test)]
mod tests;
mod told;

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use self::{plan::MAX_SITES, roster::TrackerRoster};
use super::link::{self, Introduction, LinkCommand, TrackerEvent, TrackerLink};
use crate::{
    catalog::{Catalogue, Want},
    id::PeerId,
    protocol::{FromTracker, Registered, ToTracker},
    util::random::Random,
};

/// Names a link; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// What the links want done.
#[derive(Clone, Debug, PartialEq)]
pub enum LinksAction {
    /// Answered by [`Links::handle_connected`] or [`Links::handle_closed`].
    Connect {
        link: LinkId,
        to: String,
    },
    /// Only while it is connected.
    Send {
        link: LinkId,
        message: ToTracker,
    },
    /// Ends the connection or the attempt; not answered.
    Disconnect {
        link: LinkId,
    },
    Tell(TrackerEvent),
}

/// See the module's description.
#[derive(Debug)]
pub struct Links {
    me: PeerId,
    introduction: Introduction,
    /// Named by a person.
    configured: Vec<String>,
    /// Seen, in the order of all that see them.
    found: Vec<String>,
    /// Whether some may be found yet.
    seeks: bool,
    links: BTreeMap<LinkId, SharedMember>,
    last: u64,
    /// A person had this node leave.
    has_left: bool,
    catalogue: Option<Arc<Catalogue>>,
    /// The link that was asked last for what of an owner's.
    wanted: BTreeMap<PeerId, (LinkId, Want)>,
    /// What the node has been told of those that it is registered with, if it is.
    shown: Option<(String, Vec<IpAddr>, Vec<String>)>,
    /// What the node has been told of the names of those that have a number at some trackers.
    contested: BTreeMap<PeerId, String>,
    /// The node that had this one's name elsewhere, and that name.
    rival: Option<(PeerId, String)>,
    /// When it gives up its name to that, unless it need not then.
    yields_at: Option<Instant>,
    /// How often one that did not answer has given its place to another.
    turns: u32,
    random: Random,
    actions: VecDeque<LinksAction>,
}

#[derive(Debug)]
struct SharedMember {
    to: String,
    link: TrackerLink,
    /// The tracker that answered there last.
    tracker: Option<PeerId>,
    standing: LinkUse,
    /// Why it is of no use now.
    trouble: Option<String>,
    is_refused: bool,
    /// It takes a number there, since the name is kept for another, which was seen there.
    takes_number: bool,
    kept_at: Option<IpAddr>,
    /// It has asked there for the name that another has left, or need not.
    claimed: bool,
    roster: TrackerRoster,
}

/// How a link is used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LinkUse {
    Trying,
    /// Registered, under this name, and reached there.
    Up {
        name: String,
        at: IpAddr,
    },
    /// Its tracker is registered with by another address.
    Aside,
    /// It is to be left, and then to be forgotten.
    Going,
    /// It was left.
    Left {
        confirmed: bool,
    },
}

impl SharedMember {
    fn is_up(&self) -> bool {
        matches!(self.standing, LinkUse::Up { .. })
    }

    /// What is wrong with it while others do its work, and what to do.
    fn trouble_in_words(&self) -> Option<String> {
        let (to, why) = (&self.to, self.trouble.as_ref()?);
        Some(match self.is_refused {
            true => format!("the tracker at {to} refuses this node: {why}"),
            false => format!(
                "no tracker at {to}: {why}; nothing is missed while another is there: start it, or \
                 take it out of `peer.tracker`"
            ),
        })
    }

    fn has_place(&self) -> bool {
        !matches!(self.standing, LinkUse::Aside | LinkUse::Going)
    }
}

impl Links {
    /// Links to no tracker yet. `seed` spreads the attempts of many peers.
    pub fn new(me: PeerId, introduction: Introduction, seed: u64) -> Self {
        Self {
            me,
            introduction,
            configured: Vec::new(),
            found: Vec::new(),
            seeks: true,
            links: BTreeMap::new(),
            last: 0,
            has_left: false,
            catalogue: None,
            wanted: BTreeMap::new(),
            shown: None,
            contested: BTreeMap::new(),
            rival: None,
            yields_at: None,
            turns: 0,
            random: Random::new(seed),
            actions: VecDeque::new(),
        }
    }

    pub fn handle_command(&mut self, command: LinkCommand, now: Instant) {
        match command {
            LinkCommand::Trackers(found) => {
                self.found = found;
                self.found.truncate(MAX_SITES);
                self.plan(now);
            }
            LinkCommand::Configured(configured) => {
                self.seeks = false;
                self.configure(configured, now);
            }
            LinkCommand::Seek => {
                self.seeks = true;
                self.configure(Vec::new(), now);
            }
            LinkCommand::Publish(catalogue) => {
                self.catalogue = Some(catalogue.clone());
                self.command_all(&LinkCommand::Publish(catalogue), now);
            }
            LinkCommand::Want { owner, what } => self.handle_want(owner, what, now),
            LinkCommand::Moved | LinkCommand::Keys => self.command_all(&command, now),
            LinkCommand::Leave => {
                self.has_left = true;
                self.command_all(&command, now);
                if self.active().next().is_none() {
                    self.tell_left();
                }
            }
            LinkCommand::Join if self.has_left => {
                self.has_left = false;
                for member in self.links.values_mut() {
                    if matches!(member.standing, LinkUse::Left { .. }) {
                        member.standing = LinkUse::Trying;
                    }
                }
                self.command_all(&command, now);
                self.plan(now);
            }
            LinkCommand::Join => {}
        }
    }

    /// The connection that was asked for is there, to `tracker`. `candidates` are this
    /// node's own addresses, at most [`crate::protocol::MAX_CANDIDATES`].
    pub fn handle_connected(
        &mut self,
        id: LinkId,
        (tracker, reached_at): (Option<PeerId>, IpAddr),
        candidates: Vec<IpAddr>,
        now: Instant,
    ) {
        let mut others = self.links.iter().filter(|(other, _)| **other != id);
        let is_there = tracker.is_some()
            && others.any(|(_, other)| {
                other.tracker == tracker
                    && other.link.is_connected()
                    && other.standing != LinkUse::Going
            });
        let Some(member) = self.links.get_mut(&id) else {
            return;
        };
        member.tracker = tracker;
        if is_there && member.standing == LinkUse::Trying {
            member.standing = LinkUse::Aside;
            (member.trouble, member.is_refused) = (None, false);
            self.actions.push_back(LinksAction::Disconnect { link: id });
            self.show();
            return self.plan(now);
        }
        member.link.handle_connected(reached_at, candidates, now);
        self.drain(id, now);
    }

    /// The connection, or the attempt at one, came to an end.
    pub fn handle_closed(&mut self, id: LinkId, why: String, now: Instant) {
        if let Some(member) = self.links.get_mut(&id) {
            member.link.handle_closed(why, now);
            self.drain(id, now);
        }
    }

    pub fn handle_message(&mut self, id: LinkId, message: FromTracker, now: Instant) {
        if let Some(member) = self.links.get_mut(&id) {
            member.link.handle_message(message, now);
            self.drain(id, now);
        }
    }

    /// A message of this kind, which only a later version knows.
    pub fn handle_unknown(&mut self, id: LinkId, kind: i64, now: Instant) {
        if let Some(member) = self.links.get_mut(&id) {
            member.link.handle_unknown(kind, now);
            self.drain(id, now);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let active = self
            .active()
            .filter_map(|(_, member)| member.link.poll_timeout());
        active.chain(self.yields_at).min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let is_due =
            |member: &SharedMember| member.link.poll_timeout().is_some_and(|due| due <= now);
        let due = self.active().filter(|(_, member)| is_due(member));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(member) = self.links.get_mut(&id) {
                member.link.handle_timeout(now);
                self.drain(id, now);
            }
        }
        if self.yields_at.is_some_and(|at| at <= now) {
            self.settle_own_name(now);
        }
    }

    /// The one address that the peer serves on, where it does not serve on all.
    pub fn bound(&self) -> Option<IpAddr> {
        self.introduction.bound
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<LinksAction> {
        self.actions.pop_front()
    }

    /// Those that do something.
    fn active(&self) -> impl Iterator<Item = (&LinkId, &SharedMember)> {
        let links = self.links.iter();
        links.filter(|(_, member)| member.standing != LinkUse::Aside)
    }

    /// Those that this node is registered with, the lowest id first.
    fn up(&self) -> Vec<&SharedMember> {
        let mut up: Vec<&SharedMember> = self.links.values().filter(|m| m.is_up()).collect();
        up.sort_by_key(|member| member.tracker);
        up
    }

    fn command_all(&mut self, command: &LinkCommand, now: Instant) {
        for (id, _) in self.addresses() {
            self.command(id, command, now);
        }
    }

    fn command(&mut self, id: LinkId, command: &LinkCommand, now: Instant) {
        if let Some(member) = self.links.get_mut(&id) {
            member.link.handle_command(command.clone(), now);
            self.drain(id, now);
        }
    }

    /// Takes what a link wants and says.
    fn drain(&mut self, id: LinkId, now: Instant) {
        let Some(member) = self.links.get_mut(&id) else {
            return;
        };
        let actions: Vec<_> = std::iter::from_fn(|| member.link.poll()).collect();
        let is_aside = member.standing == LinkUse::Aside;
        for action in actions {
            match action {
                link::LinkAction::Connect { to } if !is_aside => {
                    self.actions
                        .push_back(LinksAction::Connect { link: id, to });
                }
                link::LinkAction::Send(message) if !is_aside => {
                    self.actions
                        .push_back(LinksAction::Send { link: id, message });
                }
                link::LinkAction::Connect { .. } | link::LinkAction::Send(_) => {}
                link::LinkAction::Disconnect => {
                    self.actions.push_back(LinksAction::Disconnect { link: id });
                }
                link::LinkAction::Tell(event) => self.handle_event(id, event, now),
            }
        }
    }

    fn tell(&mut self, event: TrackerEvent) {
        self.actions.push_back(LinksAction::Tell(event));
    }

    fn handle_event(&mut self, id: LinkId, event: TrackerEvent, now: Instant) {
        match event {
            TrackerEvent::Connecting { .. } if self.shown.is_some() => {}
            TrackerEvent::Registered {
                registered,
                reached_at,
            } => self.handle_registered(id, registered, reached_at, now),
            TrackerEvent::Refused(refusal) => {
                if self.take_number(id, &refusal, now) {
                    return;
                }
                let is_alone = self.shown.is_none();
                if let Some(member) = self.links.get_mut(&id) {
                    member.trouble = Some(refusal.to_string());
                    member.is_refused = true;
                }
                match is_alone {
                    true => self.tell(TrackerEvent::Refused(refusal)),
                    false => self.show(),
                }
            }
            TrackerEvent::Lost { to, why } => self.handle_lost(id, to, why, now),
            TrackerEvent::Message(message) => self.handle_told(id, message, now),
            TrackerEvent::Left { confirmed } => self.handle_left(id, confirmed),
            TrackerEvent::Unwanted => {}
            event => self.tell(event),
        }
    }

    fn handle_registered(&mut self, id: LinkId, registered: Registered, at: IpAddr, now: Instant) {
        let wanted = self.introduction.name.clone();
        let Some(member) = self.links.get_mut(&id) else {
            return;
        };
        let name = registered.name.clone();
        let is_numbered = !self.introduction.name_chosen && name != self.introduction.name;
        if is_numbered && self.introduction.known_as.is_none() {
            // The others are to call it so, too.
            self.introduction.known_as = Some(name.clone());
        }
        member.claimed = name != wanted;
        if !member.claimed {
            (member.takes_number, member.kept_at) = (false, None);
        }
        member.standing = LinkUse::Up { name, at };
        (member.trouble, member.is_refused) = (None, false);
        member.roster = TrackerRoster::default();
        self.turns = 0;
        if self.shown.is_none() {
            self.shown = Some((registered.name.clone(), vec![at], Vec::new()));
            self.tell(TrackerEvent::Registered {
                registered,
                reached_at: at,
            });
        }
        self.settle_names(None, now);
    }

    /// A tracker is lost, or to be left. For the peers that it alone has spoken for nobody
    /// does now.
    fn handle_lost(&mut self, id: LinkId, to: String, why: String, now: Instant) {
        let Some(member) = self.links.get_mut(&id) else {
            return;
        };
        let (was_up, tracker) = (
            member.is_up() || member.standing == LinkUse::Going,
            member.tracker,
        );
        let roster = std::mem::take(&mut member.roster);
        (member.trouble, member.is_refused) = (Some(why.clone()), false);
        (member.takes_number, member.kept_at) = (false, None);
        if member.is_up() {
            member.standing = LinkUse::Trying;
        }
        if self.links.values().all(|member| !member.is_up()) {
            self.shown = None;
            self.wanted.clear();
            // One that a person does not want any more is not missed.
            if !to.is_empty() {
                let (to, why) = self.lost_in_words(to, why);
                self.tell(TrackerEvent::Lost { to, why });
            }
        } else if was_up {
            self.handle_less(id, &roster);
        }
        self.settle_names(None, now);
        self.revive(id, tracker, now);
        self.give_turn(id, now);
    }

    /// All that a person has named and that are lost, and why each is.
    fn lost_in_words(&self, to: String, why: String) -> (String, String) {
        let named = self.links.values().filter_map(|member| {
            let why = member.trouble.as_ref()?;
            let is_named = self.configured.contains(&member.to);
            is_named.then_some((&*member.to, &**why))
        });
        let named: Vec<(&str, &str)> = named.collect();
        match named.split_last() {
            Some(((last, _), others @ [_, ..])) => {
                let others: Vec<&str> = others.iter().map(|(to, _)| *to).collect();
                let whys: Vec<String> = named
                    .iter()
                    .map(|(to, why)| format!("{to}: {why}"))
                    .collect();
                (format!("{} and {last}", others.join(", ")), whys.join("; "))
            }
            _ => (to, why),
        }
    }

    /// Tells which trackers this node is registered with, and what is wrong with the others,
    /// when that has changed.
    fn show(&mut self) {
        let Some(shown) = &self.shown else {
            return;
        };
        let Some(name) = self.name_of(self.me).map(str::to_owned) else {
            return;
        };
        let place = |member: &SharedMember| match member.standing {
            LinkUse::Up { at, .. } => Some(at),
            _ => None,
        };
        let at: Vec<IpAddr> = self.up().into_iter().filter_map(place).collect();
        let matters = |member: &&SharedMember| {
            member.standing == LinkUse::Trying
                && (member.is_refused || self.configured.contains(&member.to))
        };
        let troubles = self.links.values().filter(matters);
        let troubles = troubles.filter_map(SharedMember::trouble_in_words);
        let troubles: Vec<String> = troubles.chain(self.clash()).collect();
        if (&name, &at, &troubles) == (&shown.0, &shown.1, &shown.2) {
            return;
        }
        self.shown = Some((name.clone(), at.clone(), troubles.clone()));
        self.tell(TrackerEvent::Several { name, at, troubles });
    }

    fn handle_left(&mut self, id: LinkId, confirmed: bool) {
        let Some(member) = self.links.get_mut(&id) else {
            return;
        };
        if member.standing == LinkUse::Going {
            self.remove(id);
            return self.tell_unwanted();
        }
        let was_up = member.is_up();
        member.standing = match member.standing {
            LinkUse::Aside => LinkUse::Aside,
            // One that was not there need not know.
            _ => LinkUse::Left {
                confirmed: confirmed || !was_up && self.shown.is_some(),
            },
        };
        member.roster = TrackerRoster::default();
        self.tell_left();
    }

    fn tell_left(&mut self) {
        let mut confirmed = self.has_left && !self.links.is_empty();
        let mut is_over = self.has_left;
        for (_, member) in self.active() {
            match member.standing {
                LinkUse::Left { confirmed: one } => confirmed &= one,
                LinkUse::Going => {}
                _ => is_over = false,
            }
        }
        if !is_over {
            return;
        }
        self.shown = None;
        self.tell(TrackerEvent::Left { confirmed });
    }

    fn is_unwanted(&self) -> bool {
        !self.seeks && self.configured.is_empty() && self.found.is_empty()
    }

    fn tell_unwanted(&mut self) {
        if self.links.is_empty() && self.is_unwanted() {
            self.tell(TrackerEvent::Unwanted);
        }
    }
}
