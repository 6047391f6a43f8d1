//! The nodes that announce themselves now, and where.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use super::announcement::{ServiceKind, Sighting, PROTOCOL};
use crate::id::PeerId;

/// What is heard of a service.
#[derive(Debug)]
pub enum ServiceNews {
    /// It is announced so now.
    Here(HeardService),
    /// It is announced no more; its full name.
    Gone(String),
}

/// A service as it is announced; nothing of it is checked.
#[derive(Debug)]
pub struct HeardService {
    pub full_name: String,
    /// The texts `v` and `id`.
    pub protocol: Option<String>,
    pub id: Option<String>,
    pub addresses: Vec<SocketAddr>,
}

/// What is announced now, by the service's full name.
#[derive(Debug)]
pub struct AnnouncedServices {
    kind: ServiceKind,
    services: BTreeMap<String, Sighting>,
    /// Whether one was left out: it may be the true one, and those that are kept
    /// may have claimed to be there for years.
    pub is_crowded: bool,
}

impl AnnouncedServices {
    pub fn new(kind: ServiceKind) -> Self {
        Self {
            kind,
            services: BTreeMap::new(),
            is_crowded: false,
        }
    }

    /// What is not as before.
    pub fn handle(&mut self, news: Option<ServiceNews>) -> Option<Sighting> {
        match news? {
            ServiceNews::Here(service) => self.handle_here(service),
            ServiceNews::Gone(name) => self.remove(&name),
        }
    }

    fn handle_here(&mut self, service: HeardService) -> Option<Sighting> {
        if service.protocol.as_deref() != Some(PROTOCOL) {
            return None;
        }
        let peer = PeerId::from_hex(&service.id?).ok()?;
        let name = service.full_name.as_str();
        let addresses = in_order(service.addresses.into_iter().filter(is_dialable));
        if addresses.is_empty() {
            return self.remove(name);
        }
        if self.services.len() >= bound(self.kind) && !self.services.contains_key(name) {
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
    pub fn forget(&mut self) -> Vec<Sighting> {
        self.is_crowded = false;
        let services = std::mem::take(&mut self.services);
        match self.kind {
            ServiceKind::Tracker => Vec::new(),
            ServiceKind::Peer | ServiceKind::Pairing => services
                .into_values()
                .map(|(peer, _)| (peer, Vec::new()))
                .collect(),
        }
    }

    /// All of them, by the name of the service.
    pub fn into_named(self) -> BTreeMap<String, Sighting> {
        let ending = format!(".{}", self.kind.service());
        let named = self.services.into_iter();
        named
            .map(|(name, sighting)| (name.trim_end_matches(&*ending).to_owned(), sighting))
            .collect()
    }

    /// The likeliest of each first, so that one that is dead does not stand before the
    /// others with all that it had.
    pub fn addresses(&self) -> Vec<String> {
        let ranked = |(_, at): &Sighting| at.iter().copied().enumerate().collect::<Vec<_>>();
        let mut addresses: Vec<_> = self.services.values().flat_map(ranked).collect();
        addresses.sort_by_key(|(rank, _)| *rank);
        let addresses = addresses.iter();
        addresses.map(|(_, address)| address.to_string()).collect()
    }
}

/// How many are kept.
fn bound(kind: ServiceKind) -> usize {
    match kind {
        ServiceKind::Tracker | ServiceKind::Pairing => MAX_TRACKERS,
        ServiceKind::Peer => MAX_PEERS,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(name: &str, protocol: &str, addresses: &str, port: u16) -> Option<ServiceNews> {
        let addresses = addresses.split(',').map(|ip| ip.parse().unwrap());
        Some(ServiceNews::Here(HeardService {
            full_name: format!("{name}.{}", ServiceKind::Tracker.service()),
            protocol: Some(protocol.to_owned()),
            id: Some(PeerId([7; 32]).to_hex()),
            addresses: addresses.map(|ip: IpAddr| (ip, port).into()).collect(),
        }))
    }

    #[test]
    fn trackers_come_and_go() {
        let mut found = AnnouncedServices::new(ServiceKind::Tracker);
        let attic = || resolved("attic", "p2pmusic/1", "fd00::7,10.0.0.7,127.0.0.1", 4670);
        assert!(found.handle(attic()).is_some());
        assert_eq!(found.handle(attic()), None, "nothing changed");
        assert_eq!(found.addresses(), ["10.0.0.7:4670", "[fd00::7]:4670"]);
        let moved = resolved("attic", "p2pmusic/1", "10.0.0.8", 4670);
        assert!(found.handle(moved).is_some());
        assert_eq!(found.addresses(), ["10.0.0.8:4670"]);
        let kind = ServiceKind::Tracker.service();
        let gone = Some(ServiceNews::Gone(format!("attic.{kind}")));
        assert_eq!(found.handle(gone), Some((PeerId([7; 32]), Vec::new())));
        assert_eq!(found.addresses(), Vec::<String>::new());
    }

    #[test]
    fn strangers_are_ignored_and_floods_bounded() {
        let mut found = AnnouncedServices::new(ServiceKind::Tracker);
        let stranger = resolved("attic", "p2pmusic/2", "10.0.0.7", 4670);
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
    fn a_tracker_does_not_stand_before_another_with_all_its_addresses() {
        let mut found = AnnouncedServices::new(ServiceKind::Tracker);
        for (name, addresses) in [
            ("attic", "10.0.0.7,fd00::7"),
            ("cellar", "10.0.0.8,fd00::8"),
        ] {
            found.handle(resolved(name, "p2pmusic/1", addresses, 1));
        }
        let expected = ["10.0.0.7:1", "10.0.0.8:1", "[fd00::7]:1", "[fd00::8]:1"];
        assert_eq!(found.addresses(), expected);
    }

    #[test]
    fn an_address_where_no_node_can_be_is_none() {
        let mut found = AnnouncedServices::new(ServiceKind::Tracker);
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
    fn what_says_not_which_node_it_is_is_none() {
        let mut found = AnnouncedServices::new(ServiceKind::Peer);
        for (protocol, id) in [
            (None, Some(PeerId([7; 32]).to_hex())),
            (Some(PROTOCOL.to_owned()), None),
            (Some(PROTOCOL.to_owned()), Some("7".to_owned())),
        ] {
            let news = ServiceNews::Here(HeardService {
                full_name: "attic".into(),
                protocol,
                id,
                addresses: vec![([10, 0, 0, 7], 1).into()],
            });
            assert_eq!(found.handle(Some(news)), None);
        }
        assert!(found.forget().is_empty());
    }
}
