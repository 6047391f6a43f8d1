//! Keeps the device: opens it, closes it, notices when it is lost, and tries
//! again for as long as it is.
//!
//! Opening waits for the device, and closing may wait for ever, because a
//! server that hangs does not confirm it; so each line is closed on a thread
//! of its own, and after a few that never came back no more are opened.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::health::{DevicePulse, Outage};
use super::output::{Output, OutputStream};
use super::ring::Feed;
use super::spec::OutputSpec;
use super::spec::{OutputError, SampleShape};
use super::PlayerEvent;

/// The device, open or not.
pub struct DeviceSupervisor {
    output: Output,
    line: Option<OutputStream>,
    /// The ring of `line`, as long as no job has got it.
    spare: Option<Feed>,
    /// Of `line`, once it runs.
    pulse: Option<DevicePulse>,
    outage: Option<Outage>,
    /// Lines that are being closed; each sends, or hangs up, when it is.
    closing: Vec<Receiver<()>>,
}

impl DeviceSupervisor {
    /// Opens nothing yet.
    pub fn new(spec: OutputSpec) -> Self {
        Self {
            output: Output::new(spec),
            line: None,
            spare: None,
            pulse: None,
            outage: None,
            closing: Vec::new(),
        }
    }

    /// The open line.
    pub fn line(&self) -> Option<&OutputStream> {
        self.line.as_ref()
    }

    /// The ring of the open line, for its first job.
    pub fn take_feed(&mut self) -> Option<Feed> {
        self.spare.take()
    }

    /// Whether a line can be opened before the decoder stands.
    pub fn opens_early(&self) -> bool {
        self.output.shape_is_known_early()
    }

    /// Whether the device may be tried at `now`.
    pub fn may_try(&self, now: Instant) -> bool {
        self.outage
            .as_ref()
            .is_none_or(|outage| now >= outage.retry_at())
    }

    /// When a lost device is to be tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.outage.as_ref().map(Outage::retry_at)
    }

    /// Somebody wants sound now.
    pub fn hurry(&mut self, now: Instant) {
        if let Some(outage) = &mut self.outage {
            outage.hurry(now);
        }
    }

    /// Whether sound of this shape can go to the open line.
    ///
    /// # Errors
    /// [`OutputError`] if there is no usable device.
    pub fn fits(&mut self, shape: SampleShape) -> Result<bool, OutputError> {
        let plan = self.output.plan(shape)?;
        Ok(self.line.as_ref().is_some_and(|line| line.shape == plan))
    }

    /// Opens the line for `shape` unless it is open; tells if it did.
    ///
    /// # Errors
    /// [`OutputError`] if the device is gone, busy or unable.
    pub fn open(
        &mut self,
        shape: SampleShape,
        gain: f32,
        paused: bool,
    ) -> Result<Option<PlayerEvent>, OutputError> {
        let plan = self.output.plan(shape)?;
        if self.line.as_ref().is_some_and(|line| line.shape == plan) {
            return Ok(None);
        }
        self.close();
        if self.closing.len() >= MAX_CLOSING {
            return Err(OutputError::Hangs);
        }
        log::trace!("opening the device");
        let (line, feed) = self.output.open(plan, gain)?;
        log::trace!("the device is open");
        line.state.set_paused(paused);
        let event = PlayerEvent::DeviceOpen {
            what: line.what.clone(),
            rate: plan.rate,
            channels: plan.channels,
            format: line.format,
            resampled: plan.rate != shape.rate,
        };
        self.line = Some(line);
        self.spare = Some(feed);
        self.outage = None;
        Ok(Some(event))
    }

    /// Lets the open line run; once is enough.
    pub fn start(&mut self, now: Instant) {
        if let Some(line) = &mut self.line {
            line.start();
            let beats = line.state.calls();
            self.pulse
                .get_or_insert_with(|| DevicePulse::new(beats, now));
        }
    }

    /// Whether the open line is to be closed because it is lost, and why.
    pub fn check(&mut self, now: Instant) -> Option<OutputError> {
        let line = self.line.as_ref()?;
        let error = match line.lost() {
            Some(error) => error,
            None => {
                let stalled = self.pulse.as_mut()?.is_gone(line.state.calls(), now);
                let name = line.what.clone();
                stalled.then_some(OutputError::Stalled { name })?
            }
        };
        // It may come back as another one.
        self.output.forget();
        Some(error)
    }

    /// The device failed; tells it if that is news.
    pub fn fail(&mut self, error: &OutputError, now: Instant) -> Option<PlayerEvent> {
        let why = error.to_string();
        let is_new = match &mut self.outage {
            Some(outage) => outage.handle_failure(&why, now),
            None => {
                self.outage = Some(Outage::new(why.clone(), now));
                true
            }
        };
        is_new.then_some(PlayerEvent::DeviceLost { why })
    }

    /// Looks for the device while nothing needs it: before the first play, and
    /// while it is lost. Tells what is new.
    pub fn look_up(&mut self, now: Instant) -> Option<PlayerEvent> {
        match self.output.look_up() {
            Ok(()) => self.outage.take().map(|_| PlayerEvent::DeviceBack),
            Err(error) => self.fail(&error, now),
        }
    }

    /// Closes the open line, if there is one. Waits for that, but not long.
    pub fn close(&mut self) {
        self.spare = None;
        self.pulse = None;
        self.closing
            .retain(|done| done.try_recv() == Err(mpsc::TryRecvError::Empty));
        let Some(line) = self.line.take() else {
            return;
        };
        let Some(card) = self.output.close(line) else {
            return;
        };
        let (sender, done) = mpsc::sync_channel(1);
        let closer = thread::Builder::new().name("closing".into());
        let spawned = closer.spawn(move || {
            drop(card);
            // Nobody waits for it any more when that took long.
            let _ = sender.send(());
        });
        if spawned.is_ok() && done.recv_timeout(CLOSING) == Err(mpsc::RecvTimeoutError::Timeout) {
            log::debug!("the device does not close");
            self.closing.push(done);
        }
    }
}

/// A device that is well is closed within its buffer; it must be, before it can
/// be opened again.
const CLOSING: Duration = Duration::from_millis(300);

/// Lines that may hang in closing, each with a thread; a server that hangs this
/// often is not asked again before one of them has come back.
const MAX_CLOSING: usize = 4;
