//! Answering what other peers ask.
//!
//! Each stream is a question, handed on as an [`Ask`] to whoever decides, and
//! answered with the [`Reply`] that comes back. A question that nobody wants
//! to decide is dropped with its stream.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use async_channel::Sender;
use quinn::{RecvStream, SendStream, StreamId, VarInt};
use smol::Task;

use super::endpoint::{within, Connection};
use crate::{
    content::{
        file::{Blob, SliceError},
        ranges::GroupSet,
    },
    id::PeerId,
    protocol::{
        encode_frame, read_frame, Decline, PeerReply, PeerRequest, MAX_REQUEST_FRAME,
        RESET_CHANGED, RESET_FAULT,
    },
};

/// A question of another peer's.
pub struct Ask {
    pub peer: PeerId,
    pub request: PeerRequest,
    /// Where the answer goes; holds as many as one question can have under
    /// way. Closed when the asker does not wait any longer.
    pub reply: Sender<Reply>,
}

/// What to answer.
pub enum Reply {
    Message(PeerReply),
    /// Send the verified slice; `done` is dropped when that is over.
    Slice {
        blob: Arc<Blob>,
        groups: GroupSet,
        done: Done,
    },
}

/// Closes its channel when a slice is sent, or given up.
pub type Done = Sender<std::convert::Infallible>;

/// Answers the questions that come over `connection` until it ends.
pub async fn serve(connection: Connection, asks: Sender<Ask>) {
    let mut streams: Vec<Task<()>> = Vec::new();
    while let Ok((send, recv)) = connection.quic.accept_bi().await {
        streams.retain(|stream| !stream.is_finished());
        streams.push(smol::spawn(answer(
            connection.peer,
            send,
            recv,
            asks.clone(),
        )));
    }
}

async fn answer(peer: PeerId, mut send: SendStream, mut recv: RecvStream, asks: Sender<Ask>) {
    let request = match within(REQUEST_TIMEOUT, read_frame(&mut recv, MAX_REQUEST_FRAME)).await {
        Some(Ok(request)) => request,
        _ => return reset(&mut send, RESET_FAULT),
    };
    let priority = priority(send.id());
    let (reply, replies) = async_channel::bounded(REPLIES_UNDER_WAY);
    if asks
        .send(Ask {
            peer,
            request,
            reply,
        })
        .await
        .is_err()
    {
        return;
    }
    while let Ok(reply) = replies.recv().await {
        let last = match reply {
            Reply::Message(message) => {
                let more = matches!(message, PeerReply::Hashing { .. });
                write(&mut send, &encode_frame(&message)).await && more
            }
            Reply::Slice { blob, groups, done } => {
                send_slice(&mut send, blob, groups, priority).await;
                drop(done);
                false
            }
        };
        if !last {
            break;
        }
    }
    let _ = send.finish();
}

/// QUIC's priority of the answers on `stream`: one request after the other.
/// Side by side, all would arrive as late as the last one, and the decoder
/// waits for the first.
fn priority(stream: StreamId) -> i32 {
    let age = stream.index() % TURN;
    // It is less than `TURN`, which fits.
    -i32::try_from(age).unwrap_or(0)
}

/// Sends the header and the slice, which is checked as it is read.
async fn send_slice(send: &mut SendStream, blob: Arc<Blob>, groups: GroupSet, priority: i32) {
    let (to, pieces) = async_channel::bounded(PIECES_UNDER_WAY);
    let encoding = smol::unblock(move || {
        let mut pipe = Pipe {
            to,
            piece: Vec::with_capacity(PIECE_BYTES),
        };
        blob.slice(&groups, &mut pipe)?;
        pipe.flush().map_err(SliceError::Write)
    });
    let mut header = Some(encode_frame(&PeerReply::Slice));
    let mut begun = false;
    while let Ok(piece) = pieces.recv().await {
        if let Some(header) = header.take() {
            log::trace!("the first piece of a slice is read");
            // That it begins is told before the data of others, since a late
            // answer is asked for elsewhere.
            let _ = send.set_priority(i32::MAX);
            if !write(send, &header).await {
                return;
            }
            let _ = send.set_priority(priority);
            begun = true;
        }
        if !write(send, &piece).await {
            return;
        }
    }
    let result: Result<(), SliceError> = encoding.await;
    if let Err(e) = result {
        log::debug!("a slice could not be sent: {e}");
        let no = match &e {
            SliceError::Changed => Decline::Changed,
            _ => Decline::NotAvailable,
        };
        if begun {
            reset(
                send,
                if no == Decline::Changed {
                    RESET_CHANGED
                } else {
                    RESET_FAULT
                },
            );
        } else {
            write(send, &encode_frame(&PeerReply::No(no))).await;
        }
    }
}

/// Writes all of `bytes`, unless the asker has gone or does not take them.
async fn write(send: &mut SendStream, bytes: &[u8]) -> bool {
    match within(STALL, send.write_all(bytes)).await {
        Some(written) => written.is_ok(),
        None => {
            reset(send, RESET_FAULT);
            false
        }
    }
}

fn reset(send: &mut SendStream, code: u32) {
    let _ = send.reset(VarInt::from_u32(code));
}

/// The blocking end of a slice on its way out.
struct Pipe {
    to: Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        self.to
            .send_blocking(piece)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Requests of a connection until their order begins anew, far more than can
/// be under way.
const TURN: u64 = 1 << 30;
/// A request is one small frame behind its stream's first byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// An asker that takes nothing of its answer for this long has given it up:
/// its slot, and the thread that reads for it, are somebody else's.
const STALL: Duration = Duration::from_secs(10);
/// Hashing progress and the result behind it.
const REPLIES_UNDER_WAY: usize = 2;
/// Two groups and their hashes: what a slice hands over at once.
const PIECE_BYTES: usize = 33 * 1024;
/// One piece being encoded while another is being sent.
const PIECES_UNDER_WAY: usize = 2;
