//! What the deck is told of the device, and what it wants done.

use std::time::{Duration, Instant};

use crate::{
    audio::{
        events::{PlayId, PlayerEvent},
        report::JobId,
        spec::SampleShape,
    },
    media::MediaInfo,
};

/// A track to play, from bytes that only the driver knows.
#[derive(Clone, Debug)]
pub struct DeckTrack<T> {
    pub play: PlayId,
    /// Where in the track to begin.
    pub from: Duration,
    /// What the catalogue promises.
    pub media: MediaInfo,
    /// It makes no sound before [`Deck::handle_hold`](super::Deck::handle_hold) lets it. That of
    /// a successor does not count.
    pub held: bool,
    /// It begins softly.
    pub gentle: bool,
    pub source: T,
}

/// What the deck wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum DeckAction<T> {
    /// Open a decoder as soon as that of the job before has come to its end or was cancelled,
    /// and report of it.
    Decode {
        job: JobId,
        source: T,
        from: Duration,
        /// Whether it takes the place of what is in the ring; else it follows.
        replaces: bool,
    },
    /// End a job, wherever it waits. Nothing that it reports counts any more.
    Cancel(JobId),
    /// Let an opened job fill the ring.
    Permit {
        job: JobId,
        /// Frames to have ready before the job counts as primed.
        prime: usize,
    },
    /// Say in which shape the device would put out sound of this one:
    /// [`Deck::handle_plan`](super::Deck::handle_plan).
    Plan(SampleShape),
    /// Open the device, which is closed, for a shape that it has planned:
    /// [`Deck::handle_open`](super::Deck::handle_open).
    Open {
        shape: SampleShape,
        paused: bool,
    },
    /// Let the open device run.
    Start,
    Close {
        /// It may come back as another one, so it is looked up anew next time.
        is_lost: bool,
    },
    /// Look whether the device is there: [`Deck::handle_found`](super::Deck::handle_found).
    Find,
    /// To the ring of the open device.
    Ring(RingOrder),
    Tell(PlayerEvent),
}

/// What the ring of the open device is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingOrder {
    /// Silence and drop all that is in it, until it is released.
    Drop,
    /// Silence what is in it, until it is released.
    Hold,
    /// Let what is in it sound.
    Release,
    /// Let what sounds next grow loud over some seconds.
    BeginGently,
    /// No more frames come: an empty ring is the end.
    End,
    Pause(bool),
}

/// A device that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFacts {
    pub name: String,
    /// What it puts out.
    pub shape: SampleShape,
    /// The name of its sample format.
    pub format: &'static str,
    /// Frames that it wants before it sounds.
    pub prime: usize,
}

/// What the ring of the open device shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingLook {
    /// How often the device has asked for sound.
    pub calls: u64,
    /// Frames that left the ring, played or dropped.
    pub read: u64,
    /// When the first frame since it was released last was presented.
    pub first_frame_at: Option<Instant>,
    /// How often the device wanted frames that were not there, however shortly.
    pub underruns: u32,
    /// Whether it does now.
    pub is_starved: bool,
}
