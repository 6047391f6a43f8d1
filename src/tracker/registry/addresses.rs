//! Where a peer may answer.

use std::net::{IpAddr, SocketAddr};

use crate::{
    protocol::{Candidate, Registration},
    util::near::{is_near, Subnet},
};

/// Where others may reach the peer that registered from `seen`; what the
/// tracker saw comes first. At most one more than the registration has.
///
/// What it saw is proven by the handshake. What a peer says besides is believed where it is
/// near, seen from the tracker: so nobody has a swarm dial somebody on the Internet.
pub fn candidates(
    registration: &Registration,
    seen: IpAddr,
    (tracker_addresses, subnets): (&[IpAddr], &[Subnet]),
) -> Vec<Candidate> {
    let port = registration.port;
    // Role `both` registers from 127.0.0.1, which is somebody else's own
    // address as soon as it is told to them.
    let with_tracker = seen.is_loopback() || tracker_addresses.contains(&seen);
    let first = if with_tracker {
        Candidate::WithTracker { port }
    } else {
        Candidate::At(SocketAddr::new(seen, port))
    };
    let mut candidates = vec![first];
    for address in &registration.candidates {
        let address = address.to_canonical();
        let candidate = Candidate::At(SocketAddr::new(address, port));
        if is_dialable(address) && is_near(address, subnets) && !candidates.contains(&candidate) {
            candidates.push(candidate);
        }
    }
    candidates
}

/// Whether `address` can be one node's address as others see it.
fn is_dialable(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_start_with_what_the_tracker_saw() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let at = |text: &str| Candidate::At(SocketAddr::new(ip(text), 4670));
        let with_tracker = Candidate::WithTracker { port: 4670 };
        let own = [ip("192.168.1.2")];
        let listed = [
            "192.168.1.7",
            "fe80::7",
            "127.0.0.1",
            "::ffff:192.168.1.7",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "203.0.113.9",
            "2001:db8:1::9",
            "2001:db8:2::9",
        ];
        let subnets = [Subnet::new(ip("2001:db8:1::1"), 64)];
        let global = at("2001:db8:1::9");
        let registration = Registration {
            name: "kitchen".into(),
            name_chosen: false,
            port: 4670,
            candidates: listed.map(ip).to_vec(),
        };
        let (lan, link) = (at("192.168.1.7"), at("fe80::7"));
        for (seen, expected) in [
            ("192.168.1.7", vec![lan, link, global]),
            ("10.0.0.1", vec![at("10.0.0.1"), lan, link, global]),
            ("203.0.113.9", vec![at("203.0.113.9"), lan, link, global]),
            ("127.0.0.1", vec![with_tracker, lan, link, global]),
            ("192.168.1.2", vec![with_tracker, lan, link, global]),
        ] {
            assert_eq!(
                candidates(&registration, ip(seen), (&own, &subnets)),
                expected,
                "{seen}"
            );
        }
    }
}
