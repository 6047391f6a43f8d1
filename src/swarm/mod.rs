//! Moving bytes between peers: who is asked for what ([`scheduler`]), whom
//! this peer serves ([`serving`]) and lets in ([`guests`]), and the QUIC in between.
//!
//! [`endpoint`] owns the socket ([`congestion`] how much is under way), a [`link`] the way to one peer. [`fetch`]
//! brings a verified slice from there to the store, [`provide`] answers what
//! the others ask. Neither decides anything: that is done by the state
//! machines, which know neither a clock nor a socket.

mod congestion;
pub mod endpoint;
pub mod fetch;
pub mod guests;
pub mod link;
pub mod provide;
pub mod scheduler;
pub mod serving;
