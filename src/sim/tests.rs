//! What must hold in every swarm.

use std::time::Duration;

use super::{
    host::{Manner, Setting},
    music::Song,
    net::{HostNo, Place, Weather},
    world::World,
};

const SECOND: Duration = Duration::from_secs(1);
/// CD quality FLAC, in bytes a second.
const FLAC: u64 = 120_000;

fn peer(name: &'static str, songs: Vec<Song>) -> Setting {
    let songs = songs.into_iter().map(|song| (song, true)).collect();
    Setting {
        name,
        songs,
        uplink: 5_000_000,
        manner: Manner::Honest,
    }
}

fn pair(seed: u64, weather: Weather) -> (World, HostNo, HostNo) {
    let mut world = World::new(seed, weather);
    let kitchen = world.add(peer(
        "kitchen",
        vec![Song::new(1, 20, FLAC), Song::new(2, 20, FLAC)],
    ));
    let cellar = world.add(peer("cellar", vec![]));
    world.run(3 * SECOND);
    (world, kitchen, cellar)
}

#[test]
fn a_track_of_another_box_sounds_at_once_and_to_its_end() {
    let (mut world, _, cellar) = pair(1, Weather::FAIR);
    world.command(cellar, "add kitchen").unwrap();
    world.command(cellar, "play").unwrap();
    world.run(60 * SECOND);
    println!("{}", world.log.lines().join("\n"));
    println!("{:?}", world.hosts[cellar.0].stories);
}
