//! The node's own secret on its disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::aside::{make_way, put_aside};

use super::{encoding, random, BadKey};

/// Reads the secret in `state_dir`, making it first if there is none; and says what a person
/// should know of that.
///
/// A file in which there is nothing, as a power cut leaves it, holds nothing that a person
/// could mend: it is put aside, and the node starts as a new one.
///
/// # Errors
/// Names the file. A damaged one is not replaced: the node would become
/// another, and its catalogue and its place in the others' queues would be
/// gone.
pub fn load_or_make(state_dir: &Path) -> Result<([u8; 32], Option<String>), SecretError> {
    let path = state_dir.join(FILE_NAME);
    match read(&path) {
        Ok(text) if is_blank(&text) => {
            let becomes = match put_aside(&path) {
                Ok(aside) => format!("it is put aside as {}", aside.display()),
                Err(error) => format!("it could not be put aside ({error})"),
            };
            let notice = format!(
                "the node's identity {} was empty, as after a power cut; {becomes}, and {IS_NEW}",
                path.display()
            );
            Ok((make(state_dir, path)?, Some(notice)))
        }
        Ok(text) => match encoding::decode(PREFIX, text.trim()) {
            Ok(secret) => Ok((secret, None)),
            Err(why) => Err(SecretError::Damaged { path, why }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let notice = was_in_use(state_dir).then(|| {
                let at = path.display();
                format!("the node's identity {at} is gone, and {IS_NEW}")
            });
            Ok((make(state_dir, path)?, notice))
        }
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            Err(SecretError::Directory { path })
        }
        Err(source) => Err(SecretError::Read { path, source }),
    }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c == '\0' || c.is_whitespace())
}

/// Whether a node has run here before: what it remembers is written after its identity.
fn was_in_use(state_dir: &Path) -> bool {
    let left = ["memory.json", "place"];
    left.iter().any(|name| state_dir.join(name).exists())
}

/// Replaces the secret in `state_dir`, damaged or not, by a new one.
///
/// # Errors
/// Names the file.
pub fn replace(state_dir: &Path) -> Result<[u8; 32], SecretError> {
    make(state_dir, state_dir.join(FILE_NAME))
}

/// Writes the secret again where its file has been removed, or emptied, while the node runs:
/// the node would be another one at its next start without anybody having asked for that.
/// Gives what a person should know of it: `Ok` when it is written, `Err` when it cannot be.
///
/// What is there, and be it damaged, is left alone. The directory may have been removed, too;
/// the one that it lies in is not made, since a disk that is not mounted looks the same.
pub fn write_again(state_dir: &Path, secret: &[u8; 32]) -> Option<Result<String, String>> {
    let path = state_dir.join(FILE_NAME);
    let is_absence = |error: &io::Error| {
        use io::ErrorKind::{NotADirectory, NotFound};
        matches!(error.kind(), NotFound | NotADirectory)
    };
    let what = match fs::metadata(&path) {
        Err(error) if is_absence(&error) => "removed",
        Ok(found) if found.is_file() && found.len() == 0 => "emptied",
        _ => return None,
    };
    let is_made = match fs::create_dir(state_dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => write(state_dir, &path, secret),
    };
    let lost = format!(
        "the node's identity {} was {what} while p2pmusic ran",
        path.display()
    );
    Some(match is_made {
        Ok(()) => Ok(format!(
            "{lost}, and is written again: see what does that, and keep a copy"
        )),
        Err(error) => Err(format!(
            "{lost}, and cannot be written again ({error}): let it be written, or this is a \
             new node after the next start"
        )),
    })
}

/// Why the node's secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "the node's identity {path:?} cannot be read: {source}; \
         its owner must be the user that p2pmusic runs as"
    )]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the node's identity {path:?} is a directory; restore the file, \
         or remove the directory to start as a new node"
    )]
    Directory { path: PathBuf },
    #[error("the node's identity {path:?} cannot be written: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "the node's identity {path:?} is damaged: {why}; restore it, \
         or remove it to start as a new node"
    )]
    Damaged { path: PathBuf, why: BadKey },
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)?;
    // Garbage is no secret either, and is said to be damaged.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn make(state_dir: &Path, path: PathBuf) -> Result<[u8; 32], SecretError> {
    let written = random()
        .map_err(io::Error::other)
        .and_then(|secret| write(state_dir, &path, &secret).map(|()| secret));
    written.map_err(|source| SecretError::Write { path, source })
}

/// After a power cut at any moment there is the whole file or none.
fn write(state_dir: &Path, path: &Path, secret: &[u8; 32]) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    let temporary = path.with_extension("new");
    // One that an earlier cut left behind may have any mode.
    make_way(&temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(&temporary)?;
    writeln!(file, "{}", encoding::encode(PREFIX, secret))?;
    give_to_owner_of(state_dir, &file)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(state_dir)?.sync_all()
}

/// Gives `file` to the owner of its directory: root makes it for a service that
/// runs as another user.
///
/// # Errors
/// Those of reading the owner and giving the file away.
pub fn give_to_owner_of(dir: &Path, file: &File) -> io::Result<()> {
    let (dir, owned) = (fs::metadata(dir)?, file.metadata()?);
    if (dir.uid(), dir.gid()) != (owned.uid(), owned.gid()) && nix::unistd::geteuid().is_root() {
        std::os::unix::fs::fchown(file, Some(dir.uid()), Some(dir.gid()))?;
    }
    Ok(())
}

const FILE_NAME: &str = "identity.key";
const IS_NEW: &str =
    "this is a new node from now on: to have the old one back, restore the file from a copy and \
     restart p2pmusic";
/// Another prefix than a swarm's key: neither passes for the other.
const PREFIX: &str = "p2pid1-";
const OWNER_ONLY: u32 = 0o600;
/// A secret is one short line.
const MAX_FILE_BYTES: u64 = 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, _) = load_or_make(dir.path()).unwrap();
        let file = dir.path().join(FILE_NAME);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(load_or_make(dir.path()).unwrap(), (secret, None));
    }

    #[test]
    fn a_new_one_takes_the_place_of_any() {
        let dir = tempfile::tempdir().unwrap();
        let (first, _) = load_or_make(dir.path()).unwrap();
        let second = replace(dir.path()).unwrap();
        assert_ne!(first, second);
        assert_eq!(load_or_make(dir.path()).unwrap().0, second);
        fs::write(dir.path().join(FILE_NAME), "torn").unwrap();
        let third = replace(dir.path()).unwrap();
        assert_eq!(load_or_make(dir.path()).unwrap().0, third);
    }

    #[test]
    fn a_torn_file_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        load_or_make(dir.path()).unwrap();
        let file = dir.path().join(FILE_NAME);
        let torn = fs::read_to_string(&file).unwrap()[..20].to_owned();
        fs::write(&file, &torn).unwrap();
        let error = load_or_make(dir.path()).unwrap_err();
        assert!(error.to_string().contains("identity.key"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), torn);
    }

    #[test]
    fn an_empty_file_is_put_aside_and_a_new_node_begins() {
        for left in [&b""[..], b"\n", &[0; 64]] {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join(FILE_NAME);
            fs::write(&file, left).unwrap();
            let (secret, notice) = load_or_make(dir.path()).unwrap();
            assert!(notice.unwrap().contains("identity.key"));
            assert_eq!(load_or_make(dir.path()).unwrap(), (secret, None));
            let aside = dir.path().join("identity.key.damaged");
            assert_eq!(fs::read(aside).unwrap(), left);
        }
    }

    #[test]
    fn a_node_that_has_lost_its_identity_says_so() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load_or_make(dir.path()).unwrap().1, None, "it is new");
        fs::write(dir.path().join("memory.json"), "{}").unwrap();
        fs::remove_file(dir.path().join(FILE_NAME)).unwrap();
        let (_, notice) = load_or_make(dir.path()).unwrap();
        assert!(notice.unwrap().contains("is gone"));
    }

    #[test]
    fn one_that_is_lost_while_the_node_runs_is_written_again() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("state");
        let (secret, _) = load_or_make(&dir).unwrap();
        let file = dir.join(FILE_NAME);
        let losses: [(fn(&Path), _); 3] = [
            (|file| fs::remove_file(file).unwrap(), "was removed"),
            (|file| fs::write(file, "").unwrap(), "was emptied"),
            (
                |file| fs::remove_dir_all(file.parent().unwrap()).unwrap(),
                "was removed",
            ),
        ];
        for (lose, said) in losses {
            assert_eq!(write_again(&dir, &secret), None);
            lose(&file);
            let notice = write_again(&dir, &secret).unwrap().unwrap();
            assert!(
                notice.contains(said) && notice.contains("written again"),
                "{notice}"
            );
            assert_eq!(load_or_make(&dir).unwrap(), (secret, None));
        }
        // Somebody may have put it there.
        fs::write(&file, "torn").unwrap();
        assert_eq!(write_again(&dir, &secret), None);
        let elsewhere = parent.path().join("not mounted/state");
        let notice = write_again(&elsewhere, &secret).unwrap().unwrap_err();
        assert!(notice.contains("cannot be written again"), "{notice}");
    }

    #[test]
    fn what_a_power_cut_left_behind_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("identity.new"), "half").unwrap();
        load_or_make(dir.path()).unwrap();
        assert!(!dir.path().join("identity.new").exists());
    }
}
