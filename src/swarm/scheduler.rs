//! Fetching one track: which groups, from which source, when.
//!
//! The scheduler knows the sources of a track and what is missing, and hands out requests:
//! first the group that the reader stands at, then the opening (head, audio start, tail)
//! in small requests side by side, then in order from the play head on, then what lies
//! before it. It is told what became of each request and asks elsewhere, or again later.
//!
//! What must hold:
//! - As long as one source has what is missing and delivers, all of it arrives.
//! - No group is asked for twice at a time, but for one copy of what is late while somebody
//!   is about to listen to it.
//! - A source that sent wrong bytes is never asked again for this track. A response that ends early
//!   is no lie: the source has that no more.
//! - When no source is left that could bring what is missing, it says so once, with each
//!   source's reason, so that the listener hears why.
//! - The same events and seed give the same actions.
//!
//! - Of two sources, one that is silent or too slow costs the listener nothing while the
//!   other has what is due: it is asked for as well, in time.
//!
//! It has four parts: the [`requests`] that are out, the [`sources`], the [`play_head`], and the
//! [`policy`], which reads the other three and says what is to be done. Here events are routed to
//! them, and what the policy says is done, in an order that stands in [`Scheduler::poll`].
//!
//! Not here: bytes, verification, connections.

mod arrivals;
mod play_head;
mod policy;
mod referral;
mod requests;
mod source;
mod sources;
mod view;
mod window;

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::content::ranges::GroupSet;
use crate::id::{Group, PeerId};
use crate::protocol::Class;

use arrivals::Arrivals;
use play_head::PlayHead;
pub use play_head::READER_STRIDE;
use policy::choose::{self, Choice, SMALL_GROUPS};
use policy::{lateness, silence, start};
pub use policy::{silence::Stall, start::StartBuffer};
use requests::{OpenRequest, Requests};
pub use source::{SourceInfo, Throughput, Why};
use sources::Sources;
use view::TrackView;
use window::MemoryWindow;
#[cfg(test)]
pub use window::WINDOW_GROUPS;

/// A request of this scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchAction {
    /// Ask `source` for `groups`; the answer comes back with `req`.
    Fetch {
        req: RequestId,
        source: PeerId,
        groups: GroupSet,
        class: Class,
        /// The connection to it is silent: make another.
        renew: bool,
    },
    /// Stop a request; nothing needs to be told about it any more.
    Cancel { req: RequestId },
    /// Every group is here. The last action, unless some turn out to be lost.
    Complete,
    /// Let go of these groups: nothing keeps them, and the listener is far from them.
    Forget { groups: GroupSet },
    /// No source is left that could bring what is missing; a new source may change that.
    Stuck { why: Vec<(PeerId, Why)> },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The response came to its end.
    Complete,
    /// The response ended early: the source has the rest no more.
    Short,
    /// The source has too much to do; ask again after this long, if it said.
    Busy(Option<Duration>),
    /// The source names others that have some of it, or itself with all that it has.
    Elsewhere(Vec<(PeerId, GroupSet)>),
    /// The source does not have the track.
    NotAvailable,
    /// The source does not give it to us.
    Denied,
    /// The source's file is not the track any more.
    Changed,
    /// The source sent wrong bytes.
    Liar,
    /// The connection failed, or never came up.
    ConnectionLost(String),
}

/// The fetching of one track.
#[derive(Debug)]
pub struct Scheduler {
    size: u64,
    have: GroupSet,
    play_head: PlayHead,
    /// When it was polled last.
    polled: Instant,
    /// Set where the track cannot be kept, and only some of it is to be here at a time.
    window: Option<MemoryWindow>,
    /// Since when the reader has stood at something that is not here.
    dry_since: Option<Instant>,
    arrivals: Arrivals,
    sources: Sources,
    requests: Requests,
    /// Whether `Stuck` was said since the last event that could change it.
    stuck_said: bool,
    complete_said: bool,
}

impl Scheduler {
    /// Fetches a track of `size` bytes for a listener; `opening` are the byte ranges that a
    /// decoder reads before the first sound: head, audio start, tail.
    pub fn new(size: u64, opening: &[Range<u64>], seed: u64, now: Instant) -> Self {
        Self {
            size,
            have: GroupSet::new(),
            play_head: PlayHead::new(size, opening, now),
            polled: now,
            window: None,
            dry_since: None,
            arrivals: Arrivals::default(),
            sources: Sources::new(size, seed),
            requests: Requests::default(),
            stuck_said: false,
            complete_said: false,
        }
    }

    /// The groups that are here.
    pub fn have(&self) -> &GroupSet {
        &self.have
    }

    /// The store has these groups already.
    pub fn handle_have(&mut self, have: &GroupSet) {
        self.have = self.have.union(have);
        self.drop_useless_requests();
    }

    /// The store had these groups and has lost them: they are missing as any other.
    pub fn handle_lost(&mut self, lost: &GroupSet) {
        self.have = self.have.difference(lost);
        if let Some(window) = &mut self.window {
            window.handle_lost(lost);
        }
        self.complete_said = false;
        self.stuck_said = false;
    }

    /// The track is now playing ([`Class::Now`]), next, or only fetched.
    pub fn handle_role(&mut self, role: Class) {
        self.play_head.handle_role(role);
    }

    /// A source is there, or tells anew what it has. Forgives everything but lies.
    pub fn add_source(&mut self, peer: PeerId, info: SourceInfo, now: Instant) {
        let has_place = self.sources.add(peer, info, now);
        self.stuck_said &= !has_place;
    }

    /// A source is gone; what it was asked for is asked elsewhere.
    pub fn remove_source(&mut self, peer: PeerId) {
        self.sources.exclude(peer, Why::Gone);
        self.requests.cancel_where(|request| request.source == peer);
    }

    /// A source does not have the track any more; what it was asked for is asked elsewhere.
    pub fn handle_disowned(&mut self, peer: PeerId) {
        self.sources.exclude(peer, Why::NotAvailable);
        self.requests.cancel_where(|request| request.source == peer);
    }

    /// The reader stands, or waits, at byte `offset`.
    ///
    /// When it waits for something that nobody was asked for, that is a seek: large
    /// requests for far-off groups make way. Small ones are cheaper to finish.
    pub fn handle_demand(&mut self, offset: u64, now: Instant) {
        self.play_head.handle_demand(offset, now);
        self.look_whether_dry(now);
        let head = self.play_head.group();
        if self.have.contains(head) || self.requests.once().contains(head) {
            return;
        }
        let near = GroupSet::from(head.0..head.0.saturating_add(NEAR_GROUPS));
        self.requests.cancel_where(|request| {
            request.groups().count() > SMALL_GROUPS && !request.groups().intersects(&near)
        });
    }

    /// A second of the track takes this many bytes.
    pub fn handle_bitrate(&mut self, bytes_per_second: u64) {
        self.play_head.handle_bitrate(bytes_per_second);
    }

    /// The sound begins at this byte; before it lie tags and pictures.
    pub fn handle_audio_start(&mut self, offset: u64) {
        self.play_head.handle_audio_start(offset);
    }

    /// The sound is held back, or goes on.
    pub fn handle_held(&mut self, held: bool, now: Instant) {
        if self.play_head.handle_held(held, &self.have, now) {
            self.look_whether_dry(now);
        }
    }

    /// From now on the track is not kept, but for these groups.
    pub fn handle_unkept(&mut self, kept: GroupSet) {
        self.window.get_or_insert(MemoryWindow::new(kept));
        let wanted = self.view(self.polled).wanted();
        self.requests
            .cancel_where(|request| !request.groups().intersects(&wanted));
    }

    /// Somebody has heard of a peer: it is tried at once, if it is a source that failed.
    pub fn handle_seen(&mut self, peer: PeerId) {
        self.sources.handle_seen(peer);
    }

    /// Other keys are believed now: all sources that failed are tried at once.
    pub fn handle_keys(&mut self) {
        self.sources.handle_keys();
    }

    /// The source has begun to answer.
    pub fn handle_first_byte(&mut self, req: RequestId, now: Instant) {
        let Some(request) = self.requests.get_mut(req) else {
            return;
        };
        if request.answered {
            return;
        }
        request.answered = true;
        request.progress = now;
        let (peer, sent) = (request.source, request.sent);
        let others = |(other, r): (RequestId, &OpenRequest)| other != req && r.answered;
        let busy = self.requests.of(peer).any(others);
        self.sources.handle_first_byte(peer, sent, busy, now);
        self.requests.end_silence(peer);
    }

    /// A group arrived, verified.
    pub fn handle_group(&mut self, req: RequestId, group: Group, now: Instant) {
        self.handle_first_byte(req, now);
        if !self.have.contains(group) {
            let bytes = GroupSet::from_iter([group]).bytes(self.size);
            self.arrivals.handle_bytes(bytes, now);
        }
        self.have.insert(group);
        self.look_whether_dry(now);
        if let Some(request) = self.requests.get_mut(req) {
            request.progress = now;
            let peer = request.source;
            let bytes = GroupSet::from_iter([group]).bytes(self.size);
            self.sources.handle_bytes(peer, bytes, now);
            self.requests.end_silence(peer);
        }
        self.drop_useless_copies(req);
    }

    /// A request ended; every group that it brought was told before.
    pub fn handle_done(&mut self, req: RequestId, outcome: RequestOutcome, now: Instant) {
        let Some(request) = self.requests.remove(req) else {
            return; // Cancelled before.
        };
        let (peer, missing) = (request.source, request.groups().difference(&self.have));
        if let RequestOutcome::Elsewhere(named) = outcome {
            let is_news = self.sources.handle_referral(peer, &missing, named, now);
            self.stuck_said &= !is_news;
            return;
        }
        self.sources.handle_done(peer, outcome, &missing, now);
        if self.sources.is_excluded(peer) {
            self.requests.cancel_where(|request| request.source == peer);
        }
    }

    /// The next thing to do at `now`; `None` until an event or [`Self::poll_timeout`].
    pub fn poll(&mut self, now: Instant) -> Option<FetchAction> {
        self.polled = now;
        self.expire(now);
        if let Some(req) = self.requests.poll_cancel() {
            return Some(FetchAction::Cancel { req });
        }
        if let Some(groups) = self.excess() {
            self.have = self.have.difference(&groups);
            return Some(FetchAction::Forget { groups });
        }
        let view = self.view(now);
        let missing = view.missing();
        if missing.is_empty() && self.window.is_some() {
            return None;
        }
        if missing.is_empty() {
            return (!std::mem::replace(&mut self.complete_said, true))
                .then_some(FetchAction::Complete);
        }
        match choose::next_request(&view, &missing) {
            Some(choice) => Some(self.fetch(choice, now)),
            None => self.stuck(&missing),
        }
    }

    /// When [`Self::poll`] may have something to do without an event.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let view = self.view(self.polled);
        let missing = view.missing();
        let resting = self.sources.values().filter_map(|source| {
            let until = source.resting_until()?;
            source.has_any(&missing).then_some(until)
        });
        lateness::next_overdue(&view)
            .into_iter()
            .chain(resting)
            .min()
    }

    /// Whether there is something left to ask for now.
    pub fn is_hungry(&self) -> bool {
        !self.view(self.polled).missing().is_empty()
    }

    /// Whether the reader comes to what is not here before long.
    pub fn is_short(&self, now: Instant) -> bool {
        self.view(now).is_short()
    }

    /// Whether `peer` does not do what it was asked for.
    pub fn is_failing(&self, peer: PeerId) -> bool {
        let source = self.sources.get(peer);
        source.is_some_and(|source| source.is_failing() || source.is_gone())
    }

    /// What was measured of the sources, for the next track.
    pub fn paces(&self) -> impl Iterator<Item = (PeerId, Throughput)> + '_ {
        self.sources.paces()
    }

    /// Bytes a second that really came during the last seconds.
    pub fn arriving(&self, now: Instant) -> u64 {
        self.arrivals.rate(now)
    }

    /// What the sound has to wait for; `None` when it may begin.
    pub fn start_buffer(&self, now: Instant) -> Option<StartBuffer> {
        start::start_buffer(&self.view(now), self.arriving(now))
    }

    /// How long the reader still goes until the end of the track.
    pub fn time_left(&self, now: Instant) -> Duration {
        let position = self.play_head.position(&self.have, now);
        self.play_head.time_of(self.size.saturating_sub(position))
    }

    /// Since when the reader stands at something that is not here, and nothing has come;
    /// however short that is.
    pub fn dry_since(&self) -> Option<Instant> {
        let brought = self.sources.brought();
        self.dry_since
            .map(|since| brought.map_or(since, |brought| brought.max(since)))
    }

    /// The source that is waited for, once nothing has come for so long that it is no
    /// hiccup.
    pub fn silence(&self, now: Instant) -> Option<Stall> {
        silence::silence(&self.view(now), self.dry_since()?)
    }

    fn view(&self, now: Instant) -> TrackView<'_> {
        TrackView {
            size: self.size,
            have: &self.have,
            window: self.window.as_ref(),
            play_head: &self.play_head,
            sources: &self.sources,
            requests: &self.requests,
            now,
        }
    }

    /// Notes whether the reader stands at something that is not here.
    fn look_whether_dry(&mut self, now: Instant) {
        let is_dry = self.view(now).is_dry();
        self.dry_since = is_dry.then(|| self.dry_since.unwrap_or(now));
    }

    /// Marks what is late and gives up what stands still.
    fn expire(&mut self, now: Instant) {
        let overdue = lateness::overdue(&self.view(now));
        for req in overdue.late {
            if let Some(request) = self.requests.get_mut(req) {
                request.late = true;
                let (peer, late) = (request.source, request.groups().difference(&self.have));
                self.sources.handle_not_brought(peer, &late);
            }
        }
        self.sources.end_rests(now);
        if self.sources.spread_from().is_some() {
            let near = self.view(now).near();
            self.sources.hurry(&near, now);
        }
        while let Some(req) = lateness::too_slow(&self.view(now)) {
            self.requests.cancel(&[req]);
        }
        let preemptable = lateness::preemptable(&self.view(now));
        self.requests.cancel(&preemptable);
        for req in overdue.stalled {
            if let Some(request) = self.requests.take_back(req) {
                self.sources
                    .handle_stall(request.source, request.groups(), now);
            }
        }
    }

    /// What is here and need not be.
    fn excess(&self) -> Option<GroupSet> {
        let window = self.window.as_ref()?;
        window.excess(&self.have, &self.play_head)
    }

    fn fetch(&mut self, choice: Choice, now: Instant) -> FetchAction {
        let Choice {
            source,
            groups,
            renew,
        } = choice;
        let on_wire = self.view(now).class_on_wire(source, &groups);
        self.sources.handle_asked(source, now);
        let classes = (self.play_head.class_of(&groups), on_wire);
        let request = OpenRequest::new(source, groups.clone(), classes, now);
        let req = self.requests.add(request);
        FetchAction::Fetch {
            req,
            source,
            groups,
            class: on_wire,
            renew,
        }
    }

    fn stuck(&mut self, missing: &GroupSet) -> Option<FetchAction> {
        let hope = self.sources.values().any(|source| source.has_any(missing));
        if hope || !self.requests.is_empty() || self.stuck_said {
            return None;
        }
        self.stuck_said = true;
        let why = self.sources.reasons();
        Some(FetchAction::Stuck { why })
    }

    /// After a group of `by` arrived: the slower copy of a request has nothing left to bring.
    fn drop_useless_copies(&mut self, by: RequestId) {
        let have = &self.have;
        let useless: Vec<_> = self
            .requests
            .iter()
            .filter(|(req, request)| *req != by && have.contains_all(request.groups()))
            .map(|(req, _)| req)
            .collect();
        self.requests.cancel(&useless);
    }

    fn drop_useless_requests(&mut self) {
        let have = self.have.clone();
        self.requests
            .cancel_where(|request| have.contains_all(request.groups()));
    }
}

/// How close to the new head a large request must be to survive a seek.
const NEAR_GROUPS: u32 = 64;

#[cfg(test)]
mod tests;
