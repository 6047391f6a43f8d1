//! Sound, and what happens to it when a source is slow or dies.

use super::*;
use crate::id::group_count;

#[test]
fn a_track_of_another_box_sounds_at_once_and_to_its_end() {
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::FAIR);
        let songs = [Song::new(1, 20, FLAC), Song::new(2, 20, FLAC)];
        world.add(peer("kitchen", FAST, &songs));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(3 * SECOND);
        let asked = world.elapsed();
        world.play(cellar, "kitchen");
        world.run(60 * SECOND);
        let started = world.story(cellar, &songs[0]).started.expect("it sounds");
        assert!(
            started - asked < Duration::from_millis(100),
            "{:?}",
            started - asked
        );
        for song in &songs {
            assert!(
                world.has_heard(cellar, song),
                "{:?}",
                world.story(cellar, song)
            );
        }
        let joint = world.story(cellar, &songs[1]).started.expect("it sounds") - started;
        assert!(
            joint < 20 * SECOND + Duration::from_millis(200),
            "{joint:?}"
        );
    }
}

/// Also while the next track is fetched ahead from the same source. The first
/// second does not count: sound starts with a single chunk group, and then
/// what the decoder read on its way to it stands before the second one.
#[test]
fn a_source_a_fifth_faster_than_the_music_never_starves_it() {
    for seed in seeds(100) {
        for ahead in [0, 2] {
            let mut world = World::new(seed, Weather::FAIR);
            let songs: Vec<Song> = (0..=ahead).map(|n| Song::new(n, 60, FLAC)).collect();
            world.add(peer("kitchen", FLAC * 12 / 10, &songs));
            let cellar = world.add(peer("cellar", FAST, &[]));
            world.run(3 * SECOND);
            world.play(cellar, "kitchen");
            world.run(240 * SECOND);
            for song in &songs {
                let story = world.story(cellar, song);
                let settled = story.started.expect("it sounds") + SECOND;
                let late = story.underruns.iter().filter(|at| **at > settled);
                assert_eq!(late.count(), 0, "{story:?}");
                assert_eq!(story.fate, Some(Fate::Heard));
            }
        }
    }
}

#[test]
fn a_second_holder_takes_over_when_a_source_dies() {
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::POOR);
        let song = Song::new(1, 60, FLAC);
        let songs = [song.clone()];
        let kitchen = world.add(peer("kitchen", FLAC * 2, &songs));
        world.add(peer("attic", FLAC * 2, &songs));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(5 * SECOND);
        world.play(cellar, "kitchen");
        let at = Duration::from_millis(world.random.below(15_000));
        world.run(at);
        world.kill(kitchen);
        world.run(100 * SECOND);
        assert!(
            world.has_heard(cellar, &song),
            "{:?}",
            world.story(cellar, &song)
        );
        // A silent source is given up after 4 s, and asked once more at most
        // before another brings what is waited for.
        let story = world.story(cellar, &song);
        let (started, ended) = story.started.zip(story.ended).expect("it was heard");
        assert!(ended - started < 69 * SECOND, "{story:?}");
        assert!(world.hosts[cellar.0].client.errors.is_empty());
    }
}

#[test]
fn without_another_holder_what_came_is_played_and_the_queue_goes_on() {
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::POOR);
        let (lost, whole) = (Song::new(1, 60, FLAC), Song::new(2, 20, FLAC));
        let kitchen = world.add(peer("kitchen", FLAC * 2, std::slice::from_ref(&lost)));
        world.add(peer("attic", FAST, std::slice::from_ref(&whole)));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(5 * SECOND);
        world.command(cellar, "add kitchen").expect("it is here");
        world.play(cellar, "attic");
        world.run(10 * SECOND);
        world.kill(kitchen);
        let have = world.hosts[cellar.0].store.0[&lost.track].have.count();
        world.run(120 * SECOND);
        let Some(Fate::Failed(why)) = &world.story(cellar, &lost).fate else {
            panic!("{:?}", world.story(cellar, &lost));
        };
        assert!(why.contains("kitchen"), "{why}");
        let errors = &world.hosts[cellar.0].client.errors;
        assert!(errors.iter().any(|error| error.contains(why)), "{errors:?}");
        let heard = world.hosts[cellar.0].heard[&lost.track];
        let arrived = u64::from(have - 1) * crate::id::GROUP_BYTES;
        assert!(
            heard + crate::id::GROUP_BYTES >= arrived,
            "{heard} of {arrived} bytes"
        );
        assert!(
            world.has_heard(cellar, &whole),
            "{:?}",
            world.story(cellar, &whole)
        );
    }
}

/// What came before the power went is not asked for again, but for what the disk lost.
#[test]
fn after_a_restart_only_the_rest_is_fetched() {
    let mut lost = 0;
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 60, FLAC);
        world.add(peer("kitchen", FLAC * 3 / 2, std::slice::from_ref(&song)));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(5 * SECOND);
        world.play(cellar, "kitchen");
        world.run(20 * SECOND);
        world.kill(cellar);
        world.run(SECOND);
        world.revive(cellar);
        world.run(5 * SECOND);
        let blob = &world.hosts[cellar.0].store.0[&song.track];
        let (before, here, torn) = (blob.fetched, blob.have.count(), blob.torn.count());
        assert!(here > 100 && here < group_count(song.size), "{here} groups");
        world.play(cellar, "kitchen");
        world.run(90 * SECOND);
        let host = &world.hosts[cellar.0];
        assert!(
            world.has_heard(cellar, &song),
            "{:?}",
            world.story(cellar, &song)
        );
        let blob = &host.store.0[&song.track];
        let rest = group_count(song.size) - here + torn;
        assert_eq!(blob.fetched - before, rest, "seed {seed}");
        assert!(host.library.holds(song.track), "it is kept");
        lost += torn;
    }
    assert!(lost > 0, "no disk has lost anything");
}

#[test]
fn the_store_hears_what_is_queued() {
    let mut world = World::new(1, Weather::FAIR);
    let songs = [Song::new(1, 20, FLAC), Song::new(2, 20, FLAC)];
    let late = Song::new(3, 20, FLAC);
    let setting = peer("kitchen", FAST, &songs);
    let unhashed = [(late.clone(), false)];
    let songs_of_all = setting.songs.iter().cloned().chain(unhashed);
    world.add(Setting {
        songs: songs_of_all.collect(),
        ..setting
    });
    let cellar = world.add(peer("cellar", FAST, &[]));
    world.run(5 * SECOND);
    world.command(cellar, "add kitchen").expect("it is here");
    let queued = |world: &World| {
        let mut queued = world.hosts[cellar.0].queued.clone();
        queued.sort_unstable();
        queued
    };
    let tracks = |songs: &[&Song]| {
        let mut tracks: Vec<_> = songs.iter().map(|song| song.track).collect();
        tracks.sort_unstable();
        tracks
    };
    world.run(SECOND);
    assert_eq!(queued(&world), tracks(&[&songs[0], &songs[1]]));
    world.command(cellar, "clear").expect("it takes nothing");
    world.command(cellar, "add kitchen").expect("it is here");
    world.run(SECOND / 100);
    assert_eq!(queued(&world), tracks(&[&songs[0], &songs[1]]), "as before");
    world.command(cellar, "delete 1").expect("it is there");
    world.command(cellar, "play 0").expect("it is there");
    world.run(SECOND / 10);
    assert_eq!(queued(&world), tracks(&[&songs[0]]), "room is needed");
    world.command(cellar, "clear").expect("it takes nothing");
    world.command(cellar, "add kitchen").expect("it is here");
    // What a track is turns out when it is played.
    world.command(cellar, "play 2").expect("there are three");
    world.run(60 * SECOND);
    assert_eq!(queued(&world), tracks(&[&songs[0], &songs[1], &late]));
    world.command(cellar, "clear").expect("it takes nothing");
    world.run(SECOND);
    assert_eq!(queued(&world), []);
}

/// A cold play of a file that nobody has hashed yet, in a swarm where
/// catalogues change all the time.
#[test]
fn a_file_that_is_not_hashed_yet_plays_after_its_hashing() {
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 60, FLAC);
        let setting = Setting {
            songs: vec![(song.clone(), false)],
            ..peer("kitchen", FLAC * 3, &[])
        };
        world.add(setting);
        let cellar = world.add(peer("cellar", FAST, &[]));
        let attic = world.add(peer("attic", FAST, &[]));
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        for n in 0..6 {
            let wait = world.random.time(SECOND / 2);
            world.run(wait);
            world.hosts[attic.0].library.add(Song::new(10 + n, 1, FLAC));
            world.publish(attic);
            world.settle(attic);
        }
        world.run(80 * SECOND);
        assert!(
            world.has_heard(cellar, &song),
            "{:?}",
            world.hosts[cellar.0].client.errors
        );
    }
}

#[test]
fn who_sends_wrong_bytes_or_has_another_file_is_left_alone() {
    for seed in seeds(100) {
        for manner in [Manner::Liar, Manner::Changed] {
            let mut world = World::new(seed, Weather::FAIR);
            let song = Song::new(1, 30, FLAC);
            let songs = [song.clone()];
            let bad = Setting {
                manner,
                ..peer("kitchen", FAST, &songs)
            };
            world.add(bad);
            let cellar = world.add(peer("cellar", FAST, &[]));
            world.run(3 * SECOND);
            world.play(cellar, "kitchen");
            world.run(10 * SECOND);
            let errors = world.hosts[cellar.0].client.errors.join("; ");
            assert!(errors.contains("kitchen: "), "{errors}");
            world.add(peer("attic", FAST, &songs));
            world.run(10 * SECOND);
            world.command(cellar, "play").expect("it is queued");
            world.run(40 * SECOND);
            assert!(
                world.has_heard(cellar, &song),
                "{:?}",
                world.story(cellar, &song)
            );
        }
    }
}
