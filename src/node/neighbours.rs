//! The peers that this node can find without a tracker, and when it greets them.
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
//! - A peer that floods is heard once a second. Greetings under way, and contacts, are bounded.
//!
//! Not here: the names of the peers that are here (`directory`), and what they have
//! (`catalogues`).

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    id::{check_name, PeerId},
    util::{
        backoff::Backoff,
        random::{part_of, Random},
    },
};

/// A peer that was here lately, as it is remembered over a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acquaintance {
    pub peer: PeerId,
    pub name: String,
    /// Where it answered, the likeliest first.
    pub addresses: Vec<SocketAddr>,
}

/// See the module's description.
#[derive(Debug)]
pub struct Neighbours {
    me: PeerId,
    contacts: BTreeMap<PeerId, Contact>,
    standing: PresenceVoucher,
    /// Greetings under way.
    asking: usize,
    /// When somebody is to be greeted next, unless that is nobody.
    wake: Option<Instant>,
    /// Grows with each peer that goes: the lowest is forgotten first.
    parted: u64,
    random: Random,
}

/// By whose word peers are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PresenceVoucher {
    /// A tracker may be found yet, until then.
    Waiting(Instant),
    /// A tracker does.
    Told,
    /// Nobody.
    Alone,
    /// This node has left, or must not show itself.
    Silent,
}

#[derive(Debug)]
struct Contact {
    name: String,
    /// Where it may answer, the likeliest first.
    hints: Vec<SocketAddr>,
    /// The tracker speaks for it.
    is_vouched: bool,
    /// It is in the directory.
    is_here: bool,
    /// By mDNS.
    is_announced: bool,
    /// It was here, and only the tracker does not see it any more.
    is_missed: bool,
    is_asked: bool,
    /// The greeting under way does not tell the news.
    is_behind: bool,
    /// It has not been greeted since other keys are believed: what it says may have been said
    /// with one of before.
    is_unsure: bool,
    /// Greetings in a row without an answer.
    failures: u32,
    due: Instant,
    /// When its last greeting was taken.
    heard: Option<Instant>,
    /// The higher, the later it went.
    parted: u64,
}

/// What a greeting without an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreetingSilence {
    /// It is asked again at once.
    Doubtful,
    /// It is here no more, if it was.
    Gone,
}

impl Neighbours {
    /// Begins with the peers that are remembered. `seed` spreads the greetings of many.
    pub fn new(me: PeerId, known: &[Acquaintance], seed: u64, now: Instant) -> Self {
        let mut this = Self {
            me,
            contacts: BTreeMap::new(),
            standing: PresenceVoucher::Waiting(now + WAIT_FOR_TRACKER),
            asking: 0,
            wake: None,
            parted: 0,
            random: Random::new(seed),
        };
        let known = known.iter().filter(|known| check_name(&known.name).is_ok());
        for known in known.take(MAX_REMEMBERED) {
            let due = now + this.random.part_of(SPREAD);
            this.parted += 1;
            let parted = this.parted;
            if let Some(contact) = this.contact(known.peer, due) {
                contact.name.clone_from(&known.name);
                contact.hints.clone_from(&known.addresses);
                contact.hints.truncate(MAX_HINTS);
                contact.parted = parted;
            }
        }
        this.plan();
        this
    }

    /// A tracker takes this node, and names all peers that are here.
    pub fn handle_registered(&mut self, now: Instant) {
        self.standing = PresenceVoucher::Told;
        for contact in self.contacts.values_mut() {
            // Nobody looks for them any more, nor hears when they go.
            contact.is_announced = false;
        }
        self.forget();
        self.unvouch(TRACKER_NAMES_WITHIN, now);
    }

    /// Of several trackers none speaks for these any more: they are asked soon.
    pub fn handle_unvouched(&mut self, peers: &[PeerId], now: Instant) {
        let spread = SPREAD.max(self.round());
        for peer in peers {
            let some = self.random.part_of(spread);
            if let Some(contact) = self.contacts.get_mut(peer) {
                contact.is_vouched = false;
                contact.failures = contact.failures.min(PATIENCE - 1);
                contact.due = now + some;
            }
        }
        self.plan();
    }

    /// No tracker is there (any more), or a person wants none.
    pub fn handle_alone(&mut self, now: Instant) {
        if self.standing != PresenceVoucher::Alone {
            self.standing = PresenceVoucher::Alone;
            self.unvouch(Duration::ZERO, now);
        }
    }

    /// This node has left, or must not show itself.
    pub fn handle_silent(&mut self) {
        self.standing = PresenceVoucher::Silent;
        self.plan();
    }

    /// Whether it answers greetings.
    pub fn is_silent(&self) -> bool {
        self.standing == PresenceVoucher::Silent
    }

    /// Whether it has to find the others by itself.
    pub fn is_alone(&self) -> bool {
        self.standing == PresenceVoucher::Alone
    }

    /// The tracker speaks for `peer`.
    pub fn handle_vouched(&mut self, peer: PeerId, name: &str, now: Instant) {
        if let Some(contact) = self.contact(peer, now) {
            (contact.is_vouched, contact.is_here) = (true, true);
            (contact.is_missed, contact.failures) = (false, 0);
            name.clone_into(&mut contact.name);
            self.plan();
        }
    }

    /// The tracker says that `peer` is gone, which was at `addresses`. A peer that has not
    /// said goodbye may have lost the tracker only: it is greeted.
    pub fn handle_gone(
        &mut self,
        peer: PeerId,
        has_left: bool,
        addresses: Vec<SocketAddr>,
        now: Instant,
    ) {
        let due = now + self.random.part_of(SPREAD);
        self.parted += 1;
        let parted = self.parted;
        if let Some(contact) = self.contacts.get_mut(&peer) {
            contact.part(addresses, parted);
            contact.is_missed = !has_left;
            contact.failures = if has_left { PATIENCE } else { PATIENCE - 1 };
            contact.due = due;
        }
        self.forget();
        self.plan();
    }

    /// `peer` announces itself at `addresses`; at none when it does so no more.
    pub fn handle_sighting(&mut self, peer: PeerId, addresses: Vec<SocketAddr>, now: Instant) {
        let due = now + self.random.part_of(SPREAD);
        if addresses.is_empty() {
            if let Some(contact) = self.contacts.get_mut(&peer) {
                contact.is_announced = false;
                // A peer that is here says so.
                contact.failures = contact.failures.max(PATIENCE - 1);
                contact.due = contact.due.min(due);
            }
        } else if let Some(contact) = self.contact(peer, due) {
            let is_elsewhere = addresses.iter().any(|at| !contact.hints.contains(at));
            // A peer that was away and is where it was is back, too.
            let is_back = !std::mem::replace(&mut contact.is_announced, true);
            let is_news = is_elsewhere || is_back;
            contact.hint(addresses);
            if is_news && !contact.is_here {
                contact.failures = 0;
                contact.due = due;
            }
        }
        self.forget();
        self.plan();
    }

    /// Whether a greeting of `peer`'s may be taken: not one right after the other.
    pub fn may_greet(&self, peer: PeerId, now: Instant) -> bool {
        let heard = self.contacts.get(&peer).and_then(|contact| contact.heard);
        heard.is_none_or(|heard| now >= heard + HEARD_EVERY)
    }

    /// `peer` has greeted, and is in the directory.
    pub fn handle_greeted(&mut self, peer: PeerId, name: &str, at: SocketAddr, now: Instant) {
        self.handle_met(peer, name, at, now);
        if let Some(contact) = self.contacts.get_mut(&peer) {
            contact.heard = Some(now);
        }
    }

    /// `peer` has answered, and is in the directory.
    pub fn handle_met(&mut self, peer: PeerId, name: &str, at: SocketAddr, now: Instant) {
        let interval = self.interval();
        if let Some(contact) = self.contact(peer, now) {
            name.clone_into(&mut contact.name);
            contact.hint(vec![at]);
            (contact.is_here, contact.is_missed) = (true, false);
            if !contact.is_unsure {
                contact.failures = 0;
                contact.due = match std::mem::take(&mut contact.is_behind) {
                    true => now + TELL_WITHIN,
                    false => now + interval,
                };
            }
            self.plan();
        }
    }

    /// `peer` had no time for a greeting, or did not give what it told of in one.
    pub fn handle_unfinished(&mut self, peer: PeerId, now: Instant) {
        if let Some(contact) = self.contacts.get_mut(&peer) {
            // What has passed is when this greeting was due.
            let is_ahead = contact.due > now && contact.due < now + RETRY;
            if !is_ahead {
                contact.due = now + RETRY;
            }
        }
        self.plan();
    }

    /// The greeting that was under way to `peer` is over.
    pub fn handle_done(&mut self, peer: PeerId) {
        if let Some(contact) = self.contacts.get_mut(&peer) {
            if std::mem::take(&mut contact.is_asked) {
                self.asking = self.asking.saturating_sub(1);
            }
        }
        self.plan();
    }

    /// `peer`, which was at `addresses`, has not answered; or not as a peer that is here does,
    /// when it `declines`.
    pub fn handle_silence(
        &mut self,
        peer: PeerId,
        declines: bool,
        addresses: Vec<SocketAddr>,
        now: Instant,
    ) -> GreetingSilence {
        self.parted += 1;
        let parted = self.parted;
        let seldom = self.random.draw();
        let Some(contact) = self.contacts.get_mut(&peer) else {
            return GreetingSilence::Gone;
        };
        contact.failures = match declines {
            true => contact.failures.max(PATIENCE),
            false => contact.failures.saturating_add(1),
        };
        if contact.failures < PATIENCE {
            contact.due = now + RETRY;
            self.plan();
            return GreetingSilence::Doubtful;
        }
        if contact.is_here {
            contact.part(addresses, parted);
        }
        contact.is_missed = false;
        let rests = Backoff::new(FIRST_REST, LONGEST_REST);
        contact.due = now + rests.spread_rest(contact.failures - PATIENCE, seldom);
        self.forget();
        self.plan();
        GreetingSilence::Gone
    }

    /// There is something to tell: the peers that are here are greeted soon.
    pub fn handle_news(&mut self, now: Instant) {
        for contact in self.contacts.values_mut() {
            if contact.is_here && contact.failures == 0 {
                contact.due = contact.due.min(now + TELL_WITHIN);
            }
            contact.is_behind = contact.is_asked;
        }
        self.plan();
    }

    /// This machine is on another network, or back on one: a peer that could not be
    /// reached may be now, and those that are here are to hear where it is.
    pub fn handle_moved(&mut self, now: Instant) {
        let random = self.random.draw();
        let spread = SPREAD.max(self.round());
        for (n, contact) in (0u64..).zip(self.contacts.values_mut()) {
            let some = part_of(spread, random.wrapping_mul(2 * n + 1));
            contact.failures = contact.failures.min(PATIENCE - 1);
            contact.due = contact.due.min(now + some);
        }
        self.handle_news(now);
    }

    /// Other keys are believed now: a peer that was out may be in, and one that is here by
    /// its own word only has to show at once that it still is.
    pub fn handle_keys(&mut self, now: Instant) {
        self.handle_moved(now);
        for contact in self.contacts.values_mut() {
            if contact.is_here && !contact.is_vouched {
                contact.failures = PATIENCE - 1;
                contact.is_unsure = true;
            }
        }
    }

    /// The peer to greet now.
    pub fn poll(&mut self, now: Instant) -> Option<PeerId> {
        if self.wake.is_none_or(|wake| now < wake) {
            return None;
        }
        if let PresenceVoucher::Waiting(until) = self.standing {
            if now < until {
                return None;
            }
            self.handle_alone(now);
        }
        let standing = self.standing;
        let wanted = self
            .contacts
            .iter_mut()
            .filter(|(_, contact)| contact.is_wanted(standing) && contact.due <= now);
        let (&peer, contact) = wanted.min_by_key(|(_, contact)| contact.due)?;
        (contact.is_asked, contact.is_behind, contact.is_unsure) = (true, false, false);
        self.asking += 1;
        self.plan();
        Some(peer)
    }

    /// When [`Self::poll`] has somebody.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// Where `peer` may answer, when it is not in the directory.
    pub fn hints(&self, peer: PeerId) -> &[SocketAddr] {
        let contact = self.contacts.get(&peer);
        contact.map_or(&[], |contact| &contact.hints)
    }

    /// The peers that were here lately and are not now, the latest first.
    pub fn absent(&self) -> Vec<Acquaintance> {
        let mut absent: Vec<_> = self
            .contacts
            .iter()
            .filter(|(_, contact)| contact.is_remembered())
            .collect();
        absent.sort_unstable_by_key(|(_, contact)| std::cmp::Reverse(contact.parted));
        let acquaintance = |(peer, contact): (&PeerId, &Contact)| Acquaintance {
            peer: *peer,
            name: contact.name.clone(),
            addresses: contact.hints.clone(),
        };
        absent.into_iter().map(acquaintance).collect()
    }

    /// What is known of `peer`, which is new if there is room.
    fn contact(&mut self, peer: PeerId, due: Instant) -> Option<&mut Contact> {
        if peer == self.me
            || (self.contacts.len() >= MAX_CONTACTS && !self.contacts.contains_key(&peer))
        {
            return None;
        }
        Some(self.contacts.entry(peer).or_insert_with(|| Contact {
            name: String::new(),
            hints: Vec::new(),
            is_vouched: false,
            is_here: false,
            is_announced: false,
            is_missed: false,
            is_asked: false,
            is_behind: false,
            is_unsure: false,
            failures: 0,
            due,
            heard: None,
            parted: 0,
        }))
    }

    /// No tracker vouches for any peer yet. Those that are here are greeted after `wait`.
    fn unvouch(&mut self, wait: Duration, now: Instant) {
        let random = self.random.draw();
        let spread = SPREAD.max(self.round());
        for (n, contact) in (0u64..).zip(self.contacts.values_mut()) {
            contact.is_vouched = false;
            let some = part_of(spread, random.wrapping_mul(2 * n + 1));
            // A peer that did not answer yesterday may today, now that it counts.
            contact.failures = contact.failures.min(PATIENCE - 1);
            contact.due = now + wait + some;
        }
        self.plan();
    }

    /// How long a peer that has been heard of is believed to be here.
    fn interval(&mut self) -> Duration {
        let whole = GREET_EVERY.max(self.round());
        whole * 3 / 4 + self.random.part_of(whole / 4)
    }

    /// How long it takes to greet everybody.
    fn round(&self) -> Duration {
        let greeted = self.contacts.values().filter(|c| !c.is_vouched).count();
        PACE.saturating_mul(u32::try_from(greeted).unwrap_or(u32::MAX))
    }

    /// Forgets the oldest of the peers that are away, and those that never were here.
    fn forget(&mut self) {
        self.contacts
            .retain(|_, contact| contact.is_kept() || contact.is_remembered());
        let away = self.contacts.values().filter(|c| c.is_remembered());
        let mut away: Vec<u64> = away.map(|contact| contact.parted).collect();
        if away.len() > MAX_REMEMBERED {
            away.sort_unstable();
            let oldest = away[away.len() - MAX_REMEMBERED];
            self.contacts
                .retain(|_, c| c.is_kept() || c.parted >= oldest);
        }
    }

    fn plan(&mut self) {
        let standing = match self.standing {
            PresenceVoucher::Waiting(_) => PresenceVoucher::Alone,
            standing => standing,
        };
        let wanted = self.contacts.values().filter(|c| c.is_wanted(standing));
        let has_room = self.asking < MAX_ASKING;
        let first = wanted.map(|contact| contact.due).min();
        self.wake = first.filter(|_| has_room);
        if let PresenceVoucher::Waiting(until) = self.standing {
            // That nobody has come is worth knowing, too.
            self.wake = Some(until);
        }
    }
}

impl Contact {
    fn is_wanted(&self, standing: PresenceVoucher) -> bool {
        let is_worth_it = match standing {
            PresenceVoucher::Alone => true,
            PresenceVoucher::Told => self.is_here || self.is_announced || self.is_missed,
            PresenceVoucher::Waiting(_) | PresenceVoucher::Silent => false,
        };
        is_worth_it && !self.is_vouched && !self.is_asked
    }

    /// Whether it has a place whatever else there is.
    fn is_kept(&self) -> bool {
        self.is_here || self.is_announced || self.is_asked
    }

    fn is_remembered(&self) -> bool {
        !self.is_here && self.parted > 0 && !self.name.is_empty()
    }

    fn part(&mut self, addresses: Vec<SocketAddr>, parted: u64) {
        (self.is_here, self.is_vouched) = (false, false);
        self.parted = parted;
        self.hint(addresses);
    }

    /// It may be at `addresses` rather than where it was.
    fn hint(&mut self, addresses: Vec<SocketAddr>) {
        let before = std::mem::replace(&mut self.hints, addresses);
        for address in before {
            if !self.hints.contains(&address) {
                self.hints.push(address);
            }
        }
        self.hints.truncate(MAX_HINTS);
    }
}

/// A tracker that is there has answered by then.
const WAIT_FOR_TRACKER: Duration = Duration::from_secs(4);
/// A tracker names all peers that it knows at once; those that come back to one that was
/// restarted rest up to 8 s and dial for up to 4.
const TRACKER_NAMES_WITHIN: Duration = Duration::from_secs(13);
/// A peer that is heard of is not greeted for so long: shorter than a connection idles (30 s),
/// so that a greeting costs three packets and no handshake.
const GREET_EVERY: Duration = Duration::from_secs(20);
/// In a large swarm a peer greets four others a second at most: the connections that
/// this leaves open are fewer than the guests that each lets in.
const PACE: Duration = Duration::from_millis(250);
/// All peers to be greeted for the same reason are so within this, if they are few.
const SPREAD: Duration = Duration::from_secs(1);
/// After a greeting without an answer.
const RETRY: Duration = Duration::from_secs(2);
/// Greetings without an answer until a peer is gone: with the interval, and 6 s of
/// waiting for each, 42 s.
const PATIENCE: u32 = 3;
/// A peer that is gone is greeted again after this.
const FIRST_REST: Duration = Duration::from_secs(30);
const LONGEST_REST: Duration = Duration::from_secs(300);
/// A new catalogue is told of so late, as more may come.
const TELL_WITHIN: Duration = Duration::from_millis(500);
/// Of one peer: new catalogues come at most every 2 s.
const HEARD_EVERY: Duration = Duration::from_secs(1);
/// Greetings under way: more than a second's at the fastest pace.
const MAX_ASKING: usize = 8;
/// Those of a full directory, and as many hints as a neighbourhood gives.
const MAX_CONTACTS: usize = 1024 + 256;
/// A home's speakers, or a small venue's; some 10 KB on disk.
const MAX_REMEMBERED: usize = 64;
/// Addresses of one.
const MAX_HINTS: usize = 8;

#[cfg(test)]
mod tests;
