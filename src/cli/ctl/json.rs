//! What scripts see: `--json`.
//!
//! The names are MPD's where it has one, so that what works with `mpc` in a script works here.

use std::time::Duration;

use serde_json::{json, Map, Value};

use crate::{
    catalog::Tag,
    command::{
        answer::DirectoryView,
        song::{SongRef, SongView},
        view::{DeviceView, LeftOutView, NodeView, PeerView, QueuedView, StateView},
        Row,
    },
    control::mpd::{dates::format_time, print::audio_format},
    playback::{queue::Single, transport::PlayState},
    protocol::PeerState,
    util::seconds::rounded,
};

pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

pub(super) fn list<T>(things: &[T], value: impl Fn(&T) -> Value) -> String {
    pretty(&Value::Array(things.iter().map(value).collect()))
}

/// A state: what the player does, the current song, the node.
pub(super) fn state(state: &StateView) -> Value {
    json!({
        "status": status(state),
        "song": current(state),
        "node": node(&state.node, state.player.is_waiting),
    })
}

/// The current song; an empty object where there is none.
pub(super) fn current(state: &StateView) -> Value {
    match &state.player.current {
        Some(queued) => self::queued(queued),
        None => json!({}),
    }
}

fn status(state: &StateView) -> Value {
    let (node, player) = (&state.node, &state.player);
    let options = player.options;
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| _ = object.insert(key.into(), value);
    if node.role.is_peer() {
        put("volume", player.volume.into());
    }
    put("repeat", options.repeat.into());
    put("random", options.random.into());
    put(
        "single",
        match options.single {
            Single::Off => false.into(),
            Single::On => true.into(),
            Single::OneShot => "oneshot".into(),
        },
    );
    put("consume", options.consume.into());
    put("partition", "default".into());
    put("playlist", player.version.into());
    put("playlistlength", player.length.into());
    put(
        "state",
        match player.state {
            PlayState::Stop => "stop",
            PlayState::Play => "play",
            PlayState::Pause => "pause",
        }
        .into(),
    );
    if let Some(current) = &player.current {
        put("song", current.position.into());
        put("songid", current.id.0.into());
        if let Some(elapsed) = player.elapsed {
            let duration = current.song.duration;
            let time = format!("{}:{}", elapsed.as_secs(), duration.as_secs());
            put("time", time.into());
            put("elapsed", time_in_seconds(elapsed));
            put("duration", time_in_seconds(duration));
            put("audio", audio_format(&(&current.song).into()).into());
        }
    }
    if let Some((position, id)) = player.next {
        put("nextsong", position.into());
        put("nextsongid", id.0.into());
    }
    if let Some(scan) = node.updating {
        put("updating_db", scan.into());
    }
    if let Some(error) = state.error() {
        put("error", error.into());
    }
    Value::Object(object)
}

fn node(node: &NodeView, is_waiting: bool) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| _ = object.insert(key.into(), value);
    put("name", node.name.as_ref().into());
    put("peer", node.peer.to_hex().into());
    put("role", node.role.to_string().into());
    put("tracker", node.tracker.as_str().into());
    put("peers", node.peers.into());
    put("tracks", node.tracks.into());
    put("uptime", node.uptime.as_secs().into());
    if node.role.is_peer() {
        put("output", node.output.as_str().into());
        put("waiting", is_waiting.into());
        if let Some(arrived) = node.arrived {
            let thousandths = (f64::from(arrived.clamp(0.0, 1.0)) * 1000.0).round();
            put("arrived", (thousandths / 1000.0).into());
        }
        if let Some(what) = &node.waits_for {
            put("waits_for", what.as_str().into());
        }
        if let Some(missed) = &node.missed {
            put("waits_reason", missed.reason.word().into());
            put("waits_peer", missed.peer.as_ref().into());
            put("waits_since_s", missed.since.as_secs().into());
        }
        if !node.sources.is_empty() {
            put("source", node.sources.join(", ").into());
        }
        if let Some(time) = node.first_sound {
            put("first_sound", time_in_seconds(time));
        }
    }
    if node.left_out > 0 {
        put("left_out", node.left_out.into());
    }
    if !node.problems.is_empty() {
        put("problem", node.problems.clone().into());
    }
    Value::Object(object)
}

/// A track, or what else a query finds.
pub(super) fn row(row: &Row) -> Value {
    match row {
        Row::Song(song) => track(song),
        Row::Queued(queued) => self::queued(queued),
        Row::Directory(directory) => self::directory(directory),
        // `ctl` asks for none of those.
        Row::File(_) | Row::Path(_) | Row::Group(_) => Value::Null,
    }
}

fn directory(directory: &DirectoryView) -> Value {
    let mut object = Map::new();
    object.insert("directory".into(), directory.uri.as_str().into());
    if let Some(modified) = directory.modified {
        object.insert("Last-Modified".into(), format_time(modified).into());
    }
    if directory.is_away {
        object.insert("p2p_away".into(), true.into());
    }
    Value::Object(object)
}

pub(super) fn queued(queued: &QueuedView) -> Value {
    let mut object = song(&queued.song);
    object.insert("Pos".into(), queued.position.into());
    object.insert("Id".into(), queued.id.0.into());
    Value::Object(object)
}

pub(super) fn track(track: &SongView) -> Value {
    Value::Object(song(track))
}

/// A tag that has several values is an array.
fn song(song: &SongView) -> Map<String, Value> {
    let mut object = Map::new();
    for (tag, text) in song.tags.iter() {
        let number = (tag == Tag::Track)
            .then(|| text.parse::<u32>().ok())
            .flatten();
        let value = number.map_or_else(|| Value::from(text), Value::from);
        match object.get_mut(tag.name()) {
            None => _ = object.insert(tag.name().into(), value),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    let mut put = |key: &str, value: Value| _ = object.insert(key.into(), value);
    put("file", song.uri.as_str().into());
    put("Last-Modified", format_time(song.modified).into());
    put("Format", audio_format(&SongRef::from(song)).into());
    put("Time", (song.duration.as_secs_f64().round() as u64).into());
    put("duration", time_in_seconds(song.duration));
    if song.is_away {
        put("p2p_away", true.into());
    }
    object
}

pub(super) fn peer(peer: &PeerView) -> Value {
    let mut object = Map::new();
    object.insert("peer".into(), peer.name.as_ref().into());
    object.insert("id".into(), peer.peer.to_hex().into());
    if let Some(address) = peer.address {
        object.insert("address".into(), address.to_string().into());
    }
    object.insert("state".into(), peer_state(peer.state).into());
    object.insert("tracks".into(), peer.tracks.into());
    object.insert("own".into(), peer.own.into());
    Value::Object(object)
}

/// One word.
pub(super) fn peer_state(state: PeerState) -> &'static str {
    match state {
        PeerState::Up => "up",
        PeerState::Suspect => "suspect",
    }
}

pub(super) fn device(device: &DeviceView) -> Value {
    json!({
        "device": device.name,
        "description": device.description,
        "in_use": device.in_use,
    })
}

pub(super) fn left_out(file: &LeftOutView) -> Value {
    json!({
        "left_out": file.path,
        "why": file.why,
        "listed": if file.is_listed { "1" } else { "0" },
    })
}

fn time_in_seconds(time: Duration) -> Value {
    rounded(time).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_song_has_numbers_flags_and_lists_of_values() {
        let song = SongView {
            uri: "kitchen/a.flac".into(),
            tags: [
                (Tag::Artist, "a"),
                (Tag::Artist, "b"),
                (Tag::Track, "7"),
                (Tag::Title, "7"),
            ]
            .into_iter()
            .collect(),
            duration: Duration::from_millis(61_250),
            rate: 44_100,
            bits: None,
            channels: 2,
            modified: 0,
            is_away: true,
        };
        let expected = json!({
            "file": "kitchen/a.flac",
            "Artist": ["a", "b"],
            "Track": 7,
            "Title": "7",
            "Last-Modified": "1970-01-01T00:00:00Z",
            "Format": "44100:f:2",
            "Time": 61,
            "duration": 61.25,
            "p2p_away": true,
        });
        assert_eq!(row(&Row::Song(song)), expected);
    }
}
