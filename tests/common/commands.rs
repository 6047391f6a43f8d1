//! Commands, where a test runs them.
#![allow(dead_code)] // each test file uses a part of it

use std::process::Command;

use super::BINARY;

/// p2pmusic itself, behind `prefix`.
pub fn program(prefix: &[String], runner: &[String]) -> Command {
    match runner.split_last() {
        None => command(prefix, BINARY),
        Some((binary, emulator)) => command(&[prefix, emulator].concat(), binary),
    }
}

/// A command behind `prefix`.
pub fn command(prefix: &[String], program: &str) -> Command {
    match prefix {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}
