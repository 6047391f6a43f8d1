//! One content on its way here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::shape::FileShape;
use crate::{
    catalog::Database,
    content::ranges::GroupSet,
    id::{PeerId, TrackId},
    protocol::Class,
    swarm::scheduler::{
        RequestId, RequestOutcome, Scheduler, SourceInfo, Stall, StartBuffer, Throughput, Why,
    },
    util::tree,
};

/// Names a request to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FetchId {
    pub track: TrackId,
    /// Each fetching of a track counts its requests from 0: what is still
    /// told about the one before is not about this one.
    pub stream: u64,
    pub request: RequestId,
}

/// What happened to a fetch.
#[derive(Clone, Debug)]
pub enum FetchEvent {
    /// The answer begins.
    FirstByte,
    /// Groups are verified and stored.
    Groups(GroupSet),
    /// So many bytes came and could not be used.
    Wasted(u64),
    /// Nothing more comes.
    Done(RequestOutcome),
    /// What came could not be kept, for this reason.
    NotKept(String),
}

/// The fetching of one content.
pub struct TrackFetch {
    /// No other stream has it.
    pub number: u64,
    pub scheduler: Scheduler,
    /// The peers that the scheduler knows as sources.
    pub sources: BTreeSet<PeerId>,
    /// Peers that a source named, and that are none by their catalogues: they have a part.
    named: BTreeSet<PeerId>,
    /// What all that ever were sources are, or were, called.
    pub names: BTreeMap<PeerId, Arc<str>>,
    /// The peer that said what the track is; it has it before its catalogue says so.
    pub resolver: Option<PeerId>,
    pub size: u64,
    /// Whether the store has made room.
    pub open: bool,
    /// Whether it plays now, and not only next.
    pub plays: bool,
    /// Whether its play was told that the rest will not come.
    pub given_up: bool,
    /// Requests that are out, for cancelling them.
    pub fetching: BTreeMap<RequestId, PeerId>,
}

impl TrackFetch {
    /// A stream that waits for its place in the store.
    pub fn new(
        number: u64,
        shape: &FileShape,
        resolver: Option<PeerId>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut scheduler = Scheduler::new(shape.size, &shape.opening, seed, now);
        scheduler.handle_role(Class::Next);
        scheduler.handle_audio_start(shape.media.audio_start.unwrap_or(0));
        let duration = shape.media.duration;
        if !duration.is_zero() {
            scheduler.handle_bitrate((shape.size as f64 / duration.as_secs_f64()) as u64);
        }
        Self {
            number,
            scheduler,
            sources: BTreeSet::new(),
            named: BTreeSet::new(),
            names: BTreeMap::new(),
            resolver,
            size: shape.size,
            open: false,
            plays: false,
            given_up: false,
            fetching: BTreeMap::new(),
        }
    }

    /// Whether it plays, and needs all that its sources can send: there is more
    /// to come, and not so soon that the next track must be begun.
    pub fn is_busy(&self, now: Instant) -> bool {
        let needs = self.plays && self.open && !self.given_up;
        needs && self.scheduler.is_hungry() && self.scheduler.time_left(now) > PREFETCH
    }

    /// Whether it may ask for something: the next track waits until the one
    /// that plays is here, so that it does not take the line away from it.
    pub fn is_active(&self, busy: bool) -> bool {
        self.open && (self.plays || !busy)
    }

    pub fn fetch_id(&self, track: TrackId, request: RequestId) -> FetchId {
        let stream = self.number;
        FetchId {
            track,
            stream,
            request,
        }
    }

    /// What its sound has to wait for, if it may not begin. What will not come is not
    /// waited for.
    pub fn start_buffer(&self, now: Instant) -> Option<StartBuffer> {
        self.scheduler.start_buffer(now).filter(|_| !self.given_up)
    }

    /// The silence of the source that is waited for in vain, if one is.
    pub fn silence(&self, now: Instant) -> Option<Stall> {
        self.scheduler.silence(now).filter(|_| self.is_waiting())
    }

    /// Whether it may wait for somebody.
    pub fn is_waiting(&self) -> bool {
        self.open && !self.given_up
    }

    /// What `peer` is called, or was when it was here.
    pub fn name(&self, peer: PeerId) -> Arc<str> {
        let name = self.names.get(&peer).cloned();
        name.unwrap_or_else(|| peer.to_string().into())
    }

    /// Tells the scheduler which sources have come and gone.
    pub fn set_sources(
        &mut self,
        track: TrackId,
        database: &Database,
        me: PeerId,
        paces: &BTreeMap<PeerId, Throughput>,
        now: Instant,
    ) {
        let holders = database.holders(track).map(|(member, _, _)| member);
        let resolver = self.resolver.and_then(|peer| database.member(peer));
        let members = holders.chain(resolver).filter(|member| member.peer != me);
        let names: BTreeMap<PeerId, Arc<str>> =
            tree::map(members.map(|member| (member.peer, member.name.clone())));
        let sources: BTreeSet<PeerId> = tree::set(names.keys().copied());
        for peer in sources.difference(&self.sources) {
            let info = SourceInfo {
                have: None,
                pace: paces.get(peer).copied(),
            };
            self.scheduler.add_source(*peer, info, now);
        }
        for peer in self.sources.difference(&sources) {
            match database.member(*peer) {
                Some(_) => self.scheduler.handle_disowned(*peer),
                None => self.scheduler.remove_source(*peer),
            }
        }
        self.sources = sources;
        self.names.extend(names);
    }

    /// Whether `peer`, which a source names, is in the swarm.
    pub fn knows(&mut self, peer: PeerId, who_is: impl Fn(PeerId) -> Option<Arc<str>>) -> bool {
        let name = who_is(peer);
        if let Some(name) = &name {
            self.names.insert(peer, name.clone());
            if !self.sources.contains(&peer) {
                self.named.insert(peer);
            }
        }
        name.is_some()
    }

    /// Forgets of the named peers those that are not here any more.
    pub fn forget_named(&mut self, is_here: impl Fn(PeerId) -> bool) {
        let Self {
            named,
            sources,
            scheduler,
            ..
        } = self;
        named.retain(|peer| {
            let stays = is_here(*peer);
            if !stays && !sources.contains(peer) {
                scheduler.remove_source(*peer);
            }
            stays
        });
    }

    /// What keeps the listener from the rest, in words. A peer that has left is
    /// not in the database any more, but has a name still.
    pub fn in_words(&self, why: &[(PeerId, Why)]) -> String {
        let words: Vec<String> = why
            .iter()
            .map(|(peer, why)| format!("{}: {why}", self.name(*peer)))
            .collect();
        words.join("; ")
    }
}

/// So long before the end of a track the next one is fetched in any case: a play that
/// begins cold may need this much, and what plays goes first at the sources.
const PREFETCH: Duration = Duration::from_secs(30);
