//! The bytes of tracks: their hash trees, what of them is here, where they lie.

pub mod blob;
pub mod ranges;
