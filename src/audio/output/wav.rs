//! Writing WAV files that are valid at any moment.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::audio::ring::{Dither, Pcm as _};
use crate::audio::spec::{OutputError, SampleShape};

/// The file that `wav:PATH` names.
///
/// The first sound replaces what the file held; later sound of the same rate,
/// channels and bits is appended. Each change of those goes on in a new file:
/// `PATH` with `-2`, `-3`, … before the extension.
pub struct WavTarget {
    path: PathBuf,
    files: u32,
    kept: Option<WavFile>,
}

impl WavTarget {
    /// Touches nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            files: 0,
            kept: None,
        }
    }

    /// The file for sound of this shape, and its name.
    ///
    /// # Errors
    /// [`OutputError::File`] if it cannot be created.
    pub fn open(&mut self, shape: SampleShape) -> Result<(WavFile, String), OutputError> {
        let layout = WavLayout::of(shape);
        let file = match self.kept.take() {
            Some(file) if file.layout == layout => file,
            _ => {
                self.files += 1;
                let path = numbered(&self.path, self.files);
                WavFile::create(&path, layout).map_err(|e| OutputError::File {
                    path: path.clone(),
                    why: e.to_string(),
                })?
            }
        };
        let what = format!("wav:{}", numbered(&self.path, self.files).display());
        Ok((file, what))
    }

    /// Keeps a file for appending.
    pub fn keep(&mut self, file: Option<WavFile>) {
        self.kept = file;
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number <= 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The sample size of the file for a track of so many bits, none being lossy.
pub fn file_bits(track: Option<u8>) -> u8 {
    match track {
        None | Some(0..=16) => 16,
        Some(17..=24) => 24,
        Some(_) => 32,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WavLayout {
    rate: u32,
    channels: u16,
    /// 16, 24 or 32.
    bits: u16,
}

impl WavLayout {
    fn of(shape: SampleShape) -> Self {
        let bits = u16::from(file_bits(shape.bits));
        Self {
            rate: shape.rate,
            channels: shape.channels,
            bits,
        }
    }
}

/// A PCM file that grows.
pub struct WavFile {
    file: File,
    layout: WavLayout,
    data_bytes: u64,
    /// What the header on disk says.
    header_says: u64,
    encoded: Vec<u8>,
    dither: Dither,
}

impl WavFile {
    /// Creates a file of 16-bit samples.
    ///
    /// # Errors
    /// Whatever creating the file gives.
    pub fn create_16_bit(path: &Path, rate: u32, channels: u16) -> io::Result<Self> {
        let bits = 16;
        Self::create(
            path,
            WavLayout {
                rate,
                channels,
                bits,
            },
        )
    }

    fn create(path: &Path, layout: WavLayout) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(&header(layout, 0))?;
        Ok(Self {
            file,
            layout,
            data_bytes: 0,
            header_says: 0,
            encoded: Vec::new(),
            dither: Dither::new(),
        })
    }

    /// The name of its sample format.
    pub fn format(&self) -> &'static str {
        match self.layout.bits {
            16 => "s16",
            24 => "s24",
            _ => "s32",
        }
    }

    /// Appends interleaved samples.
    ///
    /// # Errors
    /// Whatever writing gives; the file is valid up to the last header.
    pub fn append(&mut self, samples: &[f32]) -> io::Result<()> {
        self.encoded.clear();
        for &sample in samples {
            match self.layout.bits {
                16 => {
                    let value = i16::from_sample(sample, &mut self.dither);
                    self.encoded.extend(value.to_le_bytes());
                }
                24 => {
                    let value = (sample * 8_388_608.0).round() as i32;
                    let value = value.clamp(-8_388_608, 8_388_607);
                    self.encoded.extend_from_slice(&value.to_le_bytes()[..3]);
                }
                _ => {
                    let value = i32::from_sample(sample, &mut self.dither);
                    self.encoded.extend(value.to_le_bytes());
                }
            }
        }
        self.file.write_all(&self.encoded)?;
        self.data_bytes += self.encoded.len() as u64;
        let second = u64::from(self.layout.rate) * u64::from(self.frame_bytes());
        if self.data_bytes - self.header_says >= second {
            self.write_header()?;
        }
        Ok(())
    }

    fn frame_bytes(&self) -> u16 {
        self.layout.channels * (self.layout.bits / 8)
    }

    fn write_header(&mut self) -> io::Result<()> {
        self.file
            .write_all_at(&header(self.layout, self.data_bytes), 0)?;
        self.header_says = self.data_bytes;
        Ok(())
    }
}

impl Drop for WavFile {
    fn drop(&mut self) {
        // The header of a second ago stays valid if this fails.
        let _ = self.write_header();
    }
}

/// The 44 bytes before the samples, by the RIFF/WAVE specification. Lengths
/// that do not fit 32 bits saturate, which readers take for "to the end".
fn header(layout: WavLayout, data_bytes: u64) -> Vec<u8> {
    let size = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let frame = layout.channels * (layout.bits / 8);
    let mut out = Vec::with_capacity(44);
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&size(data_bytes + 36));
    out.extend_from_slice(b"WAVEfmt ");
    out.extend_from_slice(&16u32.to_le_bytes());
    out.extend_from_slice(&1u16.to_le_bytes());
    out.extend_from_slice(&layout.channels.to_le_bytes());
    out.extend_from_slice(&layout.rate.to_le_bytes());
    out.extend_from_slice(&(layout.rate * u32::from(frame)).to_le_bytes());
    out.extend_from_slice(&frame.to_le_bytes());
    out.extend_from_slice(&layout.bits.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&size(data_bytes));
    out
}
