//! Members that ask for all of a song, again and again, and say that they listen to it.

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
    track: TrackId,
    size: u64,
    first: u32,
    groups: u32,
}

impl World {
    /// Has `host` ask `holder` for all of `song` as so many peers.
    pub fn be_greedy(&mut self, host: HostNo, holder: HostNo, song: &Song, identities: u8) {
        self.note(host, format_args!("is greedy as {identities} peers"));
        for identity in 0..identities {
            for _ in 0..REQUESTS {
                let mut peer = [0xf0; 32];
                peer[1..3].copy_from_slice(&[host.0 as u8, identity]);
                let groups = 1 + self.random.below(u64::from(MOST_GROUPS)) as u32;
                let all = u64::from(group_count(song.size));
                let greed = Greed {
                    peer: PeerId(peer),
                    holder,
                    track: song.track,
                    size: song.size,
                    first: self.random.below(all) as u32,
                    groups,
                };
                self.ask_greedily(host, greed);
            }
        }
    }

    pub fn ask_greedily(&mut self, host: HostNo, greed: Greed) {
        self.last_call += 1;
        let call = CallId(self.last_call);
        let all = group_count(greed.size);
        let end = (greed.first + greed.groups).min(all);
        let get = Get {
            track: greed.track,
            size: greed.size,
            groups: GroupSet::from(greed.first..end).iter_ranges().collect(),
            class: Class::Now,
        };
        let first = if end == all { 0 } else { end };
        self.greed.insert(call, Greed { first, ..greed });
        let holder = greed.holder;
        if self.is_open(Place::Host(host), Place::Host(holder)) {
            let (from, to) = (self.hosts[host.0].life, self.hosts[holder.0].life);
            let at = self.now + self.net.delay();
            let packet = Packet::Request(PeerRequest::Get(get));
            self.plan_at(at, Some(to), Event::Packet { from, call, packet });
        }
    }

    /// What it is sent is of no use; when that ends, it wants more.
    pub fn take_greedily(&mut self, host: HostNo, call: CallId, packet: &Packet) {
        let again = match packet {
            Packet::End(_) => Duration::ZERO,
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
