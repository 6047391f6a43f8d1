use std::{
    collections::BTreeSet,
    net::UdpSocket,
    sync::{Arc, Mutex},
};

use smol::Async;

use super::*;
use crate::identity::{self, Identity, SwarmKey};

fn endpoint(n: u8) -> (Endpoint, PeerId) {
    member(n, &SwarmKey::OPEN)
}

fn member(n: u8, key: &SwarmKey) -> (Endpoint, PeerId) {
    let identity = Identity::from_secret(&[n; 32], std::slice::from_ref(key)).unwrap();
    let peer = identity.peer_id();
    let here = "127.0.0.1:0".parse().unwrap();
    let endpoint = Endpoint::bind(here, identity, Vec::new()).unwrap();
    (endpoint, peer)
}

/// Takes connections, and gives them.
fn listen(endpoint: &Endpoint) -> (Receiver<PeerConnection>, Task<()>) {
    let (to, taken) = async_channel::bounded(8);
    let endpoint = endpoint.clone();
    let task = smol::spawn(async move {
        while let Some(accepting) = endpoint.accept().await {
            let accepting = accepting.accept().expect("it is one of ours");
            if let Some(connection) = accepting.finish().await {
                let _ = to.send(connection).await;
            }
        }
    });
    (taken, task)
}

/// Somewhere on this machine where nobody answers, and nobody says so.
fn silence() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

fn link(to: PeerId, from: &Endpoint, at: SocketAddr) -> PeerLink {
    let (asks, _) = async_channel::bounded(1);
    PeerLink::new(to, vec![at], from.clone(), asks)
}

#[test]
fn a_peer_that_connects_by_itself_ends_the_dialling() {
    smol::block_on(async {
        let ((a, a_id), (b, b_id)) = (endpoint(1), endpoint(2));
        let (at_a, _listening) = listen(&a);
        let (_nobody, dead) = silence();
        let link = link(b_id, &a, dead);
        let handle = link.handle();
        let wanted = handle.connection();
        let comes = async {
            let _kept = b.dial(a_id, a.local_addr().unwrap()).await.unwrap();
            link.offer(at_a.recv().await.unwrap());
            future::pending::<()>().await;
            unreachable!()
        };
        let connection = future::or(wanted, comes).await.unwrap();
        assert_eq!(connection.peer, b_id);
    });
}

#[test]
fn a_peer_that_moves_is_dialled_where_it_is_now() {
    smol::block_on(async {
        let ((a, _), (b, b_id)) = (endpoint(1), endpoint(2));
        let (_at_b, _listening) = listen(&b);
        let (_nobody, dead) = silence();
        let link = link(b_id, &a, dead);
        let handle = link.handle();
        let moves = async {
            smol::future::yield_now().await;
            link.set_candidates(vec![b.local_addr().unwrap()]);
            future::pending::<()>().await;
            unreachable!()
        };
        let connection = future::or(handle.connection(), moves).await.unwrap();
        assert_eq!(connection.peer, b_id);
    });
}

#[test]
fn a_connection_to_where_it_was_is_used_only_if_nothing_else_leads_there() {
    smol::block_on(async {
        let ((a, _), (b, b_id)) = (endpoint(1), endpoint(2));
        let (_at_b, _listening) = listen(&b);
        let link = link(b_id, &a, b.local_addr().unwrap());
        let handle = link.handle();
        let first = handle.connection().await.unwrap();
        let again = handle.connection().await.unwrap();
        assert_eq!(first.quic.stable_id(), again.quic.stable_id());
        // Nobody is there at all: the connection is what is left.
        link.set_candidates(Vec::new());
        let kept = handle.connection().await.unwrap();
        assert_eq!(first.quic.stable_id(), kept.quic.stable_id());
    });
}

#[test]
fn a_silent_connection_is_renewed_beside_itself() {
    smol::block_on(async {
        let ((a, _), (b, b_id)) = (endpoint(1), endpoint(2));
        let (at_b, _listening) = listen(&b);
        let wire = Wire::to(b.local_addr().unwrap());
        let link = link(b_id, &a, wire.at);
        let handle = link.handle();
        let first = handle.connection().await.unwrap();
        let _echo = echo(at_b.recv().await.unwrap());
        assert!(is_alive(&first).await);
        wire.cut(Cut::OldConnections);

        let second = renewed(&handle, &first).await;
        let _echo = echo(at_b.recv().await.unwrap());
        assert!(is_alive(&second).await);
        assert!(first.quic.close_reason().is_none(), "its requests go on");
        let now = handle.connection().await.unwrap();
        assert_eq!(now.quic.stable_id(), second.quic.stable_id());
    });
}

#[test]
fn of_two_connections_the_one_that_is_heard_of_first_is_kept() {
    smol::block_on(async {
        let ((a, _), (b, b_id)) = (endpoint(1), endpoint(2));
        let (at_b, _listening) = listen(&b);
        let wire = Wire::to(b.local_addr().unwrap());
        let link = link(b_id, &a, wire.at);
        let handle = link.handle();
        let first = handle.connection().await.unwrap();
        let _echo = echo(at_b.recv().await.unwrap());
        assert!(is_alive(&first).await);

        wire.cut(Cut::Handshakes);
        let speaks_again = async {
            wire.has_cut().await;
            assert!(is_alive(&first).await);
            wire.cut(Cut::Nothing);
            future::pending::<()>().await;
            unreachable!()
        };
        let second = future::or(renewed(&handle, &first), speaks_again).await;
        let _echo = echo(at_b.recv().await.unwrap());
        assert!(is_alive(&second).await, "who asked for it has it");
        let now = handle.connection().await.unwrap();
        assert_eq!(now.quic.stable_id(), first.quic.stable_id());
    });
}

/// A new connection, as soon as `old` is old enough to be replaced.
async fn renewed(handle: &LinkHandle, old: &PeerConnection) -> PeerConnection {
    for _ in 0..PATIENCE {
        let connection = handle.renewed().await.unwrap();
        if connection.quic.stable_id() != old.quic.stable_id() {
            return connection;
        }
        Timer::after(LOOK_AGAIN).await;
    }
    panic!("the connection is never renewed");
}

/// Says back what comes on each stream.
fn echo(connection: PeerConnection) -> Task<()> {
    smol::spawn(async move {
        while let Ok((mut send, mut recv)) = connection.quic.accept_bi().await {
            let said = recv.read_to_end(16).await.unwrap_or_default();
            let _ = send.write_all(&said).await;
            let _ = send.finish();
        }
    })
}

async fn is_alive(connection: &PeerConnection) -> bool {
    let (mut send, mut recv) = connection.quic.open_bi().await.unwrap();
    send.write_all(b"are you there?").await.unwrap();
    send.finish().unwrap();
    recv.read_to_end(16).await.unwrap() == b"are you there?"
}

/// What a [`Wire`] does not let through.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nothing,
    /// What belongs to connections that it has carried before it was cut.
    OldConnections,
    Handshakes,
}

/// A way to one place, for one dialler.
struct Wire {
    at: SocketAddr,
    state: Arc<Mutex<State>>,
    _carrying: Task<()>,
}

struct State {
    cut: Cut,
    /// The names of connections in both directions, which short headers have from their
    /// second byte on (RFC 9000, section 17.3.1).
    known: BTreeSet<Vec<u8>>,
    has_cut: bool,
}

impl Wire {
    fn to(there: SocketAddr) -> Self {
        let bind = || Async::<UdpSocket>::bind(([127, 0, 0, 1], 0)).unwrap();
        let (front, back) = (bind(), bind());
        let at = front.get_ref().local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            cut: Cut::Nothing,
            known: BTreeSet::new(),
            has_cut: false,
        }));
        let carried = state.clone();
        let carrying = smol::spawn(async move {
            let (mut dialler, mut there_buffer, mut here_buffer) = (None, [0; 2048], [0; 2048]);
            loop {
                let there_bound = async { (true, front.recv_from(&mut there_buffer).await) };
                let here_bound = async { (false, back.recv_from(&mut here_buffer).await) };
                let (goes_there, received) = future::or(there_bound, here_bound).await;
                // A place that has closed its port says so to the next request.
                let Ok((len, from)) = received else { continue };
                let buffer = if goes_there {
                    &there_buffer
                } else {
                    &here_buffer
                };
                let datagram = &buffer[..len];
                if goes_there {
                    dialler = Some(from);
                }
                let passes = carried.lock().unwrap().passes(datagram);
                match (passes, goes_there, dialler) {
                    (true, true, _) => _ = back.send_to(datagram, there).await,
                    (true, false, Some(dialler)) => _ = front.send_to(datagram, dialler).await,
                    _ => {}
                }
            }
        });
        Self {
            at,
            state,
            _carrying: carrying,
        }
    }

    fn cut(&self, cut: Cut) {
        self.state.lock().unwrap().cut = cut;
    }

    /// Waits until something did not get through.
    async fn has_cut(&self) {
        while !self.state.lock().unwrap().has_cut {
            Timer::after(LOOK_AGAIN).await;
        }
    }
}

impl State {
    fn passes(&mut self, datagram: &[u8]) -> bool {
        let is_handshake = datagram[0] & 0x80 != 0;
        let name = datagram[1..].get(..8).unwrap_or_default().to_vec();
        let passes = match self.cut {
            Cut::Nothing => true,
            Cut::OldConnections => is_handshake || !self.known.contains(&name),
            Cut::Handshakes => !is_handshake,
        };
        if !is_handshake && self.cut != Cut::OldConnections {
            self.known.insert(name);
        }
        self.has_cut |= !passes;
        passes
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often is looked again: many times as long as a connection has to be old.
const PATIENCE: usize = 500;

/// Members name addresses for themselves, and one that has many identities may name the
/// same one for all: that is nobody's, and hears next to nothing of the swarm.
#[test]
fn a_hundred_identities_do_not_aim_at_one_address() {
    smol::block_on(async {
        let (from, _) = endpoint(1);
        let (victim, at) = silence();
        let heard = Arc::new(Mutex::new(0));
        let counted = heard.clone();
        let _counting = smol::spawn(async move {
            let victim = Async::new(victim).unwrap();
            while victim.recv(&mut [0; 2048]).await.is_ok() {
                *counted.lock().unwrap() += 1;
            }
        });
        let links: Vec<PeerLink> = (0..100).map(|n| link(PeerId([n; 32]), &from, at)).collect();
        // Somebody asks for each again and again, for as long as ten attempts took.
        let patience = Instant::now() + Duration::from_secs(6);
        let asking = links.iter().map(|link| {
            let handle = link.handle();
            smol::spawn(async move {
                while Instant::now() < patience {
                    assert!(handle.connection().await.is_err(), "nobody is there");
                    Timer::after(Duration::from_millis(100)).await;
                }
            })
        });
        for asks in asking.collect::<Vec<_>>() {
            asks.await;
        }
        let heard = *heard.lock().unwrap();
        println!("{heard} datagrams");
        assert!((1..=AIMED).contains(&heard), "{heard} datagrams");
    });
}

/// Two attempts at once, and three rounds of them within the test's time.
const AIMED: usize = 24;

/// Where a key was taken away from one of two nodes of a machine, the other is still found.
#[test]
fn a_node_with_another_key_does_not_hinder_others_of_its_machine() {
    smol::block_on(async {
        let (ours, theirs) = (identity::new_key().unwrap(), identity::new_key().unwrap());
        let (a, _) = member(1, &ours);
        let ((b, b_id), (stranger, strange_id)) = (member(2, &ours), member(3, &theirs));
        let (_at_b, _listening) = listen(&b);
        let (_at_stranger, _strange) = listen(&stranger);
        let dialled = a.dial(strange_id, stranger.local_addr().unwrap()).await;
        assert!(dialled.unwrap_err().to_string().contains("certificate"));
        a.dial(b_id, b.local_addr().unwrap()).await.unwrap();
        let again = a.dial(strange_id, stranger.local_addr().unwrap()).await;
        assert!(again
            .unwrap_err()
            .to_string()
            .contains("tried again in 1 s"));
    });
}

/// An attempt that may have failed for the keys of before is none that others wait for in
/// vain, nor one after which the address rests.
#[test]
fn what_fails_while_keys_change_is_tried_once_more() {
    smol::block_on(async {
        let (a, _) = endpoint(1);
        let (nobody, at) = silence();
        let nobody = Async::new(nobody).unwrap();
        let mut attempts = BTreeSet::new();
        let hears = async {
            let mut buffer = [0; 2048];
            loop {
                nobody.recv(&mut buffer).await.unwrap();
                if attempts.is_empty() {
                    a.handle_keys();
                }
                // The name that the dialler has made up (RFC 9000, section 17.2).
                attempts.insert(buffer[6..14].to_vec());
            }
        };
        let dialled = future::or(a.dial(PeerId([2; 32]), at), hears).await;
        assert!(dialled.is_err());
        assert_eq!(attempts.len(), 2);
    });
}
