//! A clock that jumps by years, as a Pi's does when it first hears of a time
//! server: under the node lies a library that tells it any time.

use std::{fs, path::PathBuf};

use super::{
    assert_heard,
    common::{audio, audio::Music, left_out::left_out, Setup},
    problems, wait_until_past,
};

/// Where Debian has it, on any architecture.
fn faketime() -> Option<PathBuf> {
    let mut dirs = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    dirs.find_map(|dir| {
        let path = dir.path().join("faketime/libfaketime.so.1");
        path.exists().then_some(path)
    })
}

#[test]
fn music_goes_on_while_the_clock_jumps_by_years() {
    let Some(library) = faketime() else {
        return left_out("there is no libfaketime (package faketime)");
    };
    let music = Music::new();
    let sound = music.wav("song.wav", 44_100, 6.0);
    let times = tempfile::tempdir().unwrap();
    let file = times.path().join("offset");
    // Replaced whole: it may be read at any moment.
    let set = |offset: &str| {
        fs::write(times.path().join("new"), offset).unwrap();
        fs::rename(times.path().join("new"), &file).unwrap();
    };
    set("+0");
    let env = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // The kernel's monotonic clock does not jump.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let tracker = Setup::tracker().start();
    let _owner = Setup::peer("owner", &tracker).music(music.path()).start();
    let mut setup = Setup::peer("player", &tracker).recorded();
    setup.env = env.map(|(name, value)| (name.into(), value.into())).into();
    let player = setup.start();
    player.wait_for_tracks("owner", 1);
    player.ctl_ok(&["volume", "100"]);
    player.ctl_ok(&["play", "song"]);
    let jumps = ["+9y", "-30y", "+20y", "+0"];
    for (n, offset) in jumps.into_iter().enumerate() {
        wait_until_past(&player, 0.5 + n as f64);
        set(offset);
    }
    player.wait_for_end();
    assert_heard(&audio::read_wav(&player.recording()).1, &sound);
    let status = player.wait_until_registered();
    assert_eq!(problems(&status), [""; 0]);
    assert_eq!(player.peer("owner").unwrap()["state"], "up");
    let uptime = status["node"]["uptime"].as_u64().unwrap();
    assert!(uptime < 3600, "{uptime} s since the start");
}
