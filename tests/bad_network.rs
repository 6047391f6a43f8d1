//! Bad days of tracker, network, names and copied cards. Each time the node says
//! what is wrong, and goes on by itself when it is not wrong any more.

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::{path::Path, process::Command};

use common::{
    audio::{self, Music},
    left_out::left_out,
    Node, Setup, BINARY,
};
use netns::Network;

/// Where nobody listens: the port of a listener that is gone.
fn dead_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_tracker_that_is_not_there_yet_is_found_when_it_is() {
    let at = format!("127.0.0.1:{}", dead_port());
    let peer = Setup {
        role: "peer",
        name: Some("kitchen"),
        tracker: Some(at.clone()),
        ..Setup::default()
    }
    .start();
    let problem = peer.wait_for_problem("no tracker");
    assert!(problem.contains(&at), "{problem}");
    let tracker = Setup {
        listen: Some(at),
        ..Setup::tracker()
    }
    .start();
    peer.wait_until_registered();
    peer.wait_for_no_problem();
    tracker.wait_for_peers(&["kitchen"]);
}

#[test]
fn of_a_list_of_trackers_the_first_may_be_dead() {
    let tracker = Setup::tracker().start();
    let dead = dead_port();
    let list = format!("[\"127.0.0.1:{dead}\", {:?}]", tracker.tracker_address());
    let peer = Setup {
        tracker: Some(list),
        ..Setup::peer("kitchen", &tracker)
    }
    .start();
    peer.wait_until_registered();
    let tracker = tracker.restart();
    tracker.wait_for_peers(&["kitchen"]);
    peer.wait_until_registered();
}

/// Whichever comes back first: a tracker without memory gives each the name that
/// it had, and so does one that met a speaker only after its restart.
#[test]
fn three_hosts_of_one_name_keep_their_names_over_restarts() {
    let tracker = Setup {
        listen: Some("127.0.9.1:0".into()),
        ..Setup::tracker()
    }
    .start();
    let nameless = || Setup {
        name: None,
        ..Setup::peer("", &tracker)
    };
    let name = |node: &Node| {
        let status = node.wait_until_registered();
        status["node"]["name"].as_str().unwrap().to_owned()
    };
    let first = nameless().start();
    let host = name(&first);
    let names = [host.clone(), format!("{host}-2"), format!("{host}-3")];
    let second = nameless().start();
    assert_eq!(name(&second), names[1]);
    let third = nameless().start();
    assert_eq!(name(&third), names[2]);

    let expected: Vec<&str> = names.iter().map(String::as_str).collect();
    let tracker = tracker.restart();
    tracker.wait_for_peers(&expected);
    let of = |node: &Node| {
        let status = node.wait_for_status("the name it had", |status| {
            status["node"]["tracker"] == "registered with 127.0.9.1"
        });
        status["node"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!([of(&first), of(&second), of(&third)], names);

    // All are away, and they come back the other way round.
    let [first, second, third] = [first, second, third].map(|mut node| {
        node.signal("TERM");
        assert!(node.wait_for_exit().success());
        node
    });
    tracker.wait_for_peers(&[]);
    let third = third.restart();
    assert_eq!(name(&third), names[2]);
    let second = second.restart();
    assert_eq!(name(&second), names[1]);
    assert_eq!(name(&first.restart()), names[0]);
}

/// Two speakers with the same card, each at an address of its own. The newcomer
/// is told, the first plays on, and the command that it is told mends it.
#[test]
fn a_copied_card_is_told_the_command_that_mends_it() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let music = Music::new();
    music.wav("north.wav", 44_100, 60.0);
    let tracker = at(&network, 0, Setup::tracker()).start();
    let to = Some(format!("{}:{}", network.address(0), port_of(&tracker)));
    let peer = |end: usize, name, identity_of| {
        let setup = Setup {
            role: "peer",
            name: Some(name),
            tracker: to.clone(),
            identity_of,
            ..Setup::default()
        };
        at(&network, end, setup)
    };
    let card = peer(0, "north", None).music(music.path()).start();
    card.wait_until_registered();
    card.wait_for_tracks("north", 1);
    card.ctl_ok(&["play", "north"]);
    let copy = peer(1, "south", Some(card.dir.path().join("state"))).start();
    let problem = copy.wait_for_problem("copy");
    for words in [network.address(0), "p2pmusic identity new"] {
        assert!(problem.contains(words), "{problem}");
    }
    assert_eq!(card.json(&["status"])["status"]["state"], "play");
    card.wait_until_registered();

    let mend = |node: &Node| {
        let output = Command::new(BINARY)
            .args(["identity", "new", "--config"])
            .arg(node.config())
            .output()
            .unwrap();
        (output.status.success(), format!("{output:?}"))
    };
    let (done, said) = mend(&copy);
    assert!(
        !done && said.contains(&format!("process {}", copy.pid())),
        "{said}"
    );
    let id = |node: &Node| node.json(&["status"])["node"]["peer"].clone();
    assert_eq!(id(&copy), id(&card));
    let mut copy = copy;
    copy.signal("TERM");
    assert!(copy.wait_for_exit().success());
    let (done, said) = mend(&copy);
    assert!(done, "{said}");
    let copy = copy.restart();
    copy.wait_until_registered();
    assert_ne!(id(&copy), id(&card));
    tracker.wait_for_peers(&["north", "south"]);
    assert_eq!(card.json(&["status"])["status"]["state"], "play");
}

#[test]
fn a_network_that_comes_after_the_start_is_used() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let tracker = at(&network, 0, Setup::tracker()).start();
    network.ip(1, &["link", "delete", "nowhere"]).unwrap();
    network.ip(1, &["link", "set", "cable", "down"]).unwrap();
    let address = format!("{}/24", network.address(1));
    let cable = [&address, "dev", "cable"];
    network
        .ip(1, &[&["address", "del"], &cable[..]].concat())
        .unwrap();
    let setup = Setup {
        role: "peer",
        name: Some("south"),
        tracker: Some(format!("{}:{}", network.address(0), port_of(&tracker))),
        ..Setup::default()
    };
    let peer = at(&network, 1, setup).start();
    let problem = peer.wait_for_problem("no network");
    assert!(problem.contains("cable or Wi-Fi"), "{problem}");
    peer.wait_for_problem("no tracker");

    network
        .ip(1, &[&["address", "add"], &cable[..]].concat())
        .unwrap();
    network.ip(1, &["link", "set", "cable", "up"]).unwrap();
    peer.wait_until_registered();
    peer.wait_for_no_problem();
    tracker.wait_for_peers(&["south"]);
    let seen = tracker.peer("south").unwrap();
    assert!(
        seen["address"]
            .as_str()
            .unwrap()
            .starts_with(network.address(1)),
        "{seen}"
    );
}

/// DHCP gives another address, and the old one leads nowhere: the others hear
/// of the new one and play from there. Then the cable is pulled and put back.
#[test]
fn a_peer_is_found_at_its_new_address() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let music = Music::new();
    let frames = music.wav("south.wav", 44_100, 1.5);
    let both = Setup {
        role: "both",
        name: Some("north"),
        tracker: Some("auto".into()),
        ..Setup::default()
    };
    let north = at(&network, 0, both).recorded().start();
    let setup = Setup {
        role: "peer",
        name: Some("south"),
        tracker: Some(format!("{}:{}", network.address(0), port_of(&north))),
        ..Setup::default()
    };
    let south = at(&network, 1, setup).music(music.path()).start();
    north.wait_for_tracks("south", 1);

    move_to(&network, 1, "10.98.0.77");
    north.wait_for(&["peers"], "the new address", |peers| {
        let rows = peers.as_array().into_iter().flatten();
        rows.into_iter().any(|row| {
            let address = row["address"].as_str();
            row["peer"] == "south"
                && row["state"] == "up"
                && address.is_some_and(|at| at.starts_with("10.98.0.77:"))
        })
    });
    south.wait_for_line("this machine's addresses are");
    north.ctl_ok(&["volume", "100"]);
    north.ctl_ok(&["play", "south/south.wav"]);
    north.wait_for_end();
    let (_, found) = audio::read_wav(&north.recording());
    assert!(
        found.windows(2).any(|pair| pair == &frames[..2]),
        "no sound"
    );

    network.ip(1, &["link", "delete", "nowhere"]).unwrap();
    network.ip(1, &["link", "set", "cable", "down"]).unwrap();
    south.wait_for_problem("no network");
    network.ip(1, &["link", "set", "cable", "up"]).unwrap();
    south.wait_for_no_problem();
    north.wait_for(&["peers"], "south again", |peers| {
        let rows = peers.as_array().into_iter().flatten();
        rows.into_iter()
            .any(|row| row["peer"] == "south" && row["state"] == "up")
    });
}

/// The tracker gets another address while it runs. One peer knows it by name,
/// the other has to find it.
#[test]
fn a_tracker_that_moves_is_followed_by_name_and_by_mdns() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    if !Path::new("/etc/hosts").exists() {
        return left_out("there is no /etc/hosts here to lay another over");
    }
    network.set_hosts(1, &format!("{} tracker.home\n", network.address(0)));
    let mut tracker = at(&network, 0, Setup::tracker()).start();
    tracker.kill();
    tracker.reconfigure("advertise = false", "advertise = true");
    let tracker = tracker.restart();
    let port = port_of(&tracker);
    let peer = |name, tracker: String| {
        let setup = Setup {
            role: "peer",
            name: Some(name),
            tracker: Some(tracker),
            ..Setup::default()
        };
        at(&network, 1, setup).start()
    };
    let by_name = peer("by-name", format!("tracker.home:{port}"));
    let by_mdns = peer("by-mdns", "auto".into());
    tracker.wait_for_peers(&["by-name", "by-mdns"]);

    move_to(&network, 0, "10.98.0.99");
    by_name.wait_for_problem("no tracker");
    network.set_hosts(1, "10.98.0.99 tracker.home\n");
    // Of the addresses that are announced, any may answer first, but not the old one.
    for (node, addresses) in [
        (&by_name, &["10.98.0.99"][..]),
        (&by_mdns, &["10.98.0.99", "fe80:"]),
    ] {
        let is_there = |status: &serde_json::Value| {
            let tracker = status["node"]["tracker"].as_str().unwrap_or_default();
            let at = tracker.strip_prefix("registered with ");
            at.is_some_and(|at| addresses.iter().any(|address| at.starts_with(address)))
        };
        // A rest of up to 30 s may have begun.
        node.wait_long_for_status("the tracker where it is now", is_there);
        node.wait_for_no_problem();
    }
    tracker.wait_for_peers(&["by-name", "by-mdns"]);
}

/// A node in one of the namespaces, that listens on all its addresses.
fn at(network: &Network, end: usize, setup: Setup) -> Setup {
    Setup {
        listen: Some("[::]:0".into()),
        prefix: network.prefix(end),
        ..setup
    }
}

/// Takes a namespace's address on the cable away, and gives it another.
fn move_to(network: &Network, end: usize, address: &str) {
    for (verb, address) in [("del", network.address(end)), ("add", address)] {
        let address = format!("{address}/24");
        let words = ["address", verb, &address, "dev", "cable"];
        network.ip(end, &words).unwrap();
    }
    // The routes of an interface go with its last address.
    let multicast = ["route", "replace", "224.0.0.0/4", "dev", "cable"];
    network.ip(end, &multicast).unwrap();
}

fn port_of(node: &Node) -> String {
    let address = node.tracker_address();
    address.rsplit(':').next().unwrap().to_owned()
}
