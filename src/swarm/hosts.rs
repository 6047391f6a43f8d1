//! What may be under way to each host, however many connections it has.
//!
//! What must hold: where the line is not capped by this node, its hosts get about the same of
//! it, whatever limits them. That is the congestion window where packets are lost, which all
//! connections with a host share; and where something takes more than a line carries, and
//! loses nothing, the send window.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use quinn::VarInt;

use super::{congestion::DeafCubic, requester::HostKey};

/// The connections that are open, of either direction, and the hosts that they lead to.
#[derive(Default)]
pub struct Hosts {
    /// Those that are no more are left out when another comes.
    open: Vec<(HostKey, Weak<quinn::Connection>)>,
    /// What makes the controllers of the connections with a host.
    controllers: BTreeMap<HostKey, Weak<DeafCubic>>,
}

impl Hosts {
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
        self.open.retain(|(_, other)| other.strong_count() > 0);
        self.open.push((site, Arc::downgrade(quic)));
        let mut counts: BTreeMap<HostKey, usize> = BTreeMap::new();
        for (site, _) in &self.open {
            *counts.entry(*site).or_default() += 1;
        }
        for (site, quic) in &self.open {
            let of_host = counts.get(site).copied().unwrap_or(1);
            if let Some(quic) = quic.upgrade() {
                quic.set_send_window(send_window(counts.len(), of_host));
            }
        }
    }

    /// What may come over a connection of which something is asked.
    pub fn receive_window(&self, quic: &Arc<quinn::Connection>) -> VarInt {
        let open = self
            .open
            .iter()
            .filter(|(_, other)| other.strong_count() > 0);
        let mut counts: BTreeMap<HostKey, usize> = BTreeMap::new();
        for (site, _) in open.clone() {
            *counts.entry(*site).or_default() += 1;
        }
        let same = |(_, other): &&(HostKey, Weak<quinn::Connection>)| {
            std::ptr::eq(other.as_ptr(), Arc::as_ptr(quic))
        };
        let site = open.clone().find(same).map(|(site, _)| site);
        let of_host = site.and_then(|site| counts.get(site)).copied();
        VarInt::from_u32(receive_window(counts.len(), of_host.unwrap_or(1)))
    }

    pub fn connections(&self) -> impl Iterator<Item = Arc<quinn::Connection>> + '_ {
        self.open.iter().filter_map(|(_, quic)| quic.upgrade())
    }
}

/// What may be under way over each of so many connections with one of so many hosts.
fn send_window(hosts: usize, of_host: usize) -> u64 {
    let part = |of: u64, n: usize| of / u64::try_from(n).unwrap_or(u64::MAX).max(1);
    let host = part(SEND_WINDOWS, hosts).clamp(LEAST_SEND_WINDOW, SEND_WINDOW);
    part(host, of_host).max(LEAST_OF_MANY)
}

/// What may come over each of so many connections with one of so many hosts.
fn receive_window(hosts: usize, of_host: usize) -> u32 {
    let part = |of: u32, n: usize| of / u32::try_from(n).unwrap_or(u32::MAX).max(1);
    let host = part(RECEIVE_WINDOWS, hosts).clamp(LEAST_RECEIVE_WINDOW, RECEIVE_WINDOW);
    part(host, of_host).max(GUEST_WINDOW)
}

/// What may be on its way from a host: 200 Mbit/s at 160 ms. A sender of the end of each
/// stream and never its beginning has this much kept for it.
const RECEIVE_WINDOW: u32 = 4 << 20;
/// Of all hosts together: a house has all of it each.
const RECEIVE_WINDOWS: u32 = 32 << 20;
/// Of a host in any case: 100 Mbit/s at 20 ms.
const LEAST_RECEIVE_WINDOW: u32 = 256 * 1024;
/// Of a connection in any case, before anything is asked of it, too: all the requests that
/// a peer may have open.
pub const GUEST_WINDOW: u32 = 64 * 1024;
/// What is kept for resending to a host, as much as is under way at 50 Mbit/s and 160 ms.
/// A peer that never confirms anything has this much kept for it.
const SEND_WINDOW: u64 = 1 << 20;
/// Of all hosts together: more than a house has get a part each. What was kept for
/// the first of many before is not taken back, which makes it three times that at most.
const SEND_WINDOWS: u64 = 16 << 20;
/// Of a host in any case: 50 Mbit/s at 20 ms.
pub const LEAST_SEND_WINDOW: u64 = 128 * 1024;
/// Of a connection in any case: a group of chunks, and what proves it.
const LEAST_OF_MANY: u64 = 18 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::guests::MAX_GUESTS;

    /// What is kept where as many as there may be come from so many hosts in turn, and each
    /// fills its own before the next one comes, and confirms nothing.
    fn kept(hosts: usize) -> u64 {
        let each = (0..MAX_GUESTS).map(|n| send_window(hosts.min(n + 1), n / hosts + 1));
        each.sum()
    }

    #[test]
    fn a_house_has_large_windows_and_a_crowd_a_bounded_sum() {
        assert_eq!(send_window(1, 1), SEND_WINDOW);
        assert_eq!(send_window(16, 1), SEND_WINDOW);
        let most = (1..=MAX_GUESTS).map(kept).max();
        let most = most.expect("there are some");
        assert!(most <= 3 * SEND_WINDOWS + SEND_WINDOWS / 8, "{most}");
        assert_eq!(send_window(MAX_GUESTS, 1), LEAST_SEND_WINDOW);
        assert_eq!(send_window(usize::MAX, 1), LEAST_SEND_WINDOW);
        assert_eq!(send_window(usize::MAX, usize::MAX), LEAST_OF_MANY);
    }

    /// What comes of as many connections as there are guests, from so many hosts in turn, where
    /// each fills its own before the next one comes.
    #[test]
    fn what_may_come_is_bounded_however_many_are_asked() {
        assert_eq!(receive_window(8, 1), RECEIVE_WINDOW);
        let kept = |hosts: usize| -> u64 {
            let each = (0..MAX_GUESTS).map(|n| receive_window(hosts.min(n + 1), n / hosts + 1));
            each.map(u64::from).sum()
        };
        let all = u64::from(RECEIVE_WINDOWS);
        assert!(kept(1) <= all, "identities of one host: {}", kept(1));
        let most = (1..=MAX_GUESTS).map(kept).max();
        assert!(most <= Some(4 * all), "{most:?}");
    }

    #[test]
    fn a_host_of_many_connections_has_what_a_host_of_one_has() {
        for of_host in 1..=32 {
            let host = send_window(2, of_host) * of_host as u64;
            assert!(host <= SEND_WINDOW, "{host}");
        }
    }

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
