//! The fetches that the table runs against.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use smol::future;

use super::{Disturbance, FetchCase, FetchReport, FetchResult, SourceManner, ALL, ENOUGH, SIZE};
use crate::{
    content::{
        blob::{encode, Outboard, Verifier},
        disk::MemDisk,
        file::Blob,
        ranges::GroupSet,
        store::Store,
    },
    core::UploadEffect,
    id::{PeerId, TrackId, GROUP_BYTES},
    identity::{Identity, SwarmKey},
    node::{FetchEvent, FetchId},
    protocol::{encode_frame, Class, Decline, PeerReply, PeerRequest},
    sim::{
        music::Song,
        net::{HostNo, Place, Weather},
        setting::{Manner, Setting},
        store::Blob as SimBlob,
        swarm::Purpose,
        world::{Overheard, World},
    },
    swarm::{
        budget::{Budget, Precedence},
        endpoint::{Endpoint, PeerConnection},
        fetch::{fetch, write_behind, ArrivingTrack, FetchProgress},
        link::PeerLink,
        order::FetchOrder,
        provide::{serve, SharedBudget, SliceReply},
        referrals,
        requester::Requester,
        scheduler::RequestId,
    },
    util::within::within,
};

/// The track that all is about.
struct TestTrack {
    bytes: Vec<u8>,
    outboard: Outboard,
}

impl TestTrack {
    fn new() -> Self {
        let bytes: Vec<u8> = (0..SIZE).map(|n| (n / 251) as u8).collect();
        let outboard = Outboard::of(&*bytes, SIZE).unwrap();
        Self { bytes, outboard }
    }

    fn id(&self) -> TrackId {
        self.outboard.track
    }

    /// The slice that proves `groups`.
    fn slice(&self, groups: &GroupSet) -> Vec<u8> {
        let (hashes, mut slice) = (self.outboard.hashes.as_slice(), Vec::new());
        encode(self.id(), SIZE, &*self.bytes, hashes, groups, &mut slice).unwrap();
        slice
    }

    /// These groups of it, as a cache has them.
    fn kept(&self, groups: &GroupSet) -> Arc<Blob> {
        let blob = store().receive(self.id(), SIZE).unwrap();
        let mut verifier = Verifier::new(self.id(), SIZE, groups);
        let mut slice = Bytes::from(self.slice(groups));
        while let Some(len) = verifier.needs() {
            let item = verifier.push(slice.split_to(len)).unwrap();
            blob.write([item]).unwrap();
        }
        blob
    }
}

fn store() -> Arc<Store> {
    Store::open("/cache".into(), 64 << 20, Arc::new(MemDisk::default()))
}

fn order(case: &FetchCase, track: TrackId) -> FetchOrder {
    FetchOrder {
        track,
        size: case.size,
        groups: case.asked.clone().into(),
        class: Class::Now,
        renew: false,
    }
}

/// A holder at the other end of a connection.
struct RealSource {
    me: PeerId,
    manner: SourceManner,
    budget: SharedBudget,
    /// Says so when the connection is to be closed, or the slice given up.
    disturbed: Receiver<Disturbance>,
    /// Takes what has arrived.
    confirmed: Sender<GroupSet>,
}

impl RealSource {
    async fn hold(self, endpoint: Endpoint) {
        let accepting = endpoint.accept().await.unwrap().accept().unwrap();
        let connection = accepting.finish().await.unwrap();
        let track = TestTrack::new();
        let answer = match &self.manner {
            SourceManner::Has(_) | SourceManner::Refuses(_) => {
                return self.serve(&connection, &track).await;
            }
            // An array of a number that stands for nothing, and of no fields.
            SourceManner::Unsupported => vec![0, 0, 0, 4, 0x82, 0x18, 77, 0x80],
            SourceManner::Lies => {
                let mut lie = track.slice(&(0..1).into());
                lie.iter_mut()
                    .next_back()
                    .into_iter()
                    .for_each(|last| *last ^= 1);
                [encode_frame(&PeerReply::Slice), lie].concat()
            }
            SourceManner::Silent => {
                connection.quic.closed().await;
                return;
            }
        };
        let (mut send, _asked) = connection.quic.accept_bi().await.unwrap();
        send.write_all(&answer).await.unwrap();
        let _ = send.finish();
        connection.quic.closed().await;
    }

    /// As the product does.
    async fn serve(self, connection: &PeerConnection, track: &TestTrack) {
        let (to, asks) = async_channel::bounded(1);
        let _serving = smol::spawn(serve(connection.clone(), to));
        let ask = asks.recv().await.unwrap();
        let PeerRequest::Get(get) = ask.request else {
            panic!("it asks for something else");
        };
        let (done, over) = async_channel::bounded(1);
        let groups = get.groups.iter().cloned().map(GroupSet::from);
        let groups = groups.fold(GroupSet::new(), |all, range| all.union(&range));
        let answer = match self.manner {
            SourceManner::Has(has) => {
                let blob = track.kept(&has.into());
                let here = Some((blob.size(), blob.servable()));
                match referrals::offer(self.me, get.size, &groups, here) {
                    Ok(groups) => SliceReply::Slice {
                        blob,
                        groups,
                        precedence: Precedence {
                            requester: Requester::new(ask.peer, ask.from.ip(), &[]),
                            class: Class::Now,
                            own: Class::Now,
                        },
                        budget: self.budget,
                        done,
                        sent: Arc::default(),
                    },
                    Err(why) => SliceReply::Message(PeerReply::No(why)),
                }
            }
            SourceManner::Refuses(why) => SliceReply::Message(PeerReply::No(why)),
            _ => unreachable!("the others are not served"),
        };
        assert!(ask.reply.send(answer).await.is_ok());
        let confirming = async {
            let _ = self
                .confirmed
                .send(over.recv().await.unwrap_or_default())
                .await;
            connection.quic.closed().await;
        };
        let disturbing = async {
            match self.disturbed.recv().await {
                Ok(Disturbance::ConnectionClosed) => connection.quic.close(0u32.into(), b""),
                Ok(Disturbance::GivenUp) => _ = over.close(),
                _ => {}
            }
            future::pending().await
        };
        future::or(confirming, disturbing).await;
    }
}

pub fn ask_real(case: &FetchCase) -> FetchResult {
    smol::block_on(ask_over_quic(case))
}

fn endpoint(n: u8) -> Endpoint {
    let identity = Identity::from_secret(&[n; 32], &[SwarmKey::OPEN]).unwrap();
    let here = "127.0.0.1:0".parse().unwrap();
    Endpoint::bind(here, identity, Vec::new()).unwrap()
}

async fn ask_over_quic(case: &FetchCase) -> FetchResult {
    let (here, there) = (endpoint(1), endpoint(2));
    let (holder, at) = (there.peer_id(), there.local_addr().unwrap());
    let budget = Arc::new(Mutex::new(Budget::new(case.rate)));
    let (disturb, disturbed) = async_channel::bounded(1);
    let (confirm, confirmed) = async_channel::bounded(1);
    let source = RealSource {
        me: holder,
        manner: case.source.clone(),
        budget: budget.clone(),
        disturbed,
        confirmed: confirm,
    };
    let _holding = smol::spawn(source.hold(there));
    let (asks, _none) = async_channel::bounded(1);
    let link = PeerLink::new(holder, vec![at], here, asks);
    let track = TestTrack::new().id();
    let store = store();
    let blob = store.receive(track, case.size).unwrap();
    let arriving = ArrivingTrack {
        store,
        blob: blob.clone(),
    };
    let _writing = smol::spawn(write_behind(arriving.clone(), |_| async {}));
    let result = Mutex::new(FetchResult {
        reports: Vec::new(),
        have: GroupSet::new(),
        confirmed: GroupSet::new(),
    });
    let (enough, is_enough) = async_channel::bounded(1);
    let progress = |progress| {
        if blob.have().contains_all(&ENOUGH.into()) {
            let _ = enough.try_send(());
        }
        result.lock().unwrap().add(match progress {
            FetchProgress::FirstByte => FetchReport::FirstByte,
            FetchProgress::Groups(groups) => FetchReport::Groups(groups),
            FetchProgress::Wasted(_) => FetchReport::Wasted,
        });
        async {}
    };
    let link = (link.handle(), link);
    let fetching = async {
        let fetched = fetch(&link.0, order(case, track), arriving, progress);
        Some(fetched.await.unwrap())
    };
    let disturbing = async {
        let _ = is_enough.recv().await;
        match case.then {
            Disturbance::Cancelled => return None,
            Disturbance::Stopped => budget.lock().unwrap().set_rate(Some(1)),
            then => disturb.send(then).await.unwrap(),
        }
        future::pending().await
    };
    let outcome = future::or(fetching, disturbing).await;
    let mut result = result.into_inner().unwrap();
    if matches!(case.source, SourceManner::Has(_)) {
        let told = within(PATIENCE, confirmed.recv()).await;
        result.confirmed = told.and_then(Result::ok).unwrap_or_default();
    }
    if let Some(outcome) = outcome {
        result.add(FetchReport::Done(outcome));
    }
    result.have = blob.have();
    result.normalise(holder);
    result
}

pub fn ask_model(case: &FetchCase) -> FetchResult {
    let mut world = World::new(1, Weather::FAIR);
    world.has_mdns = false;
    let track = TestTrack::new().id();
    let song = Song {
        track,
        name: "song.flac".into(),
        size: SIZE,
        duration: Duration::from_secs(1),
        audio_start: 0,
    };
    let (holder, listener) = (world.add(host(case, &song)), world.add(host_without()));
    let source = world.hosts[holder.0].library.owner();
    set_up_source(&mut world, holder, case, track);
    world.hosts[listener.0]
        .store
        .0
        .entry(track)
        .or_default()
        .size = case.size;
    if case.source == SourceManner::Silent {
        world.cut(&[Place::Host(holder)], &[Place::Host(listener)]);
    }
    for host in [holder, listener] {
        world.hosts[host.0].overheard = Some(Overheard::default());
    }
    let fetch = FetchId {
        track,
        stream: 0,
        request: RequestId(0),
    };
    world.call_get(listener, fetch, source, order(case, track));
    let mut is_disturbed = false;
    for _ in 0..LOOKS {
        world.run(LOOK);
        let have = &world.hosts[listener.0].store.0[&track].have;
        if !is_disturbed && have.contains_all(&ENOUGH.into()) {
            is_disturbed = true;
            disturb(&mut world, case.then, holder, (listener, fetch));
        }
    }
    let mut result = FetchResult {
        reports: Vec::new(),
        have: world.hosts[listener.0].store.0[&track].have.clone(),
        confirmed: overheard(&mut world, holder).arrived,
    };
    for event in overheard(&mut world, listener).fetches {
        result.add(match event {
            FetchEvent::FirstByte => FetchReport::FirstByte,
            FetchEvent::Groups(groups) => FetchReport::Groups(groups),
            FetchEvent::Wasted(_) => FetchReport::Wasted,
            FetchEvent::Done(outcome) => FetchReport::Done(outcome),
            FetchEvent::NotKept(why) => panic!("it is kept: {why}"),
        });
    }
    result.normalise(source);
    result
}

fn overheard(world: &mut World, host: HostNo) -> Overheard {
    world.hosts[host.0].overheard.take().unwrap()
}

fn host(case: &FetchCase, song: &Song) -> Setting {
    let has_all = matches!(&case.source, SourceManner::Has(has) if *has == ALL);
    let lies = case.source == SourceManner::Lies;
    Setting {
        songs: (has_all || lies)
            .then(|| (song.clone(), true))
            .into_iter()
            .collect(),
        uplink: case.rate.unwrap_or(FAST),
        manner: match lies {
            true => Manner::Liar,
            false => Manner::Honest,
        },
        ..host_without()
    }
}

fn host_without() -> Setting {
    Setting {
        name: "host",
        name_is_chosen: false,
        wants_tracker: false,
        songs: Vec::new(),
        uplink: FAST,
        manner: Manner::Honest,
    }
}

fn set_up_source(world: &mut World, holder: HostNo, case: &FetchCase, track: TrackId) {
    let host = &mut world.hosts[holder.0];
    match &case.source {
        SourceManner::Has(has) if *has != ALL && !has.is_empty() => {
            let part = SimBlob {
                size: SIZE,
                have: has.clone().into(),
                ..SimBlob::default()
            };
            host.store.0.insert(track, part);
        }
        SourceManner::Refuses(why) => host.refusal = Some(why.clone()),
        SourceManner::Unsupported => host.refusal = Some(Decline::Unsupported),
        _ => {}
    }
}

fn disturb(
    world: &mut World,
    then: Disturbance,
    holder: HostNo,
    (listener, fetch): (HostNo, FetchId),
) {
    match then {
        Disturbance::Nothing => {}
        Disturbance::Cancelled => world.cancel(listener, Purpose::Fetch(fetch)),
        Disturbance::ConnectionClosed => {
            let guest = *world.hosts[holder.0].visits.keys().next().unwrap();
            world.evict(holder, guest);
        }
        Disturbance::GivenUp => {
            let ask = *world.hosts[holder.0].asks.keys().next().unwrap();
            world.perform_upload(holder, UploadEffect::EndSlice(ask));
        }
        Disturbance::Stopped => world.fall_silent(listener, holder),
    }
}

/// More than the track has, a second.
const FAST: u64 = 100 * GROUP_BYTES;
/// A source that has not learnt by then that all has arrived does not learn it any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the simulated hosts go on between looks, and how often that is.
const LOOK: Duration = Duration::from_millis(10);
const LOOKS: usize = 6000;
