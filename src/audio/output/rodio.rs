//! Sound cards, through rodio's own output, which is cpal's: where there is no ALSA. On Linux
//! only tests have it, which hold it to what is asked of every output.
//!
//! Only enumerated names can be opened. A name of the hardware (`hw:…`) gets
//! the track's own rate and channels, or is said to be unable; the period is
//! fixed. Errors of a stream that come one upon the other mean that the device is lost: the
//! error callback notes why, and slows down its caller, since a
//! dead server does so millions of times.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use rodio::cpal::traits::{DeviceTrait as _, HostTrait as _, StreamTrait as _};
use rodio::cpal::{
    self, BufferSize, Device, ErrorKind, SampleFormat, SizedSample, Stream, StreamConfig,
    SupportedBufferSize, SupportedStreamConfigRange,
};

use super::choice::{choose, mark_auto, nearest, Ability, DeviceInfo};
use super::{CardLine, SoundCard};
use crate::audio::alsa_silence::{silence_alsa_on_this_thread, with_alsa_silenced};
use crate::audio::raw_clock::raw_now;
use crate::audio::ring::{frames_in, Pcm, Renderer};
use crate::audio::spec::{OutputError, SampleShape};

/// All names that can be put out to, in ALSA's order.
pub fn devices() -> Vec<DeviceInfo> {
    let found = with_alsa_silenced(enumerate);
    found.into_iter().map(|(info, _)| info).collect()
}

/// The configured sound card, open or not.
pub struct CpalCard {
    /// `None` is `auto`.
    wanted: Option<String>,
    known: Option<CpalFacts>,
}

/// What was learnt about the card; forgotten when it is lost.
struct CpalFacts {
    name: String,
    device: Device,
    ranges: Vec<SupportedStreamConfigRange>,
}

impl CpalCard {
    /// Looks for nothing yet.
    pub fn new(wanted: Option<String>) -> Self {
        Self {
            wanted,
            known: None,
        }
    }

    fn known(&mut self) -> Result<&CpalFacts, OutputError> {
        let known = match self.known.take() {
            Some(known) => known,
            None => with_alsa_silenced(|| self.look_up())?,
        };
        Ok(self.known.insert(known))
    }

    fn look_up(&self) -> Result<CpalFacts, OutputError> {
        let (info, device) = choose(enumerate(), |(info, _)| info, self.wanted.as_deref())?;
        let name = info.name;
        match device.supported_output_configs() {
            Ok(ranges) => Ok(CpalFacts {
                name,
                ranges: ranges
                    .filter(|range| preference(range.sample_format()).is_some())
                    .collect(),
                device,
            }),
            Err(error) => Err(OutputError::Unusable {
                name,
                why: in_words(&error),
            }),
        }
    }
}

impl SoundCard for CpalCard {
    fn find(&mut self) -> Result<(), OutputError> {
        self.known = None;
        self.known().map(|_| ())
    }

    fn name(&mut self) -> Result<String, OutputError> {
        Ok(self.known()?.name.clone())
    }

    fn plan(&mut self, wanted: SampleShape) -> Result<SampleShape, OutputError> {
        let known = self.known()?;
        let ability = |range: &SupportedStreamConfigRange| Ability {
            channels: range.channels(),
            rates: (range.min_sample_rate(), range.max_sample_rate()),
        };
        let abilities: Vec<Ability> = known.ranges.iter().map(ability).collect();
        nearest(&abilities, wanted).ok_or_else(|| OutputError::Unusable {
            name: known.name.clone(),
            why: "it takes none of the sample formats s32, s16 and f32".into(),
        })
    }

    fn open(
        &mut self,
        shape: SampleShape,
        renderer: Renderer,
    ) -> Result<(Box<dyn CardLine>, &'static str), OutputError> {
        let known = self.known()?;
        let name = known.name.clone();
        let range = best_format(&known.ranges, shape.rate, shape.channels);
        let opened = with_alsa_silenced(|| match range.map(|r| (r, r.sample_format())) {
            Some((r, SampleFormat::I32)) => build::<i32>(&known.device, r, shape, renderer),
            Some((r, SampleFormat::I16)) => build::<i16>(&known.device, r, shape, renderer),
            Some((r, _)) => build::<f32>(&known.device, r, shape, renderer),
            None => Err("it does not take this rate".to_owned()),
        });
        let format = match range.map(SupportedStreamConfigRange::sample_format) {
            Some(SampleFormat::I32) => "s32",
            Some(SampleFormat::I16) => "s16",
            _ => "f32",
        };
        match opened {
            Ok(line) => Ok((Box::new(line), format)),
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

/// An open card.
pub struct CpalLine {
    stream: Stream,
    /// Why it is lost, once it is.
    lost: Arc<OnceLock<String>>,
}

impl CardLine for CpalLine {
    fn start(&mut self) {
        if let Err(error) = self.stream.play() {
            let _ = self.lost.set(in_words(&error));
        }
    }

    fn buffer_frames(&self) -> usize {
        let period = self.stream.buffer_size().unwrap_or(0);
        usize::try_from(period)
            .unwrap_or(usize::MAX)
            .saturating_mul(2)
    }

    fn lost(&self) -> Option<String> {
        self.lost.get().cloned()
    }
}

fn build<T: Pcm + SizedSample>(
    device: &Device,
    range: &SupportedStreamConfigRange,
    shape: SampleShape,
    mut renderer: Renderer,
) -> Result<CpalLine, String> {
    let lost = Arc::new(OnceLock::new());
    let lose = lost.clone();
    // Since it asked for sound last.
    let errors = Arc::new(AtomicU32::new(0));
    let well = errors.clone();
    let config = StreamConfig {
        channels: shape.channels,
        sample_rate: shape.rate,
        buffer_size: period(range.buffer_size(), shape.rate),
    };
    let stream = device
        .build_output_stream::<T, _, _>(
            config,
            move |out, info| {
                well.store(0, Ordering::Relaxed);
                // Its stamps have an origin of their own; how far ahead of the air it is has not.
                let stamp = info.timestamp();
                let ahead = stamp.playback.duration_since(stamp.callback);
                let (first, at) = (renderer.sent(), raw_now().after(ahead));
                renderer.render(out);
                renderer.stamp(first, at);
            },
            move |error| {
                if is_harmless(error.kind()) {
                    return;
                }
                let in_a_row = errors.fetch_add(1, Ordering::Relaxed) + 1;
                if is_loss(error.kind(), in_a_row) {
                    // What comes after the first is not news.
                    let _ = lose.set(in_words(&error));
                }
                // Nothing but the drop of the stream, or the passing of time,
                // ends this.
                silence_alsa_on_this_thread();
                thread::sleep(ERROR_PAUSE);
            },
            None,
        )
        .map_err(|e| in_words(&e))?;
    Ok(CpalLine { stream, lost })
}

/// Whether a stream that had this error, the so many-th since it asked for sound
/// last, is done with. PulseAudio's plugin fails once in a while and goes on.
fn is_loss(error: ErrorKind, in_a_row: u32) -> bool {
    match error {
        ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated => true,
        error => !is_harmless(error) && in_a_row >= MAX_ERRORS,
    }
}

/// Whether it is nothing to speak of.
fn is_harmless(error: ErrorKind) -> bool {
    matches!(
        error,
        ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied
    )
}

/// What the system said, and what can be done about it.
fn in_words(error: &cpal::Error) -> String {
    match error.kind() {
        ErrorKind::DeviceBusy => "another program has it; `fuser -v /dev/snd/*` names it".into(),
        ErrorKind::DeviceNotAvailable => "it is not there; is it plugged in?".into(),
        ErrorKind::PermissionDenied => {
            "this user may not use it; `sudo usermod -aG audio` lets a user".into()
        }
        _ => error.to_string(),
    }
}

fn period(supported: &SupportedBufferSize, rate: u32) -> BufferSize {
    let wanted = u32::try_from(frames_in(PERIOD, rate)).unwrap_or(u32::MAX);
    match *supported {
        SupportedBufferSize::Range { min, max } if min <= max => {
            BufferSize::Fixed(wanted.clamp(min, max))
        }
        _ => BufferSize::Default,
    }
}

fn best_format(
    abilities: &[SupportedStreamConfigRange],
    rate: u32,
    channels: u16,
) -> Option<&SupportedStreamConfigRange> {
    abilities
        .iter()
        .filter(|r| r.channels() == channels)
        .filter(|r| (r.min_sample_rate()..=r.max_sample_rate()).contains(&rate))
        .min_by_key(|r| preference(r.sample_format()).unwrap_or(u8::MAX))
}

/// 32 bits keep 24-bit material exact, and 16-bit material at low volume.
fn preference(format: SampleFormat) -> Option<u8> {
    match format {
        SampleFormat::I32 => Some(0),
        SampleFormat::I16 => Some(1),
        SampleFormat::F32 => Some(2),
        _ => None,
    }
}

fn enumerate() -> Vec<(DeviceInfo, Device)> {
    let Ok(devices) = cpal::default_host().output_devices() else {
        return Vec::new();
    };
    let named = devices.filter_map(|device| {
        let name = device.id().ok()?.id().to_owned();
        let lines = device.description().ok()?;
        let description = lines.extended().collect::<Vec<_>>().join(", ");
        let info = DeviceInfo {
            name,
            description,
            is_auto: false,
        };
        Some((info, device))
    });
    let (mut infos, devices): (Vec<_>, Vec<_>) = named.unzip();
    mark_auto(&mut infos);
    infos.into_iter().zip(devices).collect()
}

/// A card's buffer is two periods, which is how late volume and pause are
/// heard. It does not matter for how fast sound begins, since the device starts
/// when its buffer is full and that is filled at once; so it is as long as can
/// be borne, because shorter ones underrun on a busy Pi without real-time
/// priority.
const PERIOD: Duration = Duration::from_millis(15);

/// Errors in a row that a stream may have and be well, which with the pauses is
/// 150 ms: a dead one would have a million.
const MAX_ERRORS: u32 = 30;

/// Between an error of a stream and the next; also its drop waits for this.
const ERROR_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_had_is_said_with_what_to_do() {
        for (kind, words) in [
            (ErrorKind::DeviceBusy, "fuser"),
            (ErrorKind::DeviceNotAvailable, "plugged in"),
            (ErrorKind::PermissionDenied, "usermod"),
        ] {
            let said = in_words(&kind.into());
            assert!(said.contains(words), "{kind:?}: {said}");
        }
        let other = cpal::Error::with_message(ErrorKind::BackendError, "no such server");
        assert_eq!(in_words(&other), "no such server");
    }

    #[test]
    fn an_xrun_is_no_loss_and_what_does_not_end_is_one() {
        for (kind, in_a_row, is_lost) in [
            (ErrorKind::Xrun, u32::MAX, false),
            (ErrorKind::DeviceChanged, u32::MAX, false),
            (ErrorKind::DeviceNotAvailable, 1, true),
            (ErrorKind::StreamInvalidated, 1, true),
            (ErrorKind::BackendError, 1, false),
            (ErrorKind::BackendError, MAX_ERRORS, true),
            (ErrorKind::DeviceBusy, MAX_ERRORS, true),
        ] {
            assert_eq!(is_loss(kind, in_a_row), is_lost, "{kind:?} {in_a_row}");
        }
    }
}
