//! What comes is heard at once, and written behind that, as far as memory is meant for it.

use std::sync::atomic::{AtomicU64, Ordering};

use async_channel::{Receiver, Sender};
use smol::Task;

use super::*;
use crate::{
    content::{
        blob::{encode, Outboard},
        disk::MemDisk,
        store::Store,
    },
    id::{PeerId, GROUP_BYTES},
    identity::{Identity, SwarmKey},
    protocol::Class,
    swarm::endpoint::Endpoint,
};

fn endpoint(n: u8) -> (Endpoint, PeerId) {
    let identity = Identity::from_secret(&[n; 32], &[SwarmKey::OPEN]).unwrap();
    let peer = identity.peer_id();
    let here = "127.0.0.1:0".parse().unwrap();
    (Endpoint::bind(here, identity, Vec::new()).unwrap(), peer)
}

/// A track, and its slice in portions of [`PORTION`] groups.
struct Song {
    track: TrackId,
    size: u64,
    portions: Vec<Bytes>,
}

impl Song {
    fn new(groups: u64) -> Self {
        let size = groups * GROUP_BYTES;
        let bytes: Vec<u8> = (0..size).map(|i| (i / 251) as u8).collect();
        let outboard = Outboard::of(&*bytes, size).unwrap();
        let (track, hashes) = (outboard.track, outboard.hashes.as_slice());
        let (all, mut slice) = (GroupSet::all(size), Vec::new());
        encode(track, size, &*bytes, hashes, &all, &mut slice).unwrap();
        let mut verifier = Verifier::new(track, size, &all);
        let (mut slice, mut portions, mut groups) = (Bytes::from(slice), Vec::new(), 0);
        let mut portion = BytesMut::new();
        while let Some(len) = verifier.needs() {
            let item = slice.split_to(len);
            portion.extend_from_slice(&item);
            groups += usize::from(verifier.push(item).unwrap().group().is_some());
            if groups == PORTION || verifier.needs().is_none() {
                portions.push(portion.split().freeze());
                groups = 0;
            }
        }
        Self {
            track,
            size,
            portions,
        }
    }

    fn order(&self) -> FetchOrder {
        FetchOrder {
            track: self.track,
            size: self.size,
            groups: GroupSet::all(self.size),
            class: Class::Now,
            renew: false,
        }
    }
}

/// Sends the slice to the first that asks, each portion when it is told to.
fn hold(endpoint: Endpoint, song: &Song, go: Receiver<()>) -> Task<()> {
    let portions = song.portions.clone();
    smol::spawn(async move {
        let accepting = endpoint.accept().await.unwrap().accept().unwrap();
        let requester = accepting.finish().await.unwrap();
        let (mut send, _asked) = requester.quic.accept_bi().await.unwrap();
        let slice = encode_frame(&PeerReply::Slice);
        send.write_all(&slice).await.unwrap();
        for portion in portions {
            go.recv().await.unwrap();
            send.write_all(&portion).await.unwrap();
        }
        let _ = send.finish();
        requester.quic.closed().await;
    })
}

/// One that fetches from a [`hold`]er, to a disk in memory.
struct Requester {
    disk: MemDisk,
    arriving: ArrivingTrack,
    connection: PeerConnection,
    go: Sender<()>,
    _tasks: [Task<()>; 2],
}

impl Requester {
    async fn of(song: &Song) -> Self {
        let ((here, _), (there, holder)) = (endpoint(1), endpoint(2));
        let (go, going) = async_channel::unbounded();
        let at = there.local_addr().unwrap();
        let holding = hold(there, song, going);
        let connection = here.dial(holder, at).await.unwrap();
        let disk = MemDisk::default();
        let store = Store::open("/cache".into(), 64 << 20, Arc::new(disk.clone()));
        let blob = store.receive(song.track, song.size).unwrap();
        let arriving = ArrivingTrack { store, blob };
        let writing = smol::spawn(write_behind(arriving.clone(), |_| async {}));
        Self {
            disk,
            arriving,
            connection,
            go,
            _tasks: [holding, writing],
        }
    }

    async fn fetch<Told: Future<Output = ()> + Send>(
        &self,
        song: &Song,
        progress: impl Fn(FetchProgress) -> Told + Sync,
    ) -> RequestOutcome {
        let order = song.order();
        let fetched = fetch_over(&self.connection, &order, &self.arriving, &progress);
        fetched.await.unwrap()
    }
}

/// Whether all of a song was heard and kept whose first write did not end before that.
async fn is_heard_before_it_is_written(song: &Song) -> bool {
    let requester = Requester::of(song).await;
    let (disk, go, blob) = (&requester.disk, &requester.go, &requester.arriving.blob);
    disk.hold_writes(true);
    go.send(()).await.unwrap();
    let progress = |progress| {
        if let FetchProgress::Groups(groups) = progress {
            assert!(blob.have().contains_all(&groups), "{groups}");
            if blob.have() == GroupSet::all(song.size) {
                disk.hold_writes(false);
            }
            // The next portion comes when this one is heard.
            let _ = go.try_send(());
        }
        async {}
    };
    let outcome = requester.fetch(song, progress).await;
    assert!(matches!(outcome, RequestOutcome::Complete), "{outcome:?}");
    let ArrivingTrack { store, blob } = requester.arriving.clone();
    smol::unblock(move || store.finish(&blob)).await.is_ok()
}

/// A machine that is busy may take longer for the song than music waits for a disk.
#[test]
fn what_comes_is_heard_while_what_came_before_is_written() {
    smol::block_on(async {
        let song = Song::new(4 * PORTION as u64);
        for _ in 0..TRIES {
            if is_heard_before_it_is_written(&song).await {
                return;
            }
        }
        panic!("each portion waits for the disk to have the one before it");
    });
}

/// The holder sends all of it at once.
#[test]
fn no_more_waits_for_the_disk_than_is_meant_to() {
    smol::block_on(async {
        let song = Song::new(4 * MAX_WAITING / GROUP_BYTES);
        let requester = Requester::of(&song).await;
        let (disk, blob) = (&requester.disk, &requester.arriving.blob);
        disk.hold_writes(true);
        song.portions.iter().for_each(|_| {
            let _ = requester.go.try_send(());
        });
        let (most, comes) = (AtomicU64::new(0), AtomicU64::new(0));
        let progress = |progress| {
            if let FetchProgress::Groups(groups) = progress {
                comes.fetch_max(groups.bytes(song.size), Ordering::Relaxed);
                let waits = blob.waiting().map_or(0, |waiting| waiting.bytes);
                most.fetch_max(waits, Ordering::Relaxed);
            }
            async {}
        };
        // It ends since music does not wait for such a disk for ever.
        let outcome = requester.fetch(&song, progress).await;
        assert!(matches!(outcome, RequestOutcome::Complete), "{outcome:?}");
        disk.hold_writes(false);
        assert!(blob.unkept().is_some(), "it takes nothing");
        let [most, comes] = [most, comes].map(AtomicU64::into_inner);
        assert!(most > MAX_WAITING / 2, "{most} bytes");
        assert!(most <= MAX_WAITING + 2 * comes, "{most} bytes, of {comes}");
        assert!(4 * comes < MAX_WAITING, "{comes} at a time");
    });
}

/// Groups that the holder sends at a time.
const PORTION: usize = 3;
const TRIES: usize = 5;
