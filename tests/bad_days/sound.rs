//! The sound card's bad days.

use std::fs;

use super::{
    common::{audio::Music, left_out::or_left_out, Node, Setup},
    elapsed, problems,
    pulse::{Pulse, DEVICE},
    times_said, wait_until_past, wait_until_well,
};

/// A server that does not run yet; where none can be, the test is left out.
fn pulse() -> Option<Pulse> {
    or_left_out(Pulse::try_new())
}

/// A node with two minutes of music of its own, that plays to `device`.
fn node(music: &Music, pulse: &Pulse, device: &str) -> Node {
    music.wav("song.wav", 44_100, 120.0);
    let mut setup = Setup {
        role: "peer",
        name: Some("lone"),
        ..Setup::default()
    };
    setup.env = pulse.env();
    let node = setup.device(device).music(music.path()).start();
    node.wait_for_tracks("lone", 1);
    node
}

/// Where it stands, once it stands still.
fn standstill(node: &Node) -> f64 {
    let mut place = elapsed(node);
    loop {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = elapsed(node);
        if now == place {
            return place;
        }
        place = now;
    }
}

/// It goes on, from where it stood.
fn assert_goes_on_from(node: &Node, place: f64) {
    wait_until_past(node, place + 0.2);
    let now = elapsed(node);
    assert!(now < place + 20.0, "it stood at {place} and is at {now}");
}

#[test]
fn a_server_that_dies_is_said_once_and_the_track_goes_on_when_it_is_back() {
    let Some(mut pulse) = pulse() else { return };
    let music = Music::new();
    // Before there is a server, too, and before anybody plays.
    let node = node(&music, &pulse, DEVICE);
    let problem = node.wait_for_problem("no sound");
    assert!(problem.contains(DEVICE), "{problem}");
    pulse.start();
    wait_until_well(&node, "no sound");
    node.ctl_ok(&["play", "song"]);
    wait_until_past(&node, 1.0);

    pulse.kill();
    node.wait_for_problem("no sound");
    let status = node.json(&["status"]);
    assert_eq!(status["status"]["state"], "play");
    let error = status["status"]["error"].as_str().unwrap_or_default();
    assert!(
        error.contains(DEVICE),
        "MPD clients see it, too: {status:#}"
    );
    assert!(problems(&status)[0].starts_with("no sound"), "{status:#}");
    let place = standstill(&node);
    assert!(place >= 1.0, "{place}");
    // Orders are taken meanwhile.
    node.ctl_ok(&["volume", "55"]);

    pulse.start();
    wait_until_well(&node, "no sound");
    assert_goes_on_from(&node, place);
    let status = node.json(&["status"]);
    assert!(status["status"]["error"].is_null(), "{status:#}");
    // Once for each time, not for each try; a busy machine's server may fail more often.
    let said = times_said(&node, "WARN  no sound");
    let healed = times_said(&node, "the audio device is back");
    assert!(
        said >= 2 && said - healed <= 1,
        "{said} and {healed}:\n{}",
        node.log()
    );
    assert_eq!(times_said(&node, "ALSA lib"), 0, "{}", node.log());
}

/// It neither fails nor asks for sound, and does not even let itself be closed.
#[test]
fn a_server_that_hangs_is_noticed_and_opened_again() {
    let Some(mut pulse) = pulse() else { return };
    let music = Music::new();
    pulse.start();
    let node = node(&music, &pulse, DEVICE);
    node.ctl_ok(&["play", "song"]);
    wait_until_past(&node, 1.0);
    pulse.hang();
    let problem = node.wait_for_problem("takes no more sound");
    assert!(problem.contains(DEVICE), "{problem}");
    let place = standstill(&node);
    node.ctl_ok(&["volume", "55"]);
    pulse.wake();
    wait_until_well(&node, "no sound");
    assert_goes_on_from(&node, place);
}

/// The process can end while the device hangs.
#[test]
fn a_server_that_hangs_does_not_keep_the_node_from_ending() {
    let Some(mut pulse) = pulse() else { return };
    let music = Music::new();
    pulse.start();
    let mut node = node(&music, &pulse, DEVICE);
    node.ctl_ok(&["play", "song"]);
    wait_until_past(&node, 0.5);
    pulse.hang();
    node.wait_for_problem("takes no more sound");
    node.signal("TERM");
    assert!(node.wait_for_exit().success());
}

/// A name that nothing has yet: a DAC that is plugged in later, or a server
/// that is configured later.
#[test]
fn a_device_whose_name_appears_later_is_found() {
    let Some(mut pulse) = pulse() else { return };
    let music = Music::new();
    pulse.start();
    let configured = fs::read_to_string(pulse.config()).unwrap();
    fs::write(pulse.config(), "").unwrap();
    let node = node(&music, &pulse, DEVICE);
    node.ctl_ok(&["play", "song"]);
    let problem = node.wait_for_problem("no audio device");
    assert!(problem.contains(DEVICE), "{problem}");
    fs::write(pulse.config(), configured).unwrap();
    wait_until_well(&node, "no sound");
    node.wait_for_sound();
    let devices = node.wait_for(&["devices"], "the new name", |devices| {
        let mut rows = devices.as_array().into_iter().flatten();
        rows.any(|row| row["device"] == DEVICE)
    });
    assert!(!devices.is_null());
    assert_eq!(times_said(&node, "WARN  no sound: no audio device"), 1);
}

/// What nothing plays to is looked for, too, so that `status` is true.
#[test]
fn a_problem_that_is_over_is_not_shown_although_nothing_plays() {
    let Some(mut pulse) = pulse() else { return };
    let music = Music::new();
    pulse.start();
    let node = node(&music, &pulse, DEVICE);
    node.ctl_ok(&["play", "song"]);
    wait_until_past(&node, 0.2);
    pulse.kill();
    node.wait_for_problem("no sound");
    node.ctl_ok(&["stop"]);
    assert!(!problems(&node.json(&["status"])).is_empty());
    pulse.start();
    wait_until_well(&node, "no sound");
    assert_eq!(node.json(&["status"])["status"]["state"], "stop");
}
