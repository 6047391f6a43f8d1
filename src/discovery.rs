//! Finding others without a word of configuration: mDNS service discovery (RFC 6762 and
//! 6763).
//!
//! A tracker announces `_p2pmusic._tcp.local.` with its port, a peer
//! `_p2pmusic._udp.local.`, each with, as text, `v` (the protocol), `id` (its peer id)
//! and `name` (for people). Peers look for trackers, and for one another where no
//! tracker says who is here. What is found is a hint and nothing more: whoever answers
//! there still has to show a certificate of the swarm.
//!
//! Anybody near can announce more than is kept, and for years. Then all is forgotten
//! and asked for again, so that who is there no more takes no place for ever.
//!
//! Without multicast nothing is found, which is said once; discovery goes on
//! trying, since a Pi's network comes up after its daemons.

mod shared;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::Duration,
};

use async_channel::{Receiver, Sender};
use mdns_sd::{ResolvedService, ScopedIp, ServiceEvent, ServiceInfo};
use smol::{future, Timer};

use self::shared::Daemon;
pub use self::shared::Mdns;
use crate::{id::PeerId, protocol::ALPN};

/// What is announced.
#[derive(Clone, Debug)]
pub struct Announcement {
    pub kind: Kind,
    /// For people.
    pub name: String,
    pub peer: PeerId,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On TCP.
    Tracker,
    /// On UDP.
    Peer,
}

/// A peer, and where it announces itself; nowhere, when it does so no more.
pub type Sighting = (PeerId, Vec<SocketAddr>);

/// Announces what listens here, for as long as the future is kept; dropping it says
/// goodbye.
pub async fn announce(mdns: Mdns, what: Announcement) {
    let mut complaint = Complaint::default();
    loop {
        match Announced::new(&mdns, &what) {
            Ok(announced) => announced.daemon.end().await,
            Err(error) => complaint.make(&format!("announce the {}", what.kind.word()), &error),
        }
        Timer::after(RETRY).await;
    }
}

/// Looks for trackers for as long as the future is kept, and sends all their
/// addresses (`host:port`, the likeliest first) whenever they change. Ends
/// when nobody listens.
pub async fn look_for_trackers(mdns: Mdns, trackers: Sender<Vec<String>>) {
    let tell = |found: &Found, _: Sighting| {
        let (trackers, addresses) = (trackers.clone(), found.addresses());
        async move { trackers.send(addresses).await.is_ok() }
    };
    browse(&mdns, Kind::Tracker, tell).await;
}

/// Looks for peers while they are `wanted`, and sends whom it finds and loses. Ends when
/// nobody listens, or can want it any more.
pub async fn look_for_peers(mdns: Mdns, wanted: Receiver<bool>, peers: Sender<Sighting>) {
    let mut is_wanted = false;
    loop {
        let next = async { wanted.recv().await.ok() };
        let looking = async {
            if is_wanted {
                let tell = |_: &Found, sighting| {
                    let peers = peers.clone();
                    async move { peers.send(sighting).await.is_ok() }
                };
                browse(&mdns, Kind::Peer, tell).await;
                return None;
            }
            future::pending().await
        };
        match future::or(next, looking).await {
            Some(wants) => is_wanted = wants,
            None => return,
        }
    }
}

/// Who announces itself within `patience`, by name.
///
/// # Errors
/// When mDNS cannot be used here.
pub async fn look_around(
    mdns: &Mdns,
    kind: Kind,
    patience: Duration,
) -> mdns_sd::Result<BTreeMap<String, Sighting>> {
    let browsing = Browsing::new(mdns, kind)?;
    let mut found = Found::new(kind);
    let listening = async {
        while let Ok(event) = browsing.events.recv_async().await {
            found.handle(event);
        }
    };
    let rest = async { _ = Timer::after(patience).await };
    future::or(listening, rest).await;
    let ending = format!(".{}", kind.service());
    let named = found.services.into_iter();
    Ok(named
        .map(|(name, sighting)| (name.trim_end_matches(&*ending).to_owned(), sighting))
        .collect())
}

/// Tells what is found until nobody listens: all there is, and what of it has changed.
async fn browse<Told: std::future::Future<Output = bool>>(
    mdns: &Mdns,
    kind: Kind,
    tell: impl Fn(&Found, Sighting) -> Told,
) {
    let mut complaint = Complaint::default();
    let mut found = Found::new(kind);
    loop {
        match Browsing::new(mdns, kind) {
            Ok(browsing) => {
                let mut answers = 0;
                while let Ok(event) = browsing.events.recv_async().await {
                    if let Some(sighting) = found.handle(event) {
                        if !tell(&found, sighting).await {
                            return;
                        }
                    }
                    answers += 1;
                    if found.is_crowded
                        || answers % LOOK_EVERY == 0
                            && browsing.daemon.remembers_more_than(MAX_RECORDS).await
                    {
                        log::debug!("mDNS is flooded with answers; beginning anew");
                        browsing.daemon.give_up();
                        break;
                    }
                }
            }
            Err(error) => complaint.make(&format!("look for {}s", kind.word()), &error),
        }
        for sighting in found.forget() {
            if !tell(&found, sighting).await {
                return;
            }
        }
        Timer::after(RETRY).await;
    }
}

impl Kind {
    /// At most 15 characters between underscore and dot (RFC 6335, section 5.1).
    fn service(self) -> &'static str {
        match self {
            Self::Tracker => "_p2pmusic._tcp.local.",
            Self::Peer => "_p2pmusic._udp.local.",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Tracker => "tracker",
            Self::Peer => "peer",
        }
    }

    /// How many are kept.
    fn bound(self) -> usize {
        match self {
            Self::Tracker => MAX_TRACKERS,
            Self::Peer => MAX_PEERS,
        }
    }
}

/// A service that is announced until dropped.
struct Announced {
    daemon: Arc<Daemon>,
    full_name: String,
}

impl Announced {
    fn new(mdns: &Mdns, what: &Announcement) -> mdns_sd::Result<Self> {
        let Announcement { peer, port, .. } = *what;
        let daemon = mdns.daemon()?;
        // A host name of its own: the machine's belongs to whatever else
        // answers mDNS there.
        let host = format!("p2pmusic-{peer}.local.");
        let protocol = String::from_utf8_lossy(ALPN);
        let (id, name) = (peer.to_hex(), &what.name);
        let text = [("v", &*protocol), ("id", &id), ("name", name)];
        let instance = match what.kind {
            Kind::Tracker => name.clone(),
            // Several of one name are no conflict.
            Kind::Peer => format!("p2pmusic-{peer}"),
        };
        let service = ServiceInfo::new(what.kind.service(), &instance, &host, "", port, &text[..])?;
        let service = service.enable_addr_auto();
        let full_name = service.get_fullname().to_owned();
        let announced = Self { daemon, full_name };
        announced.daemon.service.register(service)?;
        Ok(announced)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Ok(done) = self.daemon.service.unregister(&self.full_name) {
            // The process may end next, and the daemon's thread with it.
            let _ = done.recv_timeout(GOODBYE_TIMEOUT);
        }
    }
}

struct Browsing {
    daemon: Arc<Daemon>,
    kind: Kind,
    events: mdns_sd::Receiver<ServiceEvent>,
}

impl Browsing {
    fn new(mdns: &Mdns, kind: Kind) -> mdns_sd::Result<Self> {
        let daemon = mdns.daemon()?;
        let events = daemon.service.browse(kind.service())?;
        Ok(Self {
            daemon,
            kind,
            events,
        })
    }
}

impl Drop for Browsing {
    fn drop(&mut self) {
        // When that fails the daemon has ended already.
        let _ = self.daemon.service.stop_browse(self.kind.service());
    }
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

/// What is announced now, by the service's full name.
#[derive(Debug)]
struct Found {
    kind: Kind,
    services: BTreeMap<String, Sighting>,
    /// Whether one was left out: it may be the true one, and those that are kept
    /// may have claimed to be there for years.
    is_crowded: bool,
}

impl Found {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            services: BTreeMap::new(),
            is_crowded: false,
        }
    }

    /// What is not as before.
    fn handle(&mut self, event: ServiceEvent) -> Option<Sighting> {
        match event {
            ServiceEvent::ServiceResolved(service) => self.handle_resolved(&service),
            ServiceEvent::ServiceRemoved(_, name) => self.remove(&name),
            _ => None,
        }
    }

    fn handle_resolved(&mut self, service: &ResolvedService) -> Option<Sighting> {
        let protocol = service.get_property_val_str("v");
        if protocol.map(str::as_bytes) != Some(ALPN) {
            return None;
        }
        let peer = service.get_property_val_str("id")?;
        let peer = PeerId::from_hex(peer).ok()?;
        let name = service.get_fullname();
        let addresses = service.get_addresses().iter();
        let addresses = addresses.map(|ip| to_address(ip, service.get_port()));
        let addresses = in_order(addresses.filter(is_dialable));
        if addresses.is_empty() {
            return self.remove(name);
        }
        if self.services.len() >= self.kind.bound() && !self.services.contains_key(name) {
            self.is_crowded = true;
            return None;
        }
        let now = (peer, addresses);
        let before = self.services.insert(name.to_owned(), now.clone());
        (before.as_ref() != Some(&now)).then_some(now)
    }

    fn remove(&mut self, name: &str) -> Option<Sighting> {
        let (peer, _) = self.services.remove(name)?;
        Some((peer, Vec::new()))
    }

    /// Begins anew. Trackers stay as they were told of until others are found; what was
    /// said of peers is taken back.
    fn forget(&mut self) -> Vec<Sighting> {
        self.is_crowded = false;
        let services = std::mem::take(&mut self.services);
        match self.kind {
            Kind::Tracker => Vec::new(),
            Kind::Peer => services
                .into_values()
                .map(|(peer, _)| (peer, Vec::new()))
                .collect(),
        }
    }

    fn addresses(&self) -> Vec<String> {
        let addresses = self.services.values().flat_map(|(_, at)| at);
        addresses.map(SocketAddr::to_string).collect()
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

/// A swarm has one tracker; a neighbourhood may have some swarms.
const MAX_TRACKERS: usize = 16;
/// As many as are believed when they come by themselves.
const MAX_PEERS: usize = 128;
/// Of one service.
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
        let id = PeerId([7; 32]).to_hex();
        let text = [("v", protocol), ("id", &id)];
        let kind = Kind::Tracker.service();
        let service =
            ServiceInfo::new(kind, name, "attic.local.", addresses, port, &text[..]).unwrap();
        ServiceEvent::ServiceResolved(Box::new(service.as_resolved_service()))
    }

    #[test]
    fn trackers_come_and_go() {
        let mut found = Found::new(Kind::Tracker);
        let attic = || resolved("attic", "p2pmusic/1", "fd00::7,10.0.0.7,127.0.0.1", 4670);
        assert!(found.handle(attic()).is_some());
        assert_eq!(found.handle(attic()), None, "nothing changed");
        assert_eq!(found.addresses(), ["10.0.0.7:4670", "[fd00::7]:4670"]);
        let moved = resolved("attic", "p2pmusic/1", "10.0.0.8", 4670);
        assert!(found.handle(moved).is_some());
        assert_eq!(found.addresses(), ["10.0.0.8:4670"]);
        let kind = Kind::Tracker.service();
        let gone = ServiceEvent::ServiceRemoved(kind.into(), format!("attic.{kind}"));
        assert_eq!(found.handle(gone), Some((PeerId([7; 32]), Vec::new())));
        assert_eq!(found.addresses(), Vec::<String>::new());
    }

    #[test]
    fn strangers_are_ignored_and_floods_bounded() {
        let mut found = Found::new(Kind::Tracker);
        let stranger = resolved("attic", "p2pmusic/9", "10.0.0.7", 4670);
        assert_eq!(found.handle(stranger), None);
        let nth = |n| resolved(&format!("n{n}"), "p2pmusic/1", "10.0.0.7", 4670);
        for n in 0..MAX_TRACKERS {
            assert!(found.handle(nth(n)).is_some());
        }
        found.handle(nth(0));
        assert!(!found.is_crowded);
        assert_eq!(found.handle(nth(MAX_TRACKERS)), None);
        assert!(found.is_crowded);
        assert_eq!(found.addresses().len(), MAX_TRACKERS);
    }

    #[test]
    fn an_address_where_no_node_can_be_is_none() {
        let mut found = Found::new(Kind::Tracker);
        for (addresses, port) in [
            ("0.0.0.0,224.0.0.1,255.255.255.255,ff02::1", 4670),
            ("10.0.0.7", 0),
        ] {
            let nowhere = resolved("attic", "p2pmusic/1", addresses, port);
            assert_eq!(found.handle(nowhere), None);
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
