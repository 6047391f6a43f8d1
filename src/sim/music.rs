//! The library of a simulated peer: songs without bytes, in real catalogues.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::{
    catalog::{Catalogue, Entry, Head, HeldEntry, ListedEntry, Page, Tag, PAGE_ENTRIES},
    id::{EntryNo, PeerId, TrackId},
    media::Container,
};

/// A piece of music.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Song {
    pub track: TrackId,
    pub name: String,
    /// Bytes.
    pub size: u64,
    pub duration: Duration,
    /// Where the sound begins.
    pub audio_start: u64,
}

impl Song {
    /// The `n`th song of the world: `seconds` long, `rate` bytes a second,
    /// with a small picture before the sound.
    pub fn new(n: u32, seconds: u64, rate: u64) -> Self {
        Self {
            track: TrackId(*blake3::hash(&n.to_le_bytes()).as_bytes()),
            name: format!("song-{n:03}.flac"),
            size: PICTURE + seconds * rate,
            duration: Duration::from_secs(seconds),
            audio_start: PICTURE,
        }
    }

    /// Bytes of sound that a second takes.
    pub fn rate(&self) -> u64 {
        (self.size - self.audio_start) * 1000 / (self.duration.as_millis() as u64).max(1)
    }

    /// What a decoder reads before the first sound.
    pub fn opening(&self) -> [Range<u64>; 3] {
        let tail = self.size.saturating_sub(4096)..self.size;
        [
            0..4096,
            self.audio_start..(self.audio_start + 16_384).min(self.size),
            tail,
        ]
    }

    fn listed(&self, hashed: bool) -> ListedEntry {
        ListedEntry {
            dir: "album".into(),
            name: self.name.as_str().into(),
            size: self.size,
            modified: 0,
            track: hashed.then_some(self.track),
            rate: 44_100,
            channels: 2,
            bits: Some(16),
            duration: self.duration,
            opening: self.opening().into(),
            audio_start: self.audio_start,
            tags: [(Tag::Title, self.name.as_str()), (Tag::Album, "Album")]
                .into_iter()
                .collect(),
            ..ListedEntry::in_container(Container::Flac)
        }
    }
}

/// What a peer has, and the key that signs its catalogue.
pub struct Library {
    key: Ed25519KeyPair,
    songs: Vec<(Song, bool)>,
    held: BTreeMap<TrackId, u64>,
    epoch: u64,
    seq: u64,
    published: Option<Head>,
}

impl Library {
    /// The library of the `n`th peer. Songs whose flag is not set have not
    /// been hashed yet.
    pub fn new(n: u8, songs: Vec<(Song, bool)>) -> Self {
        let key = Ed25519KeyPair::from_seed_unchecked(&[n + 1; 32]);
        let key = key.expect("32 bytes are a seed");
        Self {
            key,
            songs,
            held: BTreeMap::new(),
            epoch: 1,
            seq: 0,
            published: None,
        }
    }

    pub fn owner(&self) -> PeerId {
        let key = self.key.public_key().as_ref();
        PeerId(key.try_into().expect("an Ed25519 key has 32 bytes"))
    }

    pub fn song(&self, entry: EntryNo) -> Option<&Song> {
        self.songs.get(entry.0 as usize).map(|(song, _)| song)
    }

    /// The song with this content, hashed or not.
    pub fn find(&self, track: TrackId) -> Option<&Song> {
        self.songs
            .iter()
            .find_map(|(song, _)| (song.track == track).then_some(song))
    }

    pub fn has_hashed(&self, track: TrackId) -> Option<&Song> {
        let mut hashed = self.songs.iter().filter(|(_, hashed)| *hashed);
        hashed.find_map(|(song, _)| (song.track == track).then_some(song))
    }

    /// Says whether that is news.
    pub fn set_hashed(&mut self, entry: EntryNo) -> bool {
        let song = self.songs.get_mut(entry.0 as usize);
        song.is_some_and(|(_, hashed)| !std::mem::replace(hashed, true))
    }

    pub fn add(&mut self, song: Song) {
        self.songs.push((song, true));
    }

    /// Other songs, all of them hashed, in the place of those that there are.
    pub fn replace(&mut self, songs: Vec<Song>) {
        self.songs = songs.into_iter().map(|song| (song, true)).collect();
    }

    /// Whether a complete copy of `track` is kept.
    pub fn holds(&self, track: TrackId) -> bool {
        self.held.contains_key(&track)
    }

    pub fn hold(&mut self, track: TrackId, size: u64) {
        self.held.insert(track, size);
    }

    /// The head of the newest catalogue.
    pub fn newest(&self) -> Option<Head> {
        self.published
    }

    /// The index is gone: what comes is numbered anew.
    pub fn lose_index(&mut self) {
        (self.epoch, self.seq, self.published) = (1, 0, None);
    }

    /// Goes beyond a head that was not made from this index. Says whether
    /// there is something to publish.
    pub fn outdo(&mut self, seen: &Head) -> bool {
        let own = self
            .published
            .filter(|own| own.is_newer_than(seen) || own == seen);
        if own.is_none() {
            self.epoch = self.epoch.max(seen.epoch) + 1;
        }
        own.is_none()
    }

    /// A catalogue of what is here now, newer than all before.
    pub fn publish(&mut self) -> Arc<Catalogue> {
        self.seq += 1;
        let listed = self
            .songs
            .iter()
            .map(|(song, hashed)| Entry::Listed(song.listed(*hashed).into()));
        let held = self.held.iter();
        let held = held.map(|(&track, &size)| Entry::Held(HeldEntry { track, size }.into()));
        let entries: Vec<Option<Entry>> = listed.chain(held).map(Some).collect();
        let pages = entries.chunks(PAGE_ENTRIES);
        let pages = pages.map(|entries| Arc::new(Page::new(entries))).collect();
        let sign = |bytes: &[u8]| {
            self.key
                .sign(bytes)
                .as_ref()
                .try_into()
                .expect("an Ed25519 signature has 64 bytes")
        };
        let catalogue = Catalogue::publish(self.owner(), self.epoch, self.seq, pages, sign);
        self.published = Some(catalogue.head().head);
        catalogue.into()
    }
}

/// A cover of five chunk groups.
const PICTURE: u64 = 80 * 1024;
