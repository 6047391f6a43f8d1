//! What the benchmarks share: music to play, nodes to play it, and a remote
//! control that says when it was used.
#![allow(dead_code)] // each benchmark uses a part of it

pub mod bare;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

/// The node.
pub const BINARY: &str = env!("CARGO_BIN_EXE_p2pmusic");

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A node to be run, in a directory that outlives it.
pub struct Node<'a> {
    pub dir: &'a Path,
    pub role: &'a str,
    pub name: &'a str,
    /// Where the tracker listens, or is.
    pub tracker: &'a str,
    pub music: Option<&'a Path>,
    pub device: &'a str,
    pub log: &'a str,
}

/// A running node.
pub struct Running {
    child: Child,
    lines: Arc<Lines>,
    socket: PathBuf,
}

/// Lines of a log, with the time at which each arrived.
#[derive(Default)]
struct Lines {
    lines: Mutex<Vec<(Instant, String)>>,
    grown: Condvar,
}

impl Node<'_> {
    /// Starts it and waits until it is ready.
    pub fn start(&self) -> Running {
        let socket = self.dir.join("ctl.sock");
        let config = self.dir.join("p2pmusic.toml");
        fs::create_dir_all(self.dir).unwrap();
        fs::write(&config, self.config(&socket)).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["run", "--config"]).arg(config);
        Running::start(command, socket)
    }

    fn config(&self, socket: &Path) -> String {
        let Self {
            dir,
            role,
            name,
            tracker,
            device,
            log,
            ..
        } = self;
        let music = self
            .music
            .map_or_else(String::new, |dir| format!("music = [{dir:?}]"));
        format!(
            "role = {role:?}\nname = {name:?}\nstate_dir = {state:?}\n\
             [tracker]\nlisten = {tracker:?}\nadvertise = false\n\
             [peer]\ntracker = {tracker:?}\nlisten = \"127.0.0.1:0\"\n{music}\n\
             [cache]\ndir = {cache:?}\nmax = \"20 GiB\"\n[audio]\ndevice = {device:?}\nresume = \"never\"\n\
             [control]\nsocket = {socket:?}\n[log]\nlevel = {log:?}\n",
            state = dir.join("state"),
            cache = dir.join("cache"),
        )
    }
}

impl Running {
    /// Runs `command`, a node whose control socket this is, and waits until it is ready.
    pub fn start(mut command: Command, socket: PathBuf) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::<Lines>::default();
        let writer = lines.clone();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let arrived = (Instant::now(), line);
                writer.lines.lock().unwrap().push(arrived);
                writer.grown.notify_all();
            }
        });
        let running = Running {
            child,
            lines,
            socket,
        };
        running.line_after(None, "ready");
        running
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        let _ = self.child.kill();
    }

    /// Waits for a line with `text` that arrived after `since`, and gives it.
    pub fn line_after(&self, since: Option<Instant>, text: &str) -> (Instant, String) {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lines.lock().unwrap();
        loop {
            let fits = |(at, line): &&(Instant, String)| Some(*at) > since && line.contains(text);
            if let Some(found) = lines.iter().find(fits) {
                return found.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line with {text:?} in {lines:#?}");
            lines = self.lines.grown.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// When the first line with `text` after `since` arrived, if one has.
    pub fn seen(&self, since: Instant, text: &str) -> Option<Instant> {
        let lines = self.lines.lines.lock().unwrap();
        let found = lines
            .iter()
            .find(|(at, line)| *at > since && line.contains(text));
        found.map(|(at, _)| *at)
    }

    pub fn connect(&self) -> Remote {
        Remote::connect(&self.socket)
    }

    /// Seconds of CPU so far, and the resident memory in bytes.
    pub fn usage(&self) -> (f64, u64) {
        usage(self.pid())
    }

    /// Waits until the node has nothing to do: all is hashed.
    pub fn settle(&self) {
        let mut before = self.usage().0;
        loop {
            thread::sleep(Duration::from_secs(3));
            let now = self.usage().0;
            if now - before < 0.03 {
                return;
            }
            before = now;
        }
    }
}

impl Drop for Running {
    /// Lets it leave the swarm, so that its name is free.
    fn drop(&mut self) {
        let pid = self.pid().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let _ = self.child.wait();
    }
}

/// A connection to a node's control socket.
pub struct Remote(BufReader<UnixStream>);

impl Remote {
    /// Connects to whatever speaks MPD's protocol there.
    pub fn connect(socket: &Path) -> Self {
        let mut remote = Self(BufReader::new(UnixStream::connect(socket).unwrap()));
        remote.line();
        remote
    }

    /// Sends a command and waits for its end; gives when it was sent, and the
    /// pairs of the reply.
    pub fn run(&mut self, command: &str) -> (Instant, Vec<(String, String)>) {
        let sent = Instant::now();
        self.0
            .get_mut()
            .write_all(format!("{command}\n").as_bytes())
            .unwrap();
        let mut pairs = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.starts_with("ACK"), "{command}: {line}");
            match line.split_once(": ") {
                Some((key, value)) => pairs.push((key.to_owned(), value.to_owned())),
                None => return (sent, pairs),
            }
        }
    }

    /// One value of a command's reply.
    pub fn value(&mut self, command: &str, key: &str) -> Option<String> {
        let (_, pairs) = self.run(command);
        pairs
            .into_iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// Waits until this node knows `count` tracks of all peers.
    pub fn wait_for_tracks(&mut self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.value("p2p_status", "tracks") != Some(count.to_string()) {
            assert!(Instant::now() < deadline, "{count} tracks never came");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

/// Seconds of CPU so far, and the resident memory in bytes, of a process.
pub fn usage(pid: u32) -> (f64, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<u64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // proc(5): utime, stime and rss are fields 14, 15 and 24; this begins with
    // field 3.
    ((fields[11] + fields[12]) as f64 / TICKS, fields[21] * PAGE)
}

/// The value below which `part` of `values` lie.
pub fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(last)).copied().unwrap_or(f64::NAN)
}

/// Runs ffmpeg, feeding it `input`.
pub fn ffmpeg(args: &[&str], input: &[u8]) {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(args)
        .stdin(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed by `make deps-test`");
    child.stdin.take().unwrap().write_all(input).unwrap();
    assert!(child.wait().unwrap().success(), "ffmpeg {args:?}");
}

/// xorshift: 16 bits of noise a call.
pub fn noise(seed: u64) -> impl FnMut() -> u16 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 48) as u16
    }
}

/// Linux counts CPU time in these for programs, whatever its own clock.
const TICKS: f64 = 100.0;
/// On every machine that this is run on.
const PAGE: u64 = 4096;
