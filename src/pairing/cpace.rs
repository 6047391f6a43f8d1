//! CPace: from a short password that both sides know to a long key, such that nobody
//! between them learns more than whether one guess was right.
//!
//! This is CPACE-RISTR255-SHA512 of draft-irtf-cfrg-cpace, in its initiator-responder
//! setting; the test has the draft's own vectors. The group is the work of curve25519-dalek,
//! which takes the same time for all secrets.

use curve25519_dalek::{
    ristretto::CompressedRistretto, traits::IsIdentity, RistrettoPoint, Scalar,
};
use ring::digest::{digest, SHA512};
use zeroize::{Zeroize as _, Zeroizing};

/// One side's run before it has heard from the other.
pub struct CpaceRun {
    secret: Zeroizing<Scalar>,
    share: PaceShare,
    sid: [u8; 32],
}

/// What each side sends.
pub type PaceShare = [u8; 32];

/// The key of both, if both had the same password.
pub type SharedKey = Zeroizing<[u8; 64]>;

/// What the initiator or the responder has sent.
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    pub share: &'a PaceShare,
    /// What is to be the same for both beside it.
    pub data: &'a [u8],
}

/// What the other side sent is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the other side sent is not of this protocol")]
pub struct BadShare;

impl CpaceRun {
    /// Begins a run with `password` between the ends of `channel`; `sid` differs from run
    /// to run, and so does `random`.
    pub fn begin(password: &[u8], channel: &[u8], sid: [u8; 32], random: &[u8; 32]) -> Self {
        let generator = generator(password, channel, &sid);
        let secret = scalar(random);
        let share = (generator * *secret).compress().to_bytes();
        Self { secret, share, sid }
    }

    pub fn share(&self) -> &PaceShare {
        &self.share
    }

    /// The key, given what the other side has sent, which is one of the two.
    ///
    /// # Errors
    /// When what was sent is not of the group, or makes the key the same for everybody.
    pub fn finish(
        self,
        theirs: &PaceShare,
        initiator: Sent<'_>,
        responder: Sent<'_>,
    ) -> Result<SharedKey, BadShare> {
        let theirs = CompressedRistretto(*theirs).decompress().ok_or(BadShare)?;
        let mut shared = theirs * *self.secret;
        if shared.is_identity() {
            return Err(BadShare);
        }
        let point = Zeroizing::new(shared.compress().to_bytes());
        shared.zeroize();
        let mut input = Zeroizing::new(join(&[ISK_DOMAIN, &self.sid, &*point]));
        for sent in [initiator, responder] {
            input.extend(join(&[sent.share, sent.data]));
        }
        Ok(hash(&input))
    }
}

/// The point that the password stands for in this run.
fn generator(password: &[u8], channel: &[u8], sid: &[u8]) -> RistrettoPoint {
    let lengths = 2 + DOMAIN.len() + password.len();
    let padding = vec![0; BLOCK.saturating_sub(1 + lengths)];
    let input = Zeroizing::new(join(&[DOMAIN, password, &padding, channel, sid]));
    RistrettoPoint::from_uniform_bytes(&hash(&input))
}

/// A number below the group's order (section 8.3 of the draft).
fn scalar(random: &[u8; 32]) -> Zeroizing<Scalar> {
    let mut bytes = Zeroizing::new(*random);
    bytes[31] &= 0x0f;
    Zeroizing::new(Scalar::from_bytes_mod_order(*bytes))
}

fn hash(input: &[u8]) -> SharedKey {
    let mut out = Zeroizing::new([0; 64]);
    out.copy_from_slice(digest(&SHA512, input).as_ref());
    out
}

/// The parts, each behind its length in LEB128.
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    // Room for all: a buffer that grows leaves copies behind.
    let room = parts.iter().map(|part| part.len() + 10).sum();
    let mut joined = Vec::with_capacity(room);
    for part in parts {
        let mut len = part.len();
        while len > 0x7f {
            joined.push(len as u8 | 0x80);
            len >>= 7;
        }
        joined.push(len as u8);
        joined.extend_from_slice(part);
    }
    joined
}

const DOMAIN: &[u8] = b"CPaceRistretto255";
const ISK_DOMAIN: &[u8] = b"CPaceRistretto255_ISK";
/// Of SHA-512: the password fills its first.
const BLOCK: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        std::array::from_fn(|n| digits(2 * n))
    }

    /// Appendix B.3 of the draft; its session id is shorter than ours.
    #[test]
    fn the_drafts_vectors_hold() {
        let channel = b"oc\x0bB_responder\x0bA_initiator";
        let sid: [u8; 16] = hex("7e4b4791d6a8ef019b936c79fb7f2c57");
        let generator = generator(b"Password", channel, &sid);
        assert_eq!(
            generator.compress().to_bytes(),
            hex("a6fc82c3b8968fbb2e06fee81ca858586dea50d248f0c7ca6a18b0902a30b36b")
        );
        let a = hex("da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08");
        let b = hex("d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d");
        let [share_a, share_b] = [a, b].map(|y| (generator * *scalar(&y)).compress().to_bytes());
        assert_eq!(
            share_a,
            hex("d40fb265a7abeaee7939d91a585fe59f7053f982c296ec413c624c669308f87a")
        );
        assert_eq!(
            share_b,
            hex("08bcf6e9777a9c313a3db6daa510f2d398403319c2341bd506a92e672eb7e307")
        );
        let shared = CompressedRistretto(share_b).decompress().unwrap() * *scalar(&a);
        assert_eq!(
            shared.compress().to_bytes(),
            hex("e22b1ef7788f661478f3cddd4c600774fc0f41e6b711569190ff88fa0e607e09")
        );
        let mut input = join(&[ISK_DOMAIN, &sid, &shared.compress().to_bytes()]);
        input.extend(join(&[&share_a, b"ADa"]));
        input.extend(join(&[&share_b, b"ADb"]));
        assert_eq!(
            *hash(&input),
            hex(
                "4c5469a16b2364c4b944ebc1a79e51d1674ad47db26e8718154f59faebfaa52d\
                 8346f30aa58377117eb20d527f2cbc5c76381f7fd372e89df8239f87f2e02ed1"
            )
        );
    }

    fn key(passwords: [&[u8]; 2], channels: [&[u8]; 2], sids: [u8; 2]) -> [SharedKey; 2] {
        let [a, b] = [0, 1].map(|n| {
            let random = [n as u8 + 1; 32];
            CpaceRun::begin(passwords[n], channels[n], [sids[n]; 32], &random)
        });
        let (share_a, share_b) = (*a.share(), *b.share());
        let initiator = Sent {
            share: &share_a,
            data: b"a",
        };
        let responder = Sent {
            share: &share_b,
            data: b"b",
        };
        [
            a.finish(&share_b, initiator, responder).unwrap(),
            b.finish(&share_a, initiator, responder).unwrap(),
        ]
    }

    #[test]
    fn the_key_is_the_same_only_if_all_is_the_same() {
        let [a, b] = key([b"12345678"; 2], [b"here"; 2], [7; 2]);
        assert_eq!(a, b);
        for [a, b] in [
            key([b"12345678", b"12345679"], [b"here"; 2], [7; 2]),
            key([b"12345678"; 2], [b"here", b"there"], [7; 2]),
            key([b"12345678"; 2], [b"here"; 2], [7, 8]),
        ] {
            assert_ne!(a, b);
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        // The neutral element, and what is not of the group.
        for theirs in [[0; 32], [0xff; 32]] {
            let run = CpaceRun::begin(b"12345678", b"here", [7; 32], &[1; 32]);
            let ours = *run.share();
            let initiator = Sent {
                share: &ours,
                data: b"",
            };
            let responder = Sent {
                share: &theirs,
                data: b"",
            };
            assert_eq!(run.finish(&theirs, initiator, responder), Err(BadShare));
        }
    }
}
