//! The brain of a peer: pure, without a clock and without a socket.
//!
//! Events go in by [`Node::handle`], actions come out by [`Node::poll`], and
//! [`Node::poll_timeout`] says when to call again without an event. The node
//! routes: what an event means is decided in the room that it belongs to, and
//! what follows is collected here, in the order in which it is to be done.
//!
//! ```text
//!   tracker ─┐                ┌─ directory    which peers are here, and where
//!   mDNS    ─┤                ├─ neighbours   which are found without a tracker
//!   library ─┤                ├─ catalogues   what they have
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
mod directory;
mod events;
mod members;
mod memory;
mod neighbours;
mod plays;
mod presence;
mod stats;
mod tracker_only;
mod view;
mod waiting;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(test)]
pub use self::neighbours::Acquaintance;
use self::{
    answers::Answers,
    bookmark::Scribe,
    catalogues::Catalogues,
    directory::Directory,
    memory::Reminder,
    neighbours::Neighbours,
    plays::{PlayStep, Plays},
    stats::NodeStats,
    waiting::Vigil,
};
pub use self::{
    answers::{AskId, UploadAnswer},
    bookmark::{Absence, Bookmark, ResumeAs},
    catalogues::{Archival, Archived, CatalogueWant, Via, KNOWN_AFTER},
    directory::Interfaces,
    events::{
        Action, CataloguePiece, ControlId, Event, Greeted, MachineReport, NodeSetup, PlayerAction,
        RequestContext, ScanEvent,
    },
    memory::Memory,
    plays::{FetchEvent, FetchId, PlayAction, PlaySource, PlayerTrack, Unresolved},
    tracker_only::TrackerOnly,
    view::{in_few_words, listed},
};
use crate::{
    catalog::{Catalogue, Database, MemoryQuota},
    command::{StatePart, StateParts},
    config::Role,
    id::{PeerId, TrackId},
    player::{
        queue::{Queue, QueueId, QueueItem},
        transport::{Cause, PlayState, Transport, TransportAction},
        PlayerEvent,
    },
    protocol::PeerRequest,
    swarm::requester::Requester,
};

/// See the module's description.
pub struct Node {
    me: PeerId,
    /// What it asks to be called.
    default_name: String,
    name_is_chosen: bool,
    name: Arc<str>,
    role: Role,
    directory: Directory,
    neighbours: Neighbours,
    reminder: Reminder,
    scribe: Scribe,
    /// Whether what played in an earlier life waits to hear how long ago that was.
    wonders: bool,
    vigil: Vigil,
    /// Whether mDNS looks for peers.
    looks_for_peers: bool,
    catalogues: Catalogues,
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
}

impl Node {
    pub fn new(setup: NodeSetup, now: Instant) -> Self {
        // What it was called before, it is called until a tracker says otherwise.
        let known_as = setup.memory.known_as.as_ref();
        let known_as = known_as.filter(|(of, _)| *of == setup.name);
        let name = known_as.map_or(&setup.name, |(_, name)| name).clone();
        let peers = &setup.memory.peers;
        let left = setup.memory.left;
        let quota = MemoryQuota::of(setup.memory_bytes);
        let mut node = Self {
            me: setup.me,
            name: name.as_str().into(),
            default_name: setup.name,
            name_is_chosen: setup.name_is_chosen,
            role: setup.role,
            stats: NodeStats::new(now),
            facts: view::NodeFacts::new(&setup.interfaces, setup.found),
            directory: Directory::new(setup.me, &name, setup.interfaces),
            neighbours: Neighbours::new(setup.me, peers, setup.seed, now),
            reminder: Reminder::new(peers.clone()),
            scribe: Scribe::default(),
            wonders: false,
            vigil: Vigil::new(now),
            looks_for_peers: false,
            catalogues: Catalogues::new(quota, setup.known_after, now),
            database: Database::default(),
            queue: setup.memory.recall(setup.seed),
            transport: Transport::new(setup.memory.volume, setup.max_volume),
            plays: Plays::new(setup.me, setup.seed),
            answers: Answers::new(setup.names_others),
            leaving: Vec::new(),
            actions: VecDeque::new(),
            changed: StateParts::NONE,
        };
        node.directory.recall_names(&setup.memory.names, now);
        if let Some(left) = left {
            node.go_on(left, now);
        }
        node
    }

    /// The newest catalogue of `owner` that is here.
    #[cfg(test)]
    pub fn head_of(&self, owner: PeerId) -> Option<crate::catalog::Head> {
        let own = self.catalogues.own().filter(|_| owner == self.me);
        let catalogue = own.or_else(|| self.catalogues.get(owner))?;
        Some(catalogue.head().head)
    }

    /// What the catalogues of others take.
    #[cfg(test)]
    pub fn catalogue_bytes(&self) -> usize {
        self.catalogues.bytes()
    }

    /// The pages of the own catalogue.
    #[cfg(test)]
    pub fn own_pages(&self) -> &[Arc<crate::catalog::Page>] {
        self.catalogues.own().map_or(&[], |own| own.pages())
    }

    /// The counters as Prometheus reads them.
    pub fn exposition(&self, now: Instant) -> String {
        self.stats.exposition(now)
    }

    /// The volume in per cent.
    pub fn volume(&self) -> u8 {
        self.transport.volume()
    }

    /// What is to be remembered over a restart.
    pub fn memory(&self) -> Memory {
        let is_numbered = *self.name != *self.default_name;
        Memory {
            known_as: is_numbered.then(|| (self.default_name.clone(), self.name.to_string())),
            peers: self.acquaintances(),
            names: self.directory.name_records(),
            ..Memory::of(&self.queue, self.transport.volume())
        }
    }

    /// The contents of the queue, as far as anybody knows them. At most as many as the
    /// queue takes, [`crate::player::queue::MAX_QUEUE`].
    fn queued(&self) -> Vec<TrackId> {
        let items = self.queue.slots().iter().map(|slot| &slot.item);
        let listed = |item: &QueueItem| self.database.find_at(item.peer, &item.path)?.listed.track;
        items
            .filter_map(|item| item.track.or_else(|| listed(item)))
            .collect()
    }

    /// Takes an event.
    pub fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Tracker(event) => self.handle_tracker(event, now),
            Event::Library(own) => self.handle_library(own, now),
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
            } => self.handle_hello(ask, peer, from, greeting, now),
            Event::Asked {
                ask,
                peer,
                from,
                request,
            } => self.handle_asked(ask, peer, from, request, now),
            Event::Sighted(peer, addresses) => self.handle_sighting(peer, addresses, now),
            Event::Greeted(peer, answer) => self.handle_greeted(peer, answer, now),
            Event::Piece(owner, piece) => self.handle_piece(owner, piece, now),
            Event::Answered { ask, sent, arrived } => {
                let to = self
                    .answers
                    .requester(ask)
                    .map(|peer| (peer, view::name_of(peer, &self.database, &self.directory)));
                self.stats.traffic.handle_sent(to, sent);
                self.answers.handle_done(ask, sent, &arrived, now);
            }
            Event::Control {
                ask,
                request,
                sight,
            } => self.handle_control(ask, request, sight, now),
            Event::Older(at) => self.facts.handle_older(at, now),
            Event::Interfaces(interfaces) => self.handle_interfaces(interfaces, now),
            Event::Keys => {
                self.neighbours.handle_keys(now);
                self.catalogues.handle_keys(now);
                self.plays.handle_keys(&self.database, now);
            }
            Event::Recalled(deposit, away) => {
                self.catalogues.handle_recalled(*deposit, away, now);
            }
            Event::Archived(done) => self.catalogues.handle_archived(&done, now),
            Event::Configured {
                max_volume,
                notices,
            } => {
                self.transport.set_max_volume(max_volume);
                self.facts.notices = notices;
            }
        }
        self.settle_names(now);
        self.watch(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        loop {
            if self.catalogues.take_change() {
                self.rebuild(now);
            }
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            if let Some(action) = self.transport.poll() {
                self.handle_transport(action, now);
            } else if let Some(step) = self.plays.poll(now) {
                self.handle_play(step, now);
            } else if let Some(want) = self.catalogues.poll() {
                return Some(Action::Want(want));
            } else if let Some(order) = self.catalogues.poll_archive(now) {
                return Some(Action::Archive(order));
            } else if let Some((ask, answer)) = self.answers.poll(now) {
                self.stats.handle_answer(&answer);
                return Some(Action::Answer(ask, answer));
            } else if let Some(peer) = self.neighbours.poll(now) {
                self.greet(peer);
            } else if self.neighbours.is_alone() != self.looks_for_peers {
                self.looks_for_peers = self.neighbours.is_alone();
                return Some(Action::LookForPeers(self.looks_for_peers));
            } else if !self.changed.is_empty() {
                let changed = std::mem::take(&mut self.changed);
                self.actions.push_back(Action::Changed(changed));
                if !changed.and(QUEUED).is_empty() {
                    return Some(Action::Queued(self.queued()));
                }
            } else {
                return None;
            }
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = [
            self.plays.poll_timeout(),
            self.catalogues.poll_timeout(),
            self.catalogues.archive_timeout(),
            self.answers.poll_timeout(),
            self.neighbours.poll_timeout(),
            self.reminder.poll_timeout(),
            self.scribe.poll_timeout(),
            self.vigil.poll_timeout(),
        ];
        due.into_iter().flatten().min()
    }

    /// Time has come to what [`Self::poll_timeout`] said.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.catalogues.handle_timeout(now);
        self.plays.handle_timeout(&self.database, now);
        self.settle_names(now);
        self.watch(now);
        if self.reminder.is_due(now) {
            self.remember_peers(now);
        }
        if self.scribe.is_due(now) {
            self.actions.push_back(Action::Bookmark);
        }
    }

    fn handle_library(&mut self, own: Arc<Catalogue>, now: Instant) {
        self.catalogues.set_own(own.clone());
        self.actions.push_back(Action::Publish(own));
        self.neighbours.handle_news(now);
        self.rebuild(now);
    }

    fn handle_fetch(&mut self, fetch: FetchId, event: FetchEvent, now: Instant) {
        let plays = &self.plays;
        let (have, file) = (plays.have(fetch.track), || plays.file(fetch.track));
        self.stats
            .traffic
            .handle_event(fetch, &event, have, file, now);
        let who_is = |peer| Some(self.directory.get(peer)?.name.as_str().into());
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
        let requester = Requester::new(peer, from.ip(), self.directory.subnets());
        let (own, others) = (self.catalogues.own(), &self.database);
        let rate_of = |track| {
            let own = own.and_then(|own| own.copies(track).find_map(|(_, entry)| entry.listed()));
            let listed = own.or_else(|| others.described(track))?;
            let millis = listed.duration.as_millis().max(1);
            u64::try_from(u128::from(listed.size) * 1000 / millis).ok()
        };
        self.answers
            .handle_ask(ask, requester, request, own, rate_of, now);
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
                let name_of = |peer| view::name_of(peer, &self.database, &self.directory);
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
        let members = members::all(self.me, &self.directory, &mut self.catalogues);
        self.database = Database::new(members, self.database.version() + 1);
        self.facts.database_changed();
        self.plays.handle_database(&self.database, now);
        self.changed = self.changed.or(StatePart::Database.into());
    }
}

/// What changes when other tracks may be queued, or it is known better what they are.
const QUEUED: StateParts = StateParts::of(&[StatePart::Queue, StatePart::Database]);
