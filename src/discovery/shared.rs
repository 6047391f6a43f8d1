//! The one mDNS daemon of a node, with its thread and its sockets, shared by all who
//! announce or look for something.
//!
//! It runs while somebody uses it. One that remembers too much is ended for all; each
//! then begins anew with the next.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_channel::{Receiver, Sender};
use mdns_sd::{IfKind, IfPredicate, ServiceDaemon};
use smol::{Task, Timer};

use crate::interfaces::{is_tunnel, is_virtual, Changes};

/// The way to the daemon. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mdns(Arc<Mutex<Weak<Daemon>>>);

/// A running daemon; it ends with the last who uses it.
pub struct Daemon {
    pub service: ServiceDaemon,
    /// Closed when it is given up.
    given_up: Receiver<()>,
    giving_up: Sender<()>,
    /// Has it look at this machine's network when that changes.
    _looking: Task<()>,
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
        let elsewhere = |name: &str| is_virtual(name) || is_tunnel(name);
        let elsewhere = IfPredicate::new(move |interface| elsewhere(&interface.name));
        service.disable_interface(IfKind::Predicate(elsewhere))?;
        service.set_ip_check_interval(LOOK_EVERY)?;
        let (giving_up, given_up) = async_channel::bounded(1);
        let daemon = Arc::new(Daemon {
            _looking: smol::spawn(look_at_changes(service.clone())),
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

/// Has `service` look at this machine's addresses as soon as they may be others.
async fn look_at_changes(service: ServiceDaemon) {
    let changes = Changes::watch();
    loop {
        changes.next().await;
        // It cannot be told to look now. Several looks do for an address of IPv6,
        // which cannot be spoken from before it is known that nobody else has it.
        let _ = service.set_ip_check_interval(LOOK_SOON);
        Timer::after(SETTLED).await;
        let _ = service.set_ip_check_interval(LOOK_EVERY);
    }
}

/// Seconds between looks at this machine's addresses that nothing is the reason of.
/// Each is a wake-up.
const LOOK_EVERY: u32 = 60;
/// Seconds: the shortest that there is.
const LOOK_SOON: u32 = 1;
/// Addresses of IPv6 are checked for one to two seconds.
const SETTLED: Duration = Duration::from_millis(3500);
