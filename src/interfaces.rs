//! The addresses of this node's own interfaces.
//!
//! What an interface leads to is told by its name, as Linux, its network managers and
//! the makers of containers and tunnels give them: a bridge may as well be a home's.

mod changes;
mod choice;
mod mtu;

use std::net::IpAddr;

use nix::{
    ifaddrs::{getifaddrs, InterfaceAddress},
    net::if_::{if_nametoindex, InterfaceFlags},
    sys::socket::SockaddrStorage,
};

use self::choice::{choose, is_outer, Address};
pub use self::{
    changes::InterfaceChanges,
    choice::{is_tunnel, is_virtual},
    mtu::{narrow_route, LEAST_MTU},
};
use crate::{protocol::MAX_CANDIDATES, util::near::Subnet};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_loopback() {
        assert!(own_addresses().iter().any(IpAddr::is_loopback));
        assert!(!own_candidates().iter().any(IpAddr::is_loopback));
    }
}
