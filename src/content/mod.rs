//! The bytes of tracks: their hash trees, what of them is here, where they lie.
//!
//! [`ranges`], [`bitfield`], [`blob`], [`lru`] and [`slow`] decide and are pure; [`disk`] is the
//! seam to the operating system; [`hash`], [`mod@file`], [`layout`] and [`store`] block.

mod bitfield;
pub mod blob;
pub mod disk;
pub mod error;
pub mod file;
pub mod hash;
mod layout;
pub mod lru;
pub mod ranges;
pub mod slow;
pub mod store;
