//! `p2pmusic setup`: a speaker is set up by one command, again and again, and what its owner
//! wrote stays.

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use common::{audio, command, left_out::left_out, own_root::as_nobody, BINARY};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.path("Music")).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self) -> String {
        fs::read_to_string(self.path("p2pmusic.toml")).unwrap()
    }

    fn key(&self) -> String {
        fs::read_to_string(self.path("p2pmusic.key")).unwrap()
    }

    /// Runs it with `answers` to what it asks, and with these words in front.
    fn set_up(&self, prefix: &[String], words: &[&str], answers: &str) -> Output {
        let mut child = command(prefix, BINARY)
            .args(["setup", "--config"])
            .arg(self.path("p2pmusic.toml"))
            .args(words)
            .env_remove("SUDO_UID")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may be content without an answer.
        let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn music(&self) -> String {
        self.path("Music").display().to_string()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[track_caller]
fn assert_done(output: &Output) -> String {
    let said = said(output);
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn a_first_speaker_is_set_up_without_a_question() {
    let home = Home::new();
    let music = home.music();
    let words = ["--yes", "--first", "--name", "kitchen", "--music", &music];
    assert_done(&home.set_up(&[], &words, ""));
    let text = home.config();
    for line in [
        "role = \"both\"",
        "name = \"kitchen\"",
        &format!("key_file = \"{}\"", home.path("p2pmusic.key").display()),
        &format!("music = [\"{music}\"]"),
        // What the shipped file explains is there still.
        "# What this node is: \"peer\" shares and plays music, \"tracker\" knows who is",
    ] {
        assert!(
            text.lines().any(|there| there == line),
            "no {line} in {text}"
        );
    }
    let mode = home.path("p2pmusic.key").metadata().unwrap().permissions();
    assert_eq!(mode.mode() & 0o137, 0, "{:o}", mode.mode());
    let check = Command::new(BINARY)
        .args(["check", "--config"])
        .arg(home.path("p2pmusic.toml"))
        .output()
        .unwrap();
    assert!(
        said(&check).contains("good, a node of role both"),
        "{}",
        said(&check)
    );

    // Once more, it changes nothing, and never the key.
    let key = home.key();
    let said = assert_done(&home.set_up(&[], &["--yes", "--first"], ""));
    assert!(said.contains("is kept"), "{said}");
    assert_eq!((home.config(), home.key()), (text, key));
}

#[test]
fn what_is_not_given_is_asked_and_what_is_there_is_proposed() {
    let home = Home::new();
    let mine = "# mine\n[audio]\nmax_volume = 60 # the neighbours\n";
    fs::write(home.path("p2pmusic.toml"), mine).unwrap();
    let answers = format!("attic\n{}\ny\nn\n", home.music());
    let said = assert_done(&home.set_up(&[], &[], &answers));
    for question in [
        "name of this speaker [",
        "directory of its music",
        "first speaker",
        "sound",
    ] {
        assert!(said.contains(question), "no {question} in {said}");
    }
    let text = home.config();
    assert!(text.contains(mine), "{text}");
    assert!(
        text.contains("name = \"attic\"") && text.contains("role = \"both\""),
        "{text}"
    );
    let said = assert_done(&home.set_up(&[], &[], "\n\n\n"));
    assert!(
        said.contains("[attic]") && said.contains(&home.music()),
        "{said}"
    );
    assert_eq!(home.config(), text);
}

#[test]
fn what_cannot_be_set_up_is_said_and_changes_nothing() {
    let home = Home::new();
    let nowhere = home.path("nowhere").display().to_string();
    for (before, words, answers, expected) in [
        (
            "",
            &["--yes", "--music", &nowhere][..],
            "",
            "there is no such directory",
        ),
        ("", &["--yes", "--name", "a/b"], "", "slash"),
        ("", &[], "attic\n", "--yes"),
        ("musik = 1\n", &["--yes"], "", "musik"),
        ("swarm = {}\n", &["--yes", "--first"], "", "under [swarm]"),
    ] {
        fs::write(home.path("p2pmusic.toml"), before).unwrap();
        let output = home.set_up(&[], words, answers);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{words:?}: {}",
            said(&output)
        );
        assert!(
            said(&output).contains(expected),
            "no {expected} in {}",
            said(&output)
        );
        assert_eq!(home.config(), before, "{words:?}");
    }
    // A speaker without music of its own shares none, and makes no directory for it.
    fs::write(home.path("p2pmusic.toml"), "").unwrap();
    if !Path::new("/srv/music").exists() {
        assert_done(&home.set_up(&[], &["--yes"], ""));
        assert!(!Path::new("/srv/music").exists() && !home.config().contains("music"));
    }
    // A key that cannot be read is never replaced.
    fs::write(home.path("p2pmusic.toml"), "").unwrap();
    fs::write(home.path("p2pmusic.key"), "sesame\n").unwrap();
    let output = home.set_up(&[], &["--yes", "--first", "--music", &home.music()], "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(home.key(), "sesame\n");
    // An empty one is what a recipe that failed has left.
    fs::write(home.path("p2pmusic.key"), "").unwrap();
    assert_done(&home.set_up(&[], &["--yes", "--first", "--music", &home.music()], ""));
    assert!(home.key().starts_with("p2pm1-"));
}

#[test]
fn another_speaker_joins_by_a_code_that_is_all_it_is_asked_for() {
    let (first, home) = (Home::new(), Home::new());
    let music = first.music();
    let words = ["--yes", "--first", "--name", "kitchen", "--music", &music];
    let said = assert_done(&first.set_up(&[], &words, ""));
    for next in ["sudo p2pmusic setup --join", "sudo p2pmusic pair"] {
        // Only where there is a service is there a next speaker.
        assert!(!said.contains(next), "{said}");
    }
    let mut pair = Command::new(BINARY)
        .args(["pair", "--listen", "127.0.0.1:0", "--config"])
        .arg(first.path("p2pmusic.toml"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(pair.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let mut last_word_of = |begin: &str| {
        let line = lines.find(|line| line.contains(begin)).unwrap();
        let words = line.trim_end_matches('.').rsplit(' ');
        { words }.next().unwrap().to_owned()
    };
    let code = last_word_of("The code:");
    let at = last_word_of("It holds for ");
    let music = home.music();
    let words = [
        "--yes", "--join", "--at", &at, "--name", "attic", "--music", &music,
    ];
    let said = assert_done(&home.set_up(&[], &words, &format!("{code}\n")));
    assert!(pair.wait().unwrap().success());
    assert!(said.contains("kitchen has given it"), "{said}");
    assert_eq!(home.key(), first.key());
    let text = home.config();
    for part in ["name = \"attic\"", "p2pmusic.key\"", "#role = \"peer\""] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    // It is a member now: no second code is asked for, and --join says so.
    assert_done(&home.set_up(&[], &["--yes"], ""));
    let output = home.set_up(&[], &["--yes", "--join", "--at", &at], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        self::said(&output).contains("has the key"),
        "{}",
        self::said(&output)
    );
}

#[test]
fn a_sound_is_played_on_the_device() {
    let home = Home::new();
    let recording = home.path("sound.wav");
    let config = format!("[audio]\ndevice = \"wav:{}\"\n", recording.display());
    fs::write(home.path("p2pmusic.toml"), config).unwrap();
    let words = ["--yes", "--sound", "--music", &home.music()];
    let said = assert_done(&home.set_up(&[], &words, ""));
    assert!(said.contains("played"), "{said}");
    let (_, heard) = audio::read_wav(&recording);
    let loud = heard
        .iter()
        .filter(|frame| frame[0].unsigned_abs() > 500)
        .count();
    assert!(loud > heard.len() / 20, "{loud} of {}", heard.len());
    // One that is not there is a failure, in words.
    let config = "[audio]\ndevice = \"gramophone\"\n";
    fs::write(home.path("p2pmusic.toml"), config).unwrap();
    let output = home.set_up(&[], &words, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        self::said(&output).contains("gramophone"),
        "{}",
        self::said(&output)
    );
}

/// A machine that has the service's user, with music in a home that is closed.
fn with_service_user(home: &Home) -> Vec<String> {
    for (name, line) in [
        ("passwd", "p2pmusic:x:64000:64000::/:/usr/sbin/nologin\n"),
        ("group", "p2pmusic:x:64000:\n"),
    ] {
        let text = fs::read_to_string(Path::new("/etc").join(name)).unwrap() + line;
        fs::write(home.path(name), text).unwrap();
    }
    let script = format!(
        "for f in passwd group; do mount --bind {}/$f /etc/$f; done; exec \"$@\"",
        home.0.path().display()
    );
    ["unshare", "-m", "sh", "-ec", &script, "sh"]
        .map(str::to_owned)
        .into()
}

#[test]
fn the_service_is_let_into_music_in_a_closed_home() {
    if as_nobody().is_none() {
        return;
    }
    if Command::new("setfacl").arg("--version").output().is_err() {
        return left_out("there is no `setfacl` (package acl)");
    }
    let home = Home::new();
    let prefix = with_service_user(&home);
    let album = home.path("Music/album");
    fs::create_dir(&album).unwrap();
    fs::write(album.join("1.wav"), "").unwrap();
    for (path, mode) in [
        (home.0.path(), 0o700),
        (&album, 0o700),
        (&album.join("1.wav"), 0o600),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let reads = |path: &Path| {
        let words = [
            "setpriv",
            "--reuid=64000",
            "--regid=64000",
            "--clear-groups",
        ];
        let status = command(&words.map(str::to_owned), "test")
            .arg("-r")
            .arg(path)
            .status();
        status.unwrap().success()
    };
    let music = home.music();
    // A person that does not want that is told what to do.
    let answers = format!("\n{music}\ny\nn\nn\n");
    let said = assert_done(&home.set_up(&prefix, &[], &answers));
    let barred = home.0.path().display().to_string();
    for words in [&*barred, "Let it read", "sudo chmod -R o+rX"] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    assert!(!reads(&album.join("1.wav")));
    let said = assert_done(&home.set_up(&prefix, &["--yes"], ""));
    assert!(said.contains("may read"), "{said}");
    assert!(reads(&album.join("1.wav")));
    // What comes later, too; and nothing more than music.
    fs::write(album.join("2.wav"), "").unwrap();
    fs::write(home.path("diary"), "").unwrap();
    fs::set_permissions(home.path("diary"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(reads(&album.join("2.wav")) && !reads(&home.path("diary")));
    // There is nothing to do then.
    let said = assert_done(&home.set_up(&prefix, &["--yes"], ""));
    assert!(!said.contains("may"), "{said}");
}
