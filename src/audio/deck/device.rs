//! What the deck knows of its device: whether it is open and well, and when a lost one is tried
//! again.

use std::time::Instant;

use super::action::{LineFacts, RingLook};
use crate::audio::{
    events::PlayerEvent,
    health::{DevicePulse, Outage, PROVEN},
    spec::{OutputError, SampleShape},
};

/// The device, open or not.
#[derive(Debug, Default)]
pub struct DeviceState {
    line: Option<OpenLine>,
    /// It is over once the device has proven itself, not as soon as it opens: one with a full
    /// disk opens, and fails with the first sound.
    outage: Option<Outage>,
    /// Whether it was opened since it failed last.
    reopened: bool,
}

/// An open device.
#[derive(Debug)]
pub struct OpenLine {
    pub facts: LineFacts,
    /// What its ring has shown last.
    pub ring: RingLook,
    /// Once it runs.
    pulse: Option<DevicePulse>,
    /// When it has proven itself, once it runs.
    proven_at: Option<Instant>,
    /// That it is open, where that is not told before it has proven itself.
    untold: Option<PlayerEvent>,
}

impl DeviceState {
    pub fn line(&self) -> Option<&OpenLine> {
        self.line.as_ref()
    }

    /// What the ring of the open device is going to show, once what was ordered is done.
    pub fn ring_mut(&mut self) -> Option<&mut RingLook> {
        Some(&mut self.line.as_mut()?.ring)
    }

    /// Frames that left the ring of the open device.
    pub fn read(&self) -> u64 {
        self.line().map_or(0, |line| line.ring.read)
    }

    /// Whether it is open for sound of this shape.
    pub fn is_open_for(&self, shape: SampleShape) -> bool {
        self.line().is_some_and(|line| line.facts.shape == shape)
    }

    /// Gives `news` of it back where that is to be told now.
    pub fn handle_open(&mut self, facts: LineFacts, news: PlayerEvent) -> Option<PlayerEvent> {
        let is_doubted = self.outage.as_ref().is_some_and(Outage::is_fickle);
        let (untold, told) = match is_doubted {
            true => (Some(news), None),
            false => (None, Some(news)),
        };
        self.reopened = true;
        self.line = Some(OpenLine {
            facts,
            ring: RingLook::default(),
            pulse: None,
            proven_at: None,
            untold,
        });
        told
    }

    /// Ends the outage of a device that has run long enough by `now`; what is to be told then.
    pub fn handle_proof(&mut self, now: Instant) -> Option<PlayerEvent> {
        let line = self.line.as_mut().filter(|_| self.reopened)?;
        line.proven_at.filter(|at| now >= *at)?;
        (self.reopened, self.outage) = (false, None);
        line.untold.take()
    }

    /// Whether it was open.
    pub fn handle_close(&mut self) -> bool {
        self.line.take().is_some()
    }

    /// Whether the open device is to be started: once is enough.
    pub fn handle_start(&mut self, now: Instant) -> bool {
        let line = self.line.as_mut().filter(|line| line.pulse.is_none());
        let Some(line) = line else { return false };
        line.pulse = Some(DevicePulse::new(line.ring.calls, now));
        line.proven_at = Some(now + PROVEN);
        true
    }

    /// Takes what the ring of the open device shows; an error if that has stopped taking sound.
    pub fn handle_ring(&mut self, ring: RingLook, now: Instant) -> Option<OutputError> {
        let line = self.line.as_mut()?;
        line.ring = ring;
        let is_stalled = line.pulse.as_mut()?.is_gone(ring.calls, now);
        let name = line.facts.name.clone();
        is_stalled.then_some(OutputError::Stalled { name })
    }

    /// It is lost, or could not be opened. Whether that is to be told.
    pub fn handle_failure(&mut self, why: &str, now: Instant) -> bool {
        let reopened = std::mem::take(&mut self.reopened);
        match &mut self.outage {
            Some(outage) => outage.handle_failure(why, reopened, now),
            None => {
                self.outage = Some(Outage::new(why.to_owned(), now));
                true
            }
        }
    }

    /// It is there. Whether it was lost.
    pub fn handle_found(&mut self) -> bool {
        self.outage.take().is_some()
    }

    /// Somebody wants sound now: a lost one is tried at once.
    pub fn hurry(&mut self, now: Instant) {
        if let Some(outage) = &mut self.outage {
            outage.hurry(now);
        }
    }

    /// When a lost one is to be tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        let outage = self.outage.as_ref().filter(|_| !self.reopened);
        outage.map(Outage::retry_at)
    }

    /// Whether it may be tried at `now`.
    pub fn may_try(&self, now: Instant) -> bool {
        self.retry_at().is_none_or(|at| now >= at)
    }
}
