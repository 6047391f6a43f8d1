//! What a node is called where trackers call it differently.
//!
//! A tracker gives a name to the node that had it there ([`crate::tenure`]). Trackers that did
//! not know of each other may so have given one name to two nodes. From then on each of the two
//! has its name at some trackers and a number at the others, for everybody to see, and all
//! decide alike:
//!
//! - A node has a name only while no tracker keeps that for another, unless that other is here
//!   and is kept from it, too.
//! - Of two such nodes the one with a number at fewer trackers has the name, and at equally
//!   many the one with the lower id.
//! - The other takes its number at all of them, so that they remember alike, whichever
//!   of them dies.

use std::time::{Duration, Instant};

use super::{LinkId, LinkUse, Links, SharedMember};
use crate::{
    id::PeerId,
    protocol::{Candidate, PeerRecord, Refusal},
    tenure::{is_numbered, numbered},
    tracker::registry::MAX_PEERS,
};

/// What trackers call one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called<'a> {
    pub peer: PeerId,
    /// The name, without a number if any tracker leaves that out.
    pub base: &'a str,
    /// What it is called by the first tracker that gives it a number.
    pub by_number: Option<&'a str>,
    /// How many trackers do.
    pub numbers: usize,
}

impl<'a> Called<'a> {
    /// Of what trackers call `peer`, the one with the lowest id first.
    pub fn by(peer: PeerId, words: &[&'a str]) -> Option<Self> {
        let mut bases = words.iter();
        let base = bases.find(|base| words.iter().all(|word| is_numbered(word, base)));
        // Words that do not go together are those of a person about to change them.
        let Some(base) = base else {
            let base = words.first()?;
            return Some(Self {
                peer,
                base,
                by_number: None,
                numbers: 0,
            });
        };
        let numbers = words.iter().filter(|word| *word != base);
        Some(Self {
            peer,
            base,
            by_number: numbers.clone().next().copied(),
            numbers: numbers.count(),
        })
    }

    /// What it is called while `rivals` are here, which have the name at some tracker.
    pub fn name(&self, rivals: &[Called]) -> &'a str {
        let rank = |called: &Called| (called.numbers, called.peer);
        match self.by_number {
            None => self.base,
            Some(_) if !rivals.is_empty() && rivals.iter().all(|r| rank(self) < rank(r)) => {
                self.base
            }
            Some(number) => number,
        }
    }
}

impl SharedMember {
    fn word(&self, peer: PeerId) -> Option<&str> {
        Some(&self.roster.record(peer)?.name)
    }

    fn own_word(&self) -> Option<&str> {
        match &self.standing {
            LinkUse::Up { name, .. } => Some(name),
            _ => None,
        }
    }
}

impl Links {
    fn called(&self, peer: PeerId) -> Option<Called<'_>> {
        let up = self.up();
        let words = up.iter().filter_map(|member| match peer == self.me {
            true => member.own_word(),
            false => member.word(peer),
        });
        Called::by(peer, &words.collect::<Vec<_>>())
    }

    /// The other nodes that have `name` at some tracker.
    fn rivals(&self, of: PeerId, name: &str) -> Vec<Called<'_>> {
        let mut rivals = Vec::new();
        for member in self.up() {
            let own = member.own_word().filter(|own| *own == name);
            let named = member.roster.named(name).chain(own.map(|_| self.me));
            rivals.extend(named.filter(|peer| *peer != of));
        }
        rivals.sort_unstable();
        rivals.dedup();
        rivals
            .into_iter()
            .filter_map(|peer| self.called(peer))
            .collect()
    }

    /// What `peer` is called by all trackers together.
    pub(super) fn name_of(&self, peer: PeerId) -> Option<&str> {
        let called = self.called(peer)?;
        let rivals = match called.by_number {
            Some(_) => self.rivals(peer, called.base),
            None => Vec::new(),
        };
        Some(called.name(&rivals))
    }

    /// The name of a record may be another by what trackers say of others.
    pub(super) fn rename(&self, mut record: PeerRecord) -> PeerRecord {
        if let Some(name) = self
            .name_of(record.peer)
            .filter(|name| **name != record.name)
        {
            record.name = name.to_owned();
        }
        record
    }

    /// What trackers call `peer` has changed, and has been told: tells of others whose names
    /// hang on it, and sees to the own one.
    pub(super) fn settle_names(&mut self, peer: Option<PeerId>, now: Instant) {
        let mut contested = std::mem::take(&mut self.contested);
        let mut renamed = Vec::new();
        contested.retain(|other, told| {
            let called = self.called(*other);
            let name = self.name_of(*other);
            if let Some(name) = name.filter(|name| name != told) {
                name.clone_into(told);
                renamed.push(*other);
            }
            called.is_some_and(|called| called.by_number.is_some())
        });
        if let Some(peer) = peer.filter(|_| contested.len() < MAX_PEERS) {
            let called = self.called(peer);
            if called.is_some_and(|called| called.by_number.is_some()) {
                let name = self.name_of(peer).unwrap_or_default();
                contested.insert(peer, name.to_owned());
            }
        }
        self.contested = contested;
        for other in renamed.into_iter().filter(|other| Some(*other) != peer) {
            self.tell_name(other);
        }
        self.settle_own_name(now);
        self.show();
    }

    /// Takes the number everywhere where the name is another's, and the name where the other
    /// has left it.
    pub(super) fn settle_own_name(&mut self, now: Instant) {
        let called = self.called(self.me);
        let Some(called) = called.filter(|called| called.by_number.is_some()) else {
            self.yields_at = None;
            return;
        };
        let (base, by_number) = (called.base.to_owned(), called.by_number.map(str::to_owned));
        // Of its numbers one is as good as another, if it is the same everywhere.
        let is_number = base != self.introduction.name;
        let rivals = self.rivals(self.me, &base);
        let has_rivals = !rivals.is_empty();
        let has_it = called.name(&rivals) == base;
        let rival = rivals.first().map(|rival| (rival.peer, base.clone()));
        let wait = match rivals.iter().any(|rival| rival.peer < self.me) {
            true => HIGHER_YIELDS_AFTER,
            false => LOWER_YIELDS_AFTER,
        };
        if rival.is_some() {
            self.rival = rival;
        }
        self.yields_at = match is_number || has_rivals && !has_it {
            true => self.yields_at.or(Some(now + wait)),
            false => None,
        };
        let yields = self.yields_at.take_if(|at| *at <= now).is_some();
        // One that no other has anywhere, so that all trackers can give the same.
        let numbers = (2..).map(|number| numbered(&base, number));
        let mut free = numbers.filter(|name| self.rivals(self.me, name).is_empty());
        let number = match is_number {
            true => by_number,
            false => free.next(),
        };
        drop(free);
        let number = number.filter(|_| yields);
        let mut anew: Vec<(LinkId, String, bool)> = Vec::new();
        for (id, member) in &mut self.links {
            let Some(own) = member.own_word().map(str::to_owned) else {
                continue;
            };
            let is_left = member.roster.named(&base).next().is_none();
            if own == base || !is_left {
                member.claimed = false;
            }
            if let Some(number) = number.as_ref().filter(|number| **number != own) {
                anew.push((*id, number.clone(), false));
            } else if own != base
                && is_left
                && !is_number
                && !std::mem::replace(&mut member.claimed, true)
            {
                anew.push((*id, base.clone(), true));
            }
        }
        for (id, name, claims) in anew {
            if let Some(member) = self.links.get_mut(&id) {
                member.link.register_as(name, claims, now);
                self.drain(id, now);
            }
        }
    }

    /// A tracker refuses this node since it keeps the name for another: it takes a number
    /// there rather than staying away. Says whether it does.
    pub(super) fn take_number(&mut self, id: LinkId, refusal: &Refusal, now: Instant) -> bool {
        let (name, is_chosen) = (
            self.introduction.name.clone(),
            self.introduction.name_chosen,
        );
        let Some(member) = self.links.get_mut(&id) else {
            return false;
        };
        let Refusal::NameTaken { holder, .. } = refusal else {
            return false;
        };
        // One that refuses that, too, is rested from.
        if !is_chosen || std::mem::replace(&mut member.takes_number, true) {
            return false;
        }
        member.kept_at = Some(*holder);
        member.link.register_as(name, false, now);
        self.drain(id, now);
        true
    }

    /// What a person must know of a name that two nodes have chosen.
    pub(super) fn clash(&self) -> Option<String> {
        let chosen = &self.introduction.name;
        let own = self.name_of(self.me)?;
        if !self.introduction.name_chosen {
            return None;
        }
        let place = |peer: PeerId| match *self.merged(peer)?.candidates.first()? {
            Candidate::At(at) => Some(format!(" at {}", at.ip())),
            Candidate::WithTracker { .. } => None,
        };
        if own != chosen {
            let rival = self.rivals(self.me, chosen).first().map(|rival| rival.peer);
            let kept = self.links.values().find_map(|member| member.kept_at);
            let kept = kept.map(|at| format!(" at {at}"));
            let at = rival.and_then(place).or(kept).unwrap_or_default();
            return Some(format!(
                "the name {chosen:?} belongs to the peer{at}, which keeps it for 30 days after \
                 it was here last; this node is called {own:?} until you choose another `name`"
            ));
        }
        let (rival, name) = self.rival.as_ref()?;
        let other = self
            .name_of(*rival)
            .filter(|other| is_numbered(other, name))?;
        let at = place(*rival).unwrap_or_default();
        Some(format!(
            "the name {chosen:?} was chosen for the peer{at}, too, which is called {other:?} now; \
             choose another `name` for one of the two"
        ))
    }
}

/// What a node must know to give up its name has come by then: that the other is registered with
/// a tracker does not say yet what the other's name is at the next. Of two that think they have to,
/// one is first.
const HIGHER_YIELDS_AFTER: Duration = Duration::from_secs(5);
const LOWER_YIELDS_AFTER: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    /// The rule for several trackers: (what trackers call this node and others that have
    /// its name somewhere, and what it is called).
    #[test]
    fn a_name_is_had_by_one_whatever_trackers_say() {
        /// A node, and what trackers call it.
        type Word = (u8, &'static [&'static str]);
        let cases: [(Word, &[Word], &str); 10] = [
            ((5, &["kitchen"]), &[], "kitchen"),
            ((5, &["kitchen", "kitchen"]), &[], "kitchen"),
            ((5, &["kitchen-2", "kitchen-2"]), &[], "kitchen-2"),
            // One tracker keeps it for a node that is away.
            ((5, &["kitchen", "kitchen-2"]), &[], "kitchen-2"),
            ((5, &["kitchen-3", "kitchen"]), &[], "kitchen-3"),
            // Each had it somewhere.
            (
                (5, &["kitchen", "kitchen-2"]),
                &[(9, &["kitchen-2", "kitchen"])],
                "kitchen",
            ),
            (
                (9, &["kitchen-2", "kitchen"]),
                &[(5, &["kitchen", "kitchen-2"])],
                "kitchen-2",
            ),
            // More trackers know the one.
            (
                (9, &["kitchen", "kitchen", "kitchen-2"]),
                &[(5, &["kitchen-2", "kitchen-2", "kitchen"])],
                "kitchen",
            ),
            (
                (5, &["kitchen", "kitchen-2"]),
                &[(9, &["kitchen"])],
                "kitchen-2",
            ),
            // Somebody is changing it.
            ((5, &["kitchen", "bath"]), &[], "kitchen"),
        ];
        for ((me, words), others, name) in cases {
            let called = Called::by(peer(me), words).unwrap();
            let others = others
                .iter()
                .map(|(n, words)| Called::by(peer(*n), words).unwrap());
            let others: Vec<_> = others.collect();
            assert_eq!(called.name(&others), name, "{me}: {words:?}, {others:?}");
        }
    }
}
