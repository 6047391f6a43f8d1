//! What the node lets be seen of itself: facts for `status` and its kin.
//!
//! Pure data, kept up to date by the node, so that a command is answered
//! without asking anybody.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{config::Role, id::PeerId, player::transport::PlayerChange, protocol::PeerState};

/// A snapshot of the node.
#[derive(Clone, Debug)]
pub struct NodeView {
    pub peer: PeerId,
    pub name: Arc<str>,
    pub role: Role,
    /// In words: "registered with 192.168.1.2:4670", "looking for one", …
    pub tracker: String,
    /// The output in words, with what is known about its exactness.
    pub output: String,
    pub devices: Vec<DeviceView>,
    pub library: LibraryView,
    /// Where the current track is; `None` while a start or seek is under way.
    pub position: Option<Duration>,
    /// How much of the current track is here, from 0 to 1.
    pub arrived: Option<f32>,
    /// What the sound waits for, in words, while it does.
    pub waits_for: Option<String>,
    /// The peer that it waits for, when that brings nothing.
    pub missed: Option<MissedView>,
    /// The names of those that the current track is being fetched from.
    pub sources: Vec<Arc<str>>,
    /// From the last `play` to its first sound.
    pub first_sound: Option<Duration>,
    /// Why the output is lost, if it is.
    pub no_sound: Option<String>,
    /// What a person should see to, one sentence each, the most urgent first.
    pub problems: Vec<String>,
    pub uptime: Duration,
    /// How long there has been sound.
    pub playtime: Duration,
    /// Seconds since 1970 when the database last changed.
    pub db_update: i64,
    /// The number of the scan that is under way.
    pub updating: Option<u32>,
}

/// A peer that the sound waits for.
#[derive(Clone, Debug)]
pub struct MissedView {
    /// `silent`, `absent` or `lacks`.
    pub reason: &'static str,
    pub peer: Arc<str>,
    pub since: Duration,
}

/// A peer as this node sees it.
#[derive(Clone, Debug)]
pub struct PeerView {
    pub peer: PeerId,
    pub name: Arc<str>,
    /// Where it was reached last.
    pub address: Option<SocketAddr>,
    pub state: PeerState,
    /// Listed tracks.
    pub tracks: usize,
    /// Whether it is this node.
    pub own: bool,
}

/// A sound device that could be configured.
#[derive(Clone, Debug)]
pub struct DeviceView {
    /// What to write in the configuration.
    pub name: String,
    pub description: String,
    pub in_use: bool,
}

/// What of this node's music its library does not show.
#[derive(Clone, Debug, Default)]
pub struct LibraryView {
    /// Files that are not listed.
    pub left_out: usize,
    /// As many of them as are remembered, and those that are listed without their tags.
    pub files: Arc<[LeftOutView]>,
}

/// A file that the library does not show as it could.
#[derive(Clone, Debug)]
pub struct LeftOutView {
    /// On the disk, as text.
    pub path: String,
    pub why: String,
    /// It is listed, without tags.
    pub is_listed: bool,
}

/// Parts of the state that a client can wait for, as MPD's `idle` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subsystem {
    Database,
    Update,
    Playlist,
    Player,
    Mixer,
    Output,
    Options,
    /// The peers have changed. MPD's word for other machines nearby.
    Neighbor,
}

impl Subsystem {
    pub const ALL: [Self; 8] = [
        Self::Database,
        Self::Update,
        Self::Playlist,
        Self::Player,
        Self::Mixer,
        Self::Output,
        Self::Options,
        Self::Neighbor,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Update => "update",
            Self::Playlist => "playlist",
            Self::Player => "player",
            Self::Mixer => "mixer",
            Self::Output => "output",
            Self::Options => "options",
            Self::Neighbor => "neighbor",
        }
    }
}

/// A set of [`Subsystem`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subsystems(u8);

impl Subsystems {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u8::MAX);

    pub const fn of(subsystems: &[Subsystem]) -> Self {
        let mut set = Self::NONE;
        let mut n = 0;
        while n < subsystems.len() {
            set.0 |= 1 << subsystems[n] as u8;
            n += 1;
        }
        set
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn contains(self, subsystem: Subsystem) -> bool {
        self.0 & 1 << subsystem as u8 != 0
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Subsystem> {
        let all = Subsystem::ALL.into_iter();
        all.filter(move |&subsystem| self.contains(subsystem))
    }
}

impl From<Subsystem> for Subsystems {
    fn from(subsystem: Subsystem) -> Self {
        Self(1 << subsystem as u8)
    }
}

impl From<PlayerChange> for Subsystems {
    fn from(change: PlayerChange) -> Self {
        match change {
            PlayerChange::Playlist => Subsystem::Playlist,
            PlayerChange::Player => Subsystem::Player,
            PlayerChange::Mixer => Subsystem::Mixer,
            PlayerChange::Options => Subsystem::Options,
        }
        .into()
    }
}
