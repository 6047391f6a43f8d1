use std::time::Duration;

use proptest::prelude::*;

use super::{plan::MAX_LINKS, *};
use crate::{
    catalog::samples::{song, SampleOwner},
    protocol::{Candidate, PeerRecord, PeerState, Refusal},
};

fn links() -> Links {
    let introduction = Introduction {
        name: "kitchen".into(),
        name_chosen: false,
        known_as: None,
        port: 4670,
        bound: None,
    };
    Links::new(peer(50), introduction, 1)
}

fn ip(n: u8) -> IpAddr {
    [192, 168, 1, n].into()
}

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn named(to: &[&str]) -> LinkCommand {
    LinkCommand::Configured(to.iter().map(|to| (*to).into()).collect())
}

fn found(to: &[&str]) -> LinkCommand {
    LinkCommand::Trackers(to.iter().map(|to| (*to).into()).collect())
}

/// What is wanted of the driver and told to the node, time having come.
fn actions(links: &mut Links, now: Instant) -> Vec<LinksAction> {
    links.handle_timeout(now);
    std::iter::from_fn(|| links.poll()).collect()
}

fn told(links: &mut Links, now: Instant) -> Vec<TrackerEvent> {
    let told = actions(links, now).into_iter();
    told.filter_map(|action| match action {
        LinksAction::Tell(event) => Some(event),
        _ => None,
    })
    .collect()
}

/// What is dialled now: (link, address).
fn dialled(links: &mut Links, now: Instant) -> Vec<(LinkId, String)> {
    let dialled = actions(links, now).into_iter();
    dialled
        .filter_map(|action| match action {
            LinksAction::Connect { link, to } => Some((link, to)),
            _ => None,
        })
        .collect()
}

fn registered(name: &str) -> FromTracker {
    FromTracker::Registered(Registered {
        name: name.into(),
        lease: Duration::from_secs(15),
        seen_as: ip(99),
    })
}

/// Each address that is dialled answers as the tracker of its number.
fn take_up(links: &mut Links, now: Instant) -> Vec<LinkId> {
    let dialled = dialled(links, now);
    for (id, to) in &dialled {
        let n: u8 = to.parse().unwrap();
        links.handle_connected(*id, (Some(peer(100 + n)), ip(n)), vec![], now);
        links.handle_message(*id, registered("kitchen"), now);
    }
    dialled.into_iter().map(|(id, _)| id).collect()
}

fn record(n: u8, candidates: &[Candidate]) -> PeerRecord {
    PeerRecord {
        peer: peer(n),
        name: format!("peer-{n}"),
        state: PeerState::Up,
        candidates: candidates.to_vec(),
    }
}

fn at(n: u8) -> Candidate {
    Candidate::At((ip(n), 4670).into())
}

fn gone(n: u8) -> FromTracker {
    let (peer, left) = (peer(n), false);
    FromTracker::Gone { peer, left }
}

#[test]
fn it_registers_with_all_that_are_named_and_found_and_says_so() {
    let now = Instant::now();
    let mut links = links();
    links.handle_command(named(&["1"]), now);
    links.handle_command(found(&["2", "3", "4", "5", "6"]), now);
    let now = now + Duration::from_secs(1);
    assert_eq!(take_up(&mut links, now).len(), MAX_LINKS);
    let told = told(&mut links, now);
    assert!(matches!(told[0], TrackerEvent::Registered { reached_at, .. } if reached_at == ip(1)));
    let last = told.iter().rev().find_map(|event| match event {
        TrackerEvent::Several { at, .. } => Some(at.clone()),
        _ => None,
    });
    assert_eq!(last, Some(vec![ip(1), ip(2), ip(3), ip(4)]));
}

#[test]
fn a_peer_that_a_tracker_speaks_for_is_not_gone() {
    let now = Instant::now();
    let mut links = links();
    links.handle_command(named(&["1", "2"]), now);
    let ids = take_up(&mut links, now);
    for id in &ids {
        links.handle_message(*id, FromTracker::Peer(record(7, &[at(7)])), now);
    }
    links.handle_message(ids[1], FromTracker::Peer(record(8, &[at(8)])), now);
    let _ = told(&mut links, now);
    links.handle_message(ids[0], gone(7), now);
    assert_eq!(told(&mut links, now), [], "the other speaks for it");
    // The end of one tracker: no peer is gone, and one that has lost its word is asked.
    links.handle_closed(ids[1], "reset".into(), now);
    let told_now = told(&mut links, now);
    let unvouched = TrackerEvent::Unvouched(vec![peer(7), peer(8)]);
    assert!(told_now.contains(&unvouched), "{told_now:?}");
    let is_lost = |event: &TrackerEvent| matches!(event, TrackerEvent::Lost { .. });
    assert!(!told_now.iter().any(is_lost), "{told_now:?}");
    links.handle_closed(ids[0], "reset".into(), now);
    assert!(told(&mut links, now).iter().any(is_lost));
}

#[test]
fn where_a_peer_answers_is_what_all_say_as_each_is_reached() {
    let now = Instant::now();
    let mut links = links();
    links.handle_command(named(&["1", "2"]), now);
    let ids = take_up(&mut links, now);
    let with_tracker = Candidate::WithTracker { port: 4670 };
    let suspect = PeerRecord {
        state: PeerState::Suspect,
        ..record(7, &[at(7)])
    };
    links.handle_message(ids[1], FromTracker::Peer(suspect), now);
    links.handle_message(ids[0], FromTracker::Peer(record(7, &[with_tracker])), now);
    let told = told(&mut links, now);
    let merged = FromTracker::Peer(record(7, &[at(1), at(7)]));
    assert_eq!(told.last(), Some(&TrackerEvent::Message(merged)));
}

#[test]
fn one_tracker_is_registered_with_once_whatever_its_addresses() {
    let now = Instant::now();
    let mut links = links();
    links.handle_command(found(&["1", "2"]), now);
    let now = now + Duration::from_secs(1);
    let both = dialled(&mut links, now);
    let tracker = Some(peer(9));
    links.handle_connected(both[0].0, (tracker, ip(1)), vec![], now);
    links.handle_message(both[0].0, registered("kitchen"), now);
    links.handle_connected(both[1].0, (tracker, ip(2)), vec![], now);
    let aside = LinksAction::Disconnect { link: both[1].0 };
    assert!(actions(&mut links, now).contains(&aside));
    // It has moved to the other address.
    links.handle_closed(both[0].0, "gone".into(), now);
    let now = now + Duration::from_secs(1);
    let again = dialled(&mut links, now);
    assert!(again.iter().any(|(_, to)| to == "2"), "{again:?}");
}

#[test]
fn what_one_tracker_does_not_have_is_asked_of_the_other() {
    let now = Instant::now();
    let mut links = links();
    links.handle_command(named(&["1", "2"]), now);
    let ids = take_up(&mut links, now);
    let [old, new] = [1, 2].map(|seq| {
        *SampleOwner::new(7)
            .publish(seq, vec![song("a", "b", None)])
            .head()
    });
    let owner = old.head.owner;
    links.handle_message(ids[0], FromTracker::Head(old), now);
    links.handle_message(ids[1], FromTracker::Head(new), now);
    let _ = actions(&mut links, now);
    let what = Want::List;
    links.handle_command(LinkCommand::Want { owner, what }, now);
    let asked = |link| LinksAction::Send {
        link,
        message: ToTracker::WantList { owner },
    };
    assert_eq!(
        actions(&mut links, now),
        [asked(ids[1])],
        "it has the newest"
    );
    links.handle_message(ids[1], FromTracker::NotHere { owner }, now);
    assert_eq!(actions(&mut links, now), [asked(ids[0])]);
    links.handle_message(ids[0], FromTracker::NotHere { owner }, now);
    let not_here = TrackerEvent::Message(FromTracker::NotHere { owner });
    assert_eq!(told(&mut links, now), [not_here]);
}

#[test]
fn one_of_those_that_a_person_has_named_is_missed() {
    let now = Instant::now();
    let mut links = links();
    links.handle_command(named(&["1", "2", "3"]), now);
    let ids: Vec<_> = dialled(&mut links, now);
    links.handle_connected(ids[0].0, (Some(peer(1)), ip(1)), vec![], now);
    links.handle_message(ids[0].0, registered("kitchen"), now);
    links.handle_closed(ids[1].0, "refused".into(), now);
    links.handle_connected(ids[2].0, (Some(peer(3)), ip(3)), vec![], now);
    let (name, holder) = ("kitchen".into(), ip(5));
    let refusal = Refusal::NameTaken { name, holder };
    links.handle_message(ids[2].0, FromTracker::Refused(refusal), now);
    let told = told(&mut links, now);
    let Some(TrackerEvent::Several { at, troubles, .. }) = told.last() else {
        panic!("{told:?}");
    };
    assert_eq!(*at, [ip(1)]);
    assert!(
        troubles[0].contains("no tracker at 2: refused"),
        "{troubles:?}"
    );
    assert!(
        troubles[1].contains("\"kitchen\" belongs to"),
        "{troubles:?}"
    );
}

#[test]
fn where_all_that_a_person_has_named_are_lost_each_is_named() {
    let now = Instant::now();
    let mut links = links();
    links.handle_command(named(&["1", "2", "3"]), now);
    for (id, why) in dialled(&mut links, now).into_iter().zip(["a", "b", "c"]) {
        links.handle_closed(id.0, why.into(), now);
    }
    let lost = TrackerEvent::Lost {
        to: "1, 2 and 3".into(),
        why: "1: a; 2: b; 3: c".into(),
    };
    let told = told(&mut links, now);
    assert_eq!(told.last(), Some(&lost));
}

/// A tracker that keeps the name for another takes this node all the same.
#[test]
fn a_chosen_name_that_is_kept_for_another_costs_no_tracker() {
    let now = Instant::now();
    let mut links = links();
    links.introduction.name_chosen = true;
    links.handle_command(named(&["1"]), now);
    for has_to_be in [true, false] {
        let (id, _) = dialled(&mut links, now)[0].clone();
        links.handle_connected(id, (Some(peer(101)), ip(1)), vec![], now);
        let registers = actions(&mut links, now)
            .into_iter()
            .find_map(|action| match action {
                LinksAction::Send {
                    message: ToTracker::Register(registration),
                    ..
                } => Some((registration.name, registration.name_chosen)),
                _ => None,
            });
        assert_eq!(registers, Some(("kitchen".into(), has_to_be)));
        if has_to_be {
            let (name, holder) = ("kitchen".into(), ip(7));
            let refusal = Refusal::NameTaken { name, holder };
            links.handle_message(id, FromTracker::Refused(refusal), now);
        } else {
            links.handle_message(id, registered("kitchen-2"), now);
        }
    }
    let told = told(&mut links, now);
    let Some(TrackerEvent::Several { name, troubles, .. }) = told.last() else {
        panic!("{told:?}");
    };
    assert_eq!(name, "kitchen-2");
    let words = "the name \"kitchen\" belongs to the peer at 192.168.1.7";
    assert!(troubles[0].starts_with(words), "{troubles:?}");
}

#[test]
fn leaving_is_over_when_all_have_been_left() {
    let now = Instant::now();
    let mut links = links();
    links.handle_command(named(&["1", "2", "3"]), now);
    let ids = dialled(&mut links, now);
    for (id, to) in &ids[..2] {
        let n: u8 = to.parse().unwrap();
        links.handle_connected(*id, (Some(peer(n)), ip(n)), vec![], now);
        links.handle_message(*id, registered("kitchen"), now);
    }
    links.handle_command(LinkCommand::Leave, now);
    links.handle_message(ids[0].0, FromTracker::Left, now);
    let left = |confirmed| TrackerEvent::Left { confirmed };
    assert!(!told(&mut links, now).contains(&left(true)));
    links.handle_message(ids[1].0, FromTracker::Left, now);
    assert!(told(&mut links, now).contains(&left(true)));
    links.handle_command(LinkCommand::Join, now);
    assert_eq!(dialled(&mut links, now).len(), 3);
}

#[test]
fn those_that_a_person_does_not_want_any_more_are_left() {
    let now = Instant::now();
    let mut links = links();
    links.handle_command(named(&["1", "2"]), now);
    let ids = take_up(&mut links, now);
    let _ = actions(&mut links, now);
    links.handle_command(named(&["2", "3"]), now);
    let all = actions(&mut links, now);
    let leaves = |id| LinksAction::Send {
        link: id,
        message: ToTracker::Leave,
    };
    assert!(
        all.contains(&leaves(ids[0])) && !all.contains(&leaves(ids[1])),
        "{all:?}"
    );
    links.handle_message(ids[0], FromTracker::Left, now);
    links.handle_command(named(&[]), now);
    for id in links.links.keys().copied().collect::<Vec<_>>() {
        links.handle_message(id, FromTracker::Left, now);
    }
    assert!(told(&mut links, now).contains(&TrackerEvent::Unwanted));
}

/// Of a crowd of false trackers the true one is found, and nothing is dialled in a hurry.
#[test]
fn those_that_do_not_answer_make_room() {
    let begin = Instant::now();
    let mut now = begin;
    let mut links = links();
    let crowd: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
    links.handle_command(LinkCommand::Trackers(crowd), now);
    let (mut tried, mut found_after) = (0, None);
    while now < begin + Duration::from_secs(600) {
        for (id, to) in dialled(&mut links, now) {
            tried += 1;
            if to == "20" {
                found_after.get_or_insert(now - begin);
            }
            links.handle_closed(id, "refused".into(), now);
        }
        while links.poll().is_some() {}
        assert!(links.links.len() <= MAX_SITES);
        now = links
            .poll_timeout()
            .unwrap()
            .max(now + Duration::from_millis(1));
    }
    assert!(
        found_after.is_some_and(|after| after < Duration::from_secs(10)),
        "{found_after:?}"
    );
    assert!(tried < 20 + 4 * 600, "{tried}");
}

proptest! {
    /// Whatever trackers say and however they end: the peers told to be here are those that
    /// the trackers that are up name together.
    #[test]
    fn the_node_hears_what_all_trackers_say_together(
        happenings in prop::collection::vec((0..6u8, 0..3usize, 0..4u8), 1..120),
    ) {
        let mut now = Instant::now();
        let mut links = links();
        links.handle_command(named(&["1", "2", "3"]), now);
        let mut up: BTreeMap<LinkId, Vec<PeerId>> = BTreeMap::new();
        let mut here: Vec<PeerId> = Vec::new();
        for (what, which, n) in happenings {
            now += Duration::from_secs(1);
            for id in up.keys() {
                links.handle_message(*id, FromTracker::Renewed, now);
            }
            let mut wanted = Vec::new();
            let id = up.keys().nth(which).copied();
            match (what, id) {
                (0, _) => {
                    now += Duration::from_secs(10);
                    for action in actions(&mut links, now) {
                        let LinksAction::Connect { link, to } = action else {
                            wanted.push(action);
                            continue;
                        };
                        let n: u8 = to.parse().unwrap();
                        links.handle_connected(link, (Some(peer(100 + n)), ip(n)), vec![], now);
                        links.handle_message(link, registered("kitchen"), now);
                        up.insert(link, Vec::new());
                    }
                }
                (1, Some(id)) => {
                    links.handle_closed(id, "reset".into(), now);
                    up.remove(&id);
                }
                (2, Some(id)) => {
                    links.handle_message(id, gone(n), now);
                    up.entry(id).or_default().retain(|other| *other != peer(n));
                }
                (_, Some(id)) => {
                    links.handle_message(id, FromTracker::Peer(record(n, &[at(n)])), now);
                    up.entry(id).or_default().push(peer(n));
                }
                _ => {}
            }
            wanted.extend(std::iter::from_fn(|| links.poll()));
            for action in wanted {
                match action {
                    LinksAction::Tell(TrackerEvent::Message(FromTracker::Peer(record))) => {
                        here.push(record.peer);
                    }
                    LinksAction::Tell(TrackerEvent::Message(FromTracker::Gone { peer, .. })) => {
                        here.retain(|other| *other != peer);
                    }
                    LinksAction::Tell(TrackerEvent::Unvouched(peers)) => {
                        here.retain(|other| !peers.contains(other));
                    }
                    LinksAction::Tell(TrackerEvent::Lost { .. }) if up.is_empty() => here.clear(),
                    // One that was lost while it was tried again.
                    LinksAction::Disconnect { link } => prop_assert!(!up.contains_key(&link)),
                    _ => {}
                }
            }
            here.sort();
            here.dedup();
            let mut expected: Vec<PeerId> = up.values().flatten().copied().collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(&here, &expected);
        }
    }
}
