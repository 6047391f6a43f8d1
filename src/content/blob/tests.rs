use std::ops::Range;

use proptest::prelude::*;

use super::*;

/// Bytes that no other place of the track has.
fn data(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; size as usize];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn slice(data: &[u8], groups: &GroupSet) -> (Outboard, Vec<u8>) {
    let outboard = Outboard::of(data, data.len() as u64).unwrap();
    let mut out = Vec::new();
    let hashes = outboard.hashes.as_slice();
    encode(
        outboard.track,
        outboard.size,
        data,
        hashes,
        groups,
        &mut out,
    )
    .unwrap();
    (outboard, out)
}

/// Feeds a slice; gives the true items, and where the wrong one lay.
fn feed(verifier: &mut Verifier, slice: &[u8]) -> (Vec<Verified>, Result<usize, Range<usize>>) {
    let mut items = Vec::new();
    let mut at = 0;
    while let Some(n) = verifier.needs() {
        let place = at..at + n;
        at = place.end;
        match verifier.push(Bytes::copy_from_slice(&slice[place.clone()])) {
            Ok(item) => items.push(item),
            Err(_) => return (items, Err(place)),
        }
    }
    (items, Ok(at))
}

fn assert_true(data: &[u8], outboard: &Outboard, items: &[Verified]) {
    for item in items {
        assert_eq!((item.track(), item.size()), (outboard.track, outboard.size));
        match item.item() {
            VerifiedItem::Group { group, bytes } => {
                assert_eq!(&data[group.start() as usize..][..bytes.len()], &bytes[..]);
            }
            VerifiedItem::Parent { offset, pair } => {
                assert_eq!(&outboard.hashes[*offset as usize..][..64], &pair[..]);
            }
        }
    }
}

/// Sizes around the edges of groups and of the tree's shape.
fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..40 * GROUP_BYTES,
        (0u64..12, 0u64..3).prop_map(|(n, d)| (n * GROUP_BYTES + d).saturating_sub(1)),
    ]
}

fn wanted() -> impl Strategy<Value = GroupSet> {
    proptest::collection::vec((0u32..42, 1u32..9), 0..5).prop_map(|list| {
        list.into_iter().fold(GroupSet::new(), |mut set, (at, n)| {
            set.insert_range(at..at + n);
            set
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_true_slice_gives_exactly_what_was_wanted(size in sizes(), wanted in wanted()) {
        let data = data(size);
        let (outboard, slice) = slice(&data, &wanted);
        let mut verifier = Verifier::new(outboard.track, size, &wanted);
        let (items, end) = feed(&mut verifier, &slice);
        prop_assert_eq!(end, Ok(slice.len()));
        prop_assert!(verifier.is_complete());
        assert_true(&data, &outboard, &items);
        let groups: GroupSet = items.iter().filter_map(Verified::group).collect();
        prop_assert_eq!(groups, wanted.clip(group_count(size)));
    }

    #[test]
    fn a_flipped_bit_is_refused_in_the_item_that_carries_it(
        size in sizes(), wanted in wanted(), at in any::<proptest::sample::Index>(), bit in 0u8..8
    ) {
        prop_assume!(size > 0);
        let data = data(size);
        let some = at.index(group_count(size) as usize) as u32;
        let wanted = wanted.union(&(some..some + 1).into());
        let (outboard, mut slice) = slice(&data, &wanted);
        let at = at.index(slice.len());
        slice[at] ^= 1 << bit;
        let mut verifier = Verifier::new(outboard.track, size, &wanted);
        let (items, end) = feed(&mut verifier, &slice);
        let place = end.expect_err("a wrong item was taken");
        prop_assert!(place.contains(&at), "byte {} refused in {:?}", at, place);
        assert_true(&data, &outboard, &items);
        prop_assert!(!verifier.is_complete() && verifier.needs().is_none());
        prop_assert!(verifier.push(Bytes::new()).is_err());
    }

    /// Holes and damage, in the data and in the hashes above them.
    #[test]
    fn only_what_is_true_is_found_true(
        size in sizes(), wanted in wanted(), at in any::<proptest::sample::Index>(), cut in any::<bool>()
    ) {
        prop_assume!(size > 0);
        let mut data = data(size);
        let outboard = Outboard::of(&data[..], size).unwrap();
        let truth = |data: &[u8], hashes: &[u8]| {
            true_groups(outboard.track, size, data, hashes, &wanted)
        };
        let all = wanted.clip(group_count(size));
        prop_assert_eq!(truth(&data, &outboard.hashes), all.clone());

        let at = at.index(data.len());
        let hurt: GroupSet = match cut {
            true => {
                data.truncate(at);
                (Group::of(at as u64).0..u32::MAX).into()
            }
            false => {
                data[at] ^= 1;
                [Group::of(at as u64)].into_iter().collect()
            }
        };
        prop_assert_eq!(truth(&data, &outboard.hashes), all.difference(&hurt));
        let mut hashes = outboard.hashes.clone();
        if let Some(pair) = hashes.len().checked_sub(64) {
            // The last in pre-order is over two of the track's last three groups.
            hashes.truncate(pair);
            let last = (group_count(size).saturating_sub(3)..u32::MAX).into();
            let found = truth(&data, &hashes);
            prop_assert!(all.difference(&hurt).contains_all(&found));
            prop_assert!(found.contains_all(&all.difference(&hurt).difference(&last)));
        }
    }

    #[test]
    fn a_wrong_size_lets_no_wrong_byte_through(size in sizes(), claimed in sizes()) {
        prop_assume!(size != claimed);
        let data = data(size);
        let (outboard, mut slice) = slice(&data, &GroupSet::all(size));
        slice.resize(slice.len() + 42 * GROUP_BYTES as usize, 0);
        let mut verifier = Verifier::new(outboard.track, claimed, &GroupSet::all(claimed));
        let (items, end) = feed(&mut verifier, &slice);
        prop_assert!(end.is_err() || claimed == 0);
        for item in &items {
            if let VerifiedItem::Group { group, bytes } = item.item() {
                prop_assert_eq!(&data[group.start() as usize..][..bytes.len()], &bytes[..]);
            }
        }
    }
}

#[test]
fn the_root_is_the_plain_blake3_hash() {
    for size in [0, 1, 1024, GROUP_BYTES, GROUP_BYTES + 1, 5 * GROUP_BYTES] {
        let data = data(size);
        let outboard = Outboard::of(&data[..], size).unwrap();
        assert_eq!(outboard.track, TrackId(blake3::hash(&data).into()));
        assert_eq!(outboard.hashes.len() as u64, outboard_bytes(size));
    }
}

#[test]
fn a_holder_notices_that_its_file_changed() {
    let mut data = data(5 * GROUP_BYTES);
    let outboard = Outboard::of(&data[..], data.len() as u64).unwrap();
    let encode = |data: &[u8], groups: GroupSet| {
        let mut out = Vec::new();
        let hashes = outboard.hashes.as_slice();
        encode(
            outboard.track,
            outboard.size,
            data,
            hashes,
            &groups,
            &mut out,
        )
    };
    data[3 * GROUP_BYTES as usize] ^= 1;
    assert!(encode(&data, (0..3).into()).is_ok());
    assert!(matches!(
        encode(&data, (3..4).into()),
        Err(EncodeError::Mismatch)
    ));
    data.truncate(4 * GROUP_BYTES as usize);
    assert!(matches!(
        encode(&data, (4..5).into()),
        Err(EncodeError::Mismatch)
    ));
}

#[test]
fn an_absurd_size_is_no_panic() {
    for size in [u64::MAX, 1 << 46, (1 << 46) - 1, 1 << 32, (1 << 32) - 1] {
        let mut verifier = Verifier::new(TrackId([1; 32]), size, &(0..4).into());
        let can_be_counted = usize::try_from(size).is_ok();
        assert_eq!(verifier.needs(), can_be_counted.then_some(64));
        assert!(verifier.push(Bytes::from_static(&[0; 64])).is_err());
    }
}

#[test]
fn a_verifier_moves_between_threads() {
    fn assert_send<T: Send>() {}
    assert_send::<Verifier>();
    assert_send::<Verified>();
}
