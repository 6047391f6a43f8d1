//! Noise instead of distortion where samples lose bits.

use crate::util::random::Random;

/// Two even distributions, one against the other: as loud as the last bit, and the least that keeps
/// the mean and the loudness of what is rounded apart from it (Lipshitz, Wannamaker and Vanderkooy,
/// "Quantization and dither: a theoretical survey", 1992).
#[derive(Clone, Debug)]
pub struct Dither(Random);

impl Dither {
    /// The same noise each time: nobody hears which.
    pub fn new() -> Self {
        Self(Random::new(0))
    }

    /// Rounds `value`, in units of the last bit. A whole number has lost nothing, and stays.
    pub fn round(&mut self, value: f32) -> f32 {
        let whole = value.round();
        match whole == value {
            true => whole,
            false => (value + self.noise()).round(),
        }
    }

    /// From -1 to 1, most often about 0.
    fn noise(&mut self) -> f32 {
        let drawn = self.0.draw();
        let [one, other] = [drawn >> 32, drawn & 0xffff_ffff].map(|half| half as f32);
        (one - other) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_last_bit_is_heard_and_what_is_exact_stays() {
        let mut dither = Dither::new();
        for value in [-32_768.0, -1.0, 0.0, 1.0, 12_345.0] {
            assert_eq!(dither.round(value), value);
        }
        for value in [0.1, 0.3, 0.5, -0.25, 1_000.7] {
            let count = 100_000;
            let rounded: Vec<f64> = (0..count).map(|_| dither.round(value).into()).collect();
            let mean = rounded.iter().sum::<f64>() / f64::from(count);
            assert!((mean - f64::from(value)).abs() < 0.01, "{value}: {mean}");
            // As loud for every value: a quarter of the square of a bit.
            let off = |it: &f64| (it - f64::from(value)).powi(2);
            let power = rounded.iter().map(off).sum::<f64>() / f64::from(count);
            assert!((power - 0.25).abs() < 0.01, "{value}: {power}");
        }
    }
}
