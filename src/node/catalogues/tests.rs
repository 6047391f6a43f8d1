use super::{turns::MAX_CATCHING_UP, *};
use crate::catalog::{
    samples::{song, SampleOwner},
    Entry,
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
                if under_way.is_some_and(|it| it.pull.head() == own.head()) {
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
