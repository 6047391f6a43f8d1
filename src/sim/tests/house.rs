//! A house full of speakers that start the same track, of which one box has a copy.

use super::*;

/// What each line carries up: 20 Mbit/s.
const LINE: u64 = 2_500_000;

fn listeners(world: &mut World, count: usize) -> Vec<HostNo> {
    const NAMES: [&str; 8] = [
        "attic", "bath", "cellar", "den", "east", "front", "garage", "hall",
    ];
    let names = NAMES.into_iter().take(count);
    names.map(|name| world.add(peer(name, LINE, &[]))).collect()
}

#[test]
fn a_house_full_of_listeners_takes_a_track_from_its_holder_about_once() {
    for seed in seeds(10) {
        let mut world = World::new(seed, Weather::FAIR);
        let song = Song::new(1, 180, FLAC);
        let holder = world.add(peer("kitchen", LINE, &[song.clone()]));
        let all = listeners(&mut world, 8);
        world.run(5 * SECOND);
        for host in &all {
            world.play(*host, "kitchen");
        }
        world.run(60 * SECOND);
        for host in &all {
            let whole = world.hosts[host.0].library.holds(song.track);
            assert!(whole, "{} has not got it", world.hosts[host.0].name);
        }
        let sent = world.hosts[holder.0].sent[&song.track];
        let times = sent as f64 / song.size as f64;
        eprintln!("seed {seed}: {times:.2}");
        for host in &all {
            let story = world.story(*host, &song);
            eprintln!("  {:?} {:?} sent {:.2}", story.started, story.underruns, *world.hosts[host.0].sent.get(&song.track).unwrap_or(&0) as f64 / song.size as f64);
        }
        assert!(times < 2.0, "its holder has sent it {times:.2} times");
    }
}
