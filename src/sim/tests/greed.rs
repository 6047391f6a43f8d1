//! Some ask for everything: a listener hears nothing of that as long as its part of the line
//! carries what it hears.

use super::*;
use crate::swarm::budget::RecentSends;

/// CD quality WAV, in bytes a second.
const WAV: u64 = 176_400;

#[test]
fn a_member_that_asks_for_everything_costs_a_listener_no_sound() {
    const NAMES: [&str; 4] = ["mallory", "trudy", "eve", "oscar"];
    for seed in seeds(5) {
        let mut random = Random::new(seed);
        let mut world = World::new(seed, listening::any_weather(&mut random));
        let rate = if random.chance(500) { WAV } else { FLAC };
        let song = Song::new(1, 60, rate);
        let hosts = 1 + random.below(4) as usize;
        // What each host that asks may have, which is a quarter to a half more than needed.
        let part = rate * (125 + random.below(25)) / 100;
        let line = part * (hosts as u64 + 1);
        let kitchen = world.add(peer("kitchen", line, std::slice::from_ref(&song)));
        world.hosts[kitchen.0].cap = Some(RecentSends::default());
        let cellar = world.add(peer("cellar", FAST, &[]));
        let greedy = &NAMES[..hosts];
        let greedy: Vec<_> = greedy
            .iter()
            .map(|name| world.add(peer(name, FAST, &[])))
            .collect();
        world.run(10 * SECOND);
        let is_late = random.chance(500);
        if is_late {
            world.play(cellar, "kitchen");
            let when = random.time(10 * SECOND);
            world.run(when);
        }
        for host in greedy {
            let identities = 1 + random.below(32) as u8;
            world.be_greedy(host, kitchen, &song, identities);
        }
        if !is_late {
            let when = random.time(10 * SECOND);
            world.run(when);
            world.play(cellar, "kitchen");
        }
        world.run(80 * SECOND);
        let story = world.story(cellar, &song);
        assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
        assert!(story.underruns.is_empty(), "{story:?}");
    }
}
