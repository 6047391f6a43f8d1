use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{turns::MAX_CATCHING_UP, *};
use crate::catalog::{
    samples::{song, SampleOwner},
    Entry, PAGE_ENTRIES,
};

/// Catalogues whose owners are all here, each at an address of its own, and what is asked
/// of them.
struct Room {
    all: Catalogues,
    now: Instant,
    /// Bytes that were sent.
    came: usize,
}

impl Room {
    fn new(quota: MemoryQuota) -> Self {
        Self {
            all: Catalogues::new(quota, KNOWN_AFTER, Instant::now()),
            now: Instant::now(),
            came: 0,
        }
    }

    fn show(&mut self, own: &Catalogue, site: u8) {
        self.all.handle_here(own.owner(), at(site), self.now);
        let head = *own.head();
        self.all.handle_head(head, Via::Tracker, self.now).unwrap();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.all.handle_timeout(self.now);
    }

    /// Answers whatever is wanted, until nothing is.
    fn answer(&mut self, owners: &[Catalogue]) {
        while let Some(want) = self.all.poll() {
            let own = owners.iter().find(|own| own.owner() == want.owner).unwrap();
            self.give(own, want.what);
        }
    }

    fn give(&mut self, own: &Catalogue, what: Want) {
        let (owner, now) = (own.owner(), self.now);
        match what {
            Want::List => {
                let list = own.list().to_vec();
                self.came += size_of_val(&*list);
                self.all.handle_list(owner, list, now).unwrap();
            }
            Want::Page(n) => {
                let page = own.pages()[n as usize].bytes().to_vec();
                self.came += page.len();
                self.all.handle_page(owner, n, &page, now).unwrap();
            }
        }
    }

    fn has(&self, own: &Catalogue) -> bool {
        let known = self.all.get(own.owner());
        known.is_some_and(|known| known.head() == own.head())
    }

    fn left_out(&self) -> Vec<String> {
        let name = |_| Arc::from("attic");
        self.all.left_out_in_words(name).collect()
    }

    fn taken(&self) -> usize {
        self.all.bytes()
    }
}

fn at(site: u8) -> Option<OwnerSite> {
    Some(std::net::IpAddr::from([10, 0, 0, site]).into())
}

/// A catalogue of so many tracks with names of so many bytes.
fn catalogue(seed: u8, seq: u64, tracks: usize, name: usize) -> Catalogue {
    let entry = |n: usize| -> Option<Entry> { song("a", &format!("{n:04}{:>name$}", seq), None) };
    SampleOwner::new(seed).publish(seq, (0..tracks).map(entry).collect())
}

const MB: usize = 1 << 20;
const QUOTA: MemoryQuota = MemoryQuota {
    all: MB,
    one: MB / 2,
};

#[test]
fn a_swarm_of_catalogues_is_fetched_a_few_at_a_time() {
    let quota = MemoryQuota {
        all: 64 * MB,
        one: 4 * MB,
    };
    let owners: Vec<Catalogue> = (0..50).map(|seed| catalogue(seed, 1, 1, 1)).collect();
    let mut room = Room::new(quota);
    for (site, owner) in (0..).zip(&owners) {
        room.show(owner, site);
    }
    let mut asked: VecDeque<CatalogueWant> = VecDeque::new();
    loop {
        asked.extend(std::iter::from_fn(|| room.all.poll()));
        assert!(asked.len() <= MAX_CATCHING_UP, "{}", asked.len());
        let Some(CatalogueWant { owner, what, .. }) = asked.pop_front() else {
            break;
        };
        let theirs = owners.iter().find(|o| o.owner() == owner).unwrap();
        // One that the tracker has lost meanwhile does not stop the rest.
        match owner == owners[7].owner() {
            true => room.all.handle_not_here(owner, Via::Tracker, room.now),
            false => room.give(theirs, what),
        }
    }
    assert_eq!(owners.iter().filter(|own| room.has(own)).count(), 49);
    assert_eq!(room.all.poll_timeout(), None);
    assert!(room.all.take_change());
}

#[test]
fn where_one_way_ends_the_other_is_taken() {
    let owner = catalogue(1, 1, 1, 1);
    let (id, head) = (owner.owner(), *owner.head());
    let want = |via| {
        Some(CatalogueWant {
            owner: id,
            what: Want::List,
            via,
        })
    };
    let Room { mut all, now, .. } = Room::new(QUOTA);
    all.handle_head(head, Via::Tracker, now).unwrap();
    assert_eq!(all.poll(), None, "nobody knows yet where it is");
    all.handle_here(id, at(1), now);
    all.handle_head(head, Via::Owner, now).unwrap();
    assert_eq!(all.poll(), want(Via::Tracker));
    assert_eq!(all.poll(), None, "it is asked for once");
    all.handle_lost(now);
    assert_eq!(all.poll(), want(Via::Owner));
    all.handle_not_here(id, Via::Owner, now);
    assert_eq!(all.poll_timeout(), None);
    // The next greeting shows the head again.
    all.handle_head(head, Via::Owner, now).unwrap();
    assert_eq!(all.poll(), want(Via::Owner));
}

#[test]
fn a_catalogue_that_is_too_large_is_left_out_and_named_until_it_fits() {
    let (large, small) = (catalogue(1, 1, 600, 2000), catalogue(1, 2, 30, 10));
    let mut room = Room::new(QUOTA);
    room.show(&large, 1);
    room.answer(std::slice::from_ref(&large));
    assert!(!room.has(&large) && room.taken() == 0);
    assert!(room.came <= QUOTA.one + MB, "{} bytes came", room.came);
    let said = room.left_out();
    assert!(
        said.len() == 1 && said[0].starts_with("the tracks of attic are not shown: "),
        "{said:?}"
    );
    room.show(&small, 1);
    assert_eq!(room.all.poll(), None, "not yet");
    while room.all.poll_timeout().is_some() {
        room.wait(Duration::from_secs(30));
        room.answer(std::slice::from_ref(&small));
    }
    assert!(room.has(&small));
    assert!(room.left_out().is_empty());
}

#[test]
fn sixteen_hostile_identities_starve_no_owner_in_any_order() {
    let hostile: Vec<Catalogue> = (0..16).map(|n| catalogue(100 + n, 1, 112, 1900)).collect();
    let honest = [catalogue(1, 1, 600, 60), catalogue(2, 1, 1000, 60)];
    let all: Vec<Catalogue> = hostile.iter().chain(&honest).cloned().collect();
    for honest_first in [false, true] {
        let mut room = Room::new(QUOTA);
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
            assert!(room.taken() <= QUOTA.all, "{} bytes", room.taken());
        }
        for _ in 0..100 {
            room.wait(Duration::from_secs(60));
            room.answer(&all);
            assert!(room.taken() <= QUOTA.all, "{} bytes", room.taken());
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
    let all: Vec<Catalogue> = (1..4).map(|n| catalogue(n, 1, 187, 1100)).collect();
    let mut room = Room::new(QUOTA);
    for (site, own) in (1..).zip(&all) {
        room.show(own, site);
        room.answer(&all);
    }
    assert!(room.has(&all[0]) && room.has(&all[1]) && !room.has(&all[2]));
    assert!(room.left_out()[0].contains("1 MB"), "{:?}", room.left_out());
    room.all.handle_gone(all[0].owner(), room.now);
    room.wait(Duration::from_secs(5));
    room.answer(&all);
    assert!(room.has(&all[2]) && room.left_out().is_empty());
}

/// Its owner answers with what it has by then, which is no fault.
#[test]
fn what_had_no_room_may_change_while_it_is_tried_again() {
    let all: Vec<Catalogue> = (1..4).map(|n| catalogue(n, 1, 187, 1100)).collect();
    let mut room = Room::new(QUOTA);
    for (site, own) in (1..).zip(&all) {
        room.show(own, site);
        room.answer(&all);
    }
    room.all.handle_gone(all[0].owner(), room.now);
    room.wait(Duration::from_secs(5));
    let newest = catalogue(3, 2, 187, 1100);
    room.show(&newest, 3);
    room.answer(std::slice::from_ref(&newest));
    assert!(room.has(&newest) && room.left_out().is_empty());
}

/// While a catalogue is replaced, both versions are here, of which one is enough.
#[test]
fn an_owner_near_its_part_reaches_its_newest_and_one_beyond_it_keeps_what_it_had() {
    let of = |n, seq, tracks| catalogue(n, seq, tracks, 1100);
    for (tracks, fits) in [(140, true), (220, false)] {
        let all = [of(1, 1, 150), of(2, 1, 150), of(3, 1, 150)];
        let (before, after) = (&all[0], of(1, 2, tracks));
        let mut room = Room::new(QUOTA);
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
        assert!(all[1..].iter().all(|own| room.has(own)) && room.taken() <= QUOTA.all);
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
    all: 4 * MB,
    one: 2 * MB,
};

#[test]
fn an_owner_whose_first_page_is_its_largest_is_not_left_out_for_what_it_seems_to_take() {
    let own = falling_off(1, 1);
    let hostile = [2, 3].map(|n| catalogue(n, 1, 860, 1100));
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
            assert!(room.taken() <= WIDE.all, "{} bytes", room.taken());
        }
        assert!(room.has(&own), "{:?}", room.left_out());
    }
}

#[test]
fn the_newest_is_not_left_out_for_what_it_seems_to_take() {
    let (before, after) = (falling_off(1, 1), falling_off(1, 2));
    let hostile = catalogue(2, 1, 860, 1100);
    let free = WIDE.all - before.footprint() - hostile.footprint();
    let each = catalogue(3, 1, 1000, 10).footprint() / 1000;
    let rest = catalogue(3, 1, free / (each + 1), 10);
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
    let hostile: Vec<Catalogue> = (2..9).map(|n| catalogue(n, 1, 125, 1900)).collect();
    let own = falling_off(1, 1);
    let all = [&hostile[..], std::slice::from_ref(&own)].concat();
    let mut room = Room::new(WIDE);
    for (site, own) in (1..).zip(&all) {
        room.show(own, site);
        room.answer(&all);
    }
    assert!(!room.has(&own), "it is larger than its part");
    for gone in &hostile[..3] {
        room.all.handle_gone(gone.owner(), room.now);
    }
    room.wait(Duration::from_secs(5));
    room.answer(&all);
    assert!(room.has(&own), "{:?}", room.left_out());
}

#[test]
fn an_owner_that_goes_soon_leaves_nothing_and_one_here_for_long_a_part() {
    let (brief, long) = (catalogue(1, 1, 300, 10), catalogue(2, 1, 300, 10));
    let mut room = Room::new(QUOTA);
    room.show(&long, 2);
    room.answer(std::slice::from_ref(&long));
    room.wait(KNOWN_AFTER);
    room.show(&brief, 1);
    room.answer(std::slice::from_ref(&brief));
    for own in [&brief, &long] {
        room.all.handle_gone(own.owner(), room.now);
    }
    assert!(!room.has(&brief) && room.has(&long));
    // Owners that are here need the room.
    let others: Vec<Catalogue> = (3..6).map(|n| catalogue(n, 1, 175, 1000)).collect();
    for (site, own) in (3..).zip(&others) {
        room.show(own, site);
        room.answer(&others);
    }
    assert!(!room.has(&long) && room.taken() <= QUOTA.all);
}

/// Each of its catalogues is another one, as large as it may be.
#[test]
fn a_flapping_head_costs_little() {
    let mut room = Room::new(QUOTA);
    for seq in 1..240 {
        let own = catalogue(1, seq, 100, 2000);
        room.show(&own, 1);
        for _ in 0..4 {
            room.wait(Duration::from_millis(25));
            while let Some(want) = room.all.poll() {
                let under_way = room.all.pulls.under_way(want.owner);
                if under_way.is_some_and(|it| it.head() == own.head()) {
                    room.give(&own, want.what);
                }
            }
        }
    }
    let came = room.came >> 10;
    // What it may have at once, 24 times what it may have in a second, and a page.
    assert!((1024..=2500).contains(&came), "{came} KB in 24 s");
}

#[test]
fn slow_answers_of_many_at_one_address_keep_nobody_waiting() {
    let slow: Vec<Catalogue> = (0..20).map(|n| catalogue(100 + n, 1, 1, 1)).collect();
    let honest = catalogue(1, 1, 1000, 10);
    let mut room = Room::new(QUOTA);
    for own in &slow {
        room.show(own, 9);
    }
    room.show(&honest, 1);
    let begin = room.now;
    while !room.has(&honest) {
        while let Some(want) = room.all.poll() {
            if want.owner == honest.owner() {
                room.give(&honest, want.what);
            }
        }
        if !room.has(&honest) {
            room.wait(Duration::from_secs(1));
        }
        assert!(room.now < begin + Duration::from_secs(20), "it waits");
    }
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
            let own = catalogue(who, seq, tracks * 5, 100);
            if goes {
                here.remove(&who);
                room.all.handle_gone(own.owner(), room.now);
            } else {
                here.insert(who, own.clone());
                room.show(&own, who);
            }
            let owners: Vec<Catalogue> = here.values().cloned().collect();
            for _ in 0..3 {
                room.wait(Duration::from_secs(40));
                room.answer(&owners);
                prop_assert!(room.taken() <= quota.all);
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
