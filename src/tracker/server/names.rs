//! Which node has which name, in a file of the state directory, so that a tracker that was
//! restarted gives nobody's name to another.
//!
//! The file is written anew when a name has come or gone, some times a day since it tells how
//! long nodes were not seen, and never often: cards wear.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    aside::{put_aside, read_whole, replace},
    tenure::TenureRecord,
};

/// See the module's description.
#[derive(Debug, Default)]
pub struct NameFile {
    /// Of a tracker that is to remember.
    path: Option<PathBuf>,
    is_saving: bool,
    last: Option<Instant>,
    due: Option<Instant>,
    /// Why the last was not saved.
    failed: Option<String>,
    /// What was wrong with the file at the start.
    notice: Option<String>,
}

impl NameFile {
    /// The file in `state_dir`, and what it says. What cannot be read is put aside.
    pub fn open(state_dir: &Path) -> (Self, Vec<TenureRecord>) {
        let path = state_dir.join("names.json");
        let (records, notice) = match read(&path) {
            Ok(records) => (records, None),
            Err(error) => (Vec::new(), Some(set_aside(&path, &error))),
        };
        let this = Self {
            path: Some(path),
            notice,
            ..Self::default()
        };
        (this, records)
    }

    /// What a person should know of it.
    pub fn problems(&self) -> impl Iterator<Item = String> + '_ {
        self.failed.iter().chain(&self.notice).cloned()
    }

    /// A name has come or gone.
    pub fn handle_news(&mut self, now: Instant) {
        let paced = self.last.map_or(now, |last| last + APART);
        let due = paced.max(now + SOON);
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// When [`Self::begin`] has something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.filter(|_| self.path.is_some() && !self.is_saving)
    }

    /// Where to save now, if it is time; answered by [`Self::handle_saved`].
    pub fn begin(&mut self, now: Instant) -> Option<PathBuf> {
        self.poll_timeout().filter(|due| *due <= now)?;
        self.is_saving = true;
        self.last = Some(now);
        self.due = Some(now + ANYWAY);
        self.path.clone()
    }

    pub fn handle_saved(&mut self, saved: io::Result<()>, now: Instant) {
        self.is_saving = false;
        let why = saved.err().map(|error| {
            let path = self.path.as_deref().unwrap_or(Path::new("names.json"));
            format!(
                "{}: names are not remembered: {error}; make room, or let it be written; it is \
                 tried again",
                path.display()
            )
        });
        if let Some(why) = &why {
            self.due = Some(now + AGAIN);
            if self.failed.is_none() {
                log::warn!("{why}");
            }
        }
        self.failed = why;
    }
}

fn read(path: &Path) -> io::Result<Vec<TenureRecord>> {
    match read_whole(path, MAX_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        bytes => Ok(serde_json::from_slice(&bytes?)?),
    }
}

/// Puts the file aside, and says so.
fn set_aside(path: &Path, error: &io::Error) -> String {
    let becomes = match put_aside(path) {
        Ok(aside) => format!("is put aside as {}", aside.display()),
        Err(error) => format!("cannot be put aside ({error}): remove it"),
    };
    let notice = format!(
        "{} cannot be read ({error}) and {becomes}; a node that is off may find its name \
         another's",
        path.display()
    );
    log::warn!("{notice}");
    notice
}

/// Replaces what was saved, whole or not at all.
///
/// # Errors
/// When the state directory cannot be written.
pub fn save(path: &Path, records: &[TenureRecord]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // The directory may have been removed; the one that it lies in is not made, since a disk
    // that is not mounted looks the same.
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    replace(path, &serde_json::to_vec(records)?)
}

/// A house that is switched on is written down once.
const SOON: Duration = Duration::from_secs(2);
/// Nodes that come and go, or a member that wants the card worn.
const APART: Duration = Duration::from_secs(60);
/// As much is forgotten of how long nodes were away, where the power is cut.
const ANYWAY: Duration = Duration::from_secs(6 * 3600);
/// A disk that is full or gone.
const AGAIN: Duration = Duration::from_secs(300);
/// Twice what all names together take.
const MAX_FILE: u64 = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PeerId;

    fn record(n: u8) -> TenureRecord {
        TenureRecord {
            peer: PeerId([n; 32]),
            name: "k".repeat(63),
            address: [255; 8].map(|n: u16| n * 257).into(),
            unseen: u64::MAX,
            is_settled: false,
        }
    }

    #[test]
    fn what_is_saved_is_read_and_what_is_damaged_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let path = state.join("names.json");
        let records = vec![record(1), record(2)];
        save(&path, &records).unwrap();
        let (file, read) = NameFile::open(&state);
        assert_eq!((read, file.problems().count()), (records, 0));
        fs::write(&path, "[{").unwrap();
        let (file, read) = NameFile::open(&state);
        assert_eq!(read, []);
        let notice = file.problems().next().unwrap();
        assert!(notice.contains("names.json.damaged"), "{notice}");
        assert!(!path.exists());
    }

    #[test]
    fn the_most_there_is_can_be_read_again() {
        let most = vec![record(255); 2 * crate::tenure::MAX_AWAY];
        let bytes = serde_json::to_vec(&most).unwrap().len() as u64;
        assert!(2 * bytes <= MAX_FILE, "{bytes}");
    }

    #[test]
    fn it_is_written_seldom_and_what_fails_is_tried_again() {
        let begin = Instant::now();
        let (mut file, _) = NameFile::open(Path::new("/nowhere"));
        let mut written = 0;
        for second in 0..3600 {
            let now = begin + Duration::from_secs(second);
            file.handle_news(now);
            if file.begin(now).is_some() {
                written += 1;
                file.handle_saved(Ok(()), now);
            }
        }
        assert_eq!(written, 60);
        let now = begin + ANYWAY;
        assert!(file.begin(now).is_some());
        file.handle_saved(Err(io::ErrorKind::StorageFull.into()), now);
        assert_eq!(file.poll_timeout(), Some(now + AGAIN));
        assert!(file.problems().next().unwrap().contains("tried again"));
    }
}
