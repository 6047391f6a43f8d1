//! The first phase: what is there, and what it says of itself.

mod findings;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use self::{
    findings::RescanFindings,
    verdict::{is_at, keep_hash, listed, may_exist, FileVerdict},
};
use super::{
    index::{
        record::{Note, NumberedItem, Record},
        IndexError,
    },
    left_out::LeftOutFiles,
    roots::Root,
    scan::{
        self,
        seen::{FoundFile, Seen},
    },
    tags,
    wanted::Care,
    watch::TreeWatcher,
    Core, Library, LibraryEvent,
};
use crate::{id::EntryNo, media::probed::ProbeRejection};

impl Library {
    /// Looks at what is at and below `place`, or at all music directories; new
    /// catalogues come out on the way. Broken off by [`Library::end`], it takes nothing
    /// away.
    pub(super) fn look(&self, place: Option<&Path>, care: Care) {
        let (over, is_over) = async_channel::bounded::<()>(1);
        std::thread::scope(|scope| {
            // However long one file takes, what is known is shown.
            scope.spawn(move || while self.publish_meanwhile(&is_over) {});
            self.look_through(place, care);
            drop(over);
        });
    }

    /// Makes a catalogue when it is time; returns false when the look is over.
    fn publish_meanwhile(&self, is_over: &async_channel::Receiver<()>) -> bool {
        let over = async {
            let _ = is_over.recv().await;
            true
        };
        let timer = async {
            smol::Timer::after(PUBLISH_INTERVAL).await;
            false
        };
        if smol::block_on(smol::future::or(over, timer)) {
            return false;
        }
        self.core.publish_if_due(false);
        true
    }

    fn look_through(&self, place: Option<&Path>, care: Care) {
        let started = Instant::now();
        self.core.tell(LibraryEvent::ScanStarted {
            whole: place.is_none(),
        });
        let roots = self.core.roots();
        let Some(notes) = self.core.check(self.core.reader.notes()) else {
            return self.core.tell(LibraryEvent::ScanDone);
        };
        let mut rescan = Rescan::new(&self.core, &roots, place, care, notes);
        let mut eyes = self.eyes();
        if self.roots_are_new.swap(false, Ordering::AcqRel) {
            *eyes = TreeWatcher::open(self.notice.clone());
        }
        let visit = |seen: Seen<'_>| {
            match seen {
                Seen::Directory(dir) => eyes.see(dir),
                Seen::File(found) => rescan.file(found),
                Seen::Problem { path, why } => rescan.problem(path, why),
                Seen::LeftOut { path, why } => rescan.found.leave_out(path, why, false),
            }
            match self.has_ended() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let fence = &self.core.fence;
        let root = place.and_then(|place| roots.iter().find(|root| place.starts_with(&root.path)));
        let outcome = match (place, root) {
            (None, _) => match scan::scan(&roots, fence, visit) {
                ControlFlow::Continue(unknown) => ControlFlow::Continue(Some(unknown)),
                ControlFlow::Break(()) => ControlFlow::Break(()),
            },
            (Some(place), Some(root)) => scan::scan_place(root, place, fence, visit),
            // It is in no music directory any more, and the next scan knows.
            (Some(_), None) => ControlFlow::Continue(None),
        };
        drop(eyes);
        match outcome {
            ControlFlow::Break(()) => return,
            ControlFlow::Continue(None) => self.request_look(None, Care::Changes),
            ControlFlow::Continue(Some(unknown)) => rescan.conclude(unknown, started),
        }
        self.core.publish_now();
        self.core.tell(LibraryEvent::ScanDone);
    }
}

/// One look on its way.
struct Rescan<'a> {
    core: &'a Core,
    roots: &'a [Root],
    /// What is looked at, if not everything.
    place: Option<&'a Path>,
    care: Care,
    found: RescanFindings,
}

impl<'a> Rescan<'a> {
    fn new(
        core: &'a Core,
        roots: &'a [Root],
        place: Option<&'a Path>,
        care: Care,
        notes: BTreeMap<Vec<u8>, Note>,
    ) -> Self {
        let mut left_out = LeftOutFiles::default();
        if let Some(place) = place {
            left_out = (*core.left_out()).clone();
            left_out.forget(place);
        }
        Self {
            core,
            roots,
            place,
            care,
            found: RescanFindings::new(notes, left_out),
        }
    }

    fn file(&mut self, found: FoundFile) {
        self.found.handle_music(&found.path, self.roots);
        let Some(known) = self.core.check(self.core.reader.lookup(&found.path)) else {
            return;
        };
        match FileVerdict::of(known, &found.stamp, self.care) {
            FileVerdict::Unchanged(no, record) => self.unchanged(no, &record, found),
            FileVerdict::Read(before) => self.read(before, found),
            FileVerdict::Noted(why) => self.found.keep_note(found.path, why, false),
        }
    }

    /// The music did not change; its place in the library may have.
    fn unchanged(&mut self, no: EntryNo, record: &Record, found: FoundFile) {
        let listed = &record.listed;
        if record.absent || *listed.dir != *found.dir || *listed.name != *found.name {
            self.core.book().show(no, found.dir, found.name);
        }
        if record.stamp.changed.is_none() && found.stamp.changed.is_some() {
            self.core.book().index().set_stamp(no, found.stamp);
        }
        self.found.list(no);
        if let Some(why) = self.found.noted_before(&found.path, &found.stamp) {
            self.found.keep_note(found.path, why, true);
        }
    }

    /// Reads a file that is new or has changed.
    fn read(&mut self, known: Option<(EntryNo, Box<Record>)>, found: FoundFile) {
        let (no, before) = known
            .map(|(no, record)| (Some(no), Some(record)))
            .unwrap_or_default();
        let (mut record, trouble) = match examine(&found, self.core) {
            Ok(examined) => examined,
            // Removed, or unmounted, a moment ago: the next scan knows which.
            Err(unfit) if fs::symlink_metadata(&found.path).is_err() => {
                log::debug!("{}: {}", found.path.display(), unfit.why);
                if let Some(no) = no {
                    self.found.see(no);
                    self.core.book().hide(no);
                }
                return;
            }
            // That is about rights or the disk, not about the music: it is tried again
            // next time.
            Err(unfit) if !unfit.is_lasting => {
                self.not_now(no, found.path, unfit.why);
                return;
            }
            Err(unfit) => {
                log::debug!("{} is left out: {}", found.path.display(), unfit.why);
                self.note(found, unfit.why, false);
                return;
            }
        };
        if let Some(before) = before.filter(|_| self.care != Care::Nothing) {
            keep_hash(&mut record, *before);
        }
        // Bound first, so that the book is free when a problem is told.
        let number = self.core.book().put(no, record);
        match number {
            Ok(no) => {
                self.found.list(no);
                if let Some(why) = trouble {
                    log::debug!("{}: {why}", found.path.display());
                    self.note(found, why, true);
                }
            }
            Err(why) => self.not_now(no, found.path, why),
        }
    }

    /// A file that may be there again next time.
    fn not_now(&mut self, no: Option<EntryNo>, path: PathBuf, why: String) {
        if let Some(no) = no {
            self.found.see(no);
            self.core.book().hide(no);
        }
        self.found.leave_out(path.clone(), why.clone(), false);
        self.problem(path, why);
    }

    /// Remembers why a file is not listed as it could be, until it changes.
    fn note(&mut self, found: FoundFile, why: String, is_listed: bool) {
        let note = Note {
            stamp: found.stamp,
            why: why.clone(),
        };
        self.core.book().index().set_note(&found.path, note);
        self.found.keep_note(found.path, why, is_listed);
    }

    fn problem(&mut self, path: PathBuf, why: String) {
        if self.found.is_told_of_problem() {
            self.core.tell(LibraryEvent::Problem { path, why });
        }
    }

    /// Everything has been seen but what is `unknown`.
    fn conclude(mut self, mut unknown: Vec<PathBuf>, started: Instant) {
        if self.place.is_none() {
            self.doubt_empty_roots(&mut unknown);
        }
        let swept = self.sweep(&unknown);
        self.core.check(swept);
        let (listed, missing) = self.found.counts();
        let took = started.elapsed();
        match self.place {
            None => log::info!(
                "{listed} tracks in the library, {missing} files left out, scanned in {took:.1?}"
            ),
            Some(place) => log::debug!("{listed} tracks in {}, scanned again", place.display()),
        }
        self.core.set_left_out(self.found.into_left_out());
    }

    /// A root that had music and has not one file of it: a mount point with
    /// something else in it is likelier than a collection deleted at once.
    fn doubt_empty_roots(&mut self, unknown: &mut Vec<PathBuf>) {
        let core = self.core;
        for (n, root) in self.roots.iter().enumerate() {
            if self.found.has_music(n) || unknown.contains(&root.path) {
                continue;
            }
            let mut had_music = false;
            let each = core.reader.each(0..u32::MAX, |_, slot| {
                had_music =
                    matches!(slot, NumberedItem::File(record) if record.path().starts_with(&root.path));
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
            let is_here =
                matches!(&slot, NumberedItem::File(record) if is_at(record.path(), self.place));
            if is_here && !self.found.has_seen(no) {
                gone.push(no);
            }
            true
        })?;
        let mut hiding = BTreeSet::new();
        for no in gone {
            let Some(record) = core.reader.file(no)? else {
                continue;
            };
            let mut book = core.book();
            match may_exist(record.path(), self.roots, unknown) {
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
        let place = self.place;
        for path in self.found.take_over_notes(|path| is_at(path, place)) {
            core.book().index().forget_note(path);
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

/// Asks the decoder and the tags what a file is, and what is wrong with the tags.
fn examine(found: &FoundFile, core: &Core) -> Result<(Record, Option<String>), ProbeRejection> {
    let lost = |error: std::io::Error| ProbeRejection {
        why: format!("cannot be opened: {error}"),
        is_lasting: false,
    };
    let file = core.fence.open(&found.path).map_err(lost)?;
    let probed = (core.probe)(&found.path, file.try_clone().map_err(lost)?)?;
    let tagged = tags::read(&file, probed.media.container);
    let Some(listed) = listed(found, probed, tagged.tags, tagged.duration) else {
        return Err(ProbeRejection {
            why: "what it says of itself breaks the rules of a catalogue".to_owned(),
            is_lasting: true,
        });
    };
    let record = Record {
        path: found.path.as_os_str().as_bytes().to_vec(),
        stamp: found.stamp,
        absent: false,
        listed,
    };
    Ok((record, tagged.trouble))
}

/// How often a look that goes on asks whether a catalogue is due.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(500);
