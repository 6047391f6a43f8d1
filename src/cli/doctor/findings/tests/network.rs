use super::*;

fn port(facts: &mut DoctorFacts, state: PortState) {
    facts.ports.as_mut().unwrap()[0].state = state;
}

fn alone(facts: &mut DoctorFacts) {
    set(facts, "name = \"kitchen\"\npeer.music = [\"/srv/music\"]");
    status(facts).peers = 1;
    facts.multicast = Some(Multicast::Heard {
        itself: vec![("wlan0".into(), true)],
        trackers: Vec::new(),
        peers: 0,
        error: None,
    });
}

fn heard(facts: &mut DoctorFacts, itself: bool, trackers: &[&str]) {
    facts.multicast = Some(Multicast::Heard {
        itself: vec![("wlan0".into(), itself)],
        trackers: trackers.iter().map(|&tracker| tracker.to_owned()).collect(),
        peers: 2,
        error: None,
    });
}

#[test]
fn faults_of_the_ports() {
    are_found(&[
        (
            |f| port(f, PortState::Taken(Some("mpd (pid 9)".into()))),
            "ports",
            Wrong,
            &["mpd (pid 9)", "peer.listen"],
        ),
        (
            |f| port(f, PortState::Taken(None)),
            "ports",
            Wrong,
            &["another program"],
        ),
        (
            |f| port(f, PortState::Failed("no such address".into())),
            "ports",
            Wrong,
            &["no such address"],
        ),
    ]);
}

#[test]
fn faults_of_the_network() {
    are_found(&[
        (
            |f| f.network.as_mut().unwrap().interfaces.clear(),
            "network",
            Wrong,
            &["no address", "nmcli"],
        ),
        (
            |f| {
                let network = f.network.as_mut().unwrap();
                network.interfaces.clear();
                network.is_radio_off = true;
            },
            "network",
            Wrong,
            &["do_wifi_country", "rfkill unblock"],
        ),
        (
            |f| wlan(f).narrow = Some(1000),
            "network",
            Wrong,
            &[
                "wlan0",
                "at most 1000 bytes",
                "sudo ip link set wlan0 mtu 1500",
            ],
        ),
    ]);
}

#[test]
fn faults_of_the_wifi() {
    are_found(&[
        (
            |f| wlan(f).wifi.as_mut().unwrap().power_save = Some(true),
            "wifi",
            Wrong,
            &[
                "sudo iw dev wlan0 set power_save off",
                "802-11-wireless.powersave 2",
            ],
        ),
        (
            |f| wlan(f).wifi.as_mut().unwrap().power_save = None,
            "wifi",
            Note,
            &["apt install iw"],
        ),
        (
            |f| wlan(f).wifi.as_mut().unwrap().signal = Some(-83),
            "wifi",
            Note,
            &["-83 dBm"],
        ),
    ]);
}

#[test]
fn faults_of_multicast() {
    are_found(&[
        (
            |f| wlan(f).has_multicast = false,
            "multicast",
            Note,
            &["multicast on", "tracker ="],
        ),
        (alone, "multicast", Note, &["AP isolation", "tracker ="]),
        (
            |f| {
                alone(f);
                wlan(f).wifi = None
            },
            "multicast",
            Note,
            &["tracker ="],
        ),
        (
            |f| {
                alone(f);
                status(f).peers = 3
            },
            "multicast",
            Fine,
            &[],
        ),
        (
            |f| heard(f, false, &[]),
            "multicast",
            Note,
            &["wlan0", "5353"],
        ),
        (
            |f| heard(f, true, &["attic abababab at 10.0.0.2:4670"]),
            "multicast",
            Note,
            &["not registered with attic", "another key"],
        ),
        (
            |f| {
                heard(f, true, &["attic abababab at 10.0.0.2:4670"]);
                status(f).tracker = "registered with 127.0.0.1 and 10.0.0.2".into();
            },
            "multicast",
            Fine,
            &[],
        ),
        (
            |f| {
                heard(f, true, &["attic abababab at 10.0.0.2:4670"]);
                status(f).tracker = "registered with 127.0.0.1 and fd00::7 (attic)".into();
            },
            "multicast",
            Fine,
            &[],
        ),
        (
            |f| f.multicast = None,
            "multicast",
            Wrong,
            &["in time"][..1],
        ),
    ]);
}

#[test]
fn faults_of_the_tracker() {
    are_found(&[
        (
            |f| f.trackers = vec![("attic:4670".into(), None)],
            "tracker",
            Wrong,
            &["attic", "address instead"],
        ),
        (
            |f| {
                f.trackers = vec![(
                    "attic:4670".into(),
                    Some(TrackerReach::Nameless("none".into())),
                )]
            },
            "tracker",
            Wrong,
            &["nobody knows", ".local"],
        ),
        (
            |f| {
                f.trackers = vec![(
                    "attic:4670".into(),
                    Some(TrackerReach::Silent("refused".into())),
                )]
            },
            "tracker",
            Wrong,
            &["nobody answers", "systemctl"],
        ),
    ]);
}

#[test]
fn faults_of_the_firewall() {
    are_found(&[
        (
            |f| {
                f.firewall = Some(Firewall {
                    ufw: true,
                    ufw_has_port: Some(false),
                    firewalld: false,
                })
            },
            "firewall",
            Wrong,
            &["ufw allow 4670"],
        ),
        (
            |f| {
                f.firewall = Some(Firewall {
                    ufw: true,
                    ufw_has_port: None,
                    firewalld: false,
                })
            },
            "firewall",
            Note,
            &["ufw allow 4670"],
        ),
        (
            |f| {
                f.firewall = Some(Firewall {
                    firewalld: true,
                    ..Firewall::default()
                })
            },
            "firewall",
            Note,
            &["4670/udp"],
        ),
    ]);
}
