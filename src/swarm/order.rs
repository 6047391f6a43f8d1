//! What is asked of another peer.

use crate::{content::ranges::GroupSet, id::TrackId, protocol::Class};

/// What is to be fetched.
#[derive(Clone, Debug)]
pub struct FetchOrder {
    pub track: TrackId,
    /// Of the whole track, in bytes.
    pub size: u64,
    pub groups: GroupSet,
    pub class: Class,
    /// Ask over a new connection: the one that there is has fallen silent.
    pub renew: bool,
}
