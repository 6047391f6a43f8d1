//! What other peers ask of this one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    catalog::{Catalogue, Hash, Page, SignedHead},
    content::ranges::GroupSet,
    id::{EntryNo, PeerId, TrackId},
    protocol::{Decline, Get, Greeting, PeerRequest},
    swarm::serving::{self, Admission, Serving, Ticket},
};

/// Names a question of another peer's for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// What is to be answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Hash the entry's file, if that has not been done, and say the result.
    Resolve(EntryNo),
    /// Send the verified slice, and say when that is over.
    Slice {
        track: TrackId,
        size: u64,
        groups: GroupSet,
    },
    Head(SignedHead),
    List(Arc<[Hash]>),
    Page(Arc<Page>),
    Hello(Box<Greeting>),
    No(Decline),
    /// Stop sending the slice: others wait, and its asker is slow.
    GiveUp,
}

/// Answers from the own catalogue at once, and lets slices wait for a slot.
pub struct Answers {
    serving: Serving,
    /// Slices that wait or are being sent.
    slices: BTreeMap<Ticket, Slice>,
    /// Entries that are being looked up or hashed, and for whom.
    resolving: BTreeMap<AskId, PeerId>,
    ready: VecDeque<(AskId, Answer)>,
}

struct Slice {
    ask: AskId,
    peer: PeerId,
    track: TrackId,
    size: u64,
    groups: GroupSet,
}

impl Slice {
    fn answer(&self) -> (AskId, Answer) {
        let (track, size, groups) = (self.track, self.size, self.groups.clone());
        (
            self.ask,
            Answer::Slice {
                track,
                size,
                groups,
            },
        )
    }
}

impl Answers {
    pub fn new() -> Self {
        Self {
            serving: Serving::new(),
            slices: BTreeMap::new(),
            resolving: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes a question.
    pub fn handle_ask(
        &mut self,
        ask: AskId,
        peer: PeerId,
        request: PeerRequest,
        own: Option<&Arc<Catalogue>>,
        now: Instant,
    ) {
        let answer = match request {
            PeerRequest::Get(get) => return self.handle_get(ask, peer, get, now),
            PeerRequest::Resolve { entry } => match own.and_then(|own| own.get(entry)) {
                Some(there) if there.listed().is_some() => {
                    let of_peer = self.resolving.values().filter(|p| **p == peer).count();
                    match of_peer < MAX_RESOLVES_PER_PEER {
                        true => {
                            self.resolving.insert(ask, peer);
                            Answer::Resolve(entry)
                        }
                        false => Answer::No(Decline::Busy {
                            retry: RESOLVE_AGAIN,
                        }),
                    }
                }
                _ => Answer::No(Decline::NotAvailable),
            },
            PeerRequest::Head => own.map(|own| Answer::Head(*own.head())).unwrap_or(NOT_HERE),
            PeerRequest::List => own
                .map(|own| Answer::List(own.list().clone()))
                .unwrap_or(NOT_HERE),
            PeerRequest::Page { index } => own
                .and_then(|own| own.pages().get(index as usize))
                .map(|page| Answer::Page(page.clone()))
                .unwrap_or(NOT_HERE),
            // The node answers it, who knows what it is called.
            PeerRequest::Hello(_) => NOT_HERE,
        };
        self.ready.push_back((ask, answer));
    }

    /// A slice is sent, an entry resolved, or either was given up.
    pub fn handle_done(&mut self, ask: AskId, now: Instant) {
        if self.resolving.remove(&ask).is_some() {
            return;
        }
        let ticket = self
            .slices
            .iter()
            .find(|(_, slice)| slice.ask == ask)
            .map(|(t, _)| *t);
        if let Some(ticket) = ticket {
            self.slices.remove(&ticket);
            self.serving.handle_done(ticket, now);
        }
    }

    /// A peer is gone: nothing of its waits any longer.
    pub fn handle_gone(&mut self, peer: PeerId) {
        self.serving.handle_gone(peer);
        let ready = &mut self.ready;
        self.slices.retain(|_, slice| {
            if slice.peer == peer {
                ready.push_back((slice.ask, NOT_HERE));
            }
            slice.peer != peer
        });
    }

    /// The next answer.
    pub fn poll(&mut self, now: Instant) -> Option<(AskId, Answer)> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        match self.serving.poll(now)? {
            serving::Action::Start(ticket) => self.slices.get(&ticket).map(Slice::answer),
            serving::Action::Busy { ticket, retry } => {
                let slice = self.slices.remove(&ticket)?;
                Some((slice.ask, Answer::No(Decline::Busy { retry })))
            }
            serving::Action::GiveUp(ticket) => {
                let slice = self.slices.get(&ticket)?;
                Some((slice.ask, Answer::GiveUp))
            }
        }
    }

    /// When [`Self::poll`] may have something to say without an event.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.serving.poll_timeout()
    }

    fn handle_get(&mut self, ask: AskId, peer: PeerId, get: Get, now: Instant) {
        let wire = get
            .groups
            .iter()
            .map(|range| (range.start, range.end.saturating_sub(range.start)));
        let groups = match GroupSet::from_wire(wire) {
            Ok(groups) if (1..=MAX_GET_GROUPS).contains(&groups.count()) => groups,
            _ => return self.ready.push_back((ask, NOT_HERE)),
        };
        let admission = self.serving.handle_request(peer, get.class, &groups, now);
        let slice = Slice {
            ask,
            peer,
            track: get.track,
            size: get.size,
            groups,
        };
        match admission {
            Admission::Start(ticket) => {
                self.ready.push_back(slice.answer());
                self.slices.insert(ticket, slice);
            }
            Admission::Wait(ticket) => {
                self.slices.insert(ticket, slice);
            }
            Admission::Busy { retry } => {
                self.ready
                    .push_back((ask, Answer::No(Decline::Busy { retry })));
            }
        }
    }
}

/// Groups that a request may be for: 4 MiB, four times what our scheduler asks for.
const MAX_GET_GROUPS: u32 = 256;
/// Of one peer at a time: for what plays, for what is next, and one that it has given
/// up and we have not noticed. The library's places for all are few.
const MAX_RESOLVES_PER_PEER: usize = 3;
/// One of one's own comes to its end in about this long.
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);
const NOT_HERE: Answer = Answer::No(Decline::NotAvailable);
