use std::sync::Arc;

use proptest::prelude::*;

use super::{filed::LEAST_BYTES, *};
use crate::{
    catalog::samples::{song, SampleOwner},
    identity::SwarmKey,
};

const QUOTA: MemoryQuota = MemoryQuota {
    all: 10 * LEAST_BYTES,
    one: 4 * LEAST_BYTES,
};

struct Room {
    dir: tempfile::TempDir,
    identity: Identity,
    keys: Vec<SwarmKey>,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = vec![
            crate::identity::new_key().unwrap(),
            crate::identity::new_key().unwrap(),
        ];
        let identity = Identity::from_secret(&[200; 32], &keys).unwrap();
        Self {
            dir,
            identity,
            keys,
        }
    }

    /// As after a start, by a node that has seen those peers by its second key.
    fn cabinet(&self, by_second: Vec<PeerId>) -> Cabinet {
        let second = Identity::from_secret(&[201; 32], &self.keys[1..]).unwrap();
        let mark = second.key_marks()[0];
        let key_of = move |peer| by_second.contains(&peer).then_some(mark);
        let mut cabinet = Cabinet::new(self.dir.path(), self.identity.clone(), QUOTA, key_of);
        cabinet.look();
        cabinet
    }
}

fn deposit(seed: u8, site: u8, tracks: usize) -> Deposit {
    let song = |n: usize| song(&"d".repeat(200), &format!("{n:0>200}"), None);
    let catalogue = SampleOwner::new(seed).publish(1, (0..tracks).map(song).collect());
    Deposit {
        name: "kitchen".into(),
        site: Some(std::net::IpAddr::from([10, 0, 0, site]).into()),
        catalogue: Arc::new(catalogue),
    }
}

fn write(cabinet: &mut Cabinet, deposit: Deposit) -> Archived {
    cabinet.perform(Archival::Write(Box::new(deposit)))
}

fn bytes(cabinet: &Cabinet) -> (usize, usize) {
    let entries = fs::read_dir(&cabinet.dir).unwrap().flatten();
    let sizes: Vec<u64> = entries.map(|e| e.metadata().unwrap().len()).collect();
    (sizes.len(), sizes.iter().sum::<u64>() as usize)
}

#[test]
fn what_is_written_is_there_after_a_start_and_is_replaced() {
    let room = Room::new();
    let done = Archived::Done {
        evicted: Vec::new(),
    };
    let mut cabinet = room.cabinet(Vec::new());
    for tracks in [3, 300] {
        assert_eq!(write(&mut cabinet, deposit(1, 1, tracks)), done);
        let mut again = room.cabinet(Vec::new());
        let (read, away) = again.read(SampleOwner::new(1).id()).unwrap();
        assert_eq!(read.catalogue.listed_count(), tracks);
        assert!(away < Duration::from_secs(3600));
    }
    assert_eq!(
        cabinet.perform(Archival::Seen(SampleOwner::new(1).id())),
        done
    );
    assert_eq!(
        cabinet.perform(Archival::Remove(SampleOwner::new(1).id())),
        done
    );
    assert_eq!(bytes(&cabinet), (0, 0));
    // The directory was removed meanwhile.
    fs::remove_dir(&cabinet.dir).unwrap();
    assert_eq!(write(&mut cabinet, deposit(1, 1, 3)), done);
    fs::remove_file(cabinet.path(SampleOwner::new(1).id())).unwrap();
    fs::remove_dir(&cabinet.dir).unwrap();
    // Something else lies there, or is where the file belongs.
    fs::write(&cabinet.dir, "in the way").unwrap();
    assert_eq!(write(&mut room.cabinet(Vec::new()), deposit(1, 1, 3)), done);
    let path = cabinet.path(SampleOwner::new(1).id());
    fs::remove_file(&path).unwrap();
    for way in [path.clone(), path.with_extension("new")] {
        fs::create_dir(&way).unwrap();
        fs::write(way.join("x"), "x").unwrap();
    }
    assert_eq!(write(&mut cabinet, deposit(1, 1, 3)), done);
    assert!(path.is_file());
    fs::remove_dir_all(room.dir.path()).unwrap();
    fs::write(room.dir.path(), "no directory").unwrap();
    assert_eq!(write(&mut cabinet, deposit(1, 1, 3)), Archived::Failed);
    fs::remove_file(room.dir.path()).unwrap();
}

#[test]
fn one_that_was_away_for_a_month_is_forgotten() {
    let room = Room::new();
    let mut cabinet = room.cabinet(Vec::new());
    write(&mut cabinet, deposit(1, 1, 3));
    let path = cabinet.path(SampleOwner::new(1).id());
    let (file, _) = cabinet.open(&path).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    let mut clock = clock::look();
    let wall = written.duration_since(UNIX_EPOCH).unwrap();
    for (days, is_set, is_old) in [(29, true, false), (31, true, true), (31, false, false)] {
        clock.now.wall = wall + Duration::from_secs(86_400 * days);
        clock.is_set = is_set;
        let looked = cabinet.look_at(&path, SampleOwner::new(1).id(), &clock);
        assert_eq!(
            matches!(looked, Err(BadDeposit::Old)),
            is_old,
            "{days} days"
        );
        assert_eq!(looked.is_ok(), !is_old);
    }
}

#[test]
fn a_file_goes_with_the_first_of_the_keys_that_its_owner_may_have_had() {
    let room = Room::new();
    let id = |seed| SampleOwner::new(seed).id();
    let mut cabinet = room.cabinet(vec![id(2), id(3)]);
    for seed in [1, 2] {
        write(&mut cabinet, deposit(seed, seed, 3));
    }
    // One that is seen by its key only after it was written.
    let mut before = room.cabinet(Vec::new());
    write(&mut before, deposit(3, 3, 3));
    let mut cabinet = room.cabinet(vec![id(2), id(3)]);
    let nobody = Archived::Judged {
        disowned: Vec::new(),
    };
    assert_eq!(cabinet.perform(Archival::Judge), nobody);
    room.identity.use_keys(&room.keys[1..]).unwrap();
    let first = Archived::Judged {
        disowned: vec![id(1)],
    };
    assert_eq!(cabinet.perform(Archival::Judge), first);
    assert_eq!(bytes(&cabinet).0, 2);
    assert_eq!(room.cabinet(Vec::new()).files.owners().len(), 2);
    // The same at a start.
    room.identity.use_keys(&room.keys[..1]).unwrap();
    assert_eq!(room.cabinet(Vec::new()).files.owners().len(), 0);
    assert_eq!(bytes(&cabinet).0, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However many owners there are, and however large: all files together have no more
    /// bytes than they may, there are not many, and an owner whose site has no more than its
    /// equal part keeps its own.
    #[test]
    fn all_files_fit_and_nobody_takes_anothers_part(
        owners in prop::collection::vec((1u8..100, 0u8..3, 1usize..900), 1..30),
    ) {
        let room = Room::new();
        let mut cabinet = room.cabinet(Vec::new());
        let honest = deposit(150, 9, 3);
        write(&mut cabinet, honest.clone());
        for (seed, site, tracks) in owners {
            let done = write(&mut cabinet, deposit(seed, site, tracks));
            let (files, bytes) = bytes(&cabinet);
            prop_assert!(bytes <= QUOTA.all, "{} bytes", bytes);
            prop_assert!(files <= QUOTA.all / LEAST_BYTES);
            prop_assert!(cabinet.path(honest.catalogue.owner()).exists(), "{:?}", done);
            prop_assert_eq!(files, cabinet.files.owners().len());
        }
        prop_assert_eq!(room.cabinet(Vec::new()).files.owners().len(), cabinet.files.owners().len());
    }
}
