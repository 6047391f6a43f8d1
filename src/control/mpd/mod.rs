//! MPD's protocol, the deciding part: pure.
//!
//! [`session`] turns a client's bytes into commands and answers into bytes,
//! [`command`] and [`filter`] parse, [`apply`](mod@apply) carries a command
//! out on queue, transport and database, and a [`plan`] makes a long answer
//! piece by piece. The protocol is described at
//! <https://mpd.readthedocs.io/en/stable/protocol.html>; where this node
//! cannot keep what a command promises, `commands` does not list it.

pub mod apply;
pub mod args;
pub mod command;
pub mod filter;
pub mod plan;
pub mod reply;
pub mod session;
pub mod song;
pub mod tag;
pub mod text;
