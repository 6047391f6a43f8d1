//! The central server of a swarm: which peers are here, and what they have.
//!
//! - [`registry`] decides for the tracker, and is pure: registrations, names,
//!   leases, and the catalogues that the tracker passes on. [`server`] waits
//!   for it: connections, messages, time.
//! - [`links`] decides for a peer, and is pure: with which trackers it registers, and what
//!   they say together. Each has a [`link`]: when to try it again, when to renew. [`client`]
//!   waits for them.
//!
//! The tracker can be stale or gone; it can never forge a catalogue or bring
//! peers to believe one another. Without it peers go on with what they know.

pub mod client;
pub mod link;
pub mod links;
pub mod registry;
pub mod server;

#[cfg(test)]
mod tests;
