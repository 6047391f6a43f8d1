//! The driver of a peer: one loop that tells the [`PeerCore`] what happens, and performs
//! what that wants done.
//!
//! The loop owns the core and every task that works for it; dropping a task
//! cancels it. Performing an effect never waits for the network or a disk: it
//! starts a task that answers with an input. All of them answer on one bounded
//! channel, so that a burst slows its senders down.

mod bytes;
mod downloads;
mod hello;
mod outlets;
mod uploads;
mod visits;
mod workbench;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use async_channel::{Receiver, Sender};
use smol::{future, Task};

use self::{
    downloads::{opened_track, DownloadTasks},
    outlets::Outlets,
    uploads::UploadTasks,
    visits::{accept, tell_of_older, Visits},
    workbench::Workbench,
};
use crate::{
    audio::{OutputSpec, PlayId, Player, PlayerEvent},
    content::{
        file::Blob,
        store::{Pin, Store},
    },
    control::server::{ClientNotifier as ControlNotifier, ControlEvent, Responder},
    core::{Effect, PeerCore, PlayerEffect},
    id::TrackId,
    library::{Library, LibraryEvent},
    media::decode::FileBytes,
    node::{
        Archival, Bookmark, ControlId, Event, MachineReport, Memory, NodeSetup, PlayerAction,
        RequestContext,
    },
    service::{LoopPulse, StatusLine},
    swarm::{
        endpoint::{Endpoint, PeerConnection},
        guests::GuestId,
        provide::{Ask, SharedBudget},
    },
    tracker::link::{LinkCommand, TrackerEvent},
    util::{
        few::Few,
        within::{within, Alarm},
        work,
    },
};

/// Everything that a peer is made of, ready to run.
pub struct Parts {
    pub setup: NodeSetup,
    pub endpoint: Endpoint,
    /// What may be sent to others.
    pub budget: SharedBudget,
    pub store: Arc<Store>,
    pub library: Arc<Library>,
    pub library_events: Receiver<LibraryEvent>,
    pub player: Player,
    pub player_events: Receiver<PlayerEvent>,
    /// What the configuration says to play on.
    pub device: OutputSpec,
    pub requests: Receiver<ControlEvent>,
    pub control: ControlNotifier,
    /// Closed where there is no tracker to be.
    pub tracker: Sender<LinkCommand>,
    pub tracker_events: Receiver<TrackerEvent>,
    /// Whether to look for other peers by mDNS; the latest wins.
    pub look_for_peers: Sender<bool>,
    /// Where what is to be remembered goes; the latest wins.
    pub memories: Sender<Memory>,
    /// The same for where in its music the node is.
    pub bookmarks: Sender<Bookmark>,
    /// Where the catalogues go that outlive their owners' absence.
    pub archive: Sender<Archival>,
    /// Whether that works, when it changes; why not.
    pub memory_kept: Receiver<Result<(), String>>,
    /// What the service manager shows of it.
    pub status: StatusLine,
    /// For the service manager to hear that the loop turns.
    pub pulse: LoopPulse,
}

/// Something that happened, as it comes in.
enum Input {
    Event(Event),
    Control(ControlEvent),
    Asked(Ask),
    Connected(PeerConnection),
    /// A connection that another peer opened is no more.
    Parted(GuestId),
    Library(LibraryEvent),
    /// The store has made room for a track, or could not.
    Opened(TrackId, Result<(Arc<Blob>, Pin), String>),
    /// An own file is ready for the player, or is not there.
    Located(PlayId, Result<FileBytes, String>),
    /// The cache can be written, or cannot.
    CacheChecked(Result<(), String>),
    /// Somebody wants the counters as Prometheus reads them.
    Count(Sender<String>),
    /// Leave the swarm and end.
    Stop,
}

/// See the module's description.
pub struct Peer {
    core: PeerCore,
    bench: Workbench,
    downloads: DownloadTasks,
    uploads: UploadTasks,
    visits: Visits,
    /// What control clients ask. It comes here without a way round: somebody waits for each.
    requests: Receiver<ControlEvent>,
    responders: Few<ControlId, Responder>,
    outlets: Outlets,
    player: Player,
    tracker: Sender<LinkCommand>,
    status: StatusLine,
    pulse: LoopPulse,
    /// When the loop's next beat is due.
    beat_due: Option<Instant>,
    /// Goes off when time has come to the core, or for a beat.
    alarm: Alarm,
    /// Whether the core has said that nothing follows.
    is_over: bool,
    inputs: Receiver<Input>,
    /// Where what the parts tell is taken from.
    _feeders: Vec<Task<()>>,
}

/// The way to a running peer.
#[derive(Clone)]
pub struct Handle(Sender<Input>);

impl Handle {
    /// Tells the node of what happens around it.
    pub async fn tell(&self, event: Event) {
        // One that has ended does not mind.
        let _ = self.0.send(Input::Event(event)).await;
    }

    /// The counters as Prometheus reads them; `None` when the peer has ended.
    pub async fn exposition(&self) -> Option<String> {
        let (to, exposition) = async_channel::bounded(1);
        self.0.send(Input::Count(to)).await.ok()?;
        exposition.recv().await.ok()
    }

    /// Makes [`Peer::run`] leave the swarm and return.
    pub async fn stop(&self) {
        let _ = self.0.send(Input::Stop).await;
    }
}

impl Peer {
    /// Puts the parts together; nothing happens before [`Self::run`].
    pub fn new(parts: Parts) -> (Self, Handle) {
        let (answer, inputs) = async_channel::bounded(MAX_INPUTS);
        let (asks_to, asks) = async_channel::bounded(MAX_INPUTS);
        let feeders = vec![
            feed(asks, answer.clone(), Input::Asked),
            feed(parts.library_events, answer.clone(), Input::Library),
            feed(parts.player_events, answer.clone(), |e| {
                Input::Event(Event::Player(e))
            }),
            feed(parts.tracker_events, answer.clone(), |e| {
                Input::Event(Event::Tracker(e))
            }),
            feed(parts.memory_kept, answer.clone(), |kept| {
                Input::Event(Event::Machine(MachineReport::Remembered(kept)))
            }),
            work::spawn(accept(parts.endpoint.clone(), answer.clone())),
            work::spawn(tell_of_older(parts.endpoint.older(), answer.clone())),
        ];
        let outlets = Outlets {
            control: parts.control,
            look_for_peers: parts.look_for_peers,
            memories: parts.memories,
            bookmarks: parts.bookmarks,
            archive: parts.archive,
            device: parts.device,
            syncing: None,
        };
        let bench = Workbench::new(
            parts.endpoint,
            parts.budget,
            (parts.store, parts.library),
            (answer.clone(), asks_to),
        );
        let peer = Self {
            core: PeerCore::new(parts.setup, Instant::now()),
            bench,
            downloads: DownloadTasks::default(),
            uploads: UploadTasks::default(),
            visits: Visits::default(),
            requests: parts.requests,
            responders: Few::default(),
            outlets,
            player: parts.player,
            tracker: parts.tracker,
            status: parts.status,
            beat_due: parts.pulse.interval().map(|_| Instant::now()),
            pulse: parts.pulse,
            alarm: Alarm::new(),
            is_over: false,
            inputs,
            _feeders: feeders,
        };
        (peer, Handle(answer))
    }

    /// Runs until it is stopped, then leaves the swarm.
    pub async fn run(mut self) {
        let own = Event::Library(self.bench.library.catalogue());
        self.core.handle(own, Instant::now());
        while !self.is_over {
            while let Some(effect) = self.core.poll(Instant::now()) {
                self.perform(effect);
            }
            if self.is_over {
                break;
            }
            match self.next_input().await {
                Some(input) => self.take(input),
                None => self.core.handle_timeout(Instant::now()),
            }
        }
        self.close().await;
    }

    /// What happens next; `None` when time has come to the core, or for the
    /// service manager to hear something.
    async fn next_input(&mut self) -> Option<Input> {
        let now = Instant::now();
        let told = self.tell_manager(now);
        let due = [self.core.poll_timeout(), told];
        let due = due.into_iter().flatten().min();
        let alarm = &mut self.alarm;
        let time = async {
            alarm.wait(due).await;
            None
        };
        let request = async {
            match self.requests.recv().await {
                Ok(event) => Some(Input::Control(event)),
                Err(_) => future::pending().await,
            }
        };
        let input = async { self.inputs.recv().await.ok() };
        let input = future::or(future::race(request, input), time);
        let told = async {
            tell(&self.tracker, &mut self.core).await;
            // There is nothing more to tell.
            future::pending().await
        };
        future::or(told, input).await
    }

    /// Tells the service manager what is due; gives when that is the next time.
    fn tell_manager(&mut self, now: Instant) -> Option<Instant> {
        if self.status.poll_timeout().is_some_and(|due| due <= now) {
            self.status.say(self.core.summary(), now);
        }
        if self.beat_due.is_some_and(|due| due <= now) {
            self.pulse.beat();
            self.beat_due = self.pulse.interval().map(|interval| now + interval);
        }
        self.beat_due
            .into_iter()
            .chain(self.status.poll_timeout())
            .min()
    }

    fn take(&mut self, input: Input) {
        let now = Instant::now();
        match input {
            Input::Event(event) => {
                if let Event::Answered { ask, .. } = &event {
                    self.uploads.handle_answered(*ask);
                }
                self.core.handle(event, now);
            }
            Input::Control(ControlEvent { request, responder }) => {
                log::trace!("a control client asks");
                let ask = self.core.handle_control(request, self.sight(), now);
                self.responders.insert(ask, responder);
            }
            Input::Asked(asked) => {
                let (peer, from) = (asked.peer, asked.from);
                let ask = self.core.handle_asked(peer, from, asked.request, now);
                self.uploads.handle_asked(ask, asked.reply);
            }
            Input::Connected(connection) => {
                let guest = self.core.handle_connected(connection.peer);
                self.visits.serve(guest, connection, &self.bench);
            }
            Input::Parted(guest) => {
                self.visits.handle_parted(guest);
                self.core.handle_parted(guest);
            }
            Input::Library(event) => {
                let event = outlets::library_event(event, &self.bench.library);
                event.into_iter().for_each(|e| self.core.handle(e, now));
            }
            Input::Opened(track, opened) => {
                let told = opened.as_ref().map(|(blob, _)| opened_track(blob));
                let told = told.map_err(String::clone);
                let is_wanted = self.core.handle_opened(track, told, now);
                let opened = opened.ok().filter(|_| is_wanted);
                self.downloads.handle_opened(track, opened, &self.bench);
            }
            Input::Located(play, found) => {
                let told = found.as_ref().map(|_| ()).map_err(String::clone);
                if let (true, Ok(bytes)) = (self.core.handle_located(play, told, now), found) {
                    self.downloads.handle_located(play, bytes);
                }
            }
            Input::CacheChecked(checked) => self.core.handle_cache_checked(checked, now),
            Input::Count(to) => {
                // It has room for the one answer.
                let _ = to.try_send(self.core.exposition(now));
            }
            Input::Stop => self.core.handle_stop(now),
        }
    }

    fn sight(&self) -> RequestContext {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        RequestContext {
            position: self.player.position(),
            wall_clock: i64::try_from(wall.as_secs()).unwrap_or_default(),
        }
    }

    /// Does `effect`, or starts what does.
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Player(effect) => self.perform_play(effect),
            Effect::Download(effect) => self.downloads.perform(effect, &mut self.bench),
            Effect::Upload(effect) => self.uploads.perform(effect, &mut self.bench),
            Effect::Local(effect) => self.outlets.perform(effect, &mut self.bench),
            Effect::Offer(peer, guest) => {
                if let Some(connection) = self.visits.connection(guest) {
                    self.downloads.offer(peer, connection);
                }
            }
            Effect::Evict(guest) => self.visits.evict(guest),
            Effect::Answer(ask, outcome) => {
                if let Some(responder) = self.responders.remove(ask) {
                    responder.answer(outcome);
                }
            }
            Effect::Changed(parts) => {
                self.outlets.control.notify(parts);
                self.status.handle_change();
            }
            Effect::Bookmark => {
                let bookmark = self.core.bookmark(self.player.position());
                bookmark.into_iter().for_each(|b| self.outlets.keep(b));
            }
            Effect::Leave => self.outlets.leave(&self.bench),
            Effect::End => self.is_over = true,
        }
    }

    fn perform_play(&mut self, effect: PlayerEffect) {
        match effect {
            PlayerEffect::Load(track) => {
                let is_next = track.next;
                match self.downloads.load(track, &self.bench) {
                    Some(load) if is_next => self.player.next(load),
                    Some(load) => self.player.load(load),
                    None => {}
                }
            }
            PlayerEffect::Hold(play) => self.player.hold(play),
            PlayerEffect::Sound(play) => self.player.sound(play),
            PlayerEffect::Order(PlayerAction::Pause) => self.player.pause(),
            PlayerEffect::Order(PlayerAction::Resume) => self.player.resume(),
            PlayerEffect::Order(PlayerAction::Stop) => self.player.stop(),
            PlayerEffect::Order(PlayerAction::ClearNext) => self.player.clear_next(),
            PlayerEffect::Order(PlayerAction::Seek { play, to }) => self.player.seek(play, to),
            PlayerEffect::Order(PlayerAction::Volume(volume)) => self.player.volume(volume),
        }
    }

    /// Says goodbye to the other peers, and lets the player end.
    async fn close(self) {
        // Nothing is taken any more: a reader that tells of itself must not
        // wait for room.
        self.inputs.close();
        drop((self.downloads, self.requests));
        // It joins its threads, which a dead device or disk can hold.
        let player = self.player;
        let silence = within(SILENCE_TIMEOUT, work::unblock(move || drop(player)));
        let (_, silent) = future::zip(self.bench.endpoint.close(), silence).await;
        if silent.is_none() {
            log::warn!("the player does not end; ending without it");
        }
        if let Some(synced) = self.outlets.into_synced() {
            if within(REST_TIMEOUT, synced).await.is_none() {
                log::debug!("what is here of a track is not synced; ending without that");
            }
        }
    }
}

/// Passes the core's orders on until there are none.
async fn tell(to: &Sender<LinkCommand>, core: &mut PeerCore) {
    while let Some(order) = core.first_order() {
        // Without a tracker to be nobody takes them.
        let _ = to.send(order.clone()).await;
        core.handle_order_taken();
    }
}

/// Passes on what `from` gives.
fn feed<T: Send + 'static>(
    from: Receiver<T>,
    to: Sender<Input>,
    wrap: impl Fn(T) -> Input + Send + 'static,
) -> Task<()> {
    work::spawn(async move {
        while let Ok(item) = from.recv().await {
            if to.send(wrap(item)).await.is_err() {
                return;
            }
        }
    })
}

/// A device that is well is closed within its buffer's 20 ms.
const SILENCE_TIMEOUT: Duration = Duration::from_millis(500);
/// It has had all the time since, and is only work saved for later.
const REST_TIMEOUT: Duration = Duration::from_millis(200);
/// What may wait for the loop. Each takes it microseconds.
const MAX_INPUTS: usize = 256;
