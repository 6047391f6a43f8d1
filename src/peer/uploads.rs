//! What answers other peers, for the questions that the core names.

use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};

use async_channel::{Receiver, Sender};

use super::workbench::Workbench;
use crate::{
    content::{file::Blob, ranges::GroupSet, store::Store},
    core::{SliceOrder, UploadEffect},
    id::{EntryNo, TrackId},
    library::{HashProgress, Library, ResolveError},
    node::{AskId, Event},
    protocol::{Decline, PeerReply},
    swarm::{
        budget::Precedence,
        provide::{Done, SharedBudget, SliceReply},
        referrals,
    },
    util::{few::Few, within::within, work},
};

/// See the module's description.
#[derive(Default)]
pub struct UploadTasks {
    asks: Few<AskId, Sender<SliceReply>>,
    /// Slices that are being sent; closing one has it given up.
    slices: Few<AskId, Receiver<GroupSet>>,
}

impl UploadTasks {
    pub fn handle_asked(&mut self, ask: AskId, reply: Sender<SliceReply>) {
        self.asks.insert(ask, reply);
    }

    /// A slice is sent, or was given up.
    pub fn handle_answered(&mut self, ask: AskId) {
        self.slices.remove(ask);
    }

    /// Does `effect`, or starts what does.
    pub fn perform(&mut self, effect: UploadEffect, bench: &mut Workbench) {
        match effect {
            UploadEffect::Reply(ask, reply) => self.answer(ask, SliceReply::Message(reply)),
            UploadEffect::SendPart {
                ask,
                part,
                precedence,
            } => {
                let budget = bench.budget.clone();
                let part = SliceReply::Own {
                    part,
                    precedence,
                    budget,
                };
                self.answer(ask, part);
            }
            UploadEffect::Send(ask, order) => self.send(ask, order, bench),
            UploadEffect::EndSlice(ask) => {
                if let Some(over) = self.slices.get(ask) {
                    log::debug!("a slow reader gives its place to others");
                    over.close();
                }
            }
            UploadEffect::Hash { ask, entry } => self.hash(ask, entry, bench),
        }
    }

    fn answer(&mut self, ask: AskId, reply: SliceReply) {
        if let Some(asked) = self.asks.remove(ask) {
            // It has room for the one answer.
            let _ = asked.try_send(reply);
        }
    }

    fn hash(&mut self, ask: AskId, entry: EntryNo, bench: &mut Workbench) {
        let Some(reply) = self.asks.remove(ask) else {
            return;
        };
        let library = bench.library.clone();
        bench.spawn_event(async move {
            say_hash(&library, entry, &reply).await;
            Event::Answered {
                ask,
                sent: 0,
                arrived: GroupSet::new(),
            }
        });
    }

    fn send(&mut self, ask: AskId, order: SliceOrder, bench: &mut Workbench) {
        let Some(reply) = self.asks.remove(ask) else {
            return;
        };
        let me = bench.endpoint.peer_id();
        let (store, library) = (bench.store.clone(), bench.library.clone());
        let budget = bench.budget.clone();
        let (done, over) = async_channel::bounded(1);
        self.slices.insert(ask, over.clone());
        bench.spawn_event(async move {
            let track = order.track;
            let blob = work::unblock(move || serve_from(&store, &library, track)).await;
            let sent = Arc::<AtomicU64>::default();
            let here = blob.as_ref().map(|blob| (blob.size(), blob.servable()));
            let offered = referrals::offer(me, order.size, &order.groups, here);
            let way = (budget, done, sent.clone());
            let answer = slice_or_no(blob, offered, order.precedence, way);
            let _ = reply.send(answer).await;
            let arrived = over.recv().await.unwrap_or_default();
            let sent = sent.load(Ordering::Relaxed);
            Event::Answered { ask, sent, arrived }
        });
    }
}

/// Tells the requester of a hash how far it is, and then the hash.
async fn say_hash(library: &Arc<Library>, entry: EntryNo, reply: &Sender<SliceReply>) {
    let there = library.clone();
    let progress = match work::unblock(move || there.resolve(entry)).await {
        Ok(progress) => progress,
        Err(e) => {
            log::debug!("a file cannot be resolved: {e}");
            let no = match e {
                ResolveError::NoSuchEntry => Decline::NotAvailable,
                ResolveError::Busy => Decline::Busy {
                    retry: RESOLVE_AGAIN,
                },
            };
            let _ = reply.send(SliceReply::Message(PeerReply::No(no))).await;
            return;
        }
    };
    loop {
        let message = match within(STILL_HERE, progress.recv()).await {
            None => PeerReply::Hashing { done: 0, size: 0 },
            Some(Ok(HashProgress::Hashing { done, size })) => PeerReply::Hashing { done, size },
            Some(Ok(HashProgress::Done { track, size })) => PeerReply::Resolved { track, size },
            Some(Ok(HashProgress::Failed(_))) => PeerReply::No(Decline::NotAvailable),
            Some(Err(_)) => return,
        };
        let is_last = !matches!(message, PeerReply::Hashing { .. });
        if reply.send(SliceReply::Message(message)).await.is_err() || is_last {
            return;
        }
    }
}

/// The answer to the request for a slice: what is offered of it. `done` goes with it.
fn slice_or_no(
    blob: Option<Arc<Blob>>,
    offered: Result<GroupSet, Decline>,
    precedence: Precedence,
    (budget, done, sent): (SharedBudget, Done, Arc<AtomicU64>),
) -> SliceReply {
    match (blob, offered) {
        (Some(blob), Ok(groups)) => SliceReply::Slice {
            blob,
            groups,
            precedence,
            budget,
            done,
            sent,
        },
        (None, Ok(_)) => SliceReply::Message(PeerReply::No(Decline::NotAvailable)),
        (_, Err(why)) => SliceReply::Message(PeerReply::No(why)),
    }
}

/// The bytes of a track: from the cache, or from the library's file, which the
/// store learns of when it is first asked for.
fn serve_from(store: &Arc<Store>, library: &Library, track: TrackId) -> Option<Arc<Blob>> {
    store.blob(track).or_else(|| {
        let file = library.file_of(track)?;
        store.add_file(track, file.size, file.path.clone(), file.modified());
        store.blob(track)
    })
}

/// How often a requester whose file waits for its turn hears of it: well within
/// what it takes for silence.
const STILL_HERE: Duration = Duration::from_secs(3);
/// A queue of hashing that is full empties in about this long.
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::PeerId, protocol::Class, swarm::requester::Requester};

    #[test]
    fn saying_no_to_a_slice_gives_its_slot_back_at_once() {
        let (done, over) = async_channel::bounded(1);
        let way = (SharedBudget::default(), done, Arc::default());
        let precedence = Precedence {
            requester: Requester::new(PeerId([1; 32]), [10, 0, 0, 1].into(), &[]),
            class: Class::Now,
            own: Class::Now,
        };
        let answer = slice_or_no(None, Err(Decline::NotAvailable), precedence, way);
        assert!(matches!(answer, SliceReply::Message(PeerReply::No(_))));
        assert!(over.is_closed());
    }
}
