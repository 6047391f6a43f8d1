//! What is on its way to one peer: bounded in number and in bytes, shared where
//! it goes to many.
//!
//! There are two bounds. At half of an outbox its peer is not listened to any
//! more and told no news, so that who asks for much and reads slowly is slowed
//! down. What the registry says unasked may fill the rest; whose outbox is full is
//! dropped.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};

use async_channel::{Receiver, Sender};

use crate::protocol::{encode_frame, encode_shared, FromTracker, MAX_TRACKER_FRAME};

/// A message, or several, in bytes that are shared where they go to many.
#[derive(Clone)]
pub struct Frame {
    pub head: Arc<[u8]>,
    /// A page's.
    pub body: Option<Arc<[u8]>>,
}

impl Frame {
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

    pub fn len(&self) -> usize {
        self.head.len() + self.body.as_ref().map_or(0, |body| body.len())
    }
}

/// Frames on their way to one peer, bounded in number and in bytes.
pub struct Outbox {
    frames: Sender<Frame>,
    pub room: Arc<Room>,
}

/// The other end of an [`Outbox`].
pub struct Frames {
    pub frames: Receiver<Frame>,
    pub room: Arc<Room>,
}

/// How much of an outbox is taken.
pub struct Room {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    given_back: (Sender<()>, Receiver<()>),
}

pub fn outbox() -> (Outbox, Frames) {
    let (sender, receiver) = async_channel::bounded(OUTBOX_FRAMES);
    let room = Arc::new(Room {
        frames: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        given_back: async_channel::bounded(1),
    });
    let frames = Frames {
        frames: receiver,
        room: room.clone(),
    };
    let outbox = Outbox {
        frames: sender,
        room,
    };
    (outbox, frames)
}

impl Outbox {
    /// Whether there was room.
    pub fn push(&self, frame: Frame) -> bool {
        self.room.take(frame.len()) <= OUTBOX_BYTES
            && !matches!(
                self.frames.try_send(frame),
                Err(async_channel::TrySendError::Full(_))
            )
    }

    pub fn has_room(&self) -> bool {
        self.room.is_enough()
    }

    /// What is in it still goes out.
    pub fn close(&self) {
        self.frames.close();
    }
}

impl Room {
    /// Gives how many bytes are taken by then.
    fn take(&self, bytes: usize) -> usize {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// A frame has gone out.
    pub fn give_back(&self, bytes: usize) {
        self.frames.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        // Full: whoever waits is woken already.
        let _ = self.given_back.0.try_send(());
    }

    /// Whether more may be asked for by whoever reads it.
    fn is_enough(&self) -> bool {
        self.frames.load(Ordering::Relaxed) <= OUTBOX_FRAMES / 2
            && self.bytes.load(Ordering::Relaxed) <= OUTBOX_BYTES / 2
    }

    pub async fn wait(&self) {
        while !self.is_enough() {
            // The other half of the channel is here, too.
            let _ = self.given_back.1.recv().await;
        }
    }
}

/// Answers that wait for whoever asked for them; at half of it nothing more is
/// read from it.
const OUTBOX_FRAMES: usize = 64;
/// The same in bytes: two of the longest pages, or a dozen ordinary ones.
const OUTBOX_BYTES: usize = 4 * MAX_TRACKER_FRAME;

#[cfg(test)]
mod tests {
    use smol::future;

    use super::*;

    fn page() -> Frame {
        Frame {
            head: vec![0; MAX_TRACKER_FRAME].into(),
            body: None,
        }
    }

    #[test]
    fn an_outbox_is_bounded_in_bytes_and_frames() {
        let (outbox, frames) = outbox();
        for _ in 0..4 {
            assert!(outbox.push(page()));
        }
        frames
            .room
            .give_back(frames.frames.try_recv().unwrap().len());
        assert!(outbox.push(page()));
        assert!(!outbox.push(page()));

        let (outbox, _frames) = super::outbox();
        let empty = Frame::join([].into_iter());
        let taken = (0..=OUTBOX_FRAMES).take_while(|_| outbox.push(empty.clone()));
        assert_eq!(taken.count(), OUTBOX_FRAMES);
    }

    #[test]
    fn who_does_not_read_is_not_listened_to() {
        let (outbox, frames) = outbox();
        let wait = || smol::block_on(future::poll_once(frames.room.wait()));
        for _ in 0..2 {
            outbox.push(page());
            assert_eq!(wait(), Some(()));
        }
        outbox.push(page());
        assert!(wait().is_none() && !outbox.has_room());
        frames
            .room
            .give_back(frames.frames.try_recv().unwrap().len());
        assert_eq!(wait(), Some(()));
    }
}
