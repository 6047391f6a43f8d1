//! What must be known of a file before others can play it well.
//!
//! The file is opened by the very same view and decoder that a listener will
//! use, through bytes that record what is read. What was touched until the first
//! sound is the listener's first request.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::decode::{self, Cancel, End, FileBytes, OpenError, Progress, ReadStop, TrackBytes};
use super::Format;
use crate::id::GROUP_BYTES;

/// What a listener wants to know beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The format, by the extension.
    pub format: Format,
    /// Frames a second.
    pub rate: u32,
    /// Samples a frame.
    pub channels: u16,
    /// Bits a sample; lossy formats have none.
    pub bits: Option<u8>,
    /// Length; zero where the file does not tell.
    pub duration: Duration,
    /// The bytes to be had before the first sound, in whole chunk groups: at
    /// most [`OPENING_RANGES`] ranges, ascending and apart.
    pub opening: Vec<Range<u64>>,
    /// Where in the file the sound begins.
    pub audio_start: u64,
}

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

/// Opens the file at `path` and decodes its first frames.
///
/// # Errors
/// [`ProbeError`] for what could not be played either.
pub fn probe(path: &Path) -> Result<Probed, ProbeError> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let format = Format::from_extension(&extension)
        .ok_or_else(|| ProbeError::UnknownFormat(extension.into_owned()))?;
    let bytes = Arc::new(Recorder {
        file: FileBytes::open(path)?,
        touched: Mutex::default(),
    });
    let first = begin(&bytes, format, None)?;
    // The listener will have the hint, and so may read less.
    bytes.forget();
    let found = begin(&bytes, format, Some(first.audio_start))?;
    Ok(Probed {
        opening: few(bytes.touched(), bytes.size()),
        ..found
    })
}

fn begin(
    bytes: &Arc<Recorder>,
    format: Format,
    audio_start: Option<u64>,
) -> Result<Probed, ProbeError> {
    let cancel = Cancel::default();
    let progress = Progress::default();
    let mut opened = decode::open(bytes.clone(), format, audio_start, &cancel, &progress)?;
    let frames = opened.decode(FIRST_FRAMES, &mut Vec::new());
    let silent = match (frames, opened.end()) {
        (Err(End::Failed(why)), _) | (Ok(_), End::Failed(why)) => Some(why),
        (Ok(0), _) => Some("it is empty".to_owned()),
        _ => None,
    };
    if let Some(why) = silent {
        return Err(ProbeError::Silent(why));
    }
    Ok(Probed {
        format,
        rate: opened.rate,
        channels: opened.channels,
        bits: opened.bits,
        duration: opened.duration.unwrap_or_default(),
        opening: Vec::new(),
        audio_start: opened.audio_start,
    })
}

/// A file that remembers which chunk groups were read.
struct Recorder {
    file: FileBytes,
    /// Ranges of groups, ascending and apart.
    touched: Mutex<Vec<Range<u64>>>,
}

impl Recorder {
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
        let read = self.file.read_at(offset, buf, cancel)?;
        if read > 0 {
            let end = offset + read as u64;
            let groups = offset / GROUP_BYTES..end.div_ceil(GROUP_BYTES);
            add(&mut self.lock(), groups);
        }
        Ok(read)
    }

    fn wake(&self) {}
}

/// Adds a range to ascending ranges that lie apart.
fn add(ranges: &mut Vec<Range<u64>>, new: Range<u64>) {
    let from = ranges.partition_point(|range| range.end < new.start);
    let to = ranges.partition_point(|range| range.start <= new.end);
    let merged = ranges[from..to].iter().fold(new, |sum, range| {
        sum.start.min(range.start)..sum.end.max(range.end)
    });
    ranges.splice(from..to, [merged]);
}

/// Ranges of groups as ranges of bytes, the nearest ones joined until they are
/// few enough.
fn few(mut groups: Vec<Range<u64>>, size: u64) -> Vec<Range<u64>> {
    while groups.len() > OPENING_RANGES {
        let gap = |i: &usize| groups[i + 1].start - groups[*i].end;
        let Some(i) = (0..groups.len() - 1).min_by_key(gap) else {
            break;
        };
        groups[i].end = groups[i + 1].end;
        groups.remove(i + 1);
    }
    groups
        .into_iter()
        .map(|g| g.start * GROUP_BYTES..(g.end * GROUP_BYTES).min(size))
        .collect()
}

/// Ranges in [`Probed::opening`]: a request names them all, and the worst
/// format needs head, setup, first sound and tail.
pub const OPENING_RANGES: usize = 8;

/// What a device wants before it sounds: 20 ms at 48 kHz.
const FIRST_FRAMES: usize = 960;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_groups_join_where_they_meet() {
        let mut ranges = Vec::new();
        for range in [4..5, 0..1, 9..12, 1..2, 10..11, 5..9] {
            add(&mut ranges, range);
        }
        assert_eq!(ranges, [0..2, 4..12]);
    }

    #[test]
    fn the_nearest_ranges_are_joined_first_and_the_last_is_cut() {
        let groups = (0..9).map(|i| i * 10..i * 10 + if i == 3 { 9 } else { 5 });
        let size = 84 * GROUP_BYTES + 1;
        let ranges = few(groups.collect(), size);
        assert_eq!(ranges.len(), OPENING_RANGES);
        assert_eq!(ranges[3], 30 * GROUP_BYTES..45 * GROUP_BYTES);
        assert_eq!(ranges[7].end, size);
    }

    #[test]
    fn a_wav_opens_with_its_first_groups_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.WAV");
        let mut file = crate::player::wav::WavFile::create_16_bit(&path, 44_100, 2).unwrap();
        file.append(&vec![0.25; 441_000]).unwrap();
        drop(file);
        let probed = probe(&path).unwrap();
        assert_eq!((probed.rate, probed.channels), (44_100, 2));
        assert_eq!((probed.bits, probed.audio_start), (Some(16), 44));
        assert_eq!(probed.duration, Duration::from_secs(5));
        let opening: u64 = probed.opening.iter().map(|r| r.end - r.start).sum();
        assert!(opening <= 4 * GROUP_BYTES, "{:?}", probed.opening);
    }
}
