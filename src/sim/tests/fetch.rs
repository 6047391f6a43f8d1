//! What a core may expect of a fetch: one table, run against the real one, which asks a real
//! holder over QUIC on this machine, and against the simulation's.

mod bench;

use std::{ops::Range, panic::catch_unwind, sync::Mutex, thread, time::Duration};

use self::bench::{ask_model, ask_real};
use crate::{
    content::ranges::GroupSet,
    id::{PeerId, GROUP_BYTES},
    protocol::Decline,
    swarm::scheduler::RequestOutcome,
};

use FetchReport::{Done, FirstByte, Wasted};
use SourceManner::{Has, Lies, Refuses, Silent, Unsupported};

/// Twelve groups, and a short one.
const SIZE: u64 = 12 * GROUP_BYTES + 77;
const ALL: Range<u32> = 0..13;
/// As what a source names itself, whichever it is.
const SELF: PeerId = PeerId([0; 32]);

/// What is asked, and of which source.
#[derive(Clone)]
struct FetchCase {
    source: SourceManner,
    /// Bytes a second that the source sends.
    rate: Option<u64>,
    asked: Range<u32>,
    /// Of the track, as the requester believes.
    size: u64,
    then: Disturbance,
}

/// How a source behaves.
#[derive(Clone, PartialEq, Eq)]
enum SourceManner {
    /// It has these groups of the track, and sends what it is asked for.
    Has(Range<u32>),
    Refuses(Decline),
    /// Its answer is one of a later version.
    Unsupported,
    /// The first group that it sends is another one.
    Lies,
    /// It takes the request, and says nothing.
    Silent,
}

/// What happens when [`ENOUGH`] is here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    Nothing,
    Cancelled,
    ConnectionClosed,
    /// The source gives the place to another requester.
    GivenUp,
    /// Nothing comes any more.
    Stopped,
}

const ENOUGH: Range<u32> = 0..2;

/// What a core is told of a fetch. Groups that follow each other are one report: how many come
/// at a time is up to chance.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FetchReport {
    FirstByte,
    Groups(GroupSet),
    Wasted,
    Done(RequestOutcome),
}

/// What has become of a request.
#[derive(Debug, PartialEq, Eq)]
struct FetchResult {
    /// At the requester.
    reports: Vec<FetchReport>,
    have: GroupSet,
    /// What the source knows to be at the requester.
    confirmed: GroupSet,
}

impl FetchResult {
    fn add(&mut self, report: FetchReport) {
        match (self.reports.last_mut(), report) {
            (Some(FetchReport::Groups(before)), FetchReport::Groups(groups)) => {
                *before = before.union(&groups);
            }
            (_, report) => self.reports.push(report),
        }
    }

    /// Takes out what is said differently each time: reasons, and ids.
    fn normalise(&mut self, source: PeerId) {
        for report in &mut self.reports {
            match report {
                FetchReport::Done(RequestOutcome::ConnectionLost(why)) => why.clear(),
                FetchReport::Done(RequestOutcome::Elsewhere(named)) => {
                    let own = named.iter_mut().filter(|(peer, _)| *peer == source);
                    own.for_each(|(peer, _)| *peer = SELF);
                }
                _ => {}
            }
        }
        // What had come of a group that was cut off; the simulation's groups are one piece.
        if !self.ends_with(&RequestOutcome::Liar) {
            self.reports.retain(|report| *report != FetchReport::Wasted);
        }
    }

    fn ends_with(&self, outcome: &RequestOutcome) -> bool {
        self.reports.last() == Some(&FetchReport::Done(outcome.clone()))
    }
}

fn of(source: SourceManner, asked: Range<u32>) -> FetchCase {
    FetchCase {
        source,
        rate: None,
        asked,
        size: SIZE,
        then: Disturbance::Nothing,
    }
}

/// A source that has all, so slow that there is time for something to happen in the midst.
fn slow(then: Disturbance) -> FetchCase {
    FetchCase {
        rate: Some(GROUP_BYTES / 2),
        then,
        ..of(SourceManner::Has(ALL), 0..6)
    }
}

/// A case, what is told of it, and what of that the source knows to have arrived.
type Contract = (&'static str, FetchCase, Vec<FetchReport>, Range<u32>);

fn lost() -> FetchReport {
    Done(RequestOutcome::ConnectionLost(String::new()))
}

fn groups(range: Range<u32>) -> FetchReport {
    FetchReport::Groups(range.into())
}

/// What is sent, right or wrong.
fn slices() -> Vec<Contract> {
    vec![
        (
            "a whole slice comes group by group",
            of(Has(ALL), 0..8),
            vec![FirstByte, groups(0..8), Done(RequestOutcome::Complete)],
            0..8,
        ),
        (
            "so does one of the last group, which is short",
            of(Has(ALL), 12..13),
            vec![FirstByte, groups(12..13), Done(RequestOutcome::Complete)],
            12..13,
        ),
        (
            "a source that has only the beginning of a slice sends that",
            of(Has(0..3), 0..8),
            vec![FirstByte, groups(0..3), Done(RequestOutcome::Short)],
            0..3,
        ),
        (
            "wrong bytes are a lie, and of no use",
            of(Lies, 0..4),
            vec![FirstByte, Wasted, Done(RequestOutcome::Liar)],
            0..0,
        ),
        (
            "one that is slow but steady is not",
            FetchCase {
                rate: Some(GROUP_BYTES / 4),
                ..of(Has(ALL), 0..3)
            },
            vec![FirstByte, groups(0..3), Done(RequestOutcome::Complete)],
            0..3,
        ),
    ]
}

/// What is answered instead.
fn refusals() -> Vec<Contract> {
    let part = 0..4;
    let named = vec![(PeerId([7; 32]), vec![part])];
    let retry = Duration::from_secs(3);
    vec![
        (
            "one that has others says which",
            of(Has(4..6), 0..4),
            vec![Done(RequestOutcome::Elsewhere(vec![(SELF, (4..6).into())]))],
            0..0,
        ),
        (
            "one that has none does not have the track",
            of(Has(0..0), 0..4),
            vec![Done(RequestOutcome::NotAvailable)],
            0..0,
        ),
        (
            "a size that is not so is another file's",
            FetchCase {
                size: SIZE + 1,
                ..of(Has(ALL), 0..4)
            },
            vec![Done(RequestOutcome::Changed)],
            0..0,
        ),
        (
            "a refusal says why",
            of(Refuses(Decline::Denied), 0..4),
            vec![Done(RequestOutcome::Denied)],
            0..0,
        ),
        (
            "a busy source says when to ask again",
            of(Refuses(Decline::Busy { retry }), 0..4),
            vec![Done(RequestOutcome::Busy(Some(retry)))],
            0..0,
        ),
        (
            "a referral names others, and what they have",
            of(Refuses(Decline::Elsewhere(named)), 0..4),
            vec![Done(RequestOutcome::Elsewhere(vec![(
                PeerId([7; 32]),
                (0..4).into(),
            )]))],
            0..0,
        ),
        (
            "an answer that is not understood is none",
            of(Unsupported, 0..4),
            vec![Done(RequestOutcome::NotAvailable)],
            0..0,
        ),
        (
            "a source that says nothing is given up",
            of(Silent, 0..4),
            vec![lost()],
            0..0,
        ),
    ]
}

/// What ends in the midst.
fn ends() -> Vec<Contract> {
    vec![
        (
            "what has come before a source stops is kept",
            slow(Disturbance::Stopped),
            vec![FirstByte, groups(ENOUGH), lost()],
            0..0,
        ),
        (
            "and before its connection is closed",
            slow(Disturbance::ConnectionClosed),
            vec![FirstByte, groups(ENOUGH), lost()],
            0..0,
        ),
        (
            "and before it gives its place to another requester",
            slow(Disturbance::GivenUp),
            vec![FirstByte, groups(ENOUGH), Done(RequestOutcome::Busy(None))],
            0..0,
        ),
        (
            "of a request that is cancelled nothing more is told",
            slow(Disturbance::Cancelled),
            vec![FirstByte, groups(ENOUGH)],
            0..0,
        ),
    ]
}

#[test]
fn every_fetch_keeps_the_contract() {
    type AskSource = fn(&FetchCase) -> FetchResult;
    let fetches: [(&str, AskSource); 2] =
        [("the simulation's", ask_model), ("the real one", ask_real)];
    let broken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for (name, case, reports, confirmed) in [slices(), refusals(), ends()].concat() {
            let broken = &broken;
            scope.spawn(move || {
                let groups = reports.iter().map(|report| match report {
                    FetchReport::Groups(groups) => groups.clone(),
                    _ => GroupSet::new(),
                });
                let expected = FetchResult {
                    have: groups.fold(GroupSet::new(), |all, groups| all.union(&groups)),
                    reports,
                    confirmed: confirmed.into(),
                };
                for (which, ask) in fetches {
                    let found = catch_unwind(|| ask(&case));
                    if !found.as_ref().is_ok_and(|found| *found == expected) {
                        let what = format!("{which}: {name}: {:?}", found.ok());
                        broken.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
