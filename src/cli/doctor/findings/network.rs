//! Ports, interfaces, multicast, trackers.

use std::net::IpAddr;

use super::{several, Finding};
use crate::{
    cli::doctor::facts::{
        DoctorFacts, Interface, LocalInterfaces, Multicast, NodeAnswer, Port, PortState,
        TrackerReach, Wifi,
    },
    config::TrackerAt,
};

pub fn ports(facts: &DoctorFacts) -> Vec<Finding> {
    match &facts.ports {
        Some(ports) => ports.iter().map(port).collect(),
        None => vec![Finding::hangs("ports", "the kernel", "sudo reboot")],
    }
}

fn port(port: &Port) -> Finding {
    const CHECK: &str = "ports";
    let Port {
        key,
        transport,
        at,
        state,
    } = port;
    let what = format!("{transport} {at} ({key})");
    match state {
        PortState::Free => Finding::ok(CHECK, format!("{what} is free")),
        PortState::Own => Finding::ok(CHECK, format!("{what} is p2pmusic's")),
        PortState::Taken(owner) => {
            let who = owner.as_deref().unwrap_or("another program");
            let seen = format!("{what} is taken: {who} has it");
            Finding::wrong(CHECK, seen)
                .mended_by(format!("stop that program, or set {key} to another port"))
        }
        PortState::Failed(why) => Finding::wrong(CHECK, format!("{what} cannot be had: {why}"))
            .mended_by(format!(
                "set {key} to an address of this machine, such as \"[::]:4670\""
            )),
    }
}

pub fn interfaces(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "network";
    let Some(network) = &facts.network else {
        return vec![Finding::hangs(
            CHECK,
            "the network",
            "sudo reboot    # a driver hangs",
        )];
    };
    if listens_here_only(facts) {
        return vec![Finding::note(
            CHECK,
            "the node listens on this machine only, as configured",
        )];
    }
    let outer: Vec<&Interface> = network
        .interfaces
        .iter()
        .filter(|i| !i.is_virtual)
        .collect();
    if outer.is_empty() {
        return vec![no_network(network)];
    }
    let mut findings = Vec::new();
    for interface in outer {
        let Interface {
            name,
            addresses,
            wifi,
            narrow,
            ..
        } = interface;
        let kind = if wifi.is_some() { ", Wi-Fi" } else { "" };
        findings.push(Finding::ok(
            CHECK,
            format!("{name}: {}{kind}", in_short(addresses)),
        ));
        findings.extend(narrow.map(|mtu| too_narrow(name, mtu)));
        findings.extend(wifi.iter().flat_map(|wifi| radio(name, wifi)));
    }
    findings
}

fn too_narrow(name: &str, mtu: u32) -> Finding {
    let seen = format!(
        "{name} takes packets of at most {mtu} bytes (MTU): lists arrive, and music does not, \
         which needs 1280"
    );
    Finding::wrong("network", seen).mended_by(format!(
        "sudo ip link set {name} mtu 1500    # and in the settings of the network, for good"
    ))
}

fn no_network(network: &LocalInterfaces) -> Finding {
    const CHECK: &str = "network";
    let finding = Finding::wrong(CHECK, "this machine has no address in any network");
    match network.is_radio_off {
        true => finding
            .mended_by(
                "sudo raspi-config nonint do_wifi_country DE    # or yours; it is off until then",
            )
            .mended_by("sudo rfkill unblock wifi"),
        false => finding.mended_by("ip address; nmcli device    # is the cable in, Wi-Fi joined?"),
    }
}

/// Addresses of the house; those of IPv6 say whose house it is.
fn in_short(addresses: &[IpAddr]) -> String {
    let (v4, v6): (Vec<&IpAddr>, Vec<&IpAddr>) = addresses.iter().partition(|a| a.is_ipv4());
    let mut words: Vec<String> = v4.iter().map(ToString::to_string).collect();
    if !v6.is_empty() {
        words.push(format!("{} of IPv6", v6.len()));
    }
    words.join(", ")
}

fn radio(name: &str, wifi: &Wifi) -> Vec<Finding> {
    const CHECK: &str = "wifi";
    let mut findings = Vec::new();
    match wifi.power_save {
        Some(true) => {
            let seen = format!(
                "{name} sleeps between packets (power save): sound begins late, and stutters"
            );
            findings.push(
                Finding::wrong(CHECK, seen)
                    .mended_by(format!("sudo iw dev {name} set power_save off    # now"))
                    .mended_by("nmcli -t -f NAME connection show --active    # for good:")
                    .mended_by("sudo nmcli connection modify NAME 802-11-wireless.powersave 2"),
            );
        }
        Some(false) => findings.push(Finding::ok(CHECK, format!("{name}: power save is off"))),
        None => findings.push(
            Finding::note(
                CHECK,
                format!("{name}: whether it sleeps between packets cannot be seen"),
            )
            .mended_by(format!("sudo apt install iw; iw dev {name} get power_save")),
        ),
    }
    if let Some(signal) = wifi
        .signal
        .filter(|dbm| (LEAST_SIGNAL..WEAK_SIGNAL).contains(dbm))
    {
        let seen = format!("{name}: the signal is weak, {signal} dBm");
        let how = "nearer to the access point, the 2.4 GHz band, or a cable";
        findings.push(Finding::note(CHECK, seen).mended_by(how));
    }
    findings
}

pub fn multicast(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "multicast";
    let (itself, trackers, peers, error) = match &facts.multicast {
        None => return vec![Finding::hangs(CHECK, "mDNS", WITHOUT)],
        Some(Multicast::Unused) => return Vec::new(),
        Some(Multicast::Heard {
            itself,
            trackers,
            peers,
            error,
        }) => (itself, trackers, *peers, error),
    };
    let has_network = facts
        .network
        .as_ref()
        .is_some_and(|n| n.interfaces.iter().any(|i| !i.is_virtual));
    if !has_network {
        // Said already.
        return Vec::new();
    }
    let mut findings = Vec::new();
    if let Some(error) = error {
        let seen = format!("mDNS cannot be used: {error}");
        findings.push(Finding::note(CHECK, seen).mended_by(WITHOUT));
    }
    let interfaces = facts.network.iter().flat_map(|network| &network.interfaces);
    for without in interfaces.filter(|i| !i.has_multicast && !i.is_virtual) {
        let name = &without.name;
        let seen = format!("{name} takes no multicast: nobody is found over it");
        let how = format!("sudo ip link set {name} multicast on");
        findings.push(Finding::note(CHECK, seen).mended_by(how).mended_by(WITHOUT));
    }
    let mut deaf = itself.iter().filter(|(_, hears)| !hears).peekable();
    if deaf.peek().is_some() {
        let names: Vec<&str> = deaf.map(|(name, _)| name.as_str()).collect();
        let seen = format!(
            "what is sent by {} does not come back: multicast is blocked on this machine",
            names.join(", ")
        );
        findings.push(
            Finding::note(CHECK, seen)
                .mended_by("a firewall here? let UDP 5353 in (`sudo ufw allow 5353/udp`)")
                .mended_by(WITHOUT),
        );
    }
    findings.push(others(facts, trackers, peers));
    findings
}

fn others(facts: &DoctorFacts, trackers: &[String], peers: usize) -> Finding {
    const CHECK: &str = "multicast";
    let config = &facts.config.config;
    let is_alone = trackers.is_empty() && peers == 0;
    let peers = several(peers as u64, "other peer");
    let seen = match trackers {
        [] => format!("announced: no other tracker, {peers}"),
        [one] => format!("announced: the tracker {one}, {peers}"),
        many => format!("announced: the trackers {}, {peers}", many.join(", ")),
    };
    if trackers.len() + usize::from(config.role.is_tracker()) > 1 {
        return several_trackers(facts, seen, trackers);
    }
    let is_met = matches!(&facts.node, Some(NodeAnswer::Runs(status)) if status.peers > 1);
    // A tracker that is named is not looked for.
    let is_named = matches!(config.peer.tracker, TrackerAt::These(_)) || config.role.is_tracker();
    if !is_alone || is_met || is_named {
        return Finding::ok(CHECK, seen);
    }
    let interfaces = facts.network.iter().flat_map(|network| &network.interfaces);
    let mut outer = interfaces.filter(|interface| !interface.is_virtual);
    let finding = Finding::note(CHECK, seen)
        .mended_by("does another node run, and is one role = \"both\" or \"tracker\"?");
    match outer.all(|interface| interface.wifi.is_some()) {
        true => finding
            .mended_by(
                "in the access point: switch off \"AP isolation\" (guest network) \
                 and multicast filtering",
            )
            .mended_by(WITHOUT),
        false => finding.mended_by(WITHOUT),
    }
}

/// Several are one swarm, unless this node is not registered with one that it sees.
fn several_trackers(facts: &DoctorFacts, seen: String, trackers: &[String]) -> Finding {
    const CHECK: &str = "multicast";
    let Some(NodeAnswer::Runs(status)) = &facts.node else {
        return Finding::ok(CHECK, seen);
    };
    let Some(with) = status.tracker.strip_prefix("registered with ") else {
        return Finding::ok(CHECK, seen);
    };
    let is_used = |tracker: &&String| {
        let (name, at) = tracker.split_once(" at ").unwrap_or((tracker, ""));
        let host = at.rsplit_once(':').map_or(at, |(host, _)| host);
        // With the beginning of its id behind it.
        let name = name.rsplit_once(' ').map_or(name, |(name, _)| name);
        let mut used = with.split([' ', ',', '(', ')']);
        with.contains(&format!("({name})"))
            || used.any(|used| used == host.trim_matches(['[', ']']))
    };
    let others: Vec<&str> = trackers
        .iter()
        .filter(|t| !is_used(t))
        .map(|t| &**t)
        .collect();
    let is_auto = facts.config.config.peer.tracker == TrackerAt::Auto;
    let has_room = with
        .split([' ', ','])
        .filter(|word| word.contains(['.', ':']))
        .count()
        < MAX_USED;
    if others.is_empty() || !is_auto || !has_room {
        return Finding::ok(CHECK, format!("{seen}; several trackers are one swarm"));
    }
    let seen = format!(
        "{seen}; this node is not registered with {}",
        others.join(", ")
    );
    Finding::note(CHECK, seen).mended_by(
        "another swarm, or another key? if it is to be one: sudo p2pmusic pair there, \
         sudo p2pmusic join here",
    )
}

pub fn trackers(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "tracker";
    let trackers = facts.trackers.iter();
    trackers
        .map(|(at, reach)| match reach {
            None => Finding::hangs(
                CHECK,
                at,
                "is the name server slow? write its address instead of its name",
            ),
            Some(TrackerReach::Answers(address)) => {
                Finding::ok(CHECK, format!("{at}: {address} answers"))
            }
            Some(TrackerReach::Nameless(why)) => {
                Finding::wrong(CHECK, format!("{at}: nobody knows that name ({why})")).mended_by(
                    "is it spelt as `hostname` says there? try it with .local, or its address",
                )
            }
            Some(TrackerReach::Silent(why)) => Finding::wrong(
                CHECK,
                format!("{at}: nobody answers ({why})"),
            )
            .mended_by(
                "on that machine: systemctl status p2pmusic; is its role \"both\" or \"tracker\"?",
            ),
        })
        .collect()
}

pub fn firewall(facts: &DoctorFacts) -> Option<Finding> {
    const CHECK: &str = "firewall";
    let firewall = facts.firewall?;
    if firewall.firewalld {
        return Some(Finding::note(CHECK, "firewalld runs here").mended_by(
            "sudo firewall-cmd --permanent --add-port=4670/tcp --add-port=4670/udp \
             --add-service=mdns && sudo firewall-cmd --reload",
        ));
    }
    if !firewall.ufw {
        return None;
    }
    Some(match firewall.ufw_has_port {
        Some(true) => Finding::ok(CHECK, "ufw is on, and has rules for 4670 and 5353"),
        Some(false) => {
            Finding::wrong(CHECK, "ufw is on, and has no rules for 4670 and 5353").mended_by(UFW)
        }
        None => Finding::note(CHECK, "ufw is on; you may not see its rules").mended_by(UFW),
    })
}

/// Whether nobody is to reach the node from outside.
fn listens_here_only(facts: &DoctorFacts) -> bool {
    let config = &facts.config.config;
    let tracker = config.role.is_tracker() && !config.tracker.listen.ip().is_loopback();
    let peer = config.role.is_peer() && !config.peer.listen.ip().is_loopback();
    !tracker && !peer
}

const WITHOUT: &str = "without multicast: tracker = \"the tracker's host or address\" under [peer]";
const UFW: &str = "sudo ufw allow 4670 && sudo ufw allow 5353/udp";
/// A peer registers with no more.
const MAX_USED: usize = 4;
/// In dBm. Below this a Pi's Wi-Fi carries less than a FLAC needs.
const WEAK_SIGNAL: i32 = -75;
/// Some drivers say 0 or -256 for "unknown".
const LEAST_SIGNAL: i32 = -120;
