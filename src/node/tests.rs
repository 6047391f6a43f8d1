//! Whatever trackers, greetings and mDNS say, all parts of a node agree on which peers are here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use proptest::prelude::*;

use super::*;
use crate::{
    catalog::{Head, Page},
    protocol::{Candidate, FromTracker, Greeting, PeerRecord, PeerState, Refusal, Registered},
    tracker::link::TrackerEvent,
};

impl Node {
    /// The newest catalogue of `owner` that is here.
    pub fn head_of(&self, owner: PeerId) -> Option<Head> {
        let own = self.others.catalogues.own().filter(|_| owner == self.me);
        let catalogue = own.or_else(|| self.others.catalogues.get(owner))?;
        Some(catalogue.head().head)
    }

    /// What the catalogues of others take.
    pub fn catalogue_bytes(&self) -> usize {
        self.others.catalogues.bytes()
    }

    /// The pages of the own catalogue.
    pub fn own_pages(&self) -> &[Arc<Page>] {
        self.others.catalogues.own().map_or(&[], |own| own.pages())
    }
}

const ME: PeerId = PeerId([9; 32]);
const PEERS: u8 = 6;

fn peer(n: u8) -> PeerId {
    PeerId([n % PEERS + 1; 32])
}

fn at(n: u8) -> SocketAddr {
    ([10, 0, 0, n % PEERS + 1], 4670).into()
}

fn node(now: Instant) -> Node {
    let setup = NodeSetup {
        me: ME,
        name: "kitchen".into(),
        name_is_chosen: false,
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
    Node::new(setup, now)
}

/// A node, and what it has had done.
struct WholeNode {
    node: Node,
    now: Instant,
    /// Where each peer is dialled, unless that is nowhere.
    links: BTreeMap<PeerId, Vec<SocketAddr>>,
    /// Greetings under way.
    greeted: Vec<PeerId>,
    answers: Vec<UploadAnswer>,
    is_registered: bool,
}

impl WholeNode {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            node: node(now),
            now,
            links: BTreeMap::new(),
            greeted: Vec::new(),
            answers: Vec::new(),
            is_registered: false,
        }
    }

    fn handle(&mut self, event: Event) {
        self.node.handle(event, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.node.poll(self.now) {
            match action {
                Action::Link {
                    peer,
                    addresses,
                    is_new,
                } => {
                    let before = self.links.insert(peer, addresses);
                    assert_eq!(is_new, before.is_none());
                }
                Action::Unlink(peer) => _ = self.links.remove(&peer).expect("it was dialled"),
                Action::Greet(peer, _) => self.greeted.push(peer),
                Action::Answer(_, answer) => self.answers.push(answer),
                _ => {}
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        if self.node.poll_timeout().is_some_and(|due| due <= self.now) {
            self.node.handle_timeout(self.now);
        }
        self.drain();
    }

    fn tracker(&mut self, event: TrackerEvent) {
        match event {
            TrackerEvent::Registered { .. } => self.is_registered = true,
            TrackerEvent::Lost { .. } | TrackerEvent::Refused(_) | TrackerEvent::Left { .. } => {
                self.is_registered = false;
            }
            // The link says nothing of the kind without a tracker.
            _ if !self.is_registered => return,
            _ => {}
        }
        self.handle(Event::Tracker(event));
    }

    fn is_told(&mut self, message: FromTracker) {
        self.tracker(TrackerEvent::Message(message));
    }

    /// One step of many, by what it is, the peer that it is about, and another number.
    fn step(&mut self, what: u8, n: u8, some: u8) {
        let (who, where_to) = (peer(n), at(some));
        match what {
            0 => self.tracker(registered(some)),
            1 => self.tracker(lost()),
            2..=4 => self.is_told(FromTracker::Peer(record(n, some))),
            5 => self.is_told(FromTracker::Gone {
                peer: who,
                left: some.is_multiple_of(2),
            }),
            6 => self.handle(Event::Sighted(who, vec![where_to])),
            7 => self.handle(Event::Sighted(who, Vec::new())),
            8 | 9 => self.handle(hello(n, some)),
            10..=12 => {
                if let Some(who) = self.greeted.pop() {
                    self.handle(Event::Greeted(who, greeted(some, where_to)));
                }
            }
            13 => self.tracker(TrackerEvent::Unvouched(vec![who, peer(some)])),
            14 => self.handle(Event::Keys),
            15 => self.handle(Event::Interfaces(Interfaces::default())),
            16 => self.tracker(TrackerEvent::Several {
                name: name(some),
                at: Vec::new(),
                troubles: Vec::new(),
            }),
            17 if some == 0 => self.tracker(TrackerEvent::Left { confirmed: true }),
            18 if some == 0 => self.tracker(TrackerEvent::Refused(Refusal::default())),
            19 => self.wait(Duration::from_secs(60)),
            _ => self.wait(Duration::from_millis(u64::from(some) * 1000)),
        }
    }
}

fn name(some: u8) -> String {
    ["kitchen", "attic", "kitchen-2"][usize::from(some % 3)].into()
}

/// By a tracker that is somewhere else each time.
fn registered(some: u8) -> TrackerEvent {
    TrackerEvent::Registered {
        registered: Registered {
            name: "kitchen".into(),
            lease: Duration::from_secs(10),
            seen_as: at(0).ip(),
        },
        reached_at: IpAddr::from([10, 0, 1, some]),
    }
}

fn lost() -> TrackerEvent {
    TrackerEvent::Lost {
        to: "attic".into(),
        why: "timed out".into(),
    }
}

fn record(n: u8, some: u8) -> PeerRecord {
    PeerRecord {
        peer: peer(n),
        name: name(some),
        state: [PeerState::Up, PeerState::Suspect][usize::from(some / 4 % 2)],
        candidates: vec![Candidate::At(at(some)), Candidate::WithTracker { port: 1 }],
    }
}

fn greeting(some: u8) -> Box<Greeting> {
    Box::new(Greeting {
        name: name(some),
        head: None,
        yours: None,
    })
}

fn hello(n: u8, some: u8) -> Event {
    Event::Asked {
        ask: AskId(u64::from(n)),
        peer: peer(n),
        from: at(some),
        request: PeerRequest::Hello(greeting(some)),
    }
}

fn greeted(some: u8, at: SocketAddr) -> Greeted {
    match some % 6 {
        0 => Greeted::Busy,
        1 => Greeted::Declined,
        2 | 3 => Greeted::Silent("timed out".into()),
        _ => Greeted::Hello {
            greeting: greeting(some),
            at,
        },
    }
}

impl WholeNode {
    /// All that the parts of the node say of which peers are here.
    fn check(&self) -> Result<(), TestCaseError> {
        let node = &self.node;
        let roster = &node.others.roster;
        let here: BTreeSet<PeerId> = roster.iter().map(|record| record.peer).collect();
        for n in 0..PEERS {
            let peer = peer(n);
            let is_here = here.contains(&peer);
            prop_assert_eq!(node.others.catalogues.is_here(peer), is_here);
            let link = self.links.get(&peer).cloned().unwrap_or_default();
            prop_assert_eq!(node.reaches(peer), !link.is_empty());
            if is_here {
                prop_assert_eq!(link, roster.addresses(peer));
            } else {
                let may_be = link.is_empty() || roster.is_greeted(peer);
                prop_assert!(may_be, "{:?} is dialled at {:?}", peer, link);
            }
        }
        let views = node.peer_views();
        let shown: BTreeSet<PeerId> = views.iter().skip(1).map(|view| view.peer).collect();
        prop_assert_eq!(shown, here);
        let names: BTreeSet<&str> = views.iter().map(|view| &*view.name).collect();
        prop_assert_eq!(names.len(), views.len(), "{:?}", views);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn all_parts_agree_on_which_peers_are_here(
        steps in prop::collection::vec((0..24u8, 0..PEERS, 0..24u8), 0..120),
    ) {
        let mut whole = WholeNode::new();
        whole.drain();
        for (what, n, some) in steps {
            whole.step(what, n, some);
            whole.check()?;
        }
    }
}
