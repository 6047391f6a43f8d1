//! Sound that waits for bytes: as long as it must, and no longer.

use super::*;

/// A world with a cellar that plays a song of two minutes from a kitchen whose line has so
/// many per cent of its rate.
fn slow(seed: u64, per_cent: u64) -> (World, HostNo, HostNo, Song) {
    let mut world = World::new(seed, Weather::FAIR);
    let song = Song::new(1, 120, FLAC);
    let songs = [song.clone()];
    let kitchen = world.add(peer("kitchen", FLAC * per_cent / 100, &songs));
    let cellar = world.add(peer("cellar", FAST, &[]));
    world.run(3 * SECOND);
    world.play(cellar, "kitchen");
    (world, kitchen, cellar, song)
}

fn waits_for(world: &mut World, host: HostNo) -> Option<String> {
    let reply = world
        .command(host, "p2p_status")
        .expect("it always answers");
    let mut lines = reply.lines();
    lines.find_map(|line| Some(line.strip_prefix("waits_for: ")?.to_owned()))
}

#[test]
fn what_comes_too_slowly_begins_late_and_does_not_stop() {
    for seed in seeds(10) {
        for per_cent in [50, 80, 95] {
            let (mut world, _, cellar, song) = slow(seed, per_cent);
            let asked = world.elapsed();
            world.run(3 * SECOND);
            let words = waits_for(&mut world, cellar).expect("it waits");
            assert!(words.contains("s of sound, of which"), "{words}");
            world.run(400 * SECOND);
            let story = world.story(cellar, &song);
            assert_eq!(story.fate, Some(Fate::Heard));
            assert!(story.underruns.len() <= 1, "{per_cent} %: {story:?}");
            // All of it takes 120 s / rate; what is not needed yet at the end is played.
            let all = Duration::from_secs(120 * 100 / per_cent);
            let ended = story.ended.expect("it was heard") - asked;
            let lost = ended.saturating_sub(all);
            assert!(lost < 30 * SECOND, "{per_cent} %: {lost:?}");
            assert_eq!(waits_for(&mut world, cellar), None);
        }
    }
}

/// The line becomes slow after a while: one wait, not a stutter.
#[test]
fn a_line_that_becomes_slow_is_waited_for_once_or_twice() {
    for seed in seeds(10) {
        let (mut world, kitchen, cellar, song) = slow(seed, 130);
        world.run(20 * SECOND);
        world.hosts[kitchen.0].uplink = FLAC / 2;
        world.run(400 * SECOND);
        let story = world.story(cellar, &song);
        assert_eq!(story.fate, Some(Fate::Heard));
        assert!((1..=3).contains(&story.underruns.len()), "{story:?}");
    }
}
