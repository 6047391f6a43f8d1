//! The decoding thread: runs one job after the other, filling the ring.
//!
//! A read may block for as long as bytes are late; the engine ends that with
//! the job's [`Cancel`] and [`TrackBytes::wake`]. The thread keeps the [`Feed`]
//! between jobs, so that a successor goes on in the same ring without a gap.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::inbox::Inbox;
use super::pace::REST;
use super::pipeline::TrackPipeline;
use super::report::{JobId, Report};
use super::ring::{frames_in, Feed};
use super::spec::SampleShape;
use crate::media::decode::{self, Cancel, OpenError, Opened, ReadProgress, TrackBytes};
use crate::media::end::DecodeEnd;
use crate::media::MediaInfo;

/// Decode one track into the ring.
#[derive(Clone)]
pub struct DecodeJob {
    /// Its number.
    pub id: JobId,
    /// The track.
    pub bytes: Arc<dyn TrackBytes>,
    /// What it is.
    pub media: MediaInfo,
    /// Where in the track to begin.
    pub from: Duration,
    /// Whether it takes the place of what is in the ring; else it follows.
    pub replaces: bool,
    /// Ends the job from outside.
    pub cancel: Cancel,
    /// Shows how far it has read.
    pub progress: ReadProgress,
}

/// The permission to fill the ring.
#[derive(Clone, Copy)]
pub struct PushPermit {
    /// For this job.
    pub job: JobId,
    /// Frames to have ready before the job counts as primed.
    pub prime: usize,
}

/// The engine's end of the decoding thread.
pub struct DecoderThread {
    shared: Arc<DecoderShared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct DecoderShared {
    slot: Mutex<LatestJob>,
    bell: Condvar,
}

impl DecoderShared {
    fn lock(&self) -> MutexGuard<'_, LatestJob> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits to be taken; the latest wins.
#[derive(Default)]
struct LatestJob {
    job: Option<DecodeJob>,
    go: Option<PushPermit>,
    /// The ring of a newly opened line. It outlives the job that it was opened for: nobody
    /// can give it a second time.
    feed: Option<Feed>,
    quit: bool,
}

impl DecoderThread {
    /// Starts the thread, which reports to `inbox`.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn spawn(inbox: Arc<Inbox>) -> std::io::Result<Self> {
        let shared = Arc::<DecoderShared>::default();
        let worker = Worker {
            shared: shared.clone(),
            inbox,
            feed: None,
        };
        let thread = thread::Builder::new()
            .name("decode".into())
            .spawn(move || worker.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Runs `job` as soon as the one before is finished or cancelled.
    pub fn submit(&self, job: DecodeJob) {
        self.shared.lock().job = Some(job);
        self.shared.bell.notify_all();
    }

    /// Lets an opened job fill the ring: `feed` of a newly opened line, else the one at hand.
    pub fn go(&self, go: PushPermit, feed: Option<Feed>) {
        let mut slot = self.shared.lock();
        slot.go = Some(go);
        if feed.is_some() {
            slot.feed = feed;
        }
        drop(slot);
        self.shared.bell.notify_all();
    }

    /// Ends a job, wherever it waits.
    pub fn cancel(&self, job: &DecodeJob) {
        {
            let mut slot = self.shared.lock();
            job.cancel.set();
            slot.job.take_if(|waiting| waiting.id == job.id);
            slot.go.take_if(|go| go.job == job.id);
        }
        self.shared.bell.notify_all();
        job.bytes.wake();
    }
}

impl Drop for DecoderThread {
    /// Any running job must be cancelled before.
    fn drop(&mut self) {
        self.shared.lock().quit = true;
        self.shared.bell.notify_all();
        if let Some(thread) = self.thread.take() {
            // It ends only by returning; a panic has been reported already.
            let _ = thread.join();
        }
    }
}

struct Worker {
    shared: Arc<DecoderShared>,
    inbox: Arc<Inbox>,
    feed: Option<Feed>,
}

impl Worker {
    fn run(mut self) {
        while let Some(job) = self.next_job() {
            let end = self.perform(&job).unwrap_or_else(|end| end);
            let written = self.feed.as_ref().map_or(0, |f| f.state.written());
            self.inbox.report(Report::Finished(job.id, end, written));
        }
    }

    fn next_job(&self) -> Option<DecodeJob> {
        let mut slot = self.shared.lock();
        loop {
            if slot.quit {
                return None;
            }
            if let Some(job) = slot.job.take() {
                return Some(job);
            }
            slot = wait(&self.shared.bell, slot);
        }
    }

    /// `Err` is an end before all was decoded.
    fn perform(&mut self, job: &DecodeJob) -> Result<DecodeEnd, DecodeEnd> {
        let mut opened = open(job)?;
        if !job.from.is_zero() {
            opened.seek(job.from)?;
        }
        let shape = SampleShape {
            rate: opened.media.rate,
            channels: opened.media.channels,
            bits: opened.bits,
        };
        self.inbox.report(Report::Opened(job.id, shape));
        let (go, fresh) = self.permission(job)?;
        if fresh.is_some() {
            self.feed = fresh;
        }
        let Some(feed) = self.feed.as_mut() else {
            return Err(DecodeEnd::Failed("no device is open".into()));
        };
        let first = if job.replaces {
            feed.begin(!job.from.is_zero())
        } else {
            feed.follow()
        };
        feed.state.expect_more();
        let mut pipeline = TrackPipeline::new(opened, feed.rate, feed.channels)?;
        let chunk = frames_in(CHUNK, feed.rate).max(1);
        let mut samples = Vec::with_capacity(chunk * usize::from(feed.channels));
        let mut primed = false;
        let begun = Instant::now();
        loop {
            if job.cancel.is_set() {
                return Err(DecodeEnd::Cancelled);
            }
            let full = feed.room() < chunk;
            let stale = job.replaces && feed.state.read() < first;
            if full && stale && begun.elapsed() < DROPPED_WITHIN {
                rest(&self.shared, job, DROPPING);
                continue;
            }
            if !full {
                samples.clear();
                let end = pipeline.fill(chunk, &mut samples);
                feed.push(&samples);
                if let Some(end) = end {
                    if !primed {
                        self.inbox.report(Report::Primed(job.id, first));
                    }
                    return Ok(end);
                }
            }
            let ready = feed.state.written() - first;
            if !primed && (full || ready >= go.prime as u64) {
                primed = true;
                self.inbox.report(Report::Primed(job.id, first));
            }
            if full {
                rest(&self.shared, job, REST);
            }
        }
    }

    /// Waits for it; the ring comes along if it is another one.
    fn permission(&self, job: &DecodeJob) -> Result<(PushPermit, Option<Feed>), DecodeEnd> {
        let mut slot = self.shared.lock();
        loop {
            if job.cancel.is_set() {
                return Err(DecodeEnd::Cancelled);
            }
            if let Some(go) = slot.go.take_if(|go| go.job == job.id) {
                return Ok((go, slot.feed.take()));
            }
            slot = wait(&self.shared.bell, slot);
        }
    }
}

/// Waits until the ring has room again, or at most for so long.
fn rest(shared: &DecoderShared, job: &DecodeJob, limit: Duration) {
    let slot = shared.lock();
    if !job.cancel.is_set() {
        let waited = shared.bell.wait_timeout(slot, limit);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

fn wait<'a>(bell: &Condvar, slot: MutexGuard<'a, LatestJob>) -> MutexGuard<'a, LatestJob> {
    bell.wait(slot).unwrap_or_else(PoisonError::into_inner)
}

fn open(job: &DecodeJob) -> Result<Opened, DecodeEnd> {
    let bytes = job.bytes.clone();
    decode::open(
        bytes,
        job.media.container,
        job.media.audio_start,
        &job.cancel,
        &job.progress,
    )
    .map_err(|e| match e {
        OpenError::Cancelled => DecodeEnd::Cancelled,
        other => DecodeEnd::Failed(other.to_string()),
    })
}

/// Decoded and pushed at once: a device period, so that the first one is ready
/// as early as possible.
const CHUNK: Duration = Duration::from_millis(10);

/// What was dropped, by a seek say, fills the ring until the device's callback
/// comes by, once in 10 ms. One that does not run yet drops nothing; then the
/// ring counts as full.
const DROPPED_WITHIN: Duration = Duration::from_millis(50);
const DROPPING: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests;
