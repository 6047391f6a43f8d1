//! What is said of the machine's sound: an output's name, the shape of what it takes, why it
//! cannot be used, and a control of a card.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What the configuration names as output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputSpec {
    /// The first card that is not HDMI, else an HDMI card, else the default.
    Auto,
    /// Nowhere, at the pace of a real device.
    Null,
    /// A WAV file, at the pace of a real device.
    Wav(PathBuf),
    /// An ALSA name, as `ctl devices` lists it.
    Device(String),
}

impl FromStr for OutputSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" | "" => Self::Auto,
            "null" => Self::Null,
            _ => match text.strip_prefix("wav:") {
                Some(path) => Self::Wav(path.into()),
                None => Self::Device(text.into()),
            },
        })
    }
}

impl fmt::Display for OutputSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Null => f.write_str("null"),
            Self::Wav(path) => write!(f, "wav:{}", path.display()),
            Self::Device(name) => f.write_str(name),
        }
    }
}

/// A control for what is played.
#[derive(Clone, Debug, PartialEq)]
pub struct MixerControl {
    /// ALSA's short name of its card, as in `hw:CARD=…`.
    pub card: String,
    pub name: String,
    /// Switched on, or without a switch.
    pub is_on: bool,
    /// Where it stands in its range, from 0 to 100, if it has one.
    pub percent: Option<u8>,
    /// What that means, where the card says.
    pub decibel: Option<f32>,
}

/// Why there is no sound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The configured name is not among the enumerated ones.
    #[error("no audio device {name:?}; audio.device can be one of: {}", known.join(", "))]
    Unknown {
        /// The configured name.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// There is no sound card at all.
    #[error("no sound card found; see `p2pmusic ctl devices`, or set audio.device")]
    NoCard,
    /// The device is there but cannot be used now.
    #[error("audio device {name:?}: {why}")]
    Unusable {
        /// Its name.
        name: String,
        /// What the system said.
        why: String,
    },
    /// The device was open, and failed.
    #[error("audio device {name:?} is gone ({why}); is it plugged in, does its server run?")]
    Gone {
        /// Its name.
        name: String,
        /// What the system said.
        why: String,
    },
    /// The device is open, and does not ask for sound any more.
    #[error(
        "audio device {name:?} takes no more sound: it, or its server, hangs; it is opened again"
    )]
    Stalled {
        /// Its name.
        name: String,
    },
    /// Closing the device did not come to an end, several times.
    #[error("the audio device hangs and cannot be closed; restart its server, or p2pmusic")]
    Hangs,
    /// What was put out can no longer be written.
    #[error("audio output {name} cannot be written any more; is its disk full?")]
    Full {
        /// Its name.
        name: String,
    },
    /// The WAV file cannot be made.
    #[error("audio output {}: {why}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

/// What a stretch of sound is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleShape {
    /// Frames a second.
    pub rate: u32,
    /// Samples a frame.
    pub channels: u16,
    /// Bits a sample, where the track has such. Only files care.
    pub bits: Option<u8>,
}
