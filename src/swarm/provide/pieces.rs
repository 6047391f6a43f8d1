//! A slice on its way out: read by a thread, and taken from it piece by piece.

use std::{
    io::{self, Write},
    sync::Arc,
};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use smol::Task;

use crate::{
    content::{
        file::{Blob, SliceError},
        ranges::GroupSet,
    },
    id::GROUP_BYTES,
    util::work,
};

/// The pieces of a slice. It is read no faster than they are taken.
pub struct SlicePieces {
    pieces: Receiver<Bytes>,
    /// Buffers for the pieces to come.
    lend: Sender<Vec<u8>>,
    reading: Task<Result<(), SliceError>>,
}

impl SlicePieces {
    /// Begins to read the slice that proves `groups`.
    pub fn read(blob: Arc<Blob>, groups: GroupSet) -> Self {
        let (to, pieces) = async_channel::bounded(PIECES_UNDER_WAY);
        let (lend, empty) = async_channel::bounded(PIECES_UNDER_WAY);
        let reading = work::unblock(move || {
            let mut pipe = Pipe {
                to,
                empty,
                piece: Vec::new(),
                begun: false,
            };
            blob.slice(&groups, &mut pipe)?;
            pipe.flush().map_err(SliceError::Write)
        });
        let slice = Self {
            pieces,
            lend,
            reading,
        };
        (0..PIECES_UNDER_WAY).for_each(|_| slice.lend_one());
        slice
    }

    /// The next piece; none after the last, or when the slice cannot be read on.
    pub async fn next(&mut self) -> Option<Bytes> {
        let piece = self.pieces.recv().await.ok()?;
        self.lend_one();
        Some(piece)
    }

    /// Whether these were all pieces.
    ///
    /// # Errors
    /// Why the slice could not be read to its end.
    pub async fn end(self) -> Result<(), SliceError> {
        self.reading.await
    }

    fn lend_one(&self) {
        // Of as many as it has room for, none is refused.
        let _ = self.lend.try_send(Vec::with_capacity(PIECE_BYTES));
    }
}

/// The blocking end of a slice on its way out.
///
/// It fills what it is lent: the heap gives each thread an area of its own, and in that of
/// every thread that ever made a piece there would be room for all that are under way.
struct Pipe {
    to: Sender<Bytes>,
    empty: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    /// Whether a piece has gone out.
    begun: bool,
}

impl Pipe {
    /// Somebody may wait for the first group, and all later ones are cheaper together.
    fn is_enough(&self) -> bool {
        let group = GROUP_BYTES as usize;
        let len = self.piece.len();
        len + group > self.piece.capacity() || (!self.begun && len >= group)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.capacity() == 0 {
            let lent = self.empty.recv_blocking();
            self.piece = lent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        self.piece.extend_from_slice(bytes);
        if self.is_enough() {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.begun = true;
        let piece = std::mem::take(&mut self.piece);
        self.to
            .send_blocking(piece.into())
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Four groups and their hashes: what a slice hands over at once.
const PIECE_BYTES: usize = 66 * 1024;
/// One piece being encoded while another is being sent.
const PIECES_UNDER_WAY: usize = 2;
