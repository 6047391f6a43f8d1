//! What a look has found so far, and what follows from it at its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use crate::{
    id::EntryNo,
    library::{
        index::record::Note,
        left_out::{LeftOut, LeftOutFiles},
        roots::Root,
        stamp::FileStamp,
    },
};

/// See the module's description.
#[derive(Debug)]
pub(super) struct RescanFindings {
    seen: BTreeSet<EntryNo>,
    /// What was known of files that are not listed as they could be, by path.
    notes: BTreeMap<Vec<u8>, Note>,
    /// Those of which it still holds.
    noted: BTreeSet<Vec<u8>>,
    left_out: LeftOutFiles,
    /// The roots that have music, by number.
    alive: BTreeSet<usize>,
    listed: usize,
    problems: usize,
}

impl RescanFindings {
    /// Of a look that begins, with what was noted of files before, and what is left out where it
    /// does not look.
    pub fn new(notes: BTreeMap<Vec<u8>, Note>, left_out: LeftOutFiles) -> Self {
        Self {
            seen: BTreeSet::new(),
            notes,
            noted: BTreeSet::new(),
            left_out,
            alive: BTreeSet::new(),
            listed: 0,
            problems: 0,
        }
    }

    /// There is a file with music at `path`.
    pub fn handle_music(&mut self, path: &Path, roots: &[Root]) {
        let roots = roots.iter().enumerate();
        let has_it = |(n, root): (usize, &Root)| path.starts_with(&root.path).then_some(n);
        self.alive.extend(roots.filter_map(has_it));
    }

    /// Whether music was seen in the `n`th root.
    pub fn has_music(&self, n: usize) -> bool {
        self.alive.contains(&n)
    }

    /// The file of an entry is there, whether it is shown or not.
    pub fn see(&mut self, no: EntryNo) {
        self.seen.insert(no);
    }

    pub fn has_seen(&self, no: EntryNo) -> bool {
        self.seen.contains(&no)
    }

    /// The file of an entry is there, and shown.
    pub fn list(&mut self, no: EntryNo) {
        self.see(no);
        self.listed += 1;
    }

    /// Why a file was not listed as it could be when it was as it is now.
    pub fn noted_before(&self, path: &Path, now: &FileStamp) -> Option<String> {
        let note = self.notes.get(path.as_os_str().as_bytes());
        let note = note.filter(|note| note.stamp.is_same(now))?;
        Some(note.why.clone())
    }

    /// What is noted of a file holds still, or holds now.
    pub fn keep_note(&mut self, path: PathBuf, why: String, is_listed: bool) {
        self.noted.insert(path.as_os_str().as_bytes().to_vec());
        self.leave_out(path, why, is_listed);
    }

    pub fn leave_out(&mut self, path: PathBuf, why: String, is_listed: bool) {
        self.left_out.add(path, LeftOut { why, is_listed });
    }

    /// Whether a problem is one of those that are told.
    pub fn is_told_of_problem(&mut self) -> bool {
        self.problems += 1;
        self.problems <= MAX_PROBLEMS
    }

    /// How many files are listed, and how many left out.
    pub fn counts(&self) -> (usize, usize) {
        (self.listed, self.left_out.missing())
    }

    /// The notes that do not hold any more, of files that were looked at.
    pub fn take_over_notes(&mut self, was_looked_at: impl Fn(&Path) -> bool) -> Vec<Vec<u8>> {
        let mut over = Vec::new();
        for path in std::mem::take(&mut self.notes).into_keys() {
            let is_here = was_looked_at(Path::new(OsStr::from_bytes(&path)));
            if is_here && !self.noted.contains(&path) {
                over.push(path);
            }
        }
        over
    }

    pub fn into_left_out(self) -> LeftOutFiles {
        self.left_out
    }
}

/// A broken disk has as many problems as files; the first ones tell.
const MAX_PROBLEMS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(notes: &[&str]) -> RescanFindings {
        let note = |path: &&str| {
            let note = Note {
                stamp: FileStamp::default(),
                why: "it is empty".into(),
            };
            (path.as_bytes().to_vec(), note)
        };
        RescanFindings::new(notes.iter().map(note).collect(), LeftOutFiles::default())
    }

    #[test]
    fn a_note_is_over_where_its_file_was_looked_for_and_it_does_not_hold() {
        let mut found = findings(&["/a/1", "/a/2", "/b/3"]);
        let changed = FileStamp {
            size: 1,
            ..FileStamp::default()
        };
        let path = Path::new("/a/1");
        assert!(found.noted_before(path, &FileStamp::default()).is_some());
        assert!(found.noted_before(path, &changed).is_none());
        assert!(found.noted_before(Path::new("/a/9"), &changed).is_none());
        found.keep_note(path.into(), "it is empty".into(), false);
        let over = found.take_over_notes(|path| path.starts_with("/a"));
        assert_eq!(over, [b"/a/2".to_vec()]);
        assert_eq!(found.counts(), (0, 1));
    }

    #[test]
    fn a_root_has_music_when_a_file_in_it_has_and_problems_are_told_up_to_a_number() {
        let roots = crate::library::roots::name_roots(&["/a".into(), "/a/b".into(), "/c".into()]);
        let mut found = findings(&[]);
        found.handle_music(Path::new("/a/b/1.flac"), &roots);
        let alive = [0, 1, 2].map(|n| found.has_music(n));
        assert_eq!(alive, [true, true, false]);
        found.list(EntryNo(1));
        found.see(EntryNo(2));
        let seen = [0, 1, 2].map(|no| found.has_seen(EntryNo(no)));
        assert_eq!(seen, [false, true, true]);
        assert_eq!(found.counts(), (1, 0));
        let told = (0..2 * MAX_PROBLEMS).filter(|_| found.is_told_of_problem());
        assert_eq!(told.count(), MAX_PROBLEMS);
    }
}
