//! One source of a track as its receiver sees it: what it has, how fast it is, and
//! whether it may be asked now.

use std::time::{Duration, Instant};

use super::referral::Referral;
use crate::content::ranges::GroupSet;
use crate::id::{PeerId, GROUP_BYTES};
use crate::util::{backoff::Backoff, rate::time_of};

/// What is known of a source when it appears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// The groups that it has; `None` is all.
    pub have: Option<GroupSet>,
    /// How fast it was before.
    pub pace: Option<Throughput>,
}

/// How fast a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throughput {
    /// From a request to the beginning of its answer.
    pub rtt: Duration,
    /// Bytes a second, once enough came to tell.
    pub rate: Option<u64>,
}

/// Why a source brings nothing (more).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("does not have what is missing")]
    HasItNot,
    #[error("does not have the track, or cannot read it (its own status says so)")]
    NotAvailable,
    #[error("does not give it to this peer")]
    Denied,
    #[error("its file has changed")]
    Changed,
    #[error("sent wrong bytes")]
    Liar,
    #[error("has left")]
    Gone,
}

/// Whether a source is in the running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceStatus {
    Active,
    Excluded,
}

#[derive(Debug)]
pub(super) struct SourceRecord {
    have: Option<GroupSet>,
    /// What it did not have when it was asked; until it is added anew.
    lacks: GroupSet,
    rtt: Option<Duration>,
    meter: Meter,
    /// Chosen by chance, so that equal sources are not all asked in the same order by all.
    tie_break: u64,
    out: Option<Why>,
    rest_until: Option<Instant>,
    /// Refusals and failures in a row, for the back-off.
    consecutive_failures: u32,
    failing_since: Option<Instant>,
    is_away: bool,
    /// When it last sent anything.
    heard: Option<Instant>,
    /// When it last brought a group.
    brought: Option<Instant>,
    /// It was given up for its silence, and has not been heard since.
    lost: bool,
    pub(super) referral: Referral,
}

impl SourceRecord {
    pub(super) fn new(info: SourceInfo, tie: u64) -> Self {
        Self {
            have: info.have,
            lacks: GroupSet::new(),
            rtt: info.pace.map(|pace| pace.rtt),
            meter: Meter::of(info.pace.and_then(|pace| pace.rate)),
            tie_break: tie,
            out: None,
            rest_until: None,
            consecutive_failures: 0,
            failing_since: None,
            is_away: false,
            heard: None,
            brought: None,
            lost: false,
            referral: Referral::default(),
        }
    }

    /// It showed up again, or told anew what it has.
    pub(super) fn refresh(&mut self, info: SourceInfo, now: Instant) {
        self.have = info.have;
        self.rtt = self.rtt.or(info.pace.map(|pace| pace.rtt));
        self.lacks = GroupSet::new();
        if self.out.is_some() && self.out != Some(Why::Liar) {
            self.out = None;
            self.forgive();
        }
        self.end_rest(now);
    }

    /// Somebody has heard of it: if it failed it is worth another try, at once.
    pub(super) fn handle_seen(&mut self) {
        if self.is_failing() && self.out.is_none() {
            self.forgive();
        }
    }

    fn forgive(&mut self) {
        self.consecutive_failures = 0;
        self.failing_since = None;
        self.is_away = false;
        self.rest_until = None;
    }

    /// Whether nothing has come of what it was asked last.
    pub(super) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// Whether it has failed for so long that it is asked only where nobody else is left.
    pub(super) fn is_away(&self) -> bool {
        self.is_away
    }

    /// When it last brought something.
    pub(super) fn brought(&self) -> Option<Instant> {
        self.brought
    }

    pub(super) fn exclude(&mut self, why: Why) {
        if self.out != Some(Why::Liar) {
            self.out = Some(why);
        }
    }

    pub(super) fn standing(&self) -> SourceStatus {
        match self.out {
            Some(_) => SourceStatus::Excluded,
            None => SourceStatus::Active,
        }
    }

    /// Lies are remembered, everything else of a source that is out may be dropped.
    pub(super) fn may_be_forgotten(&self) -> bool {
        let is_out = self.out.as_ref().is_some_and(|why| *why != Why::Liar);
        is_out || (self.is_away && self.out.is_none())
    }

    /// Whether it is not in the swarm any more.
    pub(super) fn is_gone(&self) -> bool {
        self.why() == Why::Gone
    }

    /// Why it brings nothing.
    pub(super) fn why(&self) -> Why {
        self.out.clone().unwrap_or(Why::HasItNot)
    }

    /// How long it rests yet.
    pub(super) fn rests(&self, now: Instant) -> Duration {
        let until = self.rest_until.unwrap_or(now);
        until.saturating_duration_since(now)
    }

    /// Forgets a rest that is over, so that it is no time to wake at.
    pub(super) fn end_rest(&mut self, now: Instant) {
        self.rest_until = self.rest_until.filter(|until| *until > now);
        self.referral.expire(now);
    }

    pub(super) fn may_be_asked(&self, now: Instant) -> bool {
        self.out.is_none() && self.rest_until.is_none_or(|until| until <= now)
    }

    /// Whether others say that it has something, and it has not brought any of it. One
    /// request at a time shows whether it does, and each later than the one before.
    pub(super) fn is_hearsay(&self) -> bool {
        self.referral.by.is_some() && self.brought.is_none()
    }

    /// When its rest ends, or it may be asked again for what others were to bring, if it is
    /// in the running.
    pub(super) fn resting_until(&self) -> Option<Instant> {
        let ends = self.rest_until.into_iter().chain(self.referral.until());
        ends.min().filter(|_| self.out.is_none())
    }

    /// What of `groups` it can be asked for.
    pub(super) fn part_of(&self, groups: &GroupSet) -> GroupSet {
        self.referral.left_of(self.has_of(groups))
    }

    /// Whether it may still bring any of `groups`, now or after its rest.
    pub(super) fn has_any(&self, groups: &GroupSet) -> bool {
        self.out.is_none() && !self.has_of(groups).is_empty()
    }

    fn has_of(&self, groups: &GroupSet) -> GroupSet {
        match &self.have {
            Some(have) => groups.intersection(have).difference(&self.lacks),
            None => groups.difference(&self.lacks),
        }
    }

    /// What it has, if it is a source of a part only and in the running.
    pub(super) fn part(&self) -> Option<&GroupSet> {
        self.have.as_ref().filter(|_| self.out.is_none())
    }

    /// Another source has said that it has these, too. Says whether it may be asked.
    pub(super) fn handle_named(&mut self, by: PeerId, groups: &GroupSet, now: Instant) -> bool {
        if matches!(self.out, Some(Why::Liar | Why::Denied | Why::Changed)) {
            return false;
        }
        self.out = None;
        self.referral.by = Some(by);
        self.lacks = self.lacks.difference(groups);
        if let Some(have) = &mut self.have {
            *have = have.union(groups);
        }
        self.may_be_asked(now)
    }

    /// It has said that it has these groups and no others, and lacks what it was asked for.
    pub(super) fn handle_only_this(&mut self, groups: GroupSet, lacks: &GroupSet) {
        self.lacks = self.lacks.difference(&groups).union(lacks);
        if let Some(have) = &mut self.have {
            *have = groups;
        }
    }

    /// It does not have the track, or nothing any more of a part that it had.
    pub(super) fn handle_not_available(&mut self) {
        if let Some(have) = &mut self.have {
            *have = GroupSet::new();
        } else {
            self.exclude(Why::NotAvailable);
        }
    }

    /// Bytes a second, once measured.
    pub(super) fn rate(&self) -> Option<u64> {
        self.meter.rate
    }

    /// What was measured of it, if it was heard.
    pub(super) fn pace(&self) -> Option<Throughput> {
        self.heard?;
        let (rtt, rate) = (self.rtt?, self.meter.rate);
        Some(Throughput { rtt, rate })
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Whether its connection is not worth another request.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// How long until it has sent `bytes` more, where the oldest of what is outstanding from it
    /// was asked for at `outstanding_since`. A source that is late with a group is taken to need as
    /// long again; and if its rate is not known, for each that follows, too.
    pub(super) fn eta(
        &self,
        bytes: u64,
        outstanding_since: Option<Instant>,
        now: Instant,
    ) -> Duration {
        let rtt = self.rtt.unwrap_or(GUESSED_RTT);
        let late = self.silence(outstanding_since, now).saturating_sub(rtt);
        match self.meter.rate {
            Some(rate) => {
                rtt + time_of(bytes, rate) + late.saturating_sub(time_of(GROUP_BYTES, rate))
            }
            None => {
                let groups = u32::try_from(bytes.div_ceil(GROUP_BYTES)).unwrap_or(u32::MAX);
                let doubted = (late * DOUBT).saturating_mul(groups);
                doubted.max(rtt + time_of(bytes, GUESSED_RATE))
            }
        }
    }

    /// For how long the group that it sends now has been under way, if it takes what its
    /// rate says.
    pub(super) fn under_way(&self, outstanding_since: Option<Instant>, now: Instant) -> Duration {
        let rate = self.meter.rate.unwrap_or(GUESSED_RATE);
        self.silence(outstanding_since, now)
            .min(time_of(GROUP_BYTES, rate))
    }

    /// How long it has brought nothing of what is outstanding.
    fn silence(&self, outstanding_since: Option<Instant>, now: Instant) -> Duration {
        let since = outstanding_since.map(|outstanding_since| {
            self.brought
                .map_or(outstanding_since, |brought| brought.max(outstanding_since))
        });
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn tie_break(&self) -> u64 {
        self.tie_break
    }

    /// How long it may be silent while somebody waits: what two groups and some lost packets
    /// take, at its own pace.
    pub(super) fn patience(&self) -> Duration {
        let Some(rtt) = self.rtt else {
            return FIRST_PATIENCE;
        };
        let Some(rate) = self.meter.rate else {
            return (rtt * 4).clamp(FIRST_PATIENCE, MAX_PATIENCE);
        };
        let groups = time_of(2 * GROUP_BYTES, rate);
        (rtt * 4 + groups).clamp(MIN_PATIENCE, MAX_PATIENCE.max(groups))
    }

    /// When it last sent anything.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// It begins to answer what was asked at `sent`, while it answers something else or not.
    pub(super) fn handle_first_byte(&mut self, sent: Instant, busy: bool, now: Instant) {
        self.heard = Some(now);
        self.lost = false;
        let sample = now.saturating_duration_since(sent);
        self.rtt = Some(match self.rtt {
            Some(rtt) => (rtt * 7 + sample) / 8,
            None => sample,
        });
        if !busy {
            self.meter.handle_start(now);
        }
    }

    /// It is asked for something.
    pub(super) fn handle_asked(&mut self, random: u64, now: Instant) {
        if self.is_hearsay() {
            self.rest(random, now);
        }
    }

    pub(super) fn handle_bytes(&mut self, bytes: u64, now: Instant) {
        if self.is_hearsay() {
            self.rest_until = None;
        }
        self.heard = Some(now);
        self.brought = Some(now);
        self.consecutive_failures = 0;
        self.failing_since = None;
        self.is_away = false;
        self.meter.handle_bytes(bytes, now);
    }

    /// A response ended and left `missing` out.
    pub(super) fn handle_end(&mut self, missing: &GroupSet) {
        self.lacks = self.lacks.union(missing);
    }

    /// It has too much to do. That is no failure, however often it says so.
    pub(super) fn handle_busy(&mut self, retry: Option<Duration>, random: u64, now: Instant) {
        match retry {
            Some(retry) => self.rest_until = Some(now + retry.clamp(FIRST_REST, MAX_RETRY)),
            None => self.rest(random, now),
        }
    }

    /// It failed; after [`PATIENCE`] of nothing else it is away, but not forgotten: it is
    /// tried again as long as there is nobody else.
    pub(super) fn handle_failure(&mut self, is_silent: bool, random: u64, now: Instant) {
        self.lost |= is_silent;
        let since = *self.failing_since.get_or_insert(now);
        self.rest(random, now);
        self.is_away |= now >= since + PATIENCE;
    }

    /// Rests twice as long as the last time, less up to a half by chance. What fails while
    /// it rests was asked before, and is the same failure.
    fn rest(&mut self, random: u64, now: Instant) {
        if self.rest_until.is_some_and(|until| until > now) {
            return;
        }
        let rest = Backoff::new(FIRST_REST, MAX_REST).rest(self.consecutive_failures);
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        let per_mille = u32::try_from(random % 500).unwrap_or(0);
        self.rest_until = Some(now + rest - rest * per_mille / 1000);
    }
}

/// Measures bytes a second over windows, so that a burst is no rate.
#[derive(Debug, Default)]
struct Meter {
    rate: Option<u64>,
    window: Option<(Instant, u64)>,
    last: Option<Instant>,
}

impl Meter {
    /// One that begins with what was measured before.
    fn of(rate: Option<u64>) -> Self {
        let (window, last) = (None, None);
        Self { rate, window, last }
    }

    /// A response begins; what the source did not send while it was not asked does not count.
    fn handle_start(&mut self, now: Instant) {
        let idle = self.last.is_none_or(|last| now > last + WINDOW);
        if idle {
            self.window = Some((now, 0));
        }
        self.last = Some(now);
    }

    fn handle_bytes(&mut self, bytes: u64, now: Instant) {
        self.last = Some(now);
        let (start, sum) = self.window.get_or_insert((now, 0));
        *sum += bytes;
        let elapsed = now.saturating_duration_since(*start);
        // The first sample may be short: until there is one, only small requests are made.
        // For later ones slices that end one right after the other are no speed.
        let enough = match self.rate {
            None => elapsed >= FIRST_WINDOW,
            Some(_) if *sum >= WINDOW_BYTES => elapsed >= WINDOW,
            Some(_) => elapsed >= MAX_WINDOW,
        };
        if !enough {
            return;
        }
        let sample = *sum * 1000 / (elapsed.as_millis() as u64).max(1);
        self.rate = Some(match self.rate {
            Some(rate) => (rate * 7 + sample * 3) / 10,
            None => sample,
        });
        self.window = Some((now, 0));
    }
}

/// A rate to start from: 8 Mbit/s, what poor Wi-Fi brings.
const GUESSED_RATE: u64 = 1_000_000;

/// Silences that are no reason to ask elsewhere. The first holds a handshake, and is twice
/// what a busy Wi-Fi takes for it, or a group of somebody whose pace is not known; the least
/// is what a busy Pi may take to get to it.
pub(super) const FIRST_PATIENCE: Duration = Duration::from_millis(400);
const MIN_PATIENCE: Duration = Duration::from_millis(200);
const MAX_PATIENCE: Duration = Duration::from_millis(800);

/// Whose pace is not known may take so much longer for a group than it has till now.
const DOUBT: u32 = 4;

/// A round trip to start from, with a handshake in it.
const GUESSED_RTT: Duration = Duration::from_millis(50);

/// Over this long a rate is measured: longer than the bursts of Wi-Fi aggregation.
const WINDOW: Duration = Duration::from_millis(250);
const FIRST_WINDOW: Duration = Duration::from_millis(20);

/// Or over so much, of a slow source, unless that takes too long to learn from.
const WINDOW_BYTES: u64 = 4 * GROUP_BYTES;
const MAX_WINDOW: Duration = Duration::from_secs(2);

/// Rests between tries: short enough for a hiccup, long enough not to hammer.
const FIRST_REST: Duration = Duration::from_millis(250);
const MAX_REST: Duration = Duration::from_secs(5);

/// The longest rest that a busy source may ask for; it might lie.
const MAX_RETRY: Duration = Duration::from_secs(30);

/// A source that does nothing but fail for this long is away, until it shows up again:
/// longer than a router's restart of its radio takes mostly, and than a player's buffer.
const PATIENCE: Duration = Duration::from_secs(20);
