//! What is mounted where the music is.
//!
//! A disk that is mounted over a directory, or taken from it, is nothing that inotify
//! tells of. The kernel tells a program that polls the table of mounts for it. What comes
//! over a network is looked at now and then besides: what others write there, nobody tells.

pub mod table;

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::PathBuf,
};

use async_io::Async;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use self::table::Mounts;

/// Reads what is mounted at, above and below `roots`.
pub fn read(roots: &[PathBuf]) -> Mounts {
    match fs::read_to_string(TABLE) {
        Ok(table) => Mounts::of(&table, roots),
        Err(error) => {
            log::debug!("cannot read {TABLE}: {error}");
            Mounts::default()
        }
    }
}

/// Wakes whenever something is mounted or unmounted.
pub struct Bell {
    /// Ready when the table of mounts has changed.
    ready: Async<OwnedFd>,
    epoll: Epoll,
    _table: File,
}

impl Bell {
    /// # Errors
    /// Where there is no /proc, say.
    pub fn open() -> io::Result<Self> {
        let table = File::open(TABLE)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // The table can always be read, so that the runtime's own interest would never rest.
        epoll.add(&table, EpollEvent::new(EpollFlags::EPOLLPRI, 0))?;
        let ready = Async::new(epoll.0.try_clone()?)?;
        let this = Self {
            ready,
            epoll,
            _table: table,
        };
        this.forget();
        Ok(this)
    }

    /// Waits until something was mounted or unmounted since the last time.
    pub async fn rings(&self) {
        if self.ready.readable().await.is_err() {
            return std::future::pending().await;
        }
        self.forget();
    }

    fn forget(&self) {
        let _ = self
            .epoll
            .wait(&mut [EpollEvent::empty()], EpollTimeout::ZERO);
    }
}

/// The roots as the table of mounts names them.
pub fn real(roots: &[PathBuf]) -> Vec<PathBuf> {
    let real = |root: &PathBuf| fs::canonicalize(root).unwrap_or_else(|_| root.clone());
    roots.iter().map(real).collect()
}

const TABLE: &str = "/proc/self/mountinfo";
