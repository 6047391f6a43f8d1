//! What a play's bytes are, and where.

use std::{ops::Range, time::Duration};

use super::PlayRequest;
use crate::{
    audio::PlayId,
    catalog::{Database, ListedRef, NotPlayable},
    id::{EntryNo, TrackId},
    media::{Container, MediaInfo},
    playback::{queue::QueueItem, transport::Cause},
};

/// What the player needs to know of a play.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayerTrack {
    pub play: PlayId,
    pub from: Duration,
    /// Whether it makes no sound before [`PlayAction::Sound`](super::PlayAction::Sound).
    pub held: bool,
    /// Whether it begins softly.
    pub gentle: bool,
    /// Whether it follows the current play instead of replacing it.
    pub next: bool,
    pub source: PlaySource,
    pub media: MediaInfo,
}

/// Where a play's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaySource {
    /// In the own library.
    File(EntryNo),
    /// In the store, all or as they arrive.
    Store(TrackId),
}

/// What the catalogue says of a track's file.
#[derive(Clone, Debug)]
pub struct FileShape {
    pub media: MediaInfo,
    pub size: u64,
    pub opening: Box<[Range<u64>]>,
}

impl FileShape {
    /// The shape of another copy than the one that was queued: a listed one, or
    /// one that is only held, of which no more is known than was queued.
    pub fn of_copy(track: TrackId, item: &QueueItem, database: &Database) -> Option<Self> {
        let (_, _, copy) = database.holders(track).next()?;
        if let Some(listed) = database.described(track) {
            return Self::of(listed).ok();
        }
        let size = copy.size();
        Some(Self {
            media: queued(item, item.info.container?),
            size,
            opening: [0..END_BYTES.min(size), size.saturating_sub(END_BYTES)..size].into(),
        })
    }

    /// What was queued, of which nobody says more now. It is not loaded as such.
    pub fn unknown(item: &QueueItem) -> Self {
        Self {
            media: queued(item, item.info.container.unwrap_or(Container::Wav)),
            size: 0,
            opening: Box::default(),
        }
    }

    /// Of a listed file.
    ///
    /// # Errors
    /// When this version cannot play it.
    pub fn of(listed: ListedRef<'_>) -> Result<Self, NotPlayable> {
        Ok(Self {
            media: MediaInfo {
                container: listed.playable()?,
                rate: listed.rate,
                channels: listed.channels,
                duration: listed.duration,
                audio_start: Some(listed.audio_start),
            },
            size: listed.size,
            opening: listed.opening.ranges().collect(),
        })
    }

    /// What the player is told of a play of this shape.
    pub fn load(&self, request: &PlayRequest, source: PlaySource) -> PlayerTrack {
        PlayerTrack {
            play: request.play,
            from: request.from,
            held: !request.next && matches!(source, PlaySource::Store(_)),
            gentle: request.cause == Cause::Resumed,
            next: request.next,
            source,
            media: self.media,
        }
    }
}

/// What was queued of a file, of which the catalogue says no more now.
fn queued(item: &QueueItem, container: Container) -> MediaInfo {
    MediaInfo {
        container,
        rate: item.info.rate,
        channels: item.info.channels,
        duration: item.info.duration,
        audio_start: None,
    }
}

/// As much as a demuxer looks at, at either end of a file.
const END_BYTES: u64 = 64 * 1024;
