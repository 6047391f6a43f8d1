mod keys;

use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::{
    catalog::{Catalogue, Entry, HeldEntry, Page, SignedHead},
    id::TrackId,
    protocol::{Candidate, PeerState},
    tenure::KEPT,
};

/// A registry in virtual time, and what it said since last asked.
struct Tracker {
    registry: Registry,
    now: Instant,
}

impl Tracker {
    fn new() -> Self {
        Self {
            registry: Registry::new(vec![ip(1)], MemoryQuota::of(0)),
            now: Instant::now(),
        }
    }

    fn connect(&mut self, conn: u64, peer: u8, host: u8) {
        self.registry
            .handle_connected(ConnId(conn), id(peer), ip(host), self.now);
    }

    fn say(&mut self, conn: u64, message: ToTracker) -> Vec<Said> {
        self.registry
            .handle_message(ConnId(conn), message, self.now);
        self.said()
    }

    fn close(&mut self, conn: u64) -> Vec<Said> {
        self.registry.handle_closed(ConnId(conn), self.now);
        self.said()
    }

    fn wait(&mut self, time: Duration) -> Vec<Said> {
        self.now += time;
        self.registry.handle_timeout(self.now);
        self.said()
    }

    /// Connects and registers a peer with the number of its connection.
    fn join(&mut self, peer: u8, name: &str) -> Vec<Said> {
        self.connect(peer.into(), peer, peer);
        self.say(peer.into(), register(name, false))
    }

    fn said(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        // The bulletin is due at once here.
        if let Some(tell) = &mut self.registry.tell {
            *tell = self.now;
            self.registry.handle_timeout(self.now);
        }
        while let Some(action) = self.registry.poll() {
            match action {
                RegistryAction::Send { conn, message } => said.push(To(conn.0, message)),
                RegistryAction::Close { conn, why } => said.push(Close(conn.0, why)),
                RegistryAction::Tell => self.tell(&mut said),
            }
        }
        said
    }

    /// Everybody has room for one bulletin.
    fn tell(&mut self, said: &mut Vec<Said>) {
        let behind: Vec<_> = self.registry.behind().collect();
        for (conn, peer, place) in behind {
            let bulletin = self.registry.news_after(place);
            let messages = bulletin.for_peer(peer);
            said.extend(messages.map(|message| To(conn.0, (**message).clone())));
            self.registry.handle_told(conn, bulletin.up_to);
        }
    }

    fn names(&self) -> Vec<String> {
        let peers = self.registry.snapshot().peers;
        peers.into_iter().map(|record| record.name).collect()
    }
}

#[derive(Debug, PartialEq)]
enum Said {
    To(u64, FromTracker),
    Close(u64, Dropped),
}
use Said::{Close, To};

fn key(peer: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[peer; 32]).unwrap()
}

fn id(peer: u8) -> PeerId {
    PeerId(key(peer).public_key().as_ref().try_into().unwrap())
}

fn ip(host: u8) -> IpAddr {
    IpAddr::from([192, 168, 0, host])
}

fn register(name: &str, name_chosen: bool) -> ToTracker {
    ToTracker::Register(Registration {
        name: name.into(),
        name_chosen,
        port: 4670,
        candidates: vec![],
    })
}

fn welcome(conn: u64, name: &str, host: u8) -> Said {
    let registered = Registered {
        name: name.into(),
        lease: LEASE,
        seen_as: ip(host),
    };
    To(conn, FromTracker::Registered(registered))
}

fn record(peer: u8, name: &str, state: PeerState) -> FromTracker {
    FromTracker::Peer(PeerRecord {
        peer: id(peer),
        name: name.into(),
        state,
        candidates: vec![Candidate::At((ip(peer), 4670).into())],
    })
}

/// The nonce of the probe to `conn`, which must be all that was said.
fn probed(said: &[Said], conn: u64) -> ToTracker {
    match said {
        [To(to, FromTracker::Ping { nonce })] if *to == conn => ToTracker::Pong { nonce: *nonce },
        other => panic!("expected one probe of {conn}: {other:?}"),
    }
}

fn gone(peer: u8, left: bool) -> FromTracker {
    FromTracker::Gone {
        peer: id(peer),
        left,
    }
}

fn catalogue(peer: u8, seq: u64, entries: usize) -> Catalogue {
    let entry = |n: usize| {
        Some(Entry::Held(Box::new(HeldEntry {
            track: TrackId([n as u8; 32]),
            size: n as u64,
        })))
    };
    let entries: Vec<_> = (0..entries).map(entry).collect();
    let pages = entries.chunks(crate::catalog::PAGE_ENTRIES);
    let pages = pages.map(|entries| Arc::new(Page::new(entries)));
    let sign = |bytes: &[u8]| key(peer).sign(bytes).as_ref().try_into().unwrap();
    Catalogue::publish(id(peer), 1, seq, pages.collect(), sign)
}

fn page(catalogue: &Catalogue, index: u32) -> ToTracker {
    let bytes = catalogue.pages()[index as usize].encode().into();
    ToTracker::Page { index, bytes }
}

/// Answers all that the tracker asks `conn` for, until it asks no more.
fn publish(tracker: &mut Tracker, conn: u64, catalogue: &Catalogue) -> Vec<Said> {
    let mut asked = tracker.say(conn, ToTracker::Head(*catalogue.head()));
    let mut rest = Vec::new();
    while let Some(said) = asked.pop() {
        let answer = match said {
            To(_, FromTracker::WantList) => ToTracker::List(catalogue.list().to_vec()),
            To(_, FromTracker::WantPage { index }) => page(catalogue, index),
            other => {
                rest.push(other);
                continue;
            }
        };
        asked.extend(tracker.say(conn, answer));
    }
    rest
}

#[test]
fn newcomers_and_members_learn_of_one_another() {
    let mut tracker = Tracker::new();
    assert_eq!(tracker.join(7, "kitchen"), [welcome(7, "kitchen", 7)]);
    let said = tracker.join(8, "bath");
    let expected = [
        welcome(8, "bath", 8),
        To(7, record(8, "bath", PeerState::Up)),
        To(8, record(7, "kitchen", PeerState::Up)),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_second_registration_is_told_that_it_is_one() {
    let mut tracker = Tracker::new();
    tracker.join(7, "kitchen");
    let said = tracker.say(7, register("other", false));
    let [To(7, FromTracker::AlreadyRegistered(registered))] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(registered.name, "kitchen");
    assert_eq!(tracker.names(), ["kitchen"]);
}

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

#[test]
fn a_copied_card_is_told_so_wherever_it_is() {
    for (host, refusal) in [
        (9, Refusal::Copy { holder: ip(7) }),
        (7, Refusal::AlreadyRunning { holder: ip(7) }),
    ] {
        let mut tracker = Tracker::new();
        tracker.join(7, "kitchen");
        tracker.connect(17, 7, host);
        let pong = probed(&tracker.say(17, register("kitchen", false)), 7);
        let expected = [
            To(17, FromTracker::Refused(refusal)),
            Close(17, Dropped::Refused),
        ];
        assert_eq!(tracker.say(7, pong), expected);
        assert_eq!(tracker.names(), ["kitchen"]);
    }
}

#[test]
fn a_node_replaces_its_own_dead_connection() {
    let mut tracker = Tracker::new();
    tracker.join(6, "bath");
    tracker.join(7, "kitchen");
    tracker.connect(17, 7, 7);
    probed(&tracker.say(17, register("kitchen", false)), 7);
    let said = tracker.close(7);
    assert!(said.contains(&welcome(17, "kitchen", 7)), "{said:?}");
    assert!(said.contains(&To(6, record(7, "kitchen", PeerState::Up))));

    tracker.connect(27, 7, 7);
    probed(&tracker.say(27, register("kitchen", false)), 17);
    let said = tracker.wait(PROBE_TIMEOUT);
    assert!(said.contains(&Close(17, Dropped::Unresponsive)), "{said:?}");
    assert!(said.contains(&welcome(27, "kitchen", 7)), "{said:?}");
    assert_eq!(tracker.names(), ["bath", "kitchen"].map(String::from));
}

#[test]
fn a_lost_peer_is_suspect_until_its_lease_ends() {
    let mut tracker = Tracker::new();
    tracker.join(7, "kitchen");
    tracker.wait(LEASE / 3);
    tracker.join(8, "bath");
    assert_eq!(
        tracker.close(7),
        [To(8, record(7, "kitchen", PeerState::Suspect))]
    );
    tracker.say(8, ToTracker::Renew);
    let due = tracker.registry.poll_timeout().unwrap();
    assert_eq!(due - tracker.now, LEASE * 2 / 3);
    assert_eq!(tracker.wait(LEASE * 2 / 3), [To(8, gone(7, false))]);
}

#[test]
fn a_silent_peer_is_gone_with_its_lease_and_a_renewing_one_stays() {
    let mut tracker = Tracker::new();
    tracker.join(7, "kitchen");
    tracker.join(8, "bath");
    tracker.wait(LEASE * 2 / 3);
    tracker.say(8, ToTracker::Renew);
    let said = tracker.wait(LEASE / 3);
    assert_eq!(said, [Close(7, Dropped::Expired), To(8, gone(7, false))]);
    assert_eq!(tracker.names(), ["bath"]);
}

#[test]
fn who_leaves_is_told_so_and_gone_at_once() {
    let mut tracker = Tracker::new();
    tracker.join(7, "kitchen");
    tracker.join(8, "bath");
    let said = tracker.say(7, ToTracker::Leave);
    let expected = [
        To(7, FromTracker::Left),
        Close(7, Dropped::Left),
        To(8, gone(7, true)),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_full_tracker_and_a_bad_name_are_refused_in_words() {
    let mut tracker = Tracker::new();
    tracker.connect(7, 7, 7);
    let said = tracker.say(7, register("a/b", true));
    assert!(matches!(
        said[0],
        To(7, FromTracker::Refused(Refusal::BadName { .. }))
    ));
    for n in 0..MAX_PEERS as u64 {
        let mut peer = [0; 32];
        peer[..8].copy_from_slice(&n.to_be_bytes());
        tracker
            .registry
            .handle_connected(ConnId(100 + n), PeerId(peer), ip(2), tracker.now);
        tracker.say(100 + n, register(&format!("n{n}"), false));
    }
    let said = tracker.join(9, "late");
    let max = MAX_PEERS as u32;
    assert_eq!(said[0], To(9, FromTracker::Refused(Refusal::Full { max })));
}

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
            let bytes = music.pages()[1].encode().into();
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

#[test]
fn who_does_not_register_is_dropped() {
    let mut tracker = Tracker::new();
    tracker.connect(7, 7, 7);
    assert_eq!(
        tracker.wait(REGISTER_TIMEOUT),
        [Close(7, Dropped::NeverRegistered)]
    );
    tracker.connect(8, 8, 8);
    let said = tracker.say(8, ToTracker::Renew);
    assert!(
        matches!(said[..], [Close(8, Dropped::Broke(_))]),
        "{said:?}"
    );
}

/// What may happen to a tracker, over few peers so that they meet. A `conn`
/// counts backwards from the newest connection.
#[derive(Clone, Debug)]
enum Happening {
    Connect { peer: u8, host: u8 },
    Say { conn: u64, message: ToTracker },
    Pong { conn: u64, back: u64 },
    Close { conn: u64 },
    Wait { ms: u64 },
}

fn happening() -> impl Strategy<Value = Happening> {
    let message = prop_oneof![
        3 => ("[ab]", any::<bool>()).prop_map(|(name, chosen)| register(&name, chosen)),
        3 => Just(ToTracker::Renew),
        1 => Just(ToTracker::Leave),
        1 => (1..4u8, 1..4u64, 0..3usize).prop_map(|(p, s, n)| ToTracker::Head(*catalogue(p, s, n).head())),
        1 => (1..4u8, 1..4u64, 0..3usize).prop_map(|(p, s, n)| ToTracker::List(catalogue(p, s, n).list().to_vec())),
        1 => (1..4u8, 1..4u64, 1..3usize).prop_map(|(p, s, n)| page(&catalogue(p, s, n), 0)),
        1 => (1..4u8, 0..2u32).prop_map(|(p, index)| ToTracker::WantPage { owner: id(p), index }),
    ];
    prop_oneof![
        2 => (1..4u8, 1..4u8).prop_map(|(peer, host)| Happening::Connect { peer, host }),
        6 => (0..6u64, message).prop_map(|(conn, message)| Happening::Say { conn, message }),
        2 => (0..6u64, 0..3u64).prop_map(|(conn, back)| Happening::Pong { conn, back }),
        1 => (0..6u64).prop_map(|conn| Happening::Close { conn }),
        2 => (1..4000u64).prop_map(|ms| Happening::Wait { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens: names and peers are unique, every view agrees with
    /// the registry, nobody outlives a lease, nothing is sent to a peer that is gone.
    #[test]
    fn what_must_hold_holds(happenings in prop::collection::vec(happening(), 1..80)) {
        let mut tracker = Tracker::new();
        let mut open: BTreeMap<u64, PeerId> = BTreeMap::new();
        let mut views: BTreeMap<u64, BTreeMap<PeerId, PeerRecord>> = BTreeMap::new();
        let mut renewed: BTreeMap<PeerId, Instant> = BTreeMap::new();
        let mut next = 0;
        for happening in happenings {
            let newest = |back| u64::saturating_sub(next, 1 + back);
            let said = match happening {
                Happening::Connect { peer, host } => {
                    tracker.connect(next, peer, host);
                    open.insert(next, id(peer));
                    next += 1;
                    vec![]
                }
                Happening::Say { conn, message } => {
                    let conn = newest(conn);
                    if let (Some(peer), ToTracker::Renew) = (open.get(&conn), &message) {
                        renewed.insert(*peer, tracker.now);
                    }
                    tracker.say(conn, message)
                }
                Happening::Pong { conn, back } => {
                    let nonce = tracker.registry.last_nonce.saturating_sub(back);
                    tracker.say(newest(conn), ToTracker::Pong { nonce })
                }
                Happening::Close { conn } => {
                    let conn = newest(conn);
                    open.remove(&conn);
                    views.remove(&conn);
                    tracker.close(conn)
                }
                Happening::Wait { ms } => tracker.wait(Duration::from_millis(ms)),
            };
            for said in said {
                match said {
                    To(conn, message) => {
                        prop_assert!(open.contains_key(&conn), "{message:?} to nobody");
                        match message {
                            FromTracker::Registered(_) => {
                                renewed.insert(open[&conn], tracker.now);
                                views.insert(conn, BTreeMap::new());
                            }
                            FromTracker::Peer(record) => {
                                views.get_mut(&conn).unwrap().insert(record.peer, record);
                            }
                            FromTracker::Gone { peer, .. } => {
                                views.get_mut(&conn).unwrap().remove(&peer);
                            }
                            _ => {}
                        }
                    }
                    Close(conn, _) => {
                        open.remove(&conn);
                        views.remove(&conn);
                    }
                }
            }
            let peers = tracker.registry.snapshot().peers;
            let names: BTreeSet<_> = peers.iter().map(|p| &p.name).collect();
            prop_assert_eq!(names.len(), peers.len());
            for record in &peers {
                prop_assert!(tracker.now < renewed[&record.peer] + LEASE, "{:?}", record);
            }
            for (conn, view) in &views {
                let others: Vec<_> = peers.iter().filter(|p| p.peer != open[conn]).collect();
                prop_assert_eq!(view.values().collect::<Vec<_>>(), others);
            }
            let due = tracker.registry.poll_timeout();
            prop_assert!(due.is_none_or(|due| due > tracker.now), "overdue: {:?}", due);
        }
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
