//! Storms on every listener of the real binary: by strangers, and by a member that
//! has the swarm's key and means no good.
//!
//! The attackers speak the protocols by an implementation of their own
//! ([`wire`]), which shares no line with the one under test. Every storm is
//! bounded in count and time, and comes from loopback addresses or from a network
//! that the test has made for it. During each, somebody honest is served; after
//! each, the same process is there, with the descriptors that it had, hardly more
//! memory, and nothing worth a word in its log.

#[path = "../common/mod.rs"]
mod common;

#[path = "../common/cgroup.rs"]
mod cgroup;

#[path = "../common/lan.rs"]
mod lan;

#[path = "../common/netns.rs"]
mod netns;

mod control;
mod greedy;
mod hello;
mod hoard;
mod liar;
mod mdns;
mod peer;
mod tomorrow;
mod tracker;
mod watch;
mod wire;
