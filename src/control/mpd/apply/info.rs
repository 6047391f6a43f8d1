//! The node itself.

use super::{ClientContext, CommandOutcome, Errand};
use crate::{
    control::{
        mpd::{
            args::{Ack, AckCode},
            command::{self, Info, Use},
            reply::Reply,
            song::write_queued,
        },
        view::PeerView,
    },
    player::{
        queue::{QueueSlot, Single},
        transport::PlayState,
    },
    protocol::PeerState,
};

impl ClientContext<'_> {
    pub(super) fn info(&mut self, command: Info) -> Result<CommandOutcome, Ack> {
        let mut reply = Reply::with_tags(self.tags);
        match command {
            Info::Status => self.status(&mut reply),
            Info::CurrentSong => {
                if let Some((position, slot)) = self.current() {
                    write_queued(&mut reply, position, slot, self.database);
                }
            }
            Info::Stats => self.stats(&mut reply),
            Info::Commands => self.commands(&mut reply, true),
            Info::NotCommands => self.commands(&mut reply, false),
            Info::Outputs => {
                if self.view.role.is_peer() {
                    reply.pair("outputid", 0);
                    reply.pair("outputname", &self.view.output);
                    reply.pair("plugin", "alsa").flag("outputenabled", true);
                }
            }
            Info::Decoders => decoders(&mut reply),
            Info::ReplayGainStatus => _ = reply.pair("replay_gain_mode", "off"),
            Info::EnableOutput | Info::Nothing => {}
            Info::DisableOutput => {
                let text = "the one output stays on; use stop, or a volume of 0";
                return Err(Ack::new(AckCode::Permission, text));
            }
            Info::Update { .. } if !self.view.role.is_peer() => {
                let text = "this node is a tracker only: it shares no music";
                return Err(Ack::new(AckCode::System, text));
            }
            Info::Update { path, rescan } => {
                let path = self.own_path(path)?;
                return Ok(CommandOutcome::Later(Errand::Update { path, rescan }));
            }
            Info::Peers => (self.peers)().iter().for_each(|p| peer(p, &mut reply)),
            Info::NodeStatus => self.node_status(&mut reply),
            Info::NodeStats => {
                for (name, value) in (self.stats)() {
                    reply.pair(name, value);
                }
            }
            Info::Devices => {
                for device in &self.view.devices {
                    reply.pair("device", &device.name);
                    reply.pair("description", &device.description);
                    reply.flag("in_use", device.in_use);
                }
            }
            Info::Library => {
                for file in &*self.view.library.files {
                    reply.pair("left_out", &file.path).pair("why", &file.why);
                    reply.flag("listed", file.is_listed);
                }
            }
            Info::Leave | Info::Join if !self.view.role.is_peer() => {
                let text = "this node is a tracker only: it is in no swarm that it could leave; \
                            run `p2pmusic ctl leave` and `join` on a peer";
                return Err(Ack::new(AckCode::System, text));
            }
            Info::Leave => return Ok(CommandOutcome::Later(Errand::Leave)),
            Info::Join => return Ok(CommandOutcome::Later(Errand::Join)),
        }
        Ok(CommandOutcome::Now(reply))
    }

    fn current(&self) -> Option<(usize, &QueueSlot)> {
        let position = self.queue.position(self.queue.cursor()?)?;
        Some((position, &self.queue.slots()[position]))
    }

    fn status(&self, reply: &mut Reply) {
        let options = self.queue.options();
        let single = match options.single {
            Single::Off => "0",
            Single::On => "1",
            Single::OneShot => "oneshot",
        };
        if self.view.role.is_peer() {
            reply.pair("volume", self.transport.volume());
        }
        reply.flag("repeat", options.repeat);
        reply.flag("random", options.random);
        reply.pair("single", single);
        reply.flag("consume", options.consume);
        reply.pair("partition", "default");
        reply.pair("playlist", self.queue.version());
        reply.pair("playlistlength", self.queue.len());
        reply.pair("state", state_name(self.transport.state()));
        if let Some((position, slot)) = self.current() {
            reply.pair("song", position).pair("songid", slot.id.0);
            self.current_times(slot, reply);
        }
        if let Some(next) = self.queue.successor() {
            if let Some(position) = self.queue.position(next) {
                reply.pair("nextsong", position).pair("nextsongid", next.0);
            }
        }
        if let Some(scan) = self.view.updating {
            reply.pair("updating_db", scan);
        }
        let plays = self.transport.state() == PlayState::Play;
        let no_sound = self.view.no_sound.as_deref().filter(|_| plays);
        if let Some(error) = self.transport.error().or(no_sound) {
            reply.pair("error", error);
        }
    }

    fn current_times(&self, slot: &QueueSlot, reply: &mut Reply) {
        let Some(elapsed) = self.transport.elapsed(self.view.position) else {
            return;
        };
        let song = crate::control::mpd::song::SongRef::queued(&slot.item, self.database);
        let duration = song.duration;
        let whole = |time: std::time::Duration| time.as_secs();
        reply.pair(
            "time",
            format_args!("{}:{}", whole(elapsed), whole(duration)),
        );
        reply.seconds("elapsed", elapsed);
        reply.seconds("duration", duration);
        reply.pair("audio", song.format());
    }

    fn stats(&self, reply: &mut Reply) {
        let peers = (self.peers)();
        let tracks = peers.iter().map(|peer| peer.tracks);
        // Artists and albums would cost a walk; clients show what is given.
        reply.pair("songs", tracks.sum::<usize>());
        reply.pair("uptime", self.view.uptime.as_secs());
        reply.pair("playtime", self.view.playtime.as_secs());
        reply.pair("db_update", self.view.db_update);
    }

    fn commands(&self, reply: &mut Reply, usable: bool) {
        for (name, usage) in command::all() {
            let is_known = match usage {
                Use::Open | Use::Any => true,
                Use::Player | Use::Local => self.view.role.is_peer(),
                Use::Refused => continue,
            };
            let is_usable = is_known && self.access.allows(usage);
            if is_usable == usable {
                reply.pair("command", name);
            }
        }
    }

    /// The path within this node's library of a URI, which must be its own.
    fn own_path(&self, uri: String) -> Result<String, Ack> {
        let (name, path) = uri.split_once('/').unwrap_or((&uri, ""));
        if uri.is_empty() || *name == *self.view.name {
            return Ok(path.to_owned());
        }
        let own = &self.view.name;
        let text = format!("{name:?} is not here: this node updates its own library, {own:?}");
        Err(Ack::new(AckCode::NoExist, text))
    }

    fn node_status(&self, reply: &mut Reply) {
        let view = self.view;
        reply.pair("name", &view.name);
        reply.pair("peer", view.peer.to_hex());
        reply.pair("role", view.role);
        reply.pair("tracker", &view.tracker);
        let peers = (self.peers)();
        let here = peers.iter().filter(|peer| peer.state == PeerState::Up);
        reply.pair("peers", here.count());
        let tracks = peers.iter().map(|peer| peer.tracks);
        reply.pair("tracks", tracks.sum::<usize>());
        reply.pair("uptime", view.uptime.as_secs());
        if view.role.is_peer() {
            reply.pair("output", &view.output);
            reply.flag("waiting", self.transport.is_waiting());
            if let Some(arrived) = view.arrived {
                reply.pair("arrived", format_args!("{:.3}", arrived.clamp(0.0, 1.0)));
            }
            if let Some(what) = &view.waits_for {
                reply.pair("waits_for", what);
            }
            if let Some(missed) = &view.missed {
                reply.pair("waits_reason", missed.reason);
                reply.pair("waits_peer", &missed.peer);
                reply.pair("waits_since_s", missed.since.as_secs());
            }
            if !view.sources.is_empty() {
                reply.pair("source", view.sources.join(", "));
            }
            if let Some(time) = view.first_sound {
                reply.seconds("first_sound", time);
            }
        }
        if view.library.left_out > 0 {
            reply.pair("left_out", view.library.left_out);
        }
        for problem in &view.problems {
            reply.pair("problem", problem);
        }
    }
}

fn peer(peer: &PeerView, reply: &mut Reply) {
    reply.pair("peer", &peer.name);
    reply.pair("id", peer.peer.to_hex());
    if let Some(address) = peer.address {
        reply.pair("address", address);
    }
    reply.pair(
        "state",
        match peer.state {
            PeerState::Up => "up",
            PeerState::Suspect => "suspect",
        },
    );
    reply.pair("tracks", peer.tracks).flag("own", peer.own);
}

fn decoders(reply: &mut Reply) {
    for (name, suffixes, mime) in DECODERS {
        reply.pair("plugin", name);
        for suffix in suffixes {
            reply.pair("suffix", suffix);
        }
        reply.pair("mime_type", mime);
    }
}

fn state_name(state: PlayState) -> &'static str {
    match state {
        PlayState::Stop => "stop",
        PlayState::Play => "play",
        PlayState::Pause => "pause",
    }
}

/// What rodio's decoder plays: name, suffixes, type.
const DECODERS: [(&str, &[&str], &str); 5] = [
    ("wav", &["wav"], "audio/wav"),
    ("flac", &["flac"], "audio/flac"),
    ("mp3", &["mp3"], "audio/mpeg"),
    ("vorbis", &["ogg", "oga"], "audio/ogg"),
    ("aac", &["m4a", "mp4"], "audio/mp4"),
];
