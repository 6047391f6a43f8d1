//! Sound cards that are none, for alsa-lib: its own plugins `null`, and `file` into a pipe, and
//! the simulated card of `tests/simcard`, which has a clock and a buffer of its own.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::fcntl::OFlag;

use super::{CONTRACTS, STEP};

/// Where the test finds the directory of its cards.
pub const DIRECTORY: &str = "P2PMUSIC_CARDS";

/// A directory with an ALSA configuration: for each contract and each driver a card of each kind.
pub struct Cards {
    dir: PathBuf,
    _dropped: Option<tempfile::TempDir>,
}

impl Cards {
    pub fn make() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_owned();
        let cards = Self {
            dir,
            _dropped: Some(temporary),
        };
        let plugin = cards.plugin();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simcard/simcard.c");
        let built = Command::new("cc")
            .args(["-O1", "-w", "-shared", "-fPIC", "-DPIC", "-o"])
            .arg(&plugin)
            .args([source, "-lasound"])
            .output();
        assert!(
            built.as_ref().is_ok_and(|built| built.status.success()),
            "the simulated card needs a C compiler: {built:?}"
        );
        let mut text = format!("pcm_type.simcard {{ lib \"{}\" }}\n", plugin.display());
        for name in (0..CONTRACTS.len()).flat_map(|n| [format!("a{n}"), format!("r{n}")]) {
            let pipe = cards.pipe(&name);
            let made = Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            let hint = "hint { show on description \"a test's card\" }";
            text += &format!("pcm.null-{name} {{ type null {hint} }}\n");
            text += &format!(
                "pcm.pipe-{name} {{ type file file \"{}\" format raw slave.pcm {{ type null }} \
                 {hint} }}\n",
                pipe.display()
            );
            text += &format!(
                "pcm.sim-{name} {{ type simcard prefix \"sim-{name}\" rates \"44100 48000\" \
                 {hint} }}\n"
            );
        }
        fs::write(cards.dir.join("asoundrc"), text).unwrap();
        cards
    }

    /// Those that another process has made.
    pub fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            _dropped: None,
        }
    }

    pub fn env(&self) -> Vec<(&'static str, String)> {
        let dir = self.dir.display();
        let config = format!("/usr/share/alsa/alsa.conf:{dir}/asoundrc");
        vec![
            ("ALSA_CONFIG_PATH", config),
            ("SIMCARD_DIR", dir.to_string()),
            (DIRECTORY, dir.to_string()),
        ]
    }

    pub fn kinds(&self) -> [&'static str; 3] {
        ["null", "pipe", "sim"]
    }

    /// The name of a card, and its far end.
    pub fn plug_in(&self, kind: &str, name: &str) -> (String, Option<FarEnd>) {
        let far_end = match kind {
            "pipe" => Some(FarEnd::of_pipe(&self.pipe(name))),
            "sim" => {
                let path = self.dir.join(format!("sim-{name}.raw"));
                Some(FarEnd::File {
                    path,
                    header: 0,
                    bytes: 4,
                })
            }
            _ => None,
        };
        (format!("{kind}-{name}"), far_end)
    }

    pub fn file(&self, n: usize) -> PathBuf {
        self.dir.join(format!("{n}.wav"))
    }

    pub fn wav(&self, path: PathBuf) -> FarEnd {
        FarEnd::File {
            path,
            header: 44,
            bytes: 2,
        }
    }

    fn pipe(&self, name: &str) -> PathBuf {
        self.dir.join(format!("pipe-{name}"))
    }

    fn plugin(&self) -> PathBuf {
        self.dir.join("libasound_module_pcm_simcard.so")
    }
}

/// What a card has got: stereo, samples of so many bytes.
pub enum FarEnd {
    File {
        path: PathBuf,
        header: usize,
        bytes: usize,
    },
    /// Samples of 4 bytes.
    Pipe {
        sound: Arc<Mutex<Vec<u8>>>,
        ends: Arc<AtomicBool>,
        reader: Option<JoinHandle<()>>,
    },
}

impl FarEnd {
    fn of_pipe(pipe: &Path) -> Self {
        // For writing, too, so that opening it waits for nobody.
        let mut pipe = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(pipe)
            .unwrap();
        let (sound, ends) = (
            Arc::<Mutex<Vec<u8>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (kept, told) = (sound.clone(), ends.clone());
        let reader = thread::spawn(move || {
            let mut some = [0; 4096];
            while !told.load(Ordering::Acquire) {
                // About ten times as fast as a card.
                let count = pipe.read(&mut some).unwrap_or(0);
                kept.lock().unwrap().extend_from_slice(&some[..count]);
                thread::sleep(STEP);
            }
        });
        let reader = Some(reader);
        Self::Pipe {
            sound,
            ends,
            reader,
        }
    }

    /// The left channel, in 16 bits.
    pub fn heard(&self) -> Vec<i16> {
        match self {
            Self::File {
                path,
                header,
                bytes,
            } => {
                let file = fs::read(path).unwrap_or_default();
                left(file.get(*header..).unwrap_or_default(), *bytes)
            }
            Self::Pipe { sound, .. } => left(&sound.lock().unwrap(), 4),
        }
    }

    /// Takes the card away, if that can be.
    pub fn unplug(&self) -> bool {
        // The plugin `file` tells nobody that it cannot write.
        let gone = self.beside("gone");
        gone.is_some_and(|path| fs::write(path, b"").is_ok())
    }

    /// Lets the card's buffer run empty once, if that can be.
    pub fn delay(&self) -> bool {
        let late = self.beside("late");
        late.is_some_and(|path| fs::write(path, b"").is_ok())
    }

    /// Whether it has since.
    pub fn was_late(&self) -> bool {
        let log = self.beside("log");
        log.is_some_and(|path| fs::read_to_string(path).unwrap().contains("XRUN"))
    }

    /// A file of the simulated card.
    fn beside(&self, end: &str) -> Option<PathBuf> {
        match self {
            Self::File {
                path, header: 0, ..
            } => Some(path.with_extension(end)),
            _ => None,
        }
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        if let Self::Pipe { ends, reader, .. } = self {
            ends.store(true, Ordering::Release);
            let _ = reader.take().map(JoinHandle::join);
        }
    }
}

fn left(sound: &[u8], bytes: usize) -> Vec<i16> {
    let frames = sound.chunks_exact(2 * bytes);
    let high = |frame: &[u8]| i16::from_le_bytes([frame[bytes - 2], frame[bytes - 1]]);
    frames.map(high).collect()
}
