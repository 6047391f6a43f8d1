//! Sources that name others.

use super::*;

/// All that it asks for now.
fn asks(scheduler: &mut Scheduler, now: Instant) -> Vec<(RequestId, PeerId, GroupSet)> {
    let mut asked = Vec::new();
    while let Some(action) = scheduler.poll(now) {
        if let FetchAction::Fetch {
            req,
            source,
            groups,
            ..
        } = action
        {
            asked.push((req, source, groups));
        }
    }
    asked
}

fn opened(seed: u64, now: Instant) -> Scheduler {
    let head = [0..4 * GROUP_BYTES, 0..1];
    let mut scheduler = Scheduler::new(SIZE, &head, seed, now);
    scheduler.handle_have(&(0..4).into());
    scheduler.handle_demand(4 * GROUP_BYTES, now);
    scheduler.add_source(peer(1), SourceInfo::default(), now);
    scheduler
}

#[test]
fn who_is_named_is_asked_and_when_it_has_nothing_who_named_it_is_asked_again() {
    let now = Instant::now();
    let mut scheduler = opened(1, now);
    let first = asks(&mut scheduler, now);
    let (req, _, groups) = first[0].clone();
    let named = vec![(peer(2), groups.clone())];
    scheduler.handle_done(req, RequestOutcome::Elsewhere(named), now);
    let second = asks(&mut scheduler, now);
    let to_named = second.iter().find(|(_, source, _)| *source == peer(2));
    let (req, _, asked) = to_named.expect("it was named").clone();
    assert_eq!(asked, groups);
    let again = |asked: &[(_, PeerId, GroupSet)]| {
        let mut asked = asked.iter().filter(|(_, source, _)| *source == peer(1));
        asked.any(|(.., of)| of.intersects(&groups))
    };
    assert!(!again(&second), "{second:?}");
    scheduler.handle_done(req, RequestOutcome::NotAvailable, now);
    let third = asks(&mut scheduler, now);
    assert!(again(&third), "{third:?}");
    assert!(third.iter().all(|(_, source, _)| *source == peer(1)));
}

#[test]
fn what_a_part_holder_says_of_itself_counts_until_it_is_named_again() {
    let now = Instant::now();
    let mut scheduler = opened(1, now);
    let (req, _, groups) = asks(&mut scheduler, now)[0].clone();
    let named = vec![(peer(2), groups.clone())];
    scheduler.handle_done(req, RequestOutcome::Elsewhere(named), now);
    let second = asks(&mut scheduler, now);
    let to_named = second.iter().find(|(_, source, _)| *source == peer(2));
    let (req, ..) = to_named.expect("it was named").clone();
    let only = GroupSet::from(200..204);
    scheduler.handle_done(
        req,
        RequestOutcome::Elsewhere(vec![(peer(2), only.clone())]),
        now,
    );
    let third = asks(&mut scheduler, now);
    let of_named = third.iter().filter(|(_, source, _)| *source == peer(2));
    for (.., asked) in of_named {
        assert!(only.contains_all(asked), "{asked}");
    }
}

/// A liar names four that have nothing, again and again.
#[test]
fn names_that_lead_nowhere_cost_little() {
    let start = Instant::now();
    let mut scheduler = opened(1, start);
    let nobody: Vec<_> = (2..6).map(|n| (peer(n), GroupSet::all(SIZE))).collect();
    let mut now = start;
    let mut count = 0;
    while now < start + Duration::from_secs(60) {
        for (req, source, _) in asks(&mut scheduler, now) {
            count += 1;
            let outcome = match source == peer(1) {
                true => RequestOutcome::Elsewhere(nobody.clone()),
                false => RequestOutcome::NotAvailable,
            };
            scheduler.handle_done(req, outcome, now);
        }
        let next = scheduler.poll_timeout();
        now = now.max(next.unwrap_or(now)) + Duration::from_millis(1);
    }
    assert!(count < 400, "{count} requests in a minute");
}

#[test]
fn listeners_that_know_of_each_other_ask_for_different_parts_of_what_is_not_due() {
    let now = Instant::now();
    let far = |seed| {
        let mut scheduler = opened(seed, now);
        scheduler.handle_bitrate(4 * GROUP_BYTES);
        let (req, _, groups) = asks(&mut scheduler, now)[0].clone();
        scheduler.handle_done(req, RequestOutcome::Elsewhere(vec![(peer(2), groups)]), now);
        scheduler.handle_have(&(0..60).into());
        let asked = asks(&mut scheduler, now);
        asked.into_iter().map(|(.., groups)| groups.first()).max()
    };
    let starts: BTreeSet<_> = (0..8).map(far).collect();
    assert!(starts.len() >= 6, "{starts:?}");
}

#[test]
fn while_the_reader_looks_at_the_tail_what_sounds_first_goes_before_what_others_lack() {
    let now = Instant::now();
    for seed in 0..20 {
        let tail = SIZE - 1;
        let head = [0..4 * GROUP_BYTES, tail..SIZE];
        let mut scheduler = Scheduler::new(SIZE, &head, seed, now);
        scheduler.handle_bitrate(64 * GROUP_BYTES);
        scheduler.handle_audio_start(3 * GROUP_BYTES);
        scheduler.handle_have(&(0..4).into());
        scheduler.add_source(peer(1), SourceInfo::default(), now);
        scheduler.handle_demand(tail, now);
        let asked = asks(&mut scheduler, now);
        let (req, _, last) = asked[0].clone();
        assert_eq!(last.first(), Some(Group::of(tail)));
        scheduler.handle_done(req, RequestOutcome::Elsewhere(vec![(peer(2), last)]), now);
        for (req, _, groups) in &asked[1..] {
            groups
                .iter()
                .for_each(|group| scheduler.handle_group(*req, group, now));
            scheduler.handle_done(*req, RequestOutcome::Complete, now);
        }
        let next = scheduler.have.first_missing(Group(0));
        let asked = asks(&mut scheduler, now);
        let (.., first) = asked
            .iter()
            .find(|(_, source, _)| *source == peer(1))
            .unwrap();
        assert_eq!(first.first(), Some(next), "seed {seed}: {asked:?}");
    }
}
