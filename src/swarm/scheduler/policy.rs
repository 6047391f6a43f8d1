//! What is decided about a track: pure functions of what is known of it at a moment, the
//! [`TrackView`](super::view::TrackView), which change nothing.

pub mod choose;
pub mod lateness;
pub mod silence;
pub mod start;
pub mod turns;
