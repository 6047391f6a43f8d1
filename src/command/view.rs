//! What there is to see of a node: numbers, enums and names, and sentences only where a
//! person reads them as they are.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::song::{SongRef, SongView};
use crate::{
    catalog::Database,
    config::Role,
    id::{as_hex, PeerId},
    playback::{
        queue::{Options, Queue, QueueId},
        transport::{PlayState, Transport},
    },
    protocol::PeerState,
    util::seconds,
};

/// A snapshot of the node and of its player.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateView {
    pub node: NodeView,
    /// At rest where there is none.
    pub player: PlayerView,
}

impl StateView {
    /// Why nothing is heard that should be, or what went wrong last.
    pub fn error(&self) -> Option<&str> {
        let plays = self.player.state == PlayState::Play;
        let no_sound = self.node.no_sound.as_deref().filter(|_| plays);
        self.player.error.as_deref().or(no_sound)
    }
}

/// A snapshot of queue and transport.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PlayerView {
    pub state: PlayState,
    /// In per cent.
    pub volume: u8,
    pub options: Options,
    /// Of the queue; another one whenever it has changed.
    pub version: u32,
    /// Tracks in the queue.
    pub length: usize,
    pub current: Option<QueuedView>,
    /// Where the current track is, while it plays or is paused.
    #[serde(with = "seconds::option")]
    pub elapsed: Option<Duration>,
    /// What follows the current track: its position and id.
    pub next: Option<(usize, QueueId)>,
    /// Whether the sound waits for bytes.
    pub is_waiting: bool,
    /// What went wrong last.
    pub error: Option<String>,
}

impl PlayerView {
    /// `position` is where the current track is; `None` while a start or seek is under way.
    pub fn new(
        queue: &Queue,
        transport: &Transport,
        position: Option<Duration>,
        database: &Database,
    ) -> Self {
        let next = queue.successor();
        let current = queue
            .cursor()
            .and_then(|id| QueuedView::find(id, queue, database));
        Self {
            state: transport.state(),
            volume: transport.volume(),
            options: queue.options(),
            version: queue.version(),
            length: queue.len(),
            elapsed: transport.elapsed(position).filter(|_| current.is_some()),
            current,
            next: next.and_then(|id| Some((queue.position(id)?, id))),
            is_waiting: transport.is_waiting(),
            error: transport.error().map(str::to_owned),
        }
    }
}

/// A track of the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueuedView {
    pub position: usize,
    pub id: QueueId,
    pub song: SongView,
}

impl QueuedView {
    /// The track of that id, if the queue has it.
    pub fn find(id: QueueId, queue: &Queue, database: &Database) -> Option<Self> {
        let position = queue.position(id)?;
        let slot = queue.slots().get(position)?;
        let song = SongRef::queued(&slot.item, database).into();
        Some(Self { position, id, song })
    }
}

/// A snapshot of the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeView {
    #[serde(with = "as_hex")]
    pub peer: PeerId,
    pub name: Arc<str>,
    pub role: Role,
    pub standing: TrackerStanding,
    /// The same in words: "registered with 192.168.1.2:4670", "looking for one", …
    pub tracker: String,
    /// The output in words, with what is known about its exactness.
    pub output: String,
    /// Files of the own music that are not listed.
    pub left_out: usize,
    /// Peers that are here, this node included if it is one.
    pub peers: usize,
    /// Listed tracks of all of them.
    pub tracks: usize,
    /// How much of the current track is here, from 0 to 1.
    pub arrived: Option<f32>,
    /// What the sound waits for, in words, while it does.
    pub waits_for: Option<String>,
    /// The peer that it waits for, when that brings nothing.
    pub missed: Option<MissedView>,
    /// The names of those that the current track is being fetched from.
    pub sources: Vec<Arc<str>>,
    /// From the last `play` to its first sound.
    #[serde(with = "seconds::option")]
    pub first_sound: Option<Duration>,
    /// Why the output is lost, if it is.
    pub no_sound: Option<String>,
    /// What a person should see to, one sentence each, the most urgent first.
    pub problems: Vec<String>,
    #[serde(with = "seconds")]
    pub uptime: Duration,
    /// How long there has been sound.
    #[serde(with = "seconds")]
    pub playtime: Duration,
    /// Seconds since 1970 when the database last changed.
    pub db_update: i64,
    /// The number of the scan that is under way.
    pub updating: Option<u32>,
}

/// How a node stands with its tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackerStanding {
    /// It is one, and nothing else.
    Itself,
    /// It looks for one, or connects to one.
    Looking,
    Lost,
    Registered,
    /// None is configured.
    Unwanted,
    Refused,
    /// A person had it leave.
    Left,
}

/// A peer that the sound waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MissedView {
    pub reason: Missed,
    pub peer: Arc<str>,
    #[serde(with = "seconds")]
    pub since: Duration,
}

/// How a peer is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// It does not answer.
    Silent,
    /// It is not in the swarm.
    Absent,
    /// It is in the swarm, without the track.
    Lacks,
}

impl Missed {
    /// One word, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Absent => "absent",
            Self::Lacks => "lacks",
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "does not answer",
            Self::Absent => "is not here",
            Self::Lacks => "does not have it any more",
        })
    }
}

/// A peer as this node sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerView {
    #[serde(with = "as_hex")]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeviceView {
    /// What to write in the configuration.
    pub name: String,
    pub description: String,
    pub in_use: bool,
}

/// What of this node's music its library does not show.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LibraryView {
    /// Files that are not listed.
    pub left_out: usize,
    /// As many of them as are remembered, and those that are listed without their tags.
    pub files: Arc<[LeftOutView]>,
}

/// A file that the library does not show as it could.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeftOutView {
    /// On the disk, as text.
    pub path: String,
    pub why: String,
    /// It is listed, but some of its tags, or all, are not.
    pub is_listed: bool,
}
