//! Answers, as the protocol prints them.

use std::{fmt::Write as _, time::Duration};

use super::{command::ReplyForm, dates::push_time, reply::Reply, tag::TagMask};
use crate::{
    catalog::Tag,
    command::{
        answer::{DirectoryView, FileView, GroupView, SongSum},
        rows::RowWriter,
        song::SongRef,
        view::{NodeView, PeerView, PlayerView, QueuedView, StateView},
        Answer, Chosen, Row,
    },
    playback::{
        queue::{QueueId, Single},
        transport::PlayState,
    },
    protocol::PeerState,
};

/// Adds what `form` shows of `answer`.
pub fn print(answer: &Answer, form: ReplyForm, reply: &mut Reply) {
    match answer {
        _ if form == ReplyForm::Json => _ = reply.json(answer),
        Answer::State(state) => print_state(state, form, reply),
        _ if form == ReplyForm::Nothing => {}
        Answer::Done => {}
        Answer::Added(id) => _ = reply.pair("Id", id.0),
        Answer::Chosen(chosen) => print_chosen(chosen, reply),
        Answer::Peers(peers) => peers.iter().for_each(|peer| print_peer(peer, reply)),
        Answer::Stats(lines) => {
            for (name, value) in lines {
                reply.pair(name, value);
            }
        }
        Answer::Devices(devices) => {
            for device in devices {
                reply.pair("device", &device.name);
                reply.pair("description", &device.description);
                reply.flag("in_use", device.in_use);
            }
        }
        Answer::Library(library) => {
            for file in &*library.files {
                reply.pair("left_out", &file.path).pair("why", &file.why);
                reply.flag("listed", file.is_listed);
            }
        }
        Answer::Updating(scan) => _ = reply.pair("updating_db", scan),
    }
}

fn print_state(state: &StateView, form: ReplyForm, reply: &mut Reply) {
    let (node, player) = (&state.node, &state.player);
    match form {
        ReplyForm::Status => print_status(state, reply),
        ReplyForm::CurrentSong => {
            if let Some(current) = &player.current {
                print_view(current, reply);
            }
        }
        ReplyForm::Volume => _ = reply.pair("volume", player.volume),
        ReplyForm::Totals => {
            // Artists and albums would cost a walk; clients show what is given.
            reply.pair("songs", node.tracks);
            reply.pair("uptime", node.uptime.as_secs());
            reply.pair("playtime", node.playtime.as_secs());
            reply.pair("db_update", node.db_update);
        }
        ReplyForm::Outputs => {
            if node.role.is_peer() {
                reply.pair("outputid", 0);
                reply.pair("outputname", &node.output);
                reply.pair("plugin", "alsa").flag("outputenabled", true);
            }
        }
        ReplyForm::NodeStatus => print_node(node, player, reply),
        ReplyForm::Whole | ReplyForm::Positions | ReplyForm::Nothing | ReplyForm::Json => {}
    }
}

fn print_status(state: &StateView, reply: &mut Reply) {
    let (node, player) = (&state.node, &state.player);
    if node.role.is_peer() {
        reply.pair("volume", player.volume);
    }
    reply.flag("repeat", player.options.repeat);
    reply.flag("random", player.options.random);
    let single = match player.options.single {
        Single::Off => "0",
        Single::On => "1",
        Single::OneShot => "oneshot",
    };
    reply.pair("single", single);
    reply.flag("consume", player.options.consume);
    reply.pair("partition", "default");
    reply.pair("playlist", player.version);
    reply.pair("playlistlength", player.length);
    let what = match player.state {
        PlayState::Stop => "stop",
        PlayState::Play => "play",
        PlayState::Pause => "pause",
    };
    reply.pair("state", what);
    if let Some(current) = &player.current {
        reply.pair("song", current.position);
        reply.pair("songid", current.id.0);
        print_times(current, player, reply);
    }
    if let Some((position, id)) = player.next {
        reply.pair("nextsong", position).pair("nextsongid", id.0);
    }
    if let Some(scan) = node.updating {
        reply.pair("updating_db", scan);
    }
    if let Some(error) = state.error() {
        reply.pair("error", error);
    }
}

fn print_times(current: &QueuedView, player: &PlayerView, reply: &mut Reply) {
    let Some(elapsed) = player.elapsed else {
        return;
    };
    let song = SongRef::from(&current.song);
    let (at, of) = (elapsed.as_secs(), song.duration.as_secs());
    reply.pair("time", format_args!("{at}:{of}"));
    reply.seconds("elapsed", elapsed);
    reply.seconds("duration", song.duration);
    reply.pair("audio", audio_format(&song));
}

fn print_node(view: &NodeView, player: &PlayerView, reply: &mut Reply) {
    reply.pair("name", &view.name);
    reply.pair("peer", view.peer.to_hex());
    reply.pair("role", view.role);
    reply.pair("tracker", &view.tracker);
    reply.pair("peers", view.peers);
    reply.pair("tracks", view.tracks);
    reply.pair("uptime", view.uptime.as_secs());
    if view.role.is_peer() {
        reply.pair("output", &view.output);
        reply.flag("waiting", player.is_waiting);
        if let Some(arrived) = view.arrived {
            reply.pair("arrived", format_args!("{:.3}", arrived.clamp(0.0, 1.0)));
        }
        if let Some(what) = &view.waits_for {
            reply.pair("waits_for", what);
        }
        if let Some(missed) = &view.missed {
            reply.pair("waits_reason", missed.reason.word());
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
    if view.left_out > 0 {
        reply.pair("left_out", view.left_out);
    }
    for problem in &view.problems {
        reply.pair("problem", problem);
    }
}

fn print_peer(peer: &PeerView, reply: &mut Reply) {
    reply.pair("peer", &peer.name);
    reply.pair("id", peer.peer.to_hex());
    if let Some(address) = peer.address {
        reply.pair("address", address);
    }
    let state = match peer.state {
        PeerState::Up => "up",
        PeerState::Suspect => "suspect",
    };
    reply.pair("state", state);
    reply.pair("tracks", peer.tracks).flag("own", peer.own);
}

fn print_chosen(chosen: &Chosen, reply: &mut Reply) {
    if let Some((what, tracks)) = &chosen.matched {
        reply.pair("p2p_match", what).pair("p2p_tracks", tracks);
        reply.flag("p2p_now", chosen.is_now);
    }
    for song in &chosen.songs {
        print_view(song, reply);
    }
}

fn print_view(queued: &QueuedView, reply: &mut Reply) {
    print_queued(queued.position, queued.id, &(&queued.song).into(), reply);
}

/// A song of the queue, with its place.
pub fn print_queued(position: usize, id: QueueId, song: &SongRef<'_>, reply: &mut Reply) {
    print_song(song, reply);
    reply.pair("Pos", position).pair("Id", id.0);
}

/// Everything about a song, `file:` first, as in every song of a reply.
pub fn print_song(song: &SongRef<'_>, reply: &mut Reply) {
    reply.line("file", |text| song.push_uri(text));
    reply.line("Last-Modified", |text| push_time(song.modified, text));
    reply.line("Format", |text| push_audio_format(song, text));
    let mask = reply.tags();
    for (tag, value) in song.tags.iter().filter(|(tag, _)| mask.contains(*tag)) {
        reply.text(tag.name(), value);
    }
    reply.pair(
        "Time",
        song.duration
            .saturating_add(Duration::from_millis(500))
            .as_secs(),
    );
    reply.seconds("duration", song.duration);
    if song.is_away {
        reply.flag("p2p_away", true);
    }
}

/// `rate:bits:channels`, with `f` for bits where there are none: lossy formats decode to
/// floating point.
pub fn audio_format(song: &SongRef<'_>) -> String {
    let mut text = String::new();
    push_audio_format(song, &mut text);
    text
}

fn push_audio_format(song: &SongRef<'_>, text: &mut String) {
    _ = match song.bits {
        Some(bits) => write!(text, "{}:{bits}:{}", song.rate, song.channels),
        None => write!(text, "{}:f:{}", song.rate, song.channels),
    };
}

/// Prints what a query finds.
#[derive(Debug)]
pub struct RowPrinter {
    form: ReplyForm,
    reply: Reply,
}

impl RowPrinter {
    /// Songs are shown with `tags`.
    pub fn new(form: ReplyForm, tags: TagMask) -> Self {
        let reply = Reply::with_tags(tags);
        Self { form, reply }
    }

    /// What was printed since it was taken last.
    pub fn take(&mut self) -> Reply {
        let empty = Reply::with_tags(self.reply.tags());
        std::mem::replace(&mut self.reply, empty)
    }

    /// Prints `row` where JSON is wanted.
    fn is_json(&mut self, row: impl FnOnce() -> Row) -> bool {
        let is_json = self.form == ReplyForm::Json;
        if is_json {
            self.reply.json(&row());
        }
        is_json
    }
}

impl RowWriter for RowPrinter {
    fn directory(&mut self, uri: &str, modified: Option<i64>, is_away: bool) {
        let directory = || DirectoryView {
            uri: uri.to_owned(),
            modified,
            is_away,
        };
        if self.is_json(|| Row::Directory(directory())) {
            return;
        }
        self.reply.text("directory", uri);
        if let Some(modified) = modified {
            let modified = |text: &mut _| push_time(modified, text);
            self.reply.line("Last-Modified", modified);
        }
        if is_away {
            self.reply.flag("p2p_away", true);
        }
    }

    fn path(&mut self, song: &SongRef<'_>) {
        if !self.is_json(|| Row::Path(song.uri())) {
            self.reply.line("file", |text| song.push_uri(text));
        }
    }

    fn file(&mut self, name: &str, size: u64, modified: i64) {
        let file = || FileView {
            name: name.to_owned(),
            size,
            modified,
        };
        if !self.is_json(|| Row::File(file())) {
            self.reply.text("file", name).pair("size", size);
            let modified = |text: &mut _| push_time(modified, text);
            self.reply.line("Last-Modified", modified);
        }
    }

    fn song(&mut self, song: &SongRef<'_>) {
        if !self.is_json(|| Row::Song((*song).into())) {
            print_song(song, &mut self.reply);
        }
    }

    fn queued(&mut self, position: usize, id: QueueId, song: &SongRef<'_>) {
        let queued = || QueuedView {
            position,
            id,
            song: (*song).into(),
        };
        if self.form == ReplyForm::Positions {
            self.reply.pair("cpos", position).pair("Id", id.0);
        } else if !self.is_json(|| Row::Queued(queued())) {
            print_queued(position, id, song, &mut self.reply);
        }
    }

    fn group(&mut self, tags: &[Tag], values: &[String], known: usize, sum: Option<SongSum>) {
        let pairs = || tags.iter().copied().zip(values.iter());
        let group = || GroupView {
            values: pairs().map(|(tag, value)| (tag, value.clone())).collect(),
            sum,
        };
        if self.is_json(|| Row::Group(group())) {
            return;
        }
        for (tag, value) in pairs().skip(known) {
            self.reply.text(tag.name(), value);
        }
        if let Some(sum) = sum {
            self.reply.pair("songs", sum.songs);
            self.reply.pair("playtime", sum.playtime.as_secs());
        }
    }
}

/// What this node plays.
pub fn print_decoders(reply: &mut Reply) {
    for (name, suffixes, mime) in DECODERS {
        reply.pair("plugin", name);
        for suffix in suffixes {
            reply.pair("suffix", suffix);
        }
        reply.pair("mime_type", mime);
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
