//! What a host's core wants done, done by the models of what surrounds it.

use std::time::Duration;

use super::{
    host::FULL,
    net::HostNo,
    story::Story,
    swarm::Purpose,
    world::{Event, World},
};
use crate::{
    command::StatePart,
    core::{DownloadEffect, Effect, LocalEffect, OpenedTrack, PlayerEffect},
    id::TrackId,
    node::{self, Archival, Archived, PlayerAction, PlayerTrack},
};

impl World {
    /// As the driver does before it waits.
    pub fn perform_all(&mut self, host: HostNo) {
        let now = self.now_at(host);
        while let Some(effect) = self.hosts[host.0].core.poll(now) {
            self.perform(host, effect);
        }
    }

    pub fn perform(&mut self, host: HostNo, effect: Effect) {
        let this = &mut self.hosts[host.0];
        match effect {
            Effect::Player(effect) => self.perform_play(host, effect),
            Effect::Download(effect) => self.perform_download(host, effect),
            Effect::Upload(effect) => self.perform_upload(host, effect),
            Effect::Local(effect) => self.perform_local(host, effect),
            Effect::Answer(ask, outcome) => _ = this.client.replies.insert(ask, outcome),
            Effect::Changed(what) => this.client.looks |= what.contains(StatePart::Player),
            Effect::Bookmark => {
                let bookmark = this.core.bookmark(this.player.position());
                this.bookmark = bookmark.or(this.bookmark.take());
            }
            Effect::Offer(_, guest) => self.offer(host, guest),
            Effect::Evict(guest) => self.evict(host, guest),
            // What it has is written at once.
            Effect::Leave => {}
            Effect::End => self.switch_off(host),
        }
    }

    fn perform_local(&mut self, host: HostNo, effect: LocalEffect) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        match effect {
            LocalEffect::Queued(tracks) => this.queued = tracks,
            LocalEffect::CheckCache => {
                let checked = this.check_disk(now);
                this.core.handle_cache_checked(checked, now);
            }
            LocalEffect::LookForPeers(look) => {
                this.looks_for_peers = look;
                if look {
                    self.look_for_peers(host);
                }
            }
            LocalEffect::Remember(memory) => {
                (this.remembered, this.remembered_names) = (memory.peers, memory.names);
            }
            LocalEffect::Archive(order) => self.archive(host, order),
            LocalEffect::Outdo(head) => {
                if this.library.outdo(&head.head) {
                    self.publish(host);
                }
            }
            LocalEffect::Rest
            | LocalEffect::AnnounceHeld
            | LocalEffect::Rescan { .. }
            | LocalEffect::LookForDevices => {}
        }
    }

    /// The disk takes its time.
    fn archive(&mut self, host: HostNo, order: Archival) {
        let archive = &mut self.hosts[host.0].archive;
        let evicted = Vec::new();
        let done = match order {
            Archival::Write(deposit) => {
                archive.insert(deposit.catalogue.owner(), *deposit);
                Archived::Done { evicted }
            }
            Archival::Remove(owner) => {
                archive.remove(&owner);
                Archived::Done { evicted }
            }
            Archival::Seen(_) => Archived::Done { evicted },
            Archival::Judge => Archived::Judged { disowned: evicted },
        };
        let event = node::Event::Archived(done);
        self.plan(host, WRITING, Event::Node(event.into()));
    }

    fn perform_order(&mut self, host: HostNo, order: PlayerAction) {
        let now = self.now_at(host);
        self.note(host, format_args!("{order:?}"));
        let this = &mut self.hosts[host.0];
        // What was heard until now counts.
        this.player.advance(&this.store, now);
        match order {
            PlayerAction::Pause => this.player.pause(true, now),
            PlayerAction::Resume => this.player.pause(false, now),
            PlayerAction::Stop => {
                this.player.stop();
                this.drop_stories(|_| true);
            }
            PlayerAction::ClearNext => this.player.clear_next(),
            PlayerAction::Seek { play, to } => this.player.seek(play, to, now),
            PlayerAction::Volume(_) => {}
        }
    }

    fn perform_play(&mut self, host: HostNo, effect: PlayerEffect) {
        let this = &mut self.hosts[host.0];
        match effect {
            PlayerEffect::Order(order) => self.perform_order(host, order),
            PlayerEffect::Load(load) => self.load(host, load),
            PlayerEffect::Hold(play) => this.player.hold(play, true),
            PlayerEffect::Sound(play) => this.player.hold(play, false),
        }
    }

    fn perform_download(&mut self, host: HostNo, effect: DownloadEffect) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        match effect {
            DownloadEffect::Resolve { play, peer, entry } => {
                self.end_lookup(host);
                self.call_resolve(host, play, peer, entry);
            }
            DownloadEffect::Locate { play, .. } => {
                self.end_lookup(host);
                self.hosts[host.0].core.handle_located(play, Ok(()), now);
            }
            DownloadEffect::EndLookup => self.end_lookup(host),
            DownloadEffect::Fetch {
                fetch,
                source,
                order,
            } => self.call_get(host, fetch, source, order),
            DownloadEffect::EndFetch(fetch) => self.cancel(host, Purpose::Fetch(fetch)),
            DownloadEffect::Open { track, size } => self.open(host, track, size),
            DownloadEffect::Keep(track) if !this.store.0[&track].torn.is_empty() => {
                self.tell_lost(host, track);
            }
            DownloadEffect::Keep(track) => {
                let size = this.store.0.get(&track).map_or(0, |blob| blob.size);
                this.library.hold(track, size);
                self.note(host, format_args!("keeps {track}"));
                self.plan_publish(host);
            }
            DownloadEffect::Fail { track, why } => {
                self.note(host, format_args!("gives {track} up: {why}"));
                let blob = self.hosts[host.0].store.0.entry(track).or_default();
                blob.failed = Some(why);
            }
            DownloadEffect::Forget { track, groups } => {
                let blob = this.store.0.entry(track).or_default();
                blob.have = blob.have.difference(&groups);
            }
            DownloadEffect::Close(track) => {
                self.close_on_disk(host, track);
                self.note(host, format_args!("closes {track}"));
            }
            DownloadEffect::Greet(peer, greeting) => self.call_greet(host, peer, greeting),
            DownloadEffect::AskOwner(owner, what) => self.call_owner(host, owner, what),
            DownloadEffect::Unlink(peer) => {
                let to = self.host_of(peer);
                to.into_iter().for_each(|to| self.unlink(host, to));
            }
            DownloadEffect::Link(..) => {}
        }
    }

    fn end_lookup(&mut self, host: HostNo) {
        let calls = self.hosts[host.0].calls.values();
        let mut lookups = calls.filter(|call| matches!(call.purpose, Purpose::Resolve(_)));
        if let Some(purpose) = lookups.next().map(|call| call.purpose) {
            self.cancel(host, purpose);
        }
    }

    /// Makes room for a track, of which something may be here.
    fn open(&mut self, host: HostNo, track: TrackId, size: u64) {
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        let blob = this.store.0.entry(track).or_default();
        (blob.size, blob.failed) = (size, None);
        let have = blob.have.clone();
        let uncached = this.disk_is_full.then(|| (have.clone(), FULL.to_owned()));
        let opened = OpenedTrack { have, uncached };
        this.core.handle_opened(track, Ok(opened), now);
        self.open_on_disk(host, track);
    }

    fn load(&mut self, host: HostNo, load: PlayerTrack) {
        let song = self.hosts[host.0].find_song(&load, &self.hosts);
        let song = song.expect("what a catalogue lists is somewhere");
        let next = load.next;
        self.note(
            host,
            format_args!("loads {} as {}, next: {next}", song.name, load.play.0),
        );
        let now = self.now_at(host);
        let this = &mut self.hosts[host.0];
        if !next {
            this.drop_stories(|_| true);
        }
        let story = Story {
            song: song.name.clone(),
            ..Story::default()
        };
        this.stories.insert(load.play, story);
        this.player.load(load, song, now);
    }
}

/// A card's.
const WRITING: Duration = Duration::from_millis(150);
