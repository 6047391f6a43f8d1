//! Owners and entries for the tests.

use std::{sync::Arc, time::Duration};

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{Catalogue, Entry, HeldEntry, ListedEntry, Page, Tag, PAGE_ENTRIES};
use crate::{
    id::{PeerId, TrackId},
    media::Container,
};

/// A peer that can sign.
pub struct SampleOwner(Ed25519KeyPair);

impl SampleOwner {
    pub fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]);
        Self(pair.expect("every 32 bytes are a seed"))
    }

    pub fn id(&self) -> PeerId {
        let key = self.0.public_key().as_ref();
        PeerId(key.try_into().expect("Ed25519 keys have 32 bytes"))
    }

    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.0.sign(message);
        let bytes = signature.as_ref();
        bytes.try_into().expect("Ed25519 signatures have 64 bytes")
    }

    pub fn publish(&self, seq: u64, entries: Vec<Option<Entry>>) -> Catalogue {
        let page = |entries: &[Option<Entry>]| Arc::new(Page::new(entries));
        let pages = entries.chunks(PAGE_ENTRIES).map(page).collect();
        Catalogue::publish(self.id(), 1, seq, pages, |bytes| self.sign(bytes))
    }
}

pub fn listed(dir: &str, name: &str, track: Option<u8>) -> ListedEntry {
    ListedEntry {
        dir: dir.into(),
        name: name.into(),
        size: 5_000_000,
        modified: 1_700_000_000,
        track: track.map(|n| TrackId([n; 32])),
        rate: 44_100,
        channels: 2,
        bits: Some(16),
        duration: Duration::from_secs(240),
        opening: [0..16_384, 4_990_000..5_000_000].into(),
        audio_start: 8_192,
        tags: [(Tag::Title, name), (Tag::Album, dir)]
            .into_iter()
            .collect(),
        ..ListedEntry::in_container(Container::Flac)
    }
}

pub fn song(dir: &str, name: &str, track: Option<u8>) -> Option<Entry> {
    Some(Entry::Listed(Box::new(listed(dir, name, track))))
}

pub fn held(track: u8) -> Option<Entry> {
    Some(Entry::Held(Box::new(HeldEntry {
        track: TrackId([track; 32]),
        size: 1_000,
    })))
}
