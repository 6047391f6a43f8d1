//! Swarms in which everything goes wrong, and then nothing more.

use super::{listening::any_weather, *};

const NAMES: [&str; 5] = ["kitchen", "cellar", "attic", "garden", "hall"];
/// A laptop whose lid is closed for a moment.
const LONGEST_SLEEP: Duration = Duration::from_secs(40);
/// How long things go wrong.
const TROUBLE: usize = 60;

/// A swarm, half of whose songs are on several hosts, some of them not
/// hashed, with one host that lies or has changed now and then, in any weather.
fn swarm(seed: u64) -> World {
    let mut weather = any_weather(&mut Random::new(seed));
    weather.breaks = Weather::POOR.breaks;
    let mut world = World::new(seed, weather);
    for (n, name) in (0..).zip(NAMES) {
        let mut songs = Vec::new();
        for song in 0..4 {
            let number = if song < 2 { song } else { 10 * (n + 1) + song };
            let seconds = 10 + world.random.below(30);
            let seconds = if song < 2 { 25 } else { seconds };
            songs.push((Song::new(number, seconds, FLAC), world.random.below(4) > 0));
        }
        let manner = match world.random.below(8) {
            0 => Manner::Liar,
            1 => Manner::Changed,
            _ => Manner::Honest,
        };
        let uplink = FLAC + world.random.below(4 * FLAC);
        world.add(Setting {
            name,
            name_is_chosen: false,
            wants_tracker: true,
            songs,
            uplink,
            manner,
        });
    }
    world.run(5 * SECOND);
    world
}

/// Minutes of trouble, then quiet until all queues have played out.
pub fn chaos(seed: u64) -> World {
    let mut world = swarm(seed);
    for _ in 0..TROUBLE {
        trouble(&mut world);
        let wait = world.random.time(4 * SECOND);
        world.run(wait);
    }
    if !world.trackers[0].alive {
        world.restart_tracker(TrackerNo(0));
    }
    world.heal();
    world.run(LONGEST_SLEEP);
    for host in listeners(&world) {
        let _ = world.command(host, "pause 0");
        let _ = world.command(host, "repeat 0");
    }
    world.run(QUIET);
    world
}

fn listeners(world: &World) -> Vec<HostNo> {
    let hosts = world.hosts.iter().filter(|host| host.alive);
    hosts.map(|host| host.life.host).collect()
}

fn trouble(world: &mut World) {
    let host = HostNo(world.random.below(5) as usize);
    let other = HostNo(world.random.below(5) as usize);
    match world.random.below(40) {
        0 if listeners(world).len() > 3 => world.kill(host),
        1 => world.cut(&[Place::Host(host)], &[Place::Host(other)]),
        2 => world.cut(&[Place::Host(host)], &[TRACKER]),
        3..6 => world.heal(),
        14 if world.is_awake(host) => {
            let time = world.random.time(LONGEST_SLEEP);
            world.put_to_sleep(host, time);
        }
        15 => {
            let seconds = world.random.below(86_400) as i64 - 43_200;
            world.hosts[host.0].clock.step(seconds);
        }
        12 | 13 => world.hosts[host.0].uplink = FLAC / 4 + world.random.below(4 * FLAC),
        6 if world.trackers[0].alive => world.kill_tracker(TrackerNo(0)),
        9..12 if !world.hosts[host.0].alive => world.revive(host),
        7..9 if !world.trackers[0].alive => world.restart_tracker(TrackerNo(0)),
        n => listen(world, host, other, n),
    }
}

/// Somebody uses a remote control. It may well be told that it cannot.
fn listen(world: &mut World, host: HostNo, other: HostNo, what: u64) {
    if !world.is_awake(host) {
        return;
    }
    let command = match what {
        0..14 => format!("add {}", world.hosts[other.0].name),
        14..26 => "play".to_owned(),
        26..29 => "next".to_owned(),
        29 => "previous".to_owned(),
        30 => "pause".to_owned(),
        31 => "stop".to_owned(),
        32..34 => format!("seekcur {}", world.random.below(40)),
        34 => "shuffle".to_owned(),
        35 => "delete 0".to_owned(),
        36 => format!("random {}", what % 2),
        37 => format!("play {}", world.random.below(10)),
        38 => format!("consume {}", world.random.below(2)),
        _ => "clear".to_owned(),
    };
    if let Err(refusal) = world.command(host, &command) {
        world.note(host, format_args!("{refusal}"));
    }
}

#[test]
fn every_play_ends_in_sound_or_in_words() {
    for seed in seeds(100) {
        let world = chaos(seed);
        for host in listeners(&world) {
            let host = &world.hosts[host.0];
            // A track whose only source is dead waits for it, and pauses with that word.
            let has_paused = host
                .status("error")
                .is_some_and(|error| error.ends_with(": paused"));
            let expected = if has_paused { "pause" } else { "stop" };
            assert_eq!(
                host.status("state").unwrap_or("stop"),
                expected,
                "{} still plays: {:?}",
                host.name,
                host.stories
            );
            // It, and the one that was to follow.
            let mut waiting = if has_paused { 2 } else { 0 };
            for story in host.stories.values() {
                match &story.fate {
                    Some(Fate::Failed(why)) => {
                        let says = why.contains(": ") || why.starts_with("nobody");
                        assert!(says, "{why:?} says little");
                    }
                    // A seek to the end counts as having heard all of it without a sound.
                    Some(Fate::Heard | Fate::Dropped) => {}
                    None if waiting > 0 => waiting -= 1,
                    None => panic!("{} forgot {story:?}", host.name),
                }
            }
            assert!(
                host.calls.is_empty(),
                "{} still asks: {:?}",
                host.name,
                host.calls
            );
            assert!(
                host.served.is_empty(),
                "{} still serves {:?}",
                host.name,
                host.served
            );
        }
    }
}

/// Longer than the longest queue that trouble can make.
const QUIET: Duration = Duration::from_secs(2400);
