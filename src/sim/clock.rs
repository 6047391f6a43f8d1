//! The clocks of a machine of the simulation.

use std::time::{Duration, Instant};

use crate::util::random::Random;

/// A monotonic clock that runs a little faster or slower than the world, as every quartz does, and
/// stands while the machine sleeps; and what the machine shows people, which somebody may
/// set meanwhile.
#[derive(Debug)]
pub struct MachineClock {
    /// The same moment, in the world's time and in the machine's.
    world: Instant,
    own: Instant,
    /// Millionths that the machine's goes faster.
    ppm: i64,
    /// Seconds since 1970 that people are shown at `world`.
    wall: i64,
}

impl MachineClock {
    /// One that has nothing to do with any other.
    pub fn new(random: &mut Random, world: Instant) -> Self {
        let spread = 2 * MAX_PPM.unsigned_abs() + 1;
        Self {
            world,
            own: world + random.time(MAX_UPTIME),
            ppm: random.below(spread) as i64 - MAX_PPM,
            wall: random.below(2_000_000_000) as i64,
        }
    }

    /// The machine's time at `world`.
    pub fn at(&self, world: Instant) -> Instant {
        let passed = world.saturating_duration_since(self.world);
        self.own + scale(passed, MILLION + self.ppm, MILLION)
    }

    /// The first moment of the world at which the machine's time is `own`, or later; none before
    /// the machine wakes.
    pub fn world_at(&self, own: Instant) -> Instant {
        let passed = own.saturating_duration_since(self.own);
        let mut world = self.world + scale(passed, MILLION, MILLION + self.ppm);
        while self.at(world) < own {
            world += Duration::from_nanos(1);
        }
        world
    }

    /// What the machine shows people at `world`: seconds since 1970.
    pub fn wall_at(&self, world: Instant) -> i64 {
        let passed = world.saturating_duration_since(self.world).as_secs();
        self.wall + passed as i64
    }

    /// Somebody sets what it shows people.
    pub fn step(&mut self, seconds: i64) {
        self.wall += seconds;
    }

    /// The machine sleeps from `world` on.
    pub fn sleep(&mut self, world: Instant, until: Instant) {
        let slept = until.saturating_duration_since(world).as_secs();
        // What people are shown goes on meanwhile.
        let wall = self.wall_at(world) + slept as i64;
        (self.own, self.wall, self.world) = (self.at(world), wall, until);
    }

    /// Whether the machine sleeps at `world`, and until when.
    pub fn sleeps_until(&self, world: Instant) -> Option<Instant> {
        (world < self.world).then_some(self.world)
    }
}

fn scale(time: Duration, by: i64, of: i64) -> Duration {
    let nanos = time.as_nanos() * by.unsigned_abs() as u128 / of.unsigned_abs() as u128;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

const MILLION: i64 = 1_000_000;
/// A bad quartz; a good one is off by 20.
const MAX_PPM: i64 = 100;
/// How long before the others it may have been switched on.
const MAX_UPTIME: Duration = Duration::from_secs(90 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_keeps_its_rate_stands_in_sleep_and_finds_its_way_back() {
        let start = Instant::now();
        let hour = Duration::from_secs(3600);
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut clock = MachineClock::new(&mut random, start);
            let begun = clock.at(start);
            let off = (clock.at(start + hour) - begun).as_secs_f64() - hour.as_secs_f64();
            assert!((off - hour.as_secs_f64() * clock.ppm as f64 / 1e6).abs() < 1e-6);
            for _ in 0..20 {
                let own = begun + random.time(hour);
                let world = clock.world_at(own);
                assert!(clock.at(world) >= own);
                assert!(clock.at(world - Duration::from_micros(1)) < own || world == start);
            }
            let asleep = start + hour;
            let (at, shown) = (clock.at(asleep), clock.wall_at(asleep));
            clock.sleep(asleep, asleep + hour);
            assert_eq!(clock.at(asleep + hour / 2), at);
            assert_eq!(clock.at(asleep + hour), at);
            assert_eq!(clock.sleeps_until(asleep), Some(asleep + hour));
            assert_eq!(clock.sleeps_until(asleep + hour), None);
            assert_eq!(clock.wall_at(asleep + hour), shown + 3600);
            assert_eq!(clock.world_at(at), asleep + hour);
            assert!(clock.at(asleep + 2 * hour) > at + hour / 2);
        }
    }
}
