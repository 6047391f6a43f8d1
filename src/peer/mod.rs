//! The driver of a peer: one loop that turns what happens into events for the
//! [`Node`], and what the node wants into work.
//!
//! The loop owns the node and every task that works for it; dropping a task
//! cancels it. Performing an action never waits for the network or a disk: it
//! starts a task that answers with an event. All of them answer on one bounded
//! channel, so that a burst slows those down who cause it.

mod bytes;
mod perform;
mod tasks;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use async_channel::{Receiver, Sender};
use smol::{future, Task, Timer};

use self::tasks::Tasks;
use crate::{
    content::{
        file::Blob,
        store::{Pin, Store},
    },
    control::{
        server::{ControlEvent, Notifier as ControlNotifier, Responder},
        view::DeviceView,
    },
    daemon::notify::Notifier,
    id::{PeerId, TrackId},
    library::{Library, LibraryEvent},
    node::{Action, AskId, ControlId, Event, FetchId, Node, ScanEvent, Setup, Sight},
    player::{self, Player, PlayerEvent},
    swarm::{
        endpoint::{within, Connection, Endpoint},
        link::Link,
        provide::{self, Ask, Reply},
    },
    tracker::link::{Command, TrackerEvent},
};

/// Everything that a peer is made of, ready to run.
pub struct Parts {
    pub setup: Setup,
    pub endpoint: Endpoint,
    pub store: Arc<Store>,
    pub library: Arc<Library>,
    pub library_events: Receiver<LibraryEvent>,
    pub player: Player,
    pub player_events: Receiver<PlayerEvent>,
    pub requests: Receiver<ControlEvent>,
    pub control: ControlNotifier,
    /// Closed where there is no tracker to be.
    pub tracker: Sender<Command>,
    pub tracker_events: Receiver<TrackerEvent>,
    pub notifier: Arc<Notifier>,
    /// How often the service manager wants to hear that the loop turns.
    pub watchdog: Option<Duration>,
}

/// Something that happened, as it comes in.
enum Input {
    Event(Event),
    Control(ControlEvent),
    Asked(Ask),
    Connected(Connection),
    Library(LibraryEvent),
    /// Leave the swarm and end.
    Stop,
}

/// See the module's description.
pub struct Peer {
    node: Node,
    endpoint: Endpoint,
    store: Arc<Store>,
    library: Arc<Library>,
    player: Player,
    control: ControlNotifier,
    tracker: Sender<Command>,
    notifier: Arc<Notifier>,
    watchdog: Option<Duration>,
    inputs: Receiver<Input>,
    /// For the tasks, which answer with it.
    answer: Sender<Input>,
    /// Where the questions of other peers go.
    asks_to: Sender<Ask>,
    links: BTreeMap<PeerId, Link>,
    fetches: BTreeMap<FetchId, Task<()>>,
    blobs: BTreeMap<TrackId, (Arc<Blob>, Pin)>,
    asks: BTreeMap<AskId, (PeerId, Sender<Reply>)>,
    requests: BTreeMap<ControlId, Responder>,
    next_id: u64,
    tasks: Tasks,
    /// Where what the parts tell is taken from.
    _feeders: Vec<Task<()>>,
}

/// Ends a running peer.
#[derive(Clone)]
pub struct Stopper(Sender<Input>);

impl Stopper {
    /// Makes [`Peer::run`] leave the swarm and return.
    pub async fn stop(&self) {
        let _ = self.0.send(Input::Stop).await;
    }
}

impl Peer {
    /// Puts the parts together; nothing happens before [`Self::run`].
    pub fn new(parts: Parts) -> (Self, Stopper) {
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
            feed(parts.requests, answer.clone(), Input::Control),
            smol::spawn(accept(parts.endpoint.clone(), answer.clone())),
        ];
        let peer = Self {
            node: Node::new(parts.setup, Instant::now()),
            endpoint: parts.endpoint,
            store: parts.store,
            library: parts.library,
            player: parts.player,
            control: parts.control,
            tracker: parts.tracker,
            notifier: parts.notifier,
            watchdog: parts.watchdog,
            inputs,
            answer: answer.clone(),
            asks_to,
            links: BTreeMap::new(),
            fetches: BTreeMap::new(),
            blobs: BTreeMap::new(),
            asks: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_id: 0,
            tasks: Tasks::default(),
            _feeders: feeders,
        };
        (peer, Stopper(answer))
    }

    /// Runs until it is stopped, then leaves the swarm.
    pub async fn run(mut self) {
        self.player.volume(self.node.volume());
        self.announce_held();
        self.look_for_devices();
        self.node
            .handle(Event::Library(self.library.catalogue()), Instant::now());
        let mut pet = Instant::now();
        loop {
            while let Some(action) = self.node.poll(Instant::now()) {
                self.perform(action);
            }
            let now = Instant::now();
            if self.watchdog.is_some_and(|interval| now >= pet + interval) {
                self.notifier.watchdog();
                pet = now;
            }
            let due = self
                .node
                .poll_timeout()
                .into_iter()
                .chain(self.watchdog.map(|i| pet + i))
                .min();
            let wake = async {
                match due {
                    Some(due) => _ = Timer::at(due).await,
                    None => future::pending().await,
                }
                None
            };
            match future::or(async { self.inputs.recv().await.ok() }, wake).await {
                Some(Input::Stop) => return self.leave().await,
                Some(input) => self.take(input),
                None => self.node.handle_timeout(Instant::now()),
            }
        }
    }

    fn take(&mut self, input: Input) {
        let event = match input {
            Input::Event(event) => {
                // One that is unplugged leaves the list, too.
                if matches!(event, Event::Player(PlayerEvent::DeviceLost { .. })) {
                    self.look_for_devices();
                }
                event
            }
            Input::Control(ControlEvent { request, responder }) => {
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
                request,
                reply,
            }) => {
                let ask = AskId(self.next_id());
                self.asks.insert(ask, (peer, reply));
                Event::Asked { ask, peer, request }
            }
            Input::Connected(connection) => return self.adopt(connection),
            Input::Library(event) => match self.take_library(event) {
                Some(event) => event,
                None => return,
            },
            Input::Stop => return,
        };
        self.node.handle(event, Instant::now());
    }

    fn take_library(&mut self, event: LibraryEvent) -> Option<Event> {
        Some(match event {
            LibraryEvent::Catalogue(catalogue) => Event::Library(catalogue),
            LibraryEvent::ScanStarted => Event::Scan(ScanEvent::Started),
            LibraryEvent::ScanDone { .. } => Event::Scan(ScanEvent::Done),
            LibraryEvent::Problem { path, why } => {
                log::warn!("{}: {why}", path.display());
                Event::Scan(ScanEvent::Problem(format!("{}: {why}", path.display())))
            }
            LibraryEvent::Hashed {
                track, size, path, ..
            } => {
                let modified = std::fs::metadata(&path).and_then(|m| m.modified());
                self.store.add_file(
                    track,
                    size,
                    path,
                    modified.unwrap_or(SystemTime::UNIX_EPOCH),
                );
                return None;
            }
        })
    }

    /// A peer has connected by itself: its link may use that connection.
    fn adopt(&mut self, connection: Connection) {
        if let Some(link) = self.links.get(&connection.peer) {
            link.offer(connection.clone());
        }
        self.tasks
            .spawn(provide::serve(connection, self.asks_to.clone()));
    }

    fn sight(&self) -> Sight {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Sight {
            position: self.player.position(),
            wall_clock: i64::try_from(wall.as_secs()).unwrap_or_default(),
        }
    }

    /// Tells the library which complete copies the store has.
    fn announce_held(&mut self) {
        let (store, library) = (self.store.clone(), self.library.clone());
        self.tasks
            .spawn(smol::unblock(move || library.set_held(&store.held())));
    }

    /// Finds out which sound devices there are.
    fn look_for_devices(&mut self) {
        let answer = self.answer.clone();
        self.tasks.spawn(async move {
            let found = smol::unblock(player::devices).await;
            let views = found.into_iter().map(|device| DeviceView {
                name: device.name,
                description: device.description,
                in_use: false,
            });
            let event = Event::Devices(views.collect());
            let _ = answer.send(Input::Event(event)).await;
        });
    }

    /// Says goodbye to the tracker and to everybody.
    async fn leave(mut self) {
        self.player.stop();
        self.library.end();
        self.tell_tracker(Command::Leave);
        let left = async {
            while let Ok(input) = self.inputs.recv().await {
                if matches!(
                    input,
                    Input::Event(Event::Tracker(TrackerEvent::Left { .. }))
                ) {
                    return;
                }
            }
        };
        within(LEAVE_TIMEOUT, left).await;
        self.links.clear();
        self.endpoint.close().await;
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Passes on what `from` gives.
fn feed<T: Send + 'static>(
    from: Receiver<T>,
    to: Sender<Input>,
    wrap: impl Fn(T) -> Input + Send + 'static,
) -> Task<()> {
    smol::spawn(async move {
        while let Ok(item) = from.recv().await {
            if to.send(wrap(item)).await.is_err() {
                return;
            }
        }
    })
}

/// Accepts connections; each finishes its handshake in a task of its own.
async fn accept(endpoint: Endpoint, to: Sender<Input>) {
    let mut handshakes = Tasks::default();
    while let Some(accepting) = endpoint.accept().await {
        let to = to.clone();
        handshakes.spawn(async move {
            if let Some(connection) = accepting.finish().await {
                let _ = to.send(Input::Connected(connection)).await;
            }
        });
    }
}

/// A whole stop takes at most 2 s, and a tracker that is there answers within
/// a round trip.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// What may wait for the loop. Each takes it microseconds.
const MAX_INPUTS: usize = 256;
