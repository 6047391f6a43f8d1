//! The pieces of the demo, as scores.

use std::time::Duration;

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

    pub fn score(self) -> Score {
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

pub struct Score {
    pub beat: Duration,
    pub voices: Vec<Instrument>,
}

pub struct Instrument {
    pub gain: f32,
    /// From 0, left, to 1, right.
    pub place: f32,
    pub timbre: Timbre,
    /// MIDI pitch, 0 being a rest, and length in beats.
    pub notes: &'static [(u8, f32)],
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

    pub fn add(&self, note: impl Iterator<Item = f32>, mix: &mut [f32]) {
        let left = self.gain * (1.0 - self.place).sqrt();
        let right = self.gain * self.place.sqrt();
        for (frame, sample) in mix.chunks_exact_mut(2).zip(note) {
            frame[0] += sample * left;
            frame[1] += sample * right;
        }
    }
}

#[derive(Clone, Copy)]
pub enum Timbre {
    Bell,
    Pluck,
    Reed,
    Organ,
}

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
    fn the_voices_of_a_piece_end_together_and_can_be_played() {
        for piece in Tune::ALL {
            let score = piece.score();
            let beats =
                |voice: &Instrument| voice.notes.iter().map(|(_, beats)| beats).sum::<f32>();
            let lengths: Vec<f32> = score.voices.iter().map(beats).collect();
            let longest = lengths.iter().copied().fold(0.0, f32::max);
            assert!(
                score.beat.mul_f32(longest) > Duration::from_secs(8),
                "{piece:?}"
            );
            for (voice, length) in score.voices.iter().zip(lengths) {
                assert!(
                    longest - length < 0.1,
                    "{piece:?}: {length} of {longest} beats"
                );
                assert!((0.0..=1.0).contains(&voice.place));
                let pitches = voice.notes.iter().map(|(pitch, _)| *pitch);
                assert!(pitches
                    .filter(|pitch| *pitch > 0)
                    .all(|pitch| (30..100).contains(&pitch)));
            }
        }
    }

    #[test]
    fn an_instrument_sounds_where_it_stands() {
        let mix = |place| {
            let mut mix = [0.0; 4];
            Instrument::new(1.0, place, Timbre::Bell, &[])
                .add([1.0, 1.0, 1.0].into_iter(), &mut mix);
            mix
        };
        assert_eq!(mix(0.0), [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(mix(1.0), [0.0, 1.0, 0.0, 1.0]);
        let middle = mix(0.5);
        assert_eq!(middle[0], middle[1]);
    }
}
