//! What must hold in every swarm.

mod alone;
mod away;
mod bad_days;
mod chaos;
mod fetch;
mod greed;
mod guests;
mod hoard;
mod house;
mod kept;
mod listening;
mod numbers;
mod output;
mod playing;
mod presence;
mod repeat;
mod sleep;
mod stop;
mod trackers;
mod waiting;

use std::{collections::BTreeMap, time::Duration};

use super::{
    music::Song,
    net::{HostNo, Place, TrackerNo, Weather},
    setting::{Manner, Setting},
    story::{Fate, Story},
    world::World,
};
use crate::{
    id::{PeerId, GROUP_BYTES},
    util::random::Random,
};

/// The tracker that everybody knows.
const TRACKER: Place = Place::Tracker(TrackerNo(0));
const SECOND: Duration = Duration::from_secs(1);
/// CD quality FLAC, in bytes a second.
const FLAC: u64 = 120_000;
/// What a good line carries, in bytes a second.
const FAST: u64 = 5_000_000;

/// The seeds to run: some, or as many as are asked for, or the very one.
fn seeds(count: u64) -> std::ops::RangeInclusive<u64> {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("{name} is a number")),
        )
    };
    match number("P2PMUSIC_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("P2PMUSIC_SEEDS").unwrap_or(count),
    }
}

fn peer(name: &'static str, uplink: u64, songs: &[Song]) -> Setting {
    let songs = songs.iter().map(|song| (song.clone(), true)).collect();
    Setting {
        name,
        name_is_chosen: false,
        wants_tracker: true,
        songs,
        uplink,
        manner: Manner::Honest,
    }
}

impl World {
    /// The story of the last play of `song` at `host`.
    fn story(&self, host: HostNo, song: &Song) -> &Story {
        let stories = self.hosts[host.0].stories.values().rev();
        let found = stories.into_iter().find(|story| story.song == song.name);
        found.unwrap_or_else(|| panic!("{} was not played", song.name))
    }

    fn has_heard(&self, host: HostNo, song: &Song) -> bool {
        self.story(host, song).fate == Some(Fate::Heard)
    }

    /// The peers that `host` knows to be here, itself included.
    fn peers(&mut self, host: HostNo) -> Vec<String> {
        let answer = self.command(host, "p2p_peers").expect("it needs nothing");
        let names = answer
            .lines()
            .filter_map(|line| line.strip_prefix("peer: "));
        names.map(str::to_owned).collect()
    }

    /// What `host` calls each that is here.
    fn named(&mut self, host: HostNo) -> BTreeMap<PeerId, String> {
        let answer = self.command(host, "p2p_peers").expect("it needs nothing");
        let value = |key: &'static str| {
            let lines = answer.lines();
            lines.filter_map(move |line| Some(line.strip_prefix(key)?.to_owned()))
        };
        let ids = value("id: ").map(|id| PeerId::from_hex(&id).expect("an id"));
        ids.zip(value("peer: ")).collect()
    }

    /// Queues all of `what` and plays it.
    fn play(&mut self, host: HostNo, what: &str) {
        self.command(host, &format!("add \"{what}\""))
            .expect("it is in the database");
        self.command(host, "play").expect("the queue is not empty");
    }
}
