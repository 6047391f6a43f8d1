//! From the bytes of a track, which may still be travelling, to its samples.
//!
//! The decoder reads through [`Reader`], which blocks while bytes are late and
//! fails only when it is told to. The decoder takes any error for the end of
//! the track, so the reader keeps the reason where [`Opened::end`] finds it:
//! ended, cancelled and failed stay three things.
//!
//! What is not done here: pictures and padding are kept from the decoder by
//! [`super::view`]; after a cancel the decoder is built anew, never reused.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rodio::Source as _;
use symphonia::core::io::MediaSource;

use super::end::DecodeEnd;
use super::guard::guarded;
use super::sound::{KnownSound, SoundDecoder, SoundError};
use super::view::{View, ViewError};
use super::{Container, MediaInfo};

/// A request to give up, shared by its sender and the reader.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Sets the flag. Follow it by [`TrackBytes::wake`], or a blocked read
    /// never notices.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The flag itself, for callers that wait on a condition of their own.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Whether reads must return [`ReadStop::Cancelled`].
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The bytes of one track, some of which may not have arrived yet.
pub trait TrackBytes: Send + Sync {
    /// Bytes of the whole file.
    fn size(&self) -> u64;

    /// Reads at least one verified byte at `offset`, blocking until there is
    /// one; 0 only at or after the end.
    ///
    /// An implementation that waits must look at `cancel` under the lock that
    /// [`Self::wake`] takes, each time before it goes to sleep.
    ///
    /// # Errors
    /// [`ReadStop::Cancelled`] once `cancel` is set, [`ReadStop::Failed`] when
    /// the bytes will never come. Lateness is no error.
    fn read_at(&self, offset: u64, buf: &mut [u8], cancel: &Cancel) -> Result<usize, ReadStop>;

    /// Makes every blocked [`Self::read_at`] look at its `cancel` again.
    fn wake(&self);
}

/// Why a read gave up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadStop {
    /// The reader's owner asked for it.
    #[error("cancelled")]
    Cancelled,
    /// The bytes will never come.
    #[error("{0}")]
    Failed(String),
}

/// A file on this machine as [`TrackBytes`].
#[derive(Debug)]
pub struct FileBytes {
    file: std::fs::File,
    size: u64,
    /// When it was last modified, as it was opened.
    modified: (i64, i64),
}

impl FileBytes {
    /// Opens `path` for reading.
    #[cfg(test)]
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        Self::of(std::fs::File::open(path)?)
    }

    /// The bytes of an open file.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn of(file: std::fs::File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            file,
        })
    }

    /// Whether it is the file that was opened: one that is written to meanwhile would
    /// sound like noise.
    fn is_unchanged(&self) -> io::Result<bool> {
        let meta = self.file.metadata()?;
        let now = (meta.len(), meta.mtime(), meta.mtime_nsec());
        Ok(now == (self.size, self.modified.0, self.modified.1))
    }
}

impl TrackBytes for FileBytes {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8], cancel: &Cancel) -> Result<usize, ReadStop> {
        loop {
            if cancel.is_set() {
                return Err(ReadStop::Cancelled);
            }
            match self.file.read_at(buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ReadStop::Failed(e.to_string())),
                Ok(read) => {
                    // After the read, so that what was read is what was looked at.
                    return match self.is_unchanged() {
                        Ok(true) => Ok(read),
                        Ok(false) => Err(ReadStop::Failed(CHANGED.to_owned())),
                        Err(e) => Err(ReadStop::Failed(e.to_string())),
                    };
                }
            }
        }
    }

    fn wake(&self) {}
}

/// Why a track cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The owner asked to give up.
    #[error("cancelled")]
    Cancelled,
    /// The bytes will never come.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// The bytes are not what the extension promises.
    #[error("not playable as {container:?}: {why}")]
    Malformed {
        /// What the extension promises.
        container: Container,
        /// What is wrong.
        why: String,
    },
}

/// A track that is ready to give samples.
pub struct Opened {
    /// The samples, interleaved.
    pub source: SoundDecoder<Reader>,
    pub media: MediaInfo,
    /// Bits a sample; lossy formats have none.
    pub bits: Option<u8>,
    progress: ReadProgress,
}

impl Opened {
    /// Why `source` has no more samples; only meaningful after it said so.
    pub fn end(&self) -> DecodeEnd {
        match self.progress.stop() {
            None => match self.source.failure() {
                None => DecodeEnd::Ended,
                Some(why) => DecodeEnd::Failed(why.to_owned()),
            },
            Some(ReadStop::Cancelled) => DecodeEnd::Cancelled,
            Some(ReadStop::Failed(why)) => DecodeEnd::Failed(why),
        }
    }

    /// Counts the frames that are heard, for which all of the file may be read. `None` where
    /// that cannot be.
    pub fn count(self) -> Option<u64> {
        let frames = guarded(|| self.source.count()).ok()?;
        frames.filter(|_| self.progress.stop().is_none())
    }

    /// Moves to `position`, as [`SoundDecoder`] can.
    ///
    /// # Errors
    /// The [`DecodeEnd`] that takes the place of the rest.
    pub fn seek(&mut self, position: Duration) -> Result<(), DecodeEnd> {
        let rate = u128::from(self.media.rate);
        let frame = (position.as_nanos() * rate + 500_000_000) / 1_000_000_000;
        let frame = u64::try_from(frame).map_err(|_| DecodeEnd::Ended)?;
        let source = &mut self.source;
        let sought = guarded(|| source.seek(frame));
        match (sought, self.end()) {
            (_, DecodeEnd::Failed(why)) => Err(DecodeEnd::Failed(why)),
            (_, DecodeEnd::Cancelled) => Err(DecodeEnd::Cancelled),
            (Ok(Ok(())), DecodeEnd::Ended) => Ok(()),
            (Ok(Err(SoundError::Ended)), DecodeEnd::Ended) => Err(DecodeEnd::Ended),
            (Ok(Err(e)), DecodeEnd::Ended) => Err(DecodeEnd::Failed(format!("cannot seek: {e}"))),
            (Err(e), DecodeEnd::Ended) => Err(DecodeEnd::Failed(e.to_string())),
        }
    }

    /// Appends up to `frames` whole frames to `out`; fewer than asked for means
    /// that the track is over, and [`Self::end`] says how.
    pub fn decode(&mut self, frames: usize, out: &mut Vec<f32>) -> Result<usize, DecodeEnd> {
        let channels = usize::from(self.media.channels);
        let start = out.len();
        let source = &mut self.source;
        let decoded = guarded(|| out.extend(source.take(frames * channels)));
        let whole = (out.len() - start) / channels;
        out.truncate(start + whole * channels);
        match decoded {
            Ok(()) => Ok(whole),
            Err(e) => Err(DecodeEnd::Failed(e.to_string())),
        }
    }
}

/// What the owner of a decoder can see of its reading, from any thread.
#[derive(Clone, Debug, Default)]
pub struct ReadProgress(Arc<Mutex<Option<ReadStop>>>);

impl ReadProgress {
    /// The first reason for which a read gave up.
    pub fn stop(&self) -> Option<ReadStop> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn keep(&self, stop: &ReadStop) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| stop.clone());
    }
}

/// The file as the decoder sees it.
#[derive(Clone)]
pub struct Reader {
    bytes: Arc<dyn TrackBytes>,
    view: Arc<View>,
    position: u64,
    cancel: Cancel,
    progress: ReadProgress,
}

impl MediaSource for Reader {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.view.len())
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (bytes, cancel) = (&self.bytes, &self.cancel);
        let read = self.view.read(self.position, buf, &mut |offset, buf| {
            bytes.read_at(offset, buf, cancel)
        });
        match read {
            Ok(read) => {
                self.position += read as u64;
                Ok(read)
            }
            Err(stop) => {
                self.progress.keep(&stop);
                Err(io::Error::other(stop))
            }
        }
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => self.view.len().checked_add_signed(delta),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// Builds the decoder, reading as little as the format allows.
///
/// `audio_start` is a hint that spares reading through long comments; a wrong
/// one costs time, nothing else.
///
/// # Errors
/// [`OpenError`]; that bytes are late is none.
pub fn open(
    bytes: Arc<dyn TrackBytes>,
    container: Container,
    audio_start: Option<u64>,
    cancel: &Cancel,
    progress: &ReadProgress,
) -> Result<Opened, OpenError> {
    if audio_start.is_some() {
        match open_as(bytes.clone(), container, audio_start, cancel, progress) {
            Err(OpenError::Malformed { .. }) => {} // perhaps the hint is wrong
            result => return result,
        }
    }
    open_as(bytes, container, None, cancel, progress)
}

fn open_as(
    bytes: Arc<dyn TrackBytes>,
    container: Container,
    audio_start: Option<u64>,
    cancel: &Cancel,
    progress: &ReadProgress,
) -> Result<Opened, OpenError> {
    let malformed = |why: String| OpenError::Malformed { container, why };
    let view = View::build(container, bytes.size(), audio_start, &mut |offset, buf| {
        bytes.read_at(offset, buf, cancel)
    })
    .map_err(|e| match e {
        ViewError::Read(ReadStop::Cancelled) => OpenError::Cancelled,
        ViewError::Read(ReadStop::Failed(why)) => OpenError::Unreadable(why),
        ViewError::Malformed(why) => malformed(why.into()),
    })?;
    let (bits, audio_start) = (view.bits(), view.audio_start());
    let known = KnownSound {
        container,
        ends: view.ends(),
        states_frames: view.states_frames(),
    };
    let reader = Reader {
        bytes,
        view: Arc::new(view),
        position: 0,
        cancel: cancel.clone(),
        progress: progress.clone(),
    };
    let built = guarded(|| SoundDecoder::open(known, reader));
    match progress.stop() {
        Some(ReadStop::Cancelled) => return Err(OpenError::Cancelled),
        Some(ReadStop::Failed(why)) => return Err(OpenError::Unreadable(why)),
        None => {}
    }
    let source = built
        .map_err(|e| malformed(e.to_string()))?
        .map_err(|e| malformed(e.to_string()))?;
    let (rate, channels) = (source.sample_rate().get(), source.channels().get());
    if rate > MAX_RATE || channels > MAX_CHANNELS {
        return Err(malformed(format!("{rate} Hz, {channels} channels")));
    }
    Ok(Opened {
        media: MediaInfo {
            container,
            rate,
            channels,
            duration: source.total_duration().unwrap_or_default(),
            audio_start: Some(audio_start),
        },
        bits,
        source,
        progress: progress.clone(),
    })
}

const CHANGED: &str = "the file changed on its disk";

/// The highest rate of any DAC sold; a higher one is a broken header, and
/// would size buffers.
const MAX_RATE: u32 = 768_000;

/// 7.1, the most that any of the formats is used for.
const MAX_CHANNELS: u16 = 8;

#[cfg(test)]
mod tests;
