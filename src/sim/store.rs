//! The tracks that a host has, as far as they have arrived.

use std::collections::BTreeMap;

use super::player::{Byte, Bytes};
use crate::{
    content::ranges::GroupSet,
    id::{Group, TrackId},
    util::random::Random,
};

/// What has arrived.
#[derive(Debug, Default)]
pub struct Store(pub BTreeMap<TrackId, Blob>);

#[derive(Debug, Default)]
pub struct Blob {
    pub size: u64,
    pub have: GroupSet,
    /// What of that the disk has lost, which nobody has noticed yet.
    pub torn: GroupSet,
    /// Groups that others sent.
    pub fetched: u32,
    pub failed: Option<String>,
}

impl Blob {
    /// What is really here.
    pub fn here(&self) -> GroupSet {
        self.have.difference(&self.torn)
    }

    /// Makes the disk lose some of what was not synced, as it likes.
    pub fn tear(&mut self, random: &mut Random) {
        if random.chance(500) {
            let torn = self.have.iter().filter(|_| random.chance(200));
            self.torn = torn.collect();
        }
    }

    /// Notices what is lost.
    pub fn take_lost(&mut self) -> GroupSet {
        self.have = self.here();
        std::mem::take(&mut self.torn)
    }
}

impl Bytes for Store {
    fn look(&self, track: TrackId, offset: u64) -> Byte {
        match self.0.get(&track) {
            Some(blob) if blob.here().contains(Group::of(offset)) => Byte::Here,
            Some(Blob {
                failed: Some(why), ..
            }) => Byte::Never(why.clone()),
            _ => Byte::Late,
        }
    }
}
