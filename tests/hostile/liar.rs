//! Members that list a track, and lie when they are asked for it.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use quinn::{
    crypto::rustls::QuicServerConfig, Connection, Endpoint, EndpointConfig, Incoming, SmolRuntime,
};

use crate::{
    common::Node,
    peer::{ask, dial, endpoint},
    wire::{
        hash, kind_of, receive_kind, register, send, Member, Tls, ToTracker, OPEN, REGISTERED,
        WANT_LIST,
    },
};

/// A registered member with one track.
pub struct Liar {
    pub name: String,
    _tracker: JoinHandle<Option<Tls>>,
    _serving: smol::Task<()>,
}

/// What it says.
#[derive(Clone)]
pub enum Answers {
    Fixed {
        to_resolve: Vec<u8>,
        to_get: Vec<u8>,
    },
    /// What another says over this connection; of the slices all but the first end in a
    /// wrong bit.
    Relayed(Connection, Arc<AtomicU32>),
}

impl Answers {
    pub fn relayed(from: SocketAddr) -> Self {
        let endpoint = endpoint(Ipv4Addr::LOCALHOST);
        let member = Member::new(&OPEN, 600);
        let connection = smol::block_on(dial(&endpoint, &member, from));
        Self::Relayed(connection.expect("it is a member"), Arc::default())
    }

    async fn to(&self, request: &[u8]) -> Vec<u8> {
        let resolve = request.get(4..).and_then(kind_of) == Some(0);
        match self {
            Self::Fixed { to_resolve, .. } if resolve => to_resolve.clone(),
            Self::Fixed { to_get, .. } => to_get.clone(),
            Self::Relayed(connection, slices) => {
                let Some((_, mut recv)) = ask(connection, request).await else {
                    return Vec::new();
                };
                let mut answer = recv.read_to_end(8 << 20).await.unwrap_or_default();
                if !resolve && slices.fetch_add(1, Ordering::Relaxed) > 0 {
                    if let Some(last) = answer.last_mut() {
                        *last ^= 1;
                    }
                }
                answer
            }
        }
    }
}

impl Liar {
    /// The `n`th member, with a catalogue of this page, which has one entry.
    pub fn begin(tracker: &Node, n: u16, page: Vec<u8>, answers: Answers) -> Self {
        Self::with_entries(1, tracker, n, page, answers)
    }

    /// The same with a page of so many entries.
    pub fn with_entries(
        entries: u32,
        tracker: &Node,
        n: u16,
        page: Vec<u8>,
        answers: Answers,
    ) -> Self {
        let member = Member::new(&OPEN, n);
        let crypto = QuicServerConfig::try_from(member.server_config()).unwrap();
        let server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        let config = EndpointConfig::default();
        let endpoint = Endpoint::new(config, Some(server), socket, Arc::new(SmolRuntime)).unwrap();
        let serving = smol::spawn(async move {
            let mut connections = Vec::new();
            while let Some(incoming) = endpoint.accept().await {
                connections.push(smol::spawn(serve(incoming, answers.clone())));
            }
        });
        let name = format!("liar-{n}");
        let mut tls = member.tracker(&tracker.tracker_address()).unwrap();
        send(&mut tls, &register(&name, at.port())).unwrap();
        receive_kind(&mut tls, REGISTERED).unwrap();
        let list = vec![hash(&page)];
        send(&mut tls, &ToTracker::Head(member.head(1, entries, &list))).unwrap();
        receive_kind(&mut tls, WANT_LIST).unwrap();
        send(&mut tls, &ToTracker::List(list)).unwrap();
        receive_kind(&mut tls, WANT_LIST + 1).unwrap();
        send(&mut tls, &ToTracker::Page(0, page)).unwrap();
        let renewing = thread::spawn(move || {
            for _ in 0..12 {
                send(&mut tls, &ToTracker::Renew).ok()?;
                receive_kind(&mut tls, 3).ok()?;
                thread::sleep(Duration::from_secs(4));
            }
            Some(tls)
        });
        Self {
            name,
            _tracker: renewing,
            _serving: serving,
        }
    }
}

async fn serve(incoming: Incoming, answers: Answers) {
    let Ok(connection) = incoming.await else {
        return;
    };
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let request = recv.read_to_end(2000).await.unwrap_or_default();
        let _ = send.write_all(&answers.to(&request).await).await;
        let _ = send.finish();
    }
}
