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
//! A frame is a length (`u32`, big-endian) and that many bytes of CBOR (RFC 8949): an array of
//! the message's number and of an array of its fields, by number.
//! Each direction of each protocol has its cap, checked before a byte of the
//! body is read.
//!
//! # How it grows
//! A field that is added stands behind the others and can be missing; a reader skips those that
//! it does not know. A message that is not understood is answered with `Unsupported`, and the
//! connection lives. An unknown reason, state or class is the default of its type. A new
//! [`ALPN`] is only for what can be bridged by none of that.
//!
//! # What it does not do
//! There is no compression, and nothing here
//! proves what a peer may do: that is the certificates' and the heads' work.

mod encoding;
mod frames;
mod framing;
mod older;
mod older_nodes;

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use self::encoding::{bytes, hashes, lenient};
pub use self::frames::{encode_frame, encode_shared};
pub use self::framing::{read_frame, read_frame_body, read_frame_length, FrameError};
pub use self::older::{is_older, older_refusal, OLDER, OLDER_ALPN};
pub use self::older_nodes::OlderNodes;
use crate::{
    catalog::{Hash, SignedHead, MAX_PAGES, MAX_PAGE_BYTES},
    id::{EntryNo, PeerId, TrackId},
};

/// The protocol's name in TLS, on TCP and on QUIC. The one before it is accepted and offered
/// as well, only to say what the matter is.
pub const ALPN: &[u8] = b"p2pmusic/2";

/// What both the tracker (TCP) and a peer (UDP) listen on unless told
/// otherwise.
pub const DEFAULT_PORT: u16 = 4670;

/// A peer to its tracker.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ToTracker {
    #[n(0)]
    Register(#[n(0)] Registration),
    /// Prolongs the lease: wants [`FromTracker::Renewed`].
    #[n(1)]
    Renew,
    /// Answers [`FromTracker::Ping`].
    #[n(2)]
    Pong {
        #[n(0)]
        nonce: u64,
    },
    /// The last message: wants [`FromTracker::Left`].
    #[n(3)]
    Leave,
    /// The peer's own newest head.
    #[n(4)]
    Head(#[n(0)] SignedHead),
    #[n(5)]
    WantList {
        #[n(0)]
        owner: PeerId,
    },
    #[n(6)]
    WantPage {
        #[n(0)]
        owner: PeerId,
        #[n(1)]
        index: u32,
    },
    /// Answers [`FromTracker::WantList`]; always about the peer's own
    /// catalogue.
    #[n(7)]
    List(
        #[n(0)]
        #[cbor(with = "hashes")]
        Vec<Hash>,
    ),
    /// Answers [`FromTracker::WantPage`].
    #[n(8)]
    Page {
        #[n(0)]
        index: u32,
        #[cbor(with = "bytes")]
        #[n(1)]
        bytes: Arc<[u8]>,
    },
    /// Answers a message of a kind that this version does not know, with its number.
    #[n(9)]
    Unsupported {
        #[n(0)]
        message: i64,
    },
}

/// How a peer introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Registration {
    #[n(0)]
    pub name: String,
    /// Whether it has to be that name: then it is refused when it is kept for another, and
    /// otherwise numbered.
    #[n(1)]
    pub name_chosen: bool,
    /// The UDP port that the peer serves on.
    #[n(2)]
    pub port: u16,
    /// Addresses of the peer's own interfaces, at most [`MAX_CANDIDATES`].
    #[n(3)]
    pub candidates: Vec<IpAddr>,
}

/// A tracker to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FromTracker {
    #[n(0)]
    Registered(#[n(0)] Registered),
    /// The peer registered twice; what it has stays valid.
    #[n(1)]
    AlreadyRegistered(#[n(0)] Registered),
    #[n(2)]
    Refused(
        #[n(0)]
        #[cbor(decode_with = "lenient::decode")]
        Refusal,
    ),
    /// Confirms [`ToTracker::Renew`], so that a peer notices a tracker that
    /// lost its power.
    #[n(3)]
    Renewed,
    /// Wants [`ToTracker::Pong`]: are you still there?
    #[n(4)]
    Ping {
        #[n(0)]
        nonce: u64,
    },
    #[n(5)]
    Peer(#[n(0)] PeerRecord),
    #[n(6)]
    Gone {
        #[n(0)]
        peer: PeerId,
        #[n(1)]
        left: bool,
    },
    #[n(7)]
    Head(#[n(0)] SignedHead),
    #[n(8)]
    WantList,
    #[n(9)]
    WantPage {
        #[n(0)]
        index: u32,
    },
    #[n(10)]
    List {
        #[n(0)]
        owner: PeerId,
        #[n(1)]
        #[cbor(with = "hashes")]
        list: Vec<Hash>,
    },
    #[n(11)]
    Page {
        #[n(0)]
        owner: PeerId,
        #[n(1)]
        index: u32,
        #[cbor(with = "bytes")]
        #[n(2)]
        bytes: Arc<[u8]>,
    },
    /// Answers a want whose owner or page the tracker does not have (any
    /// more).
    #[n(12)]
    NotHere {
        #[n(0)]
        owner: PeerId,
    },
    /// Confirms [`ToTracker::Leave`].
    #[n(13)]
    Left,
    /// Answers a message of a kind that this version does not know, with its number.
    #[n(14)]
    Unsupported {
        #[n(0)]
        message: i64,
    },
}

/// What a registered peer needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Registered {
    /// The name by which the swarm knows it now.
    #[n(0)]
    pub name: String,
    /// Without a renewal for this long the peer is gone.
    #[n(1)]
    pub lease: Duration,
    /// The address the tracker saw.
    #[n(2)]
    pub seen_as: IpAddr,
}

/// Why a tracker does not take a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the name {name:?} belongs to the peer at {holder}, which keeps it for 30 days after it \
         was here last; choose another `name`"
    )]
    #[n(0)]
    NameTaken {
        #[n(0)]
        name: String,
        #[n(1)]
        holder: IpAddr,
    },
    #[error(
        "this node's identity is in use at {holder}: its card or state directory is a copy; on one \
         of the two: `sudo systemctl stop p2pmusic && sudo p2pmusic identity new && sudo systemctl start p2pmusic`"
    )]
    #[n(1)]
    Copy {
        #[n(0)]
        holder: IpAddr,
    },
    /// As [`Self::Copy`], but at the newcomer's own address.
    #[error(
        "this node is already registered from {holder}: another p2pmusic runs there \
         with the same state directory; stop one of the two"
    )]
    #[n(2)]
    AlreadyRunning {
        #[n(0)]
        holder: IpAddr,
    },
    #[error("{name:?} is not a name: {why}")]
    #[n(3)]
    BadName {
        #[n(0)]
        name: String,
        #[n(1)]
        why: String,
    },
    #[error("the tracker has {max} peers and takes no more")]
    #[n(4)]
    Full {
        #[n(0)]
        max: u32,
    },
    /// Any other reason: that of a later version.
    #[default]
    #[error("the tracker's reason is one that this version does not know; update this speaker")]
    #[n(5)]
    Unknown,
}

/// A peer as the tracker describes it to the others.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PeerRecord {
    #[n(0)]
    pub peer: PeerId,
    #[n(1)]
    pub name: String,
    #[n(2)]
    #[cbor(decode_with = "lenient::decode")]
    pub state: PeerState,
    /// Where it may answer, at most [`MAX_CANDIDATES`] and one more.
    #[n(3)]
    #[cbor(decode_with = "lenient::list")]
    pub candidates: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    #[n(0)]
    Up,
    /// Its connection is lost, its lease not over.
    #[default]
    #[n(1)]
    Suspect,
}

/// Where a peer may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Candidate {
    #[n(0)]
    At(#[n(0)] SocketAddr),
    /// On the tracker's own host, at whatever address the tracker was
    /// reached.
    #[n(1)]
    WithTracker {
        #[n(0)]
        port: u16,
    },
}

/// One request of a peer to another, on a stream of its own.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PeerRequest {
    /// What does this entry of your catalogue hash to?
    #[n(0)]
    Resolve {
        #[n(0)]
        entry: EntryNo,
    },
    #[n(1)]
    Get(#[n(0)] Get),
    #[n(2)]
    Head,
    #[n(3)]
    List,
    #[n(4)]
    Page {
        #[n(0)]
        index: u32,
    },
    /// Here I am: wants [`PeerReply::Hello`].
    #[n(5)]
    Hello(#[n(0)] Box<Greeting>),
}

/// How a peer introduces itself to another without a tracker. Its id is that of its
/// certificate, its address where it speaks from: neither can be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Greeting {
    #[n(0)]
    pub name: String,
    /// Of its own catalogue.
    #[n(1)]
    pub head: Option<SignedHead>,
    /// The newest head of the *other's* that it has: whose index was lost has to outdo
    /// it.
    #[n(2)]
    pub yours: Option<SignedHead>,
}

/// Asks for a verified slice of a track.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Get {
    #[n(0)]
    pub track: TrackId,
    /// What the requester takes the track's size to be, in bytes. It is part of
    /// how a slice is cut, so a holder that knows better says
    /// [`Decline::Changed`].
    #[n(1)]
    pub size: u64,
    /// Chunk groups, sorted and disjoint, at most [`MAX_WIRE_RANGES`](crate::content::ranges::MAX_WIRE_RANGES) ranges.
    #[n(2)]
    pub groups: Vec<Range<u32>>,
    #[n(3)]
    #[cbor(decode_with = "lenient::decode")]
    pub class: Class,
}

/// How urgent a request is to its sender. Ordered: the most urgent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Class {
    /// Due within seconds.
    #[n(0)]
    Now,
    /// Part of what is playing that is due later, or of the track that is played next.
    #[n(1)]
    Next,
    /// Whatever else.
    #[default]
    #[n(2)]
    Rest,
}

/// An answer of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PeerReply {
    #[n(0)]
    Resolved {
        #[n(0)]
        track: TrackId,
        #[n(1)]
        size: u64,
    },
    /// Not the last answer: the file is being read for its hash, or, with
    /// nothing of it done, waits for its turn.
    #[n(1)]
    Hashing {
        #[n(0)]
        done: u64,
        #[n(1)]
        size: u64,
    },
    /// The slice follows, as bao-tree encodes it.
    #[n(2)]
    Slice,
    #[n(3)]
    Head(#[n(0)] SignedHead),
    #[n(4)]
    List(
        #[n(0)]
        #[cbor(with = "hashes")]
        Vec<Hash>,
    ),
    #[n(5)]
    Page(
        #[n(0)]
        #[cbor(with = "bytes")]
        Arc<[u8]>,
    ),
    #[n(6)]
    No(
        #[n(0)]
        #[cbor(decode_with = "lenient::decode")]
        Decline,
    ),
    #[n(7)]
    Hello(#[n(0)] Box<Greeting>),
}

/// Why a peer does not answer a request with what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Decline {
    #[error("it does not have it")]
    #[n(0)]
    NotAvailable,
    #[error("it is busy")]
    #[n(1)]
    Busy {
        #[n(0)]
        retry: Duration,
    },
    #[error("it does not serve this swarm")]
    #[n(2)]
    Denied,
    #[error("the file changed on its disk")]
    #[n(3)]
    Changed,
    /// Ask the peers that this one has lately sent the groups. One that has only a part of
    /// the track, and not what was asked for, names itself and what it has.
    #[error("others have it")]
    #[n(4)]
    Elsewhere(#[n(0)] Vec<(PeerId, Vec<Range<u32>>)>),
    /// The request is of a kind that it does not know, or its reason is one that this version
    /// does not know.
    #[default]
    #[error("it does not understand the request")]
    #[n(5)]
    Unsupported,
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

#[cfg(test)]
mod tests;
