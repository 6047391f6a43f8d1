use super::*;

#[test]
fn faults_of_the_settings_and_the_service() {
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
        (|f| f.node = None, "node", Wrong, &["in time"]),
        (stopped, "node", Note, &["does not run"]),
        (
            |f| f.node = Some(Node::Hidden("no right".into())),
            "node",
            Note,
            &["sudo p2pmusic doctor"],
        ),
        (
            |f| f.node = Some(Node::Mute("hung up".into())),
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
