//! Which names in a directory count, and how many of them.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    path::Path,
};

use crate::media::Container;

/// Whether a file's name promises music.
pub(super) fn is_music(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.and_then(Container::from_extension).is_some()
}

/// One dot hides, as everywhere; three begin the name of an album.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".") && !matches!(name, [b'.', b'.', _, ..])
}

/// The first names of a directory, in order: as many as have room.
#[derive(Debug)]
pub(super) struct FirstNames {
    pub names: BTreeSet<OsString>,
    bytes: usize,
    /// Whether none was left out.
    pub are_all: bool,
}

impl Default for FirstNames {
    fn default() -> Self {
        Self {
            names: BTreeSet::new(),
            bytes: 0,
            are_all: true,
        }
    }
}

impl FirstNames {
    /// Keeps `name`, or what of it and the others comes first and has room in so many bytes.
    pub fn push(&mut self, name: OsString, room: usize) {
        self.bytes += size_of_name(&name);
        self.names.insert(name);
        while self.bytes > room {
            self.are_all = false;
            self.bytes -= self
                .names
                .pop_last()
                .as_deref()
                .map_or(self.bytes, size_of_name);
        }
    }
}

fn size_of_name(name: &OsStr) -> usize {
    size_of::<OsString>() + name.len()
}

/// Names of one directory that are kept at a time: of some 100,000 tracks. How many there
/// are, and how long, a writer to the music chooses.
pub(super) const MAX_NAMES_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_dot_hides_and_more_do_not() {
        for hidden in [".", "..", ".x", "._x"] {
            assert!(is_hidden(hidden.as_bytes()), "{hidden}");
        }
        for shown in ["x", "...And", "..x", "..."] {
            assert!(!is_hidden(shown.as_bytes()), "{shown}");
        }
    }

    #[test]
    fn an_extension_promises_music_in_any_case() {
        for (name, promises) in [
            ("a.flac", true),
            ("A.MP3", true),
            ("x/y.m4a", true),
            ("cover.jpg", false),
            ("flac", false),
            ("a.flac.part", false),
        ] {
            assert_eq!(is_music(Path::new(name)), promises, "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_first_names_are_kept_as_far_as_they_have_room(
            all in proptest::collection::btree_set("[a-z]{1,9}", 0..40),
            room in 0usize..1200,
        ) {
            let mut kept = FirstNames::default();
            // In whatever order they come.
            for name in all.iter().rev() {
                kept.push(name.into(), room);
            }
            let mut bytes = 0;
            let fit = all.iter().map(OsString::from).take_while(|name| {
                bytes += size_of_name(name);
                bytes <= room
            });
            let fit: BTreeSet<OsString> = fit.collect();
            prop_assert_eq!(kept.are_all, fit.len() == all.len());
            prop_assert_eq!(kept.names, fit);
        }
    }
}
