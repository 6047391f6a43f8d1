//! The names of things: peers, tracks, catalogue entries, chunk groups.
//!
//! Each is a newtype, so that a peer is never taken for a track and a byte
//! offset never for a group. They all print short (for people and logs) with
//! `Display` and whole with `to_hex`.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::unseen::has_unseen;

/// Why a text is not an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected 64 hexadecimal digits")]
pub struct BadId;

macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(
            #[n(0)]
            #[cbor(with = "minicbor::bytes")]
            pub [u8; 32],
        );

        impl $name {
            /// All 64 hexadecimal digits.
            pub fn to_hex(self) -> String {
                to_hex(&self.0)
            }
        }

        impl fmt::Display for $name {
            /// The first eight digits: enough to tell ids apart in a log line.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0[..4]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id32! {
    /// A peer: the Ed25519 public key of its leaf certificate.
    PeerId
}

id32! {
    /// A track by its content: the BLAKE3 hash of the whole file.
    TrackId
}

/// Names a key of the swarm without telling it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct KeyMark(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub [u8; 16],
);

impl PeerId {
    /// Parses what [`Self::to_hex`] wrote.
    ///
    /// # Errors
    /// [`BadId`] unless `text` is exactly 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, BadId> {
        from_hex(text).map(Self)
    }
}

impl TrackId {
    /// Parses what [`Self::to_hex`] wrote.
    ///
    /// # Errors
    /// [`BadId`] unless `text` is exactly 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, BadId> {
        from_hex(text).map(Self)
    }
}

/// A peer's id as hexadecimal digits, in formats for people.
pub mod as_hex {
    use serde::{de::Error, Deserialize, Deserializer, Serializer};

    use super::PeerId;

    /// # Errors
    /// Those of `to`.
    pub fn serialize<S: Serializer>(id: &PeerId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&id.to_hex())
    }

    /// # Errors
    /// [`super::BadId`].
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PeerId, D::Error> {
        PeerId::from_hex(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// The number of an entry in its owner's catalogue.
///
/// This, never a path, is what names a file on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct EntryNo(#[n(0)] pub u32);

/// Bytes in a chunk group, the unit of verification and of scheduling.
///
/// 16 KiB costs 0.4 % of hashes and is about 10 to 20 ms of FLAC.
pub const GROUP_BYTES: u64 = 16 * 1024;

/// The index of a chunk group in a track: group `n` is the bytes from
/// `n * GROUP_BYTES`, the last one being short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group(pub u32);

impl Group {
    /// The group that holds byte `offset`.
    pub fn of(offset: u64) -> Self {
        Self(u32::try_from(offset / GROUP_BYTES).unwrap_or(u32::MAX))
    }

    /// The offset of this group's first byte.
    pub fn start(self) -> u64 {
        u64::from(self.0) * GROUP_BYTES
    }
}

/// How many chunk groups a track of `size` bytes has; an empty one has none.
pub fn group_count(size: u64) -> u32 {
    u32::try_from(size.div_ceil(GROUP_BYTES)).unwrap_or(u32::MAX)
}

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
            let _ = write!(s, "{b:02x}");
            s
        })
}

fn from_hex(text: &str) -> Result<[u8; 32], BadId> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(BadId);
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16).ok_or(BadId);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Ok(out)
}

/// Checks a node's name.
///
/// # Errors
/// Says in words what is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("it is empty".into())
    } else if name.len() > MAX_NAME_BYTES {
        Err(format!("it is longer than {MAX_NAME_BYTES} bytes"))
    } else if name.contains('/') || has_unseen(name) || name.trim() != name {
        Err("it has a slash, a character that nobody sees, or white space at an end".into())
    } else if name == "." || name == ".." {
        Err("it means a directory".into())
    } else {
        Ok(())
    }
}

/// Bytes in a node's name: MPD shows it as a directory.
pub const MAX_NAME_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hex_round_trips_and_refuses_what_is_not_hex() {
        let id = TrackId(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(TrackId::from_hex(&id.to_hex()), Ok(id));
        assert_eq!(TrackId::from_hex("00"), Err(BadId));
        assert_eq!(TrackId::from_hex(&"g".repeat(64)), Err(BadId));
        assert_eq!(TrackId::from_hex(&"é".repeat(32)), Err(BadId));
    }

    #[test]
    fn groups_cover_a_file_exactly() {
        assert_eq!(group_count(0), 0);
        assert_eq!(group_count(1), 1);
        assert_eq!(group_count(GROUP_BYTES), 1);
        assert_eq!(group_count(GROUP_BYTES + 1), 2);
        assert_eq!(Group::of(GROUP_BYTES).start(), GROUP_BYTES);
    }

    #[test]
    fn names_are_one_path_part() {
        for good in ["kitchen", "Küche 2", "raspberrypi-3"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " a",
            "a/b",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}",
            "..",
            &"x".repeat(64),
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        /// It becomes a directory of everybody's database.
        #[test]
        fn a_name_that_passes_is_one_line_and_one_part(name in any::<String>()) {
            if check_name(&name).is_ok() {
                prop_assert!(name.len() <= MAX_NAME_BYTES && !name.is_empty());
                prop_assert!(!name.contains(['/', '\n', '\0']));
            }
        }
    }
}
