//! Where a node's memory is kept, in the state directory: what it has in its queue and
//! the peers it knows as JSON, anew when that changes, and where it is in its music in a
//! small file of its own, which is written in place.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use smol::{future, Timer};

use super::{
    clock,
    dirs::make_again,
    place::{self, Place},
    saving::Saving,
    slots::Slots,
    stamp::ClockStamp,
};
use crate::{
    aside::{put_aside, read_whole, replace},
    config::Resume,
    node::{Absence, Bookmark, Event, Memory},
    peer::Handle,
    util::{within::Alarm, work},
};

/// Saves what comes out of `memories` and `bookmarks`, the latest of each: a memory a
/// little later than it comes, since more follows; the last at once, when the node ends.
/// What fails is tried again.
///
/// Tells whether that works, as often as that changes.
pub async fn keep(
    memories: Receiver<Memory>,
    bookmarks: Receiver<Bookmark>,
    place: Place,
    kept: Sender<Result<(), String>>,
) {
    let mut desk = StateDesk {
        memory: Saving::default(),
        bookmark: Saving::default(),
        place,
        works: true,
        kept,
    };
    let mut alarm = Alarm::new();
    loop {
        let memory = async { MemoryNews::Memory(memories.recv().await.ok()) };
        let bookmark = async {
            match bookmarks.recv().await {
                Ok(bookmark) => MemoryNews::Bookmark(bookmark),
                // The memories end with them, and say so.
                Err(_) => future::pending().await,
            }
        };
        let due = desk.due();
        let time = async {
            alarm.wait(due).await;
            MemoryNews::Time
        };
        match future::or(future::or(bookmark, memory), time).await {
            MemoryNews::Memory(Some(memory)) => {
                desk.memory.take(memory, Instant::now() + SAVE_AFTER)
            }
            MemoryNews::Bookmark(bookmark) => desk.bookmark.take(bookmark, Instant::now()),
            MemoryNews::Memory(None) => {
                // The last that was said counts.
                if let Ok(bookmark) = bookmarks.try_recv() {
                    desk.bookmark.take(bookmark, Instant::now());
                }
                return desk.save_all().await;
            }
            MemoryNews::Time => {}
        }
        desk.save_due().await;
    }
}

enum MemoryNews {
    /// Nothing when there will be none any more.
    Memory(Option<Memory>),
    Bookmark(Bookmark),
    Time,
}

struct StateDesk {
    memory: Saving<Memory>,
    bookmark: Saving<Bookmark>,
    place: Place,
    /// Whether what was saved last was.
    works: bool,
    kept: Sender<Result<(), String>>,
}

impl StateDesk {
    fn due(&self) -> Option<Instant> {
        self.memory
            .due()
            .into_iter()
            .chain(self.bookmark.due())
            .min()
    }

    /// Saves what is due.
    async fn save_due(&mut self) {
        if let Some(memory) = self.memory.take_due(Instant::now()) {
            let to = self.place.state_dir().to_owned();
            let (memory, saved) = work::unblock(move || {
                let saved = save(&memory, &to);
                (memory, saved)
            })
            .await;
            self.memory
                .handle_done(memory, saved.is_ok(), Instant::now());
            self.tell(saved).await;
        }
        if let Some(bookmark) = self.bookmark.take_due(Instant::now()) {
            let mut place = self.place.clone();
            let (place, bookmark, saved) = work::unblock(move || {
                let saved = place.put(&bookmark, Instant::now());
                (place, bookmark, saved)
            })
            .await;
            self.place = place;
            self.bookmark
                .handle_done(bookmark, saved.is_ok(), Instant::now());
            self.tell(saved).await;
        }
    }

    /// Saves what there is, due or not: once, since the node ends.
    async fn save_all(mut self) {
        let now = Instant::now();
        self.memory.make_due(now);
        self.bookmark.make_due(now);
        self.save_due().await;
        let Self { mut place, .. } = self;
        work::unblock(move || {
            if let Err(e) = place.end() {
                let at = place.disk();
                log::warn!(
                    "{}: where it was in the music is not remembered: {e}",
                    at.display()
                );
            }
        })
        .await;
    }

    async fn tell(&mut self, saved: io::Result<()>) {
        let fails = self.memory.fails() || self.bookmark.fails();
        if fails != self.works {
            return;
        }
        self.works = !fails;
        let said = match saved {
            Err(e) => {
                let at = self.place.state_dir().display();
                let why = format!(
                    "{at}: queue and volume are not remembered: {e}; make room, or let it be \
                     written; it is tried again"
                );
                log::warn!("{why}");
                Err(why)
            }
            Ok(()) => {
                log::info!("queue and volume are remembered again");
                Ok(())
            }
        };
        let _ = self.kept.send(said).await;
    }
}

/// What was saved last, and how a node goes on with it.
pub struct Loaded {
    pub memory: Memory,
    /// What a person should know of it.
    pub notices: Vec<String>,
    /// When the bookmark was written.
    pub stamp: Option<ClockStamp>,
}

/// Reads what was saved last. What is missing is as if it had never been; what is damaged
/// is put aside.
pub fn load(place: &Place, resume: Resume) -> Loaded {
    let (memory, notice) = load_memory(place.state_dir());
    let mut notices: Vec<_> = notice.into_iter().collect();
    let entry = place.read().unwrap_or_else(|error| {
        let lost = "what was playing, and how loud, is forgotten";
        notices.push(give_up(&place.disk(), &error, lost));
        None
    });
    let Some(entry) = entry else {
        return Loaded {
            memory,
            notices,
            stamp: None,
        };
    };
    let absence = clock::look().absence(&entry.stamp);
    log::debug!("{:?} was written {absence:?} ago", entry.bookmark);
    Loaded {
        memory: memory.go_on(&entry.bookmark, resume, absence),
        notices,
        stamp: Some(entry.stamp),
    }
}

/// Tells `peer` how long it was away, as soon as anybody knows.
pub async fn tell_absence(since: ClockStamp, peer: Handle) {
    let until = Instant::now() + CLOCK_TIMEOUT;
    loop {
        let absence = clock::look().absence(&since);
        if absence != Absence::Unknown || Instant::now() >= until {
            return peer.tell(Event::Absent(absence)).await;
        }
        Timer::after(LOOK_EVERY).await;
    }
}

fn load_memory(state_dir: &Path) -> (Memory, Option<String>) {
    let path = path(state_dir);
    let read = read_whole(&path, MAX_MEMORY_BYTES);
    let read = read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    let error = match read {
        Ok(memory) => return (memory, None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
        Err(error) => error,
    };
    let notice = give_up(&path, &error, "the queue begins anew");
    (Memory::default(), Some(notice))
}

/// Puts a file aside that is of no use, for the reason `why`. Says what is lost with it.
fn give_up(path: &Path, why: &io::Error, lost: &str) -> String {
    let becomes = match put_aside(path) {
        Ok(aside) => format!("is put aside as {}", aside.display()),
        Err(error) => format!("cannot be put aside ({error}): remove it"),
    };
    let at = path.display();
    let notice = format!("{at} cannot be read ({why}) and {becomes}; {lost}");
    log::warn!("{notice}");
    notice
}

/// The volume that was saved last, in per cent; changes nothing.
pub fn remembered_volume(state_dir: &Path) -> Option<u8> {
    if let Ok(Some(entry)) = Slots::read(&place::on_disk(state_dir)) {
        return Some(entry.bookmark.volume);
    }
    let bytes = read_whole(&path(state_dir), MAX_MEMORY_BYTES).ok()?;
    let memory: Memory = serde_json::from_slice(&bytes).ok()?;
    Some(memory.volume)
}

/// Replaces what was saved, whole or not at all.
///
/// # Errors
/// When the state directory cannot be written.
fn save(memory: &Memory, state_dir: &Path) -> io::Result<()> {
    make_again(state_dir)?;
    replace(&path(state_dir), &serde_json::to_vec(memory)?)
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("memory.json")
}

/// A full queue with the longest names has less.
const MAX_MEMORY_BYTES: u64 = 64 << 20;
/// A speaker is unplugged rather than stopped, and an SD card wears by being
/// written: a person fills a queue track by track.
const SAVE_AFTER: Duration = Duration::from_secs(2);
/// A Pi has heard the time within so long of its start, or has no network.
const CLOCK_TIMEOUT: Duration = Duration::from_secs(120);
/// Nothing tells of a clock that is set.
const LOOK_EVERY: Duration = Duration::from_secs(2);
