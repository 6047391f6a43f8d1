//! Catalogues that owners announce, and what others are told of them.

use super::*;

#[test]
fn a_head_is_announced_once_all_its_pages_are_here() {
    let mut tracker = Tracker::new();
    tracker.join(7, "kitchen");
    tracker.join(8, "bath");
    let music = catalogue(7, 1, 300);
    let announced = FromTracker::Head(*music.head());
    assert_eq!(
        tracker.say(7, ToTracker::Head(*music.head())),
        [To(7, FromTracker::WantList)]
    );
    let asked = tracker.say(7, ToTracker::List(music.list().to_vec()));
    let want = |index| To(7, FromTracker::WantPage { index });
    assert_eq!(asked, [want(0), want(1)]);
    assert_eq!(tracker.say(7, page(&music, 1)), []);
    assert_eq!(tracker.say(7, page(&music, 0)), [To(8, announced.clone())]);

    let owner = id(7);
    assert_eq!(
        tracker.say(8, ToTracker::WantPage { owner, index: 1 }),
        [To(8, {
            let bytes = music.pages()[1].bytes().clone();
            let index = 1;
            FromTracker::Page {
                owner,
                index,
                bytes,
            }
        })]
    );
    let nowhere = ToTracker::WantPage { owner, index: 2 };
    assert_eq!(
        tracker.say(8, nowhere),
        [To(8, FromTracker::NotHere { owner })]
    );
    // A peer that comes late is told, too.
    assert!(tracker.join(9, "attic").contains(&To(9, announced)));
}

#[test]
fn many_changes_are_one_message_to_each() {
    let mut tracker = Tracker::new();
    tracker.join(7, "kitchen");
    tracker.join(8, "bath");
    // Both come and go while the bulletin waits.
    let registry = &mut tracker.registry;
    for _ in 0..100 {
        for conn in [9, 10] {
            let from = ip(conn);
            registry.handle_connected(ConnId(conn.into()), id(conn), from, tracker.now);
            let name = format!("attic {conn}");
            registry.handle_message(ConnId(conn.into()), register(&name, true), tracker.now);
            registry.handle_closed(ConnId(conn.into()), tracker.now);
        }
    }
    let said = tracker.said();
    let to_bath = said.iter().filter(|said| matches!(said, To(8, _)));
    let last = [9, 10].map(|peer| record(peer, &format!("attic {peer}"), PeerState::Suspect));
    assert!(to_bath.eq(&last.map(|message| To(8, message))), "{said:?}");
}

#[test]
fn who_does_not_read_is_told_only_what_is_still_true() {
    let mut tracker = Tracker::new();
    tracker.join(7, "kitchen");
    for seq in 1..=9 {
        let music = catalogue(7, seq, 1);
        tracker.say(7, ToTracker::Head(*music.head()));
        tracker.say(7, ToTracker::List(music.list().to_vec()));
        tracker.say(7, page(&music, 0));
    }
    // A connection at the start is told as a newcomer is.
    let bulletin = tracker.registry.news_after(NewsPosition::default());
    let told: Vec<_> = bulletin.for_peer(id(8)).map(|m| (**m).clone()).collect();
    let head = FromTracker::Head(*catalogue(7, 9, 1).head());
    assert_eq!(told, [record(7, "kitchen", PeerState::Up), head]);
}

#[test]
fn only_changed_pages_are_asked_for_again() {
    let mut tracker = Tracker::new();
    tracker.join(7, "kitchen");
    publish(&mut tracker, 7, &catalogue(7, 1, 300));
    let newer = catalogue(7, 2, 301);
    tracker.say(7, ToTracker::Head(*newer.head()));
    let asked = tracker.say(7, ToTracker::List(newer.list().to_vec()));
    assert_eq!(asked, [To(7, FromTracker::WantPage { index: 1 })]);
}

#[test]
fn an_owner_that_returns_is_shown_its_own_newest_head() {
    let mut tracker = Tracker::new();
    let music = catalogue(7, 5, 3);
    tracker.join(7, "kitchen");
    publish(&mut tracker, 7, &music);
    tracker.say(7, ToTracker::Leave);
    tracker.connect(17, 7, 7);
    let said = tracker.say(17, register("kitchen", false));
    assert!(said.contains(&To(17, FromTracker::Head(*music.head()))));
    // It was here for a moment only, so that it was not kept; and an older head changes
    // nothing.
    let asked = tracker.say(17, ToTracker::Head(*music.head()));
    assert_eq!(asked, [To(17, FromTracker::WantList)]);
    let older = catalogue(7, 4, 9);
    assert_eq!(tracker.say(17, ToTracker::Head(*older.head())), []);
}

#[test]
fn a_pull_goes_on_after_a_lost_connection() {
    let mut tracker = Tracker::new();
    let music = catalogue(7, 1, 600);
    tracker.join(7, "kitchen");
    tracker.say(7, ToTracker::Head(*music.head()));
    tracker.say(7, ToTracker::List(music.list().to_vec()));
    tracker.say(7, page(&music, 1));
    tracker.close(7);
    tracker.connect(17, 7, 7);
    tracker.say(17, register("kitchen", false));
    let asked = tracker.say(17, ToTracker::Head(*music.head()));
    let want = |index| To(17, FromTracker::WantPage { index });
    assert_eq!(asked, [want(0), want(2)]);
}

#[test]
fn who_lies_about_a_catalogue_is_dropped() {
    let music = catalogue(7, 1, 300);
    let mut forged: SignedHead = *music.head();
    forged.head.seq += 1;
    let other = catalogue(7, 1, 301);
    let list = ToTracker::List(music.list().to_vec());
    let head = ToTracker::Head(*music.head());
    let cases = [
        vec![ToTracker::Head(forged)],
        vec![ToTracker::Head(*catalogue(9, 1, 1).head())],
        vec![head.clone(), ToTracker::List(vec![])],
        vec![head.clone(), ToTracker::List(other.list().to_vec())],
        vec![head.clone(), list.clone(), page(&other, 1)],
        vec![head, list, {
            let bytes = vec![0xff; 100].into();
            ToTracker::Page { index: 0, bytes }
        }],
    ];
    for messages in cases {
        let mut tracker = Tracker::new();
        tracker.join(7, "kitchen");
        tracker.join(8, "bath");
        let said: Vec<_> = messages
            .into_iter()
            .flat_map(|m| tracker.say(7, m))
            .collect();
        let dropped = |said: &Said| matches!(said, Close(7, Dropped::Broke(_)));
        assert!(said.iter().any(dropped), "{said:?}");
        let heads = said
            .iter()
            .any(|s| matches!(s, To(_, FromTracker::Head(_))));
        assert!(!heads, "{said:?}");
    }
}

/// Everybody hears of each head, and looks for what it changes.
#[test]
fn heads_do_not_come_faster_than_a_scan_makes_them() {
    let mut tracker = Tracker::new();
    let sign = |bytes: &[u8]| key(1).sign(bytes).as_ref().try_into().unwrap();
    let head = |seq| {
        let empty = Catalogue::publish(id(1), 1, seq, Vec::new(), sign);
        ToTracker::Head(*empty.head())
    };
    let breach = Close(1, Breach("heads faster than a scan makes them").into());
    tracker.join(1, "kitchen");
    let patience = (0..100).take_while(|seq| !tracker.say(1, head(*seq)).contains(&breach));
    assert_eq!(patience.count(), 17);
    // Coming back does not make it forgotten.
    tracker.join(1, "kitchen");
    assert!(tracker.say(1, head(200)).contains(&breach));
    tracker.wait(Duration::from_secs(2));
    tracker.join(1, "kitchen");
    assert!(!tracker.say(1, head(201)).contains(&breach));
}
