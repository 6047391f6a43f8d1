//! Which node has a name.

use super::*;

#[test]
fn a_taken_default_name_is_numbered_and_a_chosen_one_refused() {
    let mut tracker = Tracker::new();
    tracker.join(7, "pi");
    assert!(tracker.join(8, "pi").contains(&welcome(8, "pi-2", 8)));
    assert!(tracker.join(6, "pi").contains(&welcome(6, "pi-3", 6)));

    tracker.connect(9, 9, 9);
    let (name, holder) = ("pi".into(), ip(7));
    let refusal = FromTracker::Refused(Refusal::NameTaken { name, holder });
    let said = tracker.say(9, register("pi", true));
    assert_eq!(said, [To(9, refusal), Close(9, Dropped::Refused)]);
}

/// A venue's speakers come with the name that their system image has.
#[test]
fn many_of_a_name_are_numbered_one_after_the_other() {
    let mut tracker = Tracker::new();
    for peer in 1..60 {
        tracker.join(peer, "pi");
    }
    let names: BTreeSet<String> = tracker.names().into_iter().collect();
    assert_eq!(names.len(), 59);
    assert!(names.contains("pi-59"), "{names:?}");
}

/// Off for a day, over a restart of the tracker, whatever peer wants its name meanwhile.
#[test]
fn a_node_that_is_off_keeps_its_name() {
    let mut tracker = Tracker::new();
    tracker.join(7, "kitchen");
    tracker.say(7, ToTracker::Leave);
    tracker.wait(Duration::from_secs(24 * 3600));
    let refused = |tracker: &mut Tracker, conn: u64| {
        tracker.connect(conn, 9, 9);
        let said = tracker.say(conn, register("kitchen", true));
        matches!(&said[0], To(_, FromTracker::Refused(Refusal::NameTaken { holder, .. })) if *holder == ip(7))
    };
    assert!(refused(&mut tracker, 19));
    assert!(tracker
        .join(8, "kitchen")
        .contains(&welcome(8, "kitchen-2", 8)));

    let written = tracker.registry.names(tracker.now);
    let mut tracker = Tracker::new();
    tracker.registry.recall_names(&written, tracker.now);
    assert!(refused(&mut tracker, 19));
    tracker.connect(17, 7, 7);
    let said = tracker.say(17, register("kitchen", true));
    assert!(said.contains(&welcome(17, "kitchen", 7)), "{said:?}");

    tracker.say(17, ToTracker::Leave);
    tracker.wait(KEPT);
    tracker.connect(29, 9, 9);
    let said = tracker.say(29, register("kitchen", true));
    assert!(said.contains(&welcome(29, "kitchen", 9)), "{said:?}");
}

#[test]
fn a_numbered_name_survives_a_lost_connection() {
    let mut tracker = Tracker::new();
    tracker.join(7, "pi");
    tracker.join(8, "pi");
    tracker.say(7, ToTracker::Leave);
    tracker.close(8);
    tracker.connect(18, 8, 8);
    let said = tracker.say(18, register("pi", false));
    assert_eq!(said, [welcome(18, "pi-2", 8)]);
}
