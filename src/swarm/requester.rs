//! From where a peer asks: by that, and then by its identity, capacity is shared.
//!
//! An identity costs nothing, an address of the network does: a host that speaks as 32
//! peers gets what one host gets. Of IPv6, a host on the same network counts by its address,
//! since all rooms of a home have one /64; one that is farther away counts by its /64, which
//! is what the Internet gives to one customer at the least. Nodes on this very machine count
//! each by itself: that is where demonstrations and tests run a whole house, and a program
//! that means harm has easier ways there.

use std::net::{IpAddr, Ipv6Addr};

use crate::{id::PeerId, util::near::Subnet};

/// A peer, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requester {
    pub site: HostKey,
    pub peer: PeerId,
}

/// What counts as one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostKey {
    Host(IpAddr),
    /// The first half of an IPv6 address.
    Network(u64),
    /// A node of this machine.
    Here(PeerId),
}

impl Requester {
    /// `peer` speaks from `address` to a machine on `subnets`.
    pub fn new(peer: PeerId, address: IpAddr, subnets: &[Subnet]) -> Self {
        let site = HostKey::at(address, subnets).unwrap_or(HostKey::Here(peer));
        Self { site, peer }
    }
}

impl HostKey {
    /// What is at `address`, as a machine on `subnets` sees it; on the machine itself, that
    /// depends on the requester.
    pub fn at(address: IpAddr, subnets: &[Subnet]) -> Option<Self> {
        let address = address.to_canonical();
        let is_on_link = |v6: Ipv6Addr| {
            v6.is_unicast_link_local() || subnets.iter().any(|subnet| subnet.contains(address))
        };
        match address {
            IpAddr::V4(v4) if v4.octets() == [127, 0, 0, 1] => None,
            IpAddr::V6(Ipv6Addr::LOCALHOST) => None,
            IpAddr::V6(v6) if !is_on_link(v6) => Some(Self::Network((v6.to_bits() >> 64) as u64)),
            address => Some(Self::Host(address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_one_site_whatever_it_calls_itself() {
        let subnets = [Subnet::new(
            "2001:db8:1:2::7".parse().expect("it is one"),
            64,
        )];
        let site = |n: u8, address: &str| {
            let address = address.parse().expect("it is one");
            Requester::new(PeerId([n; 32]), address, &subnets).site
        };
        assert_eq!(site(1, "192.168.1.7"), site(2, "::ffff:192.168.1.7"));
        assert_ne!(site(1, "192.168.1.7"), site(1, "192.168.1.8"));
        for home in ["fe80::", "2001:db8:1:2::"] {
            assert_ne!(site(1, &format!("{home}a")), site(1, &format!("{home}b")));
        }
        assert_eq!(site(1, "2001:db8:9:9::1"), site(2, "2001:db8:9:9:8::2"));
        assert_ne!(site(1, "2001:db8:9:9::1"), site(1, "2001:db8:9:8::1"));
        for here in ["127.0.0.1", "::1"] {
            assert_ne!(site(1, here), site(2, here));
        }
        assert_eq!(site(1, "127.0.0.2"), site(2, "127.0.0.2"));
    }
}
