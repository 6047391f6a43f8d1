//! Members that introduce themselves to a peer without a tracker, and lie.

use std::time::{Duration, Instant};

use quinn::Connection;

use crate::{
    common::{audio::Music, Node, Setup},
    peer::{ask, dial, endpoint, udp_of, within},
    watch::Watch,
    wire::{frame, hash, kind_of, noise, page_with, Member, PeerRequest, SignedHead, OPEN},
};

/// A peer that is told of no tracker, with one song.
fn attic() -> (Music, Node) {
    let music = Music::new();
    music.wav("song.wav", 44_100, 0.5);
    let setup = Setup {
        role: "peer",
        name: Some("attic"),
        ..Setup::default()
    };
    let attic = setup.music(music.path()).start();
    attic.wait_for_tracks("attic", 1);
    (music, attic)
}

/// Of which kind the answer is.
async fn greet(
    connection: &Connection,
    name: &str,
    own: Option<SignedHead>,
    yours: Option<SignedHead>,
) -> Option<u8> {
    let hello = frame(&PeerRequest::Hello(name.into(), own, yours));
    let (_, mut recv) = ask(connection, &hello).await?;
    let answer = within(5, recv.read_to_end(4096)).await?.ok()?;
    kind_of(answer.get(4..)?)
}

/// Nobody speaks for another, and nobody signs for another.
#[test]
fn forged_heads_and_bad_names() {
    let (_music, attic) = attic();
    let watch = Watch::begin(&attic);
    let at = udp_of(&attic);
    let page = page_with("forged.wav", 1_000_000, None);
    let list = [hash(&page)];
    let (liar, victim) = (Member::new(&OPEN, 1), Member::new(&OPEN, 2));
    let honest = victim.head(1, 1, &list);
    let mut forged = liar.head(1, 1, &list);
    forged.1 = honest.1;
    let mut absurd = liar.head(9, u32::MAX, &list);
    let mut outdone = honest;
    outdone.0 .0 = id_of(&attic);
    absurd.0 .1 = u64::MAX;
    smol::block_on(async {
        let endpoint = endpoint([127, 0, 0, 1].into());
        let connection = dial(&endpoint, &liar, at).await.expect("it is a member");
        let names = ["", ".", "a/b", "x\nOK", " x", &"x".repeat(64)];
        for name in names {
            let answer = greet(&connection, name, None, None).await;
            assert_eq!(answer, Some(REFUSED), "{name:?}");
        }
        for (own, yours) in [
            (Some(honest), None),
            (Some(forged), None),
            (Some(absurd), Some(outdone)),
        ] {
            let until = Instant::now() + Duration::from_secs(20);
            // A peer that greets too often has to wait.
            while greet(&connection, "liar", own, yours).await != Some(TAKEN) {
                assert!(Instant::now() < until, "it is not heard");
                smol::Timer::after(Duration::from_millis(200)).await;
            }
        }
    });
    attic.wait_for_peers(&["attic", "liar"]);
    let tracks: Vec<_> = ["attic", "liar"]
        .map(|name| attic.peer(name).unwrap()["tracks"].clone())
        .into();
    assert_eq!(tracks, [1, 0]);
    watch.end(&attic, 16 << 20);
}

/// One member with a thousand names, and many members, all in a hurry.
#[test]
fn floods_of_greetings() {
    let (_music, attic) = attic();
    let watch = Watch::begin(&attic);
    let at = udp_of(&attic);
    smol::block_on(async {
        let endpoint = endpoint([127, 0, 0, 1].into());
        let one = Member::new(&OPEN, 1);
        let connection = dial(&endpoint, &one, at).await.expect("it is a member");
        let until = Instant::now() + STORM;
        let mut taken = 0;
        for n in 0..1000 {
            if Instant::now() > until {
                break;
            }
            let answer = greet(&connection, &format!("name-{n}"), None, None).await;
            taken += u32::from(answer == Some(TAKEN));
        }
        assert!((1..=STORM.as_secs() as u32 + 1).contains(&taken), "{taken}");
        for n in 0..200u16 {
            let other = Member::new(&OPEN, 100 + n);
            let Some(connection) = dial(&endpoint, &other, at).await else {
                continue;
            };
            greet(&connection, &format!("crowd-{n}"), None, None).await;
            let nonsense = [&b"\0\0\0\x40\x05"[..], &noise(n.into(), 63)].concat();
            let _ = ask(&connection, &nonsense).await;
        }
    });
    let count = attic.peer_names().len();
    assert!((100..=129).contains(&count), "{count} are believed");
    attic.ctl_ok(&["status"]);
    watch.end(&attic, 48 << 20);
}

fn id_of(node: &Node) -> [u8; 32] {
    let status = node.json(&["status"]);
    let hex = status["node"]["peer"].as_str().unwrap().to_owned();
    let byte = |n: usize| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap();
    std::array::from_fn(byte)
}

/// The kinds of what a peer answers, by their place in its enum.
const REFUSED: u8 = 6;
const TAKEN: u8 = 7;
/// How long one member floods.
const STORM: Duration = Duration::from_secs(4);
