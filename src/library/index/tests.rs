use super::{
    change::{BATCH_BYTES, MAX_PENDING_BYTES},
    record::{KnownPath, Record},
    *,
};
use crate::catalog::samples;

fn record(path: &str) -> NumberedItem {
    NumberedItem::File(Box::new(Record {
        path: path.into(),
        stamp: FileStamp {
            size: 1,
            modified: (2, 3),
            inode: 4,
            changed: None,
        },
        absent: false,
        listed: samples::listed("", path, None),
    }))
}

fn names(index: &Index) -> Vec<(u32, String)> {
    let mut names = Vec::new();
    let each = |no: EntryNo, slot| {
        if let NumberedItem::File(record) = slot {
            names.push((no.0, record.listed.path()));
        }
        true
    };
    index.reader().each(0..u32::MAX, each).unwrap();
    names
}

#[test]
fn a_damaged_index_is_put_aside_and_the_next_epoch_begins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let open = || Index::open(dir.path()).unwrap();
    let epoch = dir.path().join(EPOCH_NAME);
    fs::write(&epoch, "6\n").unwrap();
    assert_eq!(open().epoch(), 7);
    assert_eq!(open().epoch(), 7, "it was not lost");
    fs::write(&epoch, "9\n").unwrap();
    assert_eq!(open().epoch(), 10, "a later one was shown");

    let mut torn = fs::read(&path).unwrap();
    let middle = torn.len() / 2;
    torn.truncate(middle);
    fs::write(&path, torn).unwrap();
    assert_eq!(open().epoch(), 11);
    assert!(dir.path().join(ASIDE_NAME).exists());

    fs::write(&path, b"nonsense").unwrap();
    assert_eq!(open().epoch(), 12);
    fs::remove_file(&path).unwrap();
    fs::write(&epoch, "20\n").unwrap();
    assert_eq!(open().epoch(), 21);
}

#[test]
fn whatever_lies_in_its_place_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    for n in 1..=3 {
        fs::create_dir(&path).unwrap();
        fs::write(path.join("something"), n.to_string()).unwrap();
        let index = Index::open(dir.path()).unwrap();
        assert!(index.notice().unwrap().contains("put aside as"));
        assert_eq!(index.epoch(), n);
        drop(index);
        fs::remove_file(&path).unwrap();
    }
    let kept = |name: &str| fs::read_to_string(dir.path().join(name).join("something"));
    assert_eq!(kept(ASIDE_NAME).unwrap(), "1");
    assert_eq!(kept(&format!("{ASIDE_NAME}-3")).unwrap(), "3");
}

#[test]
fn a_copy_in_memory_knows_what_the_file_knows_and_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let mut index = Index::open(dir.path()).unwrap();
    index.put(None, record("a"));
    index.flush().unwrap();
    drop(index);
    let bytes = fs::read(&path).unwrap();
    let read_only = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
    let why = failed(&path, read_only);
    let mut copy = Index::open_copy(&path, dir.path(), &why).unwrap();
    assert_eq!(names(&copy), [(0, "a".to_owned())]);
    assert!(
        copy.epoch() > 1,
        "its heads are told from those of the file"
    );
    assert_eq!(copy.put(None, record("b")), Some(EntryNo(1)));
    copy.flush().unwrap();
    assert_eq!(names(&copy).len(), 2);
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

/// The disk is there, and then it is not: redb gives up for good, this does not.
#[test]
fn what_cannot_be_written_waits_and_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = Index::open(dir.path()).unwrap();
    index.put(None, record("a"));
    // As after an error of the disk.
    index.reader.db().take();
    assert!(index.flush().is_err());
    index.put(None, record("b"));
    let again = index.flush().unwrap_err();
    assert!(again.is_old() && !index.take_mended());
    assert!(index.reader().file(EntryNo(0)).is_err());
    index.pending.try_now(Instant::now());
    index.flush().unwrap();
    assert!(index.take_mended() && !index.take_mended());
    assert_eq!(names(&index), [(0, "a".to_owned()), (1, "b".to_owned())]);
}

#[test]
fn flipped_bytes_never_end_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE_NAME);
    let mut index = Index::open(dir.path()).unwrap();
    for n in 0..200 {
        index.put(None, record(&n.to_string()));
    }
    index.flush().unwrap();
    drop(index);
    let sound = fs::read(&path).unwrap();
    for at in (0..sound.len()).step_by(sound.len() / 40) {
        let mut damaged = sound.clone();
        let end = (at + 16).min(damaged.len());
        damaged[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(&path, damaged).unwrap();
        let index = Index::open(dir.path()).unwrap();
        assert!(matches!(names(&index).len(), 0 | 200), "byte {at}");
    }
}

#[test]
fn an_index_in_use_is_not_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Index::open(dir.path()).unwrap();
    assert!(Index::open(dir.path()).is_err());
    assert!(!dir.path().join(ASIDE_NAME).exists());
}

#[test]
fn mostly_holes_are_closed_in_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = Index::open(dir.path()).unwrap();
    let count = MIN_NUMBERS as u32;
    for n in 0..count {
        index.put(None, record(&n.to_string()));
    }
    let held = NumberedItem::Held {
        track: TrackId([1; 32]),
        size: 5,
    };
    index.put(None, held);
    (0..count)
        .filter(|n| n % 3 != 0)
        .for_each(|n| index.remove(EntryNo(n)));
    index.flush().unwrap();
    let before = names(&index);
    drop(index);

    let index = Index::open(dir.path()).unwrap();
    assert_eq!((index.epoch(), index.seq()), (2, 0));
    let after = names(&index);
    assert!(before
        .iter()
        .map(|(_, name)| name)
        .eq(after.iter().map(|(_, name)| name)));
    assert!(after.iter().map(|(no, _)| *no).eq(0..after.len() as u32));
    assert_eq!(index.numbers() as usize, after.len() + 1);
    assert_eq!(
        index.reader().held().unwrap(),
        [(TrackId([1; 32]), EntryNo(after.len() as u32))]
    );
    let known = index.reader().lookup(Path::new("9")).unwrap();
    assert!(matches!(known, Some(KnownPath::Listed(EntryNo(3), _))));
    drop(index);
    assert_eq!(
        Index::open(dir.path()).unwrap().epoch(),
        2,
        "once is enough"
    );
}

/// A file can have a path of 4 KiB and tags of the same, and nobody writes them down.
#[test]
fn what_waits_for_the_disk_is_bounded_however_long_names_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = Index::open(dir.path()).unwrap();
    index.reader.db().take();
    let mut most = 0;
    for n in 0..2_000 {
        let name = format!("{n}-{}", "x".repeat(4000));
        index.put(None, record(&name));
        if index.is_due(Instant::now()) {
            assert!(index.flush().is_err());
        }
        let put = |change: &IndexChange| match change {
            IndexChange::Put(_, NumberedItem::File(record)) => record.path.len(),
            _ => 0,
        };
        most = most.max(index.pending.all().iter().map(put).sum::<usize>());
    }
    // What comes between two looks is more, but not much.
    assert!(
        most <= MAX_PENDING_BYTES + BATCH_BYTES,
        "{most} bytes of paths"
    );
    assert!(most >= 1 << 20, "the disk may come back: {most}");
}
