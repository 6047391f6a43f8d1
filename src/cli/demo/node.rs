//! A node of the demo: a process of this binary.

use std::{
    env, fs, io,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};

use super::{CtlClient, CtlError, DemoError};

/// A running node; killed when it is dropped.
pub struct DemoNode {
    name: &'static str,
    child: Child,
    socket: PathBuf,
    /// Where it listens, if it is the tracker.
    address: String,
}

/// Why a node does not do its part.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("{name} cannot be started: {source}")]
    Start {
        name: &'static str,
        source: io::Error,
    },
    #[error("{name} ended before it was ready:\n{log}")]
    Died { name: &'static str, log: String },
    #[error("{name} has not {what} within {} s", PATIENCE.as_secs())]
    Late {
        name: &'static str,
        what: &'static str,
    },
}

impl DemoNode {
    pub fn tracker(dir: &Path) -> Result<Self, NodeError> {
        let config = "role = \"tracker\"\n[tracker]\nlisten = \"127.0.0.1:0\"\nadvertise = false\n";
        Self::start(dir, "tracker", config)
    }

    pub fn peer(
        dir: &Path,
        name: &'static str,
        tracker: &str,
        device: &str,
    ) -> Result<Self, NodeError> {
        let music = dir.join("music").join(name);
        let music = music.exists().then_some(music);
        let config = format!(
            "role = \"peer\"\nname = {name:?}\n\
             [peer]\ntracker = {tracker:?}\nlisten = \"127.0.0.1:0\"\nmusic = {:?}\n\
             [audio]\ndevice = {device:?}\n",
            Vec::from_iter(music),
        );
        Self::start(dir, name, &config)
    }

    /// One that nobody else sees or hears of.
    pub fn alone(dir: &Path, name: &'static str, device: &str) -> Result<Self, NodeError> {
        let music = dir.join("music").join(name);
        let config = format!(
            "name = {name:?}\n[peer]\ntracker = \"none\"\nadvertise = false\n\
             listen = \"127.0.0.1:0\"\nmusic = [{music:?}]\n[audio]\ndevice = {device:?}\n"
        );
        Self::start(dir, name, &config)
    }

    fn start(dir: &Path, name: &'static str, config: &str) -> Result<Self, NodeError> {
        let failed = |source| NodeError::Start { name, source };
        let home = dir.join(name);
        let socket = home.join("ctl.sock");
        let config = format!(
            "state_dir = {:?}\n{config}[cache]\ndir = {:?}\n[control]\nsocket = {socket:?}\n",
            home.join("state"),
            home.join("cache"),
        );
        fs::create_dir_all(&home).map_err(failed)?;
        let file = home.join("p2pmusic.toml");
        fs::write(&file, config).map_err(failed)?;
        let child = Command::new(env::current_exe().map_err(failed)?)
            .args(["run", "--config"])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut node = Self {
            name,
            child,
            socket,
            address: String::new(),
        };
        node.wait_until_ready()?;
        Ok(node)
    }

    /// Reads the log until the node is ready, and then on, lest it blocks.
    fn wait_until_ready(&mut self) -> Result<(), NodeError> {
        let (to, lines) = mpsc::channel();
        let stderr = self.child.stderr.take();
        thread::spawn(move || {
            let lines = stderr
                .into_iter()
                .flat_map(|stderr| BufReader::new(stderr).lines());
            for line in lines.map_while(Result::ok) {
                let _ = to.send(line);
            }
        });
        let deadline = Instant::now() + PATIENCE;
        let mut log = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) if line.ends_with(" ready") => return Ok(()),
                Ok(line) => {
                    if let Some((_, address)) = line.split_once("tracker listens on ") {
                        self.address = address.to_owned();
                    }
                    log.push(line);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(NodeError::Late {
                        name: self.name,
                        what: "started",
                    });
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(NodeError::Died {
                        name: self.name,
                        log: log.join("\n"),
                    });
                }
            }
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn client(&self) -> Result<CtlClient, CtlError> {
        CtlClient::connect(&self.socket)
    }

    /// Looks again and again until `look` finds something.
    pub fn wait_until<T>(
        &self,
        what: &'static str,
        mut look: impl FnMut(&mut CtlClient) -> Result<Option<T>, DemoError>,
    ) -> Result<T, DemoError> {
        let mut client = self.client()?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(found) = look(&mut client)? {
                return Ok(found);
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        Err(NodeError::Late {
            name: self.name,
            what,
        }
        .into())
    }

    /// Asks the process to end, and waits for it.
    pub fn end(&mut self) -> Result<(), NodeError> {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return Ok(());
            }
            thread::sleep(BETWEEN_LOOKS);
        }
        Err(NodeError::Late {
            name: self.name,
            what: "ended",
        })
    }
}

impl Drop for DemoNode {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Longer than any step takes on a slow Pi.
const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
