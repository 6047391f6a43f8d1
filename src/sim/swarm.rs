//! What hosts ask of one another: calls, answers, and slices that share the
//! sender's line.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    net::{HostNo, Life, Place},
    parts::SentPart,
    slice::Slice,
    world::{Event, World},
};
use crate::{
    audio::PlayId,
    catalog::Want,
    content::ranges::GroupSet,
    core::{SliceOrder, UploadEffect},
    id::{EntryNo, Group, PeerId, TrackId},
    node::{self, AskId, CataloguePiece, FetchEvent, FetchId, Greeted},
    protocol::{Class, Decline, Get, Greeting, PeerReply, PeerRequest},
    swarm::{
        budget::Precedence, fetch::declined, guests::MAX_GUESTS, order::FetchOrder,
        scheduler::RequestOutcome, serving::SLOTS,
    },
};

/// A request of one host to another; no two in the world have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// A request as its requester knows it.
#[derive(Debug)]
pub struct Call {
    to: Life,
    progress: Instant,
    pub purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Fetch(FetchId),
    Resolve(PlayId),
    Greet(PeerId),
    Piece(PeerId),
}

impl Purpose {
    /// Until it is given up.
    fn patience(self) -> Duration {
        match self {
            Self::Greet(_) => GREETING_TIMEOUT,
            _ => ANSWER_TIMEOUT,
        }
    }
}

/// A request as its holder knows it.
#[derive(Debug)]
pub struct Served {
    ask: AskId,
    pub requester: Life,
    pub class: Class,
    /// As what it is let in.
    pub precedence: Option<Precedence>,
    /// Once it is let in.
    pub slice: Option<Slice>,
    /// Where a part of the catalogue is asked for.
    pub part: Option<SentPart>,
    /// When its sender may ask for its next piece, by the clock of its holder.
    pub ask_again: Option<Instant>,
    gone: bool,
}

/// What travels between hosts.
#[derive(Debug)]
pub enum Packet {
    Request(PeerRequest),
    Resolved {
        track: TrackId,
        size: u64,
    },
    Hello(Box<Greeting>),
    Piece(CataloguePiece),
    No(Decline),
    Slice,
    Group(Group),
    /// So many bytes that are not the track's.
    Wrong(u64),
    End(RequestOutcome),
    Stop,
}

impl World {
    pub fn call_resolve(&mut self, host: HostNo, play: PlayId, peer: PeerId, entry: EntryNo) {
        self.note(host, format_args!("asks {peer} what {} is", entry.0));
        self.call(
            host,
            peer,
            Purpose::Resolve(play),
            PeerRequest::Resolve { entry },
            false,
        );
    }

    pub fn call_get(&mut self, host: HostNo, fetch: FetchId, source: PeerId, order: FetchOrder) {
        let (request, groups, class) = (fetch.request.0, order.groups, order.class);
        self.note(
            host,
            format_args!("fetch {request}: {groups} of {source} as {class:?}"),
        );
        let get = PeerRequest::Get(Get {
            track: order.track,
            size: order.size,
            groups: groups.iter_ranges().collect(),
            class,
        });
        self.call(host, source, Purpose::Fetch(fetch), get, order.renew);
    }

    pub fn call_greet(&mut self, host: HostNo, peer: PeerId, greeting: Box<Greeting>) {
        self.note(host, format_args!("greets {peer}"));
        let request = PeerRequest::Hello(greeting);
        self.call(host, peer, Purpose::Greet(peer), request, false);
    }

    pub fn call_owner(&mut self, host: HostNo, owner: PeerId, what: Want) {
        let request = match what {
            Want::List => PeerRequest::List,
            Want::Page(index) => PeerRequest::Page { index },
        };
        self.call(host, owner, Purpose::Piece(owner), request, false);
    }

    /// The host that `peer` is.
    pub fn host_of(&self, peer: PeerId) -> Option<HostNo> {
        let mut hosts = self.hosts.iter();
        hosts
            .position(|host| host.library.owner() == peer)
            .map(HostNo)
    }

    fn call(
        &mut self,
        host: HostNo,
        peer: PeerId,
        purpose: Purpose,
        request: PeerRequest,
        renew: bool,
    ) {
        self.last_call += 1;
        let call = CallId(self.last_call);
        let to = self.host_of(peer);
        let to = to.expect("the core asks peers that it has addresses of");
        if self.net.breaks() {
            let after = self.net.delay();
            return self.plan(
                host,
                after,
                fail(purpose, "the connection to it is lost (reset)"),
            );
        }
        let life = self.hosts[to.0].life;
        let (from, progress) = (self.hosts[host.0].life, self.now);
        self.hosts[host.0].calls.insert(
            call,
            Call {
                to: life,
                progress,
                purpose,
            },
        );
        self.plan(host, purpose.patience(), Event::Overdue { call });
        let (connection, earliest) = self.way(host, to, renew);
        self.routes.insert(call, connection);
        if self.is_open(Place::Host(host), Place::Host(to)) && self.is_heard(call) {
            let at = earliest.max(self.now + self.net.delay());
            let packet = Packet::Request(request);
            self.plan_at(at, Some(life), Event::Packet { from, call, packet });
        }
    }

    pub fn overdue(&mut self, host: HostNo, call: CallId) {
        let Some(waiting) = self.hosts[host.0].calls.get(&call) else {
            return;
        };
        let due = waiting.progress + waiting.purpose.patience();
        if due > self.now {
            let life = self.hosts[host.0].life;
            return self.plan_at(due, Some(life), Event::Overdue { call });
        }
        let (to, purpose) = (waiting.to, waiting.purpose);
        self.hosts[host.0].calls.remove(&call);
        self.send(host, to, call, Packet::Stop);
        self.end_route(call);
        self.plan(
            host,
            Duration::ZERO,
            fail(purpose, "it did not answer within 10 s"),
        );
    }

    pub fn cancel(&mut self, host: HostNo, purpose: Purpose) {
        self.note(host, format_args!("cancels {purpose:?}"));
        let calls = &mut self.hosts[host.0].calls;
        let found = calls.iter().find(|(_, call)| call.purpose == purpose);
        let Some((&call, to)) = found.map(|(id, call)| (id, call.to)) else {
            return;
        };
        calls.remove(&call);
        self.send(host, to, call, Packet::Stop);
        self.end_route(call);
    }

    pub fn send(&mut self, host: HostNo, to: Life, call: CallId, packet: Packet) {
        if self.is_open(Place::Host(host), Place::Host(to.host)) && self.is_heard(call) {
            let from = self.hosts[host.0].life;
            let at = self.now + self.net.delay();
            self.plan_at(at, Some(to), Event::Packet { from, call, packet });
        }
    }

    pub fn arrive(&mut self, host: HostNo, from: Life, call: CallId, packet: Packet) {
        match packet {
            Packet::Request(_) if self.hosts[host.0].refusal.is_some() => {
                let refusal = self.hosts[host.0].refusal.clone();
                refusal
                    .into_iter()
                    .for_each(|why| self.send(host, from, call, Packet::No(why)));
                return;
            }
            Packet::Request(request) => {
                let class = match &request {
                    PeerRequest::Get(get) => get.class,
                    _ => Class::Now,
                };
                let peer = match self.greed.get(&call) {
                    Some(greed) => greed.peer,
                    None => self.hosts[from.host.0].library.owner(),
                };
                let address = self.hosts[from.host.0].address;
                let now = self.now_at(host);
                let this = &mut self.hosts[host.0];
                let ask = this.core.handle_asked(peer, address, request, now);
                let served = Served {
                    ask,
                    requester: from,
                    class,
                    precedence: None,
                    slice: None,
                    part: None,
                    ask_again: None,
                    gone: false,
                };
                this.asks.insert(ask, call);
                this.served.insert(call, served);
                return;
            }
            Packet::Stop => return self.stop_serving(host, call),
            _ => {}
        }
        if self.greed.contains_key(&call) {
            return self.take_greedily(host, call, &packet);
        }
        let now = self.now;
        let this = &mut self.hosts[host.0];
        let Some(waiting) = this.calls.get_mut(&call) else {
            return;
        };
        waiting.progress = now;
        let packet = match waiting.purpose {
            Purpose::Fetch(id) => self.written_at_once(host, call, id.track, packet),
            _ => Some(packet),
        };
        if let Some(packet) = packet {
            self.take(host, call, packet);
        }
    }

    /// Takes a packet of an answer that is here.
    pub fn take(&mut self, host: HostNo, call: CallId, packet: Packet) {
        let Some(waiting) = self.hosts[host.0].calls.get(&call) else {
            return;
        };
        let purpose = waiting.purpose;
        let at = self.hosts[waiting.to.host.0].address;
        if !matches!(packet, Packet::Slice | Packet::Group(_) | Packet::Wrong(_)) {
            self.hosts[host.0].calls.remove(&call);
            self.end_route(call);
        }
        let this = &mut self.hosts[host.0];
        let event = match (purpose, packet) {
            (Purpose::Resolve(play), Packet::Resolved { track, size }) => node::Event::Resolved {
                play,
                answer: Ok((track, size)),
            },
            (Purpose::Resolve(play), Packet::No(why)) => node::Event::Resolved {
                play,
                answer: Err(node::Unresolved::Refused(why.to_string())),
            },
            (Purpose::Fetch(id), Packet::Slice) => node::Event::Fetch(id, FetchEvent::FirstByte),
            (Purpose::Fetch(id), Packet::Group(group)) => {
                let blob = this.store.0.entry(id.track).or_default();
                this.twice += u64::from(blob.have.contains(group));
                blob.have.insert(group);
                blob.fetched += 1;
                blob.failed = None;
                let groups = GroupSet::from_iter([group]);
                node::Event::Fetch(id, FetchEvent::Groups(groups))
            }
            (Purpose::Fetch(id), Packet::Wrong(bytes)) => {
                node::Event::Fetch(id, FetchEvent::Wasted(bytes))
            }
            (Purpose::Fetch(id), Packet::End(outcome)) => done(id, outcome),
            (Purpose::Fetch(id), Packet::No(why)) => done(id, declined(&why)),
            (Purpose::Greet(peer), Packet::Hello(greeting)) => {
                node::Event::Greeted(peer, Greeted::Hello { greeting, at })
            }
            (Purpose::Greet(peer), Packet::No(Decline::Busy { .. })) => {
                node::Event::Greeted(peer, Greeted::Busy)
            }
            (Purpose::Greet(peer), Packet::No(_)) => node::Event::Greeted(peer, Greeted::Declined),
            (Purpose::Piece(owner), Packet::Piece(piece)) => node::Event::Piece(owner, Ok(piece)),
            (Purpose::Piece(owner), Packet::No(why)) => {
                node::Event::Piece(owner, Err(why.to_string()))
            }
            _ => return,
        };
        self.tell(host, event);
    }

    /// Answers another host.
    pub fn perform_upload(&mut self, host: HostNo, effect: UploadEffect) {
        let this = &mut self.hosts[host.0];
        match effect {
            UploadEffect::Reply(ask, reply) => self.reply(host, ask, reply),
            UploadEffect::Send(ask, order) => {
                let Some(&call) = this.asks.get(&ask) else {
                    return;
                };
                if let Some(served) = this.served.get_mut(&call) {
                    served.class = order.precedence.own;
                    served.precedence = Some(order.precedence);
                }
                self.begin_slice(host, call, order);
            }
            UploadEffect::Hash { ask, entry } => {
                let Some(song) = this.library.song(entry) else {
                    return;
                };
                let hashing = Duration::from_micros(song.size * 1_000_000 / DISK_RATE);
                self.plan(host, hashing, Event::Hashed { ask, entry });
            }
            UploadEffect::EndSlice(ask) => {
                let Some(&call) = this.asks.get(&ask) else {
                    return;
                };
                let served = this.served.get_mut(&call);
                if let Some(slice) = served.and_then(|served| served.slice.as_mut()) {
                    // The group that is on the line is cut off.
                    slice.end = RequestOutcome::Busy(None);
                    self.end_slice(host, call);
                }
            }
            UploadEffect::SendPart {
                ask,
                part,
                precedence,
            } => {
                if let Some(call) = this.asks.remove(&ask) {
                    self.begin_part(host, call, &part, precedence);
                }
            }
        }
    }

    fn reply(&mut self, host: HostNo, ask: AskId, reply: PeerReply) {
        let packet = match reply {
            PeerReply::Hello(greeting) => Packet::Hello(greeting),
            PeerReply::No(why) => Packet::No(why),
            other => panic!("the core answers {other:?} by itself"),
        };
        let this = &mut self.hosts[host.0];
        let call = this.asks.remove(&ask);
        let served = call.and_then(|call| Some((call, this.served.remove(&call)?)));
        if let Some((call, served)) = served {
            if let Packet::No(why) = &packet {
                let declines = format!("{}: {why:?}", self.hosts[served.requester.host.0].name);
                self.note(host, declines);
            }
            self.send(host, served.requester, call, packet);
        }
    }

    pub fn hashed(&mut self, host: HostNo, ask: AskId, entry: EntryNo) {
        let this = &mut self.hosts[host.0];
        let Some(song) = this.library.song(entry) else {
            return;
        };
        let (track, size) = (song.track, song.size);
        let news = this.library.set_hashed(entry);
        let call = this.asks.get(&ask).copied();
        self.tell_answered(host, ask, 0, GroupSet::new());
        let this = &mut self.hosts[host.0];
        let served = call.and_then(|call| Some((call, this.served.remove(&call)?)));
        if let Some((call, served)) = served {
            let resolved = Packet::Resolved { track, size };
            self.send(host, served.requester, call, resolved);
        }
        if news {
            self.plan_publish(host);
        }
    }

    /// So many bytes of a slice are sent, and the requester has confirmed that these groups have
    /// arrived; or an entry is resolved.
    fn tell_answered(&mut self, host: HostNo, ask: AskId, sent: u64, arrived: GroupSet) {
        self.hosts[host.0].asks.remove(&ask);
        let over = node::Event::Answered { ask, sent, arrived };
        self.tell(host, over);
    }

    fn begin_slice(
        &mut self,
        host: HostNo,
        call: CallId,
        SliceOrder {
            track,
            size,
            groups,
            ..
        }: SliceOrder,
    ) {
        let now = self.now;
        let this = &mut self.hosts[host.0];
        let here = match this.library.has_hashed(track) {
            Some(song) => Some((song.size, GroupSet::all(song.size))),
            None => this
                .store
                .0
                .get(&track)
                .map(|blob| (blob.size, blob.here())),
        };
        let (manner, me) = (this.manner, this.library.owner());
        let Some(served) = this.served.get_mut(&call) else {
            return;
        };
        let what = (track, size, &groups);
        let refusal = match Slice::of(what, here, (me, manner), now) {
            _ if served.gone => None,
            Ok(slice) => {
                served.slice = Some(slice);
                None
            }
            Err(why) => Some(why),
        };
        let (ask, requester) = (served.ask, served.requester);
        if served.slice.is_none() {
            this.served.remove(&call);
            self.tell_answered(host, ask, 0, GroupSet::new());
            if let Some(why) = refusal {
                self.send(host, requester, call, Packet::No(why));
            }
            return;
        }
        let begun = format!("sends {groups} to {}", self.hosts[requester.host.0].name);
        self.note(host, begun);
        self.take_turns(host, requester);
        self.deliver(host, call, Packet::Slice);
        self.pump(host);
    }

    /// Sends a piece of a slice, behind those before it.
    pub fn deliver(&mut self, host: HostNo, call: CallId, packet: Packet) {
        let delay = self.net.delay();
        let this = &mut self.hosts[host.0];
        let (from, at) = (this.life, self.now + delay);
        let Some(served) = this.served.get_mut(&call) else {
            return;
        };
        let requester = served.requester;
        let Some(slice) = &mut served.slice else {
            return;
        };
        slice.last = slice.last.max(at);
        let at = slice.last;
        if self.is_open(Place::Host(host), Place::Host(requester.host)) && self.is_heard(call) {
            self.plan_at(at, Some(requester), Event::Packet { from, call, packet });
        }
    }

    /// A slice has come to its end; the requester confirms one that it has got to that.
    pub fn end_slice(&mut self, host: HostNo, call: CallId) {
        let served = self.hosts[host.0].served.get(&call);
        let Some((requester, end)) =
            served.and_then(|served| Some((served.requester, served.slice.as_ref()?.end.clone())))
        else {
            return self.forget_served(host, call);
        };
        let is_whole = matches!(end, RequestOutcome::Complete | RequestOutcome::Short);
        let arrives = self.is_open(Place::Host(host), Place::Host(requester.host));
        let is_confirmed = is_whole && arrives && self.is_heard(call);
        self.deliver(host, call, Packet::End(end));
        self.end_serving(host, call, is_confirmed);
    }

    /// A slice is given up.
    pub fn forget_served(&mut self, host: HostNo, call: CallId) {
        self.end_serving(host, call, false);
    }

    fn end_serving(&mut self, host: HostNo, call: CallId, is_confirmed: bool) {
        let Some(served) = self.hosts[host.0].served.remove(&call) else {
            return;
        };
        let (mut sent, mut arrived) = (0, GroupSet::new());
        if let Some(slice) = served.slice {
            sent = slice.all.difference(&slice.left).bytes(slice.size);
            if is_confirmed {
                arrived = slice.all;
            }
        }
        self.tell_answered(host, served.ask, sent, arrived);
    }

    /// The requester does not want it any more.
    fn stop_serving(&mut self, host: HostNo, call: CallId) {
        let Some(served) = self.hosts[host.0].served.get_mut(&call) else {
            return;
        };
        served.gone = true;
        // One that waits is noticed when its turn comes.
        if served.slice.is_some() {
            self.forget_served(host, call);
        } else if served.part.is_some() {
            self.hosts[host.0].served.remove(&call);
        }
    }

    /// What must hold at every moment: nobody is asked for too much at a time.
    pub fn check(&self, host: HostNo) {
        let this = &self.hosts[host.0];
        let mut asked: BTreeMap<(Life, TrackId), usize> = BTreeMap::new();
        for call in this.calls.values() {
            if let Purpose::Fetch(fetch) = call.purpose {
                *asked.entry((call.to, fetch.track)).or_default() += 1;
            }
        }
        let most = asked.values().max().copied().unwrap_or(0);
        assert!(
            most <= MAX_ASKED,
            "{} asks one source {most} times at once",
            this.name
        );
        let serving = this
            .served
            .values()
            .filter(|served| served.slice.is_some())
            .count();
        assert!(serving <= SLOTS, "{} serves {serving} at once", this.name);
        let guests = this.visits.len();
        assert!(guests <= MAX_GUESTS, "{} has {guests} guests", this.name);
    }
}

fn done(id: FetchId, outcome: RequestOutcome) -> node::Event {
    node::Event::Fetch(id, FetchEvent::Done(outcome))
}

pub fn fail(purpose: Purpose, why: &str) -> Event {
    let event = match purpose {
        Purpose::Fetch(id) => done(id, RequestOutcome::ConnectionLost(why.into())),
        Purpose::Resolve(play) => node::Event::Resolved {
            play,
            answer: Err(node::Unresolved::Silent),
        },
        Purpose::Greet(peer) => node::Event::Greeted(peer, Greeted::Silent(why.into())),
        Purpose::Piece(owner) => node::Event::Piece(owner, Err(why.into())),
    };
    Event::Node(event.into())
}

/// A fetch or a question without an answer is given up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const GREETING_TIMEOUT: Duration = Duration::from_secs(6);
/// Bytes a second that hashing reads.
const DISK_RATE: u64 = 20_000_000;
/// A scheduler's requests at one source: four, and one for a reader that waits.
const MAX_ASKED: usize = 5;
