//! Whole swarms in virtual time.
//!
//! A [`world::World`] has real peers (the [`PeerCore`](crate::core::PeerCore) that the product's
//! driver has), a real registry and the real links to it; simulated are what surrounds them: the
//! network, disks, libraries and players. All that happens goes through one queue, ordered by time and then
//! by the order in which it was planned, and all chance comes from one seed. So
//! a seed always gives the same run, and a failure found in the night can be
//! looked at in the morning:
//!
//! ```text
//! P2PMUSIC_SEED=1234 cargo test sim::tests::the_name_of_the_test
//! ```
//!
//! What it does not show: bytes (a group is here or not), QUIC's congestion
//! control (a sender's line is shared evenly), decoding, and time that work
//! takes on a CPU.

mod client;
mod clock;
mod connections;
mod disk;
mod greed;
mod host;
mod log;
mod music;
mod net;
mod parts;
mod perform;
pub mod player;
mod setting;
mod slice;
mod store;
mod story;
mod swarm;
mod tests;
mod tracker;
mod uplink;
mod world;
