//! Whether multicast works here: which nodes announce themselves by mDNS, and whether this
//! machine hears what it sends itself.
//!
//! The latter goes through the machine's own network and firewall, though not through the
//! access point: a machine that hears only itself is told about those.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    time::{Duration, Instant},
};

use nix::sys::socket::{
    bind, setsockopt, socket, sockopt, AddressFamily, SockFlag, SockType, SockaddrIn,
};

use crate::{
    cli::doctor::facts::Multicast,
    config::Config,
    discovery::{self, Mdns, ServiceKind},
    id::PeerId,
    interfaces,
};

/// Listens for a while; does not when the node would not.
pub fn hear(config: &Config, own_id: Option<&str>) -> Multicast {
    let role = config.role;
    let is_outside = role.is_peer() && !config.peer.listen.ip().is_loopback()
        || role.is_tracker() && !config.tracker.listen.ip().is_loopback();
    if !is_outside {
        return Multicast::Unused;
    }
    let mdns = Mdns::default();
    let both = smol::future::zip(
        discovery::look_around(&mdns, ServiceKind::Tracker, PATIENCE),
        discovery::look_around(&mdns, ServiceKind::Peer, PATIENCE),
    );
    // One's own packet comes at once or never.
    let itself = hear_itself();
    let (trackers, peers) = smol::block_on(both);
    let error = trackers.as_ref().err().or(peers.as_ref().err());
    let error = error.map(ToString::to_string);
    let is_other = |id: &PeerId| Some(id.to_hex().as_str()) != own_id;
    let trackers = trackers.unwrap_or_default().into_iter();
    let trackers = trackers.filter(|(_, (id, _))| is_other(id));
    let named = trackers.map(|(name, (_, at))| match at.first() {
        Some(at) => format!("{name} at {at}"),
        None => name,
    });
    let peers = peers.unwrap_or_default();
    Multicast::Heard {
        itself,
        trackers: named.collect(),
        peers: peers.values().filter(|(id, _)| is_other(id)).count(),
        error,
    }
}

/// Whether each interface brings back what is sent to the group of mDNS over it.
fn hear_itself() -> Vec<(String, bool)> {
    let outer = interfaces::outer().into_iter();
    let outer = outer.filter(|(name, _, multicast)| *multicast && !interfaces::is_virtual(name));
    let with_v4 = outer.filter_map(|(name, addresses, _)| {
        let mut v4 = addresses.into_iter().filter_map(|address| match address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        });
        Some((name, v4.next()?))
    });
    let with_v4: Vec<(String, Ipv4Addr)> = with_v4.take(MAX_INTERFACES).collect();
    let addresses: Vec<Ipv4Addr> = with_v4.iter().map(|(_, address)| *address).collect();
    let heard = hear_from(&addresses).unwrap_or_default();
    with_v4
        .into_iter()
        .map(|(name, address)| (name, heard.contains(&address)))
        .collect()
}

/// Asks the group from each of this machine's `addresses`, and says from which it came.
///
/// # Errors
/// When the group's port cannot be shared.
fn hear_from(addresses: &[Ipv4Addr]) -> io::Result<Vec<Ipv4Addr>> {
    let ear = ear()?;
    let mut voices = Vec::new();
    for &address in addresses {
        // A socket that cannot join, or send, hears nothing.
        let _ = ear.join_multicast_v4(&GROUP, &address);
        // The kernel chooses the interface by the address that it comes from.
        if let Ok(voice) = UdpSocket::bind((address, 0)) {
            let _ = voice.send_to(QUESTION, (GROUP, PORT));
            voices.push(voice);
        }
    }
    let own: Vec<SocketAddr> = voices.iter().flat_map(UdpSocket::local_addr).collect();
    let until = Instant::now() + OWN_PATIENCE;
    let mut heard = Vec::new();
    let mut packet = [0; MAX_PACKET];
    while heard.len() < own.len() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        ear.set_read_timeout(Some(left))?;
        let Ok((_, SocketAddr::V4(from))) = ear.recv_from(&mut packet) else {
            continue;
        };
        if own.contains(&from.into()) && !heard.contains(from.ip()) {
            heard.push(*from.ip());
        }
    }
    Ok(heard)
}

/// A socket on the port of mDNS, which others have, too.
fn ear() -> io::Result<UdpSocket> {
    let kind = SockType::Datagram;
    let ear = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&ear, sockopt::ReuseAddr, &true)?;
    setsockopt(&ear, sockopt::ReusePort, &true)?;
    let at = SocketAddrV4::new(GROUP, PORT);
    bind(std::os::fd::AsRawFd::as_raw_fd(&ear), &SockaddrIn::from(at))?;
    Ok(ear.into())
}

/// Of mDNS (RFC 6762, section 3).
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// The question for trackers of p2pmusic (`_p2pmusic._tcp.local. PTR IN`, RFC 1035, section 4.1)
const QUESTION: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x09_p2pmusic\x04_tcp\x05local\0\0\x0c\0\x01";
/// mdns-sd asks at once, after 1 s and after 3 s, and a busy Wi-Fi loses the first.
const PATIENCE: Duration = Duration::from_millis(3200);
/// What is sent to oneself is there at once; a busy machine looks a little later.
const OWN_PATIENCE: Duration = Duration::from_secs(1);
/// More than a speaker has.
const MAX_INTERFACES: usize = 8;
/// Only the sender counts.
const MAX_PACKET: usize = 16;
