//! Music whose owner is away, also after a restart of everybody else.
//!
//! An owner is known after ten minutes; `P2PMUSIC_KNOWN_AFTER_MS` makes that a moment here.

mod common;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use common::{
    audio::{self, Music},
    Node, Setup, BINARY, PATIENCE,
};
use nix::{sys::stat::Mode, unistd::mkfifo};
use serde_json::Value;

fn knows_soon(setup: Setup) -> Setup {
    Setup {
        env: vec![("P2PMUSIC_KNOWN_AFTER_MS".into(), "200".into())],
        ..setup
    }
}

/// Starts an owner that knows from its beginning what all of its files are: copies are known
/// by that.
fn start_hashed(setup: Setup, files: &[&str]) -> Node {
    let mut owner = setup.start();
    for file in files {
        owner.wait_for_line(&format!("{file} is "));
    }
    owner.signal("TERM");
    owner.wait_for_exit();
    owner.restart()
}

fn kept(node: &Node) -> PathBuf {
    node.dir.path().join("state/catalogues")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_none()).collect();
    paths.sort();
    paths
}

/// Waits until so many catalogues are written down at `node`.
fn wait_for_files(node: &Node, count: usize) -> Vec<PathBuf> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let files = files(&kept(node));
        if files.len() == count {
            return files;
        }
        assert!(
            Instant::now() < deadline,
            "{files:?} are kept\n{}",
            node.log()
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// The titles that `node` finds, each with whether its owner is away.
fn found(songs: &Value) -> Vec<(String, bool)> {
    let song = |song: &Value| {
        let file = song["file"].as_str().unwrap_or_default();
        (file.to_owned(), song["p2p_away"] == true)
    };
    songs.as_array().into_iter().flatten().map(song).collect()
}

fn wait_to_find(node: &Node, expected: &[(&str, bool)]) {
    node.wait_for(&["search", "song"], "the list", |songs| {
        let found = found(songs);
        let found: Vec<_> = found.iter().map(|(f, away)| (f.as_str(), *away)).collect();
        found == expected
    });
}

/// `node` plays `words` to the end, and what it records is `sound`.
fn hears(node: &Node, words: &str, sound: &[[i16; 2]]) {
    node.ctl_ok(&["volume", "100"]);
    node.ctl_ok(&["play", words]);
    node.wait_for_end();
    let heard = audio::read_wav(&node.recording()).1;
    audio::assert_same(&heard, sound);
}

#[test]
fn a_copy_is_found_and_played_while_its_owner_is_away_whoever_restarts() {
    let music = Music::new();
    let sound = music.wav("song one.wav", 44_100, 2.0);
    music.wav("song two.wav", 44_100, 2.0);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("owner", &tracker).music(music.path());
    let owner = start_hashed(owner, &["song one.wav", "song two.wav"]);
    let listener = knows_soon(Setup::peer("listener", &tracker));
    let listener = listener.recorded().start();
    let hall = knows_soon(Setup::peer("hall", &tracker)).recorded().start();
    for node in [&listener, &hall] {
        node.wait_for_tracks("owner", 2);
    }
    hears(&listener, "song one", &sound);
    for node in [&listener, &hall] {
        // The owner's; the other's, too, which has nothing to list.
        wait_for_files(node, 2);
    }
    drop(owner);
    let one = [("owner/song one.wav", true)];
    wait_to_find(&listener, &one);
    let [mut listener, mut hall] = [listener, hall];
    listener.kill();
    hall.kill();
    let listener = listener.restart();
    wait_to_find(&listener, &one);
    let shown = listener.ctl_ok(&["search", "song"]);
    assert!(shown.contains("(its owner is away)"), "{shown}");
    let root = listener.ctl_ok(&["ls"]);
    assert!(root.contains("owner/ (its owner is away)\n"), "{root}");
    hears(&listener, "song one", &sound);
    assert!(!listener.peer_names().contains(&"owner".to_owned()));
    let refused = listener.ctl_fails(&["play", "song two"]);
    let said = "\"song two\" is on owner, which has been away for ";
    assert!(refused.contains(said), "{refused}");
    let refused = listener.ctl_fails(&["add", "song", "two"]);
    assert!(refused.contains(said), "{refused}");
    let nothing = listener.ctl_ok(&["search", "song", "two"]);
    assert!(nothing.contains(said), "{nothing}");
    let hall = hall.restart();
    wait_to_find(&hall, &one);
    hears(&hall, "song one", &sound);
    drop(tracker);
}

/// Whatever lies there, the node starts, says so in a line each, and goes on.
#[test]
fn files_that_are_damaged_swapped_or_odd_are_removed_and_named() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.5);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("owner", &tracker).music(music.path()).start();
    let listener = knows_soon(Setup::peer("listener", &tracker)).start();
    listener.wait_for_tracks("owner", 1);
    listener.ctl_ok(&["play", "song"]);
    let [file] = wait_for_files(&listener, 1).try_into().unwrap();
    drop(owner);
    let mut listener = listener;
    listener.kill();
    let (bytes, dir) = (fs::read(&file).unwrap(), kept(&listener));
    let at = |n: u8| dir.join(format!("{n:02x}").repeat(32));
    fs::write(at(1), &bytes).unwrap();
    fs::write(at(2), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(at(3), b"").unwrap();
    fs::File::create(at(4)).unwrap().set_len(1 << 30).unwrap();
    mkfifo(&at(5), Mode::S_IRWXU).unwrap();
    symlink("/dev/zero", at(6)).unwrap();
    fs::create_dir(at(7)).unwrap();
    fs::write(dir.join("notes"), b"mine").unwrap();
    fs::write(at(8).with_extension("new"), b"half").unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&file, changed).unwrap();
    let listener = listener.restart();
    listener.wait_for_line(&format!("{}: removed: page 0 does not fit", file.display()));
    for n in 1..=7 {
        let named = format!("{}: removed: ", at(n).display());
        listener.wait_for_line(&named);
        assert_eq!(listener.log().matches(&named).count(), 1, "{n}");
        assert_eq!(at(n).exists(), n == 7, "{n}");
    }
    assert!(dir.join("notes").exists() && !at(8).with_extension("new").exists());
    listener.wait_until_registered();
}

fn keygen() -> String {
    let output = Command::new(BINARY).arg("keygen").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// An owner that was met by one key only goes with it; another stays.
#[test]
fn what_was_kept_under_a_key_goes_with_it() {
    let (old, new) = (keygen(), keygen());
    let both = format!("{new}{old}");
    let [ours, theirs] = [Music::new(), Music::new()];
    ours.wav("our song.wav", 44_100, 0.5);
    theirs.wav("their song.wav", 44_100, 0.5);
    let tracker = Setup::tracker().key(&both).start();
    let ours = Setup::peer("ours", &tracker).music(ours.path());
    let ours = start_hashed(ours.key(&both), &["our song.wav"]);
    let theirs = Setup::peer("theirs", &tracker).music(theirs.path());
    let theirs = start_hashed(theirs.key(&format!("{old}{new}")), &["their song.wav"]);
    let listener = knows_soon(Setup::peer("listener", &tracker))
        .key(&both)
        .start();
    for (owner, words) in [("ours", "our song"), ("theirs", "their song")] {
        listener.wait_for_tracks(owner, 1);
        listener.ctl_ok(&["play", words]);
        listener.wait_for_end();
    }
    wait_for_files(&listener, 2);
    drop((ours, theirs));
    wait_to_find(
        &listener,
        &[("ours/our song.wav", true), ("theirs/their song.wav", true)],
    );
    fs::write(listener.dir.path().join("key"), &new).unwrap();
    listener.signal("HUP");
    wait_for_files(&listener, 1);
    wait_to_find(&listener, &[("ours/our song.wav", true)]);
    let mut listener = listener;
    listener.kill();
    let listener = listener.restart();
    wait_to_find(&listener, &[("ours/our song.wav", true)]);
}
