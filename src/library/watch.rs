//! Noticing that the music directories changed.
//!
//! inotify says that something happened, never trusted to say what: the answer
//! is always a rescan, after a moment of quiet. Directories are looked at now
//! and then besides, because one that does not exist yet, or that a disk is
//! mounted over, has no inotify. Where the kernel's limit does not allow to
//! watch, there is a rescan every [`UNWATCHED_INTERVAL`].

use std::{
    fs,
    future::Future,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Calls `rescan` whenever the content of `roots` has probably changed. Goes
/// on until it is dropped.
pub async fn watch(roots: Vec<PathBuf>, rescan: impl Fn()) {
    let (sender, notices) = async_channel::bounded(1);
    let (failed, failures) = async_channel::bounded(1);
    let mut eyes = smol::unblock(move || {
        let mut eyes = Eyes::open(roots, sender, failed);
        eyes.look();
        eyes
    })
    .await;
    let mut changes = Debounce::default();
    let mut next_look = Instant::now() + LOOK_INTERVAL;
    let mut next_rescan = Instant::now() + UNWATCHED_INTERVAL;
    loop {
        let wake_at = changes
            .poll_timeout()
            .map_or(next_look, |at| at.min(next_look));
        if until(wake_at, notices.recv()).await.is_some() {
            changes.handle_change(Instant::now());
        }
        let now = Instant::now();
        if now >= next_look {
            let looked = smol::unblock(move || {
                let changed = eyes.look();
                (eyes, changed)
            });
            let changed;
            (eyes, changed) = looked.await;
            if changed {
                changes.handle_change(now);
            }
            next_look = now + LOOK_INTERVAL;
        }
        if eyes.are_shut(&failures) && now >= next_rescan {
            changes.handle_change(now);
            next_rescan = now + UNWATCHED_INTERVAL;
        }
        if changes.poll(now) {
            rescan();
        }
    }
}

/// Puts changes together: due after [`QUIET`] without another, and no later
/// than [`LATEST`] after the first.
#[derive(Debug, Default)]
struct Debounce {
    first_and_last: Option<(Instant, Instant)>,
}

impl Debounce {
    fn handle_change(&mut self, now: Instant) {
        let first = self.first_and_last.map_or(now, |(first, _)| first);
        self.first_and_last = Some((first, now));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let (first, last) = self.first_and_last?;
        Some((last + QUIET).min(first + LATEST))
    }

    /// Whether the changes are due; then they are done with.
    fn poll(&mut self, now: Instant) -> bool {
        let is_due = self.poll_timeout().is_some_and(|at| now >= at);
        if is_due {
            self.first_and_last = None;
        }
        is_due
    }
}

/// inotify on all roots, as far as they are there.
struct Eyes {
    /// `None` once the kernel has refused.
    watcher: Option<RecommendedWatcher>,
    roots: Vec<Watched>,
}

struct Watched {
    path: PathBuf,
    /// Device and inode of the directory that is watched.
    identity: Option<(u64, u64)>,
}

impl Eyes {
    fn open(roots: Vec<PathBuf>, notices: Sender<()>, failed: Sender<()>) -> Self {
        let roots = roots.into_iter().map(|path| Watched {
            path,
            identity: None,
        });
        let mut this = Self {
            watcher: None,
            roots: roots.collect(),
        };
        let handler = move |event: notify::Result<notify::Event>| match event {
            // Playing music is no change of it.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            Err(error) if is_limit(&error) => drop(failed.try_send(())),
            Ok(_) | Err(_) => drop(notices.try_send(())),
        };
        match notify::recommended_watcher(handler) {
            Ok(watcher) => this.watcher = Some(watcher),
            Err(error) => this.shut(&error.to_string()),
        }
        this
    }

    /// Watches what is not watched yet. Returns whether a directory appeared,
    /// went, or is another one than before.
    fn look(&mut self) -> bool {
        let mut changed = false;
        let mut refusal = None;
        for root in &mut self.roots {
            let meta = fs::metadata(&root.path).ok();
            let identity = meta.map(|meta| (meta.dev(), meta.ino()));
            if root.identity == identity {
                continue;
            }
            changed = true;
            root.identity = identity;
            let Some(watcher) = &mut self.watcher else {
                continue;
            };
            // Fails when there was nothing to unwatch, which is as good.
            let _ = watcher.unwatch(&root.path);
            if identity.is_none() {
                continue;
            }
            match watcher.watch(&root.path, RecursiveMode::Recursive) {
                Ok(()) => {}
                Err(error) if is_limit(&error) => refusal = Some(error),
                // It may have gone again; the next look tells.
                Err(error) => {
                    log::debug!("cannot watch {}: {error}", root.path.display());
                    root.identity = None;
                }
            }
        }
        if let Some(error) = refusal {
            self.shut(&error.to_string());
        }
        changed
    }

    fn are_shut(&mut self, failures: &Receiver<()>) -> bool {
        if self.watcher.is_some() && failures.try_recv().is_ok() {
            self.shut("a new directory is one too many");
        }
        self.watcher.is_none()
    }

    fn shut(&mut self, why: &str) {
        self.watcher = None;
        log::warn!(
            "cannot watch the music directories ({why}); they are scanned every {} minutes instead. \
             Raise the sysctls fs.inotify.max_user_watches and fs.inotify.max_user_instances to mend it",
            UNWATCHED_INTERVAL.as_secs() / 60
        );
    }
}

fn is_limit(error: &notify::Error) -> bool {
    matches!(error.kind, ErrorKind::MaxFilesWatch)
}

/// What `future` gives, unless `deadline` comes first.
async fn until<T>(
    deadline: Instant,
    future: impl Future<Output = Result<T, async_channel::RecvError>>,
) -> Option<T> {
    let timeout = async {
        smol::Timer::at(deadline).await;
        None
    };
    let answer = async {
        match future.await {
            Ok(value) => Some(value),
            // The watcher is gone; only the clock is left.
            Err(_) => std::future::pending().await,
        }
    };
    smol::future::or(answer, timeout).await
}

/// A copied album is one change.
const QUIET: Duration = Duration::from_secs(2);

/// Somebody who copies for an hour sees music after half a minute.
const LATEST: Duration = Duration::from_secs(30);

/// How soon a plugged-in disk is noticed; one stat(2) a root.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);

/// A scan without changes reads every directory: seconds on a Pi.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_wait_for_quiet_but_not_for_ever() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut changes = Debounce::default();
        assert!(!changes.poll(at(0)));

        changes.handle_change(at(0));
        assert!(!changes.poll(at(1)));
        changes.handle_change(at(1));
        assert!(!changes.poll(at(2)));
        assert!(changes.poll(at(3)));
        assert_eq!(changes.poll_timeout(), None);

        for second in 10..40 {
            assert!(!changes.poll(at(second)));
            changes.handle_change(at(second));
        }
        assert!(changes.poll(at(40)));
    }

    #[test]
    fn a_file_and_a_late_directory_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let early = dir.path().join("early");
        let late = dir.path().join("late");
        fs::create_dir(&early).unwrap();
        let (sender, notices) = async_channel::bounded(1);
        let (failed, _failures) = async_channel::bounded(1);
        let mut eyes = Eyes::open(vec![early.clone(), late.clone()], sender, failed);
        assert!(eyes.look());
        assert!(!eyes.look());

        fs::write(early.join("a.wav"), b"x").unwrap();
        notices.recv_blocking().unwrap();

        fs::create_dir(&late).unwrap();
        assert!(eyes.look());
        assert!(!eyes.look());
        fs::remove_dir(&late).unwrap();
        assert!(eyes.look());
    }
}
