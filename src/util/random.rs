//! Numbers by chance, from a seed.

use std::time::Duration;

/// SplitMix64: the same numbers for a seed on every machine. Enough to spread choices and
/// rests, and to shuffle music; no secret comes from here.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be 0. The bias of the remainder is far below
    /// what shows where `end` is some millions.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// A part of `time`.
    pub fn part_of(&mut self, time: Duration) -> Duration {
        part_of(time, self.draw())
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
impl Random {
    /// Whether something that happens `per_mille` times in a thousand does.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A time below `end`, in whole microseconds.
    pub fn time(&mut self, end: Duration) -> Duration {
        Duration::from_micros(self.below(end.as_micros().max(1) as u64))
    }
}

/// The part of `time` that a number of [`Random::draw`] stands for.
pub fn part_of(time: Duration, random: u64) -> Duration {
    let fraction = (random >> 40) as u32;
    time.mul_f64(f64::from(fraction) / f64::from(1 << 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_numbers_of_the_published_generator() {
        let mut random = Random::new(1_234_567);
        let drawn: Vec<_> = (0..3).map(|_| random.draw()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(drawn, published);
    }

    #[test]
    fn a_part_is_less_than_the_whole_and_a_shuffle_keeps_all() {
        let mut random = Random::new(7);
        let whole = Duration::from_secs(9);
        assert!((0..1000).all(|_| random.part_of(whole) < whole));
        assert_eq!(part_of(whole, 0), Duration::ZERO);
        let mut items: Vec<_> = (0..100).collect();
        random.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert!(items.iter().copied().eq(0..100));
    }
}
