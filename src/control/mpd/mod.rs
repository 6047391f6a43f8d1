//! MPD's protocol, the deciding part: pure.
//!
//! [`session`] turns a client's bytes into commands and answers into bytes,
//! [`command`] and [`filter`] parse, and [`mod@print`] shows what the node answers
//! and what a query finds. The protocol is described at
//! <https://mpd.readthedocs.io/en/stable/protocol.html>; where this node
//! cannot keep what a command promises, `commands` does not list it.

pub mod args;
pub mod command;
pub mod dates;
pub mod filter;
pub mod idle;
pub mod print;
pub mod reply;
pub mod session;
pub mod tag;

#[cfg(test)]
mod tests;
