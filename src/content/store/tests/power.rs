//! Power cuts and kills at every instant: what of the tracks that were arriving is here
//! again, and that nothing of it is wrong.

use super::*;
use crate::util::random::Random;

const GROUPS: u64 = 9;
/// Two whole songs and some of a third.
const SMALL_CAP: u64 = 22 * GROUP_BYTES;

struct Song {
    bytes: Vec<u8>,
    outboard: Outboard,
}

impl Song {
    fn new(n: u8) -> Self {
        let bytes = song(GROUPS, n);
        let outboard = outboard(&bytes);
        Self { bytes, outboard }
    }

    fn track(&self) -> TrackId {
        self.outboard.track
    }

    fn size(&self) -> u64 {
        self.outboard.size
    }

    /// Has `groups` arrive; gives what of the track is on the disk then.
    fn arrive(&self, store: &Arc<Store>, groups: &GroupSet) -> GroupSet {
        let blob = store.receive(self.track(), self.size()).unwrap();
        let missing = groups.difference(&blob.have());
        take_in(store, &blob, &items(&self.bytes, &missing)).unwrap();
        blob.kept()
    }

    /// Fetches what is missing, as often as something turns out to be; gives how many
    /// groups that were.
    fn complete(&self, store: &Arc<Store>) -> u32 {
        let blob = store.receive(self.track(), self.size()).unwrap();
        assert!(blob.unkept().is_none(), "{:?}", blob.unkept());
        let mut fetched = 0;
        for _ in 0..3 {
            let missing = GroupSet::all(self.size()).difference(&blob.have());
            fetched += missing.count();
            take_in(store, &blob, &items(&self.bytes, &missing)).unwrap();
            match store.finish(&blob) {
                Ok(()) => {
                    assert_eq!(read_all(&blob), self.bytes);
                    return fetched;
                }
                Err(StoreError::Incomplete { .. }) => assert!(!blob.take_lost().is_empty()),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("what was fetched does not stay");
    }

    /// Serves and reads each group that is said to be here, in either order, since the
    /// first proves it for the second; gives those that are.
    fn assert_true(&self, store: &Arc<Store>, order: Order) -> GroupSet {
        match order {
            Order::ReadFirst => {
                let read = self.assert_read(store);
                assert_eq!(self.assert_served(store), Some(read.clone()));
                read
            }
            Order::ServedFirst => {
                let served = self.assert_served(store);
                let read = self.assert_read(store);
                // Where the bitfield is lost, it can be opened only with its size.
                assert!(served.is_none_or(|served| served == read));
                read
            }
        }
    }

    fn assert_served(&self, store: &Arc<Store>) -> Option<GroupSet> {
        let blob = store.blob(self.track())?;
        let is_served = |group: &Group| {
            let (mut slice, wanted) = (Vec::new(), [*group].into_iter().collect());
            blob.slice(&wanted, &mut slice).is_ok_and(|()| {
                // A sender of anything else is a liar.
                verified(&self.outboard, &wanted, &slice);
                true
            })
        };
        Some(blob.have().iter().filter(is_served).collect())
    }

    fn assert_read(&self, store: &Arc<Store>) -> GroupSet {
        let blob = store.receive(self.track(), self.size()).unwrap();
        let is_read = |group: &Group| {
            let mut buf = [0; 100];
            let n = blob.read_at(group.start(), &mut buf).unwrap();
            n.is_some_and(|n| {
                let from = group.start() as usize;
                assert_eq!(buf[..n], self.bytes[from..from + n], "{group:?}");
                true
            })
        };
        blob.have().iter().filter(is_read).collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Order {
    ReadFirst,
    ServedFirst,
}

const ORDERS: [Order; 2] = [Order::ReadFirst, Order::ServedFirst];

fn small_store(disk: &MemDisk) -> Arc<Store> {
    Store::open("/cache".into(), SMALL_CAP, Arc::new(disk.clone()))
}

/// Every file is one of a track that the store knows, and goes with it.
fn assert_nothing_lies_about(store: &Arc<Store>, disk: &MemDisk) {
    store.set_cap(0).unwrap();
    assert_eq!(store.used(), 0);
    assert_eq!(disk.list(Path::new("/cache")).unwrap(), [] as [PathBuf; 0]);
}

/// A track arrives in pieces, rests in between, and becomes whole.
fn live(store: &Arc<Store>, song: &Song) -> GroupSet {
    let mut kept = GroupSet::new();
    for groups in [0..4, 7..9, 2..6, 0..9].map(GroupSet::from) {
        kept = song.arrive(store, &groups);
        store.rest_idle();
    }
    let blob = store.receive(song.track(), song.size()).unwrap();
    let _ = store.finish(&blob);
    kept
}

/// As after SIGKILL: what was written is on the disk, synced or not.
#[test]
fn a_kill_at_any_instant_loses_nothing_that_was_written() {
    let song = Song::new(1);
    let mut cuts = 0..;
    loop {
        let cut = cuts.next().unwrap();
        let disk = MemDisk::default();
        let store = small_store(&disk);
        disk.limit_changes(Some(cut));
        let kept = live(&store, &song);
        drop(store);
        let done = disk.changes_left() != Some(0);
        disk.limit_changes(None);

        let store = small_store(&disk);
        let here = song.assert_true(&store, ORDERS[cut as usize % 2]);
        // The last write may be a group whose bitfield nobody lived to see.
        assert!(here.contains_all(&kept), "cut {cut}: {here} of {kept}");
        assert_eq!(song.complete(&store), GROUPS as u32 - here.count());
        assert_nothing_lies_about(&store, &disk);
        if done {
            return assert_eq!(here, GroupSet::all(song.size()));
        }
    }
}

#[test]
fn a_power_cut_at_any_instant_leaves_nothing_wrong_and_what_rests() {
    let (resting, arriving) = (Song::new(1), Song::new(2));
    let piece = GroupSet::from(0..5);
    let (mut reused, mut lost) = (0, 0);
    for cut in 0.. {
        let disk = MemDisk::default();
        let store = small_store(&disk);
        resting.arrive(&store, &piece);
        store.rest_idle();
        disk.limit_changes(Some(cut));
        let kept = live(&store, &arriving);
        drop(store);
        let done = disk.changes_left() != Some(0);
        disk.limit_changes(None);
        disk.cut_power(cut);

        let store = small_store(&disk);
        assert!(store.used() <= SMALL_CAP);
        let order = ORDERS[cut as usize % 2];
        assert_eq!(resting.assert_true(&store, order), piece, "cut {cut}");
        let here = arriving.assert_true(&store, order);
        reused += here.count();
        lost += kept.difference(&here).count();
        assert_eq!(arriving.complete(&store), GROUPS as u32 - here.count());
        assert_eq!(resting.complete(&store), GROUPS as u32 - piece.count());
        assert_nothing_lies_about(&store, &disk);
        if done {
            assert_eq!(here, GroupSet::all(arriving.size()));
            break;
        }
    }
    assert!(
        reused > 100 && lost > 30,
        "{reused} groups reused, {lost} lost"
    );
}

/// Lives in which anything is done in any order, and that end at any instant.
#[test]
fn many_lives_with_cuts_and_kills_keep_the_cap_and_the_truth() {
    let songs: Vec<_> = (0..4).map(Song::new).collect();
    let (mut kept, mut reused) = (0, 0);
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let mut draw = |n| random.below(n);
        let disk = MemDisk::default();
        for life in 0..6 {
            let store = small_store(&disk);
            assert!(store.used() <= SMALL_CAP, "seed {seed}, life {life}");
            let order = ORDERS[draw(2) as usize];
            let here = songs.iter();
            let here = here.map(|song| song.assert_true(&store, order).count());
            reused += here.sum::<u32>();
            store.rest_idle();
            disk.limit_changes(Some(draw(60)));
            for _ in 0..12 {
                let song = &songs[draw(songs.len() as u64) as usize];
                let first = draw(GROUPS) as u32;
                let piece = GroupSet::from(first..first + 1 + draw(4) as u32);
                match draw(6) {
                    0 => store.rest_idle(),
                    1 => drop(store.blob(song.track())),
                    2 => store.set_queued(vec![song.track()]),
                    _ => kept += song.arrive(&store, &piece).count(),
                }
                assert!(store.used() <= SMALL_CAP, "seed {seed}, life {life}");
            }
            drop(store);
            disk.limit_changes(None);
            if draw(2) == 0 {
                disk.cut_power(draw(u64::MAX));
            }
        }
        let store = small_store(&disk);
        for song in &songs {
            song.assert_true(&store, Order::ReadFirst);
            store.rest_idle();
        }
        assert_nothing_lies_about(&store, &disk);
    }
    assert!(kept > 1000 && reused > 200, "{kept} kept, {reused} reused");
}

/// A parent in the midst of the tree, and a group of the file.
#[test]
fn damage_costs_the_groups_that_it_concerns() {
    let song = Song::new(1);
    let name = |suffix: &str| PathBuf::from(format!("/cache/{}{suffix}", song.track().to_hex()));
    for (clean, order) in [true, false]
        .into_iter()
        .flat_map(|c| ORDERS.map(|o| (c, o)))
    {
        let disk = MemDisk::default();
        let store = small_store(&disk);
        let all_but_one = GroupSet::from(0..8);
        song.arrive(&store, &all_but_one);
        if clean {
            store.rest_idle();
        }
        drop(store);
        // In pre-order: 0-8, 0-7, 0-3, 0-1, 2-3, 4-7, …
        let hurt = disk.edit(&name(".part.outboard")).unwrap();
        hurt.write_at(3 * 64 + 5, b"torn").unwrap();
        let hurt = disk.edit(&name(".part")).unwrap();
        hurt.write_at(5 * GROUP_BYTES, b"torn").unwrap();
        let store = small_store(&disk);
        let claimed = store.receive(song.track(), song.size()).unwrap().have();
        let left: GroupSet = [2, 3, 4, 6, 7].map(Group).into_iter().collect();
        assert_eq!(claimed, if clean { all_but_one } else { left.clone() });
        assert_eq!(song.assert_true(&store, order), left, "{clean} {order:?}");
        assert_eq!(song.complete(&store), 4);
    }
}

#[test]
fn what_is_all_here_is_proven_before_it_is_called_whole() {
    let song = Song::new(1);
    let disk = MemDisk::default();
    let store = small_store(&disk);
    song.arrive(&store, &GroupSet::all(song.size()));
    store.rest_idle();
    drop(store);
    let path = format!("/cache/{}.part", song.track().to_hex());
    let hurt = disk.edit(Path::new(&path)).unwrap();
    hurt.write_at(5 * GROUP_BYTES, b"torn").unwrap();
    let store = small_store(&disk);
    assert_eq!(song.complete(&store), 1);
    drop(store);
    let store = small_store(&disk);
    assert_eq!(store.held(), [(song.track(), song.size())]);
    assert_eq!(read_all(&store.blob(song.track()).unwrap()), song.bytes);
}

#[test]
fn what_rests_takes_what_it_has_and_what_is_queued_stays() {
    let disk = MemDisk::default();
    let store = small_store(&disk);
    let songs: Vec<_> = (0..4).map(Song::new).collect();
    let pieces = GroupSet::from(0..2);
    for song in &songs {
        song.arrive(&store, &pieces);
        store.rest_idle();
    }
    let each = 2 * GROUP_BYTES + outboard_bytes(songs[0].size());
    assert_eq!(store.used(), 4 * each);

    // All but the last are queued: whole ones have no room beside them.
    store.set_queued(songs[..3].iter().map(Song::track).collect());
    let other = [Song::new(7), Song::new(8)];
    other[0].complete(&store);
    assert_eq!(store.assert_rests(&songs), [2, 2, 2, 2]);
    store.set_queued(
        songs[..3]
            .iter()
            .chain(&other[..1])
            .map(Song::track)
            .collect(),
    );
    let blob = store.receive(other[1].track(), other[1].size()).unwrap();
    let why = blob.unkept().expect("there is no room").why;
    assert!(why.contains("queued"), "{why}");
    // It is heard all the same.
    take_in(
        &store,
        &blob,
        &items(&other[1].bytes, &GroupSet::all(blob.size())),
    )
    .unwrap();
    assert_eq!(read_all(&blob), other[1].bytes);
    assert_eq!(store.assert_rests(&songs), [2, 2, 2, 2]);

    // A queued one that rests is read from the disk, and the rest of it from memory.
    let blob = store.receive(songs[0].track(), songs[0].size()).unwrap();
    assert_eq!(blob.unkept().expect("there is no room").kept, pieces);
    take_in(
        &store,
        &blob,
        &items(&songs[0].bytes, &GroupSet::from(2..9)),
    )
    .unwrap();
    assert_eq!(read_all(&blob), songs[0].bytes);
    drop(blob);
    store.set_queued(Vec::new());
    assert_eq!(songs[0].complete(&store), 7);
    assert!(store.used() <= SMALL_CAP);
}

impl Store {
    /// How many groups of each are here; all are true.
    fn assert_rests(self: &Arc<Self>, songs: &[Song]) -> Vec<u32> {
        let blob = |song: &Song| self.blob(song.track());
        let here = |song| blob(song).map_or(0, |blob| blob.have().count());
        songs.iter().map(here).collect()
    }
}

#[test]
fn no_more_tracks_rest_than_a_start_can_read() {
    let disk = MemDisk::default();
    let store = Store::open("/cache".into(), 1 << 30, Arc::new(disk.clone()));
    let names = || disk.list(Path::new("/cache")).unwrap().len();
    for n in 0..300u32 {
        let mut bytes = song(2, 0);
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        let song = Song {
            outboard: outboard(&bytes),
            bytes,
        };
        song.arrive(&store, &(0..n % 2).into());
        if n % 7 == 0 {
            store.rest_idle();
        }
    }
    assert!(names() > 3 * 100 && names() <= 3 * 256, "{}", names());
    store.rest_idle();
    assert_eq!(names(), 3 * 150, "what is empty does not rest");
    for n in 0..300u32 {
        let bytes = song(2, n as u8);
        let bytes = [&n.to_le_bytes(), &bytes[4..]].concat();
        let song = Song {
            outboard: outboard(&bytes),
            bytes,
        };
        song.arrive(&store, &(0..1).into());
    }
    store.rest_idle();
    assert_eq!(names(), 3 * 256);
}
