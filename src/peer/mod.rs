//! The driver of a peer: one loop that turns what happens into events for the
//! [`Node`], and what the node wants into work.
//!
//! The loop owns the node and every task that works for it; dropping a task
//! cancels it. Performing an action never waits for the network or a disk: it
//! starts a task that answers with an event. All of them answer on one bounded
//! channel, so that a burst slows its senders down.

mod bytes;
mod cache;
mod chatter;
mod hello;
mod orders;
mod perform;
mod tasks;
mod visits;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use async_channel::{Receiver, Sender};
use smol::{future, Task};

use self::{
    chatter::Chatter,
    orders::Orders,
    tasks::Tasks,
    visits::{accept, tell_of_older, Visit},
};
use crate::{
    command::view::{DeviceView, LeftOutView, LibraryView},
    content::{
        file::Blob,
        ranges::GroupSet,
        store::{Pin, Store},
    },
    control::server::{ClientNotifier as ControlNotifier, ControlEvent, Responder},
    id::{PeerId, TrackId},
    library::{Library, LibraryEvent},
    media::decode::FileBytes,
    node::{
        Archival, AskId, Bookmark, ControlId, Event, FetchId, MachineReport, Memory, Node,
        NodeSetup, PlayerTrack, RequestContext, ScanEvent,
    },
    player::{self, OutputSpec, PlayId, Player, PlayerEvent},
    service::{LoopPulse, StatusLine},
    swarm::{
        endpoint::{Endpoint, PeerConnection},
        guests::{GuestId, Guests},
        link::PeerLink,
        provide::{Ask, SharedBudget, SliceReply},
    },
    tracker::link::{LinkCommand, TrackerEvent},
    util::within::{within, Alarm},
    util::work,
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
    Found(PlayerTrack, Result<FileBytes, String>),
    /// Somebody wants the counters as Prometheus reads them.
    Count(Sender<String>),
    /// Leave the swarm and end.
    Stop,
}

/// A track that plays, or is to.
struct OpenBlob {
    blob: Arc<Blob>,
    /// Keeps it in the cache.
    _pin: Pin,
    /// Brings to the disk what is shown of it.
    _writer: Task<()>,
}

/// See the module's description.
pub struct Peer {
    node: Node,
    endpoint: Endpoint,
    budget: SharedBudget,
    store: Arc<Store>,
    library: Arc<Library>,
    player: Player,
    device: OutputSpec,
    control: ControlNotifier,
    tracker: Sender<LinkCommand>,
    orders: Orders,
    look_for_peers: Sender<bool>,
    memories: Sender<Memory>,
    bookmarks: Sender<Bookmark>,
    archive: Sender<Archival>,
    /// The last of them.
    bookmark: Option<Bookmark>,
    status: StatusLine,
    pulse: LoopPulse,
    /// When the loop's next beat is due.
    beat_due: Option<Instant>,
    /// Goes off when time has come to the node, or for a beat.
    alarm: Alarm,
    /// When the volume and the queue are to be remembered.
    remember_due: Option<Instant>,
    chatter: Chatter,
    /// Runs while the cache cannot be written, until it can.
    mending: Option<Task<()>>,
    /// Puts away what was played.
    resting: Option<Task<()>>,
    /// Whether the log says that there is no sound.
    silent: bool,
    inputs: Receiver<Input>,
    /// For the tasks, which answer with it.
    answer: Sender<Input>,
    /// Where the questions of other peers go.
    asks_to: Sender<Ask>,
    links: BTreeMap<PeerId, PeerLink>,
    fetches: BTreeMap<FetchId, Task<()>>,
    /// What a track is, or where an own file lies, while that is being found
    /// out.
    looking: BTreeMap<PlayId, Task<()>>,
    /// Tracks that the store makes room for.
    opening: BTreeMap<TrackId, Task<()>>,
    blobs: BTreeMap<TrackId, OpenBlob>,
    asks: BTreeMap<AskId, Sender<SliceReply>>,
    /// Slices that are being sent; closing one has it given up.
    slices: BTreeMap<AskId, Receiver<GroupSet>>,
    guests: Guests,
    visits: BTreeMap<GuestId, Visit>,
    requests: BTreeMap<ControlId, Responder>,
    next_id: u64,
    tasks: Tasks,
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
            feed(parts.requests, answer.clone(), Input::Control),
            work::spawn(accept(parts.endpoint.clone(), answer.clone())),
            work::spawn(tell_of_older(parts.endpoint.older(), answer.clone())),
        ];
        let peer = Self {
            node: Node::new(parts.setup, Instant::now()),
            endpoint: parts.endpoint,
            budget: parts.budget,
            store: parts.store,
            library: parts.library,
            player: parts.player,
            device: parts.device,
            control: parts.control,
            tracker: parts.tracker,
            orders: Orders::default(),
            look_for_peers: parts.look_for_peers,
            memories: parts.memories,
            bookmarks: parts.bookmarks,
            archive: parts.archive,
            bookmark: None,
            status: parts.status,
            beat_due: parts.pulse.interval().map(|_| Instant::now()),
            alarm: Alarm::new(),
            remember_due: None,
            pulse: parts.pulse,
            chatter: Chatter::new(),
            mending: None,
            resting: None,
            silent: false,
            inputs,
            answer: answer.clone(),
            asks_to,
            links: BTreeMap::new(),
            fetches: BTreeMap::new(),
            looking: BTreeMap::new(),
            opening: BTreeMap::new(),
            blobs: BTreeMap::new(),
            asks: BTreeMap::new(),
            slices: BTreeMap::new(),
            guests: Guests::default(),
            visits: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_id: 0,
            tasks: Tasks::default(),
            _feeders: feeders,
        };
        (peer, Handle(answer))
    }

    /// Runs until it is stopped, then leaves the swarm.
    pub async fn run(mut self) {
        self.player.volume(self.node.volume());
        self.announce_held();
        self.try_out_cache();
        self.look_for_devices();
        self.node
            .handle(Event::Library(self.library.catalogue()), Instant::now());
        loop {
            while let Some(action) = self.node.poll(Instant::now()) {
                self.perform(action);
            }
            match self.next_input().await {
                Some(Input::Stop) => {
                    self.place_bookmark();
                    self.remember();
                    return self.leave().await;
                }
                Some(input) => self.take(input),
                None => self.node.handle_timeout(Instant::now()),
            }
        }
    }

    /// What happens next; `None` when time has come to the node, or for the
    /// service manager to hear something.
    async fn next_input(&mut self) -> Option<Input> {
        let now = Instant::now();
        if self.remember_due.take_if(|due| *due <= now).is_some() {
            self.remember();
        }
        let told = self.tell_manager(now);
        let due = [self.node.poll_timeout(), told, self.remember_due];
        let due = due.into_iter().flatten().min();
        let alarm = &mut self.alarm;
        let time = async {
            alarm.wait(due).await;
            None
        };
        let input = future::or(async { self.inputs.recv().await.ok() }, time);
        let told = async {
            tell(&self.tracker, &mut self.orders).await;
            // There is nothing more to tell.
            future::pending().await
        };
        future::or(told, input).await
    }

    /// Tells the service manager what is due; gives when that is the next time.
    fn tell_manager(&mut self, now: Instant) -> Option<Instant> {
        if self.status.poll_timeout().is_some_and(|due| due <= now) {
            self.status.say(self.node.summary(), now);
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
        let event = match input {
            Input::Event(event) => {
                self.note(&event);
                event
            }
            Input::Control(ControlEvent { request, responder }) => {
                log::trace!("a control client asks");
                let ask = ControlId(self.next_id());
                self.requests.insert(ask, responder);
                Event::Control {
                    ask,
                    request,
                    sight: self.sight(),
                }
            }
            Input::Asked(Ask {
                peer,
                from,
                request,
                reply,
            }) => {
                let ask = AskId(self.next_id());
                self.asks.insert(ask, reply);
                Event::Asked {
                    ask,
                    peer,
                    from,
                    request,
                }
            }
            Input::Connected(connection) => return self.adopt(connection),
            Input::Parted(guest) => {
                self.visits.remove(&guest);
                return self.guests.handle_closed(guest);
            }
            Input::Library(event) => match self.take_library(event) {
                Some(event) => event,
                None => return,
            },
            Input::Opened(track, opened) => match self.handle_opened(track, opened) {
                Some(event) => event,
                None => return,
            },
            Input::Found(load, bytes) => match self.handle_found(load, bytes) {
                Some(event) => event,
                None => return,
            },
            Input::Count(to) => {
                // It has room for the one answer.
                let _ = to.try_send(self.node.exposition(Instant::now()));
                return;
            }
            Input::Stop => return,
        };
        let is_named = matches!(event, Event::Tracker(TrackerEvent::Registered { .. }));
        self.node.handle(event, Instant::now());
        if is_named {
            // It asks for that name again.
            self.remember();
        }
    }

    /// What the driver says and does itself of what happens to the node.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Tracker(event) => self.chatter.say(event, Instant::now()),
            Event::Unkept { why, .. } | Event::Machine(MachineReport::CacheBroken(why)) => {
                self.handle_broken_cache(why);
            }
            Event::Machine(MachineReport::CacheMended) => self.handle_mended_cache(),
            Event::Player(PlayerEvent::DeviceLost { why }) => {
                if !std::mem::replace(&mut self.silent, true) {
                    log::warn!("no sound: {why}");
                }
                // One that is unplugged leaves the list, too.
                self.look_for_devices();
            }
            Event::Player(PlayerEvent::DeviceOpen { .. } | PlayerEvent::DeviceBack)
                if self.silent =>
            {
                self.silent = false;
                log::info!("the audio device is back");
                self.look_for_devices();
            }
            Event::Player(PlayerEvent::Underrun { .. }) => {
                log::debug!("the sound waits for bytes (underrun)");
            }
            Event::Player(PlayerEvent::Gap { .. }) => {
                log::debug!("the sound had a gap (underrun)");
            }
            Event::Answered { ask, .. } => _ = self.slices.remove(ask),
            Event::Player(PlayerEvent::Resumed { .. }) => log::debug!("the sound goes on"),
            _ => {}
        }
    }

    fn take_library(&mut self, event: LibraryEvent) -> Option<Event> {
        Some(match event {
            LibraryEvent::Catalogue(catalogue) => Event::Library(catalogue),
            LibraryEvent::ScanStarted { whole } => Event::Scan(ScanEvent::Started { whole }),
            LibraryEvent::Hashed { path, track, .. } => {
                log::debug!("{} is {track}", path.display());
                return None;
            }
            LibraryEvent::ScanDone => Event::Scan(ScanEvent::Done(self.left_out())),
            LibraryEvent::Problem { path, why } => {
                log::warn!("{}: {why}", path.display());
                Event::Scan(ScanEvent::Problem(format!("{}: {why}", path.display())))
            }
        })
    }

    /// What the library does not show, for people.
    fn left_out(&self) -> LibraryView {
        let left_out = self.library.left_out();
        let files = left_out.iter().map(|(path, file)| LeftOutView {
            path,
            why: file.why.clone(),
            is_listed: file.is_listed,
        });
        LibraryView {
            left_out: left_out.missing(),
            files: files.collect(),
        }
    }

    /// [`Self::remember`], a little later: what comes track by track is looked at once.
    fn remember_soon(&mut self) {
        let due = Instant::now() + REMEMBER_AFTER;
        self.remember_due.get_or_insert(due);
    }

    /// Has the volume and the queue kept over a restart.
    fn remember(&self) {
        // The latest replaces one that is not written yet.
        let _ = self.memories.force_send(self.node.memory());
    }

    /// Has it kept where in its music the node is, if that is news.
    fn place_bookmark(&mut self) {
        let Some(bookmark) = self.node.bookmark(self.player.position()) else {
            return;
        };
        if self.bookmark.as_ref() != Some(&bookmark) {
            let _ = self.bookmarks.force_send(bookmark.clone());
            self.bookmark = Some(bookmark);
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

    /// Tells the library which complete copies the store has.
    fn announce_held(&mut self) {
        let (store, library) = (self.store.clone(), self.library.clone());
        self.tasks
            .spawn(work::unblock(move || library.set_held(&store.held())));
    }

    /// Finds out what sound devices there are, which takes alsa-lib a while.
    fn look_for_devices(&mut self) {
        let (to, in_use) = (self.answer.clone(), self.device.clone());
        self.tasks.spawn(async move {
            let devices = work::unblock(player::devices).await;
            let view = |device: player::DeviceInfo| DeviceView {
                in_use: match &in_use {
                    OutputSpec::Auto => device.is_auto,
                    OutputSpec::Device(name) => *name == device.name,
                    OutputSpec::Null | OutputSpec::Wav(_) => false,
                },
                name: device.name,
                description: device.description,
            };
            let devices = devices.into_iter().map(view).collect();
            let _ = to
                .send(Input::Event(Event::Machine(MachineReport::Devices(
                    devices,
                ))))
                .await;
        });
    }

    /// Says goodbye to the tracker and to everybody, and lets the player end.
    async fn leave(mut self) {
        self.player.stop();
        let resting = self.rest_now();
        self.library.end();
        // Nothing changes any more: what is remembered is written now.
        self.memories.close();
        self.orders.push(LinkCommand::Leave);
        let left = async {
            tell(&self.tracker, &mut self.orders).await;
            while let Ok(input) = self.inputs.recv().await {
                if let Input::Event(Event::Tracker(left @ TrackerEvent::Left { .. })) = input {
                    return left;
                }
            }
            TrackerEvent::Left { confirmed: false }
        };
        let left = within(LEAVE_TIMEOUT, left).await;
        let left = left.unwrap_or(TrackerEvent::Left { confirmed: false });
        self.chatter.say(&left, Instant::now());
        // Nothing is taken any more: a reader that tells of itself must not
        // wait for room.
        self.inputs.close();
        self.links.clear();
        // It joins its threads, which a dead device or disk can hold.
        let player = self.player;
        let silence = within(SILENCE_TIMEOUT, work::unblock(move || drop(player)));
        let (_, silent) = future::zip(self.endpoint.close(), silence).await;
        if silent.is_none() {
            log::warn!("the player does not end; ending without it");
        }
        if within(REST_TIMEOUT, resting).await.is_none() {
            log::debug!("what is here of a track is not synced; ending without that");
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Passes `orders` on until there are none.
async fn tell(to: &Sender<LinkCommand>, orders: &mut Orders) {
    while let Some(order) = orders.first() {
        // Without a tracker to be nobody takes them.
        let _ = to.send(order.clone()).await;
        orders.pop();
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

/// A whole stop takes at most 2 s; a tracker that is there answers within a round trip.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// A device that is well is closed within its buffer's 20 ms.
const SILENCE_TIMEOUT: Duration = Duration::from_millis(500);
/// It has had all the time since, and is only work saved for later.
const REST_TIMEOUT: Duration = Duration::from_millis(200);
/// An album that is queued track by track arrives within this; the disk waits for longer.
const REMEMBER_AFTER: Duration = Duration::from_millis(100);
/// What may wait for the loop. Each takes it microseconds.
const MAX_INPUTS: usize = 256;
