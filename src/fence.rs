//! What of the file system is music that may be given to others.
//!
//! The music directories are written by people and programs that share music: a link in
//! them could hand any file of the machine to the swarm, and what was a directory when it
//! was scanned may be a link when it is opened. So what counts is where an *open* file
//! really lies, not what its path promised; and nothing but a regular file is opened,
//! since a pipe would wait for its writer and a device would do something.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The music directories, and whether links may lead out of them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<FencedRoots>>);

#[derive(Clone, Debug, Default)]
struct FencedRoots {
    roots: Arc<[PathBuf]>,
    follows_links: bool,
}

impl Fence {
    /// Makes these the music directories.
    pub fn set(&self, roots: &[PathBuf], follows_links: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = FencedRoots {
            roots: roots.into(),
            follows_links,
        };
    }

    /// Opens the regular file at `path`. What is not below a music directory by its
    /// path, as the cache, is none of the fence's business.
    ///
    /// # Errors
    /// Those of open(2); `PermissionDenied` for what lies elsewhere than it promises.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        let file = open_regular(path)?;
        let field = self.field();
        let is_music = field.roots.iter().any(|root| path.starts_with(root));
        if is_music && !field.follows_links {
            field.check(&place_of(&file, path)?)?;
        }
        Ok(file)
    }

    /// Looks whether the link at `path` may be followed.
    ///
    /// # Errors
    /// The same.
    pub fn check_link(&self, path: &Path) -> io::Result<()> {
        let field = self.field();
        match field.follows_links {
            true => Ok(()),
            false => field.check(&fs::canonicalize(path)?),
        }
    }

    fn field(&self) -> FencedRoots {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl FencedRoots {
    fn check(&self, real: &Path) -> io::Result<()> {
        // A root may be a link itself, which the configuration's owner has made.
        let mut roots = self
            .roots
            .iter()
            .filter_map(|root| fs::canonicalize(root).ok());
        match roots.any(|root| real.starts_with(root)) {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::PermissionDenied, LEADS_OUT)),
        }
    }
}

/// Opens a regular file, and nothing else, without waiting for anybody.
///
/// # Errors
/// Those of open(2); `InvalidInput` for anything else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
    // Opening a device may do something to it already.
    if !fs::metadata(path)?.is_file() {
        return Err(none());
    }
    let file = File::options()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(none()),
    }
}

/// Where an open file really is.
fn place_of(file: &File, path: &Path) -> io::Result<PathBuf> {
    if let Ok(place) = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        return Ok(place);
    }
    // Without /proc: where the path leads now, if that is the file that was opened.
    let place = fs::canonicalize(path)?;
    let (there, opened) = (fs::metadata(&place)?, file.metadata()?);
    match (there.dev(), there.ino()) == (opened.dev(), opened.ino()) {
        true => Ok(place),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Said of a file that cannot be shared.
pub const LEADS_OUT: &str =
    "a link leads out of the music directories; `peer.follow_links = true` follows it";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_that_lie_inside_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["music/album", "more", "secret"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        for name in ["music/album/a.wav", "more/b.wav", "secret/key", "cache"] {
            fs::write(path(name), name).unwrap();
        }
        symlink(path("music"), path("by link")).unwrap();
        symlink(path("secret/key"), path("music/key.wav")).unwrap();
        symlink(path("secret"), path("music/dir")).unwrap();
        symlink(path("more/b.wav"), path("music/b.wav")).unwrap();
        symlink("album/a.wav", path("music/a.wav")).unwrap();
        nix::unistd::mkfifo(&path("music/pipe.wav"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("/dev/zero", path("music/zero.wav")).unwrap();

        let fence = Fence::default();
        let opens = |name: &str| fence.open(&path(name)).map_err(|error| error.kind());
        fence.set(&[path("by link"), path("more")], false);
        for name in ["album/a.wav", "b.wav", "a.wav"] {
            assert!(opens(&format!("by link/{name}")).is_ok(), "{name}");
        }
        assert!(opens("cache").is_ok());
        for name in ["key.wav", "dir/key"] {
            let refused = opens(&format!("by link/{name}"));
            assert_eq!(
                refused.err(),
                Some(io::ErrorKind::PermissionDenied),
                "{name}"
            );
        }
        for name in ["pipe.wav", "zero.wav", "album"] {
            let refused = opens(&format!("by link/{name}"));
            assert_eq!(refused.err(), Some(io::ErrorKind::InvalidInput), "{name}");
        }
        assert!(fence.check_link(&path("by link/a.wav")).is_ok());
        assert!(fence.check_link(&path("by link/dir")).is_err());

        fence.set(&[path("by link")], true);
        assert!(opens("by link/dir/key").is_ok());
        assert!(opens("by link/pipe.wav").is_err(), "followed or not");
    }

    /// What was scanned as a directory is a link by the time that it is served.
    #[test]
    fn a_directory_that_becomes_a_link_is_noticed_at_opening() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["music/album", "elsewhere"] {
            fs::create_dir_all(path(name)).unwrap();
            fs::write(path(name).join("a.wav"), name).unwrap();
        }
        let fence = Fence::default();
        fence.set(&[path("music")], false);
        let song = path("music/album/a.wav");
        assert!(fence.open(&song).is_ok());
        fs::rename(path("music/album"), path("music/old")).unwrap();
        symlink(path("elsewhere"), path("music/album")).unwrap();
        assert!(fence.open(&song).is_err());
        fs::remove_file(path("music/album")).unwrap();
        fs::rename(path("music/old"), path("music/album")).unwrap();
        assert!(fence.open(&song).is_ok());
    }
}
