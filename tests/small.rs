//! Small machines: little memory, few threads, a card that is never written.

mod common;

#[path = "common/cgroup.rs"]
mod cgroup;

use std::{
    cell::Cell,
    env,
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
};

use cgroup::Group;
use common::{
    audio::{self, Music},
    can_mount, command,
    left_out::{left_out, or_left_out},
    usage::Sample,
    Setup,
};
use tempfile::TempDir;

/// What a speaker may have of a machine of 512 MiB, most of which is the kernel's, the
/// network's and the desktop's that nobody switched off.
const MEMORY: u64 = 64 << 20;
/// A collection of 700 albums.
const TRACKS: usize = 10_000;
/// What the README promises is 8 while it plays; the pool may have 24 more, for moments.
const MAX_THREADS: u64 = 40;

/// Fills `dir` with tracks of a moment, no two the same.
fn fill(dir: &Path) {
    for album in 0..TRACKS / 100 {
        let dir = dir.join(format!("album {album}"));
        fs::create_dir(&dir).unwrap();
        for number in 0..100 {
            let seed = (album * 100 + number) as u64;
            let path = dir.join(format!("{number:02}.wav"));
            audio::write_wav(&path, 44_100, &audio::frames(44_100, 0.02, seed));
        }
    }
}

#[test]
fn ten_thousand_tracks_and_music_fit_into_little_memory() {
    let Some(group) = or_left_out(Group::try_new(MEMORY)) else {
        return;
    };
    let (large, other) = (Music::new(), Music::new());
    fill(large.path());
    let sound = other.wav("song.wav", 44_100, 3.0);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("owner", &tracker).music(other.path()).start();
    let mut setup = Setup::peer("small", &tracker)
        .music(large.path())
        .recorded();
    setup.prefix = group.prefix();
    let small = setup.start();
    small.wait_for_tracks("small", TRACKS as u64);
    small.wait_for_tracks("owner", 1);
    let threads = Cell::new(0);
    small.ctl_ok(&["volume", "100"]);
    small.ctl_ok(&["play", "owner/song.wav"]);
    small.wait_for_status("the end of the track", |status| {
        threads.set(threads.get().max(Sample::of(&small).threads));
        status["status"]["state"] == "stop"
    });
    let threads = threads.get();
    let (_, heard) = audio::read_wav(&small.recording());
    audio::assert_same(&heard, &sound);
    let found = small.json(&["search", "99.wav"]);
    assert_eq!(found.as_array().map(Vec::len), Some(TRACKS / 100));
    owner.wait_for_tracks("small", TRACKS as u64);
    assert!(threads <= MAX_THREADS, "{threads} threads");
    let Sample { rss, .. } = Sample::at_rest(&small);
    assert!(
        rss <= MEMORY / 1024,
        "{rss} KiB, with the pages of the binary"
    );
    let peak = group.peak().unwrap_or(0) >> 20;
    println!("{rss} KiB at rest, {peak} MiB at most with files, {threads} threads");
    drop(small);
}

/// A mount namespace whose root is read-only, as raspi-config makes it, or a card that
/// went bad, and so is the directory of tests, which may be a mount of its own with flags that
/// root of a user namespace must keep. What else is a file system of its own can be written
/// still.
const READ_ONLY: &str = "mount --make-rprivate / && mount --bind \"$0\" \"$0\" && \
    mount -o remount,bind,ro,nosuid,nodev \"$0\" && mount -o remount,bind,ro / && exec \"$@\"";

#[test]
fn a_root_that_is_read_only_is_no_obstacle() {
    if !can_mount() {
        return;
    }
    let tmp = env::temp_dir().display().to_string();
    let prefix: Vec<String> = ["unshare", "-m", "sh", "-c", READ_ONLY, &tmp]
        .map(str::to_owned)
        .into();
    let Some(memory) = in_memory() else {
        return left_out("/dev/shm is no file system in memory");
    };
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 1.0);
    let made = command(&prefix, "touch")
        .arg(music.path().join("x"))
        .output();
    let said = String::from_utf8(made.unwrap().stderr).unwrap();
    if !said.contains("Read-only file system") {
        return left_out(&format!("the root cannot be made read-only here: {said}"));
    }
    let tracker = Setup::tracker().start();
    let mut setup = Setup::peer("kitchen", &tracker)
        .music(music.path())
        .recorded();
    (setup.prefix, setup.place) = (prefix, Some(memory.path().into()));
    let mut node = setup.start();
    node.wait_until_registered();
    node.wait_for_tracks("kitchen", 1);
    node.ctl_ok(&["volume", "100"]);
    node.ctl_ok(&["play", "song"]);
    node.wait_for_end();
    let (_, heard) = audio::read_wav(&node.recording());
    audio::assert_same(&heard, &sound);
    node.wait_for_no_problem();
    node.signal("TERM");
    assert!(node.wait_for_exit().success(), "{}", node.log());
}

/// A directory on a file system in memory.
fn in_memory() -> Option<TempDir> {
    let kind = Command::new("stat")
        .args(["-fc", "%T", "/dev/shm"])
        .output()
        .ok()?;
    if kind.stdout.trim_ascii() != b"tmpfs" {
        return None;
    }
    let dir = tempfile::tempdir_in("/dev/shm").ok()?;
    let mut probe = File::create(dir.path().join("probe")).ok()?;
    probe.write_all(b"x").ok()?;
    Some(dir)
}
