//! What a node counts, as people and scripts see it.
//!
//! JSON is one object: what counts for the whole node by its name, `first_sound` by where
//! the bytes were, and the lists `peers` and `liars`. Names and units are those of the
//! reply (`node/stats/wire.rs` has them).

use serde_json::{Map, Number, Value};

use super::{
    json::pretty,
    screen::{count, Column, Screen},
};

/// The numbers of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StatRecord(Vec<(String, String)>);

impl StatRecord {
    fn get(&self, key: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let (_, value) = pairs.find(|(name, _)| name == key)?;
        Some(value)
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.parse().ok()
    }

    /// The parts that begin with one of `keys`.
    fn split(self, keys: &[&str]) -> Vec<Self> {
        let mut records = Vec::<Self>::new();
        for (key, value) in self.0 {
            if keys.contains(&key.as_str()) {
                records.push(Self::default());
            }
            if let Some(record) = records.last_mut() {
                record.0.push((key, value));
            }
        }
        records
    }
}

/// The reply, taken apart.
pub(super) struct StatsReply {
    node: StatRecord,
    first_sounds: Vec<StatRecord>,
    peers: Vec<StatRecord>,
    liars: Vec<StatRecord>,
}

impl StatsReply {
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        let begins = |pair: &(String, String)| SECTIONS.contains(&&*pair.0);
        let mut node = pairs;
        let first = node.iter().position(begins).unwrap_or(node.len());
        let sections = StatRecord(node.split_off(first)).split(&SECTIONS);
        let of = |key: &str| {
            let begins =
                |section: &&StatRecord| section.0.first().is_some_and(|(name, _)| name == key);
            sections.iter().filter(begins).cloned().collect()
        };
        let [first_sounds, peers, liars] = SECTIONS.map(of);
        Self {
            node: StatRecord(node),
            first_sounds,
            peers,
            liars,
        }
    }

    pub fn json(&self) -> String {
        let mut all = object(&self.node);
        let mut first_sounds = Map::new();
        for first_sound in &self.first_sounds {
            let mut times = object(first_sound);
            if let Some(Value::String(from)) = times.remove("first_sound") {
                first_sounds.insert(from, Value::Object(times));
            }
        }
        let list =
            |records: &[StatRecord]| records.iter().map(|r| Value::Object(object(r))).collect();
        all.insert("first_sound".into(), Value::Object(first_sounds));
        all.insert("peers".into(), list(&self.peers));
        all.insert("liars".into(), list(&self.liars));
        pretty(&Value::Object(all))
    }

    /// One screen: of many peers the busiest.
    pub fn show(&self, screen: &Screen) -> String {
        let parts = [
            screen.list(&self.rows()),
            self.show_first_sounds(screen),
            self.show_peers(screen),
            self.show_liars(screen),
        ];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("\n")
    }

    fn rows(&self) -> [(&'static str, String); 10] {
        let node = &self.node;
        let number = |key| node.number(key).unwrap_or(0.0);
        let times = |key| count(number(key), "time");
        let size = |key| bytes(node.number(key).unwrap_or(0.0));
        let stalls = |number: &str, name: &str| match node.number(number) {
            Some(stalls) if stalls > 0.0 => {
                let time = |of: &str| time(node.number(&format!("{name}_{of}")).unwrap_or(0.0));
                let (all, longest) = (time("seconds"), time("longest_seconds"));
                format!("{stalls}, {all} in all, {longest} the longest")
            }
            _ => "none".into(),
        };
        let row = |name, text: String| (name, text);
        [
            row("up for", time(number("uptime_seconds"))),
            row(
                "plays",
                format!("{}, {} failed", number("plays"), number("plays_failed")),
            ),
            row("underruns", stalls("underruns", "underrun")),
            row("rebuffers", stalls("rebuffers", "rebuffer")),
            row("own disk", format!("{} played", size("own_disk_bytes"))),
            row("cache", format!("{} played", size("cache_bytes"))),
            row(
                "received",
                format!(
                    "{}, {} of it twice, {} wasted",
                    size("received_bytes"),
                    size("duplicate_bytes"),
                    size("wasted_bytes")
                ),
            ),
            row("sent", size("sent_bytes")),
            row(
                "asked",
                format!(
                    "{}, {} declined",
                    times("requests"),
                    number("requests_declined")
                ),
            ),
            row(
                "lost",
                format!(
                    "{}, {} the tracker",
                    count(number("connections_lost"), "connection"),
                    times("tracker_losses")
                ),
            ),
        ]
    }

    fn show_first_sounds(&self, screen: &Screen) -> String {
        let heard = |times: &&StatRecord| times.number("count").unwrap_or(0.0) > 0.0;
        let row = |times: &StatRecord| {
            let value = |key| times.number(key).map(time).unwrap_or_default();
            let from = times.get("first_sound").unwrap_or_default();
            let from = match from {
                "own_disk" => "own disk",
                from => from,
            };
            vec![
                from.to_owned(),
                times.get("count").unwrap_or_default().to_owned(),
                value("p50_seconds"),
                value("p90_seconds"),
                value("p99_seconds"),
                value("max_seconds"),
            ]
        };
        let rows: Vec<_> = self.first_sounds.iter().filter(heard).map(row).collect();
        let head = ["first sound", "plays", "p50", "p90", "p99", "longest"];
        with_head(screen, head, rows)
    }

    fn show_peers(&self, screen: &Screen) -> String {
        let row = |peer: &StatRecord| {
            let size = |key| bytes(peer.number(key).unwrap_or(0.0));
            let count = |key| peer.get(key).unwrap_or("0").to_owned();
            vec![
                peer.get("peer").unwrap_or_default().to_owned(),
                size("received_bytes"),
                size("duplicate_bytes"),
                size("wasted_bytes"),
                size("sent_bytes"),
                count("refusals"),
                count("connections_lost"),
            ]
        };
        let rows = self.peers.iter().take(MAX_PEERS).map(row).collect();
        let head = [
            "peer", "received", "twice", "wasted", "sent", "refused", "lost",
        ];
        let mut text = with_head(screen, head, rows);
        if let Some(more @ 1..) = self.peers.len().checked_sub(MAX_PEERS) {
            text += &format!("and {more} more: `p2pmusic ctl stats --json`\n");
        }
        text
    }

    fn show_liars(&self, screen: &Screen) -> String {
        let row = |liar: &StatRecord| {
            let about = liar.get("file").or(liar.get("track"));
            let who = liar.get("liar").unwrap_or_default();
            (
                "liar",
                format!("{who}: wrong bytes of {}", about.unwrap_or("?")),
            )
        };
        let rows: Vec<_> = self.liars.iter().take(MAX_LIARS).map(row).collect();
        screen.list(&rows)
    }
}

/// A table with its columns named, numbers to the right; nothing without rows.
fn with_head<const N: usize>(
    screen: &Screen,
    head: [&'static str; N],
    rows: Vec<Vec<String>>,
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut columns = head.map(Column::number);
    if let Some(first) = columns.first_mut() {
        *first = Column::text(first.name);
    }
    screen.table(&columns, &rows)
}

fn object(record: &StatRecord) -> Map<String, Value> {
    let value = |key: &str, text: &str| match serde_json::from_slice::<Number>(text.as_bytes()) {
        Ok(number) if !TEXTS.contains(&key) => Value::Number(number),
        _ => text.into(),
    };
    let pairs = record.0.iter();
    pairs
        .map(|(key, text)| (key.clone(), value(key, text)))
        .collect()
}

/// A number of bytes to three digits or so.
fn bytes(count: f64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.into_iter().find(|(unit, _)| count >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", count / unit),
        None => format!("{count} B"),
    }
}

/// A time to three digits or so.
fn time(seconds: f64) -> String {
    let whole = seconds as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match seconds {
        _ if days > 0 => format!("{days} d {hours} h"),
        _ if hours > 0 => format!("{hours} h {minutes} min"),
        _ if minutes > 0 => format!("{minutes} min {} s", whole % 60),
        _ if seconds >= 1.0 => format!("{seconds:.1} s"),
        _ => format!("{:.0} ms", seconds * 1e3),
    }
}

/// What a part of the reply begins with.
const SECTIONS: [&str; 3] = ["first_sound", "peer", "liar"];

/// What is no number, even if it looks like one: others choose their names.
const TEXTS: [&str; 6] = ["first_sound", "peer", "id", "liar", "track", "file"];

/// With what else there is they fit on a screen of 24 lines and some.
const MAX_PEERS: usize = 10;
const MAX_LIARS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(pairs: &[(&str, &str)]) -> StatsReply {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        StatsReply::new(pairs.iter().map(pair).collect())
    }

    const SOME: &[(&str, &str)] = &[
        ("uptime_seconds", "3725.000"),
        ("plays", "2"),
        ("underruns", "1"),
        ("underrun_seconds", "0.300"),
        ("underrun_longest_seconds", "0.300"),
        ("received_bytes", "1234567"),
        ("first_sound", "all"),
        ("count", "2"),
        ("p50_seconds", "0.012"),
        ("max_seconds", "1.540"),
        ("peer", "17"),
        ("id", "00"),
        ("received_bytes", "1234567"),
        ("liar", "attic"),
        ("file", "attic/song.wav"),
        ("lies", "1"),
    ];

    #[test]
    fn scripts_get_numbers_and_names() {
        let value: Value = serde_json::from_str(&stats(SOME).json()).unwrap();
        let expected = serde_json::json!({
            "uptime_seconds": 3725.0,
            "plays": 2,
            "underruns": 1,
            "underrun_seconds": 0.3,
            "underrun_longest_seconds": 0.3,
            "received_bytes": 1_234_567,
            "first_sound": {"all": {"count": 2, "p50_seconds": 0.012, "max_seconds": 1.54}},
            "peers": [{"peer": "17", "id": "00", "received_bytes": 1_234_567}],
            "liars": [{"liar": "attic", "file": "attic/song.wav", "lies": 1}],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn people_get_a_screen() {
        let text = stats(SOME).show(&Screen::default());
        for line in [
            "up for     1 h 2 min",
            "underruns  1, 300 ms in all, 300 ms the longest",
            "rebuffers  none",
            "received   1.2 MB, 0 B of it twice, 0 B wasted",
            "first sound  plays    p50  p90  p99  longest",
            "all              2  12 ms              1.5 s",
            "liar  attic: wrong bytes of attic/song.wav",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line:?} in\n{text}");
        }
        let many: Vec<_> = (0..60).map(|_| ("peer", "x")).collect();
        let text = stats(&many).show(&Screen::default());
        assert!(text.contains("and 50 more"), "{text}");
        assert!(text.lines().count() < 25, "{text}");
    }
}
