//! The first phase: what is there, and what it says of itself.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Instant,
};

use super::{
    index::{IndexError, Known, Record, Slot},
    scan::{self, FoundFile, Root, Seen},
    tags,
    watch::Eyes,
    Core, Library, LibraryEvent,
};
use crate::{
    catalog::{Entry, Listed, MAX_PAGE_BYTES, MODIFIED, PAGE_ENTRIES},
    id::EntryNo,
};

impl Library {
    /// Scans all music directories; new catalogues come out on the way.
    /// Broken off by [`Library::end`], it takes nothing away.
    pub(super) fn rescan(&self) {
        let started = Instant::now();
        self.core.tell(LibraryEvent::ScanStarted);
        let roots = self.core.roots();
        let mut rescan = Rescan {
            core: &self.core,
            roots: &roots,
            seen: BTreeSet::new(),
            unplayable: BTreeSet::new(),
            alive: BTreeSet::new(),
            listed: 0,
            skipped: 0,
            problems: 0,
        };
        let mut eyes = self.eyes();
        if self.roots_are_new.swap(false, Ordering::AcqRel) {
            *eyes = Eyes::open(self.notice.clone());
        }
        let outcome = scan::scan(&roots, |seen| {
            match seen {
                Seen::Directory(dir) => eyes.see(dir),
                Seen::File(found) => rescan.file(found),
                Seen::Problem { path, why } => rescan.problem(path, why),
            }
            self.core.publish_if_due(false);
            match self.has_ended() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        drop(eyes);
        let ControlFlow::Continue(mut unknown) = outcome else {
            return;
        };
        rescan.doubt_empty_roots(&mut unknown);
        let swept = rescan.sweep(&unknown);
        self.core.check(swept);
        let Rescan {
            listed, skipped, ..
        } = rescan;
        let took = started.elapsed();
        log::info!(
            "{listed} tracks in the library, {skipped} files left out, scanned in {took:.1?}"
        );
        self.core.publish_now();
        self.core.tell(LibraryEvent::ScanDone);
    }
}

/// One scan on its way.
struct Rescan<'a> {
    core: &'a Core,
    roots: &'a [Root],
    seen: BTreeSet<EntryNo>,
    /// The files that cannot be played.
    unplayable: BTreeSet<Vec<u8>>,
    /// The roots that have music, by number.
    alive: BTreeSet<usize>,
    listed: usize,
    skipped: usize,
    problems: usize,
}

impl Rescan<'_> {
    fn file(&mut self, found: FoundFile) {
        let roots = self.roots.iter();
        let is_in = roots.map(|root| found.path.starts_with(&root.path));
        self.alive.extend(
            is_in
                .enumerate()
                .filter_map(|(n, is_in)| is_in.then_some(n)),
        );
        let Some(known) = self.core.check(self.core.reader.lookup(&found.path)) else {
            return;
        };
        match known {
            Some(Known::Listed(no, record)) if record.stamp == found.stamp => {
                self.unchanged(no, &record, found);
            }
            Some(Known::Unplayable(stamp)) if stamp == found.stamp => self.skip(&found.path),
            Some(Known::Listed(no, _)) => self.read(Some(no), found),
            Some(Known::Unplayable(_)) | None => self.read(None, found),
        }
    }

    /// The music did not change; its place in the library may have.
    fn unchanged(&mut self, no: EntryNo, record: &Record, found: FoundFile) {
        let listed = &record.listed;
        if record.absent || *listed.dir != *found.dir || *listed.name != *found.name {
            self.core.book().show(no, found.dir, found.name);
        }
        self.seen.insert(no);
        self.listed += 1;
    }

    /// Reads a file that is new or has changed.
    fn read(&mut self, no: Option<EntryNo>, found: FoundFile) {
        // That is about rights or the disk, not about the music: it is tried
        // again next time.
        if let Err(error) = File::open(&found.path) {
            if let Some(no) = no {
                self.seen.insert(no);
                self.core.book().hide(no);
            }
            self.skipped += 1;
            self.problem(found.path, format!("cannot be opened: {error}"));
            return;
        }
        let record = match examine(&found, self.core) {
            Ok(record) => record,
            Err(why) => {
                log::debug!("{} is left out: {why}", found.path.display());
                self.skip(&found.path);
                let mut book = self.core.book();
                book.index().set_unplayable(&found.path, found.stamp);
                return;
            }
        };
        // Bound first, so that the book is free when a problem is told.
        let number = self.core.book().put(no, record);
        match number {
            Some(no) => {
                self.seen.insert(no);
                self.listed += 1;
            }
            None => {
                let why = "there are no entry numbers left; a restart makes new ones".to_owned();
                self.problem(found.path, why);
            }
        }
    }

    fn skip(&mut self, path: &Path) {
        self.unplayable.insert(path.as_os_str().as_bytes().to_vec());
        self.skipped += 1;
    }

    fn problem(&mut self, path: PathBuf, why: String) {
        self.problems += 1;
        if self.problems <= MAX_PROBLEMS {
            self.core.tell(LibraryEvent::Problem { path, why });
        }
    }

    /// A root that had music and has not one file of it: a mount point with
    /// something else in it is likelier than a collection deleted at once.
    fn doubt_empty_roots(&mut self, unknown: &mut Vec<PathBuf>) {
        let core = self.core;
        for (n, root) in self.roots.iter().enumerate() {
            if self.alive.contains(&n) || unknown.contains(&root.path) {
                continue;
            }
            let mut had_music = false;
            let each = core.reader.each(0..u32::MAX, |_, slot| {
                had_music =
                    matches!(slot, Slot::File(record) if record.path().starts_with(&root.path));
                !had_music
            });
            core.check(each);
            if had_music {
                unknown.push(root.path.clone());
                let why = "there is no music in it any more; is its disk mounted?".to_owned();
                self.problem(root.path.clone(), why);
            }
        }
    }

    /// Takes out what was not seen; what may still exist is only hidden.
    fn sweep(&mut self, unknown: &[PathBuf]) -> Result<(), IndexError> {
        let core = self.core;
        let mut gone = Vec::new();
        core.reader.each(0..u32::MAX, |no, slot| {
            if matches!(slot, Slot::File(_)) && !self.seen.contains(&no) {
                gone.push(no);
            }
            true
        })?;
        let may_exist = |path: &Path| {
            let is_ours = self.roots.iter().any(|root| path.starts_with(&root.path));
            unknown.iter().find(|dir| is_ours && path.starts_with(dir))
        };
        let mut hiding = BTreeSet::new();
        for no in gone {
            let Some(record) = core.reader.file(no)? else {
                continue;
            };
            let mut book = core.book();
            match may_exist(record.path()) {
                None => book.remove(no),
                Some(dir) => {
                    hiding.insert(dir);
                    if !record.absent {
                        book.hide(no);
                    }
                }
            }
            if book.index().is_due(Instant::now()) {
                book.index().flush()?;
            }
        }
        for path in core.reader.unplayable()? {
            if !self.unplayable.contains(&path) {
                core.book().index().forget_unplayable(path);
            }
        }
        // Of the others it has been said.
        let is_empty = |dir: &Path| fs::read_dir(dir).is_ok_and(|mut dir| dir.next().is_none());
        for dir in hiding {
            if is_empty(dir) && self.roots.iter().all(|root| root.path != *dir) {
                let why = "it is empty, and had music; is its disk mounted?".to_owned();
                self.problem(dir.clone(), why);
            }
        }
        // Hashing goes by what is written.
        core.book().index().flush()
    }
}

/// Asks the decoder and the tags what a file is.
fn examine(found: &FoundFile, core: &Core) -> Result<Record, String> {
    let probed = (core.probe)(&found.path)?;
    let tagged = tags::read(&found.path, probed.format);
    let duration = match probed.duration.is_zero() {
        true => tagged.duration.unwrap_or_default(),
        false => probed.duration,
    };
    let entry = Entry::Listed(Box::new(Listed {
        dir: found.dir.as_str().into(),
        name: found.name.as_str().into(),
        size: found.stamp.size,
        modified: found
            .stamp
            .modified
            .0
            .clamp(*MODIFIED.start(), *MODIFIED.end()),
        track: None,
        format: probed.format,
        rate: probed.rate,
        channels: probed.channels,
        bits: probed.bits,
        duration,
        opening: probed.opening.into(),
        audio_start: probed.audio_start,
        tags: tagged.tags,
    }));
    let length = postcard::experimental::serialized_size(&entry).unwrap_or(usize::MAX);
    let is_fit = entry.is_sane() && length <= MAX_ENTRY_BYTES;
    match entry {
        Entry::Listed(listed) if is_fit => Ok(Record {
            path: found.path.as_os_str().as_bytes().to_vec(),
            stamp: found.stamp,
            absent: false,
            listed: *listed,
        }),
        _ => Err("what it says of itself breaks the rules of a catalogue".to_owned()),
    }
}

/// An entry's share of a page, less what a page adds to it and the hash that
/// is still to come.
const MAX_ENTRY_BYTES: usize = MAX_PAGE_BYTES / PAGE_ENTRIES - 40;

/// A broken disk has as many problems as files; the first ones tell.
const MAX_PROBLEMS: usize = 100;
