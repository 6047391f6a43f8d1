//! The UDP socket as quinn sees it: what goes to addresses at which nobody has answered yet
//! is counted, and ends after a handful of datagrams.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use quinn::{
    udp::{RecvMeta, Transmit},
    AsyncUdpSocket, UdpPoller,
};

use super::unproven::Unproven;
use crate::util::near::canonical;

/// What is known of addresses, by all that dial and by the socket.
#[derive(Clone, Debug, Default)]
pub struct Addresses(Arc<Mutex<Unproven>>);

impl Addresses {
    pub fn lock(&self) -> MutexGuard<'_, Unproven> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct CountedSocket {
    pub socket: Arc<dyn AsyncUdpSocket>,
    pub addresses: Addresses,
}

impl AsyncUdpSocket for CountedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let each = transmit.segment_size.unwrap_or(transmit.contents.len());
        let all = transmit.contents.len().div_ceil(each.max(1));
        let to = canonical(transmit.destination);
        let some = self.addresses.lock().may_send(to, all, Instant::now());
        match some {
            _ if some >= all => self.socket.try_send(transmit),
            0 => Ok(()),
            _ => self.socket.try_send(&Transmit {
                contents: &transmit.contents[..some * each],
                segment_size: (some > 1).then_some(each),
                ..*transmit
            }),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let came = self.socket.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = came {
            let mut addresses = self.addresses.lock();
            for meta in meta.iter().take(count) {
                addresses.handle_heard(canonical(meta.addr));
            }
        }
        came
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
