//! Everything between the bytes of a music file and its samples.

pub mod decode;
pub mod end;
pub mod guard;
pub mod probe;
pub mod probed;
pub mod sound;
pub mod view;

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What sound is packed in, as far as it is listed, fetched and played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// RIFF/WAVE.
    Wav,
    /// Native FLAC.
    Flac,
    /// A stream of MPEG-1/2 audio.
    Mp3,
    Ogg,
    /// ISO base media (`.m4a`, `.mp4`, `.m4b`).
    M4a,
}

/// What is known of a file's sound before it is opened, by its catalogue as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaInfo {
    pub container: Container,
    /// Frames a second.
    pub rate: u32,
    /// Samples a frame.
    pub channels: u16,
    /// Length; zero where it is not known.
    pub duration: Duration,
    /// Where in the file the sound begins, in bytes, if that is known.
    pub audio_start: Option<u64>,
}

#[cfg(test)]
impl MediaInfo {
    /// CD quality, of which no more is known.
    pub fn cd(container: Container) -> Self {
        Self {
            container,
            rate: 44_100,
            channels: 2,
            duration: Duration::ZERO,
            audio_start: None,
        }
    }
}

/// How sound is coded, as far as it is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Pcm,
    Flac,
    /// MPEG-1/2 Layer III.
    Mp3,
    Vorbis,
    Aac,
}

impl Container {
    /// The container that a file name's extension (without the dot) stands for.
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

    /// The name in a catalogue.
    pub fn name(self) -> &'static str {
        self.extension()
    }

    /// The container of this name in a catalogue.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Wav, Self::Flac, Self::Mp3, Self::Ogg, Self::M4a];
        all.into_iter().find(|it| it.name() == name)
    }

    /// The only codec that is played in it.
    pub fn codec(self) -> Codec {
        match self {
            Self::Wav => Codec::Pcm,
            Self::Flac => Codec::Flac,
            Self::Mp3 => Codec::Mp3,
            Self::Ogg => Codec::Vorbis,
            Self::M4a => Codec::Aac,
        }
    }
}

impl Codec {
    /// The name in a catalogue.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcm => "pcm",
            Self::Flac => "flac",
            Self::Mp3 => "mp3",
            Self::Vorbis => "vorbis",
            Self::Aac => "aac",
        }
    }

    /// The codec of this name in a catalogue.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Pcm, Self::Flac, Self::Mp3, Self::Vorbis, Self::Aac];
        all.into_iter().find(|it| it.name() == name)
    }
}
