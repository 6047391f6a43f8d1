//! Members that ask for all of a song, again and again, and say that they listen to it; or for
//! all of a catalogue.

use std::time::Duration;

use super::{
    music::Song,
    net::{HostNo, Place},
    swarm::{CallId, Packet},
    world::{Event, World},
};
use crate::{
    content::ranges::GroupSet,
    id::{group_count, PeerId, TrackId},
    protocol::{Class, Get, PeerRequest},
};

/// One request of a greedy member, which is followed by another.
#[derive(Clone, Copy, Debug)]
pub struct Greed {
    /// The member that its host asks as.
    pub peer: PeerId,
    holder: HostNo,
    wish: Wish,
}

/// What a greedy member asks for.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Slice {
        track: TrackId,
        size: u64,
        first: u32,
        groups: u32,
    },
    /// The next page, or the list behind the last of so many.
    Page { index: u32, count: u32 },
}

impl Wish {
    /// What is asked for, and what next.
    fn request(self) -> (PeerRequest, Self) {
        match self {
            Self::Slice {
                track,
                size,
                first,
                groups,
            } => {
                let all = group_count(size);
                let end = (first + groups).min(all);
                let get = Get {
                    track,
                    size,
                    groups: GroupSet::from(first..end).iter_ranges().collect(),
                    class: Class::Now,
                };
                let first = if end == all { 0 } else { end };
                let next = Self::Slice {
                    track,
                    size,
                    first,
                    groups,
                };
                (PeerRequest::Get(get), next)
            }
            Self::Page { index, count } => {
                let request = match index < count {
                    true => PeerRequest::Page { index },
                    false => PeerRequest::List,
                };
                let index = (index + 1) % (count + 1);
                (request, Self::Page { index, count })
            }
        }
    }
}

impl World {
    /// Has `host` ask `holder` for all of `song` as so many peers.
    pub fn be_greedy(&mut self, host: HostNo, holder: HostNo, song: &Song, identities: u8) {
        let all = u64::from(group_count(song.size));
        self.ask_as_many(host, holder, identities, |world| Wish::Slice {
            track: song.track,
            size: song.size,
            groups: 1 + world.random.below(u64::from(MOST_GROUPS)) as u32,
            first: world.random.below(all) as u32,
        });
    }

    /// Has `host` ask `holder` for all of its catalogue as so many peers.
    pub fn be_curious(&mut self, host: HostNo, holder: HostNo, identities: u8) {
        let count = self.hosts[holder.0].core.node().own_pages().len() as u32;
        self.ask_as_many(host, holder, identities, |world| {
            let index = world.random.below(u64::from(count) + 1) as u32;
            Wish::Page { index, count }
        });
    }

    fn ask_as_many(
        &mut self,
        host: HostNo,
        holder: HostNo,
        identities: u8,
        wish: impl Fn(&mut Self) -> Wish,
    ) {
        self.note(host, format_args!("is greedy as {identities} peers"));
        for identity in 0..identities {
            for _ in 0..REQUESTS {
                let mut peer = [0xf0; 32];
                peer[1..3].copy_from_slice(&[host.0 as u8, identity]);
                let (peer, wish) = (PeerId(peer), wish(self));
                self.ask_greedily(host, Greed { peer, holder, wish });
            }
        }
    }

    pub fn ask_greedily(&mut self, host: HostNo, greed: Greed) {
        self.last_call += 1;
        let call = CallId(self.last_call);
        let (request, wish) = greed.wish.request();
        self.greed.insert(call, Greed { wish, ..greed });
        let holder = greed.holder;
        if self.is_open(Place::Host(host), Place::Host(holder)) {
            let (from, to) = (self.hosts[host.0].life, self.hosts[holder.0].life);
            let at = self.now + self.net.delay();
            let packet = Packet::Request(request);
            self.plan_at(at, Some(to), Event::Packet { from, call, packet });
        }
    }

    /// What it is sent is of no use; when that ends, it wants more.
    pub fn take_greedily(&mut self, host: HostNo, call: CallId, packet: &Packet) {
        let again = match packet {
            Packet::End(_) | Packet::Piece(_) => Duration::ZERO,
            Packet::No(_) => REFUSED,
            _ => return,
        };
        if let Some(greed) = self.greed.remove(&call) {
            self.plan(host, again, Event::Greed(greed));
        }
    }
}

/// More than one peer may have served at once.
const REQUESTS: usize = 6;
/// As many as a request may be for.
const MOST_GROUPS: u32 = 256;
/// It does not let itself be told when to come again, but has a limit of its own.
const REFUSED: Duration = Duration::from_millis(500);
