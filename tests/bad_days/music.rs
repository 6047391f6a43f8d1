//! The music directory's bad days.

use std::{fs, os::unix::fs::FileExt as _};

use super::{
    common::{audio::Music, can_mount, Node, Setup},
    mounts, problems, wait_until_well,
};

fn lone_peer(music: &std::path::Path) -> Setup {
    Setup {
        role: "peer",
        name: Some("lone"),
        ..Setup::default()
    }
    .music(music)
}

/// How often a file was hashed.
fn hashed(node: &Node) -> usize {
    let log = node.log();
    log.lines().filter(|line| line.contains(".wav is ")).count()
}

#[test]
fn a_directory_that_comes_later_is_found_by_itself() {
    let music = Music::new();
    let dir = music.path().join("later");
    let node = lone_peer(&dir).start();
    let problem = node.wait_for_problem("music directory");
    assert!(problem.contains(dir.to_str().unwrap()), "{problem}");
    assert!(
        problem.contains("peer.music"),
        "it says what to do: {problem}"
    );
    music.wav("later/song.wav", 44_100, 0.2);
    node.wait_for_tracks("lone", 1);
    wait_until_well(&node, "music directory");
}

#[test]
fn an_unplugged_disk_hides_its_tracks_and_none_is_hashed_again() {
    if !can_mount() {
        return;
    }
    let music = Music::new();
    for n in 0..3 {
        music.wav(&format!("disk/{n}.wav"), 44_100, 0.2);
    }
    let (disk, mount) = (music.path().join("disk"), music.path().join("mount"));
    fs::create_dir(&mount).unwrap();
    // What lies under a mount point is seen again when the disk is gone.
    fs::write(mount.join("do not write here"), "").unwrap();
    let bind = format!("mount --bind {} {}", disk.display(), mount.display());
    let node = mounts::within(lone_peer(&mount), &bind).start();
    node.wait_for_tracks("lone", 3);
    node.wait_for_status("three hashes", |_| hashed(&node) == 3);

    mounts::run(&node, &format!("umount -l {}", mount.display()));
    let problem = node.wait_for_problem("is its disk mounted?");
    assert!(problem.contains(mount.to_str().unwrap()), "{problem}");
    node.wait_for_tracks("lone", 0);
    mounts::run(&node, &bind);
    node.wait_for_tracks("lone", 3);
    wait_until_well(&node, "mounted");
    assert_eq!(problems(&node.json(&["status"])), [""; 0]);

    // Their hashes are known still: a restart would hash what is missing.
    let node = node.restart();
    node.wait_for_tracks("lone", 3);
    node.wait_for_line("3 tracks in the library");
    assert_eq!(hashed(&node), 0, "{}", node.log());
}

/// Half a second of silence as MP3, behind an ID3v2 tag with this body.
fn mp3_behind(tag: &[u8]) -> Vec<u8> {
    let len = tag.len() as u32;
    let len = [len >> 21, len >> 14, len >> 7, len].map(|part| (part & 0x7f) as u8);
    let mut frame = vec![0; 417];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0]);
    [&b"ID3\x03\0\0"[..], &len, tag, &frame.repeat(20)].concat()
}

#[test]
fn a_file_with_300_000_frames_of_tags_holds_nobody_up() {
    let music = Music::new();
    let frame = |n: u32| [&b"TXXX\0\0\0\x08\0\0\0"[..], format!("{n:06}\0").as_bytes()].concat();
    let frames: Vec<u8> = (0..300_000).flat_map(frame).collect();
    fs::create_dir_all(music.path()).unwrap();
    fs::write(music.path().join("a first.mp3"), mp3_behind(&frames)).unwrap();
    music.wav("b second.wav", 44_100, 0.2);
    let node = lone_peer(music.path()).start();
    node.wait_for_tracks("lone", 2);
    node.wait_for_line("2 tracks in the library");
    let left_out = node.ctl_ok(&["library", "--left-out"]);
    let why = "listed with tags missing: its tags have more than 8192 items";
    assert!(
        left_out.contains("a first.mp3\n") && left_out.contains(why),
        "{left_out}"
    );
}

#[test]
fn what_is_left_out_is_counted_by_status_and_named_by_library() {
    let music = Music::new();
    let (secret, shared) = (music.path().join("secret"), music.path().join("shared"));
    music.wav("shared/...And Justice/song.wav", 44_100, 0.2);
    music.wav("secret/song.wav", 44_100, 0.2);
    fs::write(shared.join("broken.flac"), "no music").unwrap();
    std::os::unix::fs::symlink(secret.join("song.wav"), shared.join("leads out.wav")).unwrap();
    let node = lone_peer(&shared).start();
    node.wait_for_tracks("lone", 1);
    node.wait_for_status("how many are left out", |s| s["node"]["left_out"] == 2);
    let left_out = node.ctl_ok(&["library", "--left-out"]);
    assert!(
        left_out.contains("broken.flac\n    left out: "),
        "{left_out}"
    );
    assert!(
        left_out.contains("leads out.wav\n    left out: a link leads out"),
        "{left_out}"
    );
    assert!(node
        .ctl_ok(&["status"])
        .contains("2 files left out: p2pmusic ctl library --left-out"));

    node.reconfigure("[peer]\n", "[peer]\nfollow_links = true\n");
    node.signal("HUP");
    node.wait_for_tracks("lone", 2);
}

#[test]
fn a_directory_that_is_empty_at_start_is_watched() {
    let music = Music::new();
    let node = lone_peer(music.path()).start();
    node.wait_for_problem("it is empty");
    node.wait_for_line("0 tracks in the library");
    music.wav("song.wav", 44_100, 0.2);
    node.wait_for_tracks("lone", 1);
    wait_until_well(&node, "empty");
}

/// Neither inotify nor the directory above tells of either.
#[test]
fn a_disk_that_comes_and_goes_below_the_music_is_noticed() {
    if !can_mount() {
        return;
    }
    let music = Music::new();
    music.wav("music/own.wav", 44_100, 0.2);
    music.wav("stick/album/1.wav", 44_100, 0.2);
    music.wav("stick/album/2.wav", 44_100, 0.2);
    let (shared, stick) = (music.path().join("music"), music.path().join("stick"));
    let at = shared.join("usb stick");
    fs::create_dir(&at).unwrap();
    let node = mounts::within(lone_peer(&shared), "true").start();
    node.wait_for_tracks("lone", 1);
    node.wait_for_line("1 tracks in the library");
    for _ in 0..2 {
        let (from, to) = (stick.display(), at.display());
        mounts::run(&node, &format!("mount --bind '{from}' '{to}'"));
        node.wait_for_tracks("lone", 3);
        wait_until_well(&node, "mounted");
        mounts::run(&node, &format!("umount -l '{to}'"));
        node.wait_for_tracks("lone", 1);
        let problem = node.wait_for_problem("is its disk mounted?");
        assert!(problem.contains("usb stick"), "{problem}");
    }
    assert_eq!(hashed(&node), 3, "{}", node.log());
}

#[test]
fn a_tree_that_is_removed_is_nothing_to_warn_of() {
    let music = Music::new();
    music.wav("stays.wav", 44_100, 0.1);
    for n in 0..50 {
        music.wav(&format!("goes/{}/{n}.wav", n % 5), 44_100, 0.1);
    }
    let node = lone_peer(music.path()).start();
    node.wait_for_tracks("lone", 51);
    let before = node.log().lines().count();
    fs::remove_dir_all(music.path().join("goes")).unwrap();
    node.wait_for_tracks("lone", 1);
    let log = node.log();
    let alarms: Vec<_> = log
        .lines()
        .skip(before)
        .filter(|l| l.contains("WARN") || l.contains("ERROR"))
        .collect();
    assert_eq!(alarms, [""; 0]);
    assert_eq!(problems(&node.json(&["status"])), [""; 0]);
}

/// Taggers put the time back, and what fits takes no more room: for everybody the track
/// would be "changed" for good.
#[test]
fn an_edit_that_keeps_size_and_time_is_played_before_long() {
    let music = Music::new();
    music.wav("song.wav", 44_100, 3.0);
    let tracker = Setup::tracker().start();
    let owner = Setup::peer("attic", &tracker).music(music.path()).start();
    owner.wait_for_line("song.wav is ");
    let listener = Setup::peer("kitchen", &tracker).start();
    listener.wait_for_tracks("attic", 1);

    let path = music.path().join("song.wav");
    let file = fs::File::options().write(true).open(&path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(&[7; 1000], 2000).unwrap();
    file.set_modified(before).unwrap();
    listener.wait_for_status("the track as it is now", |status| {
        if status["status"]["state"] == "stop" {
            listener.ctl(&["play", "song"]);
        }
        status["status"]["elapsed"].as_f64() > Some(1.0)
    });
}
