//! The player: plays tracks whose bytes are still arriving.
//!
//! [`Player`] is a handle to two threads that live as long as it does. The
//! audio thread (`engine`) owns the device and does what the deck (`deck`) decides; the decoding
//! thread (`decoder_thread`) reads, decodes and may block; between them and the device
//! stands a ring of samples (`ring`). Orders never block the caller.

mod alsa_silence;
pub mod deck;
mod decoder_thread;
mod engine;
mod events;
mod health;
mod inbox;
mod mixer;
mod outbox;
pub mod output;
pub mod pace;
mod pipeline;
mod raw_clock;
mod raw_time;
mod remix;
pub mod report;
mod resample;
mod ring;
pub mod spec;
mod supervisor;
mod underruns;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::media::decode::TrackBytes;
use crate::media::MediaInfo;
use deck::Places;
use inbox::Inbox;
use raw_clock::raw_now;
use ring::RingState;

pub use events::{PlayId, PlayerEvent};
pub use mixer::controls;
pub use output::{devices, try_out, DeviceInfo};
pub use spec::{MixerControl, OutputError, OutputSpec};

/// A track to play.
#[derive(Clone)]
pub struct Load {
    /// Names this playing in events and orders.
    pub play: PlayId,
    /// The track's bytes.
    pub bytes: Arc<dyn TrackBytes>,
    /// What they are. The device is opened for this while the first bytes still travel.
    pub media: MediaInfo,
    /// Where in the track to begin.
    pub from: Duration,
    /// Get ready, but make no sound before [`Player::sound`].
    pub held: bool,
    /// Begin softly, and be as loud as ever a few seconds later.
    pub gentle: bool,
}

/// A sensible bound for the channel of events: a play gives four, underruns
/// aside, so this holds what ten quick skips give. When it is full, the player
/// keeps events back, and gives up underruns first.
pub const EVENT_BOUND: usize = 64;

/// Plays one track after the other. Dropping it stops the sound, closes the
/// device and joins its threads.
pub struct Player {
    inbox: Arc<Inbox>,
    board: Arc<PositionBoard>,
    thread: Option<JoinHandle<()>>,
}

impl Player {
    /// Starts the threads; no device is opened before there is something to
    /// play.
    ///
    /// # Errors
    /// If the system has no more threads.
    pub fn spawn(
        spec: OutputSpec,
        events: async_channel::Sender<PlayerEvent>,
    ) -> std::io::Result<Self> {
        let inbox = Arc::<Inbox>::default();
        let board = Arc::<PositionBoard>::default();
        let thread = engine::spawn(spec, inbox.clone(), board.clone(), events)?;
        Ok(Self {
            inbox,
            board,
            thread: Some(thread),
        })
    }

    /// Plays `load` in place of whatever plays; a successor is forgotten. It makes no
    /// sound while the player pauses, and begins elsewhere if [`Self::seek`] said so before.
    pub fn load(&self, load: Load) {
        self.inbox.post(|mail| {
            mail.load = Some(Box::new(load));
            mail.next = None;
        });
    }

    /// Plays `load` after the current track, without a gap where rate and
    /// channels are the same. Its `held` does not count.
    pub fn next(&self, load: Load) {
        self.inbox
            .post(|mail| mail.next = Some(Some(Box::new(load))));
    }

    /// Forgets the successor.
    pub fn clear_next(&self) {
        self.inbox.post(|mail| mail.next = Some(None));
    }

    /// Falls silent within a device buffer, and keeps the place.
    pub fn pause(&self) {
        self.inbox.post(|mail| mail.paused = Some(true));
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&self) {
        self.inbox.post(|mail| mail.paused = Some(false));
    }

    /// Makes no sound of `play`, which has run dry, before [`Self::sound`].
    pub fn hold(&self, play: PlayId) {
        self.inbox.post(|mail| mail.held = Some((play, true)));
    }

    /// Lets `play` sound as soon as it can.
    pub fn sound(&self, play: PlayId) {
        self.inbox.post(|mail| mail.held = Some((play, false)));
    }

    /// Falls silent and forgets what plays and what follows. No event tells of
    /// their end.
    pub fn stop(&self) {
        self.inbox.post(|mail| {
            mail.stop = true;
            mail.load = None;
            mail.next = None;
        });
    }

    /// Goes on at `position` of `play`, if that is still what plays, or begins there once
    /// it is loaded.
    pub fn seek(&self, play: PlayId, position: Duration) {
        self.board.lock().asked = Some((play, position));
        self.inbox.post(|mail| mail.seek = true);
    }

    /// Sets the volume, 0 to 100; 100 leaves every sample as it is.
    pub fn volume(&self, volume: u8) {
        self.inbox.post(|mail| mail.volume = Some(volume));
    }

    /// What is heard, and where it is, by the device's stamps.
    pub fn position(&self) -> Option<(PlayId, Duration)> {
        self.board.position()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.inbox.post(|mail| mail.quit = true);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by its hook already.
            let _ = thread.join();
        }
    }
}

/// What the audio thread shows to its handle.
#[derive(Default)]
struct PositionBoard(Mutex<BoardState>);

#[derive(Default)]
struct BoardState {
    /// As the deck has it.
    places: Places,
    /// The ring of the open device.
    ring: Option<Arc<RingState>>,
    /// Where a play is to be, until the deck knows of it.
    asked: Option<(PlayId, Duration)>,
}

impl PositionBoard {
    fn lock(&self) -> std::sync::MutexGuard<'_, BoardState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position(&self) -> Option<(PlayId, Duration)> {
        let board = self.lock();
        let asked = board.asked;
        asked
            .filter(|(play, _)| board.places.can_be_sought(*play))
            .or_else(|| {
                let ring = board.ring.as_ref();
                let heard = ring.map_or(0, |ring| ring.heard(raw_now()));
                board.places.position(heard)
            })
    }
}

#[cfg(test)]
mod tests;
