use super::*;

#[test]
fn faults_of_the_configuration() {
    are_found(&[
        (
            |f| f.config.read = Read::Default,
            "config",
            Fine,
            &["by default"],
        ),
        (
            |f| f.config.read = Read::Hidden,
            "config",
            Note,
            &["may not read", "sudo"],
        ),
        (
            |f| f.config.read = Read::Hangs,
            "config",
            Wrong,
            &["in time"],
        ),
        (
            |f| f.config.read = Read::Wrong("line 3".into()),
            "config",
            Wrong,
            &["line 3", "p2pmusic check"],
        ),
        (
            |f| f.config.way = Some(way("/etc/p2pmusic.toml", false, 0o600)),
            "config",
            Wrong,
            &[
                "p2pmusic cannot read",
                "sudo chgrp p2pmusic /etc/p2pmusic.toml",
            ],
        ),
        (
            |f| f.config.config.control.mpd = "0.0.0.0:6600".parse().ok(),
            "config",
            Note,
            &["password"],
        ),
    ]);
}

#[test]
fn faults_of_the_name() {
    are_found(&[
        (
            |f| f.config.config.name = None,
            "name",
            Note,
            &["raspberrypi", "name ="],
        ),
        (
            |f| (f.config.config.name, f.config.host) = (None, "a/b".into()),
            "name",
            Wrong,
            &["a/b", "slash"],
        ),
    ]);
}

#[test]
fn faults_of_the_service() {
    are_found(&[
        (|f| f.unit = None, "service", Wrong, &["in time"][..1]),
        (
            |f| f.unit.as_mut().unwrap().as_mut().unwrap().active = "failed".into(),
            "service",
            Wrong,
            &["journalctl"],
        ),
        (
            |f| f.unit.as_mut().unwrap().as_mut().unwrap().active = "inactive".into(),
            "service",
            Wrong,
            &["systemctl start"],
        ),
        (
            |f| f.unit.as_mut().unwrap().as_mut().unwrap().is_enabled = false,
            "service",
            Note,
            &["systemctl enable"],
        ),
    ]);
}

#[test]
fn faults_of_the_node() {
    are_found(&[
        (|f| f.node = None, "node", Wrong, &["in time"]),
        (stopped, "node", Note, &["does not run"]),
        (
            |f| f.node = Some(NodeAnswer::Hidden("no right".into())),
            "node",
            Note,
            &["sudo p2pmusic doctor"],
        ),
        (
            |f| f.node = Some(NodeAnswer::Mute("hung up".into())),
            "node",
            Wrong,
            &["restart"],
        ),
        (
            |f| status(f).problems.push("an SD card was copied".into()),
            "node",
            Wrong,
            &["copied"],
        ),
        (
            |f| status(f).underruns = 9,
            "node",
            Note,
            &["9 gaps", "ctl stats"],
        ),
        (
            |f| status(f).tracker = "looking for one".into(),
            "node",
            Note,
            &["role = \"both\""],
        ),
    ]);
}

/// What the node says of itself, and a look at the same thing, are one finding.
#[test]
fn a_cause_is_counted_once() {
    let causes: [fn(&mut DoctorFacts); 6] = [
        |f| {
            status(f).output = "lost: hw:CARD=DAC,DEV=0 is gone".into();
            status(f)
                .problems
                .push("no sound: hw:CARD=DAC,DEV=0 is gone".into());
        },
        |f| {
            let clash = "the name \"kitchen\" belongs to the peer at 10.0.0.3; choose another";
            status(f).problems.push(clash.into());
        },
        |f| {
            let gone = "/srv/music: it is empty; is its disk mounted?";
            status(f).problems.push(gone.into());
            f.music[0].1.as_mut().unwrap().way = missing("/srv/music");
        },
        |f| {
            status(f)
                .problems
                .push("no network: this machine has no address".into());
            f.network = Some(LocalInterfaces::default());
            f.multicast = Some(Multicast::Unused);
        },
        |f| {
            status(f)
                .problems
                .push("wlan0 takes packets of at most 1000 bytes (MTU)".into());
            wlan(f).narrow = Some(1000);
        },
        |f| {
            stopped(f);
            f.config.read = Read::Wrong("line 3".into());
            let unit = f.unit.as_mut().unwrap().as_mut().unwrap();
            unit.active = "failed".into();
        },
    ];
    for (number, make) in causes.iter().enumerate() {
        let mut facts = well();
        make(&mut facts);
        let findings = examine(&facts);
        let wrong: Vec<&Finding> = findings.iter().filter(|f| f.level == Wrong).collect();
        assert_eq!(wrong.len(), 1, "{number}: {wrong:#?}");
        let praised = |f: &&Finding| {
            f.level == Fine && (f.seen.contains("lost") || number == 1 && f.check == "name")
        };
        assert_eq!(findings.iter().find(praised), None, "{number}");
    }
}
