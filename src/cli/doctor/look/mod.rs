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
    facts::{
        Dir, DoctorFacts, Firewall, Key, LocalInterfaces, Machine, Multicast, Music, NodeAnswer,
        Port, Read, Settings, SoundDevice, TrackerReach, Unit,
    },
    person::Person,
};
use crate::{
    audio::{self, MixerControl},
    config::{self, Config, TrackerAt, DEFAULT_PATH},
    daemon::dirs,
};

/// Looks at everything, with the configuration at `path`.
#[cold]
pub fn look(path: &Path) -> DoctorFacts {
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
    let (node, runs_as) = asked.by(until).unzip();
    let (looker, service) = would_run.by(until).unwrap_or((runner::nameless(), None));
    let runner = runs_as.flatten().or_else(|| service.clone());
    let runner = runner.unwrap_or_else(|| looker.clone());

    let rest = ParallelLooks::begin(&settings, node.as_ref(), service.is_some());
    rest.end(settings, node, (looker, runner))
}

/// The looks that do not wait for each other.
struct ParallelLooks {
    machine: Aside<Machine>,
    unit: Aside<Option<Unit>>,
    key: Aside<Option<Key>>,
    state: Aside<Dir>,
    cache: Aside<Dir>,
    volume: Aside<Option<u8>>,
    music: Vec<(PathBuf, Aside<Music>)>,
    sound: Option<Aside<SoundDevice>>,
    knobs: Option<Aside<Vec<MixerControl>>>,
    ports: Aside<Vec<Port>>,
    network: Aside<LocalInterfaces>,
    multicast: Aside<Multicast>,
    trackers: Vec<(String, Aside<TrackerReach>)>,
    firewall: Aside<Firewall>,
}

impl ParallelLooks {
    fn begin(settings: &Settings, node: Option<&NodeAnswer>, is_service: bool) -> Self {
        let config = &settings.config;
        // Of a node whose configuration cannot be read, nothing is tried: it may be meant to
        // use another device, or no network at all.
        let is_known = settings.is_known();
        let is_peer = config.role.is_peer() && is_known;
        // A node that cannot be asked may have the ports and the device, too.
        let runs = !matches!(node, Some(NodeAnswer::Absent));
        let own_id = match node {
            Some(NodeAnswer::Runs(status)) => Some(status.id.clone()),
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
            knobs: config.role.is_peer().then(|| aside::look(audio::controls)),
            ports: aside::look(move || match is_known {
                true => network::ports(&for_ports, knows_node),
                false => Vec::new(),
            }),
            network: aside::look(network::network),
            multicast: aside::look(move || match is_known {
                true => multicast::hear(&for_multicast, own_id.as_deref()),
                false => Multicast::Unused,
            }),
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
        node: Option<NodeAnswer>,
        (looker, runner): (Person, Person),
    ) -> DoctorFacts {
        let until = Instant::now() + aside::REST;
        DoctorFacts {
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
            ports: self.ports.by(until),
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
        state.unwrap_or_else(|| config::SERVICE_STATE.into()),
        cache.unwrap_or_else(|| config::SERVICE_CACHE.into()),
    ]
}
