//! A host's disk that takes its time: what arrives is here when it is written, unless the
//! disk is too slow for that.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{
    net::HostNo,
    swarm::{CallId, Packet},
    world::{Event, World},
};
use crate::{
    content::slow::WritePace,
    id::{TrackId, GROUP_BYTES},
    node,
};

#[derive(Default)]
pub struct Disk {
    /// For each group.
    delay: Duration,
    pace: WritePace,
    /// What has come and is not written.
    queue: VecDeque<(CallId, TrackId, Packet)>,
    /// The tracks that are kept in memory since the disk is slow.
    loose: BTreeSet<TrackId>,
}

impl Disk {
    fn handle_write(&mut self, now: Instant) {
        let group = usize::try_from(GROUP_BYTES).expect("it is small");
        self.pace.handle_write(group, self.delay, now);
    }

    /// Looks how fast it is, as a host does at its start: by some writes.
    ///
    /// # Errors
    /// Why what arrives is not kept.
    pub fn check(&mut self, now: Instant) -> Result<(), String> {
        (0..3).for_each(|_| self.handle_write(now));
        self.trouble().map_or(Ok(()), Err)
    }

    /// Why what arrives is not kept, if it is not.
    fn trouble(&self) -> Option<String> {
        let slowness = self.pace.slowness()?;
        Some(format!("the cache is slow: {slowness}"))
    }
}

impl World {
    /// From now on the disk of `host` takes so long for each group.
    pub fn slow_down(&mut self, host: HostNo, delay: Duration) {
        self.hosts[host.0].disk.delay = delay;
    }

    /// Has `host` look how fast its disk is, as it does at its start.
    pub fn try_out_disk(&mut self, host: HostNo) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        let checked = this.disk.check(now);
        this.core.handle_cache_checked(checked, now);
        self.settle(host);
    }

    /// Begins `track`, of which the disk takes nothing while it is slow.
    pub fn open_on_disk(&mut self, host: HostNo, track: TrackId) {
        if self.hosts[host.0].disk.trouble().is_some() {
            self.come_loose(host, track);
        }
    }

    pub fn close_on_disk(&mut self, host: HostNo, track: TrackId) {
        self.hosts[host.0].disk.loose.remove(&track);
    }

    /// Gives a packet of a slice back, unless that waits for the disk.
    pub fn written_at_once(
        &mut self,
        host: HostNo,
        call: CallId,
        track: TrackId,
        packet: Packet,
    ) -> Option<Packet> {
        let disk = &mut self.hosts[host.0].disk;
        let waits = match packet {
            Packet::Group(_) => !disk.delay.is_zero() && !disk.loose.contains(&track),
            _ => false,
        };
        if !waits && disk.queue.is_empty() {
            return Some(packet);
        }
        disk.queue.push_back((call, track, packet));
        if disk.queue.len() == 1 {
            let delay = disk.delay;
            self.plan(host, delay, Event::Written);
        }
        None
    }

    /// The disk has written what waited longest.
    pub fn written(&mut self, host: HostNo) {
        let now = self.now_at(host);
        let disk = &mut self.hosts[host.0].disk;
        disk.handle_write(now);
        let is_slow = disk.trouble().is_some();
        let until = if is_slow { disk.queue.len() } else { 1 };
        let done: Vec<_> = disk.queue.drain(..until).collect();
        for (call, track, packet) in done {
            if is_slow {
                self.come_loose(host, track);
            }
            self.take(host, call, packet);
        }
        let disk = &self.hosts[host.0].disk;
        let delay = match disk.queue.front() {
            Some((_, _, Packet::Group(_))) => disk.delay,
            Some(_) => Duration::ZERO,
            None => return,
        };
        self.plan(host, delay, Event::Written);
    }

    fn come_loose(&mut self, host: HostNo, track: TrackId) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        let why = this.disk.trouble().unwrap_or_default();
        if this.disk.loose.insert(track) {
            let kept = this.store.0.get(&track).map(|blob| blob.have.clone());
            let kept = kept.unwrap_or_default();
            this.core
                .handle(node::Event::Unkept { track, kept, why }, now);
        }
    }
}
