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
        world.run(10 * SECOND);
        assert_eq!(problems(&mut world, cellar), [""; 0]);
        world.run(60 * SECOND);
        assert!(world.has_heard(cellar, &songs[1]));
    }
}

/// What each write takes of a card that wears out.
const A_WRITE: Duration = Duration::from_millis(150);

/// How a song is heard that begins on a card which takes `delay` a write from `slow_at` on,
/// and when it begins.
fn evening(seed: u64, delay: Duration, slow_at: Duration, is_tried: bool) -> (Duration, Story) {
    let mut world = World::new(seed, Weather::FAIR);
    let song = Song::new(1, 120, FLAC);
    world.add(peer("kitchen", FAST, std::slice::from_ref(&song)));
    let cellar = world.add(peer("cellar", FAST, &[]));
    if slow_at.is_zero() {
        world.slow_down(cellar, delay);
    }
    if is_tried {
        world.try_out_disk(cellar);
    }
    world.run(3 * SECOND);
    world.play(cellar, "kitchen");
    let begun = world.elapsed();
    world.run(slow_at);
    world.slow_down(cellar, delay);
    let is_over = |world: &World| world.story(cellar, &song).fate.is_some();
    for _ in 0..150 {
        world.run(SECOND);
        if !delay.is_zero() && !is_over(&world) {
            let found = problems(&mut world, cellar);
            let all = found
                .iter()
                .all(|problem| problem.contains("a write takes"));
            assert!(all, "{found:?}");
        }
    }
    assert_eq!(world.hosts[cellar.0].client.errors, [""; 0]);
    let story = world.story(cellar, &song).clone();
    let started = story.started.expect("it sounds");
    (started - begun, story)
}

#[test]
fn the_first_sound_does_not_wait_for_a_slow_card() {
    for seed in seeds(5) {
        let (fast, _) = evening(seed, Duration::ZERO, Duration::ZERO, true);
        // It is known from the start, as a rule.
        let (slow, story) = evening(seed, A_WRITE, Duration::ZERO, true);
        assert_eq!(slow, fast, "{story:?}");
        assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
        assert!(story.underruns.is_empty(), "{story:?}");
        // It is found out by what plays.
        let (slow, story) = evening(seed, A_WRITE, Duration::ZERO, false);
        assert!(slow <= fast + 3 * A_WRITE, "{slow:?}, not {fast:?}");
        assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
    }
}

#[test]
fn a_card_that_becomes_slow_while_music_plays_is_not_heard() {
    for seed in seeds(5) {
        for delay in [A_WRITE, 3 * A_WRITE] {
            let slow_at = Duration::from_millis(200 + 1600 * (seed % 5));
            let (_, story) = evening(seed, delay, slow_at, true);
            assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
            let all = story.underruns.is_empty();
            assert!(all, "{delay:?} at {slow_at:?}: {story:?}");
        }
    }
}
