//! Hashing files: those that somebody asked for before all others.
//!
//! A disk does one thing at a time, so there is one asked job per disk, and
//! one per file whoever asks. While a disk does an asked job, the background
//! job waits in the middle of its file, and goes on where it was. A job that
//! nobody waits for any more is dropped.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use async_channel::{Receiver, Sender};

use crate::id::{EntryNo, TrackId};

/// Hashes the file at a path, calling with the bytes done so far and ending
/// early when told to break.
pub type HashFile = Arc<
    dyn Fn(&Path, &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<TrackId, String> + Send + Sync,
>;

/// What an asker is told; everything but [`Self::Hashing`] comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashProgress {
    Hashing {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        size: u64,
    },
    Done {
        track: TrackId,
        /// Bytes.
        size: u64,
    },
    /// Why this file has no hash.
    Failed(String),
}

/// Why a file is not even queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("there is no such file in the library")]
    NoSuchEntry,
    #[error("{MAX_WAITING} files are waiting to be hashed already; try again later")]
    Busy,
}

/// A file to hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub no: EntryNo,
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// The disk that the file is on.
    pub device: u64,
}

/// Does one job: hashes it, notes the result, says what came out.
pub(super) type Work = Arc<
    dyn Fn(&Job, &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<TrackId, String> + Send + Sync,
>;

/// Owns the threads that hash. Dropping it ends them at their next step.
pub(super) struct Hasher {
    shared: Arc<Shared>,
}

struct Shared {
    work: Work,
    state: Mutex<State>,
    /// A disk became free, or everything ends.
    free: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Job, Askers)>,
    /// Asked jobs being done, by device.
    running: BTreeMap<u64, (EntryNo, Askers)>,
    /// The file of the background job, and who joined it.
    background: Option<(Job, Askers)>,
    ended: bool,
}

#[derive(Default)]
struct Askers(Vec<Sender<HashProgress>>);

impl Askers {
    fn tell(&mut self, progress: &HashProgress) {
        // The oldest news make room: only the last message must arrive.
        self.0
            .retain(|asker| asker.force_send(progress.clone()).is_ok());
    }

    fn are_gone(&self) -> bool {
        self.0.iter().all(Sender::is_closed)
    }
}

impl Hasher {
    pub fn new(work: Work) -> Self {
        Self {
            shared: Arc::new(Shared {
                work,
                state: Mutex::default(),
                free: Condvar::new(),
            }),
        }
    }

    /// Asks for `job`, to be done before anything that nobody asked for.
    pub fn ask(&self, job: Job) -> Result<Receiver<HashProgress>, ResolveError> {
        let (sender, receiver) = async_channel::bounded(PROGRESS_KEPT);
        let mut state = self.shared.state();
        state.waiting.retain(|(_, askers)| !askers.are_gone());
        if let Some(askers) = state.askers_of(job.no) {
            askers.0.retain(|asker| !asker.is_closed());
            if askers.0.len() == MAX_ASKERS {
                return Err(ResolveError::Busy);
            }
            askers.0.push(sender);
            return Ok(receiver);
        }
        if state.waiting.len() == MAX_WAITING {
            return Err(ResolveError::Busy);
        }
        let device = job.device;
        state.waiting.push_back((job, Askers(vec![sender])));
        self.shared.start_next(&mut state, device);
        Ok(receiver)
    }

    /// Hashes `job` on this thread, giving way to asked ones of its disk.
    pub fn do_in_background(
        &self,
        job: Job,
        mut keep_on: impl FnMut() -> bool,
    ) -> Option<Result<TrackId, String>> {
        let shared = &self.shared;
        {
            let mut state = shared.state();
            if state.askers_of(job.no).is_some() {
                return None;
            }
            state.background = Some((job.clone(), Askers::default()));
        }
        let result = (shared.work)(&job, &mut |done| shared.pace(&job, done, &mut keep_on));
        let mut state = shared.state();
        if let Some((job, mut askers)) = state.background.take() {
            askers.tell(&outcome(&result, job.size));
        }
        shared.start_next(&mut state, job.device);
        Some(result)
    }

    /// Lets the background job look whether it should keep on.
    pub fn wake(&self) {
        self.shared.free.notify_all();
    }

    /// Ends everything; nothing is begun any more.
    pub fn end(&self) {
        let mut state = self.shared.state();
        state.ended = true;
        state.waiting.clear();
        self.shared.free.notify_all();
    }
}

impl Drop for Hasher {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(NO_PANIC)
    }

    /// Begins the next waiting job of this disk, unless the disk is busy with
    /// something that was asked for.
    fn start_next(self: &Arc<Self>, state: &mut State, device: u64) {
        state.waiting.retain(|(_, askers)| !askers.are_gone());
        let joined = state
            .background
            .as_ref()
            .is_some_and(|(job, askers)| job.device == device && !askers.are_gone());
        if joined || state.ended || state.running.contains_key(&device) {
            return;
        }
        let next = state
            .waiting
            .iter()
            .position(|(job, _)| job.device == device);
        let Some((job, askers)) = next.and_then(|next| state.waiting.remove(next)) else {
            return;
        };
        state.running.insert(device, (job.no, askers));
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("hash".to_owned());
        if let Err(error) = thread.spawn(move || shared.run(&job)) {
            if let Some((_, mut askers)) = state.running.remove(&device) {
                askers.tell(&HashProgress::Failed(format!(
                    "cannot start a thread: {error}"
                )));
            }
        }
    }

    /// An asked job, from beginning to end.
    fn run(self: Arc<Self>, job: &Job) {
        let result = (self.work)(job, &mut |done| {
            let mut state = self.state();
            let ended = state.ended;
            match state.running.get_mut(&job.device) {
                Some((_, askers)) if !ended && !askers.are_gone() => {
                    askers.tell(&HashProgress::Hashing {
                        done,
                        size: job.size,
                    });
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(()),
            }
        });
        let mut state = self.state();
        if let Some((_, mut askers)) = state.running.remove(&job.device) {
            askers.tell(&outcome(&result, job.size));
        }
        self.start_next(&mut state, job.device);
        self.free.notify_all();
    }

    /// Holds the background job up while its disk does something asked.
    fn pace(
        self: &Arc<Self>,
        job: &Job,
        done: u64,
        keep_on: &mut impl FnMut() -> bool,
    ) -> ControlFlow<()> {
        let mut state = self.state();
        loop {
            let joined = state.background.as_mut().map(|(_, askers)| {
                askers.tell(&HashProgress::Hashing {
                    done,
                    size: job.size,
                });
                !askers.are_gone()
            });
            if state.ended || (joined != Some(true) && !keep_on()) {
                return ControlFlow::Break(());
            }
            // Whoever waits for this disk may have waited for one who left.
            self.start_next(&mut state, job.device);
            if !state.running.contains_key(&job.device) {
                return ControlFlow::Continue(());
            }
            state = self.free.wait(state).expect(NO_PANIC);
        }
    }
}

impl State {
    fn askers_of(&mut self, no: EntryNo) -> Option<&mut Askers> {
        let waiting = self.waiting.iter_mut().find(|(job, _)| job.no == no);
        let running = self
            .running
            .values_mut()
            .find(|(running, _)| *running == no);
        let background = self.background.as_mut().filter(|(job, _)| job.no == no);
        waiting
            .map(|(_, askers)| askers)
            .or(running.map(|(_, askers)| askers))
            .or(background.map(|(_, askers)| askers))
    }
}

fn outcome(result: &Result<TrackId, String>, size: u64) -> HashProgress {
    match result {
        Ok(track) => HashProgress::Done {
            track: *track,
            size,
        },
        Err(why) => HashProgress::Failed(why.clone()),
    }
}

/// Files that may wait for a disk: at 25 MB/s and 30 MB a file, the last one
/// waits ten seconds, and nobody waits longer for a song.
pub const MAX_WAITING: usize = 8;

/// Peers that may wait for one file: as many as a swarm has rooms, and more.
const MAX_ASKERS: usize = 64;

/// News kept for an asker who is slow to read; the last one always arrives.
const PROGRESS_KEPT: usize = 2;

const NO_PANIC: &str = "nothing panics while it holds this lock";
