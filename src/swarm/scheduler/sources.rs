//! The sources of a track: those that are known to have it, and those that these name, which
//! are listeners like this one and have a part of it.
//!
//! A source that names others is not asked for the same again until they were tried: for
//! [`super::referral::TRY_THEM`], shorter for what is due soon, or until one of them fails. So a name that leads
//! nowhere costs a request, and a source that has given [`MAX_MISLED`] such names is taken as
//! busy when it gives another.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    source::{SourceInfo, SourceRecord, SourceStatus, Throughput, Why},
    RequestOutcome,
};
use crate::{content::ranges::GroupSet, id::PeerId, util::random::Random};

/// A record for each source, at most [`MAX_SOURCES`]; and chance, which has equal sources asked
/// in different orders by different listeners, and rests end apart.
#[derive(Debug)]
pub(super) struct Sources {
    /// Of the track, in bytes.
    size: u64,
    records: BTreeMap<PeerId, SourceRecord>,
    random: Random,
    /// Once others are known to listen: where chance has this one begin with what is not
    /// due soon.
    spread_from: Option<u32>,
}

impl Sources {
    pub fn new(size: u64, seed: u64) -> Self {
        Self {
            size,
            records: BTreeMap::new(),
            random: Random::new(seed),
            spread_from: None,
        }
    }

    pub fn get(&self, peer: PeerId) -> Option<&SourceRecord> {
        self.records.get(&peer)
    }

    pub fn iter(&self) -> impl Iterator<Item = (PeerId, &SourceRecord)> {
        self.records.iter().map(|(peer, source)| (*peer, source))
    }

    pub fn values(&self) -> impl Iterator<Item = &SourceRecord> {
        self.records.values()
    }

    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.records.keys().copied()
    }

    /// Whether there is more than one.
    pub fn are_several(&self) -> bool {
        self.records.len() > 1
    }

    /// A number by chance, once others are known to listen.
    pub fn spread_from(&self) -> Option<u32> {
        self.spread_from
    }

    /// Whether `peer` is not asked any more.
    pub fn is_excluded(&self, peer: PeerId) -> bool {
        self.get(peer)
            .is_some_and(|source| source.standing() == SourceStatus::Excluded)
    }

    /// When one of them last brought something.
    pub fn brought(&self) -> Option<Instant> {
        self.values().filter_map(SourceRecord::brought).max()
    }

    /// What was measured of them.
    pub fn paces(&self) -> impl Iterator<Item = (PeerId, Throughput)> + '_ {
        self.iter()
            .filter_map(|(peer, source)| Some((peer, source.pace()?)))
    }

    /// Why each brings nothing.
    pub fn reasons(&self) -> Vec<(PeerId, Why)> {
        let reasons = self.iter().map(|(peer, source)| (peer, source.why()));
        reasons.collect()
    }

    /// A source is there, or tells anew what it has. Says whether there is a place for it.
    pub fn add(&mut self, peer: PeerId, info: SourceInfo, now: Instant) -> bool {
        if !self.records.contains_key(&peer) && self.records.len() >= MAX_SOURCES {
            let out = self.records.iter().find(|(_, s)| s.may_be_forgotten());
            let Some(out) = out.map(|(peer, _)| *peer) else {
                return false;
            };
            self.records.remove(&out);
        }
        let tie = self.random.draw();
        match self.records.get_mut(&peer) {
            Some(source) => source.refresh(info, now),
            None => {
                self.records.insert(peer, SourceRecord::new(info, tie));
            }
        }
        true
    }

    pub fn exclude(&mut self, peer: PeerId, why: Why) {
        if let Some(source) = self.records.get_mut(&peer) {
            source.exclude(why);
        }
    }

    /// Somebody has heard of a peer: it is tried at once, if it is a source that failed.
    pub fn handle_seen(&mut self, peer: PeerId) {
        if let Some(source) = self.records.get_mut(&peer) {
            source.handle_seen();
        }
    }

    /// Other keys are believed now: all sources that failed are tried at once.
    pub fn handle_keys(&mut self) {
        let sources = self.records.values_mut();
        sources.for_each(SourceRecord::handle_seen);
    }

    /// It is asked for something.
    pub fn handle_asked(&mut self, peer: PeerId, now: Instant) {
        let random = self.random.draw();
        if let Some(source) = self.records.get_mut(&peer) {
            source.handle_asked(random, now);
        }
    }

    /// It begins to answer what was asked at `sent`, while it answers something else or not.
    pub fn handle_first_byte(&mut self, peer: PeerId, sent: Instant, busy: bool, now: Instant) {
        if let Some(source) = self.records.get_mut(&peer) {
            source.handle_first_byte(sent, busy, now);
        }
    }

    pub fn handle_bytes(&mut self, peer: PeerId, bytes: u64, now: Instant) {
        if let Some(source) = self.records.get_mut(&peer) {
            source.handle_bytes(bytes, now);
        }
    }

    /// A request to it has ended, and has not brought `missing`. How others are named is told
    /// to [`Self::handle_referral`].
    pub fn handle_done(
        &mut self,
        peer: PeerId,
        outcome: RequestOutcome,
        missing: &GroupSet,
        now: Instant,
    ) {
        // A busy source may bring it yet.
        if !matches!(outcome, RequestOutcome::Busy(_)) {
            self.handle_not_brought(peer, missing);
        }
        let Some(source) = self.records.get_mut(&peer) else {
            return;
        };
        match outcome {
            RequestOutcome::Complete | RequestOutcome::Short => source.handle_end(missing),
            RequestOutcome::Busy(retry) => source.handle_busy(retry, self.random.draw(), now),
            RequestOutcome::ConnectionLost(why) => {
                log::debug!("{peer} brings nothing: {why}");
                source.handle_failure(false, self.random.draw(), now);
            }
            RequestOutcome::NotAvailable => source.handle_not_available(),
            RequestOutcome::Elsewhere(_) => {} // Told to another function.
            RequestOutcome::Denied => source.exclude(Why::Denied),
            RequestOutcome::Changed => source.exclude(Why::Changed),
            RequestOutcome::Liar => source.exclude(Why::Liar),
        }
    }

    /// A request to it for these groups was given up for its silence.
    pub fn handle_stall(&mut self, peer: PeerId, groups: &GroupSet, now: Instant) {
        self.handle_not_brought(peer, groups);
        if let Some(source) = self.records.get_mut(&peer) {
            source.handle_failure(true, self.random.draw(), now);
        }
    }

    /// A request to `peer` left `missing` out: if it was named for that, the source that named
    /// it may be asked again.
    pub fn handle_not_brought(&mut self, peer: PeerId, missing: &GroupSet) {
        let by = self.get(peer).and_then(|source| source.referral.by);
        for source in self.records.values_mut() {
            source.referral.take_back(missing);
        }
        if let Some(namer) = by.and_then(|by| self.records.get_mut(&by)) {
            namer.referral.misleading = match missing.is_empty() {
                true => 0,
                false => namer.referral.misleading.saturating_add(1),
            };
        }
    }

    /// A source does not send what it was `asked` for, but names peers that have some of it, or
    /// says what it has itself. Says whether one of them is new.
    pub fn handle_referral(
        &mut self,
        by: PeerId,
        asked: &GroupSet,
        named: Vec<(PeerId, GroupSet)>,
        now: Instant,
    ) -> bool {
        self.spread_from
            .get_or_insert(u32::try_from(self.random.draw() >> 32).unwrap_or(0));
        let all = GroupSet::all(self.size);
        let (mut theirs, mut is_news) = (GroupSet::new(), false);
        for (peer, groups) in named {
            let groups = groups.intersection(&all);
            if peer == by {
                self.handle_only_this(by, asked, groups);
                return is_news;
            }
            is_news |= self.add_named(peer, &groups, now);
            let source = self.records.get_mut(&peer);
            if source.is_some_and(|source| source.handle_named(by, &groups, now)) {
                theirs = theirs.union(&groups.intersection(asked));
            }
        }
        let Some(source) = self.records.get_mut(&by) else {
            return is_news;
        };
        // With nobody to try, it would be asked again at once, and again.
        if source.referral.misleading >= MAX_MISLED || theirs.is_empty() {
            source.handle_busy(None, self.random.draw(), now);
        } else {
            source.referral.add(&theirs, now);
        }
        is_news
    }

    /// What a source that has only a part says of itself.
    fn handle_only_this(&mut self, peer: PeerId, asked: &GroupSet, groups: GroupSet) {
        let lacks = asked.difference(&groups);
        if let Some(source) = self.records.get_mut(&peer) {
            source.handle_only_this(groups, &lacks);
        }
        self.handle_not_brought(peer, &lacks);
    }

    /// Takes a named source in, if it is new and there is a place; says whether it was.
    fn add_named(&mut self, peer: PeerId, groups: &GroupSet, now: Instant) -> bool {
        let parts = self.values().filter(|s| s.part().is_some());
        if self.records.contains_key(&peer) || parts.count() >= MAX_PARTS {
            return false;
        }
        let info = SourceInfo {
            have: Some(groups.clone()),
            ..SourceInfo::default()
        };
        self.add(peer, info, now)
    }

    /// Forgets rests that are over.
    pub fn end_rests(&mut self, now: Instant) {
        for source in self.records.values_mut() {
            source.end_rest(now);
        }
    }

    /// What is due now, `near`, and was not brought by the named sources is asked of the source
    /// that named them.
    pub fn hurry(&mut self, near: &GroupSet, now: Instant) {
        let named = self.records.values_mut().map(|source| &mut source.referral);
        for naming in named {
            if naming
                .since
                .is_some_and(|since| now >= since + TRY_THEM_NEAR)
            {
                naming.take_back(near);
            }
        }
    }
}

/// Sources remembered for one track; a home or a venue has fewer speakers.
const MAX_SOURCES: usize = 64;

/// Or has at least begun with what is due: a handshake, and what a small request takes.
const TRY_THEM_NEAR: Duration = Duration::from_millis(300);

/// Names in a row that lead nowhere: two answers full of them.
const MAX_MISLED: u32 = 8;

/// Sources of a part at a time: a house has fewer speakers, and each is a connection.
const MAX_PARTS: usize = 16;
