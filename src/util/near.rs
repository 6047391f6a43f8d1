//! What an open swarm talks to.
//!
//! A swarm without a key believes everybody, so it must not reach beyond the
//! home: only to addresses that the Internet does not route, and to the
//! networks that this node's own interfaces are on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A network that one of this node's interfaces is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The network of `address`, whose first `prefix` bits it shares.
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Self {
            address,
            prefix: prefix.min(bits),
        }
    }

    /// The network of `address` under an interface's netmask.
    pub fn with_mask(address: IpAddr, mask: IpAddr) -> Self {
        let prefix = match mask {
            IpAddr::V4(mask) => mask.to_bits().leading_ones(),
            IpAddr::V6(mask) => mask.to_bits().leading_ones(),
        };
        Self::new(address, prefix as u8)
    }

    /// Another address of this network than `address`, its own; none in a network of one.
    pub fn neighbour_of(&self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(v4) if self.prefix < 32 => Some(Ipv4Addr::from(v4.to_bits() ^ 1).into()),
            IpAddr::V6(v6) if self.prefix < 128 => Some(Ipv6Addr::from(v6.to_bits() ^ 1).into()),
            _ => None,
        }
    }

    /// Whether `address` is on this network. One without a prefix is the
    /// whole Internet, which is nobody's neighbourhood.
    pub fn contains(&self, address: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        prefix > 0
            && match (self.address, address) {
                (IpAddr::V4(a), IpAddr::V4(b)) => {
                    (a.to_bits() ^ b.to_bits()).leading_zeros() >= prefix
                }
                (IpAddr::V6(a), IpAddr::V6(b)) => {
                    (a.to_bits() ^ b.to_bits()).leading_zeros() >= prefix
                }
                _ => false,
            }
    }
}

/// Whether an open swarm may talk to `address`: loopback, link-local,
/// private (also carriers' shared 100.64.0.0/10 and unique-local fc00::/7),
/// or on one of `subnets`.
pub fn is_near(address: IpAddr, subnets: &[Subnet]) -> bool {
    let address = address.to_canonical();
    let local = match address {
        IpAddr::V4(v4) => {
            let shared = Subnet::new(Ipv4Addr::new(100, 64, 0, 0).into(), 10);
            v4.is_loopback() || v4.is_link_local() || v4.is_private() || shared.contains(address)
        }
        IpAddr::V6(v6) => {
            v6 == Ipv6Addr::LOCALHOST || v6.is_unicast_link_local() || v6.is_unique_local()
        }
    };
    local || subnets.iter().any(|subnet| subnet.contains(address))
}

/// An IPv4 address that a dual-stack socket shows as IPv6, as what it is.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_home_is_near_and_the_internet_is_not() {
        let subnets = [
            Subnet::new(ip("2001:db8:1:2::7"), 64),
            Subnet::with_mask(ip("203.0.113.9"), ip("255.255.255.240")),
            Subnet::new(ip("198.51.100.1"), 0),
        ];
        let near = [
            "127.0.0.1",
            "127.8.0.1",
            "::1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.9.9",
            "100.64.0.1",
            "100.127.255.255",
            "fe80::1",
            "fd00::1",
            "fc00::1",
            "2001:db8:1:2:ffff::",
            "203.0.113.15",
            "::ffff:192.168.0.1",
        ];
        for address in near {
            assert!(is_near(ip(address), &subnets), "{address}");
        }
        let far = [
            "8.8.8.8",
            "172.32.0.1",
            "192.169.0.1",
            "100.63.255.255",
            "100.128.0.0",
            "2001:db8:1:3::1",
            "203.0.113.16",
            "198.51.100.2",
            "::ffff:8.8.8.8",
            "2606::1",
            "0.0.0.0",
            "::",
            "255.255.255.255",
        ];
        for address in far {
            assert!(!is_near(ip(address), &subnets), "{address}");
        }
    }
}
