use std::{ffi::OsStr, os::unix::fs::symlink};

use super::*;
use crate::library::roots::{name_roots, MAX_PATH_BYTES};

/// What a scan of `roots` lists, and what it complains about.
fn scan_all(roots: &[PathBuf]) -> (Vec<String>, Vec<PathBuf>, Vec<PathBuf>) {
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    let fence = Fence::default();
    fence.set(roots, false);
    let roots = name_roots(roots);
    let outcome = scan(&roots, &fence, |seen| {
        match seen {
            Seen::Directory(_) => {}
            Seen::File(file) => files.push(format!("{}|{}", file.dir, file.name)),
            Seen::Problem { path, .. } | Seen::LeftOut { path, .. } => problems.push(path),
        }
        ControlFlow::Continue(())
    });
    let ControlFlow::Continue(unknown) = outcome else {
        unreachable!("the visitor never breaks off");
    };
    (files, problems, unknown)
}

fn write(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"x").unwrap();
}

#[test]
fn a_single_root_is_the_top_and_names_are_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for name in [
        "b/2.mp3",
        "b/1.FLAC",
        "b/cover.jpg",
        "a.ogg",
        ".hidden/x.mp3",
        "b/.x.mp3",
        "...And Justice/1.mp3",
    ] {
        write(&root.join(name));
    }
    write(&root.join(OsStr::from_bytes(b"caf\xe9/two\nlines.wav")));
    fs::create_dir(root.join("folder.mp3")).unwrap();
    let (files, problems, unknown) = scan_all(&[root.to_owned()]);
    assert_eq!(
        files,
        [
            "|a.ogg",
            "...And Justice|1.mp3",
            "b|1.FLAC",
            "b|2.mp3",
            r"caf\xe9|two\x0alines.wav"
        ]
    );
    assert!(problems.is_empty());
    assert_eq!(unknown, [root.join("folder.mp3")], "empty as a mount point");
}

#[test]
fn several_roots_have_a_directory_each_and_no_file_is_listed_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name| dir.path().join(name);
    for name in ["x/music/1.mp3", "y/music/2.mp3", "music-2/3.mp3"] {
        write(&path(name));
    }
    let roots = [
        path("x/music"),
        path("y/music"),
        path("music-2"),
        path("x/music"),
        path("x"),
    ];
    let (files, ..) = scan_all(&roots);
    assert_eq!(files, ["music|1.mp3", "music-2|2.mp3", "music-2-2|3.mp3"]);
}

#[test]
fn links_are_followed_once_never_in_circles_and_not_out_of_the_music() {
    let dir = tempfile::tempdir().unwrap();
    let (root, second) = (dir.path().join("root"), dir.path().join("second"));
    write(&root.join("z/1.mp3"));
    write(&second.join("2.mp3"));
    write(&dir.path().join("outside/3.mp3"));
    symlink(&root, root.join("z/up")).unwrap();
    symlink(root.join("z"), root.join("a")).unwrap();
    symlink(&second, root.join("in")).unwrap();
    symlink("z/1.mp3", root.join("one more.mp3")).unwrap();
    symlink(dir.path().join("outside"), root.join("out")).unwrap();
    symlink(dir.path().join("outside/3.mp3"), root.join("z/3.mp3")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("nowhere", root.join("dangling.mp3")).unwrap();
    let (files, problems, unknown) = scan_all(&[root.clone(), second]);
    assert_eq!(
        files,
        ["root|one more.mp3", "root/z|1.mp3", "root/in|2.mp3"]
    );
    let left_out = ["dangling.mp3", "out", "z/3.mp3"].map(|name| root.join(name));
    assert_eq!(problems, left_out);
    assert!(unknown.is_empty());
}

#[test]
fn a_place_is_looked_at_alone_unless_links_are_involved() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for name in ["a/1.mp3", "a/deep/2.mp3", "b/3.mp3", "c/4.mp3"] {
        write(&root.join(name));
    }
    symlink(root.join("b"), root.join("c/link")).unwrap();
    symlink(root.join("b"), root.join("d")).unwrap();
    let fence = Fence::default();
    fence.set(&[root.to_owned()], false);
    let roots = name_roots(&[root.to_owned()]);
    let look = |place: &str| {
        let mut files = Vec::new();
        let walked = scan_place(&roots[0], &root.join(place), &fence, |seen| {
            if let Seen::File(file) = seen {
                files.push(format!("{}|{}", file.dir, file.name));
            }
            ControlFlow::Continue(())
        });
        (matches!(walked, ControlFlow::Continue(Some(_))), files)
    };
    assert_eq!(
        look("a"),
        (true, vec!["a|1.mp3".into(), "a/deep|2.mp3".into()])
    );
    assert_eq!(look("a/deep/2.mp3"), (true, vec!["a/deep|2.mp3".into()]));
    assert_eq!(look("gone"), (true, vec![]));
    assert!(
        !look("c").0,
        "what is behind the link may be listed elsewhere"
    );
    assert_eq!(look("d"), (false, vec![]));
}

#[test]
fn what_cannot_be_seen_is_unknown_and_the_rest_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name| dir.path().join(name);
    write(&path("there/1.mp3"));
    fs::create_dir(path("empty")).unwrap();
    let deep = (0..=MAX_DEPTH).fold(path("there/deep"), |path, _| path.join("d"));
    write(&deep.join("2.mp3"));
    let long = "y".repeat(200);
    let far = (0..=MAX_PATH_BYTES / 200).fold(path("there/long"), |path, _| path.join(&long));
    write(&far.join("3.mp3"));

    let (files, problems, unknown) = scan_all(&[path("gone"), path("empty"), path("there")]);
    assert_eq!(files, ["there|1.mp3"]);
    assert_eq!(unknown.len(), 3);
    assert_eq!(unknown[..2], [path("gone"), path("empty")]);
    assert!(deep.starts_with(&unknown[2]));
    assert_eq!(problems.len(), 4);
    assert!(problems.contains(&far.join("3.mp3")));
}

/// A directory has as many names as its writer likes.
#[test]
fn of_a_directory_with_too_many_names_the_first_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(240);
    let name = |n: usize| format!("{n:06}-{long}.mp3");
    let count = MAX_NAMES_BYTES / 240;
    // Not in order, as a disk does not keep them in order.
    for n in (0..count).rev() {
        fs::write(dir.path().join(name(n)), b"").unwrap();
    }
    write(&dir.path().join("000000/1.mp3"));
    let (files, problems, unknown) = scan_all(&[dir.path().to_owned()]);
    assert!(files.len() < count, "all {count} were kept at a time");
    let bytes: usize = files.iter().map(|file| file.len()).sum();
    assert!(bytes > MAX_NAMES_BYTES / 2, "{bytes}");
    let first = (0..files.len() - 1).map(|n| format!("|{}", name(n)));
    assert!(first.eq(files[..files.len() - 1].iter().cloned()));
    assert_eq!(problems, [dir.path()], "and it is said");
    assert_eq!(unknown, [dir.path()], "what was listed is not forgotten");
}
