//! What the doctor has seen. Plain data; an `Option` around the fruit of a look is `None`
//! when the look did not come back in time.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf};

use super::person::{AccessPath, Person};
use crate::{
    audio::{MixerControl, OutputSpec},
    config::Config,
};

/// All of it.
#[derive(Clone, Debug)]
pub struct DoctorFacts {
    pub machine: Machine,
    /// The user that runs the doctor.
    pub looker: Person,
    /// The user that the node runs as, or would.
    pub runner: Person,
    pub config: Settings,
    pub node: Option<NodeAnswer>,
    /// What the service manager knows of the node; `Some(None)` where none is asked.
    pub unit: Option<Option<Unit>>,
    /// `Some(None)` in an open swarm.
    pub key: Option<Option<Key>>,
    pub state: Option<Dir>,
    pub cache: Option<Dir>,
    pub music: Vec<(PathBuf, Option<Music>)>,
    pub sound: Option<SoundDevice>,
    pub knobs: Option<Vec<MixerControl>>,
    /// The volume that the node remembers, in per cent.
    pub remembered_volume: Option<u8>,
    pub ports: Option<Vec<Port>>,
    pub network: Option<LocalInterfaces>,
    pub multicast: Option<Multicast>,
    pub trackers: Vec<(String, Option<TrackerReach>)>,
    pub firewall: Option<Firewall>,
}

/// What the report begins with.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub model: Option<String>,
    pub kernel: String,
    pub system: String,
    pub architecture: &'static str,
    pub cores: usize,
    /// Whether the CPU encrypts by itself, where that is known.
    pub aes: Option<bool>,
    /// In bytes; none where the system does not say.
    pub memory: Option<u64>,
    pub memory_available: Option<u64>,
    /// Seconds since 1970.
    pub clock: u64,
    /// What the firmware of a Raspberry Pi says of power and heat (`get_throttled`).
    pub throttled: Option<u32>,
    pub buffers: Buffers,
}

/// What the kernel keeps of UDP until it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffers {
    /// The most that it gives to one socket, in bytes.
    pub most: Option<u64>,
    /// What the node asks for.
    pub wanted: u64,
    /// Datagrams that came since the start of the machine, and those of them that were
    /// lost for want of room.
    pub received: u64,
    pub lost: u64,
}

/// The configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    pub path: PathBuf,
    pub way: Option<AccessPath>,
    pub read: Read,
    /// What is in it, or what holds without it.
    pub config: Config,
    /// The host's name, which is the node's unless it is configured.
    pub host: String,
}

impl Settings {
    /// Whether it is known what the node is to do.
    pub fn is_known(&self) -> bool {
        matches!(self.read, Read::Well | Read::Default)
    }
}

/// How reading the configuration went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    Well,
    /// There is none, which is as good as an empty one.
    Default,
    /// The user may not read it.
    Hidden,
    Wrong(String),
    Hangs,
}

/// The node, asked at its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeAnswer {
    Runs(Box<Status>),
    /// Nobody listens there.
    Absent,
    /// The user may not ask it, in words.
    Hidden(String),
    /// It is there and does not answer, in words.
    Mute(String),
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub name: String,
    pub id: String,
    pub tracker: String,
    pub peers: u64,
    pub tracks: u64,
    pub output: String,
    /// In per cent; a tracker has none.
    pub volume: Option<u8>,
    pub problems: Vec<String>,
    pub underruns: u64,
}

/// The service, as systemd knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    pub is_installed: bool,
    pub is_enabled: bool,
    /// `active`, `inactive`, `failed`, `activating`, …
    pub active: String,
    /// Why it ended, and how often it was started again.
    pub result: String,
    pub restarts: u64,
    /// Beside its own directories, where the manager lets it write, if not everywhere.
    pub writes: Option<Vec<PathBuf>>,
    /// The last line that the program has written.
    pub last_line: Option<String>,
}

/// The file of the swarm's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub path: PathBuf,
    pub way: AccessPath,
    /// How many are in it, or what is wrong with it; nothing where it may not be read.
    pub keys: Option<Result<usize, String>>,
}

/// A directory of the node's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dir {
    pub path: PathBuf,
    pub way: AccessPath,
    pub disk: Option<FileSystem>,
    /// What the node has in it, in bytes, as far as that was counted.
    pub used: u64,
}

/// The file system that a directory is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// For all users but root, in bytes.
    pub free: u64,
    pub has_inodes: bool,
    pub is_read_only: bool,
    /// Whether it is gone at the next start of the machine.
    pub is_in_memory: bool,
}

/// A music directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Music {
    pub way: AccessPath,
    pub content: DirectoryContent,
    /// The place where a disk should be and is not.
    pub unmounted: Option<PathBuf>,
}

/// What is in a music directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryContent {
    /// Something that can be played.
    Playable,
    /// So many files, of which none can.
    Unplayable(usize),
    /// So much that not all was looked at, and nothing so far that can be played.
    Much,
    /// The user cannot read it.
    Unread,
}

/// The sound device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundDevice {
    pub wanted: OutputSpec,
    pub tried: Tried,
}

/// What came of opening the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The node may have it.
    Left,
    /// Its name, and what it takes.
    Opens { name: String, takes: String },
    /// There is no card, or none of that name.
    Missing(String),
    /// It is there and cannot be used.
    Unusable(String),
}

/// Somewhere the node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub key: &'static str,
    pub transport: &'static str,
    pub at: SocketAddr,
    pub state: PortState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortState {
    Free,
    /// The node has it.
    Own,
    Taken(Option<String>),
    /// Why it cannot be had otherwise.
    Failed(String),
}

/// The machine's interfaces, without loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalInterfaces {
    pub interfaces: Vec<Interface>,
    /// Whether a switch, real or not, keeps the radio off.
    pub is_radio_off: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub addresses: Vec<IpAddr>,
    pub has_multicast: bool,
    /// Whether it leads to containers only.
    pub is_virtual: bool,
    /// The largest packet that it takes, where that is too small for QUIC.
    pub narrow: Option<u32>,
    pub wifi: Option<Wifi>,
}

/// What a radio does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wifi {
    /// Whether it sleeps between packets, where that can be seen.
    pub power_save: Option<bool>,
    /// In dBm.
    pub signal: Option<i32>,
}

/// What was heard by multicast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Multicast {
    /// The node listens on this machine only.
    Unused,
    Heard {
        /// Whether the machine hears its own question on each interface.
        itself: Vec<(String, bool)>,
        /// What announces itself, in words, without this node.
        trackers: Vec<String>,
        peers: usize,
        /// Why mDNS could not be asked.
        error: Option<String>,
    },
}

/// What came of knocking at a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerReach {
    Answers(SocketAddr),
    /// Its name means nothing here, in the system's words.
    Nameless(String),
    Silent(String),
}

/// What keeps packets out, as far as can be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Firewall {
    pub ufw: bool,
    /// Whether its rules name the port; unknown where the user may not read them.
    pub ufw_has_port: Option<bool>,
    pub firewalld: bool,
}
