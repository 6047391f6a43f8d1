//! Which peers are greeted, and when; where they are dialled, and what they are called.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    greetings::{
        FIRST_REST, GREET_EVERY, LONGEST_REST, MAX_ASKING, PATIENCE, RETRY, SPREAD, TELL_WITHIN,
        WAIT_FOR_TRACKER,
    },
    records::{MAX_MET, MAX_RECORDS},
    *,
};

mod places;

const ME: PeerId = PeerId([0; 32]);

fn peer(n: u16) -> PeerId {
    let mut id = [1; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    PeerId(id)
}

fn at(n: u16) -> SocketAddr {
    ([10, 0, (n / 256) as u8, n as u8], 4670).into()
}

fn alone(now: Instant) -> Roster {
    let mut roster = Roster::new(ME, "me", Interfaces::default(), 7, now);
    roster.handle_no_tracker(now);
    roster
}

fn told(now: Instant) -> Roster {
    let mut roster = Roster::new(ME, "me", Interfaces::default(), 7, now);
    roster.handle_registered(at(0).ip(), "me", now);
    roster
}

/// A tracker says that `n` is here.
fn vouch(roster: &mut Roster, n: u16, name: &str, now: Instant) {
    let record = PeerRecord {
        peer: peer(n),
        name: name.into(),
        state: PeerState::Up,
        candidates: vec![Candidate::At(at(n))],
    };
    roster.handle_record(record, now);
}

/// The peer to greet now.
fn greet(roster: &mut Roster, now: Instant) -> Option<PeerId> {
    let mut changes = std::iter::from_fn(|| roster.poll(now));
    changes.find_map(|change| match change {
        RosterChange::Greet(peer) => Some(peer),
        _ => None,
    })
}

/// When each greeting goes out within `time`, if nobody answers.
fn unanswered(roster: &mut Roster, from: Instant, time: Duration) -> Vec<Duration> {
    let mut greeted = Vec::new();
    while let Some(now) = roster.poll_timeout().filter(|due| *due <= from + time) {
        if let Some(peer) = greet(roster, now) {
            greeted.push(now - from);
            roster.handle_unanswered(peer, false, now);
        }
    }
    greeted
}

#[test]
fn who_does_not_answer_is_gone_within_a_minute_and_asked_ever_more_seldom() {
    let now = Instant::now();
    let mut roster = alone(now);
    roster.handle_answered(peer(1), "attic", at(1), now);
    let greeted = unanswered(&mut roster, now, Duration::from_secs(7200));
    let (first, later) = greeted.split_at(PATIENCE as usize);
    assert!(first[0] >= GREET_EVERY * 3 / 4);
    assert!(first[2] < Duration::from_secs(60) - Duration::from_secs(3 * 6));
    assert_eq!(roster.peers.absent()[0].name, "attic");
    let rests: Vec<Duration> = later.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(rests[0] >= FIRST_REST / 2, "{rests:?}");
    let last = rests[rests.len() - 1];
    assert!(
        last >= LONGEST_REST / 2 && last <= LONGEST_REST,
        "{rests:?}"
    );
}

/// Wi-Fi was away for half an hour, and nobody is where nobody was.
#[test]
fn who_was_out_of_reach_is_greeted_when_the_network_is_back() {
    let away = || {
        let now = Instant::now();
        let mut roster = alone(now);
        roster.handle_sighting(peer(1), vec![at(1)], now);
        roster.handle_answered(peer(1), "attic", at(1), now);
        unanswered(&mut roster, now, Duration::from_secs(1800));
        let now = now + Duration::from_secs(1800);
        roster.handle_sighting(peer(1), Vec::new(), now);
        unanswered(&mut roster, now, SPREAD);
        assert!(roster.poll_timeout() > Some(now + FIRST_REST));
        (roster, now)
    };
    let (mut roster, now) = away();
    roster.handle_interfaces(Interfaces::default(), now);
    assert!(roster.poll_timeout() <= Some(now + SPREAD));
    let (mut roster, now) = away();
    roster.handle_sighting(peer(1), vec![at(1)], now);
    assert!(roster.poll_timeout() <= Some(now + SPREAD));
}

#[test]
fn for_whom_a_tracker_speaks_is_not_greeted_but_who_lost_it_only_is() {
    let now = Instant::now();
    let mut roster = told(now);
    vouch(&mut roster, 1, "attic", now);
    assert_eq!(roster.poll_timeout(), None);
    let day = Duration::from_secs(86_400);
    roster.handle_gone(peer(1), true, now);
    assert!(unanswered(&mut roster, now, day).is_empty());
    vouch(&mut roster, 1, "attic", now);
    roster.handle_gone(peer(1), false, now);
    assert_eq!(unanswered(&mut roster, now, day).len(), 1);
    // The peer that was here, and those that may be, once it counts.
    roster.handle_no_tracker(now + day);
    assert!(!unanswered(&mut roster, now + day, GREET_EVERY).is_empty());
}

#[test]
fn who_is_remembered_is_greeted_when_no_tracker_comes() {
    let now = Instant::now();
    let known = Acquaintance {
        peer: peer(1),
        name: "attic".into(),
        addresses: vec![at(1)],
    };
    let remembering = || {
        let mut roster = Roster::new(ME, "me", Interfaces::default(), 7, now);
        roster.recall(std::slice::from_ref(&known), &[], now);
        roster
    };
    let mut roster = remembering();
    assert_eq!(roster.peers.absent(), std::slice::from_ref(&known));
    let greeted = unanswered(&mut roster, now, WAIT_FOR_TRACKER + SPREAD);
    assert!(greeted[0] >= WAIT_FOR_TRACKER, "{greeted:?}");
    // A node that leaves greets nobody.
    let mut roster = remembering();
    roster.handle_silent();
    assert_eq!(roster.poll_timeout(), None);
}

/// One whose greeting of peer 1 is under way since the time that is given.
fn greeting() -> (Roster, Instant) {
    let now = Instant::now();
    let mut roster = alone(now);
    roster.handle_sighting(peer(1), vec![at(1)], now);
    let asked = roster.poll_timeout().expect("a greeting is planned");
    assert_eq!(greet(&mut roster, asked), Some(peer(1)));
    (roster, asked)
}

#[test]
fn who_was_busy_is_asked_a_little_later() {
    let (mut roster, asked) = greeting();
    roster.handle_busy(peer(1), asked);
    assert_eq!(roster.poll_timeout(), Some(asked + RETRY));
}

/// Its answer says nothing about what it was not told.
#[test]
fn what_is_new_since_a_greeting_was_sent_is_told_after_it() {
    let (mut roster, asked) = greeting();
    roster.handle_news(asked);
    roster.handle_answered(peer(1), "attic", at(1), asked);
    assert_eq!(roster.poll_timeout(), Some(asked + TELL_WITHIN));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_contacts_and_greetings_are_bounded(
        events in prop::collection::vec((0..9u8, 0..2000u16, 0..3000u64), 0..3000),
    ) {
        let mut now = Instant::now();
        let mut roster = Roster::new(ME, "me", Interfaces::default(), 7, now);
        let mut asked = Vec::new();
        for (what, n, wait) in events {
            now += Duration::from_millis(wait);
            let who = peer(n);
            // Names cost time where many are here; how many may be is tried elsewhere.
            let few = n % 100;
            match what {
                0 => roster.handle_registered(at(0).ip(), "me", now),
                1 => roster.handle_no_tracker(now),
                2 => vouch(&mut roster, few, "x", now),
                3 => roster.handle_gone(peer(few), wait % 2 == 0, now),
                4 => roster.handle_sighting(who, vec![at(n)], now),
                5 => roster.handle_sighting(who, Vec::new(), now),
                6 => _ = roster.handle_hello(peer(few), "x", at(few), now),
                _ => {
                    if let Some(who) = asked.pop() {
                        roster.handle_unanswered(who, wait % 2 == 0, now);
                    }
                }
            }
            asked.extend(std::iter::from_fn(|| greet(&mut roster, now)));
            prop_assert!(asked.len() <= MAX_ASKING);
            prop_assert!(roster.peers.iter().count() <= MAX_RECORDS);
            let announced = roster.peers.values().filter(|c| c.is_announced);
            prop_assert!(roster.peers.absent().len()
                <= MAX_REMEMBERED + MAX_ASKING + announced.count());
            prop_assert!(roster.poll_timeout().is_none_or(|due| due > now
                || roster.greetings.are_all_under_way()));
        }
    }
}

/// Its connection has ended with the key that was taken away; if it has another, it
/// answers.
#[test]
fn a_peer_here_by_its_own_word_shows_at_once_that_it_has_the_new_key() {
    let now = Instant::now();
    let mut roster = alone(now);
    for n in [1, 2] {
        roster.handle_answered(peer(n), "attic", at(n), now);
    }
    roster.handle_keys(now);
    // Said before, and heard after it.
    roster.handle_hello(peer(2), "attic", at(2), now);
    let mut gone = Vec::new();
    for _ in [1, 2] {
        let due = roster.poll_timeout().unwrap();
        assert!(due <= now + SPREAD, "{:?}", due - now);
        let greeted = greet(&mut roster, due).unwrap();
        if greeted == peer(1) {
            roster.handle_answered(greeted, "attic", at(1), due);
        } else {
            roster.handle_unanswered(greeted, false, due);
            gone.extend(roster.poll(due));
        }
    }
    assert_eq!(gone, [RosterChange::Gone(peer(2))]);
}
