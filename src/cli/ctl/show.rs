//! What people and scripts see.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{
    client::{Client, Record},
    CtlError,
};

/// What plays and how the node is.
#[derive(Debug)]
pub(super) struct Scene {
    status: Record,
    song: Record,
    node: Record,
}

impl Scene {
    pub fn ask(client: &mut Client) -> Result<Self, CtlError> {
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

    /// One line, at most `columns` wide.
    pub fn line(&self, columns: Option<usize>) -> String {
        let mut line = self.state().to_owned();
        if self.is_playing() {
            _ = write!(line, "  {}  {}", self.bar(), title(&self.song));
        } else if let Some(error) = self.status.get("error") {
            _ = write!(line, "  {error}");
        }
        if let Some(columns) = columns {
            line = fit(&line, columns.saturating_sub(1));
        }
        line.push('\n');
        line
    }

    /// Everything, a line each.
    pub fn show(&self) -> String {
        let mut rows = Vec::new();
        let mut row = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
        let playing = self.is_playing();
        if self.song.0.is_empty() {
            row(self.state(), String::new());
        } else {
            row(self.state(), title(&self.song));
        }
        if playing {
            row("", self.bar());
        }
        if let Some(what) = self.node.get("waits_for") {
            row("waits for", what.to_owned());
        }
        for (name, key) in [("album", "Album"), ("file", "file"), ("format", "Format")] {
            if let Some(value) = self.song.get(key) {
                row(name, value.to_owned());
            }
        }
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
        let swarm = format!("{} peers up, {} tracks", get("peers"), get("tracks"));
        row("swarm", swarm);
        row("node", format!("{} ({})", get("name"), get("role")));
        if let Some(count) = self.node.number("left_out") {
            row("library", left_out_in_words(count));
        }
        if let Some(error) = self.status.get("error") {
            row("error", error.to_owned());
        }
        let problems = self.node.0.iter().filter(|(key, _)| key == "problem");
        problems.for_each(|(key, text)| row(key, text.clone()));
        table(&rows, &[])
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

    /// What has played and what has arrived of the current track.
    fn bar(&self) -> String {
        let elapsed = self.status.number("elapsed").unwrap_or(0.0);
        let duration = self.status.number("duration").unwrap_or(0.0);
        let played = if duration > 0.0 {
            elapsed / duration
        } else {
            0.0
        };
        let arrived = self.node.number("arrived").unwrap_or(1.0);
        let cells: String = (0..BAR_CELLS)
            .map(|cell| (cell as f64 + 0.5) / BAR_CELLS as f64)
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
        let length = self.status.get("playlistlength").unwrap_or("0");
        match self.status.number("song") {
            Some(position) => format!("{} of {length}", position + 1.0),
            None => format!("{length} tracks"),
        }
    }
}

/// How many files are left out, and how to see them.
fn left_out_in_words(count: f64) -> String {
    let files = if count == 1.0 { "file" } else { "files" };
    format!("{count} {files} left out: p2pmusic ctl library --left-out")
}

/// What `library` says without being asked for each file.
pub(super) fn library(node: &Record, files: &[Record]) -> String {
    let without_tags = files.iter().filter(|file| file.is_set("listed")).count();
    let mut text = match node.number("left_out") {
        None => "all files of this node's music are listed\n".to_owned(),
        Some(count) => left_out_in_words(count) + "\n",
    };
    if without_tags > 0 {
        let files = if without_tags == 1 { "file" } else { "files" };
        _ = writeln!(text, "{without_tags} {files} listed without tags");
    }
    text
}

/// Files that are left out, each with its reason.
pub(super) fn left_out(files: &[Record]) -> String {
    if files.is_empty() {
        return "nothing is left out\n".to_owned();
    }
    let mut text = String::new();
    for file in files {
        let get = |key| file.get(key).unwrap_or("?");
        let what = if file.is_set("listed") {
            "listed without tags"
        } else {
            "left out"
        };
        _ = writeln!(text, "{}\n    {what}: {}", get("left_out"), get("why"));
    }
    text
}

/// What `play` chose and what follows.
pub(super) fn played(reply: &Record) -> String {
    let what = reply.get("p2p_match").unwrap_or("track").to_owned();
    let count = reply.number("p2p_tracks").unwrap_or(1.0);
    let songs = reply.clone().split(&["file"]);
    let Some((first, rest)) = songs.split_first() else {
        return "the queue is empty: say what to play\n".into();
    };
    let is_later = reply.get("p2p_now") == Some("0");
    let place = first.number("Pos").unwrap_or(0.0) + 1.0;
    let mut text = match is_later {
        true => format!("added as {place}  {}", summary(first)),
        false => format!("playing  {}", summary(first)),
    };
    if count > 1.0 {
        _ = write!(text, "  (the {what}, {count} tracks)");
    }
    text.push('\n');
    for (n, song) in rest.iter().enumerate() {
        let label = if n == 0 { "then" } else { "" };
        _ = writeln!(text, "{label:<7}  {}", summary(song));
    }
    text
}

pub(super) fn queue(songs: &[Record], current: Option<&str>) -> String {
    let rows: Vec<_> = songs
        .iter()
        .map(|song| {
            let is_current = song.get("Id") == current && current.is_some();
            let position = song.number("Pos").unwrap_or(0.0) + 1.0;
            vec![
                if is_current { ">" } else { "" }.to_owned(),
                position.to_string(),
                title(song),
                length(song),
                song.get("file").unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    table(&rows, &[1, 3])
}

pub(super) fn songs(songs: &[Record]) -> String {
    let row = |song: &Record| {
        let file = song.get("file").unwrap_or_default();
        vec![title(song), length(song), file.to_owned()]
    };
    table(&songs.iter().map(row).collect::<Vec<_>>(), &[1])
}

pub(super) fn directory(entries: &[Record]) -> String {
    let row = |entry: &Record| match entry.get("directory") {
        Some(directory) => vec![format!("{directory}/")],
        None => {
            let file = entry.get("file").unwrap_or_default();
            vec![file.to_owned(), length(entry), title(entry)]
        }
    };
    table(&entries.iter().map(row).collect::<Vec<_>>(), &[1])
}

pub(super) fn peers(peers: &[Record]) -> String {
    let row = |peer: &Record| {
        let get = |key| peer.get(key).unwrap_or("-").to_owned();
        let own = if peer.is_set("own") { "this node" } else { "" };
        vec![
            get("peer"),
            get("state"),
            format!("{} tracks", get("tracks")),
            get("address"),
            own.to_owned(),
        ]
    };
    table(&peers.iter().map(row).collect::<Vec<_>>(), &[2])
}

pub(super) fn devices(devices: &[Record]) -> String {
    let row = |device: &Record| {
        let get = |key| device.get(key).unwrap_or_default().to_owned();
        let mark = if device.is_set("in_use") { "*" } else { "" };
        vec![mark.to_owned(), get("device"), get("description")]
    };
    table(&devices.iter().map(row).collect::<Vec<_>>(), &[])
}

pub(super) fn json(records: &[Record]) -> String {
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

fn summary(song: &Record) -> String {
    let file = song.get("file").unwrap_or_default();
    format!("{}  {}  {file}", title(song), length(song))
}

fn title(song: &Record) -> String {
    let file = song.get("file").unwrap_or_default();
    let name = file.rsplit('/').next().unwrap_or(file);
    match (song.get("Artist"), song.get("Title")) {
        (Some(artist), Some(title)) => format!("{artist} – {title}"),
        (None, Some(title)) => title.to_owned(),
        (_, None) => name.to_owned(),
    }
}

fn length(song: &Record) -> String {
    song.number("duration").map(clock).unwrap_or_default()
}

/// Rows with their columns under each other, those in `right` to the right.
pub(super) fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let mut widths = Vec::<usize>::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().clamp(*width, MAX_CELL.max(*width));
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (n, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let is_last = n + 1 == row.len();
            let cell = if is_last {
                cell.clone()
            } else {
                fit(cell, width)
            };
            match (widths[n], right.contains(&n)) {
                (0, _) => {}
                (_, true) => _ = write!(line, "{cell:>width$}  "),
                (_, false) => _ = write!(line, "{cell:<width$}  "),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `text`, cut with an ellipsis if it is wider than `width`.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let cut = text.chars().take(width.saturating_sub(1));
    cut.chain(['…']).collect()
}

/// Pairs as an object; what comes several times is an array.
fn object(record: &Record) -> Value {
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

/// What is yes or no, as JSON knows it.
const FLAGS: [&str; 7] = [
    "consume", "in_use", "own", "random", "repeat", "single", "waiting",
];

/// What is a number, as JSON knows it.
const NUMBERS: [&str; 19] = [
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
    "volume",
];

/// What is an array even when there is one of it.
const REPEATED: [&str; 1] = ["problem"];

/// Cells of a progress bar.
const BAR_CELLS: usize = 24;

/// Columns of a cell, where another follows: long titles do not push what
/// matters off the screen.
const MAX_CELL: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pairs: &[(&str, &str)]) -> Record {
        let pair = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        Record(pairs.iter().map(pair).collect())
    }

    #[test]
    fn the_bar_shows_what_has_played_and_what_has_arrived() {
        let scene = Scene {
            status: record(&[("state", "play"), ("elapsed", "60"), ("duration", "240")]),
            song: record(&[("file", "kitchen/a.flac")]),
            node: record(&[("arrived", "0.5")]),
        };
        assert_eq!(
            scene.line(None),
            "playing  ██████▒▒▒▒▒▒············ 1:00 / 4:00  50 % here  a.flac\n"
        );
        assert_eq!(scene.line(Some(12)), "playing  █…\n");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["ab".into(), "1".into(), "x".into()],
            vec!["é".into(), "10".into(), "y".into()],
        ];
        assert_eq!(table(&rows, &[1]), "ab   1  x\né   10  y\n");
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
