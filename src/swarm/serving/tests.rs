use proptest::prelude::*;

use super::*;

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

/// A peer of a host of its own.
fn requester(n: u8) -> Requester {
    asker_at(n, n)
}

fn asker_at(n: u8, host: u8) -> Requester {
    Requester::new(peer(n), std::net::IpAddr::from([10, 0, 0, host]), &[])
}

fn ask(serving: &mut Serving, n: u8, class: Class, now: Instant) -> Admission {
    serving.handle_request(requester(n), class, &(0..16).into(), now)
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Now), Just(Class::Next), Just(Class::Rest)]
}

#[derive(Clone, Debug)]
enum Event {
    Ask(u8, Class),
    Done(proptest::sample::Index),
    Gone(u8),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0u8..30, class()).prop_map(|(n, class)| Event::Ask(n, class)),
        3 => any::<proptest::sample::Index>().prop_map(Event::Done),
        1 => (0u8..30).prop_map(Event::Gone),
        1 => (0u64..2000).prop_map(Event::Pass),
    ];
    proptest::collection::vec(event, 0..400)
}

proptest! {
    #[test]
    fn every_bound_holds_and_every_request_is_answered(events in events()) {
        let mut serving = Serving::new();
        let mut now = Instant::now();
        let mut open: BTreeMap<Ticket, u8> = BTreeMap::new();
        for event in events {
            match event {
                Event::Ask(n, class) => match ask(&mut serving, n, class, now) {
                    Admission::Start(ticket) | Admission::Wait(ticket) => {
                        prop_assert!(open.insert(ticket, n).is_none());
                    }
                    Admission::Busy { retry } => prop_assert!(retry >= RETRY),
                },
                Event::Done(index) if !open.is_empty() => {
                    let ticket = *open.keys().nth(index.index(open.len())).unwrap();
                    open.remove(&ticket);
                    serving.handle_done(ticket, 16 * GROUP_BYTES, now);
                }
                Event::Done(_) => {}
                Event::Gone(n) => {
                    open.retain(|_, peer| *peer != n);
                    serving.handle_gone(peer(n));
                }
                Event::Pass(ms) => now += Duration::from_millis(ms),
            }
            while let Some(action) = serving.poll(now) {
                match action {
                    ServeAction::Start(ticket) => prop_assert!(open.contains_key(&ticket)),
                    ServeAction::Busy { ticket, .. } => prop_assert!(open.remove(&ticket).is_some()),
                    ServeAction::GiveUp(ticket) => {
                        prop_assert!(serving.waiting() > 0 && open.contains_key(&ticket));
                    }
                }
            }
            prop_assert!(serving.poll_timeout().is_none_or(|at| at > now));
            prop_assert_eq!(serving.running() + serving.waiting(), open.len());
            prop_assert!(serving.running() <= SLOTS && serving.waiting() <= MAX_WAITING);
            for n in 0..30 {
                let of_peer = |r: &WaitingRequest| r.requester.peer == peer(n);
                prop_assert!(serving.running.values().filter(|r| of_peer(r)).count() <= SLOTS_PER_PEER);
                prop_assert!(serving.waiting.iter().filter(|(_, r)| of_peer(r)).count() <= MAX_WAITING_PER_PEER);
            }
            prop_assert!(serving.shares.len() <= share::MAX_PEERS);
        }
    }
}

#[test]
fn a_listener_finds_a_slot_however_much_is_fetched_ahead() {
    let now = Instant::now();
    let mut serving = Serving::new();
    for n in 0..40 {
        ask(&mut serving, n, Class::Rest, now);
    }
    for n in 40..80 {
        ask(&mut serving, n, Class::Next, now);
    }
    assert_eq!(serving.running(), SLOTS_NEXT);
    let listener = ask(&mut serving, 99, Class::Now, now);
    assert!(matches!(listener, Admission::Start(_)));
}

#[test]
fn a_greedy_peer_does_not_hold_the_others_up() {
    let now = Instant::now();
    let mut serving = Serving::new();
    let greedy: Vec<_> = (0..20)
        .map(|_| ask(&mut serving, 1, Class::Now, now))
        .collect();
    let count = |wanted: fn(&Admission) -> bool| greedy.iter().filter(|a| wanted(a)).count();
    assert_eq!(count(|a| matches!(a, Admission::Start(_))), SLOTS_PER_PEER);
    assert_eq!(
        count(|a| matches!(a, Admission::Wait(_))),
        MAX_WAITING_PER_PEER
    );
    let modest = ask(&mut serving, 2, Class::Now, now);
    assert!(matches!(modest, Admission::Start(_)));
}

/// However many they are, and whatever they ask for: others find a slot, and a place in the
/// queue.
#[test]
fn a_host_of_many_peers_does_not_hold_the_others_up() {
    let now = Instant::now();
    let mut serving = Serving::new();
    for class in [Class::Now, Class::Next, Class::Rest] {
        for n in 0..128 {
            for host in [201, 202, 203] {
                serving.handle_request(asker_at(n, host), class, &(0..16).into(), now);
            }
        }
    }
    for n in 210..213 {
        let listener = ask(&mut serving, n, Class::Now, now);
        assert!(matches!(listener, Admission::Start(_)), "{listener:?}");
        let fetches = ask(&mut serving, n, Class::Rest, now);
        assert!(matches!(fetches, Admission::Wait(_)), "{fetches:?}");
    }
}

#[test]
fn a_free_slot_goes_to_the_urgent_then_to_who_is_sent_the_least() {
    let now = Instant::now();
    let mut serving = Serving::new();
    let mut started = Vec::new();
    for n in [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7] {
        if let Admission::Start(ticket) = ask(&mut serving, n, Class::Now, now) {
            started.push(ticket);
        }
    }
    assert_eq!(serving.running(), SLOTS);
    let mut wait = |n, class| match ask(&mut serving, n, class, now) {
        Admission::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    };
    let rest = wait(8, Class::Rest);
    let (much, little) = (wait(1, Class::Now), wait(4, Class::Now));
    let mut order = Vec::new();
    for ticket in started.iter().skip(4) {
        serving.handle_done(*ticket, 16 * GROUP_BYTES, now);
        while let Some(ServeAction::Start(ticket)) = serving.poll(now) {
            order.push(ticket);
        }
    }
    assert_eq!(order, [little, much, rest]);
}

#[test]
fn who_waited_long_enough_is_told_to_come_again() {
    let now = Instant::now();
    let mut serving = Serving::new();
    let mut last = None;
    for n in 0..=SLOTS as u8 {
        last = Some(ask(&mut serving, n, Class::Now, now));
    }
    let Some(Admission::Wait(ticket)) = last else {
        panic!("{last:?}");
    };
    assert_eq!(serving.poll(now), None);
    let at = serving.poll_timeout().unwrap();
    let retry = RETRY;
    // By then the others have had their time, too.
    assert_eq!(serving.poll(at), Some(ServeAction::GiveUp(Ticket(0))));
    assert_eq!(serving.poll(at), Some(ServeAction::Busy { ticket, retry }));
    assert_eq!(serving.poll_timeout(), None);
}

/// However slowly some read, a requester that comes then gets a slot within what it waits for
/// one and a second try.
#[test]
fn slow_readers_give_their_slots_to_who_waits() {
    let now = Instant::now();
    let mut serving = Serving::new();
    for n in 0..SLOTS as u8 {
        ask(&mut serving, n, Class::Now, now);
    }
    let slow = now + SLOW_START + GROUP_TIME * 16;
    let Admission::Wait(waits) = ask(&mut serving, 99, Class::Now, slow - RETRY) else {
        panic!("there is a slot left");
    };
    assert_eq!(serving.poll(slow - RETRY), None, "they still have time");
    assert_eq!(serving.poll_timeout(), Some(slow));
    assert_eq!(serving.poll(slow), Some(ServeAction::GiveUp(Ticket(0))));
    assert_eq!(serving.poll(slow), None, "one for one");
    serving.handle_done(Ticket(0), 16 * GROUP_BYTES, slow);
    assert_eq!(serving.poll(slow), Some(ServeAction::Start(waits)));
}

#[test]
fn nobody_gives_up_a_slot_for_who_is_less_urgent() {
    let now = Instant::now();
    let mut serving = Serving::new();
    for n in 0..SLOTS as u8 {
        ask(&mut serving, n, Class::Now, now);
    }
    let late = now + Duration::from_secs(60);
    let rest = ask(&mut serving, 99, Class::Rest, late);
    assert!(matches!(rest, Admission::Wait(_)));
    assert_eq!(serving.poll(late), None);
}

#[test]
fn a_newcomer_does_not_overtake_who_waits() {
    let now = Instant::now();
    let mut serving = Serving::new();
    for n in 0..=SLOTS as u8 {
        ask(&mut serving, n, Class::Now, now);
    }
    serving.handle_done(Ticket(0), 16 * GROUP_BYTES, now);
    let newcomer = ask(&mut serving, 99, Class::Now, now);
    assert!(matches!(newcomer, Admission::Wait(_)));
    let waited = Ticket(SLOTS as u64);
    assert_eq!(serving.poll(now), Some(ServeAction::Start(waited)));
    assert_eq!(serving.poll(now), None);
}

/// One asks for little pieces, one for large ones, both for as much as they may: what
/// they get is the same in bytes.
#[test]
fn peers_get_the_same_in_bytes_and_not_in_requests() {
    let mut now = Instant::now();
    let mut serving = Serving::new();
    let mut running: VecDeque<(Ticket, u8, u32)> = VecDeque::new();
    let mut waiting: BTreeMap<Ticket, (u8, u32)> = BTreeMap::new();
    let mut sent = BTreeMap::from([(1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]);
    for _ in 0..4000 {
        for n in 1..=5u8 {
            let groups = if n == 1 { 64 } else { 8 };
            let all = GroupSet::from(0..groups);
            match serving.handle_request(requester(n), Class::Rest, &all, now) {
                Admission::Start(ticket) => running.push_back((ticket, n, groups)),
                Admission::Wait(ticket) => _ = waiting.insert(ticket, (n, groups)),
                Admission::Busy { .. } => {}
            }
        }
        now += Duration::from_millis(20);
        if let Some((ticket, n, groups)) = running.pop_front() {
            *sent.entry(n).or_default() += groups;
            serving.handle_done(ticket, u64::from(groups) * GROUP_BYTES, now);
        }
        while let Some(action) = serving.poll(now) {
            match action {
                ServeAction::Start(ticket) => {
                    let (n, groups) = waiting.remove(&ticket).expect("it waits");
                    running.push_back((ticket, n, groups));
                }
                ServeAction::Busy { ticket, .. } => _ = waiting.remove(&ticket),
                ServeAction::GiveUp(_) => {}
            }
        }
    }
    let (most, least) = (sent.values().max(), sent.values().min());
    let (most, least) = (*most.expect("five"), *least.expect("five"));
    assert!(most <= least * 2, "{sent:?}");
}

/// A line of 1 MB/s, of which the hosts of a house ask for one slice after the other.
#[test]
fn a_line_is_shared_with_hosts_that_ask_again_in_a_moment() {
    const CD: u64 = 176_400;
    for (hosts, thin) in [(4, false), (8, true)] {
        let mut serving = Serving::new();
        let mut now = Instant::now();
        for host in 1..=hosts {
            let Admission::Start(ticket) = ask(&mut serving, host, Class::Now, now) else {
                panic!("{host} waits");
            };
            now += Duration::from_micros(16 * GROUP_BYTES);
            serving.handle_done(ticket, 16 * GROUP_BYTES, now);
        }
        assert_eq!(serving.is_too_thin(requester(1), CD, now), thin, "{hosts}");
        let later = now + Duration::from_secs(60);
        assert!(!serving.is_too_thin(requester(1), CD, later), "{hosts}");
    }
}
