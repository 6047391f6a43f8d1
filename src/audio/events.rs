//! What the player tells.

use std::time::Instant;

/// One playing of one track; chosen by the caller, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlayId(pub u64);

/// What happened, in the order in which it was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayerEvent {
    /// A line to the device was opened.
    DeviceOpen {
        /// The name of the device.
        what: String,
        /// Frames a second.
        rate: u32,
        /// Samples a frame.
        channels: u16,
        /// The device's sample format.
        format: &'static str,
        /// The device lacks the track's rate, so the sound is resampled.
        resampled: bool,
    },
    /// The device is gone or cannot be opened; it is tried again until it is
    /// back. Told once for each reason, not for each try.
    DeviceLost {
        /// What the system said.
        why: String,
    },
    /// The device that was lost is there again, while nothing sounds.
    DeviceBack,
    /// The first sound of a play, or the first after a seek.
    Started {
        /// Which.
        play: PlayId,
        /// When its first frame went to the device.
        at: Instant,
    },
    /// The device wanted sound that was not there.
    Underrun {
        /// Which.
        play: PlayId,
    },
    /// An underrun that was over before the engine looked; nothing waits for it.
    Gap {
        /// Which.
        play: PlayId,
    },
    /// The sound goes on after an underrun.
    Resumed {
        /// Which.
        play: PlayId,
    },
    /// The successor took over. Where it could not do so without a gap, its
    /// [`Self::Started`] follows.
    Crossed {
        /// The one before.
        from: PlayId,
        /// The successor.
        to: PlayId,
    },
    /// All of it was heard, and there is no successor.
    Ended {
        /// Which.
        play: PlayId,
    },
    /// It cannot be played, or not to its end.
    Failed {
        /// Which.
        play: PlayId,
        /// For people.
        why: String,
    },
}
