//! Several trackers are one swarm, whichever come and go.

use super::{
    presence::{alive, assert_same_heads},
    *,
};
use crate::tracker::registry::LEASE;

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
