//! The directories of one catalogue, so that one can be listed without a look at what is
//! deep in it.

use std::cmp::Ordering;

/// A directory, in 24 bytes: there is about one for every dozen tracks. Its path is the
/// beginning of the directory of a track in it.
#[derive(Clone, Copy, Debug)]
struct DirectoryRecord {
    /// The number of a listed entry in it, or in a directory below it.
    entry: u32,
    /// The bytes of its path.
    length: u32,
    /// When something in it or below it was last modified, in seconds since 1970.
    newest: i64,
    /// The number of the first directory that is not below it.
    end: u32,
}

/// All directories, each before those that are in it; the first one is the top.
#[derive(Clone, Debug, Default)]
pub(super) struct Directories(Box<[DirectoryRecord]>);

impl Directories {
    /// `files` are the number, the directory and the time of each listed entry; those of one
    /// directory follow each other.
    pub fn new<'a>(files: impl Iterator<Item = (u32, &'a str, i64)>) -> Self {
        let mut found: Vec<(&str, DirectoryRecord)> = Vec::new();
        for (entry, dir, modified) in files {
            match found.last_mut() {
                Some((last, record)) if *last == dir => record.newest = record.newest.max(modified),
                _ => found.push((dir, DirectoryRecord::new(entry, dir, modified))),
            }
        }
        found.sort_by(|(a, _), (b, _)| by_parts(a, b));
        let mut all: Vec<DirectoryRecord> = Vec::with_capacity(found.len());
        // Those that are not complete: where they stand, the innermost last.
        let mut open: Vec<(&str, u32)> = Vec::new();
        for (dir, record) in found {
            close(&mut all, &mut open, dir);
            // Those above it that are open are not longer than the innermost of them.
            let known = open.last().map(|(path, _)| path.len());
            for length in ends(dir).filter(|length| known.is_none_or(|known| *length > known)) {
                open.push((&dir[..length], all.len() as u32));
                let length = length as u32;
                all.push(DirectoryRecord { length, ..record });
            }
            for (_, at) in &open {
                let newest = &mut all[*at as usize].newest;
                *newest = record.newest.max(*newest);
            }
        }
        let end = all.len() as u32;
        open.iter().for_each(|(_, at)| all[*at as usize].end = end);
        Self(all.into())
    }

    /// The number of the directory at `path`; `dir_of` gives the directory of a listed entry.
    pub fn find<'a>(&self, path: &str, dir_of: impl Fn(u32) -> Option<&'a str>) -> Option<usize> {
        let order = |record: &DirectoryRecord| record.path(&dir_of).map(|it| by_parts(it, path));
        let at = self
            .0
            .partition_point(|record| order(record) == Some(Ordering::Less));
        let found = self.0.get(at)?;
        (order(found) == Some(Ordering::Equal)).then_some(at)
    }

    /// The directories that are in directory number `at`: the path of each, and when
    /// something in it was last modified.
    pub fn children<'a, 'b>(
        &'b self,
        at: usize,
        dir_of: impl Fn(u32) -> Option<&'a str> + 'b,
    ) -> impl Iterator<Item = (&'a str, i64)> + 'b
    where
        'a: 'b,
    {
        let end = self.0.get(at).map_or(0, |record| record.end as usize);
        let mut next = at + 1;
        std::iter::from_fn(move || {
            let record = self.0.get(next).filter(|_| next < end)?;
            next = record.end as usize;
            Some((record.path(&dir_of)?, record.newest))
        })
    }

    /// When something in directory number `at` was last modified.
    pub fn newest(&self, at: usize) -> Option<i64> {
        self.0.get(at).map(|record| record.newest)
    }

    /// The most that the directories of entries, which these are, take in memory, in bytes:
    /// an owner chooses how deep they lie.
    pub fn most_bytes<'a>(dirs: impl Iterator<Item = &'a str>) -> usize {
        let mut last = None;
        let fresh = |dir: &'a str| {
            let before = last.replace(dir);
            let is_new = |end: &usize| before.is_none_or(|last| !is_within(last, &dir[..*end]));
            ends(dir).filter(is_new).count()
        };
        dirs.map(fresh).sum::<usize>() * size_of::<DirectoryRecord>()
    }

    /// What it takes in memory, in bytes.
    pub fn footprint(&self) -> usize {
        size_of_val(&*self.0)
    }
}

impl DirectoryRecord {
    fn new(entry: u32, dir: &str, newest: i64) -> Self {
        let (length, end) = (dir.len() as u32, 0);
        Self {
            entry,
            length,
            newest,
            end,
        }
    }

    fn path<'a>(&self, dir_of: impl Fn(u32) -> Option<&'a str>) -> Option<&'a str> {
        dir_of(self.entry)?.get(..self.length as usize)
    }
}

/// Ends the directories that `dir` is not below.
fn close(all: &mut [DirectoryRecord], open: &mut Vec<(&str, u32)>, dir: &str) {
    while let Some((path, at)) = open.last() {
        if is_within(dir, path) {
            return;
        }
        all[*at as usize].end = all.len() as u32;
        open.pop();
    }
}

/// Whether `dir` is `path` or below it.
fn is_within(dir: &str, path: &str) -> bool {
    path.is_empty()
        || dir
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where the paths of `dir` and of those above it end, the top first.
fn ends(dir: &str) -> impl Iterator<Item = usize> + '_ {
    let inner = dir.match_indices('/').map(|(at, _)| at);
    let whole = (!dir.is_empty()).then_some(dir.len());
    std::iter::once(0).chain(inner).chain(whole)
}

/// Orders paths such that what is below a directory follows it at once: the separator comes
/// before whatever a name may have.
fn by_parts(a: &str, b: &str) -> Ordering {
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn directories_are_listed_as_a_walk_over_all_files_would(
            mut files in prop::collection::vec(("([ab-]{1,2}(/[ab-]{1,2}){0,3})?", 0..9_i64), 0..30),
            asked in "([ab-]{1,2}(/[ab-]{1,2}){0,3})?",
        ) {
            files.sort();
            let numbered = || files.iter().enumerate();
            let directories =
                Directories::new(numbered().map(|(n, (dir, time))| (n as u32, &**dir, *time)));
            let dir_of = |n: u32| files.get(n as usize).map(|(dir, _)| &**dir);
            let under: Vec<_> = files.iter().filter(|(dir, _)| is_within(dir, &asked)).collect();
            let found = directories.find(&asked, dir_of);
            prop_assert_eq!(found.is_some(), !under.is_empty());
            let most = Directories::most_bytes(files.iter().map(|(dir, _)| &**dir));
            prop_assert!(directories.footprint() <= most);
            let Some(found) = found else { return Ok(()) };
            let newest = under.iter().map(|(_, time)| *time).max();
            prop_assert_eq!(directories.newest(found), newest);
            let mut walked = BTreeMap::new();
            for (dir, time) in under {
                let deep = if asked.is_empty() { 0 } else { asked.len() + 1 };
                let Some(rest) = dir.get(deep..).filter(|rest| !rest.is_empty()) else { continue };
                let end = rest.find('/').map_or(dir.len(), |at| deep + at);
                let newest = walked.entry(&dir[..end]).or_insert(*time);
                *newest = (*newest).max(*time);
            }
            let mut children: Vec<_> = directories.children(found, dir_of).collect();
            children.sort();
            prop_assert_eq!(children, walked.into_iter().collect::<Vec<_>>());
        }
    }
}
