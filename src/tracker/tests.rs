//! Server and clients together, over loopback and real TLS.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd as _,
    sync::Arc,
};

use async_channel::{Receiver, Sender};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use smol::{future::FutureExt, io::AsyncReadExt, net::TcpStream};

use super::{
    client,
    link::{Introduction, LinkCommand, TrackerEvent},
    server::{TrackerServer, MAX_HALF_OPEN, MAX_HALF_OPEN_OF_ADDRESS},
};
use crate::{
    catalog::{Catalogue, Entry, HeldEntry, Page, Want},
    id::TrackId,
    identity::{Identity, SwarmKey, SERVER_NAME},
    protocol::{Candidate, FromTracker, PeerState},
};

/// The open swarm is everybody's, so the stranger is the one with a key.
const OURS: SwarmKey = SwarmKey::OPEN;

struct Peer {
    identity: Identity,
    commands: Sender<LinkCommand>,
    events: Receiver<TrackerEvent>,
    _task: smol::Task<()>,
}

impl Peer {
    fn start(secret: u8, name: &str, key: SwarmKey, tracker: &str) -> Self {
        let identity = Identity::from_secret(&[secret; 32], &[key]).unwrap();
        let introduction = Introduction {
            name: name.into(),
            name_chosen: true,
            known_as: None,
            port: 4670,
            bound: None,
        };
        let (commands, taken) = async_channel::bounded(8);
        let (told, events) = async_channel::bounded(1);
        let trackers = LinkCommand::Trackers(vec![tracker.into()]);
        commands.try_send(trackers).unwrap();
        let run = client::run(identity.clone(), introduction, 1, taken, told);
        Self {
            identity,
            commands,
            events,
            _task: smol::spawn(run),
        }
    }

    /// The first event that `pick` picks; the others are dropped.
    async fn wait<T>(&self, pick: impl Fn(TrackerEvent) -> Option<T>) -> T {
        loop {
            let event = self.events.recv().await.unwrap();
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
    }

    async fn hears(&self, message: FromTracker) {
        let expected = TrackerEvent::Message(message);
        self.wait(|event| (event == expected).then_some(())).await;
    }

    async fn registers(&self) {
        let registered = |event| matches!(event, TrackerEvent::Registered { .. }).then_some(());
        self.wait(registered).await;
    }
}

fn with_tracker<F: Future<Output = ()>>(test: impl FnOnce(String, smol::Task<()>) -> F) {
    let identity = Identity::from_secret(&[1; 32], &[OURS]).unwrap();
    let server = TrackerServer::bind("127.0.0.1:0".parse().unwrap(), &identity, 0).unwrap();
    let address = server.local_addr().unwrap().to_string();
    let stuck = async {
        smol::Timer::after(std::time::Duration::from_secs(20)).await;
        panic!("an event did not come");
    };
    smol::block_on(async { test(address, smol::spawn(server.run())).or(stuck).await });
}

fn music(identity: &Identity) -> Arc<Catalogue> {
    let track = TrackId([9; 32]);
    let entries = vec![Some(Entry::Held(Box::new(HeldEntry { track, size: 1 }))); 256];
    let page = Arc::new(Page::new(&entries));
    let sign = |bytes: &[u8]| identity.sign(bytes);
    let id = identity.peer_id();
    Arc::new(Catalogue::publish(id, 1, 1, vec![page.clone(), page], sign))
}

#[test]
fn peers_meet_share_catalogues_and_leave() {
    with_tracker(|address, tracker| async move {
        let _running = tracker;
        let kitchen = Peer::start(7, "kitchen", OURS, &address);
        kitchen.registers().await;
        let bath = Peer::start(8, "bath", OURS, &address);
        bath.registers().await;
        let record = |event| match event {
            TrackerEvent::Message(FromTracker::Peer(record)) => Some(record),
            _ => None,
        };
        let seen = bath.wait(record).await;
        assert_eq!((&*seen.name, seen.state), ("kitchen", PeerState::Up));
        assert_eq!(seen.peer, kitchen.identity.peer_id());
        // On the tracker's host, which is reached here.
        let with_tracker = Candidate::At("127.0.0.1:4670".parse().unwrap());
        assert_eq!(seen.candidates[0], with_tracker);

        let own = music(&kitchen.identity);
        let publish = LinkCommand::Publish(own.clone());
        kitchen.commands.send(publish).await.unwrap();
        bath.hears(FromTracker::Head(*own.head())).await;
        let owner = own.owner();
        let what = Want::Page(1);
        bath.commands
            .send(LinkCommand::Want { owner, what })
            .await
            .unwrap();
        let (index, bytes) = (1, own.pages()[1].bytes().clone());
        bath.hears(FromTracker::Page {
            owner,
            index,
            bytes,
        })
        .await;

        kitchen.commands.send(LinkCommand::Leave).await.unwrap();
        let left = |event| match event {
            TrackerEvent::Left { confirmed } => Some(confirmed),
            _ => None,
        };
        assert!(kitchen.wait(left).await);
        let (peer, left) = (owner, true);
        bath.hears(FromTracker::Gone { peer, left }).await;
    });
}

#[test]
fn a_node_whose_name_is_taken_has_a_number_and_says_so() {
    with_tracker(|address, tracker| async move {
        let _running = tracker;
        let first = Peer::start(7, "kitchen", OURS, &address);
        first.registers().await;
        let second = Peer::start(8, "kitchen", OURS, &address);
        let told = |event| match event {
            TrackerEvent::Several { name, troubles, .. } => Some((name, troubles)),
            _ => None,
        };
        let (name, troubles) = second.wait(told).await;
        assert_eq!(name, "kitchen-2");
        assert!(
            troubles[0].contains("belongs to the peer at 127.0.0.1"),
            "{troubles:?}"
        );
    });
}

#[test]
fn strangers_and_a_stopped_tracker_are_lost_with_a_reason() {
    with_tracker(|address, tracker| async move {
        let lost = |event| match event {
            TrackerEvent::Lost { why, .. } => Some(why),
            _ => None,
        };
        let stranger = Peer::start(9, "stranger", crate::identity::new_key().unwrap(), &address);
        let why = stranger.wait(lost).await;
        assert!(why.contains("another key"), "{why}");

        let member = Peer::start(7, "kitchen", OURS, &address);
        member.registers().await;
        drop(tracker);
        member.wait(lost).await;
        // It comes back by itself.
        let identity = Identity::from_secret(&[1; 32], &[OURS]).unwrap();
        let again = TrackerServer::bind(address.parse().unwrap(), &identity, 0).unwrap();
        let status = again.status();
        let _again = smol::spawn(again.run());
        member.registers().await;
        assert_eq!(status.snapshot().await.unwrap().peers.len(), 1);
    });
}

#[test]
fn a_taken_port_names_its_owner() {
    let identity = Identity::from_secret(&[1; 32], &[OURS]).unwrap();
    let first = TrackerServer::bind("127.0.0.1:0".parse().unwrap(), &identity, 0).unwrap();
    let address = first.local_addr().unwrap();
    let error = TrackerServer::bind(address, &identity, 0)
        .err()
        .unwrap()
        .to_string();
    let me = format!("(pid {}) has it", std::process::id());
    assert!(
        error.contains(&address.to_string()) && error.contains(&me),
        "{error}"
    );
}

/// A connection that comes from `ip`, one of the loopback's many addresses.
async fn connect_from(ip: Ipv4Addr, to: &str) -> TcpStream {
    let to: SocketAddrV4 = to.parse().unwrap();
    let stream = smol::unblock(move || {
        let kind = (AddressFamily::Inet, SockType::Stream);
        let fd = socket::socket(kind.0, kind.1, SockFlag::SOCK_CLOEXEC, None).unwrap();
        socket::bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ip, 0))).unwrap();
        socket::connect(fd.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
        std::net::TcpStream::from(fd)
    });
    smol::Async::new(stream.await).unwrap().into()
}

#[test]
fn half_open_connections_are_bounded_and_the_next_waits_its_turn() {
    with_tracker(|address, tracker| async move {
        let _running = tracker;
        let mut idle = Vec::new();
        for _ in 0..=MAX_HALF_OPEN_OF_ADDRESS {
            idle.push(TcpStream::connect(&address).await.unwrap());
        }
        let last = idle.last_mut().unwrap();
        assert!(matches!(last.read(&mut [0]).await, Ok(0) | Err(_)));
        // Others have other addresses, however many are taken up.
        for n in 0..2 * MAX_HALF_OPEN {
            let from = [127, 0, 1, (n / 4) as u8];
            idle.push(connect_from(from.into(), &address).await);
        }
        // The newest waits its turn, and need not come again.
        let newest = connect_from([127, 0, 2, 1].into(), &address).await;
        let identity = Identity::from_secret(&[8; 32], &[OURS]).unwrap();
        let tls = futures_rustls::TlsConnector::from(identity.tls_client_config(None));
        let name = SERVER_NAME.try_into().unwrap();
        tls.connect(name, newest).await.expect("hands are shaken");
        Peer::start(7, "kitchen", OURS, &address).registers().await;
    });
}
