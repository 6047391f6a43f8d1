//! What the index knows of a file, and how that is written.

use std::{borrow::Cow, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use minicbor::{
    bytes::{ByteArray, ByteSlice},
    Decode, Encode,
};

use crate::{
    catalog::{decode_listed, encode_listed, Entry, HeldEntry, ListedEntry},
    id::{EntryNo, TrackId},
    library::stamp::FileStamp,
};

/// A file with a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The whole path, in bytes.
    pub path: Vec<u8>,
    pub stamp: FileStamp,
    /// The file could not be seen in the last scan, but nor was it seen to be
    /// gone. It keeps its number and is not listed.
    pub absent: bool,
    pub listed: ListedEntry,
}

impl Record {
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }
}

/// What has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NumberedItem {
    File(Box<Record>),
    /// A complete copy in the cache.
    Held {
        track: TrackId,
        size: u64,
    },
}

impl NumberedItem {
    /// As the catalogue shows it.
    pub fn entry(self) -> Option<Entry> {
        match self {
            Self::File(record) if record.absent => None,
            Self::File(record) => Some(Entry::Listed(Box::new(record.listed))),
            Self::Held { track, size } => Some(Entry::Held(Box::new(HeldEntry { track, size }))),
        }
    }
}

/// What is known about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownPath {
    Listed(EntryNo, Box<Record>),
    /// A file that cannot be played, as it was then.
    Unplayable(Note),
}

/// Why a file is not listed as it could be, and how it was then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Note {
    #[n(0)]
    pub stamp: FileStamp,
    #[n(1)]
    pub why: String,
}

/// What has a number, as it is written. A field that a later version has added is skipped.
#[derive(Encode, Decode)]
enum StoredItem<'a> {
    #[n(0)]
    #[cbor(map)]
    File {
        #[n(0)]
        path: &'a ByteSlice,
        #[n(1)]
        stamp: FileStamp,
        #[n(2)]
        absent: bool,
        /// As [`encode_listed`] gives it.
        #[n(3)]
        listed: Cow<'a, ByteSlice>,
    },
    #[n(1)]
    #[cbor(map)]
    Held {
        #[n(0)]
        track: ByteArray<32>,
        #[n(1)]
        size: u64,
    },
}

pub fn encode_slot(slot: &NumberedItem) -> Vec<u8> {
    encode(&match slot {
        NumberedItem::File(record) => StoredItem::File {
            path: record.path.as_slice().into(),
            stamp: record.stamp,
            absent: record.absent,
            listed: Cow::Owned(encode_listed(&record.listed).into()),
        },
        NumberedItem::Held { track, size } => StoredItem::Held {
            track: track.0.into(),
            size: *size,
        },
    })
}

pub fn decode_slot(bytes: &[u8]) -> Option<NumberedItem> {
    Some(match minicbor::decode(bytes).ok()? {
        StoredItem::File {
            path,
            stamp,
            absent,
            listed,
        } => NumberedItem::File(Box::new(Record {
            path: path.to_vec(),
            stamp,
            absent,
            listed: decode_listed(&listed).ok()?,
        })),
        StoredItem::Held { track, size } => NumberedItem::Held {
            track: TrackId(*track),
            size,
        },
    })
}

pub fn encode_note(note: &Note) -> Vec<u8> {
    encode(note)
}

pub fn decode_note(bytes: &[u8]) -> Option<Note> {
    minicbor::decode(bytes).ok()
}

fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("memory takes whatever is written to it")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::samples;

    fn record(absent: bool) -> NumberedItem {
        NumberedItem::File(Box::new(Record {
            path: b"/srv/music/caf\xe9.flac".to_vec(),
            stamp: FileStamp {
                size: 1,
                modified: (-2, 3),
                inode: 4,
                changed: Some((5, 6)),
            },
            absent,
            listed: samples::listed("", "caf\\xe9.flac", Some(7)),
        }))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let held = NumberedItem::Held {
            track: TrackId([9; 32]),
            size: 10,
        };
        for item in [record(false), record(true), held] {
            assert_eq!(decode_slot(&encode_slot(&item)), Some(item));
        }
        let note = Note {
            stamp: FileStamp::default(),
            why: "it is empty".into(),
        };
        assert_eq!(decode_note(&encode_note(&note)), Some(note));
    }

    #[test]
    fn an_absent_file_is_not_shown() {
        assert!(record(true).entry().is_none());
        assert!(matches!(record(false).entry(), Some(Entry::Listed(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_are_not(bytes: Vec<u8>, at: usize, bit in 0u8..8) {
            let _ = (decode_slot(&bytes), decode_note(&bytes));
            let mut flipped = encode_slot(&record(false));
            let at = at % flipped.len();
            flipped[at] ^= 1 << bit;
            let _ = decode_slot(&flipped);
        }
    }
}
