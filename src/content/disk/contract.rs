//! What every disk keeps, the operating system's and the one in memory: one table, run against
//! each, so that no test relies on what a real disk does not do.

use std::io::ErrorKind;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;

use super::*;
use crate::fence::Fence;

/// Gets a disk, and an empty directory on it.
type Contract = fn(&dyn Disk, &Path);

const CONTRACTS: &[(&str, Contract)] = &[
    ("what was written is read, gaps are zero", |disk, dir| {
        let file = disk.create(&dir.join("a")).unwrap();
        file.write_at(4, b"tail").unwrap();
        file.write_at(0, b"h").unwrap();
        let mut buf = [9; 10];
        assert_eq!(file.read_at(0, &mut buf).unwrap(), 8);
        assert_eq!(&buf[..8], b"h\0\0\0tail");
        assert_eq!(file.read_at(100, &mut buf).unwrap(), 0);
        assert_eq!(file.stamp().unwrap().size, 8);
    }),
    (
        "what is written in the midst keeps the rest",
        |disk, dir| {
            let file = make(disk, &dir.join("a"), b"0123456789");
            file.write_at(3, b"abc").unwrap();
            assert_eq!(content(&*file), b"012abc6789");
            let mut three = [0; 3];
            assert_eq!(file.read_at(8, &mut three).unwrap(), 2);
            assert_eq!(&three[..2], b"89");
            assert_eq!(file.read_at(10, &mut three).unwrap(), 0);
            assert_eq!(file.read_at(0, &mut []).unwrap(), 0);
        },
    ),
    ("to write nothing changes nothing", |disk, dir| {
        let file = make(disk, &dir.join("a"), b"some");
        let before = file.stamp().unwrap();
        file.write_at(2, b"").unwrap();
        file.write_at(1000, b"").unwrap();
        assert_eq!(file.stamp().unwrap(), before);
    }),
    ("what is edited keeps the rest", |disk, dir| {
        let made = make(disk, &dir.join("a"), b"first");
        let edited = disk.edit(&dir.join("a")).unwrap();
        edited.write_at(5, b", then").unwrap();
        assert_eq!(content(&*made), b"first, then");
    }),
    ("what is opened to read takes no writes", |disk, dir| {
        make(disk, &dir.join("a"), b"some");
        let opened = disk.open(&dir.join("a")).unwrap();
        opened.write_at(0, b"x").unwrap_err();
        opened.sync().unwrap();
        assert_eq!(content(&*opened), b"some");
    }),
    ("an open file outlives its name", |disk, dir| {
        let file = disk.create(&dir.join("a")).unwrap();
        disk.rename(&dir.join("a"), &dir.join("b")).unwrap();
        file.write_at(0, b"x").unwrap();
        let moved = disk.open(&dir.join("b")).unwrap();
        assert_eq!(moved.stamp().unwrap(), file.stamp().unwrap());
        disk.remove(&dir.join("b")).unwrap();
        assert_eq!(moved.read_at(0, &mut [0]).unwrap(), 1);
        file.write_at(1, b"y").unwrap();
        file.sync().unwrap();
        assert_eq!(content(&*moved), b"xy");
    }),
    (
        "what is replaced is read on, as another file",
        |disk, dir| {
            let (a, b) = (dir.join("a"), dir.join("b"));
            let old = make(disk, &a, b"old");
            make(disk, &b, b"new one");
            disk.rename(&b, &a).unwrap();
            let new = disk.open(&a).unwrap();
            assert_eq!(
                (content(&*old), content(&*new)),
                (b"old".to_vec(), b"new one".to_vec())
            );
            let inodes = [old, new].map(|file| file.stamp().unwrap().inode);
            assert_ne!(inodes[0], inodes[1]);
        },
    ),
    (
        "what is removed and made again is another file",
        |disk, dir| {
            let path = dir.join("a");
            let old = make(disk, &path, b"old");
            disk.remove(&path).unwrap();
            let new = make(disk, &path, b"new");
            assert_eq!(content(&*old), b"old");
            assert_ne!(old.stamp().unwrap().inode, new.stamp().unwrap().inode);
        },
    ),
    (
        "create empties for all who have the file open",
        |disk, dir| {
            let path = dir.join("a");
            let old = make(disk, &path, b"some");
            let before = old.stamp().unwrap();
            let again = disk.create(&path).unwrap();
            assert_eq!(content(&*old), b"");
            assert_eq!(again.stamp().unwrap().inode, before.inode);
            again.write_at(0, b"other").unwrap();
            assert_eq!(content(&*old), b"other");
        },
    ),
    ("a change of the content shows in its times", |disk, dir| {
        let file = make(disk, &dir.join("a"), b"some");
        let before = file.stamp().unwrap();
        let after = once_it_differs(
            || file.stamp().unwrap(),
            |stamp| stamp.modified != before.modified,
            || file.write_at(0, b"same").unwrap(),
        );
        assert_ne!(after.changed, before.changed);
        assert!(!before.is_only_touched(&after));
        let emptied = once_it_differs(
            || file.stamp().unwrap(),
            |stamp| stamp.modified != after.modified,
            || drop(disk.create(&dir.join("a")).unwrap()),
        );
        assert_eq!((emptied.size, emptied.inode), (0, after.inode));
    }),
    ("another name is a touch, not a change", |disk, dir| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        let file = make(disk, &a, b"some");
        let before = file.stamp().unwrap();
        let after = once_it_differs(
            || file.stamp().unwrap(),
            |stamp| stamp.changed != before.changed,
            || {
                disk.rename(&a, &b).unwrap();
                disk.rename(&b, &a).unwrap();
            },
        );
        assert!(before.is_only_touched(&after));
        let removed = once_it_differs(
            || file.stamp().unwrap(),
            |stamp| stamp.changed != after.changed,
            || drop(disk.remove(&a)),
        );
        assert!(before.is_only_touched(&removed));
    }),
    ("reading and syncing touch nothing", |disk, dir| {
        let path = dir.join("a");
        let file = make(disk, &path, b"some");
        let before = file.stamp().unwrap();
        file.sync().unwrap();
        disk.sync_dir(dir).unwrap();
        assert_eq!(content(&*disk.open(&path).unwrap()), b"some");
        disk.edit(&path).unwrap();
        assert_eq!(file.stamp().unwrap(), before);
    }),
    ("what is not there is not found", |disk, dir| {
        let nowhere = dir.join("nowhere");
        let kinds = [
            disk.open(&nowhere).err().unwrap().kind(),
            disk.edit(&nowhere).err().unwrap().kind(),
            disk.remove(&nowhere).unwrap_err().kind(),
            disk.rename(&nowhere, &dir.join("x")).unwrap_err().kind(),
            disk.list(&nowhere).unwrap_err().kind(),
            disk.sync_dir(&nowhere).unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::NotFound; 6]);
        assert_eq!(disk.list(dir).unwrap(), [] as [PathBuf; 0]);
    }),
    ("a directory that was removed is made again", |disk, dir| {
        let file = dir.join("removed/a");
        disk.create(&file).unwrap().write_at(0, b"x").unwrap();
        assert_eq!(disk.open(&file).unwrap().stamp().unwrap().size, 1);
    }),
    ("one that lies in it is not, nor for a name", |disk, dir| {
        let deep = dir.join("removed/too/a");
        let error = disk.create(&deep).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        make(disk, &dir.join("a"), b"some");
        let error = disk
            .rename(&dir.join("a"), &dir.join("removed/a"))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(content(&*disk.open(&dir.join("a")).unwrap()), b"some");
    }),
    (
        "directories are made with their parents, and again",
        |disk, dir| {
            let deep = dir.join("one/two/three");
            disk.create_dir(&deep).unwrap();
            disk.create_dir(&deep).unwrap();
            disk.sync_dir(&deep).unwrap();
            assert_eq!(disk.list(&deep).unwrap(), [] as [PathBuf; 0]);
            make(disk, &deep.join("a"), b"some");
            assert_eq!(disk.list(&deep).unwrap(), [deep.join("a")]);
            assert_eq!(
                disk.list(dir).unwrap(),
                [] as [PathBuf; 0],
                "one has no file"
            );
            assert_eq!(disk.list(&dir.join("one")).unwrap(), [] as [PathBuf; 0]);
        },
    ),
    ("a directory is no file", |disk, dir| {
        let inner = dir.join("inner");
        disk.create_dir(&inner).unwrap();
        let is_refused = [
            disk.open(&inner).is_err(),
            disk.edit(&inner).is_err(),
            disk.create(&inner).is_err(),
            disk.remove(&inner).is_err(),
        ];
        assert_eq!(is_refused, [true; 4]);
        make(disk, &dir.join("a"), b"some");
        disk.rename(&dir.join("a"), &inner).unwrap_err();
        assert_eq!(disk.list(dir).unwrap(), [dir.join("a")]);
    }),
    ("a file is no directory", |disk, dir| {
        let file = dir.join("a");
        make(disk, &file, b"some");
        let below = file.join("b");
        let is_refused = [
            disk.create_dir(&file).is_err(),
            disk.create_dir(&below).is_err(),
            disk.create(&below).is_err(),
            disk.open(&below).is_err(),
            disk.list(&file).is_err(),
        ];
        assert_eq!(is_refused, [true; 5]);
        assert_eq!(content(&*disk.open(&file).unwrap()), b"some");
    }),
    (
        "create empties, rename replaces, list shows",
        |disk, dir| {
            let (a, b) = (dir.join("a"), dir.join("b"));
            make(disk, &a, b"old");
            assert_eq!(disk.create(&a).unwrap().stamp().unwrap().size, 0);
            make(disk, &b, b"new");
            disk.rename(&b, &a).unwrap();
            disk.rename(&a, &a).unwrap();
            disk.sync_dir(dir).unwrap();
            assert_eq!(disk.list(dir).unwrap(), std::slice::from_ref(&a));
            assert_eq!(disk.open(&a).unwrap().stamp().unwrap().size, 3);
        },
    ),
    (
        "threads that write beside each other lose nothing",
        |disk, dir| {
            let file = disk.create(&dir.join("a")).unwrap();
            thread::scope(|scope| {
                for n in 0..4u8 {
                    let file = &file;
                    scope.spawn(move || {
                        for at in 0..100 {
                            let offset = at * 40 + u64::from(n) * 10;
                            file.write_at(offset, &[n + 1; 10]).unwrap();
                            let mut read = [0; 10];
                            assert_eq!(file.read_at(offset, &mut read).unwrap(), 10);
                            assert_eq!(read, [n + 1; 10]);
                        }
                    });
                }
            });
            let all = content(&*file);
            assert_eq!(all.len(), 4000);
            let is_of = |(i, byte): (usize, &u8)| usize::from(*byte) == i / 10 % 4 + 1;
            assert!(all.iter().enumerate().all(is_of));
        },
    ),
];

/// The disk of a node, whose writes are timed.
struct TimedDisk(Timing);

impl TimedDisk {
    fn new() -> Self {
        Self(Timing::of(Arc::new(RealDisk)))
    }
}

impl Disk for TimedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path).map(|file| self.0.timed(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path).map(|file| self.0.timed(file))
    }

    fn edit(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.edit(path).map(|file| self.0.timed(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
}

fn make(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = disk.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file
}

fn content(file: &dyn DiskFile) -> Vec<u8> {
    let mut buf = vec![0; 8192];
    let len = file.read_at(0, &mut buf).unwrap();
    buf.truncate(len);
    buf
}

/// Does something again and again until what it looks at is as wanted: the clock of a file
/// system stands still for milliseconds.
fn once_it_differs(
    look: impl Fn() -> DiskStamp,
    is_wanted: impl Fn(&DiskStamp) -> bool,
    change: impl Fn(),
) -> DiskStamp {
    let begun = Instant::now();
    loop {
        change();
        let now = look();
        if is_wanted(&now) {
            return now;
        }
        assert!(begun.elapsed() < PATIENCE, "it never shows: {now:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_disk_keeps_the_contract() {
    let mut broken = Vec::new();
    for (name, contract) in CONTRACTS {
        let mut holds = |which: &str, disk: &dyn Disk, dir: &Path| {
            if catch_unwind(AssertUnwindSafe(|| contract(disk, dir))).is_err() {
                broken.push(format!("{which}: {name}"));
            }
        };
        let real = || tempfile::tempdir().unwrap();
        holds("the real one", &RealDisk, real().path());
        holds("one that is timed", &TimedDisk::new(), real().path());
        let music = real();
        let fence = Fence::default();
        fence.set(&[music.path().to_owned()], false);
        holds("one with a fence", &FencedDisk(fence), music.path());
        holds("the one in memory", &MemDisk::default(), Path::new("/mem"));
    }
    assert_eq!(broken, [] as [String; 0]);
}

/// Many times the longest step of a file system's clock.
const PATIENCE: Duration = Duration::from_secs(10);
