//! The addresses of this node's own interfaces.
//!
//! What an interface leads to is told by its name, as Linux, its network managers and
//! the makers of containers and tunnels give them: a bridge may as well be a home's.

mod changes;
mod mtu;

use std::net::IpAddr;

use nix::{
    ifaddrs::{getifaddrs, InterfaceAddress},
    net::if_::{if_nametoindex, InterfaceFlags},
    sys::socket::SockaddrStorage,
};

pub use self::{
    changes::InterfaceChanges,
    mtu::{narrow_route, LEAST_MTU},
};
use crate::{protocol::MAX_CANDIDATES, util::near::Subnet};

/// One address of an interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    interface: String,
    /// Whether a cable is in it, or it is in a Wi-Fi. An address may outlive that.
    has_carrier: bool,
    address: IpAddr,
    subnet: Subnet,
}

/// All addresses, loopback too; none where the system does not say.
pub fn own_addresses() -> Vec<IpAddr> {
    up().into_iter().map(|own| own.address).collect()
}

/// The networks that this node is on.
pub fn subnets() -> Vec<Subnet> {
    up().into_iter().map(|own| own.subnet).collect()
}

/// The scopes on which a link-local address may lie: the indices of the
/// interfaces that have one, without those of containers and tunnels.
pub fn scopes() -> Vec<u32> {
    let is_link_local = |own: &Address| match own.address {
        IpAddr::V6(v6) => v6.is_unicast_link_local() && own.has_carrier && is_outer(own),
        IpAddr::V4(_) => false,
    };
    let index = |own: Address| if_nametoindex(own.interface.as_str()).ok();
    let mut scopes: Vec<u32> = up()
        .into_iter()
        .filter(is_link_local)
        .filter_map(index)
        .collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

/// Where others may reach this node, without loopback, and without container
/// networks unless there is nothing else. Those of tunnels come last: only the
/// other end can be reached by them. Link-local IPv6 comes without
/// its scope.
pub fn outer_addresses() -> Vec<IpAddr> {
    choose(up())
}

/// The likeliest of [`outer_addresses`], at most [`MAX_CANDIDATES`].
pub fn own_candidates() -> Vec<IpAddr> {
    let mut candidates = outer_addresses();
    candidates.truncate(MAX_CANDIDATES);
    candidates
}

/// The interfaces to other nodes that are too narrow for QUIC (below [`LEAST_MTU`]), and
/// the largest packet that each takes.
pub fn narrow() -> Vec<(String, u32)> {
    let own: Vec<Address> = up().into_iter().filter(is_outer).collect();
    mtu::narrow(&own)
}

/// The interfaces that are up and have an address, without loopback: name, addresses,
/// and whether it takes multicast.
pub fn outer() -> Vec<(String, Vec<IpAddr>, bool)> {
    let Ok(all) = getifaddrs() else {
        return Vec::new();
    };
    let mut outer = std::collections::BTreeMap::<String, (Vec<IpAddr>, bool)>::new();
    for own in all {
        let Some(address) = own.address.as_ref().and_then(to_ip) else {
            continue;
        };
        let flags = own.flags;
        if !flags.contains(InterfaceFlags::IFF_UP) || flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let (addresses, multicast) = outer.entry(own.interface_name).or_default();
        addresses.push(address);
        *multicast = flags.contains(InterfaceFlags::IFF_MULTICAST);
    }
    let flat = outer.into_iter();
    flat.map(|(name, (addresses, multicast))| (name, addresses, multicast))
        .collect()
}

/// Whether an interface of this name leads to containers or virtual machines
/// rather than to a network that other nodes are on.
pub fn is_virtual(interface: &str) -> bool {
    // The bridges of a home have names, such as OpenWrt's `br-lan`.
    let is_hex = |id: &str| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
    VIRTUAL.iter().any(|prefix| interface.starts_with(prefix))
        || interface.strip_prefix("br-").is_some_and(is_hex)
}

/// Whether an interface of this name leads through a tunnel, be it to a place far
/// away or to a virtual machine: nobody there is a neighbour.
pub fn is_tunnel(interface: &str) -> bool {
    TUNNELS.iter().any(|prefix| interface.starts_with(prefix))
}

fn is_outer(own: &Address) -> bool {
    !is_virtual(&own.interface) && !is_tunnel(&own.interface)
}

fn choose(own: Vec<Address>) -> Vec<IpAddr> {
    let (inner, outer): (Vec<_>, Vec<_>) = own
        .into_iter()
        .filter(|own| own.has_carrier && !own.address.is_loopback())
        .partition(|own| is_virtual(&own.interface));
    let mut own = if outer.is_empty() { inner } else { outer };
    // The likeliest first, so that a cap takes the least useful: privacy
    // addresses make IPv6 plentiful.
    own.sort_by_key(|own| {
        let family = match own.address {
            IpAddr::V4(_) => 0,
            IpAddr::V6(v6) if !v6.is_unicast_link_local() => 1,
            IpAddr::V6(_) => 2,
        };
        (is_tunnel(&own.interface), family)
    });
    let mut chosen: Vec<IpAddr> = Vec::new();
    for own in own {
        if !chosen.contains(&own.address) {
            chosen.push(own.address);
        }
    }
    chosen
}

fn up() -> Vec<Address> {
    let Ok(all) = getifaddrs() else {
        return Vec::new();
    };
    all.filter(|own| own.flags.contains(InterfaceFlags::IFF_UP))
        .filter_map(|own| to_address(&own))
        .collect()
}

fn to_address(own: &InterfaceAddress) -> Option<Address> {
    let address = to_ip(own.address.as_ref()?)?;
    let mask = own.netmask.as_ref().and_then(to_ip);
    Some(Address {
        interface: own.interface_name.clone(),
        has_carrier: own.flags.contains(InterfaceFlags::IFF_RUNNING),
        address,
        subnet: match mask {
            Some(mask) => Subnet::with_mask(address, mask),
            // A network of its own.
            None => Subnet::new(address, 128),
        },
    })
}

fn to_ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

/// Docker's, libvirt's and container bridges, and their ends. Docker's other bridges are
/// called `br-` and the first twelve digits of an id.
const VIRTUAL: &[&str] = &[
    "docker", "veth", "virbr", "vnet", "lxc", "lxd", "incus", "cni", "podman",
];
/// OpenVPN's and virtual machines', WireGuard, Tailscale, ZeroTier, PPP, IPsec.
const TUNNELS: &[&str] = &["tun", "tap", "wg", "tailscale", "zt", "ppp", "ipsec"];

#[cfg(test)]
mod tests {
    use super::*;

    fn own(interface: &str, address: &str) -> Address {
        let address = address.parse().unwrap();
        Address {
            interface: interface.into(),
            has_carrier: true,
            address,
            subnet: Subnet::new(address, 24),
        }
    }

    #[test]
    fn containers_are_no_candidates_unless_there_is_nothing_else() {
        let docker = own("docker0", "172.17.0.1");
        let lo = own("lo", "127.0.0.1");
        let wlan = own("wlan0", "192.168.1.7");
        let all = vec![lo.clone(), docker.clone(), wlan.clone()];
        assert_eq!(choose(all), [wlan.address]);
        assert_eq!(choose(vec![lo, docker.clone()]), [docker.address]);
    }

    #[test]
    fn a_homes_networks_are_told_from_others() {
        for name in [
            "eth0", "wlan0", "end0", "wlp2s0", "enp3s0", "br0", "br-lan", "bond0", "usb0",
            "vlan10", "eth0.20", "vmbr0",
        ] {
            assert!(!is_virtual(name) && !is_tunnel(name), "{name}");
        }
        for name in [
            "docker0",
            "br-0123456789ab",
            "vetha1b2c3d",
            "virbr0",
            "lxcbr0",
        ] {
            assert!(is_virtual(name), "{name}");
        }
        for name in ["tun0", "tap0", "wg0", "tailscale0", "ztabcdefgh", "ppp0"] {
            assert!(is_tunnel(name), "{name}");
        }
    }

    #[test]
    fn a_cable_that_is_not_plugged_in_leads_nowhere() {
        let cable = Address {
            has_carrier: false,
            ..own("eth0", "192.168.1.7")
        };
        assert_eq!(choose(vec![cable]), Vec::<IpAddr>::new());
    }

    #[test]
    fn the_least_useful_is_last() {
        let mut all = vec![own("eth0", "fe80::1")];
        all.extend((0..MAX_CANDIDATES).map(|n| own("eth0", &format!("2001:db8::{n}"))));
        all.push(own("tailscale0", "100.64.0.7"));
        all.push(own("wlan0", "192.168.1.7"));
        let chosen = choose(all);
        assert_eq!(chosen[0].to_string(), "192.168.1.7");
        let last = chosen[chosen.len() - 2..].iter().map(IpAddr::to_string);
        assert_eq!(last.collect::<Vec<_>>(), ["fe80::1", "100.64.0.7"]);
    }

    #[test]
    fn this_machine_has_a_loopback() {
        assert!(own_addresses().iter().any(IpAddr::is_loopback));
        assert!(!own_candidates().iter().any(IpAddr::is_loopback));
    }
}
