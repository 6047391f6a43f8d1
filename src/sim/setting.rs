//! What a host of the simulation is made with.

use super::music::Song;

/// What a host is made with.
#[derive(Clone)]
pub struct Setting {
    pub name: &'static str,
    /// Whether a person chose it.
    pub name_is_chosen: bool,
    pub wants_tracker: bool,
    /// Songs, and whether each has been hashed.
    pub songs: Vec<(Song, bool)>,
    /// Bytes a second that it can send.
    pub uplink: u64,
    pub manner: Manner,
}

/// How a host behaves towards others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Sends wrong bytes.
    Liar,
    /// Says that its files have changed.
    Changed,
    /// Serves all by itself.
    Alone,
    /// Has more tracks than others have room for, and wants nobody else's.
    Hoarder,
}
