//! A sound card that is none.
//!
//! The device is ALSA's own `file` plugin, whose file is a named pipe that the
//! test reads at a card's pace: what a DAC would get is what the test has, and
//! a full pipe holds the player back as a full hardware buffer does.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    process::Command,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use tempfile::TempDir;

use super::PATIENCE;

/// What the player finds by its name.
pub const DEVICE: &str = "testcard";

/// A directory with an ALSA configuration, and the far end of its device.
pub struct Card {
    dir: TempDir,
    end: Arc<AtomicBool>,
    sound: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Card {
    /// One that takes 32-bit stereo at `rate`.
    pub fn plugged_in(rate: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("dac");
        assert!(Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success());
        let text = format!(
            "pcm.{DEVICE} {{ type file file \"{}\" format raw slave.pcm {{ type null }} \
             hint {{ show on description \"a test's card\" }} }}\n",
            pipe.display()
        );
        fs::write(dir.path().join("asoundrc"), text).unwrap();
        let (end, sound) = (
            Arc::<AtomicBool>::default(),
            Arc::<Mutex<Vec<u8>>>::default(),
        );
        let reader = Some(thread::spawn({
            let (end, sound) = (end.clone(), sound.clone());
            move || read_at_pace(&pipe, rate, &end, &sound)
        }));
        Self {
            dir,
            end,
            sound,
            reader,
        }
    }

    /// What makes a node find it.
    pub fn env(&self) -> Vec<(String, String)> {
        let own = self.dir.path().join("asoundrc");
        let path = format!("/usr/share/alsa/alsa.conf:{}", own.display());
        vec![("ALSA_CONFIG_PATH".into(), path)]
    }

    /// The same without what is configured on this machine, such as plugins
    /// that are not there for another's processor.
    pub fn env_alone(&self) -> Vec<(String, String)> {
        let own = self.dir.path().join("asoundrc");
        vec![("ALSA_CONFIG_PATH".into(), own.display().to_string())]
    }

    /// The first `count` frames that the card gets, from the first that is not
    /// silent on, as samples of 32 bits.
    fn heard(&self, count: usize) -> Vec<[i32; 2]> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let bytes = self.sound.lock().unwrap().clone();
            let sample = |b: &[u8]| i32::from_le_bytes(b.try_into().unwrap());
            let frames: Vec<[i32; 2]> = bytes
                .chunks_exact(8)
                .map(|frame| [sample(&frame[..4]), sample(&frame[4..])])
                .skip_while(|frame| *frame == [0, 0])
                .take(count)
                .collect();
            if frames.len() == count {
                return frames;
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count} frames",
                frames.len()
            );
            thread::sleep(PERIOD);
        }
    }

    /// Panics unless it gets `sound`, of 16 bits, sample for sample.
    pub fn assert_heard(&self, sound: &[[i16; 2]], what: &str) {
        let heard = self.heard(sound.len());
        let exact = |frame: &[i16; 2]| frame.map(|sample| i32::from(sample) << 16);
        let differs = heard.iter().zip(sound).position(|(a, b)| *a != exact(b));
        assert_eq!(differs, None, "the first wrong frame of {what}");
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

/// Opened for writing, too, so that the pipe outlives a closed device and
/// opening it waits for nobody.
fn read_at_pace(pipe: &Path, rate: u32, end: &AtomicBool, sound: &Mutex<Vec<u8>>) {
    let mut pipe = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(pipe)
        .unwrap();
    fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES)).unwrap();
    let mut period = vec![0; (rate * FRAME_BYTES) as usize / 100];
    let mut due = Instant::now();
    while !end.load(Ordering::Acquire) {
        let mut filled = 0;
        while filled < period.len() {
            match pipe.read(&mut period[filled..]) {
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        sound.lock().unwrap().extend_from_slice(&period[..filled]);
        due = (due + PERIOD).max(Instant::now() - PERIOD);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// 32-bit stereo.
const FRAME_BYTES: u32 = 8;
/// How often the card takes sound.
const PERIOD: Duration = Duration::from_millis(10);
/// As little as a pipe can hold, 10 ms, since it is the card's buffer.
const PIPE_BYTES: i32 = 4096;
