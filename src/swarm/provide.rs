//! Answering what other peers ask.
//!
//! Each stream is a question, handed on as an [`Ask`] to the node, and
//! answered with the [`SliceReply`] that comes back. A question that nobody wants
//! to decide is dropped with its stream.
//!
//! A requester costs what is under way to it, and it decides how fast that goes. So
//! requests are taken at a bounded rate, lists and pages are encoded one at a time
//! for each connection and wait for their turn as slices do, and a reader that takes nothing for [`STALL`] is given up.

mod pieces;

use std::{
    net::SocketAddr,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, Mutex, MutexGuard, PoisonError,
    },
    time::{Duration, Instant},
};

use async_channel::Sender;
use bytes::Bytes;
use quinn::{RecvStream, SendStream, StreamId, VarInt};
use smol::{future, lock::Semaphore, Task, Timer};

use self::pieces::SlicePieces;
use super::{
    budget::{Booking, Budget, Precedence, QueuedPiece},
    endpoint::PeerConnection,
    serving::own::OwnPart,
};
use crate::{
    content::{
        file::{Blob, SliceError},
        ranges::GroupSet,
    },
    id::PeerId,
    protocol::{
        encode_frame, read_frame, Class, Decline, FrameError, PeerReply, PeerRequest,
        MAX_REQUEST_FRAME, RESET_BUSY, RESET_CHANGED, RESET_FAULT,
    },
    util::work,
    util::{
        near::canonical,
        within::{within, Patience},
    },
};

/// A question of another peer's.
pub struct Ask {
    pub peer: PeerId,
    /// Where it speaks from, which is where it can be dialled, too.
    pub from: SocketAddr,
    pub request: PeerRequest,
    /// Where the answer goes; holds as many as one question can have under
    /// way. Closed when the requester does not wait any longer.
    pub reply: Sender<SliceReply>,
}

/// What to answer.
pub enum SliceReply {
    Message(PeerReply),
    /// Send a part of the own catalogue when its turn comes.
    Own {
        part: OwnPart,
        precedence: Precedence,
        budget: SharedBudget,
    },
    /// Send the verified slice, counting its bytes in `sent`; `done` is told when it is
    /// there, and dropped in any case when that is over.
    Slice {
        blob: Arc<Blob>,
        groups: GroupSet,
        precedence: Precedence,
        budget: SharedBudget,
        done: Done,
        sent: Arc<AtomicU64>,
    },
}

/// What all connections together may send.
pub type SharedBudget = Arc<Mutex<Budget>>;

/// Says which groups have reached the requester, and closes its channel when a slice is sent,
/// or given up. Closing the other end has it given up.
pub type Done = Sender<GroupSet>;

/// Answers the questions that come over `connection` until it ends.
pub async fn serve(connection: PeerConnection, asks: Sender<Ask>) {
    let mut streams: Vec<Task<()>> = Vec::new();
    let own = Arc::new(Semaphore::new(OWN_ANSWERS));
    let mut due = Instant::now();
    while let Ok((send, recv)) = connection.quic.accept_bi().await {
        // One after the other each is due later; some may come before they are.
        due = due.max(Instant::now()) + REQUEST_INTERVAL;
        if let Some(early) = due.checked_sub(REQUEST_BURST) {
            Timer::at(early).await;
        }
        streams.retain(|stream| !stream.is_finished());
        let from = canonical(connection.quic.remote_address());
        streams.push(work::spawn(answer(
            (connection.peer, from),
            send,
            recv,
            asks.clone(),
            own.clone(),
        )));
    }
}

async fn answer(
    (peer, from): (PeerId, SocketAddr),
    mut send: SendStream,
    mut recv: RecvStream,
    asks: Sender<Ask>,
    own: Arc<Semaphore>,
) {
    let request = match within(REQUEST_TIMEOUT, read_frame(&mut recv, MAX_REQUEST_FRAME)).await {
        Some(Ok(request)) => request,
        Some(Err(FrameError::Unsupported(kind))) => {
            log::debug!("{peer} asks for what this version does not know (request {kind})");
            write_decline(&mut send, Decline::Unsupported).await;
            return;
        }
        _ => return reset(&mut send, RESET_FAULT),
    };
    // Nothing more is read, nor kept where it is sent nevertheless.
    let _ = recv.stop(VarInt::from_u32(0));
    let (reply, replies) = async_channel::bounded(REPLIES_UNDER_WAY);
    if asks
        .send(Ask {
            peer,
            from,
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
            SliceReply::Message(message) => {
                let more = matches!(message, PeerReply::Hashing { .. });
                write(&mut send, &encode_frame(&message)).await && more
            }
            SliceReply::Own {
                part,
                precedence,
                budget,
            } => {
                let _one = own.acquire().await;
                let turn = SendTurn::new(send.id(), precedence, budget, Arc::default());
                send_part(&mut send, &part, &turn).await;
                false
            }
            SliceReply::Slice {
                blob,
                groups,
                precedence,
                budget,
                done,
                sent,
            } => {
                let turn = SendTurn::new(send.id(), precedence, budget, sent);
                send_unless_given_up(&mut send, blob, groups, &turn, done).await;
                false
            }
        };
        if !last {
            break;
        }
    }
    let _ = send.finish();
}

/// Sends a slice, and tells `done` when it has arrived; until that is closed.
async fn send_unless_given_up(
    send: &mut SendStream,
    blob: Arc<Blob>,
    groups: GroupSet,
    turn: &SendTurn,
    done: Done,
) {
    let sent = async {
        if send_slice(send, blob, groups.clone(), turn).await {
            let arrived = send.finish().is_ok() && has_arrived(send).await;
            // It has room for the one word.
            let _ = arrived.then(|| done.try_send(groups));
        }
        true
    };
    let given_up = async {
        done.closed().await;
        false
    };
    if !future::or(sent, given_up).await {
        reset(send, RESET_BUSY);
    }
}

/// When an answer is sent, as seen from all that is to be sent.
struct SendTurn {
    piece: QueuedPiece,
    /// Within its connection.
    priority: i32,
    budget: SharedBudget,
    /// Counts its bytes.
    sent: Arc<AtomicU64>,
}

impl SendTurn {
    fn new(
        stream: StreamId,
        precedence: Precedence,
        budget: SharedBudget,
        sent: Arc<AtomicU64>,
    ) -> Self {
        let age = stream.index();
        Self {
            piece: QueuedPiece { precedence, age },
            priority: priority(precedence.own, stream),
            budget,
            sent,
        }
    }

    /// Waits until `bytes` may be sent.
    async fn comes(&self, bytes: usize) {
        while let Booking::AskAgain(then) = self.book(bytes, Instant::now()) {
            Timer::at(then).await;
        }
    }

    fn book(&self, bytes: usize, now: Instant) -> Booking {
        self.budget().book(self.piece, bytes as u64, now)
    }

    /// Bytes to ask for at once.
    fn portion(&self) -> usize {
        self.budget().portion()
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// QUIC's priority of the answer on `stream`: what is listened to before what is
/// fetched ahead, and then one request after the other. Side by side, all would
/// arrive as late as the last one, and the decoder waits for the first.
fn priority(class: Class, stream: StreamId) -> i32 {
    let rank = match class {
        Class::Now => 0,
        Class::Next => 1,
        Class::Rest => 2,
    };
    let age = stream.index() % TURN;
    // Less than three turns, which fits.
    -i32::try_from(rank * TURN + age).unwrap_or(0)
}

/// Sends a part of the own catalogue, unless the requester has gone or does not take it.
async fn send_part(send: &mut SendStream, part: &OwnPart, turn: &SendTurn) {
    if turn.piece.precedence.class != Class::Now {
        // What waits for others is not encoded yet.
        turn.comes(0).await;
    }
    let frame = encode_frame(&part.reply());
    let _ = send.set_priority(turn.priority);
    let mut patience = STALL;
    for portion in frame.chunks(turn.portion()) {
        turn.comes(portion.len()).await;
        let begun = Instant::now();
        match within(patience, send.write_all(portion)).await {
            Some(Ok(())) => patience = patience.saturating_sub(begun.elapsed()),
            Some(Err(_)) => return,
            None => return reset(send, RESET_FAULT),
        }
    }
}

/// Waits until all that was sent is confirmed: what only lies in a buffer still takes its
/// time on the line, and its receiver cannot pass it on.
async fn has_arrived(send: &mut SendStream) -> bool {
    matches!(within(STALL, send.stopped()).await, Some(Ok(None)))
}

/// Sends the header and the slice, which is checked as it is read; whether that was all of
/// it.
async fn send_slice(
    send: &mut SendStream,
    blob: Arc<Blob>,
    groups: GroupSet,
    turn: &SendTurn,
) -> bool {
    let mut slice = SlicePieces::read(blob, groups);
    let mut patience = Patience::new(STALL);
    let mut header = Some(encode_frame(&PeerReply::Slice));
    while let Some(piece) = slice.next().await {
        if let Some(header) = header.take() {
            log::trace!("the first piece of a slice is read");
            // That it begins is told before the data of others, since a late
            // answer is asked for elsewhere.
            let _ = send.set_priority(i32::MAX);
            if !write(send, &header).await {
                return false;
            }
            let _ = send.set_priority(turn.priority);
        }
        if !send_piece(send, piece, turn, &mut patience).await {
            return false;
        }
    }
    let Err(error) = slice.end().await else {
        return true;
    };
    log::debug!("a slice could not be sent: {error}");
    match (error, header) {
        (SliceError::Changed, None) => reset(send, RESET_CHANGED),
        (_, None) => reset(send, RESET_FAULT),
        (SliceError::Changed, Some(_)) => _ = write_decline(send, Decline::Changed).await,
        (_, Some(_)) => _ = write_decline(send, Decline::NotAvailable).await,
    }
    false
}

async fn write_decline(send: &mut SendStream, why: Decline) -> bool {
    write(send, &encode_frame(&PeerReply::No(why))).await
}

/// Sends a piece in portions, each when its turn comes; whether the requester took it.
async fn send_piece(
    send: &mut SendStream,
    mut piece: Bytes,
    turn: &SendTurn,
    patience: &mut Patience,
) -> bool {
    while !piece.is_empty() {
        let part = piece.split_to(turn.portion().min(piece.len()));
        let bytes = part.len();
        turn.comes(bytes).await;
        let mut rest = [part];
        while !rest[0].is_empty() {
            match patience.wait(send.write_chunks(&mut rest)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return false,
                None => {
                    reset(send, RESET_FAULT);
                    return false;
                }
            }
        }
        turn.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    true
}

/// Writes all of `bytes`, unless the requester has gone or does not take them.
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

/// Requests of a connection until their order begins anew, far more than can
/// be under way.
const TURN: u64 = 1 << 28;
/// Requests that a connection may make: a track of 1000 kbit/s in the smallest slices
/// is two a second, a gigabit a hundred; more is no listening.
const REQUEST_INTERVAL: Duration = Duration::from_millis(5);
/// What is let through at once: as many as it may have open, some times over.
const REQUEST_BURST: Duration = Duration::from_millis(500);
/// Parts of the own catalogue under way to one connection: each is up to a MiB.
const OWN_ANSWERS: usize = 1;
/// A request is one small frame behind its stream's first byte.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A requester that takes nothing of its answer for this long has given it up:
/// its slot, and the thread that reads for it, are somebody else's.
const STALL: Duration = Duration::from_secs(10);
/// Hashing progress and the result behind it.
const REPLIES_UNDER_WAY: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::Hash,
        identity::{Identity, SwarmKey},
        protocol::MAX_REPLY_FRAME,
        swarm::{endpoint::Endpoint, requester::Requester},
    };

    #[test]
    fn what_is_listened_to_is_sent_first_and_the_oldest_of_that() {
        let priority = |class, number| {
            let stream = StreamId::new(quinn::Side::Client, quinn::Dir::Bi, number);
            super::priority(class, stream)
        };
        let order = [
            priority(Class::Now, 1),
            priority(Class::Now, 70_000),
            priority(Class::Next, 0),
            priority(Class::Rest, 2),
            priority(Class::Rest, TURN - 1),
        ];
        assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
    }

    /// Asks over a connection of its own, and gives what a node at the other end would see.
    async fn asked(answer: SliceReply) -> PeerReply {
        let endpoint = |n: u8| {
            let identity = Identity::from_secret(&[n; 32], &[SwarmKey::OPEN]).unwrap();
            let (id, here) = (identity.peer_id(), "127.0.0.1:0".parse().unwrap());
            (Endpoint::bind(here, identity, Vec::new()).unwrap(), id)
        };
        let ((holder, id), (requester, _)) = (endpoint(1), endpoint(2));
        let (to, asks) = async_channel::bounded(1);
        let at_holder = holder.clone();
        let _holder = smol::spawn(async move {
            let accepting = at_holder.accept().await.unwrap().accept().unwrap();
            serve(accepting.finish().await.unwrap(), to).await;
        });
        let _node = smol::spawn(async move {
            let ask: Ask = asks.recv().await.unwrap();
            ask.reply.try_send(answer).ok().unwrap();
        });
        let at = holder.local_addr().unwrap();
        let connection = requester.dial(id, at).await.unwrap();
        let (mut send, mut recv) = connection.quic.open_bi().await.unwrap();
        send.write_all(&encode_frame(&PeerRequest::List))
            .await
            .unwrap();
        read_frame(&mut recv, MAX_REPLY_FRAME).await.unwrap()
    }

    #[test]
    fn what_is_sent_of_the_catalogue_counts_under_the_cap() {
        const RATE: u64 = 1_000_000;
        let requester = Requester::new(PeerId([9; 32]), [10, 0, 0, 9].into(), &[]);
        for pages in [1, 2000] {
            let list: Arc<[Hash]> = vec![[7; 32]; pages].into();
            let (part, budget) = (OwnPart::List(list.clone()), Budget::new(Some(RATE)));
            let (precedence, budget) = (part.precedence(requester), Arc::new(Mutex::new(budget)));
            let own = SliceReply::Own {
                part,
                precedence,
                budget: budget.clone(),
            };
            let start = Instant::now();
            let reply = smol::block_on(asked(own));
            assert!(matches!(reply, PeerReply::List(came) if came == *list));
            let rest = Precedence {
                class: Class::Rest,
                ..precedence
            };
            let piece = QueuedPiece {
                precedence: rest,
                age: 0,
            };
            // Asked as of the start, the line is taken for as long as the list has.
            let time = Duration::from_micros(pages as u64 * 32);
            let booking = budget.lock().unwrap().book(piece, 0, start);
            match booking {
                Booking::AskAgain(at) => assert!(at >= start + time, "{pages}"),
                Booking::Go => panic!("{pages} hashes cost nothing"),
            }
        }
    }
}
