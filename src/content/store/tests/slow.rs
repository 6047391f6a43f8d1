//! A disk that lets music wait is used as one that is full.

use std::time::Duration;

use super::*;
use crate::content::file::Written;

const A_WRITE: Duration = Duration::from_millis(150);
const MINUTE: Duration = Duration::from_secs(60);

/// The disk's own time.
fn took(disk: &MemDisk, work: impl FnOnce()) -> Duration {
    let begun = disk.now();
    work();
    disk.now() - begun
}

fn receive(store: &Arc<Store>, bytes: &[u8]) -> Arc<Blob> {
    let track = outboard(bytes).track;
    store.receive(track, bytes.len() as u64).unwrap()
}

#[test]
fn what_plays_waits_for_a_slow_disk_no_longer_than_it_takes_to_find_out() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let songs = [song(30, 1), song(20, 2)];
    disk.slow_down(A_WRITE);
    for (n, song) in songs.iter().enumerate() {
        let all = items(song, &GroupSet::all(song.len() as u64));
        let time = took(&disk, || {
            let blob = receive(&store, song);
            take_in(&store, &blob, &all).unwrap();
            assert_eq!(read_all(&blob), *song);
            let unkept = blob.unkept().expect("the disk is slow");
            assert_eq!(
                &*unkept.why,
                "the cache in /cache is slow: a write takes 150 ms; use a faster card, or set \
                 `cache.dir` to another place"
            );
        });
        // What the first has shown is known to the second.
        let most = [5 * A_WRITE, Duration::ZERO][n];
        assert!(time <= most, "{time:?} of song {n}");
    }
}

/// What is on the disk already is read, and is not lost.
#[test]
fn a_disk_that_becomes_slow_within_a_track_keeps_what_it_has() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(30, 1);
    let blob = receive(&store, &bytes);
    take_in(&store, &blob, &items(&bytes, &(0..12).into())).unwrap();
    disk.slow_down(A_WRITE);
    let time = took(&disk, || {
        take_in(&store, &blob, &items(&bytes, &(12..30).into())).unwrap();
    });
    assert!(time <= 7 * A_WRITE, "{time:?}");
    assert_eq!(read_all(&blob), bytes);
    let kept = blob.unkept().expect("the disk is slow").kept;
    assert!(kept.contains_all(&(0..12).into()), "{kept}");
    assert!(matches!(
        store.finish(&blob),
        Err(StoreError::Unkept { .. })
    ));
    drop(blob);
    store.rest_idle();
    // Where nothing has to be written, nothing is left out.
    let blob = store.blob(outboard(&bytes).track).unwrap();
    assert!(blob.servable().contains_all(&(0..12).into()));
}

#[test]
fn a_slow_disk_is_found_when_it_is_tried_out_and_again_after_a_minute() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let song = song(10, 1);
    fetch(&store, &song).unwrap();
    disk.slow_down(A_WRITE);
    let time = took(&disk, || {
        assert!(matches!(store.check(), Err(StoreError::Slow { .. })));
    });
    assert!(time <= 3 * A_WRITE, "{time:?}");
    disk.slow_down(Duration::ZERO);
    let rest = took(&disk, || {
        while store.check().is_err() {
            disk.rest(Duration::from_secs(10));
        }
    });
    assert_eq!(rest, MINUTE);
    disk.slow_down(A_WRITE);
    assert!(store.check().is_err());
    // What is whole needs no disk that is fast.
    let held = receive(&store, &song);
    assert!(held.unkept().is_none());
    assert_eq!(read_all(&held), song);
}

/// It takes three tries to be called slow, and then each takes a minute.
#[test]
fn a_track_is_kept_again_once_the_disk_is_fast_again() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(10, 1);
    let all = items(&bytes, &GroupSet::all(bytes.len() as u64));
    disk.slow_down(A_WRITE);
    assert!(store.check().is_err());
    let blob = receive(&store, &bytes);
    take_in(&store, &blob, &all).unwrap();
    assert!(blob.unkept().is_some());
    drop(blob);
    disk.slow_down(Duration::ZERO);
    disk.rest(MINUTE);
    store.check().unwrap();
    let blob = receive(&store, &bytes);
    assert!(blob.unkept().is_none());
    take_in(&store, &blob, &all).unwrap();
    store.finish(&blob).unwrap();
    assert_eq!(store.held().len(), 1);
}

/// The listener has it before the disk does; others have it from the disk.
#[test]
fn what_has_come_is_heard_before_it_is_written_and_served_after_that() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(10, 1);
    let all = items(&bytes, &GroupSet::all(bytes.len() as u64));
    let blob = receive(&store, &bytes);
    let pieces = [all[..9].to_vec(), all[9..].to_vec()];
    let written = pieces.map(|piece| blob.show(piece).unwrap());
    assert_eq!(read_all(&blob), bytes);
    assert!(blob.servable().is_empty() && !blob.is_complete());
    let slice = blob.slice(&(0..1).into(), &mut Vec::new());
    assert!(matches!(slice, Err(SliceError::NotHere(_))));
    let waits = blob.waiting().unwrap();
    assert_eq!(waits.bytes, all.iter().map(Verified::bytes).sum::<u64>());
    // Each in its turn.
    assert!(store.write_next(&blob));
    assert_eq!(written.each_ref().map(Written::has_ended), [true, false]);
    assert!(!blob.servable().is_empty() && !blob.is_complete());
    store.finish(&blob).unwrap();
    assert!(written[1].has_ended() && blob.waiting().is_none());
    assert_eq!(blob.servable(), GroupSet::all(bytes.len() as u64));
    assert_eq!(store.held().len(), 1);
    assert_eq!(read_all(&blob), bytes);
}

#[test]
fn what_was_on_its_way_to_a_disk_that_fails_stays_in_memory() {
    for is_full in [true, false] {
        let disk = MemDisk::default();
        let store = mem_store(&disk);
        let bytes = song(10, 1);
        let all = items(&bytes, &GroupSet::all(bytes.len() as u64));
        let blob = receive(&store, &bytes);
        match is_full {
            true => disk.limit_space(Some(3 * GROUP_BYTES)),
            false => disk.slow_down(A_WRITE),
        }
        let pieces = all.chunks(5).map(<[Verified]>::to_vec);
        let last = pieces.map(|piece| blob.show(piece).unwrap()).last();
        assert!(store.write_next(&blob));
        while store.write_next(&blob) {}
        assert!(last.is_some_and(|written| written.has_ended()));
        assert_eq!(read_all(&blob), bytes);
        let told = blob.take_unkept().expect("the disk does not take it");
        assert!(told.kept.count() < 10, "{}", told.kept);
        assert!(blob.take_unkept().is_none(), "it is told once");
        blob.forget(&(0..10).into());
        assert_eq!(blob.have(), told.kept);
        assert!(store.finish(&blob).is_err());
    }
}

/// A write does not end, and what it was to bring is heard all the same.
#[test]
fn a_disk_that_stalls_is_played_past() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(10, 1);
    let blob = receive(&store, &bytes);
    let all = items(&bytes, &GroupSet::all(bytes.len() as u64));
    let written = blob.show(all.clone()).unwrap();
    blob.give_up_disk();
    assert!(written.has_ended() && blob.waiting().is_none());
    assert!(blob.show(all.clone()).unwrap().has_ended());
    assert_eq!(read_all(&blob), bytes);
    let why = blob.unkept().expect("the disk stalls").why;
    assert!(why.contains("a write takes more than 400 ms"), "{why}");
    // It ends after all: nothing is lost or twice.
    take_in(&store, &blob, &all).unwrap();
    assert_eq!(read_all(&blob), bytes);
}

/// The peer's loop says it, and a disk may take long to make a file.
#[test]
fn what_is_to_stay_is_said_without_waiting_for_a_disk() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let songs = [song(18, 1), song(18, 2), song(18, 3)];
    let tracks = songs.each_ref().map(|song| outboard(song).track);
    fetch(&store, &songs[0]).unwrap();
    fetch(&store, &songs[1]).unwrap();
    let pin = store.pin(tracks[0]);
    let (done, over) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let busy = store.inner();
        let (store, tracks) = (&store, &tracks);
        scope.spawn(move || {
            store.set_queued(vec![tracks[1]]);
            drop(pin);
            let _ = done.send(());
        });
        let waited = over.recv_timeout(Duration::from_secs(10));
        drop(busy);
        waited.expect("it waits for the disk");
    });
    // What was pinned goes, and what is queued stays.
    fetch(&store, &songs[2]).unwrap();
    let held: Vec<_> = store.held().into_iter().map(|(track, _)| track).collect();
    assert!(
        held.contains(&tracks[1]) && !held.contains(&tracks[0]),
        "{held:?}"
    );
}

/// The fetch that brought it was taken back.
#[test]
fn what_waits_for_the_disk_is_written_before_the_track_rests() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    let bytes = song(10, 1);
    let blob = receive(&store, &bytes);
    blob.show(items(&bytes, &(0..4).into())).unwrap();
    drop(blob);
    store.rest_idle();
    let blob = receive(&store, &bytes);
    assert_eq!(blob.servable(), (0..4).into());
}

/// The first request goes out when that has been done.
#[test]
fn a_track_begins_to_arrive_without_a_write() {
    let disk = MemDisk::default();
    let store = mem_store(&disk);
    disk.slow_down(A_WRITE);
    let bytes = song(10, 1);
    let time = took(&disk, || drop(receive(&store, &bytes)));
    assert_eq!(time, Duration::ZERO);
}
