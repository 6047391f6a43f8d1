//! What a node says of itself by mDNS, and as what.

use std::net::SocketAddr;

use crate::id::PeerId;

/// What is announced.
#[derive(Clone, Debug)]
pub struct Announcement {
    pub kind: ServiceKind,
    /// For people.
    pub name: String,
    pub peer: PeerId,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// On TCP.
    Tracker,
    /// On UDP.
    Peer,
    /// A member that shows a code, on TCP; its id is of this one time.
    Pairing,
}

/// A peer, and where it announces itself; nowhere, when it does so no more.
pub type Sighting = (PeerId, Vec<SocketAddr>);

impl Announcement {
    /// What it is listed as where services are browsed.
    pub(super) fn instance(&self) -> String {
        match self.kind {
            ServiceKind::Tracker | ServiceKind::Pairing => tracker_instance(&self.name, self.peer),
            ServiceKind::Peer => format!("p2pmusic-{}", self.peer),
        }
    }
}

impl ServiceKind {
    /// At most 15 characters between underscore and dot (RFC 6335, section 5.1).
    pub(super) fn service(self) -> &'static str {
        match self {
            Self::Tracker => "_p2pmusic._tcp.local.",
            Self::Peer => "_p2pmusic._udp.local.",
            Self::Pairing => "_p2pmusic-pair._tcp.local.",
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Tracker => "tracker",
            Self::Peer => "peer",
            Self::Pairing => "speaker that shows a code",
        }
    }
}

/// What a tracker is listed as where services are browsed. Several of one name are no
/// conflict: two networks that become one would show but one of them.
///
/// In lower case, since `mdns-sd` looks a service up by its name in lower case, but not
/// everywhere: one with capitals is not announced a second time.
fn tracker_instance(name: &str, peer: PeerId) -> String {
    let id = format!(" {peer}");
    let mut name = name.to_lowercase();
    while name.len() + id.len() > MAX_LABEL_BYTES {
        name.pop();
    }
    name + &id
}

/// Of which protocol an announcement is. It is that of the oldest version that is answered in
/// words, so that nodes of all versions find each other, and say why they do not talk.
pub(super) const PROTOCOL: &str = "p2pmusic/1";

/// RFC 1035, section 2.3.4.
const MAX_LABEL_BYTES: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trackers_instance_is_its_own_and_fits() {
        let peer = PeerId([0xab; 32]);
        assert_eq!(tracker_instance("Küche 1.0", peer), "küche 1.0 abababab");
        let long = tracker_instance(&"Ü".repeat(31), peer);
        assert!(long.len() <= MAX_LABEL_BYTES && long.ends_with("üü abababab"));
    }

    #[test]
    fn a_peers_instance_is_its_id_and_services_have_names_that_fit() {
        let announcement = |kind| Announcement {
            kind,
            name: "Attic".into(),
            peer: PeerId([0xab; 32]),
            port: 1,
        };
        for (kind, instance) in [
            (ServiceKind::Tracker, "attic abababab"),
            (ServiceKind::Pairing, "attic abababab"),
            (ServiceKind::Peer, "p2pmusic-abababab"),
        ] {
            assert_eq!(announcement(kind).instance(), instance);
            let name = kind.service().strip_prefix('_').unwrap();
            assert!(name.find('.').is_some_and(|length| length <= 15), "{name}");
        }
    }
}
