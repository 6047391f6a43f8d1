//! What a configuration that is read again changes.
//!
//! Part of it takes effect while the node runs; the rest counts from the next
//! start, and a person is told which. What is compared is the configuration
//! that the node *runs with*, so a key that is put back to what it was needs
//! no restart any more.

use std::collections::BTreeSet;

use super::{Config, ConfigKey, LivePart, KEYS};

/// The difference between the running configuration and the one just read.
#[derive(Debug, Default)]
pub struct ConfigChanges {
    /// What takes effect while the node runs.
    at_once: Vec<(LivePart, &'static ConfigKey)>,
    /// The keys of what counts from the next start only.
    pub at_restart: Vec<&'static str>,
}

/// What is different in `read` for a node that runs with `running`. Keys that
/// mean nothing to its role are not looked at.
pub fn changes(running: &Config, read: &Config) -> ConfigChanges {
    let mut changes = ConfigChanges::default();
    let known = KEYS.iter().filter(|key| key.nodes.are(running.role));
    for key in known.filter(|key| (key.differs)(running, read)) {
        match key.effect.at_once(running, read) {
            Some(part) => changes.at_once.push((part, key)),
            None => changes.at_restart.push(key.name),
        }
    }
    changes.at_once.sort_by_key(|(part, _)| *part);
    changes
}

/// All that goes by a configuration as it runs, as at a start, when everything is new.
pub fn live_parts() -> impl Iterator<Item = LivePart> {
    let parts: BTreeSet<_> = KEYS.iter().filter_map(|key| key.effect.part()).collect();
    parts.into_iter()
}

impl ConfigChanges {
    /// The keys of what takes effect at once.
    pub fn at_once(&self) -> Vec<&'static str> {
        self.at_once.iter().map(|(_, key)| key.name).collect()
    }

    /// What goes by other values at once, each once.
    pub fn parts(&self) -> Vec<LivePart> {
        let mut parts: Vec<_> = self.at_once.iter().map(|(part, _)| *part).collect();
        parts.dedup();
        parts
    }

    /// Gives the configuration that a node runs with the values of `read` that take effect at
    /// once.
    pub fn apply_to(&self, running: &mut Config, read: &Config) {
        for (_, key) in &self.at_once {
            (key.take)(running, read);
        }
    }
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
    fn the_manual_names_what_takes_effect_at_once() {
        let manual = include_str!("../../README.md");
        let about = manual
            .split("\n\n")
            .find(|text| text.contains("SIGHUP reads"));
        let at_once = KEYS.iter().filter(|key| key.effect.part().is_some());
        for key in at_once {
            let name = format!("`{}`", key.name);
            assert!(about.unwrap().contains(&name), "{name} is not in it");
        }
    }

    #[test]
    fn what_was_applied_is_no_change_any_more_and_what_was_not_still_is() {
        let read = parse(EVERY_KEY);
        let mut running = parse("role = \"both\"");
        let first = changes(&running, &read);
        first.apply_to(&mut running, &read);
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
        assert_nothing(&changes(&tracker, &parse(read)));
        let read = parse("[tracker]\nadvertise = false");
        assert_nothing(&changes(&parse(""), &read));
    }

    fn assert_nothing(found: &ConfigChanges) {
        assert_eq!(found.at_once(), [""; 0]);
        assert_eq!(found.at_restart, [""; 0]);
    }

    #[test]
    fn another_file_of_keys_is_read_but_a_swarm_stays_open_or_closed() {
        let with = |path: &str| parse(&format!("swarm.key_file = {path:?}"));
        let (mut running, read) = (with("/a"), with("/b"));
        let moved = changes(&running, &read);
        assert_eq!(moved.at_once(), ["swarm.key_file"]);
        assert_eq!(moved.at_restart, [""; 0]);
        moved.apply_to(&mut running, &read);
        assert_eq!(running.swarm.key_file, Some("/b".into()));
        for (was, is) in [(with("/a"), parse("")), (parse(""), with("/a"))] {
            assert_eq!(changes(&was, &is).at_restart, ["swarm.key_file"]);
        }
    }
}
