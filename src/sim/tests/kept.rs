//! Music whose owner is away, and of which others have copies.

use super::*;

/// Longer than it takes to be known.
const MET: Duration = Duration::from_secs(660);
/// Until a peer that says nothing is gone for everybody.
const GONE: Duration = Duration::from_secs(60);

/// A kitchen with two songs, which has left after an attic has heard one of them.
struct Evening {
    world: World,
    kitchen: HostNo,
    attic: HostNo,
    cellar: HostNo,
    heard: Song,
    unheard: Song,
}

impl Evening {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed, Weather::FAIR);
        let (heard, unheard) = (Song::new(1, 20, FLAC), Song::new(2, 20, FLAC));
        let kitchen = world.add(peer("kitchen", FAST, &[heard.clone(), unheard.clone()]));
        let attic = world.add(peer("attic", FAST, &[]));
        let cellar = world.add(peer("cellar", FAST, &[]));
        world.run(MET);
        let words = format!("p2p_play \"{}\"", heard.name);
        world.command(attic, &words).expect("it is there");
        world.run(60 * SECOND);
        assert!(world.has_heard(attic, &heard));
        world.kill(kitchen);
        world.run(GONE);
        Self {
            world,
            kitchen,
            attic,
            cellar,
            heard,
            unheard,
        }
    }

    /// What `host` lists of the kitchen's music, each with whether its owner is away.
    fn listed(&mut self, host: HostNo) -> Vec<(String, bool)> {
        let answer = self.world.command(host, "search any song");
        let answer = answer.expect("it needs nothing");
        let mut songs: Vec<(String, bool)> = Vec::new();
        for line in answer.lines() {
            match line.split_once(": ") {
                Some(("file", file)) => songs.push((file.to_owned(), false)),
                Some(("p2p_away", "1")) => songs.last_mut().expect("it is of a song").1 = true,
                _ => {}
            }
        }
        songs
    }

    /// `host` lists what a copy is of, and plays it.
    fn assert_it_plays(&mut self, host: HostNo) {
        let name = self.heard.name.clone();
        assert_eq!(self.listed(host), [(format!("kitchen/album/{name}"), true)]);
        self.world.hosts[host.0].stories.clear();
        let words = format!("p2p_play \"{name}\"");
        self.world.command(host, &words).expect("it is here");
        self.world.run(60 * SECOND);
        let heard = self.heard.clone();
        assert!(self.world.has_heard(host, &heard));
    }
}

/// Every other box is switched off and on while the owner is away, and its tracker, too.
#[test]
fn after_a_restart_of_everybody_it_is_so_still() {
    for seed in seeds(10) {
        let mut evening = Evening::new(seed);
        let (attic, cellar) = (evening.attic, evening.cellar);
        let world = &mut evening.world;
        world.kill_tracker(TrackerNo(0));
        for host in [attic, cellar] {
            world.kill(host);
        }
        world.run(10 * SECOND);
        world.restart_tracker(TrackerNo(0));
        for host in [cellar, attic] {
            world.revive(host);
        }
        world.run(30 * SECOND);
        evening.assert_it_plays(cellar);
        evening.assert_it_plays(attic);
        // The owner comes back with another song, and its old catalogue is replaced.
        let kitchen = evening.kitchen;
        let world = &mut evening.world;
        world.hosts[kitchen.0].library.add(Song::new(3, 20, FLAC));
        world.revive(kitchen);
        world.run(60 * SECOND);
        assert_eq!(evening.listed(attic).len(), 3);
        let owner = evening.world.hosts[kitchen.0].library.owner();
        let disk = &evening.world.hosts[attic.0].archive;
        let newest = evening.world.hosts[kitchen.0].library.newest();
        assert_eq!(
            disk.get(&owner).map(|kept| kept.catalogue.head().head),
            newest
        );
    }
}

#[test]
fn what_a_copy_is_of_is_found_and_played_while_its_owner_is_away() {
    for seed in seeds(10) {
        let mut evening = Evening::new(seed);
        let (attic, cellar) = (evening.attic, evening.cellar);
        evening.assert_it_plays(attic);
        evening.assert_it_plays(cellar);
        let words = format!("p2p_play \"{}\"", evening.unheard.name);
        let refused = evening.world.command(attic, &words);
        let refused = refused.expect_err("nobody here has it").text;
        let said = format!(
            "{:?} is on kitchen, which has been away for ",
            evening.unheard.name
        );
        assert!(refused.starts_with(&said), "{refused}");
        evening.world.revive(evening.kitchen);
        evening.world.run(30 * SECOND);
        let all = evening.listed(cellar);
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|(_, is_away)| !is_away), "{all:?}");
    }
}
