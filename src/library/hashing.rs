//! Hashing files: those that somebody asked for before all others.
//!
//! A disk does one thing at a time, so there is one asked job per disk, and
//! one per file for all that ask. While a disk does an asked job, the background
//! job waits in the middle of its file, and goes on where it was. A job that
//! nobody waits for any more is dropped.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::ControlFlow,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use async_channel::{Receiver, Sender};

use super::LibraryFile;
use crate::id::{EntryNo, TrackId};

/// Hashes the file at a path, calling with the bytes done so far and ending
/// early when told to break.
pub type HashFile = Arc<
    dyn Fn(&Path, &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<TrackId, String> + Send + Sync,
>;

/// What a requester is told; everything but [`Self::Hashing`] comes last.
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
pub struct HashJob {
    pub no: EntryNo,
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// The disk that the file is on.
    pub device: u64,
}

impl HashJob {
    /// Of a file that is there.
    pub fn new(file: LibraryFile) -> Option<Self> {
        Some(Self {
            device: std::fs::metadata(&file.path).ok()?.dev(),
            no: file.entry,
            path: file.path,
            size: file.size,
        })
    }
}

/// Does one job: hashes it, notes the result, says what came out.
pub(super) type Work = Arc<
    dyn Fn(&HashJob, &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<TrackId, String>
        + Send
        + Sync,
>;

/// Owns the threads that hash. Dropping it ends them at their next step.
pub(super) struct Hasher {
    shared: Arc<HashingShared>,
}

struct HashingShared {
    work: Work,
    state: Mutex<HasherState>,
    /// A disk became free, or everything ends.
    free: Condvar,
}

#[derive(Default)]
struct HasherState {
    waiting: VecDeque<(HashJob, Askers)>,
    /// Asked jobs being done, by device.
    running: BTreeMap<u64, (EntryNo, Askers)>,
    /// The file of the background job, and the requests that joined it.
    background: Option<(HashJob, Askers)>,
    ended: bool,
}

#[derive(Default)]
struct Askers(Vec<Sender<HashProgress>>);

impl Askers {
    fn tell(&mut self, progress: &HashProgress) {
        // The oldest news make room: only the last message must arrive.
        self.0
            .retain(|requester| requester.force_send(progress.clone()).is_ok());
    }

    fn are_gone(&self) -> bool {
        self.0.iter().all(Sender::is_closed)
    }
}

impl Hasher {
    pub fn new(work: Work) -> Self {
        Self {
            shared: Arc::new(HashingShared {
                work,
                state: Mutex::default(),
                free: Condvar::new(),
            }),
        }
    }

    /// Asks for `job`, to be done before anything that nobody asked for.
    pub fn ask(&self, job: HashJob) -> Result<Receiver<HashProgress>, ResolveError> {
        let (sender, receiver) = async_channel::bounded(PROGRESS_KEPT);
        let mut state = self.shared.state();
        state
            .waiting
            .retain(|(_, requesters)| !requesters.are_gone());
        if let Some(requesters) = state.askers_of(job.no) {
            requesters.0.retain(|requester| !requester.is_closed());
            if requesters.0.len() == MAX_ASKERS {
                return Err(ResolveError::Busy);
            }
            requesters.0.push(sender);
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
        job: HashJob,
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
        if let Some((job, mut requesters)) = state.background.take() {
            requesters.tell(&outcome(&result, job.size));
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

impl HashingShared {
    fn state(&self) -> MutexGuard<'_, HasherState> {
        self.state.lock().expect(NO_PANIC)
    }

    /// Begins the next waiting job of this disk, unless the disk is busy with
    /// something that was asked for.
    fn start_next(self: &Arc<Self>, state: &mut HasherState, device: u64) {
        state
            .waiting
            .retain(|(_, requesters)| !requesters.are_gone());
        let joined = state
            .background
            .as_ref()
            .is_some_and(|(job, requesters)| job.device == device && !requesters.are_gone());
        if joined || state.ended || state.running.contains_key(&device) {
            return;
        }
        let next = state
            .waiting
            .iter()
            .position(|(job, _)| job.device == device);
        let Some((job, requesters)) = next.and_then(|next| state.waiting.remove(next)) else {
            return;
        };
        state.running.insert(device, (job.no, requesters));
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("hash".to_owned());
        if let Err(error) = thread.spawn(move || shared.run(&job)) {
            if let Some((_, mut requesters)) = state.running.remove(&device) {
                requesters.tell(&HashProgress::Failed(format!(
                    "cannot start a thread: {error}"
                )));
            }
        }
    }

    /// An asked job, from beginning to end.
    fn run(self: Arc<Self>, job: &HashJob) {
        let result = (self.work)(job, &mut |done| {
            let mut state = self.state();
            let ended = state.ended;
            match state.running.get_mut(&job.device) {
                Some((_, requesters)) if !ended && !requesters.are_gone() => {
                    requesters.tell(&HashProgress::Hashing {
                        done,
                        size: job.size,
                    });
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Break(()),
            }
        });
        let mut state = self.state();
        if let Some((_, mut requesters)) = state.running.remove(&job.device) {
            requesters.tell(&outcome(&result, job.size));
        }
        self.start_next(&mut state, job.device);
        self.free.notify_all();
    }

    /// Holds the background job up while its disk does something asked.
    fn pace(
        self: &Arc<Self>,
        job: &HashJob,
        done: u64,
        keep_on: &mut impl FnMut() -> bool,
    ) -> ControlFlow<()> {
        let mut state = self.state();
        loop {
            let joined = state.background.as_mut().map(|(_, requesters)| {
                requesters.tell(&HashProgress::Hashing {
                    done,
                    size: job.size,
                });
                !requesters.are_gone()
            });
            if state.ended || (joined != Some(true) && !keep_on()) {
                return ControlFlow::Break(());
            }
            // A request for this disk may have waited for one that left.
            self.start_next(&mut state, job.device);
            if !state.running.contains_key(&job.device) {
                return ControlFlow::Continue(());
            }
            state = self.free.wait(state).expect(NO_PANIC);
        }
    }
}

impl HasherState {
    fn askers_of(&mut self, no: EntryNo) -> Option<&mut Askers> {
        let waiting = self.waiting.iter_mut().find(|(job, _)| job.no == no);
        let running = self
            .running
            .values_mut()
            .find(|(running, _)| *running == no);
        let background = self.background.as_mut().filter(|(job, _)| job.no == no);
        waiting
            .map(|(_, requesters)| requesters)
            .or(running.map(|(_, requesters)| requesters))
            .or(background.map(|(_, requesters)| requesters))
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

/// News kept for a requester that is slow to read; the last one always arrives.
const PROGRESS_KEPT: usize = 2;

const NO_PANIC: &str = "nothing panics while it holds this lock";

#[cfg(test)]
mod tests {
    use super::*;

    /// A hasher whose jobs say that they began, do a step for each of their
    /// tickets and say so, and are done when there are no more tickets.
    struct HashHarness {
        hasher: Arc<Hasher>,
        news: Receiver<(u32, &'static str)>,
        /// By entry number.
        tickets: Vec<Sender<()>>,
    }

    impl HashHarness {
        fn new() -> Self {
            let (tell, news) = async_channel::bounded(64);
            let (tickets, steps): (_, Vec<_>) = (0..100).map(|_| async_channel::bounded(8)).unzip();
            let work: Work = Arc::new(move |job, progress| {
                let say = |what| tell.send_blocking((job.no.0, what)).unwrap();
                say("began");
                let mut done = 0;
                while steps[job.no.0 as usize].recv_blocking().is_ok() {
                    done += 1;
                    if progress(done).is_break() {
                        say("stopped");
                        return Err("stopped".to_owned());
                    }
                    say("stepped");
                }
                Ok(TrackId([job.no.0 as u8; 32]))
            });
            Self {
                hasher: Arc::new(Hasher::new(work)),
                news,
                tickets,
            }
        }

        fn step(&self, no: usize) {
            self.tickets[no].send_blocking(()).unwrap();
        }

        fn finish_all(&self) {
            for tickets in &self.tickets {
                tickets.close();
            }
        }

        #[track_caller]
        fn expect(&self, no: u32, what: &'static str) {
            assert_eq!(self.news.recv_blocking(), Ok((no, what)));
        }
    }

    fn job(no: u32, device: u64) -> HashJob {
        HashJob {
            no: EntryNo(no),
            path: PathBuf::new(),
            size: 100,
            device,
        }
    }

    fn last(answers: &Receiver<HashProgress>) -> HashProgress {
        let mut last = HashProgress::Failed("no answer".to_owned());
        while let Ok(progress) = answers.recv_blocking() {
            last = progress;
        }
        last
    }

    fn done(no: u32) -> HashProgress {
        let track = TrackId([no as u8; 32]);
        HashProgress::Done { track, size: 100 }
    }

    #[test]
    fn a_disk_does_one_job_at_a_time_and_a_file_is_done_once() {
        let bench = HashHarness::new();
        let first = bench.hasher.ask(job(1, 7)).unwrap();
        bench.expect(1, "began");
        let again = bench.hasher.ask(job(1, 7)).unwrap();
        let second = bench.hasher.ask(job(2, 7)).unwrap();
        let elsewhere = bench.hasher.ask(job(3, 8)).unwrap();
        bench.expect(3, "began");
        assert!(bench.news.is_empty(), "the second waits for its disk");

        bench.finish_all();
        assert_eq!(last(&first), done(1));
        assert_eq!(last(&again), done(1));
        assert_eq!(last(&second), done(2));
        assert_eq!(last(&elsewhere), done(3));
        bench.expect(2, "began");
        assert!(bench.news.is_empty());
    }

    #[test]
    fn the_ninth_that_waits_is_told_so_and_those_who_left_make_room() {
        let bench = HashHarness::new();
        let running = bench.hasher.ask(job(0, 7)).unwrap();
        let mut waiting: Vec<_> = (1..=MAX_WAITING as u32)
            .map(|no| bench.hasher.ask(job(no, 7)).unwrap())
            .collect();
        assert_eq!(bench.hasher.ask(job(99, 7)).err(), Some(ResolveError::Busy));
        // Joining one that waits takes no room.
        let _joined = bench.hasher.ask(job(5, 7)).unwrap();

        waiting.remove(0);
        waiting.push(bench.hasher.ask(job(99, 7)).unwrap());
        bench.expect(0, "began");
        drop(running);
        // Nobody waits for it any more, nor for the next one.
        bench.step(0);
        bench.expect(0, "stopped");
        bench.expect(2, "began");
        bench.finish_all();
        assert_eq!(last(&waiting[MAX_WAITING - 1]), done(99));
    }

    #[test]
    fn the_background_waits_for_what_was_asked_and_goes_on_where_it_was() {
        let bench = HashHarness::new();
        let hasher = bench.hasher.clone();
        let background = std::thread::spawn(move || hasher.do_in_background(job(1, 7), || true));
        bench.expect(1, "began");
        let asked = bench.hasher.ask(job(2, 7)).unwrap();
        bench.expect(2, "began");
        bench.step(1);
        bench.step(2);
        bench.expect(2, "stepped");
        bench.finish_all();
        assert_eq!(last(&asked), done(2));
        let result = background.join().unwrap();
        assert_eq!(result, Some(Ok(TrackId([1; 32]))));
        // Where it was: it stepped on, and did not begin again.
        bench.expect(1, "stepped");
        assert!(bench.news.is_empty());
    }

    #[test]
    fn who_asks_for_what_the_background_does_joins_it() {
        let bench = HashHarness::new();
        let hasher = bench.hasher.clone();
        let background = std::thread::spawn(move || hasher.do_in_background(job(1, 7), || false));
        bench.expect(1, "began");
        let asked = bench.hasher.ask(job(1, 7)).unwrap();
        // It would end at the next step if nobody had asked.
        bench.step(1);
        let step = HashProgress::Hashing { done: 1, size: 100 };
        assert_eq!(asked.recv_blocking(), Ok(step));
        bench.finish_all();
        assert_eq!(last(&asked), done(1));
        assert_eq!(background.join().unwrap(), Some(Ok(TrackId([1; 32]))));
    }
}
