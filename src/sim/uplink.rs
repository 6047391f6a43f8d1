//! The line that a host sends on: one group at a time.

use std::time::{Duration, Instant};

use super::{
    net::{HostNo, Life, Place},
    swarm::{CallId, Packet},
    world::{Event, World},
};
use crate::{
    content::ranges::GroupSet,
    id::{Group, GROUP_BYTES},
    swarm::{
        budget::{Booking, QueuedPiece},
        scheduler::RequestOutcome,
    },
};

impl World {
    /// Puts a group on the line, if that is free. Receivers take turns; each
    /// is sent what it listens to first, and otherwise what it asked for in that
    /// order, as the streams of a real holder are.
    pub fn pump(&mut self, host: HostNo) {
        if self.hosts[host.0].sending {
            return;
        }
        if self.hosts[host.0].cap.is_some() {
            return self.pump_by_cap(host);
        }
        for _ in 0..self.hosts[host.0].turns.len() {
            let Some(requester) = self.hosts[host.0].turns.pop_front() else {
                return;
            };
            let reached = self.is_alive(requester)
                && self.is_open(Place::Host(host), Place::Host(requester.host));
            let this = &mut self.hosts[host.0];
            let slices = this
                .served
                .iter_mut()
                .filter(|(_, served)| served.requester == requester);
            let slices = slices.filter(|(_, s)| s.slice.is_some() || s.part.is_some());
            let first = slices.min_by_key(|(call, s)| (s.class, **call));
            let Some((&call, served)) = first else {
                continue;
            };
            this.turns.push_back(requester);
            if !reached {
                self.stall(host, requester);
                continue;
            }
            let Some(slice) = &mut served.slice else {
                return self.put_part_on_line(host, call);
            };
            let Some(group) = slice.left.first() else {
                self.end_slice(host, call);
                return self.pump(host);
            };
            return self.put_on_line(host, call, group);
        }
    }

    /// The same where the host keeps what it sends below a cap: each sender asks for its next
    /// piece, and is let through or told when to ask again.
    fn pump_by_cap(&mut self, host: HostNo) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        let Some(budget) = &mut this.cap else {
            return;
        };
        let mut next: Option<Instant> = None;
        for (&call, served) in &mut this.served {
            let (Some(precedence), age) = (served.precedence, call.0) else {
                continue;
            };
            let (group, bytes) = match (&served.slice, &served.part) {
                (Some(slice), _) => match slice.left.first() {
                    Some(group) => (Some(group), GROUP_BYTES),
                    None => {
                        self.end_slice(host, call);
                        return self.pump(host);
                    }
                },
                (None, Some(part)) => (None, part.portion()),
                (None, None) => continue,
            };
            if served.ask_again.is_none_or(|again| again <= now) {
                let piece = QueuedPiece { precedence, age };
                match budget.book(piece, bytes, now) {
                    Booking::Go => {
                        served.ask_again = None;
                        return match group {
                            Some(group) => self.put_on_line(host, call, group),
                            None => self.put_part_on_line(host, call),
                        };
                    }
                    Booking::AskAgain(at) => served.ask_again = Some(at),
                }
            }
            next = next.into_iter().chain(served.ask_again).min();
        }
        if let Some(next) = next {
            self.pump_at(host, next);
        }
    }

    /// Has a sender of `host` ask at that time of its clock, at the latest.
    fn pump_at(&mut self, host: HostNo, own: Instant) {
        let at = self.hosts[host.0].clock.world_at(own);
        let this = &mut self.hosts[host.0];
        if this.pumps_at.is_none_or(|before| at < before) {
            this.pumps_at = Some(at);
            let life = this.life;
            self.plan_at(at, Some(life), Event::Pump);
        }
    }

    /// The time has come for which a sender was told to ask again.
    pub fn pump_again(&mut self, host: HostNo) {
        self.hosts[host.0].pumps_at = None;
        self.pump(host);
    }

    fn put_on_line(&mut self, host: HostNo, call: CallId, group: Group) {
        let this = &mut self.hosts[host.0];
        let served = this.served.get_mut(&call);
        let Some(slice) = served.and_then(|served| served.slice.as_mut()) else {
            return;
        };
        slice.left.remove(group);
        let bytes = GroupSet::from_iter([group]).bytes(slice.size);
        *this.sent.entry(slice.track).or_default() += bytes;
        self.occupy_line(host, bytes, Event::Sent { call, group });
    }

    /// The line is taken until `bytes` have left, which is `sent` then.
    pub fn occupy_line(&mut self, host: HostNo, bytes: u64, sent: Event) {
        let this = &mut self.hosts[host.0];
        this.sending = true;
        let time = Duration::from_micros(bytes * 1_000_000 / this.uplink);
        self.plan(host, time, sent);
    }

    /// A receiver is out of reach; its slices end if it stays so.
    fn stall(&mut self, host: HostNo, requester: Life) {
        // It asks again for what it wants of the catalogue.
        let served = &mut self.hosts[host.0].served;
        served.retain(|_, served| served.requester != requester || served.part.is_none());
        let mut stalled = Vec::new();
        for (call, served) in &mut self.hosts[host.0].served {
            if let (true, Some(slice)) = (served.requester == requester, &mut served.slice) {
                if !std::mem::replace(&mut slice.stalled, true) {
                    stalled.push(*call);
                }
            }
        }
        for call in stalled {
            self.plan(host, IDLE, Event::Idle { call });
        }
    }

    pub fn sent(&mut self, host: HostNo, call: CallId, group: Group) {
        self.hosts[host.0].sending = false;
        let slice = self.hosts[host.0]
            .served
            .get(&call)
            .and_then(|s| s.slice.as_ref());
        if let Some(slice) = slice {
            let is_last = slice.left.is_empty();
            let packet = match slice.end {
                RequestOutcome::Liar => Packet::Wrong(GROUP_BYTES),
                _ => Packet::Group(group),
            };
            self.deliver(host, call, packet);
            if is_last {
                self.end_slice(host, call);
            }
        }
        self.pump(host);
    }

    /// A receiver that was out of reach may be so still.
    pub fn idle(&mut self, host: HostNo, call: CallId) {
        let served = self.hosts[host.0].served.get(&call);
        let slice = served.and_then(|served| served.slice.as_ref());
        if slice.is_some_and(|slice| slice.stalled) {
            self.forget_served(host, call);
        }
    }

    /// The network is whole again.
    pub fn resume_slices(&mut self, host: HostNo) {
        for served in self.hosts[host.0].served.values_mut() {
            if let Some(slice) = &mut served.slice {
                slice.stalled = false;
            }
        }
        self.pump(host);
    }
}

/// A connection whose other end is silent is given up.
const IDLE: Duration = Duration::from_secs(30);
