//! What brings tracks here: look-ups, open tracks and fetches, for the ids that the core names.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use async_channel::Sender;
use smol::Task;

use super::{bytes::StoreBytes, hello, workbench::Workbench, Input};
use crate::{
    audio::{Load, PlayId},
    content::{
        error::StoreError,
        file::{Blob, Uncached},
        ranges::GroupSet,
        store::Pin,
    },
    core::{DownloadEffect, OpenedTrack},
    id::{EntryNo, PeerId, TrackId},
    library::Library,
    media::decode::{FileBytes, TrackBytes},
    node::{Event, FetchEvent, FetchId, MachineReport, PlaySource, PlayerTrack, Unresolved},
    swarm::{
        endpoint::PeerConnection,
        fetch::{self, ArrivingTrack, AskError, FetchProgress},
        link::{LinkHandle, PeerLink},
        order::FetchOrder,
    },
    util::{few::Few, work},
};

/// See the module's description. Dropping a task cancels it.
#[derive(Default)]
pub struct DownloadTasks {
    links: BTreeMap<PeerId, PeerLink>,
    /// Finds out what is to be played.
    lookup: Option<Task<()>>,
    /// An own file that is found, until the core says that the player gets it.
    located: Option<(PlayId, FileBytes)>,
    /// Tracks that the store makes room for.
    opening: Few<TrackId, Task<()>>,
    open: Few<TrackId, OpenBlob>,
    fetches: Few<FetchId, Task<()>>,
}

/// A track that plays, or is to.
struct OpenBlob {
    blob: Arc<Blob>,
    /// Keeps it in the cache.
    _pin: Pin,
    /// Brings to the disk what is shown of it.
    _writer: Task<()>,
}

impl DownloadTasks {
    /// Does `effect`, or starts what does.
    pub fn perform(&mut self, effect: DownloadEffect, bench: &mut Workbench) {
        match effect {
            DownloadEffect::Resolve { play, peer, entry } => {
                self.resolve(play, peer, entry, bench);
            }
            DownloadEffect::Locate { play, entry } => self.locate(play, entry, bench),
            DownloadEffect::EndLookup => (self.lookup, self.located) = (None, None),
            DownloadEffect::Open { track, size } => self.open(track, size, bench),
            DownloadEffect::Keep(track) => self.keep(track, bench),
            DownloadEffect::Fail { track, why } => {
                if let Some(blob) = self.blob(track) {
                    blob.fail(why);
                }
            }
            DownloadEffect::Forget { track, groups } => {
                if let Some(blob) = self.blob(track) {
                    blob.forget(&groups);
                }
            }
            DownloadEffect::Close(track) => {
                self.opening.remove(track);
                self.open.remove(track);
            }
            DownloadEffect::Link(peer, addresses) => self.set_link(peer, addresses, bench),
            DownloadEffect::Unlink(peer) => _ = self.links.remove(&peer),
            DownloadEffect::Fetch {
                fetch,
                source,
                order,
            } => self.fetch(fetch, source, order, bench),
            DownloadEffect::EndFetch(fetch) => _ = self.fetches.remove(fetch),
            DownloadEffect::Greet(peer, greeting) => {
                if let Some(link) = self.link(peer) {
                    let greeted = hello::greet(link, greeting);
                    bench.spawn_event(async move { Event::Greeted(peer, greeted.await) });
                }
            }
            DownloadEffect::AskOwner(owner, what) => {
                if let Some(link) = self.link(owner) {
                    let piece = hello::piece(link, what);
                    bench.spawn_event(async move { Event::Piece(owner, piece.await) });
                }
            }
        }
    }

    /// The way to a peer; the core names only those that it has had linked.
    fn link(&self, peer: PeerId) -> Option<LinkHandle> {
        self.links.get(&peer).map(PeerLink::handle)
    }

    /// `peer` can be dialled at these addresses.
    fn set_link(&mut self, peer: PeerId, addresses: Vec<SocketAddr>, bench: &Workbench) {
        if let Some(link) = self.links.get(&peer) {
            return link.set_candidates(addresses);
        }
        let (endpoint, asks) = (bench.endpoint.clone(), bench.asks_to.clone());
        let link = PeerLink::new(peer, addresses, endpoint, asks);
        self.links.insert(peer, link);
    }

    /// `peer` may be asked over the connection that it has opened.
    pub fn offer(&self, peer: PeerId, connection: PeerConnection) {
        if let Some(link) = self.links.get(&peer) {
            link.offer(connection);
        }
    }

    fn resolve(&mut self, play: PlayId, peer: PeerId, entry: EntryNo, bench: &Workbench) {
        let Some(link) = self.link(peer) else {
            return;
        };
        let to = bench.answer.clone();
        self.lookup = Some(work::spawn(async move {
            let answer = fetch::resolve(&link, entry).await.map_err(|e| match e {
                AskError::NoConnection(_) | AskError::Lost(_) | AskError::Silent => {
                    log::debug!("nobody says what is to be played: {e}");
                    Unresolved::Silent
                }
                why => Unresolved::Refused(why.to_string()),
            });
            let resolved = Event::Resolved { play, answer };
            let _ = to.send(Input::Event(resolved)).await;
        }));
    }

    /// Looks for an own file on the disk.
    fn locate(&mut self, play: PlayId, entry: EntryNo, bench: &Workbench) {
        let (library, to) = (bench.library.clone(), bench.answer.clone());
        self.lookup = Some(work::spawn(async move {
            let found = work::unblock(move || own_file(&library, entry)).await;
            let _ = to.send(Input::Located(play, found)).await;
        }));
    }

    pub fn handle_located(&mut self, play: PlayId, bytes: FileBytes) {
        self.located = Some((play, bytes));
    }

    fn open(&mut self, track: TrackId, size: u64, bench: &Workbench) {
        let (store, to) = (bench.store.clone(), bench.answer.clone());
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

    /// The store is done; it has made room for a track that is still wanted, or not.
    pub fn handle_opened(
        &mut self,
        track: TrackId,
        opened: Option<(Arc<Blob>, Pin)>,
        bench: &Workbench,
    ) {
        self.opening.remove(track);
        let Some((blob, pin)) = opened else {
            return;
        };
        let arriving = ArrivingTrack {
            store: bench.store.clone(),
            blob: blob.clone(),
        };
        let to = bench.answer.clone();
        let writer = work::spawn(fetch::write_behind(arriving, move |uncached| {
            let to = to.clone();
            async move { _ = to.send(Input::Event(unkept(track, uncached))).await }
        }));
        let open = OpenBlob {
            blob,
            _pin: pin,
            _writer: writer,
        };
        self.open.insert(track, open);
    }

    fn blob(&self, track: TrackId) -> Option<&Arc<Blob>> {
        self.open.get(track).map(|open| &open.blob)
    }

    fn fetch(&mut self, id: FetchId, source: PeerId, order: FetchOrder, bench: &Workbench) {
        let way = self.link(source).zip(self.blob(id.track).cloned());
        let Some((link, blob)) = way else {
            return;
        };
        let store = bench.store.clone();
        let to = bench.answer.clone();
        let task = work::spawn(async move {
            let arriving = ArrivingTrack { store, blob };
            let event = fetch_into(&link, order, arriving, id, &to).await;
            let _ = to.send(Input::Event(Event::Fetch(id, event))).await;
        });
        self.fetches.retain(|task| !task.is_finished());
        self.fetches.insert(id, task);
    }

    /// What the player reads this play from, and how it is to begin; nothing for what has been
    /// closed.
    pub fn load(&mut self, track: PlayerTrack, bench: &Workbench) -> Option<Load> {
        let bytes: Arc<dyn TrackBytes> = match track.source {
            PlaySource::Store(id) => {
                let (blob, to) = (self.blob(id)?.clone(), bench.answer.clone());
                Arc::new(StoreBytes::new(blob, to))
            }
            PlaySource::File(_) => {
                let found = self.located.take_if(|(play, _)| *play == track.play);
                Arc::new(found?.1)
            }
        };
        Some(Load {
            play: track.play,
            bytes,
            media: track.media,
            from: track.from,
            held: track.held,
            gentle: track.gentle,
        })
    }

    /// Makes a complete track a held one, and tells the swarm.
    fn keep(&self, track: TrackId, bench: &mut Workbench) {
        let Some(blob) = self.blob(track).cloned() else {
            return;
        };
        let (store, library) = (bench.store.clone(), bench.library.clone());
        let to = bench.answer.clone();
        bench.spawn(async move {
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
}

/// What the core is told of a track that the store has made room for.
pub fn opened_track(blob: &Blob) -> OpenedTrack {
    blob.take_unkept();
    let uncached = blob.unkept();
    OpenedTrack {
        have: blob.have(),
        uncached: uncached.map(|uncached| (uncached.kept, uncached.why.to_string())),
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
    arriving: ArrivingTrack,
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
    match fetch::fetch(link, order, arriving, progress).await {
        Ok(outcome) => FetchEvent::Done(outcome),
        Err(e) => FetchEvent::NotKept(e.to_string()),
    }
}

fn unkept(track: TrackId, uncached: Uncached) -> Event {
    Event::Unkept {
        track,
        kept: uncached.kept,
        why: uncached.why.to_string(),
    }
}
