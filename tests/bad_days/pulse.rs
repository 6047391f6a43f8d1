//! A sound server of the test's own: PulseAudio behind ALSA's `pulse` plugin,
//! with a sink that plays to nobody at a card's pace. It can be killed, started
//! again, and stopped so that it holds its connections and answers nothing.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use tempfile::TempDir;

use super::common::PATIENCE;

/// The server's directory, and the server while it runs.
pub struct Pulse {
    dir: TempDir,
    server: Option<Child>,
}

/// What the player finds it by.
pub const DEVICE: &str = "house";

impl Pulse {
    /// Not running yet; where it cannot be, says why.
    pub fn try_new() -> Result<Self, String> {
        if Command::new("pulseaudio")
            .arg("--version")
            .output()
            .is_err()
        {
            return Err("there is no `pulseaudio` (package pulseaudio)".into());
        }
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let this = Self { dir, server: None };
        let text = format!(
            "pcm.{DEVICE} {{ type pulse server \"unix:{}\" \
             hint {{ show on description \"a test's server\" }} }}\n",
            this.socket().display()
        );
        fs::write(this.config(), text).map_err(|e| e.to_string())?;
        Ok(this)
    }

    /// What a node needs to find the device.
    pub fn env(&self) -> Vec<(String, String)> {
        let path = format!("/usr/share/alsa/alsa.conf:{}", self.config().display());
        vec![("ALSA_CONFIG_PATH".into(), path)]
    }

    /// Where ALSA's configuration of it lies.
    pub fn config(&self) -> std::path::PathBuf {
        self.dir.path().join("asoundrc")
    }

    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("socket")
    }

    /// Starts the server and waits until it listens.
    pub fn start(&mut self) {
        let home: &Path = self.dir.path();
        let protocol = format!(
            "module-native-protocol-unix socket={} auth-anonymous=1",
            self.socket().display()
        );
        let _ = fs::remove_file(self.socket());
        let server = Command::new("pulseaudio")
            .args([
                "-n",
                "--daemonize=no",
                "--use-pid-file=no",
                "--exit-idle-time=-1",
            ])
            .args(["--disable-shm=true", "-L", &protocol])
            .args(["-L", "module-null-sink sink_name=nobody rate=44100"])
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home)
            .env("XDG_CONFIG_HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it could be asked for its version");
        self.server = Some(server);
        let deadline = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "the server does not listen");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Keeps its connections and answers nothing, until [`Self::wake`].
    pub fn hang(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn wake(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let server = self.server.as_ref().expect("it runs");
        kill(Pid::from_raw(server.id() as i32), signal).unwrap();
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.kill();
    }
}
