//! Frames on their way to peers, bounded in number and in bytes, for each peer and
//! for all together.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};

use async_channel::{Receiver, Sender, TrySendError};

use crate::{protocol::MAX_TRACKER_FRAME, tracker::registry::MAX_PEERS};

/// A message as it goes out; one that goes to many is in memory once.
pub type Frame = Arc<[u8]>;

/// The outboxes of all connections, which share a bound.
#[derive(Default)]
pub struct Outboxes {
    all: Arc<AtomicUsize>,
}

/// Frames on their way to one peer.
pub struct Outbox {
    frames: Sender<Frame>,
    bytes: Arc<Bytes>,
}

/// The other end of an [`Outbox`].
pub struct Frames {
    frames: Receiver<Frame>,
    bytes: Arc<Bytes>,
}

/// What is in an outbox, counted there and with all others.
struct Bytes {
    own: AtomicUsize,
    all: Arc<AtomicUsize>,
}

impl Outboxes {
    pub fn open(&self) -> (Outbox, Frames) {
        let (sender, receiver) = async_channel::bounded(FRAMES);
        let bytes = Arc::new(Bytes {
            own: AtomicUsize::new(0),
            all: self.all.clone(),
        });
        let frames = Frames {
            frames: receiver,
            bytes: bytes.clone(),
        };
        let outbox = Outbox {
            frames: sender,
            bytes,
        };
        (outbox, frames)
    }
}

impl Outbox {
    /// Whether there was room.
    pub fn push(&self, frame: Frame) -> bool {
        let len = frame.len();
        if !self.bytes.take(len) {
            return false;
        }
        match self.frames.try_send(frame) {
            Ok(()) => true,
            Err(error) => {
                self.bytes.give_back(len);
                matches!(error, TrySendError::Closed(_))
            }
        }
    }

    /// What is in it still goes out.
    pub fn close(&self) {
        self.frames.close();
    }
}

impl Frames {
    pub async fn next(&self) -> Option<Frame> {
        let frame = self.frames.recv().await.ok()?;
        self.bytes.give_back(frame.len());
        Some(frame)
    }
}

impl Bytes {
    fn take(&self, len: usize) -> bool {
        let own = self.own.fetch_add(len, Ordering::Relaxed) + len;
        let all = self.all.fetch_add(len, Ordering::Relaxed) + len;
        let fits = own <= MAX_BYTES && (own <= FAIR_BYTES || all <= MAX_BYTES_OF_ALL);
        if !fits {
            self.give_back(len);
        }
        fits
    }

    fn give_back(&self, len: usize) {
        self.own.fetch_sub(len, Ordering::Relaxed);
        self.all.fetch_sub(len, Ordering::Relaxed);
    }
}

impl Drop for Bytes {
    /// What nobody takes any more is gone with the channel.
    fn drop(&mut self) {
        self.all.fetch_sub(*self.own.get_mut(), Ordering::Relaxed);
    }
}

/// A newcomer is told of every peer and every head at once.
const FRAMES: usize = 4 * MAX_PEERS;
/// Several of the longest pages, which a peer asks for a few at a time.
const MAX_BYTES: usize = 8 * MAX_TRACKER_FRAME;
/// For all together: one peer in eight may be that far behind at a venue of 32.
const MAX_BYTES_OF_ALL: usize = 4 * MAX_BYTES;
/// What each has in any case: what a newcomer is told at once.
const FAIR_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_is_bounded_in_bytes_and_frames() {
        let (outbox, frames) = Outboxes::default().open();
        let page: Frame = vec![0; MAX_TRACKER_FRAME].into();
        for _ in 0..8 {
            assert!(outbox.push(page.clone()));
        }
        smol::block_on(frames.next()).unwrap();
        assert!(outbox.push(page.clone()));
        assert!(!outbox.push(page));

        let (outbox, _frames) = Outboxes::default().open();
        let taken = (0..=FRAMES).take_while(|_| outbox.push(Vec::new().into()));
        assert_eq!(taken.count(), FRAMES);
    }

    #[test]
    fn many_who_do_not_read_share_a_bound_and_leave_a_fair_part_to_who_does() {
        let all = Outboxes::default();
        let page: Frame = vec![0; MAX_TRACKER_FRAME].into();
        let lazy: Vec<_> = (0..64).map(|_| all.open()).collect();
        let taken = lazy
            .iter()
            .map(|(outbox, _)| (0..9).filter(|_| outbox.push(page.clone())).count());
        let taken: usize = taken.sum();
        assert_eq!(taken, MAX_BYTES_OF_ALL / page.len());
        let (outbox, _frames) = all.open();
        assert!(outbox.push(vec![0; FAIR_BYTES].into()));
        assert!(!outbox.push(page.clone()));
        drop((lazy, outbox, _frames));
        assert_eq!(all.all.load(Ordering::Relaxed), 0, "all is given back");
    }
}
