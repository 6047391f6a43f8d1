//! The machine itself: which part an event goes to, and what an action of the node becomes.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    downloads::{self, Downloads, OpenedTrack, Outcome},
    effect::{DownloadEffect, Effect, EffectQueue, LocalEffect, PlayerEffect},
    log_policy::LogPolicy,
    orders::Orders,
    upkeep::{Upkeep, UpkeepTask},
    uploads::Uploads,
};
use crate::{
    audio::{PlayId, PlayerEvent},
    command::{CommandRequest, StatePart, StateParts},
    id::{PeerId, TrackId},
    node::{
        Action, AskId, Bookmark, ControlId, Event, MachineReport, Node, NodeSetup, PlayAction,
        PlayerAction, RequestContext, Via,
    },
    protocol::PeerRequest,
    swarm::{
        guests::{GuestId, Guests},
        order::FetchOrder,
    },
    tracker::link::{LinkCommand, TrackerEvent},
};

/// See the module's description, and that of the folder.
///
/// After every `handle_*`, effects are to be polled until there are none.
pub struct PeerCore {
    node: Node,
    downloads: Downloads,
    uploads: Uploads,
    guests: Guests,
    orders: Orders,
    upkeep: Upkeep,
    log_policy: LogPolicy,
    /// The last of them that was to be written down.
    bookmark: Option<Bookmark>,
    presence: CorePresence,
    /// Of requests and connections.
    last_id: u64,
    effects: EffectQueue,
}

/// Whether the peer is part of the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CorePresence {
    Here,
    /// It ends when the tracker has confirmed that it leaves, but not later than this.
    Leaving {
        until: Instant,
    },
    Gone,
}

impl PeerCore {
    /// The peer at its start, which has to hear of its library's catalogue next.
    pub fn new(setup: NodeSetup, now: Instant) -> Self {
        let node = Node::new(setup, now);
        let mut effects = EffectQueue::default();
        effects.push(PlayerEffect::Order(PlayerAction::Volume(node.volume())));
        effects.push(LocalEffect::AnnounceHeld);
        effects.push(LocalEffect::CheckCache);
        effects.push(LocalEffect::LookForDevices);
        Self {
            node,
            downloads: Downloads::default(),
            uploads: Uploads::default(),
            guests: Guests::default(),
            orders: Orders::default(),
            upkeep: Upkeep::default(),
            log_policy: LogPolicy::new(),
            bookmark: None,
            presence: CorePresence::Here,
            last_id: 0,
            effects,
        }
    }

    /// What the node sees and knows, for the tests of whole swarms.
    #[cfg(test)]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The counters as Prometheus reads them.
    pub fn exposition(&self, now: Instant) -> String {
        self.node.exposition(now)
    }

    /// One line of what the peer does.
    pub fn summary(&self) -> String {
        self.node.summary()
    }

    /// Where in its music the peer is, given where the player says that it is; nothing where
    /// that was so before.
    pub fn bookmark(&mut self, position: Option<(PlayId, Duration)>) -> Option<Bookmark> {
        let bookmark = self.node.bookmark(position)?;
        if self.bookmark.as_ref() == Some(&bookmark) {
            return None;
        }
        self.bookmark = Some(bookmark.clone());
        Some(bookmark)
    }

    /// Takes an event that has no method of its own.
    pub fn handle(&mut self, event: Event, now: Instant) {
        if self.presence != CorePresence::Here {
            return self.handle_while_leaving(&event, now);
        }
        let was_silent = self.log_policy.is_silent();
        self.log_policy.note(&event, now);
        match &event {
            Event::Unkept { why, .. } | Event::Machine(MachineReport::CacheBroken(why)) => {
                self.note_broken_cache(why, now);
            }
            // One that is unplugged leaves the list, too.
            Event::Player(PlayerEvent::DeviceLost { .. }) => {
                self.effects.push(LocalEffect::LookForDevices);
            }
            Event::Player(PlayerEvent::DeviceOpen { .. } | PlayerEvent::DeviceBack)
                if was_silent =>
            {
                self.effects.push(LocalEffect::LookForDevices);
            }
            Event::Answered { ask, .. } => self.uploads.handle_answered(*ask),
            Event::Fetch(fetch, event) => self.downloads.handle_fetch(*fetch, event),
            Event::Resolved { play, .. } if !self.downloads.handle_resolved(*play) => return,
            _ => {}
        }
        let is_named = matches!(event, Event::Tracker(TrackerEvent::Registered { .. }));
        self.node.handle(event, now);
        if is_named {
            // It asks for that name again.
            self.remember();
        }
    }

    /// A control client wants something; [`Effect::Answer`] has the answer to the id that is
    /// given back.
    pub fn handle_control(
        &mut self,
        request: CommandRequest,
        sight: RequestContext,
        now: Instant,
    ) -> ControlId {
        let ask = ControlId(self.next_id());
        let event = Event::Control {
            ask,
            request,
            sight,
        };
        self.handle(event, now);
        ask
    }

    /// Another peer asks, from an address where it can be dialled; the effects that name the id
    /// answer.
    pub fn handle_asked(
        &mut self,
        peer: PeerId,
        from: SocketAddr,
        request: PeerRequest,
        now: Instant,
    ) -> AskId {
        let ask = AskId(self.next_id());
        self.uploads.handle_asked(ask);
        let event = Event::Asked {
            ask,
            peer,
            from,
            request,
        };
        self.handle(event, now);
        ask
    }

    /// A peer has connected by itself: it may be asked over that connection, and for want of
    /// room another connection may have to go.
    pub fn handle_connected(&mut self, peer: PeerId) -> GuestId {
        let guest = GuestId(self.next_id());
        if self.node.reaches(peer) {
            self.effects.push(Effect::Offer(peer, guest));
        }
        let is_listed = |peer| self.node.reaches(peer);
        let goes = self.guests.handle_connected(guest, peer, is_listed);
        self.effects.push_all(goes.map(Effect::Evict));
        guest
    }

    /// A connection that another peer opened is no more.
    pub fn handle_parted(&mut self, guest: GuestId) {
        self.guests.handle_closed(guest);
    }

    /// The store has made room for a track, or could not for this reason. Says whether the track
    /// is still wanted.
    pub fn handle_opened(
        &mut self,
        track: TrackId,
        opened: Result<OpenedTrack, String>,
        now: Instant,
    ) -> bool {
        if !self.downloads.handle_opened(track, opened.is_ok()) {
            return false;
        }
        let answer = opened.map(|opened| {
            if let Some((kept, why)) = opened.uncached {
                // Before the first request goes out.
                self.handle(Event::Unkept { track, kept, why }, now);
            }
            opened.have
        });
        self.handle(Event::Opened { track, answer }, now);
        true
    }

    /// The own file of a play is found, or is not for this reason. Says whether the play is still
    /// wanted.
    pub fn handle_located(
        &mut self,
        play: PlayId,
        found: Result<(), String>,
        now: Instant,
    ) -> bool {
        let outcome = self.downloads.handle_located(play, found);
        let is_wanted = outcome.is_some();
        outcome.into_iter().for_each(|o| self.take(o, now));
        is_wanted
    }

    /// The cache can be written, or cannot for this reason.
    pub fn handle_cache_checked(&mut self, checked: Result<(), String>, now: Instant) {
        let was_broken = self.upkeep.handle_cache_checked(checked.is_ok(), now);
        match checked {
            Ok(()) if was_broken => {
                // What the directory holds is known now, if it was not there before.
                self.effects.push(LocalEffect::AnnounceHeld);
                self.handle(Event::Machine(MachineReport::CacheMended), now);
            }
            Err(why) if !was_broken => {
                self.handle(Event::Machine(MachineReport::CacheBroken(why)), now);
            }
            _ => {}
        }
    }

    /// Something could not be kept. A track that is too large for the cache is
    /// among this; what comes after it can be kept, as the next look finds.
    fn note_broken_cache(&mut self, why: &str, now: Instant) {
        if self.upkeep.handle_cache_broken(now) {
            log::warn!("what is played is not kept: {why}");
        }
    }

    /// Leaves the swarm: [`Effect::End`] is the last thing that follows.
    pub fn handle_stop(&mut self, now: Instant) {
        if self.presence != CorePresence::Here {
            return;
        }
        self.presence = CorePresence::Leaving {
            until: now + LEAVE_TIMEOUT,
        };
        self.effects.push(Effect::Bookmark);
        self.remember();
        self.effects.push(PlayerEffect::Order(PlayerAction::Stop));
        self.effects.push_all(self.downloads.end_lookup());
        self.effects.push_all(self.downloads.end_fetches());
        self.effects.push(Effect::Leave);
        self.orders.push(LinkCommand::Leave);
    }

    fn handle_while_leaving(&mut self, event: &Event, now: Instant) {
        if let Event::Tracker(TrackerEvent::Left { .. }) = event {
            self.log_policy.note(event, now);
            self.end();
        }
    }

    fn end(&mut self) {
        if self.presence != CorePresence::Gone {
            self.presence = CorePresence::Gone;
            self.effects.push(Effect::End);
        }
    }

    /// The next effect to perform.
    pub fn poll(&mut self, now: Instant) -> Option<Effect> {
        loop {
            if let Some(effect) = self.effects.pop() {
                return Some(effect);
            }
            if self.presence != CorePresence::Here {
                return None;
            }
            match self.upkeep.poll(now) {
                Some(UpkeepTask::Remember) => self.remember(),
                Some(UpkeepTask::Rest) => return Some(LocalEffect::Rest.into()),
                Some(UpkeepTask::CheckCache) => return Some(LocalEffect::CheckCache.into()),
                None => {
                    let action = self.node.poll(now)?;
                    self.perform(action, now);
                }
            }
        }
    }

    /// What the tracker's link is to hear next.
    pub fn first_order(&self) -> Option<&LinkCommand> {
        self.orders.first()
    }

    /// The link has taken that.
    pub fn handle_order_taken(&mut self) {
        self.orders.pop();
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.presence {
            CorePresence::Here => {
                let due = [self.node.poll_timeout(), self.upkeep.poll_timeout()];
                due.into_iter().flatten().min()
            }
            CorePresence::Leaving { until } => Some(until),
            CorePresence::Gone => None,
        }
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.presence {
            CorePresence::Here if self.node.poll_timeout().is_some_and(|due| due <= now) => {
                self.node.handle_timeout(now);
            }
            CorePresence::Leaving { until } if until <= now => {
                let left = Event::Tracker(TrackerEvent::Left { confirmed: false });
                self.handle_while_leaving(&left, now);
            }
            _ => {}
        }
    }

    fn perform(&mut self, action: Action, now: Instant) {
        match action {
            Action::Play(action) => self.perform_play(action, now),
            Action::Transport(order) => self.perform_order(order),
            Action::Want(want) if want.via == Via::Owner => {
                let reaches = self.node.reaches(want.owner);
                let outcome = downloads::ask_owner(want.owner, want.what, reaches);
                self.take(outcome, now);
            }
            Action::Want(want) => {
                let (owner, what) = (want.owner, want.what);
                self.orders.push(LinkCommand::Want { owner, what });
            }
            Action::Publish(own) => self.orders.push(LinkCommand::Publish(own)),
            Action::Leave => self.orders.push(LinkCommand::Leave),
            Action::Join => self.orders.push(LinkCommand::Join),
            Action::Greet(peer, greeting) => {
                let reaches = self.node.reaches(peer);
                let outcome = downloads::greet(peer, greeting, reaches);
                self.take(outcome, now);
            }
            Action::Link {
                peer,
                addresses,
                is_new,
            } => self.link(peer, addresses, is_new),
            Action::Unlink(peer) => self.effects.push(DownloadEffect::Unlink(peer)),
            Action::Answer(ask, answer) => {
                let effect = self.uploads.answer(ask, answer);
                self.effects.push_all(effect);
            }
            Action::Reply(ask, outcome) => self.effects.push(Effect::Answer(ask, outcome)),
            Action::Changed(parts) => {
                if !parts.and(REMEMBERED).is_empty() {
                    self.upkeep.remember_soon(now);
                }
                self.effects.push(Effect::Changed(parts));
            }
            Action::Bookmark => self.effects.push(Effect::Bookmark),
            Action::Remember => self.remember(),
            Action::LookForPeers(look) => self.effects.push(LocalEffect::LookForPeers(look)),
            Action::Archive(order) => self.effects.push(LocalEffect::Archive(order)),
            Action::Queued(tracks) => self.effects.push(LocalEffect::Queued(tracks)),
            Action::Rescan { path, anew } => self.effects.push(LocalEffect::Rescan { path, anew }),
            Action::Outdo(head) => self.effects.push(LocalEffect::Outdo(head)),
        }
    }

    fn perform_order(&mut self, order: PlayerAction) {
        if matches!(order, PlayerAction::Stop | PlayerAction::ClearNext) {
            self.effects.push_all(self.downloads.end_lookup());
        }
        self.effects.push(PlayerEffect::Order(order));
    }

    fn perform_play(&mut self, action: PlayAction, now: Instant) {
        log::trace!("play: {action:?}");
        match action {
            PlayAction::Resolve { play, peer, entry } => {
                let reaches = self.node.reaches(peer);
                let outcome = self.downloads.resolve(play, peer, entry, reaches);
                self.take(outcome, now);
            }
            PlayAction::Open { track, size } => {
                self.effects.push(self.downloads.open(track, size));
            }
            PlayAction::Fetch {
                fetch,
                source,
                size,
                groups,
                class,
                renew,
            } => {
                let order = FetchOrder {
                    track: fetch.track,
                    size,
                    groups,
                    class,
                    renew,
                };
                let reaches = self.node.reaches(source);
                let outcome = self.downloads.fetch(fetch, source, order, reaches);
                self.take(outcome, now);
            }
            PlayAction::Cancel(fetch) => self.effects.push_all(self.downloads.end_fetch(fetch)),
            PlayAction::Load(load) => self.effects.push_all(self.downloads.load(load)),
            PlayAction::Hold(play) => self.effects.push(PlayerEffect::Hold(play)),
            PlayAction::Sound(play) => self.effects.push(PlayerEffect::Sound(play)),
            PlayAction::Keep(track) => self.with_open(track, DownloadEffect::Keep(track)),
            PlayAction::GiveUp { track, why } => {
                self.with_open(track, DownloadEffect::Fail { track, why })
            }
            PlayAction::Forget { track, groups } => {
                self.with_open(track, DownloadEffect::Forget { track, groups });
            }
            PlayAction::Close(track) => {
                if self.downloads.close(track) {
                    self.effects.push(DownloadEffect::Close(track));
                    self.upkeep.rest_soon(now);
                }
            }
        }
    }

    /// Has `effect` performed on a track, if that is open.
    fn with_open(&mut self, track: TrackId, effect: DownloadEffect) {
        if self.downloads.is_open(track) {
            self.effects.push(effect);
        }
    }

    fn take(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Perform(effect) => self.effects.push(effect),
            Outcome::Tell(event) => self.node.handle(event, now),
        }
    }

    fn link(&mut self, peer: PeerId, addresses: Vec<SocketAddr>, is_new: bool) {
        self.effects.push(DownloadEffect::Link(peer, addresses));
        if is_new {
            // It may have come by itself before anybody knew where it is.
            let guest = self.guests.latest_of(peer);
            self.effects
                .push_all(guest.map(|guest| Effect::Offer(peer, guest)));
        }
    }

    /// Has the volume and the queue kept over a restart.
    fn remember(&mut self) {
        let memory = Box::new(self.node.memory());
        self.effects.push(LocalEffect::Remember(memory));
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// What changes when there is something else to remember; the rest is in the bookmark.
const REMEMBERED: StateParts = StateParts::of(&[StatePart::Queue]);
/// A whole stop takes at most 2 s; a tracker that is there answers within a round trip.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
