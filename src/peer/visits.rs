//! Connections that other peers open: which are let in, and which are closed for them.

use std::net::IpAddr;

use async_channel::{Receiver, Sender};
use smol::Task;

use super::{Input, Peer};
use crate::{
    id::PeerId,
    node::Event,
    swarm::{
        endpoint::{Endpoint, PeerConnection},
        guests::{self, GuestId, Verdict},
        provide,
    },
    util::work,
};

/// A connection that another peer opened, and the task that answers what comes over
/// it.
pub struct Visit {
    connection: PeerConnection,
    _serving: Task<()>,
}

impl Peer {
    /// The latest connection that `peer` has opened.
    pub(super) fn visiting(&self, peer: PeerId) -> Option<PeerConnection> {
        let mut visits = self.visits.values().rev();
        let visit = visits.find(|visit| visit.connection.peer == peer);
        visit.map(|visit| visit.connection.clone())
    }

    /// A peer has connected by itself: its link may use that connection, and for
    /// want of room another may have to go.
    pub(super) fn adopt(&mut self, connection: PeerConnection) {
        let guest = GuestId(self.next_id());
        let peer = connection.peer;
        if let Some(link) = self.links.get(&peer) {
            link.offer(connection.clone());
        }
        let (asks, to) = (self.asks_to.clone(), self.answer.clone());
        let served = connection.clone();
        let task = work::spawn(async move {
            provide::serve(served, asks).await;
            let _ = to.send(Input::Parted(guest)).await;
        });
        let visit = Visit {
            connection,
            _serving: task,
        };
        self.visits.insert(guest, visit);
        let is_listed = |peer| self.links.contains_key(&peer);
        let goes = self.guests.handle_connected(guest, peer, is_listed);
        if let Some(visit) = goes.and_then(|goes| self.visits.remove(&goes)) {
            log::debug!("no room for a connection of {}", visit.connection.peer);
            visit.connection.evict();
        }
    }
}

/// Accepts connections; each finishes its handshake in a task of its own. Those that
/// do not get that far are not worth a word.
pub async fn accept(endpoint: Endpoint, to: Sender<Input>) {
    let mut handshakes: Vec<(IpAddr, Task<()>)> = Vec::new();
    while let Some(knocking) = endpoint.accept().await {
        handshakes.retain(|(_, task)| !task.is_finished());
        let (from, is_proven) = (knocking.address, knocking.is_proven());
        let others = handshakes.iter().map(|(address, _)| *address);
        let accepting = match guests::admit(from, is_proven, others) {
            Verdict::Accept => knocking.accept(),
            Verdict::Retry => {
                knocking.prove();
                None
            }
            Verdict::Drop => {
                knocking.ignore();
                None
            }
        };
        let Some(accepting) = accepting else {
            continue;
        };
        let to = to.clone();
        let task = work::spawn(async move {
            if let Some(connection) = accepting.finish().await {
                let _ = to.send(Input::Connected(connection)).await;
            }
        });
        handshakes.push((from, task));
    }
}

/// Tells of where nodes of an older version are met.
pub async fn tell_of_older(met: Receiver<IpAddr>, to: Sender<Input>) {
    while let Ok(at) = met.recv().await {
        let _ = to.send(Input::Event(Event::Older(at))).await;
    }
}
