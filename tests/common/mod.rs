//! Drives the real binary as a person would: a configuration file, a process,
//! `p2pmusic ctl`, and what the node writes to stderr.
//!
//! Nothing here sleeps and hopes. A test waits for a line of the log or for a
//! state that `ctl` shows, and fails with the node's whole log when it does
//! not come within [`PATIENCE`].
#![allow(dead_code)] // each test file uses a part of it

pub mod audio;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take. No test is about speed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_p2pmusic");

/// A running node in a directory of its own.
pub struct Node {
    pub dir: TempDir,
    child: Child,
    log: Arc<Log>,
    /// Words in front of every command: `ip netns exec …`.
    prefix: Vec<String>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

/// A node to be started: the parts of its configuration that tests set.
#[derive(Clone, Default)]
pub struct Setup {
    pub role: &'static str,
    pub name: Option<&'static str>,
    pub tracker: Option<String>,
    pub listen: Option<&'static str>,
    pub key: Option<String>,
    /// An existing directory to share.
    pub music: Option<PathBuf>,
    /// Defaults to the null output.
    pub device: Option<String>,
    /// Whole lines at the end of the file.
    pub more: String,
    pub prefix: Vec<String>,
    pub env: Vec<(String, String)>,
}

impl Setup {
    pub fn tracker() -> Self {
        Self {
            role: "tracker",
            ..Self::default()
        }
    }

    /// A peer of the tracker at `tracker`.
    pub fn peer(name: &'static str, tracker: &Node) -> Self {
        let tracker = Some(tracker.tracker_address());
        Self {
            role: "peer",
            name: Some(name),
            tracker,
            ..Self::default()
        }
    }

    pub fn music(mut self, dir: &Path) -> Self {
        self.music = Some(dir.into());
        self
    }

    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Starts the node and waits until it is ready.
    pub fn start(self) -> Node {
        let node = self.launch();
        node.wait_for_line("ready");
        node
    }

    /// Starts the node without waiting.
    pub fn launch(self) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("p2pmusic.toml");
        fs::write(&config, self.config(dir.path())).unwrap();
        Node::spawn(dir, self.prefix, &self.env)
    }

    fn config(&self, dir: &Path) -> String {
        let listen = self.listen.unwrap_or("127.0.0.1:0");
        let mut text = format!("role = {:?}\n", self.role);
        if let Some(name) = self.name {
            text += &format!("name = {name:?}\n");
        }
        text += &format!("state_dir = {:?}\n", dir.join("state"));
        if let Some(key) = &self.key {
            let file = dir.join("key");
            fs::write(&file, key).unwrap();
            text += &format!("[swarm]\nkey_file = {file:?}\n");
        }
        text += &format!(
            "[tracker]\nlisten = {listen:?}\nadvertise = false\n[peer]\nlisten = {listen:?}\n"
        );
        text += &match &self.tracker {
            Some(tracker) => format!("tracker = {tracker:?}\n"),
            None => "tracker = \"none\"\n".into(),
        };
        if let Some(music) = &self.music {
            text += &format!("music = [{music:?}]\n");
        }
        text += &format!("[cache]\ndir = {:?}\n", dir.join("cache"));
        text += &format!(
            "[audio]\ndevice = {:?}\n",
            self.device.as_deref().unwrap_or("null")
        );
        text += &format!("[control]\nsocket = {:?}\n", dir.join("ctl.sock"));
        text += &format!("[log]\nlevel = \"debug\"\n{}", self.more);
        text
    }
}

impl Node {
    fn spawn(dir: TempDir, prefix: Vec<String>, env: &[(String, String)]) -> Self {
        let config = dir.path().join("p2pmusic.toml");
        let mut child = command(&prefix, BINARY)
            .args(["run", "--config"])
            .arg(config)
            .envs(env.iter().cloned())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let writer = log.clone();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                writer.lines.lock().unwrap().push(line);
                writer.grown.notify_all();
            }
        });
        Self {
            dir,
            child,
            log,
            prefix,
        }
    }

    /// Starts it again in the same directory, after [`Self::kill`] or
    /// [`Self::stop`].
    pub fn restart(self) -> Self {
        let Parts { dir, prefix } = self.into_parts();
        let node = Self::spawn(dir, prefix, &[]);
        node.wait_for_line("ready");
        node
    }

    /// Waits for a line of the log that contains `text`, and gives it.
    pub fn wait_for_line(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "no line with {text:?} in:\n{}",
                lines.join("\n")
            );
            lines = self.log.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// All lines so far.
    pub fn log(&self) -> String {
        self.log.lines.lock().unwrap().join("\n")
    }

    /// Where the tracker of this node listens.
    pub fn tracker_address(&self) -> String {
        let line = self.wait_for_line("tracker listens on ");
        line.rsplit(' ').next().unwrap().to_owned()
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("ctl.sock")
    }

    /// Runs `p2pmusic ctl` with `args`.
    pub fn ctl(&self, args: &[&str]) -> Output {
        command(&self.prefix, BINARY)
            .args(["ctl", "--socket"])
            .arg(self.socket())
            .args(args)
            .output()
            .unwrap()
    }

    /// The same, which must succeed; gives what it printed.
    pub fn ctl_ok(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        assert!(
            output.status.success(),
            "ctl {args:?}: {output:?}\n{}",
            self.log()
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, which must fail; gives what it said.
    pub fn ctl_fails(&self, args: &[&str]) -> String {
        let output = self.ctl(args);
        assert!(!output.status.success(), "ctl {args:?} worked: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// `ctl … --json`, parsed.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ctl_ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e} in {text:?}"))
    }

    /// Asks again and again until `done` is content with the answer.
    pub fn wait_for(&self, args: &[&str], what: &str, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.json(args);
            if done(&value) {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not happen; {args:?} says {value:#}\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until this node shows `count` listed tracks of `peer`.
    pub fn wait_for_tracks(&self, peer: &str, count: u64) {
        self.wait_for(&["peers"], &format!("{count} tracks of {peer}"), |peers| {
            let rows = peers.as_array().into_iter().flatten();
            rows.into_iter()
                .any(|row| row["name"] == peer && row["tracks"] == count)
        });
    }

    /// The names of the peers that this node sees, its own included.
    pub fn peer_names(&self) -> Vec<String> {
        let peers = self.json(&["peers"]);
        let rows = peers.as_array().unwrap();
        rows.iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends `signal` (`TERM`, `HUP`, `STOP`, …).
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .unwrap()
            .success());
    }

    /// Waits until the process has ended.
    pub fn wait_for_exit(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn into_parts(mut self) -> Parts {
        self.kill();
        // The directory must outlive this node, whose drop would remove it.
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        Parts {
            dir,
            prefix: std::mem::take(&mut self.prefix),
        }
    }
}

struct Parts {
    dir: TempDir,
    prefix: Vec<String>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "--- log of the node in {}:\n{}",
                self.dir.path().display(),
                self.log()
            );
        }
    }
}

/// A command behind `prefix`.
pub fn command(prefix: &[String], program: &str) -> Command {
    match prefix {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}
