//! The table of mounts, as the kernel writes it.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// The mounts that concern some directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    /// Where, from which device, and of which kind.
    all: BTreeSet<(PathBuf, String, String)>,
    /// What of the directories, or below them, lies beyond a network.
    pub remote: BTreeSet<PathBuf>,
}

impl Mounts {
    /// What of `table`, which is /proc/self/mountinfo, is mounted at, above and below `roots`.
    pub fn of(table: &str, roots: &[PathBuf]) -> Self {
        let mut mounts = Self::default();
        let lines: Vec<_> = table.lines().filter_map(parse).collect();
        for root in roots {
            // Of several at one place the last one is seen.
            let covers = |(at, ..): &&(PathBuf, String, String)| root.starts_with(at);
            let below = lines
                .iter()
                .filter(|(at, ..)| at.starts_with(root) && at != root);
            let mut own = lines.iter().filter(covers);
            let longest = own.clone().map(|(at, ..)| at.as_os_str().len()).max();
            let own = own.rfind(|(at, ..)| Some(at.as_os_str().len()) == longest);
            for mount in own.into_iter().chain(below) {
                let (at, _, kind) = mount;
                if is_remote(kind) {
                    let place = if at.starts_with(root) { at } else { root };
                    mounts.remote.insert(place.clone());
                }
                mounts.all.insert(mount.clone());
            }
        }
        mounts
    }
}

/// The place, device and kind of a line of /proc/self/mountinfo (proc(5)).
fn parse(line: &str) -> Option<(PathBuf, String, String)> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ');
    let device = fields.nth(2)?.to_owned();
    let at = unescape(fields.nth(1)?);
    let kind = after.split(' ').next()?.to_owned();
    Some((PathBuf::from(OsString::from_vec(at)), device, kind))
}

/// Blanks and the like are written as three octal digits.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped.filter(|_| byte == b'\\') {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

fn is_remote(kind: &str) -> bool {
    REMOTE.contains(&kind) || kind == "fuse" || kind.starts_with("fuse.")
}

/// `place`, which is really in one of `real`, as it is called in `roots`.
pub fn as_called(place: &Path, roots: &[PathBuf], real: &[PathBuf]) -> Option<PathBuf> {
    let mut pairs = roots.iter().zip(real);
    pairs.find_map(|(root, real)| Some(root.join(place.strip_prefix(real).ok()?)))
}

/// File systems on which others write, as the kernel calls them; those in user space are
/// besides: sshfs, rclone, and what a disk of another system is read by.
const REMOTE: [&str; 15] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "coda",
    "davfs",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
];

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n\
        30 22 0:26 / /proc rw - proc proc rw\n\
        41 22 8:17 / /srv/music/my\\040disk rw shared:5 - vfat /dev/sdb1 rw\n\
        42 22 0:51 / /srv/music/nas rw - nfs4 nas:/music rw\n\
        43 22 0:52 / /mnt/share rw - fuse.sshfs host: rw\n\
        44 42 0:53 / /srv/musicals rw - tmpfs tmpfs rw\n";

    fn mounts(roots: &[&str]) -> Mounts {
        Mounts::of(MOUNTS, &roots.iter().map(PathBuf::from).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_concerns_the_music_counts() {
        let found = mounts(&["/srv/music"]);
        let places: Vec<_> = found
            .all
            .iter()
            .map(|(at, ..)| at.to_str().unwrap())
            .collect();
        assert_eq!(places, ["/", "/srv/music/my disk", "/srv/music/nas"]);
        assert_eq!(found.remote, ["/srv/music/nas".into()].into());
        let found = mounts(&["/mnt/share/music", "/srv/music/my disk"]);
        assert_eq!(found.remote, ["/mnt/share/music".into()].into());
        assert_eq!(found.all.len(), 2);
        assert_eq!(mounts(&["/home"]).all.len(), 1);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_passed_by() {
        for line in ["", " - ", "1 2 3", "a - b", "1 2 3 4 5 - "] {
            let _ = parse(line);
        }
        assert_eq!(unescape(r"a\040b\q\04"), br"a b\q\04");
    }

    #[test]
    fn a_place_is_called_as_the_configuration_calls_it() {
        let roots = ["/music", "/more"].map(PathBuf::from);
        let real = ["/mnt/disk/music", "/more"].map(PathBuf::from);
        let called = |place: &str| as_called(Path::new(place), &roots, &real);
        assert_eq!(called("/mnt/disk/music/nas"), Some("/music/nas".into()));
        assert_eq!(called("/more"), Some("/more".into()));
        assert_eq!(called("/mnt"), None);
    }
}
