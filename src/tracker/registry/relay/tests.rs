//! The room for catalogues, how it is shared, and pulls that end.

use proptest::{
    prelude::{any, prop},
    prop_assert, prop_assert_eq,
    test_runner::{Config, TestCaseError, TestRunner},
};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::{
    catalog::{Catalogue, Entry, Head, HeldEntry, PAGE_ENTRIES},
    id::TrackId,
};

/// A catalogue of one page of some 40 bytes.
fn catalogue(peer: u8, seq: u64) -> Catalogue {
    catalogue_of(peer, seq, 1)
}

/// A catalogue of so many entries; 256 of them, which are a page, have some 10 KB.
fn catalogue_of(peer: u8, seq: u64, entries: usize) -> Catalogue {
    let held = |n: usize| {
        let mut track = [seq as u8; 32];
        track[30..].copy_from_slice(&(n as u16).to_be_bytes());
        let track = TrackId(track);
        Some(Entry::Held(Box::new(HeldEntry { track, size: 1 })))
    };
    let entries: Vec<_> = (0..entries).map(held).collect();
    let pages = entries.chunks(PAGE_ENTRIES);
    let pages = pages.map(|entries| Arc::new(Page::new(entries))).collect();
    let owner = PeerId(key(peer).public_key().as_ref().try_into().unwrap());
    Catalogue::publish(owner, 1, seq, pages, |bytes| sign(peer, bytes))
}

fn key(peer: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[peer; 32]).unwrap()
}

fn sign(peer: u8, bytes: &[u8]) -> [u8; 64] {
    key(peer).sign(bytes).as_ref().try_into().unwrap()
}

const MIB: usize = 1 << 20;

/// Two and a list.
const QUOTA: MemoryQuota = MemoryQuota { all: 252, one: 252 };

const LIST: usize = size_of::<Hash>() + size_of::<Arc<[u8]>>();

/// The `n`th member's, each at an address of its own.
fn everybody(id: PeerId) -> OwnerSite {
    let [a, b, ..] = id.0;
    std::net::IpAddr::from([10, 0, a, b]).into()
}

type SiteOf<'a> = &'a dyn Fn(PeerId) -> OwnerSite;

fn pull(relay: &mut Relay, own: &Catalogue, site_of: SiteOf<'_>, now: Instant) -> RelayProgress {
    let owner = own.owner();
    let list = own.list().to_vec();
    relay.handle_here(owner, site_of(owner));
    relay.handle_head(*own.head(), now).unwrap();
    relay.handle_list(owner, list, now).unwrap();
    let page = own.pages()[0].bytes();
    relay.handle_page(owner, 0, page, now).unwrap()
}

fn whole(own: &Catalogue) -> RelayProgress {
    RelayProgress::Whole(*own.head())
}

const NOTHING: RelayProgress = RelayProgress::Ask(Vec::new());

#[test]
fn room_is_made_of_what_belongs_to_the_absent() {
    let now = Instant::now();
    let own = [1, 2, 3].map(|peer| catalogue(peer, 1));
    let absent = own[0].owner();
    let mut relay = Relay::new(QUOTA);
    for own in &own {
        assert_eq!(pull(&mut relay, own, &everybody, now), whole(own));
        relay.handle_gone(absent, KNOWN_AFTER, now);
    }
    assert_eq!(relay.head(absent), None);
    assert_eq!(relay.seen(absent), Some(*own[0].head()));
    assert_eq!(relay.take_dropped(), [absent]);
    // Nobody is absent any more; an owner with a place keeps it.
    let late = catalogue(4, 1);
    assert_eq!(pull(&mut relay, &late, &everybody, now), NOTHING);
    assert_eq!(relay.head(own[1].owner()), Some(*own[1].head()));
    assert!(relay.bytes() <= QUOTA.all);
    let name = |_| Some("attic".to_owned());
    let said: Vec<String> = relay.left_out_in_words(name).collect();
    assert!(
        said[0].starts_with("the tracks of attic are not passed on: "),
        "{said:?}"
    );
    // When one of them goes, it is tried again by itself.
    relay.handle_gone(own[1].owner(), Duration::ZERO, now);
    let then = relay.poll_timeout().unwrap();
    let begun = relay.handle_timeout(then);
    assert_eq!(
        begun,
        [(late.owner(), RelayProgress::Ask(vec![Want::List]))]
    );
    assert_eq!(pull(&mut relay, &late, &everybody, then), whole(&late));
    assert_eq!(relay.left_out_in_words(name).count(), 0);
}

/// A list is 128 KiB long at most, and there may be a thousand whose pages never come.
#[test]
fn lists_without_pages_are_counted() {
    let now = Instant::now();
    let own = catalogue(1, 1);
    let mut relay = Relay::new(QUOTA);
    let head = *own.head();
    relay.handle_head(head, now).unwrap();
    let list = own.list().to_vec();
    relay.handle_list(own.owner(), list, now).unwrap();
    assert_eq!(relay.bytes(), LIST);
}

#[test]
fn an_owner_that_changes_all_the_time_is_pulled_slowly() {
    let begin = Instant::now();
    let mut relay = Relay::new(MemoryQuota {
        all: 4000,
        one: 1000,
    });
    relay.set_receivers(1000);
    let mut taken = 0;
    for seq in 0..6000 {
        let now = begin + Duration::from_millis(seq * 10);
        let own = catalogue(1, seq);
        taken += u32::from(pull(&mut relay, &own, &everybody, now) == whole(&own));
    }
    // Unasked pages are paid for, too, so that nothing is gained by sending them.
    assert!((10..100).contains(&taken), "{taken}");
    assert!(relay.poll_timeout().is_some());
}

#[test]
fn a_pull_without_progress_is_given_up() {
    let own = catalogue(1, 1);
    let mut relay = Relay::new(QUOTA);
    let now = Instant::now();
    relay.handle_head(*own.head(), now).unwrap();
    assert_eq!(relay.poll_timeout(), Some(now + PULL_TIMEOUT));
    relay.handle_timeout(now + PULL_TIMEOUT);
    assert_eq!(relay.poll_timeout(), None);
    assert_eq!(pull(&mut relay, &own, &everybody, now), whole(&own));
}

#[test]
fn of_an_owner_that_was_here_for_a_moment_nothing_is_kept() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    for (was_here, is_kept) in [
        (Duration::ZERO, false),
        (KNOWN_AFTER - second, false),
        (KNOWN_AFTER, true),
    ] {
        let own = catalogue(1, 1);
        let mut relay = Relay::new(QUOTA);
        assert_eq!(pull(&mut relay, &own, &everybody, now), whole(&own));
        relay.handle_gone(own.owner(), was_here, now);
        assert_eq!(relay.head(own.owner()).is_some(), is_kept, "{was_here:?}");
        assert_eq!(relay.bytes() > 0, is_kept, "{was_here:?}");
    }
}

/// Its owner signs nonsense: every peer would refuse what is put together so.
#[test]
fn a_page_of_before_is_kept_only_where_it_has_the_right_length() {
    let now = Instant::now();
    let (short, full) = (catalogue_of(1, 1, 10), catalogue_of(1, 2, 300));
    let mut relay = Relay::new(MemoryQuota { all: MIB, one: MIB });
    assert_eq!(pull(&mut relay, &short, &everybody, now), whole(&short));
    let list = vec![short.list()[0], full.list()[1]];
    let head = Head {
        pages: *blake3::hash(list.as_flattened()).as_bytes(),
        ..full.head().head
    };
    let head = SignedHead::sign(head, |bytes| sign(1, bytes));
    relay.handle_head(head, now).unwrap();
    let asked = relay.handle_list(full.owner(), list, now);
    let pages = vec![Want::Page(0), Want::Page(1)];
    assert_eq!(asked, Ok(RelayProgress::Ask(pages)));
}

/// Members at three addresses that show catalogues of 1 to 8 pages, and send none, some or
/// all of these, and go and come; and an owner at another address whose catalogue is within
/// its part.
struct Crowd {
    relay: Relay,
    /// Of each member, the catalogues that it has one after the other.
    catalogues: Vec<Vec<Catalogue>>,
    honest: Vec<Catalogue>,
    now: Instant,
}

/// Twelve pages, and of one owner six.
const OF_CROWD: MemoryQuota = MemoryQuota {
    all: 12 * 11_000,
    one: 6 * 11_000,
};
const MEMBERS: u8 = 6;
const VERSIONS: u64 = 8;

impl Crowd {
    fn new(now: Instant) -> Self {
        let versions = |member: u8| {
            let pages = move |seq: u64| 1 + (usize::from(member) * 7 + seq as usize * 5) % 8;
            let all = (1..=VERSIONS).map(move |seq| catalogue_of(member, seq, pages(seq) * 256));
            all.collect()
        };
        Self {
            relay: Relay::new(OF_CROWD),
            catalogues: (1..=MEMBERS).map(versions).collect(),
            honest: (1..=VERSIONS)
                .map(|seq| catalogue_of(99, seq, 256))
                .collect(),
            now,
        }
    }

    fn site_of(&self, id: PeerId) -> OwnerSite {
        let all = self.catalogues.iter();
        let member = all
            .map(|versions| versions[0].owner())
            .position(|owner| owner == id);
        let site = member.map_or(9, |member| member as u8 % 3);
        std::net::IpAddr::from([10, 0, 0, site]).into()
    }

    /// An owner sends its head, its list, and so many pages.
    fn send(&mut self, own: &Catalogue, pages: usize) -> Result<(), TestCaseError> {
        let mut relay = std::mem::replace(&mut self.relay, Relay::new(OF_CROWD));
        let (owner, now) = (own.owner(), self.now);
        relay.handle_here(owner, self.site_of(owner));
        relay.handle_head(*own.head(), now).unwrap();
        check(&relay, self)?;
        relay.handle_list(owner, own.list().to_vec(), now).unwrap();
        check(&relay, self)?;
        for (index, page) in (0..).zip(own.pages().iter().take(pages)) {
            relay.handle_page(owner, index, page.bytes(), now).unwrap();
            check(&relay, self)?;
        }
        self.relay = relay;
        Ok(())
    }
}

/// What the relay says that it has, and what can really be had of it, fit.
fn check(relay: &Relay, crowd: &Crowd) -> Result<(), TestCaseError> {
    let mut sum = 0;
    for versions in &crowd.catalogues {
        let owner = versions[0].owner();
        let pages = (0..8).filter_map(|index| relay.page(owner, index));
        let bytes: usize = pages.map(|page| page.len()).sum();
        prop_assert!(bytes <= OF_CROWD.one, "one has {bytes}");
        sum += bytes;
    }
    prop_assert!(
        sum <= relay.bytes(),
        "{sum} are here, {} counted",
        relay.bytes()
    );
    prop_assert!(relay.bytes() <= OF_CROWD.all, "all have {}", relay.bytes());
    Ok(())
}

#[test]
fn whatever_members_send_the_relay_is_bounded_and_a_fair_part_is_passed_on() {
    let mut runner = TestRunner::new(Config::with_cases(24));
    let steps = prop::collection::vec((0..MEMBERS, 0..10usize, any::<bool>()), 1..30);
    let all = Crowd::new(Instant::now());
    let outcome = runner.run(&steps, |steps| {
        let mut crowd = Crowd {
            relay: Relay::new(OF_CROWD),
            catalogues: all.catalogues.clone(),
            honest: all.honest.clone(),
            now: all.now,
        };
        for (step, (member, pages, goes)) in steps.into_iter().enumerate() {
            // Long enough for what is asked for not to be paced.
            crowd.now += Duration::from_secs(120);
            let now = crowd.now;
            let mut relay = std::mem::replace(&mut crowd.relay, Relay::new(OF_CROWD));
            relay.handle_timeout(now);
            let seq = step / usize::from(MEMBERS) % VERSIONS as usize;
            let own = crowd.catalogues[usize::from(member)][seq].clone();
            if goes {
                relay.handle_gone(own.owner(), KNOWN_AFTER, now);
            }
            crowd.relay = relay;
            crowd.send(&own, pages)?;
            let honest = crowd.honest[step / 4 % VERSIONS as usize].clone();
            crowd.send(&honest, 1)?;
            prop_assert_eq!(crowd.relay.head(honest.owner()), Some(*honest.head()));
        }
        Ok(())
    });
    outcome.unwrap();
}
