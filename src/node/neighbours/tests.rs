//! Which peers are greeted, and when.

use proptest::prelude::*;

use super::*;

const ME: PeerId = PeerId([0; 32]);

fn peer(n: u16) -> PeerId {
    let mut id = [1; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    PeerId(id)
}

fn at(n: u16) -> SocketAddr {
    ([10, 0, (n / 256) as u8, n as u8], 4670).into()
}

/// When each greeting goes out within `time`, if nobody answers.
fn unanswered(neighbours: &mut Neighbours, from: Instant, time: Duration) -> Vec<Duration> {
    let mut greeted = Vec::new();
    while let Some(now) = neighbours.poll_timeout().filter(|due| *due <= from + time) {
        if let Some(peer) = neighbours.poll(now) {
            greeted.push(now - from);
            neighbours.handle_done(peer);
            neighbours.handle_silence(peer, false, vec![at(1)], now);
        }
    }
    greeted
}

#[test]
fn who_does_not_answer_is_gone_within_a_minute_and_asked_ever_more_seldom() {
    let now = Instant::now();
    let mut neighbours = Neighbours::new(ME, &[], 7, now);
    neighbours.handle_alone(now);
    neighbours.handle_met(peer(1), "attic", at(1), now);
    let greeted = unanswered(&mut neighbours, now, Duration::from_secs(7200));
    let (first, later) = greeted.split_at(PATIENCE as usize);
    assert!(first[0] >= GREET_EVERY * 3 / 4);
    assert!(first[2] < Duration::from_secs(60) - Duration::from_secs(3 * 6));
    assert_eq!(neighbours.absent()[0].name, "attic");
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
        let mut neighbours = Neighbours::new(ME, &[], 7, now);
        neighbours.handle_alone(now);
        neighbours.handle_sighting(peer(1), vec![at(1)], now);
        neighbours.handle_met(peer(1), "attic", at(1), now);
        unanswered(&mut neighbours, now, Duration::from_secs(1800));
        let now = now + Duration::from_secs(1800);
        neighbours.handle_sighting(peer(1), Vec::new(), now);
        unanswered(&mut neighbours, now, SPREAD);
        assert!(neighbours.poll_timeout() > Some(now + FIRST_REST));
        (neighbours, now)
    };
    let (mut neighbours, now) = away();
    neighbours.handle_moved(now);
    assert!(neighbours.poll_timeout() <= Some(now + SPREAD));
    let (mut neighbours, now) = away();
    neighbours.handle_sighting(peer(1), vec![at(1)], now);
    assert!(neighbours.poll_timeout() <= Some(now + SPREAD));
}

#[test]
fn for_whom_a_tracker_speaks_is_not_greeted_but_who_lost_it_only_is() {
    let now = Instant::now();
    let mut neighbours = Neighbours::new(ME, &[], 7, now);
    neighbours.handle_registered(now);
    neighbours.handle_vouched(peer(1), "attic", now);
    assert_eq!(neighbours.poll_timeout(), None);
    let day = Duration::from_secs(86_400);
    neighbours.handle_gone(peer(1), true, vec![at(1)], now);
    assert!(unanswered(&mut neighbours, now, day).is_empty());
    neighbours.handle_vouched(peer(1), "attic", now);
    neighbours.handle_gone(peer(1), false, vec![at(1)], now);
    assert_eq!(unanswered(&mut neighbours, now, day).len(), 1);
    // The peer that was here, and those that may be, once it counts.
    neighbours.handle_alone(now + day);
    assert!(!unanswered(&mut neighbours, now + day, GREET_EVERY).is_empty());
}

#[test]
fn who_is_remembered_is_greeted_when_no_tracker_comes() {
    let now = Instant::now();
    let known = Acquaintance {
        peer: peer(1),
        name: "attic".into(),
        addresses: vec![at(1)],
    };
    let mut neighbours = Neighbours::new(ME, std::slice::from_ref(&known), 7, now);
    assert_eq!(neighbours.absent(), std::slice::from_ref(&known));
    let greeted = unanswered(&mut neighbours, now, WAIT_FOR_TRACKER + SPREAD);
    assert!(greeted[0] >= WAIT_FOR_TRACKER, "{greeted:?}");
    // A node that leaves greets nobody.
    let mut neighbours = Neighbours::new(ME, &[known], 7, now);
    neighbours.handle_silent();
    assert_eq!(neighbours.poll_timeout(), None);
}

/// One whose greeting of peer 1 is under way since the time that is given.
fn greeting() -> (Neighbours, Instant) {
    let now = Instant::now();
    let mut neighbours = Neighbours::new(ME, &[], 7, now);
    neighbours.handle_alone(now);
    neighbours.handle_sighting(peer(1), vec![at(1)], now);
    let asked = neighbours.poll_timeout().expect("a greeting is planned");
    assert_eq!(neighbours.poll(asked), Some(peer(1)));
    (neighbours, asked)
}

#[test]
fn who_was_busy_is_asked_a_little_later() {
    let (mut neighbours, asked) = greeting();
    neighbours.handle_done(peer(1));
    neighbours.handle_unfinished(peer(1), asked);
    assert_eq!(neighbours.poll_timeout(), Some(asked + RETRY));
}

/// Its answer says nothing about what it was not told.
#[test]
fn what_is_new_since_a_greeting_was_sent_is_told_after_it() {
    let (mut neighbours, asked) = greeting();
    neighbours.handle_news(asked);
    neighbours.handle_done(peer(1));
    neighbours.handle_met(peer(1), "attic", at(1), asked);
    assert_eq!(neighbours.poll_timeout(), Some(asked + TELL_WITHIN));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_contacts_and_greetings_are_bounded(
        events in prop::collection::vec((0..9u8, 0..2000u16, 0..3000u64), 0..3000),
    ) {
        let mut now = Instant::now();
        let mut neighbours = Neighbours::new(ME, &[], 7, now);
        let mut asked = Vec::new();
        for (what, n, wait) in events {
            now += Duration::from_millis(wait);
            let who = peer(n);
            match what {
                0 => neighbours.handle_registered(now),
                1 => neighbours.handle_alone(now),
                2 => neighbours.handle_vouched(who, "x", now),
                3 => neighbours.handle_gone(who, wait % 2 == 0, vec![at(n)], now),
                4 => neighbours.handle_sighting(who, vec![at(n)], now),
                5 => neighbours.handle_sighting(who, Vec::new(), now),
                6 if neighbours.may_greet(who, now) => {
                    neighbours.handle_greeted(who, "x", at(n), now);
                }
                _ => {
                    if let Some(who) = asked.pop() {
                        neighbours.handle_done(who);
                        neighbours.handle_silence(who, wait % 2 == 0, Vec::new(), now);
                    }
                }
            }
            asked.extend(std::iter::from_fn(|| neighbours.poll(now)));
            prop_assert!(asked.len() <= MAX_ASKING);
            prop_assert!(neighbours.contacts.len() <= MAX_CONTACTS);
            let announced = neighbours.contacts.values().filter(|c| c.is_announced);
            prop_assert!(neighbours.absent().len()
                <= MAX_REMEMBERED + MAX_ASKING + announced.count());
            prop_assert!(neighbours.poll_timeout().is_none_or(|due| due > now
                || neighbours.asking == MAX_ASKING));
        }
    }
}

/// Its connection has ended with the key that was taken away; if it has another, it
/// answers.
#[test]
fn a_peer_here_by_its_own_word_shows_at_once_that_it_has_the_new_key() {
    let now = Instant::now();
    let mut neighbours = Neighbours::new(ME, &[], 7, now);
    neighbours.handle_alone(now);
    for n in [1, 2] {
        neighbours.handle_met(peer(n), "attic", at(n), now);
    }
    neighbours.handle_keys(now);
    // Said before, and heard after it.
    neighbours.handle_greeted(peer(2), "attic", at(2), now);
    let mut gone = Vec::new();
    for _ in [1, 2] {
        let due = neighbours.poll_timeout().unwrap();
        assert!(due <= now + SPREAD, "{:?}", due - now);
        let greeted = neighbours.poll(due).unwrap();
        neighbours.handle_done(greeted);
        if greeted == peer(1) {
            neighbours.handle_met(greeted, "attic", at(1), due);
        } else if neighbours.handle_silence(greeted, false, vec![at(2)], due)
            == GreetingSilence::Gone
        {
            gone.push(greeted);
        }
    }
    assert_eq!(gone, [peer(2)]);
}
