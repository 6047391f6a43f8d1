//! One connection to the tracker, from the handshake to its end.

use std::{
    io,
    net::{IpAddr, TcpStream},
    time::Duration,
};

use async_channel::Sender;
use futures_rustls::{server::TlsStream, TlsAcceptor};
use rustls::pki_types::CertificateDer;
use smol::{
    future::{self, FutureExt},
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    Async,
};

use super::{outbox::Frames, turns::Reading, MemberChain, RegistryEvent};
use crate::{
    protocol::{
        is_older, older_refusal, read_frame_body, read_frame_length, FrameError, ToTracker,
        MAX_TRACKER_FRAME, OLDER,
    },
    tracker::registry::ConnId,
    util::within::io_within,
};

/// A connection's whole life.
pub async fn serve(
    conn: ConnId,
    stream: Async<TcpStream>,
    acceptor: TlsAcceptor,
    inbox: &Sender<RegistryEvent>,
    frames: Frames,
    (reading, address): (&Reading, IpAddr),
) -> io::Result<()> {
    stream.get_ref().set_nodelay(true)?;
    let stream = io_within(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await?;
    let chain = chain_of(&stream).ok_or(io::ErrorKind::InvalidData)?;
    if is_older(stream.get_ref().1.alpn_protocol()) {
        return refuse_older(stream).await;
    }
    let (mut from, to) = smol::io::split(stream);
    let room = frames.room.clone();
    let read = async {
        let mut event = RegistryEvent::Connected { conn, chain };
        while inbox.send(event).await.is_ok() {
            room.wait().await;
            event = match read(&mut from, reading, address).await? {
                Ok(message) => RegistryEvent::Message { conn, message },
                Err(kind) => RegistryEvent::Unknown { conn, kind },
            };
        }
        Ok(())
    };
    write(frames, to).or(read).await
}

/// Tells an older node why it is not let in.
async fn refuse_older(mut stream: TlsStream<Async<TcpStream>>) -> io::Result<()> {
    let told = async {
        stream.write_all(&older_refusal()).await?;
        stream.close().await
    };
    io_within(WRITE_TIMEOUT, told).await?;
    Err(io::Error::other(OLDER))
}

/// Waits for a frame, but not for the rest of one that has begun. Only so many that are
/// no small ones are read at once, of all peers together. Of a message that only a later
/// version knows it gives the kind.
async fn read(
    from: &mut (impl AsyncRead + Unpin),
    reading: &Reading,
    address: IpAddr,
) -> io::Result<Result<ToTracker, i64>> {
    let first = read_frame_length(from, MAX_TRACKER_FRAME).await;
    let len = first.map_err(io::Error::other)?;
    let rest = async {
        let turn = match reading.turns(len) {
            Some(turns) => Some(turns.wait(address).await),
            None => None,
        };
        let lost = async {
            match &turn {
                Some(turn) => turn.is_lost().await,
                None => future::pending().await,
            }
            Err(io::Error::other("it was slow, and others waited"))
        };
        let read = async {
            match read_frame_body(from, len).await {
                Ok(message) => Ok(Ok(message)),
                Err(FrameError::Unsupported(kind)) => Ok(Err(kind)),
                Err(error) => Err(io::Error::other(error)),
            }
        };
        read.or(lost).await
    };
    io_within(FRAME_TIMEOUT, rest).await
}

fn chain_of(stream: &TlsStream<Async<TcpStream>>) -> Option<MemberChain> {
    let chain = stream.get_ref().1.peer_certificates()?.iter();
    Some(chain.cloned().map(CertificateDer::into_owned).collect())
}

async fn write(frames: Frames, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Some(frame) = frames.next().await {
        let written = async {
            for part in frame.parts() {
                to.write_all(part).await?;
            }
            to.flush().await
        };
        io_within(WRITE_TIMEOUT, written).await?;
        frames.room.give_back(&frame);
    }
    io_within(WRITE_TIMEOUT, to.close()).await
}

/// For the rest of a frame that has begun: a page of 1 MiB over bad Wi-Fi takes
/// some seconds, and others may be before it.
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// A Pi Zero needs some 20 ms for a handshake, bad Wi-Fi some seconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A page of 1 MiB over bad Wi-Fi takes some seconds.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
