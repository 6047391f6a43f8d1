//! The file as the demuxer sees it: without pictures and padding.
//!
//! A cover of 2 MB stands before the first sample in many files, and fetching
//! it would delay the sound. The view is a list of segments that shows only
//! what the demuxer needs: all else is left out, or where absolute offsets
//! forbid that, replaced by zeros. It is built from a few small reads, and it
//! also refuses what is known to make the demuxer panic or allocate without
//! bound.
//!
//! Each view begins with what begins its own format and no other, and is read by the
//! demuxer of that format only: what was checked as one is read as one.
//!
//! What must hold: the samples are those of the file; and nothing in a file,
//! each byte of which may be hostile, makes building the view panic, loop or
//! grow. What is merely unusual is shown as it is.

mod atoms;
mod flac;
mod isobmff;
mod movie;
mod mpeg;
mod ogg;
mod riff;
mod vorbis;

use std::{num::NonZeroU32, ops::Range};

use super::Container;

/// Why there is no view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewError<E> {
    /// The bytes could not be had.
    Read(E),
    /// The demuxer must not see this file.
    Malformed(&'static str),
}

impl<E> From<E> for ViewError<E> {
    fn from(e: E) -> Self {
        Self::Read(e)
    }
}

/// A file with the parts hidden that would only delay the sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    segments: Vec<Segment>,
    len: u64,
    bits: Option<u8>,
    audio_start: u64,
    ends: Option<TrackEnds>,
    states_frames: bool,
}

/// Where the sound begins and ends in what the codec gives, as the file states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackEnds {
    /// What comes before it.
    pub first: u64,
    /// How long it is, where that is stated.
    pub length: Option<u64>,
    /// Units of both in a second.
    pub per_second: u32,
}

impl TrackEnds {
    /// A number of units as frames of this rate.
    pub fn frames(&self, units: u64, rate: NonZeroU32) -> u64 {
        let per_second = u128::from(self.per_second.max(1));
        let frames = u128::from(units) * u128::from(rate.get());
        u64::try_from((frames + per_second / 2) / per_second).unwrap_or(u64::MAX)
    }
}

/// One stretch of a [`View`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// These bytes of the file.
    File(Range<u64>),
    /// These bytes of the file, which are sound in Ogg and no headers.
    OggSound(Range<u64>),
    /// So many zeros.
    Zeros(u64),
    /// These bytes, made up.
    Bytes(Vec<u8>),
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::File(range) | Self::OggSound(range) => range.end.saturating_sub(range.start),
            Self::Zeros(len) => *len,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// Reads at least one byte at an offset of the file, or none at its end.
pub type ReadAt<'a, E> = dyn FnMut(u64, &mut [u8]) -> Result<usize, E> + 'a;

impl View {
    /// Builds the view of a file of `size` bytes. `audio_start` may tell where
    /// the sound begins; that is checked, not trusted.
    ///
    /// # Errors
    /// What `read` gives; [`ViewError::Malformed`] for what is not of this
    /// format or must not reach the demuxer.
    pub fn build<E>(
        container: Container,
        size: u64,
        audio_start: Option<u64>,
        read: &mut ReadAt<'_, E>,
    ) -> Result<Self, ViewError<E>> {
        let file = &mut ParserInput { size, read };
        let shown = match container {
            Container::Wav => riff::view(file)?,
            Container::Flac => flac::view(file)?,
            Container::Mp3 => mpeg::view(file)?,
            Container::Ogg => ogg::view(file, audio_start)?,
            Container::M4a => isobmff::view(file)?,
        };
        Ok(Self {
            len: shown.segments.iter().map(Segment::len).sum(),
            segments: shown.segments,
            bits: shown.bits,
            audio_start: shown.audio_start,
            ends: shown.ends,
            states_frames: shown.states_frames,
        })
    }

    /// Bytes of the view.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bits a sample, where the format has such.
    pub fn bits(&self) -> Option<u8> {
        self.bits
    }

    /// Where in the file the sound begins.
    pub fn audio_start(&self) -> u64 {
        self.audio_start
    }

    /// Where the sound begins and ends in what the codec gives, if the view knows that.
    pub fn ends(&self) -> Option<TrackEnds> {
        self.ends
    }

    /// Whether an MP3 begins with a header that says how many frames it has.
    pub fn states_frames(&self) -> bool {
        self.states_frames
    }

    /// Reads at least one byte at `position` of the view, or none at its end.
    ///
    /// # Errors
    /// What `read`, which reads the file, gives.
    pub fn read<E>(
        &self,
        position: u64,
        buf: &mut [u8],
        read: &mut ReadAt<'_, E>,
    ) -> Result<usize, E> {
        let mut within = position;
        for segment in &self.segments {
            let len = segment.len();
            if within >= len {
                within -= len;
                continue;
            }
            let count = usize::try_from(len - within)
                .unwrap_or(usize::MAX)
                .min(buf.len());
            let out = &mut buf[..count];
            return match segment {
                Segment::File(range) => read(range.start + within, out),
                Segment::OggSound(range) => ogg::read_sound(range.start, within, out, read),
                Segment::Zeros(_) => {
                    out.fill(0);
                    Ok(count)
                }
                Segment::Bytes(bytes) => {
                    let from = within as usize; // less than the length of a Vec
                    out.copy_from_slice(&bytes[from..from + count]);
                    Ok(count)
                }
            };
        }
        Ok(0)
    }
}

/// What a format's parser found.
struct Shown {
    segments: Vec<Segment>,
    bits: Option<u8>,
    audio_start: u64,
    ends: Option<TrackEnds>,
    states_frames: bool,
}

/// The file, for a parser.
struct ParserInput<'a, 'b, E> {
    size: u64,
    read: &'a mut ReadAt<'b, E>,
}

impl<E> ParserInput<'_, '_, E> {
    /// `len` bytes at `offset`.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ViewError<E>> {
        let end = offset.checked_add(len as u64);
        if len > TAKE || end.is_none_or(|end| end > self.size) {
            return Err(ViewError::Malformed("it ends too early"));
        }
        let mut out = vec![0; len];
        let mut done = 0;
        while done < len {
            match (self.read)(offset + done as u64, &mut out[done..])? {
                0 => return Err(ViewError::Malformed("it ends too early")),
                read => done += read,
            }
        }
        Ok(out)
    }

    /// The offset after all ID3v2 tags at the beginning.
    fn after_id3v2(&mut self) -> Result<u64, ViewError<E>> {
        let mut offset = 0;
        for _ in 0..TAGS {
            if self.size - offset < 10 {
                break;
            }
            let head = self.bytes(offset, 10)?;
            if !head.starts_with(b"ID3") || head[6..].iter().any(|b| b & 0x80 != 0) {
                break;
            }
            let body = head[6..]
                .iter()
                .fold(0, |size, &b| size << 7 | u64::from(b));
            let footer = if head[5] & 0x10 != 0 { 10 } else { 0 };
            let end = offset + 10 + body + footer;
            if end > self.size {
                break;
            }
            offset = end;
        }
        Ok(offset)
    }
}

fn be_u32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |n, &b| n << 8 | u32::from(b))
}

fn le_u32(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .rev()
        .fold(0, |n, &b| n << 8 | u32::from(b))
}

/// The most that is read at once: a large seek table or setup header is 20 KB.
const TAKE: usize = 256 * 1024;

/// ID3v2 tags in a row; careless taggers leave two.
const TAGS: usize = 8;

/// As many as the decoder is used for.
const MAX_CHANNELS: u16 = 8;

#[cfg(test)]
mod tests;
