//! What a node remembers of how it was used.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Kept in the state directory, as JSON. What is damaged or missing is as if
/// it had never been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// In per cent.
    pub volume: u8,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            volume: FIRST_VOLUME,
        }
    }
}

impl Memory {
    pub fn load(state_dir: &Path) -> Self {
        let text = fs::read_to_string(path(state_dir)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Replaces what was remembered, whole or not at all.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub fn save(&self, state_dir: &Path) -> io::Result<()> {
        let (path, temporary) = (path(state_dir), state_dir.join("memory.json.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(state_dir)?.sync_all()
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("memory.json")
}

/// Loud enough to be heard, not loud enough to frighten: nobody knows yet what
/// amplifier is behind the DAC.
const FIRST_VOLUME: u8 = 30;
