//! Drives the real binary as a person would: a configuration file, a process,
//! `p2pmusic ctl`, and what the node writes to stderr.
//!
//! Nothing here sleeps and hopes. A test waits for a line of the log or for a
//! state that `ctl` shows, and fails with the node's whole log when it does
//! not come within [`PATIENCE`].
#![allow(dead_code)] // each test file uses a part of it

pub mod audio;
pub mod card;
mod commands;
pub mod left_out;
mod lines;
pub mod mpd;
pub mod own_root;
pub mod sysctl;
pub mod usage;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

#[allow(unused_imports)] // each test file uses a part of it
pub use self::{commands::command, own_root::can_mount};
use self::{commands::program, lines::Log};

/// How long anything may take. No test is about speed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How much longer it takes where every instruction is translated.
const EMULATED: u32 = 4;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_p2pmusic");

/// A running node in a directory of its own.
pub struct Node {
    pub dir: TempDir,
    child: Child,
    log: Arc<Log>,
    /// Ends when the node has closed its stderr.
    reader: Option<JoinHandle<()>>,
    /// Words in front of every command: `ip netns exec …`.
    prefix: Vec<String>,
    runner: Vec<String>,
    env: Vec<(String, String)>,
}

/// A node to be started: the parts of its configuration that tests set.
#[derive(Clone, Default)]
pub struct Setup {
    pub role: &'static str,
    pub name: Option<&'static str>,
    pub tracker: Option<String>,
    /// Defaults to any port of 127.0.0.1.
    pub listen: Option<String>,
    /// Whether a peer announces itself by mDNS.
    pub advertised: bool,
    /// The same of a tracker.
    pub tracker_advertised: bool,
    pub key: Option<String>,
    /// The identity of another node, as a copied card has it.
    pub identity_of: Option<PathBuf>,
    /// An existing directory to share.
    pub music: Option<PathBuf>,
    /// What it may send, such as `2 Mbit/s`.
    pub upload: Option<&'static str>,
    /// An existing directory; defaults to one in the node's own.
    pub state: Option<PathBuf>,
    /// The same.
    pub cache: Option<PathBuf>,
    /// Defaults to the null output.
    pub device: Option<String>,
    /// Whole lines for `[control]`.
    pub control: String,
    /// Whole lines at the end of the file.
    pub more: String,
    /// Where its directory is made; defaults to the usual place.
    pub place: Option<PathBuf>,
    pub prefix: Vec<String>,
    /// An emulator and another machine's binary; none is the binary under test.
    pub runner: Vec<String>,
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

    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Has what is heard recorded in [`Node::recording`], at full volume.
    pub fn recorded(self) -> Self {
        self.device("recorded")
    }

    /// Runs as another machine does: `qemu-arm-static …/p2pmusic`.
    pub fn on(mut self, runner: &[String]) -> Self {
        self.runner = runner.into();
        self
    }

    /// Starts the node and waits until it is ready.
    pub fn start(self) -> Node {
        let node = self.launch();
        node.wait_for_line("INFO  ready");
        node
    }

    /// Starts the node without waiting.
    pub fn launch(self) -> Node {
        let dir = match &self.place {
            Some(place) => tempfile::tempdir_in(place).unwrap(),
            None => tempfile::tempdir().unwrap(),
        };
        let config = dir.path().join("p2pmusic.toml");
        fs::write(&config, self.config(dir.path())).unwrap();
        if let Some(state) = &self.identity_of {
            fs::create_dir(dir.path().join("state")).unwrap();
            fs::copy(
                state.join("identity.key"),
                dir.path().join("state/identity.key"),
            )
            .unwrap();
        }
        Node::spawn(dir, self.prefix, self.runner, self.env)
    }

    fn config(&self, dir: &Path) -> String {
        let listen = self.listen.as_deref().unwrap_or("127.0.0.1:0");
        let mut text = format!("role = {:?}\n", self.role);
        if let Some(name) = self.name {
            text += &format!("name = {name:?}\n");
        }
        let state = self.state.clone().unwrap_or_else(|| dir.join("state"));
        text += &format!("state_dir = {state:?}\n");
        if let Some(key) = &self.key {
            let file = dir.join("key");
            fs::write(&file, key).unwrap();
            text += &format!("[swarm]\nkey_file = {file:?}\n");
        }
        text += &format!(
            "[tracker]\nlisten = {listen:?}\nadvertise = {}\n[peer]\nlisten = {listen:?}\nadvertise = {}\n",
            self.tracker_advertised, self.advertised
        );
        text += &match &self.tracker {
            Some(list) if list.starts_with('[') => format!("tracker = {list}\n"),
            Some(tracker) => format!("tracker = {tracker:?}\n"),
            None => "tracker = \"none\"\n".into(),
        };
        if let Some(music) = &self.music {
            text += &format!("music = [{music:?}]\n");
        }
        if let Some(upload) = self.upload {
            text += &format!("upload = {upload:?}\n");
        }
        let cache = self.cache.clone().unwrap_or_else(|| dir.join("cache"));
        text += &format!("[cache]\ndir = {cache:?}\n");
        let device = match self.device.as_deref().unwrap_or("null") {
            "recorded" => format!("wav:{}", dir.join("out.wav").display()),
            device => device.to_owned(),
        };
        text += &format!("[audio]\ndevice = {device:?}\n");
        text += &format!(
            "[control]\nsocket = {:?}\n{}",
            dir.join("ctl.sock"),
            self.control
        );
        text += &format!("[log]\nlevel = \"debug\"\n{}", self.more);
        text
    }
}

impl Node {
    /// Runs with a file of the test's own, in `dir`.
    pub fn run(dir: TempDir, config: &Path, env: Vec<(String, String)>) -> Self {
        fs::rename(config, dir.path().join("p2pmusic.toml")).unwrap();
        Self::spawn(dir, Vec::new(), Vec::new(), env)
    }

    fn spawn(
        dir: TempDir,
        prefix: Vec<String>,
        runner: Vec<String>,
        env: Vec<(String, String)>,
    ) -> Self {
        let config = dir.path().join("p2pmusic.toml");
        let mut child = program(&prefix, &runner)
            .args(["run", "--config"])
            .arg(config)
            .envs(env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let writer = log.clone();
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                writer.lines().push(line);
                writer.grown.notify_all();
            }
        });
        Self {
            dir,
            child,
            log,
            reader: Some(reader),
            prefix,
            runner,
            env,
        }
    }

    /// Starts it again in the same directory, after [`Self::kill`] or
    /// [`Self::stop`].
    ///
    /// A tracker listens where it did, so that its peers find it.
    pub fn restart(self) -> Self {
        let node = self.relaunch();
        node.wait_for_line("INFO  ready");
        node
    }

    /// The same without waiting.
    pub fn relaunch(self) -> Self {
        if self.log().contains("tracker listens on ") {
            let at = self.tracker_address();
            let any = at.rsplit_once(':').unwrap().0.to_owned() + ":0";
            let config = fs::read_to_string(self.config()).unwrap();
            fs::write(self.config(), config.replacen(&any, &at, 1)).unwrap();
        }
        let Parts {
            dir,
            prefix,
            runner,
            env,
        } = self.into_parts();
        Self::spawn(dir, prefix, runner, env)
    }

    /// Waits for a line of the log that contains `text`, and gives it.
    pub fn wait_for_line(&self, text: &str) -> String {
        let deadline = Instant::now() + self.patience();
        let mut lines = self.log.lines();
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

    fn patience(&self) -> Duration {
        match self.runner.as_slice() {
            [] => PATIENCE,
            _ => PATIENCE * EMULATED,
        }
    }

    /// All lines so far.
    pub fn log(&self) -> String {
        self.log.lines().join("\n")
    }

    /// Waits until its tracker has confirmed it, and gives the status.
    pub fn wait_until_registered(&self) -> Value {
        self.wait_for_status("the registration", |status| {
            let tracker = status["node"]["tracker"].as_str();
            tracker.is_some_and(|text| text.starts_with("registered with "))
        })
    }

    /// Waits until something that a person should see to is shown, and gives
    /// the sentence.
    pub fn wait_for_problem(&self, words: &str) -> String {
        let find = |status: &Value| {
            let mut problems = status["node"]["problem"].as_array()?.iter();
            problems.find_map(|p| p.as_str().filter(|p| p.contains(words)).map(str::to_owned))
        };
        let status = self.wait_for_status(words, |status| find(status).is_some());
        find(&status).unwrap()
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
        program(&self.prefix, &self.runner)
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
        self.ctl_fails_with(1, args)
    }

    /// The same, with this exit code; clap's own is 2.
    pub fn ctl_fails_with(&self, code: i32, args: &[&str]) -> String {
        let output = self.ctl(args);
        assert_eq!(output.status.code(), Some(code), "ctl {args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// `ctl … --json`, parsed.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ctl_ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e} in {text:?}"))
    }

    /// Asks again and again until `done` is content with the answer.
    pub fn wait_for(&self, args: &[&str], what: &str, done: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(self.patience(), args, what, done)
    }

    /// Waits for a status that may take a lease and a rest to come.
    pub fn wait_long_for_status(&self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(self.patience() * 2, &["status"], what, done)
    }

    fn wait_within(
        &self,
        patience: Duration,
        args: &[&str],
        what: &str,
        done: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + patience;
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
                .any(|row| row["peer"] == peer && row["tracks"] == count)
        });
    }

    /// The row of `peer` in `ctl peers`, if it is there.
    pub fn peer(&self, peer: &str) -> Option<Value> {
        let peers = self.json(&["peers"]);
        peers
            .as_array()?
            .iter()
            .find(|row| row["peer"] == peer)
            .cloned()
    }

    /// Waits until this node sees exactly these peers, its own included.
    pub fn wait_for_peers(&self, names: &[&str]) {
        let expected: BTreeSet<&str> = names.iter().copied().collect();
        self.wait_for(&["peers"], &format!("exactly {names:?}"), |peers| {
            let rows = peers.as_array().into_iter().flatten();
            rows.filter_map(|row| row["peer"].as_str())
                .collect::<BTreeSet<_>>()
                == expected
        });
    }

    /// Waits until `ctl status --json` pleases `done`.
    pub fn wait_for_status(&self, what: &str, done: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(&["status"], what, done)
    }

    /// Waits for the first sound of a track, asking as often as it can, and
    /// gives how much of the track is here by then.
    pub fn wait_for_sound(&self) -> f64 {
        let mut mpd = mpd::Mpd::connect(&self.socket());
        let deadline = Instant::now() + self.patience();
        while mpd
            .number("status", "elapsed")
            .is_none_or(|elapsed| elapsed == 0.0)
        {
            assert!(Instant::now() < deadline, "no sound:\n{}", self.log());
        }
        mpd.number("p2p_status", "arrived").unwrap()
    }

    /// Waits until so much of the current track is here, from 0 to 1.
    pub fn wait_for_arrival(&self, part: f64) {
        self.wait_for_status(&format!("the arrival of {part}"), |status| {
            status["node"]["arrived"].as_f64() >= Some(part)
        });
    }

    /// Waits until the last track of the queue has been played.
    pub fn wait_for_end(&self) {
        self.wait_for_status("the end of the queue", |s| s["status"]["state"] == "stop");
    }

    /// The names of the peers that this node sees, its own included.
    pub fn peer_names(&self) -> Vec<String> {
        let peers = self.json(&["peers"]);
        let rows = peers.as_array().unwrap();
        rows.iter()
            .map(|row| row["peer"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Replaces a part of the configuration file, for the next start or SIGHUP.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "no {from:?} in {text}");
        fs::write(self.config(), text.replacen(from, to, 1)).unwrap();
    }

    /// Waits until nothing is left that a person should see to.
    pub fn wait_for_no_problem(&self) {
        self.wait_for_status("no problem", |status| {
            status["node"]["problem"]
                .as_array()
                .is_none_or(Vec::is_empty)
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("p2pmusic.toml")
    }

    /// What its `wav:` output has recorded so far; see [`Setup::recorded`].
    pub fn recording(&self) -> PathBuf {
        self.dir.path().join("out.wav")
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends `signal` (`TERM`, `HUP`, `STOP`, …).
    pub fn signal(&self, signal: &str) {
        let signal: Signal = format!("SIG{signal}").parse().unwrap();
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Starts it once more, after [`Self::kill`], and waits until it ends by itself.
    pub fn run_to_its_end(&self) -> Output {
        program(&self.prefix, &self.runner)
            .args(["run", "--config"])
            .arg(self.config())
            .envs(self.env.iter().cloned())
            .output()
            .unwrap()
    }

    /// Waits until the process has ended.
    pub fn wait_for_exit(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + self.patience();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // Its last words are in the log then.
                let _ = self.reader.take().map(JoinHandle::join);
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
            runner: std::mem::take(&mut self.runner),
            env: std::mem::take(&mut self.env),
        }
    }
}

struct Parts {
    dir: TempDir,
    prefix: Vec<String>,
    runner: Vec<String>,
    env: Vec<(String, String)>,
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
