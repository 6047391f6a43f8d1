//! Messages, whole and damaged.

use proptest::{collection::vec, option, prelude::*};

use minicbor::Encoder;

use super::*;
use crate::{catalog::Head, content::ranges::MAX_WIRE_RANGES};

fn read<M: for<'b> Decode<'b, ()>>(bytes: &[u8], cap: usize) -> Result<M, FrameError> {
    smol::block_on(read_frame(&mut &bytes[..], cap))
}

#[test]
fn a_frame_round_trips() {
    let message = ToTracker::Register(Registration {
        name: "kitchen".into(),
        name_chosen: true,
        port: DEFAULT_PORT,
        candidates: vec!["192.168.1.7".parse().unwrap()],
    });
    let frame = encode_frame(&message);
    assert_eq!(
        read::<ToTracker>(&frame, MAX_TRACKER_FRAME).unwrap(),
        message
    );
}

#[test]
fn a_frame_over_its_cap_is_refused_by_its_length_alone() {
    let frame = u32::MAX.to_be_bytes();
    let error = read::<ToTracker>(&frame, MAX_TRACKER_FRAME).unwrap_err();
    assert!(matches!(error, FrameError::TooLong { .. }), "{error}");
}

#[test]
fn what_is_cut_short_or_too_long_is_refused() {
    let frame = encode_frame(&PeerRequest::Page { index: 7 });
    for len in 1..frame.len() {
        assert!(
            read::<PeerRequest>(&frame[..len], 100).is_err(),
            "{len} bytes"
        );
    }
    let mut padded = frame.clone();
    padded.push(0);
    padded[3] += 1;
    assert!(matches!(
        read::<PeerRequest>(&padded, 100),
        Err(FrameError::Malformed)
    ));
}

#[test]
fn the_longest_request_fits_its_cap() {
    let groups = (1..=MAX_WIRE_RANGES as u32).map(|n| u32::MAX - 2 * n..u32::MAX - 2 * n + 1);
    let get = PeerRequest::Get(Get {
        track: TrackId([0xff; 32]),
        size: u64::MAX,
        groups: groups.collect(),
        class: Class::Now,
    });
    assert!(encode_frame(&get).len() <= MAX_REQUEST_FRAME);
}

fn id() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn head() -> impl Strategy<Value = SignedHead> {
    let head =
        (id(), any::<(u64, u64, u32)>(), id()).prop_map(|(owner, (epoch, seq, entries), pages)| {
            Head {
                owner: PeerId(owner),
                epoch,
                seq,
                entries,
                pages,
            }
        });
    (head, id(), id()).prop_map(|(head, r, s)| {
        let signature = [r, s].concat().try_into().unwrap();
        SignedHead::sign(head, |_| signature)
    })
}

fn registered() -> impl Strategy<Value = Registered> {
    (".{0,20}", any::<Duration>(), any::<IpAddr>()).prop_map(|(name, lease, seen_as)| Registered {
        name,
        lease,
        seen_as,
    })
}

fn to_tracker() -> impl Strategy<Value = ToTracker> {
    let owner = || id().prop_map(PeerId);
    prop_oneof![
        (".{0,70}", any::<(bool, u16)>(), vec(any::<IpAddr>(), 0..10)).prop_map(
            |(name, (name_chosen, port), candidates)| ToTracker::Register(Registration {
                name,
                name_chosen,
                port,
                candidates,
            })
        ),
        Just(ToTracker::Renew),
        any::<u64>().prop_map(|nonce| ToTracker::Pong { nonce }),
        head().prop_map(ToTracker::Head),
        owner().prop_map(|owner| ToTracker::WantList { owner }),
        (owner(), any::<u32>()).prop_map(|(owner, index)| ToTracker::WantPage { owner, index }),
        vec(id(), 0..9).prop_map(ToTracker::List),
        (any::<u32>(), vec(any::<u8>(), 0..300)).prop_map(|(index, bytes)| ToTracker::Page {
            index,
            bytes: bytes.into()
        }),
    ]
}

fn from_tracker() -> impl Strategy<Value = FromTracker> {
    let owner = || id().prop_map(PeerId);
    let candidate = prop_oneof![
        // Scopes are each host's own, and do not travel.
        any::<(IpAddr, u16)>().prop_map(|(ip, port)| Candidate::At(SocketAddr::new(ip, port))),
        any::<u16>().prop_map(|port| Candidate::WithTracker { port }),
    ];
    let record = (owner(), ".{0,70}", any::<bool>(), vec(candidate, 0..10));
    prop_oneof![
        registered().prop_map(FromTracker::Registered),
        (".{0,20}", any::<IpAddr>()).prop_map(|(name, holder)| {
            FromTracker::Refused(Refusal::NameTaken { name, holder })
        }),
        record.prop_map(
            |(peer, name, up, candidates)| FromTracker::Peer(PeerRecord {
                peer,
                name,
                state: if up {
                    PeerState::Up
                } else {
                    PeerState::Suspect
                },
                candidates,
            })
        ),
        head().prop_map(FromTracker::Head),
        (owner(), vec(id(), 0..9)).prop_map(|(owner, list)| FromTracker::List { owner, list }),
        (owner(), any::<bool>()).prop_map(|(peer, left)| FromTracker::Gone { peer, left }),
    ]
}

fn ranges() -> impl Strategy<Value = Vec<Range<u32>>> {
    vec(any::<Range<u32>>(), 0..9)
}

fn request() -> impl Strategy<Value = PeerRequest> {
    let class = prop_oneof![Just(Class::Now), Just(Class::Next), Just(Class::Rest)];
    prop_oneof![
        any::<u32>().prop_map(|n| PeerRequest::Resolve { entry: EntryNo(n) }),
        (id(), any::<u64>(), ranges(), class).prop_map(|(track, size, groups, class)| {
            PeerRequest::Get(Get {
                track: TrackId(track),
                size,
                groups,
                class,
            })
        }),
        Just(PeerRequest::List),
        any::<u32>().prop_map(|index| PeerRequest::Page { index }),
    ]
}

fn reply() -> impl Strategy<Value = PeerReply> {
    let elsewhere = vec((id().prop_map(PeerId), ranges()), 0..4);
    prop_oneof![
        (id(), any::<u64>()).prop_map(|(track, size)| PeerReply::Resolved {
            track: TrackId(track),
            size,
        }),
        any::<(u64, u64)>().prop_map(|(done, size)| PeerReply::Hashing { done, size }),
        Just(PeerReply::Slice),
        vec(any::<u8>(), 0..300).prop_map(|bytes| PeerReply::Page(bytes.into())),
        option::of(any::<Duration>()).prop_map(|retry| PeerReply::No(match retry {
            Some(retry) => Decline::Busy { retry },
            None => Decline::Changed,
        })),
        elsewhere.prop_map(|others| PeerReply::No(Decline::Elsewhere(others))),
    ]
}

/// Whole, the frame is what it was; cut, longer, or with a byte changed, it is
/// refused or something else that can be written.
fn survives<M>(message: &M, cap: usize, change: (usize, u8)) -> Result<(), TestCaseError>
where
    M: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + std::fmt::Debug,
{
    let frame = encode_frame(message);
    prop_assert_eq!(&read::<M>(&frame, usize::MAX).unwrap(), message);
    prop_assert_eq!(read::<M>(&frame, cap).is_ok(), frame.len() - 4 <= cap);
    let at = change.0 % frame.len();
    prop_assert!(read::<M>(&frame[..at], cap).is_err());
    let mut changed = frame;
    changed[at] ^= change.1;
    if let Ok(other) = read::<M>(&changed, cap) {
        prop_assert_eq!(
            &read::<M>(&encode_frame(&other), usize::MAX).unwrap(),
            &other
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_message_comes_back_and_no_damage_to_it_does_harm(
        to_tracker in to_tracker(),
        from_tracker in from_tracker(),
        request in request(),
        reply in reply(),
        change in any::<(usize, u8)>(),
    ) {
        survives(&to_tracker, MAX_TRACKER_FRAME, change)?;
        survives(&from_tracker, MAX_TRACKER_FRAME, change)?;
        survives(&request, MAX_REQUEST_FRAME, change)?;
        survives(&reply, MAX_REPLY_FRAME, change)?;
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(mut bytes in vec(any::<u8>(), 0..200), whole: bool) {
        if whole {
            bytes.splice(0..0, (bytes.len() as u32).to_be_bytes());
        }
        let _ = read::<ToTracker>(&bytes, MAX_TRACKER_FRAME);
        let _ = read::<FromTracker>(&bytes, MAX_TRACKER_FRAME);
        let _ = read::<PeerRequest>(&bytes, MAX_REQUEST_FRAME);
        let _ = read::<PeerReply>(&bytes, MAX_REPLY_FRAME);
    }
}

#[test]
fn a_page_is_the_same_in_one_part_and_in_two() {
    for len in [0, 1, 23, 24, 255, 256, 70_000] {
        let bytes: Arc<[u8]> = (0..len).map(|n| n as u8).collect();
        let (owner, index) = (PeerId([7; 32]), 300);
        let page = FromTracker::Page {
            owner,
            index,
            bytes,
        };
        let frame = encode_frame(&page);
        let (mut head, body) = encode_shared(&page);
        head.extend_from_slice(&body.unwrap());
        assert_eq!(head, frame, "{len} bytes");
        assert_eq!(read::<FromTracker>(&frame, 100_000).unwrap(), page);
    }
}

/// A frame that this version cannot write.
fn frame_of(body: impl FnOnce(&mut Encoder<Vec<u8>>)) -> Vec<u8> {
    let mut to = Encoder::new(Vec::new());
    body(&mut to);
    let body = to.into_writer();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

#[test]
fn a_message_of_tomorrow_is_named_and_one_with_more_fields_is_read() {
    let unknown = frame_of(|to| {
        let to = to.array(2).unwrap().i64(77).unwrap().array(2).unwrap();
        to.str("a").unwrap().map(1).unwrap().u8(1).unwrap();
        to.begin_array().unwrap().end().unwrap();
    });
    let error = read::<ToTracker>(&unknown, 100).unwrap_err();
    assert!(matches!(error, FrameError::Unsupported(77)), "{error}");
    let error = read::<PeerRequest>(&unknown, 100).unwrap_err();
    assert!(matches!(error, FrameError::Unsupported(77)), "{error}");

    let more = frame_of(|to| {
        let to = to.array(2).unwrap().i64(4).unwrap().array(2).unwrap();
        to.u32(9).unwrap().str("and this").unwrap();
    });
    let page = read::<PeerRequest>(&more, 100).unwrap();
    assert_eq!(page, PeerRequest::Page { index: 9 });
}

#[test]
fn a_reason_a_class_and_an_address_of_tomorrow_are_the_nearest_of_today() {
    let refused = |to: &mut Encoder<Vec<u8>>| {
        let to = to.array(2).unwrap().i64(2).unwrap().array(1).unwrap();
        let to = to.array(2).unwrap().i64(99).unwrap();
        to.array(1).unwrap().str("it is Sunday").unwrap();
    };
    let refused = read::<FromTracker>(&frame_of(refused), 100).unwrap();
    assert_eq!(refused, FromTracker::Refused(Refusal::Unknown));

    let peer = |to: &mut Encoder<Vec<u8>>| {
        let to = to.array(2).unwrap().i64(5).unwrap().array(1).unwrap();
        let to = to.array(4).unwrap().bytes(&[7; 32]).unwrap();
        let to = to.str("attic").unwrap();
        // Asleep.
        to.array(2).unwrap().i64(9).unwrap().array(0).unwrap();
        let to = to.array(2).unwrap();
        // Over Bluetooth, and with the tracker.
        let to = to.array(2).unwrap().i64(5).unwrap().array(1).unwrap();
        let to = to.bytes(&[1; 6]).unwrap();
        let to = to.array(2).unwrap().i64(1).unwrap().array(1).unwrap();
        to.u16(4670).unwrap();
    };
    let peer = read::<FromTracker>(&frame_of(peer), 100).unwrap();
    assert_eq!(
        peer,
        FromTracker::Peer(PeerRecord {
            peer: PeerId([7; 32]),
            name: "attic".into(),
            state: PeerState::Suspect,
            candidates: vec![Candidate::WithTracker { port: 4670 }],
        })
    );
}

/// Such as rustls has, with the address of its manual in it.
#[test]
fn an_end_in_the_midst_is_said_in_plain_words() {
    let kind = std::io::ErrorKind::UnexpectedEof;
    let error = std::io::Error::new(kind, "no close_notify: https://docs.rs/rustls");
    assert_eq!(FrameError::from(error).to_string(), "the connection ended");
}
