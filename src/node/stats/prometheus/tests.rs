//! A strict reader of the format, and what is read with it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    audio::{PlayId, PlayerEvent},
    content::ranges::GroupSet,
    id::{PeerId, TrackId},
    node::{
        plays::{ByteOrigin, Local},
        FetchEvent, FetchId,
    },
    swarm::scheduler::{RequestId, RequestOutcome},
};

/// The families of an exposition: type, and samples by name and labels.
type Families = BTreeMap<String, (String, Samples)>;
type Samples = BTreeMap<(String, Labels), f64>;
type Labels = Vec<(String, String)>;

/// Reads an exposition, and refuses what Prometheus or its linter would: a sample
/// outside its family, a counter that does not end in `_total`, labels that come twice.
fn read(text: &str) -> Result<Families, String> {
    let mut families = Families::new();
    let mut current = String::new();
    let mut help = None;
    let body = text.strip_suffix('\n').ok_or("no newline at the end")?;
    for line in body.split('\n') {
        let wrong = |what: &str| Err(format!("{what}: {line:?}"));
        if let Some(comment) = line.strip_prefix("# HELP ") {
            let (name, words) = comment.split_once(' ').ok_or("no help")?;
            if words.is_empty() || help.replace(name.to_owned()).is_some() {
                return wrong("help without words or type");
            }
        } else if let Some(comment) = line.strip_prefix("# TYPE ") {
            let (name, kind) = comment.split_once(' ').ok_or("no type")?;
            if help.take().as_deref() != Some(name) || families.contains_key(name) {
                return wrong("no help, or a family in two parts");
            }
            if (kind == "counter") != name.ends_with("_total") || !is_name(name) {
                return wrong("a counter, and only that, ends in _total");
            }
            current = name.to_owned();
            families.insert(current.clone(), (kind.to_owned(), Samples::new()));
        } else {
            let (name, labels, value) = sample(line)?;
            let Some((kind, samples)) = families.get_mut(&current) else {
                return wrong("a sample without a family");
            };
            let suffixes: &[&str] = match &**kind {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            let suffix = name.strip_prefix(&*current);
            if !suffix.is_some_and(|suffix| suffixes.contains(&suffix)) {
                return wrong("a sample of another family");
            }
            if value < 0.0 || samples.insert((name, labels), value).is_some() {
                return wrong("negative, or a second time");
            }
        }
    }
    Ok(families)
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    chars.next().is_some_and(is_first) && chars.all(|c| is_first(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let wrong = || format!("no sample: {line:?}");
    let end = line.find(['{', ' ']).ok_or_else(wrong)?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, value) = rest.split_once("=\"").ok_or_else(wrong)?;
            let (value, after) = unescape(value).ok_or_else(wrong)?;
            if !is_name(label) || labels.iter().any(|(known, _)| known == label) {
                return Err(wrong());
            }
            labels.push((label.to_owned(), value));
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => break rest = after.strip_prefix('}').ok_or_else(wrong)?,
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or_else(wrong)?;
    let value = value.parse().map_err(|_| wrong())?;
    match is_name(name) {
        true => Ok((name.to_owned(), labels, value)),
        false => Err(wrong()),
    }
}

/// The text up to the closing quote, and what follows that.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

fn value(families: &Families, name: &str, labels: &[(&str, &str)]) -> f64 {
    let text = |(label, value): &(&str, &str)| ((*label).to_owned(), (*value).to_owned());
    let labels: Labels = labels.iter().map(text).collect();
    let mut samples = families.values().flat_map(|(_, samples)| samples);
    let found = samples.find(|((n, l), _)| (n.as_str(), l) == (name, &labels));
    *found.unwrap_or_else(|| panic!("no {name} {labels:?}")).1
}

fn hear(stats: &mut NodeStats, play: u64, origin: ByteOrigin, ms: u64, now: Instant) {
    let play = PlayId(play);
    stats.sound.handle_start(play, false, now);
    stats.sound.handle_load(play, Local { origin, bytes: 5 });
    let at = now + Duration::from_millis(ms);
    stats
        .sound
        .handle_player(&PlayerEvent::Started { play, at }, at);
}

fn receive(stats: &mut NodeStats, peer: PeerId, name: &str, now: Instant) {
    let fetch = FetchId {
        track: TrackId([1; 32]),
        stream: 0,
        request: RequestId(0),
    };
    let traffic = &mut stats.traffic;
    traffic.handle_fetch(fetch, peer, name.into(), 1000);
    let groups = FetchEvent::Groups(GroupSet::all(1000));
    traffic.handle_event(fetch, &groups, None, || None, now);
    let liar = FetchEvent::Done(RequestOutcome::Liar);
    traffic.handle_event(fetch, &liar, None, || None, now);
}

#[test]
fn numbers_are_read_as_they_were_counted() {
    let now = Instant::now();
    let mut stats = NodeStats::new(now);
    hear(&mut stats, 1, ByteOrigin::Swarm, 3, now);
    hear(&mut stats, 2, ByteOrigin::Swarm, 100, now);
    hear(&mut stats, 3, ByteOrigin::OwnDisk, 2, now);
    receive(&mut stats, PeerId([1; 32]), "attic", now);
    let families = read(&exposition(&stats, now + Duration::from_secs(9))).unwrap();
    let value = |name: &str, labels: &[(&str, &str)]| value(&families, name, labels);
    assert_eq!(value("p2pmusic_uptime_seconds", &[]), 9.0);
    assert_eq!(value("p2pmusic_plays_total", &[]), 3.0);
    let bucket = "p2pmusic_first_sound_seconds_bucket";
    for (from, le, count) in [
        ("swarm", "0.002", 0.0),
        ("swarm", "0.004", 1.0),
        ("swarm", "65.536", 2.0),
        ("swarm", "+Inf", 2.0),
        ("own_disk", "0.002", 1.0),
    ] {
        assert_eq!(
            value(bucket, &[("from", from), ("le", le)]),
            count,
            "{from} {le}"
        );
    }
    let swarm = [("from", "swarm")];
    assert_eq!(value("p2pmusic_first_sound_seconds_count", &swarm), 2.0);
    assert_eq!(value("p2pmusic_first_sound_seconds_sum", &swarm), 0.103);
    let own = [("from", "own_disk")];
    assert_eq!(value("p2pmusic_local_bytes_total", &own), 5.0);
    let id = "01".repeat(32);
    let attic = [("peer", "attic"), ("id", &*id)];
    assert_eq!(value("p2pmusic_received_bytes_total", &attic), 1000.0);
    assert_eq!(value("p2pmusic_lies_total", &attic), 1.0);
}

proptest! {
    /// Buckets grow, the last is all; whatever peers are called, and be it the same.
    #[test]
    fn whatever_peers_are_called_it_can_be_read(
        names in proptest::collection::vec("[\\\\\"\n\r{}=, a-zé\u{2028}]{0,9}", 0..80),
        times in proptest::collection::vec(0u64..100_000, 0..20),
    ) {
        let now = Instant::now();
        let mut stats = NodeStats::new(now);
        for (n, name) in names.iter().enumerate() {
            receive(&mut stats, PeerId([n as u8; 32]), name, now);
        }
        for (play, ms) in times.iter().enumerate() {
            hear(&mut stats, play as u64, ByteOrigin::Cache, *ms, now);
        }
        let families = read(&exposition(&stats, now)).map_err(TestCaseError::fail)?;
        let (_, samples) = &families["p2pmusic_received_bytes_total"];
        prop_assert_eq!(samples.values().sum::<f64>(), 1000.0 * names.len() as f64);
        let read: BTreeSet<&str> = samples.keys().map(|(_, labels)| &*labels[0].1).collect();
        let known: BTreeSet<&str> = names.iter().map(|name| &**name).chain([""]).collect();
        prop_assert!(read.is_subset(&known));
        let mut last = 0.0;
        for (bound, _) in Histogram::default().doublings() {
            let le = secs(bound).to_string();
            let labels = [("from", "cache"), ("le", &*le)];
            let count = value(&families, "p2pmusic_first_sound_seconds_bucket", &labels);
            prop_assert!(count >= last);
            last = count;
        }
        let all = value(&families, "p2pmusic_first_sound_seconds_count", &[("from", "cache")]);
        prop_assert!(all >= last);
        prop_assert_eq!(all, times.len() as f64);
    }
}
