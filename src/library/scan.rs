//! Walking the music directories.
//!
//! The walk reads names and metadata, never a file's content. It follows
//! symbolic links, but enters each directory once (known by device and
//! inode), real ones before linked ones, so that links neither loop nor list
//! an album twice. Nothing ends it but the visitor: what cannot be read is
//! reported and passed by, and *said to be unknown*, because music that cannot
//! be seen now is not music that was deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs, io,
    ops::ControlFlow,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::names;
use crate::media::Format;

/// One of the configured music directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub path: PathBuf,
    /// The directory in the library that its content is shown under; empty
    /// for a single root, whose content is at the top.
    pub shown: String,
}

/// Gives every music directory its place in the library: one alone is the
/// top, several are shown under their base names, `-2` and so on appended to
/// those that are taken.
pub fn name_roots(paths: &[PathBuf]) -> Vec<Root> {
    if let [path] = paths {
        let (path, shown) = (path.clone(), String::new());
        return vec![Root { path, shown }];
    }
    let mut taken = BTreeSet::new();
    let mut roots: Vec<Root> = Vec::new();
    for path in paths {
        if roots.iter().any(|root| root.path == *path) {
            continue;
        }
        let base = path.file_name().unwrap_or(OsStr::new("music"));
        let base = names::escape(base.as_bytes());
        let shown = std::iter::once(base.clone())
            .chain((2..).map(|n| format!("{base}-{n}")))
            .find(|name| taken.insert(name.clone()))
            .expect("one more number than there are roots is always free");
        roots.push(Root {
            path: path.clone(),
            shown,
        });
    }
    roots
}

impl Root {
    /// The catalogue's directory and name for the file `relative` to this
    /// root.
    ///
    /// # Errors
    /// Says why the file cannot be listed.
    pub fn listed_as(&self, relative: &[u8]) -> Result<(String, String), String> {
        let path = names::escape(relative);
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let dir = match (self.shown.as_str(), dir) {
            (shown, "") => shown.to_owned(),
            ("", dir) => dir.to_owned(),
            (shown, dir) => format!("{shown}/{dir}"),
        };
        if dir.len() + 1 + name.len() > MAX_PATH_BYTES {
            return Err(format!("its path is longer than {MAX_PATH_BYTES} bytes"));
        }
        Ok((dir, name.to_owned()))
    }
}

/// By what a file is known to be unchanged, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Last modified, in seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// 0 where the file system makes inode numbers up anew at each mount.
    pub inode: u64,
}

impl Stamp {
    /// The stamp of the file that is at `path` now.
    ///
    /// # Errors
    /// Those of stat(2).
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::of(&fs::metadata(path)?, true))
    }

    fn of(meta: &fs::Metadata, inodes_stay: bool) -> Self {
        Self {
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec() as u32),
            inode: if inodes_stay { meta.ino() } else { 0 },
        }
    }

    /// Whether size and time are the same: all that can be said of a file
    /// across mounts.
    pub fn same_content(&self, other: &Self) -> bool {
        (self.size, self.modified) == (other.size, other.modified)
    }
}

/// A file with a name that promises music.
#[derive(Debug)]
pub struct FoundFile {
    /// The file, as the system knows it.
    pub path: PathBuf,
    pub dir: String,
    pub name: String,
    pub stamp: Stamp,
}

/// What the walk came upon.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A directory that is about to be read.
    Directory(&'a Path),
    File(FoundFile),
    /// Something that cannot be listed, and why.
    Problem {
        path: PathBuf,
        why: String,
    },
}

/// Walks all `roots` and gives `visit` what is there, until it breaks off.
///
/// Returns the directories whose content could not be seen (missing roots
/// among them): what was known below them may still exist.
pub fn scan(
    roots: &[Root],
    mut visit: impl FnMut(Seen<'_>) -> ControlFlow<()>,
) -> ControlFlow<(), Vec<PathBuf>> {
    let mut walk = Walk {
        visit: &mut visit,
        entered: BTreeSet::new(),
        inodes_stay: BTreeMap::new(),
        unknown: Vec::new(),
    };
    for root in roots {
        walk.root(root)?;
    }
    ControlFlow::Continue(walk.unknown)
}

struct Walk<'v, V> {
    visit: &'v mut V,
    /// Device and inode of every directory so far.
    entered: BTreeSet<(u64, u64)>,
    /// By device.
    inodes_stay: BTreeMap<u64, bool>,
    unknown: Vec<PathBuf>,
}

/// A directory still to be read.
struct Pending {
    /// Bytes, relative to the root.
    relative: Vec<u8>,
    depth: usize,
}

impl<V: FnMut(Seen<'_>) -> ControlFlow<()>> Walk<'_, V> {
    fn root(&mut self, root: &Root) -> ControlFlow<()> {
        // An empty directory is what an unplugged disk leaves behind.
        let problem = match fs::read_dir(&root.path).map(|mut entries| entries.next().is_none()) {
            Ok(false) => None,
            Ok(true) => Some("it is empty; is its disk mounted?".to_owned()),
            Err(error) => Some(format!(
                "cannot read this music directory: {error}; is its disk mounted? \
                 Else make it, or take it out of `peer.music`"
            )),
        };
        if let Some(why) = problem {
            return self.unknown(root.path.clone(), why);
        }
        let mut stack = vec![Pending {
            relative: Vec::new(),
            depth: 0,
        }];
        let mut linked = Vec::new();
        loop {
            // Links wait until all that is really there has been entered.
            let Some(dir) = stack.pop().or_else(|| linked.pop()) else {
                return ControlFlow::Continue(());
            };
            self.directory(root, &dir, &mut stack, &mut linked)?;
        }
    }

    fn directory(
        &mut self,
        root: &Root,
        dir: &Pending,
        stack: &mut Vec<Pending>,
        linked: &mut Vec<Pending>,
    ) -> ControlFlow<()> {
        let path = join(&root.path, &dir.relative);
        match fs::metadata(&path) {
            Ok(meta) if !self.entered.insert((meta.dev(), meta.ino())) => {
                return ControlFlow::Continue(());
            }
            // Reading it will fail, too, and say why.
            Ok(_) | Err(_) => {}
        }
        (self.visit)(Seen::Directory(&path))?;
        let names = match sorted_names(&path) {
            Ok(names) => names,
            Err(error) => {
                return self.unknown(path, format!("cannot read this directory: {error}"))
            }
        };
        if names.is_empty() {
            // What an unplugged disk leaves behind, here too; but most empty
            // directories are nothing to speak of.
            self.unknown.push(path);
            return ControlFlow::Continue(());
        }
        let first_subdir = stack.len();
        for name in names {
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            let path = path.join(&name);
            let relative = match dir.relative.as_slice() {
                b"" => name.as_bytes().to_vec(),
                dir => [dir, b"/", name.as_bytes()].concat(),
            };
            let (is_link, meta) = match kind(&path) {
                Ok(kind) => kind,
                Err(error) => {
                    self.problem(path, format!("cannot be looked at: {error}"))?;
                    continue;
                }
            };
            if !meta.is_dir() {
                self.file(root, path, &relative, &meta)?;
            } else if dir.depth == MAX_DEPTH {
                let why = format!("lies more than {MAX_DEPTH} directories deep");
                self.unknown(path, why)?;
            } else {
                let depth = dir.depth + 1;
                let pending = Pending { relative, depth };
                if is_link { &mut *linked } else { &mut *stack }.push(pending);
            }
        }
        // Popped from the end, the subdirectories come in order.
        stack[first_subdir..].reverse();
        ControlFlow::Continue(())
    }

    fn file(
        &mut self,
        root: &Root,
        path: PathBuf,
        relative: &[u8],
        meta: &fs::Metadata,
    ) -> ControlFlow<()> {
        let extension = path.extension().and_then(OsStr::to_str);
        if extension.and_then(Format::from_extension).is_none() || !meta.is_file() {
            return ControlFlow::Continue(());
        }
        match root.listed_as(relative) {
            Ok((dir, name)) => {
                let stamp = Stamp::of(meta, self.inodes_stay(&path, meta.dev()));
                (self.visit)(Seen::File(FoundFile {
                    path,
                    dir,
                    name,
                    stamp,
                }))
            }
            Err(why) => self.problem(path, why),
        }
    }

    fn inodes_stay(&mut self, path: &Path, device: u64) -> bool {
        *self
            .inodes_stay
            .entry(device)
            .or_insert_with(|| inodes_stay(path))
    }

    fn unknown(&mut self, path: PathBuf, why: String) -> ControlFlow<()> {
        self.unknown.push(path.clone());
        self.problem(path, why)
    }

    fn problem(&mut self, path: PathBuf, why: String) -> ControlFlow<()> {
        (self.visit)(Seen::Problem { path, why })
    }
}

/// Whether the file system that `path` is on keeps inode numbers from one
/// mount to the next. FAT, exFAT and FUSE do not; they are what USB sticks
/// have, and a whole library must not be hashed anew at every boot.
pub fn inodes_stay(path: &Path) -> bool {
    use nix::sys::statfs;
    statfs::statfs(path).is_ok_and(|fs| {
        [
            statfs::EXT4_SUPER_MAGIC,
            statfs::BTRFS_SUPER_MAGIC,
            statfs::XFS_SUPER_MAGIC,
            statfs::TMPFS_MAGIC,
            statfs::F2FS_SUPER_MAGIC,
            statfs::NFS_SUPER_MAGIC,
        ]
        .contains(&fs.filesystem_type())
    })
}

fn sorted_names(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Whether `path` is a symbolic link, and what it leads to.
fn kind(path: &Path) -> io::Result<(bool, fs::Metadata)> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        Ok((true, fs::metadata(path)?))
    } else {
        Ok((false, meta))
    }
}

fn join(root: &Path, relative: &[u8]) -> PathBuf {
    match relative {
        b"" => root.to_owned(),
        relative => root.join(OsStr::from_bytes(relative)),
    }
}

/// Deeper than any sane collection, and far from the longest path that Linux
/// opens.
const MAX_DEPTH: usize = 64;

/// What a path may have, escaped, so that it and full tags always fit into an
/// entry's share of a page.
pub const MAX_PATH_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What a scan of `roots` lists, and what it complains about.
    fn scan_all(roots: &[PathBuf]) -> (Vec<String>, Vec<PathBuf>, Vec<PathBuf>) {
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        let roots = name_roots(roots);
        let outcome = scan(&roots, |seen| {
            match seen {
                Seen::Directory(_) => {}
                Seen::File(file) => files.push(format!("{}|{}", file.dir, file.name)),
                Seen::Problem { path, .. } => problems.push(path),
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
        ] {
            write(&root.join(name));
        }
        write(&root.join(OsStr::from_bytes(b"caf\xe9/two\nlines.wav")));
        fs::create_dir(root.join("folder.mp3")).unwrap();
        let (files, problems, unknown) = scan_all(&[root.to_owned()]);
        assert_eq!(
            files,
            ["|a.ogg", "b|1.FLAC", "b|2.mp3", r"caf\xe9|two\x0alines.wav"]
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
    fn links_are_followed_once_and_never_in_circles() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        write(&root.join("z/1.mp3"));
        write(&dir.path().join("outside/2.mp3"));
        symlink(&root, root.join("z/up")).unwrap();
        symlink(root.join("z"), root.join("a")).unwrap();
        symlink(dir.path().join("outside"), root.join("out")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let (files, problems, unknown) = scan_all(std::slice::from_ref(&root));
        assert_eq!(files, ["z|1.mp3", "out|2.mp3"]);
        assert_eq!(problems, [root.join("dangling")]);
        assert!(unknown.is_empty());
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
}
