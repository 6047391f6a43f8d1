//! A whole peer as one pure machine: the [`Node`](crate::node::Node), and what is kept in mind for it of all that is
//! under way.
//!
//! ```text
//!   what happened ── handle_* ──▶ ┌──────────────────── PeerCore ────────────────────┐ ── poll ──▶ Effect
//!                                 │ node        what it means, and what follows      │
//!                                 │ downloads   look-ups, open tracks, fetches       │
//!   time ── handle_timeout ─────▶ │ uploads     questions of others, and slices      │ ── poll_order ──▶
//!                                 │ guests      connections that others opened       │   to the tracker
//!   poll_timeout ◀─────────────── │ orders      what the tracker's link is to hear   │
//!                                 │ upkeep      what is written, and tried, later    │
//!                                 │ log policy  what is said once, not again         │
//!                                 └──────────────────────────────────────────────────┘
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
