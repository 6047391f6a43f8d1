//! A file whose writes are timed.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, DiskStamp};
use crate::content::slow::WritePace;

/// The pace of a disk, which all of its files that arrive share.
#[derive(Clone)]
pub struct Timing {
    disk: Arc<dyn Disk>,
    pace: Arc<Mutex<WritePace>>,
}

impl Timing {
    pub fn of(disk: Arc<dyn Disk>) -> Self {
        let pace = Arc::default();
        Self { disk, pace }
    }

    pub fn pace(&self) -> MutexGuard<'_, WritePace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the writes to `file` count.
    pub fn timed(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let timing = self.clone();
        Box::new(Timed { file, timing })
    }
}

struct Timed {
    file: Box<dyn DiskFile>,
    timing: Timing,
}

impl DiskFile for Timed {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let begun = self.timing.disk.now();
        self.file.write_at(offset, bytes)?;
        let now = self.timing.disk.now();
        let took = now.saturating_duration_since(begun);
        self.timing.pace().handle_write(bytes.len(), took, now);
        Ok(())
    }

    fn stamp(&self) -> io::Result<DiskStamp> {
        self.file.stamp()
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
