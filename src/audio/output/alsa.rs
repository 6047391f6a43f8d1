//! Sound cards, through ALSA.
//!
//! Only enumerated names can be opened. A name of the hardware (`hw:…`) gets
//! the track's own rate and channels, or is said to be unable. The buffer's length is chosen
//! here, and read back. A thread for each open card keeps it filled (`line`).

mod fault;
mod line;
mod names;
mod setup;

use super::choice::{choose, nearest, Ability, DeviceInfo};
use super::{CardLine, SoundCard};
use crate::audio::alsa_silence::with_alsa_silenced;
use crate::audio::ring::Renderer;
use crate::audio::spec::{OutputError, SampleShape};
use fault::in_words;
use line::AlsaLine;
use setup::CardFormat;

/// All names that can be put out to, in ALSA's order.
pub fn devices() -> Vec<DeviceInfo> {
    with_alsa_silenced(names::all)
}

/// The configured sound card, open or not.
pub struct AlsaCard {
    /// `None` is `auto`.
    wanted: Option<String>,
    known: Option<AlsaFacts>,
}

/// What was learnt about the card; forgotten when it is lost.
struct AlsaFacts {
    name: String,
    formats: Vec<CardFormat>,
    abilities: Vec<Ability>,
}

impl AlsaCard {
    /// Looks for nothing yet.
    pub fn new(wanted: Option<String>) -> Self {
        Self {
            wanted,
            known: None,
        }
    }

    fn known(&mut self) -> Result<&AlsaFacts, OutputError> {
        let known = match self.known.take() {
            Some(known) => known,
            None => with_alsa_silenced(|| self.look_up())?,
        };
        Ok(self.known.insert(known))
    }

    fn look_up(&self) -> Result<AlsaFacts, OutputError> {
        let name = choose(names::all(), |device| device, self.wanted.as_deref())?.name;
        let can = setup::open(&name).and_then(|pcm| setup::abilities(&pcm));
        match can {
            Ok((formats, abilities)) => Ok(AlsaFacts {
                name,
                formats,
                abilities,
            }),
            Err(error) => Err(OutputError::Unusable {
                name,
                why: in_words(error),
            }),
        }
    }
}

impl SoundCard for AlsaCard {
    fn find(&mut self) -> Result<(), OutputError> {
        self.known = None;
        self.known().map(|_| ())
    }

    fn name(&mut self) -> Result<String, OutputError> {
        Ok(self.known()?.name.clone())
    }

    fn plan(&mut self, wanted: SampleShape) -> Result<SampleShape, OutputError> {
        let known = self.known()?;
        let planned = nearest(&known.abilities, wanted).filter(|_| !known.formats.is_empty());
        planned.ok_or_else(|| OutputError::Unusable {
            name: known.name.clone(),
            why: "it takes none of the sample formats s32, s24, s16 and f32".into(),
        })
    }

    fn open(
        &mut self,
        shape: SampleShape,
        renderer: Renderer,
    ) -> Result<(Box<dyn CardLine>, &'static str), OutputError> {
        let known = self.known()?;
        let name = known.name.clone();
        let opened = with_alsa_silenced(|| {
            let pcm = setup::open(&name).map_err(in_words)?;
            let setup = setup::set_up(&pcm, shape, &known.formats).map_err(in_words)?;
            let line = AlsaLine::new(pcm, setup, shape, renderer).map_err(|e| e.to_string())?;
            Ok((line, setup))
        });
        match opened {
            Ok((line, setup)) => {
                log::debug!("{name} is set up: {setup:?}");
                Ok((Box::new(line), setup.format.name()))
            }
            Err(why) => {
                self.known = None;
                Err(OutputError::Unusable { name, why })
            }
        }
    }

    fn forget(&mut self) {
        self.known = None;
    }
}
