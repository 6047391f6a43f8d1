//! A new speaker gets the swarm's key from one that has it, by a code that a person carries.
//!
//! `p2pmusic pair` on a member shows a code of eight digits and listens for five minutes, or
//! until a speaker has joined or three tries have failed; `p2pmusic join` on the new speaker
//! asks for the code and fetches the key. The code never goes over the wire: what both make
//! of it (see [`cpace`]) is a key if they know the same, and nothing otherwise, and [`exchange`]
//! says in which order it is used. Below lies TLS 1.3 with certificates that are made for
//! this one time and prove nothing but that the connection has two ends; a stranger between
//! them has two connections, whose secrets differ, and the exchange fails.
//!
//! What must hold:
//! - A guess costs a try, however it ends: with a wrong tag, with silence, with a connection
//!   that is dropped as soon as the member's share is there. One exchange runs at a time.
//! - Strangers cost a handshake each; these are few, have little time, and say little.
//! - Nothing prints, logs or passes the code as an argument.

mod attempts;
mod client;
mod code;
mod cpace;
mod exchange;
mod server;
mod stream;
#[cfg(test)]
mod tests;

pub use self::{
    client::{dial, DialFailure},
    code::{NoCode, PairingCode},
    exchange::PairingError,
    server::{serve, Closing, PairingEvent, PairingSetup},
};

/// What is left of a message is another, or nothing. For fuzzing.
#[cfg(feature = "door")]
pub fn try_messages(bytes: &[u8]) {
    exchange::try_messages(bytes);
}

/// How long a code lives.
pub const CODE_LIFE: std::time::Duration = std::time::Duration::from_secs(5 * 60);
