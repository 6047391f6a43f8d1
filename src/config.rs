//! `/etc/p2pmusic.toml`: every key, what it may be, and what it is unless set.
//!
//! Parsed, not validated: what comes out of [`Config::load`] can be used
//! without another look. An empty file is a working peer. An unknown key is
//! an error, since a mistyped one would otherwise be silently ignored.

use std::{
    fmt, fs, io,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{de, Deserialize, Deserializer};

use crate::{
    player::OutputSpec,
    protocol::{check_name, DEFAULT_PORT},
};

/// Where the configuration is looked for unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/p2pmusic.toml";

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub role: Role,
    pub name: Option<NodeName>,
    /// Where identity, index and queue are kept.
    pub state_dir: Option<PathBuf>,
    pub swarm: Swarm,
    pub tracker: Tracker,
    pub peer: Peer,
    pub cache: Cache,
    pub audio: Audio,
    pub control: Control,
    pub log: Log,
}

/// What this node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Swarm {
    /// The swarm's key; without one the swarm is open.
    pub key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tracker {
    pub listen: SocketAddr,
    /// Whether to announce the tracker by mDNS.
    pub advertise: bool,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            listen: any(DEFAULT_PORT),
            advertise: true,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peer {
    pub tracker: TrackerAt,
    pub listen: SocketAddr,
    pub music: Vec<PathBuf>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            tracker: TrackerAt::Auto,
            listen: any(DEFAULT_PORT),
            music: Vec::new(),
        }
    }
}

/// Where a peer's tracker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerAt {
    /// Found by mDNS.
    Auto,
    /// There is none.
    None,
    /// These, tried in turn.
    These(Vec<HostPort>),
}

/// A host's name or address, and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("{text:?} is not a host: write \"host\", \"host:port\" or \"[v6]:port\"");
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: address.ip().to_string(),
                port: address.port(),
            });
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        if bare.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self {
                host: bare.into(),
                port: DEFAULT_PORT,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
            None => (text, DEFAULT_PORT),
        };
        let is_host_char = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() || !host.chars().all(is_host_char) || port == 0 {
            return Err(bad());
        }
        Ok(Self {
            host: host.into(),
            port,
        })
    }
}

impl<'de> Deserialize<'de> for TrackerAt {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected \"auto\", \"none\", \"host[:port]\" or a list of hosts"
        )]
        enum Shape {
            One(String),
            Many(Vec<String>),
        }
        let hosts = match Shape::deserialize(from)? {
            Shape::One(word) if word == "auto" => return Ok(Self::Auto),
            Shape::One(word) if word == "none" => return Ok(Self::None),
            Shape::One(host) => vec![host],
            Shape::Many(hosts) => hosts,
        };
        let parsed: Result<Vec<HostPort>, String> = hosts.iter().map(|h| h.parse()).collect();
        match parsed.map_err(de::Error::custom)? {
            hosts if hosts.is_empty() => Ok(Self::None),
            hosts if hosts.len() > MAX_TRACKERS => Err(de::Error::custom(format!(
                "at most {MAX_TRACKERS} trackers can be listed"
            ))),
            hosts => Ok(Self::These(hosts)),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    pub dir: Option<PathBuf>,
    pub max: ByteSize,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            dir: None,
            max: ByteSize(2 << 30),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audio {
    #[serde(deserialize_with = "from_text")]
    pub device: OutputSpec,
    #[serde(deserialize_with = "percent")]
    pub max_volume: u8,
}

impl Default for Audio {
    fn default() -> Self {
        Self {
            device: OutputSpec::Auto,
            max_volume: 100,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    pub socket: PathBuf,
    /// The group that may use the socket; left as it is where there is no
    /// such group.
    pub group: String,
    /// Where MPD clients may connect over TCP.
    pub mpd: Option<SocketAddr>,
    pub password: Option<String>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(DEFAULT_SOCKET),
            group: "audio".into(),
            mpd: None,
            password: None,
        }
    }
}

/// Where `p2pmusic ctl` finds the daemon unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/p2pmusic/ctl.sock";

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    #[serde(deserialize_with = "level")]
    pub level: log::LevelFilter,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: log::LevelFilter::Info,
        }
    }
}

/// A node's name: one part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName(pub String);

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        check_name(&name)
            .map_err(|why| de::Error::custom(format!("{name:?} is not a name: {why}")))?;
        Ok(Self(name))
    }
}

/// A number of bytes: `"2 GiB"`, `"500 MB"`, or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let scale: u64 = match unit.trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => {
                return Err(format!(
                    "{text:?} is not a size: write for example \"2 GiB\" or \"500 MB\""
                ))
            }
        };
        number
            .parse()
            .ok()
            .and_then(|number: u64| number.checked_mul(scale))
            .map(Self)
            .ok_or_else(|| {
                format!("{text:?} is not a size: write for example \"2 GiB\" or \"500 MB\"")
            })
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a size such as \"2 GiB\"")]
        enum Shape {
            Number(u64),
            Text(String),
        }
        match Shape::deserialize(from)? {
            Shape::Number(bytes) => Ok(Self(bytes)),
            Shape::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The text names line, column and key.
    #[error("{}: {text}", path.display())]
    Wrong { path: PathBuf, text: String },
}

impl Config {
    /// Reads the file at `path`; the default one may be missing, and is then
    /// empty.
    ///
    /// # Errors
    /// Names the file, the line, the key and what is allowed there.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map_err(|text| ConfigError::Wrong {
                path: path.into(),
                text,
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound && path == Path::new(DEFAULT_PATH) => {
                Ok(Self::default())
            }
            Err(source) => Err(ConfigError::Unreadable {
                path: path.into(),
                source,
            }),
        }
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// Names the line, the key and what is allowed there.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())
    }
}

fn any(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

fn from_text<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(from)?
        .parse()
        .map_err(de::Error::custom)
}

fn percent<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    match i64::deserialize(from)? {
        percent @ 0..=100 => Ok(percent as u8),
        other => Err(de::Error::custom(format!(
            "{other} is not a volume: it goes from 0 to 100"
        ))),
    }
}

fn level<'de, D: Deserializer<'de>>(from: D) -> Result<log::LevelFilter, D::Error> {
    let word = String::deserialize(from)?;
    word.parse().map_err(|_| {
        de::Error::custom(format!(
            "{word:?} is not a level: use \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\""
        ))
    })
}

/// More trackers than anyone has; each is dialled in turn.
const MAX_TRACKERS: usize = 8;

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
                    proptest::prop_assert!(!why.is_empty());
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
        assert_eq!(config.control.socket, Path::new(DEFAULT_SOCKET));
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
            (
                "[peer]\ntracker = 7",
                &["line 2", "auto", "none", "host[:port]"],
            ),
            ("[peer]\ntracker = \"a b\"", &["line 2", "a b", "host:port"]),
            ("name = \"a/b\"", &["line 1", "a/b", "slash"]),
            (
                "[tracker]\nlisten = \"nonsense\"",
                &["line 2", "socket address"],
            ),
            ("[log]\nlevel = \"loud\"", &["line 2", "loud", "debug"]),
        ] {
            let error = Config::parse(text).unwrap_err();
            for needle in needles {
                assert!(
                    error.contains(needle),
                    "{text:?}: {error}\nlacks {needle:?}"
                );
            }
        }
    }

    #[test]
    fn trackers_are_given_in_four_ways() {
        let of = |text: &str| {
            Config::parse(&format!("[peer]\ntracker = {text}"))
                .unwrap()
                .peer
                .tracker
        };
        let host = |host: &str, port| HostPort {
            host: host.into(),
            port,
        };
        assert_eq!(of("\"auto\""), TrackerAt::Auto);
        assert_eq!(of("\"none\""), TrackerAt::None);
        assert_eq!(
            of("\"attic.local\""),
            TrackerAt::These(vec![host("attic.local", DEFAULT_PORT)])
        );
        assert_eq!(
            of("[\"10.0.0.1:99\", \"[fd00::1]:98\", \"fd00::2\"]"),
            TrackerAt::These(vec![
                host("10.0.0.1", 99),
                host("fd00::1", 98),
                host("fd00::2", DEFAULT_PORT)
            ])
        );
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("2 GiB", 2 << 30), ("500MB", 500_000_000), ("17", 17)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
        }
        for text in ["", "GiB", "-1", "1.5 GiB", "99999999999 GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
