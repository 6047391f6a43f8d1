//! What people and scripts see.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    client::{CtlClient, ReplyRecord},
    screen::{count, fit, Column, Screen},
    CtlError,
};

/// What plays and how the node is.
#[derive(Debug)]
pub(super) struct Scene {
    status: ReplyRecord,
    song: ReplyRecord,
    node: ReplyRecord,
}

impl Scene {
    pub fn ask(client: &mut CtlClient) -> Result<Self, CtlError> {
        Ok(Self {
            status: client.run(&["status"])?,
            song: client.run(&["currentsong"])?,
            node: client.run(&["p2p_status"])?,
        })
    }

    pub fn json(&self) -> String {
        let mut all = Map::new();
        for (key, record) in [
            ("status", &self.status),
            ("song", &self.song),
            ("node", &self.node),
        ] {
            all.insert(key.into(), object(record));
        }
        pretty(&Value::Object(all))
    }

    /// One line, which is cut where it would not fit.
    pub fn line(&self, screen: &Screen) -> String {
        // The last column stays free: a cursor behind it would wrap.
        let room = screen.columns.map(|columns| columns.saturating_sub(1));
        let mut line = self.state().to_owned();
        if self.is_playing() {
            let bar = self.bar(room);
            _ = write!(line, "  {bar}  {}", title(&self.song));
        } else if let Some(error) = self.status.get("error") {
            _ = write!(line, "  {error}");
        }
        if let Some(room) = room {
            line = fit(&line, room);
        }
        line.push('\n');
        line
    }

    /// What the player does, and with what.
    pub fn state_line(&self) -> String {
        match self.song.0.is_empty() || self.state() == "stopped" {
            true => format!("{}\n", self.state()),
            false => format!("{}  {}\n", self.state(), title(&self.song)),
        }
    }

    /// What plays, a line each.
    pub fn show_song(&self, screen: &Screen) -> String {
        match self.song.0.is_empty() {
            true => "nothing plays, and nothing is chosen to\n".into(),
            false => screen.list(&self.song_rows(screen)),
        }
    }

    pub fn song_json(&self) -> String {
        pretty(&object(&self.song))
    }

    fn song_rows(&self, screen: &Screen) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        match self.song.0.is_empty() {
            true => rows.push((self.state(), String::new())),
            false => rows.push((self.state(), title(&self.song))),
        }
        if self.is_playing() {
            // The names are on the left.
            let room = screen.columns.map(|columns| columns.saturating_sub(13));
            rows.push(("", self.bar(room)));
        }
        if let Some(what) = self.node.get("waits_for") {
            rows.push(("waits for", what.to_owned()));
        }
        for (name, key) in [("album", "Album"), ("file", "file"), ("format", "Format")] {
            if let Some(value) = self.song.get(key) {
                rows.push((name, value.to_owned()));
            }
        }
        rows
    }

    /// Everything, a line each.
    pub fn show(&self, screen: &Screen) -> String {
        let mut rows = self.song_rows(screen);
        let mut row = |name, text: String| rows.push((name, text));
        if let Some(volume) = self.status.get("volume") {
            row("volume", format!("{volume} %{}", self.options()));
            row("queue", self.place());
        }
        if let Some(time) = self.node.get("first_sound") {
            row("first sound", format!("{time} s after play"));
        }
        for name in ["output", "tracker"] {
            if let Some(value) = self.node.get(name) {
                row(name, value.to_owned());
            }
        }
        let get = |key| self.node.get(key).unwrap_or("?");
        let number = |key| self.node.number(key).unwrap_or(0.0);
        let (peers, tracks) = (
            count(number("peers"), "peer"),
            count(number("tracks"), "track"),
        );
        row("swarm", format!("{peers} up, {tracks}"));
        row("node", format!("{} ({})", get("name"), get("role")));
        if let Some(files) = self.node.number("left_out") {
            row("library", left_out_in_words(files));
        }
        if let Some(error) = self.status.get("error") {
            row("error", error.to_owned());
        }
        let problems = self.node.0.iter().filter(|(key, _)| key == "problem");
        problems.for_each(|(_, text)| row("problem", text.clone()));
        screen.list(&rows)
    }

    fn is_playing(&self) -> bool {
        self.status.get("elapsed").is_some()
    }

    fn state(&self) -> &'static str {
        match self.status.get("state") {
            _ if self.node.is_set("waiting") => "waiting",
            Some("play") => "playing",
            Some("pause") => "paused",
            _ => "stopped",
        }
    }

    /// What has played and what has arrived of the current track, as long as there is room.
    fn bar(&self, room: Option<usize>) -> String {
        let bar_cells = room.map_or(BAR_CELLS, |room| (room / 4).clamp(LEAST_CELLS, BAR_CELLS));
        let elapsed = self.status.number("elapsed").unwrap_or(0.0);
        let duration = self.status.number("duration").unwrap_or(0.0);
        let played = if duration > 0.0 {
            elapsed / duration
        } else {
            0.0
        };
        let arrived = self.node.number("arrived").unwrap_or(1.0);
        let cells: String = (0..bar_cells)
            .map(|cell| (cell as f64 + 0.5) / bar_cells as f64)
            .map(|place| match () {
                () if place < played => '█',
                () if place < arrived => '▒',
                () => '·',
            })
            .collect();
        let mut bar = format!("{cells} {} / {}", clock(elapsed), clock(duration));
        if arrived < 1.0 {
            _ = write!(bar, "  {:.0} % here", (arrived * 100.0).floor());
        }
        bar
    }

    fn options(&self) -> String {
        let mut options = String::new();
        for name in ["random", "repeat", "single", "consume"] {
            match self.status.get(name) {
                None | Some("0") => {}
                Some("1") => _ = write!(options, ", {name}"),
                Some(other) => _ = write!(options, ", {name} {other}"),
            }
        }
        options
    }

    fn place(&self) -> String {
        let length = self.status.number("playlistlength").unwrap_or(0.0);
        match self.status.number("song") {
            Some(position) => format!("{} of {length}", position + 1.0),
            None => count(length, "track"),
        }
    }
}

/// How many files are left out, and how to see them.
fn left_out_in_words(files: f64) -> String {
    let files = count(files, "file");
    format!("{files} left out: p2pmusic ctl library --left-out")
}

/// What `library` says without being asked for each file.
pub(super) fn library(node: &ReplyRecord, files: &[ReplyRecord]) -> String {
    let without_tags = files.iter().filter(|file| file.is_set("listed")).count();
    let mut text = match node.number("left_out") {
        None => "all files of this node's music are listed\n".to_owned(),
        Some(files) => left_out_in_words(files) + "\n",
    };
    if without_tags > 0 {
        let files = count(without_tags as f64, "file");
        _ = writeln!(text, "{files} listed without tags");
    }
    text
}

/// Files that are left out, each with its reason below.
pub(super) fn left_out(screen: &Screen, files: &[ReplyRecord]) -> String {
    if files.is_empty() {
        return "nothing is left out\n".to_owned();
    }
    let mut text = String::new();
    for file in files {
        let get = |key| file.get(key).unwrap_or("?");
        let what = match file.is_set("listed") {
            true => "listed without tags",
            false => "left out",
        };
        _ = writeln!(text, "{}", get("left_out"));
        text += &screen.list(&[("  ", format!("{what}: {}", get("why")))]);
    }
    text
}

/// What `play` chose and what follows.
pub(super) fn played(reply: &ReplyRecord) -> String {
    let what = reply.get("p2p_match").unwrap_or("track").to_owned();
    let tracks = reply.number("p2p_tracks").unwrap_or(1.0);
    let songs = reply.clone().split(&["file"]);
    let Some((first, rest)) = songs.split_first() else {
        return "the queue is empty: say what to play\n".into();
    };
    let is_later = reply.get("p2p_now") == Some("0");
    let place = first.number("Pos").unwrap_or(0.0) + 1.0;
    let mut text = match is_later {
        true => format!("added    {}", summary(first)),
        false => format!("playing  {}", summary(first)),
    };
    if tracks > 1.0 {
        _ = write!(text, "  (the {what}, {})", count(tracks, "track"));
    }
    if is_later {
        _ = write!(text, ", at {place} of the queue");
    }
    text.push('\n');
    for (n, song) in rest.iter().enumerate() {
        let label = if n == 0 { "then" } else { "" };
        _ = writeln!(text, "{label:<7}  {}", summary(song));
    }
    text
}

pub(super) fn queue(screen: &Screen, songs: &[ReplyRecord], current: Option<&str>) -> String {
    if songs.is_empty() {
        return "the queue is empty; `p2pmusic ctl play` or `add` with some words fills it\n"
            .into();
    }
    let columns = [
        Column::short(""),
        Column::number("#"),
        Column::text("title"),
        Column::number("time"),
        Column::short("file"),
    ];
    let row = |song: &ReplyRecord| {
        let is_current = song.get("Id") == current && current.is_some();
        let position = song.number("Pos").unwrap_or(0.0) + 1.0;
        vec![
            if is_current { ">" } else { "" }.to_owned(),
            position.to_string(),
            marked(song),
            length(song),
            song.get("file").unwrap_or_default().to_owned(),
        ]
    };
    screen.table(&columns, &songs.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn songs(screen: &Screen, songs: &[ReplyRecord]) -> String {
    let columns = [
        Column::text("title"),
        Column::number("time"),
        Column::short("file"),
    ];
    let row = |song: &ReplyRecord| {
        let file = song.get("file").unwrap_or_default();
        vec![marked(song), length(song), file.to_owned()]
    };
    screen.table(&columns, &songs.iter().map(row).collect::<Vec<_>>())
}

/// Without names, as `ls` has none.
pub(super) fn directory(screen: &Screen, entries: &[ReplyRecord]) -> String {
    let is_directory = |entry: &&ReplyRecord| entry.get("directory").is_some();
    let (directories, files): (Vec<_>, Vec<_>) = entries.iter().partition(is_directory);
    let line = |entry: &&ReplyRecord| {
        let name = entry.get("directory")?;
        let mark = if entry.is_set("p2p_away") { AWAY } else { "" };
        Some(format!("{name}/{mark}\n"))
    };
    let mut text: String = directories.iter().filter_map(line).collect();
    let columns = [Column::number(""), Column::text(""), Column::short("")];
    let row = |entry: &&ReplyRecord| {
        let file = entry.get("file").unwrap_or_default();
        vec![length(entry), marked(entry), file.to_owned()]
    };
    text += &screen.table(&columns, &files.iter().map(row).collect::<Vec<_>>());
    match text.is_empty() {
        true => "nothing is in there\n".into(),
        false => text,
    }
}

pub(super) fn peers(screen: &Screen, peers: &[ReplyRecord]) -> String {
    let columns = [
        Column::text("speaker"),
        Column::short("state"),
        Column::number("tracks"),
        Column::short("address"),
    ];
    let row = |peer: &ReplyRecord| {
        let get = |key| peer.get(key).unwrap_or("-").to_owned();
        let address = match peer.is_set("own") {
            true => "this node".to_owned(),
            false => get("address"),
        };
        vec![get("peer"), get("state"), get("tracks"), address]
    };
    screen.table(&columns, &peers.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn devices(screen: &Screen, devices: &[ReplyRecord]) -> String {
    if devices.is_empty() {
        return "there is no sound device here\n".into();
    }
    let columns = [
        Column::short(""),
        Column::short("device"),
        Column::short("description"),
    ];
    let row = |device: &ReplyRecord| {
        let get = |key| device.get(key).unwrap_or_default().to_owned();
        let mark = if device.is_set("in_use") { "*" } else { "" };
        vec![mark.to_owned(), get("device"), get("description")]
    };
    screen.table(&columns, &devices.iter().map(row).collect::<Vec<_>>())
}

pub(super) fn json(records: &[ReplyRecord]) -> String {
    pretty(&Value::Array(records.iter().map(object).collect()))
}

/// Seconds as a person reads them from a player.
pub(super) fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn summary(song: &ReplyRecord) -> String {
    let file = song.get("file").unwrap_or_default();
    format!("{}  {}  {file}", marked(song), length(song))
}

/// The title, and whether only copies are here.
fn marked(song: &ReplyRecord) -> String {
    match song.is_set("p2p_away") {
        true => format!("{}{AWAY}", title(song)),
        false => title(song),
    }
}

pub(super) fn title(song: &ReplyRecord) -> String {
    let file = song.get("file").unwrap_or_default();
    let name = file.rsplit('/').next().unwrap_or(file);
    match (song.get("Artist"), song.get("Title")) {
        (Some(artist), Some(title)) => format!("{artist} – {title}"),
        (None, Some(title)) => title.to_owned(),
        (_, None) => name.to_owned(),
    }
}

fn length(song: &ReplyRecord) -> String {
    song.number("duration").map(clock).unwrap_or_default()
}

/// Pairs as an object; what comes several times is an array.
fn object(record: &ReplyRecord) -> Value {
    let mut object = Map::new();
    for (key, text) in &record.0 {
        let value = value(key, text);
        match object.get_mut(key) {
            None if REPEATED.contains(&key.as_str()) => {
                _ = object.insert(key.clone(), Value::Array(vec![value]));
            }
            None => _ = object.insert(key.clone(), value),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(object)
}

fn value(key: &str, text: &str) -> Value {
    let number = || serde_json::from_str::<serde_json::Number>(text).ok();
    match key {
        _ if FLAGS.contains(&key) && matches!(text, "0" | "1") => Value::Bool(text == "1"),
        _ if NUMBERS.contains(&key) => number().map_or_else(|| text.into(), Value::Number),
        _ => text.into(),
    }
}

pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Behind what only copies are here of.
const AWAY: &str = " (its owner is away)";

/// What is yes or no, as JSON knows it.
const FLAGS: [&str; 8] = [
    "consume", "in_use", "own", "p2p_away", "random", "repeat", "single", "waiting",
];

/// What is a number, as JSON knows it.
const NUMBERS: &[&str] = &[
    "Id",
    "Pos",
    "Time",
    "Track",
    "arrived",
    "duration",
    "elapsed",
    "first_sound",
    "left_out",
    "nextsong",
    "nextsongid",
    "peers",
    "playlist",
    "playlistlength",
    "song",
    "songid",
    "tracks",
    "uptime",
    "waits_since_s",
    "volume",
];

/// What is an array even when there is one of it.
const REPEATED: [&str; 1] = ["problem"];

/// Cells of a progress bar.
const BAR_CELLS: usize = 24;

/// Where there is little room.
const LEAST_CELLS: usize = 6;

#[cfg(test)]
mod tests {
    use super::{super::screen::width, *};

    fn record(pairs: &[(&str, &str)]) -> ReplyRecord {
        let pair = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        ReplyRecord(pairs.iter().map(pair).collect())
    }

    #[test]
    fn the_bar_shows_what_has_played_and_what_has_arrived() {
        let scene = Scene {
            status: record(&[("state", "play"), ("elapsed", "60"), ("duration", "240")]),
            song: record(&[("file", "kitchen/a.flac")]),
            node: record(&[("arrived", "0.5")]),
        };
        assert_eq!(
            scene.line(&Screen::default()),
            "playing  ██████▒▒▒▒▒▒············ 1:00 / 4:00  50 % here  a.flac\n"
        );
        let narrow = |columns| {
            let columns = Some(columns);
            scene.line(&Screen {
                columns,
                has_colours: false,
            })
        };
        assert_eq!(narrow(12), "playing  █…\n");
        assert_eq!(narrow(40), "playing  ██▒▒····· 1:00 / 4:00  50 % h…\n");
        for columns in 1..120 {
            assert!(
                width(narrow(columns).trim_end()) < columns.max(2),
                "{columns}"
            );
        }
    }

    #[test]
    fn json_has_numbers_flags_and_repetitions() {
        let json = json(&[record(&[
            ("Pos", "3"),
            ("own", "1"),
            ("problem", "a"),
            ("problem", "b"),
            ("Title", "7"),
        ])]);
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            value,
            serde_json::json!([{"Pos": 3, "own": true, "problem": ["a", "b"], "Title": "7"}])
        );
    }
}
