//! Where a node's memory is kept: in the state directory, as JSON.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::node::Memory;

/// What was saved last. What is damaged or missing is as if it had never been.
pub fn load(state_dir: &Path) -> Memory {
    let text = fs::read_to_string(path(state_dir)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Replaces what was saved, whole or not at all.
///
/// # Errors
/// When the state directory cannot be written.
pub fn save(memory: &Memory, state_dir: &Path) -> io::Result<()> {
    let temporary = state_dir.join("memory.json.new");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(memory)?)?;
    file.sync_all()?;
    fs::rename(&temporary, path(state_dir))?;
    File::open(state_dir)?.sync_all()
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("memory.json")
}
