//! Everything between the bytes of a music file and its samples.

pub mod decode;
pub mod end;
pub mod guard;
pub mod probe;
pub mod view;

use serde::{Deserialize, Serialize};

/// The container formats that are listed, fetched and played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// PCM in RIFF/WAVE.
    Wav,
    /// Native FLAC.
    Flac,
    /// MPEG-1/2 Layer III.
    Mp3,
    /// Vorbis in Ogg.
    Ogg,
    /// AAC in ISO base media (`.m4a`, `.mp4`, `.m4b`).
    M4a,
}

impl Format {
    /// The format that a file name's extension (without the dot) stands for.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "wav" | "wave" => Some(Self::Wav),
            "flac" => Some(Self::Flac),
            "mp3" => Some(Self::Mp3),
            "ogg" | "oga" => Some(Self::Ogg),
            "m4a" | "m4b" | "mp4" => Some(Self::M4a),
            _ => None,
        }
    }

    /// The usual extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Flac => "flac",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::M4a => "m4a",
        }
    }
}
