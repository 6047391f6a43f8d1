//! The outboard of an open file.

use std::io;

use bao_tree::io::sync::ReadAt;

use super::DiskFile;

/// Where an outboard lies.
pub(in crate::content) enum Hashes {
    File(Box<dyn DiskFile>),
    /// Only where the cache has no room for it.
    Memory(Vec<u8>),
}

impl ReadAt for Hashes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(offset, buf),
            Self::Memory(bytes) => ReadAt::read_at(bytes, offset, buf),
        }
    }
}
