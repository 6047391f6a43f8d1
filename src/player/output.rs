//! Where the sound goes: a sound card, a file, or nowhere at the right pace.

#[cfg(all(target_pointer_width = "32", target_env = "gnu"))]
mod htstamp;
mod paced;
mod rodio;
pub mod wav;

use std::sync::Arc;

use self::paced::PacedLine;
use self::rodio::{Card, CardLine};
use self::wav::{file_bits, WavTarget};
use super::pace::LEAD;
use super::ring::{frames_in, ring, Feed, RingState};
use super::spec::{OutputError, OutputSpec, SampleShape};

pub use self::rodio::{devices, try_out, DeviceInfo};

/// What opens the configured output, again and again.
pub enum Output {
    /// A sound card.
    Card(Card),
    /// Paced silence.
    Null,
    /// A paced file.
    Wav(WavTarget),
}

impl Output {
    /// Opens nothing yet.
    pub fn new(spec: OutputSpec) -> Self {
        match spec {
            OutputSpec::Auto => Self::Card(Card::new(None)),
            OutputSpec::Device(name) => Self::Card(Card::new(Some(name))),
            OutputSpec::Null => Self::Null,
            OutputSpec::Wav(path) => Self::Wav(WavTarget::new(path)),
        }
    }

    /// Finds the device, which takes longer than opening it, before it is needed.
    ///
    /// # Errors
    /// [`OutputError`] if it is not there, or busy. It shows up again when the
    /// device is needed.
    pub fn look_up(&mut self) -> Result<(), OutputError> {
        match self {
            Self::Card(card) => card.find(),
            Self::Null | Self::Wav(_) => Ok(()),
        }
    }

    /// The shape in which sound of shape `wanted` would be put out: the same
    /// where the device can.
    ///
    /// # Errors
    /// [`OutputError`] if there is no usable device.
    pub fn plan(&mut self, wanted: SampleShape) -> Result<SampleShape, OutputError> {
        match self {
            Self::Card(card) => card.plan(wanted),
            Self::Null => Ok(SampleShape {
                bits: None,
                ..wanted
            }),
            Self::Wav(_) => Ok(SampleShape {
                bits: Some(file_bits(wanted.bits)),
                ..wanted
            }),
        }
    }

    /// Whether rate and channels are all that a line depends on, so that it can
    /// be opened before the decoder is.
    pub fn shape_is_known_early(&self) -> bool {
        !matches!(self, Self::Wav(_))
    }

    /// Opens a line for a shape that [`Self::plan`] gave. It makes no sound
    /// before [`OutputStream::start`].
    ///
    /// # Errors
    /// [`OutputError`] if the device is gone, busy or unable.
    pub fn open(
        &mut self,
        shape: SampleShape,
        gain: f32,
    ) -> Result<(OutputStream, Feed), OutputError> {
        let (feed, renderer) = ring(shape.rate, shape.channels, gain);
        let state = feed.state.clone();
        let (kind, what, format) = match self {
            Self::Card(card) => {
                let (line, name, format) = card.open(shape, renderer)?;
                (LineKind::Card(line), name, format)
            }
            Self::Null => {
                let line = PacedLine::new(renderer, shape, None);
                (LineKind::Paced(line), "null".to_owned(), "none")
            }
            Self::Wav(target) => {
                let (file, what) = target.open(shape)?;
                let format = file.format();
                let line = PacedLine::new(renderer, shape, Some(file));
                (LineKind::Paced(line), what, format)
            }
        };
        let buffer = match &kind {
            LineKind::Card(line) => line.buffer_frames(),
            LineKind::Paced(line) => line.buffer_frames(),
        };
        let prime = buffer.max(frames_in(LEAD, shape.rate));
        let line = OutputStream {
            kind,
            prime,
            state,
            what,
            format,
        };
        Ok((line, feed))
    }

    /// Looks the device up anew next time: it may come back as another one.
    pub fn forget(&mut self) {
        if let Self::Card(card) = self {
            card.forget();
        }
    }

    /// Takes back what [`Self::open`] gave. A card is closed by dropping what
    /// comes back, which may take for ever.
    pub fn close(&mut self, line: OutputStream) -> Option<CardLine> {
        match (self, line.kind) {
            (Self::Wav(target), LineKind::Paced(paced)) => {
                target.keep(paced.stop());
                None
            }
            (_, LineKind::Card(line)) => Some(line),
            _ => None,
        }
    }
}

/// An open device.
pub struct OutputStream {
    kind: LineKind,
    /// What its callback sees and tells.
    pub state: Arc<RingState>,
    /// Its name.
    pub what: String,
    /// Its sample format.
    pub format: &'static str,
    /// Frames it wants before it sounds.
    pub prime: usize,
}

enum LineKind {
    Card(CardLine),
    Paced(PacedLine),
}

impl OutputStream {
    /// Lets the device run; once is enough.
    pub fn start(&mut self) {
        match &mut self.kind {
            LineKind::Card(line) => line.start(),
            LineKind::Paced(line) => line.start(),
        }
    }

    /// Why it makes no sound any more, if so.
    pub fn lost(&self) -> Option<OutputError> {
        let name = self.what.clone();
        match &self.kind {
            LineKind::Card(line) => {
                let why = line.lost()?.to_owned();
                Some(OutputError::Gone { name, why })
            }
            LineKind::Paced(line) => line.is_lost().then_some(OutputError::Full { name }),
        }
    }
}
