//! Connections that other peers open: which are let in, and which are closed for them.

use std::net::IpAddr;

use async_channel::{Receiver, Sender};
use smol::Task;

use super::{workbench::Workbench, Input};
use crate::{
    node::Event,
    swarm::{
        endpoint::{Endpoint, PeerConnection},
        guests::{self, GuestId, Verdict},
        provide,
    },
    util::{few::Few, work},
};

/// The connections that are open, each with the task that answers what comes over it.
#[derive(Default)]
pub struct Visits(Few<GuestId, Visit>);

struct Visit {
    connection: PeerConnection,
    _serving: Task<()>,
}

impl Visits {
    pub fn connection(&self, guest: GuestId) -> Option<PeerConnection> {
        self.0.get(guest).map(|visit| visit.connection.clone())
    }

    /// Answers what comes over a connection that another peer has opened.
    pub fn serve(&mut self, guest: GuestId, connection: PeerConnection, bench: &Workbench) {
        let (asks, to) = (bench.asks_to.clone(), bench.answer.clone());
        let served = connection.clone();
        let task = work::spawn(async move {
            provide::serve(served, asks).await;
            let _ = to.send(Input::Parted(guest)).await;
        });
        let visit = Visit {
            connection,
            _serving: task,
        };
        self.0.insert(guest, visit);
    }

    pub fn handle_parted(&mut self, guest: GuestId) {
        self.0.remove(guest);
    }

    pub fn evict(&mut self, guest: GuestId) {
        if let Some(visit) = self.0.remove(guest) {
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
