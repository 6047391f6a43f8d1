//! The file of a swarm's keys: one key a line, `#` starts a comment.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{BadKey, SwarmKey};

/// Reads the keys in `path`. The first one signs, all are believed.
///
/// A file that others may read is used, but warned about.
///
/// # Errors
/// Names the file, and the line where one is at fault.
pub fn read_keys(path: &Path) -> Result<Vec<SwarmKey>, KeyFileError> {
    let text = read(path).map_err(|source| KeyFileError::Read {
        path: path.into(),
        source,
    })?;
    let mut keys = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.split('#').next().unwrap_or_default().trim();
        if text.is_empty() {
            continue;
        }
        let key = SwarmKey::parse(text).map_err(|why| KeyFileError::BadLine {
            path: path.into(),
            line,
            why,
        })?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    match keys.len() {
        0 => Err(KeyFileError::Empty { path: path.into() }),
        1..=MAX_KEYS => Ok(keys),
        _ => Err(KeyFileError::TooMany { path: path.into() }),
    }
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("the key file {path:?} cannot be read: {source}{}", way_in(.source, .path))]
    Read { path: PathBuf, source: io::Error },
    #[error("{path:?}, line {line}, is not a swarm's key: {why}; `p2pmusic keygen` makes one")]
    BadLine {
        path: PathBuf,
        line: usize,
        why: BadKey,
    },
    #[error(
        "{path:?} has no key in it; `sudo p2pmusic join` fetches the swarm's, and \
         `p2pmusic keygen` makes the first"
    )]
    Empty { path: PathBuf },
    #[error("{path:?} has more than {MAX_KEYS} keys; remove those that are not in use any more")]
    TooMany { path: PathBuf },
}

/// How the service is let in, where it was not.
fn way_in(error: &io::Error, path: &Path) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "; `sudo chgrp p2pmusic {path} && sudo chmod 640 {path}` lets the service read it"
        ),
        _ => String::new(),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & OTHERS_READ != 0 {
        log::warn!(
            "every user of this machine can read the swarm's key; `chmod o= {}` mends it",
            path.display()
        );
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Each costs a signature check in a handshake with a stranger.
const MAX_KEYS: usize = 8;
/// Far more than the keys with ample comments, so that a wrong path (a
/// device, a film) does not fill the memory.
const MAX_FILE_BYTES: u64 = 64 * 1024;
const OTHERS_READ: u32 = 0o004;

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<SwarmKey>, KeyFileError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_keys(file.path())
    }

    #[test]
    fn keys_come_in_order_without_comments_and_repetitions() {
        let [new, old] = [SwarmKey([1; 32]), SwarmKey([2; 32])];
        let text = format!("# ours\n\n  {new} # since May\n{old}\n{new}\n");
        assert_eq!(read_text(&text).unwrap(), [new, old]);
    }

    #[test]
    fn who_may_not_read_it_is_told_how_to_be_let_in() {
        let path = PathBuf::from("/etc/p2pmusic.key");
        let read = |kind: io::ErrorKind| KeyFileError::Read {
            path: path.clone(),
            source: kind.into(),
        };
        let denied = read(io::ErrorKind::PermissionDenied).to_string();
        assert!(
            denied.contains("chgrp p2pmusic /etc/p2pmusic.key"),
            "{denied}"
        );
        let missing = read(io::ErrorKind::NotFound).to_string();
        assert!(!missing.contains("chgrp"), "{missing}");
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let bad = read_text("# a password is no key\nhunter2\n").unwrap_err();
        assert!(bad.to_string().contains("line 2"), "{bad}");
        assert!(!bad.to_string().contains("hunter2"), "{bad}");
        let empty = read_text("# soon\n").unwrap_err();
        assert!(matches!(empty, KeyFileError::Empty { .. }), "{empty}");
        let missing = read_keys(Path::new("/nowhere/key")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/key"), "{missing}");
    }
}
