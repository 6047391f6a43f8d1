//! mDNS as it is in homes: beside Avahi, on several interfaces, at addresses that
//! change, and without it.

mod common;
#[path = "common/lan.rs"]
mod lan;

use std::{fs, thread, time::Instant};

use common::{
    audio::{self, Music},
    left_out::or_left_out,
    own_root::as_root,
    Node, Setup, PATIENCE,
};
use lan::{Avahi, Lan, Seen};

/// Name, port, addresses and text; the new address and not the old one; and the goodbye.
#[test]
fn avahi_sees_a_node_come_move_and_leave() {
    let Some(lan) = lan(2) else { return };
    let Some(avahi) = avahi(&lan, 1) else { return };
    let mut node = on(&lan, 0, "both", "Attic Room").start();
    let id = node.json(&["status"])["node"]["peer"].clone();
    let id = format!("\"id={}\"", id.as_str().unwrap());
    for (service, port) in [
        (TRACKER, port_of(&node, "tracker listens on ")),
        (PEER, port_of(&node, "peer listens on ")),
    ] {
        let seen = avahi.wait_for(service, "the node", |seen| {
            ["IPv4", "IPv6"]
                .iter()
                .all(|p| seen.iter().any(|s| s.protocol == *p))
        });
        for seen in seen {
            assert_eq!(seen.port, port, "{seen:?}");
            let is_own = seen.address == lan.address(0) || seen.address.starts_with("fe80::");
            assert!(is_own, "{seen:?}");
            for text in [&id, "\"v=p2pmusic/1\"", "\"name=Attic Room\""] {
                assert!(seen.text.contains(text), "{seen:?}");
            }
        }
    }
    lan.move_to(0, &lan.address(0), "10.99.0.77");
    for service in [TRACKER, PEER] {
        avahi.wait_for(service, "the new address", |seen| {
            is_there(seen, "10.99.0.77") && !is_there(seen, &lan.address(0))
        });
    }
    node.signal("TERM");
    assert!(node.wait_for_exit().success());
    for service in [TRACKER, PEER] {
        avahi.wait_for(service, "nobody any more", |seen| seen.is_empty());
    }
}

/// Both answer on port 5353 of one machine: each is seen, by the other, too.
#[test]
fn a_node_beside_avahi() {
    let Some(lan) = lan(2) else { return };
    let Some(mut beside) = avahi(&lan, 0) else {
        return;
    };
    let Some(other) = avahi(&lan, 1) else { return };
    beside.publish("Printer", "_ipp._tcp", 631);
    let both = on(&lan, 0, "both", "attic").start();
    let south = on(&lan, 1, "peer", "south").start();
    south.wait_until_registered();
    for avahi in [&beside, &other] {
        avahi.wait_for(TRACKER, "the tracker", |seen| {
            is_there(seen, &lan.address(0))
        });
        avahi.wait_for("_ipp._tcp", "the printer", |seen| {
            is_there(seen, &lan.address(0)) && seen.iter().all(|s| s.name == "Printer")
        });
        avahi.wait_for(PEER, "both peers", |seen| {
            [0, 1]
                .iter()
                .all(|host| is_there(seen, &lan.address(*host)))
        });
        assert!(!avahi.log().contains("conflict"), "{}", avahi.log());
    }
    drop(beside);
    both.wait_for_peers(&["attic", "south"]);
    other.wait_for(TRACKER, "the tracker alone", |seen| {
        is_there(seen, &lan.address(0))
    });
}

#[test]
fn three_that_are_told_nothing_find_the_one_with_a_tracker() {
    let Some(lan) = lan(3) else { return };
    let nodes = [
        on(&lan, 0, "peer", "north").start(),
        on(&lan, 1, "both", "attic").start(),
        on(&lan, 2, "peer", "south").start(),
    ];
    for node in &nodes {
        node.wait_until_registered();
        node.wait_for_peers(&["attic", "north", "south"]);
    }
}

/// All register with both trackers, and miss nobody for a moment when one dies without a
/// word.
#[test]
fn of_two_trackers_all_use_both() {
    let Some(lan) = lan(5) else { return };
    let mut trackers: Vec<Node> = ["one", "two"]
        .into_iter()
        .enumerate()
        .map(|(host, name)| on(&lan, host, "tracker", name).start())
        .collect();
    let names = ["east", "south", "west"];
    let peers = [0, 1, 2].map(|n| on(&lan, n + 2, "peer", names[n]).start());
    for peer in &peers {
        wait_for_trackers(peer, 2);
        peer.wait_for_peers(&names);
    }
    trackers.remove(0).kill();
    for peer in &peers {
        wait_for_trackers(peer, 1);
        peer.wait_for_peers(&names);
        peer.wait_for_no_problem();
        assert!(!peer.log().contains("no tracker"), "{}", peer.log());
    }
    trackers[0].wait_for_peers(&names);
}

/// Each of two nodes has a tracker of its own, and they are one swarm.
#[test]
fn two_that_are_told_nothing_and_have_trackers_are_one_swarm() {
    let Some(lan) = lan(3) else { return };
    let nodes = [
        on(&lan, 0, "both", "attic").start(),
        on(&lan, 1, "both", "cellar").start(),
        on(&lan, 2, "peer", "south").start(),
    ];
    for node in &nodes {
        wait_for_trackers(node, 2);
        node.wait_for_peers(&["attic", "cellar", "south"]);
        node.wait_for_no_problem();
    }
    let [attic, cellar, south] = nodes;
    drop(attic);
    for node in [&cellar, &south] {
        node.wait_long_for_status("attic's end", |_| node.peer("attic").is_none());
        node.wait_for_peers(&["cellar", "south"]);
    }
}

/// Waits until `node` is registered with so many trackers.
fn wait_for_trackers(node: &Node, count: usize) {
    node.wait_long_for_status(&format!("{count} trackers"), |status| {
        let words = status["node"]["tracker"].as_str().unwrap_or_default();
        let at = words.strip_prefix("registered with ");
        at.is_some_and(|at| at.replace(" and ", ", ").split(", ").count() == count)
    });
}

/// Cable and Wi-Fi are used, each with its own address. Where only containers, virtual
/// machines and tunnels are, nothing is said.
#[test]
fn networks_are_used_and_containers_and_tunnels_are_not() {
    let Some(lan) = lan(3) else { return };
    let lan = &lan;
    lan.add_switch("wifi").unwrap();
    let address = |host: usize, address: &str, interface: &str| {
        let words = ["address", "add", address, "dev", interface];
        lan.ip(host, &words).unwrap();
    };
    lan.plug_in(0, "wlan0", "wifi").unwrap();
    address(0, "10.99.1.1/24", "wlan0");
    for (n, silent) in SILENT.iter().enumerate() {
        lan.add_switch(&format!("s{n}")).unwrap();
        lan.plug_in(0, silent, &format!("s{n}")).unwrap();
        address(0, &format!("10.99.{}.1/24", n + 2), silent);
    }
    // What is sent from this machine is heard by Avahi on the same.
    let Some(avahi) = avahi(lan, 0) else { return };
    let node = on(lan, 0, "both", "attic").start();
    for service in [TRACKER, PEER] {
        let seen = avahi.wait_for(service, "two networks", |seen| {
            is_there(seen, "10.99.0.1") && is_there(seen, "10.99.1.1")
        });
        for Seen {
            interface, address, ..
        } in &seen
        {
            let is_link_local = address.starts_with("fe80::");
            let expected = match &**interface {
                "eth0" => address == "10.99.0.1" || is_link_local,
                "wlan0" => address == "10.99.1.1" || is_link_local,
                "lo" => true,
                _ => false,
            };
            assert!(expected, "{seen:#?}");
        }
    }
    // One that is only on the Wi-Fi finds it, too.
    lan.ip(2, &["link", "delete", "eth0"]).unwrap();
    lan.plug_in(2, "wlan0", "wifi").unwrap();
    address(2, "10.99.1.3/24", "wlan0");
    let west = on(lan, 2, "peer", "west").start();
    let south = on(lan, 1, "peer", "south").start();
    for peer in [&west, &south, &node] {
        peer.wait_for_peers(&["attic", "south", "west"]);
    }
}

/// A Pi with its cable in, that is in the same network's Wi-Fi as well, hears itself.
#[test]
fn two_interfaces_in_one_network_are_no_conflict() {
    let Some(lan) = lan(2) else { return };
    lan.plug_in(0, "wlan0", "lan").unwrap();
    let words = ["address", "add", "10.99.0.77/24", "dev", "wlan0"];
    lan.ip(0, &words).unwrap();
    let Some(avahi) = avahi(&lan, 1) else { return };
    let node = on(&lan, 0, "both", "attic").start();
    for service in [TRACKER, PEER] {
        let seen = avahi.wait_for(service, "the node", |seen| {
            is_there(seen, &lan.address(0)) || is_there(seen, "10.99.0.77")
        });
        assert!(seen.iter().all(|s| s.name == seen[0].name), "{seen:#?}");
    }
    let south = on(&lan, 1, "peer", "south").start();
    south.wait_until_registered();
    node.wait_for_peers(&["attic", "south"]);
}

/// A network with nothing but the addresses that IPv6 interfaces give themselves.
#[test]
fn music_over_link_local_ipv6() {
    let Some(lan) = lan(2) else { return };
    for host in 0..2 {
        lan.without_ipv4(host);
    }
    assert_swarm_plays(&lan, "fe80::");
}

#[test]
fn music_over_ipv6_only() {
    let Some(lan) = lan(2) else { return };
    for host in 0..2 {
        lan.without_ipv4(host);
        let address = format!("fd99::{}/64", host + 1);
        let words = ["address", "add", &address, "dev", "eth0", "nodad"];
        lan.ip(host, &words).unwrap();
    }
    assert_swarm_plays(&lan, "fd99::");
}

#[test]
fn music_over_ipv4_only() {
    let Some(lan) = lan(2) else { return };
    for host in 0..2 {
        if or_left_out(lan.without_ipv6(host)).is_none() {
            return;
        }
    }
    assert_swarm_plays(&lan, "10.99.0.");
}

/// Without a tracker: an interface that is plugged in late is used, with nothing but the
/// address that it gave itself; a node that roams is found where it is; and one that lost the
/// network is back when it has it again.
#[test]
fn without_a_tracker_who_moves_is_found_again() {
    let Some(lan) = lan(3) else { return };
    let node = |host, name| Setup {
        tracker: None,
        ..on(&lan, host, "peer", name)
    };
    lan.ip(2, &["link", "delete", "eth0"]).unwrap();
    let north = node(0, "north").start();
    let south = node(1, "south").start();
    let late = node(2, "late").start();
    late.wait_for_problem("no network");
    north.wait_for_peers(&["north", "south"]);

    lan.plug_in(2, "wlan0", "lan").unwrap();
    let all = ["late", "north", "south"];
    timed("the late one", || {
        for node in [&north, &south, &late] {
            node.wait_for_peers(&all);
        }
    });
    wait_for_address(&north, "late", "fe80::");

    lan.without_ipv6_addresses(1);
    lan.move_to(1, &lan.address(1), "10.99.0.77");
    timed("who moved", || {
        wait_for_address(&north, "south", "10.99.0.77");
    });

    lan.set_carrier(0, false);
    north.wait_for_problem("no network");
    lan.set_carrier(0, true);
    north.wait_for_no_problem();
    north.wait_for_peers(&all);
}

/// What a tracker is listed as is taken when it comes back. And two have one name, which
/// neither could know before two networks became one.
#[test]
fn nodes_of_one_name_are_all_seen() {
    let Some(lan) = lan(3) else { return };
    let Some(mut avahi) = avahi(&lan, 2) else {
        return;
    };
    lan.add_switch("other").unwrap();
    lan.move_cable(1, "other");
    let mut nodes = [0, 1].map(|host| on(&lan, host, "tracker", "RaspberryPi").start());
    let id = nodes[0].json(&["status"])["node"]["peer"].clone();
    let taken = format!("raspberrypi {}", &id.as_str().unwrap()[..8]);
    nodes[0].signal("TERM");
    nodes[0].wait_for_exit();
    avahi.publish(&taken, TRACKER, 9);
    let nodes = nodes.map(Node::restart);
    avahi.wait_for(TRACKER, "the first", |seen| is_there(seen, &lan.address(0)));
    lan.move_cable(1, "lan");
    let seen = avahi.wait_for(TRACKER, "both", |seen| {
        [0, 1]
            .iter()
            .all(|host| is_there(seen, &lan.address(*host)))
    });
    for (host, node) in nodes.iter().enumerate() {
        let port = port_of(node, "tracker listens on ");
        let is_it = |seen: &&Seen| seen.address == lan.address(host) && seen.port == port;
        let seen = seen.iter().find(is_it);
        let seen = seen.unwrap_or_else(|| panic!("{seen:#?}"));
        assert!(seen.text.contains("\"name=RaspberryPi\""), "{seen:?}");
    }
    let peer = on(&lan, 2, "peer", "south").start();
    peer.wait_until_registered();
}

/// The network carries no multicast: what is configured, what the tracker says and what
/// is remembered is enough.
#[test]
fn without_multicast_all_is_found_that_was_ever_told() {
    let Some(lan) = lan(4) else { return };
    lan.block_multicast();
    let both = on(&lan, 0, "both", "attic").start();
    let port = port_of(&both, "tracker listens on ");
    let told = |host, name| Setup {
        tracker: Some(format!("{}:{port}", lan.address(0))),
        ..on(&lan, host, "peer", name)
    };
    let north = told(1, "north").start();
    let south = told(2, "south").start();
    let all = ["attic", "north", "south"];
    for node in [&both, &north, &south] {
        node.wait_for_peers(&all);
    }
    let nobody = on(&lan, 3, "peer", "nobody").start();
    drop(both);
    let mut south = south;
    wait_until_written_down(&south, "north");
    south.signal("TERM");
    assert!(south.wait_for_exit().success());
    let south = south.restart();
    south.wait_for_peers(&["north", "south"]);
    nobody.wait_for_peers(&["nobody"]);
}

/// One with a tracker and music, and one that finds both and plays.
fn assert_swarm_plays(lan: &Lan, over: &str) {
    let music = Music::new();
    let frames = music.wav("attic.wav", 44_100, 1.0);
    let both = on(lan, 0, "both", "attic").music(music.path()).start();
    let south = on(lan, 1, "peer", "south").recorded().start();
    let status = south.wait_until_registered();
    let tracker = status["node"]["tracker"].as_str().unwrap().to_owned();
    assert!(tracker.contains(over), "{tracker}");
    for node in [&both, &south] {
        node.wait_for_peers(&["attic", "south"]);
    }
    south.wait_for_tracks("attic", 1);
    wait_for_address(&south, "attic", over);
    audio::assert_plays(&south, "attic/attic.wav", &south.recording(), &frames);
}

/// Prints how long it takes until what happens is found.
fn timed(what: &str, wait: impl FnOnce()) {
    let begun = Instant::now();
    wait();
    eprintln!("{what} is found after {:.1?}", begun.elapsed());
}

/// Waits until `node` shows `peer` at `address`.
fn wait_for_address(node: &Node, peer: &str, address: &str) {
    node.wait_for(&["peers"], &format!("{peer} at {address}"), |peers| {
        let mut rows = peers.as_array().into_iter().flatten();
        rows.any(|row| {
            let at = row["address"].as_str();
            row["peer"] == peer && at.is_some_and(|at| at.contains(address))
        })
    });
}

/// Waits until `node` would know `peer` again after a power cut.
fn wait_until_written_down(node: &Node, peer: &str) {
    let file = node.dir.path().join("state/memory.json");
    let deadline = Instant::now() + PATIENCE;
    let is_there = || fs::read_to_string(&file).is_ok_and(|text| text.contains(peer));
    while !is_there() {
        assert!(Instant::now() < deadline, "{peer} is not written down");
        thread::sleep(PATIENCE / 300);
    }
}

/// What this file is about needs namespaces; where they cannot be had, the test is left out.
fn lan(hosts: usize) -> Option<Lan> {
    as_root().then(|| or_left_out(Lan::try_new(hosts)))?
}

/// The same for Avahi.
fn avahi(lan: &Lan, host: usize) -> Option<Avahi> {
    or_left_out(Avahi::try_start(lan, host))
}

/// A node that is told nothing but its name.
fn on(lan: &Lan, host: usize, role: &'static str, name: &'static str) -> Setup {
    Setup {
        role,
        name: Some(name),
        listen: Some("[::]:0".into()),
        advertised: true,
        tracker_advertised: true,
        tracker: Some("auto".into()),
        prefix: lan.prefix(host),
        ..Setup::default()
    }
}

fn is_there(seen: &[Seen], address: &str) -> bool {
    seen.iter().any(|seen| seen.address == address)
}

fn port_of(node: &Node, line: &str) -> u16 {
    let line = node.wait_for_line(line);
    line.rsplit(':').next().unwrap().parse().unwrap()
}

const TRACKER: &str = "_p2pmusic._tcp";
const PEER: &str = "_p2pmusic._udp";
/// Interfaces that lead to no network of a home.
const SILENT: &[&str] = &[
    "docker0",
    "br-0123456789ab",
    "vethab12",
    "virbr0",
    "tun0",
    "tap0",
    "wg0",
    "tailscale0",
    "zt7nnig2",
];
