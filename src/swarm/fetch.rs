//! Asking another peer, and bringing what it sends to the store.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use quinn::{ReadError, RecvStream, VarInt};

use super::{
    elsewhere,
    endpoint::{canonical, within},
    link::{LinkHandle, NoConnection},
    scheduler::Outcome,
};
use crate::{
    content::{
        blob::{Verified, Verifier},
        file::Blob,
        ranges::GroupSet,
        store::StoreError,
    },
    id::{EntryNo, TrackId},
    protocol::{
        encode_frame, read_frame, Class, Decline, FrameError, Get, PeerReply, PeerRequest,
        MAX_REPLY_FRAME, RESET_BUSY, RESET_CHANGED,
    },
};

/// Why a question to another peer has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error(transparent)]
    NoConnection(#[from] NoConnection),
    #[error("the connection to it is lost ({0})")]
    Lost(String),
    #[error("it did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
    #[error("it has been reading the file for {} min without a result", RESOLVE_TIMEOUT.as_secs() / 60)]
    Endless,
    #[error("it answered nonsense ({0})")]
    Nonsense(String),
    #[error("{0}")]
    Declined(#[from] Decline),
}

/// What is to be fetched.
pub struct Order {
    pub track: TrackId,
    pub size: u64,
    pub groups: GroupSet,
    pub class: Class,
}

/// What a fetch tells on its way.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The answer begins.
    FirstByte,
    /// These groups are verified and in the store.
    Groups(GroupSet),
    /// So many bytes came and are of no use: of a wrong or an unfinished group.
    Wasted(u64),
}

/// Asks what an entry of a peer's catalogue hashes to, as long as the peer
/// may have to read for it.
///
/// # Errors
/// [`AskError`]; also when the peer says nothing for [`ANSWER_TIMEOUT`].
pub async fn resolve(link: &LinkHandle, entry: EntryNo) -> Result<(TrackId, u64), AskError> {
    let resolved = within(RESOLVE_TIMEOUT, async {
        match ask_for_hash(link, entry).await {
            // A peer that was restarted knows nothing of the connection that
            // there was; it will of the next.
            Err(AskError::Lost(_)) => ask_for_hash(link, entry).await,
            answered => answered,
        }
    });
    resolved.await.unwrap_or(Err(AskError::Endless))
}

async fn ask_for_hash(link: &LinkHandle, entry: EntryNo) -> Result<(TrackId, u64), AskError> {
    let mut answer = ask(link, &PeerRequest::Resolve { entry }).await?;
    loop {
        match next_reply(&mut answer).await? {
            PeerReply::Resolved { track, size } => return Ok((track, size)),
            PeerReply::Hashing { .. } => {}
            PeerReply::No(why) => return Err(why.into()),
            other => return Err(unexpected(&other)),
        }
    }
}

/// Asks a question that has one answer, and gives that and where it came from.
///
/// # Errors
/// [`AskError`], also when the peer declines.
pub async fn question(
    link: &LinkHandle,
    request: &PeerRequest,
) -> Result<(PeerReply, SocketAddr), AskError> {
    let once = || async {
        let mut answer = ask(link, request).await?;
        let reply = next_reply(&mut answer).await?;
        // It is at hand: the answer has just come over it.
        let at = link.connection().await?.quic.remote_address();
        Ok((reply, canonical(at)))
    };
    let reply = match once().await {
        // As with [`resolve`], the connection may be one of before its restart.
        Err(AskError::Lost(_)) => once().await?,
        reply => reply?,
    };
    match reply {
        (PeerReply::No(why), _) => Err(why.into()),
        reply => Ok(reply),
    }
}

/// Fetches a slice and writes what is verified to `blob`, telling `progress`
/// of each piece. Dropping the future tells the holder to stop.
///
/// # Errors
/// When the store cannot keep what came. What happened on the way is an
/// [`Outcome`].
pub async fn fetch<Told: Future<Output = ()> + Send>(
    link: &LinkHandle,
    order: Order,
    blob: Arc<Blob>,
    progress: impl Fn(Progress) -> Told + Sync,
) -> Result<Outcome, StoreError> {
    let get = Get {
        track: order.track,
        size: order.size,
        groups: order.groups.iter_ranges().collect(),
        class: order.class,
    };
    let mut answer = match ask(link, &PeerRequest::Get(get)).await {
        Ok(answer) => answer,
        Err(e) => return Ok(Outcome::ConnectionLost(e.to_string())),
    };
    match next_reply(&mut answer).await {
        Ok(PeerReply::Slice) => {}
        Ok(PeerReply::No(why)) => return Ok(declined(&why)),
        Ok(other) => return Ok(Outcome::ConnectionLost(unexpected(&other).to_string())),
        Err(e) => return Ok(Outcome::ConnectionLost(e.to_string())),
    }
    log::trace!("a slice begins");
    progress(Progress::FirstByte).await;
    let verifier = Verifier::new(order.track, order.size, &order.groups);
    let (outcome, unused) = receive(&mut answer, verifier, &blob, &progress).await?;
    if unused > 0 {
        progress(Progress::Wasted(unused as u64)).await;
    }
    Ok(outcome)
}

/// Takes the slice as it comes, piece by piece. Gives also how many bytes of it could
/// not be used.
async fn receive<Told: Future<Output = ()> + Send>(
    answer: &mut RecvStream,
    mut verifier: Verifier,
    blob: &Arc<Blob>,
    progress: &(impl Fn(Progress) -> Told + Sync),
) -> Result<(Outcome, usize), StoreError> {
    let mut buffer = BytesMut::new();
    while verifier.needs().is_some() {
        let chunk = match within(PROGRESS_TIMEOUT, answer.read_chunk(READ_BYTES, true)).await {
            Some(Ok(Some(chunk))) => chunk,
            Some(Ok(None)) => return Ok((Outcome::Short, buffer.len())),
            Some(Err(e)) => return Ok((broken(&e), buffer.len())),
            None => {
                let silent = Outcome::ConnectionLost(AskError::Silent.to_string());
                return Ok((silent, buffer.len()));
            }
        };
        buffer.extend_from_slice(&chunk.bytes);
        let (items, wrong) = verify(&mut verifier, &mut buffer);
        if !items.is_empty() {
            let groups = items
                .iter()
                .filter_map(Verified::group)
                .collect::<GroupSet>();
            let blob = blob.clone();
            smol::unblock(move || blob.take_in(&items)).await?;
            if !groups.is_empty() {
                log::trace!("groups {groups:?} are here");
                progress(Progress::Groups(groups)).await;
            }
        }
        if let Some(wrong) = wrong {
            return Ok((Outcome::Liar, wrong + buffer.len()));
        }
    }
    Ok((Outcome::Complete, buffer.len()))
}

/// Verifies as many whole items as `buffer` has, up to one that is wrong, of which it
/// gives the length.
fn verify(verifier: &mut Verifier, buffer: &mut BytesMut) -> (Vec<Verified>, Option<usize>) {
    let mut items = Vec::new();
    while let Some(len) = verifier.needs().filter(|len| *len <= buffer.len()) {
        match verifier.push(buffer.split_to(len).freeze()) {
            Ok(item) => items.push(item),
            Err(_) => return (items, Some(len)),
        }
    }
    (items, None)
}

/// Opens a stream, sends the request, and gives the stream of the answer.
pub(super) async fn ask(link: &LinkHandle, request: &PeerRequest) -> Result<RecvStream, AskError> {
    let connection = link.connection().await?;
    let lost = |e: &dyn std::fmt::Display| AskError::Lost(e.to_string());
    let (mut send, recv) = within(ANSWER_TIMEOUT, connection.quic.open_bi())
        .await
        .ok_or(AskError::Silent)?
        .map_err(|e| lost(&e))?;
    send.write_all(&encode_frame(request))
        .await
        .map_err(|e| lost(&e))?;
    let _ = send.finish();
    Ok(recv)
}

async fn next_reply(answer: &mut RecvStream) -> Result<PeerReply, AskError> {
    match within(ANSWER_TIMEOUT, read_frame(answer, MAX_REPLY_FRAME)).await {
        Some(Ok(reply)) => Ok(reply),
        Some(Err(e @ (FrameError::TooLong { .. } | FrameError::Malformed))) => {
            Err(AskError::Nonsense(e.to_string()))
        }
        Some(Err(e)) => Err(AskError::Lost(e.to_string())),
        None => Err(AskError::Silent),
    }
}

/// The outcome when there is nobody to ask.
pub fn lost(why: String) -> Outcome {
    Outcome::ConnectionLost(why)
}

/// What a refusal means to a scheduler.
pub fn declined(why: &Decline) -> Outcome {
    match why {
        Decline::NotAvailable => Outcome::NotAvailable,
        Decline::Busy { retry } => Outcome::Busy(Some(*retry)),
        Decline::Denied => Outcome::Denied,
        Decline::Changed => Outcome::Changed,
        Decline::Elsewhere(named) => Outcome::Elsewhere(elsewhere::read(named)),
    }
}

fn broken(error: &ReadError) -> Outcome {
    match error {
        ReadError::Reset(code) if *code == VarInt::from_u32(RESET_CHANGED) => Outcome::Changed,
        ReadError::Reset(code) if *code == VarInt::from_u32(RESET_BUSY) => Outcome::Busy(None),
        ReadError::Reset(_) => Outcome::ConnectionLost("it could not go on".into()),
        other => Outcome::ConnectionLost(other.to_string()),
    }
}

fn unexpected(reply: &PeerReply) -> AskError {
    let kind = match reply {
        PeerReply::Resolved { .. } => "a hash",
        PeerReply::Hashing { .. } => "its progress in hashing",
        PeerReply::Slice => "a slice",
        PeerReply::Head(_) => "a head",
        PeerReply::List(_) => "a list",
        PeerReply::Page(_) => "a page",
        PeerReply::No(_) => "no",
        PeerReply::Hello(_) => "a greeting",
    };
    AskError::Nonsense(format!("{kind} was not asked for"))
}

/// Until an answer begins: a holder that cannot answer at once says so.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// For a hash: a card that gives 10 MB/s reads the longest recording of 2 GiB
/// in less, and others may be before it. Who only pretends to read must not
/// keep a listener for ever.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(600);
/// Within an answer. The scheduler asks elsewhere long before.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);
/// What is verified and written in one go: enough to make the hop to the
/// blocking thread cheap, little enough that the first group does not wait.
const READ_BYTES: usize = 128 * 1024;
