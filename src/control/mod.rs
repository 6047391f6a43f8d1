//! The remote control: MPD's protocol for any MPD client and for
//! `p2pmusic ctl`.
//!
//! [`mpd`] decides and is pure; [`server`] waits for clients and carries their
//! commands to the node, which answers them with [`mpd::apply`]. What the node
//! knows beyond queue, transport and database it shows as a [`view::NodeView`].

pub mod mpd;
pub mod server;
pub mod view;

#[cfg(test)]
pub mod fixture;
