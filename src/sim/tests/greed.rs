//! Some ask for everything: a listener hears nothing of that as long as its part of the line
//! carries what it hears.

use super::*;
use crate::swarm::budget::Budget;

/// CD quality WAV, in bytes a second.
const WAV: u64 = 176_400;
const NAMES: [&str; 4] = ["mallory", "trudy", "eve", "oscar"];

#[test]
fn a_member_that_asks_for_everything_costs_a_listener_no_sound() {
    for seed in seeds(5) {
        let ask = |world: &mut World, host, kitchen, song: &Song, identities| {
            world.be_greedy(host, kitchen, song, identities);
        };
        listen(seed, &[], ask);
    }
}

#[test]
fn a_member_that_asks_for_the_catalogue_all_the_time_costs_a_listener_no_sound() {
    // Pages that are worth asking for.
    let others: Vec<_> = (2..300).map(|n| Song::new(n, 60, FLAC)).collect();
    for seed in seeds(3) {
        let ask = |world: &mut World, host, kitchen, _: &Song, identities| {
            world.be_curious(host, kitchen, identities);
        };
        listen(seed, &others, ask);
    }
}

/// A cellar listens to a song of the kitchen's, which has `others`, too, while some hosts of
/// many identities ask the kitchen for as much as they can.
fn listen(seed: u64, others: &[Song], ask: impl Fn(&mut World, HostNo, HostNo, &Song, u8)) {
    let mut random = Random::new(seed);
    let mut world = World::new(seed, listening::any_weather(&mut random));
    let rate = if random.chance(500) { WAV } else { FLAC };
    let song = Song::new(1, 60, rate);
    let hosts = 1 + random.below(4) as usize;
    // What each host that asks may have, which is a quarter to a half more than needed.
    let part = rate * (125 + random.below(25)) / 100;
    let line = part * (hosts as u64 + 1);
    let songs = [std::slice::from_ref(&song), others].concat();
    let kitchen = world.add(peer("kitchen", FAST, &songs));
    world.hosts[kitchen.0].cap = Some(Budget::new(Some(line)));
    let cellar = world.add(peer("cellar", FAST, &[]));
    let greedy = &NAMES[..hosts];
    let greedy: Vec<_> = greedy
        .iter()
        .map(|name| world.add(peer(name, FAST, &[])))
        .collect();
    world.run(10 * SECOND);
    let what = format!("kitchen/album/{}", song.name);
    let is_late = random.chance(500);
    if is_late {
        world.play(cellar, &what);
        let when = random.time(10 * SECOND);
        world.run(when);
    }
    for host in greedy {
        let identities = 1 + random.below(32) as u8;
        ask(&mut world, host, kitchen, &song, identities);
    }
    if !is_late {
        let when = random.time(10 * SECOND);
        world.run(when);
        world.play(cellar, &what);
    }
    world.run(80 * SECOND);
    let story = world.story(cellar, &song);
    assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
    assert!(story.underruns.is_empty(), "{story:?}");
}
