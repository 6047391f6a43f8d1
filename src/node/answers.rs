//! What other peers ask of this one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    catalog::Catalogue,
    content::ranges::GroupSet,
    id::{EntryNo, PeerId, TrackId, GROUP_BYTES},
    protocol::{Class, Decline, Get, Greeting, PeerRequest},
    swarm::{
        budget::Precedence,
        referrals::Referrals,
        requester::Requester,
        serving::{self, own::OwnPart, Admission, Serving, Ticket},
    },
    util::few::Few,
};

/// Names a question of another peer's for as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// What is to be answered.
#[derive(Clone, Debug)]
pub enum UploadAnswer {
    /// Hash the entry's file, if that has not been done, and say the result.
    Resolve(EntryNo),
    /// Send the verified slice, and say when that is over.
    Slice {
        track: TrackId,
        size: u64,
        groups: GroupSet,
        precedence: Precedence,
    },
    /// Send a part of the own catalogue when its turn comes.
    Own {
        part: OwnPart,
        precedence: Precedence,
    },
    Hello(Box<Greeting>),
    No(Decline),
    /// Stop sending the slice: others wait, and its requester is slow.
    GiveUp,
}

/// Answers from the own catalogue at once, lets slices wait for a slot, and refers
/// a requester of what others have just got to these.
pub struct Answers {
    serving: Serving,
    elsewhere: Option<Referrals>,
    /// Slices that wait or are being sent.
    slices: BTreeMap<Ticket, Slice>,
    /// Slices that are on their way to another peer just now, which can pass them on: in the
    /// order in which they were asked for, and until when that is waited for.
    held: VecDeque<(Instant, Slice)>,
    /// Entries that are being looked up or hashed, and the requester of each.
    resolving: Few<AskId, PeerId>,
    ready: VecDeque<(AskId, UploadAnswer)>,
}

struct Slice {
    ask: AskId,
    precedence: Precedence,
    track: TrackId,
    size: u64,
    groups: GroupSet,
    /// Bytes that a second of the track takes, if that is known.
    rate: Option<u64>,
    is_started: bool,
}

impl Slice {
    fn answer(&self) -> (AskId, UploadAnswer) {
        let (track, size, groups) = (self.track, self.size, self.groups.clone());
        let precedence = self.precedence;
        (
            self.ask,
            UploadAnswer::Slice {
                track,
                size,
                groups,
                precedence,
            },
        )
    }

    fn peer(&self) -> PeerId {
        self.precedence.requester.peer
    }

    /// Whether to have it of others is worth a round trip and maybe a handshake, while others
    /// are being sent something. What is listened to is that where the line is too thin for
    /// all, and takes long.
    fn is_better_off_elsewhere(&self, serving: &Serving, now: Instant) -> bool {
        let Some(backlog) = serving.backlog(self.peer()) else {
            return false;
        };
        let is_too_thin = || {
            serving.is_too_thin(
                self.precedence.requester,
                self.rate.unwrap_or(USUAL_RATE),
                now,
            )
        };
        self.precedence.own != Class::Now || (backlog >= URGENT_BACKLOG && is_too_thin())
    }
}

impl Answers {
    /// `names_others`: whether anybody is sent to others at all.
    pub fn new(names_others: bool) -> Self {
        Self {
            serving: Serving::new(),
            elsewhere: names_others.then(Referrals::new),
            held: VecDeque::new(),
            slices: BTreeMap::new(),
            resolving: Few::default(),
            ready: VecDeque::new(),
        }
    }

    /// Takes a question. `rate_of` tells how many bytes a second of a track takes, if that
    /// is known.
    pub fn handle_ask(
        &mut self,
        ask: AskId,
        requester: Requester,
        request: PeerRequest,
        own: Option<&Arc<Catalogue>>,
        rate_of: impl Fn(TrackId) -> Option<u64>,
        now: Instant,
    ) {
        let peer = requester.peer;
        let answer = match request {
            PeerRequest::Get(get) => {
                let rate = rate_of(get.track);
                return self.handle_get(ask, requester, get, rate, now);
            }
            PeerRequest::Resolve { entry } => match own.and_then(|own| own.get(entry)) {
                Some(there) if there.listed().is_some() => {
                    let of_peer = self.resolving.iter().filter(|(_, p)| **p == peer).count();
                    match of_peer < MAX_RESOLVES_PER_PEER {
                        true => {
                            self.resolving.insert(ask, peer);
                            UploadAnswer::Resolve(entry)
                        }
                        false => UploadAnswer::No(Decline::Busy {
                            retry: RESOLVE_AGAIN,
                        }),
                    }
                }
                _ => UploadAnswer::No(Decline::NotAvailable),
            },
            PeerRequest::Head => own
                .map(|own| send(OwnPart::Head(*own.head()), requester))
                .unwrap_or(NOT_HERE),
            PeerRequest::List => own
                .map(|own| send(OwnPart::List(own.list().clone()), requester))
                .unwrap_or(NOT_HERE),
            PeerRequest::Page { index } => own
                .and_then(|own| own.pages().get(index as usize))
                .map(|page| send(OwnPart::Page(page.clone()), requester))
                .unwrap_or(NOT_HERE),
            // The node answers it, which knows what it is called.
            PeerRequest::Hello(_) => NOT_HERE,
        };
        self.ready.push_back((ask, answer));
    }

    /// The requester of a slice that waits or is being sent.
    pub fn requester(&self, ask: AskId) -> Option<PeerId> {
        let mut slices = self.slices.values();
        slices.find(|slice| slice.ask == ask).map(|s| s.peer())
    }

    /// A slice is sent, an entry resolved, or either was given up; so many bytes of it were
    /// sent, and `groups` have reached the requester.
    pub fn handle_done(&mut self, ask: AskId, sent: u64, groups: &GroupSet, now: Instant) {
        if self.resolving.remove(ask).is_some() {
            return;
        }
        let ticket = self
            .slices
            .iter()
            .find(|(_, slice)| slice.ask == ask)
            .map(|(t, _)| *t);
        let Some((ticket, slice)) = ticket.and_then(|t| Some((t, self.slices.remove(&t)?))) else {
            return;
        };
        let groups = groups.intersection(&slice.groups);
        let arrived = u64::from(groups.count()) * GROUP_BYTES;
        self.serving.handle_done(ticket, sent.max(arrived), now);
        if let (Some(elsewhere), false) = (&mut self.elsewhere, groups.is_empty()) {
            elsewhere.handle_sent(slice.track, slice.peer(), &groups, now);
        }
        self.look_at_held(now);
    }

    /// A peer is gone: nothing of its waits any longer.
    pub fn handle_gone(&mut self, peer: PeerId) {
        self.serving.handle_gone(peer);
        if let Some(elsewhere) = &mut self.elsewhere {
            elsewhere.handle_gone(peer);
        }
        let ready = &mut self.ready;
        let mut stays = |slice: &Slice| {
            if slice.peer() == peer {
                ready.push_back((slice.ask, NOT_HERE));
            }
            slice.peer() != peer
        };
        self.slices.retain(|_, slice| stays(slice));
        self.held.retain(|(_, slice)| stays(slice));
    }

    /// Whether what plays here is short of bytes itself.
    pub fn handle_short(&mut self, is_short: bool) {
        self.serving.handle_short(is_short);
    }

    /// The next answer.
    pub fn poll(&mut self, now: Instant) -> Option<(AskId, UploadAnswer)> {
        if self.held.iter().any(|(until, _)| *until <= now) {
            self.look_at_held(now);
        }
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        match self.serving.poll(now)? {
            serving::ServeAction::Start(ticket) => {
                let slice = self.slices.get_mut(&ticket)?;
                slice.is_started = true;
                let slice = &self.slices[&ticket];
                // While it waited, others may have got it.
                match refer_or_answer(&mut self.elsewhere, &self.serving, slice, now) {
                    Some(no) => {
                        let answer = (slice.ask, no);
                        self.serving.handle_done(ticket, 0, now);
                        let slice = self.slices.remove(&ticket)?;
                        self.take_back(&slice);
                        Some(answer)
                    }
                    None => Some(slice.answer()),
                }
            }
            serving::ServeAction::Busy { ticket, retry } => {
                let slice = self.slices.remove(&ticket)?;
                self.take_back(&slice);
                Some((slice.ask, UploadAnswer::No(Decline::Busy { retry })))
            }
            serving::ServeAction::GiveUp(ticket) => {
                let slice = self.slices.get(&ticket)?;
                Some((slice.ask, UploadAnswer::GiveUp))
            }
        }
    }

    /// When [`Self::poll`] may have something to say without an event.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let held = self.held.iter().map(|(until, _)| *until);
        self.serving.poll_timeout().into_iter().chain(held).min()
    }

    fn handle_get(
        &mut self,
        ask: AskId,
        requester: Requester,
        get: Get,
        rate: Option<u64>,
        now: Instant,
    ) {
        let wire = get
            .groups
            .iter()
            .map(|range| (range.start, range.end.saturating_sub(range.start)));
        let groups = match GroupSet::from_wire(wire) {
            Ok(groups) if (1..=MAX_GET_GROUPS).contains(&groups.count()) => groups,
            _ => return self.ready.push_back((ask, NOT_HERE)),
        };
        let precedence = self
            .serving
            .precedence(requester, get.class, &groups, rate, now);
        if precedence.own != get.class {
            if let Some(elsewhere) = &mut self.elsewhere {
                elsewhere.handle_greedy(get.track, requester.peer, now);
            }
        }
        let slice = Slice {
            ask,
            precedence,
            track: get.track,
            size: get.size,
            groups,
            rate,
            is_started: false,
        };
        if let Some(no) = refer_or_answer(&mut self.elsewhere, &self.serving, &slice, now) {
            self.take_back(&slice);
            self.ready.push_back((ask, no));
        } else if self.may_be_held(&slice, now) && self.is_under_way(&slice, now) {
            self.held.push_back((now + HOLD, slice));
        } else {
            self.admit(slice, now);
        }
    }

    fn admit(&mut self, mut slice: Slice, now: Instant) {
        let Slice {
            ask, precedence, ..
        } = slice;
        let (requester, class) = (precedence.requester, precedence.class);
        match self
            .serving
            .handle_request(requester, class, &slice.groups, now)
        {
            Admission::Start(ticket) => {
                self.ready.push_back(slice.answer());
                slice.is_started = true;
                self.slices.insert(ticket, slice);
            }
            Admission::Wait(ticket) => {
                self.slices.insert(ticket, slice);
            }
            Admission::Busy { retry } => {
                self.take_back(&slice);
                self.ready
                    .push_back((ask, UploadAnswer::No(Decline::Busy { retry })));
            }
        }
    }

    /// It is not sent now, so it does not count as listened to.
    fn take_back(&mut self, slice: &Slice) {
        self.serving
            .handle_unsent(slice.precedence, &slice.groups, slice.rate);
    }

    /// Something has been sent, or time has passed: what was waited for may be had of
    /// others now, or has to be sent from here.
    fn look_at_held(&mut self, now: Instant) {
        for (until, slice) in std::mem::take(&mut self.held) {
            if let Some(no) = refer_or_answer(&mut self.elsewhere, &self.serving, &slice, now) {
                self.take_back(&slice);
                self.ready.push_back((slice.ask, no));
            } else if now < until && self.is_under_way(&slice, now) {
                self.held.push_back((until, slice));
            } else {
                self.admit(slice, now);
            }
        }
    }

    fn may_be_held(&self, slice: &Slice, now: Instant) -> bool {
        let peer = slice.peer();
        let held = || {
            self.held
                .iter()
                .map(|(_, slice)| slice.precedence.requester)
        };
        let of_peer = held().filter(|requester| requester.peer == peer).count();
        let of_site = held().filter(|requester| requester.site == slice.precedence.requester.site);
        self.elsewhere.is_some()
            && slice.is_better_off_elsewhere(&self.serving, now)
            // Each host leaves as many places as it has.
            && of_site.count() < MAX_HELD - self.held.len().min(MAX_HELD)
            && of_peer < MAX_HELD_PER_PEER
    }

    /// Whether some of it is being sent to another requester, which may pass it on.
    fn is_under_way(&self, slice: &Slice, now: Instant) -> bool {
        let passes_on = |to: &Slice| {
            let elsewhere = self.elsewhere.as_ref();
            elsewhere.is_some_and(|elsewhere| elsewhere.passes_on(to.track, to.peer(), now))
        };
        let started = self.slices.values().filter(|s| s.is_started);
        let mut others = started.filter(|s| s.peer() != slice.peer() && s.track == slice.track);
        others.any(|s| s.groups.intersects(&slice.groups) && passes_on(s))
    }
}

/// The answer that is a part of the own catalogue.
fn send(part: OwnPart, requester: Requester) -> UploadAnswer {
    let precedence = part.precedence(requester);
    UploadAnswer::Own { part, precedence }
}

/// The answer to a requester that is better off with others. A listener is referred only if it
/// would wait even longer here.
fn refer_or_answer(
    elsewhere: &mut Option<Referrals>,
    serving: &Serving,
    slice: &Slice,
    now: Instant,
) -> Option<UploadAnswer> {
    if !slice.is_better_off_elsewhere(serving, now) {
        return None;
    }
    let elsewhere = elsewhere.as_mut()?;
    let named = elsewhere.refer(slice.track, slice.peer(), &slice.groups, now)?;
    Some(UploadAnswer::No(Decline::Elsewhere(named)))
}

/// A referral costs a round trip, and maybe a handshake of a few more.
const URGENT_BACKLOG: Duration = Duration::from_millis(250);
/// Bytes that a second of a track takes while that is not known: CD quality PCM.
const USUAL_RATE: u64 = 176_400;
/// How long a referral waits for one of the others to have got it: half a MiB
/// at 8 Mbit/s, and shorter than a scheduler takes for silence.
const HOLD: Duration = Duration::from_millis(600);
/// As many as may wait for a slot.
const MAX_HELD: usize = 64;
const MAX_HELD_PER_PEER: usize = 4;
/// Groups that a request may be for: 4 MiB, four times what our scheduler asks for.
const MAX_GET_GROUPS: u32 = 256;
/// Of one peer at a time: for what plays, for what is next, and one that it has given
/// up and we have not noticed. The library's places for all are few.
const MAX_RESOLVES_PER_PEER: usize = 3;
/// One of one's own comes to its end in about this long.
const RESOLVE_AGAIN: Duration = Duration::from_secs(5);
const NOT_HERE: UploadAnswer = UploadAnswer::No(Decline::NotAvailable);

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of ranges are what is meant
mod tests {
    use super::*;

    const TRACK: TrackId = TrackId([7; 32]);

    fn peer(n: u8) -> PeerId {
        PeerId([n; 32])
    }

    fn ask(answers: &mut Answers, id: u64, of: u8, class: Class, now: Instant) {
        let get = Get {
            track: TRACK,
            size: 1 << 20,
            groups: vec![0..16],
            class,
        };
        let requester = Requester::new(peer(of), std::net::IpAddr::from([10, 0, 0, of]), &[]);
        let request = PeerRequest::Get(get);
        answers.handle_ask(AskId(id), requester, request, None, |_| None, now);
    }

    fn is_sent(answer: Option<(AskId, UploadAnswer)>, id: u64) -> bool {
        matches!(answer, Some((ask, UploadAnswer::Slice { .. })) if ask == AskId(id))
    }

    #[test]
    fn what_is_sent_to_one_is_had_of_that_one_by_the_others() {
        let now = Instant::now();
        let mut answers = Answers::new(true);
        for n in [1, 2, 3] {
            ask(&mut answers, n.into(), n, Class::Rest, now);
        }
        assert!(is_sent(answers.poll(now), 1));
        assert!(answers.poll(now).is_none(), "the others wait for that");
        // Somebody is served all the time, or they would be, too.
        ask(&mut answers, 9, 9, Class::Now, now);
        assert!(is_sent(answers.poll(now), 9));
        answers.handle_done(AskId(1), 0, &(0..16).into(), now);
        for id in [2, 3] {
            let Some((ask, UploadAnswer::No(Decline::Elsewhere(named)))) = answers.poll(now) else {
                panic!("{id} is not sent away");
            };
            assert_eq!((ask, named), (AskId(id), vec![(peer(1), vec![0..16])]));
        }
        ask(&mut answers, 4, 2, Class::Rest, now);
        answers.handle_done(AskId(9), 0, &GroupSet::new(), now);
        assert!(is_sent(answers.poll(now), 4), "it comes again");
    }

    #[test]
    fn who_is_about_to_listen_is_not_held_and_who_is_held_not_for_long() {
        let now = Instant::now();
        let mut answers = Answers::new(true);
        ask(&mut answers, 1, 1, Class::Rest, now);
        ask(&mut answers, 2, 2, Class::Rest, now);
        ask(&mut answers, 3, 3, Class::Now, now);
        assert!(is_sent(answers.poll(now), 1));
        assert!(is_sent(answers.poll(now), 3));
        assert!(answers.poll(now).is_none());
        let late = answers.poll_timeout().expect("one is held");
        assert_eq!(late, now + HOLD);
        assert!(is_sent(answers.poll(late), 2));
        ask(&mut answers, 4, 4, Class::Rest, late);
        answers.handle_gone(peer(4));
        let gone = answers.poll(late);
        assert!(matches!(
            gone,
            Some((AskId(4), UploadAnswer::No(Decline::NotAvailable)))
        ));
        assert_eq!(answers.poll_timeout(), None);
    }

    #[test]
    fn who_would_wait_for_longer_than_others_take_is_held_however_urgent() {
        let start = Instant::now();
        let now = start + Duration::from_secs(1);
        let mut answers = Answers::new(true);
        ask(&mut answers, 1, 1, Class::Now, start);
        assert!(is_sent(answers.poll(start), 1));
        answers.handle_done(AskId(1), 0, &(0..16).into(), now);
        answers.handle_gone(peer(1));
        for n in [2, 3] {
            ask(&mut answers, n.into(), n, Class::Now, now);
        }
        assert!(is_sent(answers.poll(now), 2));
        assert!(answers.poll(now).is_none(), "a second on this line");
        assert!(is_sent(answers.poll(now + HOLD), 3));
    }

    #[test]
    fn who_is_short_of_music_sends_none_that_is_only_fetched() {
        let now = Instant::now();
        let mut answers = Answers::new(true);
        answers.handle_short(true);
        ask(&mut answers, 1, 1, Class::Rest, now);
        let answer = answers.poll(now);
        assert!(matches!(
            answer,
            Some((_, UploadAnswer::No(Decline::Busy { .. })))
        ));
        ask(&mut answers, 2, 2, Class::Now, now);
        assert!(is_sent(answers.poll(now), 2));
    }
}
