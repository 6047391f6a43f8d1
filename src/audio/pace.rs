//! How much sound waits between the decoder and the device, and how long the decoder rests.

use std::time::Duration;

/// How much sound waits for the device at most: pause, volume and stop act on
/// this side of the ring, so it may be long, and it bridges a slow disk or a
/// busy CPU; more would only delay noticing that bytes are late.
pub const RING: Duration = Duration::from_millis(400);

/// Waits before the device before it sounds. The first chunk group of CD quality WAV is
/// 93 ms long and the second arrives right behind it, but a busy machine is not always
/// there to take it: this costs the second group's way, and saves a stutter.
pub const LEAD: Duration = Duration::from_millis(100);

/// After an underrun this much must wait before it sounds again, so that slow
/// bytes give few long gaps instead of many short ones.
pub const RESUME: Duration = Duration::from_millis(100);

/// A pause of the decoder when the ring is full: a quarter of it, which makes 10 wake-ups a
/// second and leaves 300 ms for a busy CPU.
pub const REST: Duration = Duration::from_millis(RING.as_millis() as u64 / 4);
