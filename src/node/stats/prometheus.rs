//! The numbers as Prometheus reads them: its text exposition format, version 0.0.4.
//!
//! Every family has a `# HELP`, a `# TYPE` and then all its samples; a sample is
//! `name{label="value",…} number`, without a time stamp, which node_exporter's textfile
//! collector does not take. What must hold:
//! - A name that another node chose stays within its label's value: backslash, quote and
//!   newline are escaped, and nothing else is special there.
//! - No two samples of a family have the same labels, or the collector drops the whole
//!   file: names may be equal, so `id`, which cannot, is a label as well.
//!
//! See <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::{
    fmt::{Display, Write as _},
    time::{Duration, Instant},
};

use super::{histogram::Histogram, sound::Stalls, traffic::Counts, NodeStats};
use crate::node::plays::ByteOrigin;

/// What a family counts for each peer: its name after the prefix, what it is, and where
/// it is found.
type OfPeer = (&'static str, &'static str, fn(&Counts) -> u64);

/// The whole file.
pub fn exposition(stats: &NodeStats, now: Instant) -> String {
    let mut text = Text::default();
    let (sound, traffic) = (&stats.sound, &stats.traffic);
    text.gauge(
        "uptime_seconds",
        "Time since the node was started.",
        secs(stats.uptime(now)),
    );
    text.counter("plays_total", "Tracks that were heard.", sound.plays);
    text.counter(
        "plays_failed_total",
        "Tracks that could not be played, or not to their end.",
        sound.failed,
    );
    let help = "From the command to the first sound, by where the bytes were.";
    text.family("first_sound_seconds", "histogram", help);
    for origin in ByteOrigin::ALL {
        text.histogram(origin.name(), sound.first_sound(origin));
    }
    let what = "The device had no bytes to play";
    text.stalls("underrun", what, sound.underruns(now));
    let what = "The sound waited for bytes and went on";
    text.stalls("rebuffer", what, sound.rebuffers());
    let help = "Bytes of played tracks that were on this machine before.";
    text.family("local_bytes_total", "counter", help);
    for (from, bytes) in [
        (ByteOrigin::OwnDisk, sound.own_disk_bytes),
        (ByteOrigin::Cache, sound.cache_bytes),
    ] {
        text.sample("local_bytes_total", &[("from", from.name())], bytes);
    }
    for (name, help, count) in OF_PEERS {
        text.family(name, "counter", help);
        for row in traffic.rows() {
            let id = row.peer.to_hex();
            let labels = [("peer", &*row.name), ("id", &*id)];
            text.sample(name, &labels, count(&row.counts));
        }
        let others = [("peer", ""), ("id", "")];
        text.sample(name, &others, count(&traffic.others()));
    }
    let help = "Slices that other peers asked for.";
    text.counter("requests_total", help, stats.requests);
    let help = "Questions of other peers that were answered with no.";
    text.counter("requests_declined_total", help, stats.declined);
    let help = "How often the tracker was lost.";
    text.counter("tracker_losses_total", help, stats.tracker_losses);
    text.0
}

/// An exposition in the making.
#[derive(Default)]
struct Text(String);

impl Text {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn stalls(&mut self, name: &str, what: &str, stalls: Stalls) {
        let help = format!("{what}: how often.");
        self.counter(&format!("{name}s_total"), &help, stalls.count);
        let total = format!("{name}_seconds_total");
        self.family(&total, "counter", &format!("{what}: for how long in all."));
        self.sample(&total, &[], secs(stalls.total));
        let help = format!("{what}: the longest time.");
        let name = format!("{name}_longest_seconds");
        self.gauge(&name, &help, secs(stalls.longest));
    }

    fn histogram(&mut self, from: &str, times: &Histogram) {
        let name = "first_sound_seconds";
        let bounds = times
            .doublings()
            .map(|(bound, count)| (secs(bound).to_string(), count));
        for (bound, count) in bounds.chain([("+Inf".to_owned(), times.count())]) {
            let labels = [("from", from), ("le", &*bound)];
            self.sample(&format!("{name}_bucket"), &labels, count);
        }
        let labels = [("from", from)];
        self.sample(&format!("{name}_sum"), &labels, secs(times.sum()));
        self.sample(&format!("{name}_count"), &labels, times.count());
    }

    /// `help` is ours, and has nothing to escape.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(
            self.0,
            "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        _ = write!(self.0, "{PREFIX}{name}");
        for (n, (label, text)) in labels.iter().enumerate() {
            let before = if n == 0 { '{' } else { ',' };
            _ = write!(self.0, "{before}{label}=\"{}\"", escaped(text));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        _ = writeln!(self.0, "{end} {value}");
    }
}

/// A label's value may hold any character; three are written otherwise.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str(r"\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str(r"\n"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn secs(time: Duration) -> f64 {
    time.as_secs_f64()
}

const PREFIX: &str = "p2pmusic_";
const OF_PEERS: [OfPeer; 7] = [
    (
        "received_bytes_total",
        "Verified bytes of music from a peer.",
        |c| c.received_bytes,
    ),
    (
        "duplicate_bytes_total",
        "Verified bytes from a peer that were here already.",
        |c| c.duplicate_bytes,
    ),
    (
        "wasted_bytes_total",
        "Bytes from a peer that could not be used.",
        |c| c.wasted_bytes,
    ),
    (
        "sent_bytes_total",
        "Bytes of slices for a peer, hashes included.",
        |c| c.sent_bytes,
    ),
    (
        "refusals_total",
        "Requests that a peer answered with no.",
        |c| c.refusals,
    ),
    (
        "connections_lost_total",
        "Requests to a peer that its connection did not survive.",
        |c| c.connections_lost,
    ),
    ("lies_total", "Answers of a peer with wrong bytes.", |c| {
        c.lies
    }),
];

#[cfg(test)]
mod tests;
