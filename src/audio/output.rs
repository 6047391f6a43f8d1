//! Where the sound goes: a sound card, a file, or nowhere at the right pace.

#[cfg(target_os = "linux")]
mod alsa;
mod choice;
#[cfg(test)]
mod contract;
mod paced;
#[cfg(any(not(target_os = "linux"), test))]
mod rodio;
pub mod wav;

use std::sync::Arc;

#[cfg(target_os = "linux")]
use self::alsa::AlsaCard as ChosenCard;
use self::choice::CD;
use self::paced::PacedLine;
#[cfg(not(target_os = "linux"))]
use self::rodio::CpalCard as ChosenCard;
use self::wav::{file_bits, WavTarget};
use super::pace::LEAD;
use super::ring::{frames_in, ring, Feed, Renderer, RingState};
use super::spec::{OutputError, OutputSpec, SampleShape};

#[cfg(target_os = "linux")]
pub use self::alsa::devices;
pub use self::choice::DeviceInfo;
#[cfg(not(target_os = "linux"))]
pub use self::rodio::devices;

/// A configured sound card, open or not.
pub trait SoundCard: Send {
    /// Finds it, if it is there.
    ///
    /// # Errors
    /// [`OutputError`] if there is no such card, or it is busy.
    fn find(&mut self) -> Result<(), OutputError>;

    /// What it is called.
    ///
    /// # Errors
    /// [`OutputError`] if there is no such card, or it is busy.
    fn name(&mut self) -> Result<String, OutputError>;

    /// The shape in which it would put out sound of shape `wanted`.
    ///
    /// # Errors
    /// [`OutputError`] if there is no such card, or it is busy.
    fn plan(&mut self, wanted: SampleShape) -> Result<SampleShape, OutputError>;

    /// Opens it for a shape that [`Self::plan`] gave; gives its sample format, too.
    ///
    /// # Errors
    /// [`OutputError`] if it is gone, busy or unable.
    fn open(
        &mut self,
        shape: SampleShape,
        renderer: Renderer,
    ) -> Result<(Box<dyn CardLine>, &'static str), OutputError>;

    /// Looks it up anew next time: it may come back as another one.
    fn forget(&mut self);
}

/// An open sound card. Dropping it closes it, which may take for ever.
pub trait CardLine: Send {
    /// Lets it run; it begins to sound as soon as its buffer is full.
    fn start(&mut self);

    /// Frames of its buffer, which must be full before it sounds.
    fn buffer_frames(&self) -> usize;

    /// Why it is gone, if it is.
    fn lost(&self) -> Option<String>;
}

/// Opens the card for a moment, `None` being the one that `auto` takes, and says its
/// name and what it makes of CD quality.
///
/// # Errors
/// [`OutputError`] if there is no such card, or it is busy.
pub fn try_out(wanted: Option<&str>) -> Result<(String, SampleShape), OutputError> {
    let mut card = ChosenCard::new(wanted.map(str::to_owned));
    let shape = card.plan(CD)?;
    Ok((card.name()?, shape))
}

/// What opens the configured output, again and again.
pub enum Output {
    /// A sound card.
    Card(Box<dyn SoundCard>),
    /// Paced silence.
    Null,
    /// A paced file.
    Wav(WavTarget),
}

impl Output {
    /// Opens nothing yet.
    pub fn new(spec: OutputSpec) -> Self {
        match spec {
            OutputSpec::Auto => Self::Card(Box::new(ChosenCard::new(None))),
            OutputSpec::Device(name) => Self::Card(Box::new(ChosenCard::new(Some(name)))),
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
                let (line, format) = card.open(shape, renderer)?;
                (LineKind::Card(line), card.name()?, format)
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
    pub fn close(&mut self, line: OutputStream) -> Option<Box<dyn CardLine>> {
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
    Card(Box<dyn CardLine>),
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
                let why = line.lost()?;
                Some(OutputError::Gone { name, why })
            }
            LineKind::Paced(line) => line.is_lost().then_some(OutputError::Full { name }),
        }
    }
}
