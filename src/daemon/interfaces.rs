//! This machine's interfaces, as far as finding others needs them.

use std::{collections::BTreeSet, net::IpAddr};

use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex, sys::socket::SockaddrStorage};

use crate::{near::Subnet, node::Interfaces};

/// Reads the interfaces as they are now; none when the system does not tell.
pub fn read() -> Interfaces {
    let Ok(addresses) = getifaddrs() else {
        return Interfaces::default();
    };
    let mut interfaces = Interfaces::default();
    let mut scopes = BTreeSet::new();
    for interface in addresses {
        let Some(address) = interface.address.as_ref().and_then(ip) else {
            continue;
        };
        match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                scopes.extend(if_nametoindex(interface.interface_name.as_str()));
            }
            _ => {
                let mask = interface.netmask.as_ref().and_then(ip);
                interfaces.subnets.extend(mask.map(|mask| Subnet::with_mask(address, mask)));
            }
        }
    }
    interfaces.scopes = scopes.into_iter().collect();
    interfaces
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}
