//! Which of this machine's addresses others can use.

use std::net::IpAddr;

use crate::util::near::Subnet;

/// One address of an interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub interface: String,
    /// Whether a cable is in it, or it is in a Wi-Fi. An address may outlive that.
    pub has_carrier: bool,
    pub address: IpAddr,
    pub subnet: Subnet,
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

pub(super) fn is_outer(own: &Address) -> bool {
    !is_virtual(&own.interface) && !is_tunnel(&own.interface)
}

pub(super) fn choose(own: Vec<Address>) -> Vec<IpAddr> {
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
    use crate::protocol::MAX_CANDIDATES;

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
}
