//! A member of the open swarm, written from the protocol's prose: certificates,
//! frames, and the messages that an attacker needs.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream},
    os::fd::AsRawFd as _,
    sync::Arc,
    time::Duration,
};

use minicbor::{
    encode::{self, Encode, Encoder, Write as Sink},
    Decoder,
};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::{
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{ring as provider, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

pub type Id = [u8; 32];

/// What every member of the open swarm has in place of a key.
pub const OPEN: Id = *b"p2pmusic: open swarm, no secrecy";
const ALPN: &[u8] = b"p2pmusic/2";

/// A secret, and the certificate that goes with it.
pub struct Member {
    pub id: Id,
    signer: Ed25519KeyPair,
    pkcs8: Vec<u8>,
    leaf: CertificateDer<'static>,
}

impl Member {
    /// The `n`th member of the swarm with `key`.
    pub fn new(key: &Id, n: u16) -> Self {
        let mut secret = [0x5a; 32];
        secret[..2].copy_from_slice(&n.to_be_bytes());
        let signer = Ed25519KeyPair::from_seed_unchecked(&secret).unwrap();
        Self {
            id: signer.public_key().as_ref().try_into().unwrap(),
            signer,
            pkcs8: pkcs8(&secret),
            leaf: leaf(key, &secret),
        }
    }

    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        let signature = self.signer.sign(bytes);
        signature.as_ref().try_into().unwrap()
    }

    /// For TLS and QUIC. It believes any answer: it is here to attack.
    pub fn client_config(&self) -> ClientConfig {
        let key = PrivateKeyDer::Pkcs8(self.pkcs8.clone().into());
        let mut config = builder()
            .with_client_auth_cert(vec![self.leaf.clone()], key)
            .unwrap();
        config.alpn_protocols = vec![ALPN.into()];
        config
    }

    pub fn server_config(&self) -> rustls::ServerConfig {
        let key = PrivateKeyDer::Pkcs8(self.pkcs8.clone().into());
        let provider = Arc::new(provider::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf.clone()], key)
            .unwrap();
        config.alpn_protocols = vec![ALPN.into()];
        config
    }

    /// A connection to a tracker, hands shaken.
    pub fn tracker(&self, at: &str) -> std::io::Result<Tls> {
        let mut tls = tls(self.client_config(), connect(at)?);
        tls.conn.complete_io(&mut tls.sock)?;
        Ok(tls)
    }

    /// A signed head over a list of pages.
    pub fn head(&self, seq: u64, entries: u32, list: &[Id]) -> SignedHead {
        let pages = *blake3::hash(list.as_flattened()).as_bytes();
        let parts: [&[u8]; 6] = [
            b"p2pmusic catalogue head 2",
            &self.id,
            &1u64.to_be_bytes(),
            &seq.to_be_bytes(),
            &entries.to_be_bytes(),
            &pages,
        ];
        let signature = self.sign(&parts.concat());
        SignedHead((self.id, 1, seq, entries, pages), signature)
    }
}

pub type Tls = StreamOwned<ClientConnection, TcpStream>;

pub fn tls(config: ClientConfig, stream: TcpStream) -> Tls {
    let name = ServerName::try_from("p2pmusic").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(client, stream)
}

/// Somebody without a certificate.
pub fn nobody() -> ClientConfig {
    let mut config = builder().with_no_client_auth();
    config.alpn_protocols = vec![ALPN.into()];
    config
}

pub fn connect(at: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// A connection that comes from `ip`, one of the loopback's many addresses.
pub fn connect_from(ip: Ipv4Addr, at: &str) -> std::io::Result<TcpStream> {
    let to: SocketAddrV4 = at.parse().unwrap();
    let fd = socket::socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    socket::bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ip, 0)))?;
    socket::connect(fd.as_raw_fd(), &SockaddrIn::from(to))?;
    Ok(fd.into())
}

pub fn frame(message: &impl Encode<()>) -> Vec<u8> {
    let body = minicbor::to_vec(message).unwrap();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

pub fn send(to: &mut impl Write, message: &impl Encode<()>) -> std::io::Result<()> {
    to.write_all(&frame(message))?;
    to.flush()
}

/// The body of the next frame.
pub fn receive(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let mut body = vec![0; u32::from_be_bytes(len) as usize];
    from.read_exact(&mut body)?;
    Ok(body)
}

/// Reads frames until one of this kind comes.
pub fn receive_kind(from: &mut impl Read, kind: u8) -> std::io::Result<Vec<u8>> {
    loop {
        let body = receive(from)?;
        if kind_of(&body) == Some(kind) {
            return Ok(body);
        }
    }
}

/// The kind of a message: it is an array of that and of its fields.
pub fn kind_of(body: &[u8]) -> Option<u8> {
    let mut from = Decoder::new(body);
    from.array().ok()?;
    from.u8().ok()
}

/// The only field of a message.
pub fn number_in(body: &[u8]) -> u32 {
    let mut from = Decoder::new(body);
    from.array().and_then(|_| from.u8()).unwrap();
    from.array().and_then(|_| from.u32()).unwrap()
}

type Encoded<W> = Result<(), encode::Error<<W as Sink>::Error>>;

/// The beginning of a message of this kind, with so many fields.
fn message<W: Sink>(
    to: &mut Encoder<W>,
    kind: u8,
    fields: u64,
) -> Result<&mut Encoder<W>, encode::Error<W::Error>> {
    to.array(2)?.u8(kind)?.array(fields)
}

/// (owner, epoch, seq, entries, hash of the list) and the signature.
#[derive(Clone, Copy)]
pub struct SignedHead(pub (Id, u64, u64, u32, Id), pub [u8; 64]);

impl<C> Encode<C> for SignedHead {
    fn encode<W: Sink>(&self, to: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
        let (owner, epoch, seq, entries, pages) = &self.0;
        to.array(2)?.array(5)?.bytes(owner)?.u64(*epoch)?;
        to.u64(*seq)?.u32(*entries)?.bytes(pages)?;
        to.bytes(&self.1)?.ok()
    }
}

/// What a peer says to its tracker, as far as an attacker says it.
pub enum ToTracker {
    /// Name, whether chosen, and port; no addresses.
    Register(String, bool, u16),
    Renew,
    Leave,
    Head(SignedHead),
    WantList(Id),
    WantPage(Id, u32),
    List(Vec<Id>),
    Page(u32, Vec<u8>),
    /// One that nobody knows yet.
    OfTomorrow,
}

impl<C> Encode<C> for ToTracker {
    fn encode<W: Sink>(&self, to: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
        match self {
            Self::Register(name, chosen, port) => {
                let to = message(to, 0, 1)?.array(4)?;
                to.str(name)?.bool(*chosen)?.u16(*port)?.array(0)?
            }
            Self::Renew => message(to, 1, 0)?,
            Self::Leave => message(to, 3, 0)?,
            Self::Head(head) => message(to, 4, 1)?.encode(head)?,
            Self::WantList(owner) => message(to, 5, 1)?.bytes(owner)?,
            Self::WantPage(owner, index) => message(to, 6, 2)?.bytes(owner)?.u32(*index)?,
            Self::List(list) => message(to, 7, 1)?.bytes(list.as_flattened())?,
            Self::Page(index, bytes) => message(to, 8, 2)?.u32(*index)?.bytes(bytes)?,
            Self::OfTomorrow => message(to, 23, 1)?.map(1)?.str("more")?.f32(0.5)?,
        };
        Ok(())
    }
}

pub fn register(name: impl Into<String>, port: u16) -> ToTracker {
    ToTracker::Register(name.into(), true, port)
}

/// The kinds of what a tracker says.
pub const REGISTERED: u8 = 0;
pub const WANT_LIST: u8 = 8;
pub const UNSUPPORTED: u8 = 14;

// A greeting is as large as it is, and few are made.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
pub enum PeerRequest {
    Resolve(u32),
    /// Track, size, groups (first, and the one behind the last), and 0 for "I listen
    /// to it now".
    Get(Id, u64, Vec<(u32, u32)>, u8),
    Head,
    List,
    Page(u32),
    /// Name, own head, and the other's.
    Hello(String, Option<SignedHead>, Option<SignedHead>),
    /// One that nobody knows yet.
    OfTomorrow,
}

impl<C> Encode<C> for PeerRequest {
    fn encode<W: Sink>(&self, to: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
        match self {
            Self::Resolve(entry) => message(to, 0, 1)?.u32(*entry)?,
            Self::Get(track, size, groups, class) => {
                let to = message(to, 1, 1)?.array(4)?;
                to.bytes(track)?.u64(*size)?.encode(groups)?;
                message(to, *class, 0)?
            }
            Self::Head => message(to, 2, 0)?,
            Self::List => message(to, 3, 0)?,
            Self::Page(index) => message(to, 4, 1)?.u32(*index)?,
            Self::Hello(name, head, yours) => {
                let to = message(to, 5, 1)?.array(3)?;
                to.str(name)?.encode(head)?.encode(yours)?
            }
            Self::OfTomorrow => message(to, 23, 1)?.map(1)?.str("more")?.f32(0.5)?,
        };
        Ok(())
    }
}

/// What a peer answers.
pub enum PeerReply {
    /// Track and size.
    Resolved(Id, u64),
    Slice,
    List(Vec<Id>),
    Page(Vec<u8>),
}

impl<C> Encode<C> for PeerReply {
    fn encode<W: Sink>(&self, to: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
        match self {
            Self::Resolved(track, size) => message(to, 0, 2)?.bytes(track)?.u64(*size)?,
            Self::Slice => message(to, 2, 0)?,
            Self::List(list) => message(to, 4, 1)?.bytes(list.as_flattened())?,
            Self::Page(bytes) => message(to, 5, 1)?.bytes(bytes)?,
        };
        Ok(())
    }
}

/// A page with one WAV file of an album, and what it hashes to if that is known.
pub fn page_with(name: &str, size: u64, track: Option<Id>) -> Vec<u8> {
    page_of(&[wav(name, size, track, None)])
}

/// A page as large as any may be: 256 files with titles of 4 KB, others for each number.
pub fn page_of_a_megabyte(number: usize) -> Vec<u8> {
    let record = |n| {
        let title = format!("{number:5}{n:5}{:3900}", "");
        wav(&format!("{number}-{n}.wav"), 1_000_000, None, Some(&title))
    };
    page_of(&(0..256).map(record).collect::<Vec<_>>())
}

/// A page of these records of WAV files.
fn page_of(records: &[Vec<u8>]) -> Vec<u8> {
    page_of_texts(&TEXTS, records)
}

/// A page of these records, which have these texts in common.
pub fn page_of_texts(texts: &[&str], records: &[Vec<u8>]) -> Vec<u8> {
    let mut page = Encoder::new(Vec::new());
    page.map(2).unwrap().u8(0).unwrap().encode(texts).unwrap();
    page.u8(1).unwrap().array(records.len() as u64).unwrap();
    for record in records {
        page.bytes(record).unwrap();
    }
    page.into_writer()
}

/// The texts of [`page_of`]: the directory, container and codec of [`wav`].
const TEXTS: [&str; 3] = ["", "wav", "pcm"];

/// An opening of no ranges: an empty array.
pub const NO_RANGES: &[u8] = &[0x80];

/// The record of a WAV file.
pub fn wav(name: &str, size: u64, track: Option<Id>, title: Option<&str>) -> Vec<u8> {
    let fields = 12 + u64::from(track.is_some()) + u64::from(title.is_some());
    let mut record = Encoder::new(Vec::new());
    record.map(fields).unwrap();
    if let Some(track) = track {
        record.u8(0).unwrap().bytes(&track).unwrap();
    }
    record.u8(1).unwrap().u8(0).unwrap();
    record.u8(2).unwrap().str(name).unwrap();
    // Size, time, container, codec, rate, channels, bits, a second, start; no opening.
    let numbers = [3, 4, 5, 6, 7, 8, 10, 11, 15];
    let values = [size, 1_000_000_000, 1, 2, 44_100, 2, 16, 1_000_000_000, 44];
    for (number, value) in numbers.into_iter().zip(values) {
        record.u8(number).unwrap().u64(value).unwrap();
    }
    record.u8(16).unwrap().bytes(NO_RANGES).unwrap();
    if let Some(title) = title {
        let mut tags = Encoder::new(Vec::new());
        tags.map(1).unwrap().u8(2).unwrap().str(title).unwrap();
        record.u8(17).unwrap().bytes(&tags.into_writer()).unwrap();
    }
    record.into_writer()
}

pub fn hash(bytes: &[u8]) -> Id {
    *blake3::hash(bytes).as_bytes()
}

/// Bytes that nobody can foresee, the same at each run.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

pub fn port_of(address: &str) -> u16 {
    address.parse::<SocketAddr>().unwrap().port()
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
}

fn pkcs8(secret: &Id) -> Vec<u8> {
    let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    [&head[..], secret].concat()
}

/// The certificate that a member with `secret` signs itself in the swarm's name.
fn leaf(key: &Id, secret: &Id) -> CertificateDer<'static> {
    let pair = |secret: &Id| {
        rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &pkcs8(secret)[..].into(),
            &rcgen::PKCS_ED25519,
        )
        .unwrap()
    };
    let params = |name: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.serial_number = Some(1.into());
        params.not_before = rcgen::date_time_ymd(1970, 1, 1);
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        params
    };
    let derive = |context: &str| blake3::derive_key(context, key);
    let name = derive("p2pmusic 2024 public name of the swarm's authority");
    let digits: String = name[..4].iter().map(|b| format!("{b:02x}")).collect();
    let mut authority = params(&format!("p2pmusic swarm {digits}"));
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let secret_of_all = derive("p2pmusic 2024 Ed25519 secret of the swarm's authority");
    let issuer = rcgen::Issuer::new(authority, pair(&secret_of_all));
    let mut own = params("p2pmusic node");
    own.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    own.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
    ];
    own.signed_by(&pair(secret), &issuer).unwrap().der().clone()
}

/// Believes everybody.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
