//! SIGHUP: reads the configuration, the keys and the library again.
//!
//! What can take effect does so at once. What cannot is named, in the log and
//! in `status`, until the node is restarted or the key is put back. A file with
//! a mistake in it changes nothing, and is named with line and key.

use std::path::{Path, PathBuf};

use super::{logging::Limit, parts::Running};
use crate::{
    config::{self, changes, Config, ConfigChanges, ConfigError, LivePart},
    identity::{self, Identity, KeyFileError, SwarmKey},
    util::work,
};

/// What the node runs with, and what that comes from.
pub struct Reloader {
    pub path: PathBuf,
    pub running: Config,
    /// The first is shown, all are believed.
    pub keys: Vec<SwarmKey>,
    pub identity: Identity,
    /// `None` where somebody else does the logging.
    pub log: Option<Limit>,
}

/// Why nothing has changed.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("{}", .0.in_a_line())]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

/// The keys of the configured swarm; the open one's where there is none.
///
/// # Errors
/// Names the file, and the line where one is at fault.
pub fn read_keys(config: &Config) -> Result<Vec<SwarmKey>, KeyFileError> {
    match &config.swarm.key_file {
        Some(path) => identity::read_keys(path),
        None => Ok(vec![SwarmKey::OPEN]),
    }
}

impl Reloader {
    /// Reads everything again and makes `node` go by it.
    pub async fn reload(&mut self, node: &Running) {
        let path = self.path.clone();
        match work::unblock(move || read(&path)).await {
            Ok((config, keys)) => self.take(&config, keys, node).await,
            Err(why) => {
                let why = format!("the configuration stays as it was: {why}");
                log::error!("{why}");
                node.configure(&ConfigChanges::default(), &self.running, vec![why])
                    .await;
            }
        }
    }

    async fn take(&mut self, read: &Config, keys: Vec<SwarmKey>, node: &Running) {
        let changes = changes(&self.running, read);
        let mut at_once = changes.at_once();
        // Where one file of keys took the place of none, they wait, too.
        let is_open = self.running.swarm.key_file.is_none();
        if keys != self.keys && is_open == read.swarm.key_file.is_none() {
            if let Err(e) = self.identity.use_keys(&keys) {
                log::error!("the swarm's keys stay as they were: {e}");
            } else {
                self.keys = keys;
                node.handle_keys().await;
                at_once.retain(|key| *key != "swarm.key_file");
                at_once.push("swarm.key_file");
            }
        }
        changes.apply_to(&mut self.running, read);
        let notices: Vec<String> = changes
            .at_restart
            .iter()
            .map(|key| at_restart(key, &self.path))
            .collect();
        // Said in the louder of the two levels, or it would not be said.
        let level = self.running.log.level;
        let is_other = changes.parts().contains(&LivePart::Log);
        let log = self.log.as_ref().filter(|_| is_other);
        if let Some(log) = log {
            log.set(level.max(log::max_level()));
        }
        match at_once.is_empty() {
            true => log::info!("reading the library again; nothing else takes effect now"),
            false => log::info!(
                "reading the library again; in effect now: {}",
                at_once.join(", ")
            ),
        }
        notices.iter().for_each(|notice| log::warn!("{notice}"));
        if let Some(log) = log {
            log.set(level);
        }
        node.configure(&changes, &self.running, notices).await;
    }
}

fn read(path: &Path) -> Result<(Config, Vec<SwarmKey>), ReloadError> {
    let config = config::load(path)?;
    let keys = read_keys(&config)?;
    Ok((config, keys))
}

fn at_restart(key: &str, path: &Path) -> String {
    format!(
        "`{key}` has changed in {}: that takes effect when p2pmusic is restarted \
         (`sudo systemctl restart p2pmusic`)",
        path.display()
    )
}
