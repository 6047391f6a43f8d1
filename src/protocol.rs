//! The messages of both protocols and their caps; [`framing`] puts them into bytes.
//!
//! # Participants
//! A **peer** talks to its **tracker** over one TLS connection on TCP, and to
//! other peers over QUIC, one bidirectional stream for each request. Both ends
//! of both have shown a certificate of this swarm before the first message,
//! so each knows the other's [`PeerId`] and neither message carries its
//! sender's.
//!
//! # Tracker (TCP)
//! The peer registers, is told its lease, and renews it. Either side announces
//! heads and asks the other for the list and the pages behind one: the tracker
//! the peer for its own, the peer the tracker for everybody else's. The
//! tracker says which peers are up, suspect and gone. A peer that leaves is told that
//! it has left. Messages are not paired with answers, except that everything a
//! tracker asks with a nonce is answered with it.
//!
//! # Peer (QUIC)
//! One request, then its answer: [`PeerReply`] messages, of which all but
//! [`PeerReply::Hashing`] are the last, and after [`PeerReply::Slice`] the
//! verified slice itself until the end of the stream. A holder whose file
//! changed under its hands resets the stream with [`RESET_CHANGED`], one whose
//! slots others wait for with [`RESET_BUSY`]; an end that comes early means that
//! it has no more. Peers that no tracker vouches for introduce themselves with
//! [`PeerRequest::Hello`], and ask each other for what is behind a newer head.
//!
//! # Framing
//! A frame is a length (`u32`, big-endian) and that many bytes of postcard.
//! Each direction of each protocol has its cap, checked before a byte of the
//! body is read. A changed message is a new [`ALPN`].
//!
//! # What it does not do
//! There are no versions within a message and no compression, and nothing here
//! proves what a peer may do: that is the certificates' and the heads' work.

mod framing;

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::framing::{
    encode_frame, encode_shared, read_frame, read_frame_body, read_frame_length, FrameError,
};
use crate::{
    catalog::{Hash, SignedHead, MAX_PAGES, MAX_PAGE_BYTES},
    id::{EntryNo, PeerId, TrackId},
};

/// The protocol's name in TLS, on TCP and on QUIC.
pub const ALPN: &[u8] = b"p2pmusic/1";

/// What both the tracker (TCP) and a peer (UDP) listen on unless told
/// otherwise.
pub const DEFAULT_PORT: u16 = 4670;

/// A peer to its tracker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToTracker {
    Register(Registration),
    /// Prolongs the lease: wants [`FromTracker::Renewed`].
    Renew,
    /// Answers [`FromTracker::Ping`].
    Pong {
        nonce: u64,
    },
    /// The last message: wants [`FromTracker::Left`].
    Leave,
    /// The peer's own newest head.
    Head(SignedHead),
    WantList {
        owner: PeerId,
    },
    WantPage {
        owner: PeerId,
        index: u32,
    },
    /// Answers [`FromTracker::WantList`]; always about the peer's own
    /// catalogue.
    List(Vec<Hash>),
    /// Answers [`FromTracker::WantPage`].
    Page {
        index: u32,
        #[serde(with = "raw")]
        bytes: Arc<[u8]>,
    },
}

/// How a peer introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub name: String,
    /// Whether it has to be that name: then it is refused when it is kept for another, and
    /// otherwise numbered.
    pub name_chosen: bool,
    /// The UDP port that the peer serves on.
    pub port: u16,
    /// Addresses of the peer's own interfaces, at most [`MAX_CANDIDATES`].
    pub candidates: Vec<IpAddr>,
}

/// A tracker to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromTracker {
    Registered(Registered),
    /// The peer registered twice; what it has stays valid.
    AlreadyRegistered(Registered),
    Refused(Refusal),
    /// Confirms [`ToTracker::Renew`], so that a peer notices a tracker that
    /// lost its power.
    Renewed,
    /// Wants [`ToTracker::Pong`]: are you still there?
    Ping {
        nonce: u64,
    },
    Peer(PeerRecord),
    Gone {
        peer: PeerId,
        left: bool,
    },
    Head(SignedHead),
    WantList,
    WantPage {
        index: u32,
    },
    List {
        owner: PeerId,
        list: Vec<Hash>,
    },
    Page {
        owner: PeerId,
        index: u32,
        #[serde(with = "raw")]
        bytes: Arc<[u8]>,
    },
    /// Answers a want whose owner or page the tracker does not have (any
    /// more).
    NotHere {
        owner: PeerId,
    },
    /// Confirms [`ToTracker::Leave`].
    Left,
}

/// What a registered peer needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The name by which the swarm knows it now.
    pub name: String,
    /// Without a renewal for this long the peer is gone.
    pub lease: Duration,
    /// The address the tracker saw.
    pub seen_as: IpAddr,
}

/// Why a tracker does not take a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the name {name:?} belongs to the peer at {holder}, which keeps it for 30 days after it \
         was here last; choose another `name`"
    )]
    NameTaken { name: String, holder: IpAddr },
    #[error(
        "this node's identity is in use at {holder}: its card or state directory is a copy; on one \
         of the two: `sudo systemctl stop p2pmusic && sudo p2pmusic identity new && sudo systemctl start p2pmusic`"
    )]
    Copy { holder: IpAddr },
    /// As [`Self::Copy`], but at the newcomer's own address.
    #[error(
        "this node is already registered from {holder}: another p2pmusic runs there \
         with the same state directory; stop one of the two"
    )]
    AlreadyRunning { holder: IpAddr },
    #[error("{name:?} is not a name: {why}")]
    BadName { name: String, why: String },
    #[error("the tracker has {max} peers and takes no more")]
    Full { max: u32 },
}

/// A peer as the tracker describes it to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    pub peer: PeerId,
    pub name: String,
    pub state: PeerState,
    /// Where it may answer, at most [`MAX_CANDIDATES`] and one more.
    pub candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerState {
    Up,
    /// Its connection is lost, its lease not over.
    Suspect,
}

/// Where a peer may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Candidate {
    At(SocketAddr),
    /// On the tracker's own host, at whatever address the tracker was
    /// reached.
    WithTracker {
        port: u16,
    },
}

/// One request of a peer to another, on a stream of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest {
    /// What does this entry of your catalogue hash to?
    Resolve {
        entry: EntryNo,
    },
    Get(Get),
    Head,
    List,
    Page {
        index: u32,
    },
    /// Here I am: wants [`PeerReply::Hello`].
    Hello(Box<Greeting>),
}

/// How a peer introduces itself to another without a tracker. Its id is that of its
/// certificate, its address where it speaks from: neither can be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    pub name: String,
    /// Of its own catalogue.
    pub head: Option<SignedHead>,
    /// The newest head of the *other's* that it has: whose index was lost has to outdo
    /// it.
    pub yours: Option<SignedHead>,
}

/// Asks for a verified slice of a track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    pub track: TrackId,
    /// What the requester takes the track's size to be, in bytes. It is part of
    /// how a slice is cut, so a holder that knows better says
    /// [`Decline::Changed`].
    pub size: u64,
    /// Chunk groups, sorted and disjoint, at most [`MAX_WIRE_RANGES`](crate::content::ranges::MAX_WIRE_RANGES) ranges.
    pub groups: Vec<Range<u32>>,
    pub class: Class,
}

/// How urgent a request is to its sender. Ordered: the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// Due within seconds.
    Now,
    /// Part of what is playing that is due later, or of the track that is played next.
    Next,
    /// Whatever else.
    Rest,
}

/// An answer of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerReply {
    Resolved {
        track: TrackId,
        size: u64,
    },
    /// Not the last answer: the file is being read for its hash, or, with
    /// nothing of it done, waits for its turn.
    Hashing {
        done: u64,
        size: u64,
    },
    /// The slice follows, as bao-tree encodes it.
    Slice,
    Head(SignedHead),
    List(Vec<Hash>),
    Page(Vec<u8>),
    No(Decline),
    Hello(Box<Greeting>),
}

/// Why a peer does not answer a request with what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Decline {
    #[error("it does not have it")]
    NotAvailable,
    #[error("it is busy")]
    Busy { retry: Duration },
    #[error("it does not serve this swarm")]
    Denied,
    #[error("the file changed on its disk")]
    Changed,
    /// Ask the peers that this one has lately sent the groups. One that has only a part of
    /// the track, and not what was asked for, names itself and what it has.
    #[error("others have it")]
    Elsewhere(Vec<(PeerId, Vec<Range<u32>>)>),
}

/// The reason code of a stream that ends because the file changed.
pub const RESET_CHANGED: u32 = 1;
/// The reason code of a stream that ends for a fault of the holder's.
pub const RESET_FAULT: u32 = 2;
/// The reason code of a stream that ends because others wait and its requester is slow:
/// the rest may be asked for again.
pub const RESET_BUSY: u32 = 3;

/// Interface addresses in a registration: more than a Pi has, fewer than
/// would make dialling them a nuisance.
pub const MAX_CANDIDATES: usize = 8;

/// A page and its index, or the longest list; the rest is far smaller.
pub const MAX_TRACKER_FRAME: usize = MAX_PAGE_BYTES + 64;
/// A [`Get`] with all its ranges is the longest request; a [`Greeting`] has half of it.
pub const MAX_REQUEST_FRAME: usize = 1024;
/// A page or the longest list.
pub const MAX_REPLY_FRAME: usize = MAX_PAGE_BYTES + 64;

const _: () = assert!(MAX_PAGES * size_of::<Hash>() < MAX_REPLY_FRAME);

/// Bytes as postcard writes a list of bytes, but copied at once instead of one
/// by one.
mod raw {
    use std::{fmt, sync::Arc};

    use serde::{de, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &Arc<[u8]>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<[u8]>, D::Error> {
        from.deserialize_bytes(Bytes)
    }

    struct Bytes;

    impl de::Visitor<'_> for Bytes {
        type Value = Arc<[u8]>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(bytes.into())
        }
    }
}

#[cfg(test)]
mod tests;
