//! The remote control: MPD's protocol for any MPD client and for
//! `p2pmusic ctl`.
//!
//! [`mpd`] turns lines into commands and answers into lines, and is pure; [`server`] waits for
//! clients and carries their commands to the node.

pub mod mpd;
pub mod server;

#[cfg(test)]
pub mod fixture;
