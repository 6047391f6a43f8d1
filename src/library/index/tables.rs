//! The tables of the index, and the changes to them.

use std::borrow::Cow;

use minicbor::{
    bytes::{ByteArray, ByteSlice},
    Decode, Encode,
};
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{Note, NumberedItem, Record};
use crate::{
    catalog::{decode_listed, encode_listed},
    id::{EntryNo, TrackId},
    library::scan::FileStamp,
};

/// A change that is not written yet.
#[derive(Debug)]
pub enum IndexChange {
    Put(EntryNo, NumberedItem),
    Hashed(EntryNo, FileStamp, TrackId),
    Hide(EntryNo),
    Show {
        no: EntryNo,
        dir: String,
        name: String,
    },
    Remove(EntryNo),
    /// The file's time of change is known now.
    Stamped(EntryNo, FileStamp),
    Unplayable(Vec<u8>, Note),
    Forget(Vec<u8>),
}

impl IndexChange {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let texts = match self {
            // Texts are as long in memory as they are on disk.
            Self::Put(_, item) => encode_slot(item).len() + size_of::<Record>(),
            Self::Show { dir, name, .. } => dir.len() + name.len(),
            Self::Unplayable(path, note) => path.len() + note.why.len(),
            Self::Forget(path) => path.len(),
            Self::Hashed(..) | Self::Hide(_) | Self::Remove(_) | Self::Stamped(..) => 0,
        };
        size_of::<Self>() + texts
    }
}

/// The tables of one writing transaction, kept in step with each other.
pub struct Tables<'t> {
    entries: Table<'t, u32, &'static [u8]>,
    files: Table<'t, &'static [u8], u32>,
    held: Table<'t, [u8; 32], u32>,
    unplayable: Table<'t, &'static [u8], &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub fn open(txn: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            entries: txn.open_table(ENTRIES)?,
            files: txn.open_table(FILES)?,
            held: txn.open_table(HELD)?,
            unplayable: txn.open_table(UNPLAYABLE)?,
        })
    }

    pub fn apply(&mut self, change: &IndexChange) -> Result<(), redb::Error> {
        match change {
            IndexChange::Put(no, slot) => self.put(no.0, slot)?,
            IndexChange::Hashed(no, stamp, track) => self.change(*no, |record| {
                if record.stamp.is_same(stamp) {
                    record.listed.track = Some(*track);
                }
            })?,
            IndexChange::Hide(no) => self.change(*no, |record| record.absent = true)?,
            IndexChange::Show { no, dir, name } => self.change(*no, |record| {
                record.absent = false;
                record.listed.dir = dir.as_str().into();
                record.listed.name = name.as_str().into();
            })?,
            IndexChange::Remove(no) => {
                match self.get(no.0)? {
                    Some(NumberedItem::File(record)) => {
                        drop(self.files.remove(record.path.as_slice())?)
                    }
                    Some(NumberedItem::Held { track, .. }) => drop(self.held.remove(track.0)?),
                    None => {}
                }
                self.entries.remove(no.0)?;
            }
            IndexChange::Stamped(no, stamp) => self.change(*no, |record| record.stamp = *stamp)?,
            IndexChange::Unplayable(path, note) => {
                self.unplayable
                    .insert(path.as_slice(), encode_note(note).as_slice())?;
            }
            IndexChange::Forget(path) => drop(self.unplayable.remove(path.as_slice())?),
        }
        Ok(())
    }

    /// Changes a part of a record: others may have changed the rest since it
    /// was looked up.
    fn change(&mut self, no: EntryNo, f: impl FnOnce(&mut Record)) -> Result<(), redb::Error> {
        if let Some(NumberedItem::File(mut record)) = self.get(no.0)? {
            f(&mut record);
            self.put(no.0, &NumberedItem::File(record))?;
        }
        Ok(())
    }

    pub fn put(&mut self, no: u32, slot: &NumberedItem) -> Result<(), redb::Error> {
        match slot {
            NumberedItem::File(record) => {
                self.files.insert(record.path.as_slice(), no)?;
                self.unplayable.remove(record.path.as_slice())?;
            }
            NumberedItem::Held { track, .. } => drop(self.held.insert(track.0, no)?),
        }
        self.entries.insert(no, encode_slot(slot).as_slice())?;
        Ok(())
    }

    fn get(&self, no: u32) -> Result<Option<NumberedItem>, redb::Error> {
        Ok(self.entries.get(no)?.and_then(|v| decode_slot(v.value())))
    }
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

fn encode_slot(slot: &NumberedItem) -> Vec<u8> {
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

fn encode_note(note: &Note) -> Vec<u8> {
    encode(note)
}

pub fn decode_note(bytes: &[u8]) -> Option<Note> {
    minicbor::decode(bytes).ok()
}

fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("memory takes whatever is written to it")
}

pub const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// CBOR of [`StoredItem`], by entry number.
pub const ENTRIES: TableDefinition<u32, &[u8]> = TableDefinition::new("entries");
pub const OLD_ENTRIES: TableDefinition<u32, &[u8]> = TableDefinition::new("old entries");
/// Entry numbers by path.
pub const FILES: TableDefinition<&[u8], u32> = TableDefinition::new("files");
/// Entry numbers by track.
pub const HELD: TableDefinition<[u8; 32], u32> = TableDefinition::new("held");
/// CBOR of [`Note`], by path.
pub const UNPLAYABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("unplayable");
