use std::sync::Arc;

use super::*;
use crate::catalog::{
    samples::{song, SampleOwner},
    Catalogue,
};

type PeersPulls = Pulls<Arc<Catalogue>, ()>;

const MIB: usize = 1 << 20;
const QUOTA: MemoryQuota = MemoryQuota {
    all: 64 * MIB,
    one: 4 * MIB,
};
const ANSWER: Duration = Duration::from_secs(10);

fn at(site: u8) -> Option<OwnerSite> {
    Some(std::net::IpAddr::from([10, 0, 0, site]).into())
}

fn catalogue(seed: u8, seq: u64, entries: usize) -> Catalogue {
    let entry = |n: usize| song("a", &format!("{seq} {n}"), None);
    SampleOwner::new(seed).publish(seq, (0..entries).map(entry).collect())
}

/// What was asked for comes.
fn give(pulls: &mut PeersPulls, own: &Catalogue, want: Want, now: Instant) {
    let needed = match want {
        Want::List => pulls.handle_list(own.owner(), own.list().to_vec(), now),
        Want::Page(n) => {
            let page = own.pages()[n as usize].bytes();
            pulls.handle_page(own.owner(), n, page, now)
        }
    };
    assert_eq!(needed, Ok(true));
}

fn show(pulls: &mut PeersPulls, own: &Catalogue, site: u8) -> HeadStep {
    pulls.handle_here(own.owner(), at(site));
    pulls.handle_head(*own.head(), ()).unwrap()
}

#[test]
fn a_catalogue_comes_a_few_pieces_at_a_time_and_is_swapped_in_whole() {
    let (now, own) = (Instant::now(), catalogue(1, 1, 1000));
    let mut pulls = PeersPulls::new(QUOTA);
    assert_eq!(show(&mut pulls, &own, 1), HeadStep::News);
    assert_eq!(show(&mut pulls, &own, 1), HeadStep::UnderWay);
    assert_eq!(pulls.ask(own.owner(), 2, now), [Want::List]);
    assert_eq!(pulls.ask(own.owner(), 2, now), []);
    give(&mut pulls, &own, Want::List, now);
    let mut asked = pulls.ask(own.owner(), 2, now);
    assert_eq!(asked, [Want::Page(0), Want::Page(1)]);
    while let Some(want) = asked.pop() {
        assert!(pulls.finish(own.owner()).is_none());
        give(&mut pulls, &own, want, now);
        asked.extend(pulls.ask(own.owner(), 2, now));
        assert!(asked.len() <= 2);
    }
    let whole = pulls.finish(own.owner()).unwrap();
    assert_eq!(whole.bytes, own.footprint());
    assert_eq!(show(&mut pulls, &own, 1), HeadStep::Nothing);
    assert_eq!(pulls.poll_timeout(ANSWER), None);
}

#[test]
fn an_answer_that_does_not_come_is_said_once_and_asked_for_after_the_others() {
    let now = Instant::now();
    let (slow, other) = (catalogue(1, 1, 300), catalogue(2, 1, 300));
    let mut pulls = PeersPulls::new(QUOTA);
    show(&mut pulls, &slow, 1);
    pulls.ask(slow.owner(), 4, now);
    show(&mut pulls, &other, 2);
    assert_eq!(pulls.poll_timeout(ANSWER), Some(now + ANSWER));
    let due = pulls.handle_timeout(ANSWER, now + ANSWER);
    assert_eq!((due.unanswered, due.ready), (vec![slow.owner()], vec![]));
    assert_eq!(pulls.poll_timeout(ANSWER), None);
    let turns = pulls.all_under_way().map(|(owner, it)| (it.turn, owner));
    assert_eq!(turns.max().map(|(_, owner)| owner), Some(slow.owner()));
    // What comes late is taken all the same.
    give(&mut pulls, &slow, Want::List, now + 2 * ANSWER);
    assert_eq!(pulls.ask(slow.owner(), 1, now), [Want::Page(0)]);
    pulls.under_way(slow.owner()).unwrap().ask_again();
    assert_eq!(pulls.ask(slow.owner(), 1, now), [Want::Page(0)]);
}

#[test]
fn an_owner_that_has_spent_its_allowance_waits_until_a_time_and_is_not_overdue() {
    let now = Instant::now();
    let (first, own) = (catalogue(1, 1, 300), catalogue(1, 2, 300));
    let mut pulls = PeersPulls::new(MemoryQuota {
        all: MIB,
        one: 32 << 10,
    });
    for own in [&first, &own] {
        show(&mut pulls, own, 1);
        for want in [Want::List, Want::Page(0), Want::Page(1)] {
            let asked = pulls.ask(own.owner(), 1, now);
            if asked.is_empty() {
                break;
            }
            assert_eq!(asked, [want]);
            give(&mut pulls, own, want, now);
        }
        pulls.finish(own.owner());
    }
    let then = pulls.poll_timeout(ANSWER).unwrap();
    assert!(then > now && pulls.whole(own.owner()).unwrap().catalogue.head() == first.head());
    let early = then - Duration::from_millis(1);
    let due = pulls.handle_timeout(Duration::ZERO, early);
    assert_eq!((due.unanswered, due.ready), (vec![], vec![]));
    assert_eq!(pulls.ask(own.owner(), 1, early), []);
    let then = pulls.poll_timeout(ANSWER).unwrap();
    let due = pulls.handle_timeout(Duration::ZERO, then);
    assert_eq!((due.unanswered, due.ready), (vec![], vec![own.owner()]));
    assert_eq!(pulls.ask(own.owner(), 1, then).len(), 1);
}

#[test]
fn a_forged_piece_ends_the_pull_and_a_forged_head_none() {
    let (now, own) = (Instant::now(), catalogue(1, 1, 300));
    let mut pulls = PeersPulls::new(QUOTA);
    show(&mut pulls, &own, 1);
    let mut forged = *own.head();
    forged.head.seq += 1;
    assert!(pulls.handle_head(forged, ()).is_err());
    pulls.ask(own.owner(), 1, now);
    give(&mut pulls, &own, Want::List, now);
    pulls.ask(own.owner(), 1, now);
    let page = own.pages()[1].bytes();
    let refused = pulls.handle_page(own.owner(), 0, page, now);
    assert_eq!(refused, Err(SyncError::WrongPage(0)));
    assert!(pulls.owners.is_empty(), "nothing is known of it");
    assert_eq!(show(&mut pulls, &own, 1), HeadStep::News);
}

/// Members that made themselves new identities, stayed until they were known, and went.
#[test]
fn owners_that_are_away_keep_no_place_from_one_that_is_here() {
    let now = Instant::now();
    let away = |n: usize| {
        let mut owner = [0; 32];
        owner[..8].copy_from_slice(&n.to_be_bytes());
        Catalogue::publish(PeerId(owner), 1, 1, Vec::new(), |_| [0; 64])
    };
    let mut pulls = PeersPulls::new(QUOTA);
    for n in 0..MAX_OWNERS {
        assert!(pulls.insert(Arc::new(away(n)), (), now));
    }
    assert!(!pulls.insert(Arc::new(away(MAX_OWNERS)), (), now));
    let own = catalogue(1, 1, 1);
    let mut forged = *own.head();
    forged.head.seq += 1;
    assert!(pulls.handle_head(forged, ()).is_err());
    assert_eq!(pulls.owners.len(), MAX_OWNERS, "no room is made for a lie");
    assert_eq!(show(&mut pulls, &own, 1), HeadStep::News);
    assert_eq!(pulls.take_dropped().len(), MAX_OWNERS);
}
