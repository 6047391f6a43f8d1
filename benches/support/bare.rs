//! What QUIC alone costs on this machine: quinn with its own defaults and nothing
//! else, no disk, no hashes, no scheduler. What our transfers are measured against.
//!
//! The holder is another process, as between two machines.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{crypto::ring, pki_types::PrivatePkcs8KeyDer, RootCertStore};

use super::usage;

/// A process that sends as much as it is asked for.
pub struct Holder {
    child: Child,
    address: SocketAddr,
    certificate: Vec<u8>,
}

/// What a transfer took.
pub struct Cost {
    /// From the first packet of the handshake to the last byte.
    pub seconds: f64,
    /// Of both sides together.
    pub cpu: f64,
}

impl Holder {
    /// Starts this program anew as the holder; see [`be_holder`].
    pub fn start() -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .env(BE_HOLDER, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        told.read_line(&mut line).unwrap();
        let (address, certificate) = line.trim().split_once(' ').unwrap();
        let byte = |at| u8::from_str_radix(&certificate[at..at + 2], 16).unwrap();
        Self {
            child,
            address: address.parse().unwrap(),
            certificate: (0..certificate.len()).step_by(2).map(byte).collect(),
        }
    }

    /// Fetches `bytes` over a new connection, and drops them as they come.
    pub fn fetch(&self, bytes: u64) -> Cost {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone().into()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = QuicClientConfig::try_from(tls).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(config));
        let cpu = || usage(std::process::id()).0 + usage(self.child.id()).0;
        let (before, begun) = (cpu(), Instant::now());
        smol::block_on(async {
            let endpoint = endpoint(None);
            let connecting = endpoint.connect_with(config, self.address, NAME).unwrap();
            let connection = connecting.await.unwrap();
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            send.write_all(&bytes.to_be_bytes()).await.unwrap();
            send.finish().unwrap();
            let mut got = 0;
            while let Some(chunk) = recv.read_chunk(usize::MAX, true).await.unwrap() {
                got += chunk.bytes.len() as u64;
            }
            assert_eq!(got, bytes);
            let cost = Cost {
                seconds: begun.elapsed().as_secs_f64(),
                cpu: cpu() - before,
            };
            connection.close(0u32.into(), b"");
            endpoint.wait_idle().await;
            cost
        })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Is the holder, and never returns, where [`Holder::start`] has started this
/// program.
pub fn be_holder() {
    if env::var_os(BE_HOLDER).is_none() {
        return;
    }
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let config = QuicServerConfig::try_from(tls).unwrap();
    smol::block_on(async {
        let endpoint = endpoint(Some(quinn::ServerConfig::with_crypto(Arc::new(config))));
        let certificate: String = made.cert.der().iter().map(|b| format!("{b:02x}")).collect();
        println!("{} {certificate}", endpoint.local_addr().unwrap());
        while let Some(incoming) = endpoint.accept().await {
            smol::spawn(answer(incoming)).detach();
        }
    });
}

async fn answer(incoming: quinn::Incoming) -> Option<()> {
    let connection = incoming.await.ok()?;
    let (mut send, mut recv) = connection.accept_bi().await.ok()?;
    let mut wanted = [0; 8];
    recv.read_exact(&mut wanted).await.ok()?;
    let mut left = u64::from_be_bytes(wanted);
    let piece = vec![7; PIECE];
    while left > 0 {
        let now = left.min(PIECE as u64);
        send.write_all(&piece[..now as usize]).await.ok()?;
        left -= now;
    }
    send.finish().ok()?;
    connection.closed().await;
    Some(())
}

fn endpoint(server: Option<quinn::ServerConfig>) -> quinn::Endpoint {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = quinn::EndpointConfig::default();
    quinn::Endpoint::new(config, server, socket, Arc::new(quinn::SmolRuntime)).unwrap()
}

const BE_HOLDER: &str = "P2PMUSIC_BARE_QUINN";
const NAME: &str = "holder";
/// What the holder writes at a time.
const PIECE: usize = 64 * 1024;
