//! Moving bytes between peers: what is asked of which source ([`scheduler`]), which requesters
//! this peer serves ([`serving`]), refers to others ([`referrals`]) and lets in
//! ([`guests`]), and the QUIC in between.
//!
//! From where requests come says an [`requester`]. A [`budget`] keeps what is sent below a cap.
//! [`endpoint`] owns the [`socket`] ([`congestion`] how much is under way, [`hosts`] how that
//! is shared, [`unproven`] what goes where nobody has answered yet), a [`link`] the way to one peer. [`fetch`]
//! brings a verified slice from there to the store, [`provide`] answers what
//! the others ask. Neither decides anything: that is done by the state
//! machines, which know neither a clock nor a socket.

pub mod budget;
mod congestion;
mod connection_ids;
pub mod endpoint;
pub mod fetch;
pub mod guests;
mod hosts;
pub mod link;
pub mod order;
pub mod provide;
pub mod referrals;
pub mod requester;
pub mod scheduler;
pub mod serving;
mod socket;
mod unproven;
