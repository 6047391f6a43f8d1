//! What may be under way to each host, however many connections it has.
//!
//! What must hold: where the line is not capped by this node, its hosts get about the same of
//! it, whatever limits them. That is the congestion window where packets are lost, which all
//! connections with a host share; and where something takes more than a line carries, and
//! loses nothing, the send window.
//!
//! And what all hosts may send to this node before it is read fits into its memory
//! ([`ReceiveRoom`]): where the beginning of a stream is missing, the rest is kept.

mod room;

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use quinn::VarInt;

pub use self::room::LEAST_SEND_WINDOW;
use self::room::{send_window, ReceiveRoom, GUEST_WINDOW};
use super::{congestion::DeafCubic, requester::HostKey};

/// The connections that are open, of either direction, and the hosts that they lead to.
#[derive(Default)]
pub struct Hosts {
    /// Those that are no more are left out when another comes.
    open: Vec<OpenConnection>,
    room: ReceiveRoom,
    /// What makes the controllers of the connections with a host.
    controllers: BTreeMap<HostKey, Weak<DeafCubic>>,
}

struct OpenConnection {
    site: HostKey,
    quic: Weak<quinn::Connection>,
    /// What may come over it, and what it has been given beyond that.
    first: u32,
    more: u32,
}

impl Hosts {
    /// This machine has so many bytes of memory.
    pub fn set_memory(&mut self, memory: u64) {
        self.room = ReceiveRoom::of(memory);
    }

    /// What controls the next connection with a host; without one, it shares nothing.
    pub fn controller(&mut self, site: Option<HostKey>) -> Arc<DeafCubic> {
        self.controllers.retain(|_, made| made.strong_count() > 0);
        let made = site.and_then(|site| self.controllers.get(&site)?.upgrade());
        made.unwrap_or_else(|| {
            let made = Arc::default();
            let weak = Arc::downgrade(&made);
            self.controllers.extend(site.map(|site| (site, weak)));
            made
        })
    }

    /// A connection has shaken hands: what may be under way over each is another now.
    pub fn handle_open(&mut self, site: HostKey, quic: &Arc<quinn::Connection>) {
        let first = self.first_window();
        self.open.push(OpenConnection {
            site,
            quic: Arc::downgrade(quic),
            first,
            more: 0,
        });
        let mut counts: BTreeMap<HostKey, usize> = BTreeMap::new();
        for other in &self.open {
            *counts.entry(other.site).or_default() += 1;
        }
        for other in &self.open {
            let of_host = counts.get(&other.site).copied().unwrap_or(1);
            if let Some(quic) = other.quic.upgrade() {
                quic.set_send_window(send_window(counts.len(), of_host));
            }
        }
    }

    /// What may come over the next connection before anything is asked of it.
    pub fn first_window(&mut self) -> u32 {
        self.open.retain(|other| other.quic.strong_count() > 0);
        self.room.first(self.open.len())
    }

    /// What may come over a connection of which something is asked.
    pub fn receive_window(&mut self, quic: &Arc<quinn::Connection>) -> VarInt {
        self.open.retain(|other| other.quic.strong_count() > 0);
        let same = |other: &OpenConnection| std::ptr::eq(other.quic.as_ptr(), Arc::as_ptr(quic));
        let Some(at) = self.open.iter().position(same) else {
            return VarInt::from_u32(GUEST_WINDOW);
        };
        let (site, more) = (self.open[at].site, self.open[at].more);
        let given =
            |of: &mut dyn Iterator<Item = &OpenConnection>| of.map(|other| other.more).sum();
        let all = given(&mut self.open.iter());
        let of_host = given(&mut self.open.iter().filter(|other| other.site == site));
        let this = &mut self.open[at];
        this.more = self.room.more(all, of_host, more);
        VarInt::from_u32(this.first + this.more)
    }

    pub fn connections(&self) -> impl Iterator<Item = Arc<quinn::Connection>> + '_ {
        self.open.iter().filter_map(|other| other.quic.upgrade())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_with_one_host_are_controlled_together() {
        let mut hosts = Hosts::default();
        let site = |n: u8| Some(HostKey::Host([10, 0, 0, n].into()));
        let first = hosts.controller(site(1));
        assert!(Arc::ptr_eq(&first, &hosts.controller(site(1))));
        assert!(!Arc::ptr_eq(&first, &hosts.controller(site(2))));
        assert!(!Arc::ptr_eq(
            &hosts.controller(None),
            &hosts.controller(None)
        ));
        drop(first);
        hosts.controller(site(3));
        assert_eq!(hosts.controllers.len(), 1, "what is gone is forgotten");
    }
}
