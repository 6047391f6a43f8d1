//! Small file systems that only a node sees: it runs in a mount namespace of
//! its own, and the test changes that from outside.

use std::path::Path;

use super::common::{command, Node, Setup};

/// Has `setup` run where `before` was done first: a line of shell.
pub fn within(setup: Setup, before: &str) -> Setup {
    let script = format!("{before}; exec \"$0\" \"$@\"");
    let words = ["unshare", "-m", "sh", "-ec", &script];
    Setup {
        prefix: words.map(str::to_owned).into(),
        ..setup
    }
}

/// Runs a line of shell where `node` runs.
pub fn run(node: &Node, line: &str) {
    let pid = node.pid().to_string();
    let enter = ["nsenter", "-m", "-t", &pid, "sh", "-ec"].map(str::to_owned);
    let output = command(&enter, line).output().unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Fills the file system of `dir`, which [`make_room`] takes back.
pub fn fill_up(node: &Node, dir: &Path) {
    let ballast = dir.join("ballast");
    let line = format!("cat /dev/zero > {} 2>/dev/null || true", ballast.display());
    run(node, &line);
}

pub fn make_room(node: &Node, dir: &Path) {
    run(node, &format!("rm {}", dir.join("ballast").display()));
}

/// The same, and gives what it printed.
pub fn output(node: &Node, line: &str) -> String {
    let pid = node.pid().to_string();
    let enter = ["nsenter", "-m", "-t", &pid, "sh", "-ec"].map(str::to_owned);
    let output = command(&enter, line).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
