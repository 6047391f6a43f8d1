//! What is said to a node that speaks `p2pmusic/1`, which can be told why it is not talked to.

/// The name in TLS of the protocol before this one.
pub const OLDER_ALPN: &[u8] = b"p2pmusic/1";

/// What a person is told of a node that chooses it.
pub const OLDER: &str =
    "an older p2pmusic runs there, which this version does not talk to; install this version there";

/// Whether the handshake of a connection has chosen the older protocol.
pub fn is_older(alpn: Option<&[u8]>) -> bool {
    alpn == Some(OLDER_ALPN)
}

/// The frame by which a tracker refuses a peer that speaks `p2pmusic/1`: in postcard, the third
/// message from a tracker with the fourth refusal, of a name and why it is none. The older
/// node shows both as they are.
pub fn older_refusal() -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    let body = [&[2, 3][..], &text(OLDER_NAME), &text(OLDER_REFUSAL)].concat();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

/// Stands where the older node shows its name.
const OLDER_NAME: &str = "p2pmusic/1";

/// Stands behind "… is not a name: ". Shorter than 128 bytes, so that its length is one byte.
const OLDER_REFUSAL: &str =
    "the tracker has a newer p2pmusic, which does not talk to this one; install the newer on this speaker";

const _: () = assert!(OLDER_REFUSAL.len() < 128);
