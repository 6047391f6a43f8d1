//! Storms on a peer's UDP port.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{
    crypto::rustls::QuicClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, SendStream,
    SmolRuntime, VarInt,
};
use smol::future::FutureExt as _;

use crate::{
    common::{audio, audio::Music, Node, Setup, PATIENCE},
    liar::{Answers, Liar},
    watch::{assert_heard, serves, Watch},
    wire::{frame, hash, nobody, noise, page_with, Member, PeerReply, PeerRequest, OPEN},
};

/// A tracker, and a peer with one short song.
fn swarm() -> (Music, Vec<[i16; 2]>, Node, Node) {
    let music = Music::new();
    let frames = music.wav("song.wav", 44_100, 0.5);
    let tracker = Setup::tracker().start();
    let attic = Setup::peer("attic", &tracker).music(music.path()).start();
    attic.wait_for_tracks("attic", 1);
    attic.wait_until_registered();
    (music, frames, tracker, attic)
}

pub fn udp_of(node: &Node) -> SocketAddr {
    let line = node.wait_for_line("peer listens on ");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

pub fn endpoint(ip: Ipv4Addr) -> Endpoint {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    Endpoint::new(
        EndpointConfig::default(),
        None,
        socket,
        Arc::new(SmolRuntime),
    )
    .unwrap()
}

pub fn quic(tls: rustls::ClientConfig) -> quinn::ClientConfig {
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

/// A connection of `member`'s, whose other end has let it in so far.
pub async fn dial(endpoint: &Endpoint, member: &Member, at: SocketAddr) -> Option<Connection> {
    let mut config = quic(member.client_config());
    // It takes little, so that what it does not read stays with its sender.
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(VarInt::from_u32(32 * 1024));
    config.transport_config(Arc::new(transport));
    let connecting = endpoint.connect_with(config, at, "p2pmusic").ok()?;
    within(5, connecting).await?.ok()
}

pub async fn within<T>(
    seconds: u64,
    future: impl std::future::IntoFuture<Output = T>,
) -> Option<T> {
    let late = async {
        smol::Timer::after(Duration::from_secs(seconds)).await;
        None
    };
    async { Some(future.await) }.or(late).await
}

pub async fn ask(connection: &Connection, bytes: &[u8]) -> Option<(SendStream, RecvStream)> {
    let (mut send, recv) = within(3, connection.open_bi()).await?.ok()?;
    within(3, send.write_all(bytes)).await?.ok()?;
    let _ = send.finish();
    Some((send, recv))
}

#[test]
fn strangers() {
    let (_music, frames, tracker, attic) = swarm();
    let at = udp_of(&attic);
    let watch = Watch::begin(&attic);

    let noisy = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..3000u64 {
        let mut datagram = noise(n, 1200 - (n as usize % 5) * 250);
        // Half of them look like the first packet of a handshake.
        if n % 2 == 0 {
            datagram[..6].copy_from_slice(b"\xc3\0\0\0\x01\x08");
        }
        let _ = noisy.send_to(&datagram, at);
    }
    half_open(at);
    smol::block_on(async {
        let other = Member::new(&[7; 32], 1);
        let endpoint = endpoint([127, 0, 0, 1].into());
        for tls in [nobody(), other.client_config()] {
            let connecting = endpoint.connect_with(quic(tls), at, "p2pmusic").unwrap();
            // A client believes that it is in before its certificate was seen.
            if let Some(Ok(connection)) = within(5, connecting).await {
                let request = frame(&PeerRequest::Head);
                let answer = match ask(&connection, &request).await {
                    Some((_, mut recv)) => within(5, recv.read(&mut [0; 8])).await,
                    None => None,
                };
                assert!(
                    !matches!(answer, Some(Ok(Some(_)))),
                    "a stranger was answered"
                );
            }
        }
    });
    serves(&tracker, "attic", "song.wav", &frames);
    watch.end(&attic, 32 << 20);
}

/// Sends the first packets of thousands of handshakes, each true and from an address
/// of its own, and never answers.
fn half_open(at: SocketAddr) {
    let firsts = smol::block_on(async {
        let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
        sink.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let endpoint = endpoint([127, 0, 0, 1].into());
        let to = sink.local_addr().unwrap();
        let mut firsts = Vec::new();
        for _ in 0..200 {
            let connecting = endpoint.connect_with(quic(nobody()), to, "p2pmusic");
            // It has its socket to itself, and speaks when it is first polled.
            let _ = within(0, connecting.unwrap()).await;
            let mut datagram = [0; 2048];
            if let Ok(len) = sink.recv(&mut datagram) {
                firsts.push(datagram[..len].to_vec());
            }
        }
        firsts
    });
    assert!(!firsts.is_empty());
    for n in 0..2000u16 {
        let ip = Ipv4Addr::from([127, 3, (n / 250) as u8, (n % 250) as u8 + 1]);
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let mut first = firsts[usize::from(n) % firsts.len()].clone();
        // What is not the first of its kind is a first packet that was damaged.
        if usize::from(n) >= firsts.len() {
            let last = first.len() - 1;
            first[last] ^= 1;
        }
        let _ = socket.send_to(&first, at);
    }
}

/// One member on many connections, asking everything at once and much of it absurd.
#[test]
fn a_member_that_floods() {
    let (_music, frames, tracker, attic) = swarm();
    let at = udp_of(&attic);
    let watch = Watch::begin(&attic);
    let requests = flood_of_requests();
    smol::block_on(async {
        let endpoint = endpoint([127, 0, 0, 1].into());
        let member = Member::new(&OPEN, 1);
        let mut connections = Vec::new();
        for _ in 0..12 {
            connections.extend(dial(&endpoint, &member, at).await);
        }
        assert!(connections.len() > 4, "each is let in for a moment");
        let until = Instant::now() + STORM;
        let mut held = Vec::new();
        for (n, request) in requests.iter().cycle().take(3000).enumerate() {
            let connection = &connections[n % connections.len()];
            if Instant::now() > until {
                break;
            }
            if let Some(Some(stream)) = within(0, ask(connection, request)).await {
                held.push(stream);
            }
            // Some answers are never taken, some are refused, some are read.
            held.drain(..held.len().saturating_sub(100));
        }
        // What is closed is heard of a little later.
        let until = Instant::now() + PATIENCE;
        let open = || connections.iter().filter(|c| c.close_reason().is_none());
        while open().count() > 4 {
            assert!(Instant::now() < until, "one member has four connections");
            smol::Timer::after(Duration::from_millis(20)).await;
        }
    });
    serves(&tracker, "attic", "song.wav", &frames);
    watch.end(&attic, 48 << 20);
}

fn flood_of_requests() -> Vec<Vec<u8>> {
    let track = hash(b"whatever");
    let get = |groups: Vec<(u32, u32)>| frame(&PeerRequest::Get(track, u64::MAX, groups, 0));
    let mut all = vec![
        frame(&PeerRequest::Head),
        frame(&PeerRequest::List),
        frame(&PeerRequest::Page(0)),
        frame(&PeerRequest::Page(u32::MAX)),
        frame(&PeerRequest::Resolve(0)),
        frame(&PeerRequest::Resolve(u32::MAX)),
        get(vec![(0, u32::MAX)]),
        get(vec![]),
        get(vec![(7, 3), (0, 0)]),
        get((0..100).map(|n| (n * 2, n * 2 + 1)).collect()),
        u32::MAX.to_be_bytes().to_vec(),
        b"\0\0\0\x09\x01".to_vec(),
    ];
    all.extend((0..8).map(|n| [&b"\0\0\0\x40"[..], &noise(n, 64)].concat()));
    all
}

/// Members that take what they asked for a byte at a time keep no slot from a
/// listener.
#[test]
fn slow_readers() {
    let music = Music::new();
    let frames = music.wav("song.wav", 44_100, 1.0);
    let large = music.path().join("large.wav");
    audio::write_sparse_wav(&large, 44_100, 120, &[]);
    let tracker = Setup::tracker().start();
    let attic = Setup::peer("attic", &tracker).music(music.path()).start();
    attic.wait_for_tracks("attic", 2);
    attic.wait_until_registered();
    let at = udp_of(&attic);
    let watch = Watch::begin(&attic);
    let bytes = std::fs::read(&large).unwrap();
    let request = frame(&PeerRequest::Get(
        hash(&bytes),
        bytes.len() as u64,
        vec![(0, 20)],
        0,
    ));
    smol::block_on(async {
        let members: Vec<_> = (10..16).map(|n| Member::new(&OPEN, n)).collect();
        let endpoint = endpoint([127, 0, 0, 1].into());
        let mut taken = Vec::new();
        for member in &members {
            let connection = dial(&endpoint, member, at).await.expect("it is a member");
            // The holder hashes the file first, for the first request for an entry.
            for entry in 0..2 {
                let resolve = frame(&PeerRequest::Resolve(entry));
                let (_, mut recv) = ask(&connection, &resolve).await.unwrap();
                let _ = within(10, recv.read_to_end(4096)).await;
            }
            for _ in 0..5 {
                taken.extend(ask(&connection, &request).await);
            }
            std::mem::forget(connection);
        }
        let mut first = [0; 16];
        let begun = within(5, taken[0].1.read(&mut first)).await;
        assert!(
            matches!(begun, Some(Ok(Some(n))) if n > 0),
            "a slice begins: {begun:?}"
        );
        smol::unblock(move || serves_of_two(&tracker, &frames)).await;
        endpoint.close(VarInt::from_u32(0), b"");
        endpoint.wait_idle().await;
    });
    attic.wait_for_line("a slow reader gives its place to others");
    watch.end(&attic, 48 << 20);
}

fn serves_of_two(tracker: &Node, frames: &[[i16; 2]]) {
    let player = Setup::peer("honest", tracker).recorded().start();
    player.wait_for_tracks("attic", 2);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["add", "attic/song.wav"]);
    player.ctl_ok(&["play"]);
    player.wait_for_end();
    assert_heard(&player, frames);
}

/// A member with a catalogue in order, whose music is not: what it answers is
/// nonsense, absurdly long, or other bytes than it said.
#[test]
fn a_holder_that_answers_nonsense() {
    let (_music, frames, tracker, _attic) = swarm();
    let player = Setup::peer("honest", &tracker).recorded().start();
    player.wait_for_tracks("attic", 1);
    player.ctl_ok(&["volume", "100"]);
    let watch = Watch::begin(&player);
    let slice = [frame(&PeerReply::Slice), noise(3, 300_000)].concat();
    let resolved = frame(&PeerReply::Resolved(hash(b"no such track"), 1_000_000));
    let answers: [(&[u8], &[u8]); 6] = [
        (&noise(1, 500), b""),
        (&u32::MAX.to_be_bytes(), b""),
        (b"", b""),
        (&frame(&PeerReply::Slice), b""),
        (&resolved, &slice),
        (&frame(&PeerReply::Resolved([9; 32], u64::MAX)), &slice),
    ];
    for (n, (to_resolve, to_get)) in answers.iter().enumerate() {
        let answers = Answers::Fixed {
            to_resolve: to_resolve.to_vec(),
            to_get: to_get.to_vec(),
        };
        let page = page_with("nothing.wav", 1_000_000, None);
        let liar = Liar::begin(&tracker, 50 + n as u16, page, answers);
        player.wait_for_tracks(&liar.name, 1);
        player.ctl_ok(&["clear"]);
        player.ctl_ok(&["add", &format!("{}/nothing.wav", liar.name)]);
        player.ctl_ok(&["play"]);
        // One that says nothing at all is waited for by name: it may come back.
        let may_be_waited_for = n == 2;
        player.wait_for_status(&format!("an end of answer {n}"), |status| {
            let is_over =
                status["status"]["error"].is_string() || status["status"]["state"] == "stop";
            is_over || may_be_waited_for && status["node"]["waits_peer"] == liar.name.as_str()
        });
    }
    // Those whose slices were wrong are named; the others only failed.
    for liar in ["liar-54", "liar-55"] {
        player.wait_for_problem(&format!("{liar} sent wrong bytes of {liar}/nothing.wav: "));
    }
    let stats = player.json(&["stats"]);
    let liars = stats["liars"].as_array().unwrap();
    assert!(liars.len() == 2, "{stats:#}");
    assert!(stats["wasted_bytes"].as_u64() > Some(0), "{stats:#}");
    assert_eq!(stats["received_bytes"], 0, "{stats:#}");
    player.ctl_ok(&["clear"]);
    player.ctl_ok(&["add", "attic/song.wav"]);
    player.ctl_ok(&["play"]);
    player.wait_for_end();
    // This, and nothing of what was before.
    assert_heard(&player, &frames);
    watch.end(&player, 32 << 20);
}

/// A member has what another has, too, and gives it with one wrong bit.
#[test]
fn a_holder_that_begins_to_lie() {
    let music = Music::new();
    let frames = music.wav("song.wav", 44_100, 6.0);
    let bytes = std::fs::read(music.path().join("song.wav")).unwrap();
    let tracker = Setup::tracker().start();
    let attic = Setup::peer("attic", &tracker).music(music.path());
    // What is missing after the lie comes in time from here, not at once.
    let attic = Setup {
        upload: Some("8 Mbit/s"),
        ..attic
    };
    let attic = attic.start();
    let player = Setup::peer("honest", &tracker).recorded().start();
    player.wait_for_tracks("attic", 1);
    player.ctl_ok(&["volume", "100"]);
    let page = page_with("song.wav", bytes.len() as u64, Some(hash(&bytes)));
    let answers = Answers::relayed(udp_of(&attic));
    let liar = Liar::begin(&tracker, 60, page, answers);
    player.wait_for_tracks(&liar.name, 1);
    player.wait_for(&["search", "wav"], "that both have the same", |found| {
        found.as_array().map(Vec::len) == Some(1)
    });
    player.ctl_ok(&["play", &format!("{}/song.wav", liar.name)]);
    player.wait_for_end();
    player.wait_for_problem(&format!("{} sent wrong bytes of ", liar.name));
    let stats = player.json(&["stats"]);
    let peers = stats["peers"].as_array().unwrap();
    let of_liar = peers.iter().find(|peer| peer["peer"] == liar.name);
    let of_liar = of_liar.expect("it was asked");
    println!("{of_liar:#}");
    assert!(of_liar["wasted_bytes"].as_u64() <= Some(GROUP), "{stats:#}");
    assert_eq!(stats["underruns"], 0, "{stats:#}");
    assert_heard(&player, &frames);
}

/// A chunk group, and the hashes that lead to it.
const GROUP: u64 = 16 * 1024 + 2048;
/// How long a flood goes on at most.
const STORM: Duration = Duration::from_secs(5);
