//! Listening sockets, the same under every setting of the system.
//!
//! `[::]` means both families: that is asked for explicitly, since
//! `net.ipv6.bindv6only` decides otherwise. Where IPv6 cannot be had (a kernel
//! without it, a sandbox that refuses it), `[::]` means `0.0.0.0`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsRawFd as _, OwnedFd},
    sync::Once,
};

use nix::{
    errno::Errno,
    sys::socket::{
        bind, listen, setsockopt, socket, sockopt, AddressFamily, Backlog, SockFlag, SockType,
        SockaddrStorage,
    },
};

/// Listens on TCP.
///
/// # Errors
/// Those of the system.
pub fn listen_tcp(at: SocketAddr) -> io::Result<TcpListener> {
    let bound = on_either_family(at, |at| {
        let socket = open(at, SockType::Stream)?;
        // A service that is started again has its port at once.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        bind_to(&socket, at)?;
        Ok(socket)
    })?;
    listen(&bound, Backlog::MAXCONN)?;
    Ok(bound.into())
}

/// Binds a UDP socket.
///
/// # Errors
/// Those of the system.
pub fn bind_udp(at: SocketAddr) -> io::Result<UdpSocket> {
    let bound = on_either_family(at, |at| {
        let socket = open(at, SockType::Datagram)?;
        bind_to(&socket, at)?;
        Ok(socket)
    })?;
    Ok(bound.into())
}

/// The address by which this machine reaches what listens on `ip`, where `own` are the
/// addresses that it has. Of the loopback addresses one may be switched off.
pub fn reachable(ip: IpAddr, own: &[IpAddr]) -> IpAddr {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    match ip {
        _ if !ip.is_unspecified() => ip,
        IpAddr::V6(_) if own.contains(&v6) && !own.contains(&v4) => v6,
        _ => v4,
    }
}

/// Opens a socket at `at`, or in the place of `[::]` at `0.0.0.0`.
fn on_either_family<T>(
    at: SocketAddr,
    open: impl Fn(SocketAddr) -> Result<T, Errno>,
) -> io::Result<T> {
    static SAID: Once = Once::new();
    let any = at.is_ipv6() && at.ip().is_unspecified();
    match open(at) {
        Err(error) if any && is_no_ipv6(error) => {
            SAID.call_once(|| {
                log::info!("IPv6 cannot be used here ({error}): [::] means 0.0.0.0");
            });
            let at = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), at.port());
            Ok(open(at)?)
        }
        opened => Ok(opened?),
    }
}

/// Of a kernel without IPv6, of a sandbox, and of one whose interfaces have none.
fn is_no_ipv6(error: Errno) -> bool {
    matches!(
        error,
        Errno::EAFNOSUPPORT | Errno::EPFNOSUPPORT | Errno::EPROTONOSUPPORT | Errno::EADDRNOTAVAIL
    )
}

fn open(at: SocketAddr, kind: SockType) -> Result<OwnedFd, Errno> {
    let family = match at {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    if at.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &!at.ip().is_unspecified())?;
    }
    Ok(socket)
}

fn bind_to(socket: &OwnedFd, at: SocketAddr) -> Result<(), Errno> {
    bind(socket.as_raw_fd(), &SockaddrStorage::from(at))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn any_address_takes_both_families() {
        let listener = listen_tcp("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        let peer = bind_udp("[::]:0".parse().unwrap()).unwrap();
        let port = peer.local_addr().unwrap().port();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        other.send_to(b"heard", ("127.0.0.1", port)).unwrap();
        let (_, from) = peer.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from.ip().to_canonical(), other.local_addr().unwrap().ip());
    }

    #[test]
    fn without_ipv6_any_address_is_one_of_ipv4_and_others_are_refused() {
        let refuse = |error| move |at: SocketAddr| if at.is_ipv6() { Err(error) } else { Ok(at) };
        let any = "[::]:4670".parse().unwrap();
        for error in [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL] {
            let opened = on_either_family(any, refuse(error)).unwrap();
            assert_eq!(opened.to_string(), "0.0.0.0:4670");
        }
        for (at, error) in [
            ("[::]:4670", Errno::EADDRINUSE),
            ("[::]:4670", Errno::EACCES),
            ("[::1]:4670", Errno::EADDRNOTAVAIL),
        ] {
            let refused = on_either_family(at.parse().unwrap(), refuse(error)).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(error as i32));
        }
    }

    #[test]
    fn a_node_reaches_itself_by_the_loopback_that_there_is() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (bound, own, expected) in [
            ("::", &["127.0.0.1", "::1"][..], "127.0.0.1"),
            ("::", &["127.0.0.1"], "127.0.0.1"),
            ("::", &["::1", "fd00::1"], "::1"),
            ("::", &[], "127.0.0.1"),
            ("0.0.0.0", &["::1"], "127.0.0.1"),
            ("::1", &["127.0.0.1"], "::1"),
            ("192.168.1.7", &["127.0.0.1"], "192.168.1.7"),
        ] {
            let own: Vec<IpAddr> = own.iter().map(|own| ip(own)).collect();
            assert_eq!(reachable(ip(bound), &own), ip(expected), "{bound} {own:?}");
        }
    }
}
