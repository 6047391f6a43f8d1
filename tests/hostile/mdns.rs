//! Storms on mDNS, in a network of the test's own.
//!
//! A node that browses has to remember what strangers announce, for as long as they say.

use std::{fs, net::UdpSocket, thread, time::Duration};

use nix::sched::{setns, CloneFlags};

use crate::{
    common::{Node, Setup},
    netns::Network,
    watch::Watch,
    wire::noise,
};

#[test]
fn a_storm_of_announcements() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    // It looks for a tracker while there is none.
    let peer = node(&network, 1, "peer", "south");
    let watch = watch_listening(&peer);
    storm(&network);
    peer.ctl_ok(&["status"]);

    let both = advertised(node(&network, 0, "both", "north"));
    storm(&network);
    wait_until_found(&peer);
    // The node that has found it stays with it, and the one that is found bears it, too.
    let watch_both = watch_listening(&both);
    storm(&network);
    for (node, watch) in [(&peer, watch), (&both, watch_both)] {
        wait_until_found(node);
        watch.end(node, GROWN);
    }
}

/// They are too few for a flood, but more than a peer keeps, and say that they will
/// be there for years.
#[test]
fn a_crowd_of_false_trackers() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let peer = node(&network, 1, "peer", "south");
    let mut sender = Sender::new(&network);
    for n in 1..=100 {
        sender.send(&announcement(n, &[10, 98, 1, n as u8], TRACKER));
    }
    peer.wait_for_line("no tracker at 10.98.1.");
    let _both = advertised(node(&network, 0, "both", "north"));
    wait_until_found(&peer);
}

/// They are more than are believed, each with an id of its own; the true one is found
/// among them.
#[test]
fn a_crowd_of_false_peers() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let peer = |end: usize, name| Setup {
        role: "peer",
        name: Some(name),
        listen: Some("[::]:0".into()),
        advertised: true,
        prefix: network.prefix(end),
        ..Setup::default()
    };
    let south = peer(1, "south").start();
    // What it has open for mDNS, it has from here on.
    let other = peer(1, "other").start();
    south.wait_for_peers(&["south", "other"]);
    let watch = Watch::begin(&south);
    let mut sender = Sender::new(&network);
    for n in 1..=400u32 {
        let [_, _, high, low] = n.to_be_bytes();
        let address = [10, 98, 4 + high, low];
        sender.send(&announcement_of("_udp", n, &address, TRACKER));
    }
    south.wait_for_line("mDNS is flooded with answers");
    let _north = peer(0, "north").start();
    south.wait_long_for_status("north", |status| {
        let tracker = status["node"]["tracker"].as_str();
        tracker.is_some_and(|text| text.contains("2 peers found without it"))
    });
    south.wait_for_peers(&["north", "other", "south"]);
    drop(other);
    watch.end(&south, GROWN);
}

/// Records that come with an answer to what is looked for, but belong to nobody: the
/// library keeps them, and tells of none.
#[test]
fn records_that_nobody_is_told_of() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let peer = node(&network, 1, "peer", "south");
    let _both = advertised(node(&network, 0, "both", "north"));
    wait_until_found(&peer);
    let mut sender = Sender::new(&network);
    let watch = watch_listening(&peer);
    let service = name(&["_p2pmusic", "_tcp", "local"]);
    let known = name(&["known", "_p2pmusic", "_tcp", "local"]);
    let answer = record(&service, 12, &known);
    // Texts of 255 bytes as such, so that each is a legal one.
    let text = [&[255][..], &[b'x'; 255]].concat().repeat(16);
    for n in 0..LONG_RECORDS {
        let long = record(&name(&[&format!("n{n}"), "local"]), 16, &text);
        let head = b"\0\0\x84\0\0\0\0\x02\0\0\0\0";
        sender.send(&[&head[..], &answer, &long].concat());
        // A few MB a second, as fast as the slowest network is.
        thread::sleep(Duration::from_millis(2));
    }
    peer.wait_for_line("mDNS is flooded with records");
    watch.end(&peer, GROWN);
    wait_until_found(&peer);
}

fn node(network: &Network, end: usize, role: &'static str, name: &'static str) -> Node {
    Setup {
        role,
        name: Some(name),
        listen: Some("[::]:0".into()),
        tracker: Some("auto".into()),
        prefix: network.prefix(end),
        ..Setup::default()
    }
    .start()
}

/// Waits until the node has found the true tracker: it may first have to forget the
/// others, and to try some of them.
fn wait_until_found(peer: &Node) {
    peer.wait_long_for_status("the registration", |status| {
        let tracker = status["node"]["tracker"].as_str();
        tracker.is_some_and(|text| text.starts_with("registered with "))
    });
}

/// A watch that begins when the node has its sockets of mDNS open: it closes them in a
/// storm, and may have opened others when the watch ends.
fn watch_listening(node: &Node) -> Watch {
    node.wait_long_for_status("sockets of mDNS", |_| {
        ["udp", "udp6"].iter().all(|table| {
            let file = format!("/proc/{}/net/{table}", node.pid());
            fs::read_to_string(file).unwrap().contains(MDNS_PORT)
        })
    });
    Watch::begin(node)
}

/// The same node, which from now on announces its tracker.
fn advertised(mut node: Node) -> Node {
    node.kill();
    let file = node.dir.path().join("p2pmusic.toml");
    let silent = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        silent.replace("advertise = false", "advertise = true"),
    )
    .unwrap();
    node.restart()
}

/// A neighbour in namespace 0.
struct Sender {
    socket: UdpSocket,
    sent: u32,
}

impl Sender {
    fn new(network: &Network) -> Self {
        let socket = thread::scope(|scope| {
            // A namespace is a thread's; the socket stays in the one it is made in.
            let made = scope.spawn(|| {
                let namespace = fs::File::open(network.file(0)).unwrap();
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                UdpSocket::bind((network.address(0), 0)).unwrap()
            });
            made.join().unwrap()
        });
        Self { socket, sent: 0 }
    }

    fn send(&mut self, packet: &[u8]) {
        // A queue that is full is no reason to stop.
        let _ = self.socket.send_to(packet, "224.0.0.251:5353");
        self.sent += 1;
        // Else the kernel drops most of it before anybody has to read it.
        if self.sent.is_multiple_of(BURST) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Sends all that a neighbour without manners could.
fn storm(network: &Network) {
    let mut sender = Sender::new(network);
    let mut send = |packet: &[u8]| sender.send(packet);
    let whole = announcement(0, &[10, 98, 0, 77], TRACKER);
    for n in 0..300 {
        send(&noise(n, 1400));
        send(&[&whole[..12], &noise(n, 300)].concat());
    }
    for len in 0..whole.len() {
        send(&whole[..len]);
    }
    // A name that points at itself, and counts of records that are not there.
    send(&[&HEAD[..], b"\xc0\x0c\0\x0c\0\x01\0\0\0\x78\0\x02\xc0\x0c"].concat());
    send(&[b"\0\0\x84\0\xff\xff\xff\xff\xff\xff\xff\xff", &whole[12..]].concat());
    for n in 1..=ANNOUNCEMENTS {
        let [_, _, high, low] = n.to_be_bytes();
        // Every fourth could be a tracker, where nobody answers.
        match n % 4 {
            0 => send(&announcement(n, &[10, 98, high, low], TRACKER)),
            1 => send(&announcement(
                n,
                &[10, 98, high, low],
                &noise(n.into(), 200),
            )),
            2 => send(&announcement(n, &noise(n.into(), 7), TRACKER)),
            _ => send(&announcement(n, &[255; 4], b"")),
        }
    }
}

/// A response (RFC 6763, section 12.1) that announces instance `n` of the service at
/// `address`, for as long as can be said.
fn announcement(n: u32, address: &[u8], text: &[u8]) -> Vec<u8> {
    announcement_of("_tcp", n, address, text)
}

fn announcement_of(protocol: &str, n: u32, address: &[u8], text: &[u8]) -> Vec<u8> {
    let service = name(&["_p2pmusic", protocol, "local"]);
    let label = format!("storm-{n}");
    let instance = name(&[&label, "_p2pmusic", protocol, "local"]);
    let host = name(&[&format!("host-{n}"), "local"]);
    let id = format!("id={n:064x}");
    let text = [&[text.len() as u8], text, &[id.len() as u8], id.as_bytes()].concat();
    let place = [&[0, 0, 0, 0, 0x12, 0x34][..], &host].concat();
    [
        &b"\0\0\x84\0\0\0\0\x04\0\0\0\0"[..],
        &record(&service, 12, &instance),
        &record(&instance, 33, &place),
        &record(&instance, 16, &text),
        &record(&host, 1, address),
    ]
    .concat()
}

fn name(labels: &[&str]) -> Vec<u8> {
    let labels = labels
        .iter()
        .map(|l| [&[l.len() as u8], l.as_bytes()].concat());
    [&labels.collect::<Vec<_>>().concat()[..], &[0]].concat()
}

fn record(name: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
    let forever = u32::MAX >> 1;
    [
        name,
        &[0, kind, 0, 1],
        &forever.to_be_bytes(),
        &(data.len() as u16).to_be_bytes(),
        data,
    ]
    .concat()
}

/// Of a response with one answer.
const HEAD: [u8; 12] = *b"\0\0\x84\0\0\0\0\x01\0\0\0\0";
/// The text of a tracker's announcement, as far as it is looked at.
const TRACKER: &[u8] = b"v=p2pmusic/1";
/// Several times the records that are remembered before all is forgotten.
const ANNOUNCEMENTS: u32 = 8000;
/// Of 4 KB each: more than is allowed in number, and twice in bytes.
const LONG_RECORDS: u32 = 12_000;
/// 5353, as the kernel prints a local port.
const MDNS_PORT: &str = ":14E9 ";
/// Packets in a row.
const BURST: u32 = 16;
/// Records of the neighbourhood, and what the allocator keeps of them.
const GROWN: u64 = 24 << 20;
