//! One connection of a pairing: TLS 1.3 between two ends that have shown each other a key
//! of this one time.

use std::{io, net::TcpStream, sync::Arc, time::Duration};

use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use rustls::pki_types::ServerName;
use smol::{io::AsyncWriteExt as _, Async};

use super::exchange::{PairingChannel, PairingMessage, MAX_PAIRING_FRAME, PROTOCOL};
use crate::{
    id::PeerId,
    identity::{peer_of, Identity, SERVER_NAME},
    protocol::{encode_frame, read_frame},
    util::within::io_within,
};

/// A connection whose ends are known to each other.
pub struct PairingStream {
    stream: TlsStream<Async<TcpStream>>,
    pub channel: PairingChannel,
}

impl PairingStream {
    /// The member's end of it; `identity` is of the open swarm, so that it takes anybody's
    /// certificate.
    ///
    /// # Errors
    /// When the other end does not shake hands, or not in time.
    pub async fn accept(stream: Async<TcpStream>, identity: &Identity) -> io::Result<Self> {
        stream.get_ref().set_nodelay(true)?;
        let mut config = rustls::ServerConfig::clone(&identity.tls_server_config());
        config.alpn_protocols = vec![PROTOCOL.into()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let stream = io_within(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await?;
        let theirs = peer_of(stream.get_ref().1.peer_certificates().unwrap_or_default());
        let newcomer = theirs.ok_or(io::ErrorKind::InvalidData)?;
        let member = identity.peer_id();
        Self::of(stream.into(), member, newcomer)
    }

    /// The newcomer's end of it.
    ///
    /// # Errors
    /// When the other end does not shake hands, or not in time.
    pub async fn connect(stream: Async<TcpStream>, identity: &Identity) -> io::Result<Self> {
        stream.get_ref().set_nodelay(true)?;
        let mut config = rustls::ClientConfig::clone(&identity.tls_client_config(None));
        config.alpn_protocols = vec![PROTOCOL.into()];
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let stream = io_within(HANDSHAKE_TIMEOUT, connector.connect(name, stream)).await?;
        let theirs = peer_of(stream.get_ref().1.peer_certificates().unwrap_or_default());
        let member = theirs.ok_or(io::ErrorKind::InvalidData)?;
        let newcomer = identity.peer_id();
        Self::of(stream.into(), member, newcomer)
    }

    fn of(
        stream: TlsStream<Async<TcpStream>>,
        member: PeerId,
        newcomer: PeerId,
    ) -> io::Result<Self> {
        let mut exported = [0; 32];
        let (protocol, export) = match &stream {
            TlsStream::Client(stream) => {
                let tls = stream.get_ref().1;
                let export = tls.export_keying_material(&mut exported, LABEL, None);
                (tls.alpn_protocol(), export.map(drop))
            }
            TlsStream::Server(stream) => {
                let tls = stream.get_ref().1;
                let export = tls.export_keying_material(&mut exported, LABEL, None);
                (tls.alpn_protocol(), export.map(drop))
            }
        };
        export.map_err(io::Error::other)?;
        if protocol != Some(PROTOCOL) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let channel = PairingChannel {
            exported,
            member,
            newcomer,
        };
        Ok(Self { stream, channel })
    }

    /// What is said next, if it is said in time.
    ///
    /// # Errors
    /// When it is not, or is nothing of this protocol.
    pub async fn read(&mut self, limit: Duration) -> io::Result<PairingMessage> {
        let reading = async {
            let read = read_frame(&mut self.stream, MAX_PAIRING_FRAME).await;
            read.map_err(io::Error::other)
        };
        io_within(limit, reading).await
    }

    /// Says `message`.
    ///
    /// # Errors
    /// When the other end does not take it in time.
    pub async fn write(&mut self, message: &PairingMessage) -> io::Result<()> {
        self.write_bytes(&encode_frame(message)).await
    }

    /// Sends `bytes`, a frame or what pretends to be one.
    pub(super) async fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writing = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        io_within(MESSAGE_TIMEOUT, writing).await
    }
}

/// Of the exported secret (RFC 5705).
const LABEL: &[u8] = b"EXPORTER-p2pmusic-pair/1";
/// A Pi Zero needs some 20 ms for a handshake, bad Wi-Fi some seconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// For one message: nobody has to think or type meanwhile.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
