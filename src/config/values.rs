//! Values of the configuration with a syntax of their own.

use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{de, Deserialize, Deserializer};

use crate::id::check_name;
use crate::protocol::DEFAULT_PORT;

/// Where a peer's tracker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerAt {
    /// Found by mDNS.
    Auto,
    /// There is none.
    None,
    /// These, all of them.
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

/// A path that means the same to every reader of the file: a service has no home.
pub fn path<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(from)?;
    check_path(&path).map_err(de::Error::custom)?;
    Ok(path)
}

/// The same, where there may be none.
pub fn some_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    path(from).map(Some)
}

/// A list of them.
pub fn paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "expected a list of directories, such as [\"/srv/music\"]"
    )]
    enum Shape {
        Many(Vec<PathBuf>),
    }
    let Shape::Many(paths) = Shape::deserialize(from)?;
    let checked: Result<(), String> = paths.iter().try_for_each(|path| check_path(path));
    checked.map_err(de::Error::custom)?;
    Ok(paths)
}

fn check_path(path: &Path) -> Result<(), String> {
    match path.to_string_lossy().starts_with('~') {
        true => Err(format!(
            "{} is a path only a shell knows: write it whole, such as \"/home/pi/Music\"",
            path.display()
        )),
        false => Ok(()),
    }
}

/// What its own syntax says.
pub fn from_text<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(from)?
        .parse()
        .map_err(de::Error::custom)
}

/// A volume, from 0 to 100.
pub fn percent<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    match i64::deserialize(from)? {
        percent @ 0..=100 => Ok(percent as u8),
        other => Err(de::Error::custom(format!(
            "{other} is not a volume: it goes from 0 to 100"
        ))),
    }
}

/// node_exporter reads no other file, and a service has no directory of its own that a
/// path could start from.
pub fn prom_file<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(from)?;
    match path.is_absolute() && path.extension().is_some_and(|end| end == "prom") {
        true => Ok(Some(path)),
        false => Err(de::Error::custom(format!(
            "{} is not a file for Prometheus: write a whole path that ends in \".prom\"",
            path.display()
        ))),
    }
}

/// How much the log tells.
pub fn level<'de, D: Deserializer<'de>>(from: D) -> Result<log::LevelFilter, D::Error> {
    let word = String::deserialize(from)?;
    word.parse().map_err(|_| {
        de::Error::custom(format!(
            "{word:?} is not a level: use \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\""
        ))
    })
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

/// Whether a node goes on with what it played before it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// Unless that was long ago.
    #[default]
    Always,
    /// It is ready where it was, and waits for somebody to say so.
    Paused,
    Never,
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

/// Bytes a second: `"20 Mbit/s"` or `"2 MB/s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let bits: Option<u64> = match unit.trim() {
            "kbit/s" => Some(1_000),
            "Mbit/s" => Some(1_000_000),
            "Gbit/s" => Some(1_000_000_000),
            "kB/s" | "KB/s" => Some(8_000),
            "MB/s" => Some(8_000_000),
            _ => None,
        };
        let number = number.parse().ok().filter(|number: &u64| *number > 0);
        let bits = bits.zip(number).and_then(|(bits, n)| n.checked_mul(bits));
        bits.map(|bits| Self(bits / 8)).ok_or_else(|| {
            format!("{text:?} is not a rate: write for example \"20 Mbit/s\" or \"2 MB/s\"")
        })
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// As many as a peer registers with.
const MAX_TRACKERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct PeerName {
        tracker: TrackerAt,
    }

    #[test]
    fn trackers_are_given_in_four_ways() {
        let of = |text: &str| {
            toml::from_str::<PeerName>(&format!("tracker = {text}"))
                .unwrap()
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
    fn rates_have_units_and_are_not_nothing() {
        for (text, bytes) in [
            ("20 Mbit/s", 2_500_000),
            ("2MB/s", 2_000_000),
            ("8 kbit/s", 1_000),
        ] {
            assert_eq!(text.parse(), Ok(Rate(bytes)));
        }
        for text in [
            "",
            "20",
            "0 Mbit/s",
            "Mbit/s",
            "-1 MB/s",
            "20 Mbit",
            "99999999999 Gbit/s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
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
