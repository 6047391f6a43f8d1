use super::*;

fn link(trackers: &[&str], now: Instant) -> TrackerLink {
    let introduction = Introduction {
        name: "kitchen".into(),
        name_chosen: false,
        known_as: None,
        port: 4670,
        bound: None,
    };
    let mut link = TrackerLink::new(introduction, 1, now);
    let trackers = trackers.iter().map(|to| to.to_string()).collect();
    link.handle_command(LinkCommand::Trackers(trackers), now);
    link
}

fn actions(link: &mut TrackerLink) -> Vec<LinkAction> {
    std::iter::from_fn(|| link.poll()).collect()
}

fn ip() -> IpAddr {
    "192.168.1.2".parse().unwrap()
}

fn registered() -> FromTracker {
    FromTracker::Registered(Registered {
        name: "kitchen".into(),
        lease: LEASE,
        seen_as: ip(),
    })
}

fn up(now: Instant) -> TrackerLink {
    let mut link = link(&["a"], now);
    link.handle_timeout(now);
    link.handle_connected(ip(), vec![], now);
    link.handle_message(registered(), now);
    actions(&mut link);
    link
}

/// A page may have a megabyte, and a tracker may be anybody's.
#[test]
fn what_is_large_comes_only_when_it_was_asked_for() {
    let now = Instant::now();
    let mut link = up(now);
    let owner = PeerId([7; 32]);
    let page = |index| FromTracker::Page {
        owner,
        index,
        bytes: vec![1; 9].into(),
    };
    let list = || FromTracker::List {
        owner,
        list: vec![[2; 32]],
    };
    for message in [page(0), list(), page(1)] {
        link.handle_message(message, now);
    }
    assert_eq!(actions(&mut link), []);
    for what in [Want::Page(1), Want::List] {
        link.handle_command(LinkCommand::Want { owner, what }, now);
    }
    actions(&mut link);
    for message in [page(0), page(1), page(1), list(), list()] {
        link.handle_message(message, now);
    }
    let told = |message| LinkAction::Tell(TrackerEvent::Message(message));
    assert_eq!(actions(&mut link), [told(page(1)), told(list())]);
}

#[test]
fn trackers_are_tried_in_turn_and_each_round_later() {
    let mut now = Instant::now();
    let mut link = link(&["a", "b"], now);
    let mut tried = Vec::new();
    let mut rests = Vec::new();
    for _ in 0..24 {
        let due = link.poll_timeout().unwrap();
        rests.push(due - now);
        now = due;
        link.handle_timeout(now);
        for action in actions(&mut link) {
            if let LinkAction::Connect { to } = action {
                tried.push(to);
            }
        }
        link.handle_closed("refused".into(), now);
    }
    assert_eq!(tried[..4], ["a", "b", "a", "b"]);
    assert!(rests.iter().skip(1).step_by(2).all(Duration::is_zero));
    let rounds: Vec<_> = rests.iter().step_by(2).skip(1).collect();
    assert!(*rounds[0] >= FIRST_REST / 2 && *rounds[0] <= FIRST_REST);
    let last = *rounds[rounds.len() - 1];
    assert!(last >= LONGEST_REST / 2 && last <= LONGEST_REST, "{last:?}");
}

#[test]
fn a_new_list_ends_a_rest_but_not_a_connection() {
    let now = Instant::now();
    let mut link = link(&["a"], now);
    link.handle_timeout(now);
    link.handle_closed("refused".into(), now);
    assert!(link.poll_timeout().unwrap() > now);
    link.handle_command(LinkCommand::Trackers(vec!["b".into()]), now);
    assert_eq!(link.poll_timeout(), Some(now));

    let mut link = up(now);
    link.handle_command(LinkCommand::Trackers(vec!["b".into()]), now);
    assert_eq!(actions(&mut link), []);
    link.handle_closed("gone".into(), now);
    actions(&mut link);
    link.handle_timeout(now);
    assert!(actions(&mut link).contains(&LinkAction::Connect { to: "b".into() }));
}

#[test]
fn a_lease_is_renewed_and_a_silent_tracker_is_lost() {
    let start = Instant::now();
    let mut link = up(start);
    let mut renewals = 0;
    loop {
        let now = link.poll_timeout().unwrap();
        link.handle_timeout(now);
        match &actions(&mut link)[..] {
            [LinkAction::Send(ToTracker::Renew)] if renewals < 4 => {
                renewals += 1;
                // The tracker confirms the first two.
                if renewals <= 2 {
                    link.handle_message(FromTracker::Renewed, now);
                }
            }
            [LinkAction::Disconnect, LinkAction::Tell(TrackerEvent::Lost { .. })] => {
                assert_eq!(now - start, RENEW_INTERVAL * 2 + LEASE);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(renewals, 4);
}

#[test]
fn the_own_catalogue_is_announced_and_answered_from() {
    let now = Instant::now();
    let page = Arc::new(crate::catalog::Page::new(&[None]));
    let own = Catalogue::publish(PeerId([7; 32]), 1, 1, vec![page], |_| [0; 64]);
    let own = Arc::new(own);
    let mut link = link(&["a"], now);
    link.handle_command(LinkCommand::Publish(own.clone()), now);
    link.handle_timeout(now);
    link.handle_connected(ip(), vec![], now);
    actions(&mut link);
    link.handle_message(registered(), now);
    let head = LinkAction::Send(ToTracker::Head(*own.head()));
    assert_eq!(actions(&mut link).pop(), Some(head));
    link.handle_message(FromTracker::WantList, now);
    link.handle_message(FromTracker::WantPage { index: 0 }, now);
    link.handle_message(FromTracker::WantPage { index: 1 }, now);
    let (index, bytes) = (0, own.pages()[0].bytes().clone());
    let expected = [
        LinkAction::Send(ToTracker::List(own.list().to_vec())),
        LinkAction::Send(ToTracker::Page { index, bytes }),
    ];
    assert_eq!(actions(&mut link), expected);
}

#[test]
fn a_refusal_is_told_and_tried_again_later() {
    let now = Instant::now();
    let mut link = link(&["a"], now);
    link.handle_timeout(now);
    link.handle_connected(ip(), vec![], now);
    actions(&mut link);
    let refusal = Refusal::Copy { holder: ip() };
    link.handle_message(FromTracker::Refused(refusal.clone()), now);
    let expected = [
        LinkAction::Tell(TrackerEvent::Refused(refusal)),
        LinkAction::Disconnect,
    ];
    assert_eq!(actions(&mut link), expected);
    assert!(link.poll_timeout().unwrap() >= now + REFUSED_RETRY / 2);
}

#[test]
fn leaving_ends_whatever_the_tracker_does() {
    let now = Instant::now();
    type Then = fn(&mut TrackerLink, Instant);
    let cases: [(Then, bool); 3] = [
        (
            |link, now| link.handle_message(FromTracker::Left, now),
            true,
        ),
        (|link, now| link.handle_closed("gone".into(), now), false),
        (|link, now| link.handle_timeout(now + LEAVE_TIMEOUT), false),
    ];
    for (then, confirmed) in cases {
        let mut link = up(now);
        link.handle_command(LinkCommand::Leave, now);
        assert_eq!(actions(&mut link), [LinkAction::Send(ToTracker::Leave)]);
        then(&mut link, now);
        let left = LinkAction::Tell(TrackerEvent::Left { confirmed });
        assert_eq!(actions(&mut link), [LinkAction::Disconnect, left.clone()]);
        assert_eq!(link.poll_timeout(), None);
        link.handle_command(LinkCommand::Leave, now);
        assert_eq!(actions(&mut link), [left], "who asks again is answered");
        link.handle_command(LinkCommand::Join, now);
        assert_eq!(actions(&mut link), [LinkAction::Disconnect]);
        link.handle_timeout(link.poll_timeout().expect("it registers again"));
        assert!(actions(&mut link).contains(&LinkAction::Connect { to: "a".into() }));
    }
}

/// It may be anybody's, and would make this peer shake hands all day.
#[test]
fn a_tracker_that_takes_and_drops_is_tried_ever_less_often() {
    let mut now = Instant::now();
    let mut link = link(&["a"], now);
    let mut rest = Duration::ZERO;
    for _ in 0..20 {
        link.handle_timeout(now);
        link.handle_connected(ip(), vec![], now);
        link.handle_message(registered(), now);
        link.handle_closed("closed".into(), now);
        actions(&mut link);
        rest = link.poll_timeout().unwrap() - now;
        now += rest;
    }
    assert!(rest >= LONGEST_REST / 2, "{rest:?}");

    link.handle_timeout(now);
    link.handle_connected(ip(), vec![], now);
    link.handle_message(registered(), now);
    link.handle_message(FromTracker::Renewed, now);
    link.handle_closed("closed".into(), now);
    assert!(link.poll_timeout().unwrap() - now <= FIRST_REST);
}

#[test]
fn who_leaves_while_it_registers_says_so() {
    let now = Instant::now();
    let mut link = link(&["a"], now);
    link.handle_timeout(now);
    link.handle_connected(ip(), vec![], now);
    actions(&mut link);
    link.handle_command(LinkCommand::Leave, now);
    assert_eq!(actions(&mut link), [LinkAction::Send(ToTracker::Leave)]);
    // The answer to the registration was on its way.
    link.handle_message(registered(), now);
    assert_eq!(actions(&mut link), []);
    link.handle_message(FromTracker::Left, now);
    let left = LinkAction::Tell(TrackerEvent::Left { confirmed: true });
    assert_eq!(actions(&mut link), [LinkAction::Disconnect, left]);
}

#[test]
fn who_has_moved_registers_anew_at_once() {
    let now = Instant::now();
    let mut link = up(now);
    link.handle_command(LinkCommand::Moved, now);
    assert_eq!(actions(&mut link), [LinkAction::Disconnect]);
    assert_eq!(link.poll_timeout(), Some(now));
    link.handle_timeout(now);
    assert!(actions(&mut link).contains(&LinkAction::Connect { to: "a".into() }));
    link.handle_connected(ip(), vec![ip()], now);
    let sent = actions(&mut link);
    assert!(
        matches!(&sent[..], [LinkAction::Send(ToTracker::Register(r))] if r.candidates == [ip()]),
        "{sent:?}"
    );
}

/// However long it has been tried in vain: a network that comes is used.
#[test]
fn a_network_that_comes_ends_the_rest() {
    let mut now = Instant::now();
    let mut link = link(&["a"], now);
    for _ in 0..10 {
        now = link.poll_timeout().unwrap();
        link.handle_timeout(now);
        link.handle_closed("unreachable".into(), now);
    }
    assert!(link.poll_timeout().unwrap() - now > FIRST_REST * 10);
    link.handle_command(LinkCommand::Moved, now);
    assert_eq!(link.poll_timeout(), Some(now));
    // And if it is not well yet, it is not long until the next attempt.
    link.handle_timeout(now);
    link.handle_closed("unreachable".into(), now);
    assert!(link.poll_timeout().unwrap() - now <= FIRST_REST);
}

/// The name that the link asks for when it connects next.
fn asks_for(link: &mut TrackerLink, now: Instant) -> (String, bool) {
    let due = link.poll_timeout().unwrap().max(now);
    link.handle_timeout(due);
    link.handle_connected(ip(), vec![], due);
    let registration = actions(link).into_iter().find_map(|action| match action {
        LinkAction::Send(ToTracker::Register(registration)) => Some(registration),
        _ => None,
    });
    let registration = registration.unwrap();
    (registration.name, registration.name_chosen)
}

#[test]
fn a_numbered_name_is_asked_for_again_and_given_up_to_who_has_it() {
    let now = Instant::now();
    let mut link = link(&["a", "b"], now);
    assert_eq!(asks_for(&mut link, now), ("kitchen".into(), false));
    link.handle_message(
        FromTracker::Registered(Registered {
            name: "kitchen-2".into(),
            lease: LEASE,
            seen_as: ip(),
        }),
        now,
    );
    link.handle_closed("it restarts".into(), now);
    assert_eq!(asks_for(&mut link, now), ("kitchen-2".into(), true));
    let taken = Refusal::NameTaken {
        name: "kitchen-2".into(),
        holder: ip(),
    };
    link.handle_message(FromTracker::Refused(taken), now);
    assert_eq!(
        actions(&mut link),
        [LinkAction::Disconnect],
        "nobody is told"
    );
    assert_eq!(asks_for(&mut link, now), ("kitchen".into(), false));
}

#[test]
fn a_chosen_name_is_never_given_up() {
    let now = Instant::now();
    let introduction = Introduction {
        name: "kitchen".into(),
        name_chosen: true,
        known_as: None,
        port: 4670,
        bound: None,
    };
    let mut link = TrackerLink::new(introduction, 1, now);
    link.handle_command(LinkCommand::Trackers(vec!["a".into()]), now);
    assert_eq!(asks_for(&mut link, now), ("kitchen".into(), true));
    let taken = Refusal::NameTaken {
        name: "kitchen".into(),
        holder: ip(),
    };
    link.handle_message(FromTracker::Refused(taken.clone()), now);
    assert!(actions(&mut link).contains(&LinkAction::Tell(TrackerEvent::Refused(taken))));
    assert_eq!(asks_for(&mut link, now), ("kitchen".into(), true));
}

#[test]
fn a_tracker_that_a_person_does_not_want_any_more_is_left() {
    let now = Instant::now();
    let wanted = |names: &[&str]| {
        let names = names.iter().map(|to| to.to_string()).collect();
        LinkCommand::Configured(names)
    };
    let mut link = up(now);
    link.handle_command(wanted(&["b", "a"]), now);
    assert_eq!(actions(&mut link), [], "the one in use is among them");
    link.handle_command(wanted(&["c"]), now);
    assert_eq!(actions(&mut link), [LinkAction::Send(ToTracker::Leave)]);
    link.handle_message(FromTracker::Left, now);
    assert_eq!(actions(&mut link), [LinkAction::Disconnect]);
    link.handle_timeout(link.poll_timeout().unwrap());
    assert!(actions(&mut link).contains(&LinkAction::Connect { to: "c".into() }));

    let mut link = up(now);
    link.handle_command(wanted(&[]), now);
    actions(&mut link);
    link.handle_timeout(now + LEAVE_TIMEOUT);
    let unwanted = LinkAction::Tell(TrackerEvent::Unwanted);
    assert_eq!(actions(&mut link), [unwanted, LinkAction::Disconnect]);
    assert_eq!(link.poll_timeout(), None, "there is none to try");
}

/// A person goes from node to node: a node with the new key must not rest for long when
/// the tracker gets it later.
#[test]
fn while_the_key_is_changed_no_rest_is_long() {
    let mut now = Instant::now();
    let mut link = link(&["a"], now);
    let longest = |link: &mut TrackerLink, now: &mut Instant| {
        let mut longest = Duration::ZERO;
        for _ in 0..12 {
            link.handle_timeout(*now);
            link.handle_closed("another key".into(), *now);
            let due = link.poll_timeout().unwrap();
            longest = longest.max(due - *now);
            *now = due;
        }
        longest
    };
    assert!(longest(&mut link, &mut now) > HURRIED_REST);
    link.handle_command(LinkCommand::Keys, now);
    assert_eq!(link.poll_timeout(), Some(now), "the rest has ended");
    assert!(longest(&mut link, &mut now) <= HURRIED_REST);
    now += KEY_CHANGE;
    assert!(longest(&mut link, &mut now) > HURRIED_REST);
}
