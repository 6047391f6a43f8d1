//! Tones through the filter: what is left of them, and what else there is.

use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;

fn tone(frequency: f64, rate: u32, frames: usize) -> Vec<f32> {
    let step = TAU * frequency / f64::from(rate);
    let at = |n: usize| (0.5 * (step * n as f64).sin()) as f32;
    (0..frames).map(at).collect()
}

fn resampled(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    let mut resampler = Resampler::new(from, to, 1).unwrap();
    let mut out = Vec::new();
    samples
        .chunks(77)
        .for_each(|some| resampler.push(some, &mut out));
    resampler.finish(&mut out);
    out
}

/// The level of what has `frequency` in the middle of `samples`, and of all else, both in dB of
/// the tone that was put in.
fn levels(samples: &[f32], rate: u32, frequency: f64) -> (f64, f64) {
    let (first, last) = (samples.len() / 8, samples.len() * 7 / 8);
    let step = TAU * frequency / f64::from(rate);
    // Least squares of sine and cosine, so that no window is needed.
    let (mut ss, mut sc, mut cc, mut ys, mut yc) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate().take(last).skip(first) {
        let (s, c) = (step * n as f64).sin_cos();
        let y = f64::from(*sample);
        (ss, sc, cc) = (ss + s * s, sc + s * c, cc + c * c);
        (ys, yc) = (ys + y * s, yc + y * c);
    }
    let determinant = ss * cc - sc * sc;
    let a = (ys * cc - yc * sc) / determinant;
    let b = (yc * ss - ys * sc) / determinant;
    let mut rest = 0.0;
    for (n, sample) in samples.iter().enumerate().take(last).skip(first) {
        let (s, c) = (step * n as f64).sin_cos();
        rest += (f64::from(*sample) - a * s - b * c).powi(2);
    }
    let rest = (rest / (last - first) as f64).sqrt();
    let decibel = |level: f64| 20.0 * level.max(1e-12).log10();
    let put_in = 0.5;
    (
        decibel((a * a + b * b).sqrt() / put_in),
        decibel(rest * std::f64::consts::SQRT_2 / put_in),
    )
}

const RATES: [(u32, u32); 8] = [
    (44_100, 48_000),
    (48_000, 44_100),
    (96_000, 48_000),
    (96_000, 44_100),
    (192_000, 44_100),
    (44_100, 96_000),
    (44_100, 192_000),
    (32_000, 44_100),
];

#[test]
fn what_is_heard_stays_as_it_is() {
    for (from, to) in RATES {
        let top = 20_000.0_f64.min(f64::from(from.min(to)) * 0.4535);
        for frequency in [50.0, 997.0, 5_000.0, 12_000.0, 18_000.0, 19_000.0, top] {
            let frequency = frequency.min(top);
            let out = resampled(&tone(frequency, from, 20_000), from, to);
            let (level, rest) = levels(&out, to, frequency);
            assert!(
                level.abs() < 0.1,
                "{from} to {to}: {frequency} Hz, {level} dB"
            );
            assert!(
                rest < -100.0,
                "{from} to {to}: {frequency} Hz, rest {rest} dB"
            );
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_have_is_gone() {
    for (from, to) in RATES.into_iter().filter(|(from, to)| from > to) {
        let half = f64::from(to) / 2.0;
        for frequency in [half + 50.0, half * 1.05, half * 1.3, f64::from(from) * 0.49] {
            let frequency = frequency.min(f64::from(from) * 0.49);
            if frequency <= half {
                continue;
            }
            let out = resampled(&tone(frequency, from, 20_000), from, to);
            let middle = &out[out.len() / 8..out.len() * 7 / 8];
            let loudest = middle.iter().fold(0.0_f32, |most, it| most.max(it.abs()));
            let level = 20.0 * f64::from(loudest / 0.5).max(1e-12).log10();
            assert!(level < -100.0, "{from} to {to}: {frequency} Hz, {level} dB");
        }
    }
}

#[test]
fn a_beginning_is_neither_early_nor_late() {
    for (from, to) in RATES {
        let mut samples = vec![0.0; 4_000];
        samples[1_000] = 1.0;
        let out = resampled(&samples, from, to);
        let loudest = (0..out.len()).max_by(|a, b| out[*a].total_cmp(&out[*b]));
        let expected = 1_000.0 * f64::from(to) / f64::from(from);
        let at = loudest.unwrap() as f64;
        assert!(
            (at - expected).abs() <= 1.0,
            "{from} to {to}: {at}, not {expected}"
        );
    }
}

/// A recording that is cut into tracks sounds as one that is not.
#[test]
fn tracks_meet_without_a_click() {
    for (from, to) in RATES {
        // A place where the tone is loud, and frames of both rates meet.
        let cut = (from / 100) as usize * 10;
        let whole = tone(1_013.0, from, 2 * cut);
        assert!(whole[cut].abs() > 0.1, "{from}: {}", whole[cut]);
        let expected = resampled(&whole, from, to);
        let (first, second) = whole.split_at(cut);
        let tracks = [resampled(first, from, to), resampled(second, from, to)].concat();
        assert_eq!(tracks.len(), expected.len());
        let pairs = tracks.iter().zip(&expected);
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 0.01, "{from} to {to}: {off}");
    }
}

#[test]
fn rates_of_no_music_are_refused() {
    assert!(Resampler::new(1, 768_000, 2).is_none());
    assert!(Resampler::new(0, 48_000, 2).is_none());
    assert!(Resampler::new(8_000, 192_000, 8).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn as_many_frames_come_as_the_rates_say(
        frames in 0_usize..3_000,
        channels in 1_u16..4,
        chosen in 0..RATES.len(),
        piece in 1_usize..400,
    ) {
        let (from, to) = RATES[chosen];
        let mut resampler = Resampler::new(from, to, channels).unwrap();
        let samples = vec![0.25; frames * usize::from(channels)];
        let mut out = Vec::new();
        for some in samples.chunks(piece * usize::from(channels)) {
            resampler.push(some, &mut out);
        }
        resampler.finish(&mut out);
        let expected = (frames as f64 * f64::from(to) / f64::from(from)).round() as usize;
        prop_assert_eq!(out.len(), expected * usize::from(channels));
        prop_assert!(out.iter().all(|sample| sample.is_finite()));
    }
}
