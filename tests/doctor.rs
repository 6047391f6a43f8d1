//! `p2pmusic doctor`: every fault here is made for real, and must be found, with what
//! mends it; and whatever it prints, no key and no password is in it.

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::{
    fs,
    io::Read as _,
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use common::{
    audio::Music, can_mount, command, left_out::left_out_in_part, own_root::as_nobody, Setup,
    BINARY, PATIENCE,
};
use netns::Network;
use serde_json::Value;
use tempfile::TempDir;

const PASSWORD: &str = "sesame8675309";

/// A configuration with everything in it that a doctor looks at, and nothing wrong.
struct Home {
    dir: TempDir,
    key: String,
}

/// What the doctor said.
struct Report {
    code: Option<i32>,
    text: String,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Command::new(BINARY).arg("keygen").output().unwrap().stdout;
        let key = String::from_utf8(key).unwrap().trim().to_owned();
        let home = Self { dir, key };
        fs::write(home.path("key"), &home.key).unwrap();
        set_mode(&home.path("key"), 0o600);
        fs::create_dir(home.path("music")).unwrap();
        fs::write(home.path("music/song.flac"), "").unwrap();
        fs::write(
            home.path("asoundrc"),
            "pcm.testcard { type null hint { show on description \"a test's card\" } }\n",
        )
        .unwrap();
        let at = |name: &str| home.path(name).display().to_string();
        let text = format!(
            "name = \"kitchen\"\nstate_dir = {:?}\nswarm.key_file = {:?}\n\
             [peer]\nlisten = \"127.0.0.1:0\"\nadvertise = false\ntracker = \"none\"\n\
             music = [{:?}]\n\
             [cache]\ndir = {:?}\nmax = \"1 MiB\"\n[audio]\ndevice = \"testcard\"\n\
             [control]\nsocket = {:?}\nmpd = \"127.0.0.1:0\"\npassword = \"{PASSWORD}\"\n",
            at("state"),
            at("key"),
            at("music"),
            at("cache"),
            at("ctl.sock"),
        );
        fs::write(home.config(), text).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("p2pmusic.toml")
    }

    fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "no {from:?} in {text}");
        fs::write(self.config(), text.replacen(from, to, 1)).unwrap();
    }

    fn doctor(&self) -> Report {
        self.doctor_of(&[], BINARY.as_ref(), &[])
    }

    fn json(&self) -> Value {
        let report = self.doctor_of(&[], BINARY.as_ref(), &["--json"]);
        serde_json::from_str(&report.text).unwrap()
    }

    /// Runs it behind `prefix`; it must end by itself, whatever is wrong, and tell no
    /// secret.
    fn doctor_of(&self, prefix: &[String], binary: &Path, more: &[&str]) -> Report {
        let alsa = format!(
            "/usr/share/alsa/alsa.conf:{}",
            self.path("asoundrc").display()
        );
        let mut child = command(prefix, binary.to_str().unwrap())
            .args(["doctor", "--config"])
            .arg(self.config())
            .args(more)
            .env("ALSA_CONFIG_PATH", alsa)
            .env("HOME", self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let reading = thread::spawn(move || {
            let mut text = String::new();
            out.read_to_string(&mut text).map(|_| text)
        });
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("it does not end");
            }
            thread::sleep(Duration::from_millis(10));
        };
        let text = reading.join().unwrap().unwrap();
        for secret in [&self.key["p2pm1-".len()..], PASSWORD] {
            assert!(!text.contains(secret), "a secret is told:\n{text}");
        }
        Report {
            code: status.code(),
            text,
        }
    }
}

impl Report {
    /// The line of a check that has `words`, with what mends it.
    fn line(&self, level: &str, check: &str, words: &[&str]) -> String {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_line = |line: &&str| {
            let mut columns = line.split_whitespace();
            columns.next() == Some(level) && columns.next() == Some(check)
        };
        for (n, line) in lines.iter().enumerate().filter(|(_, line)| is_line(line)) {
            let mend = lines[n + 1..]
                .iter()
                .take_while(|line| line.starts_with("      "));
            let all: Vec<&str> = [*line].into_iter().chain(mend.copied()).collect();
            let all = all.join("\n");
            if words.iter().all(|word| all.contains(word)) {
                return all;
            }
        }
        panic!("no {level} {check} with {words:?} in\n{}", self.text);
    }

    #[track_caller]
    fn is_well(&self) {
        assert_eq!(self.code, Some(0), "{}", self.text);
    }

    /// Something is wrong, and the line says what and what to do.
    #[track_caller]
    fn finds(&self, check: &str, words: &[&str]) {
        self.line("wrong", check, words);
        assert_eq!(self.code, Some(1), "{}", self.text);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_node_that_is_well_is_found_well() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.1);
    let home = Home::new();
    let tracker = Setup::tracker().key(&home.key).start();
    let peer = Setup::peer("kitchen", &tracker)
        .key(&home.key)
        .music(music.path())
        .start();
    peer.wait_until_registered();
    peer.wait_for_tracks("kitchen", 1);
    set_mode(&peer.dir.path().join("key"), 0o600);
    fs::copy(peer.config(), home.config()).unwrap();
    let report = home.doctor();
    report.is_well();
    assert!(report.text.starts_with("p2pmusic  0."), "{}", report.text);
    report.line("ok", "node", &["registered with 127.0.0.1", "1 track"]);
    report.line("ok", "key", &["good"]);
    report.line("ok", "music", &[music.path().to_str().unwrap()]);
    report.line("ok", "ports", &["peer.listen", "p2pmusic's"]);
    report.line("ok", "tracker", &["answers"]);
    report.line("ok", "volume", &["30 %"]);
    report.line("note", "device", &["null"]);

    // What the node has to say is passed on, or said once by what mends it.
    fs::remove_dir_all(music.path()).unwrap();
    peer.ctl_ok(&["update"]);
    peer.wait_for_problem(music.path().to_str().unwrap());
    peer.ctl_ok(&["volume", "0"]);
    let report = home.doctor();
    report.finds("music", &[music.path().to_str().unwrap()]);
    report.finds("volume", &["0 %", "p2pmusic ctl volume 30"]);
    fs::create_dir(music.path()).unwrap();

    let at = tracker.tracker_address();
    drop(tracker);
    home.doctor()
        .finds("tracker", &[&at, "nobody answers", "systemctl status"]);
}

#[test]
fn what_would_run_is_found_well_before_it_does() {
    let home = Home::new();
    let report = home.doctor();
    report.is_well();
    report.line("note", "node", &["does not run"]);
    report.line("ok", "device", &["testcard opens, 44100 Hz"]);
    report.line("ok", "state", &["made at the start"]);
    let json = home.json();
    assert_eq!(json["wrong"], 0);
    assert_eq!(json["machine"]["p2pmusic"], env!("CARGO_PKG_VERSION"));
    let checks = json["checks"].as_array().unwrap();
    let key = checks.iter().find(|row| row["check"] == "key").unwrap();
    assert_eq!(key["level"], "ok");
    assert!(!home.path("state").exists(), "it changes nothing");
}

#[test]
fn a_broken_configuration_does_not_stop_the_rest() {
    for (from, to, words) in [
        ("[cache]", "[cash]", &["unknown field `cash`", "line 9"][..]),
        ("name = \"kitchen\"", "name = \"a/b\"", &["line 1", "slash"]),
        // A secret that is no text, one that is not closed, and one in a wrong place.
        (
            "password = \"sesame8675309\"",
            "password = [\"sesame8675309\"]",
            &["password"],
        ),
        (
            "password = \"sesame8675309\"",
            "password = \"sesame8675309",
            &["password"],
        ),
        ("mpd = \"127.0.0.1:0\"", "mpd = \"sesame8675309\"", &["mpd"]),
    ] {
        let home = Home::new();
        home.edit(from, to);
        let report = home.doctor();
        report.finds("config", &[words, &["p2pmusic check"]].concat());
        report.line("ok", "memory", &["available"]);
    }
    let home = Home::new();
    let key = home.key.clone();
    home.edit(
        "swarm.key_file = ",
        &format!("swarm.key = \"{key}\"\nswarm.key_file = "),
    );
    home.doctor().finds("config", &["line 3", "may be secret"]);
    fs::remove_file(home.config()).unwrap();
    home.doctor().finds("config", &["cannot be read"]);
}

#[test]
fn a_key_that_is_of_no_use_is_found() {
    let home = Home::new();
    let key = home.path("key");
    let path = key.to_str().unwrap();
    set_mode(&key, 0o644);
    home.doctor()
        .finds("key", &["every user", &format!("sudo chmod o= {path}")]);
    set_mode(&key, 0o600);
    let mut mistyped = home.key.clone();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'a' { 'b' } else { 'a' });
    fs::write(&key, mistyped).unwrap();
    home.doctor()
        .finds("key", &["line 1", "checksum", "keygen"]);
    fs::remove_file(&key).unwrap();
    home.doctor().finds("key", &[path, "not there", "keygen"]);
    home.edit("swarm.key_file", "#");
    home.doctor().line("note", "key", &["open"]);
}

#[test]
fn music_that_is_not_there_is_found() {
    let home = Home::new();
    let music = home.path("music");
    let path = music.to_str().unwrap();
    fs::rename(music.join("song.flac"), music.join("song.txt")).unwrap();
    home.doctor().finds("music", &[path, "1 file", "FLAC"]);
    fs::remove_file(music.join("song.txt")).unwrap();
    home.doctor().finds("music", &[path, "empty", "mount"]);
    fs::remove_dir(&music).unwrap();
    home.doctor().finds("music", &[path, "not there", "mount"]);
    fs::write(&music, "").unwrap();
    home.doctor().finds("music", &[path, "not a directory"]);
}

#[test]
fn a_port_that_another_program_has_is_found() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    home.edit(
        "listen = \"127.0.0.1:0\"",
        &format!("listen = \"{}\"", udp.local_addr().unwrap()),
    );
    home.edit(
        "mpd = \"127.0.0.1:0\"",
        &format!("mpd = \"{}\"", tcp.local_addr().unwrap()),
    );
    let me = format!("(pid {})", std::process::id());
    let report = home.doctor();
    report.finds("ports", &["UDP", "peer.listen", &me, "stop that program"]);
    report.finds("ports", &["TCP", "control.mpd", &me]);
}

#[test]
fn a_device_that_is_not_there_is_found() {
    let home = Home::new();
    home.edit("\"testcard\"", "\"gramophone\"");
    home.doctor()
        .finds("device", &["gramophone", "testcard", "[audio]"]);
    home.edit("[audio]", "[audio]\nmax_volume = 0");
    home.doctor()
        .finds("volume", &["max_volume", "nothing is heard"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_found() {
    let home = Home::new();
    fs::write(home.path("state"), "").unwrap();
    home.doctor().finds("state", &["not a directory"]);
    fs::remove_file(home.path("state")).unwrap();
    if !nix::unistd::geteuid().is_root() {
        fs::create_dir(home.path("state")).unwrap();
        set_mode(&home.path("state"), 0o500);
        home.doctor()
            .finds("state", &["cannot write", "sudo chown"]);
    }
    if !can_mount() {
        return;
    }
    // A card that went bad, as far as the kernel tells.
    let dir = home.dir.path().display();
    let script =
        format!("mount --bind {dir} {dir} && mount -o remount,ro,bind {dir} && exec \"$@\"");
    let prefix = ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned);
    let report = home.doctor_of(&prefix, BINARY.as_ref(), &[]);
    report.finds("state", &["read-only", "dmesg"]);
    report.finds("cache", &["read-only"]);
    let script = format!(
        "mkdir {dir}/state && mount -t tmpfs -o size=64m none {dir}/state && \
         exec \"$@\""
    );
    let prefix = ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned);
    let report = home.doctor_of(&prefix, BINARY.as_ref(), &[]);
    report.line("note", "state", &["in memory", "identity"]);
}

#[test]
fn what_hangs_is_a_finding_and_holds_up_nothing_else() {
    let home = Home::new();
    let key = home.path("key");
    fs::remove_file(&key).unwrap();
    let made = Command::new("mkfifo").arg(&key).status().unwrap();
    assert!(made.success());
    // Opening it waits for a writer, which never comes.
    let report = home.doctor();
    report.finds("key", &["did not answer in time"]);
    report.line("ok", "music", &["has music"]);
    if !can_mount() {
        return;
    }
    let fuse = fs::File::options().read(true).write(true).open("/dev/fuse");
    if fuse.is_err() {
        return left_out_in_part("a file system that hangs needs /dev/fuse");
    }
    // A server of files that is off: each look waits.
    let music = home.path("music");
    let options = "fd=3,rootmode=40000,user_id=0,group_id=0,allow_other";
    let script = format!(
        "exec 3<>/dev/fuse && mount -i -t fuse -o {options} silent {} && exec \"$@\"",
        music.display()
    );
    let prefix = ["unshare", "-m", "sh", "-c", &script, "sh"].map(str::to_owned);
    let report = home.doctor_of(&prefix, BINARY.as_ref(), &[]);
    report.finds(
        "music",
        &[music.to_str().unwrap(), "did not answer in time", "nfs"],
    );
    report.line("ok", "cache", &["made at the start"]);
}

#[test]
fn a_configuration_that_hangs_is_a_finding() {
    let home = Home::new();
    fs::remove_file(home.config()).unwrap();
    let made = Command::new("mkfifo").arg(home.config()).status().unwrap();
    assert!(made.success());
    let report = home.doctor();
    report.finds("config", &["did not answer in time"]);
    report.line("ok", "memory", &["available"]);
}

#[test]
fn who_may_not_look_is_told_so() {
    let Some(nobody) = as_nobody() else { return };
    let home = Home::new();
    let tracker = Setup::tracker().key(&home.key).start();
    let music = home.path("music");
    let peer = Setup::peer("kitchen", &tracker)
        .key(&home.key)
        .music(&music)
        .start();
    peer.wait_until_registered();
    fs::copy(peer.config(), home.config()).unwrap();
    for dir in [&home.dir, &peer.dir] {
        set_mode(dir.path(), 0o755);
    }
    set_mode(&peer.dir.path().join("key"), 0o640);
    set_mode(&music, 0o700);
    // Where it was built may be nobody's business.
    let binary = home.path("p2pmusic");
    fs::copy(BINARY, &binary).unwrap();
    let report = home.doctor_of(&nobody, &binary, &[]);
    report.is_well();
    assert!(report.text.contains("sees more"), "{}", report.text);
    report.line("note", "key", &["may not read"]);
    report.line(
        "note",
        "node",
        &["usermod -aG audio", "sudo p2pmusic doctor"],
    );
    report.line(
        "note",
        "music",
        &[
            music.to_str().unwrap(),
            "may not look",
            "sudo p2pmusic doctor",
        ],
    );
    set_mode(&home.config(), 0o600);
    let report = home.doctor_of(&nobody, &binary, &[]);
    report.line("note", "config", &["may not read", "sudo p2pmusic doctor"]);
}

/// The service's user is another than the doctor's.
#[test]
fn what_the_node_may_not_read_is_found_by_who_may() {
    let Some(nobody) = as_nobody() else { return };
    let home = Home::new();
    let binary = home.path("p2pmusic");
    fs::copy(BINARY, &binary).unwrap();
    for name in ["", "state", "cache", "run"] {
        let _ = fs::create_dir(home.path(name));
        set_mode(&home.path(name), 0o777);
    }
    for name in ["key", "asoundrc"] {
        set_mode(&home.path(name), 0o644);
    }
    home.edit("\"testcard\"", "\"null\"");
    let config = home.config();
    let mut node = command(&nobody, binary.to_str().unwrap())
        .args(["run", "--config"])
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while std::os::unix::net::UnixStream::connect(home.path("ctl.sock")).is_err() {
        assert!(Instant::now() < deadline, "it does not start");
        thread::sleep(Duration::from_millis(20));
    }
    set_mode(&home.path("key"), 0o600);
    set_mode(&home.path("music"), 0o700);
    set_mode(&home.path("cache"), 0o755);
    std::os::unix::fs::chown(home.path("cache"), Some(0), Some(0)).unwrap();
    let report = home.doctor();
    node.kill().unwrap();
    node.wait().unwrap();
    let key = home.path("key").display().to_string();
    let music = home.path("music").display().to_string();
    report.finds("key", &["nobody cannot read", &key, "sudo chgrp nogroup"]);
    report.finds(
        "music",
        &["nobody cannot read", &music, "sudo chmod -R o+rX"],
    );
    report.finds("cache", &["nobody cannot write", "sudo chown -R nobody:"]);
}

#[test]
fn neighbours_are_heard_by_multicast_or_it_is_said_what_to_do() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let home = Home::new();
    home.edit("127.0.0.1:0", "[::]:0");
    home.edit("tracker = \"none\"\n", "");
    let prefix = network.prefix(0);
    let report = home.doctor_of(&prefix, BINARY.as_ref(), &[]);
    report.line("ok", "network", &["cable: 10.98.0.1"]);
    report.line(
        "note",
        "multicast",
        &[
            "no other tracker, 0 other peers",
            "role = \"both\"",
            "tracker =",
        ],
    );

    let neighbour = Setup {
        listen: Some("[::]:0".into()),
        advertised: true,
        name: Some("attic"),
        role: "both",
        prefix: network.prefix(1),
        ..Setup::default()
    };
    let neighbour = neighbour.start();
    neighbour.reconfigure("advertise = false", "advertise = true");
    let neighbour = neighbour.restart();
    neighbour.wait_for_status("itself", |status| status["node"]["role"] == "both");
    let report = home.doctor_of(&prefix, BINARY.as_ref(), &[]);
    report.line("ok", "multicast", &["attic", "1 other peer"]);
    assert!(
        !report.text.contains("does not come back"),
        "{}",
        report.text
    );

    match block_mdns(&prefix) {
        Ok(()) => {
            let report = home.doctor_of(&prefix, BINARY.as_ref(), &[]);
            report.line(
                "note",
                "multicast",
                &["cable", "does not come back", "5353"],
            );
        }
        Err(why) => left_out_in_part(&format!("no firewall can be made here: {why}")),
    }

    network
        .ip(0, &["link", "set", "cable", "multicast", "off"])
        .unwrap();
    let report = home.doctor_of(&prefix, BINARY.as_ref(), &[]);
    report.line("note", "multicast", &["cable", "multicast on"]);
    for interface in ["cable", "nowhere", "beyond"] {
        network.ip(0, &["link", "set", interface, "down"]).unwrap();
    }
    home.doctor_of(&prefix, BINARY.as_ref(), &[])
        .finds("network", &["no address"]);
}

/// Has a firewall drop what comes to the port of mDNS.
fn block_mdns(prefix: &[String]) -> Result<(), String> {
    for words in [
        "add table inet house",
        "add chain inet house input { type filter hook input priority 0 ; }",
        "add rule inet house input udp dport 5353 drop",
    ] {
        let output = command(prefix, "nft").args(words.split(' ')).output();
        let output = output.map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    Ok(())
}
