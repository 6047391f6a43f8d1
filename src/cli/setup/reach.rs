//! Whether the service's user can read the music, and a way in for it where it cannot.
//!
//! It is tried as that user: the kernel knows all of modes, lists and mounts.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The service's user.
pub const USER: &str = "p2pmusic";

/// What is in the way of the service's user.
#[derive(Debug, PartialEq, Eq)]
pub enum MusicReach {
    Whole,
    /// This is the first that it cannot read or enter.
    Barred(PathBuf),
    /// It was not found out: why.
    Unknown(String),
}

/// Looks through `dir` as `user`.
pub fn of(user: &str, dir: &Path) -> MusicReach {
    if let Some(closed) = closed_above(user, dir) {
        return MusicReach::Barred(closed);
    }
    let seconds = MAX_SECONDS.to_string();
    let mut find = as_user(user, &["timeout", &seconds, "find", "-H"]);
    find.arg(dir).args(BARRED);
    match find.output() {
        Err(why) => MusicReach::Unknown(format!("setpriv: {why}")),
        Ok(output) if output.status.code() == Some(TIMED_OUT) => {
            MusicReach::Unknown(format!("{} took over {seconds} s", dir.display()))
        }
        Ok(output) => match first_line(&output) {
            Some(path) => MusicReach::Barred(path.into()),
            None if output.status.success() => MusicReach::Whole,
            None => MusicReach::Unknown(said(&output)),
        },
    }
}

/// Lets `user` in by access control lists: through what lies above, and into all that is in
/// `dir` or will be.
///
/// # Errors
/// Says what did not work.
pub fn let_in(user: &str, dir: &Path) -> Result<(), String> {
    let way_in = format!("u:{user}:x");
    while let Some(closed) = closed_above(user, dir) {
        setfacl(&["-m", &way_in], &closed)?;
        if closed_above(user, dir).as_deref() == Some(&closed) {
            return Err(format!("{} stays closed", closed.display()));
        }
    }
    let rights = format!("u:{user}:rX");
    setfacl(&["-R", "-m", &rights], dir)?;
    setfacl(&["-R", "-d", "-m", &rights], dir)
}

/// The first directory above `dir` that `user` may not pass through.
fn closed_above(user: &str, dir: &Path) -> Option<PathBuf> {
    let mut above: Vec<&Path> = dir.ancestors().skip(1).collect();
    above.reverse();
    let is_closed = |path: &&Path| {
        let tried = as_user(user, &["test", "-x"]).arg(path).status();
        tried.is_ok_and(|status| status.code() == Some(1))
    };
    above.into_iter().find(is_closed).map(Into::into)
}

fn setfacl(words: &[&str], path: &Path) -> Result<(), String> {
    let output = Command::new("setfacl").args(words).arg(path).output();
    match output {
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            Err("there is no setfacl (`sudo apt install acl`)".into())
        }
        Err(why) => Err(format!("setfacl: {why}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(said(&output)),
    }
}

fn as_user(user: &str, words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={user}")]);
    command.args(["--init-groups", "--"]).args(words);
    // It may not be let into the directory where this runs.
    command.current_dir("/");
    command
}

fn first_line(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next()?.to_owned())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// What `find` prints: the first directory or file that cannot be read.
const BARRED: [&str; 16] = [
    "(",
    "-type",
    "d",
    "!",
    "(",
    "-readable",
    "-executable",
    ")",
    "-o",
    "-type",
    "f",
    "!",
    "-readable",
    ")",
    "-print",
    "-quit",
];
/// Large collections on slow disks are looked through in a part of it; a share that does
/// not answer must not hold the rest up.
const MAX_SECONDS: u32 = 60;
/// The exit code of timeout(1).
const TIMED_OUT: i32 = 124;
