//! Frames on their way to peers, bounded in number and in bytes, for each peer and
//! for all together.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};

use async_channel::{Receiver, Sender, TrySendError};

use crate::protocol::{encode_frame, encode_shared, FromTracker, MAX_TRACKER_FRAME};

/// A message, or several, in bytes that are shared where they go to many.
#[derive(Clone)]
pub struct SharedFrame {
    head: Arc<[u8]>,
    /// A page's, which the registry has, too.
    body: Option<Arc<[u8]>>,
}

impl SharedFrame {
    pub fn new(message: &FromTracker) -> Self {
        let (head, body) = encode_shared(message);
        let head = head.into();
        Self { head, body }
    }

    /// Many messages that are sent at once.
    pub fn join<'a>(messages: impl Iterator<Item = &'a FromTracker>) -> Self {
        let frames: Vec<Vec<u8>> = messages.map(encode_frame).collect();
        Self {
            head: frames.concat().into(),
            body: None,
        }
    }

    /// Its bytes, one part after the other.
    pub fn parts(&self) -> [&[u8]; 2] {
        [&self.head, self.body.as_deref().unwrap_or_default()]
    }

    pub fn len(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }
}

/// The outboxes of all connections, which share a bound.
#[derive(Default)]
pub struct Outboxes {
    all: Arc<AtomicUsize>,
}

/// Frames on their way to one peer.
pub struct FrameOutbox {
    frames: Sender<SharedFrame>,
    room: Arc<Room>,
}

/// The other end of an [`FrameOutbox`].
pub struct Frames {
    frames: Receiver<SharedFrame>,
    pub room: Arc<Room>,
}

/// How much of an outbox is taken.
pub struct Room {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    /// Of all outboxes together; what only they have.
    all: Arc<AtomicUsize>,
    /// This one's part of it.
    part: AtomicUsize,
    given_back: (Sender<()>, Receiver<()>),
}

impl Outboxes {
    pub fn open(&self) -> (FrameOutbox, Frames) {
        let (sender, receiver) = async_channel::bounded(FRAMES);
        let room = Arc::new(Room {
            frames: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            all: self.all.clone(),
            part: AtomicUsize::new(0),
            given_back: async_channel::bounded(1),
        });
        let frames = Frames {
            frames: receiver,
            room: room.clone(),
        };
        let outbox = FrameOutbox {
            frames: sender,
            room,
        };
        (outbox, frames)
    }
}

impl FrameOutbox {
    /// Whether there was room.
    pub fn push(&self, frame: SharedFrame) -> bool {
        if !self.room.take(&frame) {
            return false;
        }
        !matches!(self.frames.try_send(frame), Err(TrySendError::Full(_)))
    }

    pub fn has_room(&self) -> bool {
        self.room.is_enough()
    }

    /// What is in it still goes out.
    pub fn close(&self) {
        self.frames.close();
    }
}

impl Frames {
    pub async fn next(&self) -> Option<SharedFrame> {
        self.frames.recv().await.ok()
    }
}

impl Room {
    fn take(&self, frame: &SharedFrame) -> bool {
        let len = frame.len();
        self.frames.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(len, Ordering::Relaxed) + len;
        self.part.fetch_add(frame.head.len(), Ordering::Relaxed);
        let all = self.all.fetch_add(frame.head.len(), Ordering::Relaxed) + frame.head.len();
        bytes <= BYTES && (bytes <= FAIR_BYTES || all <= BYTES_OF_ALL)
    }

    /// A frame has gone out.
    pub fn give_back(&self, frame: &SharedFrame) {
        self.frames.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        self.part.fetch_sub(frame.head.len(), Ordering::Relaxed);
        self.all.fetch_sub(frame.head.len(), Ordering::Relaxed);
        // Full: the waiting task is woken already.
        let _ = self.given_back.0.try_send(());
    }

    /// Whether more may be asked for by its reader.
    fn is_enough(&self) -> bool {
        self.frames.load(Ordering::Relaxed) <= FRAMES / 2
            && self.bytes.load(Ordering::Relaxed) <= BYTES / 2
    }

    /// Until its reader has taken half of what there is room for.
    pub async fn wait(&self) {
        while !self.is_enough() {
            // The other half of the channel is here, too.
            let _ = self.given_back.1.recv().await;
        }
    }
}

impl Drop for Room {
    /// What nobody takes any more is gone with the channel.
    fn drop(&mut self) {
        self.all.fetch_sub(*self.part.get_mut(), Ordering::Relaxed);
    }
}

/// Answers that wait for their requester; at half of it nothing more is
/// read from it.
const FRAMES: usize = 64;
/// The same in bytes: two of the longest pages, or a dozen ordinary ones.
const BYTES: usize = 4 * MAX_TRACKER_FRAME;
/// For all together, of what is in memory for them alone.
const BYTES_OF_ALL: usize = 8 * BYTES;
/// What each has in any case: what a newcomer is told at once.
const FAIR_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use smol::future;

    use super::*;

    fn frame(len: usize) -> SharedFrame {
        SharedFrame {
            head: vec![0; len].into(),
            body: None,
        }
    }

    fn page() -> SharedFrame {
        frame(MAX_TRACKER_FRAME)
    }

    #[test]
    fn an_outbox_is_bounded_in_bytes_and_frames() {
        let (outbox, frames) = Outboxes::default().open();
        for _ in 0..4 {
            assert!(outbox.push(page()));
        }
        frames.room.give_back(&frames.frames.try_recv().unwrap());
        assert!(outbox.push(page()));
        assert!(!outbox.push(page()));

        let (outbox, _frames) = Outboxes::default().open();
        let empty = SharedFrame::join([].into_iter());
        let taken = (0..=FRAMES).take_while(|_| outbox.push(empty.clone()));
        assert_eq!(taken.count(), FRAMES);
    }

    #[test]
    fn who_does_not_read_is_not_listened_to() {
        let (outbox, frames) = Outboxes::default().open();
        let wait = || smol::block_on(future::poll_once(frames.room.wait()));
        for _ in 0..2 {
            outbox.push(page());
            assert_eq!(wait(), Some(()));
        }
        outbox.push(page());
        assert!(wait().is_none() && !outbox.has_room());
        frames.room.give_back(&frames.frames.try_recv().unwrap());
        assert_eq!(wait(), Some(()));
    }

    #[test]
    fn many_who_do_not_read_share_a_bound_and_leave_a_fair_part_to_who_does() {
        let all = Outboxes::default();
        let lazy: Vec<_> = (0..64).map(|_| all.open()).collect();
        let taken = lazy
            .iter()
            .map(|(outbox, _)| (0..4).take_while(|_| outbox.push(page())).count());
        let taken: usize = taken.sum();
        assert_eq!(taken, BYTES_OF_ALL / MAX_TRACKER_FRAME);
        let (outbox, _frames) = all.open();
        assert!(outbox.push(frame(FAIR_BYTES)));
        assert!(!outbox.push(page()));
        drop((lazy, outbox, _frames));
        assert_eq!(all.all.load(Ordering::Relaxed), 0, "all is given back");
    }
}
