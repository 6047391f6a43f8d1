//! Looking at the machine. Everything here may wait; nothing decides.

mod files;
mod machine;
mod multicast;
mod network;
mod node;
mod runner;
mod sound;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use super::{
    aside::{self, Aside},
    facts::{Facts, Node, Read, Settings},
    person::Person,
};
use crate::{
    config::{Config, TrackerAt, DEFAULT_PATH},
    daemon::dirs,
};

/// Looks at everything, with the configuration at `path`.
pub fn look(path: &Path) -> Facts {
    let until = Instant::now() + aside::CONFIG;
    let file = path.to_owned();
    let config = aside::look(move || files::config(&file)).by(until);
    let (way, read, config) = match config {
        Some((way, read, config)) => (Some(way), read, config),
        None => (None, Read::Hangs, Config::default()),
    };
    let settings = Settings {
        path: path.into(),
        way,
        read,
        config,
        host: runner::host_name(),
    };

    let until = Instant::now() + aside::NODE;
    let socket = settings.config.control.socket.clone();
    let asked = aside::look(move || node::ask(&socket));
    let default = path == Path::new(DEFAULT_PATH);
    let would_run = aside::look(move || (runner::looker(), runner::of_service(default)));
    let (node, pid) = asked.by(until).unzip();
    let (looker, service) = would_run.by(until).unwrap_or_else(|| {
        let looker = runner::nameless();
        (looker.clone(), None)
    });
    let runs_as = pid.flatten().and_then(runner::of_process);
    let runner = runs_as
        .or_else(|| service.clone())
        .unwrap_or_else(|| looker.clone());

    let rest = Rest::begin(&settings, node.as_ref(), service.is_some());
    rest.end(settings, node, (looker, runner))
}

/// The looks that do not wait for each other.
struct Rest {
    machine: Aside<super::facts::Machine>,
    unit: Aside<Option<super::facts::Unit>>,
    key: Aside<Option<super::facts::Key>>,
    state: Aside<super::facts::Dir>,
    cache: Aside<super::facts::Dir>,
    volume: Aside<Option<u8>>,
    music: Vec<(PathBuf, Aside<super::facts::Music>)>,
    sound: Option<Aside<super::facts::Sound>>,
    knobs: Option<Aside<Vec<crate::player::MixerControl>>>,
    ports: Aside<Vec<super::facts::Port>>,
    network: Aside<super::facts::Network>,
    multicast: Aside<super::facts::Multicast>,
    trackers: Vec<(String, Aside<super::facts::Reach>)>,
    firewall: Aside<super::facts::Firewall>,
}

impl Rest {
    fn begin(settings: &Settings, node: Option<&Node>, is_service: bool) -> Self {
        let config = &settings.config;
        let is_peer = config.role.is_peer();
        // Whoever cannot be asked may have the ports and the device, too.
        let runs = !matches!(node, Some(Node::Absent(_)));
        let own_id = match node {
            Some(Node::Runs(status)) => Some(status.id.clone()),
            _ => None,
        };
        let [state, cache] = dirs_of(config, is_service);
        let remembering = state.clone();
        let key = config.swarm.key_file.clone();
        let device = config.audio.device.clone();
        let (for_ports, for_multicast) = (config.clone(), config.clone());
        let knows_node = own_id.is_some();
        let music = config.peer.music.iter().filter(|_| is_peer);
        let trackers = match &config.peer.tracker {
            TrackerAt::These(hosts) if is_peer => hosts.clone(),
            _ => Vec::new(),
        };
        let is_default = settings.path == Path::new(DEFAULT_PATH);
        Self {
            machine: aside::look(machine::machine),
            unit: aside::look(move || is_default.then(node::unit).flatten()),
            key: aside::look(move || key.as_deref().map(files::key)),
            state: aside::look(move || files::dir(&state)),
            cache: aside::look(move || files::dir(&cache)),
            volume: aside::look(move || crate::daemon::memory::remembered_volume(&remembering)),
            music: music
                .map(|dir| (dir.clone(), dir.clone()))
                .map(|(dir, path)| (dir, aside::look(move || files::music(&path))))
                .collect(),
            sound: is_peer.then(|| aside::look(move || sound::device(device, runs))),
            knobs: is_peer.then(|| aside::look(crate::player::controls)),
            ports: aside::look(move || network::ports(&for_ports, knows_node)),
            network: aside::look(network::network),
            multicast: aside::look(move || multicast::hear(&for_multicast, own_id.as_deref())),
            trackers: trackers
                .into_iter()
                .map(|at| (at.to_string(), aside::look(move || network::knock(&at))))
                .collect(),
            firewall: aside::look(network::firewall),
        }
    }

    fn end(
        self,
        config: Settings,
        node: Option<Node>,
        (looker, runner): (Person, Person),
    ) -> Facts {
        let until = Instant::now() + aside::REST;
        Facts {
            unit: self.unit.by(until),
            key: self.key.by(until),
            state: self.state.by(until),
            cache: self.cache.by(until),
            music: self
                .music
                .into_iter()
                .map(|(path, look)| (path, look.by(until)))
                .collect(),
            sound: self.sound.and_then(|look| look.by(until)),
            knobs: self.knobs.and_then(|look| look.by(until)),
            remembered_volume: self.volume.by(until).flatten(),
            ports: self.ports.by(until).unwrap_or_default(),
            network: self.network.by(until),
            multicast: self.multicast.by(until),
            trackers: self
                .trackers
                .into_iter()
                .map(|(at, look)| (at, look.by(until)))
                .collect(),
            firewall: self.firewall.by(until),
            machine: self.machine.by(until).unwrap_or_default(),
            config,
            node,
            looker,
            runner,
        }
    }
}

/// Where state and cache are, or would be.
fn dirs_of(config: &Config, is_service: bool) -> [PathBuf; 2] {
    if !is_service {
        return [dirs::state_dir(config), dirs::cache_dir(config)];
    }
    let (state, cache) = (config.state_dir.clone(), config.cache.dir.clone());
    [
        state.unwrap_or_else(|| dirs::SERVICE_STATE.into()),
        cache.unwrap_or_else(|| dirs::SERVICE_CACHE.into()),
    ]
}
