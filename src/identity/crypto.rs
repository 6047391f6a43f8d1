//! What the swarm's TLS is made of, one of each kind. rustls' list of all that ring can
//! brings two more curves and RSA into the binary, 0.3 MB that no handshake of the swarm uses.

use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::{
    crypto::{
        ring as provider, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom,
        WebPkiSupportedAlgorithms,
    },
    pki_types::PrivateKeyDer,
    sign::SigningKey,
    Error, SignatureScheme, SupportedCipherSuite,
};
use webpki::ring::ED25519;

/// One key exchange, one kind of signature, and first the cipher that this CPU does well: a Pi
/// before the fifth has no AES instructions, and ChaCha20 is then several
/// times as fast.
pub fn crypto() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: if has_aes() {
            vec![AES_128, CHACHA20]
        } else {
            vec![CHACHA20, AES_128]
        },
        kx_groups: vec![provider::kx_group::X25519],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Ring,
        key_provider: &Ring,
    }
}

pub fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// ring as rustls asks for it.
#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        SystemRandom::new().fill(bytes).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        provider::sign::any_eddsa_type(&match key {
            PrivateKeyDer::Pkcs8(key) => key,
            _ => return Err(Error::General(NOT_PKCS8.into())),
        })
    }
}

const NOT_PKCS8: &str = "a key of this swarm is a PKCS #8 document";
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[ED25519],
    mapping: &[(SignatureScheme::ED25519, &[ED25519])],
};
const AES_128: SupportedCipherSuite = provider::cipher_suite::TLS13_AES_128_GCM_SHA256;
const CHACHA20: SupportedCipherSuite = provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256;
