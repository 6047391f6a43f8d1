//! Directories that a walk still has to read, and places that it could not see: both bounded
//! in bytes, since a writer to the music chooses how many there are, and how deep.

use std::path::{Path, PathBuf};

/// A directory still to be read.
pub(super) struct PendingDirectory {
    /// Bytes, relative to the root.
    pub relative: Vec<u8>,
    pub depth: usize,
}

impl PendingDirectory {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.relative.len()
    }
}

/// The directories of a root that are still to be read.
#[derive(Default)]
pub(super) struct PendingDirectories {
    stack: Vec<PendingDirectory>,
    /// Those that links lead to, which wait until all that is really there has been entered.
    linked: Vec<PendingDirectory>,
    bytes: usize,
}

impl PendingDirectories {
    /// Says whether there is room for it.
    pub fn push(&mut self, dir: PendingDirectory, is_link: bool) -> bool {
        let bytes = self.bytes + dir.bytes();
        if bytes > MAX_PLACES_BYTES {
            return false;
        }
        self.bytes = bytes;
        if is_link {
            self.linked.push(dir);
        } else {
            self.stack.push(dir);
        }
        true
    }

    /// The next of those that are really there.
    pub fn pop(&mut self) -> Option<PendingDirectory> {
        let dir = self.stack.pop()?;
        self.bytes -= dir.bytes();
        Some(dir)
    }

    pub fn pop_linked(&mut self) -> Option<PendingDirectory> {
        let dir = self.linked.pop()?;
        self.bytes -= dir.bytes();
        Some(dir)
    }

    pub fn has_linked(&self) -> bool {
        !self.linked.is_empty()
    }

    /// How many are really there.
    pub fn len(&self) -> usize {
        self.stack.len()
    }

    /// Has those from the `n`th on come in the order in which they were pushed.
    pub fn put_in_order(&mut self, n: usize) {
        self.stack[n..].reverse();
    }
}

/// Where what was known may still be.
#[derive(Default)]
pub(super) struct UnknownPlaces {
    places: Vec<PathBuf>,
    bytes: usize,
}

impl UnknownPlaces {
    /// Of a root where too many places are unknown, all is.
    pub fn push(&mut self, root: &Path, path: PathBuf) {
        if self.places.last().is_some_and(|last| last == root) {
            return;
        }
        self.bytes += bytes(&path);
        self.places.push(path);
        if self.bytes > MAX_PLACES_BYTES {
            self.places.retain(|place| !place.starts_with(root));
            self.places.push(root.to_owned());
            self.bytes = self.places.iter().map(|place| bytes(place)).sum();
        }
    }

    pub fn into_places(self) -> Vec<PathBuf> {
        self.places
    }
}

fn bytes(path: &Path) -> usize {
    size_of::<PathBuf>() + path.as_os_str().len()
}

/// Of some 100,000 directories of a usual length, for either.
const MAX_PLACES_BYTES: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_without_room_are_refused_and_the_others_come_in_order() {
        let mut pending = PendingDirectories::default();
        let dir = |n: usize| PendingDirectory {
            relative: format!("{n:08}{}", "/deep".repeat(1000)).into(),
            depth: 0,
        };
        let took: Vec<_> = (0..3000)
            .filter(|n| pending.push(dir(*n), n % 2 == 1))
            .collect();
        assert!((1000..2000).contains(&took.len()), "{}", took.len());
        pending.put_in_order(0);
        assert_eq!(pending.pop().map(|dir| dir.relative), Some(dir(0).relative));
        while pending.pop().or_else(|| pending.pop_linked()).is_some() {}
        assert_eq!(pending.bytes, 0);
        assert!(pending.push(dir(0), false));
    }

    #[test]
    fn where_too_much_is_unknown_all_of_its_root_is_and_nothing_of_another() {
        let mut unknown = UnknownPlaces::default();
        unknown.push(Path::new("/a"), "/a/x".into());
        for n in 0..3000 {
            let path = format!("/b/{n}{}", "/deep".repeat(1000));
            unknown.push(Path::new("/b"), path.into());
        }
        unknown.push(Path::new("/c"), "/c/x".into());
        assert!(unknown.bytes <= MAX_PLACES_BYTES);
        let places = unknown.into_places();
        assert_eq!(places, ["/a/x", "/b", "/c/x"].map(PathBuf::from));
    }
}
