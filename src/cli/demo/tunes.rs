//! Short pieces of music, made here, for the demo and the tests.
//!
//! A piece is a score: for each voice a line of notes with lengths in beats.
//! Each note is an oscillator with overtones under a plucked envelope; the
//! voices are placed between left and right and mixed. The same piece and rate
//! give the same samples on every machine of one kind.

use std::io;
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

use rodio::source::{Function, SignalGenerator, Source};
use rodio::{ChannelCount, SampleRate};

use super::score::{Instrument, Timbre, Tune};
use crate::audio::output::wav::WavFile;

/// Plays `piece` in stereo, `rate` frames a second; a rate of 0 counts as 1.
pub fn compose(piece: Tune, rate: u32) -> impl Source {
    let rate = NonZero::new(rate).unwrap_or(NonZero::<u32>::MIN);
    let score = piece.score();
    let beats = |voice: &Instrument| voice.notes.iter().map(|&(_, beats)| beats).sum::<f32>();
    let longest = score.voices.iter().map(beats).fold(0.0, f32::max);
    let length = score.beat.mul_f32(longest) + RING_OUT;
    let frames = (length.as_secs_f64() * f64::from(rate.get())) as usize;
    let mut mix = vec![0.0; frames * 2];
    for voice in &score.voices {
        let mut start = 0.0;
        for &(pitch, beats) in voice.notes {
            let at = score.beat.mul_f32(start).as_secs_f64() * f64::from(rate.get());
            if pitch > 0 {
                let held = score.beat.mul_f32(beats) + RING_OUT;
                let note = note(voice.timbre, pitch, held, rate);
                voice.add(note, &mut mix[at as usize * 2..]);
            }
            start += beats;
        }
    }
    rodio::buffer::SamplesBuffer::new(STEREO, rate, mix)
}

/// Writes a stereo source to a WAV file of 16 bits.
///
/// # Errors
/// Whatever writing gives.
pub fn write_wav(path: &Path, source: impl Source) -> io::Result<()> {
    let rate = source.sample_rate().get();
    let channels = source.channels().get();
    let mut file = WavFile::create_16_bit(path, rate, channels)?;
    let samples: Vec<f32> = source.collect();
    file.append(&samples)
}

/// A note of this pitch (MIDI), held for so long.
fn note(timbre: Timbre, pitch: u8, held: Duration, rate: SampleRate) -> impl Iterator<Item = f32> {
    let frequency = 440.0 * 2f32.powf((f32::from(pitch) - 69.0) / 12.0);
    let tone = |times: f32, function| SignalGenerator::new(rate, frequency * times, function);
    let (shape, overtone, share, decay) = match timbre {
        Timbre::Bell => (Function::Sine, 2.76, 0.25, 3.0),
        Timbre::Pluck => (Function::Triangle, 2.0, 0.2, 2.5),
        Timbre::Reed => (Function::Sawtooth, 1.003, 0.5, 1.8),
        Timbre::Organ => (Function::Sine, 3.0, 0.3, 0.6),
    };
    let body = tone(1.0, shape).amplify(0.5);
    let colour = tone(overtone, Function::Sine).amplify(0.5 * share);
    let per_sample = 1.0 / rate.get() as f32;
    let seconds = held.as_secs_f32();
    let mut time = 0.0f32;
    let attack = if matches!(timbre, Timbre::Organ) {
        0.04
    } else {
        0.005
    };
    body.mix(colour).take_duration(held).map(move |sample| {
        let release = ((seconds - time) / RING_OUT.as_secs_f32()).clamp(0.0, 1.0);
        let envelope = (time / attack).min(1.0) * (-decay * time).exp() * release;
        time += per_sample;
        sample * envelope
    })
}

const STEREO: ChannelCount = match ChannelCount::new(2) {
    Some(two) => two,
    None => ChannelCount::MIN,
};

/// A note sounds on for so long after its time.
const RING_OUT: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_is_of_decent_length_and_does_not_clip() {
        for piece in Tune::ALL {
            let source = compose(piece, 8_000);
            let length = source.total_duration().unwrap().as_secs();
            assert!((8..=20).contains(&length), "{piece:?} lasts {length} s");
            let peak = source.fold(0.0f32, |peak, sample| peak.max(sample.abs()));
            assert!((0.2..=1.0).contains(&peak), "{piece:?} peaks at {peak}");
        }
    }
}
