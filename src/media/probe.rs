//! What must be known of a file before others can play it well.
//!
//! The file is opened by the very same view and decoder that a listener will
//! use, through bytes that record what is read. What was touched until the first
//! sound is the listener's first request.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::decode::{
    self, Cancel, FileBytes, OpenError, Opened, ReadProgress, ReadStop, TrackBytes,
};
use super::end::DecodeEnd;
use super::probed::{add, few, ProbeRejection, Probed};
use super::{Container, MediaInfo};
use crate::id::GROUP_BYTES;

/// Why a file is not listed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It is none of the formats.
    #[error("{0:?} is no extension of a playable format")]
    UnknownFormat(String),
    /// It cannot be opened.
    #[error("cannot be opened: {0}")]
    Io(#[from] std::io::Error),
    /// It cannot be decoded.
    #[error(transparent)]
    Undecodable(#[from] OpenError),
    /// Its first frames cannot be decoded.
    #[error("has no sound: {0}")]
    Silent(String),
}

/// Decodes the first frames of `file`, which is called `path`.
///
/// # Errors
/// [`ProbeRejection`] for what could not be played either, or costs too much to open.
pub fn probe(path: &Path, file: File) -> Result<Probed, ProbeRejection> {
    let bytes = FileBytes::of(file).map_err(|error| ProbeRejection {
        why: ProbeError::from(error).to_string(),
        is_lasting: false,
    })?;
    let bytes = Arc::new(Recorder::new(bytes));
    open(path, &bytes).map_err(|error| ProbeRejection {
        is_lasting: !bytes.has_failed.load(Ordering::Relaxed),
        why: error.to_string(),
    })
}

fn open(path: &Path, bytes: &Arc<Recorder>) -> Result<Probed, ProbeError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let container = Container::from_extension(&extension)
        .ok_or_else(|| ProbeError::UnknownFormat(extension.into_owned()))?;
    let (first, _) = begin(bytes, container, None)?;
    // The listener will have the hint, and so may read less.
    bytes.forget();
    let (found, opened) = begin(bytes, container, first.media.audio_start)?;
    let opening = few(bytes.touched(), bytes.size());
    let frames = opened.count();
    let duration = frames.map(|frames| duration_of(frames, found.media.rate));
    Ok(Probed {
        media: MediaInfo {
            duration: duration.unwrap_or_default(),
            ..found.media
        },
        frames,
        opening,
        ..found
    })
}

fn begin(
    bytes: &Arc<Recorder>,
    container: Container,
    audio_start: Option<u64>,
) -> Result<(Probed, Opened), ProbeError> {
    let cancel = Cancel::default();
    let progress = ReadProgress::default();
    let mut opened = decode::open(bytes.clone(), container, audio_start, &cancel, &progress)?;
    let frames = opened.decode(FIRST_FRAMES, &mut Vec::new());
    let silent = match (frames, opened.end()) {
        (Err(DecodeEnd::Failed(why)), _) | (Ok(_), DecodeEnd::Failed(why)) => Some(why),
        (Ok(0), _) => Some("it is empty".to_owned()),
        _ => None,
    };
    if let Some(why) = silent {
        return Err(ProbeError::Silent(why));
    }
    let probed = Probed {
        media: opened.media,
        bits: opened.bits,
        frames: None,
        opening: Vec::new(),
    };
    Ok((probed, opened))
}

fn duration_of(frames: u64, rate: u32) -> Duration {
    let nanos = u128::from(frames) * 1_000_000_000 / u128::from(rate.max(1));
    u64::try_from(nanos).map_or(Duration::ZERO, Duration::from_nanos)
}

/// A file that remembers which chunk groups were read, and ends what reads too much.
struct Recorder {
    file: FileBytes,
    /// Ranges of groups, ascending and apart.
    touched: Mutex<Vec<Range<u64>>>,
    read: AtomicU64,
    deadline: Instant,
    /// The disk failed, or was too slow: another time it may be different.
    has_failed: AtomicBool,
}

impl Recorder {
    fn new(file: FileBytes) -> Self {
        Self {
            file,
            touched: Mutex::default(),
            read: AtomicU64::new(0),
            deadline: Instant::now() + MAX_TIME,
            has_failed: AtomicBool::new(false),
        }
    }

    fn touched(&self) -> Vec<Range<u64>> {
        self.lock().clone()
    }

    fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Range<u64>>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TrackBytes for Recorder {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8], cancel: &Cancel) -> Result<usize, ReadStop> {
        if Instant::now() > self.deadline {
            self.has_failed.store(true, Ordering::Relaxed);
            let seconds = MAX_TIME.as_secs();
            let why = format!("opening it took more than {seconds} s");
            return Err(ReadStop::Failed(why));
        }
        let read = self.file.read_at(offset, buf, cancel);
        let read = read.inspect_err(|_| self.has_failed.store(true, Ordering::Relaxed))?;
        let before = self.read.fetch_add(read as u64, Ordering::Relaxed);
        if before + read as u64 > MAX_READ {
            let why = format!("more than {} MiB are read to open it", MAX_READ >> 20);
            return Err(ReadStop::Failed(why));
        }
        if read > 0 {
            let end = offset + read as u64;
            let groups = offset / GROUP_BYTES..end.div_ceil(GROUP_BYTES);
            add(&mut self.lock(), groups);
        }
        Ok(read)
    }

    fn wake(&self) {}
}

/// What opening a file may read: a movie of 64 MiB of tables, which is the largest
/// that is shown to the decoder, three times for each of the two times that it is opened.
const MAX_READ: u64 = 400 * 1024 * 1024;

/// How long opening a file may take: a disk that spins up takes 10 s, and a listener
/// would have given up long before.
const MAX_TIME: Duration = Duration::from_secs(30);

/// What a device wants before it sounds: 20 ms at 48 kHz.
const FIRST_FRAMES: usize = 960;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_opens_with_its_first_groups_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.WAV");
        let mut file = crate::audio::output::wav::WavFile::create_16_bit(&path, 44_100, 2).unwrap();
        file.append(&vec![0.25; 441_000]).unwrap();
        drop(file);
        let probed = probe(&path, File::open(&path).unwrap()).unwrap();
        assert_eq!((probed.media.rate, probed.media.channels), (44_100, 2));
        assert_eq!(
            (probed.bits, probed.media.audio_start),
            (Some(16), Some(44))
        );
        assert_eq!(probed.media.duration, Duration::from_secs(5));
        let opening: u64 = probed.opening.iter().map(|r| r.end - r.start).sum();
        assert!(opening <= 4 * GROUP_BYTES, "{:?}", probed.opening);
    }

    #[test]
    fn what_reads_too_much_or_too_long_is_left_out_and_only_the_first_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        let mut file = crate::audio::output::wav::WavFile::create_16_bit(&path, 44_100, 2).unwrap();
        file.append(&[0.25; 4410]).unwrap();
        drop(file);
        let recorder = |spent, deadline| {
            let recorder = Recorder {
                deadline,
                ..Recorder::new(FileBytes::open(&path).unwrap())
            };
            recorder.read.store(spent, Ordering::Relaxed);
            Arc::new(recorder)
        };
        let later = Instant::now() + MAX_TIME;
        assert!(open(&path, &recorder(0, later)).is_ok());
        for (spent, deadline, words, passes) in [
            (MAX_READ, later, "MiB", false),
            (0, Instant::now(), "took", true),
        ] {
            let bytes = recorder(spent, deadline);
            let why = open(&path, &bytes).unwrap_err().to_string();
            assert!(why.contains(words), "{why}");
            assert_eq!(bytes.has_failed.load(Ordering::Relaxed), passes);
        }
    }
}
