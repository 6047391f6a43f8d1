//! Pieces of messages, lengths that are lies, and bytes that come slowly, to both ends: each
//! connection ends in its time, gives nothing away, and keeps nobody out for longer.

use std::sync::Arc;

use futures_rustls::{client::TlsStream, TlsConnector};
use rustls::pki_types::ServerName;
use smol::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    Timer,
};

use super::*;
use crate::{
    identity::SERVER_NAME,
    pairing::exchange::{NewcomerSide, NewcomerStep, PairingChannel, MAX_PAIRING_FRAME, PROTOCOL},
    protocol::encode_frame,
};

/// As a newcomer shakes hands, with what can write any bytes.
async fn shake_hands(at: SocketAddr) -> TlsStream<Async<TcpStream>> {
    let stream = Async::<TcpStream>::connect(at).await.unwrap();
    let mut config = rustls::ClientConfig::clone(&identity(9).tls_client_config(None));
    config.alpn_protocols = vec![PROTOCOL.into()];
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    connector.connect(name, stream).await.unwrap()
}

/// What is said by the other end until it has closed: it has to, without being asked to.
async fn heard_until_closed(stream: &mut TlsStream<Async<TcpStream>>) -> usize {
    let mut heard = 0;
    let mut some = [0; 4096];
    while let Ok(len @ 1..) = stream.read(&mut some).await {
        heard += len;
    }
    heard
}

/// Says the first `honest` messages of a newcomer with the code, of the next one the frame's
/// first bytes, and hangs up. Whether there was a part left to leave out.
async fn break_off(at: SocketAddr, honest: usize, keep: usize) -> bool {
    let stream = Async::<TcpStream>::connect(at).await.unwrap();
    let mut stream = PairingStream::connect(stream, &identity(9)).await.unwrap();
    let channel: PairingChannel = stream.channel.clone();
    let (mut newcomer, mut next) = NewcomerSide::begin(&code(CODE), channel, "attic", &[8; 32]);
    for _ in 0..honest {
        stream.write(&next).await.unwrap();
        let said = stream.read(LIFE).await.unwrap();
        next = match newcomer.handle_message(said).unwrap() {
            NewcomerStep::Send(message) => message,
            NewcomerStep::Take { .. } => PairingMessage::Done,
        };
    }
    let frame = encode_frame(&next);
    if keep < frame.len() {
        stream.write_bytes(&frame[..keep]).await.unwrap();
    }
    keep < frame.len()
}

/// A knock is free, and a guess that is broken off counts; the keys come whole or not at all.
#[test]
fn every_beginning_of_every_message_ends_the_exchange() {
    smol::block_on(async {
        for (honest, ends) in [(0, None), (1, None), (2, None), (3, Some("attic"))] {
            for keep in 0.. {
                let shown = show(LIFE);
                if !break_off(shown.at, honest, keep).await {
                    break;
                }
                if let Some(name) = ends {
                    let closing = Closing::Unconfirmed(name.into());
                    assert_eq!(shown.serving.await, closing, "{honest} {keep}");
                    continue;
                }
                try_code(shown.at, CODE).await.unwrap().confirm().await;
                let closing = shown.serving.await;
                assert_eq!(closing, Closing::Joined("attic".into()), "{honest} {keep}");
                let counted: &[u8] = if honest == 1 { &[2] } else { &[] };
                assert_eq!(*shown.events.lock().unwrap(), counted, "{honest} {keep}");
            }
        }
    });
}

#[test]
fn lengths_that_are_lies_and_nonsense_are_hung_up_on() {
    smol::block_on(async {
        let shown = show(LIFE);
        let too_long = MAX_PAIRING_FRAME as u32 + 1;
        for bytes in [
            too_long.to_be_bytes().to_vec(),
            u32::MAX.to_be_bytes().to_vec(),
            vec![0; 4],
            [&100u32.to_be_bytes()[..], &[0xff; 100]].concat(),
            [&2u32.to_be_bytes()[..], &[3, 3]].concat(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ] {
            let mut stream = shake_hands(shown.at).await;
            stream.write_all(&bytes).await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(heard_until_closed(&mut stream).await, 0, "{bytes:?}");
        }
        try_code(shown.at, CODE).await.unwrap().confirm().await;
        assert_eq!(shown.serving.await, Closing::Joined("attic".into()));
        assert!(shown.events.lock().unwrap().is_empty());
    });
}

/// Writes `bytes` one by one until the other end has closed; whether it did before the last.
async fn trickle(mut to: impl smol::io::AsyncWrite + Unpin, bytes: &[u8]) -> bool {
    for byte in bytes {
        let written = async {
            to.write_all(&[*byte]).await?;
            to.flush().await
        };
        if written.await.is_err() {
            return true;
        }
        Timer::after(DRIP).await;
    }
    false
}

/// A byte now and then is not enough to stay: not for a handshake, nor for a message.
#[test]
fn what_comes_slowly_is_hung_up_on() {
    smol::block_on(async {
        let shown = show(LIFE);
        // The record of a handshake of 16 KiB, and a frame as long as one may be.
        let hello = [&[0x16, 3, 1, 0x40, 0][..], &[1; 512]].concat();
        let frame = [&(MAX_PAIRING_FRAME as u32).to_be_bytes()[..], &[0; 512]].concat();
        let raw = Async::<TcpStream>::connect(shown.at).await.unwrap();
        let shaken = shake_hands(shown.at).await;
        let hello = smol::spawn(async move { trickle(raw, &hello).await });
        let frame = smol::spawn(async move { trickle(shaken, &frame).await });
        assert!(hello.await && frame.await, "they were listened to");
        try_code(shown.at, CODE).await.unwrap().confirm().await;
        assert_eq!(shown.serving.await, Closing::Joined("attic".into()));
    });
}

/// What answers a newcomer is as little to be trusted.
#[test]
fn a_newcomer_takes_no_nonsense_from_a_member() {
    smol::block_on(async {
        let nonsense: [&[u8]; 5] = [
            b"",
            &[0, 0, 0],
            &[0xff; 4],
            &[0, 0, 0, 9, 1, 2, 3],
            &[0, 0, 0, 1, 5],
        ];
        for bytes in nonsense {
            let listener = listen();
            let at = listener.get_ref().local_addr().unwrap();
            let member = smol::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = PairingStream::accept(stream, &identity(7)).await.unwrap();
                stream.read(LIFE).await.unwrap();
                stream.write_bytes(bytes).await.unwrap();
            });
            let Err(failure) = try_code(at, CODE).await else {
                panic!("{bytes:?}");
            };
            let said = failure.to_string();
            assert!(
                matches!(failure, DialFailure::Lost(_) | DialFailure::Exchange(_)),
                "{said}"
            );
            member.await;
        }
    });
}

/// Slower than anything in a house, and often enough that a bound between two bytes is kept.
const DRIP: Duration = Duration::from_millis(50);
