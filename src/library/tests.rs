//! The library as a whole, over small files in temporary directories.

mod looks;

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::catalog::{samples::SampleOwner, EntryRef};
use crate::media::{Container, MediaInfo};

/// A library over directories of its own, and how often it looked inside a
/// file.
struct House {
    dir: tempfile::TempDir,
    probed: Arc<AtomicUsize>,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["state", "music", "usb"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let probed = Arc::default();
        Self { dir, probed }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn open(&self, roots: &[&str]) -> (Library, Receiver<LibraryEvent>) {
        self.open_with(roots, probe)
    }

    fn open_with(
        &self,
        roots: &[&str],
        probe: impl Fn(&Path) -> Result<Probed, ProbeRejection> + Send + Sync + 'static,
    ) -> (Library, Receiver<LibraryEvent>) {
        let probed = self.probed.clone();
        let owner = SampleOwner::new(1);
        let setup = LibrarySetup {
            fence: Fence::default(),
            state: self.path("state"),
            me: owner.id(),
            sign: Box::new(move |bytes| owner.sign(bytes)),
            room: ROOM,
            probe: Arc::new(move |path, _| {
                probed.fetch_add(1, Ordering::Relaxed);
                probe(path)
            }),
            hash: Arc::new(|path, _| {
                let bytes = fs::read(path).map_err(|error| error.to_string())?;
                if bytes == b"unreadable" {
                    fs::remove_file(path).unwrap();
                    std::os::unix::fs::symlink(path, path).unwrap();
                    return Err("read error".into());
                }
                Ok(content(&bytes))
            }),
        };
        let (library, events) = Library::open(setup).unwrap();
        let music: Vec<_> = roots.iter().map(|root| self.path(root)).collect();
        library.set_music(&music, false);
        (library, events)
    }

    fn probed(&self) -> usize {
        self.probed.swap(0, Ordering::Relaxed)
    }
}

/// For some hundred tracks with long names.
const ROOM: usize = 256 << 10;

impl House {
    fn left_out(&self, library: &Library) -> Vec<(String, String, bool)> {
        let left_out = library.left_out();
        let short = |path: String| {
            let base = self.dir.path().to_str().unwrap();
            path.strip_prefix(base).unwrap()[1..].to_owned()
        };
        let files = left_out.iter();
        files
            .map(|(path, file)| (short(path), file.why.clone(), file.is_listed))
            .collect()
    }
}

fn content(bytes: &[u8]) -> TrackId {
    TrackId(*blake3::hash(bytes).as_bytes())
}

/// Takes everything for music but what says otherwise.
fn probe(path: &Path) -> Result<Probed, ProbeRejection> {
    let unfit = |why: &str, is_lasting| ProbeRejection {
        why: why.to_owned(),
        is_lasting,
    };
    let bytes = fs::read(path).map_err(|error| unfit(&error.to_string(), false))?;
    if bytes.starts_with(b"noise") {
        return Err(unfit("this is noise", true));
    }
    if bytes.starts_with(b"slow disk") {
        return Err(unfit("it took too long", false));
    }
    Ok(Probed {
        media: MediaInfo {
            rate: 8000,
            channels: 1,
            duration: Duration::from_secs(1),
            audio_start: Some(0),
            ..MediaInfo::cd(Container::Wav)
        },
        frames: None,
        bits: Some(8),
        opening: Vec::new(),
    })
}

/// Scans, and publishes without waiting until it is time.
fn scan(library: &Library, events: &Receiver<LibraryEvent>) -> Vec<(u32, String)> {
    library.look(None, Care::Changes);
    while events.try_recv().is_ok() {}
    publish(library);
    tracks(library)
}

fn publish(library: &Library) {
    let mut book = library.core.book();
    if let Some(due) = book.publish_at(true) {
        book.write_if_due(true, due).unwrap();
    }
}

fn tracks(library: &Library) -> Vec<(u32, String)> {
    let catalogue = library.catalogue();
    catalogue.head().verify().unwrap();
    let name = |(no, entry): (EntryNo, EntryRef<'_>)| Some((no.0, entry.listed()?.path()));
    catalogue.entries().filter_map(name).collect()
}

fn named(tracks: &[(u32, &str)]) -> Vec<(u32, String)> {
    tracks
        .iter()
        .map(|(no, name)| (*no, (*name).to_owned()))
        .collect()
}

#[test]
fn numbers_stay_with_paths_and_unchanged_files_are_not_read_again() {
    let house = House::new();
    for name in ["music/a.wav", "music/b/1.wav", "music/b/2.wav"] {
        house.write(name, name);
    }
    house.write("music/bad.wav", "noise");
    let (library, events) = house.open(&["music"]);
    let all = named(&[(0, "a.wav"), (1, "b/1.wav"), (2, "b/2.wav")]);
    assert_eq!(scan(&library, &events), all);
    assert_eq!(house.probed(), 4);

    let seq = library.catalogue().head().head.seq;
    assert_eq!(scan(&library, &events), all);
    assert_eq!(house.probed(), 0);
    assert_eq!(library.catalogue().head().head.seq, seq, "nothing changed");

    fs::remove_file(house.path("music/b/1.wav")).unwrap();
    house.write("music/a.wav", "another length");
    house.write("music/0.wav", "new");
    let changed = named(&[(0, "a.wav"), (2, "b/2.wav"), (3, "0.wav")]);
    assert_eq!(scan(&library, &events), changed);
    assert_eq!(house.probed(), 2);
    drop((library, events));

    house.write("music/b/1.wav", "back again");
    let (library, events) = house.open(&["music"]);
    assert_eq!(tracks(&library), changed, "known before the first scan");
    let last = named(&[(0, "a.wav"), (2, "b/2.wav"), (3, "0.wav"), (4, "b/1.wav")]);
    assert_eq!(scan(&library, &events), last);
    assert_eq!(house.probed(), 1);
}

#[test]
fn an_unplugged_disk_hides_its_music_and_forgets_nothing() {
    let house = House::new();
    house.write("music/a.wav", "a");
    house.write("usb/b.wav", "b");
    let (library, events) = house.open(&["music", "usb"]);
    let all = named(&[(0, "music/a.wav"), (1, "usb/b.wav")]);
    assert_eq!(scan(&library, &events), all);
    let mut cursor = 0;
    while library.hash_next(&mut cursor) {}

    for unplugged in ["gone", "empty"] {
        fs::rename(house.path("usb"), house.path("elsewhere")).unwrap();
        if unplugged == "empty" {
            fs::create_dir(house.path("usb")).unwrap();
        }
        assert_eq!(scan(&library, &events), all[..1], "{unplugged}");
        assert_eq!(library.file(EntryNo(1)), None);

        let _ = fs::remove_dir(house.path("usb"));
        fs::rename(house.path("elsewhere"), house.path("usb")).unwrap();
        house.probed();
        assert_eq!(scan(&library, &events), all);
        assert_eq!(house.probed(), 0);
        let found = library.file_of(content(b"b")).unwrap();
        assert_eq!(found.path, house.path("usb/b.wav"));
    }
    drop((library, events));

    // No longer configured is another matter; and a single root is the top.
    let (library, events) = house.open(&["music"]);
    assert_eq!(scan(&library, &events), named(&[(0, "a.wav")]));
    assert_eq!(house.probed(), 0);
}

/// A disk below the music directory, and one whose mount point is not empty.
#[test]
fn a_mount_point_in_any_shape_hides_its_music_and_forgets_nothing() {
    let house = House::new();
    house.write("music/a.wav", "a");
    house.write("music/disk/b.wav", "b");
    house.write("usb/c.wav", "c");
    let (library, events) = house.open(&["music", "usb"]);
    let all = named(&[
        (0, "music/a.wav"),
        (1, "music/disk/b.wav"),
        (2, "usb/c.wav"),
    ]);
    assert_eq!(scan(&library, &events), all);
    while events.try_recv().is_ok() {}
    let mut cursor = 0;
    while library.hash_next(&mut cursor) {}

    for (mount, left_behind, hidden) in [("music/disk", None, 1), ("usb", Some("README"), 2)] {
        fs::rename(house.path(mount), house.path("elsewhere")).unwrap();
        fs::create_dir(house.path(mount)).unwrap();
        if let Some(name) = left_behind {
            house.write(&format!("{mount}/{name}"), "mount the disk here");
        }
        while events.try_recv().is_ok() {}
        library.look(None, Care::Changes);
        let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        let asks = |event: &LibraryEvent| {
            matches!(
                event,
                LibraryEvent::Problem { path, why }
                    if *path == house.path(mount) && why.contains("is its disk mounted?")
            )
        };
        assert!(told.iter().any(asks), "{mount}: {told:?}");
        publish(&library);
        let shown = all.iter().filter(|(no, _)| *no != hidden);
        assert_eq!(
            tracks(&library),
            shown.cloned().collect::<Vec<_>>(),
            "{mount}"
        );

        fs::remove_dir_all(house.path(mount)).unwrap();
        fs::rename(house.path("elsewhere"), house.path(mount)).unwrap();
        house.probed();
        assert_eq!(scan(&library, &events), all, "{mount}");
        assert_eq!(house.probed(), 0);
        let mut cursor = 0;
        assert!(!library.hash_next(&mut cursor), "all hashes are known");
    }
}

#[test]
fn held_copies_are_sources_with_numbers_of_their_own() {
    let house = House::new();
    house.write("music/a.wav", "a");
    let (library, events) = house.open(&["music"]);
    scan(&library, &events);
    let (one, two) = (TrackId([1; 32]), TrackId([2; 32]));
    let numbers = |track| {
        publish(&library);
        let catalogue = library.catalogue();
        let copies = catalogue.copies(track);
        copies
            .map(|(no, entry)| (no.0, entry.size()))
            .collect::<Vec<_>>()
    };
    library.set_held(&[(one, 100), (two, 200)]);
    assert_eq!(
        (numbers(one), numbers(two)),
        (vec![(1, 100)], vec![(2, 200)])
    );
    library.set_held(&[(two, 200)]);
    library.set_held(&[(two, 200), (one, 100)]);
    assert_eq!(
        (numbers(one), numbers(two)),
        (vec![(3, 100)], vec![(2, 200)])
    );
    assert_eq!(scan(&library, &events).len(), 1, "a scan leaves them alone");
    assert_eq!(numbers(two), [(2, 200)]);
    assert_eq!(library.file(EntryNo(2)), None);
}

#[test]
fn a_file_is_hashed_when_asked_for() {
    let house = House::new();
    house.write("music/a.wav", "a");
    let (library, events) = house.open(&["music"]);
    scan(&library, &events);
    let last = |answers: Receiver<HashProgress>| {
        let mut last = None;
        while let Ok(progress) = answers.recv_blocking() {
            last = Some(progress);
        }
        last.unwrap()
    };
    let done = HashProgress::Done {
        track: content(b"a"),
        size: 1,
    };
    assert_eq!(last(library.resolve(EntryNo(0)).unwrap()), done);
    assert!(matches!(
        events.recv_blocking().unwrap(),
        LibraryEvent::Hashed { .. }
    ));
    publish(&library);
    assert_eq!(library.file_of(content(b"a")).unwrap().entry, EntryNo(0));
    assert_eq!(
        last(library.resolve(EntryNo(0)).unwrap()),
        done,
        "known by now"
    );
    assert_eq!(
        library.resolve(EntryNo(9)).err(),
        Some(ResolveError::NoSuchEntry)
    );

    house.write("music/b.wav", "b");
    scan(&library, &events);
    house.write("music/b.wav", "changed under its hands");
    let failed = last(library.resolve(EntryNo(1)).unwrap());
    assert!(matches!(failed, HashProgress::Failed(why) if why.ends_with("b.wav changed")));
}

/// Others hear only that they cannot have it.
#[test]
fn a_file_that_cannot_be_read_is_named_where_it_lies() {
    let house = House::new();
    house.write("music/a.wav", "unreadable");
    let (library, events) = house.open(&["music"]);
    scan(&library, &events);
    while events.try_recv().is_ok() {}
    let answers = library.resolve(EntryNo(0)).unwrap();
    let failed = std::iter::from_fn(|| answers.recv_blocking().ok()).last();
    assert!(
        matches!(failed, Some(HashProgress::Failed(_))),
        "{failed:?}"
    );
    let told = events.recv_blocking().unwrap();
    let names_it = matches!(
        &told,
        LibraryEvent::Problem { path, why }
            if *path == house.path("music/a.wav") && why.contains("cannot be read")
    );
    assert!(names_it, "{told:?}");
}

#[test]
fn a_head_that_was_lost_is_outdone() {
    let house = House::new();
    house.write("music/a.wav", "a");
    let (library, events) = house.open(&["music"]);
    scan(&library, &events);
    let mine = *library.catalogue().head();
    library.outdo(&mine);
    assert_eq!(*library.catalogue().head(), mine);

    let owner = SampleOwner::new(1);
    let mut seen = *owner.publish(9, Vec::new()).head();
    seen = crate::catalog::SignedHead::sign(
        crate::catalog::Head {
            epoch: 40,
            ..seen.head
        },
        |bytes| owner.sign(bytes),
    );
    library.outdo(&crate::catalog::SignedHead {
        signature: mine.signature,
        ..seen
    });
    assert_eq!(*library.catalogue().head(), mine, "forged");
    library.outdo(&seen);
    assert!(library.catalogue().head().head.is_newer_than(&seen.head));
    assert_eq!(tracks(&library), named(&[(0, "a.wav")]));
    drop((library, events));
    fs::write(house.path("state/library.redb"), b"not an index").unwrap();
    let (library, _events) = house.open(&["music"]);
    assert!(library.catalogue().head().head.is_newer_than(&seen.head));
}

/// The whole waiting room: scan, hash, rescan when asked, end.
#[test]
fn it_runs_until_it_is_ended() {
    let house = House::new();
    house.write("music/a.wav", "a");
    let (library, events) = house.open(&["music"]);
    let library = Arc::new(library);
    let thread = std::thread::spawn({
        let library = library.clone();
        move || library.run()
    });
    let wait_for = |wanted: fn(&LibraryEvent) -> bool| loop {
        let event = events.recv_blocking().unwrap();
        if wanted(&event) {
            break event;
        }
    };
    wait_for(|event| matches!(event, LibraryEvent::ScanDone));
    wait_for(|event| matches!(event, LibraryEvent::Hashed { .. }));
    house.write("music/b.wav", "b");
    library.request_look(None, Care::Changes);
    wait_for(|event| matches!(event, LibraryEvent::ScanDone));
    wait_for(|event| match event {
        LibraryEvent::Catalogue(catalogue) => catalogue.copies(content(b"b")).count() == 1,
        _ => false,
    });
    library.end();
    thread.join().unwrap();
}

/// What is known is shown while one file takes as long as it likes.
#[test]
fn a_file_that_takes_long_holds_nothing_up() {
    let house = House::new();
    for name in ["music/a.wav", "music/z.wav"] {
        house.write(name, name);
    }
    let (go_on, wait) = async_channel::bounded::<()>(1);
    let (library, events) = house.open_with(&["music"], move |path| {
        if path.ends_with("z.wav") {
            let _ = wait.recv_blocking();
        }
        probe(path)
    });
    std::thread::scope(|scope| {
        scope.spawn(|| library.look(None, Care::Changes));
        let shown =
            std::iter::from_fn(|| events.recv_blocking().ok()).find_map(|event| match event {
                LibraryEvent::Catalogue(catalogue) => Some(catalogue.listed_count()),
                LibraryEvent::ScanDone => Some(0),
                _ => None,
            });
        assert_eq!(shown, Some(1), "while the second is being read");
        go_on.close();
        let rest = std::iter::from_fn(|| events.recv_blocking().ok());
        rest.take_while(|event| !matches!(event, LibraryEvent::ScanDone))
            .for_each(drop);
    });
    assert_eq!(tracks(&library).len(), 2);
}
