//! What plays, and what follows: the queue and the transport of a peer, pure.

pub mod queue;
pub mod transport;
