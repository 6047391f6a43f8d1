//! Walking the music directories.
//!
//! The walk reads names and metadata, never a file's content. It follows
//! symbolic links that lead to music, but enters each directory once (known by
//! device and inode), real ones before linked ones, so that links neither loop
//! nor list an album twice. Nothing ends it but the visitor: what cannot be read is
//! reported and passed by, and *said to be unknown*, because music that cannot
//! be seen now is not music that was deleted.

mod places;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs, io,
    ops::ControlFlow,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use self::places::{PendingDirectories, PendingDirectory, UnknownPlaces};
use super::names;
use crate::{
    fence::{Fence, LEADS_OUT},
    media::Container,
};

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

/// Where what the library shows as `path` lies; `None` for the top of everything, and
/// for what is nowhere.
pub fn place_of(roots: &[Root], path: &str) -> Option<PathBuf> {
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return None;
    }
    let below = |root: &Root| {
        let rest = match root.shown.as_str() {
            "" => path,
            shown => path.strip_prefix(shown)?,
        };
        let is_whole = rest.is_empty() || root.shown.is_empty();
        let rest = if is_whole {
            rest
        } else {
            rest.strip_prefix('/')?
        };
        let bytes = names::unescape(rest)?;
        // No path of the library climbs.
        let climbs = bytes
            .split(|b| *b == b'/')
            .any(|part| matches!(part, b"" | b"." | b".."));
        (rest.is_empty() || !climbs).then(|| join(&root.path, &bytes))
    };
    roots.iter().find_map(below)
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct FileStamp {
    /// Bytes.
    #[n(0)]
    pub size: u64,
    /// Last modified, in seconds since 1970, and nanoseconds.
    #[n(1)]
    pub modified: (i64, u32),
    /// 0 where the file system makes inode numbers up anew at each mount.
    #[n(2)]
    pub inode: u64,
    /// When the kernel last saw it change in any way, which no program can set, in
    /// seconds since 1970, and nanoseconds. `None` where that was not noted, or is
    /// made up.
    #[n(3)]
    pub changed: Option<(i64, u32)>,
}

impl FileStamp {
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
            changed: inodes_stay.then(|| (meta.ctime(), meta.ctime_nsec() as u32)),
        }
    }

    /// Whether size and times are the same: all that can be said of a file
    /// across mounts.
    pub fn same_content(&self, other: &Self) -> bool {
        (self.size, self.modified) == (other.size, other.modified) && !self.is_touched(other)
    }

    /// Whether nothing tells the file that has `other` from the one that had this.
    pub fn is_same(&self, other: &Self) -> bool {
        self.same_content(other) && self.inode == other.inode
    }

    /// Whether something happened to it: another owner or mode, or another content of
    /// the same size by a program that puts the time of modification back.
    fn is_touched(&self, other: &Self) -> bool {
        matches!((self.changed, other.changed), (Some(was), Some(is)) if was != is)
    }
}

/// A file with a name that promises music.
#[derive(Debug)]
pub struct FoundFile {
    /// The file, as the system knows it.
    pub path: PathBuf,
    pub dir: String,
    pub name: String,
    pub stamp: FileStamp,
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
    /// The same, of which nothing is wrong that had to be seen to.
    LeftOut {
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
    fence: &Fence,
    mut visit: impl FnMut(Seen<'_>) -> ControlFlow<()>,
) -> ControlFlow<(), Vec<PathBuf>> {
    let mut walk = ScanWalk::new(fence, &mut visit);
    for root in roots {
        walk.root(root)?;
    }
    ControlFlow::Continue(walk.unknown.into_places())
}

/// Walks what is at and below `place`, which lies in `root`.
///
/// The same; `Continue(None)` when only a walk of everything can tell what belongs
/// there, since links are involved.
pub fn scan_place(
    root: &Root,
    place: &Path,
    fence: &Fence,
    mut visit: impl FnMut(Seen<'_>) -> ControlFlow<()>,
) -> ControlFlow<(), Option<Vec<PathBuf>>> {
    let Ok(relative) = place.strip_prefix(&root.path) else {
        return ControlFlow::Continue(None);
    };
    let really = |path: &Path| fs::canonicalize(path).ok();
    let is_linked = match (really(&root.path), really(place)) {
        (Some(root), Some(place)) => place != root.join(relative),
        // It is gone, and the links on the way to it do not matter.
        _ => false,
    };
    if is_linked {
        return ControlFlow::Continue(None);
    }
    let mut walk = ScanWalk::new(fence, &mut visit);
    let pending = PendingDirectory {
        relative: relative.as_os_str().as_bytes().to_vec(),
        depth: relative.components().count(),
    };
    let mut below = PendingDirectories::default();
    match fs::metadata(place) {
        Ok(meta) if meta.is_dir() => {
            let mut next = Some(pending);
            while let Some(dir) = next {
                walk.directory(root, &dir, &mut below)?;
                next = below.pop();
            }
        }
        Ok(meta) => walk.file(root, place.to_owned(), &pending.relative, (false, &meta))?,
        Err(error) if is_gone(&error) => {}
        Err(error) => {
            let why = format!("cannot be looked at: {error}");
            walk.unknown(root, place.to_owned(), why)?;
        }
    }
    let is_known = !below.has_linked();
    ControlFlow::Continue(is_known.then(|| walk.unknown.into_places()))
}

struct ScanWalk<'v, V> {
    visit: &'v mut V,
    fence: &'v Fence,
    /// Device and inode of every directory so far.
    entered: BTreeSet<(u64, u64)>,
    /// By device.
    inodes_stay: BTreeMap<u64, bool>,
    unknown: UnknownPlaces,
}

/// A name on the way down from a root.
struct NamedDirectory {
    path: PathBuf,
    /// Bytes, relative to the root.
    relative: Vec<u8>,
    depth: usize,
}

impl<'v, V: FnMut(Seen<'_>) -> ControlFlow<()>> ScanWalk<'v, V> {
    fn new(fence: &'v Fence, visit: &'v mut V) -> Self {
        Self {
            visit,
            fence,
            entered: BTreeSet::new(),
            inodes_stay: BTreeMap::new(),
            unknown: UnknownPlaces::default(),
        }
    }

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
            // Watched even so: music may come.
            (self.visit)(Seen::Directory(&root.path))?;
            return self.unknown(root, root.path.clone(), why);
        }
        let mut below = PendingDirectories::default();
        let mut next = Some(PendingDirectory {
            relative: Vec::new(),
            depth: 0,
        });
        while let Some(dir) = next {
            self.directory(root, &dir, &mut below)?;
            next = below.pop().or_else(|| below.pop_linked());
        }
        ControlFlow::Continue(())
    }

    fn directory(
        &mut self,
        root: &Root,
        dir: &PendingDirectory,
        below: &mut PendingDirectories,
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
        let (names, is_all) = match sorted_names(&path, MAX_NAMES_BYTES) {
            Ok(names) => names,
            // Removed, or unmounted, while the walk was on its way.
            Err(error) if is_gone(&error) => {
                self.unknown.push(&root.path, path);
                return ControlFlow::Continue(());
            }
            Err(error) => {
                return self.unknown(root, path, format!("cannot read this directory: {error}"))
            }
        };
        if names.is_empty() {
            // What an unplugged disk leaves behind, here too; but most empty
            // directories are nothing to speak of.
            self.unknown.push(&root.path, path);
            return ControlFlow::Continue(());
        }
        if !is_all {
            let why = "has so many names that only the first of them are looked at; \
                       distribute what is in it over several directories";
            self.unknown(root, path.clone(), why.to_owned())?;
        }
        let first_subdir = below.len();
        for name in names {
            if is_hidden(name.as_bytes()) {
                continue;
            }
            let way = NamedDirectory {
                relative: match dir.relative.as_slice() {
                    b"" => name.as_bytes().to_vec(),
                    dir => [dir, b"/", name.as_bytes()].concat(),
                },
                path: path.join(&name),
                depth: dir.depth + 1,
            };
            self.entry(root, way, below)?;
        }
        // Popped from the end, the subdirectories come in order.
        below.put_in_order(first_subdir);
        ControlFlow::Continue(())
    }

    /// What has a name in a directory.
    fn entry(
        &mut self,
        root: &Root,
        way: NamedDirectory,
        below: &mut PendingDirectories,
    ) -> ControlFlow<()> {
        let NamedDirectory {
            path,
            relative,
            depth,
        } = way;
        let (is_link, meta) = match kind(&path) {
            Ok(kind) => kind,
            // Removed, or unmounted, a moment ago.
            Err(_) if fs::symlink_metadata(&path).is_err_and(|e| is_gone(&e)) => {
                self.unknown.push(&root.path, path);
                return ControlFlow::Continue(());
            }
            Err(error) if is_gone(&error) => {
                return match is_music(&path) {
                    true => self.left_out(path, "it is a link that leads nowhere".to_owned()),
                    false => ControlFlow::Continue(()),
                };
            }
            Err(error) => return self.problem(path, format!("cannot be looked at: {error}")),
        };
        if !meta.is_dir() {
            return self.file(root, path, &relative, (is_link, &meta));
        }
        if is_link && self.fence.check_link(&path).is_err() {
            return self.left_out(path, LEADS_OUT.to_owned());
        }
        if depth > MAX_DEPTH {
            let why = format!("lies more than {MAX_DEPTH} directories deep");
            return self.unknown(root, path, why);
        }
        let pending = PendingDirectory { relative, depth };
        if !below.push(pending, is_link) {
            let why = "there are too many directories beside those above it";
            return self.unknown(root, path, why.to_owned());
        }
        ControlFlow::Continue(())
    }

    fn file(
        &mut self,
        root: &Root,
        path: PathBuf,
        relative: &[u8],
        (is_link, meta): (bool, &fs::Metadata),
    ) -> ControlFlow<()> {
        if !is_music(&path) {
            return ControlFlow::Continue(());
        }
        if !meta.is_file() {
            return self.left_out(path, "it is not a regular file".to_owned());
        }
        if is_link && self.fence.check_link(&path).is_err() {
            return self.left_out(path, LEADS_OUT.to_owned());
        }
        match root.listed_as(relative) {
            Ok((dir, name)) => {
                let stamp = FileStamp::of(meta, self.inodes_stay(&path, meta.dev()));
                (self.visit)(Seen::File(FoundFile {
                    path,
                    dir,
                    name,
                    stamp,
                }))
            }
            Err(why) => self.left_out(path, why),
        }
    }

    fn inodes_stay(&mut self, path: &Path, device: u64) -> bool {
        *self
            .inodes_stay
            .entry(device)
            .or_insert_with(|| inodes_stay(path))
    }

    fn unknown(&mut self, root: &Root, path: PathBuf, why: String) -> ControlFlow<()> {
        self.unknown.push(&root.path, path.clone());
        self.problem(path, why)
    }

    fn problem(&mut self, path: PathBuf, why: String) -> ControlFlow<()> {
        (self.visit)(Seen::Problem { path, why })
    }

    fn left_out(&mut self, path: PathBuf, why: String) -> ControlFlow<()> {
        (self.visit)(Seen::LeftOut { path, why })
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

/// Whether a file's name promises music.
fn is_music(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.and_then(Container::from_extension).is_some()
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// One dot hides, as everywhere; three begin the name of an album.
fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") && !matches!(name, [b'.', b'.', _, ..])
}

/// The names in a directory, in order, and whether these are all: as far as they have room
/// in so many bytes, the first ones.
fn sorted_names(dir: &Path, room: usize) -> io::Result<(BTreeSet<OsString>, bool)> {
    let (mut names, mut bytes, mut is_all) = (BTreeSet::new(), 0, true);
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        bytes += size_of_name(&name);
        names.insert(name);
        while bytes > room {
            is_all = false;
            bytes -= names.pop_last().as_deref().map_or(bytes, size_of_name);
        }
    }
    Ok((names, is_all))
}

fn size_of_name(name: &OsStr) -> usize {
    size_of::<OsString>() + name.len()
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

/// Names of one directory that are kept at a time: of some 100,000 tracks. How many there
/// are, and how long, a writer to the music chooses.
const MAX_NAMES_BYTES: usize = 8 << 20;

/// What a path may have, escaped, so that it and full tags always fit into an
/// entry's share of a page.
pub const MAX_PATH_BYTES: usize = 2048;

#[cfg(test)]
mod tests;
