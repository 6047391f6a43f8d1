//! Sources that are away for a while: the music waits for them as for a lost sound card.

use super::*;
use crate::{
    node::{self, Absence},
    playback::transport::PlayState,
    sim::{
        net::{Place, TrackerNo},
        world::Event,
    },
};

/// A world with a cellar that hears a song of two minutes, which some others have whose
/// lines together are half as fast again as it is.
fn evening(seed: u64, count: u64) -> (World, Vec<HostNo>, HostNo, Song) {
    let mut world = World::new(seed, Weather::FAIR);
    let song = Song::new(1, 120, FLAC);
    let songs = [song.clone()];
    let names = ["kitchen", "attic", "garden"].into_iter();
    let sources = names.take(count as usize);
    let sources = sources.map(|name| world.add(peer(name, FLAC * 3 / 2 / count, &songs)));
    let sources = sources.collect();
    let cellar = world.add(peer("cellar", FAST, &[]));
    world.run(5 * SECOND);
    world.play(cellar, "kitchen");
    (world, sources, cellar, song)
}

fn field(world: &mut World, host: HostNo, key: &str) -> Option<String> {
    let reply = world.command(host, "p2p_status");
    let reply = reply.expect("it always answers");
    let mut lines = reply.lines();
    lines.find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(": ")?.to_owned()))
}

/// All of it was heard, in one piece.
fn assert_heard(world: &World, host: HostNo, song: &Song) {
    let here = &world.hosts[host.0];
    let stories = here.stories.values();
    let plays = stories.filter(|story| story.song == song.name).count();
    let story = world.story(host, song);
    assert_eq!((plays, &story.fate), (1, &Some(Fate::Heard)), "{story:?}");
    assert_eq!(here.heard[&song.track], song.size);
}

#[test]
fn after_a_cut_of_any_length_the_music_goes_on_where_it_stopped() {
    let mut waited = 0;
    for seed in seeds(40) {
        let count = 1 + seed % 3;
        let (mut world, sources, cellar, song) = evening(seed, count);
        let at = world.random.time(60 * SECOND);
        world.run(at);
        let mut others: Vec<Place> = sources.iter().map(|host| Place::Host(*host)).collect();
        if world.random.chance(500) {
            others.push(Place::Tracker(TrackerNo(0)));
        }
        world.cut(&[Place::Host(cellar)], &others);
        let cut = 5 * SECOND + world.random.time(295 * SECOND);
        world.run(cut);
        waited += u64::from(field(&mut world, cellar, "waits_peer").is_some());
        world.heal();
        world.run(200 * SECOND);
        assert_heard(&world, cellar, &song);
    }
    assert!(waited > 0, "no cut was noticed");
}

/// A source that is killed and comes back is as one that was cut off; so is one that is new.
#[test]
fn a_source_that_starts_again_or_another_copy_is_as_good() {
    for seed in seeds(20) {
        let (mut world, sources, cellar, song) = evening(seed, 1);
        let at = world.random.time(40 * SECOND);
        world.run(at);
        world.kill(sources[0]);
        let away = 5 * SECOND + world.random.time(295 * SECOND);
        world.run(away);
        match seed % 2 {
            0 => world.revive(sources[0]),
            _ => _ = world.add(peer("hall", FAST, std::slice::from_ref(&song))),
        }
        world.run(200 * SECOND);
        assert_heard(&world, cellar, &song);
    }
}

#[test]
fn it_is_said_whom_it_waits_for_and_no_figure_outlives_what_it_is_about() {
    for seed in seeds(10) {
        let (mut world, sources, cellar, _) = evening(seed, 1);
        world.hosts[sources[0].0].uplink = FLAC * 3 / 4;
        world.run(5 * SECOND);
        let arriving = |world: &mut World| {
            let words = field(world, cellar, "waits_for")?;
            let (before, _) = words.split_once(" kB/s arrive")?;
            before.rsplit(' ').next()?.parse::<u64>().ok()
        };
        assert!(
            arriving(&mut world) > Some(50),
            "{:?}",
            arriving(&mut world)
        );
        world.cut(&[Place::Host(cellar)], &[Place::Host(sources[0])]);
        world.run(3 * SECOND);
        assert!(arriving(&mut world).unwrap_or(0) == 0);
        world.run(120 * SECOND);
        let words = field(&mut world, cellar, "waits_for").unwrap_or_default();
        assert!(words.starts_with("kitchen, which "), "{words}");
        let since = field(&mut world, cellar, "waits_since_s");
        let since: Option<u64> = since.and_then(|since| since.parse().ok());
        assert!(since > Some(80) && since <= Some(123), "{since:?}");
        assert_eq!(field(&mut world, cellar, "source"), None);
        world.heal();
        world.run(10 * SECOND);
        assert_eq!(field(&mut world, cellar, "waits_peer"), None);
    }
}

#[test]
fn another_track_is_taken_after_half_a_minute_if_it_can_play() {
    for seed in seeds(10) {
        let (mut world, sources, cellar, song) = evening(seed, 1);
        let other = Song::new(7, 20, FLAC);
        world.add(peer("attic", FAST, std::slice::from_ref(&other)));
        world.run(3 * SECOND);
        world.command(cellar, "add attic").expect("it is here");
        world.cut(&[Place::Host(cellar)], &[Place::Host(sources[0])]);
        world.run(200 * SECOND);
        let Some(Fate::Failed(why)) = &world.story(cellar, &song).fate else {
            panic!("{:?}", world.story(cellar, &song));
        };
        assert!(
            why.starts_with("kitchen ") && why.ends_with(": skipped"),
            "{why}"
        );
        let dry = world.story(cellar, &song).underruns[0];
        let started = world.story(cellar, &other).started.expect("it plays");
        // Counted from where the reader stood: as long before as the ring still had sound.
        let waited = started - dry + SECOND / 2;
        assert!((30 * SECOND..45 * SECOND).contains(&waited), "{waited:?}");
        assert!(world.has_heard(cellar, &other));
    }
}

#[test]
fn where_nothing_else_can_play_it_waits_on_and_pauses_at_last() {
    for seed in seeds(5) {
        let (mut world, sources, cellar, song) = evening(seed, 1);
        world.run(10 * SECOND);
        world.kill(sources[0]);
        world.run(600 * SECOND);
        assert_eq!(world.hosts[cellar.0].status("state"), Some("play"));
        world.run(600 * SECOND);
        let host = &world.hosts[cellar.0];
        assert_eq!(host.status("state"), Some("pause"));
        let error = host.status("error").unwrap_or_default();
        assert!(error.ends_with("since 15 minutes: paused"), "{error}");
        world.revive(sources[0]);
        world.run(60 * SECOND);
        assert_eq!(world.hosts[cellar.0].status("state"), Some("pause"));
        world.command(cellar, "pause 0").expect("it is paused");
        world.run(200 * SECOND);
        assert_heard(&world, cellar, &song);
    }
}

#[test]
fn what_somebody_says_while_it_waits_counts_at_once() {
    for seed in seeds(10) {
        let (mut world, sources, cellar, _) = evening(seed, 1);
        let own = Song::new(8, 20, FLAC);
        let (at, wait) = (
            world.random.time(20 * SECOND),
            world.random.time(100 * SECOND),
        );
        world.run(at);
        world.hosts[cellar.0].library.add(own.clone());
        world.publish(cellar);
        world.settle(cellar);
        world.kill(sources[0]);
        world.run(wait);
        match seed % 3 {
            0 => {
                world.command(cellar, "stop").expect("it always can");
                assert_eq!(world.hosts[cellar.0].status("state"), Some("stop"));
                world.revive(sources[0]);
                world.run(60 * SECOND);
                assert_eq!(world.hosts[cellar.0].status("state"), Some("stop"));
            }
            1 => {
                world.command(cellar, "add cellar").expect("it is here");
                world.command(cellar, "next").expect("it always can");
                world.run(SECOND);
                assert!(world.story(cellar, &own).started.is_some());
            }
            _ => {
                world.command(cellar, "clear").expect("it always can");
                world.play(cellar, "cellar");
                world.run(SECOND);
                assert!(world.story(cellar, &own).started.is_some());
            }
        }
    }
}

/// A source that has failed may have done so for the keys that were believed then.
#[test]
fn with_other_keys_a_source_that_rests_is_tried_at_once() {
    for seed in seeds(10) {
        let (mut world, sources, cellar, song) = evening(seed, 1);
        world.cut(&[Place::Host(cellar)], &[Place::Host(sources[0])]);
        world.run(30 * SECOND);
        while !world.hosts[cellar.0].calls.is_empty() {
            world.run(SECOND / 10);
        }
        world.heal();
        world.plan(cellar, SECOND / 10, Event::Node(node::Event::Keys.into()));
        world.run(SECOND / 5);
        assert!(!world.hosts[cellar.0].calls.is_empty(), "it rests");
        world.run(200 * SECOND);
        assert_heard(&world, cellar, &song);
    }
}

/// The whole house was without power: the listener is back first.
#[test]
fn a_listener_that_starts_again_waits_for_its_source_and_goes_on() {
    for seed in seeds(20) {
        let (mut world, sources, cellar, song) = evening(seed, 1);
        let at = 5 * SECOND + world.random.time(60 * SECOND);
        world.run(at);
        for host in [cellar, sources[0]] {
            world.kill(host);
        }
        let off = world.random.time(100 * SECOND);
        world.run(off);
        world.hosts[cellar.0].resumes = Some(Absence::For(off));
        let at = world.hosts[cellar.0]
            .bookmark
            .clone()
            .expect("it played")
            .at;
        world.revive(cellar);
        let alone = world.random.time(100 * SECOND);
        world.run(alone);
        let back = world.elapsed();
        world.revive(sources[0]);
        world.run(200 * SECOND);
        let story = world.story(cellar, &song);
        assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
        let (started, ended) = story.started.zip(story.ended).expect("it was heard");
        let rest = 120 * SECOND - at;
        assert!(ended - started + SECOND > rest, "{story:?} from {at:?}");
        // What had arrived may sound before the source is back; from then on nothing is in
        // the way but finding it, which is tried every 5 s.
        assert!(
            ended < back + rest + FOUND,
            "{story:?} from {at:?}, {back:?}"
        );
    }
}

/// What is ordered before there are bytes to order about.
#[test]
fn what_is_said_of_a_track_that_is_not_here_yet_holds_when_it_comes() {
    for seed in seeds(12) {
        let (mut world, sources, cellar, song) = evening(seed, 1);
        world.run(5 * SECOND);
        for host in [cellar, sources[0]] {
            world.kill(host);
        }
        world.run(SECOND);
        world.hosts[cellar.0].resumes = Some(Absence::For(SECOND));
        world.revive(cellar);
        let wait = world.random.time(SECOND);
        world.run(wait);
        let said: &[&str] = match seed % 3 {
            0 => &["pause 1"],
            1 => &["pause 1", "pause 0"],
            _ => &["seekcur 100"],
        };
        for line in said {
            world.command(cellar, line).expect("it plays");
        }
        world.run(10 * SECOND);
        world.revive(sources[0]);
        world.run(180 * SECOND);
        let story = world.story(cellar, &song);
        if seed % 3 == 0 {
            assert_eq!(world.hosts[cellar.0].status("state"), Some("pause"));
            assert_eq!(story.ended, None, "{story:?}");
            continue;
        }
        assert_eq!(story.fate, Some(Fate::Heard), "{story:?}");
        let (started, ended) = story.started.zip(story.ended).expect("it was heard");
        let is_short = ended - started < 25 * SECOND;
        assert_eq!(is_short, seed % 3 == 2, "{story:?}");
    }
}
/// The clock begins in 1970 and is set after a while, or never. Until then nothing is written
/// that would look as if it had just played: a process that starts again knows no more.
#[test]
fn a_machine_that_starts_again_without_a_clock_wakes_nobody() {
    for seed in seeds(12) {
        let (mut world, _, cellar, _) = evening(seed, 1);
        world.run(10 * SECOND);
        world.kill(cellar);
        world.hosts[cellar.0].resumes = Some(Absence::Unknown);
        world.revive(cellar);
        let wait = world.random.time(120 * SECOND);
        world.run(wait);
        assert_eq!(world.hosts[cellar.0].status("state"), Some("pause"));
        assert_eq!(world.hosts[cellar.0].bookmark, None);
        let (absence, state, word) = match seed % 3 {
            0 => (Absence::For(60 * SECOND), PlayState::Play, "play"),
            1 => (Absence::For(8 * 3600 * SECOND), PlayState::Pause, "pause"),
            _ => (Absence::Unknown, PlayState::Pause, "pause"),
        };
        let told = Event::Node(Box::new(node::Event::Absent(absence)));
        world.plan(cellar, Duration::ZERO, told);
        world.run(5 * SECOND);
        assert_eq!(world.hosts[cellar.0].status("state"), Some(word));
        let written = world.hosts[cellar.0].bookmark.as_ref();
        assert_eq!(written.map(|bookmark| bookmark.state), Some(state));
    }
}

/// A source that starts again is found within this, and heard.
const FOUND: Duration = Duration::from_secs(10);
