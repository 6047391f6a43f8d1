//! A machine sleeps and wakes: its clock stood, and what was under way is over.

use super::*;

#[test]
fn a_listener_that_sleeps_and_wakes_hears_its_track_to_the_end() {
    for seed in seeds(20) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 60, FLAC);
        world.add(peer("kitchen", 2 * FLAC, std::slice::from_ref(&song)));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        let when = world.random.time(20 * SECOND);
        world.run(when);
        let time = SECOND + world.random.time(120 * SECOND);
        world.put_to_sleep(cellar, time);
        world.run(time + 150 * SECOND);
        let story = world.story(cellar, &song);
        assert_eq!(story.fate, Some(Fate::Heard), "seed {seed}: {story:?}");
    }
}

#[test]
fn a_holder_that_falls_asleep_is_not_heard_where_another_has_the_track() {
    for seed in seeds(20) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 60, FLAC);
        let songs = std::slice::from_ref(&song);
        let holders = ["kitchen", "attic"].map(|name| world.add(peer(name, 2 * FLAC, songs)));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        let when = 2 * SECOND + world.random.time(8 * SECOND);
        world.run(when);
        let sleeper = holders[world.random.below(2) as usize];
        world.put_to_sleep(sleeper, 300 * SECOND);
        world.run(90 * SECOND);
        let story = world.story(cellar, &song);
        assert_eq!(story.fate, Some(Fate::Heard), "seed {seed}: {story:?}");
        assert!(story.underruns.is_empty(), "seed {seed}: {story:?}");
    }
}
