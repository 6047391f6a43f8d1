//! How connections are named, so that those of an earlier life can be ended.

use std::{sync::Arc, time::Duration};

use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use ring::{
    hmac,
    rand::{self, SystemRandom},
};

use crate::identity::Identity;

/// Keys that outlive the process: a node that is back after a crash or a power cut can
/// then tell its neighbours at once that their old connections are dead
/// (stateless reset, RFC 9000, section 10.3), instead of leaving them to their
/// timeouts.
pub fn endpoint_config(identity: &Identity) -> EndpointConfig {
    // A signature that is shown to nobody, and the same at every start.
    let secret = identity.sign(RESET_LABEL);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let mut config = EndpointConfig::new(Arc::new(key));
    config.cid_generator(|| Box::new(RandomIds(SystemRandom::new())));
    config
}

/// Names connections by chance. Those that quinn makes by default are marked
/// with a key of the process: of what was named before, the next process does
/// not say that it is dead.
struct RandomIds(SystemRandom);

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let id: [u8; ID_BYTES] = rand::generate(&self.0)
            .expect("without random numbers there was no handshake to name")
            .expose();
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// What is signed for the endpoint's keys; nothing else that is signed begins
/// so.
const RESET_LABEL: &[u8] = b"p2pmusic/1 stateless reset";

/// As quinn's own: two of 2^64 are never the same.
const ID_BYTES: usize = 8;
