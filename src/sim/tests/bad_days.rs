//! What a node does when its own machine fails it.

use super::*;
use crate::swarm::scheduler::WINDOW_GROUPS;

/// Ten minutes of CD quality: far more than may be in memory at once.
fn long_song(n: u32) -> Song {
    Song::new(n, 600, FLAC)
}

fn problems(world: &mut World, host: HostNo) -> Vec<String> {
    let answer = world.command(host, "p2p_status").expect("it needs nothing");
    let lines = answer.lines();
    let problems = lines.filter_map(|line| line.strip_prefix("problem: "));
    problems.map(str::to_owned).collect()
}

/// The groups of `song` that `host` has.
fn here(world: &World, host: HostNo, song: &Song) -> u32 {
    let blob = world.hosts[host.0].store.0.get(&song.track);
    blob.map_or(0, |blob| blob.have.count())
}

#[test]
fn what_no_disk_takes_is_heard_to_its_end_from_a_window() {
    for seed in seeds(2) {
        let mut world = World::new(seed, Weather::FAIR);
        let songs = [long_song(1), Song::new(2, 60, FLAC)];
        world.add(peer("kitchen", FAST, &songs));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.hosts[cellar.0].disk_is_full = true;
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        let mut most = 0;
        for _ in 0..700 {
            world.run(SECOND);
            most = most.max(here(&world, cellar, &songs[0]));
        }
        for song in &songs {
            let story = world.story(cellar, song);
            assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
            let settled = story.started.expect("it sounds") + SECOND;
            assert!(story.underruns.iter().all(|at| *at < settled), "{story:?}");
        }
        // One second of a fast line may have been under way already.
        assert!(most <= WINDOW_GROUPS, "{most} groups at once");
        assert!(u64::from(most) < songs[0].size / 16384 / 2, "{most} of all");
    }
}

#[test]
fn back_and_forth_in_a_window_works_and_the_next_track_is_kept_again() {
    for seed in seeds(2) {
        let mut world = World::new(seed, Weather::FAIR);
        let songs = [long_song(1), Song::new(2, 20, FLAC)];
        world.add(peer("kitchen", FAST, &songs));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.hosts[cellar.0].disk_is_full = true;
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        world.run(5 * SECOND);
        let found = problems(&mut world, cellar);
        assert!(
            found[0].starts_with("what is played is not kept"),
            "{found:?}"
        );
        for to in ["500", "3", "300", "580"] {
            world
                .command(cellar, &format!("seekcur {to}"))
                .expect("it plays");
            world.run(10 * SECOND);
            let story = world.story(cellar, &songs[0]);
            assert_eq!(story.fate, None, "at {to}: {story:?}");
        }
        world.hosts[cellar.0].disk_is_full = false;
        let now = world.now;
        let mended = crate::node::Event::CacheMended;
        world.hosts[cellar.0].node.handle(mended, now);
        assert_eq!(problems(&mut world, cellar), [""; 0]);
        world.run(60 * SECOND);
        assert!(world.has_heard(cellar, &songs[1]));
    }
}
