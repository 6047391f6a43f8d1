//! The identity is on the disk as long as the node runs, and so is the lock of its directory.
//!
//! A person tidying up, or a script that makes room, removes them with the rest of the state
//! directory. The node knows the one by heart, and makes the other anew.

use std::time::Duration;

use smol::Timer;

use super::{dirs::StateDir, parts::Running};
use crate::{identity::Identity, util::work};

/// Looks now and then whether both are on their disk, and writes them where they are not.
/// Has `node` show what a person should know of the identity then.
pub async fn keep(identity: Identity, state: &StateDir, node: &Running) {
    let (mut said, mut said_of_lock) = (None, None);
    loop {
        Timer::after(LOOK_EVERY).await;
        let (dir, lock) = (state.path().to_owned(), state.lock().clone());
        let identity = identity.clone();
        // The lock first: what another node has written there by then is that node's.
        let looked = work::unblock(move || (lock.take_again(), identity.write_again(&dir)));
        let (lock, found) = looked.await;
        if let Some(lock) = lock.filter(|lock| said_of_lock.as_ref() != Some(lock)) {
            log::warn!("{lock}");
            said_of_lock = Some(lock);
        }
        match &found {
            Some(_) if found == said => continue,
            Some(Ok(notice) | Err(notice)) => log::warn!("{notice}"),
            // What was written again stays worth knowing.
            None if !matches!(said, Some(Err(_))) => continue,
            None => log::info!("the node's identity is on its disk again"),
        }
        said.clone_from(&found);
        let notice = found.map(|(Ok(notice) | Err(notice))| notice);
        node.tell_of_identity(notice).await;
    }
}

/// A look costs nothing, and nobody restarts a speaker sooner by chance.
const LOOK_EVERY: Duration = Duration::from_secs(10);
