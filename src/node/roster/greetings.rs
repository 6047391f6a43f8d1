//! Which peers are greeted, and when.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{contact::RosterPeer, records::Records};
use crate::{
    id::PeerId,
    util::{
        backoff::Backoff,
        random::{part_of, Random},
    },
};

/// When the peers are greeted that no tracker speaks for.
#[derive(Debug)]
pub struct Greetings {
    voucher: PresenceVoucher,
    /// Greetings under way.
    asking: usize,
    /// When somebody is to be greeted next, unless that is nobody.
    wake: Option<Instant>,
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

/// What a greeting without an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreetingSilence {
    /// It is asked again at once.
    Doubtful,
    /// It is here no more, if it was.
    Gone,
}

impl Greetings {
    /// `seed` spreads the greetings of many.
    pub fn new(seed: u64, now: Instant) -> Self {
        Self {
            voucher: PresenceVoucher::Waiting(now + WAIT_FOR_TRACKER),
            asking: 0,
            wake: None,
            random: Random::new(seed),
        }
    }

    /// Some time within which all peers are greeted for the same reason, if they are few.
    pub fn soon(&mut self, now: Instant) -> Instant {
        now + self.random.part_of(SPREAD)
    }

    /// A tracker takes this node, and names all peers that are here.
    pub fn handle_registered(&mut self, peers: &mut Records, now: Instant) {
        self.voucher = PresenceVoucher::Told;
        self.unvouch(peers, TRACKER_NAMES_WITHIN, now);
    }

    /// Of several trackers none speaks for these any more: they are asked soon.
    pub fn handle_unvouched(&mut self, peers: &mut Records, which: &[PeerId], now: Instant) {
        let spread = SPREAD.max(round(peers));
        for peer in which {
            let some = self.random.part_of(spread);
            if let Some(known) = peers.get_mut(*peer) {
                known.unvouch();
                known.failures = known.failures.min(PATIENCE - 1);
                known.due = now + some;
            }
        }
    }

    /// No tracker is there (any more), or a person wants none.
    pub fn handle_alone(&mut self, peers: &mut Records, now: Instant) {
        if self.voucher != PresenceVoucher::Alone {
            self.voucher = PresenceVoucher::Alone;
            self.unvouch(peers, Duration::ZERO, now);
        }
    }

    /// This node has left, or must not show itself.
    pub fn handle_silent(&mut self) {
        self.voucher = PresenceVoucher::Silent;
    }

    /// Whether it answers greetings.
    pub fn is_silent(&self) -> bool {
        self.voucher == PresenceVoucher::Silent
    }

    /// Whether it has to find the others by itself.
    pub fn is_alone(&self) -> bool {
        self.voucher == PresenceVoucher::Alone
    }

    /// A tracker says that `peer` is gone. One that has not said goodbye may have lost the
    /// tracker only: it is greeted.
    pub fn handle_gone(&mut self, peer: &mut RosterPeer, has_left: bool, now: Instant) {
        peer.failures = if has_left { PATIENCE } else { PATIENCE - 1 };
        peer.due = self.soon(now);
    }

    /// `peer` announces itself at `addresses`; at none when it does so no more.
    pub fn handle_sighting(peer: &mut RosterPeer, addresses: Vec<SocketAddr>, soon: Instant) {
        if addresses.is_empty() {
            peer.is_announced = false;
            // A peer that is here says so.
            peer.failures = peer.failures.max(PATIENCE - 1);
            peer.due = peer.due.min(soon);
            return;
        }
        let is_elsewhere = addresses.iter().any(|at| !peer.hints.contains(at));
        // A peer that was away and is where it was is back, too.
        let is_back = !std::mem::replace(&mut peer.is_announced, true);
        peer.hint(addresses);
        if (is_elsewhere || is_back) && !peer.is_here() {
            peer.failures = 0;
            peer.due = soon;
        }
    }

    /// Whether a greeting of this peer's may be taken: not one right after the other.
    pub fn may_greet(peer: Option<&RosterPeer>, now: Instant) -> bool {
        let heard = peer.and_then(|known| known.heard);
        heard.is_none_or(|heard| now >= heard + HEARD_EVERY)
    }

    /// A peer has answered, or greeted: from its address.
    pub fn handle_met(&mut self, peers: &mut Records, peer: PeerId, at: SocketAddr, now: Instant) {
        let interval = self.interval(peers);
        let Some(known) = peers.get_mut(peer) else {
            return;
        };
        known.hint(vec![at]);
        if !known.is_unsure {
            known.failures = 0;
            known.due = match std::mem::take(&mut known.is_behind) {
                true => now + TELL_WITHIN,
                false => now + interval,
            };
        }
    }

    /// A peer had no time for a greeting, or did not give what it told of in one.
    pub fn handle_unfinished(peer: &mut RosterPeer, now: Instant) {
        // What has passed is when this greeting was due.
        let is_ahead = peer.due > now && peer.due < now + RETRY;
        if !is_ahead {
            peer.due = now + RETRY;
        }
    }

    /// The greeting that was under way to this peer is over.
    pub fn handle_done(&mut self, peer: &mut RosterPeer) {
        if std::mem::take(&mut peer.is_asked) {
            self.asking = self.asking.saturating_sub(1);
        }
    }

    /// A peer has not answered; or not as a peer that is here does, when it `declines`.
    pub fn handle_silence(
        &mut self,
        peer: &mut RosterPeer,
        declines: bool,
        now: Instant,
    ) -> GreetingSilence {
        let seldom = self.random.draw();
        peer.failures = match declines {
            true => peer.failures.max(PATIENCE),
            false => peer.failures.saturating_add(1),
        };
        if peer.failures < PATIENCE {
            peer.due = now + RETRY;
            return GreetingSilence::Doubtful;
        }
        let rests = Backoff::new(FIRST_REST, LONGEST_REST);
        peer.due = now + rests.spread_rest(peer.failures - PATIENCE, seldom);
        GreetingSilence::Gone
    }

    /// There is something to tell: the peers that are here are greeted soon.
    pub fn handle_news(&mut self, peers: &mut Records, now: Instant) {
        for known in peers.values_mut() {
            if known.is_here() && known.failures == 0 {
                known.due = known.due.min(now + TELL_WITHIN);
            }
            known.is_behind = known.is_asked;
        }
    }

    /// This machine is on another network, or back on one: a peer that could not be
    /// reached may be now, and those that are here are to hear where it is.
    pub fn handle_moved(&mut self, peers: &mut Records, now: Instant) {
        let random = self.random.draw();
        let spread = SPREAD.max(round(peers));
        for (n, known) in (0u64..).zip(peers.values_mut()) {
            let some = part_of(spread, random.wrapping_mul(2 * n + 1));
            known.failures = known.failures.min(PATIENCE - 1);
            known.due = known.due.min(now + some);
        }
        self.handle_news(peers, now);
    }

    /// Other keys are believed now: a peer that was out may be in, and one that is here by
    /// its own word only has to show at once that it still is.
    pub fn handle_keys(&mut self, peers: &mut Records, now: Instant) {
        self.handle_moved(peers, now);
        for known in peers.values_mut() {
            if known.met().is_some() {
                known.failures = PATIENCE - 1;
                known.is_unsure = true;
            }
        }
    }

    /// The peer to greet now.
    pub fn poll(&mut self, peers: &mut Records, now: Instant) -> Option<PeerId> {
        if self.wake.is_none_or(|wake| now < wake) {
            return None;
        }
        if let PresenceVoucher::Waiting(until) = self.voucher {
            if now < until {
                return None;
            }
            self.handle_alone(peers, now);
            self.plan(peers);
        }
        let this = &*self;
        let wanted = peers
            .iter_mut()
            .filter(|(_, known)| this.wants(known) && known.due <= now);
        let (peer, known) = wanted.min_by_key(|(_, known)| known.due)?;
        (known.is_asked, known.is_behind, known.is_unsure) = (true, false, false);
        self.asking += 1;
        self.plan(peers);
        Some(peer)
    }

    /// When [`Self::poll`] has somebody.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    /// Something has changed: says anew when the next is greeted.
    pub fn plan(&mut self, peers: &Records) {
        let wanted = peers.values().filter(|known| self.wants(known));
        let first = wanted.map(|known| known.due).min();
        self.wake = first.filter(|_| self.asking < MAX_ASKING);
        if let PresenceVoucher::Waiting(until) = self.voucher {
            // That nobody has come is worth knowing, too.
            self.wake = Some(until);
        }
    }

    /// Whether a peer is to be greeted once that is due.
    pub fn wants(&self, peer: &RosterPeer) -> bool {
        let is_worth_it = match self.voucher {
            PresenceVoucher::Alone => true,
            PresenceVoucher::Told => peer.is_hoped_for(),
            PresenceVoucher::Waiting(_) | PresenceVoucher::Silent => false,
        };
        is_worth_it && !peer.is_vouched() && !peer.is_asked
    }

    /// No tracker vouches for any peer yet. Those that are here are greeted after `wait`.
    fn unvouch(&mut self, peers: &mut Records, wait: Duration, now: Instant) {
        let random = self.random.draw();
        let spread = SPREAD.max(round(peers));
        for (n, known) in (0u64..).zip(peers.values_mut()) {
            known.unvouch();
            let some = part_of(spread, random.wrapping_mul(2 * n + 1));
            // A peer that did not answer yesterday may today, now that it counts.
            known.failures = known.failures.min(PATIENCE - 1);
            known.due = now + wait + some;
        }
    }

    /// How long a peer that has been heard of is believed to be here.
    fn interval(&mut self, peers: &Records) -> Duration {
        let whole = GREET_EVERY.max(round(peers));
        whole * 3 / 4 + self.random.part_of(whole / 4)
    }
}

#[cfg(test)]
impl Greetings {
    pub fn are_all_under_way(&self) -> bool {
        self.asking == MAX_ASKING
    }
}

/// How long it takes to greet everybody.
fn round(peers: &Records) -> Duration {
    let greeted = peers.values().filter(|known| !known.is_vouched()).count();
    PACE.saturating_mul(u32::try_from(greeted).unwrap_or(u32::MAX))
}

/// A tracker that is there has answered by then.
pub const WAIT_FOR_TRACKER: Duration = Duration::from_secs(4);
/// A tracker names all peers that it knows at once; those that come back to one that was
/// restarted rest up to 8 s and dial for up to 4.
const TRACKER_NAMES_WITHIN: Duration = Duration::from_secs(13);
/// A peer that is heard of is not greeted for so long: shorter than a connection idles (30 s),
/// so that a greeting costs three packets and no handshake.
pub const GREET_EVERY: Duration = Duration::from_secs(20);
/// In a large swarm a peer greets four others a second at most: the connections that
/// this leaves open are fewer than the guests that each lets in.
const PACE: Duration = Duration::from_millis(250);
/// All peers to be greeted for the same reason are so within this, if they are few.
pub const SPREAD: Duration = Duration::from_secs(1);
/// After a greeting without an answer.
pub const RETRY: Duration = Duration::from_secs(2);
/// Greetings without an answer until a peer is gone: with the interval, and 6 s of
/// waiting for each, 42 s.
pub const PATIENCE: u32 = 3;
/// A peer that is gone is greeted again after this.
pub const FIRST_REST: Duration = Duration::from_secs(30);
pub const LONGEST_REST: Duration = Duration::from_secs(300);
/// A new catalogue is told of so late, as more may come.
pub const TELL_WITHIN: Duration = Duration::from_millis(500);
/// Of one peer: new catalogues come at most every 2 s.
const HEARD_EVERY: Duration = Duration::from_secs(1);
/// Greetings under way: more than a second's at the fastest pace.
pub const MAX_ASKING: usize = 8;
