//! Asking another peer, and bringing what it sends to the store.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use quinn::{ReadError, RecvStream, VarInt};

use super::{
    endpoint::PeerConnection,
    link::{LinkHandle, NoConnection},
    order::FetchOrder,
    referrals,
    scheduler::RequestOutcome,
};
use crate::{
    content::{
        blob::{Verified, Verifier},
        error::StoreError,
        file::{Blob, Uncached, Written},
        ranges::GroupSet,
        slow,
        store::Store,
    },
    id::{EntryNo, TrackId},
    protocol::{
        encode_frame, read_frame, Decline, FrameError, Get, PeerReply, PeerRequest,
        MAX_REPLY_FRAME, RESET_BUSY, RESET_CHANGED,
    },
    util::work,
    util::{
        near::canonical,
        within::{within, Patience},
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

/// A track that arrives, and the store that keeps it.
#[derive(Clone, Debug)]
pub struct ArrivingTrack {
    pub store: Arc<Store>,
    pub blob: Arc<Blob>,
}

/// What a fetch tells on its way.
#[derive(Debug, Clone)]
pub enum FetchProgress {
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
    let connection = link.connection().await?;
    let mut answer = ask(&connection, &PeerRequest::Resolve { entry }).await?;
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
        let connection = link.connection().await?;
        let mut answer = ask(&connection, request).await?;
        let reply = next_reply(&mut answer).await?;
        Ok((reply, canonical(connection.quic.remote_address())))
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

/// Fetches a slice and writes what is verified of the track `to` the disk, telling `progress`
/// of each piece. Dropping the future tells the holder to stop. Where the connection ends
/// because a key was taken away, the rest is asked for over another one at once.
///
/// # Errors
/// When the store cannot keep what came. What happened on the way is an
/// [`RequestOutcome`].
pub async fn fetch<Told: Future<Output = ()> + Send>(
    link: &LinkHandle,
    order: FetchOrder,
    to: ArrivingTrack,
    progress: impl Fn(FetchProgress) -> Told + Sync,
) -> Result<RequestOutcome, StoreError> {
    let first = match order.renew {
        true => link.renewed().await,
        false => link.connection().await,
    };
    let connection = match first {
        Ok(connection) => connection,
        Err(e) => return Ok(RequestOutcome::ConnectionLost(e.to_string())),
    };
    let outcome = fetch_over(&connection, &order, &to, &progress).await?;
    if !matches!(outcome, RequestOutcome::ConnectionLost(_)) || !connection.has_lost_its_key() {
        return Ok(outcome);
    }
    let order = FetchOrder {
        groups: order.groups.difference(&to.blob.have()),
        ..order
    };
    match link.connection().await {
        // All of it has come, or the rest of a part that has.
        Ok(_) if order.groups.is_empty() => Ok(RequestOutcome::Complete),
        Ok(connection) => fetch_over(&connection, &order, &to, &progress).await,
        Err(e) => Ok(RequestOutcome::ConnectionLost(e.to_string())),
    }
}

/// Fetches over one connection.
async fn fetch_over<Told: Future<Output = ()> + Send>(
    connection: &PeerConnection,
    order: &FetchOrder,
    to: &ArrivingTrack,
    progress: &(impl Fn(FetchProgress) -> Told + Sync),
) -> Result<RequestOutcome, StoreError> {
    let get = Get {
        track: order.track,
        size: order.size,
        groups: order.groups.iter_ranges().collect(),
        class: order.class,
    };
    let mut answer = match ask(connection, &PeerRequest::Get(get)).await {
        Ok(answer) => answer,
        Err(e) => return Ok(RequestOutcome::ConnectionLost(e.to_string())),
    };
    match next_reply(&mut answer).await {
        Ok(PeerReply::Slice) => {}
        Ok(PeerReply::No(why)) => return Ok(declined(&why)),
        Ok(other) => {
            return Ok(RequestOutcome::ConnectionLost(
                unexpected(&other).to_string(),
            ))
        }
        Err(e) => return Ok(RequestOutcome::ConnectionLost(e.to_string())),
    }
    log::trace!("a slice begins");
    progress(FetchProgress::FirstByte).await;
    let verifier = Verifier::new(order.track, order.size, &order.groups);
    let (outcome, unused) = receive(&mut answer, verifier, to, progress).await?;
    if unused > 0 {
        progress(FetchProgress::Wasted(unused as u64)).await;
    }
    Ok(outcome)
}

/// Takes the slice as it comes: what has come goes to a blocking thread at once, which checks it,
/// shows it to its readers and writes it; [`write_behind`] sees to what is not written soon.
/// Gives also how many bytes of it could not be used.
async fn receive<Told: Future<Output = ()> + Send>(
    answer: &mut RecvStream,
    verifier: Verifier,
    to: &ArrivingTrack,
    progress: &(impl Fn(FetchProgress) -> Told + Sync),
) -> Result<(RequestOutcome, usize), StoreError> {
    let blob = &to.blob;
    let mut chunks = vec![Bytes::new(); CHUNKS];
    let mut patience = Patience::new(PROGRESS_TIMEOUT);
    let mut arrival = IncomingSlice {
        verifier,
        buffer: BytesMut::new(),
    };
    let mut disk_is_late = false;
    let _left_behind = CallsWriter(blob);
    while arrival.verifier.needs().is_some() {
        let came = match patience.wait(answer.read_chunks(&mut chunks)).await {
            Some(Ok(Some(came))) => came,
            Some(Ok(None)) => return Ok((RequestOutcome::Short, arrival.buffer.len())),
            Some(Err(e)) => return Ok((broken(&e), arrival.buffer.len())),
            None => {
                let silent = RequestOutcome::ConnectionLost(AskError::Silent.to_string());
                return Ok((silent, arrival.buffer.len()));
            }
        };
        for chunk in &mut chunks[..came] {
            arrival.buffer.extend_from_slice(&std::mem::take(chunk));
        }
        if !arrival.has_item() {
            continue;
        }
        disk_is_late &= blob.waiting().is_some();
        let taken = take_in(arrival, to.clone()).await;
        arrival = taken.rest;
        let (groups, written) = taken.shown?;
        // Others are told of groups that they can be sent; a listener need not wait for that.
        disk_is_late = disk_is_late || within(SOON, written.ended()).await.is_none();
        if disk_is_late {
            blob.call_writer();
        }
        if !groups.is_empty() {
            log::trace!("groups {groups:?} are here");
            progress(FetchProgress::Groups(groups)).await;
        }
        if let Some(wrong) = taken.wrong {
            return Ok((RequestOutcome::Liar, wrong + arrival.buffer.len()));
        }
        wait_for_room(blob).await;
    }
    Ok((RequestOutcome::Complete, arrival.buffer.len()))
}

/// What has come, after a look at it.
struct TakenIn {
    /// What is still to come.
    rest: IncomingSlice,
    /// The groups that can be read, and when they are written.
    shown: Result<(GroupSet, Written), StoreError>,
    /// The bytes of an item that is not true.
    wrong: Option<usize>,
}

/// Verifies and shows what has come. The same blocking thread writes it then: it costs no other
/// hop, and is not waited for here.
async fn take_in(mut arrival: IncomingSlice, to: ArrivingTrack) -> TakenIn {
    let (give, given) = async_channel::bounded(1);
    let writing = work::unblock(move || {
        let (items, wrong) = arrival.verify();
        let groups: GroupSet = items.iter().filter_map(Verified::group).collect();
        let shown = to.blob.show(items).map(|written| (groups, written));
        // Whether or not somebody still waits for it.
        let rest = arrival;
        let _ = give.try_send(TakenIn { rest, shown, wrong });
        to.store.write_shown(&to.blob);
    });
    let taken = given.recv().await;
    writing.detach();
    taken.expect("there is room for one, and one is sent")
}

/// What a fetch leaves to be written, whichever way it ends, is seen to.
struct CallsWriter<'a>(&'a Blob);

impl Drop for CallsWriter<'_> {
    fn drop(&mut self) {
        self.0.call_writer();
    }
}

/// Waits until no more than is meant to waits for the disk.
async fn wait_for_room(blob: &Blob) {
    while let Some(waiting) = blob.waiting().filter(|w| w.bytes > MAX_WAITING) {
        waiting.written.ended().await;
    }
}

/// Writes what was shown of a track that arrives and still waits, in its order, until it is
/// dropped. Tells once if the track cannot be kept: because the disk does not take it, or not as
/// long as music can wait.
pub async fn write_behind<Told: Future<Output = ()>>(
    to: ArrivingTrack,
    not_kept: impl Fn(Uncached) -> Told,
) {
    let blob = &to.blob;
    let shown = blob.shown();
    loop {
        while let Some(next) = blob.waiting() {
            let to = to.clone();
            let _writing = work::unblock(move || to.store.write_next(&to.blob));
            let patience = slow::patience(next.first);
            if within(patience, next.written.ended()).await.is_none() {
                blob.give_up_disk();
            }
        }
        if let Some(unkept) = blob.take_unkept() {
            not_kept(unkept).await;
        }
        // The blob is here, so it never ends.
        let _ = shown.recv().await;
    }
}

/// A slice on its way in.
struct IncomingSlice {
    verifier: Verifier,
    /// What has come and is not checked.
    buffer: BytesMut,
}

impl IncomingSlice {
    /// Whether a whole item has come.
    fn has_item(&self) -> bool {
        let needs = self.verifier.needs();
        needs.is_some_and(|len| len <= self.buffer.len())
    }

    /// Verifies as many whole items as there are, up to one that is wrong, of which it
    /// gives the length.
    fn verify(&mut self) -> (Vec<Verified>, Option<usize>) {
        let mut items = Vec::new();
        while let Some(len) = self
            .verifier
            .needs()
            .filter(|len| *len <= self.buffer.len())
        {
            match self.verifier.push(self.buffer.split_to(len).freeze()) {
                Ok(item) => items.push(item),
                Err(_) => return (items, Some(len)),
            }
        }
        (items, None)
    }
}

/// Opens a stream, sends the request, and gives the stream of the answer.
async fn ask(connection: &PeerConnection, request: &PeerRequest) -> Result<RecvStream, AskError> {
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
        // A later version's answer; its connection is as good as before.
        Some(Err(FrameError::Unsupported(_))) => Ok(PeerReply::No(Decline::Unsupported)),
        Some(Err(e)) => Err(AskError::Lost(e.to_string())),
        None => Err(AskError::Silent),
    }
}

/// What a refusal means to a scheduler.
pub fn declined(why: &Decline) -> RequestOutcome {
    match why {
        Decline::NotAvailable | Decline::Unsupported => RequestOutcome::NotAvailable,
        Decline::Busy { retry } => RequestOutcome::Busy(Some(*retry)),
        Decline::Denied => RequestOutcome::Denied,
        Decline::Changed => RequestOutcome::Changed,
        Decline::Elsewhere(named) => RequestOutcome::Elsewhere(referrals::read(named)),
    }
}

fn broken(error: &ReadError) -> RequestOutcome {
    match error {
        ReadError::Reset(code) if *code == VarInt::from_u32(RESET_CHANGED) => {
            RequestOutcome::Changed
        }
        ReadError::Reset(code) if *code == VarInt::from_u32(RESET_BUSY) => {
            RequestOutcome::Busy(None)
        }
        ReadError::Reset(_) => RequestOutcome::ConnectionLost("it could not go on".into()),
        other => RequestOutcome::ConnectionLost(other.to_string()),
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
/// in less, and others may be before it. A source that only pretends to read must
/// not keep a listener for ever.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(600);
/// Within an answer. The scheduler asks elsewhere long before.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);
/// A disk that is well has taken a piece by then; what is played does not wait for one that
/// is not.
const SOON: Duration = Duration::from_millis(20);
/// Of one track: 6 s of CD quality as WAV, so that a card may tidy up meanwhile.
const MAX_WAITING: u64 = 1 << 20;
/// Packets whose content is verified and written in one go, some 128 KiB: enough to make
/// the hop to the blocking thread cheap.
const CHUNKS: usize = 96;

#[cfg(test)]
mod tests;
