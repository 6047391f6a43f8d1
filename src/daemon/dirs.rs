//! Where the daemon keeps things.

use std::{
    env, fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use nix::fcntl::{Flock, FlockArg};

use crate::{aside::put_aside, config::Config, identity::give_to_owner_of};

/// The state directory, held by this process alone.
pub struct StateDir {
    lock: StateLock,
    /// Why nothing can be written to it, if so.
    unwritable: Option<io::Error>,
}

/// The lock of a state directory.
#[derive(Clone)]
pub struct StateLock {
    dir: PathBuf,
    /// Released by the kernel, whatever becomes of the process.
    held: Arc<Mutex<Flock<fs::File>>>,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    #[error("{}: cannot be made: {source}; make it, or set `{key}` to another place", path.display())]
    Create {
        path: PathBuf,
        key: &'static str,
        source: io::Error,
    },
    #[error("{}: cannot be written: {source}; make room, or let its user write there, or set `state_dir` to another place", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "{}: another p2pmusic uses this state directory{}; stop it first, or set `state_dir` to another place",
        path.display(), holder.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        path: PathBuf,
        holder: Option<String>,
    },
}

impl StateDir {
    /// Makes the directory if need be and takes its lock.
    ///
    /// # Errors
    /// When another process has it, or it cannot be written.
    pub fn open(config: &Config) -> Result<Self, DirError> {
        let dir = state_dir(config);
        create(&dir, "state_dir")?;
        let (held, unwritable) = take(&dir)?;
        let held = Arc::new(Mutex::new(held));
        Ok(Self {
            lock: StateLock { dir, held },
            unwritable,
        })
    }

    /// What a person should know of it.
    pub fn notice(&self) -> Option<String> {
        let error = self.unwritable.as_ref()?;
        let at = self.path().display();
        Some(format!(
            "{at} cannot be written ({error}): queue, volume and what is learnt of the music \
             are forgotten at the next start; let it be written, then restart p2pmusic"
        ))
    }

    pub fn path(&self) -> &Path {
        &self.lock.dir
    }

    pub fn lock(&self) -> &StateLock {
        &self.lock
    }
}

impl StateLock {
    /// Makes its file again if that was removed, so that no other node starts on the same
    /// state; what a person should know then.
    pub fn take_again(&self) -> Option<String> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.dir.join(LOCK);
        let place = |found: &fs::Metadata| (found.dev(), found.ino());
        let ours = held.metadata().ok()?;
        let there = fs::symlink_metadata(&path).ok();
        if there.is_some_and(|there| place(&there) == place(&ours)) {
            return None;
        }
        // Where it cannot be made now, the next look tries it again.
        make_again(&self.dir).ok()?;
        match take(&self.dir) {
            Ok((lock, _)) => {
                *held = lock;
                let at = path.display();
                Some(format!(
                    "{at} was removed while p2pmusic ran, and is made again"
                ))
            }
            Err(locked @ DirError::Locked { .. }) => Some(locked.to_string()),
            Err(_) => None,
        }
    }
}

/// Takes the lock of a state directory, and says why its file cannot be written, if so.
fn take(dir: &Path) -> Result<(Flock<fs::File>, Option<io::Error>), DirError> {
    let lock_path = dir.join(LOCK);
    let write = |source| DirError::Write {
        path: lock_path.clone(),
        source,
    };
    clear(&lock_path);
    let opened = fs::File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&lock_path);
    // A card that went bad is mounted read-only; its music can be played.
    let file = match &opened {
        Err(_) => fs::File::open(&lock_path).ok(),
        Ok(_) => None,
    };
    let (file, unwritable) = match (opened, file) {
        (Ok(file), _) => (file, None),
        (Err(error), Some(file)) => (file, Some(error)),
        (Err(error), None) => return Err(write(error)),
    };
    let lock =
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| DirError::Locked {
            path: dir.into(),
            holder: fs::read_to_string(&lock_path)
                .ok()
                .filter(|pid| !pid.is_empty()),
        })?;
    if unwritable.is_none() {
        give_to_owner_of(dir, &lock).map_err(write)?;
    }
    let named = fs::write(&lock_path, std::process::id().to_string());
    Ok((lock, unwritable.or(named.err())))
}

/// Where identity, index and queue are kept; it need not exist.
pub fn state_dir(config: &Config) -> PathBuf {
    config.state_dir.clone().unwrap_or_else(|| {
        default_dir(
            "STATE_DIRECTORY",
            "/var/lib",
            "XDG_STATE_HOME",
            ".local/state",
        )
    })
}

/// The directory of the cache, which need not exist.
pub fn cache_dir(config: &Config) -> PathBuf {
    config
        .cache
        .dir
        .clone()
        .unwrap_or_else(|| default_dir("CACHE_DIRECTORY", "/var/cache", "XDG_CACHE_HOME", ".cache"))
}

/// systemd's directory, the system's for root, and the user's otherwise.
fn default_dir(systemd: &str, system: &str, xdg: &str, home: &str) -> PathBuf {
    if let Some(given) = env::var_os(systemd) {
        return given.into();
    }
    if nix::unistd::geteuid().is_root() {
        return Path::new(system).join("p2pmusic");
    }
    let base = env::var_os(xdg)
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(home)));
    base.unwrap_or_else(|| system.into()).join("p2pmusic")
}

/// Where the lock is to be there is a file that its owner may write, or nothing.
fn clear(lock: &Path) {
    let result = match fs::symlink_metadata(lock) {
        Ok(found) if found.is_file() && found.permissions().mode() & 0o600 != 0o600 => {
            fs::set_permissions(lock, fs::Permissions::from_mode(0o600))
        }
        Ok(found) if !found.is_file() => put_aside(lock).map(drop),
        _ => Ok(()),
    };
    if let Err(error) = result {
        log::debug!("{} is in the way of the lock: {error}", lock.display());
    }
}

fn create(path: &Path, key: &'static str) -> Result<(), DirError> {
    fs::create_dir_all(path).map_err(|source| DirError::Create {
        path: path.into(),
        key,
        source,
    })
}

/// Makes a directory of the node's if it is not there.
///
/// The state directory may have been removed while the node ran; the one that it lies in is
/// not made, since a disk that is not mounted looks the same.
pub fn make_again(state_dir: &Path) -> io::Result<()> {
    match fs::create_dir(state_dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Has in it which process has the directory.
const LOCK: &str = "lock";
