//! Where a node's memory is kept: in the state directory, as JSON.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use async_channel::{Receiver, Sender};
use smol::{future, Timer};

use crate::{aside::put_aside, node::Memory};

/// Saves what comes out of `memories`, a little later than it comes, since more
/// follows when somebody turns a knob; the last at once, when the node ends.
///
/// Tells whether that worked, as often as that changes.
pub async fn keep(
    memories: Receiver<Memory>,
    state_dir: PathBuf,
    kept: Sender<Result<(), String>>,
) {
    let mut works = true;
    while let Ok(mut memory) = memories.recv().await {
        let newer = async {
            while let Ok(latest) = memories.recv().await {
                memory = latest;
            }
        };
        let rest = async { _ = Timer::after(SAVE_AFTER).await };
        future::or(newer, rest).await;
        let to = state_dir.clone();
        let saved = smol::unblock(move || save(&memory, &to)).await;
        let saved = saved.map_err(|e| {
            let at = state_dir.display();
            format!(
                "{at}: queue and volume are not remembered: {e}; make room, or let it be written"
            )
        });
        if saved.is_ok() != std::mem::replace(&mut works, saved.is_ok()) {
            match &saved {
                Ok(()) => log::info!("queue and volume are remembered again"),
                Err(why) => log::warn!("{why}"),
            }
            let _ = kept.send(saved).await;
        }
    }
}

/// What was saved last, and what a person should know of that. What is missing is
/// as if it had never been; what is damaged is put aside.
pub fn load(state_dir: &Path) -> (Memory, Option<String>) {
    let path = path(state_dir);
    let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    let error = match read {
        Ok(memory) => return (memory, None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Default::default(),
        Err(error) => error,
    };
    let becomes = match put_aside(&path) {
        Ok(aside) => format!("is put aside as {}", aside.display()),
        Err(error) => format!("cannot be put aside ({error}): remove it"),
    };
    let notice = format!(
        "{} cannot be read ({error}) and {becomes}; queue and volume begin anew",
        path.display()
    );
    log::warn!("{notice}");
    (Memory::default(), Some(notice))
}

/// The volume that was saved last, in per cent; changes nothing.
pub fn remembered_volume(state_dir: &Path) -> Option<u8> {
    let bytes = fs::read(path(state_dir)).ok()?;
    let memory: Memory = serde_json::from_slice(&bytes).ok()?;
    Some(memory.volume)
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
