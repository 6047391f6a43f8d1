//! This machine's own network, which comes and goes under the daemon: a Pi is
//! up before its Wi-Fi, roams, and is given other addresses.

use std::net::IpAddr;

use async_channel::Sender;

use crate::{
    interfaces::{self, InterfaceChanges},
    node::{Event, Interfaces},
    peer::Handle,
    swarm::endpoint::Endpoint,
    tracker::link::LinkCommand,
};

/// The network as it is at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkView {
    pub interfaces: Interfaces,
    /// Where others may reach this node: all, since which of them a connection
    /// comes from is the kernel's choice.
    addresses: Vec<IpAddr>,
}

impl NetworkView {
    /// Looks at the interfaces, as a node that listens on `bound` sees them.
    pub fn look(bound: IpAddr) -> Self {
        let addresses = interfaces::outer_addresses();
        Self {
            interfaces: Interfaces {
                subnets: interfaces::subnets(),
                scopes: interfaces::scopes(),
                are_down: addresses.is_empty() && !bound.is_loopback(),
                narrow: match bound.is_loopback() {
                    true => Vec::new(),
                    false => interfaces::narrow(),
                },
            },
            addresses,
        }
    }
}

/// Tells everybody concerned when the network is not what was `known` any
/// more. Goes on until it is dropped.
pub async fn follow(
    bound: IpAddr,
    mut known: NetworkView,
    endpoint: Endpoint,
    peer: Handle,
    tracker: Sender<LinkCommand>,
) {
    let changes = InterfaceChanges::watch();
    loop {
        let found = NetworkView::look(bound);
        if found == known {
            changes.next().await;
            continue;
        }
        let interfaces = found.interfaces.clone();
        endpoint.set_subnets(interfaces.subnets.clone());
        if known.addresses != found.addresses {
            log::info!("this machine's addresses are {:?} now", found.addresses);
            // Without a tracker to be there is nobody to tell.
            let _ = tracker.send(LinkCommand::Moved).await;
        }
        if known.interfaces != interfaces {
            peer.tell(Event::Interfaces(interfaces)).await;
        }
        known = found;
    }
}
