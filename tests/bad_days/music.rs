//! The music directory's bad days.

use std::fs;

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
