//! The words of `idle` for the parts of the state.

use crate::command::StatePart;

/// What MPD calls it.
pub fn name(part: StatePart) -> &'static str {
    match part {
        StatePart::Database => "database",
        StatePart::Update => "update",
        StatePart::Queue => "playlist",
        StatePart::Player => "player",
        StatePart::Volume => "mixer",
        StatePart::Output => "output",
        StatePart::Options => "options",
        // MPD's word for other machines nearby.
        StatePart::Peers => "neighbor",
    }
}
