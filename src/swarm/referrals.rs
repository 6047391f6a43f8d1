//! Referrals: what a holder answers that is asked by many for the same.
//!
//! The only state is what this peer has sent itself, and its receivers: a receiver that has
//! confirmed some groups can pass them on. A requester of these groups is told of up to
//! [`MAX_NAMED`] such receivers, so that a house full of speakers that start the same
//! track takes it once from its only holder and the rest from each other.
//!
//! What must hold:
//! - No requester is sent back and forth: one that asks again for groups within [`AGAIN`],
//!   because it did not work out, is served.
//! - The requester itself, and peers that have left, are never named.
//! - Receivers are named in turn, so that the first one does not become the next holder
//!   that all ask.
//! - A peer that says it listens to more than anybody can is no listener that passes on what
//!   it gets, and is not named for [`KEEP`].
//! - What is remembered is bounded, and forgotten after [`KEEP`].
//!
//! Not here: whether this peer is busy enough to send anybody away. What comes over the
//! wire is read by [`read`], which believes nothing but its form.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::content::ranges::{GroupSet, MAX_WIRE_RANGES};
use crate::id::{Group, PeerId, TrackId};
use crate::protocol::Decline;

/// Peers and the groups that they have, as a [`Decline`] names them.
pub type Named = Vec<(PeerId, Vec<Range<u32>>)>;

/// What was lately sent, by receiver.
#[derive(Debug, Default)]
pub struct Referrals {
    tracks: BTreeMap<TrackId, BTreeMap<PeerId, Receiver>>,
}

/// A peer that was sent groups of a track, or asked for some.
#[derive(Debug)]
struct Receiver {
    /// What it has confirmed.
    has: GroupSet,
    /// What it was referred for, and when last.
    sent_away: GroupSet,
    sent_away_at: Option<Instant>,
    /// When it last asked for more than one can listen to as if it did.
    greedy_at: Option<Instant>,
    /// How often it was named to others.
    named: u32,
    heard: Instant,
}

impl Referrals {
    pub fn new() -> Self {
        Self::default()
    }

    /// `peer` has confirmed these groups of `track`.
    pub fn handle_sent(&mut self, track: TrackId, peer: PeerId, groups: &GroupSet, now: Instant) {
        self.expire(now);
        let receiver = self.receiver(track, peer, now);
        let has = receiver.has.union(groups);
        // A set in more pieces than this is no music that somebody listens to.
        if has.iter_ranges().count() <= MAX_RANGES {
            receiver.has = has;
        }
        receiver.heard = now;
    }

    /// `peer` is gone, and what it had with it.
    pub fn handle_gone(&mut self, peer: PeerId) {
        self.tracks.retain(|_, receivers| {
            receivers.remove(&peer);
            !receivers.is_empty()
        });
    }

    /// The receivers to name to `requester`, which wants `groups`: those that have the first of
    /// them, or a good part of all. `None` when it is to be served here.
    pub fn refer(
        &mut self,
        track: TrackId,
        requester: PeerId,
        groups: &GroupSet,
        now: Instant,
    ) -> Option<Named> {
        self.expire(now);
        let receivers = self.tracks.get(&track)?;
        if receivers
            .get(&requester)
            .is_some_and(|r| r.comes_again(groups, now))
        {
            return None;
        }
        let mut others: Vec<_> = receivers
            .iter()
            .filter(|(peer, r)| {
                **peer != requester && !r.is_greedy(now) && r.has.intersects(groups)
            })
            .collect();
        others.sort_by_key(|(_, r)| r.named);
        others.truncate(MAX_NAMED);
        let theirs = others.iter().fold(GroupSet::new(), |theirs, (_, r)| {
            theirs.union(&r.has.intersection(groups))
        });
        if theirs.count() * WORTH_IT < groups.count() {
            return None;
        }
        let first = theirs.first()?;
        let named = others.iter().map(|(peer, r)| (**peer, wire(&r.has, first)));
        let named: Named = named.collect();
        for (peer, _) in &named {
            self.receiver(track, *peer, now).named += 1;
        }
        let requester = self.receiver(track, requester, now);
        let before = requester.sent_away.union(&theirs);
        let lately = requester.sent_away_at.is_some_and(|at| now < at + AGAIN);
        requester.sent_away = match lately && before.iter_ranges().count() <= MAX_RANGES {
            true => before,
            false => theirs,
        };
        requester.sent_away_at = Some(now);
        Some(named)
    }

    /// `peer` asks for more of `track` than it can listen to, and says that it does.
    pub fn handle_greedy(&mut self, track: TrackId, peer: PeerId, now: Instant) {
        // What nobody was sent is nothing to be named for.
        if self.tracks.contains_key(&track) {
            self.receiver(track, peer, now).greedy_at = Some(now);
        }
    }

    /// Whether what `peer` gets of `track` may be had of it soon.
    pub fn passes_on(&self, track: TrackId, peer: PeerId, now: Instant) -> bool {
        let receiver = self.tracks.get(&track).and_then(|of| of.get(&peer));
        receiver.is_none_or(|receiver| !receiver.is_greedy(now))
    }

    fn receiver(&mut self, track: TrackId, peer: PeerId, now: Instant) -> &mut Receiver {
        if !self.tracks.contains_key(&track) && self.tracks.len() >= MAX_TRACKS {
            let heard =
                |receivers: &BTreeMap<_, Receiver>| receivers.values().map(|r| r.heard).max();
            let oldest = self
                .tracks
                .iter()
                .min_by_key(|(_, receivers)| heard(receivers));
            if let Some(oldest) = oldest.map(|(track, _)| *track) {
                self.tracks.remove(&oldest);
            }
        }
        let receivers = self.tracks.entry(track).or_default();
        if !receivers.contains_key(&peer) && receivers.len() >= MAX_RECEIVERS {
            let oldest = receivers.iter().min_by_key(|(_, r)| r.heard);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                receivers.remove(&oldest);
            }
        }
        receivers.entry(peer).or_insert_with(|| Receiver {
            has: GroupSet::new(),
            sent_away: GroupSet::new(),
            sent_away_at: None,
            greedy_at: None,
            named: 0,
            heard: now,
        })
    }

    fn expire(&mut self, now: Instant) {
        self.tracks.retain(|_, receivers| {
            receivers.retain(|_, r| now < r.heard + KEEP);
            !receivers.is_empty()
        });
    }
}

impl Receiver {
    fn is_greedy(&self, now: Instant) -> bool {
        self.greedy_at.is_some_and(|at| now < at + KEEP)
    }

    fn comes_again(&self, groups: &GroupSet, now: Instant) -> bool {
        self.sent_away_at.is_some_and(|at| now < at + AGAIN) && self.sent_away.intersects(groups)
    }
}

/// What of `groups` of a track of `size` bytes a holder, which is `me`, sends, given the size that
/// it knows and what is `here`: up to the first group that is not, since that is where a slice
/// ends whose holder has no more.
///
/// # Errors
/// The answer when that is nothing: what there is instead.
pub fn offer(
    me: PeerId,
    size: u64,
    groups: &GroupSet,
    here: Option<(u64, GroupSet)>,
) -> Result<GroupSet, Decline> {
    let (known, have) = here.ok_or(Decline::NotAvailable)?;
    if known != size {
        return Err(Decline::Changed);
    }
    let Some(first) = groups.first() else {
        return Err(Decline::NotAvailable);
    };
    let here = match groups.difference(&have).first() {
        Some(Group(end)) => groups.clip(end),
        None => groups.clone(),
    };
    match (here.is_empty(), have.is_empty()) {
        (false, _) => Ok(here),
        (true, true) => Err(Decline::NotAvailable),
        (true, false) => Err(Decline::Elsewhere(vec![(me, wire(&have, first))])),
    }
}

/// What a holder named, as far as it is well formed.
pub fn read(named: &Named) -> Vec<(PeerId, GroupSet)> {
    let read = named.iter().take(MAX_NAMED).filter_map(|(peer, ranges)| {
        let ranges = ranges.iter().take(MAX_WIRE_RANGES);
        let wire = ranges.map(|range| (range.start, range.end.saturating_sub(range.start)));
        Some((*peer, GroupSet::from_wire(wire).ok()?))
    });
    read.filter(|(_, groups)| !groups.is_empty()).collect()
}

/// As much of `has` as a message carries, the ranges from `first` on before those in front
/// of it.
fn wire(has: &GroupSet, first: Group) -> Vec<Range<u32>> {
    let (behind, ahead): (Vec<_>, Vec<_>) = has.iter_ranges().partition(|r| r.end <= first.0);
    let mut ranges: Vec<_> = ahead.into_iter().take(MAX_WIRE_RANGES).collect();
    let room = MAX_WIRE_RANGES - ranges.len();
    ranges.extend(behind.into_iter().take(room));
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// Others that one answer names: enough that one of them works, few enough to ask all.
pub const MAX_NAMED: usize = 4;

/// The others must have at least one in so many of the groups that were asked for: to ask
/// again for the rest costs a round trip.
const WORTH_IT: u32 = 16;

/// A requester that asks again within this is served. Longer than it tries the others.
const AGAIN: Duration = Duration::from_secs(15);

/// A receiver that was sent nothing for so long may have skipped the track.
const KEEP: Duration = Duration::from_secs(60);

/// A house plays one track, or each room its own; what many ask for is remembered since it
/// is asked for the most.
const MAX_TRACKS: usize = 16;

/// Receivers of a track: as many as a receiver takes for sources.
const MAX_RECEIVERS: usize = 64;

/// Of what one receiver has, and of what it was referred for: 64 receivers of 16 tracks
/// take 4 MiB at the worst, and in a house a few kilobytes.
const MAX_RANGES: usize = 256;

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of ranges are what is meant
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACK: TrackId = TrackId([7; 32]);

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn away(them: &mut Referrals, n: u8, groups: Range<u32>, now: Instant) -> Option<Named> {
        them.refer(TRACK, peer(n), &groups.into(), now)
    }

    #[test]
    fn who_asks_is_told_of_those_who_confirmed_and_served_when_it_comes_again() {
        let now = Instant::now();
        let mut them = Referrals::new();
        assert_eq!(away(&mut them, 1, 0..8, now), None, "nobody has it");
        them.handle_sent(TRACK, peer(1), &(0..8).into(), now);
        assert_eq!(away(&mut them, 1, 4..12, now), None, "it has that itself");
        assert_eq!(
            away(&mut them, 2, 0..16, now),
            Some(vec![(peer(1), vec![0..8])])
        );
        assert_eq!(away(&mut them, 2, 8..16, now), None, "nobody has these");
        assert_eq!(away(&mut them, 2, 6..8, now), None, "it comes again");
        assert!(away(&mut them, 2, 6..8, now + AGAIN).is_some());
        assert_eq!(away(&mut them, 3, 7..64, now), None, "not worth it");
        them.handle_gone(peer(1));
        assert_eq!(away(&mut them, 4, 0..8, now), None, "it has left");
    }

    #[test]
    fn a_receiver_that_takes_more_than_it_can_listen_to_is_not_named() {
        let now = Instant::now();
        let mut them = Referrals::new();
        them.handle_sent(TRACK, peer(1), &(0..8).into(), now);
        assert!(them.passes_on(TRACK, peer(1), now));
        them.handle_greedy(TRACK, peer(1), now);
        assert!(!them.passes_on(TRACK, peer(1), now));
        assert_eq!(away(&mut them, 2, 0..8, now), None);
        them.handle_sent(TRACK, peer(3), &(0..8).into(), now);
        let named = away(&mut them, 2, 0..8, now);
        assert_eq!(named, Some(vec![(peer(3), vec![0..8])]));
    }

    #[test]
    fn receivers_are_named_in_turn() {
        let now = Instant::now();
        let mut them = Referrals::new();
        for n in 0..8 {
            them.handle_sent(TRACK, peer(n), &(0..8).into(), now);
        }
        let mut named = |n| {
            let named = away(&mut them, n, 0..8, now).expect("eight have it");
            named
                .into_iter()
                .map(|(peer, _)| peer.0[0])
                .collect::<Vec<_>>()
        };
        assert_eq!(named(100), [0, 1, 2, 3]);
        assert_eq!(named(101), [4, 5, 6, 7]);
    }

    #[test]
    fn a_slice_ends_where_its_holder_has_no_more() {
        let have = [0..4, 6..8]
            .into_iter()
            .fold(GroupSet::new(), |set, r| set.union(&r.into()));
        let offer = |groups: Range<u32>| offer(peer(1), 9, &groups.into(), Some((9, have.clone())));
        assert_eq!(offer(2..8), Ok((2..4).into()));
        assert_eq!(offer(6..8), Ok((6..8).into()));
        let this = vec![(peer(1), vec![0..4, 6..8])];
        assert_eq!(offer(4..8), Err(Decline::Elsewhere(this)));
        let of = |here| super::offer(peer(1), 9, &(4..8).into(), here);
        assert_eq!(of(Some((9, GroupSet::new()))), Err(Decline::NotAvailable));
        assert_eq!(of(None), Err(Decline::NotAvailable));
        assert_eq!(of(Some((8, have))), Err(Decline::Changed));
    }

    #[derive(Clone, Debug)]
    enum ReferralEvent {
        Sent(u8, u8, Range<u32>),
        Ask(u8, u8, Range<u32>),
        Gone(u8),
        Pass(u64),
    }

    fn events() -> impl Strategy<Value = Vec<ReferralEvent>> {
        let groups = || (0u32..2000, 1u32..64).prop_map(|(from, n)| from..from + n);
        let event = prop_oneof![
            4 => (any::<u8>(), 0u8..40, groups()).prop_map(|(n, t, g)| ReferralEvent::Sent(n, t, g)),
            4 => (any::<u8>(), 0u8..40, groups()).prop_map(|(n, t, g)| ReferralEvent::Ask(n, t, g)),
            1 => any::<u8>().prop_map(ReferralEvent::Gone),
            1 => (0u64..20_000).prop_map(ReferralEvent::Pass),
        ];
        proptest::collection::vec(event, 0..300)
    }

    proptest! {
        #[test]
        fn named_is_only_who_was_sent_it_and_all_is_bounded(events in events()) {
            let mut them = Referrals::new();
            let mut now = Instant::now();
            let mut sent: BTreeMap<(u8, u8), GroupSet> = BTreeMap::new();
            let mut away: BTreeMap<(u8, u8), (Instant, GroupSet)> = BTreeMap::new();
            for event in events {
                match event {
                    ReferralEvent::Sent(n, t, groups) => {
                        let groups = GroupSet::from(groups);
                        them.handle_sent(TrackId([t; 32]), peer(n), &groups, now);
                        let all = sent.entry((n, t)).or_default();
                        *all = all.union(&groups);
                    }
                    ReferralEvent::Ask(n, t, groups) => {
                        let groups = GroupSet::from(groups);
                        let Some(named) = them.refer(TrackId([t; 32]), peer(n), &groups, now) else {
                            continue;
                        };
                        prop_assert!((1..=MAX_NAMED).contains(&named.len()));
                        let read = read(&named);
                        prop_assert_eq!(read.len(), named.len(), "it is well formed");
                        let mut theirs = GroupSet::new();
                        for (other, has) in read {
                            prop_assert!(other != peer(n));
                            prop_assert!(sent[&(other.0[0], t)].contains_all(&has));
                            theirs = theirs.union(&has.intersection(&groups));
                        }
                        prop_assert!(!theirs.is_empty());
                        let again = away.get(&(n, t)).filter(|(at, _)| now < *at + AGAIN);
                        prop_assert!(again.is_none_or(|(_, before)| !before.intersects(&theirs)));
                        away.insert((n, t), (now, theirs));
                    }
                    ReferralEvent::Gone(n) => {
                        them.handle_gone(peer(n));
                        sent.retain(|(of, _), _| *of != n);
                        away.retain(|(of, _), _| *of != n);
                    }
                    ReferralEvent::Pass(ms) => now += Duration::from_millis(ms),
                }
                prop_assert!(them.tracks.len() <= MAX_TRACKS);
                prop_assert!(them.tracks.values().all(|r| r.len() <= MAX_RECEIVERS));
            }
        }
    }
}
