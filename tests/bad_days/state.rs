//! What a node keeps of itself, damaged.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{symlink, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    common::{audio::Music, can_mount, Node, Setup, BINARY, PATIENCE},
    mounts, problems, times_said, wait_until_well,
};

fn lone_peer(music: &Path) -> Setup {
    Setup {
        role: "peer",
        name: Some("lone"),
        ..Setup::default()
    }
    .music(music)
}

fn state(node: &Node) -> PathBuf {
    node.dir.path().join("state")
}

type Damage = fn(&Path);

/// What can become of a file.
const DAMAGES: [(&str, Damage); 5] = [
    ("garbage", |path| fs::write(path, [0xa5; 3000]).unwrap()),
    ("half of it", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("nothing", |path| fs::write(path, "").unwrap()),
    ("a directory", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
        fs::write(path.join("something"), "").unwrap();
    }),
    ("gone", |path| fs::remove_file(path).unwrap()),
];

/// The epoch that the node writes beside its index.
fn epoch(node: &Node) -> u64 {
    let text = fs::read_to_string(state(node).join("library.epoch")).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn a_damaged_index_is_put_aside_and_the_swarm_sees_the_music_again() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.3);
    let tracker = Setup::tracker().start();
    let other = Setup::peer("other", &tracker).start();
    let mut node = Setup::peer("owner", &tracker).music(music.path()).start();
    other.wait_for_tracks("owner", 1);
    for (what, damage) in DAMAGES {
        let before = epoch(&node);
        node.signal("TERM");
        assert!(node.wait_for_exit().success());
        let index = state(&node).join("library.redb");
        damage(&index);
        node = node.restart();
        node.wait_for_tracks("owner", 1);
        assert!(
            epoch(&node) > before,
            "{what}: heads are newer than all before"
        );
        // An empty file is a new index to redb: nothing is lost with it.
        if !["gone", "nothing"].contains(&what) {
            let problem = node.wait_for_problem("library.redb");
            assert!(problem.contains("put aside as"), "{what}: {problem}");
        }
        other.wait_for_tracks("owner", 1);
        // What the others see is the new one: it can be played.
        other.ctl_ok(&["clear"]);
        other.ctl_ok(&["play", "owner/song.wav"]);
        other.wait_for_sound();
    }
    let aside = state(&node).join("library.redb.damaged");
    assert!(aside.exists(), "nothing is thrown away");
}

#[test]
fn a_damaged_memory_is_put_aside_and_the_rest_is_kept() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.3);
    let mut node = lone_peer(music.path()).start();
    node.wait_for_tracks("lone", 1);
    for (what, damage) in DAMAGES {
        node.ctl_ok(&["volume", "61"]);
        node.signal("TERM");
        assert!(node.wait_for_exit().success());
        damage(&state(&node).join("memory.json"));
        let identity = fs::read(state(&node).join("identity.key")).unwrap();
        node = node.restart();
        let status = node.json(&["status"]);
        // The volume lies in a file of its own.
        assert_eq!(status["status"]["volume"], 61, "{what}");
        let notice = problems(&status)
            .iter()
            .any(|p| p.contains("the queue begins anew"));
        assert_eq!(notice, what != "gone", "{what}: {status:#}");
        let kept = fs::read(state(&node).join("identity.key")).unwrap();
        assert_eq!(identity, kept);
        node.wait_for_tracks("lone", 1);
    }
}

#[test]
fn a_damaged_identity_is_refused_in_words_and_never_replaced() {
    let mut node = Setup {
        role: "peer",
        ..Setup::default()
    }
    .start();
    node.kill();
    let key = state(&node).join("identity.key");
    let secret = fs::read(&key).unwrap();
    for (what, damage) in DAMAGES[..4].iter().filter(|(what, _)| *what != "nothing") {
        damage(&key);
        let output = node.run_to_its_end();
        assert!(!output.status.success(), "{what}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("identity.key"), "{what}: {said}");
        assert!(
            said.contains("restore") && said.contains("new node"),
            "{what}: {said}"
        );
        let _ = fs::remove_dir_all(&key);
        fs::write(&key, &secret).unwrap();
    }
    // As it was, all is well.
    let node = node.restart();
    assert!(problems(&node.json(&["status"])).is_empty());
}

/// A power cut leaves it so; there is nothing in it that a person could mend.
#[test]
fn an_empty_identity_is_put_aside_and_the_node_says_that_it_is_a_new_one() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.3);
    let mut node = lone_peer(music.path()).start();
    node.kill();
    let key = state(&node).join("identity.key");
    let secret = fs::read(&key).unwrap();
    fs::write(&key, vec![0; secret.len()]).unwrap();
    let mut node = node.restart();
    let problem = node.wait_for_problem("identity.key was empty");
    assert!(problem.contains("identity.key.damaged"), "{problem}");
    // It is said once, and a copy is enough to be the old one again.
    node.kill();
    fs::write(&key, &secret).unwrap();
    let node = node.restart();
    assert!(problems(&node.json(&["status"])).is_empty());
}

#[test]
fn a_damaged_cache_is_swept_and_fetched_anew() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.5);
    let tracker = Setup::tracker().start();
    let _owner = Setup::peer("owner", &tracker).music(music.path()).start();
    let mut node = Setup::peer("player", &tracker).start();
    let cache = node.dir.path().join("cache");
    let files = |suffix: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let is_it = |path: &PathBuf| path.to_string_lossy().ends_with(suffix);
        entries.filter(is_it).collect()
    };
    for (what, damage) in DAMAGES {
        for suffix in [".data", ".outboard"] {
            node.wait_for_tracks("owner", 1);
            node.ctl_ok(&["clear"]);
            node.ctl_ok(&["play", "owner/song.wav"]);
            node.wait_for_sound();
            node.wait_for_status("a held copy", |_| files(".data").len() == 1);
            node.wait_for_end();
            node.signal("TERM");
            assert!(node.wait_for_exit().success());
            damage(&files(suffix)[0]);
            node = node.restart();
            let is_held = files(".data").iter().any(|path| path.is_file());
            assert!(!is_held, "{what} as {suffix}");
            // Nobody but a test makes directories there.
            for path in files("").iter().filter(|path| path.is_dir()) {
                fs::remove_dir_all(path).unwrap();
            }
        }
    }
}

#[test]
fn directories_that_are_removed_while_the_node_runs_are_made_again() {
    let music = Music::new();
    music.wav("1.wav", 44_100, 0.5);
    music.wav("2.wav", 44_100, 0.6);
    let tracker = Setup::tracker().start();
    let _owner = Setup::peer("owner", &tracker).music(music.path()).start();
    let node = Setup::peer("player", &tracker).start();
    let cache = node.dir.path().join("cache");
    let held = || {
        let files = fs::read_dir(&cache).into_iter().flatten().flatten();
        files
            .filter(|file| file.path().extension() == Some("data".as_ref()))
            .count()
    };
    node.wait_for_tracks("owner", 2);
    for song in ["owner/1.wav", "owner/2.wav"] {
        node.ctl_ok(&["clear"]);
        node.ctl_ok(&["play", song]);
        node.wait_for_status("a held copy", |_| held() == 1);
        node.wait_for_status("a memory", |_| state(&node).join("memory.json").exists());
        fs::remove_dir_all(&cache).unwrap();
        fs::remove_dir_all(state(&node)).unwrap();
    }
    node.ctl_ok(&["volume", "55"]);
    node.wait_for_status("a place", |_| state(&node).join("place").exists());
    fs::remove_dir_all(state(&node)).unwrap();
    node.ctl_ok(&["clear"]);
    node.wait_for_status("a memory", |_| state(&node).join("memory.json").exists());
    // So is the identity that was lost with the directory.
    let peer = node.json(&["status"])["node"]["peer"].clone();
    node.wait_for_problem("identity.key was removed while p2pmusic ran, and is written again");
    let node = node.restart();
    assert_eq!(node.json(&["status"])["node"]["peer"], peer);
    assert!(problems(&node.json(&["status"])).is_empty());
}

/// All that a node keeps of itself but its identity, and what a power cut leaves of that.
const KEPT: [&str; 8] = [
    "memory.json",
    "memory.json.new",
    "place",
    "place.new",
    "library.redb",
    "library.epoch",
    "library.epoch.new",
    "lock",
];

/// More than [`DAMAGES`]: what cannot be read at all, and more than anybody wants to read.
const WORSE: [(&str, Damage); 4] = [
    ("noise", |path| {
        let noise = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
        fs::write(path, noise.collect::<Vec<_>>()).unwrap();
    }),
    ("an empty directory", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    // What nobody can open, root included.
    ("a link to itself", |path| {
        fs::remove_file(path).unwrap();
        symlink(path, path).unwrap();
    }),
    ("not to be read", |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o0)).unwrap();
    }),
];

/// What is lost with a file, if anything, is said once.
#[test]
fn no_damage_to_what_a_node_keeps_hinders_its_start() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 20.0);
    let mut wrong = Vec::new();
    for kept in KEPT {
        let mut node = lone_peer(music.path()).start();
        for (what, damage) in DAMAGES.iter().chain(&WORSE) {
            let case = format!("{kept}, {what}");
            node.wait_for_tracks("lone", 1);
            node.ctl_ok(&["clear"]);
            node.ctl_ok(&["play", "song"]);
            node.ctl_ok(&["volume", "60"]);
            node.wait_for_sound();
            let path = state(&node).join(kept);
            node = damaged(node, &path, *damage);
            node.wait_for_tracks("lone", 1);
            node.ctl_ok(&["play", "song"]);
            node.wait_for_sound();
            node.ctl_ok(&["volume", "61"]);
            let said = said_of(&node, &path);
            let is_lost = ["memory.json", "place", "library.redb"].contains(&kept)
                && !["gone", "not to be read"].contains(what)
                // One of its two slots is left, or it is a new index to redb.
                && ![("place", "half of it"), ("library.redb", "nothing")].contains(&(kept, what));
            let status = node.json(&["status"]);
            let file = path.to_str().unwrap();
            let is_shown = problems(&status)
                .iter()
                .any(|problem| problem.contains(file));
            if said.len() > 1 || is_lost && !(is_shown && said.len() == 1) {
                wrong.push(format!("{case}: {:#?}, said: {said:#?}", problems(&status)));
            }
            // It is replaced.
            node.signal("TERM");
            assert!(node.wait_for_exit().success(), "{case}");
            node = node.restart();
            let status = node.json(&["status"]);
            let found = problems(&status);
            let (volume, queued) = (
                &status["status"]["volume"],
                &status["status"]["playlistlength"],
            );
            // What is only used for a moment is made way for then.
            let is_in_the_way = !kept.ends_with(".new")
                && fs::read(&path).is_err_and(|e| e.kind() != ErrorKind::NotFound);
            if !found.is_empty() || *volume != 61 || *queued == 0 || is_in_the_way {
                wrong.push(format!(
                    "{case}, next start: in the way {is_in_the_way}, {found:#?}, {queued} queued, volume {volume}, {:#?}",
                    said_of(&node, &path)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Ends `node`, has `damage` done to a file of it, and starts it again.
fn damaged(mut node: Node, path: &Path, damage: Damage) -> Node {
    node.signal("TERM");
    assert!(node.wait_for_exit().success());
    if !fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
        let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
        fs::write(path, "half of what was to be").unwrap();
    }
    damage(path);
    node.restart()
}

/// The warnings that name a file.
fn said_of(node: &Node, path: &Path) -> Vec<String> {
    let (log, file) = (node.log(), path.to_str().unwrap());
    let lines = log.lines();
    let said = lines.filter(|line| line.contains("WARN  ") && line.contains(file));
    said.map(str::to_owned).collect()
}

#[test]
fn an_identity_that_is_removed_while_the_node_runs_is_said_and_written_again() {
    let tracker = Setup::tracker().start();
    let peer = Setup::peer("player", &tracker).start();
    for node in [peer, tracker] {
        let id = node.json(&["status"])["node"]["peer"].clone();
        let key = state(&node).join("identity.key");
        let secret = fs::read(&key).unwrap();
        fs::remove_file(&key).unwrap();
        let problem = node.wait_for_problem("was removed while p2pmusic ran");
        assert!(problem.contains(key.to_str().unwrap()), "{problem}");
        assert_eq!(fs::read(&key).unwrap(), secret);
        assert_eq!(times_said(&node, "was removed while p2pmusic ran"), 1);
        let node = node.restart();
        let status = node.json(&["status"]);
        assert_eq!(status["node"]["peer"], id);
        assert!(problems(&status).is_empty(), "{status:#}");
    }
}

/// A file where the directory was lets nothing be written there.
#[test]
fn an_identity_that_cannot_be_written_again_is_no_problem_once_it_is_there_again() {
    let tracker = Setup::tracker().start();
    let peer = Setup::peer("player", &tracker).start();
    for node in [peer, tracker] {
        let (dir, away) = (state(&node), node.dir.path().join("away"));
        fs::rename(&dir, &away).unwrap();
        fs::write(&dir, "").unwrap();
        node.wait_for_problem("the node's identity");
        fs::remove_file(&dir).unwrap();
        fs::rename(&away, &dir).unwrap();
        node.wait_for_no_problem();
    }
}

/// Else another node could start on the same state.
#[test]
fn a_lock_that_is_removed_while_the_node_runs_is_made_again() {
    let tracker = Setup::tracker().start();
    let peer = Setup::peer("player", &tracker).start();
    for node in [peer, tracker] {
        let lock = state(&node).join("lock");
        for with_the_directory in [false, true] {
            match with_the_directory {
                true => fs::remove_dir_all(state(&node)).unwrap(),
                false => fs::remove_file(&lock).unwrap(),
            }
            node.wait_for_status("a lock", |_| {
                fs::read_to_string(&lock).is_ok_and(|pid| pid == node.pid().to_string())
            });
            let mut second = Command::new(BINARY);
            let second = second.args(["run", "--config"]).arg(node.config());
            let second = second.output().unwrap();
            let said = String::from_utf8_lossy(&second.stderr);
            assert!(said.contains("another p2pmusic uses"), "{said}");
        }
    }
}

#[test]
fn a_state_directory_that_fills_up_is_said_and_loses_nothing_when_there_is_room() {
    if !can_mount() {
        return;
    }
    let music = Music::new();
    music.wav("1.wav", 44_100, 0.2);
    let place = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=4m tmpfs {}", place.path().display());
    let setup = Setup {
        state: Some(place.path().to_owned()),
        ..lone_peer(music.path())
    };
    let node = mounts::within(setup, &mount).start();
    node.wait_for_tracks("lone", 1);
    mounts::fill_up(&node, place.path());
    for n in 2..60 {
        music.wav(&format!("{n}.wav"), 44_100, 0.02);
    }
    node.ctl_ok(&["volume", "44"]);
    node.ctl_ok(&["update"]);
    let problem = node.wait_for_problem("No space left on device");
    assert!(
        problem.contains(place.path().to_str().unwrap()),
        "{problem}"
    );
    mounts::make_room(&node, place.path());
    node.wait_for_tracks("lone", 59);
    wait_until_well(&node, "No space");
    assert!(
        times_said(&node, "No space left on device") < 5,
        "{}",
        node.log()
    );
}

/// What the kernel makes of a card that goes bad.
#[test]
fn a_read_only_state_directory_does_not_stop_the_music() {
    if !can_mount() {
        return;
    }
    let music = Music::new();
    music.wav("song.wav", 44_100, 60.0);
    let mut first = lone_peer(music.path()).start();
    first.wait_for_tracks("lone", 1);
    first.signal("TERM");
    assert!(first.wait_for_exit().success());
    let state = state(&first);
    let setup = Setup {
        state: Some(state.clone()),
        ..lone_peer(music.path())
    };
    let bind = format!(
        "mount --bind {0} {0}; mount -o remount,ro,bind {0}",
        state.display()
    );
    let node = mounts::within(setup, &bind).start();
    node.wait_for_tracks("lone", 1);
    let problem = node.wait_for_problem("cannot be written");
    assert!(problem.contains(state.to_str().unwrap()), "{problem}");
    node.ctl_ok(&["play", "song"]);
    node.wait_for_sound();
}

/// The reader of the log ends, or the disk that the log goes to is full.
#[test]
fn a_node_plays_on_when_its_log_cannot_be_written() {
    for log in ["2>/dev/full", "2> >(exit)"] {
        let music = Music::new();
        music.wav("song.wav", 44_100, 30.0);
        let script = format!("exec \"$@\" {log}");
        let mut setup = lone_peer(music.path());
        setup.prefix = ["bash", "-c", &script, "bash"].map(String::from).into();
        let mut node = setup.launch();
        let deadline = Instant::now() + PATIENCE;
        while !node.ctl(&["status"]).status.success() {
            assert!(Instant::now() < deadline, "{log}: it does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        node.wait_for_tracks("lone", 1);
        node.ctl_ok(&["play", "song"]);
        node.wait_for_sound();
        // Each is worth a line of the log.
        node.signal("HUP");
        node.ctl_ok(&["stop"]);
        node.json(&["status"]);
        node.signal("TERM");
        assert!(node.wait_for_exit().success(), "{log}");
    }
}

/// `p2pmusic … | head -0`, and a full disk.
#[test]
fn what_cannot_be_printed_ends_no_command_with_a_panic() {
    let node = lone_peer(Music::new().path()).start();
    let config = node.config();
    let config = config.to_str().unwrap();
    let remarks = [
        &["check", "--config", config][..],
        &["check", "--config", "/none"],
    ];
    let results = [&["keygen"][..], &["completions", "bash"]];
    let socket = node.socket();
    let ctl = ["ctl", "--socket", socket.to_str().unwrap(), "queue"];
    let run = |args: &[&str], outputs: &str| {
        let script = format!("exec \"$@\" {outputs}");
        let mut command = Command::new("bash");
        command.args(["-c", &script, "bash", BINARY]).args(args);
        command.output().unwrap()
    };
    for args in [remarks, results].concat().into_iter().chain([&ctl[..]]) {
        for outputs in [
            "> >(exit)",
            ">/dev/full",
            ">/dev/full 2>/dev/full",
            "2> >(exit)",
        ] {
            let output = run(args, outputs);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!said.contains("panicked"), "{args:?} {outputs}: {said}");
            let code = output.status.code().expect("no signal");
            assert!([0, 1, 78].contains(&code), "{args:?} {outputs}: {code}");
        }
    }
    // A key that is lost is not one that was made.
    for args in results {
        assert_eq!(run(args, ">/dev/full").status.code(), Some(1), "{args:?}");
    }
}
