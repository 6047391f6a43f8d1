//! What a node is told, and what it has done.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::{
    Absence, Archival, Archived, AskId, CatalogueWant, FetchEvent, FetchId, Interfaces, Memory,
    PlayAction, Unresolved, UploadAnswer,
};
use crate::{
    audio::{PlayId, PlayerEvent},
    catalog::{Catalogue, Deposit, Hash, SignedHead},
    command::{
        view::{DeviceView, LibraryView},
        CommandError, CommandOutcome, CommandRequest, StateParts,
    },
    config::Role,
    content::ranges::GroupSet,
    id::{PeerId, TrackId},
    protocol::{Greeting, PeerRequest},
    tracker::link::TrackerEvent,
};

/// What a node is told once.
#[derive(Clone, Debug)]
pub struct NodeSetup {
    pub me: PeerId,
    pub name: String,
    /// Whether a person chose it.
    pub name_is_chosen: bool,
    pub role: Role,
    pub interfaces: Interfaces,
    /// What it remembers from before.
    pub memory: Memory,
    /// What was found wrong at the start, for people.
    pub found: Vec<String>,
    /// In per cent.
    pub max_volume: u8,
    /// Whether a requester of what others have just got may be referred to these.
    pub names_others: bool,
    /// Makes this node's chances its own.
    pub seed: u64,
    /// How much memory this machine has for it, in bytes.
    pub memory_bytes: u64,
    /// How long an owner is here before its catalogue outlives its absence.
    pub known_after: Duration,
}

/// What happened to the node.
#[derive(Clone, Debug)]
pub enum Event {
    Tracker(TrackerEvent),
    /// The own library has a new catalogue.
    Library(Arc<Catalogue>),
    Scan(ScanEvent),
    Player(PlayerEvent),
    /// What an owner said its entry is, or why there is no answer.
    Resolved {
        play: PlayId,
        answer: Result<(TrackId, u64), Unresolved>,
    },
    /// The store has made room, with what was there already.
    Opened {
        track: TrackId,
        answer: Result<GroupSet, String>,
    },
    /// The store cannot keep the track, for this reason; the disk has these
    /// groups of it, and memory what else arrives.
    Unkept {
        track: TrackId,
        kept: GroupSet,
        why: String,
    },
    /// The store said that these groups were there, and they are not.
    Lost {
        track: TrackId,
        groups: GroupSet,
    },
    /// How long this node was away, as soon as that is known, or that it will not be.
    Absent(Absence),
    Machine(MachineReport),
    /// The reader stands at this byte.
    Demand {
        track: TrackId,
        offset: u64,
    },
    Fetch(FetchId, FetchEvent),
    /// Another peer asks.
    Asked {
        ask: AskId,
        peer: PeerId,
        /// Where it speaks from, which is where it can be dialled.
        from: SocketAddr,
        request: PeerRequest,
    },
    /// A peer announces itself by mDNS at these addresses; at none, when it does so no
    /// more.
    Sighted(PeerId, Vec<SocketAddr>),
    /// A node of an older version was met there.
    Older(IpAddr),
    /// What became of a greeting.
    Greeted(PeerId, Greeted),
    /// A piece of a catalogue that its owner was asked for.
    Piece(PeerId, Result<CataloguePiece, String>),
    /// A slice is sent, or was given up after this many bytes; or an entry is resolved.
    Answered {
        ask: AskId,
        sent: u64,
        /// What has reached the requester, as it confirms.
        arrived: GroupSet,
    },
    /// A client of the control socket wants something.
    Control {
        ask: ControlId,
        request: CommandRequest,
        sight: RequestContext,
    },
    /// This machine's interfaces are others now.
    Interfaces(Interfaces),
    /// This node shows and believes other keys now; connections by a key that was taken
    /// away have ended.
    Keys,
    /// A catalogue was kept while this node did not run; its owner was away for so long.
    Recalled(Box<Deposit>, Duration),
    /// What became of the last [`Action::Archive`].
    Archived(Archived),
    /// The configuration was read again.
    Configured {
        /// The loudest that is allowed, in per cent.
        max_volume: u8,
        /// What a person must know of it, one sentence each; those before are
        /// over.
        notices: Vec<String>,
    },
}

/// What a person may want to know of the machine that the node runs on.
#[derive(Clone, Debug)]
pub enum MachineReport {
    /// Whether queue and volume can be remembered, when that changes.
    Remembered(Result<(), String>),
    /// What became of the node's identity on its disk while it ran, if that is to be known.
    IdentityLost(Option<String>),
    /// Nothing can be kept, for this reason.
    CacheBroken(String),
    /// The cache can be written again.
    CacheMended,
    /// Whether the file of counters can be written, when that changes.
    StatsWritten(Result<(), String>),
    /// The sound devices that there are.
    Devices(Vec<DeviceView>),
}

/// How a peer answers a greeting.
#[derive(Clone, Debug)]
pub enum Greeted {
    Hello {
        greeting: Box<Greeting>,
        at: SocketAddr,
    },
    Busy,
    Declined,
    Silent(String),
}

/// A piece of a catalogue.
#[derive(Clone, Debug)]
pub enum CataloguePiece {
    List(Vec<Hash>),
    Page { index: u32, bytes: Arc<[u8]> },
}

/// What the library tells besides its catalogue.
#[derive(Clone, Debug)]
pub enum ScanEvent {
    /// At everything, or at a part of which others have problems of their own.
    Started {
        whole: bool,
    },
    Done(LibraryView),
    Problem(String),
}

/// Names a request of a control client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControlId(pub u64);

/// What a control request finds outside the node.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestContext {
    /// Where the player is.
    pub position: Option<(PlayId, Duration)>,
    /// Seconds since 1970, for what is shown only.
    pub wall_clock: i64,
}

impl RequestContext {
    /// Where `play` is, if the player is at that.
    pub fn position_of(&self, play: Option<PlayId>) -> Option<Duration> {
        let (at, position) = self.position?;
        (Some(at) == play).then_some(position)
    }
}

/// What the node wants done, in this order.
#[derive(Debug)]
pub enum Action {
    Play(PlayAction),
    Transport(PlayerAction),
    /// Ask for a piece of a catalogue.
    Want(CatalogueWant),
    /// Greet a peer, which can be dialled.
    Greet(PeerId, Box<Greeting>),
    /// Whether to look for peers by mDNS, which is of no use where a tracker is.
    LookForPeers(bool),
    /// Write down what is to be remembered.
    Remember,
    /// Write down where in its music the node is.
    Bookmark,
    /// Keep a catalogue on disk, or do not any more. The next comes when this is done.
    Archive(Archival),
    /// Tell the tracker about the own catalogue.
    Publish(Arc<Catalogue>),
    /// Where a peer may be dialled now; nobody has dialled it before, if it `is_new`.
    Link {
        peer: PeerId,
        addresses: Vec<SocketAddr>,
        is_new: bool,
    },
    /// A peer is not to be dialled any more.
    Unlink(PeerId),
    Answer(AskId, UploadAnswer),
    Reply(ControlId, Result<CommandOutcome, CommandError>),
    /// Wake the clients that wait for these.
    Changed(StateParts),
    /// These tracks are queued: they are to stay where they are kept.
    Queued(Vec<TrackId>),
    /// Of what the own library shows as this path, or of all if that is empty; `anew`,
    /// whatever the times of change say.
    Rescan {
        path: String,
        anew: bool,
    },
    /// Somebody shows this head as this node's own: see to it that the next
    /// one is newer.
    Outdo(SignedHead),
    Leave,
    /// Come back after that.
    Join,
}

/// What the player is to do besides loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayerAction {
    Pause,
    Resume,
    Stop,
    ClearNext,
    Seek { play: PlayId, to: Duration },
    Volume(u8),
}
