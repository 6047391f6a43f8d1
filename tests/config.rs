//! What a person meets before anything plays: the configuration file, keys,
//! and what is in the way of a start.

mod common;

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use common::{Node, Setup, BINARY};

/// The exit code for a bad configuration, which systemd does not restart on.
const EX_CONFIG: i32 = 78;

fn p2pmusic(args: &[&str], config: &Path) -> Output {
    Command::new(BINARY)
        .args(args)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What can be meant is said and no error, and what the person who checks may not read is
/// the service's affair.
#[test]
fn check_says_what_is_rather_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p2pmusic.toml");
    let key = dir.path().join("key");
    let keygen = Command::new(BINARY).arg("keygen").output().unwrap();
    fs::write(&key, keygen.stdout).unwrap();
    let text = format!(
        "[swarm]\nkey_file = {key:?}\n[peer]\nmusic = [\"/no/such/music\"]\n[cache]\nmax = 2\n"
    );
    fs::write(&path, text).unwrap();
    for (at, mode) in [(dir.path(), 0o755), (&*path, 0o644), (&*key, 0o600)] {
        fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut check = match nix::unistd::geteuid().is_root() {
        true => {
            let mut nobody = Command::new("setpriv");
            nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups", BINARY]);
            nobody
        }
        false => {
            fs::set_permissions(&key, fs::Permissions::from_mode(0o000)).unwrap();
            Command::new(BINARY)
        }
    };
    let output = check
        .args(["check", "--config"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", stderr(&output));
    for words in ["may not read", "/no/such/music", "cache.max is 2 bytes"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn every_file_in_etc_is_good() {
    let etc = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc");
    let mut seen = 0;
    for entry in fs::read_dir(etc).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let output = p2pmusic(&["check"], &path);
            assert!(
                output.status.success(),
                "{}: {}",
                path.display(),
                stderr(&output)
            );
            let said = String::from_utf8(output.stdout).unwrap();
            assert!(said.contains("good, a node of role peer"), "{said}");
            // What it shows as what holds anyway must at least be understood.
            let shown = fs::read_to_string(&path).unwrap();
            let spelt_out: String = shown
                .lines()
                .map(|line| match line.strip_prefix('#') {
                    Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                    _ => format!("{line}\n"),
                })
                .collect();
            assert_ne!(spelt_out, shown);
            // All but the key's file, which is looked into.
            let spelt_out = spelt_out.replace("key_file = \"/etc/p2pmusic.key\"\n", "");
            let dir = tempfile::tempdir().unwrap();
            let copy = dir.path().join("p2pmusic.toml");
            fs::write(&copy, spelt_out).unwrap();
            let output = p2pmusic(&["check"], &copy);
            assert!(
                output.status.success(),
                "{}: {}",
                path.display(),
                stderr(&output)
            );
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_bad_file_is_explained_and_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    for (text, words) in [
        (
            "role = \"boss\"",
            &["line 1", "role", "boss", "tracker", "peer", "both"][..],
        ),
        (
            "[peer]\nmusik = []",
            &["line 2", "musik", "music", "tracker", "listen"],
        ),
        (
            "[peer]\ntracker = \"a b\"",
            &["line 2", "tracker", "a b", "host:port"],
        ),
        (
            "[peer]\nlisten = \"kitchen\"",
            &["line 2", "listen", "socket address"],
        ),
        (
            "[audio]\nmax_volume = 300",
            &["line 2", "max_volume", "300", "0 to 100"],
        ),
        (
            "[cache]\nmax = \"2 XB\"",
            &["line 2", "max", "2 XB", "2 GiB"],
        ),
        (
            "[log]\nlevel = \"loud\"",
            &["line 2", "level", "loud", "debug"],
        ),
        ("name = \"a/b\"", &["line 1", "name", "a/b", "slash"]),
        ("[speaker]\n", &["line 1", "speaker", "audio"]),
        ("role = peer", &["line 1", "role"]),
    ] {
        fs::write(&path, text).unwrap();
        for command in ["check", "run"] {
            let output = p2pmusic(&[command], &path);
            let said = stderr(&output);
            assert_eq!(
                output.status.code(),
                Some(EX_CONFIG),
                "{command} {text:?}: {said}"
            );
            assert!(said.contains(path.to_str().unwrap()), "{text:?}: {said}");
            for word in words {
                assert!(said.contains(word), "{text:?}: no {word:?} in {said}");
            }
        }
    }
    let missing = dir.path().join("missing.toml");
    let output = p2pmusic(&["run"], &missing);
    assert_eq!(output.status.code(), Some(EX_CONFIG));
    assert!(stderr(&output).contains("missing.toml"));
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing was made"
    );
}

#[test]
fn an_empty_file_is_a_working_peer() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("empty.toml");
    // Only what would touch the machine or clash with another node is set.
    let socket = dir.path().join("ctl.sock");
    fs::write(
        &config,
        format!("peer.listen = \"127.0.0.1:0\"\ncontrol.socket = {socket:?}\n"),
    )
    .unwrap();
    let (state, cache) = (dir.path().join("state"), dir.path().join("cache"));
    let env = vec![
        ("STATE_DIRECTORY".into(), state.to_str().unwrap().to_owned()),
        ("CACHE_DIRECTORY".into(), cache.to_str().unwrap().to_owned()),
    ];
    let node = Node::run(dir, &config, env);
    node.wait_for_line("INFO  ready");
    let status = node.json(&["status"]);
    assert_eq!(status["node"]["role"], "peer");
    assert_eq!(status["status"]["volume"], 30);
    assert!(state.join("identity.key").exists() && cache.exists());
    assert!(node.ctl_ok(&["peers"]).contains("this node"));
}

#[test]
fn keygen_makes_keys_that_work_and_nothing_else_does() {
    let keys = [(); 2].map(|()| {
        let output = Command::new(BINARY).arg("keygen").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    });
    assert_ne!(keys[0], keys[1]);
    assert!(
        keys[0].starts_with("p2pm1-") && keys[0].ends_with('\n'),
        "{}",
        keys[0]
    );
    let tracker = Setup::tracker().key(&keys[0]).start();
    Setup::peer("kitchen", &tracker)
        .key(&keys[0])
        .start()
        .wait_until_registered();

    let mut mistyped = keys[0].trim().to_owned();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'a' { 'b' } else { 'a' });
    for bad in [mistyped.as_str(), "open sesame", ""] {
        let mut node = Setup::peer("attic", &tracker).key(bad).launch();
        assert!(!node.wait_for_exit().success(), "{bad:?} is taken");
        let said = node.log();
        assert!(
            said.contains(node.dir.path().join("key").to_str().unwrap()),
            "{said}"
        );
        assert!(said.contains("keygen") || said.contains("key"), "{said}");
        assert!(
            bad.is_empty() || !said.contains(bad),
            "a key does not belong into a log: {said}"
        );
    }
}

#[test]
fn the_identity_is_for_its_owner_only() {
    let node = Setup {
        role: "peer",
        ..Setup::default()
    }
    .start();
    let key = node.dir.path().join("state/identity.key");
    assert_eq!(
        fs::metadata(key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let id = node.json(&["status"])["node"]["peer"].clone();
    let node = node.restart();
    assert_eq!(
        node.json(&["status"])["node"]["peer"],
        id,
        "it stays the same"
    );
}

#[test]
fn a_second_start_on_the_same_state_is_refused() {
    let node = Setup {
        role: "peer",
        ..Setup::default()
    }
    .start();
    let output = p2pmusic(&["run"], &node.config());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in [
        node.dir.path().join("state").to_str().unwrap(),
        "another p2pmusic",
        &format!("process {}", node.pid()),
        "state_dir",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    assert!(
        node.ctl_ok(&["status"]).contains("peer"),
        "the first is none the worse"
    );
}

#[test]
fn a_taken_port_names_its_owner() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = tcp.local_addr().unwrap().to_string();
    let mut tracker = Setup {
        listen: Some(at.clone()),
        ..Setup::tracker()
    }
    .launch();
    assert_eq!(tracker.wait_for_exit().code(), Some(1));
    names_the_owner(&tracker.log(), &at, "tracker.listen");

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = udp.local_addr().unwrap().to_string();
    let mut peer = Setup {
        role: "peer",
        listen: Some(at.clone()),
        ..Setup::default()
    }
    .launch();
    assert_eq!(peer.wait_for_exit().code(), Some(1));
    names_the_owner(&peer.log(), &at, "peer.listen");
    assert!(!peer.log().contains("INFO  ready"));
}

/// This process is the owner.
fn names_the_owner(said: &str, at: &str, key: &str) {
    let me = std::process::id().to_string();
    for words in [at, key, &me] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}

#[test]
fn ctl_explains_a_missing_node() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("ctl.sock");
    let output = Command::new(BINARY)
        .args(["ctl", "status", "--socket"])
        .arg(&socket)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains(socket.to_str().unwrap()) && said.contains("not running"),
        "{said}"
    );
}
