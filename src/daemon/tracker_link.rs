//! The link to the trackers, and where these are looked for.

use std::net::SocketAddr;

use async_channel::{Receiver, Sender};
use smol::{future, Task};

use super::{introduce::seed, BoundTracker};
use crate::{
    config::TrackerAt,
    discovery::{self, Mdns},
    identity::Identity,
    interfaces,
    tracker::{
        client,
        link::{Introduction, LinkCommand, TrackerEvent},
    },
    util::near::is_near,
    util::work,
};

/// Where the tracker is wanted to be.
pub struct TrackerTarget {
    /// Where it is wanted from then on.
    next: Receiver<TrackerAt>,
    /// Where the one of this node is.
    own: Option<SocketAddr>,
    /// Whether there is a network on which others can be.
    may_seek: bool,
    mdns: Mdns,
}

impl TrackerTarget {
    /// Where `next` says.
    pub fn new(next: Receiver<TrackerAt>, mdns: Mdns) -> Self {
        Self {
            next,
            own: None,
            may_seek: true,
            mdns,
        }
    }

    /// The same, and before those this node's `own` one.
    pub fn beside(self, own: &BoundTracker) -> Self {
        Self {
            own: Some(own.here()),
            may_seek: own.is_seen(),
            ..self
        }
    }
}

/// Starts the link to the tracker. The task does not end before the node
/// does.
pub fn link_to_tracker(
    identity: &Identity,
    introduction: Introduction,
    wanted: TrackerTarget,
) -> (Sender<LinkCommand>, Receiver<TrackerEvent>, Task<()>) {
    let (commands, orders) = async_channel::bounded(MAX_TRACKER_COMMANDS);
    let (events, told) = async_channel::bounded(MAX_TRACKER_EVENTS);
    let run = client::run(
        identity.clone(),
        introduction,
        seed(identity),
        orders,
        events,
    );
    let run = future::or(run, find_trackers(wanted, commands.clone()));
    (commands, told, work::spawn(run))
}

/// Tells the link where the tracker is, as often as that changes.
async fn find_trackers(wanted: TrackerTarget, to: Sender<LinkCommand>) {
    let next = || async {
        match wanted.next.recv().await {
            Ok(next) => next,
            // Nobody is there to want anything else.
            Err(_) => future::pending().await,
        }
    };
    let mut now = next().await;
    loop {
        let known = match (&now, wanted.own) {
            (TrackerAt::Auto, None) => LinkCommand::Seek,
            (TrackerAt::Auto, Some(own)) => LinkCommand::Configured(vec![own.to_string()]),
            (TrackerAt::None, _) => LinkCommand::Configured(Vec::new()),
            (TrackerAt::These(hosts), _) => {
                LinkCommand::Configured(hosts.iter().map(ToString::to_string).collect())
            }
        };
        // Beside its own it registers with the others that there are.
        let seek = now == TrackerAt::Auto && wanted.may_seek;
        let _ = to.send(known).await;
        let looking = async {
            match seek {
                true => look_for_trackers(wanted.mdns.clone(), to.clone()).await,
                false => future::pending().await,
            }
        };
        now = future::or(next(), looking).await;
    }
}

/// Tells the link of the trackers that announce themselves.
async fn look_for_trackers<T>(mdns: Mdns, to: Sender<LinkCommand>) -> T {
    let (found, lists) = async_channel::bounded(1);
    let pass_on = async {
        while let Ok(trackers) = lists.recv().await {
            let mut trackers: Vec<String> = trackers;
            // Multicast comes from the home's networks, and tells of those.
            let subnets = interfaces::subnets();
            trackers.retain(|at| {
                let at = at.parse::<SocketAddr>();
                at.is_ok_and(|at| is_near(at.ip(), &subnets))
            });
            let _ = to.send(LinkCommand::Trackers(trackers)).await;
        }
    };
    future::or(discovery::look_for_trackers(mdns, found), pass_on).await;
    // Without mDNS the link goes on with what it knows.
    future::pending().await
}

/// What the node may tell the link ahead of it.
const MAX_TRACKER_COMMANDS: usize = 64;
/// What the tracker may say ahead of the node.
const MAX_TRACKER_EVENTS: usize = 64;
