mod listening;
mod referrals;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::policy::choose::{MAX_BULK_GROUPS, MAX_REQUESTS_PER_SOURCE};
use super::source::FIRST_PATIENCE;
use super::*;
use crate::id::{group_count, GROUP_BYTES};

const SIZE: u64 = 300 * GROUP_BYTES - 77;

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn opening() -> Vec<Range<u64>> {
    let head = 0..64 * 1024;
    let audio = 124 * GROUP_BYTES..128 * GROUP_BYTES;
    vec![head, audio, SIZE - 10_000..SIZE]
}

fn scheduler(seed: u64) -> Scheduler {
    Scheduler::new(SIZE, &opening(), seed, Instant::now())
}

/// How a simulated source behaves.
#[derive(Clone, Debug)]
enum Manner {
    Good,
    /// Stops in the middle of everything at this time.
    DiesAt(Duration),
    /// Has only these groups, and does not say so.
    Lacks(u32),
    BusyTimes(u32),
    LiesInGroup(u32),
    Silent,
    /// Sends nothing any more from this time on, and says nothing.
    FallsSilentAt(Duration),
    Refuses(RequestOutcome),
}

#[derive(Clone, Debug)]
struct Remote {
    manner: Manner,
    latency: Duration,
    rate: u64,
}

enum Event {
    /// The request is there: the answer begins.
    Asked(RequestId, PeerId, GroupSet, Class),
    /// The source has sent what is first in its line.
    Sent(PeerId),
    Done(RequestId, RequestOutcome),
}

/// What a source sends, one group after the other, by class; the one at the front is under
/// way.
type Line = VecDeque<(Class, RequestId, Option<Group>)>;

/// A scheduler among simulated sources, in virtual time.
struct World {
    scheduler: Scheduler,
    remotes: BTreeMap<PeerId, Remote>,
    start: Instant,
    now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    running: BTreeMap<RequestId, (PeerId, GroupSet)>,
    liars: BTreeSet<PeerId>,
    lines: BTreeMap<PeerId, Line>,
    log: Vec<(Duration, FetchAction)>,
    /// Groups that came for the second time.
    wasted: u32,
}

impl World {
    fn new(remotes: Vec<Remote>, seed: u64) -> Self {
        let start = Instant::now();
        let mut scheduler = scheduler(seed);
        let remotes = (1..).map(peer).zip(remotes).collect::<BTreeMap<_, _>>();
        for peer in remotes.keys() {
            scheduler.add_source(*peer, SourceInfo::default(), start);
        }
        Self {
            scheduler,
            remotes,
            start,
            now: start,
            events: BTreeMap::new(),
            running: BTreeMap::new(),
            liars: BTreeSet::new(),
            lines: BTreeMap::new(),
            log: Vec::new(),
            wasted: 0,
        }
    }

    /// Runs until complete or stuck.
    fn run(&mut self) -> FetchAction {
        let far = self.now + Duration::from_secs(1_000_000);
        self.run_until(far).expect("neither complete nor stuck")
    }

    /// The same, but not beyond `until`.
    fn run_until(&mut self, until: Instant) -> Option<FetchAction> {
        for _ in 0..100_000 {
            while let Some(action) = self.poll() {
                match action {
                    FetchAction::Fetch {
                        req,
                        source,
                        groups,
                        class,
                        renew,
                    } => self.fetch(req, source, groups, class, renew),
                    FetchAction::Cancel { req } => self.cancel(req),
                    FetchAction::Forget { .. } => unreachable!("nobody said that it is not kept"),
                    FetchAction::Complete | FetchAction::Stuck { .. } => return Some(action),
                }
            }
            if self.now >= until {
                return None;
            }
            self.step();
        }
        panic!("neither complete nor stuck: {:?}", self.scheduler);
    }

    /// The next action; there are not many at one time, or it would not come to rest.
    fn poll(&mut self) -> Option<FetchAction> {
        let action = self.scheduler.poll(self.now)?;
        let at = self.now - self.start;
        self.log.push((at, action.clone()));
        let at_once = self.log.iter().rev().take_while(|(then, _)| *then == at);
        assert!(
            at_once.count() < MAX_AT_ONCE,
            "{:#?}",
            &self.log[self.log.len() - 20..]
        );
        Some(action)
    }

    fn step(&mut self) {
        let timer = self.scheduler.poll_timeout();
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let next = timer.into_iter().chain(event).min();
        let next = next.expect("it waits for nothing");
        assert!(
            timer.is_none_or(|timer| timer > self.now),
            "a timer in the past"
        );
        self.now = self.now.max(next);
        if event == Some(next) {
            let (_, event) = self.events.pop_first().unwrap();
            self.deliver(event);
        }
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::Asked(req, source, groups, class) => {
                self.scheduler.handle_first_byte(req, self.now);
                let line = self.lines.entry(source).or_default();
                let idle = line.is_empty();
                let later = line.iter().skip(1).position(|(c, ..)| *c > class);
                let after = line.split_off(later.map_or(line.len(), |n| n + 1));
                line.extend(groups.iter().map(|group| (class, req, Some(group))));
                line.push_back((class, req, None));
                line.extend(after);
                if idle {
                    self.send(source);
                }
            }
            Event::Sent(source) => {
                let sent = self.lines.get_mut(&source).and_then(Line::pop_front);
                let Some((_, req, group)) = sent else {
                    return;
                };
                if self.running.contains_key(&req) {
                    match group {
                        Some(group) => self.arrive(req, source, group),
                        None => self.done(req, RequestOutcome::Complete),
                    }
                }
                self.send(source);
            }
            Event::Done(req, outcome) => self.done(req, outcome),
        }
    }

    /// Has the line of `source` send what is first in it and still wanted.
    fn send(&mut self, source: PeerId) {
        let rate = self.remotes[&source].rate;
        let Some(line) = self.lines.get_mut(&source) else {
            return;
        };
        while line
            .front()
            .is_some_and(|(_, req, _)| !self.running.contains_key(req))
        {
            line.pop_front();
        }
        if let Some((_, _, group)) = line.front() {
            let bytes = group.map_or(0, |_| GROUP_BYTES);
            let at = self.now + Duration::from_micros(bytes * 1_000_000 / rate);
            self.at(at, Event::Sent(source));
        }
    }

    fn arrive(&mut self, req: RequestId, source: PeerId, group: Group) {
        let since = self.now - self.start;
        match self.remotes[&source].manner {
            Manner::FallsSilentAt(when) if since >= when => {}
            Manner::DiesAt(when) if since >= when => {
                self.done(req, RequestOutcome::ConnectionLost("timed out".into()));
            }
            Manner::Lacks(from) if group.0 >= from => self.done(req, RequestOutcome::Short),
            Manner::LiesInGroup(n) if group.0 == n => self.done(req, RequestOutcome::Liar),
            _ => {
                self.wasted += u32::from(self.scheduler.have().contains(group));
                self.scheduler.handle_group(req, group, self.now);
            }
        }
    }

    fn done(&mut self, req: RequestId, outcome: RequestOutcome) {
        let fell_silent =
            |m: &Manner, since| matches!(m, Manner::FallsSilentAt(when) if since >= *when);
        if let Some((peer, _)) = self.running.get(&req) {
            let (peer, since) = (*peer, self.now - self.start);
            if fell_silent(&self.remotes[&peer].manner, since) {
                return;
            }
            self.running.remove(&req);
            if outcome == RequestOutcome::Liar {
                self.liars.insert(peer);
            }
        }
        self.scheduler.handle_done(req, outcome, self.now);
    }

    fn cancel(&mut self, req: RequestId) {
        self.running.remove(&req);
        self.events.retain(|_, event| match event {
            Event::Asked(r, ..) | Event::Done(r, _) => *r != req,
            Event::Sent(_) => true,
        });
    }

    fn fetch(
        &mut self,
        req: RequestId,
        source: PeerId,
        groups: GroupSet,
        class: Class,
        renew: bool,
    ) {
        assert!(!self.liars.contains(&source), "a liar was asked again");
        assert!(!groups.is_empty() && groups.count() <= MAX_BULK_GROUPS);
        let missing = groups.difference(self.scheduler.have());
        assert_eq!(missing, groups, "asked for what is here");
        let others: Vec<_> = self
            .running
            .values()
            .filter(|r| r.1.intersects(&groups))
            .collect();
        assert!(others.len() <= 1);
        assert!(renew || others.iter().all(|(peer, _)| *peer != source));
        self.running.insert(req, (source, groups.clone()));
        let at_source = self.running.values().filter(|(peer, _)| *peer == source);
        assert!(at_source.count() <= MAX_REQUESTS_PER_SOURCE + 1);
        self.answer(req, source, &groups, class);
    }

    fn answer(&mut self, req: RequestId, source: PeerId, groups: &GroupSet, class: Class) {
        let remote = self.remotes[&source].clone();
        let at = self.now + remote.latency;
        let event = match remote.manner {
            Manner::BusyTimes(left @ 1..) => {
                self.remotes.get_mut(&source).unwrap().manner = Manner::BusyTimes(left - 1);
                Event::Done(req, RequestOutcome::Busy(None))
            }
            Manner::Silent => return,
            Manner::FallsSilentAt(when) if at >= self.start + when => return,
            Manner::Refuses(outcome) => Event::Done(req, outcome),
            _ => Event::Asked(req, source, groups.clone(), class),
        };
        self.at(at, event);
    }

    fn at(&mut self, at: Instant, event: Event) {
        let seq = self.events.len() as u64;
        let last = self.events.range((at, 0)..=(at, u64::MAX)).next_back();
        let seq = last.map_or(seq, |((_, last), _)| last + 1);
        self.events.insert((at, seq), event);
    }

    fn fetches(&self) -> impl Iterator<Item = (Duration, PeerId, &GroupSet, Class)> {
        self.log.iter().filter_map(|(at, action)| match action {
            FetchAction::Fetch {
                source,
                groups,
                class,
                ..
            } => Some((*at, *source, groups, *class)),
            _ => None,
        })
    }
}

const MAX_AT_ONCE: usize = 300;

fn good() -> Remote {
    Remote {
        manner: Manner::Good,
        latency: Duration::from_millis(5),
        rate: 5_000_000,
    }
}

fn remotes() -> impl Strategy<Value = Remote> {
    let manner = prop_oneof![
        Just(Manner::Good),
        (0u64..2000).prop_map(|ms| Manner::DiesAt(Duration::from_millis(ms))),
        (0u32..300).prop_map(Manner::Lacks),
        (1u32..8).prop_map(Manner::BusyTimes),
        (0u32..300).prop_map(Manner::LiesInGroup),
        Just(Manner::Silent),
        prop_oneof![
            Just(RequestOutcome::NotAvailable),
            Just(RequestOutcome::Denied),
            Just(RequestOutcome::Changed),
        ]
        .prop_map(Manner::Refuses),
    ];
    (manner, 1u64..900, 200_000u64..20_000_000).prop_map(|(manner, ms, rate)| Remote {
        manner,
        latency: Duration::from_millis(ms),
        rate,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn with_one_live_source_everything_arrives(
        mut others in proptest::collection::vec(remotes(), 0..5),
        live in remotes(), at in any::<proptest::sample::Index>(), seed: u64
    ) {
        let live = Remote { manner: Manner::Good, ..live };
        others.insert(at.index(others.len() + 1), live);
        let mut world = World::new(others.clone(), seed);
        prop_assert_eq!(world.run(), FetchAction::Complete);
        prop_assert_eq!(world.scheduler.have(), &GroupSet::all(SIZE));

        let mut again = World::new(others, seed);
        again.run();
        prop_assert_eq!(world.log, again.log);
    }

    #[test]
    fn without_one_it_ends_with_every_reason_or_waits_for_one_that_fails(
        bad in proptest::collection::vec(remotes(), 0..4), seed: u64
    ) {
        let mut world = World::new(bad.clone(), seed);
        let until = world.now + Duration::from_secs(300);
        let end = world.run_until(until);
        if end != Some(FetchAction::Complete) {
            if let Some(FetchAction::Stuck { why }) = end {
                prop_assert_eq!(why.len(), bad.len());
                prop_assert!(world.running.is_empty());
                prop_assert_eq!(world.scheduler.poll(world.now), None);
                prop_assert_eq!(world.scheduler.poll_timeout(), None);
            } else {
                let tries = world.fetches().filter(|(at, ..)| *at > Duration::from_secs(200));
                prop_assert!((10..400).contains(&tries.count()), "it is tried again");
                prop_assert_eq!(world.scheduler.arriving(world.now), 0);
            }
            // A source that turns up with the track ends it; that the others are back does not.
            for peer in world.remotes.keys() {
                world.scheduler.add_source(*peer, SourceInfo::default(), world.now);
            }
            world.remotes.insert(peer(99), good());
            world.scheduler.add_source(peer(99), SourceInfo::default(), world.now);
            prop_assert_eq!(world.run(), FetchAction::Complete);
        }
    }
}

#[test]
fn among_good_sources_every_group_is_asked_for_once() {
    let mut world = World::new(vec![good(), good(), good()], 7);
    assert_eq!(world.run(), FetchAction::Complete);
    let asked: u32 = world
        .fetches()
        .map(|(_, _, groups, _)| groups.count())
        .sum();
    assert_eq!(asked, group_count(SIZE));
    let sources: BTreeSet<_> = world.fetches().map(|(_, source, ..)| source).collect();
    assert_eq!(sources.len(), 3);
    // 15 MB/s together, less what starting costs.
    assert!(world.now - world.start < Duration::from_millis(700));
}

#[test]
fn a_cold_play_asks_for_head_audio_start_and_tail_at_once() {
    let mut world = World::new(vec![good()], 7);
    world.run();
    let at_once: Vec<_> = world
        .fetches()
        .take_while(|(at, ..)| at.is_zero())
        .map(|(_, _, groups, class)| (groups.clone(), class))
        .collect();
    let groups = [0..4, 124..128, 299..300, 4..8].map(GroupSet::from);
    assert_eq!(at_once, groups.map(|groups| (groups, Class::Now)));
    let last = world
        .fetches()
        .map(|(_, _, groups, _)| groups.count())
        .max();
    assert!(last > Some(SMALL_GROUPS));
}

#[test]
fn a_late_first_byte_is_asked_of_a_second_source() {
    let silent = Remote {
        manner: Manner::Silent,
        ..good()
    };
    let mut world = World::new(vec![silent], 1);
    world.remotes.insert(peer(2), good());
    while let Some(FetchAction::Fetch {
        req,
        source,
        groups,
        class,
        ..
    }) = world.scheduler.poll(world.now)
    {
        world.fetch(req, source, groups, class, false);
    }
    world
        .scheduler
        .add_source(peer(2), SourceInfo::default(), world.now);
    assert_eq!(world.run(), FetchAction::Complete);
    let copy = world
        .fetches()
        .find(|(_, _, groups, _)| groups.contains(Group(0)));
    let (at, source, ..) = copy.unwrap();
    assert_eq!((at, source), (FIRST_PATIENCE, peer(2)));
}

#[test]
fn a_seek_drops_what_is_far_and_asks_there_at_once() {
    let mut world = World::new(
        vec![Remote {
            rate: 500_000,
            ..good()
        }],
        3,
    );
    for _ in 0..60 {
        while let Some(action) = world.scheduler.poll(world.now) {
            if let FetchAction::Fetch {
                req,
                source,
                groups,
                class,
                ..
            } = action
            {
                world.fetch(req, source, groups, class, false);
            }
        }
        world.step();
    }
    let bulk = |world: &World| {
        world
            .running
            .values()
            .any(|(_, g)| g.count() > SMALL_GROUPS)
    };
    assert!(bulk(&world));
    world
        .scheduler
        .handle_demand(Group(250).start() + 5, world.now);
    let mut asked = None;
    while let Some(action) = world.scheduler.poll(world.now) {
        match action {
            FetchAction::Cancel { req } => world.cancel(req),
            FetchAction::Fetch { groups, .. } => asked = asked.or(Some(groups)),
            other => panic!("{other:?}"),
        }
    }
    assert!(!bulk(&world));
    assert_eq!(asked, Some((250..254).into()));
}

#[test]
fn a_class_tells_what_is_played_soon_from_the_rest() {
    let mut scheduler = scheduler(1);
    scheduler.handle_bitrate(GROUP_BYTES);
    let classes = |s: &Scheduler| {
        [0, 60, 61, 125, 299].map(|n| s.play_head.class_of(&GroupSet::from(n..n + 1)))
    };
    use Class::{Next, Now, Rest};
    assert_eq!(classes(&scheduler), [Now, Now, Rest, Now, Now]);
    scheduler.handle_role(Next);
    assert_eq!(classes(&scheduler), [Next, Next, Rest, Next, Next]);
}

#[test]
fn an_empty_track_is_complete_and_a_lonely_one_stuck() {
    let now = Instant::now();
    let mut empty = Scheduler::new(0, &[], 1, now);
    assert_eq!(empty.poll(now), Some(FetchAction::Complete));
    assert_eq!(empty.poll(now), None);
    let mut lonely = scheduler(1);
    assert_eq!(lonely.poll(now), Some(FetchAction::Stuck { why: vec![] }));
    assert_eq!(lonely.poll(now), None);
}
