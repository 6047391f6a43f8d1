mod files;
mod machine;
mod network;
mod settings;
mod sound;

use std::path::PathBuf;

use Level::{Note, Ok as Fine, Wrong};

use super::*;
use crate::{
    audio::{MixerControl, OutputSpec},
    cli::doctor::{
        facts::{
            Buffers, Dir, DirectoryContent, FileSystem, Firewall, Interface, Key, LocalInterfaces,
            Machine, Multicast, Music, NodeAnswer, Port, PortState, Read, Settings, SoundDevice,
            Status, TrackerReach, Tried, Unit, Wifi,
        },
        person::{AccessPath, PathEnd, PathStep, Person},
    },
    config::Config,
};

/// The way to `path`, whose parents everybody may pass.
fn way(path: &str, is_dir: bool, mode: u32) -> AccessPath {
    let step = |path: &str, is_dir, mode| PathStep {
        path: path.into(),
        is_dir,
        uid: 0,
        gid: 990,
        mode,
        acl: None,
    };
    AccessPath {
        steps: vec![step("/", true, 0o755), step(path, is_dir, mode)],
        end: PathEnd::There,
    }
}

fn missing(path: &str) -> AccessPath {
    let mut way = way(path, true, 0o755);
    way.steps.pop();
    way.end = PathEnd::Missing(path.into());
    way
}

fn dir(path: &str) -> Option<Dir> {
    Some(Dir {
        path: path.into(),
        way: way(path, true, 0o775),
        disk: Some(FileSystem {
            free: 20 << 30,
            has_inodes: true,
            ..FileSystem::default()
        }),
        used: 0,
    })
}

fn machine() -> Machine {
    Machine {
        memory: Some(900 << 20),
        memory_available: Some(500 << 20),
        clock: 1_800_000_000,
        throttled: Some(0),
        buffers: Buffers {
            most: Some(212_992),
            wanted: 1 << 20,
            received: 1_000_000,
            lost: 3,
        },
        ..Machine::default()
    }
}

fn network() -> LocalInterfaces {
    LocalInterfaces {
        interfaces: vec![Interface {
            name: "wlan0".into(),
            addresses: vec![
                "192.168.1.7".parse().unwrap(),
                "2001:db8::7".parse().unwrap(),
            ],
            has_multicast: true,
            is_virtual: false,
            narrow: None,
            wifi: Some(Wifi {
                power_save: Some(false),
                signal: Some(-52),
            }),
        }],
        is_radio_off: false,
    }
}

fn settings() -> Settings {
    let text = "role = \"both\"\nname = \"kitchen\"\nswarm.key_file = \"/etc/p2pmusic.key\"\n\
                peer.music = [\"/srv/music\"]\naudio.device = \"hw:CARD=DAC,DEV=0\"";
    Settings {
        path: "/etc/p2pmusic.toml".into(),
        way: Some(way("/etc/p2pmusic.toml", false, 0o644)),
        read: Read::Well,
        config: Config::parse(text).unwrap(),
        host: "raspberrypi".into(),
    }
}

fn root() -> Person {
    Person {
        name: "root".into(),
        uid: Some(0),
        gids: vec![0],
        group: "root".into(),
    }
}

/// A kitchen radio that is well.
fn well() -> DoctorFacts {
    let status = Status {
        name: "kitchen".into(),
        tracker: "registered with 127.0.0.1".into(),
        peers: 3,
        tracks: 900,
        output: "hw:CARD=DAC,DEV=0, 44100 Hz, 2 channels, s32".into(),
        volume: Some(40),
        ..Status::default()
    };
    DoctorFacts {
        machine: machine(),
        looker: root(),
        runner: Person {
            name: "p2pmusic".into(),
            uid: Some(995),
            gids: vec![990, 29],
            group: "p2pmusic".into(),
        },
        config: settings(),
        node: Some(NodeAnswer::Runs(Box::new(status))),
        unit: Some(Some(Unit {
            is_installed: true,
            is_enabled: true,
            active: "active".into(),
            ..Unit::default()
        })),
        key: Some(Some(Key {
            path: "/etc/p2pmusic.key".into(),
            way: way("/etc/p2pmusic.key", false, 0o640),
            keys: Some(Ok(1)),
        })),
        state: dir("/var/lib/p2pmusic"),
        cache: dir("/var/cache/p2pmusic"),
        music: vec![(
            PathBuf::from("/srv/music"),
            Some(Music {
                way: way("/srv/music", true, 0o755),
                content: DirectoryContent::Playable,
                unmounted: None,
            }),
        )],
        sound: Some(SoundDevice {
            wanted: OutputSpec::Device("hw:CARD=DAC,DEV=0".into()),
            tried: Tried::Left,
        }),
        knobs: Some(vec![control("DAC", "Digital", true, 80)]),
        remembered_volume: Some(40),
        ports: Some(vec![Port {
            key: "peer.listen",
            transport: "UDP",
            at: "[::]:4670".parse().unwrap(),
            state: PortState::Own,
        }]),
        network: Some(network()),
        multicast: Some(Multicast::Heard {
            itself: vec![("wlan0".into(), true)],
            trackers: Vec::new(),
            peers: 2,
            error: None,
        }),
        trackers: Vec::new(),
        firewall: Some(Firewall::default()),
    }
}

fn control(card: &str, name: &str, is_on: bool, percent: u8) -> MixerControl {
    MixerControl {
        card: card.into(),
        name: name.into(),
        is_on,
        percent: Some(percent),
        decibel: Some(f32::from(percent) - 100.0),
    }
}

fn status(facts: &mut DoctorFacts) -> &mut Status {
    match &mut facts.node {
        Some(NodeAnswer::Runs(status)) => status,
        other => panic!("{other:?}"),
    }
}

fn set(facts: &mut DoctorFacts, text: &str) {
    facts.config.config = Config::parse(text).unwrap();
}

fn wlan(facts: &mut DoctorFacts) -> &mut Interface {
    &mut facts.network.as_mut().unwrap().interfaces[0]
}

fn stopped(facts: &mut DoctorFacts) {
    facts.node = Some(NodeAnswer::Absent);
}

/// Somebody with no rights but those of everybody.
fn guest(facts: &mut DoctorFacts) {
    facts.looker = Person {
        name: "pi".into(),
        uid: Some(1000),
        gids: vec![1000],
        group: "pi".into(),
    };
}

#[test]
fn nothing_is_wrong_with_what_is_well() {
    let findings = examine(&well());
    for finding in &findings {
        assert_eq!(finding.level, Level::Ok, "{finding:?}");
        assert!(
            !finding.seen.contains("2001:db8"),
            "whose house it is: {finding:?}"
        );
    }
    assert!(findings.len() > 12, "{findings:#?}");
}

/// A fault: what makes it of what is well, the check that finds it, how bad it is, and
/// words of the finding or of what mends it.
type Fault = (
    fn(&mut DoctorFacts),
    &'static str,
    Level,
    &'static [&'static str],
);

#[track_caller]
fn are_found(faults: &[Fault]) {
    for (number, (make, check, level, words)) in faults.iter().enumerate() {
        let mut facts = well();
        make(&mut facts);
        let findings = examine(&facts);
        let is_it = |finding: &&Finding| {
            let all = format!("{}\n{}", finding.seen, finding.mend.join("\n"));
            (finding.check, finding.level) == (*check, *level)
                && words.iter().all(|word| all.contains(word))
        };
        let found = findings.iter().find(is_it);
        assert!(
            found.is_some(),
            "{number}: no {level:?} {check} {words:?} in\n{findings:#?}"
        );
        let is_mended = found.is_some_and(|f| f.level == Level::Ok || !f.mend.is_empty());
        let by_itself = ["node", "key"].contains(check);
        assert!(
            is_mended || by_itself,
            "{number}: {found:?} does not say what to do"
        );
        // One fault is one finding.
        let worse = findings
            .iter()
            .filter(|f| f.level > Level::Ok && f.check != *check);
        assert_eq!(worse.count(), 0, "{number}: {findings:#?}");
    }
}

#[test]
fn sizes_are_said_as_people_do() {
    for (bytes, said) in [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (20 << 20, "20 MiB"),
        (5 << 29, "2.5 GiB"),
        (u64::MAX, "17179869183 GiB"),
    ] {
        assert_eq!(size(bytes), said);
    }
}
