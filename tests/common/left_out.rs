//! What a test cannot do on this machine is left out by name and reason, never in
//! silence: `make test` lists it at its end, and does not count it as passed.

use std::{env, fs::OpenOptions, io::Write, thread};

/// The file of what is left out, a line each: file, test and reason, between tabs.
/// `tests/report` sets it, and reads it.
const FILE: &str = "P2PMUSIC_LEFT_OUT";

/// What is said where there is no such file: in `cargo test` by hand.
pub const WORDS: &str = "LEFT OUT ";

/// Says that the test of this thread cannot run here, and why.
pub fn left_out(reason: &str) {
    let name = test_name();
    // One line, one write: tests of several processes write at once.
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("{}\t{name}\t{reason}\n", env!("CARGO_CRATE_NAME"));
    let Some(file) = env::var_os(FILE) else {
        return say(&format!("{WORDS}{name}: {reason}"));
    };
    let file = OpenOptions::new().append(true).create(true).open(file);
    file.unwrap().write_all(line.as_bytes()).unwrap();
}

/// The same of a part of a test. It has done the rest, but not all that its name says,
/// so it does not count as passed either.
pub fn left_out_in_part(reason: &str) {
    left_out(&format!("in part: {reason}"));
}

/// What a test needs; where that cannot be had, the test is left out.
pub fn or_left_out<T>(result: Result<T, String>) -> Option<T> {
    result.inspect_err(|why| left_out(why)).ok()
}

/// The test that runs in this thread, as libtest names it.
pub fn test_name() -> String {
    let thread = thread::current();
    let name = thread.name().filter(|name| *name != "main");
    name.expect("it is the thread of a test").to_owned()
}

/// Writes to the terminal even from a test that passes, whose `eprintln!` is captured.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
