//! What a look at the files finds, and what it says of them.

use super::*;

#[test]
fn what_is_left_out_is_named_with_its_reason_over_restarts() {
    let house = House::new();
    house.write("music/a.wav", "a");
    house.write("music/bad.wav", "noise");
    house.write("music/late.wav", "slow disk");
    std::os::unix::fs::symlink("/etc/hostname", house.path("music/out.wav")).unwrap();
    let named = |why: [&str; 4]| {
        let names = ["a.wav", "bad.wav", "late.wav", "out.wav"];
        let named = names.into_iter().zip(why);
        let row =
            |(name, why): (&str, &str)| (format!("music/{name}"), why.to_owned(), name == "a.wav");
        named.map(row).collect::<Vec<_>>()
    };
    let expected = named([
        "its tags are damaged: No format could be determined from the provided file",
        "this is noise",
        "it took too long",
        crate::fence::LEADS_OUT,
    ]);
    let (library, events) = house.open(&["music"]);
    scan(&library, &events);
    let found = house.left_out(&library);
    assert_eq!(found[1..], expected[1..]);
    assert_eq!(found[0].0, "music/a.wav");
    assert!(
        found[0].1.contains("tags are damaged") && found[0].2,
        "{found:?}"
    );
    assert_eq!(library.left_out().missing(), 3);
    house.probed();
    scan(&library, &events);
    assert_eq!(house.left_out(&library), found);
    assert_eq!(house.probed(), 1, "only the disk may be better");
    drop((library, events));

    let (library, events) = house.open(&["music"]);
    scan(&library, &events);
    assert_eq!(house.left_out(&library), found);
    assert_eq!(house.probed(), 1);
    house.write("music/bad.wav", "music by now");
    fs::remove_file(house.path("music/out.wav")).unwrap();
    scan(&library, &events);
    assert_eq!(library.left_out().missing(), 1);
}

/// `update PATH` looks there and nowhere else; `rescan` reads all.
#[test]
fn a_look_at_a_place_is_one() {
    let house = House::new();
    for name in ["music/a/1.wav", "music/a/2.wav", "music/b/3.wav"] {
        house.write(name, name);
    }
    let (library, events) = house.open(&["music"]);
    scan(&library, &events);
    house.probed();
    house.write("music/a/new.wav", "new");
    house.write("music/b/new.wav", "new");
    fs::remove_file(house.path("music/a/1.wav")).unwrap();
    fs::remove_file(house.path("music/b/3.wav")).unwrap();
    let look = |path: &str, care| {
        library.request_look_at(path, care);
        while let Some((place, care)) = library.wanted().take() {
            library.look(place.as_deref(), care);
            while events.try_recv().is_ok() {}
        }
        publish(&library);
        tracks(&library)
    };
    library.wanted().take();
    let after = named(&[(1, "a/2.wav"), (2, "b/3.wav"), (3, "a/new.wav")]);
    assert_eq!(look("a", Care::Changes), after);
    assert_eq!(house.probed(), 1);
    assert_eq!(look("a/2.wav", Care::All), after);
    assert_eq!(house.probed(), 1);
    let all = named(&[(1, "a/2.wav"), (3, "a/new.wav"), (4, "b/new.wav")]);
    assert_eq!(look("", Care::All), all);
    assert_eq!(house.probed(), 3, "rescan reads all");
}

/// The times are put back, and the size is the same: only the kernel knows.
#[test]
fn a_change_that_keeps_size_and_time_is_seen() {
    let house = House::new();
    house.write("music/a.wav", "first");
    house.write("music/b.wav", "other");
    let (library, events) = house.open(&["music"]);
    scan(&library, &events);
    let mut cursor = 0;
    while library.hash_next(&mut cursor) {}
    house.probed();
    let hashes = || {
        publish(&library);
        [0, 1].map(|no| library.file(EntryNo(no)).unwrap().track)
    };
    let known = [content(b"first"), content(b"other")].map(Some);
    assert_eq!(hashes(), known);

    let path = house.path("music/a.wav");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let edit = |text: &str| {
        let mut file = File::options().write(true).open(&path).unwrap();
        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        file.set_modified(before).unwrap();
    };
    edit("FIRST");
    // Another mode is no other music.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(house.path("music/b.wav"), mode).unwrap();
    scan(&library, &events);
    assert_eq!(house.probed(), 2);
    assert_eq!(hashes(), known, "it says the same of itself");

    // The requester sees that it is another.
    library.wanted().take();
    library.doubt(&path);
    let (place, care) = library.wanted().take().unwrap();
    library.look(place.as_deref(), care);
    while events.try_recv().is_ok() {}
    assert_eq!(hashes(), [None, known[1]]);
    let mut cursor = 0;
    while library.hash_next(&mut cursor) {}
    assert_eq!(hashes(), [Some(content(b"FIRST")), known[1]]);
}

/// An index of an earlier version has no times of change: nothing is read again.
#[test]
fn times_of_change_are_noted_without_reading_anything() {
    let house = House::new();
    house.write("music/a.wav", "a");
    let (library, events) = house.open(&["music"]);
    scan(&library, &events);
    let record = || library.core.file(EntryNo(0)).unwrap();
    let mut old = record();
    assert!(old.stamp.changed.is_some());
    old.stamp.changed = None;
    library.core.book().put(Some(EntryNo(0)), *old).unwrap();
    publish(&library);
    assert_eq!(record().stamp.changed, None);
    house.probed();
    scan(&library, &events);
    library.core.book().index().flush().unwrap();
    assert!(record().stamp.changed.is_some());
    assert_eq!(house.probed(), 0);
}

/// How many files there are, and how long their names, says a writer to the directory.
#[test]
fn a_list_that_is_full_takes_no_more_and_says_so_of_each_file() {
    let house = House::new();
    let dir = "d".repeat(200);
    for n in 0..440 {
        house.write(&format!("music/{dir}/{dir}/{n:0200}.wav"), "a");
    }
    let (library, events) = house.open(&["music"]);
    let listed = scan(&library, &events).len();
    assert!((380..440).contains(&listed), "{listed}");
    assert!(library.catalogue().footprint() <= ROOM);
    let left_out = house.left_out(&library);
    let full = |(_, why, is_listed): &&(String, String, bool)| {
        why.starts_with("the list of the own tracks") && !is_listed
    };
    assert_eq!(left_out.iter().filter(full).count(), 440 - listed);
    // Each look tries again.
    for n in 0..440 {
        fs::remove_file(house.path(&format!("music/{dir}/{dir}/{n:0200}.wav"))).unwrap();
    }
    house.write("music/a.wav", "a");
    scan(&library, &events);
    house.write("music/b.wav", "b");
    assert_eq!(scan(&library, &events).len(), 2);
}
