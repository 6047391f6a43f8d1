//! Files and directories, and the way to them.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::sys::{
    statfs::{statfs, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC},
    statvfs::{statvfs, FsFlags},
};

use rustix::fs::getxattr;

use crate::{
    cli::doctor::{
        acl::{Acl, MAX_ACL_BYTES},
        facts::{Dir, DirectoryContent, FileSystem, Key, Music, Read},
        parse,
        person::{AccessPath, PathEnd, PathStep},
    },
    config::{self, Config, ConfigError},
    identity::{self, KeyFileError},
    media::Container,
};

/// Reads the configuration.
pub fn config(path: &Path) -> (AccessPath, Read, Config) {
    let way = way(path);
    let (read, config) = match config::load(path) {
        Ok(config) if way.target().is_none() => (Read::Default, config),
        Ok(config) => (Read::Well, config),
        Err(ConfigError::Unreadable { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            (Read::Hidden, Config::default())
        }
        Err(error) => (Read::Wrong(error.in_public()), Config::default()),
    };
    (way, read, config)
}

/// Reads the swarm's key, and keeps nothing of it.
pub fn key(path: &Path) -> Key {
    let keys = match identity::read_keys(path) {
        Ok(keys) => Some(Ok(keys.len())),
        Err(KeyFileError::Read { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            None
        }
        Err(error) => Some(Err(error.to_string())),
    };
    Key {
        path: path.into(),
        way: way(path),
        keys,
    }
}

/// Looks at a directory of the node's own, which may not be there yet.
pub fn dir(path: &Path) -> Dir {
    let way = way(path);
    let there = way.steps.last().map(|step| step.path.clone());
    Dir {
        path: path.into(),
        disk: there.and_then(|path| disk(&path)),
        used: used(path),
        way,
    }
}

/// Looks for something to play in a music directory.
pub fn music(path: &Path) -> Music {
    Music {
        way: way(path),
        content: content(path),
        unmounted: unmounted(path),
    }
}

/// Every directory from the root on, and the end. What a link leads to comes before the
/// end, too, since the way there passes it as well.
fn way(path: &Path) -> AccessPath {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let mut steps = Vec::new();
    let end = walk(&absolute, &mut steps);
    if end != PathEnd::There {
        return AccessPath { steps, end };
    }
    let real = fs::canonicalize(&absolute).unwrap_or_else(|_| absolute.clone());
    if real != absolute {
        let mut beyond = Vec::new();
        walk(&real, &mut beyond);
        let target = steps.pop();
        let beyond = beyond.into_iter().filter(|step| step.path != real);
        steps.extend(beyond.collect::<Vec<_>>());
        steps.extend(target);
    }
    AccessPath { steps, end }
}

fn walk(path: &Path, steps: &mut Vec<PathStep>) -> PathEnd {
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    for path in ancestors {
        match fs::metadata(path) {
            Ok(seen) => steps.push(PathStep {
                path: path.into(),
                is_dir: seen.is_dir(),
                uid: seen.uid(),
                gid: seen.gid(),
                mode: seen.mode() & 0o7777,
                acl: acl(path),
            }),
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound => PathEnd::Missing(path.into()),
                    io::ErrorKind::PermissionDenied => PathEnd::Hidden(path.into()),
                    _ => PathEnd::Broken(path.into(), error.to_string()),
                }
            }
        }
    }
    PathEnd::There
}

/// What `setfacl` has granted there; nothing on a file system without.
fn acl(path: &Path) -> Option<Acl> {
    let mut value = [0; MAX_ACL_BYTES];
    let size = getxattr(path, "system.posix_acl_access", &mut value[..]).ok()?;
    Acl::parse(value.get(..size)?)
}

/// A number that has 32 bits on some machines and 64 on others.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

fn disk(path: &Path) -> Option<FileSystem> {
    let room = statvfs(path).ok()?;
    let kind = statfs(path).ok()?.filesystem_type();
    let flags = room.flags();
    Some(FileSystem {
        free: wide(room.blocks_available()).saturating_mul(wide(room.fragment_size())),
        // Some file systems have no fixed number of them.
        has_inodes: room.files() == 0 || room.files_available() > 0,
        is_read_only: flags.contains(FsFlags::ST_RDONLY),
        is_in_memory: kind == TMPFS_MAGIC || kind == OVERLAYFS_SUPER_MAGIC && root_is_overlaid(),
    })
}

/// What raspi-config calls "overlay file system": what is written is gone at the next
/// start.
fn root_is_overlaid() -> bool {
    parse::is_overlaid(&fs::read_to_string("/proc/cmdline").unwrap_or_default())
}

fn used(path: &Path) -> u64 {
    let mut used = 0;
    for_each_file(path, |_, seen| {
        used += seen.size();
        true
    });
    used
}

fn content(path: &Path) -> DirectoryContent {
    if fs::read_dir(path).is_err() {
        return DirectoryContent::Unread;
    }
    let (mut files, mut is_playable) = (0, false);
    let was_all = for_each_file(path, |file, _| {
        files += 1;
        let extension = file.extension().and_then(|end| end.to_str());
        is_playable = extension.and_then(Container::from_extension).is_some();
        !is_playable
    });
    match (is_playable, was_all) {
        (true, _) => DirectoryContent::Playable,
        (false, true) => DirectoryContent::Unplayable(files),
        (false, false) => DirectoryContent::Much,
    }
}

/// Shows all files below `dir` for as long as `see` wants more; says whether they were
/// all.
fn for_each_file(dir: &Path, mut see: impl FnMut(&Path, &fs::Metadata) -> bool) -> bool {
    let mut dirs = vec![dir.to_owned()];
    let mut seen = 0;
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(dir) else {
            continue;
        };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MAX_ENTRIES {
                return false;
            }
            let path = entry.path();
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => dirs.push(path),
                Ok(meta) if !see(&path, &meta) => return true,
                _ => {}
            }
        }
    }
    true
}

/// The place on the way where a disk should be mounted and is not.
fn unmounted(path: &Path) -> Option<PathBuf> {
    let points = |file: &str| parse::mount_points(&fs::read_to_string(file).unwrap_or_default());
    let mounted = points("/proc/self/mounts");
    parse::unmounted(path, &points("/etc/fstab"), &mounted)
}

/// So that a large collection does not take the whole time.
const MAX_ENTRIES: usize = 20_000;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::fs::{setxattr, XattrFlags};

    use super::*;
    use crate::cli::doctor::person::{Person, Wish};

    /// As `setfacl -m u:990:rX` does, which README recommends.
    #[test]
    fn what_setfacl_grants_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let music = dir.path().join("music");
        fs::create_dir(&music).unwrap();
        for (path, mode) in [(dir.path(), 0o755), (&*music, 0o700)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let service = Person {
            name: "p2pmusic".into(),
            uid: Some(990),
            gids: vec![990],
            group: "p2pmusic".into(),
        };
        assert!(way(&music).obstacle(&service, Wish::Read).is_some());
        let mut list = vec![2, 0, 0, 0];
        for (tag, rights, id) in [
            (1, 7, u32::MAX),
            (2, 5, 990),
            (4, 0, u32::MAX),
            (16, 5, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            list.extend([tag, 0, rights, 0]);
            list.extend(u32::to_le_bytes(id));
        }
        let set = setxattr(
            &music,
            "system.posix_acl_access",
            &list,
            XattrFlags::empty(),
        );
        if set == Err(rustix::io::Errno::OPNOTSUPP) {
            // Nor can a person do it there.
            return;
        }
        set.unwrap();
        assert_eq!(way(&music).obstacle(&service, Wish::Read), None);
        assert!(way(&music).obstacle(&service, Wish::Write).is_some());
    }
}
