//! p2pmusic turns a handful of speakers into one peer-to-peer music swarm.

mod aside;
mod audio;
mod catalog;
mod cli;
mod command;
mod config;
mod content;
mod control;
mod core;
mod daemon;
mod discovery;
mod fence;
mod id;
mod identity;
mod interfaces;
mod library;
mod media;
mod node;
mod pairing;
mod peer;
mod playback;
mod port_owner;
mod protocol;
mod service;
#[cfg(test)]
mod sim;
mod sockets;
mod swarm;
mod tenure;
mod tracker;
mod unseen;
mod util;

#[cfg(feature = "door")]
pub mod door;

use std::process::ExitCode;

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    cli::main()
}
