//! The cache's disk: full, read-only, away, slow.

use std::path::{Path, PathBuf};

use super::{
    assert_heard,
    brake::Brake,
    common::{
        audio::{self, Music},
        can_mount, Node, Setup,
    },
    mounts, problems, wait_until_past, wait_until_well,
};

/// A tracker, an owner of `music`, and a recording peer whose cache is `cache`,
/// started after `before` was done to that.
struct Swarm {
    player: Node,
    _owner: Node,
    _tracker: Node,
    /// A directory of the test's own, to mount on.
    place: tempfile::TempDir,
}

impl Swarm {
    fn with(music: &Music, tracks: u64, before: impl FnOnce(&Path) -> String) -> Self {
        let place = tempfile::tempdir().unwrap();
        let tracker = Setup::tracker().start();
        let owner = Setup::peer("owner", &tracker).music(music.path()).start();
        let setup = Setup::peer("player", &tracker).recorded();
        let setup = Setup {
            cache: Some(place.path().to_owned()),
            ..setup
        };
        let player = mounts::within(setup, &before(place.path())).start();
        player.wait_for_tracks("owner", tracks);
        player.ctl_ok(&["volume", "100"]);
        Self {
            player,
            _owner: owner,
            _tracker: tracker,
            place,
        }
    }

    fn cache(&self) -> PathBuf {
        self.place.path().to_owned()
    }

    /// Plays `what` to its end, and checks what was heard since `heard` frames.
    fn assert_heard(&self, what: &str, heard: usize, sound: &[[i16; 2]]) -> usize {
        self.player.ctl_ok(&["clear"]);
        self.player.ctl_ok(&["play", what]);
        self.player.wait_for_sound();
        self.player.wait_for_end();
        let (_, frames) = audio::read_wav(&self.player.recording());
        assert_heard(&frames[heard..], sound);
        frames.len()
    }

    fn wait_until_held(&self, copies: u64) {
        self.player.wait_for(&["peers"], "the held copies", |_| {
            let cache = self.cache();
            let line = format!("ls {} | grep -c '\\.data$' || true", cache.display());
            mounts::output(&self.player, &line).trim() == copies.to_string()
        });
    }
}

#[test]
fn a_full_disk_plays_from_memory_says_so_and_keeps_again_when_there_is_room() {
    if !can_mount() {
        return;
    }
    let music = Music::new();
    // More than half of it comes when the disk is full already.
    let long = music.wav("long.wav", 44_100, 15.0);
    let short = music.wav("short.wav", 44_100, 1.0);
    let swarm = Swarm::with(&music, 2, |dir| {
        format!("mount -t tmpfs -o size=1m tmpfs {}", dir.display())
    });
    let heard = swarm.assert_heard("long", 0, &long);
    let problem = swarm.player.wait_for_problem("not kept");
    assert!(problem.contains("No space left on device"), "{problem}");
    swarm.wait_until_held(0);

    let dir = swarm.cache();
    mounts::run(
        &swarm.player,
        &format!("mount -o remount,size=16m {}", dir.display()),
    );
    wait_until_well(&swarm.player, "not kept");
    swarm.assert_heard("short", heard, &short);
    swarm.wait_until_held(1);
    assert!(problems(&swarm.player.json(&["status"])).is_empty());
}

#[test]
fn a_read_only_cache_is_played_past_and_used_when_it_can_be_written() {
    if !can_mount() {
        return;
    }
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 2.0);
    let swarm = Swarm::with(&music, 1, |dir| {
        format!("mount -t tmpfs -o size=16m,ro tmpfs {}", dir.display())
    });
    let problem = swarm.player.wait_for_problem("not kept");
    let dir = swarm.cache();
    assert!(problem.contains(dir.to_str().unwrap()), "{problem}");
    assert!(problem.contains("Read-only file system"), "{problem}");
    let heard = swarm.assert_heard("song", 0, &sound);
    mounts::run(
        &swarm.player,
        &format!("mount -o remount,rw {}", dir.display()),
    );
    wait_until_well(&swarm.player, "not kept");
    swarm.assert_heard("song", heard, &sound);
    swarm.wait_until_held(1);
    assert_eq!(
        super::times_said(&swarm.player, "WARN  what is played is not kept"),
        1
    );
}

/// A tracker, an owner of `music`, and a recording peer of which all of the cache, and of
/// the state, lies on a card that `brake` slows down.
fn on_a_slow_card(brake: &Brake, music: &Music, card: &Path) -> [Node; 3] {
    let tracker = Setup::tracker().start();
    let owner = Setup {
        // So that a long song is still on its way when it sounds.
        upload: Some("3 Mbit/s"),
        ..Setup::peer("owner", &tracker).music(music.path())
    };
    let owner = owner.start();
    let setup = Setup {
        cache: Some(card.join("cache")),
        state: Some(card.join("state")),
        ..Setup::peer("player", &tracker).recorded()
    };
    let player = brake.under(setup, card).start();
    player.wait_for_tracks("owner", 1);
    player.ctl_ok(&["volume", "100"]);
    [player, owner, tracker]
}

/// What is said of a network that is not to blame.
fn assert_network_is_well(player: &Node) {
    let status = player.json(&["status"]);
    let found = problems(&status);
    let about_card = |problem: &&str| problem.contains("is slow: a write takes");
    assert!(found.iter().all(about_card), "{found:?}");
    for words in ["does not answer", "arrive, and it takes"] {
        assert!(!player.log().contains(words), "{words}: {}", player.log());
    }
}

#[test]
fn a_slow_card_is_named_with_a_figure_and_played_past() {
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 6.0);
    let card = tempfile::tempdir().unwrap();
    let brake = Brake::build();
    brake.set(150);
    let [player, _owner, _tracker] = on_a_slow_card(&brake, &music, card.path());
    let problem = player.wait_for_problem("is slow: a write takes 15");
    let dir = card.path().join("cache");
    assert!(problem.contains(dir.to_str().unwrap()), "{problem}");
    player.ctl_ok(&["play", "song"]);
    player.wait_for_sound();
    player.wait_for_end();
    assert_heard(&audio::read_wav(&player.recording()).1, &sound);
    assert_network_is_well(&player);
}

#[test]
fn a_card_that_becomes_slow_or_stalls_while_music_plays_is_not_heard() {
    for milliseconds in [150, 8_000] {
        let music = Music::new();
        let sound = music.wav("song.wav", 44_100, 20.0);
        let card = tempfile::tempdir().unwrap();
        let brake = Brake::build();
        let [player, _owner, _tracker] = on_a_slow_card(&brake, &music, card.path());
        player.ctl_ok(&["play", "song"]);
        player.wait_for_sound();
        brake.set(milliseconds);
        player.wait_for_problem("is slow: a write takes");
        wait_until_past(&player, 10.0);
        player.ctl_ok(&["volume", "99"]);
        player.ctl_ok(&["volume", "100"]);
        player.wait_for_end();
        assert_heard(&audio::read_wav(&player.recording()).1, &sound);
        assert_network_is_well(&player);
    }
}
