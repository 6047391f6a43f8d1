//! What the node wants, done.

use std::{
    net::SocketAddr,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};

use async_channel::Sender;
use smol::Task;

use super::{bytes::StoreBytes, Input, OpenBlob, Peer};
use crate::{
    command::{StatePart, StateParts},
    content::{
        error::StoreError,
        file::{Blob, Uncached},
        ranges::GroupSet,
        store::{Pin, Store},
    },
    id::{EntryNo, PeerId, TrackId},
    library::{Care, HashProgress, Library, ResolveError},
    media::decode::{FileBytes, TrackBytes},
    node::{
        Action, AskId, Event, FetchEvent, FetchId, MachineReport, PlayAction, PlaySource,
        PlayerAction, PlayerTrack, Unresolved, UploadAnswer, Via,
    },
    player::{self, PlayId, PlayerEvent},
    protocol::{Decline, PeerReply},
    swarm::{
        budget::Precedence,
        fetch::{self, AskError, FetchOrder, FetchProgress},
        link::{LinkHandle, PeerLink},
        provide::{Done, SharedBudget, SliceReply},
        referrals,
    },
    tracker::link::LinkCommand,
    util::within::within,
    util::work,
};

impl Peer {
    /// Does `action`, or starts what does.
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Play(action) => self.perform_play(action),
            Action::Transport(order) => self.perform_order(order),
            Action::Want(want) if want.via == Via::Owner => self.ask_owner(want.owner, want.what),
            Action::Want(want) => {
                let (owner, what) = (want.owner, want.what);
                self.tell_tracker(LinkCommand::Want { owner, what });
            }
            Action::Greet(peer, greeting) => self.greet(peer, greeting),
            // Nobody takes it where mDNS is not wanted.
            Action::LookForPeers(look) => _ = self.look_for_peers.force_send(look),
            Action::Remember => self.remember(),
            Action::Bookmark => self.place_bookmark(),
            // It has room: one order comes after the other.
            Action::Archive(order) => _ = self.archive.try_send(order),
            Action::Publish(catalogue) => self.tell_tracker(LinkCommand::Publish(catalogue)),
            Action::Addresses(peer, addresses) => self.set_addresses(peer, addresses),
            Action::Answer(ask, answer) => self.answer(ask, answer),
            Action::Reply(ask, outcome) => {
                if let Some(responder) = self.requests.remove(&ask) {
                    responder.answer(outcome);
                }
            }
            Action::Changed(parts) => {
                self.control.notify(parts);
                self.status.handle_change();
                if !parts.and(REMEMBERED).is_empty() {
                    self.remember_soon();
                }
            }
            Action::Queued(tracks) => self.store.set_queued(tracks),
            Action::Rescan { path, anew } => {
                let care = if anew { Care::All } else { Care::Changes };
                self.library.request_look_at(&path, care);
            }
            Action::Outdo(head) => {
                let library = self.library.clone();
                self.tasks
                    .spawn(work::unblock(move || library.outdo(&head)));
            }
            Action::Leave => self.tell_tracker(LinkCommand::Leave),
            Action::Join => self.tell_tracker(LinkCommand::Join),
        }
    }

    fn perform_order(&mut self, order: PlayerAction) {
        match order {
            PlayerAction::Pause => self.player.pause(),
            PlayerAction::Resume => self.player.resume(),
            PlayerAction::Stop => {
                self.looking.clear();
                self.player.stop();
            }
            PlayerAction::ClearNext => {
                self.looking.clear();
                self.player.clear_next();
            }
            PlayerAction::Seek { play, to } => self.player.seek(play, to),
            PlayerAction::Volume(volume) => self.player.volume(volume),
        }
    }

    fn perform_play(&mut self, action: PlayAction) {
        log::trace!("play: {action:?}");
        match action {
            PlayAction::Resolve { play, peer, entry } => self.resolve(play, peer, entry),
            PlayAction::Open { track, size } => self.open(track, size),
            PlayAction::Fetch {
                fetch,
                source,
                size,
                groups,
                class,
                renew,
            } => {
                let track = fetch.track;
                let order = FetchOrder {
                    track,
                    size,
                    groups,
                    class,
                    renew,
                };
                self.fetch(fetch, source, order);
            }
            PlayAction::Cancel(fetch) => _ = self.fetches.remove(&fetch),
            PlayAction::Load(load) => self.load(load),
            PlayAction::Hold(play) => self.player.hold(play),
            PlayAction::Sound(play) => self.player.sound(play),
            PlayAction::Keep(track) => self.keep(track),
            PlayAction::GiveUp { track, why } => {
                if let Some(open) = self.blobs.get(&track) {
                    open.blob.fail(why);
                }
            }
            PlayAction::Forget { track, groups } => {
                if let Some(open) = self.blobs.get(&track) {
                    open.blob.forget(&groups);
                }
            }
            PlayAction::Close(track) => {
                self.opening.remove(&track);
                self.blobs.remove(&track);
                self.rest_soon();
            } // The node keeps this one to itself.
        }
    }

    fn resolve(&mut self, play: PlayId, peer: PeerId, entry: EntryNo) {
        let Some(link) = self.links.get(&peer).map(PeerLink::handle) else {
            let answer = Err(Unresolved::Silent);
            return self
                .node
                .handle(Event::Resolved { play, answer }, std::time::Instant::now());
        };
        let to = self.answer.clone();
        let task = work::spawn(async move {
            let answer = fetch::resolve(&link, entry).await.map_err(|e| match e {
                AskError::NoConnection(_) | AskError::Lost(_) | AskError::Silent => {
                    log::debug!("nobody says what is to be played: {e}");
                    Unresolved::Silent
                }
                why => Unresolved::Refused(why.to_string()),
            });
            let _ = to
                .send(Input::Event(Event::Resolved { play, answer }))
                .await;
        });
        self.look(play, task);
    }

    /// Keeps the task that finds out about `play`. A successor is not prepared
    /// before what plays has been found, so any other is not wanted any more:
    /// its owner need not go on hashing, and it cannot be late and win.
    fn look(&mut self, play: PlayId, task: Task<()>) {
        self.looking.clear();
        self.looking.insert(play, task);
    }

    fn open(&mut self, track: TrackId, size: u64) {
        let (store, to) = (self.store.clone(), self.answer.clone());
        let task = work::spawn(async move {
            let opened = work::unblock(move || {
                let blob = store.receive(track, size).map_err(|e| e.to_string())?;
                Ok((blob, store.pin(track)))
            });
            let opened = opened.await;
            let _ = to.send(Input::Opened(track, opened)).await;
        });
        self.opening.insert(track, task);
    }

    /// The store has made room, or could not.
    pub(super) fn handle_opened(
        &mut self,
        track: TrackId,
        opened: Result<(Arc<Blob>, Pin), String>,
    ) -> Option<Event> {
        // What has been closed meanwhile must not stay pinned.
        drop(self.opening.remove(&track)?);
        let unkept = opened.as_ref().ok();
        let unkept = unkept.and_then(|(blob, _)| {
            blob.take_unkept();
            blob.unkept()
        });
        let answer = opened.map(|(blob, pin)| {
            let have = blob.have();
            let writer = self.write_behind(track, blob.clone());
            let open = OpenBlob {
                blob,
                _pin: pin,
                _writer: writer,
            };
            self.blobs.insert(track, open);
            have
        });
        if let Some(unkept) = unkept {
            // Before the first request goes out.
            self.take(Input::Event(not_kept(track, unkept)));
        }
        Some(Event::Opened { track, answer })
    }

    fn write_behind(&self, track: TrackId, blob: Arc<Blob>) -> Task<()> {
        let to = self.answer.clone();
        work::spawn(fetch::write_behind(blob, move |unkept| {
            let to = to.clone();
            async move { _ = to.send(Input::Event(not_kept(track, unkept))).await }
        }))
    }

    fn fetch(&mut self, id: FetchId, source: PeerId, order: FetchOrder) {
        let link = self.links.get(&source).map(PeerLink::handle);
        let blob = self.blobs.get(&id.track).map(|open| open.blob.clone());
        let to = self.answer.clone();
        let task = work::spawn(async move {
            let event = match link.zip(blob) {
                Some((link, blob)) => fetch_into(&link, order, blob, id, &to).await,
                None => {
                    let gone = "it is not in the swarm any more".to_owned();
                    FetchEvent::Done(fetch::lost(gone))
                }
            };
            let _ = to.send(Input::Event(Event::Fetch(id, event))).await;
        });
        self.fetches.retain(|_, task| !task.is_finished());
        self.fetches.insert(id, task);
    }

    /// Finds the bytes of a play. Those of an own file take a look at the disk.
    fn load(&mut self, load: PlayerTrack) {
        let (play, to) = (load.play, self.answer.clone());
        let task = match load.source {
            PlaySource::Store(track) => {
                let Some(open) = self.blobs.get(&track) else {
                    return;
                };
                let bytes = Arc::new(StoreBytes::new(open.blob.clone(), to));
                self.looking.clear();
                return self.hand_to_player(load, bytes);
            }
            PlaySource::File(entry) => {
                let library = self.library.clone();
                work::spawn(async move {
                    let bytes = work::unblock(move || own_file(&library, entry)).await;
                    let _ = to.send(Input::Found(load, bytes)).await;
                })
            }
        };
        self.look(play, task);
    }

    /// An own file has been found, or not.
    pub(super) fn handle_found(
        &mut self,
        load: PlayerTrack,
        bytes: Result<FileBytes, String>,
    ) -> Option<Event> {
        // What has been stopped or replaced meanwhile is not wanted any more.
        drop(self.looking.remove(&load.play)?);
        match bytes {
            Ok(bytes) => {
                self.hand_to_player(load, Arc::new(bytes));
                None
            }
            Err(why) => Some(Event::Player(PlayerEvent::Failed {
                play: load.play,
                why,
            })),
        }
    }

    fn hand_to_player(&mut self, load: PlayerTrack, bytes: Arc<dyn TrackBytes>) {
        let order = player::Load {
            play: load.play,
            bytes,
            container: load.container,
            audio_start: Some(load.audio_start),
            from: load.from,
            expect: Some((load.rate, load.channels)),
            held: load.held,
            gentle: load.gentle,
        };
        match load.next {
            true => self.player.next(order),
            false => self.player.load(order),
        }
    }

    /// Makes a complete track a held one, and tells the swarm.
    fn keep(&mut self, track: TrackId) {
        let Some(blob) = self.blobs.get(&track).map(|open| open.blob.clone()) else {
            return;
        };
        let (store, library) = (self.store.clone(), self.library.clone());
        let to = self.answer.clone();
        self.tasks.spawn(async move {
            let kept = work::unblock(move || match store.finish(&blob) {
                // Some of what an earlier life left was not true.
                Err(StoreError::Incomplete { .. }) => Some(Event::Lost {
                    track,
                    groups: GroupSet::all(blob.size()).difference(&blob.have()),
                }),
                Err(e) => Some(Event::Machine(MachineReport::CacheBroken(e.to_string()))),
                Ok(()) => {
                    library.set_held(&store.held());
                    None
                }
            });
            if let Some(event) = kept.await {
                let _ = to.send(Input::Event(event)).await;
            }
        });
    }

    fn set_addresses(&mut self, peer: PeerId, addresses: Vec<SocketAddr>) {
        if addresses.is_empty() {
            self.links.remove(&peer);
            return;
        }
        match self.links.get(&peer) {
            Some(link) => link.set_candidates(addresses),
            None => {
                let link =
                    PeerLink::new(peer, addresses, self.endpoint.clone(), self.asks_to.clone());
                // It may have come by itself before anybody knew where it is.
                if let Some(connection) = self.visiting(peer) {
                    link.offer(connection);
                }
                self.links.insert(peer, link);
            }
        }
    }

    fn answer(&mut self, ask: AskId, answer: UploadAnswer) {
        let reply = match answer {
            UploadAnswer::Resolve(entry) => return self.answer_resolve(ask, entry),
            UploadAnswer::Slice {
                track,
                size,
                groups,
                precedence,
            } => {
                return self.answer_slice(ask, track, size, groups, precedence);
            }
            UploadAnswer::Own { part, precedence } => SliceReply::Own {
                part,
                precedence,
                budget: self.budget.clone(),
            },
            UploadAnswer::Hello(greeting) => SliceReply::Message(PeerReply::Hello(greeting)),
            UploadAnswer::No(why) => SliceReply::Message(PeerReply::No(why)),
            UploadAnswer::GiveUp => {
                if let Some(over) = self.slices.get(&ask) {
                    log::debug!("a slow reader gives its place to others");
                    over.close();
                }
                return;
            }
        };
        if let Some(asked) = self.asks.remove(&ask) {
            // It has room for the one answer.
            let _ = asked.try_send(reply);
        }
    }

    fn answer_resolve(&mut self, ask: AskId, entry: EntryNo) {
        let Some(reply) = self.asks.remove(&ask) else {
            return;
        };
        let (library, to) = (self.library.clone(), self.answer.clone());
        self.tasks.spawn(async move {
            say_hash(&library, entry, &reply).await;
            let over = Event::Answered {
                ask,
                sent: 0,
                arrived: GroupSet::new(),
            };
            let _ = to.send(Input::Event(over)).await;
        });
    }

    fn answer_slice(
        &mut self,
        ask: AskId,
        track: TrackId,
        size: u64,
        groups: GroupSet,
        precedence: Precedence,
    ) {
        let to = self.answer.clone();
        let Some(reply) = self.asks.remove(&ask) else {
            let over = Event::Answered {
                ask,
                sent: 0,
                arrived: GroupSet::new(),
            };
            return self.node.handle(over, std::time::Instant::now());
        };
        let me = self.endpoint.peer_id();
        let budget = self.budget.clone();
        let store = self.store.clone();
        let library = self.library.clone();
        let (done, over) = async_channel::bounded(1);
        self.slices.insert(ask, over.clone());
        self.tasks.spawn(async move {
            let blob = work::unblock(move || serve_from(&store, &library, track)).await;
            let sent = Arc::<AtomicU64>::default();
            let way = (budget, done, sent.clone());
            let answer = slice_or_no(blob, me, size, &groups, precedence, way);
            let _ = reply.send(answer).await;
            let arrived = over.recv().await.unwrap_or_default();
            let sent = sent.load(Ordering::Relaxed);
            let over = Event::Answered { ask, sent, arrived };
            let _ = to.send(Input::Event(over)).await;
        });
    }

    pub(super) fn tell_tracker(&mut self, command: LinkCommand) {
        self.orders.push(command);
    }
}

fn own_file(library: &Library, entry: EntryNo) -> Result<FileBytes, String> {
    let (path, file) = library
        .open_file(entry)
        .ok_or("it is no longer in the library")?;
    let bytes = file.and_then(FileBytes::of);
    bytes.map_err(|e| format!("{}: {e}", path.display()))
}

/// Fetches what is ordered, and tells how far it came; how it ended comes back.
async fn fetch_into(
    link: &LinkHandle,
    order: FetchOrder,
    blob: Arc<Blob>,
    id: FetchId,
    to: &Sender<Input>,
) -> FetchEvent {
    let progress = |progress| {
        let event = match progress {
            FetchProgress::FirstByte => FetchEvent::FirstByte,
            FetchProgress::Groups(groups) => FetchEvent::Groups(groups),
            FetchProgress::Wasted(bytes) => FetchEvent::Wasted(bytes),
        };
        let (event, to) = (Event::Fetch(id, event), to.clone());
        async move { _ = to.send(Input::Event(event)).await }
    };
    match fetch::fetch(link, order, blob, progress).await {
        Ok(outcome) => FetchEvent::Done(outcome),
        Err(e) => FetchEvent::NotKept(e.to_string()),
    }
}

fn not_kept(track: TrackId, unkept: Uncached) -> Event {
    Event::Unkept {
        track,
        kept: unkept.kept,
        why: unkept.why.to_string(),
    }
}

/// Tells the requester of a hash how far it is, and then the hash.
async fn say_hash(library: &Arc<Library>, entry: EntryNo, reply: &Sender<SliceReply>) {
    let there = library.clone();
    let progress = match work::unblock(move || there.resolve(entry)).await {
        Ok(progress) => progress,
        Err(e) => {
            log::debug!("a file cannot be resolved: {e}");
            let no = match e {
                ResolveError::NoSuchEntry => Decline::NotAvailable,
                ResolveError::Busy => Decline::Busy {
                    retry: RESOLVE_AGAIN,
                },
            };
            let _ = reply.send(SliceReply::Message(PeerReply::No(no))).await;
            return;
        }
    };
    loop {
        let message = match within(STILL_HERE, progress.recv()).await {
            None => PeerReply::Hashing { done: 0, size: 0 },
            Some(Ok(HashProgress::Hashing { done, size })) => PeerReply::Hashing { done, size },
            Some(Ok(HashProgress::Done { track, size })) => PeerReply::Resolved { track, size },
            Some(Ok(HashProgress::Failed(_))) => PeerReply::No(Decline::NotAvailable),
            Some(Err(_)) => return,
        };
        let is_last = !matches!(message, PeerReply::Hashing { .. });
        if reply.send(SliceReply::Message(message)).await.is_err() || is_last {
            return;
        }
    }
}

/// The answer to the request for a slice: as far as it is here. `done` goes with it.
fn slice_or_no(
    blob: Option<Arc<Blob>>,
    me: PeerId,
    size: u64,
    groups: &GroupSet,
    precedence: Precedence,
    (budget, done, sent): (SharedBudget, Done, Arc<AtomicU64>),
) -> SliceReply {
    let no = |why| SliceReply::Message(PeerReply::No(why));
    let Some(blob) = blob else {
        return no(Decline::NotAvailable);
    };
    if blob.size() != size {
        return no(Decline::Changed);
    }
    match referrals::offer(me, groups, &blob.servable()) {
        Ok(groups) => SliceReply::Slice {
            blob,
            groups,
            precedence,
            budget,
            done,
            sent,
        },
        Err(why) => no(why),
    }
}

/// The bytes of a track: from the cache, or from the library's file, which the
/// store learns of when it is first asked for.
fn serve_from(store: &Arc<Store>, library: &Library, track: TrackId) -> Option<Arc<Blob>> {
    store.blob(track).or_else(|| {
        let file = library.file_of(track)?;
        store.add_file(track, file.size, file.path.clone(), file.modified());
        store.blob(track)
    })
}

/// How often a requester whose file waits for its turn hears of it: well within
/// what it takes for silence.
const STILL_HERE: Duration = Duration::from_secs(3);
/// What changes when there is something else to remember; the rest is in the bookmark.
const REMEMBERED: StateParts = StateParts::of(&[StatePart::Queue]);

/// A queue of hashing that is full empties in about this long.
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{protocol::Class, swarm::requester::Requester};

    #[test]
    fn saying_no_to_a_slice_gives_its_slot_back_at_once() {
        let (done, over) = async_channel::bounded(1);
        let way = (SharedBudget::default(), done, Arc::default());
        let me = PeerId([1; 32]);
        let precedence = Precedence {
            requester: Requester::new(me, [10, 0, 0, 1].into(), &[]),
            class: Class::Now,
            own: Class::Now,
        };
        let answer = slice_or_no(None, me, 1, &GroupSet::all(1), precedence, way);
        assert!(matches!(answer, SliceReply::Message(PeerReply::No(_))));
        assert!(over.is_closed());
    }
}
