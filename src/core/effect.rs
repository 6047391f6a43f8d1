//! What a peer's driver is to perform.

use std::{collections::VecDeque, net::SocketAddr};

use crate::{
    audio::PlayId,
    catalog::{SignedHead, Want},
    command::{CommandError, CommandOutcome, StateParts},
    content::ranges::GroupSet,
    id::{EntryNo, PeerId, TrackId},
    node::{Archival, AskId, ControlId, FetchId, Memory, PlayerAction, PlayerTrack},
    protocol::{Greeting, PeerReply},
    swarm::{budget::Precedence, guests::GuestId, order::FetchOrder, serving::own::OwnPart},
};

/// One thing to perform; none of them waits for the network or a disk. An event that an effect
/// names goes to [`PeerCore::handle`](super::PeerCore::handle).
#[derive(Debug)]
pub enum Effect {
    Player(PlayerEffect),
    Download(DownloadEffect),
    Upload(UploadEffect),
    Local(LocalEffect),
    /// The peer may be asked over the connection that it has opened.
    Offer(PeerId, GuestId),
    /// Close a connection that another peer has opened.
    Evict(GuestId),
    /// Answer a control client.
    Answer(ControlId, Result<CommandOutcome, CommandError>),
    /// Wake the clients that wait for these.
    Changed(StateParts),
    /// Write down [`PeerCore::bookmark`](super::PeerCore::bookmark), if that is news.
    Bookmark,
    /// The peer leaves: nothing that it remembers changes any more, the library ends, and what is
    /// here of tracks is synced. [`Self::End`] follows.
    Leave,
    /// Nothing follows any more.
    End,
}

/// What the player is to do.
#[derive(Debug)]
pub enum PlayerEffect {
    Order(PlayerAction),
    /// Play the bytes that [`DownloadEffect::Locate`] has found, or those of an open track.
    Load(PlayerTrack),
    /// Make no sound of it until [`Self::Sound`].
    Hold(PlayId),
    Sound(PlayId),
}

/// What brings bytes and catalogues here.
#[derive(Debug)]
pub enum DownloadEffect {
    /// Ask `peer` what its entry hashes to, in place of any other look-up;
    /// `Event::Resolved` says.
    Resolve {
        play: PlayId,
        peer: PeerId,
        entry: EntryNo,
    },
    /// Find the own file of `entry`, in place of any other look-up;
    /// [`PeerCore::handle_located`](super::PeerCore::handle_located) says.
    Locate {
        play: PlayId,
        entry: EntryNo,
    },
    /// Give the look-up up.
    EndLookup,
    /// Have the store make room; [`PeerCore::handle_opened`](super::PeerCore::handle_opened) says.
    Open {
        track: TrackId,
        size: u64,
    },
    /// All of it is here: make it a held one, and tell the swarm. `Event::Lost` where it is not
    /// whole after all, `Event::Machine` where the disk does not take it.
    Keep(TrackId),
    /// What is missing of it will not come: its reader ends there.
    Fail {
        track: TrackId,
        why: String,
    },
    /// These groups are not needed any more, and nothing keeps them.
    Forget {
        track: TrackId,
        groups: GroupSet,
    },
    /// Nobody plays the track any more; also one that is being opened.
    Close(TrackId),
    /// A peer can be dialled at these addresses, and at no others any more.
    Link(PeerId, Vec<SocketAddr>),
    /// It cannot be dialled any more.
    Unlink(PeerId),
    /// Fetch into an open track; `Event::Fetch` says how far that is.
    Fetch {
        fetch: FetchId,
        source: PeerId,
        order: FetchOrder,
    },
    EndFetch(FetchId),
    /// `Event::Greeted` says what became of it.
    Greet(PeerId, Box<Greeting>),
    /// Ask an owner for a piece of its catalogue; `Event::Piece` has it.
    AskOwner(PeerId, Want),
}

/// What answers another peer.
#[derive(Debug)]
pub enum UploadEffect {
    /// Answer with this and nothing else.
    Reply(AskId, PeerReply),
    /// Send a part of the own catalogue when its turn comes.
    SendPart {
        ask: AskId,
        part: OwnPart,
        precedence: Precedence,
    },
    /// Send what is here of a slice; `Event::Answered` says when that is over.
    Send(AskId, SliceOrder),
    /// Stop sending it.
    EndSlice(AskId),
    /// Hash the file of `entry`, if that has not been done, and answer with the result;
    /// `Event::Answered` says when that is over.
    Hash { ask: AskId, entry: EntryNo },
}

/// What concerns this machine only.
#[derive(Debug)]
pub enum LocalEffect {
    /// These tracks stay in the cache while others go.
    Queued(Vec<TrackId>),
    /// Sync what nobody plays.
    Rest,
    /// Tell the library which complete copies the store has.
    AnnounceHeld,
    /// Find out whether the cache can be written;
    /// [`PeerCore::handle_cache_checked`](super::PeerCore::handle_cache_checked) says.
    CheckCache,
    /// Whether to look for peers by mDNS.
    LookForPeers(bool),
    /// Write this down; the latest counts.
    Remember(Box<Memory>),
    /// Keep a catalogue on disk, or do not any more; `Event::Archived` says when. The next comes
    /// after that.
    Archive(Archival),
    /// Look at the part of the library that shows this path, or at all if that is empty;
    /// `anew`, whatever the times of change say.
    Rescan { path: String, anew: bool },
    /// See to it that the next head of the own catalogue is newer than this.
    Outdo(SignedHead),
    /// Find out what sound devices there are; `Event::Machine` has them.
    LookForDevices,
}

macro_rules! effects {
    ($($kind:ident($effect:ident)),*) => {$(
        impl From<$effect> for Effect {
            fn from(effect: $effect) -> Self {
                Self::$kind(effect)
            }
        }
    )*};
}

effects!(
    Player(PlayerEffect),
    Download(DownloadEffect),
    Upload(UploadEffect),
    Local(LocalEffect)
);

/// Effects in the order in which they are to be performed. The driver takes them before it waits,
/// so it holds what one event comes to.
#[derive(Debug, Default)]
pub struct EffectQueue(VecDeque<Effect>);

impl EffectQueue {
    pub fn push(&mut self, effect: impl Into<Effect>) {
        self.0.push_back(effect.into());
    }

    pub fn push_all<E: Into<Effect>>(&mut self, effects: impl IntoIterator<Item = E>) {
        self.0.extend(effects.into_iter().map(E::into));
    }

    pub fn pop(&mut self) -> Option<Effect> {
        self.0.pop_front()
    }
}

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct SliceOrder {
    pub track: TrackId,
    /// Of the whole track as its requester knows it, in bytes.
    pub size: u64,
    pub groups: GroupSet,
    pub precedence: Precedence,
}
