//! What goes by other values of the configuration while it runs. It is given them at the start
//! as it is later, when the configuration is read again.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
};

use async_channel::{Receiver, Sender};

use crate::{
    config::{live_parts, Config, LivePart, TrackerAt},
    content::store::Store,
    library::Library,
    swarm::provide::SharedBudget,
    util::work,
};

/// The parts of a speaker that the configuration can change.
#[derive(Clone)]
pub struct LiveParts {
    pub library: Arc<Library>,
    pub store: Arc<Store>,
    pub budget: SharedBudget,
    /// Where the tracker is wanted to be; the latest counts.
    tracker_at: Sender<TrackerAt>,
    /// Where the numbers for Prometheus are wanted; the latest counts.
    prometheus: Sender<Option<PathBuf>>,
}

/// What comes out of a configuration, again with each change.
pub struct LiveValues {
    pub tracker_at: Receiver<TrackerAt>,
    pub prometheus: Receiver<Option<PathBuf>>,
}

impl LiveParts {
    pub fn new(library: Arc<Library>, store: Arc<Store>) -> (Self, LiveValues) {
        let (tracker_at, tracker_wanted) = async_channel::bounded(1);
        let (prometheus, file_wanted) = async_channel::bounded(1);
        let parts = Self {
            library,
            store,
            budget: SharedBudget::default(),
            tracker_at,
            prometheus,
        };
        let values = LiveValues {
            tracker_at: tracker_wanted,
            prometheus: file_wanted,
        };
        (parts, values)
    }

    /// Has all of them go by `config`.
    pub fn begin(&self, config: &Config) {
        live_parts().for_each(|part| self.apply(part, config));
    }

    /// Has `parts` go by `config` from now on.
    pub async fn change(&self, parts: Vec<LivePart>, config: &Config) {
        let (live, config) = (self.clone(), config.clone());
        work::unblock(move || {
            parts.iter().for_each(|part| live.apply(*part, &config));
            if parts.contains(&LivePart::Store) {
                live.library.set_held(&live.store.held());
            }
        })
        .await;
    }

    /// May wait for a disk.
    fn apply(&self, part: LivePart, config: &Config) {
        match part {
            LivePart::Library => {
                let peer = &config.peer;
                self.library.set_music(&peer.music, peer.follow_links);
            }
            LivePart::Store => {
                if let Err(e) = self.store.set_cap(config.cache.max.0) {
                    log::warn!("the cache cannot be made smaller: {e}");
                }
            }
            LivePart::Budget => {
                let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
                budget.set_rate(config.peer.upload.map(|rate| rate.0));
            }
            LivePart::TrackerLink => {
                // The link lives as long as the peer.
                let _ = self.tracker_at.force_send(config.peer.tracker.clone());
            }
            LivePart::Exposition => {
                // It is kept as long as the peer lives.
                let _ = self.prometheus.force_send(config.stats.prometheus.clone());
            }
            // The process has the log and the keys, with a speaker or without (`reload`), and
            // the node is told of every reload (`introduce`).
            LivePart::Log | LivePart::Keys | LivePart::Node => {}
        }
    }
}
