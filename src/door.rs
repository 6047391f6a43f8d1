//! What benches and fuzz targets may see of the rooms, and nobody else: they
//! turn on the feature `door`, which no build that is installed does.
//!
//! A function here takes plain values and gives plain values, so that no type of
//! a room leaves it.

mod crowd;

pub use crowd::{Crowd, CrowdSetup, Tally};
