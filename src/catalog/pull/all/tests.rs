use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::catalog::{
    samples::{song, SampleOwner},
    Catalogue, Entry, PAGE_ENTRIES,
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

/// Pulls that are answered, and what is here by that.
struct Room {
    pulls: PeersPulls,
    now: Instant,
}

impl Room {
    fn new(quota: MemoryQuota) -> Self {
        Self {
            pulls: PeersPulls::new(quota),
            now: Instant::now(),
        }
    }

    fn show(&mut self, own: &Catalogue, site: u8) {
        show(&mut self.pulls, own, site);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.pulls.handle_timeout(ANSWER, self.now);
    }

    /// Asks for a piece of each in turn, until all are here or have to wait.
    fn answer(&mut self, owners: &[Catalogue]) {
        let mut goes_on = true;
        while std::mem::take(&mut goes_on) {
            let under_way = self.pulls.all_under_way().map(|(owner, _)| owner);
            for owner in under_way.collect::<Vec<PeerId>>() {
                let own = owners.iter().find(|own| own.owner() == owner);
                for want in self.pulls.ask(owner, 1, self.now) {
                    give(&mut self.pulls, own.unwrap(), want, self.now);
                    goes_on = true;
                }
                self.pulls.finish(owner);
            }
        }
    }

    fn has(&self, own: &Catalogue) -> bool {
        let known = self.pulls.whole(own.owner());
        known.is_some_and(|known| known.catalogue.head() == own.head())
    }

    fn left_out(&self) -> Vec<String> {
        let words = |it: &Excess<()>| it.in_words("attic", self.pulls.quota());
        self.pulls.left_out().map(|(_, it)| words(it)).collect()
    }
}

/// A catalogue of so many tracks with names of so many bytes.
fn named(seed: u8, seq: u64, tracks: usize, name: usize) -> Catalogue {
    let entry = |n: usize| -> Option<Entry> { song("a", &format!("{n:04}{:>name$}", seq), None) };
    SampleOwner::new(seed).publish(seq, (0..tracks).map(entry).collect())
}

const SMALL: MemoryQuota = MemoryQuota {
    all: MIB,
    one: MIB / 2,
};

#[test]
fn sixteen_hostile_identities_starve_no_owner_in_any_order() {
    let hostile: Vec<Catalogue> = (0..16).map(|n| named(100 + n, 1, 112, 1900)).collect();
    let honest = [named(1, 1, 600, 60), named(2, 1, 1000, 60)];
    let all: Vec<Catalogue> = hostile.iter().chain(&honest).cloned().collect();
    for honest_first in [false, true] {
        let mut room = Room::new(SMALL);
        let mut order: Vec<&Catalogue> = hostile.iter().collect();
        let at_end = if honest_first { 0 } else { order.len() };
        for own in &honest {
            order.insert(at_end, own);
        }
        for own in order {
            // All of them are at one address.
            let site = (0..).zip(&honest).find(|(_, h)| h.owner() == own.owner());
            room.show(own, site.map_or(99, |(n, _)| n));
            room.answer(&all);
            assert!(
                room.pulls.bytes() <= SMALL.all,
                "{} bytes",
                room.pulls.bytes()
            );
        }
        for _ in 0..100 {
            room.wait(Duration::from_secs(60));
            room.answer(&all);
            assert!(
                room.pulls.bytes() <= SMALL.all,
                "{} bytes",
                room.pulls.bytes()
            );
        }
        assert!(honest.iter().all(|own| room.has(own)));
        let hostile = hostile.iter().filter(|own| room.has(own)).count();
        assert!((1..16).contains(&hostile), "{hostile} fit beside them");
        assert_eq!(room.left_out().len(), 16 - hostile);
    }
}

/// What is larger than the rest comes in when others go.
#[test]
fn an_owner_that_had_no_room_is_fetched_when_there_is_some() {
    let all: Vec<Catalogue> = (1..4).map(|n| named(n, 1, 187, 1100)).collect();
    let mut room = Room::new(SMALL);
    for (site, own) in (1..).zip(&all) {
        room.show(own, site);
        room.answer(&all);
    }
    assert!(room.has(&all[0]) && room.has(&all[1]) && !room.has(&all[2]));
    assert!(room.left_out()[0].contains("1 MB"), "{:?}", room.left_out());
    room.pulls.handle_gone(all[0].owner(), false, room.now);
    room.wait(Duration::from_secs(5));
    room.answer(&all);
    assert!(room.has(&all[2]) && room.left_out().is_empty());
}

/// Its owner answers with what it has by then, which is no fault.
#[test]
fn what_had_no_room_may_change_while_it_is_tried_again() {
    let all: Vec<Catalogue> = (1..4).map(|n| named(n, 1, 187, 1100)).collect();
    let mut room = Room::new(SMALL);
    for (site, own) in (1..).zip(&all) {
        room.show(own, site);
        room.answer(&all);
    }
    room.pulls.handle_gone(all[0].owner(), false, room.now);
    room.wait(Duration::from_secs(5));
    let newest = named(3, 2, 187, 1100);
    room.show(&newest, 3);
    room.answer(std::slice::from_ref(&newest));
    assert!(room.has(&newest) && room.left_out().is_empty());
}

/// While a catalogue is replaced, both versions are here, of which one is enough.
#[test]
fn an_owner_near_its_part_reaches_its_newest_and_one_beyond_it_keeps_what_it_had() {
    let of = |n, seq, tracks| named(n, seq, tracks, 1100);
    for (tracks, fits) in [(140, true), (220, false)] {
        let all = [of(1, 1, 150), of(2, 1, 150), of(3, 1, 150)];
        let (before, after) = (&all[0], of(1, 2, tracks));
        let mut room = Room::new(SMALL);
        for (site, own) in (1..).zip(&all) {
            room.show(own, site);
            room.answer(&all);
        }
        // What it may have fetched at once is not what this is about.
        room.wait(Duration::from_secs(600));
        room.show(&after, 1);
        room.answer(std::slice::from_ref(&after));
        assert_eq!(room.has(&after), fits);
        assert_eq!(room.has(before), !fits);
        assert!(all[1..].iter().all(|own| room.has(own)) && room.pulls.bytes() <= SMALL.all);
        assert_eq!(room.left_out().is_empty(), fits);
    }
}

/// Songs with long names first, then others: by its first page it would take several times
/// what it does.
fn falling_off(seed: u8, seq: u64) -> Catalogue {
    let long = |n: usize| song("a", &format!("{n:02000}"), None);
    let short = |n: usize| song("a", &format!("{seq} {n}"), None);
    let entries = (0..PAGE_ENTRIES).map(long);
    let entries = entries.chain((0..8 * PAGE_ENTRIES).map(short));
    SampleOwner::new(seed).publish(seq, entries.collect())
}

const WIDE: MemoryQuota = MemoryQuota {
    all: 4 * MIB,
    one: 2 * MIB,
};

#[test]
fn an_owner_whose_first_page_is_its_largest_is_not_left_out_for_what_it_seems_to_take() {
    let own = falling_off(1, 1);
    let hostile = [2, 3].map(|n| named(n, 1, 860, 1100));
    let all = [&hostile[..], std::slice::from_ref(&own)].concat();
    let taken: usize = all.iter().map(Catalogue::footprint).sum();
    assert!(taken > WIDE.all && own.footprint() < WIDE.all / 3);
    for at in 0..all.len() {
        let mut room = Room::new(WIDE);
        let mut order: Vec<&Catalogue> = hostile.iter().collect();
        order.insert(at, &own);
        for (site, own) in (1..).zip(order) {
            room.show(own, site);
            room.answer(&all);
            assert!(
                room.pulls.bytes() <= WIDE.all,
                "{} bytes",
                room.pulls.bytes()
            );
        }
        assert!(room.has(&own), "{:?}", room.left_out());
    }
}

#[test]
fn the_newest_is_not_left_out_for_what_it_seems_to_take() {
    let (before, after) = (falling_off(1, 1), falling_off(1, 2));
    let hostile = named(2, 1, 860, 1100);
    let free = WIDE.all - before.footprint() - hostile.footprint();
    let each = named(3, 1, 1000, 10).footprint() / 1000;
    let rest = named(3, 1, free / (each + 1), 10);
    let free = free - rest.footprint();
    assert!(
        after.footprint() < WIDE.all / 3 && free < 40 << 10,
        "{free}"
    );
    let mut room = Room::new(WIDE);
    let mut all = [before, hostile, rest];
    for (site, own) in (1..).zip(&all) {
        room.show(own, site);
        room.answer(&all);
        assert!(room.has(own));
    }
    room.wait(Duration::from_secs(600));
    all[0] = after;
    room.show(&all[0], 1);
    room.answer(&all);
    assert!(room.has(&all[0]), "{:?}", room.left_out());
}

/// Of what was left out only what had come is known for certain.
#[test]
fn an_owner_that_seemed_too_large_is_fetched_once_there_is_room() {
    let hostile: Vec<Catalogue> = (2..9).map(|n| named(n, 1, 125, 1900)).collect();
    let own = falling_off(1, 1);
    let all = [&hostile[..], std::slice::from_ref(&own)].concat();
    let mut room = Room::new(WIDE);
    for (site, own) in (1..).zip(&all) {
        room.show(own, site);
        room.answer(&all);
    }
    assert!(!room.has(&own), "it is larger than its part");
    for gone in &hostile[..3] {
        room.pulls.handle_gone(gone.owner(), false, room.now);
    }
    room.wait(Duration::from_secs(5));
    room.answer(&all);
    assert!(room.has(&own), "{:?}", room.left_out());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Owners come, grow and go in any order: what is taken is bounded at each moment, and
    /// in the end every owner with a fair part is there with its newest, whatever it had
    /// before.
    #[test]
    fn bounds_hold_and_a_fair_part_is_had(
        steps in prop::collection::vec((0..8u8, 1..60usize, any::<bool>()), 1..20),
    ) {
        let quota = MemoryQuota { all: 128 << 10, one: 64 << 10 };
        let mut room = Room::new(quota);
        let mut here: BTreeMap<u8, Catalogue> = BTreeMap::new();
        for (seq, (who, tracks, goes)) in (1..).zip(steps) {
            let own = named(who, seq, tracks * 5, 100);
            if goes {
                here.remove(&who);
                room.pulls.handle_gone(own.owner(), false, room.now);
            } else {
                here.insert(who, own.clone());
                room.show(&own, who);
            }
            let owners: Vec<Catalogue> = here.values().cloned().collect();
            for _ in 0..3 {
                room.wait(Duration::from_secs(40));
                room.answer(&owners);
                prop_assert!(room.pulls.bytes() <= quota.all);
            }
        }
        let owners: Vec<Catalogue> = here.values().cloned().collect();
        for _ in 0..60 {
            room.wait(Duration::from_secs(60));
            room.answer(&owners);
        }
        let fair = (quota.all / owners.len().max(1)).min(quota.one);
        for own in owners.iter().filter(|own| own.footprint() + 4096 < fair) {
            prop_assert!(room.has(own), "{} of {fair} bytes", own.footprint());
        }
        let named = room.left_out().len();
        let missing = owners.iter().filter(|own| !room.has(own)).count();
        prop_assert_eq!(named, missing);
    }
}
