//! Loudspeakers that a device does not have: each channel of a track goes where it is heard from.

/// How frames of one shape become frames of another.
#[derive(Clone, Debug, PartialEq)]
pub enum Remix {
    /// As they are.
    Same,
    /// One channel, given to so many.
    Spread { to: usize },
    /// Two or more channels, mixed to stereo by a factor for left and right each.
    Stereo(Box<[[f32; 2]]>),
    /// The same, and both to one.
    Mono(Box<[[f32; 2]]>),
    /// Each channel stays where it is; those that are not there are silent.
    Keep { from: usize, to: usize },
}

impl Remix {
    /// From frames of `from` samples, at these loudspeakers (a bit for each, as in the channel mask
    /// of WAVEFORMATEXTENSIBLE) or else at the usual ones, to frames of `to` samples.
    pub fn new(from: u16, speakers: Option<u32>, to: u16) -> Self {
        let is_whole = |mask: &u32| mask.count_ones() == u32::from(from);
        let speakers = speakers.filter(is_whole).or_else(|| usual(from));
        match (from, to) {
            _ if from == to => Self::Same,
            (1, _) => Self::Spread { to: to.into() },
            (2.., 1 | 2) => {
                let factors = factors(from, speakers);
                match to {
                    1 => Self::Mono(factors),
                    _ => Self::Stereo(factors),
                }
            }
            _ => Self::Keep {
                from: from.into(),
                to: to.into(),
            },
        }
    }

    /// Appends what becomes of whole frames, interleaved, to `out`.
    pub fn push(&self, samples: &[f32], out: &mut Vec<f32>) {
        match self {
            Self::Same => out.extend_from_slice(samples),
            Self::Spread { to } => {
                for sample in samples {
                    out.extend(std::iter::repeat_n(*sample, *to));
                }
            }
            Self::Stereo(factors) => {
                for frame in samples.chunks_exact(factors.len()) {
                    out.extend(mix(frame, factors));
                }
            }
            Self::Mono(factors) => {
                for frame in samples.chunks_exact(factors.len()) {
                    let [left, right] = mix(frame, factors);
                    out.push((left + right) / 2.0);
                }
            }
            Self::Keep { from, to } => {
                for frame in samples.chunks_exact(*from) {
                    out.extend((0..*to).map(|n| frame.get(n).copied().unwrap_or(0.0)));
                }
            }
        }
    }
}

fn mix(frame: &[f32], factors: &[[f32; 2]]) -> [f32; 2] {
    let mut sum = [0.0; 2];
    for (sample, factors) in frame.iter().zip(factors) {
        sum[0] += sample * factors[0];
        sum[1] += sample * factors[1];
    }
    sum
}

/// How much of each channel is heard left and right: ITU-R BS.775-3, annex 4, without the
/// subwoofer, scaled so that it cannot clip.
fn factors(channels: u16, speakers: Option<u32>) -> Box<[[f32; 2]]> {
    let mut factors = Vec::with_capacity(channels.into());
    let mut places = (0..u32::BITS).filter(|bit| speakers.unwrap_or(0) >> bit & 1 == 1);
    for n in 0..channels {
        let unknown = [[1.0, 0.0], [0.0, 1.0]][usize::from(n % 2)];
        factors.push(places.next().map_or(unknown, heard_from));
    }
    let loudest = |side: usize| factors.iter().map(|it: &[f32; 2]| it[side]).sum::<f32>();
    let scale = loudest(0).max(loudest(1)).max(1.0);
    for factor in factors.iter_mut().flatten() {
        *factor /= scale;
    }
    factors.into()
}

/// How much of a loudspeaker, by its bit, is heard left and right.
fn heard_from(bit: u32) -> [f32; 2] {
    const SIDE: f32 = std::f32::consts::FRAC_1_SQRT_2;
    match 1 << bit {
        FRONT_LEFT | FRONT_LEFT_OF_CENTRE => [1.0, 0.0],
        FRONT_RIGHT | FRONT_RIGHT_OF_CENTRE => [0.0, 1.0],
        FRONT_CENTRE => [SIDE, SIDE],
        BACK_LEFT | SIDE_LEFT => [SIDE, 0.0],
        BACK_RIGHT | SIDE_RIGHT => [0.0, SIDE],
        BACK_CENTRE => [0.5, 0.5],
        SUBWOOFER => [0.0, 0.0],
        // Above the listener.
        _ => [0.5, 0.5],
    }
}

/// The loudspeakers of so many channels where nothing is said of them, as FLAC defines them
/// (RFC 9639, 9.1.3).
fn usual(channels: u16) -> Option<u32> {
    let front = FRONT_LEFT | FRONT_RIGHT;
    let back = BACK_LEFT | BACK_RIGHT;
    let side = SIDE_LEFT | SIDE_RIGHT;
    Some(match channels {
        1 => FRONT_CENTRE,
        2 => front,
        3 => front | FRONT_CENTRE,
        4 => front | back,
        5 => front | FRONT_CENTRE | back,
        6 => front | FRONT_CENTRE | SUBWOOFER | back,
        7 => front | FRONT_CENTRE | SUBWOOFER | BACK_CENTRE | side,
        8 => front | FRONT_CENTRE | SUBWOOFER | back | side,
        _ => return None,
    })
}

const FRONT_LEFT: u32 = 1 << 0;
const FRONT_RIGHT: u32 = 1 << 1;
const FRONT_CENTRE: u32 = 1 << 2;
const SUBWOOFER: u32 = 1 << 3;
const BACK_LEFT: u32 = 1 << 4;
const BACK_RIGHT: u32 = 1 << 5;
const FRONT_LEFT_OF_CENTRE: u32 = 1 << 6;
const FRONT_RIGHT_OF_CENTRE: u32 = 1 << 7;
const BACK_CENTRE: u32 = 1 << 8;
const SIDE_LEFT: u32 = 1 << 9;
const SIDE_RIGHT: u32 = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Which channels are heard left, and which right.
    fn heard(from: u16, speakers: Option<u32>) -> [Vec<u16>; 2] {
        let remix = Remix::new(from, speakers, 2);
        [0, 1].map(|side| {
            let is_heard = |n: &u16| {
                let mut frame = vec![0.0; from.into()];
                frame[usize::from(*n)] = 1.0;
                let mut out = Vec::new();
                remix.push(&frame, &mut out);
                out[side] > 0.0
            };
            (0..from).filter(is_heard).collect()
        })
    }

    #[test]
    fn every_channel_is_heard_from_its_side() {
        for (from, left, right) in [
            (3, vec![0, 2], vec![1, 2]),
            (4, vec![0, 2], vec![1, 3]),
            (5, vec![0, 2, 3], vec![1, 2, 4]),
            (6, vec![0, 2, 4], vec![1, 2, 5]),
            (7, vec![0, 2, 4, 5], vec![1, 2, 4, 6]),
            (8, vec![0, 2, 4, 6], vec![1, 2, 5, 7]),
        ] {
            assert_eq!(heard(from, None), [left, right], "{from}");
        }
        // 2.1, and a mask that is not for so many channels.
        let with_subwoofer = FRONT_LEFT | FRONT_RIGHT | SUBWOOFER;
        assert_eq!(heard(3, Some(with_subwoofer)), [vec![0], vec![1]]);
        assert_eq!(heard(4, Some(with_subwoofer)), heard(4, None));
        assert_eq!(heard(9, None), [vec![0, 2, 4, 6, 8], vec![1, 3, 5, 7]]);
    }

    #[test]
    fn nothing_clips_that_did_not() {
        for from in 2..=12 {
            for to in [1, 2] {
                let mut out = Vec::new();
                Remix::new(from, None, to).push(&vec![1.0; from.into()], &mut out);
                assert_eq!(out.len(), usize::from(to));
                assert!(out.iter().all(|it| (0.3..=1.0001).contains(it)), "{out:?}");
            }
        }
    }

    #[test]
    fn other_shapes_lose_no_channel() {
        for (from, to, frames, expected) in [
            (2, 2, vec![0.1, 0.2], vec![0.1, 0.2]),
            (1, 2, vec![0.1, 0.2], vec![0.1, 0.1, 0.2, 0.2]),
            (1, 4, vec![0.1], vec![0.1; 4]),
            (2, 4, vec![0.1, 0.2], vec![0.1, 0.2, 0.0, 0.0]),
            (2, 1, vec![0.2, 0.4], vec![0.3]),
        ] {
            let mut out = Vec::new();
            Remix::new(from, None, to).push(&frames, &mut out);
            let close = |a: &f32, b: &f32| (a - b).abs() < 1e-6;
            assert!(
                out.len() == expected.len() && out.iter().zip(&expected).all(|(a, b)| close(a, b)),
                "{from} to {to}: {out:?}"
            );
        }
    }
}
