//! Where a node's memory is kept: in the state directory, as JSON.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use async_channel::Receiver;
use smol::{future, Timer};

use crate::node::Memory;

/// Saves what comes out of `memories`, a little later than it comes, since more
/// follows when somebody turns a knob; the last at once, when the node ends.
pub async fn keep(memories: Receiver<Memory>, state_dir: PathBuf) {
    while let Ok(mut memory) = memories.recv().await {
        let newer = async {
            while let Ok(latest) = memories.recv().await {
                memory = latest;
            }
        };
        let rest = async { _ = Timer::after(SAVE_AFTER).await };
        future::or(newer, rest).await;
        let to = state_dir.clone();
        if let Err(e) = smol::unblock(move || save(&memory, &to)).await {
            log::warn!(
                "{}: queue and volume are not remembered: {e}",
                state_dir.display()
            );
        }
    }
}

/// What was saved last. What is damaged or missing is as if it had never been.
pub fn load(state_dir: &Path) -> Memory {
    let text = fs::read_to_string(path(state_dir)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Replaces what was saved, whole or not at all.
///
/// # Errors
/// When the state directory cannot be written.
fn save(memory: &Memory, state_dir: &Path) -> io::Result<()> {
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

/// A speaker is unplugged rather than stopped, and an SD card wears by being
/// written.
const SAVE_AFTER: Duration = Duration::from_secs(5);
