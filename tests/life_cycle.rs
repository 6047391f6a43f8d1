//! The life of the process: what a service manager hears of it, how it takes
//! signals, and how it ends, whatever it is doing.

mod common;

use std::{
    fs, io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use common::{
    audio::{self, Music},
    own_root::as_nobody,
    Node, Setup, BINARY, PATIENCE,
};
use nix::{sys::stat::Mode, unistd::mkfifo};

/// What systemd would allow in these tests.
const WATCHDOG: Duration = Duration::from_secs(4);

/// A service manager: the socket of `NOTIFY_SOCKET` and all that it heard.
struct Manager {
    socket: UnixDatagram,
    name: String,
    heard: Vec<(Instant, String)>,
}

impl Manager {
    fn new(address: &SocketAddr, name: String) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let heard = Vec::new();
        Self {
            socket,
            name,
            heard,
        }
    }

    fn at(path: PathBuf) -> Self {
        let name = path.to_str().unwrap().to_owned();
        Self::new(&SocketAddr::from_pathname(path).unwrap(), name)
    }

    fn nowhere(name: &str) -> Self {
        let name = format!("p2pmusic-test-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self::new(&address, format!("@{name}"))
    }

    fn env(&self) -> Vec<(String, String)> {
        let micros = WATCHDOG.as_micros().to_string();
        vec![
            ("NOTIFY_SOCKET".into(), self.name.clone()),
            ("WATCHDOG_USEC".into(), micros),
        ]
    }

    /// Whether something was said, for which it waits a moment.
    fn listen(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let Ok(length) = self.socket.recv(&mut bytes) else {
            return false;
        };
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        self.heard.push((Instant::now(), text));
        true
    }

    /// Waits for a message that pleases `is`, from the `from`th on; gives its
    /// number.
    fn wait(&mut self, from: usize, what: &str, is: impl Fn(&str) -> bool) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut heard = self.heard.iter().skip(from);
            if let Some(n) = heard.position(|(_, text)| is(text)) {
                return from + n;
            }
            assert!(Instant::now() < deadline, "no {what} in {:?}", self.heard);
            self.listen();
        }
    }

    fn hears(&mut self, from: usize, text: &str) -> usize {
        self.wait(from, text, |heard| heard == text)
    }
}

#[test]
fn a_service_manager_hears_of_the_whole_life_in_every_role() {
    let dir = tempfile::tempdir().unwrap();
    for (role, mut manager) in [
        ("tracker", Manager::nowhere("tracker")),
        ("peer", Manager::at(dir.path().join("notify"))),
        ("both", Manager::nowhere("both")),
    ] {
        let setup = Setup {
            role,
            name: Some("kitchen"),
            env: manager.env(),
            ..Setup::default()
        };
        let mut node = setup.start();
        let ready = manager.hears(0, "READY=1");
        let is_status = |text: &str| text.starts_with("STATUS=");
        manager.wait(0, "STATUS", is_status);

        let mut pets = Vec::new();
        let mut from = 0;
        for _ in 0..3 {
            from = manager.hears(from, "WATCHDOG=1") + 1;
            pets.push(manager.heard[from - 1].0);
        }
        let longest = pets.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest < Some(WATCHDOG), "{role}: {longest:?}");

        node.signal("HUP");
        let is_reload = |text: &str| text.starts_with("RELOADING=1\nMONOTONIC_USEC=");
        let reload = manager.wait(ready, "RELOADING", is_reload);
        let since = manager.heard[reload].1.rsplit('=').next().unwrap();
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let since = since.parse::<f64>().unwrap() / 1e6;
        assert!(since > 0.0 && since < uptime + 1.0, "{since} of {uptime}");
        let again = manager.hears(reload, "READY=1");
        assert!(again > reload);

        node.signal("TERM");
        manager.hears(again, "STOPPING=1");
        assert!(node.wait_for_exit().success(), "{role}");
    }
}

#[test]
fn the_status_line_says_what_plays_and_who_is_here() {
    let mut managers = ["tracker", "kitchen"].map(|name| Manager::nowhere(&format!("{name}-line")));
    let music = Music::new();
    music.wav("aria.wav", 44_100, 60.0);
    let tracker = Setup {
        env: managers[0].env(),
        ..Setup::tracker()
    }
    .start();
    let kitchen = Setup {
        env: managers[1].env(),
        ..Setup::peer("kitchen", &tracker)
    }
    .start();
    let attic = Setup::peer("attic", &tracker).music(music.path()).start();
    kitchen.wait_for_tracks("attic", 1);
    kitchen.ctl_ok(&["play", "aria"]);
    managers[1].wait(0, "what plays and who is here", |text| {
        let words = ["STATUS=playing attic/aria.wav", "sees attic", "registered"];
        words.iter().all(|words| text.contains(words))
    });
    let is_list = |text: &str| {
        text.starts_with("STATUS=tracker of ") && text.contains("attic") && text.contains("kitchen")
    };
    managers[0].wait(0, "both names", is_list);
    drop(attic);
}

/// A node that is started after it finds it there.
#[test]
fn ready_is_said_when_others_can_come() {
    for role in ["tracker", "peer", "both"] {
        let mut manager = Manager::nowhere(&format!("ready-{role}"));
        let setup = Setup {
            role,
            env: manager.env(),
            ..Setup::default()
        };
        let node = setup.launch();
        manager.hears(0, "READY=1");
        UnixStream::connect(node.socket()).unwrap();
        if role != "peer" {
            TcpStream::connect(node.tracker_address()).unwrap();
        }
        if role != "tracker" {
            let at = node.wait_for_line("peer listens on ");
            let at = at.rsplit(' ').next().unwrap().to_owned();
            let taken = UdpSocket::bind(at).map_err(|e| e.kind());
            assert_eq!(taken.err(), Some(io::ErrorKind::AddrInUse), "{role}");
        }
    }
}

/// One that hangs is restarted: nothing pets the watchdog for it.
#[test]
fn a_node_that_hangs_is_not_said_to_live() {
    let mut manager = Manager::nowhere("hangs");
    let setup = Setup {
        role: "both",
        env: manager.env(),
        ..Setup::default()
    };
    let node = setup.start();
    manager.hears(0, "WATCHDOG=1");
    node.signal("STOP");
    while manager.listen() {}
    let from = manager.heard.len();
    let begun = Instant::now();
    while begun.elapsed() < WATCHDOG {
        manager.listen();
    }
    assert_eq!(manager.heard.len(), from, "{:?}", manager.heard);
    node.signal("CONT");
    manager.hears(from, "WATCHDOG=1");
}

/// However often somebody changes their mind, in the end it says what is.
#[test]
fn the_status_line_is_not_said_at_every_change() {
    let mut manager = Manager::nowhere("often");
    let music = Music::new();
    music.wav("aria.wav", 44_100, 60.0);
    let setup = Setup {
        role: "peer",
        name: Some("kitchen"),
        env: manager.env(),
        ..Setup::default()
    };
    let node = setup.music(music.path()).start();
    node.wait_for_tracks("kitchen", 1);
    node.ctl_ok(&["play", "aria"]);
    let playing = |text: &str| text.starts_with("STATUS=playing kitchen/aria.wav");
    let from = manager.wait(0, "what plays", playing);
    let begun = Instant::now();
    for _ in 0..20 {
        node.ctl_ok(&["pause"]);
        node.ctl_ok(&["resume"]);
        // The kernel holds ten messages for a manager that does not listen.
        while manager.listen() {}
    }
    node.ctl_ok(&["stop"]);
    let stopped = |text: &str| text.starts_with("STATUS=stopped");
    let last = manager.wait(from, "the end", stopped);
    let is_status = |(_, text): &&(_, String)| text.starts_with("STATUS=");
    let count = manager.heard[from + 1..=last]
        .iter()
        .filter(is_status)
        .count();
    // One every two seconds, and the first at once.
    let bound = begun.elapsed().as_secs() as usize / 2 + 2;
    assert!(count <= bound, "{count} in {:?}", begun.elapsed());
}

/// Sends SIGTERM; the node must end by itself, with success. It promises two
/// seconds; a machine that is busy with other tests gets some more.
fn ends(mut node: Node, what: &str) {
    let begun = Instant::now();
    node.signal("TERM");
    let status = node.wait_for_exit();
    let took = begun.elapsed();
    eprintln!("{what}: ended after {took:.2?}");
    assert_eq!(status.code(), Some(0), "{what}: {status:?}\n{}", node.log());
    assert!(took < Duration::from_secs(5), "{what}: {took:?}");
    assert!(!node.socket().exists(), "{what}: the socket is left behind");
}

#[test]
fn it_ends_while_the_device_is_stuck() {
    let music = Music::new();
    music.wav("aria.wav", 44_100, 5.0);
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("out");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let node = Setup {
        role: "peer",
        name: Some("kitchen"),
        ..Setup::default()
    };
    let node = node
        .music(music.path())
        .device(format!("wav:{}", pipe.display()))
        .start();
    node.wait_for_tracks("kitchen", 1);
    node.ctl_ok(&["volume", "17"]);
    node.ctl_ok(&["play", "aria"]);
    node.wait_for_status("playing", |s| s["status"]["state"] == "play");
    let memory = node.dir.path().join("state/memory.json");
    let pid = node.pid();
    // The directory goes with the node.
    let copy = dir.path().join("memory.json");
    let mut node = node;
    node.signal("TERM");
    assert_eq!(node.wait_for_exit().code(), Some(0), "process {pid}");
    fs::copy(memory, &copy).unwrap();
    let saved = fs::read_to_string(copy).unwrap();
    assert!(saved.contains("\"volume\":17"), "{saved}");
}

#[test]
fn it_ends_while_the_tracker_does_not_answer() {
    // It accepts, as the kernel does for everybody, and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = mute.local_addr().unwrap().to_string();
    let node = Setup {
        role: "peer",
        tracker: Some(at.clone()),
        ..Setup::default()
    }
    .start();
    node.wait_for_status("the attempt", |s| {
        s["node"]["tracker"] == format!("connecting to {at}")
    });
    ends(node, "connecting");

    let tracker = Setup::tracker().start();
    let node = Setup::peer("kitchen", &tracker).start();
    node.wait_until_registered();
    tracker.signal("STOP");
    ends(node, "registered with a tracker that hangs");
}

#[test]
fn it_ends_while_bytes_are_on_their_way() {
    let music = Music::new();
    let sound = audio::frames(44_100, 30.0, 1);
    audio::write_sparse_wav(&music.path().join("long.wav"), 44_100, 1500, &[(0, &sound)]);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("owner", &tracker).music(music.path()).start();
    let peers = ["one", "two"].map(|name| {
        let peer = Setup::peer(name, &tracker).start();
        peer.wait_for_tracks("owner", 1);
        peer.ctl_ok(&["play", "long"]);
        peer
    });
    let [one, two] = peers;
    // The owner hashes the file for the first request, which takes a while.
    ends(one, "while its track is being resolved");
    two.wait_for_sound();
    two.wait_for_arrival(0.001);
    ends(two, "while a track arrives");
    ends(owner, "an owner that has served");
    ends(tracker, "a tracker");
}

#[test]
fn it_ends_on_sigint_too_and_a_second_signal_changes_nothing() {
    let tracker = Setup::tracker().start();
    let mut node = Setup::peer("kitchen", &tracker).start();
    node.wait_until_registered();
    tracker.signal("STOP"); // so that leaving takes its time
    node.signal("INT");
    node.wait_for_line("leaving");
    node.signal("TERM");
    node.signal("INT");
    node.signal("HUP");
    assert_eq!(node.wait_for_exit().code(), Some(0));
}

#[test]
fn who_ends_has_left_the_swarm() {
    let tracker = Setup::tracker().start();
    let kitchen = Setup::peer("kitchen", &tracker).start();
    let mut attic = Setup::peer("attic", &tracker).start();
    kitchen.wait_for_peers(&["kitchen", "attic"]);
    attic.signal("TERM");
    assert!(attic.wait_for_exit().success());
    assert!(attic.log().contains("left the swarm"));
    assert!(!attic.log().contains("did not answer"), "{}", attic.log());
    kitchen.wait_for_peers(&["kitchen"]);
}

#[test]
fn sighup_makes_of_the_configuration_what_can_be_made() {
    let (old, new) = (Music::new(), Music::new());
    old.wav("old.wav", 44_100, 0.2);
    new.wav("new.wav", 44_100, 0.2);
    let trackers = [(); 2].map(|()| Setup::tracker().start());
    let [here, there] = [&trackers[0], &trackers[1]].map(Node::tracker_address);
    let node = Setup::peer("kitchen", &trackers[0])
        .music(old.path())
        .start();
    node.wait_until_registered();
    node.wait_for_tracks("kitchen", 1);
    node.ctl_ok(&["volume", "90"]);

    node.reconfigure(
        &format!("music = [{:?}]", old.path()),
        &format!("music = [{:?}]", new.path()),
    );
    node.reconfigure("[cache]\n", "[cache]\nmax = \"1 MiB\"\n");
    node.reconfigure("[audio]\n", "[audio]\nmax_volume = 40\n");
    node.reconfigure(&here, &there);
    node.reconfigure("level = \"debug\"", "level = \"trace\"");
    node.signal("HUP");

    let line = node.wait_for_line("in effect now");
    for key in [
        "peer.music",
        "cache.max",
        "audio.max_volume",
        "peer.tracker",
        "log.level",
    ] {
        assert!(line.contains(key), "no {key} in {line}");
    }
    node.wait_for_status("the volume that is allowed", |s| {
        s["status"]["volume"] == 40
    });
    node.wait_for_line("TRACE");
    node.wait_for(&["search", "new"], "the new music", |found| {
        found[0]["file"] == "kitchen/new.wav"
    });
    node.wait_for(&["search", "old"], "the old music gone", |found| {
        found.as_array().is_some_and(Vec::is_empty)
    });
    trackers[1].wait_for_peers(&["kitchen"]);
    trackers[0].wait_for_peers(&[]);
    // What is new is watched, too.
    new.wav("newer.wav", 44_100, 0.2);
    node.wait_for_tracks("kitchen", 2);
    node.wait_for_no_problem();

    node.reconfigure("level = \"trace\"", "level = \"warn\"");
    node.signal("HUP");
    node.wait_for_line("in effect now: log.level");
}

#[test]
fn sighup_names_what_needs_a_restart_until_it_has_one() {
    let tracker = Setup::tracker().start();
    let node = Setup::peer("kitchen", &tracker).start();
    for (node, section) in [(&node, "[peer]"), (&tracker, "[tracker]")] {
        let (was, is) = (
            format!("{section}\nlisten = "),
            format!("{section}\nlisten = \"127.0.0.1:1\" #"),
        );
        node.reconfigure(&was, &is);
        node.signal("HUP");
        let key = format!("`{}.listen`", section.trim_matches(['[', ']']));
        let problem = node.wait_for_problem(&key);
        for words in [node.config().to_str().unwrap(), "restart"] {
            assert!(problem.contains(words), "{problem}");
        }
        node.wait_for_line(&problem);
        assert!(node.ctl_ok(&["status"]).contains(&problem));
        node.reconfigure(&is, &was);
        node.signal("HUP");
        node.wait_for_no_problem();
    }
    node.wait_until_registered();
}

#[test]
fn sighup_keeps_the_old_configuration_when_the_new_one_is_broken() {
    let tracker = Setup::tracker().start();
    let node = Setup::peer("kitchen", &tracker).start();
    node.ctl_ok(&["volume", "70"]);
    for node in [&node, &tracker] {
        node.reconfigure("[audio]\n", "[audio]\nmax_volume = 300\n");
        let text = fs::read_to_string(node.config()).unwrap();
        let is_it = |line: &str| line == "max_volume = 300";
        let line = text.lines().position(is_it).unwrap() + 1;
        node.signal("HUP");
        let problem = node.wait_for_problem("stays as it was");
        for words in [
            node.config().to_str().unwrap(),
            &format!("line {line}"),
            "max_volume",
            "0 to 100",
        ] {
            assert!(problem.contains(words), "no {words:?} in {problem}");
        }
        node.wait_for_line(&problem);
    }
    assert_eq!(node.json(&["status"])["status"]["volume"], 70);
    for node in [&node, &tracker] {
        node.reconfigure("max_volume = 300", "max_volume = 60");
        node.signal("HUP");
        node.wait_for_no_problem();
    }
    node.wait_for_status("the new limit", |s| s["status"]["volume"] == 60);
}

/// A swarm gets another key, and nobody is restarted for it.
#[test]
fn sighup_reads_the_keys_again() {
    let [old, new] = [(); 2].map(|()| {
        let output = Command::new(BINARY).arg("keygen").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    });
    let tracker = Setup::tracker().key(&old).start();
    let kitchen = Setup::peer("kitchen", &tracker).key(&old).start();
    kitchen.wait_until_registered();
    let attic = Setup::peer("attic", &tracker).key(&new).start();
    attic.wait_for_problem("another key");
    let use_keys = |node: &Node, keys: String| {
        fs::write(node.dir.path().join("key"), keys).unwrap();
        node.signal("HUP");
        node.wait_for_line("in effect now: swarm.key_file");
    };
    for node in [&tracker, &kitchen] {
        use_keys(node, format!("{new}{old}"));
    }
    attic.wait_until_registered();
    kitchen.wait_for_peers(&["attic", "kitchen"]);

    // A file that is no key's changes nothing.
    fs::write(kitchen.dir.path().join("key"), "sesame").unwrap();
    kitchen.signal("HUP");
    let problem = kitchen.wait_for_problem("stays as it was");
    assert!(
        problem.contains("line 1") && !problem.contains("sesame"),
        "{problem}"
    );
    kitchen.wait_for_peers(&["attic", "kitchen"]);
}

/// Of a process that this user may not look into, its user is named.
#[test]
fn a_port_of_another_users_process_names_the_user() {
    let Some(prefix) = as_nobody() else { return };
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (role, at, key) in [
        ("tracker", tcp.local_addr().unwrap(), "tracker.listen"),
        ("peer", udp.local_addr().unwrap(), "peer.listen"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        fs::create_dir(&home).unwrap();
        for open in [dir.path(), &home] {
            open_to_all(open);
        }
        let config = dir.path().join("p2pmusic.toml");
        let text = format!(
            "role = {role:?}\nstate_dir = {home:?}\n{key} = \"{at}\"\n\
             cache.dir = {home:?}\ncontrol.socket = {:?}\n",
            home.join("ctl.sock")
        );
        fs::write(&config, text).unwrap();
        let binary = dir.path().join("p2pmusic");
        fs::copy(BINARY, &binary).unwrap();
        let output = common::command(&prefix, binary.to_str().unwrap())
            .args(["run", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for words in [&at.to_string(), key, "a process of the user root"] {
            assert!(said.contains(words), "no {words:?} in {said}");
        }
    }
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
}
