mod power;
mod slow;
mod touched;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::blob::{outboard_bytes, Verified, Verifier};
use super::super::disk::{MemDisk, RealDisk};
use super::super::file::{SliceError, Wait};
use super::*;
use crate::id::{Group, GROUP_BYTES};

const CAP: u64 = 40 * GROUP_BYTES;

fn song(groups: u64, n: u8) -> Vec<u8> {
    (0..groups * GROUP_BYTES - 100)
        .map(|i| (i / 251) as u8 ^ n)
        .collect()
}

fn outboard(bytes: &[u8]) -> Outboard {
    Outboard::of(bytes, bytes.len() as u64).unwrap()
}

fn items(bytes: &[u8], groups: &GroupSet) -> Vec<Verified> {
    let outboard = outboard(bytes);
    let mut slice = Vec::new();
    let hashes = outboard.hashes.as_slice();
    super::super::blob::encode(
        outboard.track,
        outboard.size,
        bytes,
        hashes,
        groups,
        &mut slice,
    )
    .unwrap();
    verified(&outboard, groups, &slice)
}

fn verified(outboard: &Outboard, groups: &GroupSet, mut slice: &[u8]) -> Vec<Verified> {
    let mut verifier = Verifier::new(outboard.track, outboard.size, groups);
    std::iter::from_fn(|| {
        let (item, rest) = slice.split_at(verifier.needs()?);
        slice = rest;
        Some(verifier.push(item.to_vec().into()).unwrap())
    })
    .collect()
}

/// Has the disk take them, as what was shown is taken.
fn take_in(store: &Store, blob: &Blob, items: &[Verified]) -> Result<(), StoreError> {
    loop {
        match blob.take_in(items) {
            Err(error) if error.is_for_want_of_room() => store.make_way(blob, &error),
            taken => return taken,
        }
    }
}

fn read_all(blob: &Blob) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buf = [0; 5000];
    while let Some(n @ 1..) = blob.read_at(bytes.len() as u64, &mut buf).unwrap() {
        bytes.extend_from_slice(&buf[..n]);
    }
    bytes
}

fn mem_store(disk: &MemDisk) -> Arc<Store> {
    Store::open("/cache".into(), CAP, Arc::new(disk.clone()))
}

fn fetch(store: &Arc<Store>, bytes: &[u8]) -> Result<Arc<Blob>, StoreError> {
    let size = bytes.len() as u64;
    let blob = store.begin(outboard(bytes).track, size)?;
    blob.write(items(bytes, &GroupSet::all(size)))?;
    store.finish(&blob)?;
    Ok(blob)
}

/// What every disk must let the store do: a track arrives in pieces, is served while it
/// is partial, is held, and is there after a restart.
fn life_of_a_track(disk: Arc<dyn Disk>, dir: PathBuf) {
    let bytes = song(10, 1);
    let (ob, size) = (outboard(&bytes), bytes.len() as u64);
    let store = Store::open(dir.clone(), CAP, disk.clone());
    assert!(store.blob(ob.track).is_none());

    let blob = store.begin(ob.track, size).unwrap();
    assert_eq!(blob.read_at(0, &mut [0]).unwrap(), None);
    let first: GroupSet = (0..3).into();
    let last: GroupSet = (9..10).into();
    blob.write(items(&bytes, &first)).unwrap();
    blob.write(items(&bytes, &last)).unwrap();
    assert_eq!(blob.have(), first.union(&last));
    assert_eq!(read_all(&blob), bytes[..3 * GROUP_BYTES as usize]);
    assert!(matches!(
        store.finish(&blob),
        Err(StoreError::Incomplete { .. })
    ));

    let mut slice = Vec::new();
    blob.slice(&last, &mut slice).unwrap();
    assert_eq!(
        verified(&ob, &last, &slice).last().unwrap().group(),
        Some(Group(9))
    );
    let absent = blob.slice(&(2..5).into(), &mut slice);
    assert!(matches!(absent, Err(SliceError::NotHere(set)) if set == (3..5).into()));

    blob.write(items(&bytes, &(3..9).into())).unwrap();
    assert!(blob.is_complete() && store.held().is_empty());
    store.finish(&blob).unwrap();
    store.finish(&blob).unwrap();
    assert_eq!(store.held(), [(ob.track, size)]);
    assert_eq!(read_all(&blob), bytes);
    drop((blob, store));

    let store = Store::open(dir, CAP, disk);
    assert_eq!(store.held(), [(ob.track, size)]);
    let blob = store.blob(ob.track).unwrap();
    assert_eq!(read_all(&blob), bytes);
    let mut slice = Vec::new();
    blob.slice(&GroupSet::all(size), &mut slice).unwrap();
    verified(&ob, &GroupSet::all(size), &slice);
}

#[test]
fn a_track_lives_the_same_on_both_disks() {
    let dir = tempfile::tempdir().unwrap();
    life_of_a_track(Arc::new(RealDisk), dir.path().join("new/cache"));
    life_of_a_track(Arc::new(MemDisk::default()), "/cache".into());
}

#[test]
fn after_a_power_cut_only_whole_and_true_tracks_are_held() {
    let songs = [song(3, 1), song(4, 2), song(5, 3)];
    for seed in 0..60 {
        let disk = MemDisk::default();
        let store = mem_store(&disk);
        fetch(&store, &songs[0]).unwrap();
        // Two that the cut catches: complete but not finished, and half of one.
        let [_, whole, half] = &songs;
        let blob = store
            .begin(outboard(whole).track, whole.len() as u64)
            .unwrap();
        blob.write(items(whole, &GroupSet::all(whole.len() as u64)))
            .unwrap();
        let blob = store
            .begin(outboard(half).track, half.len() as u64)
            .unwrap();
        blob.write(items(half, &(0..2).into())).unwrap();
        drop((blob, store));
        disk.cut_power(seed);

        let store = mem_store(&disk);
        assert_eq!(
            store.held(),
            [(outboard(&songs[0]).track, songs[0].len() as u64)]
        );
        assert_eq!(
            read_all(&store.blob(outboard(&songs[0]).track).unwrap()),
            songs[0]
        );
        assert!(store.used() <= CAP);
        fetch(&store, whole).unwrap();
        assert_eq!(store.held().len(), 2);
    }
}

/// The cut comes after every single change that fetching, and making room, does.
#[test]
fn a_power_cut_at_any_moment_leaves_nothing_wrong() {
    let songs: Vec<_> = (0..3).map(|n| song(18, n)).collect();
    let mut held = BTreeMap::new();
    for cut in 0.. {
        let disk = MemDisk::default();
        let store = mem_store(&disk);
        fetch(&store, &songs[0]).unwrap();
        disk.limit_changes(Some(cut));
        let done = songs[1..]
            .iter()
            .try_for_each(|song| fetch(&store, song).map(drop));
        drop(store);
        disk.limit_changes(None);
        disk.cut_power(cut);

        let store = mem_store(&disk);
        for (track, size) in store.held() {
            let song = songs
                .iter()
                .find(|song| outboard(song).track == track)
                .unwrap();
            let blob = store.blob(track).unwrap();
            assert_eq!(read_all(&blob), *song);
            let mut slice = Vec::new();
            blob.slice(&GroupSet::all(size), &mut slice).unwrap();
        }
        assert!(store.used() <= CAP);
        *held.entry(store.held().len()).or_insert(0) += 1;
        for song in &songs {
            fetch(&store, song).unwrap();
        }
        if done.is_ok() {
            break;
        }
    }
    assert!(held.keys().copied().eq(1..=2), "{held:?}");
}

#[test]
fn the_cap_holds_and_what_is_used_or_pinned_stays() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let songs: Vec<_> = (0..5).map(|n| song(12, n)).collect();
    let tracks: Vec<_> = songs.iter().map(|s| outboard(s).track).collect();
    let held = |store: &Store| store.held().into_iter().map(|(t, _)| t).collect::<Vec<_>>();
    for song in &songs[..3] {
        fetch(&store, song).unwrap();
    }
    let pin = store.pin(tracks[0]);
    let reading = store.blob(tracks[1]).unwrap();
    fetch(&store, &songs[3]).unwrap();
    assert!(!held(&store).contains(&tracks[2]) && held(&store).len() == 3);
    let used = store.begin(tracks[3], songs[3].len() as u64).unwrap();
    let full = store.begin(tracks[4], songs[4].len() as u64);
    assert!(matches!(full, Err(StoreError::Full { .. })));
    drop((pin, reading, used));
    fetch(&store, &songs[4]).unwrap();
    assert!(store.used() <= CAP);
    for size in [CAP, u64::MAX] {
        let large = store.begin(TrackId([1; 32]), size);
        assert!(matches!(large, Err(StoreError::TooLarge { .. })));
    }
}

#[test]
fn a_library_file_is_served_until_it_changes() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let path = Path::new("/music/a.flac");
    let bytes = song(6, 4);
    let (ob, size) = (outboard(&bytes), bytes.len() as u64);
    let file = disk.create(path).unwrap();
    file.write_at(0, &bytes).unwrap();
    store.add_file(ob.track, size, path.into(), file.stamp().unwrap().modified);

    let blob = store.blob(ob.track).unwrap();
    assert_eq!(read_all(&blob), bytes);
    let mut slice = Vec::new();
    blob.slice(&(2..4).into(), &mut slice).unwrap();
    verified(&ob, &(2..4).into(), &slice);
    assert_eq!(store.used(), outboard_bytes(size));

    file.write_at(3 * GROUP_BYTES, b"edited").unwrap();
    let changed = blob.slice(&(0..1).into(), &mut slice);
    assert!(matches!(changed, Err(SliceError::Changed)));
    assert!(blob.read_at(0, &mut [0]).is_err());
    assert!(store.blob(ob.track).is_none());
}

/// An edit that keeps size and time is found by the hash alone.
#[test]
fn a_changed_file_that_looks_the_same_is_not_served() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let path = Path::new("/music/a.flac");
    let (listed, mut bytes) = (song(6, 4), song(6, 4));
    bytes[4 * GROUP_BYTES as usize] ^= 1;
    let file = disk.create(path).unwrap();
    file.write_at(0, &bytes).unwrap();
    let (ob, modified) = (outboard(&listed), file.stamp().unwrap().modified);
    let slice = |groups: GroupSet| {
        store.add_file(ob.track, ob.size, path.into(), modified);
        let blob = store.blob(ob.track).unwrap();
        blob.slice(&groups, &mut Vec::new())
    };
    assert!(matches!(slice((0..1).into()), Err(SliceError::Changed)));
    assert!(store.blob(ob.track).is_none());
    store.keep_outboard(&ob).unwrap();
    assert!(slice((0..4).into()).is_ok());
    while store.doubts().try_recv().is_ok() {}
    assert!(matches!(slice((4..5).into()), Err(SliceError::Changed)));
    assert_eq!(store.doubts().try_recv().as_deref(), Ok(path));

    // A whole copy in the cache takes the file's place.
    store.findings.tell_other_file(ob.track, path);
    fetch(&store, &listed).unwrap();
    assert!(matches!(slice((4..5).into()), Err(SliceError::Changed)));
    let blob = store.blob(ob.track).unwrap();
    assert!(blob.slice(&(4..5).into(), &mut Vec::new()).is_ok());
    assert_eq!(read_all(&blob), listed);
}

/// A card that rots is found by the hash when it is served, and the track is fetched anew.
#[test]
fn a_held_track_that_rots_is_dropped() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(4, 8);
    let blob = fetch(&store, &bytes).unwrap();
    let path = format!("/cache/{}.data", blob.track().to_hex());
    let old = disk.edit(Path::new(&path)).unwrap();
    old.write_at(GROUP_BYTES, b"rot").unwrap();
    assert!(blob.slice(&(0..1).into(), &mut Vec::new()).is_ok());
    let slice = blob.slice(&(0..2).into(), &mut Vec::new());
    assert!(matches!(slice, Err(SliceError::Changed)));
    assert!(store.held().is_empty() && blob.read_at(0, &mut [0]).is_err());
    assert_eq!(read_all(&fetch(&store, &bytes).unwrap()), bytes);
}

/// And when it is played: noise is not let through.
#[test]
fn a_held_track_that_rotted_while_the_node_was_off_is_not_played() {
    let disk = MemDisk::default();
    let bytes = song(4, 8);
    let blob = fetch(&mem_store(&disk), &bytes).unwrap();
    let path = format!("/cache/{}.data", blob.track().to_hex());
    let file = disk.edit(Path::new(&path)).unwrap();
    file.write_at(2 * GROUP_BYTES + 7, b"rot").unwrap();
    let store = mem_store(&disk);
    assert_eq!(store.held().len(), 1, "it looks well");
    let blob = store.blob(blob.track()).unwrap();
    let mut buf = vec![0; 2 * GROUP_BYTES as usize];
    let n = blob.read_at(0, &mut buf).unwrap().unwrap();
    assert_eq!(buf[..n], bytes[..n]);
    assert!(blob.read_at(GROUP_BYTES, &mut buf).is_ok());
    let rotten = blob.read_at(2 * GROUP_BYTES, &mut buf).unwrap_err();
    assert!(rotten.to_string().contains("damaged"), "{rotten}");
    assert!(store.held().is_empty());
    drop(blob);
    assert_eq!(read_all(&fetch(&store, &bytes).unwrap()), bytes);
}

#[test]
fn a_full_disk_is_an_error_that_loses_nothing() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(4, 5);
    let blob = store
        .begin(outboard(&bytes).track, bytes.len() as u64)
        .unwrap();
    disk.limit_space(Some(2 * GROUP_BYTES + 300));
    let error = blob.write(items(&bytes, &(0..4).into())).unwrap_err();
    assert!(error.to_string().contains("cannot write track"), "{error}");
    assert_eq!(blob.have(), (0..2).into());
    disk.limit_space(None);
    blob.write(items(&bytes, &(1..4).into())).unwrap();
    store.finish(&blob).unwrap();
    assert_eq!(read_all(&blob), bytes);
}

#[test]
fn a_size_that_a_catalogue_invented_does_not_stick() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(2, 6);
    let (track, size) = (outboard(&bytes).track, bytes.len() as u64);
    let lie = store.begin(track, size + 1).unwrap();
    assert!(matches!(
        store.begin(track, size),
        Err(StoreError::WrongSize { .. })
    ));
    let foreign = lie.write(items(&bytes, &(0..1).into()));
    assert!(matches!(foreign, Err(StoreError::Foreign { .. })));
    drop(lie);
    assert_eq!(store.begin(track, size).unwrap().size(), size);
    assert!(store.begin(TrackId([3; 32]), 0).is_err());
    let empty = fetch(&store, b"").unwrap();
    assert!(empty.is_complete() && read_all(&empty).is_empty());
}

#[test]
fn a_reader_sleeps_until_bytes_come_or_it_is_told() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(4, 7);
    let blob = store
        .begin(outboard(&bytes).track, bytes.len() as u64)
        .unwrap();
    let cancel = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| blob.wait(2 * GROUP_BYTES, &cancel));
        blob.write(items(&bytes, &(0..1).into())).unwrap();
        blob.write(items(&bytes, &(2..3).into())).unwrap();
        assert_eq!(waiter.join().unwrap(), Wait::Here);

        let waiter = scope.spawn(|| blob.wait(GROUP_BYTES, &cancel));
        blob.fail("kitchen is gone");
        assert_eq!(
            waiter.join().unwrap(),
            Wait::Failed("kitchen is gone".into())
        );
        // The end of an answer that was given up.
        blob.write(items(&bytes, &(3..4).into())).unwrap();
        assert!(matches!(blob.wait(GROUP_BYTES, &cancel), Wait::Failed(_)));
        store.begin(blob.track(), blob.size()).unwrap();

        let waiter = scope.spawn(|| blob.wait(GROUP_BYTES, &cancel));
        cancel.store(true, Ordering::Release);
        blob.wake_all();
        assert_eq!(waiter.join().unwrap(), Wait::Cancelled);
    });
    cancel.store(false, Ordering::Release);
    assert_eq!(blob.wait(blob.size(), &cancel), Wait::Here);
}

/// Takes in `groups` of `bytes`, as a fetch does.
fn arrive(store: &Store, blob: &Blob, bytes: &[u8], groups: GroupSet) {
    take_in(store, blob, &items(bytes, &groups)).unwrap();
}

#[test]
fn a_disk_that_fills_up_under_a_track_leaves_the_rest_in_memory() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(8, 5);
    let (track, size) = (outboard(&bytes).track, bytes.len() as u64);
    let blob = store.receive(track, size).unwrap();
    arrive(&store, &blob, &bytes, (0..2).into());
    assert!(blob.unkept().is_none());
    disk.limit_space(Some(0));
    arrive(&store, &blob, &bytes, (2..8).into());
    let unkept = blob.unkept().unwrap();
    assert!(unkept.why.contains("cannot write track"), "{}", unkept.why);
    assert_eq!(
        (unkept.kept, blob.have()),
        ((0..2).into(), GroupSet::all(size))
    );
    assert_eq!(read_all(&blob), bytes);

    // What has been heard is let go; the disk's part stays.
    blob.forget(&(0..5).into());
    assert_eq!(
        blob.have(),
        [0..2, 5..8].into_iter().flatten().map(Group).collect()
    );
    assert_eq!(blob.read_at(3 * GROUP_BYTES, &mut [0]).unwrap(), None);
    arrive(&store, &blob, &bytes, (2..5).into());
    assert_eq!(read_all(&blob), bytes);

    // It is neither served nor kept, and a later play tries the disk again.
    let served = blob.slice(&(0..1).into(), &mut Vec::new());
    assert!(matches!(served, Err(SliceError::NotHere(_))));
    assert!(matches!(
        store.finish(&blob),
        Err(StoreError::Unkept { .. })
    ));
    disk.limit_space(None);
    drop(blob);
    let blob = store.receive(track, size).unwrap();
    assert!(blob.unkept().is_none());
    arrive(&store, &blob, &bytes, GroupSet::all(size));
    store.finish(&blob).unwrap();
    assert_eq!(store.held(), [(track, size)]);
}

#[test]
fn a_full_disk_takes_room_from_what_was_played_long_ago() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let (old, new) = (song(6, 1), song(6, 2));
    fetch(&store, &old).unwrap();
    disk.limit_space(Some(0));
    let blob = store
        .receive(outboard(&new).track, new.len() as u64)
        .unwrap();
    arrive(&store, &blob, &new, GroupSet::all(new.len() as u64));
    assert!(blob.unkept().is_none(), "{:?}", blob.unkept());
    store.finish(&blob).unwrap();
    assert_eq!(store.held(), [(blob.track(), blob.size())]);
}

#[test]
fn what_has_no_place_at_all_arrives_in_memory_up_to_a_bound() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    disk.unplug(true);
    assert!(store.check().is_err());
    let bytes = song(5, 3);
    let (track, size) = (outboard(&bytes).track, bytes.len() as u64);
    let blob = store.receive(track, size).unwrap();
    assert!(blob.unkept().unwrap().why.contains("/cache"), "{blob:?}");
    arrive(&store, &blob, &bytes, GroupSet::all(size));
    assert_eq!(read_all(&blob), bytes);
    assert!(blob.read_at(size, &mut [0]).unwrap() == Some(0));
    disk.unplug(false);
    store.check().unwrap();
    drop(blob);
    assert!(store.receive(track, size).unwrap().unkept().is_none());

    // More than the cache may ever hold, but not more than can be heard.
    let long = song(60, 4);
    let blob = store
        .receive(outboard(&long).track, long.len() as u64)
        .unwrap();
    assert!(blob.unkept().unwrap().why.contains("raise cache.max"));
    let huge = vec![7; 33 << 20];
    let blob = store
        .receive(outboard(&huge).track, huge.len() as u64)
        .unwrap();
    let flood = take_in(
        &store,
        &blob,
        &items(&huge, &GroupSet::all(huge.len() as u64)),
    );
    assert!(matches!(flood, Err(StoreError::Memory { .. })));
}

/// A disk that is not mounted yet when the node starts.
#[test]
fn a_cache_that_comes_later_is_found_with_what_it_holds() {
    let disk = MemDisk::default();
    let bytes = song(4, 1);
    fetch(&mem_store(&disk), &bytes).unwrap();
    disk.unplug(true);
    let other = song(3, 2);
    let store = mem_store(&disk);
    assert!(store.held().is_empty() && store.check().is_err());
    assert!(store
        .receive(outboard(&other).track, other.len() as u64)
        .is_ok());
    disk.unplug(false);
    store.check().unwrap();
    assert_eq!(store.held(), [(outboard(&bytes).track, bytes.len() as u64)]);
}
