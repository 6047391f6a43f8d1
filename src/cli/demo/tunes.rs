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

use crate::player::output::wav::WavFile;

/// A piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tune {
    /// A slow waltz in A minor for a music box.
    Waltz,
    /// Arpeggios over Pachelbel's ground in D.
    Ground,
    /// A blues riff in E with a walking bass.
    Blues,
    /// A lullaby in F, high bells over held chords.
    Lullaby,
}

impl Tune {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Self; 4] = [Self::Waltz, Self::Ground, Self::Blues, Self::Lullaby];

    /// A title for the tags.
    pub fn title(self) -> &'static str {
        match self {
            Self::Waltz => "Waltz for a Small Room",
            Self::Ground => "Over an Old Ground",
            Self::Blues => "Four Speakers Walking",
            Self::Lullaby => "Lullaby for a Server",
        }
    }

    fn score(self) -> Score {
        match self {
            Self::Waltz => Score {
                beat: Duration::from_millis(360),
                voices: vec![
                    Instrument::new(0.5, 0.65, Timbre::Bell, WALTZ_TUNE),
                    Instrument::new(0.3, 0.35, Timbre::Pluck, WALTZ_BASS),
                ],
            },
            Self::Ground => Score {
                beat: Duration::from_millis(500),
                voices: vec![
                    Instrument::new(0.35, 0.7, Timbre::Pluck, GROUND_TUNE),
                    Instrument::new(0.45, 0.3, Timbre::Organ, GROUND_BASS),
                ],
            },
            Self::Blues => Score {
                beat: Duration::from_millis(380),
                voices: vec![
                    Instrument::new(0.35, 0.6, Timbre::Reed, BLUES_TUNE),
                    Instrument::new(0.5, 0.4, Timbre::Pluck, BLUES_BASS),
                ],
            },
            Self::Lullaby => Score {
                beat: Duration::from_millis(550),
                voices: vec![
                    Instrument::new(0.4, 0.7, Timbre::Bell, LULLABY_TUNE),
                    Instrument::new(0.25, 0.4, Timbre::Organ, LULLABY_LOW),
                    Instrument::new(0.2, 0.6, Timbre::Organ, LULLABY_MIDDLE),
                ],
            },
        }
    }
}

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
                let note = voice.timbre.note(pitch, held, rate);
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

struct Score {
    beat: Duration,
    voices: Vec<Instrument>,
}

struct Instrument {
    gain: f32,
    /// From 0, left, to 1, right.
    place: f32,
    timbre: Timbre,
    /// MIDI pitch, 0 being a rest, and length in beats.
    notes: &'static [(u8, f32)],
}

impl Instrument {
    const fn new(gain: f32, place: f32, timbre: Timbre, notes: &'static [(u8, f32)]) -> Self {
        Self {
            gain,
            place,
            timbre,
            notes,
        }
    }

    fn add(&self, note: impl Iterator<Item = f32>, mix: &mut [f32]) {
        let left = self.gain * (1.0 - self.place).sqrt();
        let right = self.gain * self.place.sqrt();
        for (frame, sample) in mix.chunks_exact_mut(2).zip(note) {
            frame[0] += sample * left;
            frame[1] += sample * right;
        }
    }
}

#[derive(Clone, Copy)]
enum Timbre {
    Bell,
    Pluck,
    Reed,
    Organ,
}

impl Timbre {
    fn note(self, pitch: u8, held: Duration, rate: SampleRate) -> impl Iterator<Item = f32> {
        let frequency = 440.0 * 2f32.powf((f32::from(pitch) - 69.0) / 12.0);
        let tone = |times: f32, function| SignalGenerator::new(rate, frequency * times, function);
        let (shape, overtone, share, decay) = match self {
            Self::Bell => (Function::Sine, 2.76, 0.25, 3.0),
            Self::Pluck => (Function::Triangle, 2.0, 0.2, 2.5),
            Self::Reed => (Function::Sawtooth, 1.003, 0.5, 1.8),
            Self::Organ => (Function::Sine, 3.0, 0.3, 0.6),
        };
        let body = tone(1.0, shape).amplify(0.5);
        let colour = tone(overtone, Function::Sine).amplify(0.5 * share);
        let per_sample = 1.0 / rate.get() as f32;
        let seconds = held.as_secs_f32();
        let mut time = 0.0f32;
        let attack = if matches!(self, Self::Organ) {
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
}

const STEREO: ChannelCount = match ChannelCount::new(2) {
    Some(two) => two,
    None => ChannelCount::MIN,
};

/// A note sounds on for so long after its time.
const RING_OUT: Duration = Duration::from_millis(400);

#[rustfmt::skip]
const WALTZ_TUNE: &[(u8, f32)] = &[
    (76, 2.0), (81, 1.0), (83, 1.0), (84, 1.0), (83, 1.0), (81, 2.0), (76, 1.0), (77, 3.0),
    (74, 2.0), (77, 1.0), (79, 1.0), (81, 1.0), (79, 1.0), (77, 2.0), (76, 1.0), (71, 3.0),
    (72, 1.0), (76, 1.0), (81, 1.0), (80, 2.0), (76, 1.0), (81, 3.0), (69, 3.0),
];
#[rustfmt::skip]
const WALTZ_BASS: &[(u8, f32)] = &[
    (45, 1.0), (60, 1.0), (64, 1.0), (45, 1.0), (60, 1.0), (64, 1.0), (45, 1.0), (60, 1.0), (64, 1.0),
    (50, 1.0), (57, 1.0), (65, 1.0), (50, 1.0), (57, 1.0), (65, 1.0), (43, 1.0), (59, 1.0), (62, 1.0),
    (50, 1.0), (57, 1.0), (65, 1.0), (40, 1.0), (56, 1.0), (62, 1.0), (45, 1.0), (60, 1.0), (64, 1.0),
    (40, 1.0), (56, 1.0), (62, 1.0), (45, 1.0), (57, 1.0), (60, 1.0), (45, 3.0),
];
#[rustfmt::skip]
const GROUND_TUNE: &[(u8, f32)] = &[
    (78, 0.5), (74, 0.5), (69, 0.5), (74, 0.5), (76, 0.5), (73, 0.5), (69, 0.5), (73, 0.5),
    (74, 0.5), (71, 0.5), (66, 0.5), (71, 0.5), (73, 0.5), (69, 0.5), (66, 0.5), (69, 0.5),
    (71, 0.5), (67, 0.5), (62, 0.5), (67, 0.5), (69, 0.5), (66, 0.5), (62, 0.5), (66, 0.5),
    (71, 0.5), (67, 0.5), (74, 0.5), (71, 0.5), (73, 0.5), (76, 0.5), (79, 0.5), (76, 0.5),
    (78, 4.0),
];
#[rustfmt::skip]
const GROUND_BASS: &[(u8, f32)] = &[
    (50, 2.0), (45, 2.0), (47, 2.0), (42, 2.0), (43, 2.0), (38, 2.0), (43, 2.0), (45, 2.0), (38, 4.0),
];
#[rustfmt::skip]
const BLUES_TUNE: &[(u8, f32)] = &[
    (0, 1.0), (64, 0.67), (67, 0.33), (69, 0.67), (70, 0.33), (71, 1.0), (74, 1.5), (71, 0.5), (69, 1.0), (67, 1.0),
    (0, 1.0), (69, 0.67), (71, 0.33), (74, 0.67), (71, 0.33), (69, 1.0), (67, 1.5), (64, 0.5), (62, 1.0), (64, 1.0),
    (71, 0.67), (74, 0.33), (76, 2.0), (74, 0.67), (71, 0.33), (70, 0.67), (69, 0.33), (67, 1.0), (64, 3.0),
];
#[rustfmt::skip]
const BLUES_BASS: &[(u8, f32)] = &[
    (40, 1.0), (44, 1.0), (47, 1.0), (49, 1.0), (50, 1.0), (49, 1.0), (47, 1.0), (44, 1.0),
    (45, 1.0), (49, 1.0), (52, 1.0), (54, 1.0), (40, 1.0), (44, 1.0), (47, 1.0), (44, 1.0),
    (47, 1.0), (51, 1.0), (45, 1.0), (49, 1.0), (40, 1.0), (44, 1.0), (47, 0.5), (46, 0.5), (40, 2.0),
];
#[rustfmt::skip]
const LULLABY_TUNE: &[(u8, f32)] = &[
    (81, 0.5), (81, 0.5), (84, 2.0), (81, 0.5), (81, 0.5), (84, 2.0), (81, 0.5), (84, 0.5), (89, 1.0), (88, 1.0),
    (86, 1.0), (86, 1.0), (84, 1.0), (79, 0.5), (81, 0.5), (82, 2.0), (79, 0.5), (82, 0.5), (88, 0.5), (86, 0.5),
    (84, 1.0), (88, 1.0), (89, 3.0),
];
#[rustfmt::skip]
const LULLABY_LOW: &[(u8, f32)] = &[
    (53, 3.0), (53, 3.0), (53, 3.0), (48, 3.0), (48, 3.0), (48, 3.0), (53, 4.0),
];
#[rustfmt::skip]
const LULLABY_MIDDLE: &[(u8, f32)] = &[
    (60, 3.0), (57, 3.0), (60, 3.0), (58, 3.0), (55, 3.0), (58, 3.0), (57, 4.0),
];

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
