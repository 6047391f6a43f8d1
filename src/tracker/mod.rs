//! The central server of a swarm: who is here, and what they have.
//!
//! - [`registry`] decides for the tracker, and is pure: registrations, names,
//!   leases, and the catalogues that the tracker passes on. [`server`] waits
//!   for it: connections, messages, time.
//! - [`link`] decides for a peer, and is pure: which tracker, when again, when
//!   to renew. [`client`] waits for it.
//!
//! The tracker can be stale or gone; it can never forge a catalogue or bring
//! peers to believe one another. Without it peers go on with what they know.

pub mod client;
pub mod link;
pub mod registry;
pub mod server;

#[cfg(test)]
mod tests;
