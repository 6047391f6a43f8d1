use super::*;

#[test]
fn a_peer_whose_key_was_taken_away_is_missed_only_if_it_has_no_other() {
    let mut tracker = Tracker::new();
    tracker.join(2, "kitchen");
    tracker.join(3, "thief");
    for conn in [2, 3] {
        tracker
            .registry
            .handle_disbelieved(ConnId(conn), tracker.now);
    }
    let said = tracker.said();
    for conn in [2, 3] {
        assert!(
            said.contains(&Close(conn, Dropped::Disbelieved)),
            "{said:?}"
        );
    }
    tracker.connect(12, 2, 2);
    let said = tracker.say(12, register("kitchen", false));
    assert!(said.contains(&welcome(12, "kitchen", 2)), "{said:?}");
    let said = tracker.wait(RETURN_TIME);
    assert_eq!(said, [To(12, gone(3, false))]);
    assert_eq!(tracker.names(), ["kitchen"]);
}
