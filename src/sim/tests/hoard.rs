//! Owners whose catalogues are as large as they can make them: nobody else is left out for
//! them, and what is kept of them is bounded and given back.

use super::{listening::any_weather, *};
use crate::{catalog::MemoryQuota, sim::host::MEMORY, tracker::registry::LEASE};

/// Bytes of a name, which is a title, too.
const NAME: usize = 1000;
/// What an entry takes.
const ENTRY: u64 = 2 * NAME as u64 + 200;
const HONEST: [&str; 2] = ["kitchen", "cellar"];
const HOARDERS: [&str; 6] = ["mallory", "trudy", "eve", "oscar", "sybil", "chuck"];

/// Songs whose names are long.
fn songs(from: u32, count: u64) -> Vec<Song> {
    let song = |n| {
        let mut song = Song::new(from + n, 30, FLAC);
        song.name = format!("{n:0NAME$}.flac");
        song
    };
    (0..count as u32).map(song).collect()
}

/// Checks after each of so many seconds what everybody keeps.
fn run(world: &mut World, honest: &[HostNo], seconds: u64) {
    let all = MemoryQuota::of(MEMORY).all;
    for _ in 0..seconds {
        world.run(SECOND);
        let kept = world.trackers[0].registry.snapshot().catalogue_bytes;
        assert!(kept <= all, "{kept} bytes at the tracker");
        for host in honest {
            let kept = world.hosts[host.0].core.node().catalogue_bytes();
            assert!(kept <= all, "{kept} bytes at {}", world.hosts[host.0].name);
        }
    }
}

/// Whether each honest host has the newest of the others.
fn have_each_other(world: &World, honest: &[HostNo]) -> bool {
    let newest = |owner: &HostNo| {
        let library = &world.hosts[owner.0].library;
        (library.owner(), library.newest())
    };
    honest.iter().map(newest).all(|(owner, newest)| {
        let has = |host: &HostNo| world.hosts[host.0].core.node().head_of(owner) == newest;
        honest.iter().all(has)
    })
}

#[test]
fn hoarders_starve_no_owner_and_all_they_took_is_free_again() {
    for seed in seeds(3) {
        let mut random = Random::new(seed);
        let mut world = World::new(seed, any_weather(&mut random));
        let quota = MemoryQuota::of(MEMORY);
        let count = 3 + random.below(4) as usize;
        let addresses = 1 + random.below(count as u64);
        let are_first = random.chance(500);
        // What each address may have, and a little for lists.
        let fair = quota.all as u64 / (addresses + HONEST.len() as u64) - 100_000;
        let most = fair.min(quota.one as u64 * 9 / 10) / ENTRY;
        let mut honest = Vec::new();
        let mut hoarders = Vec::new();
        for is_honest in [!are_first, are_first] {
            if is_honest {
                for name in HONEST {
                    let songs = songs(0, most / 2 + random.below(most / 2));
                    honest.push(world.add(peer(name, FAST, &songs)));
                }
            } else {
                for name in &HOARDERS[..count] {
                    let part = quota.one as u64 * (70 + random.below(25)) / 100;
                    let songs = songs(0, part / ENTRY);
                    let host = world.add(peer(name, FAST, &songs));
                    let site = random.below(addresses) as u8;
                    let there = &mut world.hosts[host.0];
                    there.address.set_ip([10, 0, 1, site].into());
                    there.manner = Manner::Hoarder;
                    hoarders.push(host);
                }
            }
            let pause = random.below(20);
            run(&mut world, &honest, pause);
        }
        // One that has nothing in common with what it had before, and as large.
        let changed = honest[random.below(2) as usize];
        let other = songs(100_000, most / 2 + random.below(most / 2));
        world.hosts[changed.0].library.replace(other);
        world.publish(changed);
        world.settle(changed);
        run(&mut world, &honest, 120);
        assert!(
            have_each_other(&world, &honest),
            "an honest owner is missing"
        );
        for hoarder in hoarders {
            world.kill(hoarder);
        }
        run(&mut world, &honest, 2 * LEASE.as_secs());
        assert!(have_each_other(&world, &honest));
        let own = (2 * most * ENTRY + 100_000) as usize;
        let kept = world.trackers[0].registry.snapshot().catalogue_bytes;
        assert!(kept <= own, "{kept} of {own} bytes at the tracker");
        for host in honest {
            let kept = world.hosts[host.0].core.node().catalogue_bytes();
            assert!(kept <= own / 2, "{kept} of {own} bytes at a peer");
            let status = world.command(host, "p2p_status").expect("it needs nothing");
            assert!(!status.contains("are not shown"), "{status}");
        }
    }
}
