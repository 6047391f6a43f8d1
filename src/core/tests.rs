use std::time::{Duration, Instant};

use super::*;
use crate::{
    config::Role,
    id::{PeerId, TrackId},
    node::{Event, Interfaces, Memory, NodeSetup, PlayerAction, KNOWN_AFTER},
    tracker::link::{LinkCommand, TrackerEvent},
};

fn core(now: Instant) -> PeerCore {
    let setup = NodeSetup {
        me: PeerId([1; 32]),
        name: "kitchen".into(),
        name_is_chosen: true,
        role: Role::Peer,
        interfaces: Interfaces::default(),
        memory: Memory::default(),
        found: Vec::new(),
        max_volume: 100,
        names_others: true,
        seed: 1,
        memory_bytes: 64 << 20,
        known_after: KNOWN_AFTER,
    };
    PeerCore::new(setup, now)
}

/// All effects, in their order.
fn effects(core: &mut PeerCore, now: Instant) -> Vec<Effect> {
    std::iter::from_fn(|| core.poll(now)).collect()
}

fn is_leave(order: &LinkCommand) -> bool {
    matches!(order, LinkCommand::Leave)
}

#[test]
fn a_peer_that_stops_writes_first_then_leaves_and_ends_with_the_trackers_word() {
    let now = Instant::now();
    for (after, is_told) in [(Duration::ZERO, true), (Duration::from_secs(1), false)] {
        let mut core = core(now);
        effects(&mut core, now);
        core.handle_stop(now);
        core.handle_stop(now);
        let done = effects(&mut core, now);
        let place = |wanted: fn(&Effect) -> bool| {
            let mut places = done.iter().enumerate().filter(|(_, e)| wanted(e));
            let (place, _) = places.next().expect("it is done");
            assert!(places.next().is_none(), "it is done once");
            place
        };
        let written = place(|e| matches!(e, Effect::Local(LocalEffect::Remember(_))));
        let placed = place(|e| matches!(e, Effect::Bookmark));
        let stop = PlayerAction::Stop;
        assert!(done
            .iter()
            .any(|e| matches!(e, Effect::Player(PlayerEffect::Order(o)) if *o == stop)));
        let left = place(|e| matches!(e, Effect::Leave));
        assert!(written < left && placed < left);
        assert!(core.first_order().is_some_and(is_leave));
        core.handle_order_taken();
        let due = core.poll_timeout().expect("it does not wait for ever");
        assert!(due <= now + Duration::from_secs(2));
        if is_told {
            let left = TrackerEvent::Left { confirmed: true };
            core.handle(Event::Tracker(left), now + after);
        } else {
            core.handle_timeout(due - Duration::from_millis(1));
            assert!(effects(&mut core, due).is_empty());
            core.handle_timeout(due);
        }
        let last = effects(&mut core, due);
        assert!(matches!(last[..], [Effect::End]), "{last:?}");
        core.handle_timeout(due + Duration::from_secs(60));
        assert!(effects(&mut core, due).is_empty());
        assert_eq!(core.poll_timeout(), None);
    }
}

#[test]
fn a_cache_that_is_mended_is_looked_into_and_a_good_one_is_not_mentioned() {
    let mut now = Instant::now();
    let mut core = core(now);
    effects(&mut core, now);
    core.handle_cache_checked(Ok(()), now);
    assert!(effects(&mut core, now).is_empty());
    core.handle_cache_checked(Err("no space left".into()), now);
    effects(&mut core, now);
    now += Duration::from_secs(10);
    let is_check = |e: &Effect| matches!(e, Effect::Local(LocalEffect::CheckCache));
    assert!(effects(&mut core, now).iter().any(is_check));
    core.handle_cache_checked(Ok(()), now);
    let is_held = |e: &Effect| matches!(e, Effect::Local(LocalEffect::AnnounceHeld));
    assert!(effects(&mut core, now).iter().any(is_held));
}

#[test]
fn a_member_that_comes_too_often_loses_its_oldest_connection() {
    let now = Instant::now();
    let mut core = core(now);
    effects(&mut core, now);
    let peer = PeerId([2; 32]);
    let guests: Vec<_> = (0..5).map(|_| core.handle_connected(peer)).collect();
    let evicted = effects(&mut core, now);
    assert!(
        matches!(evicted[..], [Effect::Evict(guest)] if guest == guests[0]),
        "{evicted:?}"
    );
    core.handle_parted(guests[1]);
    core.handle_connected(peer);
    assert!(effects(&mut core, now).is_empty());
}

#[test]
fn room_that_comes_for_a_track_that_nobody_wants_is_given_back() {
    let now = Instant::now();
    let mut core = core(now);
    let opened = OpenedTrack {
        have: Default::default(),
        uncached: None,
    };
    assert!(!core.handle_opened(TrackId([3; 32]), Ok(opened), now));
}
