use proptest::prelude::*;

use super::*;
use crate::catalog::{
    samples::{held, song, SampleOwner},
    Catalogue, Entry, Head,
};

/// Some entries: where the seed says so, a hole or something else.
fn entries(count: usize, odd: &[usize]) -> Vec<Option<Entry>> {
    let entry = |n: usize| match odd.iter().filter(|odd| **odd % count == n).count() {
        0 => song(&format!("album {}", n / 12), &n.to_string(), Some(n as u8)),
        1 => None,
        _ => held(n as u8),
    };
    (0..count).map(entry).collect()
}

type PeersPull = Pull<Arc<Catalogue>>;

/// Everything that is asked for comes, a piece at a time.
fn catch_up(owner: &Catalogue, older: Option<&Arc<Catalogue>>) -> (Arc<Catalogue>, Vec<u32>) {
    let mut this = PeersPull::new(*owner.head(), older).unwrap();
    let mut asked = Vec::new();
    while let [want] = this.wants(1)[..] {
        match want {
            Want::List => assert!(this.handle_list(owner.list().to_vec(), older).unwrap()),
            Want::Page(n) => {
                asked.push(n);
                let page = owner.pages()[n as usize].bytes();
                assert!(this.handle_page(n, page).unwrap());
            }
        }
    }
    (this.finish().unwrap(), asked)
}

/// Towards `new`, with its list here, and pages asked for.
fn listed(new: &Catalogue, older: Option<&Arc<Catalogue>>) -> PeersPull {
    let mut this = PeersPull::new(*new.head(), older).unwrap();
    assert_eq!(this.wants(4), [Want::List]);
    assert_eq!(this.handle_list(new.list().to_vec(), older), Ok(true));
    this.wants(4);
    this
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn it_ends_with_the_owners_catalogue_whatever_came_when(
        before in 1..900_usize,
        after in 1..900_usize,
        odd in prop::collection::vec(0..900_usize, 0..6),
        mut order in Just((0..4).collect::<Vec<u32>>()).prop_shuffle(),
    ) {
        let owner = SampleOwner::new(1);
        let base = Arc::new(owner.publish(1, entries(before, &[])));
        let new = owner.publish(2, entries(after, &odd));
        let mut this = PeersPull::new(*new.head(), Some(&base)).unwrap();
        // A page before its list is nobody's page.
        prop_assert_eq!(this.handle_page(0, &[1, 2, 3]), Ok(false));
        prop_assert_eq!(this.wants(4), [Want::List]);
        this.handle_list(new.list().to_vec(), Some(&base)).unwrap();
        this.wants(4);
        order.extend(order.clone());
        for n in order {
            let page = new.pages().get(n as usize).map_or(vec![9], |page| page.bytes().to_vec());
            this.handle_page(n, &page).unwrap();
        }
        prop_assert!(this.is_whole() && !this.is_asked());
        prop_assert_eq!(this.wants(4), []);
        let reached = this.finish().unwrap();
        prop_assert_eq!(reached.head(), new.head());
        prop_assert_eq!(reached.pages(), new.pages());
    }
}

#[test]
fn a_page_that_did_not_change_is_not_asked_for_again() {
    let owner = SampleOwner::new(1);
    let base = Arc::new(owner.publish(1, entries(700, &[])));
    let new = owner.publish(2, entries(700, &[300]));
    let (reached, asked) = catch_up(&new, Some(&base));
    assert_eq!(asked, [1]);
    assert_eq!(reached.head(), new.head());
    assert!(Arc::ptr_eq(&reached.pages()[2], &base.pages()[2]));

    let (_, asked) = catch_up(&new, None);
    assert_eq!(asked, [0, 1, 2]);
}

#[test]
fn an_empty_catalogue_needs_nothing() {
    let owner = SampleOwner::new(1);
    let (reached, asked) = catch_up(&owner.publish(1, Vec::new()), None);
    assert!(asked.is_empty());
    assert_eq!(reached.entries().count(), 0);
}

#[test]
fn forged_and_stale_heads_are_refused() {
    let owner = SampleOwner::new(1);
    let base = Arc::new(owner.publish(5, entries(3, &[])));
    for seq in [4, 5] {
        let head = *owner.publish(seq, entries(9, &[])).head();
        let refused = PeersPull::new(head, Some(&base)).map(|_| ());
        assert_eq!(refused, Err(SyncError::Stale));
    }
    let mut head = *base.head();
    head.head.seq += 1;
    let refused = PeersPull::new(head, Some(&base)).map(|_| ());
    assert_eq!(
        refused,
        Err(SyncError::Catalogue(CatalogueError::Forged(owner.id())))
    );
}

#[test]
fn what_it_takes_is_known_while_it_comes() {
    let owner = SampleOwner::new(1);
    let base = Arc::new(owner.publish(1, entries(700, &[])));
    let new = owner.publish(2, entries(700, &[300]));
    let mut this = listed(&new, Some(&base));
    let (shared, list) = (this.bytes(), this.fresh_bytes());
    let page = new.pages()[1].bytes().to_vec();
    for _ in 0..2 {
        this.handle_page(1, &page).unwrap();
    }
    let (whole, fresh) = (this.bytes(), this.fresh_bytes());
    assert_eq!(fresh - list, whole - shared);
    assert!(fresh - list >= page.len() / 2, "{fresh} bytes");
    this.let_go();
    assert_eq!((this.bytes(), this.fresh_bytes()), (whole, whole + list));
    let counted = this.finish().unwrap().footprint();
    let missed = counted.abs_diff(whole);
    assert!(missed < 1024, "{whole} bytes were counted of {counted}");
}

#[test]
fn a_list_that_comes_twice_costs_no_page_that_has_come() {
    let owner = SampleOwner::new(1);
    let new = owner.publish(1, entries(300, &[]));
    let mut this = listed(&new, None);
    assert_eq!(this.handle_page(0, new.pages()[0].bytes()), Ok(true));
    assert_eq!(this.handle_list(new.list().to_vec(), None), Ok(false));
    this.ask_again();
    assert_eq!(this.wants(4), [Want::Page(1)]);
}

/// What is asked for is paced; what is sent all the same gains nothing.
#[test]
fn what_was_not_asked_for_is_checked_and_not_kept() {
    let owner = SampleOwner::new(1);
    let new = owner.publish(1, entries(700, &[]));
    let page = |n: usize| new.pages()[n].bytes();
    let mut this = PeersPull::new(*new.head(), None).unwrap();
    assert_eq!(this.handle_list(new.list().to_vec(), None), Ok(false));
    assert_eq!(this.wants(2), [Want::List]);
    assert_eq!(this.wants(2), [], "nothing is asked for twice");
    assert_eq!(this.handle_list(new.list().to_vec(), None), Ok(true));
    assert_eq!(this.wants(2), [Want::Page(0), Want::Page(1)]);
    assert_eq!(this.handle_page(2, page(2)), Ok(false));
    assert_eq!(this.handle_page(2, page(1)), Err(SyncError::WrongPage(2)));
    assert_eq!(
        this.handle_page(3, page(1)),
        Ok(false),
        "there is no such page"
    );
    assert_eq!(this.handle_page(1, page(1)), Ok(true));
    assert_eq!(this.handle_page(1, page(1)), Ok(false), "it is here");
    assert_eq!(this.wants(2), [Want::Page(2)]);
    // What was on its way is lost with the connection.
    this.ask_again();
    assert_eq!(this.wants(1), [Want::Page(0)]);
    assert!(!this.is_whole());
}

#[test]
fn another_owners_catalogue_is_no_base() {
    let (alice, bob) = (SampleOwner::new(1), SampleOwner::new(2));
    let base = Arc::new(alice.publish(9, entries(300, &[])));
    let (_, asked) = catch_up(&bob.publish(1, entries(300, &[])), Some(&base));
    assert_eq!(asked, [0, 1]);
}

#[test]
fn wrong_lists_and_pages_are_refused_and_asked_for_again() {
    let owner = SampleOwner::new(1);
    let new = owner.publish(1, entries(300, &[]));
    let mut this = PeersPull::new(*new.head(), None).unwrap();
    this.wants(1);
    for list in [vec![], vec![[0; 32]; 2], vec![[0; 32]; 3]] {
        assert_eq!(this.handle_list(list, None), Err(SyncError::WrongList));
    }
    this.ask_again();
    assert_eq!(this.wants(1), [Want::List]);
    this.handle_list(new.list().to_vec(), None).unwrap();
    this.wants(1);
    let other = new.pages()[1].bytes().to_vec();
    assert_eq!(this.handle_page(0, &other), Err(SyncError::WrongPage(0)));
    this.ask_again();
    assert_eq!(this.wants(1), [Want::Page(0)]);
    assert!(this.finish().is_none());
}

/// The owner signs nonsense: its list fits its head, its pages do not.
#[test]
fn a_page_of_the_wrong_length_is_refused_even_from_its_owner() {
    let owner = SampleOwner::new(1);
    let short = owner.publish(1, entries(10, &[]));
    let full = owner.publish(2, entries(300, &[]));
    let list = vec![short.list()[0], full.list()[1]];
    let head = Head {
        pages: hash_list(&list),
        ..full.head().head
    };
    let head = SignedHead::sign(head, |bytes| owner.sign(bytes));
    for older in [None, Some(&Arc::new(short.clone()))] {
        let mut this = PeersPull::new(head, older).unwrap();
        this.wants(1);
        this.handle_list(list.clone(), older).unwrap();
        assert_eq!(this.wants(1), [Want::Page(0)]);
        let refused = this.handle_page(0, short.pages()[0].bytes());
        assert_eq!(refused, Err(SyncError::WrongLength(0)));
    }
}
