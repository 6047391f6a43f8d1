//! Where peers are dialled, and what they are called.

use super::*;

fn record(peer: u8, candidates: Vec<Candidate>) -> PeerRecord {
    let name = format!("peer-{peer}");
    PeerRecord {
        peer: PeerId([peer; 32]),
        name,
        state: PeerState::Up,
        candidates,
    }
}

fn at(text: &str) -> Candidate {
    Candidate::At(text.parse().unwrap())
}

#[test]
fn the_own_network_is_dialled_first_and_link_local_on_each_interface() {
    let interfaces = Interfaces {
        subnets: vec![Subnet::new("192.168.1.5".parse().unwrap(), 24)],
        scopes: vec![2, 3],
        ..Interfaces::default()
    };
    let now = Instant::now();
    let mut roster = Roster::new(PeerId([0; 32]), "me", interfaces, 7, now);
    roster.handle_registered("192.168.1.1".parse().unwrap(), "me", now);
    let candidates = vec![
        at("10.9.9.9:1"),
        at("[fe80::7]:1"),
        at("192.168.1.9:1"),
        Candidate::WithTracker { port: 2 },
    ];
    roster.handle_record(record(1, candidates), now);
    let addresses: Vec<String> = roster
        .addresses(PeerId([1; 32]))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        addresses,
        [
            "192.168.1.9:1",
            "192.168.1.1:2",
            "[fe80::7%2]:1",
            "[fe80::7%3]:1",
            "10.9.9.9:1"
        ]
    );
}

#[test]
fn a_node_is_not_in_its_own_roster() {
    let (now, me) = (Instant::now(), PeerId([1; 32]));
    let mut roster = Roster::new(me, "me", Interfaces::default(), 7, now);
    let mut is_news = |record| {
        roster.handle_record(record, now);
        let changes: Vec<_> = std::iter::from_fn(|| roster.poll(now)).collect();
        let is_here = changes
            .iter()
            .any(|change| matches!(change, RosterChange::Here(..)));
        (is_here, changes.contains(&RosterChange::Members))
    };
    let (news, known, refused) = ((true, true), (true, false), (false, false));
    assert_eq!(is_news(record(1, vec![])), refused);
    assert_eq!(is_news(record(2, vec![])), news);
    assert_eq!(is_news(record(2, vec![])), known);
    for name in ["", "a/b", "a\nOK", ".."] {
        let name = name.to_owned();
        let odd = PeerRecord {
            name,
            ..record(3, vec![])
        };
        assert_eq!(is_news(odd), refused);
    }
    assert_eq!(roster.iter().count(), 1);
}

#[test]
fn one_that_is_far_is_dialled_where_the_tracker_saw_it_only() {
    let now = Instant::now();
    let mut roster = Roster::new(ME, "me", Interfaces::default(), 7, now);
    let far = ["198.51.100.1:1", "203.0.113.9:1", "192.168.1.9:1"];
    roster.handle_record(record(1, far.map(at).to_vec()), now);
    let mut addresses = roster.addresses(PeerId([1; 32]));
    addresses.sort_unstable();
    let expected = ["192.168.1.9:1", "198.51.100.1:1"].map(|at| at.parse().unwrap());
    assert_eq!(addresses, expected);
}

fn address(n: u8) -> SocketAddr {
    ([10, 0, 0, n], 4670).into()
}

#[test]
fn no_two_are_shown_by_one_name_and_a_tracker_has_the_last_word() {
    let (now, me) = (Instant::now(), PeerId([5; 32]));
    let mut roster = Roster::new(me, "kitchen", Interfaces::default(), 7, now);
    let names = |roster: &Roster| -> Vec<String> {
        let others = roster.iter().map(|record| record.name.clone());
        others.chain([roster.own_name().to_string()]).collect()
    };
    let mut met = |n: u8, name: &str| {
        roster.handle_answered(PeerId([n; 32]), name, address(n), now);
        are_members_new(&mut roster, now)
    };
    assert!(met(7, "kitchen"));
    assert!(!met(7, "kitchen"));
    assert!(met(9, "kitchen-2"));
    assert!(met(3, "kitchen"));
    let by_id = ["kitchen", "kitchen-4", "kitchen-2", "kitchen-3"];
    assert_eq!(names(&roster), by_id);
    roster.handle_registered(address(1).ip(), "kitchen", now);
    assert_eq!(roster.own_name().as_ref(), "kitchen");
    let named = PeerRecord {
        name: "kitchen-7".into(),
        ..record(7, vec![at("10.0.0.7:4670")])
    };
    roster.handle_record(named, now);
    assert!(are_members_new(&mut roster, now));
    let with_tracker = ["kitchen-3", "kitchen-7", "kitchen-2", "kitchen"];
    assert_eq!(names(&roster), with_tracker);
    roster.handle_no_tracker(now);
    assert!(are_members_new(&mut roster, now));
    let after = ["kitchen", "kitchen-7", "kitchen-2", "kitchen-3"];
    assert_eq!(names(&roster), after);
}

/// Whether the database is to be made anew.
fn are_members_new(roster: &mut Roster, now: Instant) -> bool {
    changes(roster, now).contains(&RosterChange::Members)
}

fn changes(roster: &mut Roster, now: Instant) -> Vec<RosterChange> {
    std::iter::from_fn(|| roster.poll(now)).collect()
}

#[test]
fn so_many_are_believed_without_a_tracker() {
    let now = Instant::now();
    let mut roster = Roster::new(ME, "me", Interfaces::default(), 7, now);
    for n in 1..=200 {
        roster.handle_answered(PeerId([n; 32]), "x", address(n), now);
    }
    assert_eq!(roster.iter().count(), MAX_MET);
    roster.handle_record(record(250, vec![]), now);
    assert_eq!(roster.iter().count(), MAX_MET + 1);
}

#[test]
fn where_a_peer_speaks_from_is_dialled_first() {
    let now = Instant::now();
    let mut roster = Roster::new(ME, "me", Interfaces::default(), 7, now);
    let peer = PeerId([1; 32]);
    roster.handle_record(record(1, vec![at("10.0.0.1:4670")]), now);
    changes(&mut roster, now);
    let moves = |roster: &mut Roster| {
        roster.handle_answered(peer, "peer-1", address(9), now);
        let changes = changes(roster, now);
        changes.contains(&RosterChange::Moved) && !changes.contains(&RosterChange::Members)
    };
    assert!(!moves(&mut roster), "the tracker knows");
    roster.handle_no_tracker(now);
    assert!(moves(&mut roster));
    assert_eq!(roster.addresses(peer), [address(9), address(1)]);
}

/// Nothing of the peer's own has changed, and its record is what it was.
#[test]
fn a_peer_beside_the_tracker_is_dialled_where_the_tracker_is_now() {
    let now = Instant::now();
    let mut roster = Roster::new(ME, "me", Interfaces::default(), 7, now);
    let beside = || record(1, vec![Candidate::WithTracker { port: 4670 }]);
    for n in [1, 2] {
        roster.handle_registered(address(n).ip(), "me", now);
        roster.handle_record(beside(), now);
        let dials = changes(&mut roster, now).into_iter();
        let dials: Vec<_> = dials
            .filter_map(|change| match change {
                RosterChange::Dial { addresses, .. } => Some(addresses),
                _ => None,
            })
            .collect();
        assert_eq!(dials, [[address(n)]]);
    }
}

/// However many hints there are.
#[test]
fn a_peer_that_is_here_has_a_record() {
    let now = Instant::now();
    let mut roster = Roster::new(ME, "me", Interfaces::default(), 7, now);
    for n in 0..2000 {
        roster.handle_sighting(super::peer(n), vec![super::at(n)], now);
    }
    assert_eq!(roster.peers.iter().count(), MAX_RECORDS);
    roster.handle_record(record(250, vec![at("10.0.0.1:1")]), now);
    assert_eq!(roster.peers.iter().count(), MAX_RECORDS);
    roster.handle_no_tracker(now);
    assert!(roster.is_greeted(PeerId([250; 32])));
}
