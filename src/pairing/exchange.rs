//! What a member and a newcomer say to each other, from both sides.
//!
//! 1. The newcomer offers its share, the member answers with its own (see
//!    [`super::cpace`]). Both are bound to the connection: to the public keys that its ends
//!    have shown, and to what only these two ends can derive from its handshake.
//! 2. The newcomer confirms that it has the key, then the member does: each with a tag that
//!    nobody else can make, nor the other side in its place. So a newcomer risks a
//!    guess before the member says anything that depends on the code.
//! 3. Only then the newcomer asks for the swarm's keys, which come sealed under the key of
//!    this run, and says that it has them.
//!
//! Whatever comes out of turn ends the exchange.

use minicbor::{Decode, Encode};
use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, CHACHA20_POLY1305};
use zeroize::Zeroizing;

use super::{
    code::PairingCode,
    cpace::{self, CpaceRun, PaceShare, Sent},
};
use crate::{
    id::{check_name, PeerId, MAX_NAME_BYTES},
    identity::SwarmKey,
};

/// All that is said.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PairingMessage {
    /// From the newcomer.
    #[n(0)]
    Offer {
        #[n(0)]
        name: String,
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        share: PaceShare,
    },
    /// From the member.
    #[n(1)]
    Answer {
        #[n(0)]
        name: String,
        #[n(1)]
        #[cbor(with = "minicbor::bytes")]
        share: PaceShare,
    },
    /// That the sender has the key: first from the newcomer, then from the member.
    #[n(2)]
    Confirm(
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        [u8; 32],
    ),
    /// The newcomer believes the member.
    #[n(3)]
    Ready,
    /// The swarm's keys, from the member, sealed.
    #[n(4)]
    Keys(
        #[n(0)]
        #[cbor(with = "minicbor::bytes")]
        Vec<u8>,
    ),
    /// The newcomer has written them.
    #[n(5)]
    Done,
    /// From the member: the code was wrong, or has ended; that many tries are left.
    #[n(6)]
    Refused {
        #[n(0)]
        left: u8,
    },
}

/// The connection that an exchange goes over, as each end sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairingChannel {
    /// What the two ends of its handshake can derive from it, and nobody else.
    pub exported: [u8; 32],
    pub member: PeerId,
    pub newcomer: PeerId,
}

/// Why an exchange has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    #[error("the codes differ, or something between the two changes what they say")]
    WrongCode,
    #[error("the member refuses, with {0} tries left")]
    Refused(u8),
    #[error("what the other side says is not of this protocol")]
    OutOfTurn,
}

/// What the newcomer is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum NewcomerStep {
    Send(PairingMessage),
    /// It has the swarm's keys, from the member of this name. It is to say [`PairingMessage::Done`]
    /// when they are written.
    Take {
        keys: Vec<SwarmKey>,
        from: String,
    },
}

/// What the member is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum MemberStep {
    Send(PairingMessage),
    /// The newcomer of this name has the keys.
    Joined(String),
}

/// The side that wants the keys.
pub struct NewcomerSide {
    channel: PairingChannel,
    name: String,
    stage: NewcomerStage,
}

enum NewcomerStage {
    Offered(CpaceRun),
    Confirmed(Secrets, String),
    Asked(Secrets, String),
    Over,
}

/// The side that has them.
pub struct MemberSide<'a> {
    channel: PairingChannel,
    keys: &'a [SwarmKey],
    name: String,
    stage: MemberStage<'a>,
    is_at_risk: bool,
    sent_to: Option<String>,
}

enum MemberStage<'a> {
    Waiting(&'a PairingCode, Zeroizing<[u8; 32]>),
    Answered(Secrets, String),
    Confirmed(Secrets, String),
    Sent(String),
    Over,
}

impl NewcomerSide {
    /// Begins with what is to be sent first; `random` is used for nothing else.
    pub fn begin(
        code: &PairingCode,
        channel: PairingChannel,
        name: &str,
        random: &[u8; 32],
    ) -> (Self, PairingMessage) {
        let run = run(code, &channel, random);
        let offer = PairingMessage::Offer {
            name: name.into(),
            share: *run.share(),
        };
        let newcomer = Self {
            channel,
            name: name.into(),
            stage: NewcomerStage::Offered(run),
        };
        (newcomer, offer)
    }

    /// What follows from what the member has said.
    ///
    /// # Errors
    /// Ends the exchange.
    pub fn handle_message(&mut self, said: PairingMessage) -> Result<NewcomerStep, PairingError> {
        let stage = std::mem::replace(&mut self.stage, NewcomerStage::Over);
        match (stage, said) {
            (_, PairingMessage::Refused { left }) => Err(PairingError::Refused(left)),
            (NewcomerStage::Offered(run), PairingMessage::Answer { name, share }) => {
                let ours = *run.share();
                let names = [self.name.as_str(), &name];
                let secrets = Secrets::agree(run, &self.channel, names, [&ours, &share], &share)?;
                let confirm = PairingMessage::Confirm(secrets.newcomer_tag);
                self.stage = NewcomerStage::Confirmed(secrets, shown(name));
                Ok(NewcomerStep::Send(confirm))
            }
            (NewcomerStage::Confirmed(secrets, name), PairingMessage::Confirm(tag)) => {
                check_tag(&secrets.member_tag, &tag)?;
                self.stage = NewcomerStage::Asked(secrets, name);
                Ok(NewcomerStep::Send(PairingMessage::Ready))
            }
            (NewcomerStage::Asked(secrets, from), PairingMessage::Keys(sealed)) => {
                let keys = secrets.open(sealed)?;
                Ok(NewcomerStep::Take { keys, from })
            }
            _ => Err(PairingError::OutOfTurn),
        }
    }
}

impl<'a> MemberSide<'a> {
    /// Waits for an offer; `random` is used for nothing else.
    pub fn begin(
        code: &'a PairingCode,
        keys: &'a [SwarmKey],
        channel: PairingChannel,
        name: &str,
        random: Zeroizing<[u8; 32]>,
    ) -> Self {
        Self {
            channel,
            keys,
            name: name.into(),
            stage: MemberStage::Waiting(code, random),
            is_at_risk: false,
            sent_to: None,
        }
    }

    /// What follows from what the newcomer has said.
    ///
    /// # Errors
    /// Ends the exchange.
    pub fn handle_message(&mut self, said: PairingMessage) -> Result<MemberStep, PairingError> {
        let stage = std::mem::replace(&mut self.stage, MemberStage::Over);
        match (stage, said) {
            (MemberStage::Waiting(code, random), PairingMessage::Offer { name, share }) => {
                let run = run(code, &self.channel, &random);
                let ours = *run.share();
                let names = [name.as_str(), &self.name];
                let secrets = Secrets::agree(run, &self.channel, names, [&share, &ours], &share)?;
                self.is_at_risk = true;
                self.stage = MemberStage::Answered(secrets, shown(name));
                Ok(MemberStep::Send(PairingMessage::Answer {
                    name: self.name.clone(),
                    share: ours,
                }))
            }
            (MemberStage::Answered(secrets, name), PairingMessage::Confirm(tag)) => {
                check_tag(&secrets.newcomer_tag, &tag)?;
                self.is_at_risk = false;
                let confirm = PairingMessage::Confirm(secrets.member_tag);
                self.stage = MemberStage::Confirmed(secrets, name);
                Ok(MemberStep::Send(confirm))
            }
            (MemberStage::Confirmed(secrets, name), PairingMessage::Ready) => {
                let sealed = secrets.seal(self.keys)?;
                self.sent_to = Some(name.clone());
                self.stage = MemberStage::Sent(name);
                Ok(MemberStep::Send(PairingMessage::Keys(sealed)))
            }
            (MemberStage::Sent(name), PairingMessage::Done) => Ok(MemberStep::Joined(name)),
            _ => Err(PairingError::OutOfTurn),
        }
    }

    /// Whether the share has gone out and the newcomer has not shown that it knows the code:
    /// however that ends, it was a try.
    pub fn is_at_risk(&self) -> bool {
        self.is_at_risk
    }

    /// The newcomer that the keys have gone to.
    pub fn sent_to(&self) -> Option<&str> {
        self.sent_to.as_deref()
    }
}

/// What both sides derive from the key that they agreed on.
struct Secrets {
    newcomer_tag: [u8; 32],
    member_tag: [u8; 32],
    seal: Zeroizing<[u8; 32]>,
}

impl Secrets {
    /// `names` and `shares` are the newcomer's and the member's.
    fn agree(
        run: CpaceRun,
        channel: &PairingChannel,
        names: [&str; 2],
        shares: [&PaceShare; 2],
        theirs: &PaceShare,
    ) -> Result<Self, PairingError> {
        let [newcomer, member] = [0, 1].map(|n| Sent {
            share: shares[n],
            data: names[n].as_bytes(),
        });
        let key = run.finish(theirs, newcomer, member);
        let key = key.map_err(|_| PairingError::OutOfTurn)?;
        let transcript = cpace::join(&[
            PROTOCOL,
            &channel.exported,
            &channel.newcomer.0,
            &channel.member.0,
            newcomer.data,
            newcomer.share,
            member.data,
            member.share,
        ]);
        let tag = |label| {
            let key = Zeroizing::new(blake3::derive_key(label, &*key));
            *blake3::keyed_hash(&key, &transcript).as_bytes()
        };
        Ok(Self {
            newcomer_tag: tag(NEWCOMER_CONFIRMS),
            member_tag: tag(MEMBER_CONFIRMS),
            seal: Zeroizing::new(tag(SEALS)),
        })
    }

    fn seal(&self, keys: &[SwarmKey]) -> Result<Vec<u8>, PairingError> {
        let lines = keys.iter().map(|key| Zeroizing::new(format!("{key}\n")));
        // Room for all: a buffer that grows leaves copies behind.
        let mut sealed = Vec::with_capacity(MAX_SEALED);
        lines.for_each(|line| sealed.extend_from_slice(line.as_bytes()));
        let done = self.cipher()?.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(ONLY_NONCE),
            Aad::from(PROTOCOL),
            &mut sealed,
        );
        done.map_err(|_| PairingError::OutOfTurn)?;
        Ok(sealed)
    }

    fn open(&self, mut sealed: Vec<u8>) -> Result<Vec<SwarmKey>, PairingError> {
        let opened = self.cipher()?.open_in_place(
            Nonce::assume_unique_for_key(ONLY_NONCE),
            Aad::from(PROTOCOL),
            &mut sealed,
        );
        let opened = opened.map_err(|_| PairingError::WrongCode)?.len();
        sealed.truncate(opened);
        let text = Zeroizing::new(sealed);
        let lines = std::str::from_utf8(&text).map_err(|_| PairingError::OutOfTurn)?;
        let keys: Result<Vec<SwarmKey>, _> = lines.lines().map(SwarmKey::parse).collect();
        match keys {
            Ok(keys) if !keys.is_empty() && !keys.contains(&SwarmKey::OPEN) => Ok(keys),
            _ => Err(PairingError::OutOfTurn),
        }
    }

    fn cipher(&self) -> Result<LessSafeKey, PairingError> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*self.seal);
        key.map(LessSafeKey::new)
            .map_err(|_| PairingError::OutOfTurn)
    }
}

fn run(code: &PairingCode, channel: &PairingChannel, random: &[u8; 32]) -> CpaceRun {
    let ends = cpace::join(&[PROTOCOL, &channel.newcomer.0, &channel.member.0]);
    CpaceRun::begin(code.digits(), &ends, channel.exported, random)
}

/// Takes the same time wherever they differ.
fn check_tag(expected: &[u8; 32], found: &[u8; 32]) -> Result<(), PairingError> {
    match blake3::Hash::from_bytes(*expected) == blake3::Hash::from_bytes(*found) {
        true => Ok(()),
        false => Err(PairingError::WrongCode),
    }
}

/// What may be shown of the name that the other side gave itself.
fn shown(name: String) -> String {
    match check_name(&name) {
        Ok(()) => name,
        Err(_) => "a speaker without a name".into(),
    }
}

/// The largest message: as many keys as a file has, or a name, and a little.
pub const MAX_PAIRING_FRAME: usize = MAX_SEALED + MAX_NAME_BYTES + 64;
/// Eight keys, as a file may have, in lines of 63 bytes, and the seal's tag.
const MAX_SEALED: usize = 8 * 63 + 16;
/// The protocol's name, also in TLS.
pub const PROTOCOL: &[u8] = b"p2pmusic-pair/2";
const NEWCOMER_CONFIRMS: &str = "p2pmusic-pair/2 the newcomer has the key";
const MEMBER_CONFIRMS: &str = "p2pmusic-pair/2 the member has the key";
const SEALS: &str = "p2pmusic-pair/2 seals the swarm's keys";
/// A key seals one message.
const ONLY_NONCE: [u8; 12] = [0; 12];

/// Reads messages as either side does, and has both handle them.
#[cfg(feature = "door")]
pub fn try_messages(bytes: &[u8]) {
    let Ok(code) = PairingCode::parse("12345678") else {
        return;
    };
    let key = SwarmKey::OPEN;
    let channel = PairingChannel {
        exported: [1; 32],
        member: PeerId([2; 32]),
        newcomer: PeerId([3; 32]),
    };
    let keys = [key];
    let (mut newcomer, _) = NewcomerSide::begin(&code, channel.clone(), "attic", &[4; 32]);
    let random = Zeroizing::new([5; 32]);
    let mut member = MemberSide::begin(&code, &keys, channel, "kitchen", random);
    let mut from = minicbor::Decoder::new(bytes);
    while let Ok(message) = from.decode::<PairingMessage>() {
        let step = member.handle_message(message.clone());
        let gives = matches!(step, Ok(MemberStep::Send(PairingMessage::Keys(_))));
        assert!(!gives, "keys are sent to who does not know the code");
        let step = newcomer.handle_message(message);
        let takes = matches!(step, Ok(NewcomerStep::Take { .. }));
        assert!(!takes, "keys are taken from who does not know the code");
    }
}

#[cfg(test)]
mod tests;
