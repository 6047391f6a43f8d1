//! Root without being root: a test that makes networks or mounts, or becomes another
//! user, runs once more as root of a user namespace of its own where the person who
//! tests is somebody else.

use std::{env, process::Command, sync::OnceLock};

use super::left_out::{left_out, say, test_name, WORDS};

/// Set for the test that runs in namespaces of its own.
const OWN_ROOT: &str = "P2PMUSIC_OWN_ROOT";

/// Debian gives ordinary users no way to the daemons.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// `ip` keeps its namespaces below /run, and a new network has its loopback down.
const BEGIN: &str = "mount -t tmpfs tmpfs /run && ip link set lo up && exec \"$@\"";

/// Whether this test goes on here, as root that may mount and make networks. If not, it has
/// been done already in namespaces of its own, or is left out: either way it returns.
pub fn as_root() -> bool {
    if is_root() {
        return true;
    }
    match own_root() {
        Ok(words) => run_once_more(words),
        Err(why) => left_out(&format!("no namespaces can be made here: {why}")),
    }
    false
}

/// The words before a command that runs it as nobody; `None` where the test returns.
pub fn as_nobody() -> Option<Vec<String>> {
    if !as_root() {
        return None;
    }
    let words = NOBODY.map(str::to_owned).to_vec();
    if let Err(why) = try_to(&NOBODY, "true") {
        left_out(&format!(
            "nobody else can be become here, see newuidmap(1) and /etc/subuid: {why}"
        ));
        return None;
    }
    Some(words)
}

const NOBODY: [&str; 4] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

/// Whether this process is root, of the machine or of a namespace, and may do what the
/// tests need: in a container, root often may not.
fn is_root() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        env::var_os(OWN_ROOT).is_some()
            || nix::unistd::geteuid().is_root()
                && try_to(&["unshare", "-m", "-n"], "mount -t tmpfs none /mnt").is_ok()
    })
}

/// The words that make a user, a network and a mount namespace: with many users, or with
/// root alone where this user was given no others.
fn own_root() -> &'static Result<Vec<String>, String> {
    static WORDS: OnceLock<Result<Vec<String>, String>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let alone = ["unshare", "--user", "--map-root-user", "--mount", "--net"];
        let many = [&alone[..], &["--map-auto"]].concat();
        let mut tried = Ok(());
        for words in [&many[..], &alone] {
            tried = try_to(words, &BEGIN.replace("exec \"$@\"", "true"));
            if tried.is_ok() {
                return Ok(words.iter().map(|word| (*word).to_owned()).collect());
            }
        }
        tried.map(|()| Vec::new())
    })
}

fn try_to(words: &[&str], script: &str) -> Result<(), String> {
    let mut command = Command::new(words[0]);
    let command = command.args(&words[1..]).args(["sh", "-c", script]);
    let output = command.env("PATH", path()).output();
    let output = output.map_err(|why| format!("{}: {why}", words[0]))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Runs this very test in a process of its own, and fails when it does.
fn run_once_more(words: &[String]) {
    let mut again = Command::new(&words[0]);
    again.args(&words[1..]).args(["sh", "-c", BEGIN, "sh"]);
    again.arg(env::current_exe().unwrap());
    again.args(["--exact", "--nocapture", &test_name()]);
    again.env(OWN_ROOT, "1").env("PATH", path());
    let output = again.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in stderr.lines().filter(|line| line.starts_with(WORDS)) {
        say(line);
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    // Not to be taken for lines of this process's own.
    for line in stdout.lines().chain(stderr.lines()) {
        eprintln!("    {line}");
    }
    let has_run = stdout.contains("1 passed");
    assert!(
        output.status.success() && has_run,
        "it fails as root of a user namespace"
    );
}

fn path() -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{path}:{SBIN}")
}

/// Whether file systems can be mounted that only a child sees. If not, the test returns: it
/// has been done already where they can, or is left out.
pub fn can_mount() -> bool {
    as_root()
}
