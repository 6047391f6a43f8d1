//! From "play this" to bytes on their way: finds out what a queued track is,
//! opens its place in the store, and has it fetched.
//!
//! At most two plays are alive, the current one and the one made ready behind
//! it. Each goes through the same stages: *resolving*, while its content's
//! name is asked for; *opening*, while the store makes room; *loaded*, once
//! the player has it. What is fetched belongs to a stream, one per content,
//! so that a track that follows itself is fetched once.

mod here;
mod shape;
mod stream;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use self::{shape::Shape, stream::Stream};
pub use self::{
    shape::{Load, Source},
    stream::{FetchEvent, FetchId},
};
use crate::{
    catalog::Database,
    content::ranges::GroupSet,
    id::{group_count, EntryNo, PeerId, TrackId},
    player::{queue::QueueItem, PlayId},
    protocol::Class,
    swarm::scheduler::{self, Lead, Outcome, Pace, Why},
};

/// What has to be done for the plays.
#[derive(Clone, Debug, PartialEq)]
pub enum PlayAction {
    /// Ask `peer` what its entry hashes to.
    Resolve {
        play: PlayId,
        peer: PeerId,
        entry: EntryNo,
    },
    /// Make room in the store.
    Open { track: TrackId, size: u64 },
    /// Ask `source` for groups.
    Fetch {
        fetch: FetchId,
        source: PeerId,
        size: u64,
        groups: GroupSet,
        class: Class,
        /// The connection to it is silent: make another.
        renew: bool,
    },
    /// Do not wait for that any longer.
    Cancel(FetchId),
    /// Let the player have it.
    Load(Load),
    /// Make no sound of it until [`Self::Sound`]: it would not go on.
    Hold(PlayId),
    /// Enough of it is here to go on with.
    Sound(PlayId),
    /// All groups are there: keep the track.
    Keep(TrackId),
    /// What is missing of the track will not come.
    GiveUp { track: TrackId, why: String },
    /// These groups are not needed any more, and nothing keeps them.
    Forget { track: TrackId, groups: GroupSet },
    /// Nobody plays the track any more.
    Close(TrackId),
    /// The play cannot go on.
    Failed(PlayId, String),
}

/// What is asked to be played.
#[derive(Clone, Debug)]
pub struct Request {
    pub play: PlayId,
    pub item: Arc<QueueItem>,
    pub from: Duration,
    pub paused: bool,
    pub next: bool,
}

/// How far a play has arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrived {
    pub groups: u32,
    pub of: u32,
}

/// See the module's description.
pub struct Plays {
    me: PeerId,
    plays: BTreeMap<PlayId, Play>,
    streams: BTreeMap<TrackId, Stream>,
    streams_begun: u64,
    /// How fast the sources of earlier tracks were, of those that are still here.
    paces: BTreeMap<PeerId, Pace>,
    /// Whether, when last looked at, what plays needed all that its sources can send.
    busy: bool,
    actions: VecDeque<PlayAction>,
    seed: u64,
}

struct Play {
    request: Request,
    shape: Shape,
    stage: Stage,
    /// The player makes no sound of it before it is told to.
    held: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Resolving { peer: PeerId },
    Opening(TrackId),
    Loaded(Option<TrackId>),
}

impl Stage {
    /// The content that the player has been given.
    fn loaded(self) -> Option<TrackId> {
        match self {
            Self::Loaded(track) => track,
            Self::Resolving { .. } | Self::Opening(_) => None,
        }
    }
}

impl Plays {
    /// `seed` makes the back-offs of this node differ from its neighbours'.
    pub fn new(me: PeerId, seed: u64) -> Self {
        Self {
            me,
            plays: BTreeMap::new(),
            streams: BTreeMap::new(),
            streams_begun: 0,
            paces: BTreeMap::new(),
            busy: false,
            actions: VecDeque::new(),
            seed,
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self, now: Instant) -> Option<PlayAction> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            let busy = self.streams.values().any(|stream| stream.is_busy(now));
            self.busy = busy;
            let active = self.streams.iter_mut().filter(|(_, s)| s.is_active(busy));
            let mut polled = active.filter_map(|(t, s)| Some((*t, s.scheduler.poll(now)?)));
            match polled.next() {
                Some((track, action)) => self.handle_scheduler(track, action),
                None => return self.let_sound(now),
            }
        }
    }

    /// When [`Self::poll`] may have something to do without an event.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let active = self.streams.values().filter(|s| s.is_active(self.busy));
        active.filter_map(|s| s.scheduler.poll_timeout()).min()
    }

    /// Has a play sound that was held back and is not any more.
    fn let_sound(&mut self, now: Instant) -> Option<PlayAction> {
        let streams = &self.streams;
        let ready = |play: &&mut Play| {
            let stream = play.stage.loaded().and_then(|track| streams.get(&track));
            play.held && stream.is_some_and(|stream| stream.lead(now).is_none())
        };
        let play = self.plays.values_mut().find(ready)?;
        play.held = false;
        let (id, track) = (play.request.play, play.stage.loaded()?);
        self.set_held(track, false, now);
        Some(PlayAction::Sound(id))
    }

    /// The sound of a play ran dry: it waits until enough is here to go on with.
    pub fn handle_underrun(&mut self, play: PlayId, now: Instant) {
        let Some(waiting) = self.plays.get_mut(&play) else {
            return;
        };
        let stream = waiting.stage.loaded().and_then(|t| self.streams.get(&t));
        if waiting.held || stream.is_none_or(|stream| stream.lead(now).is_none()) {
            return;
        }
        waiting.held = true;
        if let Some(track) = waiting.stage.loaded() {
            self.set_held(track, true, now);
        }
        self.actions.push_back(PlayAction::Hold(play));
    }

    /// What the sound of `play` waits for, if it is held back.
    pub fn lead(&self, play: PlayId, now: Instant) -> Option<Lead> {
        let play = self.plays.get(&play).filter(|play| play.held)?;
        self.streams.get(&play.stage.loaded()?)?.lead(now)
    }

    fn set_held(&mut self, track: TrackId, held: bool, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&track) {
            stream.scheduler.handle_held(held, now);
        }
    }

    /// Begins a play. One that is not [`Request::next`] ends all others.
    pub fn handle_request(&mut self, request: Request, database: &Database, now: Instant) {
        let play = request.play;
        if request.next {
            self.forget(|other| other.request.next);
        } else {
            self.forget(|_| true);
        }
        match self.begin(request, database, now) {
            Ok(begun) => {
                let stage = begun.stage;
                self.plays.insert(play, begun);
                // A track that follows itself has its place already.
                if let Stage::Opening(track) = stage {
                    self.load_if_open(track, now);
                }
            }
            Err(why) => self.actions.push_back(PlayAction::Failed(play, why)),
        }
        self.sweep();
    }

    /// Whether something is made ready behind what plays.
    pub fn has_next(&self) -> bool {
        self.plays.values().any(|play| play.request.next)
    }

    /// Nothing is made ready any more.
    pub fn handle_clear_next(&mut self) {
        self.forget(|play| play.request.next);
        self.sweep();
    }

    /// What was next plays now.
    pub fn handle_crossed(&mut self, to: PlayId) {
        self.forget(|play| play.request.play != to);
        if let Some(play) = self.plays.get_mut(&to) {
            play.request.next = false;
            if let Stage::Opening(track) | Stage::Loaded(Some(track)) = play.stage {
                self.set_role(track);
            }
        }
        self.sweep();
    }

    /// Nothing plays any more.
    pub fn handle_stop(&mut self) {
        self.forget(|_| true);
        self.sweep();
    }

    /// An owner has said what its entry is.
    pub fn handle_resolved(
        &mut self,
        play: PlayId,
        answer: Result<(TrackId, u64), String>,
        database: &Database,
        now: Instant,
    ) {
        let Some(waiting) = self.plays.get_mut(&play) else {
            return;
        };
        let Stage::Resolving { peer } = waiting.stage else {
            return;
        };
        match answer {
            Ok((track, size)) => {
                waiting.shape.size = size;
                waiting.stage = Stage::Opening(track);
                let shape = waiting.shape.clone();
                self.open(track, &shape, database, Some(peer), now);
                self.set_role(track);
                self.load_if_open(track, now);
            }
            Err(why) => {
                self.plays.remove(&play);
                self.actions.push_back(PlayAction::Failed(play, why));
            }
        }
    }

    /// The store has made room, or could not.
    pub fn handle_opened(
        &mut self,
        track: TrackId,
        answer: Result<GroupSet, String>,
        now: Instant,
    ) {
        let Some(stream) = self.streams.get_mut(&track) else {
            return;
        };
        match answer {
            Ok(have) => {
                stream.open = true;
                stream.scheduler.handle_have(&have);
                self.load_if_open(track, now);
            }
            Err(why) => {
                let of_track = |play: &Play| play.stage == Stage::Opening(track);
                let failed: Vec<PlayId> = self
                    .plays
                    .iter()
                    .filter(|(_, p)| of_track(p))
                    .map(|(id, _)| *id)
                    .collect();
                for play in failed {
                    self.plays.remove(&play);
                    self.actions
                        .push_back(PlayAction::Failed(play, why.clone()));
                }
                self.sweep();
            }
        }
    }

    /// The store cannot keep the track, but for these groups: memory has the rest.
    pub fn handle_unkept(&mut self, track: TrackId, kept: GroupSet) {
        if let Some(stream) = self.streams.get_mut(&track) {
            stream.scheduler.handle_unkept(kept);
        }
    }

    /// The store had these groups of the track, and has lost them.
    pub fn handle_lost(&mut self, track: TrackId, lost: &GroupSet) {
        if let Some(stream) = self.streams.get_mut(&track) {
            stream.scheduler.handle_lost(lost);
        }
    }

    /// The reader stands at `offset` of the track.
    pub fn handle_demand(&mut self, track: TrackId, offset: u64, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&track) {
            stream.scheduler.handle_demand(offset, now);
        }
    }

    /// Whether what plays is about to run out of bytes.
    pub fn is_short(&self, now: Instant) -> bool {
        let mut playing = self.streams.values().filter(|s| s.plays && s.open);
        playing.any(|s| !s.given_up && s.scheduler.is_short(now))
    }

    /// Something came of a fetch. Who is not in the swarm (`who_is` knows no name) is not
    /// asked, whoever names it.
    pub fn handle_fetch(
        &mut self,
        fetch: FetchId,
        event: FetchEvent,
        who_is: impl Fn(PeerId) -> Option<Arc<str>>,
        now: Instant,
    ) {
        let stream = self.streams.get_mut(&fetch.track);
        let Some(stream) = stream.filter(|stream| stream.number == fetch.stream) else {
            return;
        };
        match event {
            FetchEvent::FirstByte => stream.scheduler.handle_first_byte(fetch.request, now),
            FetchEvent::Groups(groups) => {
                for group in groups.iter() {
                    stream.scheduler.handle_group(fetch.request, group, now);
                }
            }
            FetchEvent::Wasted(_) => {}
            FetchEvent::Done(mut outcome) => {
                stream.fetching.remove(&fetch.request);
                if let Outcome::Elsewhere(named) = &mut outcome {
                    named.retain(|(peer, _)| *peer != self.me && stream.knows(*peer, &who_is));
                }
                stream.scheduler.handle_done(fetch.request, outcome, now);
            }
            FetchEvent::NotKept(why) => {
                stream.open = false;
                stream.given_up = true;
                self.actions.push_back(PlayAction::GiveUp {
                    track: fetch.track,
                    why,
                });
            }
        }
    }

    /// Catalogues or peers have changed: sources may have come or gone.
    pub fn handle_database(&mut self, database: &Database, now: Instant) {
        self.paces
            .retain(|peer, _| database.member(*peer).is_some());
        for (track, stream) in &mut self.streams {
            stream.set_sources(*track, database, self.me, &self.paces, now);
            stream.forget_named(|peer| database.member(peer).is_some());
        }
    }

    /// How far the content of `play` has arrived; all of it when it is local.
    pub fn arrived(&self, play: PlayId) -> Option<Arrived> {
        let play = self.plays.get(&play)?;
        let (Stage::Opening(track) | Stage::Loaded(Some(track))) = play.stage else {
            return matches!(play.stage, Stage::Loaded(None))
                .then_some(Arrived { groups: 1, of: 1 });
        };
        let stream = self.streams.get(&track)?;
        Some(Arrived {
            groups: stream.scheduler.have().count(),
            of: group_count(stream.size),
        })
    }

    /// Whom the content of `play` is fetched from now.
    pub fn sources(&self, play: PlayId) -> BTreeSet<PeerId> {
        let stage = self.plays.get(&play).map(|play| play.stage);
        let Some(Stage::Opening(track) | Stage::Loaded(Some(track))) = stage else {
            return BTreeSet::new();
        };
        let fetching = self.streams.get(&track).map(|stream| &stream.fetching);
        fetching
            .into_iter()
            .flat_map(|f| f.values().copied())
            .collect()
    }

    fn begin(
        &mut self,
        request: Request,
        database: &Database,
        now: Instant,
    ) -> Result<Play, String> {
        let item = request.item.clone();
        let found = database.find_at(item.peer, &item.path);
        let track = found.and_then(|f| f.listed.track).or(item.track);
        if let (Some(found), true) = (found, item.peer == self.me) {
            let shape = Shape::of(found.listed);
            self.actions.push_back(PlayAction::Load(
                shape.load(&request, Source::File(found.no)),
            ));
            return Ok(Play {
                request,
                shape,
                stage: Stage::Loaded(None),
                held: false,
            });
        }
        if let Some(track) = track {
            let shape = match found {
                Some(found) => Some(Shape::of(found.listed)),
                None => Shape::of_copy(track, &item, database),
            };
            let shape = shape.ok_or_else(|| self.nobody_has(&item, database))?;
            self.open(track, &shape, database, None, now);
            if !request.next {
                self.set_playing(track);
            }
            return Ok(Play {
                request,
                shape,
                stage: Stage::Opening(track),
                held: false,
            });
        }
        let found = found.ok_or_else(|| self.nobody_has(&item, database))?;
        let (play, peer, entry) = (request.play, item.peer, found.no);
        self.actions
            .push_back(PlayAction::Resolve { play, peer, entry });
        Ok(Play {
            request,
            shape: Shape::of(found.listed),
            stage: Stage::Resolving { peer },
            held: false,
        })
    }

    fn nobody_has(&self, item: &QueueItem, database: &Database) -> String {
        let owner = &item.info.owner;
        match database.member(item.peer) {
            Some(member) => format!(
                "{} no longer has {:?}, nor has anyone else",
                member.name, item.path
            ),
            None => format!(
                "{owner} is not in the swarm, and nobody else has {:?}",
                item.path
            ),
        }
    }

    /// Sees to it that there is a stream for `track`.
    fn open(
        &mut self,
        track: TrackId,
        shape: &Shape,
        database: &Database,
        resolver: Option<PeerId>,
        now: Instant,
    ) {
        if self.streams.get(&track).is_some_and(|s| !s.given_up) {
            return;
        }
        // A new play is a new try: nobody is out yet, nothing has failed.
        self.close(track);
        self.seed = self.seed.wrapping_add(1);
        self.streams_begun += 1;
        let mut stream = Stream::new(self.streams_begun, shape, resolver, self.seed, now);
        let under_way = self.streams.values().flat_map(|s| s.scheduler.paces());
        self.paces.extend(under_way);
        stream.set_sources(track, database, self.me, &self.paces, now);
        self.streams.insert(track, stream);
        self.actions.push_back(PlayAction::Open {
            track,
            size: shape.size,
        });
    }

    /// Tells a stream whether it plays now or next.
    fn set_role(&mut self, track: TrackId) {
        let now = |play: &Play| {
            !play.request.next
                && matches!(play.stage, Stage::Opening(t) | Stage::Loaded(Some(t)) if t == track)
        };
        if self.plays.values().any(now) {
            self.set_playing(track);
        }
    }

    fn set_playing(&mut self, track: TrackId) {
        if let Some(stream) = self.streams.get_mut(&track) {
            stream.plays = true;
            stream.scheduler.handle_role(Class::Now);
        }
    }

    /// Hands what waits for `track` to the player once the store has room.
    fn load_if_open(&mut self, track: TrackId, now: Instant) {
        let stream = self.streams.get_mut(&track);
        let Some(stream) = stream.filter(|stream| stream.open) else {
            return;
        };
        for play in self
            .plays
            .values_mut()
            .filter(|play| play.stage == Stage::Opening(track))
        {
            play.stage = Stage::Loaded(Some(track));
            let load = play.shape.load(&play.request, Source::Store(track));
            play.held = load.held;
            stream.scheduler.handle_held(load.held, now);
            self.actions.push_back(PlayAction::Load(load));
        }
    }

    fn handle_scheduler(&mut self, track: TrackId, action: scheduler::Action) {
        let Some(stream) = self.streams.get_mut(&track) else {
            return;
        };
        match action {
            scheduler::Action::Fetch {
                req,
                source,
                groups,
                class,
                renew,
            } => {
                stream.fetching.insert(req, source);
                let fetch = stream.fetch_id(track, req);
                let size = stream.size;
                self.actions.push_back(PlayAction::Fetch {
                    fetch,
                    source,
                    size,
                    groups,
                    class,
                    renew,
                });
            }
            scheduler::Action::Cancel { req } => {
                stream.fetching.remove(&req);
                let fetch = stream.fetch_id(track, req);
                self.actions.push_back(PlayAction::Cancel(fetch));
            }
            scheduler::Action::Complete => self.actions.push_back(PlayAction::Keep(track)),
            scheduler::Action::Forget { groups } => {
                self.actions.push_back(PlayAction::Forget { track, groups });
            }
            scheduler::Action::Stuck { why } => self.handle_stuck(track, &why),
        }
    }

    /// What keeps the listener from the rest of a track, in words.
    fn handle_stuck(&mut self, track: TrackId, why: &[(PeerId, Why)]) {
        if let Some(stream) = self.streams.get_mut(&track) {
            stream.given_up = true;
            let why = stream.in_words(why);
            self.actions.push_back(PlayAction::GiveUp { track, why });
        }
    }

    fn forget(&mut self, which: impl Fn(&Play) -> bool) {
        self.plays.retain(|_, play| !which(play));
    }

    /// Ends the streams that no play needs any more.
    fn sweep(&mut self) {
        let wanted = |track: TrackId| {
            self.plays.values().any(|play| {
                matches!(play.stage, Stage::Opening(t) | Stage::Loaded(Some(t)) if t == track)
            })
        };
        let idle: Vec<TrackId> = self
            .streams
            .keys()
            .copied()
            .filter(|t| !wanted(*t))
            .collect();
        for track in idle {
            self.close(track);
            self.actions.push_back(PlayAction::Close(track));
        }
    }

    /// Ends a stream and what was asked for it.
    fn close(&mut self, track: TrackId) {
        if let Some(stream) = self.streams.remove(&track) {
            self.paces.extend(stream.scheduler.paces());
            let requests = stream.fetching.keys();
            let cancels = requests.map(|req| PlayAction::Cancel(stream.fetch_id(track, *req)));
            self.actions.extend(cancels);
        }
    }
}
