//! A track in the store, as the player reads it.

use std::{
    io,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
};

use async_channel::Sender;

use super::Input;
use crate::{
    content::file::{Blob, Wait},
    id::TrackId,
    media::decode::{Cancel, ReadStop, TrackBytes},
    node::Event,
    swarm::scheduler::READER_STRIDE,
};

/// Reads a blob that may still be arriving, and tells where the reader stands
/// so that what it needs is fetched first.
pub struct StoreBytes {
    blob: Arc<Blob>,
    inputs: Sender<Input>,
    /// The stretch that was told of last.
    told: AtomicU64,
}

impl StoreBytes {
    pub fn new(blob: Arc<Blob>, inputs: Sender<Input>) -> Self {
        Self {
            blob,
            inputs,
            told: AtomicU64::new(u64::MAX),
        }
    }

    fn track(&self) -> TrackId {
        self.blob.track()
    }

    /// Says that the reader stands at `offset`, unless that is known.
    fn tell(&self, offset: u64) {
        let stretch = offset / READER_STRIDE;
        if self.told.swap(stretch, Ordering::Relaxed) != stretch {
            let demand = Event::Demand {
                track: self.track(),
                offset,
            };
            // A full channel means that the loop is behind; the next stretch
            // tells it again.
            if self.inputs.try_send(Input::Event(demand)).is_err() {
                self.told.store(u64::MAX, Ordering::Relaxed);
            }
        }
    }

    /// The same for a reader that cannot go on, perhaps because something that was
    /// here is not.
    fn tell_waiting(&self, offset: u64) {
        let (track, groups) = (self.track(), self.blob.take_lost());
        if !groups.is_empty() {
            let lost = Event::Lost { track, groups };
            let _ = self.inputs.send_blocking(Input::Event(lost));
        }
        self.told.store(offset / READER_STRIDE, Ordering::Relaxed);
        let demand = Event::Demand {
            track: self.track(),
            offset,
        };
        let _ = self.inputs.send_blocking(Input::Event(demand));
    }
}

impl TrackBytes for StoreBytes {
    fn size(&self) -> u64 {
        self.blob.size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8], cancel: &Cancel) -> Result<usize, ReadStop> {
        loop {
            if cancel.is_set() {
                return Err(ReadStop::Cancelled);
            }
            match self.blob.read_at(offset, buf) {
                Ok(Some(n)) => {
                    self.tell(offset);
                    return Ok(n);
                }
                Ok(None) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(ReadStop::Failed(e.to_string())),
            }
            self.tell_waiting(offset);
            match self.blob.wait(offset, cancel.flag()) {
                Wait::Here => {}
                Wait::Cancelled => return Err(ReadStop::Cancelled),
                Wait::Failed(why) => return Err(ReadStop::Failed(why.to_string())),
            }
        }
    }

    fn wake(&self) {
        self.blob.wake_all();
    }
}
