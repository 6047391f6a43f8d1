//! The one mDNS daemon of a node, with its thread and its sockets, shared by all who
//! announce or look for something.
//!
//! It runs while somebody uses it. One that remembers too much is ended for all; each
//! then begins anew with the next.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_channel::{Receiver, Sender};
use mdns_sd::{IfKind, IfPredicate, ServiceDaemon};

use crate::interfaces::is_virtual;

/// The way to the daemon. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mdns(Arc<Mutex<Weak<Daemon>>>);

/// A running daemon; it ends with the last who uses it.
pub struct Daemon {
    pub service: ServiceDaemon,
    /// Closed when it is given up.
    given_up: Receiver<()>,
    giving_up: Sender<()>,
}

impl Mdns {
    /// The daemon, started if need be.
    pub fn daemon(&self) -> mdns_sd::Result<Arc<Daemon>> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = running
            .upgrade()
            .filter(|daemon| !daemon.given_up.is_closed());
        if let Some(daemon) = usable {
            return Ok(daemon);
        }
        let service = ServiceDaemon::new()?;
        let containers = IfPredicate::new(|interface| is_virtual(&interface.name));
        service.disable_interface(IfKind::Predicate(containers))?;
        service.set_ip_check_interval(LOOK_EVERY)?;
        let (giving_up, given_up) = async_channel::bounded(1);
        let daemon = Arc::new(Daemon {
            service,
            given_up,
            giving_up,
        });
        *running = Arc::downgrade(&daemon);
        Ok(daemon)
    }
}

impl Daemon {
    /// Ends it for all who use it.
    pub fn give_up(&self) {
        self.giving_up.close();
    }

    /// Until it is given up.
    pub async fn end(&self) {
        // Nothing is ever sent: this fails when it is closed.
        let _ = self.given_up.recv().await;
    }

    /// Whether it remembers more than `records`: it keeps each for as long as its
    /// sender says, and has no bound of its own.
    pub async fn remembers_more_than(&self, records: i64) -> bool {
        let Ok(metrics) = self.service.get_metrics() else {
            return false;
        };
        let Ok(metrics) = metrics.recv_async().await else {
            return false;
        };
        let cached = metrics.iter().filter(|(key, _)| key.starts_with("cached"));
        cached.map(|(_, count)| *count).sum::<i64>() > records
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // When that fails it has ended already.
        let _ = self.service.shutdown();
    }
}

/// Seconds between looks at this machine's addresses: each is a wake-up, and a lease,
/// after which a peer that moves would be gone, is as long.
const LOOK_EVERY: u32 = 15;
