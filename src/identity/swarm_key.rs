//! The secret that all members of a swarm have.

use super::encoding::{decode, encode, BadKey};

/// A swarm's secret.
///
/// `Display` writes it whole, as `p2pm1-…`, for the one moment when a person
/// wants to see it; `Debug` never does.
#[derive(Clone, PartialEq, Eq)]
pub struct SwarmKey(pub(super) [u8; 32]);

impl SwarmKey {
    /// The key of the open swarm, which is none: everybody knows it.
    pub const OPEN: Self = Self(*b"p2pmusic: open swarm, no secrecy");

    /// Parses what `Display` wrote. Nothing else is accepted, since a word
    /// that a person chose can be guessed from a certificate.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        decode(KEY_PREFIX, text).map(Self)
    }
}

impl std::fmt::Display for SwarmKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&encode(KEY_PREFIX, &self.0))
    }
}

impl std::fmt::Debug for SwarmKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SwarmKey(secret)")
    }
}

const KEY_PREFIX: &str = "p2pm1-";
