//! When something changes about this machine's network: an address that comes or goes,
//! a cable that is pulled, a Wi-Fi that is joined.
//!
//! The kernel says that something is not as before (rtnetlink(7)); what it is, the caller
//! looks up. Where the kernel may not be asked, a look now and then does.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::{RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK},
    sys::socket::{
        bind, recv, socket, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType,
    },
};
use smol::{Async, Timer};

/// Tells of changes from when it is made.
pub struct InterfaceChanges(Option<Async<OwnedFd>>);

impl InterfaceChanges {
    pub fn watch() -> Self {
        let socket = subscribe();
        if let Err(error) = &socket {
            log::debug!("the kernel does not tell of changes of the network: {error}");
        }
        Self(socket.ok())
    }

    /// Until something may have changed since the last time. What comes close together
    /// is one change.
    pub async fn next(&self) {
        let Some(socket) = &self.0 else {
            Timer::after(LOOK_INTERVAL).await;
            return;
        };
        // One that cannot be waited for is looked at as if it had been.
        let _ = socket.readable().await;
        Timer::after(SETTLE).await;
        drain(socket);
    }
}

fn subscribe() -> io::Result<Async<OwnedFd>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkRoute,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    Async::new(socket)
}

/// Takes what has been said. What did not fit in the socket's buffer is an error, once.
fn drain(socket: &Async<OwnedFd>) {
    let mut message = [0; 256];
    // A longer message is cut: nobody reads it.
    while !matches!(
        recv(socket.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT),
        Ok(0) | Err(Errno::EAGAIN | Errno::EBADF)
    ) {}
}

/// Addresses of both families; and interfaces, of which those without a carrier do not
/// count.
const GROUPS: u32 = (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR) as u32;
/// A lease of DHCP is an address that goes and one that comes. Containers that start and
/// stop all day cost no more than two looks a second.
const SETTLE: Duration = Duration::from_millis(500);
/// Where the kernel says nothing. A look costs a system call and a wake-up; a lease,
/// which is what a peer that moves would lose, is three times as long.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
