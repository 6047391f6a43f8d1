//! The node's numbers in a file that Prometheus' node_exporter reads (its textfile
//! collector).
//!
//! Written only where it is configured; without, nothing here ever wakes up. A file that
//! cannot be written stops nothing: that is said once, and tried again.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use async_channel::Receiver;
use smol::{future, Timer};

use crate::{
    node::{Event, MachineReport},
    peer::Handle,
    util::work,
};

/// Keeps the file up to date that came out of `places` last, as long as there is a node.
pub async fn keep(places: Receiver<Option<PathBuf>>, node: Handle) {
    let mut at: Option<PathBuf> = None;
    let mut works = true;
    loop {
        if let Some(path) = &at {
            let Some(text) = node.exposition().await else {
                return;
            };
            let path = path.clone();
            let written = work::unblock(move || write(&path, &text)).await;
            tell(written, &mut works, &node).await;
        }
        let due = async {
            match at {
                Some(_) => _ = Timer::after(INTERVAL).await,
                None => future::pending().await,
            }
            None
        };
        let moved = async { Some(places.recv().await) };
        match future::or(moved, due).await {
            None => {}
            Some(Err(_)) => return,
            Some(Ok(next)) => {
                if let Some(old) = std::mem::replace(&mut at, next) {
                    work::unblock(move || remove(&old)).await;
                }
                // Whatever was wrong with it is over.
                tell(Ok(()), &mut works, &node).await;
            }
        }
    }
}

/// Says that the file can be written, or why not, when that has changed.
async fn tell(written: Result<(), String>, works: &mut bool, node: &Handle) {
    if written.is_ok() == std::mem::replace(works, written.is_ok()) {
        return;
    }
    match &written {
        Ok(()) => log::info!("`stats.prometheus` is well again"),
        Err(why) => log::warn!("{why}"),
    }
    node.tell(Event::Machine(MachineReport::StatsWritten(written)))
        .await;
}

/// Replaces the file, whole or not at all. After a power cut it is worth nothing, so the
/// card is spared the syncing.
///
/// # Errors
/// What a person should see to.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let replace = || -> io::Result<()> {
        let new = temporary(path);
        // One that lies there may be another's, or lead elsewhere.
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut options = fs::File::options();
        let mut file = options.write(true).create_new(true).mode(MODE).open(&new)?;
        // Whatever the service's umask is: the exporter is somebody else.
        file.set_permissions(fs::Permissions::from_mode(MODE))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, path)
    };
    replace().map_err(|e| {
        let at = path.display();
        format!(
            "{at}: the numbers for Prometheus cannot be written: {e}; let its directory be \
             written by the service, or name another as `stats.prometheus`"
        )
    })
}

/// Old numbers must not be read for ever as if they were new.
fn remove(path: &Path) {
    if let Err(e) = fs::remove_file(path) {
        log::debug!("{} stays: {e}", path.display());
    }
}

/// Beside the file, by a name that the exporter does not look at.
fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

/// As often as Prometheus asks an exporter in most homes.
const INTERVAL: Duration = Duration::from_secs(15);
/// Everybody may read how well it plays.
const MODE: u32 = 0o644;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_file_is_replaced_whole_and_what_lies_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("p.prom"), dir.path().join("other"));
        fs::write(&other, "another's").unwrap();
        symlink(&other, temporary(&path)).unwrap();
        for text in ["one\n", "two\n"] {
            write(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "another's");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert!(!temporary(&path).exists());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none/p.prom");
        let why = write(&path, "").unwrap_err();
        let named = path.display().to_string();
        assert!(
            why.starts_with(&named) && why.contains("stats.prometheus"),
            "{why}"
        );
    }
}
