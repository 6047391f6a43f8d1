//! How large a packet may be. QUIC has a minimum, below which nothing of it arrives.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    num::NonZeroU32,
};

use nix::sys::socket::{getsockopt, sockopt};

use super::choice::Address;

/// The least that QUIC needs of IPv4: datagrams of 1,200 bytes (RFC 9000, section 14) and
/// their headers. IPv6 is not on offer below 1,280.
pub const LEAST_MTU: u32 = 1200 + 20 + 8;

/// The largest packet that the route to `to` takes, as far as the kernel knows: its first
/// link's, or what a router has said. Nothing is sent.
pub fn route_mtu(to: SocketAddr) -> Option<NonZeroU32> {
    let IpAddr::V4(to) = to.ip().to_canonical() else {
        return None;
    };
    let asking = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    asking.connect((to, ANY_PORT)).ok()?;
    let mtu = getsockopt(&asking, sockopt::IpMtu).ok()?;
    NonZeroU32::new(u32::try_from(mtu).ok()?)
}

/// The same of the route to `to`, where it is too small for QUIC.
pub fn narrow_route(to: SocketAddr) -> Option<NonZeroU32> {
    route_mtu(to).filter(|mtu| mtu.get() < LEAST_MTU)
}

/// The interfaces among `own` that are too narrow for QUIC, with what they take.
pub(super) fn narrow(own: &[Address]) -> Vec<(String, u32)> {
    let mut narrow: Vec<(String, u32)> = own
        .iter()
        .filter_map(|own| {
            let mtu = narrow_route((own.subnet.neighbour_of(own.address)?, ANY_PORT).into())?;
            Some((own.interface.clone(), mtu.get()))
        })
        .collect();
    narrow.dedup();
    narrow
}

/// A socket wants one, and uses it for nothing.
const ANY_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_wide() {
        let mtu = route_mtu("127.0.0.1:1".parse().unwrap()).unwrap();
        assert!(mtu.get() >= LEAST_MTU, "{mtu}");
        assert_eq!(narrow_route("127.0.0.1:1".parse().unwrap()), None);
        assert_eq!(route_mtu("[::1]:1".parse().unwrap()), None);
    }
}
