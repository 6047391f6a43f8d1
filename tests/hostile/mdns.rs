//! Storms on mDNS, in a network of the test's own.
//!
//! Who browses has to remember what strangers announce, for as long as they say.

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
    let network = match Network::try_new() {
        Ok(network) => network,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let setup = |end: usize, role, name| Setup {
        role,
        name: Some(name),
        listen: Some("[::]:0".into()),
        tracker: Some("auto".into()),
        prefix: network.prefix(end),
        ..Setup::default()
    };
    // It looks for a tracker while there is none.
    let peer = setup(1, "peer", "south").start();
    let watch = Watch::begin(&peer);
    let from = network.address(0);
    storm(&network, from);
    still_answers(&peer);

    // Nor does the storm end when there is one.
    let both = advertised(setup(0, "both", "north").start());
    let watch_both = Watch::begin(&both);
    thread::scope(|scope| {
        scope.spawn(|| storm(&network, from));
        peer.wait_until_registered();
    });
    still_answers(&peer);
    still_answers(&both);
    watch.end(&peer, GROWN);
    watch_both.end(&both, GROWN);
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

fn still_answers(node: &Node) {
    node.ctl_ok(&["status"]);
}

/// Sends all that a neighbour without manners could, from `address` in namespace 0.
fn storm(network: &Network, address: &str) {
    let socket = thread::scope(|scope| {
        // A namespace is a thread's; the socket stays in the one it is made in.
        let made = scope.spawn(|| {
            let namespace = fs::File::open(network.file(0)).unwrap();
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            UdpSocket::bind((address, 0)).unwrap()
        });
        made.join().unwrap()
    });
    let mut sent = 0;
    let mut send = |packet: &[u8]| {
        // A queue that is full is no reason to stop.
        let _ = socket.send_to(packet, "224.0.0.251:5353");
        sent += 1;
        // Else the kernel drops most of it before anybody has to read it.
        if sent % BURST == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let whole = announcement(0, &[10, 98, 0, 77], b"v=p2pmusic/1");
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
            0 => send(&announcement(n, &[10, 98, high, low], b"v=p2pmusic/1")),
            1 => send(&announcement(
                n,
                &[10, 98, high, low],
                &noise(n.into(), 200),
            )),
            2 => send(&announcement(n, &noise(n.into(), 7), b"v=p2pmusic/1")),
            _ => send(&announcement(n, &[255; 4], b"")),
        }
    }
}

/// A response (RFC 6763, section 12.1) that announces instance `n` of the service at
/// `address`, for as long as can be said.
fn announcement(n: u32, address: &[u8], text: &[u8]) -> Vec<u8> {
    let service = name(&["_p2pmusic", "_tcp", "local"]);
    let label = format!("storm-{n}");
    let instance = name(&[&label, "_p2pmusic", "_tcp", "local"]);
    let host = name(&[&format!("host-{n}"), "local"]);
    let text = [&[text.len() as u8], text].concat();
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
/// Twice as many records as are remembered before all are forgotten, and more.
const ANNOUNCEMENTS: u32 = 8000;
/// Packets in a row.
const BURST: u32 = 16;
/// Records of the neighbourhood, and what the allocator keeps of them.
const GROWN: u64 = 32 << 20;
