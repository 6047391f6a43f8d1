//! When it is written down which node has which name: see `name_file`.
//!
//! The file is written anew when a name has come or gone, some times a day since it tells how
//! long nodes were not seen, and never often: cards wear.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
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
    /// The file at `path`, of which that was wrong at the start.
    pub fn new(path: PathBuf, notice: Option<String>) -> Self {
        Self {
            path: Some(path),
            notice,
            ..Self::default()
        }
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

    pub fn handle_saved(&mut self, saved: Result<(), String>, now: Instant) {
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

/// A house that is switched on is written down once.
const SOON: Duration = Duration::from_secs(2);
/// Nodes that come and go, or a member that wants the card worn.
const APART: Duration = Duration::from_secs(60);
/// As much is forgotten of how long nodes were away, where the power is cut.
const ANYWAY: Duration = Duration::from_secs(6 * 3600);
/// A disk that is full or gone.
const AGAIN: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_seldom_and_what_fails_is_tried_again() {
        let begin = Instant::now();
        let mut file = NameFile::new("/nowhere".into(), None);
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
        file.handle_saved(Err("no storage space".into()), now);
        assert_eq!(file.poll_timeout(), Some(now + AGAIN));
        assert!(file.problems().next().unwrap().contains("tried again"));
    }
}
