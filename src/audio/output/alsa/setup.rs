//! Opening a card: what it can, and how it is set up.

use std::ffi::CString;
use std::time::Duration;

use alsa::pcm::{Access, Format, Frames, HwParams, TstampType, PCM};
use alsa::{Direction, Error, ValueOr};
use nix::libc;

use crate::audio::output::choice::Ability;
use crate::audio::ring::frames_in;
use crate::audio::spec::SampleShape;

/// How a card gets its samples, the best one first: 32 bits keep 24-bit material exact, and
/// 16-bit material at low volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFormat {
    S32,
    /// Three bytes, as many USB DACs have it.
    S24Packed,
    /// Four bytes, of which the lower three count.
    S24,
    S16,
    Float,
}

impl CardFormat {
    pub fn name(self) -> &'static str {
        match self {
            Self::S32 => "s32",
            Self::S24Packed | Self::S24 => "s24",
            Self::S16 => "s16",
            Self::Float => "f32",
        }
    }

    fn of_alsa(self) -> Format {
        match self {
            Self::S32 => Format::s32(),
            Self::S24Packed => Format::S243LE,
            Self::S24 => Format::s24(),
            Self::S16 => Format::s16(),
            Self::Float => Format::float(),
        }
    }
}

const FORMATS: [CardFormat; 5] = [
    CardFormat::S32,
    CardFormat::S24Packed,
    CardFormat::S24,
    CardFormat::S16,
    CardFormat::Float,
];

/// Opens a card; nothing of it waits but for the opening itself.
///
/// # Errors
/// What alsa-lib says.
pub fn open(name: &str) -> Result<PCM, Error> {
    let name = CString::new(name).map_err(|_| Error::new("snd_pcm_open", libc::ENOENT))?;
    PCM::open(&name, Direction::Playback, true)
}

/// The formats that a card takes, the best one first, and its rates and channels.
///
/// # Errors
/// What alsa-lib says.
pub fn abilities(pcm: &PCM) -> Result<(Vec<CardFormat>, Vec<Ability>), Error> {
    let params = HwParams::any(pcm)?;
    let takes = |format: &CardFormat| params.test_format(format.of_alsa()).is_ok();
    let formats = FORMATS.into_iter().filter(takes).collect();
    let (least, most) = (params.get_rate_min()?, params.get_rate_max()?);
    let rates: Vec<(u32, u32)> = if least == most || params.test_rate(least + 1).is_ok() {
        vec![(least, most)]
    } else {
        let ends = [least, most].into_iter().filter(|end| !RATES.contains(end));
        let rates = RATES.into_iter().chain(ends);
        let taken = rates.filter(|rate| params.test_rate(*rate).is_ok());
        taken.map(|rate| (rate, rate)).collect()
    };
    let channels = params.get_channels_min()?..=params.get_channels_max()?.min(MAX_CHANNELS);
    let channels = channels.filter(|channels| params.test_channels(*channels).is_ok());
    let abilities = channels.filter_map(|channels| u16::try_from(channels).ok());
    let abilities = abilities.flat_map(|channels| {
        let ability = move |&rates: &(u32, u32)| Ability { channels, rates };
        rates.iter().map(ability)
    });
    Ok((formats, abilities.collect()))
}

/// How a card that is ready to run has been set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardSetup {
    pub format: CardFormat,
    /// Frames that it gets at once.
    pub period: usize,
    /// Frames that it is kept filled with: whole periods, and where its buffer is larger than
    /// was wanted only a part of that.
    pub filled: usize,
    pub buffer: usize,
    /// It stamps by the clock that sound goes by.
    pub stamps: bool,
}

/// Sets a card up for sound of this shape, in the first of `formats` that it takes then.
///
/// # Errors
/// What alsa-lib says.
pub fn set_up(pcm: &PCM, shape: SampleShape, formats: &[CardFormat]) -> Result<CardSetup, Error> {
    let mut taken = Err(Error::new("snd_pcm_hw_params", libc::EINVAL));
    for format in formats {
        taken = set_hardware(pcm, shape, *format).map(|()| *format);
        if taken.is_ok() {
            break;
        }
    }
    let format = taken?;
    let (buffer, period) = pcm.get_params()?;
    let (Ok(buffer), Ok(period)) = (usize::try_from(buffer), usize::try_from(period)) else {
        return Err(Error::new("snd_pcm_get_params", libc::EINVAL));
    };
    if buffer == 0 || period == 0 || period > buffer {
        return Err(Error::new("snd_pcm_get_params", libc::ENODEV));
    }
    let periods = (PERIODS * frames_in(PERIOD, shape.rate)).div_ceil(period);
    let filled = period * periods.max(PERIODS).min(buffer / period);
    let stamps = set_software(pcm, period, filled, buffer)?;
    pcm.prepare()?;
    Ok(CardSetup {
        format,
        period,
        filled,
        buffer,
        stamps,
    })
}

fn set_hardware(pcm: &PCM, shape: SampleShape, format: CardFormat) -> Result<(), Error> {
    let params = HwParams::any(pcm)?;
    params.set_access(Access::RWInterleaved)?;
    params.set_format(format.of_alsa())?;
    params.set_channels(shape.channels.into())?;
    // Exactly this one.
    params.set_rate(shape.rate, ValueOr::Nearest)?;
    let period = frames(frames_in(PERIOD, shape.rate));
    params.set_buffer_size_near(period * frames(PERIODS))?;
    params.set_period_size_near(period, ValueOr::Nearest)?;
    pcm.hw_params(&params)
}

/// Whether the card stamps by the clock that sound goes by.
fn set_software(pcm: &PCM, period: usize, filled: usize, buffer: usize) -> Result<bool, Error> {
    let params = pcm.sw_params_current()?;
    params.set_start_threshold(frames(filled))?;
    params.set_avail_min(frames(buffer - filled + period))?;
    params.set_tstamp_mode(true)?;
    params.set_tstamp_type(TstampType::MonotonicRaw)?;
    if pcm.sw_params(&params).is_ok() {
        return Ok(true);
    }
    // Some systems have another clock only.
    params.set_tstamp_type(TstampType::Monotonic)?;
    pcm.sw_params(&params)?;
    Ok(false)
}

fn frames(count: usize) -> Frames {
    Frames::try_from(count).unwrap_or(Frames::MAX)
}

/// A card's buffer is two periods, which is how late volume and pause are
/// heard. It does not matter for how fast sound begins, since the device starts
/// when its buffer is full and that is filled at once; so it is as long as can
/// be borne, because shorter ones underrun on a busy Pi without real-time
/// priority.
const PERIOD: Duration = Duration::from_millis(15);
const PERIODS: usize = 2;

/// What cards have that take certain rates only.
const RATES: [u32; 14] = [
    8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000, 176_400,
    192_000, 352_800, 384_000,
];

/// As many as a line of MADI has; plugins say 10,000.
const MAX_CHANNELS: u32 = 64;
