//! A peer that is stopped in order.

use super::*;

#[test]
fn a_peer_that_is_stopped_is_gone_for_all_within_a_second_and_ends_within_two() {
    for seed in seeds(20) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 60, FLAC);
        let songs = std::slice::from_ref(&song);
        let kitchen = world.add(peer("kitchen", 2 * FLAC, songs));
        world.add(peer("attic", FAST, songs));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        let when = world.random.time(10 * SECOND);
        world.run(when);
        let is_lonely = world.random.chance(300);
        if is_lonely {
            world.kill_tracker(TrackerNo(0));
        }
        world.stop(kitchen);
        world.run(if is_lonely { 2 * SECOND } else { SECOND });
        assert!(!world.hosts[kitchen.0].alive, "seed {seed}");
        if !is_lonely {
            let peers = world.peers(cellar);
            assert!(
                !peers.contains(&"kitchen".to_owned()),
                "seed {seed}: {peers:?}"
            );
        }
        world.run(90 * SECOND);
        let story = world.story(cellar, &song);
        assert_eq!(story.fate, Some(Fate::Heard), "seed {seed}: {story:?}");
        assert!(story.underruns.is_empty(), "seed {seed}: {story:?}");
    }
}

#[test]
fn a_listener_that_is_stopped_keeps_its_queue_and_its_place() {
    for seed in seeds(20) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 60, FLAC);
        world.add(peer("kitchen", FAST, std::slice::from_ref(&song)));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        world.run(20 * SECOND);
        let heard = world.elapsed() - world.story(cellar, &song).started.expect("it sounds");
        world.stop(cellar);
        world.run(2 * SECOND);
        let host = &mut world.hosts[cellar.0];
        assert!(!host.alive);
        let bookmark = host.bookmark.clone().expect("it was written");
        let off = bookmark.at.abs_diff(heard);
        assert!(
            off < SECOND / 2,
            "seed {seed}: {:?} of {heard:?}",
            bookmark.at
        );
        host.resumes = Some(crate::node::Absence::For(10 * SECOND));
        world.run(8 * SECOND);
        world.revive(cellar);
        world.run(90 * SECOND);
        let story = world.story(cellar, &song);
        assert_eq!(story.fate, Some(Fate::Heard), "seed {seed}: {story:?}");
    }
}
