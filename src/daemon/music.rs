//! The library of this machine's music, on the daemon's disk and threads.

use std::{
    path::PathBuf,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
};

use async_channel::Receiver;
use smol::{future, Task};

use super::{machine, DaemonError, StateDir};
use crate::{
    catalog::MemoryQuota,
    content::{
        disk::FencedDisk,
        hash::{self, Hashed},
        store::Store,
    },
    fence::Fence,
    identity::Identity,
    library::{self, Library},
    media,
    util::work,
};

/// Opens the library, whose hashes `store` learns. It is told of the music directories by
/// [`Library::set_music`].
pub fn open(
    state: &StateDir,
    identity: &Identity,
    (store, fence): (Arc<Store>, Fence),
) -> Result<(Library, Receiver<library::LibraryEvent>), DaemonError> {
    let disk = FencedDisk(fence.clone());
    let signer = identity.clone();
    let (library, events) = Library::open(library::LibrarySetup {
        state: state.path().into(),
        me: identity.peer_id(),
        sign: Box::new(move |message| signer.sign(message)),
        // As much as for the lists of all others.
        room: MemoryQuota::of(machine::memory()).all,
        fence,
        probe: Arc::new(media::probe::probe),
        hash: Arc::new(move |path, progress| {
            let cancel = AtomicBool::new(false);
            let told = |done| {
                if progress(done).is_break() {
                    cancel.store(true, Ordering::Relaxed);
                }
            };
            let hashed = hash::hash_file(&disk, path, &cancel, told);
            let Hashed { outboard, stamp } = hashed.map_err(|e| e.to_string())?;
            // The peer that asked for the hash asks for the track next, long before
            // the catalogue tells of it, and need not wait for a second read.
            store.add_file(outboard.track, outboard.size, path.into(), stamp.modified);
            if let Err(e) = store.keep_outboard(&outboard) {
                log::debug!("a hash tree is not kept: {e}");
            }
            Ok(outboard.track)
        }),
    })?;
    Ok((library, events))
}

/// Scans, hashes and watches the music, on a thread of its own that
/// [`Library::end`] ends, and then closes the channel. Files that `doubts` names are read
/// again.
pub fn run(
    library: &Arc<Library>,
    doubts: Receiver<PathBuf>,
) -> Result<(Task<()>, Receiver<()>), DaemonError> {
    let (watching, scanning) = (library.clone(), library.clone());
    let (ended, indexed) = async_channel::bounded(1);
    std::thread::Builder::new()
        .name("library".into())
        .spawn(move || {
            scanning.run();
            drop(ended);
        })
        .map_err(|source| DaemonError::System {
            what: "start the library's thread",
            source,
        })?;
    let watching = work::spawn(async move {
        let doubting = async {
            while let Ok(path) = doubts.recv().await {
                watching.doubt(&path);
            }
        };
        future::zip(doubting, watching.watch()).await;
    });
    Ok((watching, indexed))
}
