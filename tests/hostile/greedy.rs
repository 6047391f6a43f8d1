//! Members that ask for everything, and say of all of it that they listen to it.

use std::{
    fs::File,
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sched::{setns, CloneFlags};
use quinn::{
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    Connection, Endpoint, EndpointConfig, SmolRuntime,
};

use crate::{
    common::{audio, audio::Music, left_out::or_left_out, own_root::as_root, Node, Setup},
    lan::Lan,
    peer::{ask, udp_of, within},
    wire::{
        frame, hash, receive_kind, register, send, Id, Member, PeerRequest, ToTracker, OPEN,
        REGISTERED,
    },
};

/// What all of them ask for.
#[derive(Clone)]
struct Song {
    track: Id,
    bytes: u64,
}

impl Song {
    fn groups(&self) -> u32 {
        self.bytes.div_ceil(16 * 1024) as u32
    }
}

/// Where the line is that all want.
enum Home {
    /// One machine with many addresses: the source's cap is its line.
    Capped,
    /// A network in which the source's line is thin, which it does not know.
    Thin(Lan),
}

impl Home {
    /// A network of so many machines; where that cannot be, the test is left out.
    fn thin(hosts: usize) -> Option<Self> {
        let lan = as_root().then(|| or_left_out(Lan::try_new(hosts)))??;
        let line = std::env::var("P2PMUSIC_LINE").unwrap_or(LINE.into());
        or_left_out(lan.limit(SOURCE, &line)).map(|()| Self::Thin(lan))
    }

    /// A node on a machine.
    fn on(&self, host: usize, setup: Setup) -> Setup {
        let Self::Thin(lan) = self else { return setup };
        Setup {
            listen: Some(format!("{}:0", lan.address(host))),
            prefix: lan.prefix(host),
            ..setup
        }
    }

    fn source(&self, setup: Setup) -> Setup {
        let upload = matches!(self, Self::Capped).then_some("20 Mbit/s");
        self.on(SOURCE, Setup { upload, ..setup })
    }

    /// Makes something that has to do with sockets on a greedy machine, by its address.
    fn there<T: Send>(&self, n: u8, make: impl FnOnce(Ipv4Addr) -> T + Send) -> T {
        let Self::Thin(lan) = self else {
            return make(Ipv4Addr::new(127, 0, 40, n));
        };
        let host = usize::from(n) + HONEST;
        // A namespace is a thread's; a socket stays in the one it is made in.
        let enter = || {
            let namespace = File::open(lan.file(host)).unwrap();
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            make(lan.address(host).parse().unwrap())
        };
        thread::scope(|scope| scope.spawn(enter).join().unwrap())
    }
}

/// A host with some identities, each of which asks for the whole song again and again.
struct Greedy {
    _tracker: Vec<JoinHandle<()>>,
    _asking: Vec<smol::Task<()>>,
}

impl Greedy {
    fn begin(
        home: &Home,
        tracker: &Node,
        holder: &Node,
        n: u8,
        identities: u16,
        song: &Song,
    ) -> Self {
        let at = udp_of(holder);
        let member = |identity| Member::new(&OPEN, 1000 + 100 * u16::from(n) + identity);
        let made: Vec<_> = home.there(n, |ip| {
            let made = (0..identities).map(|identity| {
                let socket = UdpSocket::bind((ip, 0)).unwrap();
                let port = socket.local_addr().unwrap().port();
                let name = format!("greedy-{n}-{identity}");
                let stays = stay_registered(tracker, &member(identity), &name, port);
                (member(identity), socket, stays)
            });
            made.collect()
        });
        let (mut registered, mut asking) = (Vec::new(), Vec::new());
        for (member, socket, stays) in made {
            // It can be asked, but never answers.
            let crypto = QuicServerConfig::try_from(member.server_config()).unwrap();
            let server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
            let (config, runtime) = (EndpointConfig::default(), Arc::new(SmolRuntime));
            let endpoint = Endpoint::new(config, Some(server), socket, runtime).unwrap();
            registered.push(stays);
            let crypto = QuicClientConfig::try_from(member.client_config()).unwrap();
            let client = quinn::ClientConfig::new(Arc::new(crypto));
            let song = song.clone();
            asking.push(smol::spawn(async move {
                let connecting = endpoint.connect_with(client, at, "p2pmusic").unwrap();
                let connection = connecting.await.expect("it is a member");
                let silent = smol::spawn(take_in(endpoint));
                let resolve = frame(&PeerRequest::Resolve(0));
                let (_, mut recv) = ask(&connection, &resolve).await.unwrap();
                let _ = within(10, recv.read_to_end(4096)).await;
                let greed: Vec<_> = (0..STREAMS)
                    .map(|n| smol::spawn(take_all(connection.clone(), song.clone(), n)))
                    .collect();
                for greed in greed {
                    greed.await;
                }
                drop(silent);
            }));
        }
        Self {
            _tracker: registered,
            _asking: asking,
        }
    }
}

fn stay_registered(tracker: &Node, member: &Member, name: &str, port: u16) -> JoinHandle<()> {
    let mut tls = member.tracker(&tracker.tracker_address()).unwrap();
    send(&mut tls, &register(name, port)).unwrap();
    receive_kind(&mut tls, REGISTERED).unwrap();
    thread::spawn(move || {
        let until = Instant::now() + Duration::from_secs(90);
        while Instant::now() < until && send(&mut tls, &ToTracker::Renew).is_ok() {
            if receive_kind(&mut tls, 3).is_err() {
                return;
            }
            thread::sleep(Duration::from_secs(4));
        }
    })
}

/// Lets in the peers that were sent here, and says nothing.
async fn take_in(endpoint: Endpoint) {
    let mut held = Vec::new();
    while let Some(incoming) = endpoint.accept().await {
        held.extend(incoming.await.ok());
    }
}

/// Takes the song, as much at a time as may be asked for, for as long as it gets it.
async fn take_all(connection: Connection, song: Song, from: u32) {
    let (all, mut first) = (song.groups(), from * 37 % song.groups());
    while connection.close_reason().is_none() {
        let end = (first + 256).min(all);
        let get = PeerRequest::Get(song.track, song.bytes, vec![(first, end)], 0);
        if let Some((_, mut recv)) = ask(&connection, &frame(&get)).await {
            let got = recv.read_to_end(16 << 20).await;
            // Told to come again, or sent to others.
            if got.is_ok_and(|bytes| bytes.len() < 4096) {
                smol::Timer::after(Duration::from_millis(50)).await;
            }
        }
        first = if end == all { 0 } else { end };
    }
}

/// What a listener hears of a song while others ask for it: the seconds without sound
/// between its first and its last, and the underruns.
fn silence(home: &Home, hosts: u8, identities: u16) -> (f64, u64) {
    let music = Music::new();
    let frames = music.wav("song.wav", 44_100, SECONDS);
    let bytes = std::fs::read(music.path().join("song.wav")).unwrap();
    let song = Song {
        track: hash(&bytes),
        bytes: bytes.len() as u64,
    };
    let tracker = home.on(HONEST, Setup::tracker()).start();
    let setup = Setup::peer("attic", &tracker).music(music.path());
    let attic = home.source(setup).start();
    let setup = Setup::peer("honest", &tracker).recorded();
    let player = home.on(HONEST, setup).start();
    player.wait_for_tracks("attic", 1);
    player.ctl_ok(&["volume", "100"]);
    let greedy: Vec<_> = (1..=hosts)
        .map(|n| Greedy::begin(home, &tracker, &attic, n, identities, &song))
        .collect();
    attic.wait_for(&["stats"], "the storm", |stats| {
        stats["sent_bytes"].as_u64() > Some(4 << 20)
    });
    player.ctl_ok(&["play", "attic/song.wav"]);
    player.wait_long_for_status("the end of it", |s| s["status"]["state"] == "stop");
    let underruns = player.json(&["stats"])["underruns"].as_u64().unwrap();
    drop(greedy);
    let (rate, heard) = audio::read_wav(&player.recording());
    let sounds = |frame: &[i16; 2]| *frame != [0, 0];
    let first = heard.iter().position(sounds).expect("some sound");
    let last = heard.iter().rposition(sounds).expect("some sound");
    let silent = heard[first..=last].iter().filter(|f| !sounds(f)).count();
    let silent = silent as f64 / f64::from(rate);
    let heard = audio::read_wav(&player.recording()).1;
    let heard: Vec<_> = heard.into_iter().filter(sounds).collect();
    println!(
        "{hosts} hosts of {identities}: {silent:.2} s of silence, {underruns} underruns, {} of {} frames",
        heard.len(),
        frames.len()
    );
    (silent, underruns)
}

#[test]
fn two_members_that_take_everything_cost_a_listener_no_sound() {
    assert_eq!(silence(&Home::Capped, 2, 1), (0.0, 0));
}

#[test]
fn three_hosts_of_many_identities_cost_a_listener_no_sound() {
    assert_eq!(silence(&Home::Capped, 3, 4), (0.0, 0));
}

/// Nothing but how fast each connection goes shares the source's line between them.
fn silence_on_a_thin_line(hosts: u8, identities: u16) {
    if let Some(home) = Home::thin(usize::from(hosts) + HONEST + 1) {
        assert_eq!(silence(&home, hosts, identities), (0.0, 0));
    }
}

#[test]
fn a_host_of_many_identities_costs_a_listener_no_sound_without_a_cap() {
    silence_on_a_thin_line(1, 32);
}

/// Or as many hosts of as many identities as are asked for (`P2PMUSIC_GREEDY=2x1`), and
/// another line (`P2PMUSIC_LINE`, as [`LINE`]).
#[test]
fn three_hosts_of_many_identities_cost_a_listener_no_sound_without_a_cap() {
    let asked = std::env::var("P2PMUSIC_GREEDY").unwrap_or("3x32".into());
    let (hosts, identities) = asked.split_once('x').unwrap();
    silence_on_a_thin_line(hosts.parse().unwrap(), identities.parse().unwrap());
}

const SOURCE: usize = 0;
/// The listener's machine, and the tracker's; greedy ones come after it.
const HONEST: usize = 1;
/// What the source's line carries, and how long what waits for it may wait, as `tc` has it.
const LINE: &str = "rate 10mbit burst 32kb latency 50ms";
/// Longer than what a source brings before the storm is felt.
const SECONDS: f64 = 30.0;
/// More than one member may have served at once, and have wait.
const STREAMS: u32 = 9;
