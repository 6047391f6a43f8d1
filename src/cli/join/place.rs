//! Where the key goes: its file, and the line of the configuration that names it.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{fchown, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use nix::unistd::{geteuid, Gid, Group};
use zeroize::Zeroizing;

use crate::{
    cli::{edit, replace::replace},
    identity::SwarmKey,
};

/// A key file that is not in its place yet.
///
/// It is made before anybody is asked for a code: where it cannot be, no code is spent.
pub struct NewKeyFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
}

impl NewKeyFile {
    /// # Errors
    /// When a file cannot be made beside `path`.
    pub fn prepare(path: &Path) -> io::Result<Self> {
        let group = Group::from_name(SERVICE_GROUP).ok().flatten();
        let group = group.filter(|_| geteuid().is_root());
        Self::readable_by(group.map(|group| group.gid), path)
    }

    fn readable_by(group: Option<Gid>, path: &Path) -> io::Result<Self> {
        let temporary = path.with_extension("joining");
        // One that an earlier cut left behind may have any mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(OWNER_ONLY)
            .open(&temporary)?;
        if let Some(group) = group {
            fchown(&file, None, Some(group.as_raw()))?;
            file.set_permissions(Permissions::from_mode(OWNER_AND_SERVICE))?;
        }
        Ok(Self {
            path: path.into(),
            temporary,
            file,
        })
    }

    /// Puts it into its place, with `keys` in it. After a power cut at any moment there is
    /// the whole file or what was there before.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(mut self, keys: &[SwarmKey]) -> io::Result<()> {
        for key in keys {
            let line = Zeroizing::new(format!("{key}\n"));
            self.file.write_all(line.as_bytes())?;
        }
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        sync_dir_of(&self.path)
    }
}

impl Drop for NewKeyFile {
    fn drop(&mut self) {
        // In its place it has another name.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Names `key_file` in the configuration at `path`; all else in it stays as it is.
///
/// # Errors
/// When it cannot be written, or cannot be changed in one place.
pub fn name_key_file(path: &Path, key_file: &Path) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let value = key_file.display().to_string().into();
    let Some(changed) = edit::set(&text, "swarm", "key_file", value) else {
        return Err(io::Error::other(format!(
            "it has no place for that; write under [swarm]: key_file = {key_file:?}"
        )));
    };
    replace(path, &changed)
}

fn sync_dir_of(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

/// The service's group, which reads the key.
const SERVICE_GROUP: &str = "p2pmusic";
const OWNER_ONLY: u32 = 0o600;
const OWNER_AND_SERVICE: u32 = 0o640;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_changed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p2pmusic.toml");
        let inline = "swarm = {}\n";
        fs::write(&path, inline).unwrap();
        let error = name_key_file(&path, Path::new("/k")).unwrap_err();
        assert!(error.to_string().contains("key_file"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), inline);
    }

    /// The service's group reads it, and nobody else does but its owner.
    #[test]
    fn a_key_file_is_of_the_services_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        // One that this user may give a file to.
        let own = nix::unistd::getegid();
        let probe = File::create(dir.path().join("probe")).unwrap();
        let is_given = fchown(&probe, None, Some(own.as_raw() + 1)).is_ok();
        let group = Gid::from_raw(own.as_raw() + u32::from(is_given));
        for (group, mode) in [(Some(group), OWNER_AND_SERVICE), (None, OWNER_ONLY)] {
            // What was there, and what a cut has left, may be anybody's.
            for old in [path.clone(), path.with_extension("joining")] {
                fs::write(&old, "old").unwrap();
                fs::set_permissions(&old, Permissions::from_mode(0o666)).unwrap();
            }
            let file = NewKeyFile::readable_by(group, &path).unwrap();
            file.write(&[crate::identity::new_key().unwrap()]).unwrap();
            let written = fs::metadata(&path).unwrap();
            assert_eq!(written.permissions().mode() & 0o777, mode);
            assert_eq!(written.gid(), group.unwrap_or(own).as_raw());
        }
    }

    #[test]
    fn a_key_file_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        drop(NewKeyFile::prepare(&path).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let keys = [
            crate::identity::new_key().unwrap(),
            crate::identity::new_key().unwrap(),
        ];
        NewKeyFile::prepare(&path).unwrap().write(&keys).unwrap();
        assert_eq!(crate::identity::read_keys(&path).unwrap(), keys);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
