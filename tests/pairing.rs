//! A new speaker gets the swarm's key from one that has it: `pair` shows a code, `join`
//! asks for it.

mod common;
#[path = "common/netns.rs"]
mod netns;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use tempfile::TempDir;

use common::{command, Setup, BINARY};
use netns::Network;

/// A running `p2pmusic pair`.
struct Pair {
    _dir: TempDir,
    child: Child,
    said: BufReader<ChildStdout>,
    code: String,
    at: String,
}

impl Pair {
    /// Shows a code for `key`, with these words behind `pair`.
    fn start(prefix: &[String], name: &str, key: &str, words: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        fs::write(&file, format!("{key}\n")).unwrap();
        let config = dir.path().join("p2pmusic.toml");
        let text = format!("name = {name:?}\n[swarm]\nkey_file = {file:?}\n");
        fs::write(&config, text).unwrap();
        let mut child = command(prefix, BINARY)
            .args(["pair", "--config"])
            .arg(&config)
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let code = line_with(&mut said, "The code:");
        let code = code.rsplit(' ').next().unwrap().to_owned();
        let holds = line_with(&mut said, "It holds for ");
        let at = holds.trim_end_matches('.').rsplit(' ').next().unwrap();
        Self {
            _dir: dir,
            child,
            said,
            code,
            at: at.to_owned(),
        }
    }

    /// A code that is not the one.
    fn wrong_code(&self) -> String {
        let last = self.code.chars().last().unwrap();
        let other = if last == '0' { '1' } else { '0' };
        format!("{}{other}", &self.code[..self.code.len() - 1])
    }

    /// Waits for its end: its exit code, and all that it has said since.
    fn end(mut self) -> (i32, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code().unwrap(), said)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line_with(from: &mut impl BufRead, words: &str) -> String {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(from.read_line(&mut line).unwrap() > 0, "no {words:?}");
    }
    line.trim_end().to_owned()
}

/// The new speaker's directory, with its configuration.
struct Newcomer(TempDir);

impl Newcomer {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("p2pmusic.toml"), config).unwrap();
        Self(dir)
    }

    fn key_file(&self) -> PathBuf {
        self.0.path().join("the.key")
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("p2pmusic.toml")
    }

    /// Joins with what is typed.
    fn join(&self, prefix: &[String], typed: &str, words: &[&str]) -> Output {
        let mut child = command(prefix, BINARY)
            .args(["join", "--config"])
            .arg(self.config())
            .arg("--key-file")
            .arg(self.key_file())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may not even ask.
        let _ = writeln!(child.stdin.take().unwrap(), "{typed}");
        child.wait_with_output().unwrap()
    }
}

fn words_of(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|said| String::from_utf8_lossy(said).into_owned())
        .concat()
}

fn keygen() -> String {
    let made = Command::new(BINARY).arg("keygen").output().unwrap();
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

const HERE: &[&str] = &["--listen", "127.0.0.1:0"];

#[test]
fn a_new_speaker_joins_and_is_a_member_from_its_next_start_on() {
    let key = keygen();
    let pair = Pair::start(&[], "kitchen", &key, HERE);
    let newcomer = Newcomer::new("# mine\nname = \"attic\"\n[swarm]\n# open so far\n");
    let joined = newcomer.join(&[], &pair.code, &["--at", &pair.at]);
    assert!(joined.status.success(), "{}", words_of(&joined));
    assert!(words_of(&joined).contains("kitchen has given the key"));
    let (code, said) = pair.end();
    assert_eq!((code, said.trim()), (0, "attic has joined."));
    assert_eq!(
        fs::read_to_string(newcomer.key_file()).unwrap(),
        format!("{key}\n")
    );
    let mode = fs::metadata(newcomer.key_file())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o137, 0, "{mode:o}");
    let config = fs::read_to_string(newcomer.config()).unwrap();
    let line = format!("key_file = {:?}", newcomer.key_file());
    assert_eq!(
        config,
        format!("# mine\nname = \"attic\"\n[swarm]\n{line}\n# open so far\n")
    );

    // The key is one of the swarm.
    let tracker = Setup::tracker().key(&key).start();
    let key = fs::read_to_string(newcomer.key_file()).unwrap();
    let member = Setup::peer("attic", &tracker).key(&key).start();
    member.wait_until_registered();
}

#[test]
fn wrong_codes_are_counted_and_said_on_both_sides() {
    let pair = Pair::start(&[], "kitchen", &keygen(), HERE);
    let newcomer = Newcomer::new("");
    let wrong = pair.wrong_code();
    let at = ["--at", &*pair.at];
    for says in ["2 more tries", "1 more try", "too many tries"] {
        let refused = newcomer.join(&[], &wrong, &at);
        let said = words_of(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(
            said.contains("not the code") && said.contains(says),
            "{said}"
        );
        assert!(!said.contains(&wrong), "{said}");
    }
    let late = newcomer.join(&[], &pair.code, &at);
    assert!(words_of(&late).contains("shows a code"), "{late:?}");
    assert!(!newcomer.key_file().exists());
    assert_eq!(fs::read_to_string(newcomer.config()).unwrap(), "");
    let (code, said) = pair.end();
    assert_eq!(code, 1, "{said}");
    for words in [
        "127.0.0.1 has failed",
        "2 more tries",
        "1 more try",
        "three tries have failed",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_code_that_is_none_or_runs_out_is_said_in_words() {
    let pair = Pair::start(
        &[],
        "kitchen",
        &keygen(),
        &[HERE, &["--seconds", "1"]].concat(),
    );
    let (code, said) = {
        let newcomer = Newcomer::new("");
        let typed = newcomer.join(&[], "hello", &["--at", &pair.at]);
        assert!(words_of(&typed).contains("1234-5678"), "{typed:?}");
        pair.end()
    };
    assert_eq!(code, 1);
    assert!(said.contains("the code has run out"), "{said}");
}

#[test]
fn what_is_in_the_way_is_named_before_a_code_is_asked_for() {
    let newcomer = Newcomer::new("");
    let at = ["--at", "127.0.0.1:9"];
    fs::write(newcomer.key_file(), format!("{}\n", keygen())).unwrap();
    let member = newcomer.join(&[], "", &at);
    assert!(words_of(&member).contains("--replace"), "{member:?}");
    // What a copy that failed leaves behind is nothing.
    fs::write(newcomer.key_file(), "").unwrap();
    let nobody = newcomer.join(&[], "1234-5678", &at);
    assert!(
        words_of(&nobody).contains("nobody shows a code there"),
        "{nobody:?}"
    );
    assert_eq!(fs::read_to_string(newcomer.key_file()).unwrap(), "");

    let open = Newcomer::new("");
    let output = Command::new(BINARY)
        .args(["pair", "--config"])
        .arg(open.config())
        .output()
        .unwrap();
    assert!(words_of(&output).contains("keygen"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

/// Found by mDNS, from another machine; of two that show a code, one has to be named.
#[test]
fn the_member_is_found_in_the_network() {
    let Some(network) = Network::or_skip() else {
        return;
    };
    let key = keygen();
    let kitchen = Pair::start(&network.prefix(0), "Kitchen", &key, &[]);
    let newcomer = Newcomer::new("name = \"attic\"\n");
    let join = |typed: &str, words: &[&str]| newcomer.join(&network.prefix(1), typed, words);
    let joined = join(&kitchen.code, &[]);
    assert!(joined.status.success(), "{}", words_of(&joined));
    let (code, said) = kitchen.end();
    assert_eq!((code, said.trim()), (0, "attic has joined."));

    let other = ["--listen", "[::]:0"];
    let kitchen = Pair::start(&network.prefix(0), "Kitchen", &key, &[]);
    let cellar = Pair::start(&network.prefix(0), "cellar", &keygen(), &other);
    let which = join(&kitchen.code, &["--replace"]);
    let said = words_of(&which);
    assert!(
        said.contains("kitchen") && said.contains("cellar"),
        "{said}"
    );
    let joined = join(&kitchen.code, &["--replace", "--member", "kitchen"]);
    assert!(joined.status.success(), "{}", words_of(&joined));
    assert_eq!(
        fs::read_to_string(newcomer.key_file()).unwrap(),
        format!("{key}\n")
    );
    // A member that is stopped says that it shows no code any more.
    kill(Pid::from_raw(cellar.child.id() as i32), Signal::SIGINT).unwrap();
    let (code, said) = cellar.end();
    assert!(
        code == 1 && said.contains("does not hold any more"),
        "{said}"
    );
    assert_eq!(kitchen.end().0, 0);
    let nobody = join("1234-5678", &["--replace"]);
    assert!(
        words_of(&nobody).contains("no speaker near shows a code"),
        "{nobody:?}"
    );
}
