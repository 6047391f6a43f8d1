//! `p2pmusic ctl` in a terminal, as people and shells use it.

mod common;

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
};

use common::{audio::Music, Node, Setup, BINARY};
use unicode_width::UnicodeWidthStr;

const SONGS: [&str; 4] = [
    "久石譲/となりのトトロ/01 さんぽ 🎵.wav",
    "久石譲/となりのトトロ/02 五月の村.wav",
    "odd/a $(touch x) `b` 'c' \"d\" &; e: f.wav",
    "Long/A title that is much longer than a narrow terminal is wide, and goes on.wav",
];

fn node() -> (Music, Node) {
    let music = Music::new();
    for song in SONGS {
        music.wav(song, 44_100, 30.0);
    }
    let setup = Setup {
        role: "peer",
        name: Some("kitchen"),
        ..Setup::default()
    };
    let node = setup.music(music.path()).start();
    node.wait_for_tracks("kitchen", SONGS.len() as u64);
    (music, node)
}

/// Runs words of a shell in a terminal of so many columns.
fn terminal(node: &Node, columns: usize, env: &[(&str, &str)], words: &str) -> Child {
    let line = format!("stty cols {columns} rows 24; exec {BINARY} ctl {words}");
    Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("P2PMUSIC_SOCKET", node.socket())
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .env_remove("COLUMNS")
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script is a part of every Debian")
}

fn shown(node: &Node, columns: usize, env: &[(&str, &str)], words: &str) -> String {
    let mut child = terminal(node, columns, env, words);
    let mut text = String::new();
    let mut out = child.stdout.take().unwrap();
    out.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{words}: {text}");
    text.replace("\r\n", "\n")
}

#[test]
fn what_is_listed_fits_the_terminal() {
    let (_music, node) = node();
    node.ctl_ok(&["play", "kitchen"]);
    let plain = [("NO_COLOR", "1")];
    for columns in [40, 80, 200] {
        for words in [
            "queue",
            "search wav",
            "ls kitchen/odd",
            "peers",
            "status",
            "current",
            "stats",
        ] {
            let text = shown(&node, columns, &plain, words);
            // A path is whole, for it is copied; all else fits.
            let is_path = |line: &&str| line.trim_start().starts_with("kitchen/");
            for line in text.lines().filter(|line| !is_path(line)) {
                assert!(line.width() <= columns, "{words}, {columns}:\n{text}");
            }
        }
        let queue = shown(&node, columns, &plain, "queue");
        for song in SONGS {
            assert!(
                queue.contains(&format!("kitchen/{song}")),
                "{columns}:\n{queue}"
            );
        }
    }
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let (_music, node) = node();
    assert!(shown(&node, 80, &[], "peers").contains("\x1b["));
    assert!(!shown(&node, 80, &[("NO_COLOR", "1")], "peers").contains("\x1b["));
    assert!(!shown(&node, 80, &[("TERM", "dumb")], "peers").contains("\x1b["));
    assert!(!node.ctl_ok(&["peers"]).contains("\x1b["));
}

#[test]
fn the_live_line_ends_clean_with_ctrl_c() {
    let (_music, node) = node();
    node.ctl_ok(&["play", "kitchen/Long"]);
    node.wait_for_sound();
    let mut child = terminal(&node, 40, &[], "status --watch");
    let mut out = child.stdout.take().unwrap();
    let mut text = String::new();
    let mut some = [0; 1024];
    while !text.contains("playing") {
        let len = out.read(&mut some).unwrap();
        assert_ne!(len, 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&some[..len]));
    }
    child.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    text.push_str(&String::from_utf8_lossy(&rest));
    assert!(child.wait().unwrap().success(), "{text:?}");
    assert!(text.ends_with("\r\n"), "{text:?}");
    let last = text.trim_end().rsplit("\x1b[K").next().unwrap();
    assert!(
        last.starts_with("playing  ") && last.width() < 40,
        "{text:?}"
    );
}

#[test]
fn every_change_is_told() {
    let (_music, node) = node();
    assert!(node.ctl_ok(&["queue"]).contains("is empty"));
    assert!(node.ctl_fails(&["seek", "0:05"]).contains("nothing plays"));
    assert!(node
        .ctl_ok(&["add", "kitchen"])
        .starts_with("added 4 tracks"));
    let said = node.ctl_ok(&["resume"]);
    assert!(
        said.starts_with("playing  ") || said.starts_with("waiting  "),
        "{said}"
    );
    node.wait_for_sound();
    let said = node.ctl_fails_with(2, &["seek", "99:99"]);
    assert!(said.contains("seconds go up to 59"), "{said}");
    let said = node.ctl_fails(&["seek", "1:30"]);
    assert!(
        said.contains("beyond the end") && said.contains("0:30"),
        "{said}"
    );
    assert!(node
        .ctl_fails(&["seek", "+1:00"])
        .contains("beyond the end"));
    assert!(node.ctl_ok(&["seek", "0:05"]).starts_with("at 0:05 / 0:30"));
    assert!(node.ctl_ok(&["pause"]).starts_with("paused  "));
    for (words, said) in [
        ("random on", "random is on\n"),
        ("random", "random is off\n"),
        ("repeat", "repeat is on\n"),
        ("single oneshot", "single is on for one track\n"),
        ("single off", "single is off\n"),
        ("consume on", "consume is on\n"),
        ("consume off", "consume is off\n"),
        ("shuffle", "shuffled 4 tracks\n"),
        ("remove 4", "removed 1 track; 3 left in the queue\n"),
        ("remove 2-3", "removed 2 tracks; 1 left in the queue\n"),
        ("stop", "stopped\n"),
        ("clear", "cleared the queue of 1 track\n"),
    ] {
        let words: Vec<_> = words.split(' ').collect();
        assert_eq!(node.ctl_ok(&words), said, "{words:?}");
    }
    assert!(node.ctl_fails(&["remove", "2"]).contains("no place 2"));
    node.ctl_ok(&["add", "kitchen/久石譲"]);
    let said = node.ctl_ok(&["move", "2", "1"]);
    assert_eq!(said, "moved 02 五月の村.wav to 1\n");
    node.ctl_ok(&["play"]);
    node.wait_for_sound();
    assert_eq!(
        node.json(&["current"])["file"],
        format!("kitchen/{}", SONGS[1])
    );
    assert!(node.ctl_ok(&["current"]).starts_with("playing"));
}

#[test]
fn a_command_of_ctl_is_known_as_such() {
    for word in ["status", "play"] {
        let output = Command::new(BINARY)
            .args([word, "--json"])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains(&format!("`p2pmusic ctl {word}`")), "{said}");
    }
}

#[test]
fn nothing_found_says_why() {
    let (_music, node) = node();
    let said = node.ctl_fails(&["play", "polka"]);
    assert!(said.contains("no other speaker is here"), "{said}");
    node.ctl_ok(&["leave"]);
    let said = node.ctl_fails(&["play", "polka"]);
    assert!(said.contains("p2pmusic ctl join"), "{said}");
}

/// What bash makes of the words of a line, the last of which is completed.
fn completed(node: &Node, words: &[&str]) -> Vec<String> {
    let script = Command::new(BINARY)
        .args(["completions", "bash"])
        .output()
        .unwrap();
    let dir = std::path::Path::new(BINARY).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("bash")
        .args([
            "-c",
            "eval \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))\n\
             _p2pmusic_or_paths p2pmusic \"${@: -1}\" \"${@: -2:1}\"\n\
             printf '%s\\n' \"${COMPREPLY[@]}\"",
        ])
        .arg(String::from_utf8(script.stdout).unwrap())
        .args(words)
        .env("PATH", format!("{}:{path}", dir.display()))
        .env("P2PMUSIC_SOCKET", node.socket())
        .current_dir(node.dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_speakers_and_tracks_whatever_they_are_called() {
    let (_music, node) = node();
    let complete = |words: &[&str]| completed(&node, &[&["p2pmusic", "ctl"], words].concat());
    assert_eq!(complete(&["play", "kit"]), ["kitchen/"]);
    assert_eq!(complete(&["ls", ""]), ["kitchen/"]);
    assert_eq!(complete(&["add", "kitchen/L"]), ["kitchen/Long/"]);
    assert_eq!(
        complete(&["play", "--next", "kitchen/Long/"]),
        [format!("kitchen/{}", SONGS[3])
            .replace(' ', "\\ ")
            .replace(',', "\\,")]
    );
    let odd = "kitchen/odd/a \\$(touch x) \\`b\\` 'c' \\\"d\\\" &; e: f.wav";
    assert_eq!(complete(&["play", "\"kitchen/odd/a $(touch"]), [odd]);
    let odd = "kitchen/odd/a $(touch x) `b` '\\''c'\\'' \"d\" &; e: f.wav";
    assert_eq!(complete(&["play", "'kitchen/odd/a $(touch"]), [odd]);
    let odd = r#"kitchen/odd/a\ \$\(touch\ x\)\ \`b\`\ \'c\'\ \"d\"\ \&\;\ e:\ f.wav"#;
    assert_eq!(complete(&["play", "kitchen/odd/a\\ \\$\\(tou"]), [odd]);
    // Bash splits words at colons, and wants what comes behind.
    let split = ["play", "kitchen/odd/a $(touch x) `b` 'c' \"d\" &; e", ":"];
    assert_eq!(complete(&split), ["\\ f.wav"]);
    assert!(!node.dir.path().join("x").exists(), "nothing was run");
    assert!(complete(&["pl"]).contains(&"play".to_owned()));
    assert!(complete(&["play", "--n"]).contains(&"--next".to_owned()));
}
