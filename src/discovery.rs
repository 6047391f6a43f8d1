//! Finding the tracker without a word of configuration: mDNS service
//! discovery (RFC 6762 and 6763).
//!
//! A tracker announces `_p2pmusic._tcp.local.` with its port and, as text,
//! `v` (the protocol) and `id` (its peer id); peers look for that. What is
//! found is a hint and nothing more: whoever answers there still has to show
//! a certificate of the swarm.
//!
//! Anybody near can announce more than is kept, and for years. Then all is forgotten
//! and asked for again, so that who is there no more takes no place for ever.
//!
//! Without multicast nothing is found, which is said once; discovery goes on
//! trying, since a Pi's network comes up after its daemons.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use async_channel::Sender;
use mdns_sd::{
    IfKind, IfPredicate, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo,
};
use smol::Timer;

use crate::{id::PeerId, interfaces::is_virtual, protocol::ALPN};

/// Announces the tracker that listens on TCP `port`, for as long as the
/// future is kept; dropping it says goodbye.
pub async fn announce(name: String, peer: PeerId, port: u16) {
    let mut complaint = Complaint::default();
    let _announced = loop {
        match Announced::new(&name, peer, port) {
            Ok(announced) => break announced,
            Err(error) => complaint.make("announce the tracker", &error),
        }
        Timer::after(RETRY).await;
    };
    smol::future::pending().await
}

/// Looks for trackers for as long as the future is kept, and sends all their
/// addresses (`host:port`, the likeliest first) whenever they change. Ends
/// when nobody listens.
pub async fn browse(trackers: Sender<Vec<String>>) {
    let mut complaint = Complaint::default();
    loop {
        match Browsing::new() {
            Ok(browsing) => {
                let mut found = Found::default();
                let mut answers = 0;
                while let Ok(event) = browsing.events.recv_async().await {
                    if found.handle(event) && trackers.send(found.addresses()).await.is_err() {
                        return;
                    }
                    answers += 1;
                    if found.is_crowded
                        || answers % LOOK_EVERY == 0 && browsing.remembers_too_much().await
                    {
                        log::debug!("mDNS is flooded with answers; beginning anew");
                        break;
                    }
                }
            }
            Err(error) => complaint.make("look for trackers", &error),
        }
        Timer::after(RETRY).await;
    }
}

/// A service that is announced until dropped.
struct Announced {
    daemon: ServiceDaemon,
    full_name: String,
}

impl Announced {
    fn new(name: &str, peer: PeerId, port: u16) -> mdns_sd::Result<Self> {
        let daemon = daemon()?;
        // A host name of its own: the machine's belongs to whatever else
        // answers mDNS there.
        let host = format!("p2pmusic-{peer}.local.");
        let protocol = String::from_utf8_lossy(ALPN);
        let text = [("v", &*protocol), ("id", &peer.to_hex())];
        let service = ServiceInfo::new(SERVICE, name, &host, "", port, &text[..])?;
        let service = service.enable_addr_auto();
        let full_name = service.get_fullname().to_owned();
        let announced = Self { daemon, full_name };
        announced.daemon.register(service)?;
        Ok(announced)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Ok(done) = self.daemon.unregister(&self.full_name) {
            // The process may end next, and the daemon's thread with it.
            let _ = done.recv_timeout(GOODBYE_TIMEOUT);
        }
        let _ = self.daemon.shutdown();
    }
}

struct Browsing {
    daemon: ServiceDaemon,
    events: mdns_sd::Receiver<ServiceEvent>,
}

impl Browsing {
    fn new() -> mdns_sd::Result<Self> {
        let daemon = daemon()?;
        let events = daemon.browse(SERVICE)?;
        Ok(Self { daemon, events })
    }

    /// The daemon keeps every record for as long as its sender says, and has no
    /// bound of its own.
    async fn remembers_too_much(&self) -> bool {
        let Ok(metrics) = self.daemon.get_metrics() else {
            return false;
        };
        let Ok(metrics) = metrics.recv_async().await else {
            return false;
        };
        let cached = metrics.iter().filter(|(key, _)| key.starts_with("cached"));
        cached.map(|(_, count)| *count).sum::<i64>() > MAX_RECORDS
    }
}

impl Drop for Browsing {
    fn drop(&mut self) {
        // When that fails the daemon has ended already.
        let _ = self.daemon.shutdown();
    }
}

fn daemon() -> mdns_sd::Result<ServiceDaemon> {
    let daemon = ServiceDaemon::new()?;
    let containers = IfPredicate::new(|interface| is_virtual(&interface.name));
    daemon.disable_interface(IfKind::Predicate(containers))?;
    Ok(daemon)
}

/// Says what is wrong once, and after that only to who debugs.
#[derive(Default)]
struct Complaint(bool);

impl Complaint {
    fn make(&mut self, what: &str, error: &mdns_sd::Error) {
        if std::mem::replace(&mut self.0, true) {
            log::debug!("mDNS still cannot {what}: {error}");
        } else {
            log::warn!(
                "mDNS cannot {what}: {error}; trying on. \
                 `tracker = \"host\"` in [peer] needs no mDNS"
            );
        }
    }
}

/// The trackers that are announced now, by the service's full name.
#[derive(Debug, Default)]
struct Found {
    trackers: BTreeMap<String, Vec<SocketAddr>>,
    /// Whether one was left out: it may be the true one, and those that are kept
    /// may have claimed to be there for years.
    is_crowded: bool,
}

impl Found {
    /// Whether the addresses are others now.
    fn handle(&mut self, event: ServiceEvent) -> bool {
        match event {
            ServiceEvent::ServiceResolved(service) => self.handle_resolved(&service),
            ServiceEvent::ServiceRemoved(_, name) => self.trackers.remove(&name).is_some(),
            _ => false,
        }
    }

    fn handle_resolved(&mut self, service: &ResolvedService) -> bool {
        let protocol = service.get_property_val_str("v");
        if protocol.map(str::as_bytes) != Some(ALPN) {
            return false;
        }
        let name = service.get_fullname();
        let addresses = service.get_addresses().iter();
        let addresses = addresses.map(|ip| to_address(ip, service.get_port()));
        let addresses = in_order(addresses.filter(is_dialable));
        if addresses.is_empty() {
            return self.trackers.remove(name).is_some();
        }
        if self.trackers.len() >= MAX_TRACKERS && !self.trackers.contains_key(name) {
            self.is_crowded = true;
            return false;
        }
        let before = self.trackers.insert(name.to_owned(), addresses.clone());
        before != Some(addresses)
    }

    fn addresses(&self) -> Vec<String> {
        self.trackers
            .values()
            .flatten()
            .map(SocketAddr::to_string)
            .collect()
    }
}

fn to_address(ip: &ScopedIp, port: u16) -> SocketAddr {
    match ip {
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index).into()
        }
        ip => SocketAddr::new(ip.to_ip_addr(), port),
    }
}

/// Whether one node can answer there.
fn is_dialable(address: &SocketAddr) -> bool {
    let ip = address.ip();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    address.port() != 0 && !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

/// The likeliest first; this machine's own only if there is nothing else.
fn in_order(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (own, mut others): (Vec<_>, Vec<_>) = addresses.partition(|a| a.ip().is_loopback());
    if others.is_empty() {
        others = own;
    }
    others.sort_by_key(|address| {
        let rank = match address.ip() {
            IpAddr::V4(_) => 0,
            IpAddr::V6(v6) if !v6.is_unicast_link_local() => 1,
            IpAddr::V6(_) => 2,
        };
        (rank, *address)
    });
    others.truncate(MAX_ADDRESSES);
    others
}

/// At most 15 characters between underscore and dot (RFC 6335, section 5.1).
const SERVICE: &str = "_p2pmusic._tcp.local.";
/// A swarm has one tracker; a neighbourhood may have some swarms.
const MAX_TRACKERS: usize = 16;
/// Of one tracker.
const MAX_ADDRESSES: usize = 8;
/// Records of the neighbourhood's services: some for each tracker and interface,
/// and many times that for those who are broken.
const MAX_RECORDS: i64 = 4096;
/// Answers between two looks at how much is remembered.
const LOOK_EVERY: u32 = 64;
/// After an error, such as having no network.
const RETRY: Duration = Duration::from_secs(30);
/// A goodbye is one packet to each interface.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(name: &str, protocol: &str, addresses: &str, port: u16) -> ServiceEvent {
        let text = [("v", protocol)];
        let service =
            ServiceInfo::new(SERVICE, name, "attic.local.", addresses, port, &text[..]).unwrap();
        ServiceEvent::ServiceResolved(Box::new(service.as_resolved_service()))
    }

    #[test]
    fn trackers_come_and_go() {
        let mut found = Found::default();
        let attic = || resolved("attic", "p2pmusic/1", "fd00::7,10.0.0.7,127.0.0.1", 4670);
        assert!(found.handle(attic()));
        assert!(!found.handle(attic()), "nothing changed");
        assert_eq!(found.addresses(), ["10.0.0.7:4670", "[fd00::7]:4670"]);
        assert!(found.handle(resolved("attic", "p2pmusic/1", "10.0.0.8", 4670)));
        assert_eq!(found.addresses(), ["10.0.0.8:4670"]);
        let name = format!("attic.{SERVICE}");
        assert!(found.handle(ServiceEvent::ServiceRemoved(SERVICE.into(), name)));
        assert_eq!(found.addresses(), Vec::<String>::new());
    }

    #[test]
    fn strangers_are_ignored_and_floods_bounded() {
        let mut found = Found::default();
        assert!(!found.handle(resolved("attic", "p2pmusic/9", "10.0.0.7", 4670)));
        let nth = |n| resolved(&format!("n{n}"), "p2pmusic/1", "10.0.0.7", 4670);
        for n in 0..MAX_TRACKERS {
            assert!(found.handle(nth(n)));
        }
        found.handle(nth(0));
        assert!(!found.is_crowded);
        assert!(!found.handle(nth(MAX_TRACKERS)));
        assert!(found.is_crowded);
        assert_eq!(found.addresses().len(), MAX_TRACKERS);
    }

    #[test]
    fn an_address_where_no_node_can_be_is_none() {
        let mut found = Found::default();
        for (addresses, port) in [
            ("0.0.0.0,224.0.0.1,255.255.255.255,ff02::1", 4670),
            ("10.0.0.7", 0),
        ] {
            assert!(!found.handle(resolved("attic", "p2pmusic/1", addresses, port)));
        }
        assert_eq!(found.addresses(), Vec::<String>::new());
    }

    #[test]
    fn a_link_local_address_keeps_its_interface() {
        let ip = "fe80::1".parse().unwrap();
        let address = SocketAddr::from(SocketAddrV6::new(ip, 4670, 0, 3));
        assert_eq!(address.to_string(), "[fe80::1%3]:4670");
        assert_eq!("[fe80::1%3]:4670".parse(), Ok(address));
    }
}
