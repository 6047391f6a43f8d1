//! The identity is on the disk as long as the node runs.
//!
//! A person tidying up, or a script that makes room, removes it with the rest of the state
//! directory. The node knows it by heart.

use std::{path::PathBuf, time::Duration};

use smol::Timer;

use super::parts::Running;
use crate::{identity::Identity, node::Event};

/// Looks now and then whether the identity is on its disk, and writes it where it is not.
/// Has `node` show what a person should know of that.
pub async fn keep(identity: Identity, state_dir: PathBuf, node: &Running) {
    let mut said = None;
    loop {
        Timer::after(LOOK_EVERY).await;
        let (identity, dir) = (identity.clone(), state_dir.clone());
        let found = smol::unblock(move || identity.write_again(&dir)).await;
        if found.is_none() || found == said {
            continue;
        }
        said.clone_from(&found);
        let Some(notice) = found else { continue };
        log::warn!("{notice}");
        match &node.peer {
            Some(speaker) => speaker.handle.tell(Event::IdentityLost(notice)).await,
            None => _ = node.lost.force_send(notice),
        }
    }
}

/// A look costs nothing, and nobody restarts a speaker sooner by chance.
const LOOK_EVERY: Duration = Duration::from_secs(10);
