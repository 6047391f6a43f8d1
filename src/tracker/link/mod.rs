//! What a peer decides about one tracker: when to try it, when to renew, when to believe
//! that it is gone. With which ones it is registered is decided by `links`.
//!
//! What must hold:
//! - While no tracker answers, each is tried again for ever, ever less often,
//!   with some chance in it, so that a venue's peers do not all return to a
//!   restarted tracker at the same moment.
//! - One that takes this peer and loses it again and again is no better: it is
//!   tried as seldom.
//! - A tracker that is silent for a lease's length is lost, whatever TCP says.
//! - A head goes out before anything that belongs to it.
//! - A peer whose addresses change says so at once: it registers anew.
//! - A default name that was numbered is asked for again, from any tracker, so
//!   that nobody's restart renames a speaker. It is given up to the peer that has it.
//! - Leaving ends, confirmed or not.

mod introduction;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::introduction::Introduction;
use super::registry::{LEASE, RENEW_INTERVAL};
use crate::{
    catalog::{Catalogue, Want},
    id::PeerId,
    protocol::{FromTracker, Refusal, Registered, Registration, ToTracker},
    util::{backoff::Backoff, random::Random},
};

/// What the node tells the link to its tracker.
#[derive(Clone, Debug)]
pub enum LinkCommand {
    /// These trackers are seen now (`host:port`), tried in turn. The one in use
    /// stays in use.
    Trackers(Vec<String>),
    /// A person wants these trackers and no others.
    Configured(Vec<String>),
    /// A person wants those that are found.
    Seek,
    /// This node's own addresses are others now.
    Moved,
    /// It shows and believes other keys now.
    Keys,
    /// The node's own newest catalogue.
    Publish(Arc<Catalogue>),
    /// Ask for somebody's list or page. Forgotten when no tracker is
    /// connected; ask again after [`TrackerEvent::Registered`].
    Want {
        owner: PeerId,
        what: Want,
    },
    Leave,
    /// Come back after that; nothing when it has not left.
    Join,
}

/// What the link to the tracker tells the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerEvent {
    Connecting {
        to: String,
    },
    /// All other peers and heads follow as messages; a peer that does not is gone.
    Registered {
        registered: Registered,
        /// What stands for [`crate::protocol::Candidate::WithTracker`].
        reached_at: IpAddr,
    },
    /// This node was registered already and stays so.
    AlreadyRegistered(Registered),
    /// It is tried again, seldom.
    Refused(Refusal),
    /// No tracker for now; the next attempt follows by itself.
    Lost {
        to: String,
        why: String,
    },
    /// A peer, a head, a list, a page, or the lack of one.
    Message(FromTracker),
    /// Of several trackers none speaks for these any more.
    Unvouched(Vec<PeerId>),
    /// This node, which goes by this name, is registered at these, with more than one or
    /// not with all that it should be with.
    Several {
        name: String,
        at: Vec<IpAddr>,
        troubles: Vec<String>,
    },
    /// A person wants no tracker at all.
    Unwanted,
    /// The end, after [`LinkCommand::Leave`], unless [`LinkCommand::Join`] follows.
    Left {
        confirmed: bool,
    },
}

/// What the link wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkAction {
    /// Answered by [`TrackerLink::handle_connected`] or [`TrackerLink::handle_closed`].
    Connect {
        to: String,
    },
    /// Only while connected.
    Send(ToTracker),
    /// Ends the connection or the attempt; not answered.
    Disconnect,
    Tell(TrackerEvent),
}

/// The link of a peer to one tracker out of several.
#[derive(Debug)]
pub struct TrackerLink {
    introduction: Introduction,
    trackers: Vec<String>,
    /// The one that is, or was last, tried.
    current: usize,
    /// Failures since it last was registered for some time.
    failures: u32,
    state: LinkState,
    catalogue: Option<Arc<Catalogue>>,
    /// The name that it registers by instead of its own, and whether it has to be that, until
    /// the tracker is lost.
    instead: Option<(String, bool)>,
    /// Whose list, or which page, the tracker was asked for: it sends nothing else that
    /// is large.
    wanted: BTreeSet<(PeerId, Option<u32>)>,
    /// While a swarm changes its key, no rest is long.
    hurry_until: Option<Instant>,
    random: Random,
    actions: VecDeque<LinkAction>,
}

#[derive(Debug)]
enum LinkState {
    /// Waits before the next attempt.
    Resting {
        until: Instant,
    },
    Connecting,
    /// Has asked to be registered.
    Registering {
        reached_at: IpAddr,
        until: Instant,
    },
    Up {
        renew: Instant,
        silent: Instant,
    },
    Leaving {
        until: Instant,
        /// Whether it goes on with another tracker.
        moves_on: bool,
    },
    Left {
        confirmed: bool,
    },
}

impl TrackerLink {
    /// A link that knows no tracker yet. `seed` spreads the attempts of many
    /// peers.
    pub fn new(introduction: Introduction, seed: u64, now: Instant) -> Self {
        Self {
            introduction,
            trackers: Vec::new(),
            current: 0,
            failures: 0,
            state: LinkState::Resting { until: now },
            catalogue: None,
            instead: None,
            wanted: BTreeSet::new(),
            hurry_until: None,
            random: Random::new(seed),
            actions: VecDeque::new(),
        }
    }

    pub fn handle_command(&mut self, command: LinkCommand, now: Instant) {
        match command {
            LinkCommand::Trackers(trackers) => self.handle_trackers(trackers, now),
            LinkCommand::Configured(trackers) => self.handle_configured(trackers, now),
            // Those that are found follow.
            LinkCommand::Seek => {}
            LinkCommand::Moved => self.handle_moved(now),
            LinkCommand::Keys => self.handle_keys(now),
            LinkCommand::Publish(catalogue) => {
                let head = *catalogue.head();
                self.catalogue = Some(catalogue);
                self.send_if_up(ToTracker::Head(head));
            }
            LinkCommand::Want { owner, what } => self.want(owner, what),
            LinkCommand::Leave => match &mut self.state {
                // A registration that is under way may have been taken.
                LinkState::Up { .. } | LinkState::Registering { .. } => {
                    self.begin_leaving(false, now)
                }
                LinkState::Leaving { moves_on, .. } => *moves_on = false,
                // A second request waits for an answer, too.
                LinkState::Left { confirmed } => {
                    let confirmed = *confirmed;
                    self.tell(TrackerEvent::Left { confirmed });
                }
                LinkState::Resting { .. } | LinkState::Connecting => self.end(false),
            },
            LinkCommand::Join => {
                if let LinkState::Left { .. } = self.state {
                    self.failures = 0;
                    self.connect_anew(now);
                }
            }
        }
    }

    /// The connection that was asked for is there. `candidates` are this
    /// node's own addresses, at most [`crate::protocol::MAX_CANDIDATES`].
    pub fn handle_connected(&mut self, reached_at: IpAddr, candidates: Vec<IpAddr>, now: Instant) {
        if !matches!(self.state, LinkState::Connecting) {
            return;
        }
        self.state = LinkState::Registering {
            reached_at,
            until: now + REGISTER_TIMEOUT,
        };
        let own = || self.introduction.name();
        let (name, name_chosen) = self.instead.clone().unwrap_or_else(own);
        self.send(ToTracker::Register(Registration {
            name,
            name_chosen,
            port: self.introduction.port,
            candidates,
        }));
    }

    /// The connection, or the attempt at one, came to an end.
    pub fn handle_closed(&mut self, why: String, now: Instant) {
        match self.state {
            LinkState::Connecting | LinkState::Registering { .. } | LinkState::Up { .. } => {
                self.handle_lost(why, now);
            }
            LinkState::Leaving { .. } => self.finish_leaving(false, now),
            // It was told to end.
            LinkState::Resting { .. } | LinkState::Left { .. } => {}
        }
    }

    pub fn handle_message(&mut self, message: FromTracker, now: Instant) {
        if let LinkState::Up { silent, .. } = &mut self.state {
            *silent = now + LEASE;
        }
        match message {
            FromTracker::Registered(registered) => self.handle_registered(registered, now),
            FromTracker::AlreadyRegistered(registered) => {
                self.tell(TrackerEvent::AlreadyRegistered(registered));
            }
            FromTracker::Refused(_) if matches!(self.state, LinkState::Leaving { .. }) => {
                self.finish_leaving(false, now);
            }
            FromTracker::Refused(Refusal::NameTaken { .. })
                if self.introduction.give_up_known_as() =>
            {
                self.connect_anew(now);
            }
            FromTracker::Refused(refusal) => {
                self.tell(TrackerEvent::Refused(refusal));
                self.actions.push_back(LinkAction::Disconnect);
                let until = now + REFUSED_RETRY / 2 + self.random.part_of(REFUSED_RETRY / 2);
                self.state = LinkState::Resting { until };
            }
            // Now it is more than a tracker that only lets in.
            FromTracker::Renewed => self.failures = 0,
            FromTracker::Ping { nonce } => self.send_if_up(ToTracker::Pong { nonce }),
            FromTracker::WantList => {
                let list = self.catalogue.as_ref().map(|own| own.list().to_vec());
                if let Some(list) = list {
                    self.send_if_up(ToTracker::List(list));
                }
            }
            FromTracker::WantPage { index } => {
                let page = self.catalogue.as_ref();
                let page = page.and_then(|own| own.pages().get(index as usize));
                if let Some(bytes) = page.map(|page| page.bytes().clone()) {
                    self.send_if_up(ToTracker::Page { index, bytes });
                }
            }
            FromTracker::Left => {
                if matches!(self.state, LinkState::Leaving { .. }) {
                    self.finish_leaving(true, now);
                }
            }
            FromTracker::Unsupported { message } => {
                log::debug!("the tracker does not understand message {message}");
            }
            FromTracker::List { owner, .. } if !self.wanted.remove(&(owner, None)) => {}
            FromTracker::Page { owner, index, .. }
                if !self.wanted.remove(&(owner, Some(index))) => {}
            message @ (FromTracker::Peer(_)
            | FromTracker::Gone { .. }
            | FromTracker::Head(_)
            | FromTracker::List { .. }
            | FromTracker::Page { .. }
            | FromTracker::NotHere { .. }) => self.tell(TrackerEvent::Message(message)),
        }
    }

    /// A message of a kind that only a later version knows.
    pub fn handle_unknown(&mut self, message: i64, now: Instant) {
        if let LinkState::Up { silent, .. } = &mut self.state {
            *silent = now + LEASE;
        }
        self.send_if_up(ToTracker::Unsupported { message });
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            LinkState::Resting { until } => (!self.trackers.is_empty()).then_some(until),
            LinkState::Registering { until, .. } | LinkState::Leaving { until, .. } => Some(until),
            LinkState::Up { renew, silent } => Some(renew.min(silent)),
            LinkState::Connecting | LinkState::Left { .. } => None,
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            LinkState::Resting { until } if *until <= now => self.connect(),
            LinkState::Registering { until, .. } if *until <= now => {
                self.handle_lost("it does not answer the registration".into(), now);
            }
            LinkState::Up { silent, .. } if *silent <= now => {
                self.handle_lost("it is silent".into(), now);
            }
            LinkState::Up { renew, .. } if *renew <= now => {
                *renew = now + RENEW_INTERVAL;
                self.send(ToTracker::Renew);
            }
            LinkState::Leaving { until, .. } if *until <= now => self.finish_leaving(false, now),
            _ => {}
        }
    }

    /// Registers anew, by this name, or by that with a number unless it `has_to_be`.
    pub fn register_as(&mut self, name: String, has_to_be: bool, now: Instant) {
        if !matches!(
            self.state,
            LinkState::Leaving { .. } | LinkState::Left { .. }
        ) {
            self.instead = Some((name, has_to_be));
            self.connect_anew(now);
        }
    }

    /// Whether a tracker has answered, and this node is registered or about to be.
    pub fn is_connected(&self) -> bool {
        matches!(
            self.state,
            LinkState::Registering { .. } | LinkState::Up { .. }
        )
    }

    /// Whether it does nothing for now.
    pub fn is_idle(&self) -> bool {
        matches!(
            self.state,
            LinkState::Resting { .. } | LinkState::Left { .. }
        )
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<LinkAction> {
        self.actions.pop_front()
    }

    /// A tracker that is in use stays in use, listed or not: what mDNS does
    /// not see any more may well be there.
    fn handle_trackers(&mut self, mut trackers: Vec<String>, now: Instant) {
        let is_idle = matches!(self.state, LinkState::Resting { .. });
        let in_use = self.trackers.get(self.current).filter(|_| !is_idle);
        self.current = match in_use {
            Some(to) => match trackers.iter().position(|listed| listed == to) {
                Some(index) => index,
                None => {
                    trackers.insert(0, to.clone());
                    0
                }
            },
            None => 0,
        };
        let has_news = trackers.iter().any(|to| !self.trackers.contains(to));
        self.trackers = trackers;
        if is_idle && has_news && self.failures > 0 {
            self.failures = 0;
            self.state = LinkState::Resting { until: now };
        }
    }

    /// A peer that is registered elsewhere says goodbye there first.
    fn handle_configured(&mut self, trackers: Vec<String>, now: Instant) {
        let in_use = self.trackers.get(self.current);
        let stays = in_use.and_then(|to| trackers.iter().position(|listed| listed == to));
        self.trackers = trackers;
        self.failures = 0;
        self.current = stays.unwrap_or(0);
        match self.state {
            LinkState::Up { .. } | LinkState::Registering { .. } if stays.is_none() => {
                return self.begin_leaving(true, now);
            }
            LinkState::Connecting if stays.is_none() => self.connect_anew(now),
            LinkState::Resting { .. } => self.state = LinkState::Resting { until: now },
            _ => {}
        }
        if self.trackers.is_empty() && matches!(self.state, LinkState::Resting { .. }) {
            self.tell(TrackerEvent::Unwanted);
        }
    }

    /// The connection may be dead with the address that it came from, and in
    /// any case the tracker tells the others what is not true any more.
    fn handle_moved(&mut self, now: Instant) {
        if !matches!(
            self.state,
            LinkState::Leaving { .. } | LinkState::Left { .. }
        ) {
            self.failures = 0;
            self.connect_anew(now);
        }
    }

    /// A tracker that has refused this node, or was refused, may be of its swarm now; or is
    /// soon, since a person goes from node to node.
    fn handle_keys(&mut self, now: Instant) {
        self.failures = 0;
        self.hurry_until = Some(now + KEY_CHANGE);
        if let LinkState::Resting { until } = &mut self.state {
            *until = now;
        }
    }

    fn handle_registered(&mut self, registered: Registered, now: Instant) {
        let LinkState::Registering { reached_at, .. } = self.state else {
            return;
        };
        self.introduction.handle_registered(&registered.name);
        self.state = LinkState::Up {
            renew: now + RENEW_INTERVAL,
            silent: now + LEASE,
        };
        self.tell(TrackerEvent::Registered {
            registered,
            reached_at,
        });
        if let Some(own) = &self.catalogue {
            let head = *own.head();
            self.send(ToTracker::Head(head));
        }
    }

    /// Gives up the connection that there may be.
    fn connect_anew(&mut self, now: Instant) {
        self.actions.push_back(LinkAction::Disconnect);
        self.state = LinkState::Resting { until: now };
    }

    fn connect(&mut self) {
        let Some(to) = self.trackers.get(self.current).cloned() else {
            return;
        };
        self.wanted.clear();
        self.state = LinkState::Connecting;
        self.tell(TrackerEvent::Connecting { to: to.clone() });
        self.actions.push_back(LinkAction::Connect { to });
    }

    /// Goes on to the next tracker at once, and rests after each round.
    fn handle_lost(&mut self, why: String, now: Instant) {
        let to = self.trackers.get(self.current).cloned();
        self.instead = None;
        self.actions.push_back(LinkAction::Disconnect);
        self.tell(TrackerEvent::Lost {
            to: to.unwrap_or_default(),
            why,
        });
        let count = self.trackers.len().max(1);
        self.current = (self.current + 1) % count;
        self.failures += 1;
        let round = self.failures / count as u32;
        let is_round_over = self.failures.is_multiple_of(count as u32);
        let rest = if is_round_over {
            let longest = match self.hurry_until {
                Some(until) if now < until => HURRIED_REST,
                _ => LONGEST_REST,
            };
            Backoff::new(FIRST_REST, longest).spread_rest(round - 1, self.random.draw())
        } else {
            Duration::ZERO
        };
        self.state = LinkState::Resting { until: now + rest };
    }

    fn begin_leaving(&mut self, moves_on: bool, now: Instant) {
        self.send(ToTracker::Leave);
        let until = now + LEAVE_TIMEOUT;
        self.state = LinkState::Leaving { until, moves_on };
    }

    fn finish_leaving(&mut self, confirmed: bool, now: Instant) {
        match self.state {
            LinkState::Leaving { moves_on: true, .. } => {
                if self.trackers.is_empty() {
                    self.tell(TrackerEvent::Unwanted);
                }
                self.connect_anew(now);
            }
            _ => self.end(confirmed),
        }
    }

    fn end(&mut self, confirmed: bool) {
        self.actions.push_back(LinkAction::Disconnect);
        self.tell(TrackerEvent::Left { confirmed });
        self.state = LinkState::Left { confirmed };
    }

    fn want(&mut self, owner: PeerId, what: Want) {
        if !matches!(self.state, LinkState::Up { .. }) {
            return;
        }
        let (index, message) = match what {
            Want::List => (None, ToTracker::WantList { owner }),
            Want::Page(index) => (Some(index), ToTracker::WantPage { owner, index }),
        };
        if self.wanted.len() >= MAX_WANTED {
            // Those that were never answered.
            self.wanted.pop_first();
        }
        self.wanted.insert((owner, index));
        self.send(message);
    }

    fn send_if_up(&mut self, message: ToTracker) {
        if matches!(self.state, LinkState::Up { .. }) {
            self.send(message);
        }
    }

    fn send(&mut self, message: ToTracker) {
        self.actions.push_back(LinkAction::Send(message));
    }

    fn tell(&mut self, event: TrackerEvent) {
        self.actions.push_back(LinkAction::Tell(event));
    }
}

/// After the first round of failures: a tracker that restarts is back soon.
const FIRST_REST: Duration = Duration::from_millis(250);
/// With an attempt of 4 s that may have begun just before a tracker is back, everybody
/// has found it again within a lease.
const LONGEST_REST: Duration = Duration::from_secs(8);
/// So long a person may take to give all nodes another key.
const KEY_CHANGE: Duration = Duration::from_secs(600);
/// With a handshake it lets everybody be back within 2 s of the last node's change.
const HURRIED_REST: Duration = Duration::from_secs(1);
/// A refusal lasts until a person mends something.
const REFUSED_RETRY: Duration = Duration::from_secs(30);
/// A tracker may have to probe several holders of a name first, a second
/// each.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// A person waits for `leave`.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Several times what a node asks for at once.
const MAX_WANTED: usize = 64;
