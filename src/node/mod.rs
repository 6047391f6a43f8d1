//! The brain of a peer: pure, without a clock and without a socket.
//!
//! Events go in by [`Node::handle`], actions come out by [`Node::poll`], and
//! [`Node::poll_timeout`] says when to call again without an event. The node
//! routes: what an event means is decided in the room that it belongs to, and
//! what follows is collected here, in the order in which it is to be done.
//!
//! ```text
//!   tracker ─┐                ┌─ others       the other peers:
//!   mDNS    ─┤                │    roster       which are here, and where
//!   library ─┤                │    catalogues   what they have
//!   control ─┼─ Event ─ Node ─┼─ transport    what is to sound
//!   player  ─┤                ├─ plays        how its bytes get here
//!   swarm   ─┘                └─ answers      what the others want
//! ```
//!
//! Payload never comes through here: events and actions carry ranges.

mod answers;
mod bookmark;
mod catalogues;
mod commands;
mod events;
mod members;
mod memory;
mod others;
mod plays;
mod roster;
mod stats;
#[cfg(test)]
mod tests;
mod tracker_only;
mod tracker_state;
mod view;
mod waiting;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(test)]
pub use self::roster::Acquaintance;
use self::{
    answers::Answers,
    bookmark::Scribe,
    catalogues::Catalogues,
    memory::Reminder,
    others::{Others, OthersStep},
    plays::{PlayStep, Plays},
    roster::Roster,
    stats::NodeStats,
    waiting::{Vigil, WatchedPlay},
};
pub use self::{
    answers::{AskId, UploadAnswer},
    bookmark::{Absence, Bookmark, ResumeAs},
    catalogues::{Archival, Archived, CatalogueWant, Via, KNOWN_AFTER},
    events::{
        Action, CataloguePiece, ControlId, Event, Greeted, MachineReport, NodeSetup, PlayerAction,
        RequestContext, ScanEvent,
    },
    memory::Memory,
    plays::{FetchEvent, FetchId, PlayAction, PlaySource, PlayerTrack, Unresolved},
    roster::Interfaces,
    tracker_only::TrackerOnly,
    tracker_state::listed,
    view::in_few_words,
};
use crate::{
    audio::{PlayId, PlayerEvent},
    catalog::{Database, MemoryQuota},
    command::{Answer, CommandError, StatePart, StateParts},
    config::Role,
    content::ranges::GroupSet,
    id::PeerId,
    playback::{
        queue::{Queue, QueueId, QueueItem},
        transport::{Cause, PlayState, Transport, TransportAction},
    },
    protocol::PeerRequest,
    swarm::requester::Requester,
    tracker::link::TrackerEvent,
};

/// See the module's description.
pub struct Node {
    me: PeerId,
    /// What it asks to be called.
    default_name: String,
    name_is_chosen: bool,
    role: Role,
    others: Others,
    scribe: Scribe,
    vigil: Vigil,
    database: Database,
    queue: Queue,
    transport: Transport,
    plays: Plays,
    answers: Answers,
    facts: view::NodeFacts,
    stats: NodeStats,
    /// Clients that wait for the tracker to confirm that this node has left.
    leaving: Vec<ControlId>,
    actions: VecDeque<Action>,
    changed: StateParts,
    /// When the store is to hear what is queued, if that has changed: a client that adds a
    /// thousand tracks one by one changes it a thousand times.
    queued_due: Option<Instant>,
}

impl Node {
    pub fn new(setup: NodeSetup, now: Instant) -> Self {
        // What it was called before, it is called until a tracker says otherwise.
        let known_as = setup.memory.known_as.as_ref();
        let known_as = known_as.filter(|(of, _)| *of == setup.name);
        let name = known_as.map_or(&setup.name, |(_, name)| name).clone();
        let facts = view::NodeFacts::new(&setup.interfaces, setup.found);
        let peers = &setup.memory.peers;
        let mut roster = Roster::new(setup.me, &name, setup.interfaces, setup.seed, now);
        roster.recall(peers, &setup.memory.names, now);
        let reminder = Reminder::new(peers.clone());
        let left = setup.memory.left;
        let quota = MemoryQuota::of(setup.memory_bytes);
        let catalogues = Catalogues::new(quota, setup.known_after, now);
        let mut node = Self {
            me: setup.me,
            default_name: setup.name,
            name_is_chosen: setup.name_is_chosen,
            role: setup.role,
            stats: NodeStats::new(now),
            facts,
            others: Others::new(setup.me, roster, catalogues, reminder),
            scribe: Scribe::default(),
            vigil: Vigil::new(now),
            database: Database::default(),
            queue: setup.memory.recall(setup.seed),
            transport: Transport::new(setup.memory.volume, setup.max_volume),
            plays: Plays::new(setup.me, setup.seed),
            answers: Answers::new(setup.names_others),
            leaving: Vec::new(),
            actions: VecDeque::new(),
            changed: StateParts::NONE,
            queued_due: None,
        };
        if let Some(left) = left {
            let within = node.scribe.go_on(left, &node.queue, &mut node.transport);
            node.limit_waiting(within, now);
        }
        node
    }

    /// The counters as Prometheus reads them.
    pub fn exposition(&self, now: Instant) -> String {
        self.stats.exposition(now)
    }

    /// Whether `peer` is dialled, and can be asked.
    pub fn reaches(&self, peer: PeerId) -> bool {
        self.others.roster.reaches(peer)
    }

    /// Where in its music it is, given where the player says that it is; nothing while what
    /// was written before counts.
    pub fn bookmark(&self, position: Option<(PlayId, Duration)>) -> Option<Bookmark> {
        self.scribe.bookmark(&self.queue, &self.transport, position)
    }

    /// The volume in per cent.
    pub fn volume(&self) -> u8 {
        self.transport.volume()
    }

    /// What is to be remembered over a restart.
    pub fn memory(&self) -> Memory {
        let roster = &self.others.roster;
        let name = roster.own_claim();
        let is_numbered = name != self.default_name;
        Memory {
            known_as: is_numbered.then(|| (self.default_name.clone(), name.to_owned())),
            peers: roster.acquaintances(),
            names: roster.tenure_records(),
            ..Memory::of(&self.queue, self.transport.volume())
        }
    }

    /// Has the store keep what is queued now.
    fn tell_queued(&mut self) {
        self.queued_due = None;
        let tracks = view::queued(&self.queue, &self.database);
        self.actions.push_back(Action::Queued(tracks));
    }

    /// Takes an event.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Tracker(event) => self.handle_tracker(event, now),
            Event::Library(own) => self.others.handle_library(own, now),
            Event::Scan(event) => self.handle_scan(event),
            Event::Player(event) => self.handle_player(event, now),
            Event::Resolved { play, answer } => {
                self.plays
                    .handle_resolved(play, answer, &self.database, now);
            }
            Event::Opened { track, answer } => self.plays.handle_opened(track, answer, now),
            Event::Unkept { track, kept, why } => {
                self.facts.unkept = Some(why);
                self.plays.handle_unkept(track, kept);
            }
            Event::Lost { track, groups } => self.plays.handle_lost(track, &groups),
            Event::Machine(report) => self.facts.handle_machine(report),
            Event::Absent(absence) => self.handle_absence(absence, now),
            Event::Demand { track, offset } => self.plays.handle_demand(track, offset, now),
            Event::Fetch(fetch, event) => self.handle_fetch(fetch, event, now),
            Event::Asked {
                ask,
                peer,
                from,
                request: PeerRequest::Hello(greeting),
            } => self.others.handle_hello(ask, peer, from, &greeting, now),
            Event::Asked {
                ask,
                peer,
                from,
                request,
            } => self.handle_asked(ask, peer, from, request, now),
            Event::Sighted(peer, addresses) => {
                self.others.roster.handle_sighting(peer, addresses, now);
            }
            Event::Greeted(peer, answer) => self.others.handle_greeted(peer, answer, now),
            Event::Piece(owner, piece) => self.others.handle_piece(owner, piece, now),
            Event::Answered { ask, sent, arrived } => {
                self.handle_sent(ask, sent, &arrived, now);
            }
            Event::Control {
                ask,
                request,
                sight,
            } => self.handle_control(ask, request, sight, now),
            Event::Older(at) => self.facts.handle_older(at, now),
            Event::Interfaces(interfaces) => self.handle_interfaces(interfaces, now),
            Event::Keys => {
                self.others.handle_keys(now);
                self.plays.handle_keys(&self.database, now);
            }
            Event::Recalled(deposit, away) => {
                self.others.catalogues.handle_recalled(*deposit, away, now);
            }
            Event::Archived(done) => self.others.catalogues.handle_archived(&done, now),
            Event::Configured {
                max_volume,
                notices,
            } => {
                self.transport.set_max_volume(max_volume);
                self.facts.notices = notices;
            }
        }
        self.follow(now);
        self.others.settle_names(now);
        self.watch(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        loop {
            self.follow(now);
            if self.queued_due.is_some_and(|due| due <= now) {
                self.tell_queued();
            }
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            if let Some(action) = self.transport.poll() {
                self.handle_transport(action, now);
            } else if let Some(step) = self.plays.poll(now) {
                self.handle_play(step, now);
            } else if let Some((ask, answer)) = self.answers.poll(now) {
                self.stats.handle_answer(&answer);
                return Some(Action::Answer(ask, answer));
            } else if !self.changed.is_empty() {
                let changed = std::mem::take(&mut self.changed);
                if !changed.and(QUEUED).is_empty() {
                    self.queued_due.get_or_insert(now + QUEUED_WITHIN);
                }
                return Some(Action::Changed(changed));
            } else {
                return None;
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = [
            self.queued_due,
            self.plays.poll_timeout(),
            self.others.poll_timeout(),
            self.answers.poll_timeout(),
            self.scribe.poll_timeout(),
            self.vigil.poll_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.others.handle_timeout(now);
        self.follow(now);
        self.plays.handle_timeout(&self.database, now);
        self.watch(now);
        if self.scribe.is_due(now) {
            self.actions.push_back(Action::Bookmark);
        }
    }

    /// Does what follows from what has changed with the other peers.
    fn follow(&mut self, now: Instant) {
        while let Some(step) = self.others.poll(now) {
            match step {
                OthersStep::Action(action) => self.actions.push_back(*action),
                OthersStep::Members => self.rebuild(now),
                OthersStep::Shown => self.changed = self.changed.or(StatePart::Peers.into()),
                OthersStep::Seen(peer) => self.plays.handle_seen(peer, &self.database, now),
                OthersStep::Gone(peer) => self.answers.handle_gone(peer),
            }
        }
    }

    fn handle_absence(&mut self, absence: Absence, now: Instant) {
        let absent = self
            .scribe
            .handle_absence(absence, &mut self.transport, now);
        self.limit_waiting(absent, now);
    }

    /// What is about to begin pauses unless it begins within that time.
    fn limit_waiting(&mut self, within: Option<Duration>, now: Instant) {
        if let Some(within) = within {
            self.vigil.set_limit(now + within);
        }
    }

    /// Sees to it that what waits does not wait for nothing.
    fn watch(&mut self, now: Instant) {
        let play = WatchedPlay {
            transport: &mut self.transport,
            plays: &mut self.plays,
            queue: &self.queue,
            database: &self.database,
            roster: &self.others.roster,
        };
        if self.vigil.watch(play, now) {
            self.changed = self.changed.or(StatePart::Player.into());
        }
    }

    fn handle_tracker(&mut self, event: TrackerEvent, now: Instant) {
        match &event {
            TrackerEvent::Lost { .. } if self.facts.tracker.is_registered() => {
                self.stats.handle_tracker_lost();
            }
            TrackerEvent::Left { .. } => {
                let asks = std::mem::take(&mut self.leaving).into_iter();
                let done = |ask| Action::Reply(ask, Ok(Answer::Done.into()));
                self.actions.extend(asks.map(done));
            }
            _ => {}
        }
        self.facts.tracker.handle(&event);
        self.others.handle_tracker(event, now);
        self.changed = self.changed.or(StatePart::Peers.into());
    }

    /// Comes back after it has left: it greets the others again, and its link registers.
    fn join(&mut self, now: Instant) -> Result<(), CommandError> {
        if !self.facts.tracker.handle_join() {
            return Err(CommandError::NotLeft);
        }
        self.others.handle_no_tracker(now);
        self.actions.push_back(Action::Join);
        self.changed = self.changed.or(StatePart::Peers.into());
        Ok(())
    }

    fn handle_interfaces(&mut self, interfaces: Interfaces, now: Instant) {
        self.facts.handle_interfaces(&interfaces);
        self.others.roster.handle_interfaces(interfaces, now);
        self.changed = self.changed.or(StatePart::Peers.into());
    }

    fn handle_fetch(&mut self, fetch: FetchId, event: FetchEvent, now: Instant) {
        let plays = &self.plays;
        let (have, file) = (plays.have(fetch.track), || plays.file(fetch.track));
        self.stats
            .traffic
            .handle_event(fetch, &event, have, file, now);
        let who_is = |peer| Some(self.others.roster.get(peer)?.name.as_str().into());
        self.plays.handle_fetch(fetch, event, who_is, now);
    }

    fn handle_asked(
        &mut self,
        ask: AskId,
        peer: PeerId,
        from: SocketAddr,
        request: PeerRequest,
        now: Instant,
    ) {
        self.stats.handle_asked(&request);
        self.answers.handle_short(self.plays.is_short(now));
        let requester = Requester::new(peer, from.ip(), self.others.roster.subnets());
        let own = self.others.catalogues.own();
        let rate_of = |track| self.others.bytes_a_second(track, &self.database);
        self.answers
            .handle_ask(ask, requester, request, own, rate_of, now);
    }

    fn handle_sent(&mut self, ask: AskId, sent: u64, arrived: &GroupSet, now: Instant) {
        let name_of = |peer| view::name_of(peer, &self.database, &self.others.roster);
        let to = self.answers.requester(ask);
        let to = to.map(|peer| (peer, name_of(peer)));
        self.stats.traffic.handle_sent(to, sent);
        self.answers.handle_done(ask, sent, arrived, now);
    }

    fn handle_scan(&mut self, event: ScanEvent) {
        match event {
            ScanEvent::Started { whole } => self.facts.scan_started(whole),
            ScanEvent::Done(library) => {
                self.facts.scanning = false;
                self.facts.library = library;
            }
            ScanEvent::Problem(what) => self.facts.add_problem(what),
        }
        self.changed = self.changed.or(StatePart::Update.into());
    }

    fn handle_player(&mut self, event: PlayerEvent, now: Instant) {
        self.facts.handle_player(&event);
        self.stats.sound.handle_player(&event, now);
        if let PlayerEvent::Underrun { play } = event {
            self.plays.handle_underrun(play, now);
        }
        if matches!(
            event,
            PlayerEvent::DeviceOpen { .. }
                | PlayerEvent::DeviceLost { .. }
                | PlayerEvent::DeviceBack
        ) {
            self.changed = self.changed.or(StatePart::Output.into());
        }
        let crossed = match event {
            PlayerEvent::Crossed { to, .. } => Some(to),
            _ => None,
        };
        self.transport.handle_player(&mut self.queue, event);
        // What was crossed to may have been given up meanwhile.
        if let Some(to) = crossed.filter(|to| self.transport.play_id() == Some(*to)) {
            self.plays.handle_crossed(to);
            self.vigil.handle_start(Cause::Follows, now);
        }
    }

    fn handle_transport(&mut self, action: TransportAction, now: Instant) {
        let order = match action {
            TransportAction::Start {
                play,
                item,
                from,
                paused,
                cause,
            } => {
                self.stats.sound.handle_start(play, paused, now);
                let request = |item| plays::PlayRequest {
                    play,
                    item,
                    from,
                    next: false,
                    cause,
                };
                self.begin_play(item, request, now);
                // Not with the bytes, which may come much later: a pause or its end that
                // is ordered meanwhile is the last word.
                let order = match paused {
                    true => PlayerAction::Pause,
                    false => PlayerAction::Resume,
                };
                self.actions.push_back(Action::Transport(order));
                return;
            }
            TransportAction::Prepare { play, item } => {
                let request = |item| plays::PlayRequest {
                    play,
                    item,
                    from: Duration::ZERO,
                    next: true,
                    cause: Cause::Follows,
                };
                return self.begin_play(item, request, now);
            }
            TransportAction::Changed(change) => {
                let sounds = self.transport.state() == PlayState::Play;
                self.facts.handle_sounding(sounds, now);
                self.scribe.handle_change(sounds, now);
                self.changed = self.changed.or(change.into());
                return;
            }
            TransportAction::ClearNext => {
                self.plays.handle_clear_next();
                PlayerAction::ClearNext
            }
            TransportAction::Stop => {
                self.plays.handle_stop();
                PlayerAction::Stop
            }
            TransportAction::Pause => PlayerAction::Pause,
            TransportAction::Resume => {
                self.vigil.handle_resume(now);
                PlayerAction::Resume
            }
            TransportAction::Seek { play, to } => PlayerAction::Seek { play, to },
            TransportAction::Volume(volume) => PlayerAction::Volume(volume),
        };
        self.stats.sound.handle_order(&order, now);
        self.actions.push_back(Action::Transport(order));
    }

    fn handle_play(&mut self, step: PlayStep, now: Instant) {
        match step {
            PlayStep::Action(action) => {
                if matches!(action, PlayAction::Open { .. }) && self.queued_due.is_some() {
                    // It needs room, which is not to be that of what is queued.
                    self.tell_queued();
                }
                let name_of = |peer| view::name_of(peer, &self.database, &self.others.roster);
                let local = |play| self.plays.local(play);
                self.stats.handle_play(&action, name_of, local);
                self.actions.push_back(Action::Play(action));
            }
            PlayStep::Failed(play, why) => {
                self.stats.sound.handle_failed(play, now);
                let failed = PlayerEvent::Failed { play, why };
                self.transport.handle_player(&mut self.queue, failed);
            }
        }
    }

    fn begin_play(
        &mut self,
        item: QueueId,
        request: impl FnOnce(Arc<QueueItem>) -> plays::PlayRequest,
        now: Instant,
    ) {
        // Between the transport's decision and now nothing else has run.
        let Some(item) = self.queue.get(item).cloned() else {
            return;
        };
        // What sounds ends now, not when the new track has arrived; and what was to
        // follow is not played if the new successor never arrives.
        let request = request(item);
        match request.next {
            false => self
                .actions
                .push_back(Action::Transport(PlayerAction::Stop)),
            true if self.plays.has_next() => self
                .actions
                .push_back(Action::Transport(PlayerAction::ClearNext)),
            true => {}
        }
        if !request.next {
            self.vigil.handle_start(request.cause, now);
        }
        self.plays.handle_request(request, &self.database, now);
        self.watch(now);
    }

    /// Makes the database anew from all whose catalogues are here.
    fn rebuild(&mut self, now: Instant) {
        let members = self.others.members();
        self.database = Database::new(members, self.database.version() + 1);
        self.facts.database_changed();
        self.plays.handle_database(&self.database, now);
        self.changed = self.changed.or(StatePart::Database.into());
    }
}

/// How late the store hears of that, where nothing needs room meanwhile.
const QUEUED_WITHIN: Duration = Duration::from_millis(200);

/// What changes when other tracks may be queued, or it is known better what they are.
const QUEUED: StateParts = StateParts::of(&[StatePart::Queue, StatePart::Database]);
