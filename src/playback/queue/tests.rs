use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::catalog::Tag;

fn item(n: u32) -> Arc<QueueItem> {
    Arc::new(QueueItem {
        peer: PeerId([1; 32]),
        path: format!("{n}.flac"),
        track: None,
        info: QueueItemInfo {
            owner: "kitchen".into(),
            tags: Tags::default(),
            duration: Duration::from_secs(60),
            container: Some(Container::Flac),
            rate: 44_100,
            bits: Some(16),
            channels: 2,
            modified: 0,
        },
    })
}

fn filled(n: u32, options: Options) -> Queue {
    let mut queue = Queue::new(7);
    queue.insert((0..n).map(item), None).unwrap();
    queue.set_options(options);
    queue
}

fn ids(queue: &Queue) -> Vec<QueueId> {
    queue.slots().iter().map(|slot| slot.id).collect()
}

#[derive(Clone, Debug)]
enum Op {
    Insert(usize, u32),
    Remove(usize, usize),
    Move(usize, usize, usize),
    Swap(usize, usize),
    Shuffle(usize, usize),
    Choose(usize),
    Skip,
    Random(bool),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..12usize;
    prop_oneof![
        4 => (at.clone(), 1..4u32).prop_map(|(at, n)| Op::Insert(at, n)),
        3 => (at.clone(), at.clone()).prop_map(|(a, b)| Op::Remove(a, b)),
        3 => (at.clone(), at.clone(), at.clone()).prop_map(|(a, b, to)| Op::Move(a, b, to)),
        2 => (at.clone(), at.clone()).prop_map(|(a, b)| Op::Swap(a, b)),
        1 => (at.clone(), at.clone()).prop_map(|(a, b)| Op::Shuffle(a, b)),
        2 => at.prop_map(Op::Choose),
        2 => Just(Op::Skip),
        1 => any::<bool>().prop_map(Op::Random),
        1 => Just(Op::Clear),
    ]
}

/// Does to a plain list what the queue must do, if it can be done.
fn model(list: &mut Vec<QueueId>, op: &Op, new: &[QueueId]) -> bool {
    let len = list.len();
    match *op {
        Op::Insert(at, _) if at <= len => _ = list.splice(at..at, new.iter().copied()),
        Op::Remove(a, b) if a < b.min(len) => _ = list.drain(a..b.min(len)),
        Op::Move(a, b, to) if a < b.min(len) && to + b.min(len) - a <= len => {
            let moved: Vec<_> = list.drain(a..b.min(len)).collect();
            list.splice(to..to, moved);
        }
        Op::Swap(a, b) if a.max(b) < len => list.swap(a, b),
        Op::Choose(at) if at < len => {}
        Op::Clear => list.clear(),
        Op::Shuffle(..) | Op::Skip | Op::Random(_) => {}
        _ => return false,
    }
    true
}

fn perform(queue: &mut Queue, op: &Op) -> bool {
    match *op {
        Op::Insert(at, n) => queue.insert((0..n).map(item), Some(at)).is_ok(),
        Op::Remove(a, b) => queue.remove(a..b).is_ok(),
        Op::Move(a, b, to) => queue.move_range(a..b, to).is_ok(),
        Op::Swap(a, b) => queue.swap(a, b).is_ok(),
        Op::Choose(at) => queue.id_at(at).and_then(|id| queue.choose(id)).is_ok(),
        Op::Shuffle(a, b) => {
            queue.shuffle(a..b);
            true
        }
        Op::Skip => {
            queue.pass(queue.skip());
            true
        }
        Op::Random(random) => {
            let options = queue.options();
            queue.set_options(Options { random, ..options });
            true
        }
        Op::Clear => {
            queue.clear();
            true
        }
    }
}

proptest! {
    #[test]
    fn it_is_a_list_whose_changes_are_told(ops in prop::collection::vec(op(), 0..60)) {
        let mut queue = Queue::new(3);
        let mut list = Vec::new();
        // What a client knows that asks for changes after every operation.
        let (mut mirror, mut version) = (Vec::new(), queue.version());
        for op in ops {
            let done = perform(&mut queue, &op);
            let known: BTreeSet<_> = list.iter().copied().collect();
            let new: Vec<_> = ids(&queue).into_iter().filter(|id| !known.contains(id)).collect();
            prop_assert_eq!(done, model(&mut list, &op, &new), "{:?}", op);
            if matches!(op, Op::Shuffle(..)) {
                let mut sorted = ids(&queue);
                sorted.sort();
                list.sort();
                prop_assert_eq!(&sorted, &list);
                list = ids(&queue);
            }
            prop_assert_eq!(&ids(&queue), &list, "{:?}", op);

            mirror.resize(queue.len(), QueueId(0));
            for (position, slot) in queue.changes_since(version) {
                mirror[position] = slot.id;
            }
            version = queue.version();
            prop_assert_eq!(&mirror, &list, "{:?}", op);

            prop_assert!(queue.cursor().is_none_or(|cursor| list.contains(&cursor)));
            for round in &queue.rounds {
                let mut round = round.clone();
                round.sort();
                let mut all = list.clone();
                all.sort();
                if !queue.options.random {
                    all.clear();
                }
                prop_assert_eq!(round, all);
            }
        }
    }

    #[test]
    fn random_plays_each_once_a_round_and_never_twice_in_a_row(n in 2..20u32, seed: u64) {
        let mut queue = Queue::new(seed);
        queue.insert((0..n).map(item), None).unwrap();
        queue.set_options(Options { random: true, repeat: true, ..Options::default() });
        let mut last = None;
        for round in 0..3 {
            let mut played = BTreeSet::new();
            for _ in 0..n {
                let next = queue.successor();
                prop_assert!(next.is_some() && next != last, "round {}", round);
                queue.advance(next);
                played.extend(next);
                last = next;
            }
            prop_assert_eq!(played.len(), n as usize);
        }
    }
}

#[test]
fn a_queue_takes_so_many_and_no_more() {
    let mut queue = Queue::new(1);
    let one = item(0);
    queue
        .insert(vec![one.clone(); MAX_QUEUE - 1], None)
        .unwrap();
    let before = queue.version();
    assert_eq!(
        queue.insert(vec![one.clone(); 2], None),
        Err(QueueError::Full)
    );
    assert_eq!((queue.len(), queue.version()), (MAX_QUEUE - 1, before));
    assert!(queue.insert([one], Some(0)).is_ok());
}

/// Owners choose how long their names and tags are.
#[test]
fn a_queue_takes_so_many_bytes_and_no_more() {
    let long = |n: u32| {
        let mut item = Arc::unwrap_or_clone(item(n));
        item.info.tags = [(Tag::Title, "x".repeat(4000))].into_iter().collect();
        Arc::new(item)
    };
    let mut queue = Queue::new(1);
    let taken = (0..20_000).take_while(|n| queue.insert([long(*n)], None).is_ok());
    let taken = taken.count();
    assert!((2000..=MAX_QUEUE_BYTES / 4000).contains(&taken), "{taken}");
    assert_eq!(queue.insert([long(0)], None), Err(QueueError::TooMuchText));
    assert!(queue.insert(vec![item(0); 20], None).is_ok());
    // Nothing is read that would not fit in any case.
    let mut read = 0;
    let all = (0..20_000).map(long).inspect(|_| read += 1);
    assert_eq!(queue.insert(all, None), Err(QueueError::TooMuchText));
    assert!(read <= taken + 1, "{read}");
    // What leaves makes room, by whatever way.
    assert!(queue.make_room(&[long(0), long(1)], 1).is_err());
    assert_eq!(queue.make_room(&[long(0), long(1)], 9), Ok(()));
    queue.insert([long(0), long(1)], None).unwrap();
    queue.clear();
    queue.insert((0..taken as u32).map(long), None).unwrap();
}

#[test]
fn the_end_depends_on_the_options() {
    let successors = |options| {
        let mut queue = filled(2, options);
        let [first, last] = ids(&queue)[..] else {
            panic!("two")
        };
        [first, last].map(|id| {
            queue.choose(id).unwrap();
            let next = queue.successor();
            next.map(|next| if next == first { 'a' } else { 'b' })
        })
    };
    let plain = Options::default();
    let repeat = Options {
        repeat: true,
        ..plain
    };
    let single = Single::On;
    assert_eq!(successors(plain), [Some('b'), None]);
    assert_eq!(successors(repeat), [Some('b'), Some('a')]);
    assert_eq!(successors(Options { single, ..plain }), [None, None]);
    assert_eq!(
        successors(Options { single, ..repeat }),
        [Some('a'), Some('b')]
    );
    let single = Single::OneShot;
    assert_eq!(successors(Options { single, ..repeat }), [None, None]);
}

#[test]
fn what_has_been_played_is_consumed() {
    let mut queue = filled(
        2,
        Options {
            consume: true,
            repeat: true,
            ..Options::default()
        },
    );
    let [first, last] = ids(&queue)[..] else {
        panic!("two")
    };
    queue.choose(first).unwrap();
    assert!(queue.advance(queue.successor()));
    assert_eq!(ids(&queue), [last]);
    assert_eq!(queue.successor(), None);
    assert!(queue.advance(None));
    assert_eq!(queue.len(), 0);
}

#[test]
fn the_cursor_goes_on_when_its_item_is_removed() {
    let mut queue = filled(4, Options::default());
    let all = ids(&queue);
    queue.choose(all[1]).unwrap();
    queue.remove(1..3).unwrap();
    assert_eq!(queue.cursor(), Some(all[3]));
    queue.remove(1..2).unwrap();
    assert_eq!(queue.cursor(), None);
}

#[test]
fn what_is_chosen_leaves_the_rest_of_a_random_round_as_it_is() {
    let mut queue = filled(
        6,
        Options {
            random: true,
            ..Options::default()
        },
    );
    queue.advance(queue.skip());
    let upcoming = queue.upcoming(9);
    queue.choose(upcoming[3]).unwrap();
    let mut rest = upcoming.clone();
    rest.remove(3);
    assert_eq!(queue.upcoming(9), rest);
    assert_eq!(
        queue.step_back().map(|id| upcoming.contains(&id)),
        Some(false)
    );
}
