//! What the music directories have and the library does not show, and why.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::names;

/// Files that are not listed, or without their tags, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOutFiles {
    files: BTreeMap<PathBuf, LeftOut>,
    /// Of those in `files`.
    bytes: usize,
    /// Not listed, whether they are in `files` or not.
    missing: usize,
}

/// Why a file is not listed as it could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub why: String,
    /// It is listed, but some of its tags, or all, are not.
    pub is_listed: bool,
}

impl LeftOutFiles {
    /// How many files are not listed.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// As many of them as are remembered, with their paths as text.
    pub fn iter(&self) -> impl Iterator<Item = (String, &LeftOut)> {
        let text = |path: &Path| names::escape(path.as_os_str().as_bytes());
        self.files
            .iter()
            .map(move |(path, file)| (text(path), file))
    }

    pub fn add(&mut self, path: PathBuf, file: LeftOut) {
        self.missing += usize::from(!file.is_listed);
        let bytes = bytes_of(&path, &file);
        if self.bytes + bytes > MAX_BYTES {
            return;
        }
        self.bytes += bytes;
        if let Some(before) = self.files.insert(path.clone(), file) {
            self.bytes -= bytes_of(&path, &before);
            self.missing -= usize::from(!before.is_listed);
        }
    }

    /// Forgets all that is at or below `place`: it was looked at again.
    pub fn forget(&mut self, place: &Path) {
        let (mut bytes, mut missing) = (0, 0);
        self.files.retain(|path, file| {
            let stays = !path.starts_with(place);
            if !stays {
                bytes += bytes_of(path, file);
                missing += usize::from(!file.is_listed);
            }
            stays
        });
        self.bytes -= bytes;
        self.missing -= missing;
    }
}

fn bytes_of(path: &Path, file: &LeftOut) -> usize {
    path.as_os_str().len() + file.why.len() + OVERHEAD
}

/// Some thousand files, more than anybody reads; a directory of anything else than
/// music may have a million.
const MAX_BYTES: usize = 512 * 1024;

/// What a file costs besides its texts.
const OVERHEAD: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn file(is_listed: bool) -> LeftOut {
        let why = "it is noise".to_owned();
        LeftOut { why, is_listed }
    }

    #[test]
    fn all_are_counted_and_as_many_as_fit_are_named() {
        let mut files = LeftOutFiles::default();
        for n in 0..10_000 {
            files.add(format!("/music/{n}").into(), file(n % 2 == 0));
        }
        assert_eq!(files.missing(), 5_000);
        let named = files.iter().count();
        assert!((1_000..6_000).contains(&named), "{named}");
    }

    #[test]
    fn what_is_looked_at_again_is_forgotten_first() {
        let mut files = LeftOutFiles::default();
        for path in ["/music/a/1", "/music/a/2", "/music/b"] {
            files.add(path.into(), file(false));
        }
        files.add("/music/a/3".into(), file(true));
        files.add("/music/b".into(), file(true));
        assert_eq!((files.missing(), files.iter().count()), (2, 4));
        files.forget(Path::new("/music/a"));
        let left: Vec<_> = files.iter().map(|(path, _)| path).collect();
        assert_eq!((files.missing(), left), (0, vec!["/music/b".to_owned()]));
        assert_eq!(files.bytes, bytes_of(Path::new("/music/b"), &file(true)));
    }
}
