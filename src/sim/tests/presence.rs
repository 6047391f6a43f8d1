//! Which peers are here: the same everywhere, soon.

use super::*;
use crate::tracker::registry::{LEASE, RENEW_INTERVAL};

const NAMES: [&str; 5] = ["kitchen", "cellar", "attic", "garden", "hall"];

/// Messages about it are on their way for this long at most.
const SLACK: Duration = Duration::from_secs(2);

fn swarm(seed: u64, weather: Weather) -> World {
    let mut world = World::new(seed, weather);
    for (n, name) in (0..).zip(NAMES) {
        let songs = [Song::new(n, 30, FLAC), Song::new(100 + n, 30, FLAC)];
        world.add(peer(name, FAST, &songs));
    }
    world.run(4 * SECOND);
    world
}

pub fn alive(world: &World) -> Vec<HostNo> {
    let hosts = world.hosts.iter().filter(|host| host.alive);
    hosts.map(|host| host.life.host).collect()
}

/// Every living host knows every living host and nobody else.
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
        let listed = world.command(host, "listall").expect("it needs nothing");
        let named = |name: &&&str| listed.contains(&format!("directory: {name}\n"));
        assert_eq!(NAMES.iter().filter(named).count(), names.len(), "{listed}");
    }
}

/// Every living host has the newest catalogue of every living one.
pub fn assert_same_heads(world: &World) {
    for owner in alive(world) {
        let owner = &world.hosts[owner.0];
        let (id, newest) = (owner.library.owner(), owner.library.newest());
        for host in alive(world) {
            let host = &world.hosts[host.0];
            let head = host.core.node().head_of(id);
            assert_eq!(head, newest, "{}'s as {} has it", owner.name, host.name);
        }
    }
}

#[test]
fn who_is_silent_for_longer_than_its_lease_is_gone_everywhere() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::POOR);
        assert_all_know(&mut world);
        let victim = HostNo(world.random.below(5) as usize);
        let at = world.random.time(RENEW_INTERVAL);
        world.run(at);
        world.kill(victim);
        world.run(LEASE - RENEW_INTERVAL - SLACK);
        let witness = HostNo((victim.0 + 1) % 5);
        assert_eq!(world.peers(witness).len(), 5, "a lease is a promise");
        world.run(RENEW_INTERVAL + 2 * SLACK);
        assert_all_know(&mut world);
    }
}

#[test]
fn who_died_while_one_could_not_hear_of_it_is_gone_for_that_one_too() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::FAIR);
        let (deaf, victim) = (HostNo(0), HostNo(1));
        world.cut(&[Place::Host(deaf)], &[TRACKER]);
        let at = world.random.time(10 * SECOND);
        world.run(at);
        world.kill(victim);
        world.run(LEASE * 3);
        world.heal();
        // Its longest rest between two attempts, and the tracker's word.
        world.run(90 * SECOND);
        assert_all_know(&mut world);
    }
}

#[test]
fn catalogues_are_the_same_everywhere_after_a_partition() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::POOR);
        let pieces = 1 + world.random.below(4) as usize;
        let (some, others): (Vec<_>, Vec<_>) = (0..5).partition(|n| *n < pieces);
        let places = |hosts: Vec<usize>| hosts.into_iter().map(|n| Place::Host(HostNo(n)));
        let others: Vec<Place> = places(others).chain([TRACKER]).collect();
        world.cut(&places(some).collect::<Vec<_>>(), &others);
        for n in 0..10 {
            let wait = world.random.time(8 * SECOND);
            world.run(wait);
            let owner = HostNo(world.random.below(5) as usize);
            world.hosts[owner.0]
                .library
                .add(Song::new(200 + n, 10, FLAC));
            world.publish(owner);
            world.settle(owner);
        }
        world.heal();
        world.run(90 * SECOND);
        assert_all_know(&mut world);
        assert_same_heads(&world);
    }
}

/// A peer that was here all the time is not lost when the tracker was away.
#[test]
fn a_tracker_that_restarts_costs_nobody_a_neighbour() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::FAIR);
        world.kill_tracker(TrackerNo(0));
        let away = world.random.time(120 * SECOND);
        world.run(away);
        assert_all_know(&mut world);
        world.restart_tracker(TrackerNo(0));
        for _ in 0..60 {
            world.run(SECOND);
            assert_all_know(&mut world);
        }
        assert_same_heads(&world);
    }
}

/// A speaker comes back from a power cut, or with a new card.
#[test]
fn who_comes_back_is_there_with_its_newest_catalogue() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::POOR);
        let host = HostNo(world.random.below(5) as usize);
        for n in 0..4 {
            world.hosts[host.0]
                .library
                .add(Song::new(200 + n, 10, FLAC));
            world.publish(host);
            world.settle(host);
            world.run(SECOND);
        }
        world.kill(host);
        let away = world.random.time(40 * SECOND);
        world.run(away);
        if world.random.chance(500) {
            world.hosts[host.0].library.lose_index();
        }
        world.revive(host);
        world.run(60 * SECOND);
        assert_all_know(&mut world);
        assert_same_heads(&world);
    }
}

/// The speakers are up, the network is not: an hour later it is, and is used
/// before anybody has walked to a router.
#[test]
fn a_network_that_comes_an_hour_late_is_used() {
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::FAIR);
        let hosts: Vec<Place> = (0..NAMES.len()).map(|n| Place::Host(HostNo(n))).collect();
        world.cut(&hosts, &[TRACKER]);
        world.cut(&hosts, &hosts);
        for (n, name) in (0..).zip(NAMES) {
            world.add(peer(name, FAST, &[Song::new(n, 30, FLAC)]));
        }
        world.run(3600 * SECOND);
        assert_eq!(world.peers(HostNo(0)), [NAMES[0]], "itself alone");
        world.heal();
        // The longest rest, and the way there and back.
        world.run(45 * SECOND);
        assert_all_know(&mut world);
        assert_same_heads(&world);
    }
}

/// A speaker is off for hours, the tracker starts again, and another wants its name.
#[test]
fn who_is_off_keeps_its_name() {
    for seed in seeds(20) {
        let mut world = World::new(seed, Weather::POOR);
        for (n, name) in (0..).zip(["kitchen", "attic", "kitchen"]) {
            world.add(Setting {
                name_is_chosen: true,
                ..peer(name, FAST, &[Song::new(n, 30, FLAC)])
            });
        }
        let (owner, witness, newcomer) = (HostNo(0), HostNo(1), HostNo(2));
        world.kill(newcomer);
        world.run(10 * SECOND);
        world.kill(owner);
        let away = world.random.time(3600 * SECOND);
        world.run(away);
        world.kill_tracker(TrackerNo(0));
        world.restart_tracker(TrackerNo(0));
        world.revive(newcomer);
        world.run(20 * SECOND);
        let id = |world: &World, host: HostNo| world.hosts[host.0].library.owner();
        let [theirs, its] = [owner, newcomer].map(|host| id(&world, host));
        for by in [witness, newcomer] {
            assert_eq!(
                world.named(by).get(&its).map(|name| &**name),
                Some("kitchen-2")
            );
        }
        world.revive(owner);
        world.run(20 * SECOND);
        for by in alive(&world) {
            let named = world.named(by);
            assert_eq!(named.get(&theirs).map(|name| &**name), Some("kitchen"));
            assert_eq!(named.get(&its).map(|name| &**name), Some("kitchen-2"));
        }
    }
}
