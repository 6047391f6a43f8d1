//! The tables of the index, and the changes to them.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{
    change::IndexChange,
    record::{decode_slot, encode_note, encode_slot, NumberedItem, Record},
};
use crate::id::EntryNo;

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

pub const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// CBOR of a [`NumberedItem`], by entry number.
pub const ENTRIES: TableDefinition<u32, &[u8]> = TableDefinition::new("entries");
pub const OLD_ENTRIES: TableDefinition<u32, &[u8]> = TableDefinition::new("old entries");
/// Entry numbers by path.
pub const FILES: TableDefinition<&[u8], u32> = TableDefinition::new("files");
/// Entry numbers by track.
pub const HELD: TableDefinition<[u8; 32], u32> = TableDefinition::new("held");
/// CBOR of [`Note`], by path.
pub const UNPLAYABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("unplayable");
