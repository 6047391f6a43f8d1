//! Finding others without a word of configuration: mDNS service discovery (RFC 6762 and
//! 6763).
//!
//! A tracker announces `_p2pmusic._tcp.local.` with its port, a peer
//! `_p2pmusic._udp.local.`, each with, as text, `v` (the protocol), `id` (its peer id)
//! and `name` (for people). Peers look for trackers, and for one another where no
//! tracker says which peers are here. What is found is a hint and nothing more: a node that
//! answers there still has to show a certificate of the swarm.
//!
//! Anybody near can announce more than is kept, and for years. Then all is forgotten
//! and asked for again, so that a node that is gone takes no place for ever.
//!
//! Without multicast nothing is found, which is said once; discovery goes on
//! trying, since a Pi's network comes up after its daemons.

mod announcement;
mod found;
mod heard;
mod shared;

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use async_channel::{Receiver, Sender};
use mdns_sd::{ServiceEvent, ServiceInfo};
use smol::{future, Timer};

use self::{announcement::PROTOCOL, found::AnnouncedServices, heard::news_of, shared::Daemon};
pub use self::{
    announcement::{Announcement, ServiceKind, Sighting},
    shared::Mdns,
};
use crate::interfaces::InterfaceChanges;

/// Announces what listens here, for as long as the future is kept; dropping it says
/// goodbye.
pub async fn announce(mdns: Mdns, what: Announcement) {
    let mut complaint = Complaint::default();
    loop {
        match Announced::new(&mdns, &what) {
            Ok(announced) => announced.daemon.end().await,
            Err(error) => complaint.make(&format!("announce the {}", what.kind.word()), &error),
        }
        Timer::after(RETRY).await;
    }
}

/// Looks for trackers for as long as the future is kept, and sends all their
/// addresses (`host:port`, the likeliest first) whenever they change. Ends
/// when nobody listens.
pub async fn look_for_trackers(mdns: Mdns, trackers: Sender<Vec<String>>) {
    let (found, lists) = async_channel::bounded(MAX_LISTS);
    let tell = |sighted: &AnnouncedServices, _: Sighting| {
        let (found, addresses) = (found.clone(), sighted.addresses());
        async move { found.send(addresses).await.is_ok() }
    };
    let looking = browse(&mdns, ServiceKind::Tracker, tell);
    future::or(looking, tell_together(lists, trackers)).await;
}

/// Looks for peers while they are `wanted`, and sends those that it finds and loses. Ends when
/// nobody listens, or can want it any more.
pub async fn look_for_peers(mdns: Mdns, wanted: Receiver<bool>, peers: Sender<Sighting>) {
    let mut is_wanted = false;
    loop {
        let next = async { wanted.recv().await.ok() };
        let looking = async {
            if is_wanted {
                let tell = |_: &AnnouncedServices, sighting| {
                    let peers = peers.clone();
                    async move { peers.send(sighting).await.is_ok() }
                };
                browse(&mdns, ServiceKind::Peer, tell).await;
                return None;
            }
            future::pending().await
        };
        match future::or(next, looking).await {
            Some(wants) => is_wanted = wants,
            None => return,
        }
    }
}

/// The nodes that announce themselves within `patience`, by name.
///
/// # Errors
/// When mDNS cannot be used here.
pub async fn look_around(
    mdns: &Mdns,
    kind: ServiceKind,
    patience: Duration,
) -> mdns_sd::Result<BTreeMap<String, Sighting>> {
    let mut browsing = Browsing::new(mdns, kind)?;
    let mut found = AnnouncedServices::new(kind);
    let listening = async {
        while let Ok(event) = browsing.next().await {
            found.handle(news_of(event));
        }
    };
    let rest = async { _ = Timer::after(patience).await };
    future::or(listening, rest).await;
    Ok(found.into_named())
}

/// Passes lists on, of those that come together the last. Each tracker answers in its own
/// time, and peers that began with the first would be with one here, with another
/// there.
async fn tell_together(lists: Receiver<Vec<String>>, to: Sender<Vec<String>>) {
    while let Ok(mut list) = lists.recv().await {
        Timer::after(TOGETHER).await;
        while let Ok(later) = lists.try_recv() {
            list = later;
        }
        if to.send(list).await.is_err() {
            return;
        }
    }
}

/// Tells what is found until nobody listens: all there is, and what of it has changed.
async fn browse<Told: Future<Output = bool>>(
    mdns: &Mdns,
    kind: ServiceKind,
    tell: impl Fn(&AnnouncedServices, Sighting) -> Told,
) {
    let mut complaint = Complaint::default();
    let mut found = AnnouncedServices::new(kind);
    loop {
        match Browsing::new(mdns, kind) {
            Ok(mut browsing) => {
                let mut answers = 0;
                while let Ok(event) = browsing.next().await {
                    if let Some(sighting) = found.handle(news_of(event)) {
                        if !tell(&found, sighting).await {
                            return;
                        }
                    }
                    answers += 1;
                    if found.is_crowded
                        || answers % LOOK_EVERY == 0 && browsing.daemon.is_flooded().await
                    {
                        log::debug!("mDNS is flooded with answers; beginning anew");
                        browsing.daemon.give_up();
                        break;
                    }
                }
            }
            Err(error) => complaint.make(&format!("look for {}s", kind.word()), &error),
        }
        for sighting in found.forget() {
            if !tell(&found, sighting).await {
                return;
            }
        }
        Timer::after(RETRY).await;
    }
}

/// A service that is announced until dropped.
struct Announced {
    daemon: Arc<Daemon>,
    full_name: String,
}

impl Announced {
    fn new(mdns: &Mdns, what: &Announcement) -> mdns_sd::Result<Self> {
        let Announcement { peer, port, .. } = *what;
        let daemon = mdns.daemon()?;
        // A host name of its own: the machine's belongs to whatever else
        // answers mDNS there.
        let host = format!("p2pmusic-{peer}.local.");
        let (id, name) = (peer.to_hex(), &what.name);
        let text = [("v", PROTOCOL), ("id", &id), ("name", name)];
        let instance = what.instance();
        let service = ServiceInfo::new(what.kind.service(), &instance, &host, "", port, &text[..])?;
        let service = service.enable_addr_auto();
        let full_name = service.get_fullname().to_owned();
        let announced = Self { daemon, full_name };
        announced.daemon.service.register(service)?;
        Ok(announced)
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Ok(done) = self.daemon.service.unregister(&self.full_name) {
            // The process may end next, and the daemon's thread with it.
            let _ = done.recv_timeout(GOODBYE_TIMEOUT);
        }
    }
}

struct Browsing {
    daemon: Arc<Daemon>,
    kind: ServiceKind,
    events: mdns_sd::Receiver<ServiceEvent>,
    changes: InterfaceChanges,
}

impl Browsing {
    fn new(mdns: &Mdns, kind: ServiceKind) -> mdns_sd::Result<Self> {
        let daemon = mdns.daemon()?;
        let events = daemon.service.browse(kind.service())?;
        Ok(Self {
            daemon,
            kind,
            events,
            changes: InterfaceChanges::watch(),
        })
    }

    /// What is heard next. Where this machine's network is not as before, all is asked for
    /// again: the library asks ever more seldom, in the end once an hour, and asks on a new
    /// interface but once, when that may not carry anything yet.
    async fn next(&mut self) -> mdns_sd::Result<ServiceEvent> {
        loop {
            let event = async { Some(self.events.recv_async().await) };
            let change = async {
                self.changes.next().await;
                None
            };
            let end = async {
                self.daemon.end().await;
                Some(Err(mdns_sd::RecvError::Disconnected))
            };
            match future::or(future::or(event, end), change).await {
                Some(event) => return event.map_err(|e| mdns_sd::Error::Msg(e.to_string())),
                // Takes the place of the one before.
                None => self.events = self.daemon.service.browse(self.kind.service())?,
            }
        }
    }
}

impl Drop for Browsing {
    fn drop(&mut self) {
        // When that fails the daemon has ended already.
        let _ = self.daemon.service.stop_browse(self.kind.service());
    }
}

/// Says what is wrong once, and after that only at the level debug.
#[derive(Default)]
struct Complaint(bool);

impl Complaint {
    fn make(&mut self, what: &str, error: &mdns_sd::Error) {
        if std::mem::replace(&mut self.0, true) {
            log::debug!("mDNS still cannot {what}: {error}");
        } else {
            log::warn!(
                "mDNS cannot {what}: {error}; trying on. \
                 `tracker = \"host\"` in [peer] needs no mDNS"
            );
        }
    }
}

/// Answers between two looks at how much is remembered.
const LOOK_EVERY: u32 = 64;
/// After an error, such as having no network.
const RETRY: Duration = Duration::from_secs(30);
/// A goodbye is one packet to each interface.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(300);
/// Lists of trackers that come together: in each is one more.
const MAX_LISTS: usize = 16;
/// A responder that has just answered is silent for a second (RFC 6762, section 6),
/// and is asked again after one (5.2): by then all have been heard.
const TOGETHER: Duration = Duration::from_millis(1500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trackers_that_answer_together_are_told_together() {
        let (found, lists) = async_channel::bounded(MAX_LISTS);
        let (to, told) = async_channel::bounded(1);
        let [cellar, attic] = ["cellar", "attic"].map(str::to_owned);
        smol::block_on(async {
            found.send(vec![cellar.clone()]).await.unwrap();
            let answers = async {
                found.send(vec![attic.clone(), cellar]).await.unwrap();
                told.recv().await.unwrap()
            };
            let told = future::or(answers, async {
                tell_together(lists, to).await;
                Vec::new()
            });
            assert_eq!(told.await[0], attic);
        });
    }
}
