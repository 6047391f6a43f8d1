//! What a configuration that is read again changes.
//!
//! Part of it takes effect while the node runs; the rest counts from the next
//! start, and a person is told which. What is compared is the configuration
//! that the node *runs with*, so a key that is put back to what it was needs
//! no restart any more.

use std::path::PathBuf;

use super::{
    Audio, ByteSize, Cache, Config, Control, Log, PeerConfig, Rate, StatsConfig, Swarm, TrackerAt,
    TrackerConfig,
};

/// The difference between the running configuration and the one just read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChanges {
    pub log_level: Option<log::LevelFilter>,
    pub music: Option<Vec<PathBuf>>,
    pub follow_links: Option<bool>,
    /// In per cent.
    pub max_volume: Option<u8>,
    pub cache_max: Option<ByteSize>,
    /// Another cap, or none any more.
    pub upload: Option<Option<Rate>>,
    pub tracker: Option<TrackerAt>,
    /// Another file for Prometheus, or none any more.
    pub prometheus: Option<Option<PathBuf>>,
    /// The keys lie in another file. One with other keys in it does not show
    /// here.
    pub key_file: Option<PathBuf>,
    /// The keys of what counts from the next start only.
    pub at_restart: Vec<&'static str>,
}

/// What is different in `read` for a node that runs with `running`. Keys that
/// mean nothing to its role are not looked at.
pub fn changes(running: &Config, read: &Config) -> ConfigChanges {
    // Taken apart, so that a new key does not compile before its place here
    // has been thought of.
    let Config {
        role,
        name,
        state_dir,
        swarm: Swarm { key_file },
        tracker: TrackerConfig { listen, advertise },
        peer,
        cache,
        audio,
        control,
        stats,
        log: Log { level },
    } = read;
    let mut changes = ConfigChanges {
        log_level: differs(&running.log.level, level),
        ..ConfigChanges::default()
    };
    changes.compare("role", &running.role, role);
    changes.compare("name", &running.name, name);
    changes.compare("state_dir", &running.state_dir, state_dir);
    match (&running.swarm.key_file, key_file) {
        (Some(was), Some(is)) => changes.key_file = differs(was, is),
        // An open swarm does not close, nor a closed one open, under its peers.
        (was, is) => changes.compare("swarm.key_file", was, is),
    }
    if running.role.is_tracker() {
        changes.compare("tracker.listen", &running.tracker.listen, listen);
        changes.compare("tracker.advertise", &running.tracker.advertise, advertise);
    }
    if running.role.is_peer() {
        changes.compare_speaker(running, (peer, cache, audio, stats));
    }
    changes.compare_control(&running.control, control);
    changes
}

impl ConfigChanges {
    /// The keys of what takes effect at once.
    pub fn at_once(&self) -> Vec<&'static str> {
        let Self {
            log_level,
            music,
            follow_links,
            max_volume,
            cache_max,
            upload,
            tracker,
            prometheus,
            key_file,
            at_restart: _,
        } = self;
        let keys = [
            ("log.level", log_level.is_some()),
            ("peer.music", music.is_some()),
            ("peer.follow_links", follow_links.is_some()),
            ("audio.max_volume", max_volume.is_some()),
            ("cache.max", cache_max.is_some()),
            ("peer.upload", upload.is_some()),
            ("peer.tracker", tracker.is_some()),
            ("stats.prometheus", prometheus.is_some()),
            ("swarm.key_file", key_file.is_some()),
        ];
        let changed = keys.into_iter().filter(|(_, changed)| *changed);
        changed.map(|(key, _)| key).collect()
    }

    /// What the node runs with once these have taken effect.
    pub fn apply_to(&self, running: &mut Config) {
        let changes = self.clone();
        running.log.level = changes.log_level.unwrap_or(running.log.level);
        running.audio.max_volume = changes.max_volume.unwrap_or(running.audio.max_volume);
        running.cache.max = changes.cache_max.unwrap_or(running.cache.max);
        running.peer.upload = changes.upload.unwrap_or(running.peer.upload);
        let follow_links = changes.follow_links;
        running.peer.follow_links = follow_links.unwrap_or(running.peer.follow_links);
        if let Some(music) = changes.music {
            running.peer.music = music;
        }
        if let Some(tracker) = changes.tracker {
            running.peer.tracker = tracker;
        }
        if let Some(prometheus) = changes.prometheus {
            running.stats.prometheus = prometheus;
        }
        if changes.key_file.is_some() {
            running.swarm.key_file = changes.key_file;
        }
    }

    /// What concerns a node that plays.
    fn compare_speaker(
        &mut self,
        running: &Config,
        read: (&PeerConfig, &Cache, &Audio, &StatsConfig),
    ) {
        let (
            PeerConfig {
                tracker,
                listen,
                advertise,
                music,
                follow_links,
                upload,
            },
            Cache { dir, max },
            Audio {
                device,
                max_volume,
                resume,
            },
            StatsConfig { prometheus },
        ) = read;
        self.prometheus = differs(&running.stats.prometheus, prometheus);
        self.tracker = differs(&running.peer.tracker, tracker);
        self.compare("peer.listen", &running.peer.listen, listen);
        self.compare("peer.advertise", &running.peer.advertise, advertise);
        self.music = differs(&running.peer.music, music);
        self.follow_links = differs(&running.peer.follow_links, follow_links);
        self.upload = differs(&running.peer.upload, upload);
        self.compare("cache.dir", &running.cache.dir, dir);
        self.cache_max = differs(&running.cache.max, max);
        self.compare("audio.device", &running.audio.device, device);
        self.max_volume = differs(&running.audio.max_volume, max_volume);
        self.compare("audio.resume", &running.audio.resume, resume);
    }

    fn compare_control(&mut self, running: &Control, read: &Control) {
        let Control {
            socket,
            group,
            mpd,
            password,
        } = read;
        self.compare("control.socket", &running.socket, socket);
        self.compare("control.group", &running.group, group);
        self.compare("control.mpd", &running.mpd, mpd);
        self.compare("control.password", &running.password, password);
    }

    fn compare<T: PartialEq>(&mut self, key: &'static str, was: &T, is: &T) {
        if was != is {
            self.at_restart.push(key);
        }
    }
}

fn differs<T: PartialEq + Clone>(was: &T, is: &T) -> Option<T> {
    (was != is).then(|| is.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        Config::parse(text).unwrap()
    }

    /// Every key of the file in `etc`, with another value than it has unless
    /// set.
    const EVERY_KEY: &str = r#"
        role = "both"
        name = "kitchen"
        state_dir = "/elsewhere"
        [swarm]
        key_file = "/etc/key"
        [tracker]
        listen = "127.0.0.1:1"
        advertise = false
        [peer]
        tracker = "attic"
        listen = "127.0.0.1:2"
        advertise = false
        music = ["/srv/music"]
        follow_links = true
        upload = "20 Mbit/s"
        [cache]
        dir = "/var/tmp"
        max = "1 GiB"
        [audio]
        device = "null"
        max_volume = 50
        resume = "never"
        [control]
        socket = "/tmp/ctl"
        group = "music"
        mpd = "127.0.0.1:3"
        password = "sesame"
        [stats]
        prometheus = "/run/p2pmusic/p2pmusic.prom"
        [log]
        level = "debug"
    "#;

    #[test]
    fn every_key_is_applied_or_named() {
        let read = parse(EVERY_KEY);
        let both = parse("role = \"both\"");
        let found = changes(&both, &read);
        assert_eq!(
            found.at_once(),
            [
                "log.level",
                "peer.music",
                "peer.follow_links",
                "audio.max_volume",
                "cache.max",
                "peer.upload",
                "peer.tracker",
                "stats.prometheus"
            ]
        );
        assert_eq!(
            found.at_restart,
            [
                "name",
                "state_dir",
                "swarm.key_file",
                "tracker.listen",
                "tracker.advertise",
                "peer.listen",
                "peer.advertise",
                "cache.dir",
                "audio.device",
                "audio.resume",
                "control.socket",
                "control.group",
                "control.mpd",
                "control.password"
            ]
        );
        let keys = EVERY_KEY.matches(" = ").count();
        assert_eq!(
            found.at_once().len() + found.at_restart.len() + 1, // the role
            keys
        );
    }

    #[test]
    fn what_was_applied_is_no_change_any_more_and_what_was_not_still_is() {
        let read = parse(EVERY_KEY);
        let mut running = parse("role = \"both\"");
        let first = changes(&running, &read);
        first.apply_to(&mut running);
        let second = changes(&running, &read);
        assert_eq!(second.at_once(), [""; 0]);
        assert_eq!(second.at_restart, first.at_restart);
        let back = parse("role = \"both\"");
        assert_eq!(changes(&running, &back).at_restart, [""; 0]);
        assert_eq!(changes(&running, &back).at_once(), first.at_once());
    }

    #[test]
    fn what_means_nothing_to_the_role_is_not_looked_at() {
        let tracker = parse("role = \"tracker\"");
        let read = "role = \"tracker\"\n[peer]\nlisten = \"127.0.0.1:2\"\nmusic = [\"/x\"]";
        assert_eq!(changes(&tracker, &parse(read)), ConfigChanges::default());
        let read = parse("[tracker]\nadvertise = false");
        assert_eq!(changes(&parse(""), &read), ConfigChanges::default());
    }

    #[test]
    fn another_file_of_keys_is_read_but_a_swarm_stays_open_or_closed() {
        let with = |path: &str| parse(&format!("swarm.key_file = {path:?}"));
        let moved = changes(&with("/a"), &with("/b"));
        assert_eq!(moved.key_file, Some("/b".into()));
        assert_eq!(moved.at_restart, [""; 0]);
        for (was, is) in [(with("/a"), parse("")), (parse(""), with("/a"))] {
            assert_eq!(changes(&was, &is).at_restart, ["swarm.key_file"]);
        }
    }
}
