//! This node's identity, and the certificates that it believes.
//!
//! Every member of a swarm has its [`SwarmKey`]: 32 secret bytes. From them
//! each derives the same certificate authority, bit for bit, and signs a leaf
//! certificate for its own Ed25519 key; both sides of both protocols show
//! theirs and check the other's. The leaf's public key is the node's
//! [`PeerId`]. So a node that has the swarm's key is a member and can add
//! members, but it cannot be another member.
//!
//! With several keys a node signs with the first and believes all: a swarm
//! changes its key by giving every node `new, old` and, once all have it,
//! taking `old` away.
//!
//! What must hold:
//! - TLS 1.3 only, a certificate on both sides, neither resumption nor 0-RTT.
//! - The clock is never asked (a Pi has none at boot): certificates are valid
//!   from 1970 to 9999 and are checked as of one fixed date between.
//! - A key that is taken away lets nobody in from the next handshake on. Peers that are in by
//!   it are put out by the owners of the connections, which ask [`Identity::believes`] again.
//! - Server names mean nothing. A client that wants a certain peer names its
//!   [`PeerId`].
//!
//! A swarm without a key is the same with [`SwarmKey::OPEN`] in its place.

mod authority;
mod crypto;
mod encoding;
mod key_file;
mod secret;
mod swarm_key;
mod tls;

use std::{path::Path, sync::Arc};

use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{Ed25519KeyPair, KeyPair},
};
use rustls::pki_types::CertificateDer;

use crate::id::{KeyMark, PeerId};

pub use encoding::BadKey;
pub use key_file::{read_keys, KeyFileError};
pub use secret::{give_to_owner_of, SecretError};
pub use swarm_key::SwarmKey;
pub use tls::{peer_of, SERVER_NAME};

/// This node's key pair, its certificate, and the authorities that it
/// believes. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    peer_id: PeerId,
    key: Arc<Ed25519KeyPair>,
    secret: [u8; 32],
    open: bool,
    credentials: tls::Credentials,
    /// What a person should know of it.
    notice: Option<Arc<str>>,
}

impl Identity {
    /// Loads the node's secret from `state_dir`, making it at the first
    /// start, and signs a certificate for it with the first of `keys`.
    ///
    /// # Errors
    /// When there is no key, or the secret can neither be read nor made; the
    /// text names the file.
    pub fn load(state_dir: &Path, keys: &[SwarmKey]) -> Result<Self, IdentityError> {
        let (secret, notice) = secret::load_or_make(state_dir)?;
        if let Some(notice) = &notice {
            log::warn!("{notice}");
        }
        Ok(Self {
            notice: notice.map(Into::into),
            ..Self::from_secret(&secret, keys)?
        })
    }

    /// Writes the secret again where it has been lost while the node runs; says then what a
    /// person should know of that: `Ok` when it is written, `Err` when it cannot be.
    pub fn write_again(&self, state_dir: &Path) -> Option<Result<String, String>> {
        secret::write_again(state_dir, &self.secret)
    }

    /// Makes the node in `state_dir` another one; gives its new id.
    ///
    /// # Errors
    /// When the new secret cannot be written; the text names the file.
    pub fn make_new(state_dir: &Path) -> Result<PeerId, IdentityError> {
        let secret = secret::replace(state_dir)?;
        Ok(Self::from_secret(&secret, &[SwarmKey::OPEN])?.peer_id())
    }

    /// The identity that belongs to an Ed25519 secret.
    ///
    /// # Errors
    /// [`IdentityError::NoKey`] when `keys` is empty.
    pub fn from_secret(secret: &[u8; 32], keys: &[SwarmKey]) -> Result<Self, IdentityError> {
        let key = Ed25519KeyPair::from_seed_unchecked(secret).expect("a seed is any 32 bytes");
        let public = key.public_key().as_ref();
        let peer_id = PeerId(
            public
                .try_into()
                .expect("an Ed25519 public key is 32 bytes"),
        );
        let (signer, _) = keys.split_first().ok_or(IdentityError::NoKey)?;
        let leaf = authority::leaf(signer, secret);
        let authorities: Vec<_> = keys.iter().map(authority::certificate).collect();
        Ok(Self {
            peer_id,
            key: Arc::new(key),
            secret: *secret,
            open: keys.contains(&SwarmKey::OPEN),
            credentials: tls::Credentials::new(leaf, secret, &authorities),
            notice: None,
        })
    }

    /// Shows a certificate by the first of `keys`, and believes all of them,
    /// from the next handshake on. Holds for all clones. Connections that were made
    /// before are for their owners to close, where [`Self::believes`] says no.
    ///
    /// # Errors
    /// When there is no key, or an open swarm would close or a closed one open.
    pub fn use_keys(&self, keys: &[SwarmKey]) -> Result<(), IdentityError> {
        let (signer, _) = keys.split_first().ok_or(IdentityError::NoKey)?;
        if keys.contains(&SwarmKey::OPEN) != self.open {
            return Err(IdentityError::Openness);
        }
        let authorities: Vec<_> = keys.iter().map(authority::certificate).collect();
        let leaf = authority::leaf(signer, &self.secret);
        self.credentials.replace(leaf, &authorities);
        Ok(())
    }

    /// Whether a key that is believed now has signed the certificate of `chain`.
    pub fn believes(&self, chain: &[CertificateDer<'_>]) -> bool {
        self.credentials.believes(chain)
    }

    /// Names the keys that are believed now.
    pub fn key_marks(&self) -> Vec<KeyMark> {
        self.credentials.marks()
    }

    /// Names the key that has signed the certificate of `chain`, if it is believed now.
    pub fn key_of(&self, chain: &[CertificateDer<'_>]) -> Option<KeyMark> {
        self.credentials.mark_of(chain)
    }

    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// What a person should know of it.
    pub fn notice(&self) -> Option<String> {
        self.notice.as_deref().map(str::to_owned)
    }

    /// Whether strangers are believed, too; then only what is near may be
    /// talked to (see [`crate::util::near`]).
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Signs with the node's own key (Ed25519).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.key.sign(message);
        signature
            .as_ref()
            .try_into()
            .expect("an Ed25519 signature is 64 bytes")
    }

    /// For the tracker's client. With `expect` the handshake fails unless it
    /// is that peer that answers.
    pub fn tls_client_config(&self, expect: Option<PeerId>) -> Arc<rustls::ClientConfig> {
        Arc::new(self.credentials.client(expect))
    }

    /// For the tracker.
    pub fn tls_server_config(&self) -> Arc<rustls::ServerConfig> {
        Arc::new(self.credentials.server())
    }

    /// For dialling a peer; dial by the name [`SERVER_NAME`]. The transport's
    /// settings are the caller's.
    pub fn quic_client_config(&self, expect: Option<PeerId>) -> quinn::ClientConfig {
        let tls = self.credentials.client(expect);
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls);
        quinn::ClientConfig::new(Arc::new(crypto.expect(tls::AES_128_IS_LISTED)))
    }

    /// For being dialled. The transport's settings are the caller's.
    pub fn quic_server_config(&self) -> quinn::ServerConfig {
        let tls = self.credentials.server();
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls);
        quinn::ServerConfig::with_crypto(Arc::new(crypto.expect(tls::AES_128_IS_LISTED)))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.peer_id)
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("an identity needs a swarm's key")]
    NoKey,
    #[error("an open swarm does not become a closed one, or the other way round, while it runs")]
    Openness,
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// The operating system's randomness failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no randomness")]
pub struct NoRandomness;

/// Makes a new key for a swarm.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn new_key() -> Result<SwarmKey, NoRandomness> {
    random().map(SwarmKey)
}

fn random() -> Result<[u8; 32], NoRandomness> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_round_trips_as_text_and_is_not_in_its_debug_form() {
        let key = new_key().unwrap();
        let text = key.to_string();
        assert_eq!(SwarmKey::parse(&text).unwrap(), key);
        assert_eq!(format!("{key:?}"), "SwarmKey(secret)");
        assert_ne!(new_key().unwrap(), key);
    }

    #[test]
    fn a_node_keeps_its_identity_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::load(dir.path(), &[SwarmKey::OPEN]).unwrap();
        let again = Identity::load(dir.path(), &[SwarmKey::OPEN]).unwrap();
        assert_eq!(first.peer_id(), again.peer_id());
        let public =
            ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, first.peer_id().0);
        public.verify(b"a head", &again.sign(b"a head")).unwrap();
    }
}
