mod catalogues;
mod keys;
mod names;

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
    let bytes = catalogue.pages()[index as usize].bytes().clone();
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
