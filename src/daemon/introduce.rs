//! How a node introduces itself: to its own brain, and to trackers.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{machine, network::NetworkView, trial};
use crate::{
    config::Config,
    identity::Identity,
    node::{Event, Memory, NodeSetup},
    tracker::link::Introduction,
};

/// The configured name, or the host's.
pub fn name(config: &Config) -> String {
    let host = || nix::unistd::gethostname().ok()?.into_string().ok();
    let configured = config.name.as_ref().map(|name| name.0.clone());
    configured
        .or_else(host)
        .unwrap_or_else(|| "p2pmusic".into())
}

/// What the node is told of itself.
pub fn setup(
    config: &Config,
    identity: &Identity,
    memory: Memory,
    network: &NetworkView,
) -> NodeSetup {
    NodeSetup {
        me: identity.peer_id(),
        name: name(config),
        name_is_chosen: config.name.is_some(),
        role: config.role,
        interfaces: network.interfaces.clone(),
        memory,
        found: identity.notice().into_iter().collect(),
        max_volume: config.audio.max_volume,
        names_others: trial::names_others(),
        seed: seed(identity),
        memory_bytes: machine::memory(),
        known_after: trial::known_after(),
    }
}

/// What it is told of a configuration that was read again, and of what a person must know
/// of that.
pub fn configured(config: &Config, notices: Vec<String>) -> Event {
    Event::Configured {
        max_volume: config.audio.max_volume,
        notices,
    }
}

/// How this node introduces itself to a tracker.
pub fn introduction(config: &Config, port: u16, memory: &Memory) -> Introduction {
    let name = name(config);
    let known_as = memory.known_as.clone();
    let known_as = known_as.filter(|(of, _)| *of == name);
    Introduction {
        known_as: known_as.map(|(_, known_as)| known_as),
        name,
        name_chosen: config.name.is_some(),
        port,
        bound: Some(config.peer.listen.ip()).filter(|ip| !ip.is_unspecified()),
    }
}

/// A seed that differs from node to node and from start to start.
pub fn seed(identity: &Identity) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = identity.peer_id().0;
    let start = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ start.as_nanos() as u64
}
