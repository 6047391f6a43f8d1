//! Control groups, by which a test makes a machine small.
#![allow(dead_code)] // each test file uses a part of it

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// A control group with a limit of memory; it is removed with it.
pub struct Group(PathBuf);

impl Group {
    /// Makes one of version 1 or 2; where that cannot be, says why.
    pub fn try_new(limit: u64) -> Result<Self, String> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("p2pmusic-test-{}-{number}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (dir, file) = match v1.is_dir() {
            true => (v1.join(name), "memory.limit_in_bytes"),
            false => (Path::new("/sys/fs/cgroup").join(name), "memory.max"),
        };
        fs::create_dir(&dir).map_err(|e| format!("no control group can be made: {e}"))?;
        let group = Self(dir);
        let set = fs::write(group.0.join(file), limit.to_string());
        set.map_err(|e| format!("no limit of memory can be set: {e}"))?;
        // Where there is swap, it does not count.
        let _ = fs::write(group.0.join("memory.swap.max"), "0");
        Ok(group)
    }

    /// The words before a command that is to run in it.
    pub fn prefix(&self) -> Vec<String> {
        let procs = self.0.join("cgroup.procs");
        let enter = format!("echo $$ > {} && exec \"$@\"", procs.display());
        ["sh", "-c", &enter, "sh"].map(str::to_owned).into()
    }

    /// The most that it had, in bytes, with what the kernel keeps of files.
    pub fn peak(&self) -> Option<u64> {
        let files = ["memory.max_usage_in_bytes", "memory.peak"];
        let mut texts = files
            .iter()
            .flat_map(|file| fs::read_to_string(self.0.join(file)));
        texts.next()?.trim().parse().ok()
    }

    /// How many processes in it were killed for want of memory.
    pub fn killed(&self) -> Option<u64> {
        let files = ["memory.oom_control", "memory.events"];
        let texts = files.map(|file| fs::read_to_string(self.0.join(file)));
        let mut lines = texts.iter().flatten().flat_map(|text| text.lines());
        let count = lines.find_map(|line| line.strip_prefix("oom_kill "))?;
        count.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // While somebody is in it it stays; nothing else of it remains.
        let _ = fs::remove_dir(&self.0);
    }
}
