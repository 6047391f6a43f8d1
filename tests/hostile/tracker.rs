//! Storms on the tracker's TCP port.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::{
    common::{audio::Music, Node, Setup},
    watch::{serves, Watch},
    wire::{
        connect, connect_from, frame, hash, noise, page_with, port_of, receive, receive_kind,
        register, send, tls, Member, Tls, ToTracker, OPEN, REGISTERED, WANT_LIST,
    },
};

/// A peer that comes in the middle of it is registered all the same, under a name that none had
/// before.
fn admits(tracker: &Node, name: &'static str) {
    Setup::peer(name, tracker).start().wait_until_registered();
}

/// Whether the tracker has ended this connection, whatever it said before.
fn is_over(stream: &mut TcpStream) -> bool {
    let mut rest = [0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) => return e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn strangers() {
    let tracker = Setup::tracker().start();
    let at = tracker.tracker_address();
    let watch = Watch::begin(&tracker);

    // Thousands that say nothing, from hundreds of addresses.
    let mut half_open = Vec::new();
    for n in 0..3000u16 {
        let ip = [127, 1, (n / 250) as u8, (n % 250) as u8 + 1].into();
        half_open.extend(connect_from(ip, &at));
        half_open.drain(..half_open.len().saturating_sub(400));
    }
    admits(&tracker, "first");
    drop(half_open);

    // Noise, a greeting that is cut short, one that claims 64 KiB, another protocol.
    let hello = [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        &noise(1, 40),
    ]
    .concat();
    let sayings = (0..64).map(|n| noise(n, 700)).chain([
        hello,
        b"\x16\x03\x01\xff\xff".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x15\x03\x03\x00\x02\x02\x28".repeat(500),
    ]);
    for saying in sayings {
        let mut stream = connect(&at).unwrap();
        let _ = stream.write_all(&saying);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        assert!(is_over(&mut stream), "{saying:?}");
    }

    // Without a certificate, and with another swarm's.
    let other = Member::new(&[7; 32], 1);
    for config in [crate::wire::nobody(), other.client_config()] {
        let mut stranger = tls(config, connect(&at).unwrap());
        let _ = send(&mut stranger, &register("stranger", 1));
        assert!(receive(&mut stranger).is_err(), "a stranger was answered");
    }
    admits(&tracker, "second");
    watch.end(&tracker, 24 << 20);
    assert!(!tracker.peer_names().contains(&"stranger".to_owned()));
}

#[test]
fn a_member() {
    let music = Music::new();
    let frames = music.wav("song.wav", 44_100, 0.5);
    let tracker = Setup::tracker().start();
    let attic = Setup::peer("attic", &tracker).music(music.path()).start();
    attic.wait_until_registered();
    let at = tracker.tracker_address();
    let (watch, watch_attic) = (Watch::begin(&tracker), Watch::begin(&attic));

    nonsense(&at);
    claims_that_last(&at);
    floods_of_heads(&at);
    what_does_not_fit_its_head(&at);
    asks_and_never_reads(&at);
    admits(&tracker, "visitor");
    serves(&tracker, "attic", "song.wav", &frames);
    watch.end(&tracker, 48 << 20);
    watch_attic.end(&attic, 24 << 20);
}

/// Frames that are too long, cut short, not a message, or out of turn.
fn nonsense(at: &str) {
    let member = Member::new(&OPEN, 1);
    let registered = frame(&register("nonsense", 9));
    let mut cases: Vec<Vec<u8>> = (0..32).map(|n| noise(n, 900)).collect();
    cases.push(u32::MAX.to_be_bytes().to_vec());
    cases.push([&registered[..], &u32::MAX.to_be_bytes()].concat());
    // A list of 2^32 - 1 hashes, in a frame that has one.
    let boast = [&[7, 0xff, 0xff, 0xff, 0xff, 0x0f][..], &[1; 32]].concat();
    cases.push([&registered[..], &(boast.len() as u32).to_be_bytes(), &boast].concat());
    cases.push(frame(&ToTracker::WantList(member.id)));
    cases.push(frame(&register("a/b", 9)));
    cases.push(frame(&register("x".repeat(900_000), 9)));
    cases.push([&registered[..], &noise(9, 60)].concat());
    for case in cases {
        let mut tls = member.tracker(at).unwrap();
        let _ = tls.write_all(&case).and_then(|()| tls.flush());
        // A length that is not reached is waited for, so the half is closed.
        let _ = tls.sock.shutdown(std::net::Shutdown::Write);
        while receive(&mut tls).is_ok() {}
    }
}

/// One identity on many connections, and many identities on which a frame of a
/// megabyte never ends.
fn claims_that_last(at: &str) {
    let one = Member::new(&OPEN, 2);
    let same: Vec<_> = (0..12).filter_map(|_| one.tracker(at).ok()).collect();
    let mut slow = Vec::new();
    for n in 0..40 {
        let member = Member::new(&OPEN, 100 + n);
        let Ok(mut tls) = member.tracker(at) else {
            continue;
        };
        let _ = send(&mut tls, &register(format!("slow-{n}"), 9));
        let _ = receive_kind(&mut tls, REGISTERED);
        // It is not read to its end, so it must not be waited for here either.
        let _ = tls.sock.set_nonblocking(true);
        let _ = tls.write_all(&1_000_000u32.to_be_bytes());
        let _ = tls.write_all(&vec![0; 900_000]);
        slow.push(tls);
    }
    drop((same, slow));
}

/// Heads as fast as they go, of which everybody else would have to hear.
fn floods_of_heads(at: &str) {
    let member = Member::new(&OPEN, 3);
    let mut tls = join(&member, at, "heads");
    let sent = (1..2000).take_while(|seq| {
        let head = ToTracker::Head(member.head(*seq, 0, &[]));
        send(&mut tls, &head).is_ok()
    });
    sent.for_each(drop);
    while receive(&mut tls).is_ok() {}
}

/// Another's head, a forged one, an old one, and lists and pages that do not fit.
fn what_does_not_fit_its_head(at: &str) {
    let (member, other) = (Member::new(&OPEN, 4), Member::new(&OPEN, 5));
    let page = page_with("nothing.wav", 1000, None);
    let list = vec![hash(&page)];
    let mut forged = member.head(5, 1, &list);
    forged.0 .2 += 1;
    for wrong in [other.head(1, 0, &[]), forged] {
        let mut tls = join(&member, at, "liar");
        send(&mut tls, &ToTracker::Head(wrong)).unwrap();
        while receive(&mut tls).is_ok() {}
    }
    // Each under a head of its own: what did fit the one before is kept.
    let answers = [
        vec![ToTracker::List(vec![[7; 32]])],
        vec![ToTracker::List(vec![[7; 32]; 20_000])],
        vec![
            ToTracker::List(list.clone()),
            ToTracker::Page(0, page_with("other.wav", 1000, None)),
        ],
        vec![
            ToTracker::List(list.clone()),
            ToTracker::Page(0, noise(1, 1000)),
        ],
    ];
    for (seq, answer) in (5..).zip(answers) {
        let mut tls = join(&member, at, "liar");
        send(&mut tls, &ToTracker::Head(member.head(seq, 1, &list))).unwrap();
        receive_kind(&mut tls, WANT_LIST).unwrap();
        for message in answer {
            let _ = send(&mut tls, &message);
        }
        while receive(&mut tls).is_ok() {}
    }
    // An old head is nobody's fault, and nobody's news.
    let mut tls = join(&member, at, "liar");
    for seq in [99, 2] {
        send(&mut tls, &ToTracker::Head(member.head(seq, 0, &[]))).unwrap();
    }
    send(&mut tls, &ToTracker::Renew).unwrap();
    receive_kind(&mut tls, 3).unwrap();
    send(&mut tls, &ToTracker::Leave).unwrap();
    while receive(&mut tls).is_ok() {}
}

/// Wants whatever there is, thousands of times, and takes none of it.
fn asks_and_never_reads(at: &str) {
    let greedy: Vec<Tls> = (0..6)
        .map(|n| {
            let member = Member::new(&OPEN, 200 + n);
            let mut tls = join(&member, at, &format!("greedy-{n}"));
            let _ = tls.sock.set_nonblocking(true);
            for _ in 0..3000 {
                let want = ToTracker::WantPage(member.id, 0);
                if send(&mut tls, &want).is_err() {
                    break;
                }
            }
            tls
        })
        .collect();
    drop(greedy);
}

fn join(member: &Member, at: &str, name: &str) -> Tls {
    let mut tls = member.tracker(at).unwrap();
    send(&mut tls, &register(name, port_of(at))).unwrap();
    receive_kind(&mut tls, REGISTERED).unwrap();
    tls
}
