//! The key of a swarm that begins here.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{fchown, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use nix::unistd::{geteuid, Group};

use super::{reach::USER, SetupError};
use crate::identity::{read_keys, KeyFileError, SwarmKey};

/// What became of a key file.
pub enum Made {
    New,
    /// It had a key already, by which others may be here.
    Kept,
}

/// Makes a key at `path` for the service to read, unless there is one.
///
/// # Errors
/// When what is there is no file of keys, or none can be made.
pub fn make(path: &Path) -> Result<Made, SetupError> {
    match read_keys(path) {
        Ok(_) => return Ok(Made::Kept),
        // One that a broken recipe has left behind.
        Err(KeyFileError::Empty { .. }) => {}
        Err(KeyFileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let key = SwarmKey::generate()?;
    write(path, &key).map_err(|source| SetupError::File {
        path: path.into(),
        source,
    })?;
    Ok(Made::New)
}

fn write(path: &Path, key: &SwarmKey) -> io::Result<()> {
    let temporary = path.with_extension("making");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(&temporary)?;
    let group = Group::from_name(USER).ok().flatten();
    if let Some(group) = group.filter(|_| geteuid().is_root()) {
        fchown(&file, None, Some(group.gid.as_raw()))?;
        file.set_permissions(Permissions::from_mode(OWNER_AND_SERVICE))?;
    }
    writeln!(file, "{key}")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

const OWNER_ONLY: u32 = 0o600;
const OWNER_AND_SERVICE: u32 = 0o640;
