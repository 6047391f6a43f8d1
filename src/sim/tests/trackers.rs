//! Several trackers are one swarm, whichever come and go.

use std::collections::BTreeMap;

use super::{
    presence::{alive, assert_same_heads},
    *,
};
use crate::{id::PeerId, tracker::registry::LEASE};

const NAMES: [&str; 5] = ["kitchen", "cellar", "attic", "garden", "hall"];

/// Five hosts, each with a song of its own, which see these trackers.
fn swarm(seed: u64, weather: Weather, sees: impl Fn(usize) -> Vec<TrackerNo>) -> World {
    let mut world = World::new(seed, weather);
    // mDNS names trackers here; peers are met through these.
    world.has_mdns = false;
    world.add_tracker();
    world.add_tracker();
    for (n, name) in (0..).zip(NAMES) {
        let songs = [Song::new(n, 30, FLAC)];
        let host = world.add(peer(name, FAST, &songs));
        world.find_trackers(host, &sees(host.0));
    }
    world.run(4 * SECOND);
    world
}

fn assert_all_know(world: &mut World) {
    let here = alive(world);
    let mut names: Vec<String> = here
        .iter()
        .map(|host| world.hosts[host.0].name.into())
        .collect();
    names.sort();
    for host in here {
        let mut known = world.peers(host);
        known.sort();
        assert_eq!(known, names, "as {} sees it", world.hosts[host.0].name);
    }
}

const ALL: [TrackerNo; 3] = [TrackerNo(0), TrackerNo(1), TrackerNo(2)];

/// Two networks, each with a tracker, are joined by a cable.
#[test]
fn two_networks_become_one() {
    for seed in seeds(100) {
        let of = |n: usize| if n < 2 { ALL[0] } else { ALL[1] };
        let mut world = swarm(seed, Weather::POOR, |n| vec![of(n)]);
        assert_eq!(world.peers(HostNo(0)).len(), 2);
        assert_eq!(world.peers(HostNo(4)).len(), 3);
        for n in 0..NAMES.len() {
            world.find_trackers(HostNo(n), &[of(n), ALL[0], ALL[1]]);
            let wait = world.random.time(3 * SECOND);
            world.run(wait);
        }
        world.run(10 * SECOND);
        assert_all_know(&mut world);
        assert_same_heads(&world);
    }
}

/// What plays goes on, and nobody is missed for a moment, as long as a tracker is there.
#[test]
fn a_trackers_death_is_not_heard() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::FAIR, |_| ALL.to_vec());
        let song = Song::new(1, 30, FLAC);
        let _ = world.command(HostNo(0), "add cellar").expect("it is there");
        let _ = world.command(HostNo(0), "play").expect("it is there");
        let stays = TrackerNo(world.random.below(3) as usize);
        for tracker in ALL.into_iter().filter(|tracker| *tracker != stays) {
            let wait = world.random.time(5 * SECOND);
            world.run(wait);
            world.kill_tracker(tracker);
        }
        for _ in 0..2 * LEASE.as_secs() {
            world.run(SECOND);
            assert_all_know(&mut world);
        }
        assert_same_heads(&world);
        let story = world.story(HostNo(0), &song);
        assert_eq!(story.fate, Some(Fate::Heard));
        assert!(story.underruns.is_empty(), "{story:?}");
    }
}

/// Trackers come and go, cables too, and hosts publish: when all is quiet again, all know
/// all, and have the newest.
#[test]
fn trackers_come_and_go_in_any_order() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::POOR, |_| ALL.to_vec());
        for n in 0..20 {
            let tracker = TrackerNo(world.random.below(3) as usize);
            let host = HostNo(world.random.below(5) as usize);
            match world.random.below(8) {
                0 | 1 if world.trackers[tracker.0].alive => world.kill_tracker(tracker),
                0..=2 if !world.trackers[tracker.0].alive => world.restart_tracker(tracker),
                3 => world.cut(&[Place::Host(host)], &[Place::Tracker(tracker)]),
                4 => world.heal(),
                5 => {
                    let song = Song::new(200 + n, 10, FLAC);
                    world.hosts[host.0].library.add(song);
                    world.publish(host);
                    world.settle(host);
                }
                6 => world.find_trackers(host, &[tracker]),
                _ => world.find_trackers(host, &ALL),
            }
            let wait = world.random.time(6 * SECOND);
            world.run(wait);
        }
        world.heal();
        for tracker in ALL {
            if !world.trackers[tracker.0].alive && world.random.chance(500) {
                world.restart_tracker(tracker);
            }
        }
        // One is there for certain.
        if world.trackers.iter().all(|tracker| !tracker.alive) {
            world.restart_tracker(ALL[1]);
        }
        for n in 0..NAMES.len() {
            world.find_trackers(HostNo(n), &ALL);
        }
        world.run(90 * SECOND);
        assert_all_know(&mut world);
        assert_same_heads(&world);
    }
}

/// Two networks, each with a tracker and with a speaker for which a person chose this name.
fn namesakes(seed: u64) -> World {
    let mut world = World::new(seed, Weather::POOR);
    world.has_mdns = false;
    world.add_tracker();
    for (n, name) in (0..).zip(["kitchen", "attic", "kitchen", "hall"]) {
        let songs = [Song::new(n, 30, FLAC)];
        let host = world.add(Setting {
            name_is_chosen: true,
            ..peer(name, FAST, &songs)
        });
        world.find_trackers(host, &[side(host)]);
    }
    world.run(4 * SECOND);
    world
}

fn side(host: HostNo) -> TrackerNo {
    TrackerNo(host.0 / 2)
}

/// What all call each, which is the same.
fn named_alike(world: &mut World, when: &str) -> BTreeMap<PeerId, String> {
    let first = world.named(HostNo(1));
    for host in alive(world) {
        let named = world.named(host);
        assert_eq!(named, first, "{when}, as {host:?} sees it");
    }
    let mut all: Vec<&str> = first.values().map(|name| &**name).collect();
    all.sort_unstable();
    assert_eq!(all[..3], ["attic", "hall", "kitchen"], "{when}");
    assert!(all[3].starts_with("kitchen-"), "{when}: {all:?}");
    first
}

/// In whatever order the networks meet, and any node that restarts meanwhile: all call the two the
/// same, whichever tracker dies then, and both say what there is to do.
#[test]
fn of_two_that_were_called_the_same_all_say_the_same() {
    const BOTH: [TrackerNo; 2] = [TrackerNo(0), TrackerNo(1)];
    for seed in seeds(100) {
        let mut world = namesakes(seed);
        assert_eq!(world.peers(HostNo(0)), ["kitchen", "attic"]);
        for _ in 0..8 {
            let host = HostNo(world.random.below(4) as usize);
            match world.random.below(6) {
                0 if world.hosts[host.0].alive => world.kill(host),
                0 | 1 if !world.hosts[host.0].alive => {
                    world.revive(host);
                    world.find_trackers(host, &BOTH);
                }
                2 => {
                    world.kill_tracker(side(host));
                    world.restart_tracker(side(host));
                }
                3 => world.find_trackers(host, &[side(host)]),
                _ if world.hosts[host.0].alive => world.find_trackers(host, &BOTH),
                _ => {}
            }
            let wait = world.random.time(8 * SECOND);
            world.run(wait);
        }
        for host in (0..4).map(HostNo) {
            if !world.hosts[host.0].alive {
                world.revive(host);
            }
            world.find_trackers(host, &BOTH);
        }
        world.run(90 * SECOND);
        let named = named_alike(&mut world, "joined");
        for host in [HostNo(0), HostNo(2)] {
            let called = named.get(&world.hosts[host.0].library.owner());
            let status = world.command(host, "p2p_status").expect("it needs nothing");
            let says = status.lines().any(|line| {
                line.starts_with("problem: the name \"kitchen\"") && line.contains("choose another")
            });
            // The one that keeps its name says so if it has seen that another had it.
            let has_lost = called.is_some_and(|name| name.starts_with("kitchen-"));
            assert!(says || !has_lost, "{host:?}: {status}");
        }
        for tracker in BOTH {
            world.kill_tracker(tracker);
            for _ in 0..LEASE.as_secs() {
                world.run(2 * SECOND);
                assert_eq!(named_alike(&mut world, "a tracker is dead"), named);
            }
            world.restart_tracker(tracker);
            world.run(30 * SECOND);
            assert_eq!(named_alike(&mut world, "it is back"), named);
        }
    }
}

/// Networks of which nobody is off become one: the lower id has the name, and both say so.
#[test]
fn of_two_that_were_called_the_same_the_lower_id_keeps_its_name() {
    for seed in seeds(100) {
        let mut world = namesakes(seed);
        for host in (0..4).map(HostNo) {
            world.find_trackers(host, &[side(host), TrackerNo(0), TrackerNo(1)]);
        }
        world.run(30 * SECOND);
        let named = named_alike(&mut world, "joined");
        let ids = [0, 2].map(|n: usize| world.hosts[n].library.owner());
        let kitchen = named.iter().find(|(_, name)| name.as_str() == "kitchen");
        assert_eq!(kitchen.map(|(peer, _)| *peer), ids.into_iter().min());
        for host in [HostNo(0), HostNo(2)] {
            let status = world.command(host, "p2p_status").expect("it needs nothing");
            let clash = "problem: the name \"kitchen\"";
            assert!(status.contains(clash), "{host:?}: {status}");
        }
    }
}
