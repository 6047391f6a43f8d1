//! The configuration, the service, and the node itself.

use super::{several, Finding, DISK};
use crate::{
    cli::doctor::{
        facts::{DoctorFacts, NodeAnswer, Read, Status},
        person::Wish,
    },
    config::TrackerAt,
    id::check_name,
};

pub fn config(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "config";
    let settings = &facts.config;
    let path = settings.path.display();
    let first = match &settings.read {
        Read::Hangs => Finding::hangs(CHECK, &path.to_string(), DISK),
        Read::Default => Finding::ok(CHECK, format!("{path} is not there: all is as by default")),
        Read::Hidden => Finding::note(CHECK, format!("you may not read {path}"))
            .mended_by("sudo p2pmusic doctor"),
        Read::Wrong(why) => {
            let check = format!("p2pmusic check --config {path}    # shows the place");
            let after = "what depends on it was not looked at";
            Finding::wrong(CHECK, format!("{why}; {after}")).mended_by(check)
        }
        Read::Well => Finding::ok(
            CHECK,
            format!("{path}, a node of role {}", settings.config.role),
        ),
    };
    let mut findings = vec![first];
    let way = settings.way.as_ref();
    if let Some(step) = way.and_then(|way| way.obstacle(&facts.runner, Wish::Read)) {
        let (who, at) = (&facts.runner.name, step.path.display());
        findings.push(
            Finding::wrong(
                CHECK,
                format!("{who} cannot read {path}: {at} does not let it"),
            )
            .mended_by(format!(
                "sudo chgrp {} {at} && sudo chmod g+r {at}",
                facts.runner.group
            )),
        );
    }
    let control = &settings.config.control;
    let is_open = control.mpd.is_some_and(|at| !at.ip().is_loopback());
    if is_open && control.password.is_none() {
        findings.push(
            Finding::note(
                CHECK,
                "control.mpd lets everybody in the network play, without a password",
            )
            .mended_by("set control.password, if that is not meant"),
        );
    }
    findings
}

pub fn name(facts: &DoctorFacts) -> Option<Finding> {
    const CHECK: &str = "name";
    let (config, host) = (&facts.config.config, &facts.config.host);
    if let Some(NodeAnswer::Runs(status)) = &facts.node {
        if status
            .problems
            .iter()
            .any(|problem| problem.starts_with("the name "))
        {
            // It is good, but for what the node says of it.
            return None;
        }
    }
    if let Some(name) = &config.name {
        return Some(Finding::ok(CHECK, name.0.clone()));
    }
    Some(match check_name(host) {
        Err(why) => Finding::wrong(CHECK, format!("the host's name {host:?} is no name: {why}"))
            .mended_by("set name = \"kitchen\" at the top of the configuration"),
        Ok(()) if COMMON.contains(&host.as_str()) => {
            let seen = format!("{host}, as many a machine is called; the second gets a number");
            Finding::note(CHECK, seen)
                .mended_by("set name = \"kitchen\" at the top of the configuration")
        }
        Ok(()) => Finding::ok(CHECK, format!("{host}, as the machine")),
    })
}

pub fn unit(facts: &DoctorFacts) -> Option<Finding> {
    const CHECK: &str = "service";
    let Some(unit) = &facts.unit else {
        return Some(Finding::hangs(
            CHECK,
            "systemctl",
            "sudo reboot    # the service manager hangs",
        ));
    };
    let unit = unit.as_ref()?;
    if !unit.is_installed {
        return Some(Finding::note(CHECK, "systemd knows no p2pmusic.service"));
    }
    let log = unit.last_line.as_ref();
    let log = log
        .map(|line| format!("; its last line: {line}"))
        .unwrap_or_default();
    let start = "sudo systemctl enable --now p2pmusic";
    Some(match (unit.active.as_str(), unit.is_enabled) {
        ("active", true) => Finding::ok(CHECK, "runs, and starts with the machine"),
        ("active", false) => Finding::note(CHECK, "runs, but does not start with the machine")
            .mended_by("sudo systemctl enable p2pmusic"),
        ("failed" | "activating", _) => {
            let seen = format!(
                "does not start ({}, tried again {} times){log}",
                unit.result, unit.restarts
            );
            if matches!(facts.config.read, Read::Wrong(_)) {
                // It cannot, with a configuration that is said to be wrong.
                return None;
            }
            Finding::wrong(CHECK, seen)
                .mended_by("journalctl -u p2pmusic -n 20    # says why")
                .mended_by("sudo systemctl restart p2pmusic")
        }
        (_, true) => Finding::wrong(CHECK, format!("is stopped{log}"))
            .mended_by("sudo systemctl start p2pmusic"),
        (_, false) => Finding::note(CHECK, "is not switched on").mended_by(start),
    })
}

pub fn node(facts: &DoctorFacts) -> Vec<Finding> {
    const CHECK: &str = "node";
    let status = match &facts.node {
        None => {
            return vec![Finding::hangs(
                CHECK,
                "the node",
                "sudo systemctl restart p2pmusic",
            )]
        }
        Some(NodeAnswer::Mute(why)) => {
            return vec![
                Finding::wrong(CHECK, format!("it is there and does not answer: {why}"))
                    .mended_by("sudo systemctl restart p2pmusic"),
            ]
        }
        Some(NodeAnswer::Absent) => {
            return vec![Finding::note(
                CHECK,
                "it does not run; the rest was looked at without it",
            )]
        }
        Some(NodeAnswer::Hidden(why)) => {
            return vec![Finding::note(CHECK, why.clone()).mended_by("sudo p2pmusic doctor")]
        }
        Some(NodeAnswer::Runs(status)) => status,
    };
    let mut findings = vec![about(status, &facts.config.config.peer.tracker)];
    findings.extend(
        status
            .problems
            .iter()
            .map(|problem| Finding::wrong(CHECK, problem.clone())),
    );
    if status.underruns >= MANY_UNDERRUNS {
        let seen = format!(
            "the sound had {} since it started",
            several(status.underruns, "gap")
        );
        let how = "p2pmusic ctl stats    # whether the network or the device is late";
        findings.push(Finding::note(CHECK, seen).mended_by(how));
    }
    findings
}

fn about(status: &Status, wanted: &TrackerAt) -> Finding {
    let (name, tracker) = (&status.name, &status.tracker);
    let peers = several(status.peers, "peer");
    let tracks = several(status.tracks, "track");
    let seen = format!("runs as {name}; tracker: {tracker}; {peers}, {tracks}");
    if tracker.starts_with("looking for one") && *wanted == TrackerAt::Auto {
        return Finding::note("node", seen).mended_by(
            "give one node role = \"both\"; without multicast, \
             the others tracker = \"its host\" under [peer]",
        );
    }
    Finding::ok("node", seen)
}

/// What images of cards call the machine.
const COMMON: [&str; 4] = ["raspberrypi", "localhost", "debian", "dietpi"];
/// One or two are a card that was pulled, or a kernel that was busy.
const MANY_UNDERRUNS: u64 = 3;
