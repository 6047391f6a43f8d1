//! Walking the music directories.
//!
//! The walk reads names and metadata, never a file's content. It follows
//! symbolic links that lead to music, but enters each directory once (known by
//! device and inode), real ones before linked ones, so that links neither loop
//! nor list an album twice. Nothing ends it but the visitor: what cannot be read is
//! reported and passed by, and *said to be unknown*, because music that cannot
//! be seen now is not music that was deleted.

mod names;
mod places;
pub mod seen;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    ops::ControlFlow,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use self::{
    names::{is_hidden, is_music, FirstNames, MAX_NAMES_BYTES},
    places::{PendingDirectories, PendingDirectory, UnknownPlaces},
    seen::{FoundFile, Seen},
};
use super::{
    roots::{join, Root},
    stamp::FileStamp,
};
use crate::fence::{Fence, LEADS_OUT};

/// The stamp of the file that is at `path` now.
///
/// # Errors
/// Those of stat(2).
pub fn read_stamp(path: &Path) -> io::Result<FileStamp> {
    Ok(stamp_of(&fs::metadata(path)?, true))
}

fn stamp_of(meta: &fs::Metadata, inodes_stay: bool) -> FileStamp {
    FileStamp {
        size: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec() as u32),
        inode: if inodes_stay { meta.ino() } else { 0 },
        changed: inodes_stay.then(|| (meta.ctime(), meta.ctime_nsec() as u32)),
    }
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
                let stamp = stamp_of(meta, self.inodes_stay(&path, meta.dev()));
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

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// The names in a directory, in order, and whether these are all.
fn sorted_names(dir: &Path, room: usize) -> io::Result<(BTreeSet<OsString>, bool)> {
    let mut names = FirstNames::default();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name(), room);
    }
    Ok((names.names, names.are_all))
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

/// Deeper than any sane collection, and far from the longest path that Linux
/// opens.
const MAX_DEPTH: usize = 64;

#[cfg(test)]
mod tests;
