//! From "play this" to bytes on their way: finds out what a queued track is,
//! opens its place in the store, and has it fetched.
//!
//! At most two plays are alive, the current one and the one made ready behind
//! it. Each goes through the same stages: *resolving*, while its content's
//! name is asked for; *opening*, while the store makes room; *loaded*, once
//! the player has it. What is fetched belongs to a stream, one per content,
//! so that a track that follows itself is fetched once.

mod absent;
mod here;
mod shape;
mod stream;
mod streams;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use self::{absent::Absent, shape::FileShape, streams::Streams};
pub use self::{
    absent::Waits,
    here::{ByteOrigin, Local},
    shape::{PlaySource, PlayerTrack},
    stream::{FetchEvent, FetchId},
};
use crate::{
    audio::PlayId,
    catalog::{Database, FoundTrackRef},
    command::view::Missed,
    content::ranges::GroupSet,
    id::{group_count, EntryNo, PeerId, TrackId},
    playback::{queue::QueueItem, transport::Cause},
    protocol::Class,
    swarm::scheduler::StartBuffer,
    util::few::Few,
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
    Load(PlayerTrack),
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
}

/// What the plays give.
#[derive(Debug, PartialEq)]
pub enum PlayStep {
    /// Something to do.
    Action(PlayAction),
    /// The play cannot go on, for this reason.
    Failed(PlayId, String),
}

impl From<PlayAction> for PlayStep {
    fn from(action: PlayAction) -> Self {
        Self::Action(action)
    }
}

/// What is asked to be played.
#[derive(Clone, Debug)]
pub struct PlayRequest {
    pub play: PlayId,
    pub item: Arc<QueueItem>,
    pub from: Duration,
    pub next: bool,
    pub cause: Cause,
}

/// Why nobody has said what an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Its owner did not answer, or cannot be reached.
    Silent,
    Refused(String),
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
    plays: Few<PlayId, Play>,
    streams: Streams,
    steps: VecDeque<PlayStep>,
}

struct Play {
    request: PlayRequest,
    shape: FileShape,
    stage: PlayStage,
    /// The player makes no sound of it before it is told to.
    held: bool,
    /// Since when nobody has begun it, if it has to wait for that.
    missed_since: Option<Instant>,
}

impl Play {
    fn new(request: PlayRequest, shape: FileShape, stage: PlayStage) -> Self {
        Self {
            request,
            shape,
            stage,
            held: false,
            missed_since: None,
        }
    }

    /// One that waits since then.
    fn absent(request: PlayRequest, absent: Absent, since: Instant) -> Self {
        let shape = FileShape::unknown(&request.item);
        Self {
            missed_since: Some(since),
            ..Self::new(request, shape, PlayStage::Absent(absent))
        }
    }

    /// The peers that could say what it is say nothing.
    fn miss(&mut self, missed: Missed, now: Instant) {
        self.missed_since.get_or_insert(now);
        self.stage = PlayStage::Absent(Absent::new(missed, now));
    }

    /// When it is to be tried again.
    fn retry_at(&self) -> Option<Instant> {
        match self.stage {
            PlayStage::Absent(absent) => absent.retry_at(),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PlayStage {
    /// No peer is here that has it, or could say what it is.
    Absent(Absent),
    Resolving {
        peer: PeerId,
    },
    Opening(TrackId),
    Loaded(Option<TrackId>),
}

impl PlayStage {
    /// The content that the player has been given.
    fn loaded(self) -> Option<TrackId> {
        match self {
            Self::Loaded(track) => track,
            Self::Absent(_) | Self::Resolving { .. } | Self::Opening(_) => None,
        }
    }
}

impl Plays {
    /// `seed` makes the back-offs of this node differ from its neighbours'.
    pub fn new(me: PeerId, seed: u64) -> Self {
        Self {
            me,
            plays: Few::default(),
            streams: Streams::new(me, seed),
            steps: VecDeque::new(),
        }
    }

    /// The next thing to do, or to know.
    pub fn poll(&mut self, now: Instant) -> Option<PlayStep> {
        let step = self.steps.pop_front();
        let step = step.or_else(|| self.streams.poll(now).map(PlayStep::Action));
        step.or_else(|| self.let_sound(now).map(PlayStep::Action))
    }

    /// When [`Self::poll`] may have something to do without an event.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let absent = self.plays.values().filter_map(Play::retry_at);
        self.streams.poll_timeout().into_iter().chain(absent).min()
    }

    /// Has a play sound that was held back and is not any more.
    fn let_sound(&mut self, now: Instant) -> Option<PlayAction> {
        let streams = &self.streams;
        let ready = |play: &&mut Play| {
            let stream = play.stage.loaded().and_then(|track| streams.get(track));
            play.held && stream.is_some_and(|stream| stream.start_buffer(now).is_none())
        };
        let play = self.plays.values_mut().find(ready)?;
        play.held = false;
        let (id, track) = (play.request.play, play.stage.loaded()?);
        self.streams.set_held(track, false, now);
        Some(PlayAction::Sound(id))
    }

    /// The sound of a play ran dry: it waits until enough is here to go on with.
    pub fn handle_underrun(&mut self, play: PlayId, now: Instant) {
        let Some(waiting) = self.plays.get_mut(play) else {
            return;
        };
        let stream = waiting.stage.loaded().and_then(|t| self.streams.get(t));
        if waiting.held || stream.is_none_or(|stream| stream.start_buffer(now).is_none()) {
            return;
        }
        waiting.held = true;
        if let Some(track) = waiting.stage.loaded() {
            self.streams.set_held(track, true, now);
        }
        self.steps.push_back(PlayAction::Hold(play).into());
    }

    /// What the sound of `play` waits for, if it is held back.
    pub fn start_buffer(&self, play: PlayId, now: Instant) -> Option<StartBuffer> {
        let play = self.plays.get(play).filter(|play| play.held)?;
        self.streams.get(play.stage.loaded()?)?.start_buffer(now)
    }

    /// Begins a play. One that is not [`PlayRequest::next`] ends all others.
    pub fn handle_request(&mut self, request: PlayRequest, database: &Database, now: Instant) {
        let play = request.play;
        if request.next {
            self.forget(|other| other.request.next);
        } else {
            self.forget(|_| true);
        }
        match self.begin(request.clone(), database, now) {
            Ok(begun) => self.insert(begun, now),
            // The one behind what plays has time.
            Err(why) if request.cause == Cause::Asked && !request.next => {
                self.steps.push_back(PlayStep::Failed(play, why));
            }
            Err(_) => {
                let absent = Absent::new(Missed::Absent, now);
                self.insert(Play::absent(request, absent, now), now);
            }
        }
        self.sweep();
    }

    fn insert(&mut self, begun: Play, now: Instant) {
        let stage = begun.stage;
        self.plays.insert(begun.request.play, begun);
        // A track that follows itself has its place already.
        if let PlayStage::Opening(track) = stage {
            self.load_if_open(track, now);
        }
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
        if let Some(play) = self.plays.get_mut(to) {
            play.request.next = false;
            if let PlayStage::Opening(track) | PlayStage::Loaded(Some(track)) = play.stage {
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
        answer: Result<(TrackId, u64), Unresolved>,
        database: &Database,
        now: Instant,
    ) {
        let Some(waiting) = self.plays.get_mut(play) else {
            return;
        };
        let PlayStage::Resolving { peer } = waiting.stage else {
            return;
        };
        match answer {
            Ok((track, size)) => {
                waiting.shape.size = size;
                waiting.stage = PlayStage::Opening(track);
                let shape = waiting.shape.clone();
                let opened = self.streams.open(track, &shape, database, Some(peer), now);
                self.steps.extend(opened.into_iter().map(PlayStep::Action));
                self.set_role(track);
                self.load_if_open(track, now);
            }
            Err(Unresolved::Silent) => waiting.miss(Missed::Silent, now),
            Err(Unresolved::Refused(why)) => {
                self.plays.remove(play);
                self.steps.push_back(PlayStep::Failed(play, why));
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
        match answer {
            Ok(have) => {
                self.streams.handle_opened(track, &have);
                self.load_if_open(track, now);
            }
            Err(why) => {
                let waiting = |play: &Play| play.stage == PlayStage::Opening(track);
                let failed = self.plays.iter().filter(|(_, play)| waiting(play));
                let failed = failed.map(|(play, _)| PlayStep::Failed(play, why.clone()));
                self.steps.extend(failed);
                self.forget(waiting);
                self.sweep();
            }
        }
    }

    /// The store cannot keep the track, but for these groups: memory has the rest.
    pub fn handle_unkept(&mut self, track: TrackId, kept: GroupSet) {
        self.streams.handle_unkept(track, kept);
    }

    /// The store had these groups of the track, and has lost them.
    pub fn handle_lost(&mut self, track: TrackId, lost: &GroupSet) {
        self.streams.handle_lost(track, lost);
    }

    /// The reader stands at `offset` of the track.
    pub fn handle_demand(&mut self, track: TrackId, offset: u64, now: Instant) {
        self.streams.handle_demand(track, offset, now);
    }

    /// Whether what plays is about to run out of bytes.
    pub fn is_short(&self, now: Instant) -> bool {
        self.streams.is_short(now)
    }

    /// Something came of a fetch. A peer that is not in the swarm (`who_is` knows no name) is not
    /// asked, whatever source names it.
    pub fn handle_fetch(
        &mut self,
        fetch: FetchId,
        event: FetchEvent,
        who_is: impl Fn(PeerId) -> Option<Arc<str>>,
        now: Instant,
    ) {
        let follows = self.streams.handle_fetch(fetch, event, who_is, now);
        self.steps.extend(follows.into_iter().map(PlayStep::Action));
    }

    /// Catalogues or peers have changed: sources may have come or gone.
    pub fn handle_database(&mut self, database: &Database, now: Instant) {
        self.streams.handle_database(database, now);
        self.seek_absent(database, now);
    }

    /// How far the content of `play` has arrived; all of it when it is local.
    pub fn arrived(&self, play: PlayId) -> Option<Arrived> {
        let play = self.plays.get(play)?;
        let (PlayStage::Opening(track) | PlayStage::Loaded(Some(track))) = play.stage else {
            return matches!(play.stage, PlayStage::Loaded(None))
                .then_some(Arrived { groups: 1, of: 1 });
        };
        let stream = self.streams.get(track)?;
        Some(Arrived {
            groups: stream.scheduler.have().count(),
            of: group_count(stream.size),
        })
    }

    /// The sources that the content of `play` is fetched from now.
    pub fn sources(&self, play: PlayId) -> BTreeSet<PeerId> {
        let stage = self.plays.get(play).map(|play| play.stage);
        let Some(PlayStage::Opening(track) | PlayStage::Loaded(Some(track))) = stage else {
            return BTreeSet::new();
        };
        let fetching = self.streams.get(track).map(|stream| &stream.fetching);
        fetching
            .into_iter()
            .flat_map(|f| f.values().copied())
            .filter(|peer| !self.streams.is_failing(*peer))
            .collect()
    }

    /// What is here of a track that is fetched.
    pub fn have(&self, track: TrackId) -> Option<&GroupSet> {
        Some(self.streams.get(track)?.scheduler.have())
    }

    /// What was asked for, of which `track` turned out to be the content.
    pub fn file(&self, track: TrackId) -> Option<String> {
        let is_of_track = |play: &&Play| matches!(play.stage, PlayStage::Opening(t) | PlayStage::Loaded(Some(t)) if t == track);
        let item = &self.plays.values().find(is_of_track)?.request.item;
        Some(format!("{}/{}", item.info.owner, item.path))
    }

    /// What of the content of `play` is on this machine; nothing as long as that is
    /// being found out.
    pub fn local(&self, play: PlayId) -> Option<Local> {
        let play = self.plays.get(play)?;
        let PlayStage::Loaded(track) = play.stage else {
            return None;
        };
        let Some(track) = track else {
            let (origin, bytes) = (ByteOrigin::OwnDisk, play.shape.size);
            return Some(Local { origin, bytes });
        };
        let stream = self.streams.get(track)?;
        let bytes = stream.scheduler.have().bytes(stream.size);
        let origin = match bytes < stream.size {
            true => ByteOrigin::Swarm,
            false => ByteOrigin::Cache,
        };
        Some(Local { origin, bytes })
    }

    fn begin(
        &mut self,
        request: PlayRequest,
        database: &Database,
        now: Instant,
    ) -> Result<Play, String> {
        let item = request.item.clone();
        let found = database.find_at(item.peer, &item.path);
        let track = content_of(&item, found, database);
        if let (Some(found), true) = (found, item.peer == self.me) {
            let shape = self.playable(found)?;
            let load = shape.load(&request, PlaySource::File(found.no));
            self.steps.push_back(PlayAction::Load(load).into());
            return Ok(Play::new(request, shape, PlayStage::Loaded(None)));
        }
        if let Some(track) = track {
            let shape = match found {
                Some(found) => Some(self.playable(found)?),
                None => FileShape::of_copy(track, &item, database),
            };
            let shape = shape.ok_or_else(|| self.nobody_has(&item, database))?;
            let opened = self.streams.open(track, &shape, database, None, now);
            self.steps.extend(opened.into_iter().map(PlayStep::Action));
            if !request.next {
                self.streams.set_playing(track);
            }
            return Ok(Play::new(request, shape, PlayStage::Opening(track)));
        }
        let found = found.ok_or_else(|| self.nobody_has(&item, database))?;
        let (play, peer, entry) = (request.play, item.peer, found.no);
        let resolve = PlayAction::Resolve { play, peer, entry };
        self.steps.push_back(resolve.into());
        let shape = self.playable(found)?;
        Ok(Play::new(request, shape, PlayStage::Resolving { peer }))
    }

    /// The shape of what can be played, or why it cannot.
    fn playable(&self, found: FoundTrackRef<'_>) -> Result<FileShape, String> {
        let shape = FileShape::of(found.listed);
        shape.map_err(|why| {
            let (owner, path) = (&found.member.name, found.listed.path());
            format!("{owner}/{path} cannot be played here: {why}")
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

    /// Tells a stream whether it plays now or next.
    fn set_role(&mut self, track: TrackId) {
        let now = |play: &Play| {
            !play.request.next
                && matches!(play.stage, PlayStage::Opening(t) | PlayStage::Loaded(Some(t)) if t == track)
        };
        if self.plays.values().any(now) {
            self.streams.set_playing(track);
        }
    }

    /// Hands what waits for `track` to the player once the store has room.
    fn load_if_open(&mut self, track: TrackId, now: Instant) {
        if self.streams.get(track).is_none_or(|stream| !stream.open) {
            return;
        }
        let waiting = |play: &&mut Play| play.stage == PlayStage::Opening(track);
        for play in self.plays.values_mut().filter(waiting) {
            play.stage = PlayStage::Loaded(Some(track));
            let load = play.shape.load(&play.request, PlaySource::Store(track));
            play.held = load.held;
            self.streams.set_held(track, load.held, now);
            self.steps.push_back(PlayAction::Load(load).into());
        }
    }

    fn forget(&mut self, which: impl Fn(&Play) -> bool) {
        self.plays.retain(|play| !which(play));
    }

    /// Ends the streams that no play needs any more.
    fn sweep(&mut self) {
        let wanted = |track: TrackId| {
            self.plays.values().any(|play| {
                matches!(play.stage, PlayStage::Opening(t) | PlayStage::Loaded(Some(t)) if t == track)
            })
        };
        let swept = self.streams.sweep(wanted);
        self.steps.extend(swept.into_iter().map(PlayStep::Action));
    }
}

/// What `item` is: the content that its owner lists at the path now; where the owner has not hashed
/// that yet, the content that lay there before, as long as a peer that is here has a copy of it.
fn content_of(
    item: &QueueItem,
    found: Option<FoundTrackRef<'_>>,
    database: &Database,
) -> Option<TrackId> {
    let Some(found) = found else {
        return item.track;
    };
    let is_held = |track: &TrackId| database.holders(*track).next().is_some();
    found.listed.track.or(item.track.filter(is_held))
}

#[cfg(test)]
mod tests;
