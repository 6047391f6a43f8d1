//! No machine that everything needs: the same as ever, without a tracker.

use super::{presence::alive, presence::assert_same_heads, *};
use crate::{sim::net::Place, tracker::registry::LEASE};

const NAMES: [&str; 5] = ["kitchen", "cellar", "attic", "garden", "hall"];
/// A peer that dies without a tracker to see it is gone everywhere within this.
const NOTICED: Duration = Duration::from_secs(60);
/// A peer that is back, or has something new, is known everywhere within this.
const SPREAD: Duration = Duration::from_secs(10);

fn swarm(seed: u64, weather: Weather, wants_tracker: bool) -> World {
    let mut world = World::new(seed, weather);
    for (n, name) in (0..).zip(NAMES) {
        let songs = [Song::new(n, 30, FLAC), Song::new(100 + n, 30, FLAC)];
        let setting = peer(name, FAST, &songs);
        world.add(Setting {
            wants_tracker,
            ..setting
        });
    }
    world.run(15 * SECOND);
    world
}

/// Every living host shows every living host, and nobody else.
fn assert_all_know(world: &mut World) {
    let here = alive(world);
    let mut names: Vec<&str> = here.iter().map(|host| world.hosts[host.0].name).collect();
    names.sort_unstable();
    for host in here {
        let mut known = world.peers(host);
        known.sort_unstable();
        assert_eq!(known, names, "as {} sees it", world.hosts[host.0].name);
    }
}

fn add_song(world: &mut World, n: u32) {
    let here = alive(world);
    let owner = here[world.random.below(here.len() as u64) as usize];
    world.hosts[owner.0].library.add(Song::new(n, 10, FLAC));
    world.publish(owner);
    world.settle(owner);
}

/// For minutes peers go, come back and have news, and one cannot reach another for a
/// while. Nobody needs the tracker for that; when it is back, all are with it.
#[test]
fn a_swarm_goes_on_without_its_tracker() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::POOR, true);
        world.has_mdns = world.random.chance(500);
        world.kill_tracker(TrackerNo(0));
        for n in 0..20 {
            let host = HostNo(world.random.below(5) as usize);
            let other = HostNo(world.random.below(5) as usize);
            match world.random.below(5) {
                0 if alive(&world).len() > 2 && world.hosts[host.0].alive => world.kill(host),
                1 if !world.hosts[host.0].alive => world.revive(host),
                2 => world.cut(&[Place::Host(host)], &[Place::Host(other)]),
                3 => world.heal(),
                _ => add_song(&mut world, 200 + n),
            }
            let wait = world.random.time(20 * SECOND);
            world.run(wait);
        }
        world.heal();
        for host in 0..5 {
            if !world.hosts[host].alive {
                world.revive(HostNo(host));
            }
        }
        // Peers that another gave up are greeted again ever more seldom.
        world.run(300 * SECOND);
        assert_all_know(&mut world);
        assert_same_heads(&world);

        let victim = HostNo(world.random.below(5) as usize);
        world.kill(victim);
        world.run(NOTICED);
        assert_all_know(&mut world);
        world.revive(victim);
        world.run(SPREAD);
        assert_all_know(&mut world);
        add_song(&mut world, 999);
        world.run(SPREAD);
        assert_same_heads(&world);

        world.restart_tracker(TrackerNo(0));
        world.run(LEASE);
        let up = world.trackers[0].registry.snapshot().peers.len();
        assert_eq!(up, 5, "all are back within a lease");
        for _ in 0..30 {
            assert_all_know(&mut world);
            world.run(2 * SECOND);
        }
        assert_same_heads(&world);
    }
}

/// Found by mDNS, or, where that is blocked, remembered.
#[test]
fn a_swarm_that_never_had_a_tracker_plays() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::POOR, false);
        assert_all_know(&mut world);
        assert_same_heads(&world);
        world.has_mdns = false;
        // By then it is written down.
        world.run(20 * SECOND);
        let host = HostNo(world.random.below(5) as usize);
        world.kill(host);
        let away = world.random.time(120 * SECOND);
        world.run(away);
        world.revive(host);
        world.run(SPREAD);
        assert_all_know(&mut world);
        assert_same_heads(&world);
        let owner = HostNo((host.0 + 1) % 5);
        world.play(host, &format!("{}/album", NAMES[owner.0]));
        world.run(80 * SECOND);
        let song = Song::new(100 + owner.0 as u32, 30, FLAC);
        assert!(world.has_heard(host, &song));
    }
}

/// An index that is lost begins anew, and what the others have of before is older than
/// what is here now, whatever its number.
#[test]
fn a_lost_index_is_outdone_without_a_tracker() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::POOR, false);
        let host = HostNo(world.random.below(5) as usize);
        for n in 0..3 {
            world.hosts[host.0]
                .library
                .add(Song::new(200 + n, 10, FLAC));
            world.publish(host);
            world.settle(host);
            world.run(3 * SECOND);
        }
        world.kill(host);
        world.hosts[host.0].library.lose_index();
        world.revive(host);
        world.run(2 * SPREAD);
        assert_all_know(&mut world);
        assert_same_heads(&world);
    }
}

/// All peers see the same names, and none loses one that a tracker gave.
#[test]
fn two_of_one_name_are_told_apart_the_same_way_everywhere() {
    for seed in seeds(100) {
        let mut world = World::new(seed, Weather::FAIR);
        for name in ["kitchen", "hall", "kitchen"] {
            let setting = peer(name, FAST, &[Song::new(1, 30, FLAC)]);
            world.add(Setting {
                wants_tracker: false,
                ..setting
            });
        }
        world.run(SPREAD);
        let hosts = [HostNo(0), HostNo(2)];
        let lower = hosts
            .into_iter()
            .min_by_key(|host| world.hosts[host.0].library.owner())
            .expect("there are two");
        for host in 0..3 {
            let known = world
                .command(HostNo(host), "p2p_peers")
                .expect("it needs nothing");
            let mut names = world.peers(HostNo(host));
            names.sort_unstable();
            assert_eq!(names, ["hall", "kitchen", "kitchen-2"]);
            let id = world.hosts[lower.0].library.owner().to_hex();
            let its = known.split("peer: ").find(|row| row.contains(&id));
            let its = its.expect("it is listed").lines().next();
            assert_eq!(its, Some("kitchen"));
        }
    }
}

/// It costs nothing where it is not needed.
#[test]
fn nobody_is_greeted_where_a_tracker_speaks_for_all() {
    for seed in seeds(100) {
        let mut world = swarm(seed, Weather::FAIR, true);
        world.run(660 * SECOND);
        let greets = |line: &&String| line.contains(" greets ");
        assert_eq!(world.log.lines().iter().find(greets), None);
        assert!(world.hosts.iter().all(|host| !host.looks_for_peers));
        let due = world
            .hosts
            .iter()
            .filter_map(|host| Some(host.clock.world_at(host.core.poll_timeout()?)));
        // Once a day the disk hears that known owners are here still.
        let soon = world.now + 43_200 * SECOND;
        assert_eq!(due.min().filter(|due| *due < soon), None, "nobody is woken");
    }
}

/// A speaker is off for hours, another that wants its name comes meanwhile, the witness
/// restarts: the name is the first one's all the time, also when the other has the lower id.
#[test]
fn a_name_is_kept_without_a_tracker() {
    for seed in seeds(20) {
        let mut world = World::new(seed, Weather::POOR);
        for (n, name) in (0..).zip(["kitchen", "attic", "kitchen"]) {
            world.add(Setting {
                wants_tracker: false,
                name_is_chosen: true,
                ..peer(name, FAST, &[Song::new(n, 30, FLAC)])
            });
        }
        let witness = HostNo(1);
        let id = |world: &World, host: HostNo| world.hosts[host.0].library.owner();
        let mut both = [HostNo(0), HostNo(2)];
        both.sort_by_key(|host| id(&world, *host));
        let [newcomer, owner] = both;
        let name = |world: &mut World, of: HostNo, by: HostNo| {
            let id = id(world, of);
            world.named(by).remove(&id)
        };
        world.kill(newcomer);
        world.run(20 * 60 * SECOND);
        world.kill(owner);
        world.run(2 * 3600 * SECOND);
        world.kill(witness);
        world.run(SECOND);
        world.revive(witness);
        world.revive(newcomer);
        world.run(60 * SECOND);
        assert_eq!(
            name(&mut world, newcomer, witness).as_deref(),
            Some("kitchen-2")
        );
        world.revive(owner);
        world.run(60 * SECOND);
        for by in [witness, owner] {
            assert_eq!(name(&mut world, owner, by).as_deref(), Some("kitchen"));
            assert_eq!(name(&mut world, newcomer, by).as_deref(), Some("kitchen-2"));
        }
        for host in [owner, newcomer] {
            let status = world.command(host, "p2p_status").expect("it needs nothing");
            assert!(status.contains("problem: the name \"kitchen\""), "{status}");
        }
    }
}
