//! The music of this peer: found, listed, hashed, watched.
//!
//! Two phases. First every file is named, with its tags, and announced; then,
//! when there is nothing better to do, each is hashed, which takes a Pi hours
//! and needs nobody's patience: a file that is asked for gets its hash first
//! ([`Library::resolve`]). Files that did not change are not read again.
//!
//! Everything that waits for a disk happens in [`Library::run`], on a thread
//! that may block. The lookups only read the index.

mod hashing;
mod index;
mod left_out;
mod mounts;
mod names;
mod rescan;
mod roots;
mod scan;
mod stamp;
mod tags;
mod wanted;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, Mutex, MutexGuard,
    },
    time::{Duration, Instant, SystemTime},
};

use async_channel::{Receiver, Sender};

pub use hashing::{HashFile, HashProgress, ResolveError};
pub use index::IndexError;
pub use left_out::LeftOutFiles;
pub use wanted::Care;
pub use writer::Sign;

use self::{
    hashing::{HashJob, Hasher},
    index::{
        record::{NumberedItem, Record},
        Index, IndexReader,
    },
    roots::Root,
    wanted::WantedLooks,
    watch::TreeWatcher,
    writer::CatalogueWriter,
};
use crate::{
    catalog::{Catalogue, SignedHead},
    fence::Fence,
    id::{EntryNo, PeerId, TrackId},
    media::probed::{ProbeRejection, Probed},
};

/// The tags of a file, for the fuzz target.
#[cfg(feature = "door")]
pub fn read_tags(path: &Path, container: crate::media::Container) {
    if let Ok(file) = crate::fence::open_regular(path) {
        let _ = tags::read(&file, container);
    }
}

/// The index's values, for the fuzz target.
#[cfg(feature = "door")]
pub fn read_index_values(bytes: &[u8]) {
    index::read_values(bytes);
}

/// Reads an open file as a player would; an error is why it cannot be played.
pub type ProbeFn = Arc<dyn Fn(&Path, File) -> Result<Probed, ProbeRejection> + Send + Sync>;

/// What the library needs from the rest of the house.
pub struct LibrarySetup {
    /// What of the music may be read; is given the music directories.
    pub fence: Fence,
    /// Where the index lies; exists already.
    pub state: PathBuf,
    pub me: PeerId,
    pub sign: Sign,
    /// What the list of the tracks may take in memory, in bytes.
    pub room: usize,
    pub probe: ProbeFn,
    pub hash: HashFile,
}

/// What happened in the library.
#[derive(Clone, Debug)]
pub enum LibraryEvent {
    /// The catalogue is now this one.
    Catalogue(Arc<Catalogue>),
    /// A file was hashed; the catalogue tells the others before long.
    Hashed {
        track: TrackId,
        path: PathBuf,
    },
    /// A look has begun, at everything or at a part.
    ScanStarted {
        whole: bool,
    },
    ScanDone,
    /// Something about `path` that its owner should know.
    Problem {
        path: PathBuf,
        why: String,
    },
}

/// A file to serve, as it was when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryFile {
    pub entry: EntryNo,
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Last modified, in seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    pub track: Option<TrackId>,
}

impl LibraryFile {
    /// When the file was last modified.
    pub fn modified(&self) -> SystemTime {
        let (seconds, nanos) = self.modified;
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let second = match seconds {
            0.. => SystemTime::UNIX_EPOCH + whole,
            _ => SystemTime::UNIX_EPOCH - whole,
        };
        second + Duration::from_nanos(nanos.into())
    }
}

/// The owner of all that.
pub struct Library {
    core: Arc<Core>,
    hasher: Hasher,
    /// Held throughout a look.
    eyes: Mutex<TreeWatcher>,
    notice: Sender<()>,
    notices: Receiver<()>,
    /// Wakes [`Self::run`].
    wake: (Sender<()>, Receiver<()>),
    wanted: Mutex<WantedLooks>,
    /// What is watched belongs to other roots than there are now.
    roots_are_new: AtomicBool,
    ended: AtomicBool,
}

/// What scanning and hashing share.
struct Core {
    /// Held only to look or to replace them.
    roots: Mutex<Arc<[Root]>>,
    fence: Fence,
    probe: ProbeFn,
    /// The same.
    left_out: Mutex<Arc<LeftOutFiles>>,
    /// Never held while a music file is read or an event is sent.
    book: Mutex<CatalogueWriter>,
    reader: IndexReader,
    events: Sender<LibraryEvent>,
}

impl Library {
    /// Opens the library as the index last knew it, and gives the channel on
    /// which it tells what happens. Nothing is scanned before [`Self::run`], nor before it
    /// is told of the music ([`Self::set_music`]).
    ///
    /// # Errors
    /// When the index cannot be opened and cannot be made anew.
    pub fn open(setup: LibrarySetup) -> Result<(Self, Receiver<LibraryEvent>), IndexError> {
        let index = Index::open(&setup.state)?;
        let reader = index.reader().clone();
        let book = CatalogueWriter::open(index, setup.me, setup.sign, setup.room, Instant::now())?;
        let (events, receiver) = async_channel::bounded(MAX_EVENTS);
        let core = Arc::new(Core {
            roots: Mutex::new(Arc::from([])),
            fence: setup.fence,
            probe: setup.probe,
            left_out: Mutex::default(),
            book: Mutex::new(book),
            reader,
            events,
        });
        let worker = core.clone();
        let hash = setup.hash;
        let (notice, notices) = async_channel::bounded(1);
        let library = Self {
            hasher: Hasher::new(Arc::new(move |job, progress| {
                worker.hash(job, &hash, progress)
            })),
            core,
            eyes: Mutex::new(TreeWatcher::open(notice.clone())),
            notice,
            notices,
            wake: async_channel::bounded(1),
            wanted: Mutex::default(),
            roots_are_new: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        };
        Ok((library, receiver))
    }

    /// Scans when that is wanted, hashes what is left,
    /// and makes new catalogues, until [`Self::end`]. Blocks.
    pub fn run(&self) {
        let mut cursor = 0;
        while !self.has_ended() {
            // What is found while nothing can be written would be found again.
            let may_look = self.is_writable();
            let look = may_look.then(|| self.wanted().take()).flatten();
            if let Some((place, care)) = look {
                self.look(place.as_deref(), care);
                cursor = 0;
            } else if may_look && self.hash_next(&mut cursor) {
                self.core.publish_if_due(false);
            } else {
                self.core.publish_if_due(true);
                self.rest();
            }
        }
        if let Err(error) = self.core.book().index().flush() {
            log::error!("{error}");
        }
    }

    /// Whether the index can be written; tries that when it is time to.
    fn is_writable(&self) -> bool {
        let mut book = self.core.book();
        let index = book.index();
        let retry = index.retry_at();
        if retry.is_some_and(|at| Instant::now() >= at) {
            // An error is an old one.
            let _ = index.flush();
        }
        if index.take_mended() {
            // A scan finds what was dropped, and that there is no problem.
            log::info!("the library's index can be written again");
            self.wanted().ask_whole(Care::Changes);
        }
        index.retry_at().is_none()
    }

    /// What a person should know of how the index was found.
    pub fn notice(&self) -> Option<String> {
        self.core.book().index().notice().map(str::to_owned)
    }

    /// Asks for a look whenever the music directories have changed. Goes on
    /// until it is dropped.
    pub async fn watch(&self) {
        let roots = || self.core.roots().iter().map(|r| r.path.clone()).collect();
        let is_watched = || self.eyes.try_lock().map_or(true, |eyes| eyes.are_open());
        let look = |place: Option<&Path>| self.request_look(place, Care::Changes);
        watch::watch(roots, &self.notices, is_watched, look).await;
    }

    /// Makes these the music directories, and scans them.
    pub fn set_music(&self, music: &[PathBuf], follow_links: bool) {
        self.core.fence.set(music, follow_links);
        *self.core.roots.lock().expect(NO_PANIC) = roots::name_roots(music).into();
        self.roots_are_new.store(true, Ordering::Release);
        self.request_look(None, Care::Changes);
    }

    /// Makes [`Self::run`] look at a file or directory, or at everything, once more.
    pub fn request_look(&self, place: Option<&Path>, care: Care) {
        match place {
            Some(place) => self.wanted().ask_place(place, care),
            None => self.wanted().ask_whole(care),
        }
        self.wake();
    }

    /// The same for what the library shows as `path`; everything is empty. What cannot
    /// be in it is looked for everywhere.
    pub fn request_look_at(&self, path: &str, care: Care) {
        let roots = self.core.roots();
        let place = roots::place_of(&roots, path);
        self.request_look(place.as_deref(), care);
    }

    /// Somebody has read other bytes than this file had when it was hashed.
    pub fn doubt(&self, path: &Path) {
        self.request_look(Some(path), Care::Nothing);
    }

    /// The files that are not shown as they could be, as of the last look.
    pub fn left_out(&self) -> Arc<LeftOutFiles> {
        self.core.left_out()
    }

    /// Makes [`Self::run`] return soon, and drops all that is waiting.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.core.events.close();
        self.hasher.end();
        self.wake();
    }

    /// The catalogue as it is now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.core.book().catalogue().clone()
    }

    /// The file with number `no`, if there is one.
    pub fn file(&self, no: EntryNo) -> Option<LibraryFile> {
        let record = self.core.file(no)?;
        Some(LibraryFile {
            entry: no,
            path: record.path().to_owned(),
            size: record.stamp.size,
            modified: record.stamp.modified,
            track: record.listed.track,
        })
    }

    /// Opens the file with number `no`, if there is one.
    pub fn open_file(&self, no: EntryNo) -> Option<(PathBuf, io::Result<File>)> {
        let path = self.file(no)?.path;
        let file = self.core.fence.open(&path);
        Some((path, file))
    }

    /// A file with this content, if one is in the catalogue.
    pub fn file_of(&self, track: TrackId) -> Option<LibraryFile> {
        let catalogue = self.catalogue();
        let mut copies = catalogue.copies(track);
        copies.find_map(|(no, _)| self.file(no).filter(|file| file.track == Some(track)))
    }

    /// Hashes file `no` before all others. The last message on the channel is
    /// the result; dropping the channel drops the job.
    ///
    /// # Errors
    /// When there is no such file, or too many are waiting already.
    pub fn resolve(&self, no: EntryNo) -> Result<Receiver<HashProgress>, ResolveError> {
        let file = self.file(no).ok_or(ResolveError::NoSuchEntry)?;
        if let Some(track) = file.track {
            let (sender, receiver) = async_channel::bounded(1);
            let size = file.size;
            let _ = sender.try_send(HashProgress::Done { track, size });
            return Ok(receiver);
        }
        self.hasher
            .ask(HashJob::new(file).ok_or(ResolveError::NoSuchEntry)?)
    }

    /// Tells which complete copies the cache has, with their sizes in bytes;
    /// those that are not in the list are held no more.
    pub fn set_held(&self, held: &[(TrackId, u64)]) {
        let mut book = self.core.book();
        let result = book.set_held(held);
        drop(book);
        self.core.check(result);
        self.wake();
    }

    /// Makes a catalogue that is newer than `seen`, a head of this peer that
    /// somebody shows although it was not made from this index. One that this
    /// peer did not sign is ignored.
    pub fn outdo(&self, seen: &SignedHead) {
        if seen.head.owner != self.catalogue().owner() || seen.verify().is_err() {
            return;
        }
        let seen = &seen.head;
        let result = self.core.book().outdo(seen, Instant::now());
        if let Some(Some(catalogue)) = self.core.check(result) {
            self.core.tell(LibraryEvent::Catalogue(catalogue));
        }
    }

    /// Hashes the next file from `cursor` on that has no hash yet. Returns
    /// false when there is none.
    fn hash_next(&self, cursor: &mut u32) -> bool {
        let mut next = None;
        let result = self.core.reader.each(*cursor..u32::MAX, |no, slot| {
            match slot {
                NumberedItem::File(record) if !record.absent && record.listed.track.is_none() => {
                    next = Some(no);
                }
                _ => {}
            }
            next.is_none()
        });
        let (Some(()), Some(no)) = (self.core.check(result), next) else {
            return false;
        };
        *cursor = no.0 + 1;
        let job = self.file(no).and_then(HashJob::new);
        let keep_on = || !self.has_ended() && self.wanted().is_empty();
        if let Some(Err(why)) = job.and_then(|job| self.hasher.do_in_background(job, keep_on)) {
            log::debug!("entry {}: {why}", no.0);
        }
        true
    }

    /// Waits until somebody wakes it or a catalogue is due.
    fn rest(&self) {
        let woken = async {
            let _ = self.wake.1.recv().await;
        };
        let mut book = self.core.book();
        let publish = book.publish_at(true);
        let due = publish.into_iter().chain(book.index().retry_at()).min();
        drop(book);
        let due = async {
            match due {
                Some(due) => {
                    smol::Timer::at(due).await;
                }
                None => std::future::pending().await,
            }
        };
        smol::block_on(smol::future::or(woken, due));
    }

    fn wanted(&self) -> MutexGuard<'_, WantedLooks> {
        self.wanted.lock().expect(NO_PANIC)
    }

    fn eyes(&self) -> MutexGuard<'_, TreeWatcher> {
        self.eyes.lock().expect(NO_PANIC)
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn wake(&self) {
        // A full channel means that it is about to wake anyway.
        let _ = self.wake.0.try_send(());
        self.hasher.wake();
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.end();
    }
}

impl Core {
    fn book(&self) -> MutexGuard<'_, CatalogueWriter> {
        self.book.lock().expect(NO_PANIC)
    }

    fn roots(&self) -> Arc<[Root]> {
        self.roots.lock().expect(NO_PANIC).clone()
    }

    fn left_out(&self) -> Arc<LeftOutFiles> {
        self.left_out.lock().expect(NO_PANIC).clone()
    }

    fn set_left_out(&self, files: LeftOutFiles) {
        *self.left_out.lock().expect(NO_PANIC) = Arc::new(files);
    }

    fn file(&self, no: EntryNo) -> Option<Box<Record>> {
        self.check(self.reader.file(no))?
            .filter(|record| !record.absent)
    }

    /// Hashes a file and notes the result, if it is still the file that was
    /// listed.
    fn hash(
        &self,
        job: &HashJob,
        hash: &HashFile,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<TrackId, String> {
        let record = self.file(job.no).ok_or("it is gone")?;
        let unchanged = || {
            scan::read_stamp(&job.path)
                .map_err(|error| format!("{}: {error}", job.path.display()))
                .and_then(|now| match now.same_content(&record.stamp) {
                    true => Ok(()),
                    false => Err(format!("{} changed", job.path.display())),
                })
        };
        unchanged()?;
        let track = hash(&job.path, progress).inspect_err(|_| self.say_unreadable(&job.path))?;
        unchanged()?;
        self.book().set_track(job.no, record.stamp, track);
        self.tell(LibraryEvent::Hashed {
            track,
            path: job.path.clone(),
        });
        Ok(track)
    }

    /// The requester is told that the file cannot be had; why, is known only here.
    fn say_unreadable(&self, path: &Path) {
        let opened = std::fs::File::open(path);
        if let Some(error) = opened.err().filter(|e| e.kind() != io::ErrorKind::NotFound) {
            self.tell(LibraryEvent::Problem {
                path: path.into(),
                why: format!("it cannot be read, so nobody can play it: {error}"),
            });
        }
    }

    fn publish_if_due(&self, idle: bool) {
        let result = self.book().write_if_due(idle, Instant::now());
        self.tell_catalogue(result);
    }

    fn publish_now(&self) {
        let result = self.book().write_now(Instant::now());
        self.tell_catalogue(result);
    }

    fn tell_catalogue(&self, result: Result<Option<Arc<Catalogue>>, IndexError>) {
        if let Some(Some(catalogue)) = self.check(result) {
            self.tell(LibraryEvent::Catalogue(catalogue));
        }
    }

    /// Waits when the daemon is behind; nobody listens when it is gone.
    fn tell(&self, event: LibraryEvent) {
        let _ = self.events.send_blocking(event);
    }

    /// A failing disk is said, once, and does not end the music.
    fn check<T>(&self, result: Result<T, IndexError>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if error.is_old() {
            log::debug!("{error}");
            return None;
        }
        let why = format!("{error}; what is new is not remembered until it can be written");
        let path = error.path().to_owned();
        self.tell(LibraryEvent::Problem { path, why });
        None
    }
}

/// What the daemon may be behind before scanning waits for it.
const MAX_EVENTS: usize = 64;

const NO_PANIC: &str = "nothing panics while it holds this lock";
