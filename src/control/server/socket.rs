//! The Unix socket as a file: its owner, group and mode, and what was there before.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use async_io::Async;
use nix::unistd::{chown, Group};

use super::ControlBindError;

/// A listening socket; its file goes with it.
#[derive(Debug)]
pub(super) struct ControlSocket {
    listener: Async<UnixListener>,
    path: PathBuf,
    /// What tells this socket's file from a successor's.
    inode: u64,
}

impl ControlSocket {
    /// Listens at `path` for its owner and `group`. What a dead process left
    /// there is replaced.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, ControlBindError> {
        let wrap = |error| ControlBindError::Socket {
            path: path.to_owned(),
            error,
        };
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(ControlBindError::NotASocket(path.to_owned()))
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(ControlBindError::InUse(path.to_owned()))
            }
            _ => {}
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(wrap)?;
        }
        // Bound beside its place and moved there when its permissions are
        // right: there is no moment at which it has too many, nor one at which
        // there is none.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        remove(&new).map_err(wrap)?;
        let listener = UnixListener::bind(&new).map_err(wrap)?;
        restrict(&new, group).map_err(wrap)?;
        let inode = fs::symlink_metadata(&new).map_err(wrap)?.ino();
        fs::rename(&new, path).map_err(wrap)?;
        Ok(Self {
            listener: Async::new(listener).map_err(wrap)?,
            path: path.to_owned(),
            inode,
        })
    }

    pub async fn accept(&self) -> io::Result<Async<UnixStream>> {
        Ok(self.listener.accept().await?.0)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Lets the owner and `group` in. Where the group is unknown, or may not be
/// given, it says so and lets only the owner in.
fn restrict(path: &Path, group: Option<&str>) -> io::Result<()> {
    let given = group.map_or(Ok(()), |group| give_to_group(path, group));
    if let Err(why) = &given {
        log::warn!("{}: {why}; only its owner can use it", path.display());
    }
    let mode = if given.is_ok() { MODE } else { OWNER_ONLY };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// A service that runs with the group has it already, and need not have the right
/// to give files away.
fn give_to_group(path: &Path, name: &str) -> Result<(), String> {
    let group = Group::from_name(name).ok().flatten();
    let gid = group
        .ok_or_else(|| format!("there is no group {name}"))?
        .gid;
    let cannot = |error: io::Error| format!("cannot be given to the group {name} ({error})");
    if fs::symlink_metadata(path).map_err(cannot)?.gid() == gid.as_raw() {
        return Ok(());
    }
    chown(path, None, Some(gid)).map_err(|error| cannot(error.into()))
}

/// Owner and group, nobody else: a client that can connect can play.
const MODE: u32 = 0o660;
const OWNER_ONLY: u32 = 0o600;
