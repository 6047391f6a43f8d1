//! The tables of the index, and the changes to them.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;

use super::{Note, NumberedItem, Record};
use crate::{
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
            Self::Put(_, item) => {
                // Texts are as long in memory as they are on disk.
                let size = postcard::experimental::serialized_size(item);
                size.unwrap_or(usize::MAX / 2) + size_of::<Record>()
            }
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

/// A slot, and behind it what earlier versions did not know of a file, and do not
/// miss: they read no further than the slot.
fn encode_slot(slot: &NumberedItem) -> Vec<u8> {
    let mut bytes = encode(slot);
    if let NumberedItem::File(record) = slot {
        bytes.extend(encode(&record.stamp.changed));
    }
    bytes
}

pub fn decode_slot(bytes: &[u8]) -> Option<NumberedItem> {
    let (mut slot, rest) = postcard::take_from_bytes::<NumberedItem>(bytes).ok()?;
    if let NumberedItem::File(record) = &mut slot {
        record.stamp.changed = postcard::from_bytes(rest).unwrap_or_default();
    }
    Some(slot)
}

fn encode_note(note: &Note) -> Vec<u8> {
    let mut bytes = encode(&note.stamp);
    bytes.extend(encode(&(note.stamp.changed, &note.why)));
    bytes
}

/// Without a reason if an earlier version wrote it.
pub fn decode_note(bytes: &[u8]) -> Option<Note> {
    let (stamp, rest) = postcard::take_from_bytes::<FileStamp>(bytes).ok()?;
    let (changed, why) = postcard::from_bytes(rest).unwrap_or_default();
    Some(Note {
        stamp: FileStamp { changed, ..stamp },
        why,
    })
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain data always has an encoding")
}

pub const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Postcard of [`NumberedItem`] and of the time of its change, by entry number.
pub const ENTRIES: TableDefinition<u32, &[u8]> = TableDefinition::new("entries");
pub const OLD_ENTRIES: TableDefinition<u32, &[u8]> = TableDefinition::new("old entries");
/// Entry numbers by path.
pub const FILES: TableDefinition<&[u8], u32> = TableDefinition::new("files");
/// Entry numbers by track.
pub const HELD: TableDefinition<[u8; 32], u32> = TableDefinition::new("held");
/// Postcard of [`FileStamp`], of the time of its change and of a reason, by path.
pub const UNPLAYABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("unplayable");
