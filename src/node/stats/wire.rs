//! The answer to `p2p_stats`: lines of `name: value`.
//!
//! First what counts for the whole node. Then, for each, a line that begins it and what
//! belongs to it: `first_sound` (`all`, and where the bytes were: `swarm`, `cache`,
//! `own_disk`), `peer` (a name), `liar` (a name). Units are in the names: `_bytes`, and
//! `_seconds` with three digits behind the point; a name without one is a count. More
//! lines may come; a client skips what it does not know.

use std::time::{Duration, Instant};

use super::{
    histogram::Histogram,
    sound::{SoundStats, Stalls},
    traffic::{Counts, Traffic},
    NodeStats,
};
use crate::{id::PeerId, node::plays::ByteOrigin};

type Lines = Vec<(&'static str, String)>;

/// Every number, in the order to show them.
pub fn pairs(stats: &NodeStats, now: Instant) -> Lines {
    let (mut lines, sound) = (Lines::new(), &stats.sound);
    lines.push(("uptime_seconds", seconds(stats.uptime(now))));
    lines.push(("plays", sound.plays.to_string()));
    lines.push(("plays_failed", sound.failed.to_string()));
    let underruns = sound.underruns(now);
    let names = ["underruns", "underrun_seconds", "underrun_longest_seconds"];
    stalls(&mut lines, names, underruns);
    let names = ["rebuffers", "rebuffer_seconds", "rebuffer_longest_seconds"];
    stalls(&mut lines, names, sound.rebuffers());
    lines.push(("own_disk_bytes", sound.own_disk_bytes.to_string()));
    lines.push(("cache_bytes", sound.cache_bytes.to_string()));
    counts(&mut lines, &stats.traffic.total());
    lines.push(("requests", stats.requests.to_string()));
    lines.push(("requests_declined", stats.declined.to_string()));
    lines.push(("tracker_losses", stats.tracker_losses.to_string()));
    first_sounds(&mut lines, sound);
    for row in stats.traffic.rows() {
        peer(&mut lines, &row.name, Some(row.peer), &row.counts);
    }
    let others = stats.traffic.others();
    if others != Counts::default() {
        peer(&mut lines, OTHERS, None, &others);
    }
    liars(&mut lines, &stats.traffic, now);
    lines
}

fn first_sounds(lines: &mut Lines, sound: &SoundStats) {
    let mut all = Histogram::default();
    for origin in ByteOrigin::ALL {
        all.add(sound.first_sound(origin));
    }
    let each = ByteOrigin::ALL.map(|origin| (origin.name(), sound.first_sound(origin)));
    for (name, times) in [("all", &all)].into_iter().chain(each) {
        lines.push(("first_sound", name.to_owned()));
        lines.push(("count", times.count().to_string()));
        for (name, percent) in [
            ("p50_seconds", 50),
            ("p90_seconds", 90),
            ("p99_seconds", 99),
        ] {
            if let Some(time) = times.percentile(percent) {
                lines.push((name, seconds(time)));
            }
        }
        if times.count() > 0 {
            lines.push(("max_seconds", seconds(times.max())));
        }
    }
}

fn liars(lines: &mut Lines, traffic: &Traffic, now: Instant) {
    for lie in traffic.lies() {
        lines.push(("liar", lie.name.to_string()));
        lines.push(("id", lie.peer.to_hex()));
        lines.push(("track", lie.track.to_hex()));
        if let Some(file) = &lie.file {
            lines.push(("file", file.clone()));
        }
        lines.push(("lies", lie.times.to_string()));
        let ago = now.saturating_duration_since(lie.last);
        lines.push(("ago_seconds", seconds(ago)));
    }
}

fn stalls(lines: &mut Lines, [count, total, longest]: [&'static str; 3], stalls: Stalls) {
    lines.push((count, stalls.count.to_string()));
    lines.push((total, seconds(stalls.total)));
    lines.push((longest, seconds(stalls.longest)));
}

fn peer(lines: &mut Lines, name: &str, peer: Option<PeerId>, of_peer: &Counts) {
    lines.push(("peer", name.to_owned()));
    if let Some(peer) = peer {
        lines.push(("id", peer.to_hex()));
    }
    counts(lines, of_peer);
}

fn counts(lines: &mut Lines, counts: &Counts) {
    let Counts {
        received_bytes,
        duplicate_bytes,
        wasted_bytes,
        sent_bytes,
        refusals,
        connections_lost,
        lies,
    } = *counts;
    let named = [
        ("received_bytes", received_bytes),
        ("duplicate_bytes", duplicate_bytes),
        ("wasted_bytes", wasted_bytes),
        ("sent_bytes", sent_bytes),
        ("refusals", refusals),
        ("connections_lost", connections_lost),
        ("lies", lies),
    ];
    lines.extend(named.map(|(name, count)| (name, count.to_string())));
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// The row of all that have none: no peer's name, which has no slash.
const OTHERS: &str = "others/";
