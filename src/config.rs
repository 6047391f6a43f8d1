//! `/etc/p2pmusic.toml`: every key, what it may be, and what it is unless set.
//!
//! Parsed, not validated: what comes out of [`load`] can be used
//! without another look. An empty file is a working peer. An unknown key is
//! an error, since a mistyped one would otherwise be silently ignored.

mod changes;
mod file;
mod mistake;
mod table;
mod values;

use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use self::table::keys;
pub use self::{
    changes::{changes, live_parts, ConfigChanges},
    file::{load, ConfigError},
    mistake::Mistake,
    table::{ConfigKey, LivePart},
    values::{ByteSize, HostPort, NodeName, Rate, Resume, TrackerAt},
};
use crate::{audio::OutputSpec, protocol::DEFAULT_PORT};

/// Where the configuration is looked for unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/p2pmusic.toml";
/// What systemd makes for the service, to keep state and cache in.
pub const SERVICE_STATE: &str = "/var/lib/p2pmusic";
pub const SERVICE_CACHE: &str = "/var/cache/p2pmusic";
/// Where `p2pmusic ctl` finds the daemon unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/p2pmusic/ctl.sock";

keys! {
    /// The whole configuration.
    struct Config for All {
        role: Role = Role::Peer => NextStart;
        name: Option<NodeName> = None => NextStart;
        /// Where identity, index and queue are kept.
        #[serde(deserialize_with = "values::some_path")]
        state_dir: Option<PathBuf> = None => NextStart;
    }

    swarm: struct Swarm for All {
        /// The swarm's key; without one the swarm is open.
        #[serde(deserialize_with = "values::some_path")]
        key_file: Option<PathBuf> = None => AtOnceIf(Keys, both_are_closed);
    }

    tracker: struct TrackerConfig for Trackers {
        listen: SocketAddr = any(DEFAULT_PORT) => NextStart;
        /// Whether to announce the tracker by mDNS.
        advertise: bool = true => NextStart;
    }

    peer: struct PeerConfig for Peers {
        tracker: TrackerAt = TrackerAt::Auto => AtOnce(TrackerLink);
        listen: SocketAddr = any(DEFAULT_PORT) => NextStart;
        /// Whether to announce this peer by mDNS.
        advertise: bool = true => NextStart;
        #[serde(deserialize_with = "values::paths")]
        music: Vec<PathBuf> = Vec::new() => AtOnce(Library);
        /// Whether links in them may lead out of them.
        follow_links: bool = false => AtOnce(Library);
        /// The most that is sent to other peers; as much as the line carries unless set.
        upload: Option<Rate> = None => AtOnce(Budget);
    }

    cache: struct Cache for Peers {
        #[serde(deserialize_with = "values::some_path")]
        dir: Option<PathBuf> = None => NextStart;
        max: ByteSize = ByteSize(2 << 30) => AtOnce(Store);
    }

    audio: struct Audio for Peers {
        #[serde(deserialize_with = "values::from_text")]
        device: OutputSpec = OutputSpec::Auto => NextStart;
        /// In per cent.
        #[serde(deserialize_with = "values::percent")]
        max_volume: u8 = 100 => AtOnce(Node);
        /// Whether what played plays on after a restart.
        resume: Resume = Resume::Always => NextStart;
    }

    control: struct Control for All {
        #[serde(deserialize_with = "values::path")]
        socket: PathBuf = DEFAULT_SOCKET.into() => NextStart;
        /// The group that may use the socket; left as it is where there is no
        /// such group.
        group: String = "audio".into() => NextStart;
        /// Where MPD clients may connect over TCP.
        mpd: Option<SocketAddr> = None => NextStart;
        password: Option<String> = None => NextStart;
    }

    stats: struct StatsConfig for Peers {
        /// The file that the numbers are written to for Prometheus, if they are.
        #[serde(deserialize_with = "values::prom_file")]
        prometheus: Option<PathBuf> = None => AtOnce(Exposition);
    }

    log: struct Log for All {
        #[serde(deserialize_with = "values::level")]
        level: log::LevelFilter = log::LevelFilter::Info => AtOnce(Log);
    }
}

/// Whether a swarm stays closed: an open one does not close, nor a closed one open, under its
/// peers.
fn both_are_closed(running: &Config, read: &Config) -> bool {
    running.swarm.key_file.is_some() && read.swarm.key_file.is_some()
}

/// What this node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Tracker,
    #[default]
    Peer,
    Both,
}

impl Role {
    pub fn is_tracker(self) -> bool {
        self != Self::Peer
    }

    pub fn is_peer(self) -> bool {
        self != Self::Tracker
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tracker => "tracker",
            Self::Peer => "peer",
            Self::Both => "both",
        })
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Names the line, the key and what is allowed there.
    pub fn parse(text: &str) -> Result<Self, Mistake> {
        toml::from_str(text).map_err(|e| Mistake::new(&e, text))
    }
}

fn any(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_file_is_a_configuration_or_refused_in_words(at: usize, byte: u8, noise: String) {
            let mut text = include_bytes!("../etc/p2pmusic.toml").to_vec();
            let at = at % text.len();
            text[at] = byte;
            let texts = [String::from_utf8_lossy(&text).into_owned(), noise];
            for text in texts {
                if let Err(why) = Config::parse(&text) {
                    proptest::prop_assert!(!why.to_string().is_empty());
                }
            }
        }
    }

    #[test]
    fn an_empty_file_is_a_working_peer() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.role, Role::Peer);
        assert_eq!(config.peer.tracker, TrackerAt::Auto);
        assert_eq!(config.cache.max, ByteSize(2 << 30));
        assert_eq!(config.control.socket, std::path::Path::new(DEFAULT_SOCKET));
    }

    #[test]
    fn errors_name_line_key_and_what_is_allowed() {
        for (text, needles) in [
            (
                "role = \"boss\"",
                &["line 1", "role", "tracker", "both"][..],
            ),
            (
                "[peer]\nmusik = []",
                &["line 2", "musik", "music", "listen"],
            ),
            ("[audio]\nmax_volume = 300", &["line 2", "300", "0 to 100"]),
            ("[cache]\nmax = \"2 XB\"", &["line 2", "2 XB", "GiB"]),
            ("[peer]\nupload = \"20\"", &["line 2", "20", "Mbit/s"]),
            (
                "[peer]\ntracker = 7",
                &["line 2", "auto", "none", "host[:port]"],
            ),
            ("[peer]\ntracker = \"a b\"", &["line 2", "a b", "host:port"]),
            ("name = \"a/b\"", &["line 1", "a/b", "slash"]),
            (
                "music = [\"/srv/music\"]",
                &["line 1", "music", "under [peer]"],
            ),
            ("[peer]\nrole = \"both\"", &["line 2", "above all tables"]),
            (
                "[audio]\nlisten = 1",
                &["line 2", "under [tracker] or [peer]"],
            ),
            (
                "[peer]\nmusic = \"/srv/music\"",
                &["line 2", "music", "a list", "[\"/srv/music\"]"],
            ),
            (
                "[peer]\nmusic = [\"~/Music\"]",
                &["line 2", "music", "~/Music", "write it whole"],
            ),
            ("state_dir = \"~/p2p\"", &["line 1", "state_dir", "whole"]),
            ("[swarm]\nkey_file = \"~/key\"", &["line 2", "whole"]),
            ("[cache]\ndir = \"~/cache\"", &["line 2", "whole"]),
            ("[control]\nsocket = \"~/sock\"", &["line 2", "whole"]),
            (
                "[tracker]\nlisten = \"nonsense\"",
                &["line 2", "socket address"],
            ),
            (
                "[stats]\nprometheus = \"/run/numbers.txt\"",
                &["line 2", "/run/numbers.txt", ".prom"],
            ),
            ("[log]\nlevel = \"loud\"", &["line 2", "loud", "debug"]),
        ] {
            let mistake = Config::parse(text).unwrap_err();
            let path = PathBuf::from("p2pmusic.toml");
            let error = ConfigError::Wrong { path, mistake };
            for error in [error.to_string(), error.in_a_line()] {
                for needle in needles {
                    assert!(
                        error.contains(needle),
                        "{text:?}: {error}\nlacks {needle:?}"
                    );
                }
            }
            assert_eq!(error.in_a_line().lines().count(), 1);
        }
    }

    /// The sample has every key, in its table.
    #[test]
    fn the_keys_are_those_of_the_sample() {
        let mut table = "top";
        let mut found: Vec<(&str, Vec<&str>)> = vec![(table, Vec::new())];
        for line in include_str!("../etc/p2pmusic.toml").lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                table = name;
                found.push((table, Vec::new()));
            }
            let key = line
                .strip_prefix('#')
                .and_then(|line| line.split_once(" = "));
            let is_key = |key: &str| {
                !key.is_empty() && key.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
            };
            if let Some((key, _)) = key.filter(|(key, _)| is_key(key)) {
                found.last_mut().unwrap().1.push(key);
            }
        }
        let mut known: Vec<(&str, Vec<&str>)> = Vec::new();
        for (table, key) in KEYS.iter().map(ConfigKey::place) {
            match known.last_mut().filter(|(last, _)| *last == table) {
                Some((_, keys)) => keys.push(key),
                None => known.push((table, vec![key])),
            }
        }
        assert_eq!(known, found);
    }

    #[test]
    fn what_is_said_in_public_has_no_secret_in_it() {
        for (text, names) in [
            ("[control]\npassword = 8675309", "password"),
            ("[control]\npassword = \"8675309", "password"),
            ("[control]\npassword \"8675309\"", "password"),
            ("[control]\npasswort = \"8675309\"", "passwort"),
            ("[swarm]\nkey = \"8675309\"", "key_file"),
            ("[swarm]\nkey = \"p2pm1-8675309\"", "line 2"),
            ("swarm = \"p2pm1-8675309\"", "line 1"),
            ("[swarm]\n\"p2pm1-8675309\" = 1", "line 2"),
            ("p2pm1-8675309", "line 1"),
            ("[swarm]\nkey_file = 8675309", "key_file"),
            ("[p2pm1-8675309]\nx = 1", "line 1"),
        ] {
            let mistake = Config::parse(text).unwrap_err();
            let path = PathBuf::from("p2pmusic.toml");
            let said = ConfigError::Wrong { path, mistake }.in_public();
            assert!(!said.contains("8675309"), "{text:?}: {said}");
            assert!(said.contains(names), "{text:?}: {said}");
            assert_eq!(said.lines().count(), 1);
        }
    }
}
