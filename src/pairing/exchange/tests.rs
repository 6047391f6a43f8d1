//! Two honest sides agree; whatever else happens between them, the keys do not go.

use proptest::prelude::*;

use super::*;

fn channel(exported: u8) -> PairingChannel {
    PairingChannel {
        exported: [exported; 32],
        member: PeerId([1; 32]),
        newcomer: PeerId([2; 32]),
    }
}

fn code(text: &str) -> PairingCode {
    PairingCode::parse(text).unwrap()
}

fn keys() -> Vec<SwarmKey> {
    (0..2)
        .map(|_| crate::identity::new_key().unwrap())
        .collect()
}

/// Both sides of a connection, which they may see differently, and what the newcomer says
/// first.
struct Both<'a> {
    newcomer: NewcomerSide,
    member: MemberSide<'a>,
    offer: PairingMessage,
}

fn both<'a>(
    typed: &PairingCode,
    shown: &'a PairingCode,
    keys: &'a [SwarmKey],
    [near, far]: [PairingChannel; 2],
) -> Both<'a> {
    let (newcomer, offer) = NewcomerSide::begin(typed, near, "attic", &[3; 32]);
    let member = MemberSide::begin(shown, keys, far, "kitchen", Zeroizing::new([4; 32]));
    Both {
        newcomer,
        member,
        offer,
    }
}

fn sent_by_newcomer(step: Result<NewcomerStep, PairingError>) -> PairingMessage {
    match step {
        Ok(NewcomerStep::Send(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn sent_by_member(step: Result<MemberStep, PairingError>) -> PairingMessage {
    match step {
        Ok(MemberStep::Send(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_keys_go_once_both_have_confirmed() {
    let (code, keys) = (code("1234-5678"), keys());
    let mut both = both(&code, &code, &keys, [channel(9), channel(9)]);
    assert!(!both.member.is_at_risk());
    let answer = sent_by_member(both.member.handle_message(both.offer));
    assert!(both.member.is_at_risk());
    let confirm = sent_by_newcomer(both.newcomer.handle_message(answer));
    let confirm = sent_by_member(both.member.handle_message(confirm));
    assert!(!both.member.is_at_risk());
    let ready = sent_by_newcomer(both.newcomer.handle_message(confirm));
    let sealed = sent_by_member(both.member.handle_message(ready));
    assert_eq!(both.member.sent_to(), Some("attic"));
    let size = crate::protocol::encode_frame(&sealed).len();
    assert!(size <= MAX_PAIRING_FRAME, "{size}");
    let from = "kitchen".to_owned();
    let taken = both.newcomer.handle_message(sealed).unwrap();
    assert_eq!(
        taken,
        NewcomerStep::Take {
            keys: keys.clone(),
            from
        }
    );
    let joined = both.member.handle_message(PairingMessage::Done).unwrap();
    assert_eq!(joined, MemberStep::Joined("attic".into()));
}

/// As many keys as a file may have, and names of any length, fit into a frame.
#[test]
fn the_largest_messages_fit() {
    let (code, many) = (code("1234-5678"), vec![keys()[0].clone(); 8]);
    let mut both = both(&code, &code, &many, [channel(9), channel(9)]);
    let answer = sent_by_member(both.member.handle_message(both.offer));
    let confirm = sent_by_newcomer(both.newcomer.handle_message(answer));
    let confirm = sent_by_member(both.member.handle_message(confirm));
    let ready = sent_by_newcomer(both.newcomer.handle_message(confirm));
    let sealed = sent_by_member(both.member.handle_message(ready));
    let offer = PairingMessage::Offer {
        name: "x".repeat(MAX_NAME_BYTES),
        share: [0; 32],
    };
    for message in [sealed, offer] {
        assert!(crate::protocol::encode_frame(&message).len() <= MAX_PAIRING_FRAME);
    }
}

/// A wrong code, and a man in the middle with a connection with each side: other ends,
/// and other secrets.
#[test]
fn what_differs_is_found_before_the_member_says_anything() {
    let (right, wrong) = (code("1234-5678"), code("1234-5679"));
    let other_end = PairingChannel {
        newcomer: PeerId([7; 32]),
        ..channel(9)
    };
    for (typed, far) in [
        (&wrong, channel(9)),
        (&right, channel(8)),
        (&right, other_end),
    ] {
        let keys = keys();
        let mut both = both(typed, &right, &keys, [channel(9), far]);
        let answer = sent_by_member(both.member.handle_message(both.offer));
        let confirm = sent_by_newcomer(both.newcomer.handle_message(answer));
        let wrong = both.member.handle_message(confirm);
        assert_eq!(wrong, Err(PairingError::WrongCode));
        assert!(both.member.is_at_risk(), "it counts");
        let again = both.member.handle_message(PairingMessage::Ready);
        assert_eq!(again, Err(PairingError::OutOfTurn));
        let refused = both
            .newcomer
            .handle_message(PairingMessage::Refused { left: 2 });
        assert_eq!(refused, Err(PairingError::Refused(2)));
    }
}

/// A stranger that plays the member learns from the newcomer's tag whether one guess
/// was right, and gets no further.
#[test]
fn a_member_that_does_not_know_the_code_is_not_believed() {
    let (right, wrong) = (code("1234-5678"), code("1234-5679"));
    let keys = keys();
    let mut both = both(&right, &wrong, &keys, [channel(9), channel(9)]);
    let answer = sent_by_member(both.member.handle_message(both.offer));
    sent_by_newcomer(both.newcomer.handle_message(answer));
    let forged = both
        .newcomer
        .handle_message(PairingMessage::Confirm([5; 32]));
    assert_eq!(forged, Err(PairingError::WrongCode));
    let sealed = both
        .newcomer
        .handle_message(PairingMessage::Keys(vec![0; 80]));
    assert_eq!(sealed, Err(PairingError::OutOfTurn));
}

/// What a side has said is not believed when it comes back.
#[test]
fn reflections_are_refused() {
    let (code, keys) = (code("1234-5678"), keys());
    let mut both = both(&code, &code, &keys, [channel(9), channel(9)]);
    let PairingMessage::Offer { share, .. } = both.offer else {
        panic!("{:?}", both.offer);
    };
    let mirrored = PairingMessage::Answer {
        name: "attic".into(),
        share,
    };
    let confirm = sent_by_newcomer(both.newcomer.handle_message(mirrored));
    let back = both.newcomer.handle_message(confirm);
    assert_eq!(back, Err(PairingError::WrongCode));
    let offer = PairingMessage::Offer {
        name: "attic".into(),
        share,
    };
    sent_by_member(both.member.handle_message(offer.clone()));
    let twice = both.member.handle_message(offer);
    assert_eq!(twice, Err(PairingError::OutOfTurn));
    assert!(both.member.is_at_risk());
}

/// What was said over one connection is worth nothing on the next.
#[test]
fn a_replay_is_refused() {
    let (code, keys) = (code("1234-5678"), keys());
    let mut first = both(&code, &code, &keys, [channel(9), channel(9)]);
    let offer = first.offer.clone();
    let answer = sent_by_member(first.member.handle_message(first.offer));
    let confirm = sent_by_newcomer(first.newcomer.handle_message(answer));
    let mut next = MemberSide::begin(
        &code,
        &keys,
        channel(10),
        "kitchen",
        Zeroizing::new([6; 32]),
    );
    sent_by_member(next.handle_message(offer));
    assert_eq!(next.handle_message(confirm), Err(PairingError::WrongCode));
}

#[test]
fn sealed_keys_that_were_changed_are_refused() {
    let (code, keys) = (code("1234-5678"), keys());
    for at in [0, 40, 79] {
        let mut both = both(&code, &code, &keys, [channel(9), channel(9)]);
        let answer = sent_by_member(both.member.handle_message(both.offer));
        let confirm = sent_by_newcomer(both.newcomer.handle_message(answer));
        let confirm = sent_by_member(both.member.handle_message(confirm));
        let ready = sent_by_newcomer(both.newcomer.handle_message(confirm));
        let PairingMessage::Keys(mut sealed) = sent_by_member(both.member.handle_message(ready))
        else {
            panic!("no keys");
        };
        sealed[at] ^= 1;
        let taken = both.newcomer.handle_message(PairingMessage::Keys(sealed));
        assert_eq!(taken, Err(PairingError::WrongCode));
    }
}

fn any_message() -> impl Strategy<Value = PairingMessage> {
    prop_oneof![
        (".{0,8}", any::<[u8; 32]>())
            .prop_map(|(name, share)| PairingMessage::Offer { name, share }),
        (".{0,8}", any::<[u8; 32]>())
            .prop_map(|(name, share)| PairingMessage::Answer { name, share }),
        any::<[u8; 32]>().prop_map(PairingMessage::Confirm),
        Just(PairingMessage::Ready),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(PairingMessage::Keys),
        Just(PairingMessage::Done),
        any::<u8>().prop_map(|left| PairingMessage::Refused { left }),
    ]
}

proptest! {
    /// A stranger without the code may say anything in any order: the member's keys stay,
    /// and the newcomer takes none.
    #[test]
    fn strangers_get_and_give_nothing(
        said in proptest::collection::vec(any_message(), 0..6),
    ) {
        let (code, keys) = (code("1234-5678"), keys());
        let mut both = both(&code, &code, &keys, [channel(9), channel(9)]);
        // A share that is of the group, so that more than the first step is reached.
        let share = *CpaceRun::begin(b"0", b"", [0; 32], &[8; 32]).share();
        let _ = both.newcomer.handle_message(PairingMessage::Answer {
            name: "kitchen".into(),
            share,
        });
        let _ = both.member.handle_message(PairingMessage::Offer { name: "attic".into(), share });
        for message in said {
            if let Ok(step) = both.member.handle_message(message.clone()) {
                let is_secret = matches!(
                    &step,
                    MemberStep::Joined(_)
                        | MemberStep::Send(PairingMessage::Keys(_) | PairingMessage::Confirm(_))
                );
                prop_assert!(!is_secret, "{step:?}");
            }
            if let Ok(step) = both.newcomer.handle_message(message) {
                prop_assert!(!matches!(step, NewcomerStep::Take { .. }), "{step:?}");
            }
        }
        prop_assert!(both.member.is_at_risk());
    }
}
