//! The one mDNS daemon of a node, with its thread and its sockets, shared by all that
//! announce or look for something.
//!
//! It runs while somebody uses it. The library keeps each record for as long as its sender
//! says, and has no bound of its own: of services that are looked for it keeps all that came
//! in the same packet, of any owner, and tells of little of that. One that remembers too
//! much is ended for all; each then begins anew with the next.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_channel::{Receiver, Sender};
use mdns_sd::{IfKind, IfPredicate, ServiceDaemon};
use smol::{Task, Timer};

use crate::interfaces::{is_tunnel, is_virtual, InterfaceChanges};

use crate::util::work;

/// The way to the daemon. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mdns(Arc<Mutex<Weak<Daemon>>>);

/// A running daemon; it ends with the last user of it.
pub struct Daemon {
    pub service: ServiceDaemon,
    /// Closed when it is given up.
    given_up: Receiver<()>,
    giving_up: Sender<()>,
    /// Has it look at this machine's network when that changes.
    _looking: Task<()>,
    _counting: Task<()>,
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
            _looking: work::spawn(look_at_changes(service.clone())),
            _counting: work::spawn(count_records(service.clone(), giving_up.clone())),
            service,
            given_up,
            giving_up,
        });
        *running = Arc::downgrade(&daemon);
        Ok(daemon)
    }
}

impl Daemon {
    /// Ends it for all its users.
    pub fn give_up(&self) {
        self.giving_up.close();
    }

    /// Until it is given up.
    pub async fn end(&self) {
        // Nothing is ever sent: this fails when it is closed.
        let _ = self.given_up.recv().await;
    }

    /// Whether it remembers too much.
    pub async fn is_flooded(&self) -> bool {
        records(&self.service).await > MAX_RECORDS
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // When that fails it has ended already.
        let _ = self.service.shutdown();
    }
}

/// How many records `service` remembers.
async fn records(service: &ServiceDaemon) -> i64 {
    let Ok(metrics) = service.get_metrics() else {
        return 0;
    };
    let Ok(metrics) = metrics.recv_async().await else {
        return 0;
    };
    let cached = metrics.iter().filter(|(key, _)| key.starts_with("cached"));
    cached.map(|(_, count)| *count).sum()
}

/// Ends `service` for all by `giving_up` when it remembers too much. Much of that nobody
/// is told of, so only time can be the reason to look.
async fn count_records(service: ServiceDaemon, giving_up: Sender<()>) {
    let mut before = 0;
    loop {
        let count = records(&service).await;
        if count > MAX_RECORDS {
            log::debug!("mDNS is flooded with records; beginning anew");
            giving_up.close();
            return;
        }
        let grows = count > before + MAX_RECORDS / 16;
        before = count;
        Timer::after(if grows { COUNT_SOON } else { COUNT_EVERY }).await;
    }
}

/// Has `service` look at this machine's addresses as soon as they may be others.
async fn look_at_changes(service: ServiceDaemon) {
    let changes = InterfaceChanges::watch();
    loop {
        changes.next().await;
        // It cannot be told to look now. Several looks do for an address of IPv6,
        // which cannot be spoken from before it is known that nobody else has it.
        let _ = service.set_ip_check_interval(LOOK_SOON);
        Timer::after(SETTLED).await;
        let _ = service.set_ip_check_interval(LOOK_EVERY);
    }
}

/// Records of the neighbourhood's services: some for each tracker, peer and interface, and
/// many times that for broken ones. The longest fills a packet of 9 KB, which
/// makes it 18 MB.
const MAX_RECORDS: i64 = 2048;
/// Each is two wake-ups, of this process's and of the library's thread.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// While there are more each time.
const COUNT_SOON: Duration = Duration::from_millis(250);
/// Seconds between looks at this machine's addresses that nothing is the reason of.
/// Each is a wake-up.
const LOOK_EVERY: u32 = 60;
/// Seconds: the shortest that there is.
const LOOK_SOON: u32 = 1;
/// Addresses of IPv6 are checked for one to two seconds.
const SETTLED: Duration = Duration::from_millis(3500);
