//! The certificates: the authority that every member derives from the
//! swarm's key, and the leaves that it signs.
//!
//! The authority's certificate is the same bytes on every node: its key is
//! derived, its serial number and its dates are fixed, and Ed25519 signs the
//! same way each time.

use rcgen::{
    date_time_ymd, BasicConstraints, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PublicKeyData, SignatureAlgorithm,
    SigningKey, PKCS_ED25519,
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::SwarmKey;

/// The self-signed certificate of `key`'s authority.
pub fn certificate(key: &SwarmKey) -> CertificateDer<'static> {
    let pair = key_pair(&authority_secret(key));
    let certificate = authority_params(key).self_signed(&pair);
    certificate.expect(ALL_IS_FIXED).der().clone()
}

/// A certificate for the node that has `secret`, signed by `key`'s authority.
pub fn leaf(key: &SwarmKey, secret: &[u8; 32]) -> CertificateDer<'static> {
    let issuer = Issuer::new(authority_params(key), key_pair(&authority_secret(key)));
    let mut params = params("p2pmusic node");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    let certificate = params.signed_by(&key_pair(secret), &issuer);
    certificate.expect(ALL_IS_FIXED).der().clone()
}

/// An Ed25519 secret as a PKCS #8 document (RFC 8410, section 7).
pub fn pkcs8(secret: &[u8; 32]) -> PrivatePkcs8KeyDer<'static> {
    [PKCS8_ED25519_PREFIX, secret].concat().into()
}

fn authority_params(key: &SwarmKey) -> CertificateParams {
    // Distinct names spare a verifier that believes several authorities the
    // signature checks against the others.
    let name = blake3::derive_key(NAME_CONTEXT, &key.0);
    let digits: String = name[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut params = params(&format!("p2pmusic swarm {digits}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

/// What both kinds of certificate have in common.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(1.into());
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31);
    params
}

fn authority_secret(key: &SwarmKey) -> [u8; 32] {
    blake3::derive_key(AUTHORITY_CONTEXT, &key.0)
}

fn key_pair(secret: &[u8; 32]) -> CertificateKey {
    CertificateKey(Ed25519KeyPair::from_seed_unchecked(secret).expect("a seed is any 32 bytes"))
}

/// What signs a certificate. The key pair of rcgen can be of any kind, and brings the code of
/// all of them.
struct CertificateKey(Ed25519KeyPair);

impl PublicKeyData for CertificateKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for CertificateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

const ALL_IS_FIXED: &str = "nothing in the certificate's parameters comes from outside";
const AUTHORITY_CONTEXT: &str = "p2pmusic 2024 Ed25519 secret of the swarm's authority";
const NAME_CONTEXT: &str = "p2pmusic 2024 public name of the swarm's authority";

/// SEQUENCE of version 0, the algorithm id-Ed25519, and the secret as an
/// OCTET STRING within an OCTET STRING.
const PKCS8_ED25519_PREFIX: &[u8] = &[
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_derives_the_same_authority() {
        let key = SwarmKey([7; 32]);
        assert_eq!(certificate(&key), certificate(&key));
        assert_ne!(certificate(&key), certificate(&SwarmKey([8; 32])));
    }

    /// A changed byte here shuts every older version out of the swarm.
    #[test]
    fn the_open_swarms_authority_stays_what_it_is() {
        let hash = blake3::hash(&certificate(&SwarmKey::OPEN));
        assert_eq!(&hash.to_hex()[..16], "31f49c926f6b9c51");
    }
}
