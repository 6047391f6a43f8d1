//! TLS 1.3 the way the swarm uses it: see the room's own prose.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, ResolvesClientCert, Resumption,
    },
    crypto::{ring::sign::any_eddsa_type, verify_tls13_signature, CryptoProvider},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        danger::{ClientCertVerified, ClientCertVerifier},
        ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert,
        WebPkiClientVerifier,
    },
    sign::CertifiedKey,
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    PeerIncompatible, RootCertStore, ServerConfig, SignatureScheme,
};

use super::{
    authority,
    crypto::{crypto, has_aes},
};
use crate::{
    id::{KeyMark, PeerId},
    protocol::{ALPN, OLDER_ALPN},
};

/// The name to dial by, where an API wants one; it is neither sent nor
/// checked.
pub const SERVER_NAME: &str = "p2pmusic";

/// Whose certificate chain this is: the leaf's Ed25519 key, or `None` where
/// it has no such key.
pub fn peer_of(chain: &[CertificateDer<'_>]) -> Option<PeerId> {
    let leaf = ParsedCertificate::try_from(chain.first()?).ok()?;
    peer_of_key(&leaf.subject_public_key_info())
}

/// What every handshake of this node needs. Clones, and the configurations made
/// of them, share it: what is replaced holds for the next handshake of each.
#[derive(Clone)]
pub struct Credentials {
    provider: Arc<CryptoProvider>,
    own: Arc<Own>,
    members: Arc<Members>,
}

impl Credentials {
    /// `leaf` is the certificate of the Ed25519 `secret`.
    pub fn new(
        leaf: CertificateDer<'static>,
        secret: &[u8; 32],
        authorities: &[CertificateDer<'static>],
    ) -> Self {
        let provider = Arc::new(crypto());
        let signer = any_eddsa_type(&authority::pkcs8(secret))
            .expect("the document is well-formed and a seed is any 32 bytes");
        Self {
            own: Arc::new(Own(Replaceable::new(CertifiedKey::new(vec![leaf], signer)))),
            members: Arc::new(Members {
                trust: Replaceable::new(Trust::new(authorities, &provider)),
                provider: provider.clone(),
            }),
            provider,
        }
    }

    /// Shows `leaf`, a certificate of the same secret, and believes
    /// `authorities` from now on. What is connected stays so until its owner asks
    /// [`Self::believes`] again.
    pub fn replace(&self, leaf: CertificateDer<'static>, authorities: &[CertificateDer<'static>]) {
        let signer = self.own.0.get().key.clone();
        self.own.0.set(CertifiedKey::new(vec![leaf], signer));
        let trust = Trust::new(authorities, &self.provider);
        self.members.trust.set(trust);
    }

    /// Whether an authority that is believed now has signed the first of `chain`.
    pub fn believes(&self, chain: &[CertificateDer<'_>]) -> bool {
        let leaf = chain.first().map(ParsedCertificate::try_from);
        matches!(leaf, Some(Ok(leaf)) if self.members.verify_server(&leaf).is_ok())
    }

    /// Names the authorities that are believed now.
    pub fn marks(&self) -> Vec<KeyMark> {
        let trust = self.members.trust.get();
        trust.authorities.iter().map(mark).collect()
    }

    /// Names the authority that has signed the first of `chain`, if that is believed now.
    pub fn mark_of(&self, chain: &[CertificateDer<'_>]) -> Option<KeyMark> {
        let leaf = ParsedCertificate::try_from(chain.first()?).ok()?;
        let trust = self.members.trust.get();
        let signs = |authority: &&CertificateDer<'static>| {
            let alone = Trust::new(std::slice::from_ref(*authority), &self.provider);
            self.members.verify_by(&leaf, &alone).is_ok()
        };
        trust.authorities.iter().find(signs).map(mark)
    }

    pub fn client(&self, expect: Option<PeerId>) -> ClientConfig {
        let verifier = Expecting {
            members: self.members.clone(),
            expect,
        };
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(TLS_13)
            .expect(TLS_13_IS_SUPPORTED)
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(self.own.clone());
        config.alpn_protocols = vec![ALPN.into(), OLDER_ALPN.into()];
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        config
    }

    pub fn server(&self) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(TLS_13)
            .expect(TLS_13_IS_SUPPORTED)
            .with_client_cert_verifier(self.members.clone())
            .with_cert_resolver(self.own.clone());
        config.alpn_protocols = vec![ALPN.into(), OLDER_ALPN.into()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // The side without AES instructions has its way.
        config.ignore_client_order = !has_aes();
        config
    }
}

/// Something that is looked at often and replaced seldom. Its lock is held for
/// as long as it takes to copy a pointer.
#[derive(Debug)]
struct Replaceable<T>(RwLock<Arc<T>>);

impl<T> Replaceable<T> {
    fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    fn get(&self) -> Arc<T> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// The certificate of an authority is the same for all holders of its key.
fn mark(authority: &CertificateDer<'static>) -> KeyMark {
    let hash = blake3::hash(authority);
    KeyMark(*hash.as_bytes().first_chunk().unwrap_or(&[0; 16]))
}

/// The certificate that this node shows.
#[derive(Debug)]
struct Own(Replaceable<CertifiedKey>);

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.get())
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.get())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Believes a node that shows a leaf that one of the authorities signed.
#[derive(Debug)]
struct Members {
    trust: Replaceable<Trust>,
    provider: Arc<CryptoProvider>,
}

/// The authorities that are believed.
#[derive(Debug)]
struct Trust {
    authorities: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Trust {
    fn new(authorities: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots
                .add(authority.clone())
                .expect("an authority that this node made is well-formed");
        }
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .clear_root_hint_subjects()
            .build()
            .expect("there is an authority, and no revocation list to be malformed");
        let authorities = authorities.to_vec();
        Self {
            authorities,
            roots,
            clients,
        }
    }
}

impl Members {
    fn verify_server(&self, leaf: &ParsedCertificate<'_>) -> Result<(), Error> {
        self.verify_by(leaf, &self.trust.get())
    }

    fn verify_by(&self, leaf: &ParsedCertificate<'_>, trust: &Trust) -> Result<(), Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(leaf, &trust.roots, &[], ANY_DATE, algorithms)
    }

    fn verify_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }
}

impl ClientCertVerifier for Members {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let trust = self.trust.get();
        let verified = trust.clients.verify_client_cert(leaf, &[], ANY_DATE)?;
        expect_peer(&ParsedCertificate::try_from(leaf)?, None)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// A client's view of the members, of which it may want a certain one.
#[derive(Debug)]
struct Expecting {
    members: Arc<Members>,
    expect: Option<PeerId>,
}

impl ServerCertVerifier for Expecting {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = ParsedCertificate::try_from(leaf)?;
        self.members.verify_server(&leaf)?;
        expect_peer(&leaf, self.expect)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.members.verify_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

fn expect_peer(leaf: &ParsedCertificate<'_>, expect: Option<PeerId>) -> Result<(), Error> {
    let peer = peer_of_key(&leaf.subject_public_key_info()).ok_or(CertificateError::BadEncoding)?;
    if expect.is_some_and(|expect| expect != peer) {
        return Err(CertificateError::ApplicationVerificationFailure.into());
    }
    Ok(())
}

fn peer_of_key(key: &SubjectPublicKeyInfoDer<'_>) -> Option<PeerId> {
    let public = key.strip_prefix(SPKI_ED25519_PREFIX)?;
    public.try_into().ok().map(PeerId)
}

/// Within every certificate's validity.
const ANY_DATE: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_000_000_000));
const TLS_13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
const TLS_13_IS_SUPPORTED: &str = "the provider's suites are those of TLS 1.3";
/// QUIC protects its first packets with this suite (RFC 9001, section 5.2).
pub const AES_128_IS_LISTED: &str = "AES-128-GCM is among the provider's suites";

/// SEQUENCE of the algorithm id-Ed25519 and a BIT STRING of 32 bytes (RFC
/// 8410, section 4).
const SPKI_ED25519_PREFIX: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Identity, SwarmKey};

    const OURS: SwarmKey = SwarmKey([1; 32]);
    const THEIRS: SwarmKey = SwarmKey([2; 32]);

    fn node(n: u8, keys: &[SwarmKey]) -> Identity {
        Identity::from_secret(&[n; 32], keys).unwrap()
    }

    /// Shakes hands in memory; each side then knows the other.
    fn shake(
        client: Arc<ClientConfig>,
        server: Arc<ServerConfig>,
    ) -> Result<(Option<PeerId>, Option<PeerId>), Error> {
        let name = SERVER_NAME.try_into().unwrap();
        let mut client = rustls::ClientConnection::new(client, name)?;
        let mut server = rustls::ServerConnection::new(server)?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets()?;
        }
        let of = |certs: Option<&[CertificateDer<'_>]>| certs.and_then(peer_of);
        Ok((
            of(client.peer_certificates()),
            of(server.peer_certificates()),
        ))
    }

    fn meet(client: &Identity, server: &Identity) -> Result<(), Error> {
        let peers = shake(client.tls_client_config(None), server.tls_server_config())?;
        assert_eq!(peers, (Some(server.peer_id()), Some(client.peer_id())));
        Ok(())
    }

    #[test]
    fn members_learn_each_others_ids() {
        meet(&node(3, &[OURS]), &node(4, &[OURS])).unwrap();
    }

    #[test]
    fn strangers_are_refused_by_either_side() {
        let (ours, theirs) = (node(3, &[OURS]), node(4, &[THEIRS]));
        meet(&ours, &theirs).unwrap_err();
        // A server that trusts both lets in no client that does not trust it.
        meet(&ours, &node(5, &[THEIRS, OURS])).unwrap_err();
        // A client that trusts both is not let in by a server of the other.
        meet(&node(5, &[OURS, THEIRS]), &theirs).unwrap_err();
    }

    #[test]
    fn a_swarm_changes_its_key_one_node_at_a_time() {
        let (new, old) = (THEIRS, OURS);
        let stages = [
            vec![old.clone()],
            vec![old.clone(), new.clone()],
            vec![new.clone(), old.clone()],
            vec![new],
        ];
        for pair in stages.windows(2) {
            let (a, b) = (node(3, &pair[0]), node(4, &pair[1]));
            meet(&a, &b).unwrap();
            meet(&b, &a).unwrap();
        }
    }

    #[test]
    fn a_node_changes_its_keys_while_it_runs() {
        let (new, old) = (THEIRS, OURS);
        let (a, b) = (
            node(3, std::slice::from_ref(&old)),
            node(4, std::slice::from_ref(&old)),
        );
        // Listener and client made their configurations long ago; what they may have kept
        // of a session (tickets) lets nobody in again.
        let listening = a.tls_server_config();
        let dialling = b.tls_client_config(None);
        let stages = [
            vec![old.clone(), new.clone()],
            vec![new.clone(), old],
            vec![new],
        ];
        for keys in stages {
            for changed in [&a, &b] {
                changed.use_keys(&keys).unwrap();
                let peers = shake(dialling.clone(), listening.clone()).unwrap();
                assert_eq!(peers, (Some(a.peer_id()), Some(b.peer_id())));
                meet(&a, &b).unwrap();
            }
        }
        b.use_keys(&[OURS]).unwrap();
        shake(dialling, listening).unwrap_err();
        b.use_keys(&[THEIRS]).unwrap();
        meet(&node(5, &[OURS]), &a).unwrap_err();
        a.use_keys(&[SwarmKey::OPEN]).unwrap_err();
        a.use_keys(&[]).unwrap_err();
        meet(&a, &b).unwrap();
    }

    #[test]
    fn a_certificate_is_believed_as_long_as_its_key_is() {
        let me = node(3, &[OURS, THEIRS]);
        let leaf = |key| [authority::leaf(key, &[4; 32])];
        assert!(me.believes(&leaf(&OURS)) && me.believes(&leaf(&THEIRS)));
        me.use_keys(&[THEIRS]).unwrap();
        assert!(!me.believes(&leaf(&OURS)) && me.believes(&leaf(&THEIRS)));
        assert!(!me.believes(&[]));
    }

    #[test]
    fn a_client_gets_the_peer_that_it_expects_or_none() {
        let (client, server) = (node(3, &[OURS]), node(4, &[OURS]));
        let expecting = |peer| client.tls_client_config(Some(peer));
        shake(expecting(server.peer_id()), server.tls_server_config()).unwrap();
        shake(expecting(client.peer_id()), server.tls_server_config()).unwrap_err();
    }

    #[test]
    fn a_client_without_a_certificate_is_refused() {
        let server = node(4, &[OURS]);
        let mut config = server.credentials.client(None);
        config.client_auth_cert_resolver = Arc::new(NoCertificate);
        let refused = shake(Arc::new(config), server.tls_server_config()).unwrap_err();
        assert_eq!(refused, Error::NoCertificatesPresented);
    }

    #[test]
    fn a_stolen_certificate_is_worth_nothing_without_its_key() {
        let (thief, victim) = (node(3, &[OURS]), node(4, &[OURS]));
        let leaf = authority::leaf(&OURS, &[4; 32]);
        assert_eq!(peer_of(std::slice::from_ref(&leaf)), Some(victim.peer_id()));
        let forged = Credentials::new(leaf, &[3; 32], &[authority::certificate(&OURS)]);
        shake(Arc::new(forged.client(None)), thief.tls_server_config()).unwrap_err();
        shake(thief.tls_client_config(None), Arc::new(forged.server())).unwrap_err();
    }

    #[test]
    fn what_is_no_certificate_is_nobodys() {
        assert_eq!(peer_of(&[]), None);
        assert_eq!(peer_of(&[CertificateDer::from(&b"\x30\x80junk"[..])]), None);
    }

    #[derive(Debug)]
    struct NoCertificate;

    impl rustls::client::ResolvesClientCert for NoCertificate {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            None
        }

        fn has_certs(&self) -> bool {
            false
        }
    }

    #[test]
    fn quic_shakes_hands_with_the_same_certificates() {
        let (client, server) = (node(3, &[OURS]), node(4, &[OURS]));
        smol::block_on(async {
            let here = "127.0.0.1:0".parse().unwrap();
            let listener = quinn::Endpoint::server(server.quic_server_config(), here).unwrap();
            let dialler = quinn::Endpoint::client(here).unwrap();
            let config = client.quic_client_config(Some(server.peer_id()));
            let address = listener.local_addr().unwrap();
            let dialling = dialler.connect_with(config, address, SERVER_NAME).unwrap();
            let accepting = async { listener.accept().await.unwrap().await };
            let (dialled, accepted) = smol::future::zip(dialling, accepting).await;
            for (connection, peer) in [(dialled, server.peer_id()), (accepted, client.peer_id())] {
                let chain = connection.unwrap().peer_identity().unwrap();
                let chain = chain.downcast::<Vec<CertificateDer<'static>>>().unwrap();
                assert_eq!(peer_of(&chain), Some(peer));
            }
        });
    }
}
