//! A whole peer as one pure machine: the [`Node`](crate::node::Node), and all that is under way
//! for it.
//!
//! ```text
//!   what happened ── handle_* ──▶ ┌────────────────── PeerCore ──────────────────┐ ── poll ──▶ Effect
//!                                 │ node        what it means, and what follows  │
//!                                 │ downloads   look-ups, open tracks, fetches   │
//!   time ── handle_timeout ─────▶ │ uploads     questions of others, and slices  │ ── first_order ──▶
//!                                 │ guests      connections that others opened   │    LinkCommand
//!   poll_timeout ◀─────────────── │ orders      what the tracker's link is told  │
//!                                 │ upkeep      what is written, or tried, later │
//!                                 │ log policy  what is said once, and not again │
//!                                 └──────────────────────────────────────────────┘
//! ```
//!
//! The driver (`peer`, and `sim` in tests) keeps for each id the thing that it stands for (a
//! task, a connection, a channel), and decides nothing: it performs every [`Effect`] in its order,
//! and only then waits. What an effect asks for comes back by the method that its description
//! names.

mod chatter;
mod downloads;
mod effect;
mod log_policy;
mod orders;
mod peer_core;
#[cfg(test)]
mod tests;
mod upkeep;
mod uploads;

pub use self::{
    downloads::OpenedTrack,
    effect::{DownloadEffect, Effect, LocalEffect, PlayerEffect, SliceOrder, UploadEffect},
    peer_core::PeerCore,
};
