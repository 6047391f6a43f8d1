//! What went to each peer and came from it, and which sent wrong bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    content::ranges::GroupSet,
    id::{PeerId, TrackId},
    node::{FetchEvent, FetchId},
    swarm::scheduler::RequestOutcome,
};

/// What went to and came from a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Verified bytes of music from it.
    pub received_bytes: u64,
    /// Those of them that were here already.
    pub duplicate_bytes: u64,
    /// Bytes from it that could not be used: of wrong or unfinished groups.
    pub wasted_bytes: u64,
    /// Bytes of slices for it, hashes included, as far as they got into QUIC.
    pub sent_bytes: u64,
    /// Requests that it answered with no.
    pub refusals: u64,
    /// Requests that its connection did not survive.
    pub connections_lost: u64,
    /// Answers with wrong bytes.
    pub lies: u64,
}

/// A peer and what it has to do with this node.
#[derive(Clone, Debug)]
pub struct PeerRow {
    pub peer: PeerId,
    pub name: Arc<str>,
    pub counts: Counts,
}

/// A peer that sent wrong bytes of a track.
#[derive(Clone, Debug)]
pub struct Lie {
    pub peer: PeerId,
    pub name: Arc<str>,
    pub track: TrackId,
    /// What was to be played.
    pub file: Option<String>,
    pub times: u64,
    pub last: Instant,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Traffic {
    rows: Vec<PeerRow>,
    /// Of peers that have no row of their own (any more).
    others: Counts,
    /// Requests that are out.
    fetches: BTreeMap<FetchId, Fetch>,
    /// Those that were taken back last: groups of them may still be on their way here
    /// from the task that received them.
    cancelled: VecDeque<(FetchId, Fetch)>,
    /// The latest is last.
    lies: VecDeque<Lie>,
}

#[derive(Clone, Copy, Debug)]
struct Fetch {
    peer: PeerId,
    size: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        let Self {
            received_bytes,
            duplicate_bytes,
            wasted_bytes,
            sent_bytes,
            refusals,
            connections_lost,
            lies,
        } = other;
        self.received_bytes += received_bytes;
        self.duplicate_bytes += duplicate_bytes;
        self.wasted_bytes += wasted_bytes;
        self.sent_bytes += sent_bytes;
        self.refusals += refusals;
        self.connections_lost += connections_lost;
        self.lies += lies;
    }
}

impl Traffic {
    /// `source`, which is called `name`, is asked for groups of a track of `size` bytes.
    pub fn handle_fetch(&mut self, fetch: FetchId, source: PeerId, name: Arc<str>, size: u64) {
        self.row(source, name);
        let peer = source;
        self.fetches.insert(fetch, Fetch { peer, size });
    }

    /// A request is taken back.
    pub fn handle_cancel(&mut self, fetch: FetchId) {
        if let Some(taken) = self.fetches.remove(&fetch) {
            if self.cancelled.len() == MAX_CANCELLED {
                self.cancelled.pop_front();
            }
            self.cancelled.push_back((fetch, taken));
        }
    }

    /// Something came of a request; `have` is what was here of the track before.
    /// `file` is asked what was to be played when somebody lied about it.
    pub fn handle_event(
        &mut self,
        id: FetchId,
        event: &FetchEvent,
        have: Option<&GroupSet>,
        file: impl FnOnce() -> Option<String>,
        now: Instant,
    ) {
        let cancelled = || self.cancelled.iter().find(|(fetch, _)| *fetch == id);
        let fetch = self.fetches.get(&id).copied();
        let Some(fetch) = fetch.or_else(|| cancelled().map(|(_, fetch)| *fetch)) else {
            return;
        };
        let counts = self.counts(fetch.peer);
        match event {
            FetchEvent::FirstByte => {}
            FetchEvent::Groups(groups) => {
                let twice = have.map(|have| groups.intersection(have));
                counts.received_bytes += groups.bytes(fetch.size);
                counts.duplicate_bytes += twice.map_or(0, |twice| twice.bytes(fetch.size));
            }
            FetchEvent::Wasted(bytes) => counts.wasted_bytes += bytes,
            FetchEvent::NotKept(_) => _ = self.fetches.remove(&id),
            FetchEvent::Done(outcome) => {
                match outcome {
                    RequestOutcome::Complete | RequestOutcome::Short => {}
                    RequestOutcome::Busy(_)
                    | RequestOutcome::Elsewhere(_)
                    | RequestOutcome::NotAvailable
                    | RequestOutcome::Denied
                    | RequestOutcome::Changed => counts.refusals += 1,
                    RequestOutcome::ConnectionLost(_) => counts.connections_lost += 1,
                    RequestOutcome::Liar => {
                        counts.lies += 1;
                        self.note_lie(fetch.peer, id.track, file, now);
                    }
                }
                self.fetches.remove(&id);
            }
        }
    }

    /// A slice for `peer` has ended after so many bytes. Its receiver may not be
    /// known any more.
    pub fn handle_sent(&mut self, peer: Option<(PeerId, Arc<str>)>, bytes: u64) {
        let counts = match peer {
            _ if bytes == 0 => return,
            Some((peer, name)) => &mut self.row(peer, name).counts,
            None => &mut self.others,
        };
        counts.sent_bytes += bytes;
    }

    /// The peers, those that brought and took the most first.
    pub fn rows(&self) -> Vec<&PeerRow> {
        let mut rows: Vec<&PeerRow> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|row| (std::cmp::Reverse(row.weight()), row.peer));
        rows
    }

    /// What belongs to no row.
    pub fn others(&self) -> Counts {
        self.others
    }

    pub fn total(&self) -> Counts {
        let mut total = self.others;
        self.rows.iter().for_each(|row| total.add(&row.counts));
        total
    }

    /// The peers that sent wrong bytes, the latest first.
    pub fn lies(&self) -> impl Iterator<Item = &Lie> {
        self.lies.iter().rev()
    }

    /// What a person should know of wrong bytes lately, a sentence for each peer.
    pub fn lies_in_words(&self, now: Instant) -> Vec<String> {
        let is_fresh = |lie: &&Lie| now.saturating_duration_since(lie.last) < LIE_SHOWN;
        let fresh = self.lies().filter(is_fresh).take(MAX_LIES_SHOWN);
        let words = fresh.map(|lie| {
            format!(
                "{} sent wrong bytes of {}: none of them was played or kept, and it is not \
                 asked for that track again; its disk or memory is failing, or somebody has \
                 tampered with it",
                lie.name,
                lie.file_or_track()
            )
        });
        words.collect()
    }

    fn note_lie(
        &mut self,
        peer: PeerId,
        track: TrackId,
        file: impl FnOnce() -> Option<String>,
        now: Instant,
    ) {
        let known = |lie: &Lie| (lie.peer, lie.track) == (peer, track);
        let known = self.lies.iter().position(known);
        let mut lie = match known.and_then(|at| self.lies.remove(at)) {
            Some(lie) => lie,
            None => Lie {
                peer,
                name: self.name(peer),
                track,
                file: file(),
                times: 0,
                last: now,
            },
        };
        (lie.times, lie.last) = (lie.times + 1, now);
        log::debug!("{} lies about {}", lie.name, lie.file_or_track());
        if self.lies.len() == MAX_LIES {
            self.lies.pop_front();
        }
        self.lies.push_back(lie);
    }

    fn name(&self, peer: PeerId) -> Arc<str> {
        let row = self.rows.iter().find(|row| row.peer == peer);
        row.map_or_else(|| peer.to_string().into(), |row| row.name.clone())
    }

    /// The counts of a peer that has a row, or had one.
    fn counts(&mut self, peer: PeerId) -> &mut Counts {
        match self.rows.iter_mut().find(|row| row.peer == peer) {
            Some(row) => &mut row.counts,
            None => &mut self.others,
        }
    }

    /// The row of `peer`, which is called `name` now. Where there are too many, the one
    /// that matters least goes to the others.
    fn row(&mut self, peer: PeerId, name: Arc<str>) -> &mut PeerRow {
        let at = match self.rows.iter().position(|row| row.peer == peer) {
            Some(at) => at,
            None => {
                if self.rows.len() == MAX_ROWS {
                    let least = (0..MAX_ROWS).min_by_key(|at| self.rows[*at].weight());
                    let goes = self.rows.swap_remove(least.unwrap_or(0));
                    self.others.add(&goes.counts);
                }
                self.rows.push(PeerRow {
                    peer,
                    name: name.clone(),
                    counts: Counts::default(),
                });
                self.rows.len() - 1
            }
        };
        let row = &mut self.rows[at];
        row.name = name;
        row
    }
}

impl PeerRow {
    fn weight(&self) -> u64 {
        self.counts.received_bytes + self.counts.sent_bytes
    }
}

impl Lie {
    /// What it is about, for people.
    pub fn file_or_track(&self) -> String {
        match &self.file {
            Some(file) => file.clone(),
            None => format!("track {}", self.track),
        }
    }
}

/// Peers with counts of their own: more speakers than a home has, and a table that a
/// person can read. A row takes some 150 bytes.
const MAX_ROWS: usize = 64;
/// Requests taken back whose groups may still come: as many as one seek takes back.
const MAX_CANCELLED: usize = 64;
/// Enough to see what they have in common.
const MAX_LIES: usize = 16;
/// Sentences in `status`, which has others to say as well.
const MAX_LIES_SHOWN: usize = 4;
/// A look in the evening shows what was in the morning.
const LIE_SHOWN: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::GROUP_BYTES, swarm::scheduler::RequestId};

    fn peer(n: u16) -> PeerId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        PeerId(id)
    }

    fn fetch(n: u64) -> FetchId {
        FetchId {
            track: TrackId([7; 32]),
            stream: 1,
            request: RequestId(n),
        }
    }

    fn groups(range: std::ops::Range<u32>) -> FetchEvent {
        FetchEvent::Groups(range.into())
    }

    struct TrafficHarness {
        traffic: Traffic,
        now: Instant,
    }

    impl TrafficHarness {
        fn new() -> Self {
            Self {
                traffic: Traffic::default(),
                now: Instant::now(),
            }
        }

        /// Asks the `n`th peer for groups of a track of two and a half.
        fn ask(&mut self, request: u64, n: u16) {
            let name = format!("peer {n}").into();
            let size = 2 * GROUP_BYTES + GROUP_BYTES / 2;
            self.traffic
                .handle_fetch(fetch(request), peer(n), name, size);
        }

        fn tell(&mut self, request: u64, event: FetchEvent, have: &GroupSet) {
            let file = || Some("attic/song.wav".to_owned());
            self.traffic
                .handle_event(fetch(request), &event, Some(have), file, self.now);
        }

        fn counts(&self, n: u16) -> Counts {
            let rows = self.traffic.rows();
            let row = rows.iter().find(|row| row.peer == peer(n));
            row.expect("it has a row").counts
        }
    }

    #[test]
    fn verified_bytes_are_counted_once_and_the_last_group_by_its_length() {
        let mut bench = TrafficHarness::new();
        let mut have = GroupSet::new();
        bench.ask(0, 1);
        bench.ask(1, 2);
        bench.tell(0, groups(0..3), &have);
        have.insert_range(0..3);
        bench.tell(1, groups(2..3), &have);
        bench.tell(1, FetchEvent::Wasted(100), &have);
        for request in [0, 1] {
            bench.tell(request, FetchEvent::Done(RequestOutcome::Complete), &have);
            bench.tell(request, groups(0..3), &have);
        }
        let half = GROUP_BYTES / 2;
        assert_eq!(bench.counts(1).received_bytes, 5 * half);
        assert_eq!(bench.counts(1).duplicate_bytes, 0);
        let second = bench.counts(2);
        assert_eq!(
            [
                second.received_bytes,
                second.duplicate_bytes,
                second.wasted_bytes
            ],
            [half, half, 100]
        );
        assert!(bench.traffic.fetches.is_empty());
    }

    #[test]
    fn what_still_comes_of_a_cancelled_request_is_its_peers() {
        let mut bench = TrafficHarness::new();
        for request in 0..=MAX_CANCELLED as u64 {
            bench.ask(request, 1);
            bench.traffic.handle_cancel(fetch(request));
        }
        let none = GroupSet::new();
        bench.tell(0, groups(0..1), &none);
        assert_eq!(bench.counts(1).received_bytes, 0, "forgotten");
        bench.tell(1, groups(0..1), &none);
        assert_eq!(bench.counts(1).received_bytes, GROUP_BYTES);
    }

    #[test]
    fn ever_new_peers_take_no_more_room_and_sums_stay_true() {
        let mut bench = TrafficHarness::new();
        let none = GroupSet::new();
        for n in 0..2000u16 {
            bench.ask(u64::from(n), n);
            bench.tell(u64::from(n), groups(0..1), &none);
            bench.tell(u64::from(n), FetchEvent::Done(RequestOutcome::Liar), &none);
            bench
                .traffic
                .handle_sent(Some((peer(n), "x".into())), u64::from(n));
        }
        bench.traffic.handle_sent(None, 1);
        assert_eq!(bench.traffic.rows().len(), MAX_ROWS);
        assert_eq!(bench.traffic.lies().count(), MAX_LIES);
        let total = bench.traffic.total();
        assert_eq!(total.received_bytes, 2000 * GROUP_BYTES);
        assert_eq!(total.sent_bytes, 1999 * 1000 + 1);
        assert_eq!(total.lies, 2000);
    }

    #[test]
    fn a_liar_is_named_with_what_it_lied_about_and_one_day_it_is_over() {
        let mut bench = TrafficHarness::new();
        for request in [0, 1] {
            bench.ask(request, 1);
            bench.tell(
                request,
                FetchEvent::Done(RequestOutcome::Liar),
                &GroupSet::new(),
            );
        }
        let words = bench.traffic.lies_in_words(bench.now);
        let [sentence] = &words[..] else {
            panic!("{words:?}");
        };
        assert!(sentence.starts_with("peer 1 sent wrong bytes of attic/song.wav: "));
        assert_eq!(bench.traffic.lies().next().map(|lie| lie.times), Some(2));
        let late = bench.now + LIE_SHOWN;
        assert_eq!(bench.traffic.lies_in_words(late), [""; 0]);
    }
}
