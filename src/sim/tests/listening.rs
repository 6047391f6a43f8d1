//! A listener and its sources, in every weather: what must hold as long as they can bring
//! what is heard.

use super::*;

const NAMES: [&str; 4] = ["kitchen", "attic", "garden", "hall"];
/// Sources are together at least a fifth faster than the music.
const ENOUGH: u64 = FLAC * 12 / 10;

/// A network from a cable to a neighbour's Wi-Fi: 1 to 200 ms, up to 5 % lost.
pub fn any_weather(random: &mut Random) -> Weather {
    let latency = Duration::from_millis(1 + random.below(200));
    Weather {
        latency,
        jitter: random.time(latency),
        loss: random.below(51),
        breaks: 0,
    }
}

/// Rates of `count` sources that are together fast enough, spread by chance.
fn rates(random: &mut Random, count: usize) -> Vec<u64> {
    let shares: Vec<u64> = (0..count).map(|_| 20 + random.below(100)).collect();
    let sum: u64 = shares.iter().sum();
    let all = ENOUGH + random.below(FLAC);
    let rates = shares.iter().map(|share| all * share / sum + 1);
    rates.collect()
}

/// A cellar that hears a song which some others have.
struct Evening {
    world: World,
    sources: Vec<HostNo>,
    cellar: HostNo,
    song: Song,
}

impl Evening {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut world = World::new(seed, any_weather(&mut random));
        let song = Song::new(1, 90, FLAC);
        let songs = [song.clone()];
        let count = 2 + random.below(3) as usize;
        let sources = NAMES.iter().zip(rates(&mut random, count));
        let sources = sources
            .map(|(name, rate)| world.add(peer(name, rate, &songs)))
            .collect();
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(10 * SECOND);
        world.play(cellar, "kitchen");
        Self {
            world,
            sources,
            cellar,
            song,
        }
    }

    fn story(&self) -> &Story {
        self.world.story(self.cellar, &self.song)
    }

    /// Bytes that came twice or more, in per cent of the song.
    fn wasted(&self) -> u64 {
        let here = &self.world.hosts[self.cellar.0];
        here.twice * GROUP_BYTES * 100 / self.song.size
    }
}

/// However the rates are spread, and on every network.
#[test]
fn sources_that_are_a_fifth_faster_together_never_starve_it() {
    for seed in seeds(100) {
        let mut evening = Evening::new(seed);
        evening.world.run(200 * SECOND);
        let story = evening.story();
        assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
        assert!(story.underruns.is_empty(), "{story:?}");
        let wasted = evening.wasted();
        assert!(wasted < 5, "{wasted} % came in vain");
    }
}

/// One of them is unplugged at any moment; the others are fast enough.
#[test]
fn a_listener_does_not_notice_that_a_source_was_unplugged() {
    for seed in seeds(100) {
        let mut evening = Evening::new(seed);
        let world = &mut evening.world;
        let [dies, lives] = [evening.sources[0], evening.sources[1]];
        world.hosts[lives.0].uplink = ENOUGH * 2;
        let when = 2 * SECOND + world.random.time(60 * SECOND);
        world.run(when);
        world.kill(dies);
        world.run(200 * SECOND);
        let story = evening.story();
        assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
        assert!(story.underruns.is_empty(), "{story:?}");
    }
}

/// Rates change all the time; that is no reason to stop, as long as they suffice.
#[test]
fn rates_that_change_are_followed() {
    for seed in seeds(100) {
        let mut evening = Evening::new(seed);
        for _ in 0..30 {
            let world = &mut evening.world;
            let rates = rates(&mut world.random, evening.sources.len());
            for (source, rate) in evening.sources.iter().zip(rates) {
                let before = world.hosts[source.0].uplink;
                world.hosts[source.0].uplink = rate.max(before * 3 / 4);
            }
            let time = SECOND + world.random.time(5 * SECOND);
            world.run(time);
        }
        evening.world.run(100 * SECOND);
        let story = evening.story();
        assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
        assert!(story.underruns.is_empty(), "{story:?}");
    }
}
