//! Where it is written where a node is in its music, and how often.
//!
//! A write costs a disk more than its sector: the file's time changes, too, and a file system
//! with a journal writes some 10 KB for that every time. So what changes by itself, the position,
//! goes to the disk once a minute; in between it goes to a file beside the control socket, if
//! that directory is in memory. That one outlives the process, though not the machine: after a
//! power cut the music goes on up to a minute earlier. What somebody has done goes to both at
//! once.

mod turns;

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Instant,
};

use nix::{sys::statfs, unistd::geteuid};

use self::turns::{later, waits};
use super::{
    clock,
    dirs::make_again,
    slots::{content::SlotContent, Slots},
};
use crate::node::Bookmark;

/// See the module's description.
#[derive(Clone, Debug)]
pub struct Place {
    state_dir: PathBuf,
    /// In memory.
    brief: Option<PathBuf>,
    /// What the disk has, and since when.
    written: Option<(Bookmark, Instant)>,
    /// What only the memory has.
    unwritten: Option<SlotContent>,
}

impl Place {
    /// Of the node whose state is in `state_dir`, and which is reached at `socket`.
    pub fn new(state_dir: &Path, socket: &Path) -> Self {
        let brief = socket.parent().filter(|dir| is_ours_in_memory(dir));
        let name = socket.file_name().unwrap_or_default().display();
        Self {
            state_dir: state_dir.to_owned(),
            brief: brief.map(|dir| dir.join(format!("{name}.place"))),
            written: None,
            unwritten: None,
        }
    }

    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    pub fn disk(&self) -> PathBuf {
        on_disk(&self.state_dir)
    }

    /// Writes `bookmark`, to the disk too if need be.
    ///
    /// # Errors
    /// What the disk says.
    pub fn put(&mut self, bookmark: &Bookmark, now: Instant) -> io::Result<()> {
        let entry = SlotContent {
            bookmark: bookmark.clone(),
            stamp: clock::now(),
        };
        let in_memory = |path: &PathBuf| Slots::open(path)?.write(&entry);
        let is_kept = self
            .brief
            .as_ref()
            .is_some_and(|path| in_memory(path).is_ok());
        let written = self.written.as_ref();
        if is_kept && written.is_some_and(|written| waits(written, bookmark, now)) {
            self.unwritten = Some(entry);
            return Ok(());
        }
        self.put_on_disk(&entry)?;
        self.unwritten = None;
        self.written = Some((entry.bookmark, now));
        Ok(())
    }

    fn put_on_disk(&self, entry: &SlotContent) -> io::Result<()> {
        make_again(&self.state_dir)?;
        Slots::open(&self.disk())?.write(entry)
    }

    /// The process ends: what only the memory has goes to the disk, too.
    ///
    /// # Errors
    /// What the disk says.
    pub fn end(&mut self) -> io::Result<()> {
        match self.unwritten.take() {
            Some(entry) => self.put_on_disk(&entry),
            None => Ok(()),
        }
    }

    /// What was written last, if anything was.
    ///
    /// # Errors
    /// When what is on the disk cannot be read.
    pub fn read(&self) -> io::Result<Option<SlotContent>> {
        let brief = self.brief.as_deref();
        let brief = brief.and_then(|path| Slots::read(path).ok().flatten());
        Ok(later(Slots::read(&self.disk())?, brief))
    }
}

/// Where the disk has it.
pub fn on_disk(state_dir: &Path) -> PathBuf {
    state_dir.join("place")
}

/// Whether `dir` is in memory, and nobody else can lay a file there.
fn is_ours_in_memory(dir: &Path) -> bool {
    let is_in_memory = |fs: statfs::Statfs| fs.filesystem_type() == statfs::TMPFS_MAGIC;
    let is_ours = |found: fs::Metadata| {
        found.uid() == geteuid().as_raw() && found.mode() & WRITABLE_BY_OTHERS == 0
    };
    statfs::statfs(dir).is_ok_and(is_in_memory) && fs::metadata(dir).is_ok_and(is_ours)
}

const WRITABLE_BY_OTHERS: u32 = 0o022;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::playback::{queue::Options, transport::PlayState};

    fn bookmark(seconds: u64) -> Bookmark {
        Bookmark {
            song: None,
            state: PlayState::Play,
            at: Duration::from_secs(seconds),
            volume: 30,
            options: Options::default(),
        }
    }

    /// A place on a disk and, by a directory that stands for one, in memory.
    fn place(dir: &Path, has_memory: bool) -> Place {
        let brief = dir.join("brief");
        fs::create_dir_all(&brief).unwrap();
        Place {
            state_dir: dir.join("state"),
            brief: has_memory.then(|| brief.join("ctl.sock.place")),
            written: None,
            unwritten: None,
        }
    }

    fn seconds(entry: Option<SlotContent>) -> Option<u64> {
        Some(entry?.bookmark.at.as_secs())
    }

    /// How often the disk is written to in 600 s of playing, and what is read then.
    fn writes(place: &mut Place, begin: Instant) -> (usize, Option<u64>) {
        let (mut writes, mut before) = (0, None);
        for second in (0..600).step_by(4) {
            place
                .put(&bookmark(second), begin + Duration::from_secs(second))
                .unwrap();
            let on_disk = seconds(Slots::read(&place.disk()).unwrap());
            writes += usize::from(on_disk != before);
            before = on_disk;
        }
        (writes, seconds(place.read().unwrap()))
    }

    #[test]
    fn a_position_goes_to_the_disk_once_a_minute_where_memory_has_it() {
        let begin = Instant::now();
        for (has_memory, expected) in [(true, 10), (false, 150)] {
            let dir = tempfile::tempdir().unwrap();
            let mut place = place(dir.path(), has_memory);
            assert_eq!(writes(&mut place, begin), (expected, Some(596)));
        }
        // It is full, or somebody has removed it.
        let dir = tempfile::tempdir().unwrap();
        let mut place = place(dir.path(), true);
        fs::remove_dir(dir.path().join("brief")).unwrap();
        assert_eq!(writes(&mut place, begin), (150, Some(596)));
    }

    #[test]
    fn what_somebody_does_and_what_is_last_goes_to_the_disk_at_once() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let change = |make: fn(&mut Bookmark)| {
            let mut changed = bookmark(8);
            make(&mut changed);
            changed
        };
        for (changed, is_change) in [
            (bookmark(8), false),
            (change(|it| it.volume = 31), true),
            (change(|it| it.state = PlayState::Pause), true),
            (change(|it| it.options.random = true), true),
            (change(|it| it.at = Duration::from_secs(70)), true),
            (change(|it| it.at = Duration::from_secs(2)), true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut place = place(dir.path(), true);
            place.put(&bookmark(4), at(4)).unwrap();
            place.put(&changed, at(8)).unwrap();
            let on_disk = |place: &Place| Slots::read(&place.disk()).unwrap().unwrap().bookmark;
            assert_eq!(on_disk(&place) == changed, is_change, "{changed:?}");
            place.end().unwrap();
            assert_eq!(on_disk(&place), changed);
        }
    }

    #[test]
    fn a_directory_that_others_write_to_is_not_used() {
        let shared = Path::new("/dev/shm");
        assert!(!is_ours_in_memory(shared), "everybody writes there");
        assert!(!is_ours_in_memory(Path::new("/nowhere")));
    }
}
