//! Which node has which name, in a file of the state directory, so that a tracker that was
//! restarted gives nobody's name to another.

use std::{fs, io, path::Path};

use super::names::NameFile;
use crate::{
    aside::{put_aside, read_whole, replace},
    tenure::TenureRecord,
};

/// The file in `state_dir`, and what it says. What cannot be read is put aside.
pub fn open(state_dir: &Path) -> (NameFile, Vec<TenureRecord>) {
    let path = state_dir.join("names.json");
    let (records, notice) = match read(&path) {
        Ok(records) => (records, None),
        Err(error) => (Vec::new(), Some(set_aside(&path, &error))),
    };
    (NameFile::new(path, notice), records)
}

fn read(path: &Path) -> io::Result<Vec<TenureRecord>> {
    match read_whole(path, MAX_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        bytes => Ok(serde_json::from_slice(&bytes?)?),
    }
}

/// Puts the file aside, and says so.
fn set_aside(path: &Path, error: &io::Error) -> String {
    let becomes = match put_aside(path) {
        Ok(aside) => format!("is put aside as {}", aside.display()),
        Err(error) => format!("cannot be put aside ({error}): remove it"),
    };
    let notice = format!(
        "{} cannot be read ({error}) and {becomes}; a node that is off may find its name \
         another's",
        path.display()
    );
    log::warn!("{notice}");
    notice
}

/// Replaces what was saved, whole or not at all.
///
/// # Errors
/// When the state directory cannot be written.
pub fn save(path: &Path, records: &[TenureRecord]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // The directory may have been removed; the one that it lies in is not made, since a disk
    // that is not mounted looks the same.
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    replace(path, &serde_json::to_vec(records)?)
}

/// Twice what all names together take.
const MAX_FILE: u64 = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PeerId;

    fn record(n: u8) -> TenureRecord {
        TenureRecord {
            peer: PeerId([n; 32]),
            name: "k".repeat(63),
            address: [255; 8].map(|n: u16| n * 257).into(),
            unseen: u64::MAX,
            is_settled: false,
        }
    }

    #[test]
    fn what_is_saved_is_read_and_what_is_damaged_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let path = state.join("names.json");
        let records = vec![record(1), record(2)];
        save(&path, &records).unwrap();
        let (file, read) = open(&state);
        assert_eq!((read, file.problems().count()), (records, 0));
        fs::write(&path, "[{").unwrap();
        let (file, read) = open(&state);
        assert_eq!(read, []);
        let notice = file.problems().next().unwrap();
        assert!(notice.contains("names.json.damaged"), "{notice}");
        assert!(!path.exists());
    }

    #[test]
    fn the_most_there_is_can_be_read_again() {
        let most = vec![record(255); 2 * crate::tenure::MAX_AWAY];
        let bytes = serde_json::to_vec(&most).unwrap().len() as u64;
        assert!(2 * bytes <= MAX_FILE, "{bytes}");
    }
}
