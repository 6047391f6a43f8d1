//! The contents on their way here, one stream each, however many plays want it.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{
    shape::FileShape,
    stream::{FetchEvent, FetchId, TrackFetch},
    PlayAction,
};
use crate::{
    catalog::Database,
    content::ranges::GroupSet,
    id::{PeerId, TrackId},
    protocol::Class,
    swarm::scheduler::{self, RequestOutcome, Throughput, Why},
};

/// All that is fetched, by content.
pub struct Streams {
    me: PeerId,
    streams: BTreeMap<TrackId, TrackFetch>,
    begun: u64,
    /// How fast the sources of earlier tracks were, of those that are still here.
    paces: BTreeMap<PeerId, Throughput>,
    /// Whether, when last looked at, what plays needed all that its sources can send.
    busy: bool,
    seed: u64,
}

impl Streams {
    /// `seed` makes the back-offs of this node differ from its neighbours'.
    pub fn new(me: PeerId, seed: u64) -> Self {
        Self {
            me,
            streams: BTreeMap::new(),
            begun: 0,
            paces: BTreeMap::new(),
            busy: false,
            seed,
        }
    }

    pub fn get(&self, track: TrackId) -> Option<&TrackFetch> {
        self.streams.get(&track)
    }

    /// The next thing that one of them needs.
    pub fn poll(&mut self, now: Instant) -> Option<PlayAction> {
        let busy = self.streams.values().any(|stream| stream.is_busy(now));
        self.busy = busy;
        let active = self.streams.iter_mut().filter(|(_, s)| s.is_active(busy));
        let mut polled = active.filter_map(|(track, stream)| loop {
            let action = stream.scheduler.poll(now)?;
            // A source that has left may come back.
            if let Some(action) = perform(*track, stream, action) {
                return Some(action);
            }
        });
        polled.next()
    }

    /// When [`Self::poll`] may have something to do without an event.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let active = self.streams.values().filter(|s| s.is_active(self.busy));
        active.filter_map(|s| s.scheduler.poll_timeout()).min()
    }

    /// Sees to it that there is a stream for `track`; gives what that takes. The peer that
    /// said what the track is (`resolver`) has it before its catalogue says so.
    pub fn open(
        &mut self,
        track: TrackId,
        shape: &FileShape,
        database: &Database,
        resolver: Option<PeerId>,
        now: Instant,
    ) -> Vec<PlayAction> {
        if self.get(track).is_some_and(|stream| !stream.given_up) {
            return Vec::new();
        }
        // A new play is a new try: nobody is out yet, nothing has failed.
        let mut actions = self.close(track);
        self.seed = self.seed.wrapping_add(1);
        self.begun += 1;
        let mut stream = TrackFetch::new(self.begun, shape, resolver, self.seed, now);
        let under_way = self.streams.values().flat_map(|s| s.scheduler.paces());
        self.paces.extend(under_way);
        stream.set_sources(track, database, self.me, &self.paces, now);
        self.streams.insert(track, stream);
        let size = shape.size;
        actions.push(PlayAction::Open { track, size });
        actions
    }

    /// Ends a stream and what was asked for it.
    fn close(&mut self, track: TrackId) -> Vec<PlayAction> {
        let Some(stream) = self.streams.remove(&track) else {
            return Vec::new();
        };
        self.paces.extend(stream.scheduler.paces());
        let requests = stream.fetching.keys();
        requests
            .map(|req| PlayAction::Cancel(stream.fetch_id(track, *req)))
            .collect()
    }

    /// Ends those that are not `wanted` any more.
    pub fn sweep(&mut self, wanted: impl Fn(TrackId) -> bool) -> Vec<PlayAction> {
        let tracks = self.streams.keys().copied();
        let idle: Vec<TrackId> = tracks.filter(|track| !wanted(*track)).collect();
        let ends = idle.into_iter().flat_map(|track| {
            let mut actions = self.close(track);
            actions.push(PlayAction::Close(track));
            actions
        });
        ends.collect()
    }

    /// What was to be next plays now.
    pub fn set_playing(&mut self, track: TrackId) {
        self.with(track, |stream| {
            stream.plays = true;
            stream.scheduler.handle_role(Class::Now);
        });
    }

    /// The sound of the track is held back, or goes on.
    pub fn set_held(&mut self, track: TrackId, held: bool, now: Instant) {
        self.with(track, |stream| stream.scheduler.handle_held(held, now));
    }

    /// The store has made room, and has these groups already.
    pub fn handle_opened(&mut self, track: TrackId, have: &GroupSet) {
        self.with(track, |stream| {
            stream.open = true;
            stream.scheduler.handle_have(have);
        });
    }

    /// The store cannot keep the track, but for these groups: memory has the rest.
    pub fn handle_unkept(&mut self, track: TrackId, kept: GroupSet) {
        self.with(track, |stream| stream.scheduler.handle_unkept(kept));
    }

    /// The store had these groups of the track, and has lost them.
    pub fn handle_lost(&mut self, track: TrackId, lost: &GroupSet) {
        self.with(track, |stream| stream.scheduler.handle_lost(lost));
    }

    /// The reader stands at `offset` of the track.
    pub fn handle_demand(&mut self, track: TrackId, offset: u64, now: Instant) {
        self.with(track, |stream| stream.scheduler.handle_demand(offset, now));
    }

    /// Something came of a fetch. A peer that is not in the swarm (`who_is` knows no name) is not
    /// asked, whatever source names it.
    pub fn handle_fetch(
        &mut self,
        fetch: FetchId,
        event: FetchEvent,
        who_is: impl Fn(PeerId) -> Option<Arc<str>>,
        now: Instant,
    ) -> Option<PlayAction> {
        let stream = self.streams.get_mut(&fetch.track);
        let stream = stream.filter(|stream| stream.number == fetch.stream)?;
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
                if let RequestOutcome::Elsewhere(named) = &mut outcome {
                    named.retain(|(peer, _)| *peer != self.me && stream.knows(*peer, &who_is));
                }
                stream.scheduler.handle_done(fetch.request, outcome, now);
            }
            FetchEvent::NotKept(why) => {
                stream.open = false;
                stream.given_up = true;
                let track = fetch.track;
                return Some(PlayAction::GiveUp { track, why });
            }
        }
        None
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

    /// Somebody has heard of `peer`.
    pub fn handle_seen(&mut self, peer: PeerId) {
        for stream in self.streams.values_mut() {
            stream.scheduler.handle_seen(peer);
        }
    }

    /// Other keys are believed now: every source that failed is worth another try.
    pub fn handle_keys(&mut self) {
        for stream in self.streams.values_mut() {
            stream.scheduler.handle_keys();
        }
    }

    /// Whether `peer` does not do what it was asked for.
    pub fn is_failing(&self, peer: PeerId) -> bool {
        let mut streams = self.streams.values();
        streams.any(|stream| stream.scheduler.is_failing(peer))
    }

    /// What is missing of the track is not waited for any more.
    pub fn give_up(&mut self, track: TrackId) {
        self.with(track, |stream| stream.given_up = true);
    }

    /// Whether what plays is about to run out of bytes.
    pub fn is_short(&self, now: Instant) -> bool {
        let mut playing = self.streams.values().filter(|s| s.plays && s.open);
        playing.any(|s| !s.given_up && s.scheduler.is_short(now))
    }

    fn with(&mut self, track: TrackId, change: impl FnOnce(&mut TrackFetch)) {
        if let Some(stream) = self.streams.get_mut(&track) {
            change(stream);
        }
    }
}

/// What an action of a stream's scheduler is in terms of plays.
fn perform(
    track: TrackId,
    stream: &mut TrackFetch,
    action: scheduler::FetchAction,
) -> Option<PlayAction> {
    Some(match action {
        scheduler::FetchAction::Fetch {
            req,
            source,
            groups,
            class,
            renew,
        } => {
            stream.fetching.insert(req, source);
            PlayAction::Fetch {
                fetch: stream.fetch_id(track, req),
                source,
                size: stream.size,
                groups,
                class,
                renew,
            }
        }
        scheduler::FetchAction::Cancel { req } => {
            stream.fetching.remove(&req);
            PlayAction::Cancel(stream.fetch_id(track, req))
        }
        scheduler::FetchAction::Complete => PlayAction::Keep(track),
        scheduler::FetchAction::Forget { groups } => PlayAction::Forget { track, groups },
        scheduler::FetchAction::Stuck { why } => {
            if why.is_empty() || why.iter().any(|(_, why)| *why == Why::Gone) {
                return None;
            }
            stream.given_up = true;
            let why = stream.in_words(&why);
            PlayAction::GiveUp { track, why }
        }
    })
}
