//! Keeps the device: finds it, opens it, lets it run and closes it, as the deck says.
//!
//! Opening waits for the device, and closing may wait for ever, because a
//! server that hangs does not confirm it; so each line is closed on a thread
//! of its own, and after a few that never came back no more are opened.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use super::deck::LineFacts;
use super::output::{Output, OutputStream};
use super::ring::Feed;
use super::spec::OutputSpec;
use super::spec::{OutputError, SampleShape};

/// The device, open or not.
pub struct DeviceSupervisor {
    output: Output,
    line: Option<OutputStream>,
    /// The ring of `line`, as long as no job has got it.
    spare: Option<Feed>,
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

    /// The shape in which the device would put out sound of this one.
    ///
    /// # Errors
    /// [`OutputError`] if there is no usable device.
    pub fn plan(&mut self, shape: SampleShape) -> Result<SampleShape, OutputError> {
        self.output.plan(shape)
    }

    /// Opens the line for a shape that [`Self::plan`] gave.
    ///
    /// # Errors
    /// [`OutputError`] if the device is gone, busy or unable.
    pub fn open(
        &mut self,
        shape: SampleShape,
        gain: f32,
        paused: bool,
    ) -> Result<LineFacts, OutputError> {
        self.close();
        if self.closing.len() >= MAX_CLOSING {
            return Err(OutputError::Hangs);
        }
        log::trace!("opening the device");
        let (line, feed) = self.output.open(shape, gain)?;
        log::trace!("the device is open");
        line.state.set_paused(paused);
        let facts = LineFacts {
            name: line.what.clone(),
            shape,
            format: line.format,
            prime: line.prime,
        };
        self.line = Some(line);
        self.spare = Some(feed);
        Ok(facts)
    }

    /// Lets the open line run; once is enough.
    pub fn start(&mut self) {
        if let Some(line) = &mut self.line {
            line.start();
        }
    }

    /// Looks the device up anew next time: it may come back as another one.
    pub fn forget(&mut self) {
        self.output.forget();
    }

    /// Finds the device, which takes longer than opening it, before it is needed.
    ///
    /// # Errors
    /// [`OutputError`] if it is not there, or busy.
    pub fn find(&mut self) -> Result<(), OutputError> {
        self.output.look_up()
    }

    /// Closes the open line, if there is one. Waits for that, but not long.
    pub fn close(&mut self) {
        self.spare = None;
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
