//! The unit of systemd: that it is valid, how much it lets the service do, and that
//! whatever it allows is explained in it. How it fares in a booted system is for a test of
//! its own.
//!
//! What needs a tool that is not here is left out.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use common::{audio::Music, left_out::left_out, own_root::as_root, Setup, BINARY};
use serde_json::Value;
use tempfile::TempDir;

/// What `systemd-analyze security` may say at most, of 100: a speaker cannot do without
/// network and sound card, which alone are 11 or so.
const MAX_EXPOSURE: &str = "15";

/// A directory of units with ours in it, which runs the binary under test.
struct Units(TempDir);

impl Units {
    fn of_a_speaker() -> Self {
        let units = Self(tempfile::tempdir().unwrap());
        let text = fs::read_to_string(source("p2pmusic.service")).unwrap();
        assert!(text.contains("ExecStart=/usr/bin/p2pmusic "));
        fs::write(units.unit(), text.replace("/usr/bin/p2pmusic", BINARY)).unwrap();
        units
    }

    fn of_a_tracker() -> Self {
        let units = Self::of_a_speaker();
        let drop_ins = units.0.path().join("p2pmusic.service.d");
        fs::create_dir(&drop_ins).unwrap();
        let drop_in = source("p2pmusic.service.d/tracker.conf");
        fs::copy(drop_in, drop_ins.join("tracker.conf")).unwrap();
        units
    }

    fn unit(&self) -> PathBuf {
        self.0.path().join("p2pmusic.service")
    }

    fn analyze(&self, words: &[&str]) -> Output {
        let mut command = Command::new("systemd-analyze");
        let command = command.args(words).arg(self.unit());
        command.output().expect("it was tried before")
    }
}

fn source(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("systemd").join(name)
}

/// Where systemd's tools write, too. Without it, as in a container that has not booted, they
/// make it, for which they must be root.
const SYSTEMD_RUN: &str = "/run/systemd";

/// Whether systemd's checks are to be had; otherwise the test is left out, or done already.
fn can_analyze() -> bool {
    if !Path::new(SYSTEMD_RUN).exists() && !as_root() {
        return false;
    }
    // The review of files, without a running system, came with 250.
    let help = Command::new("systemd-analyze").arg("--help").output();
    let can = help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--offline"));
    if !can {
        left_out("there is no systemd-analyze, or one older than 250");
    }
    can
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    if !can_analyze() {
        return;
    }
    for units in [Units::of_a_speaker(), Units::of_a_tracker()] {
        // The manual is installed beside it, not here.
        let verified = units.analyze(&["--man=no", "verify"]);
        let said = said(&verified);
        // A system's other units may have faults of their own.
        let ours = said.lines().find(|line| line.contains("p2pmusic"));
        assert!(verified.status.success() && ours.is_none(), "{said}");
    }
}

#[test]
fn the_service_may_do_little_and_every_point_is_explained() {
    if !can_analyze() {
        return;
    }
    let text = ["p2pmusic.service", "p2pmusic.service.d/tracker.conf"];
    let text = text.map(|name| fs::read_to_string(source(name)).unwrap());
    let comments: Vec<&str> = text
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.starts_with('#'))
        .collect();
    let comments = comments.join("\n");
    for units in [Units::of_a_speaker(), Units::of_a_tracker()] {
        let threshold = format!("--threshold={MAX_EXPOSURE}");
        let words = ["security", "--offline=true", "--no-pager", &threshold];
        let reviewed = units.analyze(&words);
        assert!(reviewed.status.success(), "{}", said(&reviewed));

        let points = units.analyze(&["security", "--offline=true", "--json=short"]);
        let points: Vec<Value> = serde_json::from_slice(&points.stdout).unwrap();
        let open = points.iter().filter(|point| point["set"] == false);
        let open: Vec<&str> = open.filter_map(|point| point["name"].as_str()).collect();
        assert!(open.contains(&"PrivateNetwork="), "{open:?}");
        for point in open {
            // RestrictAddressFamilies=~AF_UNIX, RootDirectory=/RootImage=
            let (setting, value) = point.split_once('=').unwrap();
            let value = value.trim_start_matches('~');
            let word = match value.strip_prefix("AF_(") {
                _ if !value.starts_with("AF_") => setting,
                Some(_) => "AF_INET",
                None => value,
            };
            assert!(comments.contains(word), "{point} is not explained");
        }
    }
}

/// The user is there, may use sound cards, and finds its files.
#[test]
fn the_user_is_made_in_the_group_audio() {
    if !as_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let made = Command::new("systemd-sysusers")
        .arg(format!("--root={}", root.path().display()))
        .arg("-")
        .stdin(fs::File::open(source("p2pmusic.sysusers")).unwrap())
        .stdout(Stdio::null())
        .output();
    let made = match made {
        Ok(made) => made,
        Err(why) => return left_out(&format!("systemd-sysusers: {why}")),
    };
    assert!(made.status.success(), "{}", said(&made));
    let read = |name: &str| fs::read_to_string(root.path().join("etc").join(name)).unwrap();
    let users = read("passwd");
    let user = users.lines().find(|line| line.starts_with("p2pmusic:"));
    let user = user.unwrap_or_else(|| panic!("no p2pmusic in {users}"));
    assert!(user.contains(":/var/lib/p2pmusic:"), "{user}");
    assert!(user.ends_with("nologin"), "{user}");
    let groups = read("group");
    let audio = groups.lines().find(|line| line.starts_with("audio:"));
    assert!(audio.is_some_and(|l| l.ends_with(":p2pmusic")), "{groups}");
}

/// A card that is never written: what the service may write is in memory.
#[test]
fn it_plays_on_a_root_that_is_read_only() {
    if !as_root() {
        return;
    }
    // All but the directory of tests, in which the node has its own.
    let tmp = std::env::temp_dir();
    let script = format!(
        "mount --bind {tmp} {tmp} && mount -o remount,bind,ro / && exec \"$0\" \"$@\"",
        tmp = tmp.display()
    );
    let read_only = ["unshare", "-m", "sh", "-c", &script];
    let tried = Command::new(read_only[0])
        .args(&read_only[1..])
        .args(["touch", "/etc/p2pmusic.test"])
        .output()
        .unwrap();
    if !said(&tried).contains("Read-only file system") {
        return left_out(&format!(
            "the root cannot be made read-only here: {}",
            said(&tried)
        ));
    }
    let music = Music::new();
    music.wav("aria.wav", 44_100, 60.0);
    let [state, cache] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let setup = Setup {
        role: "both",
        name: Some("kitchen"),
        tracker: Some("auto".into()),
        state: Some(state.path().into()),
        cache: Some(cache.path().into()),
        prefix: read_only.map(str::to_owned).into(),
        ..Setup::default()
    };
    let mut node = setup.music(music.path()).start();
    node.wait_until_registered();
    node.wait_for_tracks("kitchen", 1);
    node.ctl_ok(&["play", "aria"]);
    node.wait_for_sound();
    node.wait_for_no_problem();
    node.signal("TERM");
    assert!(node.wait_for_exit().success());
    assert!(state.path().join("identity.key").exists());
}
