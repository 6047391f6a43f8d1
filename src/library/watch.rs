//! Noticing that the music directories changed.
//!
//! inotify says that something happened, never trusted to say what: the answer
//! is always a rescan, after a moment of quiet. The scan has each directory
//! watched before it reads it, so nothing falls between the two, and nothing
//! is watched that is not listed. What is mounted where is asked of the kernel,
//! which tells when that changes; the roots are looked at now and then besides,
//! because one that does not exist yet has no inotify. What lies beyond a
//! network is looked at every [`REMOTE_INTERVAL`], and where the kernel's limit
//! does not allow to watch, everything is every [`UNWATCHED_INTERVAL`].

mod debounce;

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use self::debounce::Debounce;
use super::mounts::{
    self,
    table::{as_called, Mounts},
    Bell,
};
use crate::util::work;

/// Calls `look` whenever the content of `roots`, or what they are, has
/// probably changed: at a place, or at everything. Goes on until it is dropped.
/// `notices` are those of [`TreeWatcher`]; `is_watched` says whether they can be relied on.
pub(super) async fn watch(
    roots: impl Fn() -> Vec<PathBuf>,
    notices: &Receiver<()>,
    is_watched: impl Fn() -> bool,
    look: impl Fn(Option<&Path>),
) {
    let bell = Bell::open();
    if let Err(error) = &bell {
        log::debug!("mounts are only looked at now and then: {error}");
    }
    let survey = || {
        let roots = roots();
        work::unblock(move || Survey::of(&roots))
    };
    let mut known = survey().await;
    let mut changes = Debounce::default();
    let now = Instant::now();
    let mut next_survey = now + SURVEY_INTERVAL;
    let mut next_rescan = now + UNWATCHED_INTERVAL;
    let mut next_remote = now + REMOTE_INTERVAL;
    loop {
        let wake_at = changes
            .poll_timeout()
            .map_or(next_survey, |at| at.min(next_survey));
        let woken = woken(notices, bell.as_ref().ok(), wake_at).await;
        let now = Instant::now();
        if woken == Woken::Noticed {
            changes.handle_change(now);
        }
        if woken == Woken::Mounted || now >= next_survey {
            let found = survey().await;
            if found != known {
                known = found;
                changes.handle_change(now);
            }
            next_survey = now + SURVEY_INTERVAL;
        }
        if now >= next_rescan {
            next_rescan = now + UNWATCHED_INTERVAL;
            if !is_watched() {
                changes.handle_change(now);
            }
        }
        if now >= next_remote {
            next_remote = now + REMOTE_INTERVAL;
            known.remote.iter().for_each(|place| look(Some(place)));
        }
        if changes.poll(now) {
            look(None);
        }
    }
}

/// What the roots are.
#[derive(PartialEq, Eq)]
struct Survey {
    identities: Vec<Option<(u64, u64)>>,
    mounts: Mounts,
    /// What lies beyond a network.
    remote: Vec<PathBuf>,
}

impl Survey {
    fn of(roots: &[PathBuf]) -> Self {
        let real = mounts::real(roots);
        let mounts = mounts::read(&real);
        let remote = mounts.remote.iter();
        Self {
            identities: roots.iter().map(|root| identity(root)).collect(),
            remote: remote
                .filter_map(|place| as_called(place, roots, &real))
                .collect(),
            mounts,
        }
    }
}

/// inotify on the directories that the scan comes through.
pub(super) struct TreeWatcher {
    /// `None` once the kernel has refused.
    watcher: Option<RecommendedWatcher>,
}

impl TreeWatcher {
    /// Sends to `notices`, when that has room, after something changed.
    pub fn open(notices: Sender<()>) -> Self {
        let handler = move |event: notify::Result<notify::Event>| match event {
            // Playing music is no change of it.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            Ok(_) | Err(_) => drop(notices.try_send(())),
        };
        let mut this = Self { watcher: None };
        match notify::recommended_watcher(handler) {
            Ok(watcher) => this.watcher = Some(watcher),
            Err(error) => this.shut(&error),
        }
        this
    }

    pub fn are_open(&self) -> bool {
        self.watcher.is_some()
    }

    /// Watches the directory that is at `dir` now.
    pub fn see(&mut self, dir: &Path) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        match watcher.watch(dir, RecursiveMode::NonRecursive) {
            Ok(()) => {}
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => self.shut(&error),
            // The scan says why, if it cannot be read either.
            Err(error) => log::debug!("cannot watch {}: {error}", dir.display()),
        }
    }

    fn shut(&mut self, why: &notify::Error) {
        self.watcher = None;
        log::warn!(
            "cannot watch the music directories ({why}), so they are scanned every {} minutes; \
             raise the sysctls fs.inotify.max_user_watches and fs.inotify.max_user_instances",
            UNWATCHED_INTERVAL.as_secs() / 60
        );
    }
}

/// Device and inode of the directory that is at `root` now.
fn identity(root: &Path) -> Option<(u64, u64)> {
    let meta = fs::metadata(root).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// Why the watcher woke.
#[derive(PartialEq, Eq)]
enum Woken {
    Noticed,
    Mounted,
    Late,
}

/// Waits for a notice, or for another mount, until `deadline`.
async fn woken(notices: &Receiver<()>, bell: Option<&Bell>, deadline: Instant) -> Woken {
    let timeout = async {
        smol::Timer::at(deadline).await;
        Woken::Late
    };
    let notice = async {
        match notices.recv().await {
            Ok(()) => Woken::Noticed,
            // inotify is gone; only the clock is left.
            Err(_) => std::future::pending().await,
        }
    };
    let mounted = async {
        match bell {
            Some(bell) => bell.rings().await,
            None => std::future::pending().await,
        }
        Woken::Mounted
    };
    smol::future::or(notice, smol::future::or(mounted, timeout)).await
}

/// How soon a root that comes is noticed; one stat(2) a root, and a file of the kernel's.
const SURVEY_INTERVAL: Duration = Duration::from_secs(5);

/// A scan without changes reads every directory: seconds on a Pi.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(15 * 60);

/// How soon it is noticed what others write beyond a network: a look asks for the times
/// of every file there, a few thousand a second.
const REMOTE_INTERVAL: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_noticed_and_a_read_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let song = dir.path().join("a.wav");
        fs::write(&song, b"x").unwrap();
        let (sender, notices) = async_channel::bounded(1);
        let mut eyes = TreeWatcher::open(sender);
        assert!(eyes.are_open());
        eyes.see(dir.path());

        fs::read(&song).unwrap();
        fs::write(dir.path().join("b.wav"), b"x").unwrap();
        notices.recv_blocking().unwrap();
    }
}
