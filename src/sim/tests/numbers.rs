//! What a node says of itself is what happened.

use super::*;
use crate::{
    node::{Event, FetchEvent},
    sim::{net::Place, swarm::Purpose},
};

/// The lines of `p2p_stats` that are of the whole node, and the sum of those that are of
/// its peers.
struct Numbers(String);

impl Numbers {
    fn of(world: &mut World, host: HostNo) -> Self {
        Self(world.command(host, "p2p_stats").expect("it needs nothing"))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = f64> + '_ {
        let name = format!("{name}: ");
        let lines = self.0.lines();
        let values = lines.filter_map(move |line| line.strip_prefix(&*name).map(str::to_owned));
        values.map(|value| value.parse().expect("a number"))
    }

    fn node(&self, name: &str) -> f64 {
        let first = self.values(name).next();
        first.unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    fn peers(&self, name: &str) -> f64 {
        self.values(name).skip(1).sum()
    }
}

/// Whatever source brought it, whatever was lost, late, asked for twice or taken back.
#[test]
fn every_byte_of_a_track_is_counted_once() {
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
        // What is late is asked for twice.
        world.cut(&[Place::Host(kitchen)], &[Place::Host(cellar)]);
        world.command(cellar, "seekcur 40").expect("it plays");
        let short = SECOND / 5 + world.random.time(SECOND / 2);
        world.run(short);
        world.heal();
        world.run(5 * SECOND);
        world.command(cellar, "seekcur 1").expect("it plays");
        world.kill(kitchen);
        world.run(150 * SECOND);
        assert!(world.has_heard(cellar, &song), "seed {seed}");
        let numbers = Numbers::of(&mut world, cellar);
        let received = numbers.node("received_bytes");
        let duplicate = numbers.node("duplicate_bytes");
        assert_eq!(received - duplicate, song.size as f64, "seed {seed}");
        assert_eq!(numbers.peers("received_bytes"), received, "seed {seed}");
        assert_eq!(numbers.node("plays"), 1.0, "seed {seed}");
    }
}

#[test]
fn what_was_here_already_is_a_duplicate() {
    let mut world = World::new(7, Weather::FAIR);
    let song = Song::new(1, 60, FLAC);
    world.add(peer("kitchen", FLAC * 2, std::slice::from_ref(&song)));
    let cellar = world.add(peer("cellar", FAST, &[]));
    world.run(3 * SECOND);
    world.play(cellar, "kitchen");
    world.run(5 * SECOND);
    let now = world.now_at(cellar);
    let this = &mut world.hosts[cellar.0];
    let mut out = this.calls.values().filter_map(|call| match call.purpose {
        Purpose::Fetch(fetch) => Some(fetch),
        _ => None,
    });
    let fetch = out.next().expect("it has not arrived yet");
    let here = this.store.0[&song.track].have.clone();
    let again = Event::Fetch(fetch, FetchEvent::Groups(here.clone()));
    this.core.handle(again, now);
    let numbers = Numbers::of(&mut world, cellar);
    let bytes = here.bytes(song.size) as f64;
    assert!(bytes > 0.0);
    assert_eq!(numbers.node("duplicate_bytes"), bytes);
    assert_eq!(numbers.node("received_bytes"), 2.0 * bytes);
}

#[test]
fn what_is_played_again_comes_from_the_cache() {
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 20, FLAC);
        world.add(peer("kitchen", FAST, std::slice::from_ref(&song)));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(3 * SECOND);
        for n in 0..3 {
            let numbers = Numbers::of(&mut world, cellar);
            let received = if n == 0 { 0 } else { song.size };
            let cached = n.max(1) - 1;
            assert_eq!(numbers.node("received_bytes"), received as f64);
            assert_eq!(numbers.node("cache_bytes"), (cached * song.size) as f64);
            assert_eq!(numbers.values("count").collect::<Vec<_>>(), {
                let swarm = n.min(1) as f64;
                [n as f64, swarm, n as f64 - swarm, 0.0]
            });
            match n {
                0 => world.play(cellar, "kitchen"),
                _ => _ = world.command(cellar, "play 0").expect("it is queued"),
            }
            world.run(30 * SECOND);
        }
    }
}

#[test]
fn underruns_are_those_that_the_listener_heard() {
    let mut starved = 0;
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 30, FLAC);
        let kitchen = world.add(peer("kitchen", FLAC * 13 / 10, std::slice::from_ref(&song)));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(3 * SECOND);
        world.play(cellar, "kitchen");
        world.run(8 * SECOND);
        world.hosts[kitchen.0].uplink = FLAC / 2;
        world.run(120 * SECOND);
        let story = world.story(cellar, &song).clone();
        let numbers = Numbers::of(&mut world, cellar);
        assert_eq!(numbers.node("underruns"), story.underruns.len() as f64);
        // What it took longer than the music, and no more.
        let (started, ended) = story.started.zip(story.ended).expect("it was heard");
        let silent = (ended - started).as_secs_f64() - 30.0;
        let told = numbers.node("underrun_seconds");
        assert!((silent - told).abs() < 0.5, "{told} of {silent} s");
        assert_eq!(numbers.node("rebuffers"), numbers.node("underruns"));
        starved += story.underruns.len();
    }
    assert!(starved > 0, "it became slower than the music");
}

#[test]
fn a_liar_is_named_in_status_although_another_brings_the_music() {
    let mut seen = 0;
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 30, FLAC);
        let songs = [song.clone()];
        let bad = Setting {
            manner: Manner::Liar,
            ..peer("mallory", FAST, &songs)
        };
        world.add(bad);
        world.add(peer("attic", FAST, &songs));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(3 * SECOND);
        world.play(cellar, "mallory");
        world.run(40 * SECOND);
        assert!(world.has_heard(cellar, &song), "seed {seed}");
        let numbers = Numbers::of(&mut world, cellar);
        if numbers.node("lies") == 0.0 {
            continue; // It was not asked.
        }
        seen += 1;
        let status = world
            .command(cellar, "p2p_status")
            .expect("it needs nothing");
        assert!(
            status.contains("problem: mallory sent wrong bytes of "),
            "{status}"
        );
        assert!(numbers.0.contains("\nliar: mallory\n"), "{}", numbers.0);
    }
    assert!(seen > 0, "it was asked once at least");
}
