//! Connections: those of a crowd, and those that fall silent.

use super::*;

/// What a listener needs, and a little more.
const LINE: u64 = FLAC + FLAC / 2;

#[test]
fn a_crowd_that_connects_again_and_again_costs_a_listener_no_sound() {
    for seed in seeds(10) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 60, FLAC);
        let kitchen = world.add(peer("kitchen", LINE, std::slice::from_ref(&song)));
        let cellar = world.add(peer("cellar", FAST, &[]));
        let mallory = world.add(peer("mallory", FAST, &[]));
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        for _ in 0..600 {
            let identity = world.random.below(200) as u8;
            let member = PeerId([identity.max(50); 32]);
            world.connect(mallory, kitchen, member);
            world.run(SECOND / 10);
        }
        world.run(30 * SECOND);
        let story = world.story(cellar, &song);
        assert_eq!(story.fate, Some(Fate::Heard), "seed {seed}: {story:?}");
        assert!(story.underruns.is_empty(), "seed {seed}: {story:?}");
        let listener = world.hosts[cellar.0].library.owner();
        let is_evicted = |peer: PeerId| {
            let evicts = format!(" evicts {peer}");
            world.log.lines().iter().any(|line| line.contains(&evicts))
        };
        assert!(is_evicted(PeerId([50; 32])), "seed {seed}");
        assert!(!is_evicted(listener), "seed {seed}");
    }
}

#[test]
fn a_connection_that_falls_silent_is_renewed_before_the_listener_hears_that() {
    for seed in seeds(20) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 90, FLAC);
        let kitchen = world.add(peer("kitchen", 2 * FLAC, std::slice::from_ref(&song)));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        let when = 10 * SECOND + world.random.time(20 * SECOND);
        world.run(when);
        world.fall_silent(cellar, kitchen);
        world.run(120 * SECOND);
        let story = world.story(cellar, &song);
        assert_eq!(story.fate, Some(Fate::Heard), "seed {seed}: {story:?}");
        assert!(story.underruns.is_empty(), "seed {seed}: {story:?}");
    }
}
